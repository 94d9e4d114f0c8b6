//! Segments of the change log in the backup's place: a folder a day below `log`, with names that tell which segment is
//! which.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use flowlord_messages::changelog::ChangeSegment;
use flowlord_storage::MAX_OBJECTS;

use crate::place::{BackupPlace, Result};

const FOLDER: &str = "log";
const DAY_FORMAT: &str = "%Y%m%d";
const TIME_FORMAT: &str = "%Y%m%dT%H%M%S%.6fZ";
const ENDING: &str = ".ndjson.gz";

/// A clock that was set back a little while the service ran hides no segment.
const CLOCK_SLACK: TimeDelta = TimeDelta::hours(1);

const MAX_SEGMENT_BYTES: u64 = 1 << 30;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentName {
    pub at: DateTime<Utc>,
    pub upto: i64,
    pub chain: u64,
    /// The SHA-256 of its bytes, in hex.
    pub digest: String,
}

impl SegmentName {
    fn from_segment(segment: &ChangeSegment) -> Self {
        let ChangeSegment { at, upto, chain, ref digest, .. } = *segment;
        Self { at, upto, chain, digest: digest.clone() }
    }

    fn file_path(&self) -> String {
        let Self { at, upto, chain, digest } = self;
        let (day, time) = (at.format(DAY_FORMAT), at.format(TIME_FORMAT));
        format!("{FOLDER}/{day}/{time}-{upto:016}-{chain:016x}-{digest}{ENDING}")
    }

    fn from_file_name(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(ENDING)?.splitn(4, '-');
        let at = NaiveDateTime::parse_from_str(parts.next()?, TIME_FORMAT).ok()?.and_utc();
        let upto = parts.next()?.parse().ok()?;
        let chain = u64::from_str_radix(parts.next()?, 16).ok()?;
        Some(Self { at, upto, chain, digest: parts.next()?.to_owned() })
    }
}

impl BackupPlace {
    /// Keeps a segment, and answers where; what is there of the same name is the same.
    pub async fn put_segment(&self, segment: &ChangeSegment) -> Result<String> {
        let (path, bytes) =
            (SegmentName::from_segment(segment).file_path(), bytes::Bytes::copy_from_slice(&segment.bytes));
        self.store.put(&path, bytes).await?;
        Ok(path)
    }

    pub(crate) async fn remove_segment(&self, path: &str) -> Result<()> {
        Ok(self.store.remove(path).await?)
    }

    /// The segments of a log that were made from `since` on, up to `until`, in the order of their changes.
    pub async fn list_segments(
        &self,
        chain: u64,
        since: DateTime<Utc>,
        until: Option<DateTime<Utc>>,
    ) -> Result<Vec<SegmentName>> {
        let since = since - CLOCK_SLACK;
        let mut found = Vec::new();
        for day in self.list_days().await?.into_iter().filter(|day| *day >= since.date_naive()) {
            // By day, so that a restore doesn't list the names of months.
            let of_day = self.list_day(day).await?.into_iter();
            found.extend(of_day.filter(|segment| {
                segment.chain == chain && segment.at >= since && until.is_none_or(|until| segment.at <= until)
            }));
        }
        // By what they hold, not when: the clock may have been set back between two.
        found.sort_by_key(|segment| (segment.upto, segment.at));
        Ok(found)
    }

    pub async fn read_segment(&self, name: &SegmentName) -> Result<bytes::Bytes> {
        Ok(self.store.get(&name.file_path(), MAX_SEGMENT_BYTES).await?.bytes)
    }

    /// Removes what is older than every snapshot that is kept, and so leads nowhere.
    pub async fn forget_segments(&self, before: DateTime<Utc>) -> Result<()> {
        let before = before - CLOCK_SLACK;
        let mut removed = 0;
        for day in self.list_days().await?.into_iter().filter(|day| *day <= before.date_naive()) {
            let old = self.list_day(day).await?.into_iter().filter(|segment| segment.at < before);
            let paths: Vec<_> = old.map(|segment| segment.file_path()).collect();
            removed += paths.len();
            self.store.remove_all(&paths).await?;
        }
        if removed > 0 {
            log::info!("event=segments_removed count={removed}");
        }
        Ok(())
    }

    async fn list_days(&self) -> Result<Vec<NaiveDate>> {
        let folders = self.store.list_level(FOLDER, MAX_OBJECTS).await?.folders;
        Ok(folders.iter().filter_map(|day| NaiveDate::parse_from_str(day, DAY_FORMAT).ok()).collect())
    }

    async fn list_day(&self, day: NaiveDate) -> Result<Vec<SegmentName>> {
        let folder = format!("{FOLDER}/{}", day.format(DAY_FORMAT));
        let files = self.store.list_level(&folder, MAX_OBJECTS).await?.files;
        Ok(files.iter().filter_map(|file| SegmentName::from_file_name(&file.path)).collect())
    }
}

#[cfg(test)]
mod tests {
    use flowlord_storage::{StorageConfig, StorageConnections, StorageLocation};

    use super::*;

    fn segment(at: &str, upto: i64, chain: u64) -> ChangeSegment {
        let digest = format!("{upto:064x}");
        ChangeSegment { chain, after: upto - 1, upto, at: at.parse().unwrap(), digest, bytes: vec![1, 2, 3] }
    }

    #[actix::test]
    async fn those_of_a_log_are_found_from_a_snapshot_to_a_time_and_old_ones_leave() {
        let folder = tempfile::tempdir().unwrap();
        let location = StorageLocation::parse(&folder.path().display().to_string()).unwrap();
        let place = BackupPlace::open(&location, &StorageConnections::new(StorageConfig::default())).unwrap();
        let since: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
        assert_eq!(place.list_segments(7, since, None).await.unwrap(), []);
        let times = ["2026-02-27T12:00:00Z", "2026-03-01T10:59:59Z", "2026-03-01T23:59:59.5Z", "2026-03-02T00:00:04Z"];
        for (nth, time) in (1..).zip(times) {
            place.put_segment(&segment(time, nth, 7)).await.unwrap();
        }
        place.put_segment(&segment(times[3], 9, 8)).await.unwrap();
        std::fs::write(folder.path().join("log/20260302/mine.txt"), "mine").unwrap();
        std::fs::write(folder.path().join("log/20260302/Icon\r"), "mine").unwrap();
        std::fs::create_dir(folder.path().join("log/odd\n")).unwrap();
        let uptos = |found: Vec<SegmentName>| found.iter().map(|segment| segment.upto).collect::<Vec<_>>();
        let found = place.list_segments(7, since, None).await.unwrap();
        assert_eq!(place.read_segment(&found[0]).await.unwrap(), [1, 2, 3].as_slice());
        assert_eq!(uptos(found), [3, 4]);
        let until = Some("2026-03-02T00:00:00Z".parse().unwrap());
        assert_eq!(uptos(place.list_segments(7, since, until).await.unwrap()), [3]);
        place.forget_segments(since).await.unwrap();
        let first: DateTime<Utc> = times[0].parse().unwrap();
        assert_eq!(uptos(place.list_segments(7, first, None).await.unwrap()), [3, 4]);
        assert!(folder.path().join("log/20260302/mine.txt").exists());
    }
}

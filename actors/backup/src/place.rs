//! A backup's place: a folder, here or in an object store, of snapshots whose names say when they were taken.
//!
//! Beside each lies its receipt, a small file that is written once the copy was read back and found to be what was
//! sent: a snapshot counts from then on.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDateTime, Utc};
use flowlord_domain::hex::to_hex;
use flowlord_messages::changelog::{LogPoint, chain_hex};
use flowlord_messages::snapshots::StoredSnapshot;
use flowlord_storage::{FileStorage, MAX_OBJECTS, StorageConnections, StorageLocation};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What a name begins with, its time, and what it ends with. The names sort as the times do.
const NAME_FORMAT: &str = "flowlord-%Y%m%dT%H%M%S%.6fZ.db";

/// How much of a local file is read at once: however low its priority, a thread keeps its processor until a read
/// ends.
const READ_BYTES: usize = 64 * 1024;

/// A receipt is a few lines.
const MAX_RECEIPT_BYTES: u64 = 64 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    #[error(transparent)]
    Store(#[from] flowlord_storage::Error),
    #[error("{at} differs from what was sent there ({found} instead of {sent}): check the store")]
    Differs { at: String, found: String, sent: String },
}

pub(crate) type Result<T> = std::result::Result<T, PlaceError>;

/// What was checked of a snapshot; in JSON beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotReceipt {
    pub at: DateTime<Utc>,
    pub bytes: u64,
    /// Of all its bytes, in hex.
    pub sha256: String,
    /// Up to where it holds the log of changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogReceipt>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogReceipt {
    /// Which log, in hex.
    pub chain: String,
    /// The number of the last change.
    pub position: i64,
}

impl LogReceipt {
    fn from_point(point: LogPoint) -> Self {
        Self { chain: chain_hex(point.chain), position: point.position }
    }

    /// The point; none where the receipt was written by something else.
    pub fn point(&self) -> Option<LogPoint> {
        Some(LogPoint { chain: u64::from_str_radix(&self.chain, 16).ok()?, position: self.position })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSnapshot {
    pub name: String,
    pub at: DateTime<Utc>,
    pub bytes: u64,
    pub verified: bool,
}

#[derive(Debug, Clone)]
pub struct BackupPlace {
    pub(crate) store: FileStorage,
}

impl BackupPlace {
    /// The folder at `location`. Nothing is asked of it yet.
    pub fn open(location: &StorageLocation, stores: &StorageConnections) -> flowlord_storage::Result<Self> {
        Ok(Self { store: stores.open(location)? })
    }

    /// The files there, for what shares the place with snapshots.
    pub fn storage(&self) -> FileStorage {
        self.store.clone()
    }

    pub fn name(at: DateTime<Utc>) -> String {
        at.format(NAME_FORMAT).to_string()
    }

    pub fn location(&self, name: &str) -> String {
        self.store.location().join(name).map_or_else(|_| name.to_owned(), |at| at.to_string())
    }

    /// The file itself, where the place is on this machine.
    pub fn local_file(&self, name: &str) -> Option<PathBuf> {
        self.store.location().as_local().map(|folder| folder.join(name))
    }

    /// The snapshots that are there, newest first; other files don't count. None in a place that isn't there.
    pub async fn list_snapshots(&self) -> Result<Vec<FoundSnapshot>> {
        let files = self.store.list_level("", MAX_OBJECTS).await?.files;
        let receipts: BTreeSet<_> = files.iter().filter_map(|file| file.path.strip_suffix(".json")).collect();
        let snapshots = files.iter().filter_map(|file| {
            let (name, at) = (file.path.clone(), taken_at(&file.path)?);
            Some(FoundSnapshot { verified: receipts.contains(name.as_str()), name, at, bytes: file.bytes })
        });
        let mut found: Vec<_> = snapshots.collect();
        found.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.at));
        Ok(found)
    }

    pub fn to_message(&self, found: &FoundSnapshot) -> StoredSnapshot {
        let location = self.location(&found.name);
        StoredSnapshot { location, at: found.at, bytes: found.bytes, verified: found.verified }
    }

    /// [`BackupPlace::send_file`] and [`BackupPlace::confirm_sent`].
    pub async fn keep_file(
        &self,
        name: &str,
        at: DateTime<Utc>,
        file: &Path,
        log: Option<LogPoint>,
    ) -> Result<FoundSnapshot> {
        let receipt = self.send_file(name, at, file, log).await?;
        self.confirm_sent(name, &receipt).await
    }

    /// Sends the whole, checked snapshot in `file`, unless it is made in its place already. It doesn't count yet.
    pub async fn send_file(
        &self,
        name: &str,
        at: DateTime<Utc>,
        file: &Path,
        log: Option<LogPoint>,
    ) -> Result<SnapshotReceipt> {
        let (bytes, sha256) = digest_of_file(file).await?;
        if self.local_file(name).is_none_or(|there| there != file) {
            self.store.put_file(name, file).await?;
        }
        Ok(SnapshotReceipt { at, bytes, sha256, log: log.map(LogReceipt::from_point) })
    }

    /// Reads back what was sent and writes its receipt.
    pub async fn confirm_sent(&self, name: &str, receipt: &SnapshotReceipt) -> Result<FoundSnapshot> {
        self.check_sent(name, receipt).await?;
        self.write_receipt(name, receipt).await
    }

    /// Reads back what was sent, and removes what differs.
    pub(crate) async fn check_sent(&self, name: &str, receipt: &SnapshotReceipt) -> Result<()> {
        let checked = self.compare_stored(name, receipt).await;
        // Not after an error of the network: what is there may be whole.
        if matches!(checked, Err(PlaceError::Differs { .. })) {
            self.store.remove(name).await?;
        }
        checked
    }

    /// The snapshot counts from then on.
    pub(crate) async fn write_receipt(&self, name: &str, receipt: &SnapshotReceipt) -> Result<FoundSnapshot> {
        let text = serde_json::to_vec_pretty(receipt).unwrap_or_default();
        // Last: a crash before leaves a file without a receipt, which doesn't count.
        self.store.put(&receipt_name(name), text).await?;
        Ok(FoundSnapshot { name: name.to_owned(), at: receipt.at, bytes: receipt.bytes, verified: true })
    }

    /// What was checked when a snapshot was sent; none where there is no receipt.
    pub async fn read_receipt(&self, name: &str) -> Result<Option<SnapshotReceipt>> {
        match self.store.get(&receipt_name(name), MAX_RECEIPT_BYTES).await {
            Ok(content) => Ok(serde_json::from_slice(&content.bytes).ok()),
            Err(flowlord_storage::Error::NotFound { .. }) => Ok(None),
            Err(err) => Err(err.into()),
        }
    }

    /// Copies a snapshot into `to` and compares it with its receipt, where it has one.
    pub async fn fetch_snapshot(&self, name: &str, to: &Path) -> Result<()> {
        self.store.get_file(name, to).await?;
        // A snapshot that was put there by hand has none; SQLite's check judges it later.
        let Some(receipt) = self.read_receipt(name).await? else { return Ok(()) };
        self.check_same(name, &receipt, digest_of_file(to).await?)
    }

    /// Reads a snapshot through and compares it with its receipt, where it has one.
    pub async fn verify_snapshot(&self, name: &str) -> Result<()> {
        match self.read_receipt(name).await? {
            Some(receipt) => self.compare_stored(name, &receipt).await,
            None => Ok(()),
        }
    }

    /// Removes all but the newest; the newest stays whatever is asked, and so does what is no snapshot. Answers when
    /// the oldest one was begun that stays.
    pub async fn keep_newest(&self, newest: usize) -> Result<Option<DateTime<Utc>>> {
        let listed = self.list_snapshots().await?;
        // Only verified ones count: uploads that were cut off must not push out the last good snapshot.
        let oldest = listed.iter().filter(|found| found.verified).nth(newest.max(1) - 1).map(|found| found.at);
        for old in listed.iter().filter(|found| oldest.is_some_and(|oldest| found.at < oldest)) {
            // Its receipt first: without one it no longer counts.
            self.store.remove(&receipt_name(&old.name)).await?;
            self.store.remove(&old.name).await?;
            log::info!("event=snapshot_removed location={:?}", self.location(&old.name));
        }
        let verified = listed.iter().filter(|found| found.verified).map(|found| found.at);
        Ok(oldest.or(verified.min()))
    }

    async fn compare_stored(&self, name: &str, receipt: &SnapshotReceipt) -> Result<()> {
        let digest = match self.local_file(name) {
            Some(file) => digest_of_file(&file).await?,
            None => self.digest_of_stored(name).await?,
        };
        self.check_same(name, receipt, digest)
    }

    async fn digest_of_stored(&self, name: &str) -> Result<(u64, String)> {
        let mut digest = RunningDigest::default();
        self.store
            .read(name, async |piece| {
                digest = std::mem::take(&mut digest).add_piece(piece).await;
                Ok(())
            })
            .await?;
        Ok(digest.finish_hex())
    }

    fn check_same(&self, name: &str, read_receipt: &SnapshotReceipt, (bytes, sha256): (u64, String)) -> Result<()> {
        if read_receipt.bytes == bytes && read_receipt.sha256 == sha256 {
            return Ok(());
        }
        let (at, sent) = (self.location(name), size_and_hash(read_receipt.bytes, &read_receipt.sha256));
        Err(PlaceError::Differs { at, found: size_and_hash(bytes, &sha256), sent })
    }
}

fn size_and_hash(bytes: u64, sha256: &str) -> String {
    format!("{bytes} bytes with SHA-256 {sha256}")
}

fn receipt_name(name: &str) -> String {
    format!("{name}.json")
}

/// When a snapshot was begun, as its name tells; none for other names.
pub fn taken_at(name: &str) -> Option<DateTime<Utc>> {
    NaiveDateTime::parse_from_str(name, NAME_FORMAT).ok().map(|at| at.and_utc())
}

/// How many bytes there were, and their hash so far.
#[derive(Default)]
struct RunningDigest(u64, Sha256);

impl RunningDigest {
    async fn add_piece(mut self, piece: bytes::Bytes) -> Self {
        // Beside the actors' thread: a large piece takes a while.
        let hashed = actix_rt::task::spawn_blocking(move || {
            self.0 += u64::try_from(piece.len()).unwrap_or_default();
            self.1.update(&piece);
            self
        });
        // One that panics counts nothing, which no receipt says.
        hashed.await.unwrap_or_default()
    }

    fn finish_hex(self) -> (u64, String) {
        (self.0, to_hex(&self.1.finalize()))
    }
}

async fn digest_of_file(file: &Path) -> Result<(u64, String)> {
    let path = file.to_owned();
    let read = actix_rt::task::spawn_blocking(move || -> std::io::Result<(u64, String)> {
        let mut file = std::fs::File::open(path)?;
        let (mut bytes, mut hash, mut piece) = (0_u64, Sha256::new(), vec![0; READ_BYTES]);
        loop {
            let read = file.read(&mut piece)?;
            if read == 0 {
                return Ok((bytes, to_hex(&hash.finalize())));
            }
            bytes += u64::try_from(read).unwrap_or_default();
            hash.update(piece.get(..read).unwrap_or_default());
        }
    });
    let read = read.await.map_err(std::io::Error::other).and_then(|read| read);
    read.map_err(|err| PlaceError::Store(flowlord_storage::Error::of_io(file, &err)))
}

#[cfg(test)]
mod tests {
    use flowlord_storage::{S3Access, StorageConfig};
    use flowlord_testkit::{ACCESS_KEY, FakeStore};

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn stores(fake: &FakeStore) -> StorageConnections {
        let s3 = S3Access {
            endpoint: Some(fake.url()),
            access_key: Some(ACCESS_KEY.to_owned()),
            secret_key: Some(flowlord_storage::HiddenValue::new("secret")),
            ..S3Access::default()
        };
        StorageConnections::new(StorageConfig { s3, ..StorageConfig::default() })
    }

    fn place(location: &str, stores: &StorageConnections) -> BackupPlace {
        BackupPlace::open(&StorageLocation::parse(location).unwrap(), stores).unwrap()
    }

    /// What every place does.
    async fn behaves(place: &BackupPlace, folder: &Path) {
        assert_eq!(place.list_snapshots().await.unwrap(), []);
        let file = folder.join("copy.db");
        let times = ["2026-03-01T12:00:00Z", "2026-02-28T23:59:59.5Z", "2026-03-01T12:00:00.000001Z"];
        for time in times {
            std::fs::write(&file, time).unwrap();
            let kept = place.keep_file(&BackupPlace::name(at(time)), at(time), &file, None).await.unwrap();
            assert_eq!((kept.bytes, kept.verified), (time.len().try_into().unwrap(), true));
        }
        place.store.put("mine.db", "mine").await.unwrap();
        // One whose sending was cut off before its receipt.
        let cut = BackupPlace::name(at("2026-03-01T13:00:00Z"));
        place.store.put(&cut, "unverified").await.unwrap();
        let listed: Vec<_> =
            place.list_snapshots().await.unwrap().into_iter().map(|found| (found.at, found.verified)).collect();
        let cut_at = at("2026-03-01T13:00:00Z");
        let expected = [(cut_at, false), (at(times[2]), true), (at(times[0]), true), (at(times[1]), true)];
        assert_eq!(listed, expected);
        let newest = BackupPlace::name(at(times[2]));
        let to = folder.join("back.db");
        place.fetch_snapshot(&newest, &to).await.unwrap();
        assert_eq!(std::fs::read_to_string(&to).unwrap(), times[2]);
        place.fetch_snapshot(&cut, &to).await.unwrap();

        place.keep_newest(2).await.unwrap();
        assert_eq!(place.list_snapshots().await.unwrap().len(), 3, "what doesn't count doesn't push out what does");
        place.keep_newest(0).await.unwrap();
        let names: Vec<_> = place.list_snapshots().await.unwrap().into_iter().map(|found| found.name).collect();
        assert_eq!(names, [cut, newest.clone()]);
        assert!(place.store.head("mine.db").await.is_ok());

        place.store.put(&newest, "2026-03-01T12:00:00.000002Z").await.unwrap();
        for refused in [place.fetch_snapshot(&newest, &to).await, place.verify_snapshot(&newest).await] {
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains(&newest) && refused.contains("differs from what was sent"), "{refused}");
        }
    }

    #[cfg(unix)]
    #[actix::test]
    async fn the_newest_stay_and_what_was_not_verified_is_told_apart() {
        let (fake, folder) = (FakeStore::start(), tempfile::tempdir().unwrap());
        let stores = stores(&fake);
        let local = folder.path().join("place");
        // What others left there hides no snapshot.
        std::fs::create_dir(&local).unwrap();
        std::fs::write(local.join("Icon\r"), "").unwrap();
        std::os::unix::fs::symlink("itself", local.join("itself")).unwrap();
        ["Icon\r", "/x", "p//x", "p/"].iter().for_each(|key| fake.write(&format!("bucket/deep/{key}"), ""));
        behaves(&place(&local.display().to_string(), &stores), folder.path()).await;
        behaves(&place("s3://bucket/deep", &stores), folder.path()).await;
    }

    #[actix::test]
    async fn a_copy_that_comes_back_changed_is_removed_and_gets_no_receipt() {
        let (fake, folder) = (FakeStore::start(), tempfile::tempdir().unwrap());
        let place = place("s3://bucket", &stores(&fake));
        let file = folder.path().join("copy.db");
        std::fs::write(&file, "as it was").unwrap();
        fake.set_garbling(true);
        let name = BackupPlace::name(at("2026-03-01T12:00:00Z"));
        let refused = place.keep_file(&name, at("2026-03-01T12:00:00Z"), &file, None).await.unwrap_err();
        assert!(refused.to_string().contains("differs from what was sent there (9 bytes with SHA-256"), "{refused}");
        assert_eq!(place.list_snapshots().await.unwrap(), []);
        assert!(fake.read(&format!("bucket/{name}.json")).is_none());
    }

    #[actix::test]
    async fn a_place_that_is_not_there_has_none_and_one_that_is_away_says_so() {
        let fake = FakeStore::start();
        let stores = stores(&fake);
        assert_eq!(place("/nowhere/at/all", &stores).list_snapshots().await.unwrap(), []);
        fake.set_broken(Some(500));
        let away = place("s3://bucket", &stores).list_snapshots().await.unwrap_err().to_string();
        assert!(away.contains("can't be reached"), "{away}");
    }
}

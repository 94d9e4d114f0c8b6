//! A snapshot takes the place of the database: when asked, and at a start where there is none, one that doesn't open, or
//! one that damage was seen in.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat, Utc};
use flowlord_backup::{BackupPlace, PlaceError};
use flowlord_db::{
    DamageMark, DatabaseCondition, FolderLock, HandledDamage, RestoreError, RestoredDatabase, SeenDamage,
    SnapshotRestore,
};
use flowlord_messages::changelog::LogPoint;
use flowlord_replica::PlaceLog;
use flowlord_storage::{StorageConnections, StorageLocation};
use futures_util::{StreamExt as _, stream};

use crate::config::Config;

#[derive(Debug, Clone)]
pub struct WantedSnapshot {
    /// A snapshot, or a place of snapshots.
    pub from: StorageLocation,
    pub at: Option<DateTime<Utc>>,
    /// A database that is there is moved aside.
    pub force: bool,
}

/// Why a snapshot takes the place of the database at a start.
#[derive(Debug, Clone, PartialEq, Eq)]
enum RestoreReason {
    Gone,
    Unopened(String),
    /// Damage was seen in it, and is there.
    Damaged {
        seen: SeenDamage,
        found: String,
    },
}

impl RestoreReason {
    fn text(&self) -> String {
        match self {
            Self::Gone => "there was no database".to_owned(),
            Self::Unopened(why) => format!("the database didn't open ({why})"),
            Self::Damaged { seen, found } => {
                let SeenDamage { at, what } = seen;
                format!("the database was damaged: {}, {what}; the full check: {found}", utc_text(*at))
            }
        }
    }
}

/// Where there is no database, one that doesn't open, or one that is damaged, the newest sound snapshot becomes the
/// database. Answers what people must know, also what an earlier start couldn't tell any more.
pub(crate) async fn at_start(
    config: &Config,
    stores: &StorageConnections,
    lock: &FolderLock,
    now: DateTime<Utc>,
) -> anyhow::Result<Option<HandledDamage>> {
    let data = lock.folder();
    // Taken for damage: the full check that follows harms nothing, and a mark passed over might.
    let mark = DamageMark::read(data).unwrap_or_else(|err| unreadable_mark(&err, now));
    let why = match (look_at_database(data, mark.seen.is_some()).await?, mark.seen) {
        (DatabaseCondition::Sound, None) => {
            return Ok(mark.handled.filter(|handled| !handled.is_alert_stored));
        }
        (DatabaseCondition::Sound, Some(seen)) => {
            return leave_mark(data, now, false, checked_text(&seen)).map(Some);
        }
        (DatabaseCondition::Nothing, _) => RestoreReason::Gone,
        (DatabaseCondition::Broken(why), None) => RestoreReason::Unopened(why),
        (DatabaseCondition::Broken(found), Some(seen)) => RestoreReason::Damaged { seen, found },
    };
    // By force: the database that is there is broken, and is moved aside, not removed.
    let wanted = WantedSnapshot { from: config.snapshots(), at: None, force: true };
    match newest_sound(&wanted, stores, lock, now).await {
        Ok(Some(done)) => leave_mark(data, now, true, recovery_text(&done, &why, now)).map(Some),
        Ok(None) if why == RestoreReason::Gone => {
            // The new, empty database must not inherit the mark of the one that is gone.
            DamageMark::remove(data)?;
            Ok(None)
        }
        Ok(None) => Err(unusable_database(
            data,
            &why,
            "there is no snapshot to restore: name a backup with --backup-path or \
             `flowlord restore --from`, or move the file away to start with an empty history",
        )),
        Err(err) => Err(err.context(match why {
            RestoreReason::Gone => {
                "there is no database, and the backup can't be restored: to start with an empty history, \
                     start once without backup.path"
                    .to_owned()
            }
            why => unusable_database(data, &why, "and nothing can take its place").to_string(),
        })),
    }
}

async fn look_at_database(data: &Path, through: bool) -> anyhow::Result<DatabaseCondition> {
    let data = data.to_owned();
    // Reading all of a large database takes long: only damage that was seen is worth that.
    if !through {
        return Ok(flowlord_db::inspect_database(&data)?);
    }
    log::warn!("event=database_check_begins reason=\"damage was seen\"");
    Ok(actix_rt::task::spawn_blocking(move || flowlord_db::verify_database(&data)).await??)
}

fn unreadable_mark(err: &std::io::Error, now: DateTime<Utc>) -> DamageMark {
    DamageMark {
        seen: Some(SeenDamage { at: now, what: format!("the mark of damage can't be read ({err})") }),
        handled: None,
    }
}

fn leave_mark(data: &Path, now: DateTime<Utc>, is_restored: bool, text: String) -> anyhow::Result<HandledDamage> {
    let handled = HandledDamage { at: now, is_restored, text, is_alert_stored: false };
    // Left beside the database before it is used: the alert is stored also when this start is cut off.
    DamageMark { seen: None, handled: Some(handled.clone()) }
        .write(data)
        .with_context(|| format!("{} can't be written", data.display()))?;
    Ok(handled)
}

pub(crate) fn note_told(data: &Path, handled: HandledDamage) -> std::io::Result<()> {
    DamageMark { seen: None, handled: Some(HandledDamage { is_alert_stored: true, ..handled }) }.write(data)
}

fn unusable_database(data: &Path, why: &RestoreReason, instead: &str) -> anyhow::Error {
    let path = data.join(flowlord_db::DATABASE);
    anyhow::anyhow!("{}: {}; {instead}", path.display(), why.text())
}

/// Puts a copy of the newest sound snapshot into the data folder of `lock`, to follow the leader from; answers where it
/// is from and when it was begun, none while there is none.
pub(crate) async fn seed_follower(
    place: &BackupPlace,
    lock: &FolderLock,
    now: DateTime<Utc>,
) -> anyhow::Result<Option<(String, DateTime<Utc>)>> {
    for found in place.list_snapshots().await?.iter().filter(|found| found.verified) {
        match seed_from(place, &found.name, lock.folder(), now).await {
            Ok(true) => return Ok(Some((place.location(&found.name), found.at))),
            Ok(false) => {}
            Err(RestoreProblem::Unusable(err)) => {
                log::error!("event=snapshot_unusable location={:?} error={err:?}", place.location(&found.name));
            }
            Err(err) => return Err(err.into()),
        }
    }
    Ok(None)
}

/// Whether the snapshot keeps a log that can be followed.
async fn seed_from(place: &BackupPlace, name: &str, data: &Path, now: DateTime<Utc>) -> Result<bool, RestoreProblem> {
    let fetched = FetchedSnapshot::fetch(place, name, data).await?;
    let copy = begin_restore(&fetched.file, data, true).await?.keeping_log();
    if copy.log_point().is_none() {
        return Ok(false);
    }
    copy.finish(place.location(name), now)?;
    Ok(true)
}

/// Restores what is wanted into the data folder of `lock`. After an error nothing was changed there.
pub async fn restore(
    wanted: &WantedSnapshot,
    stores: &StorageConnections,
    lock: &FolderLock,
    now: DateTime<Utc>,
) -> anyhow::Result<RestoreOutcome> {
    let restored = match single_snapshot(&wanted.from, stores)? {
        Some((place, name)) => Some(restore_one(&place, &name, wanted, lock, now).await?),
        None => newest_sound(wanted, stores, lock, now).await?,
    };
    let than = wanted.at.map(|at| format!(" that was begun by {}", utc_text(at))).unwrap_or_default();
    let done =
        restored.with_context(|| format!("there is no snapshot in {}{than}: name another with --from", wanted.from))?;
    // What was seen was seen in the one that is aside now.
    DamageMark::remove(lock.folder())?;
    Ok(done)
}

/// The place and the name of one snapshot, where `from` is one.
fn single_snapshot(
    from: &StorageLocation,
    stores: &StorageConnections,
) -> anyhow::Result<Option<(BackupPlace, String)>> {
    let one = match from.as_local() {
        Some(path) => {
            anyhow::ensure!(path.exists(), "{from} doesn't exist: name a snapshot or its folder with --from");
            path.is_file()
        }
        // A store can't be asked whether something is a folder: the name must tell.
        None => from.name().is_some_and(|name| name.ends_with(".db")),
    };
    let Some(name) = from.name().filter(|_| one) else { return Ok(None) };
    // A file that is named without its folder is in this one.
    let parent = match from.parent() {
        StorageLocation::Local(folder) if folder.as_os_str().is_empty() => StorageLocation::Local(".".into()),
        parent => parent,
    };
    Ok(Some((BackupPlace::open(&parent, stores)?, name.to_owned())))
}

/// The newest one that is sound; those that aren't are named in the log. None where there is none at all.
async fn newest_sound(
    wanted: &WantedSnapshot,
    stores: &StorageConnections,
    lock: &FolderLock,
    now: DateTime<Utc>,
) -> anyhow::Result<Option<RestoreOutcome>> {
    let place = BackupPlace::open(&wanted.from, stores)?;
    let listed =
        place.list_snapshots().await.with_context(|| format!("the snapshots in {} can't be listed", wanted.from))?;
    let mut bad = 0;
    for found in listed.iter().filter(|found| wanted.at.is_none_or(|at| found.at <= at)) {
        match restore_one(&place, &found.name, wanted, lock, now).await {
            Ok(restored) => return Ok(Some(restored)),
            Err(RestoreProblem::Unusable(err)) => {
                log::error!("event=snapshot_unusable location={:?} error={err:?}", place.location(&found.name));
                bad += 1;
            }
            // Not the snapshot's fault, so an older one would lose history and mend nothing.
            Err(err) => return Err(err.into()),
        }
    }
    anyhow::ensure!(
        bad == 0,
        "none of {bad} snapshots is intact, see the log: name another with `flowlord restore --from`"
    );
    Ok(None)
}

/// Why one snapshot isn't the database now.
#[derive(Debug, thiserror::Error)]
enum RestoreProblem {
    // It can't be had, or isn't sound: another one may be.
    #[error("{0}")]
    Unusable(String),
    // Its log can't be read now: what is there mustn't be given up for that.
    #[error("the changes after the snapshot can't be read: {0}")]
    Away(PlaceError),
    #[error(transparent)]
    Restore(RestoreError),
}

/// A snapshot, with the log that goes on from it, is the database now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreOutcome {
    pub restored: RestoredDatabase,
    /// When the snapshot was begun, where its name tells.
    pub taken: Option<DateTime<Utc>>,
    /// Why the log ends before its last segment, where it does.
    pub ended: Option<String>,
}

impl RestoreOutcome {
    /// What was answered before is there: up to the last segment, else the snapshot, else as far as its tasks tell.
    fn until(&self) -> Option<DateTime<Utc>> {
        self.restored.log.map(|(_, until)| until).or(self.taken).or(self.restored.newest)
    }
    pub fn text(&self) -> String {
        let RestoredDatabase { from, newest, log, moved_to } = &self.restored;
        let log = log.map(|(count, _)| format!(" with {count} segments of changes")).unwrap_or_default();
        let ended = self.ended.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
        let kept = moved_to.as_ref().map(|path| format!("; the old one is kept as {}", path.display()));
        format!(
            "{from} was restored{log}: it is as of {}, its newest task is {}{ended}{}",
            text_or_none(self.until()),
            text_or_none(*newest),
            kept.unwrap_or_default()
        )
    }
}

impl From<RestoreError> for RestoreProblem {
    fn from(err: RestoreError) -> Self {
        match err {
            RestoreError::Snapshot(err) => Self::Unusable(err.to_string()),
            err => Self::Restore(err),
        }
    }
}

async fn restore_one(
    place: &BackupPlace,
    name: &str,
    wanted: &WantedSnapshot,
    lock: &FolderLock,
    now: DateTime<Utc>,
) -> Result<RestoreOutcome, RestoreProblem> {
    let fetched = FetchedSnapshot::fetch(place, name, lock.folder()).await?;
    restore_with_log(place, name, &fetched.file, wanted, lock.folder(), now).await
}

/// A checked snapshot as a file of this machine.
struct FetchedSnapshot {
    file: PathBuf,
    /// Whether it was copied for this.
    is_copy: bool,
}

impl FetchedSnapshot {
    async fn fetch(place: &BackupPlace, name: &str, data: &Path) -> Result<Self, RestoreProblem> {
        let fetched = match place.local_file(name) {
            Some(file) => place.verify_snapshot(name).await.map(|()| Self { file, is_copy: false }),
            None => {
                // Made first: what a failure leaves is removed with it.
                let copy = Self { file: data.join("flowlord.db.fetched"), is_copy: true };
                place.fetch_snapshot(name, &copy.file).await.map(|()| copy)
            }
        };
        fetched.map_err(|err| RestoreProblem::Unusable(err.to_string()))
    }
}

impl Drop for FetchedSnapshot {
    fn drop(&mut self) {
        if self.is_copy {
            // Beside the database and as large: it must not fill the disk until the next restore.
            let _none_is_fine = std::fs::remove_file(&self.file);
        }
    }
}

/// The snapshot with the log that goes on from it, where that can be used.
async fn restore_with_log(
    place: &BackupPlace,
    name: &str,
    file: &Path,
    wanted: &WantedSnapshot,
    data: &Path,
    now: DateTime<Utc>,
) -> Result<RestoreOutcome, RestoreProblem> {
    let taken = flowlord_backup::taken_at(name);
    let mut restoring = begin_restore(file, data, wanted.force).await?;
    let mut ended = None;
    if let Some((log, taken)) = restoring.log_point().zip(taken) {
        (restoring, ended) = replay_log(place, restoring, log, taken, wanted.at).await?;
    }
    match restoring.finish(place.location(name), now) {
        Err(RestoreError::Log(err)) => {
            // With its changes it isn't sound; without them it is older, but whole.
            log::error!("event=log_unusable snapshot={name:?} error={err:?}");
            let restored = begin_restore(file, data, wanted.force).await?.finish(place.location(name), now)?;
            let ended = Some(format!("the changes after it can't be used: {err}"));
            Ok(RestoreOutcome { restored, taken, ended })
        }
        finished => Ok(RestoreOutcome { restored: finished?, taken, ended }),
    }
}

/// How many segments are fetched at the same time: they are small, and a store takes long for each.
const FETCHED_AHEAD: usize = 16;

/// Applies what is there of the log; says where it ends too early.
async fn replay_log(
    place: &BackupPlace,
    mut restoring: SnapshotRestore,
    log: LogPoint,
    since: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
) -> Result<(SnapshotRestore, Option<String>), RestoreProblem> {
    let mut segments = place.list_segments(log.chain, since, until).await.map_err(RestoreProblem::Away)?;
    if let Some(named) = PlaceLog::new(place.storage())
        .segments_after(restoring.log_entry())
        .await
        .map_err(|err| RestoreProblem::Away(PlaceError::Store(err)))?
    {
        // What a former leader of a cluster left there counts for nobody.
        segments.retain(|segment| named.contains(&segment.digest));
    }
    let mut fetched =
        stream::iter(segments.iter().map(async |name| (name, place.read_segment(name).await))).buffered(FETCHED_AHEAD);
    while let Some((name, bytes)) = fetched.next().await {
        let bytes = match bytes {
            Err(PlaceError::Store(flowlord_storage::Error::NotFound { .. })) => continue,
            bytes => bytes.map_err(RestoreProblem::Away)?,
        };
        let digest = name.digest.clone();
        let applied = actix_rt::task::spawn_blocking(move || {
            let applied = restoring.apply_segment(&bytes, &digest);
            (restoring, applied)
        });
        let (back, applied) = applied.await.map_err(|err| RestoreProblem::Unusable(err.to_string()))?;
        restoring = back;
        if let Err(err) = applied {
            log::error!("event=log_ends at={} error={err:?}", name.at);
            return Ok((restoring, Some(format!("the segment of {} is not used: {err}", utc_text(name.at)))));
        }
    }
    drop(fetched);
    Ok((restoring, None))
}

async fn begin_restore(file: &Path, data: &Path, force: bool) -> Result<SnapshotRestore, RestoreProblem> {
    let (file, data) = (file.to_owned(), data.to_owned());
    // Copying and checking take as long as the snapshot is large: not on the actors' thread.
    let begun = actix_rt::task::spawn_blocking(move || SnapshotRestore::begin(&file, &data, force));
    Ok(begun.await.map_err(|err| RestoreProblem::Unusable(err.to_string()))??)
}

pub(crate) fn utc_text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn text_or_none(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "none".to_owned(), utc_text)
}

/// One sentence for each thing that a person must know: what was restored, what is missing, what is kept.
fn recovery_text(done: &RestoreOutcome, why: &RestoreReason, now: DateTime<Utc>) -> String {
    let from = done.until().map_or_else(|| "the beginning".to_owned(), utc_text);
    // Nothing was acknowledged once damage was seen.
    let to = match why {
        RestoreReason::Damaged { seen, .. } => seen.at,
        _ => now,
    };
    format!("{}; {}; the history from {from} to {} is missing", why.text(), done.text(), utc_text(to))
}

/// What people must know where the whole check contradicts what was seen.
fn checked_text(SeenDamage { at, what }: &SeenDamage) -> String {
    format!(
        "the database seemed damaged: {}, {what}; a full check found no damage, and nothing was replaced",
        utc_text(*at)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_what_is_missing_and_what_is_kept() {
        let at = |text: &str| text.parse().unwrap();
        let restored = RestoredDatabase {
            from: "/b/one.db".into(),
            newest: Some(at("2026-03-01T11:00:00Z")),
            log: Some((3, at("2026-03-01T11:30:00Z"))),
            moved_to: Some("/d/flowlord.db.aside".into()),
        };
        let taken = Some(at("2026-03-01T10:00:00Z"));
        let ended = Some("the segment of 2026-03-01T11:30:05Z is not used: it is damaged".to_owned());
        let done = RestoreOutcome { restored: restored.clone(), taken, ended };
        let unopened = RestoreReason::Unopened("disk image is malformed".into());
        assert_eq!(
            recovery_text(&done, &unopened, at("2026-03-01T12:00:00Z")),
            "the database didn't open (disk image is malformed); /b/one.db was restored with 3 segments of changes: \
             it is as of 2026-03-01T11:30:00Z, its newest task is 2026-03-01T11:00:00Z; the segment of \
             2026-03-01T11:30:05Z is not used: it is damaged; the old one is kept as /d/flowlord.db.aside; the \
             history from 2026-03-01T11:30:00Z to 2026-03-01T12:00:00Z is missing"
        );
        let restored = RestoredDatabase { newest: None, log: None, moved_to: None, ..restored };
        let seen = SeenDamage { at: at("2026-03-01T11:58:00Z"), what: "a read: malformed".into() };
        let damaged =
            recovery_text(&done, &RestoreReason::Damaged { seen, found: "page 7".into() }, at("2026-03-01T12:00:00Z"));
        assert!(damaged.starts_with(
            "the database was damaged: 2026-03-01T11:58:00Z, a read: malformed; the full check: page 7; /b/"
        ));
        assert!(damaged.ends_with("from 2026-03-01T11:30:00Z to 2026-03-01T11:58:00Z is missing"), "{damaged}");
        let fresh = RestoreOutcome { restored, taken: None, ended: None };
        let said = recovery_text(&fresh, &RestoreReason::Gone, at("2026-03-01T12:00:00Z"));
        assert_eq!(
            said,
            "there was no database; /b/one.db was restored: it is as of none, its newest task is none; the history \
             from the beginning to 2026-03-01T12:00:00Z is missing"
        );
    }
}

//! A snapshot takes the place of the database: when asked, and at a start where there is none, one that doesn't open, or
//! one that damage was seen in.

use std::path::Path;

use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat, Utc};
use flowlord_backup::{Place, PlaceError};
use flowlord_db::{FolderLock, Found, Handled, Mark, RestoreError, Restored, Restoring, Seen};
use flowlord_messages::changelog::LogPoint;
use flowlord_storage::{Location, Stores};
use futures_util::{StreamExt as _, stream};

use crate::config::Config;

/// Which snapshot is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// A snapshot, or a place of snapshots.
    pub from: Location,
    /// None that is newer.
    pub at: Option<DateTime<Utc>>,
    /// A database that is there is moved aside.
    pub force: bool,
}

/// Why a snapshot takes the place of the database at a start.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Why {
    Gone,
    Unopened(String),
    /// Damage was seen in it, and is there.
    Damaged {
        seen: Seen,
        found: String,
    },
}

impl Why {
    fn text(&self) -> String {
        match self {
            Self::Gone => "there was no database".to_owned(),
            Self::Unopened(why) => format!("the database didn't open ({why})"),
            Self::Damaged { seen, found } => {
                let Seen { at, what } = seen;
                format!("the database was damaged: {}, {what}; the full check: {found}", utc(*at))
            }
        }
    }
}

/// Where there is no database, one that doesn't open, or one that is damaged, the newest sound snapshot becomes the
/// database. Answers what people must know, also what an earlier start couldn't tell any more.
pub(crate) async fn at_start(
    config: &Config,
    stores: &Stores,
    lock: &FolderLock,
    now: DateTime<Utc>,
) -> anyhow::Result<Option<Handled>> {
    let data = lock.folder();
    let mark = Mark::read(data).unwrap_or_else(|err| unreadable(&err, now));
    let why = match (look(data, mark.seen.is_some()).await?, mark.seen) {
        (Found::Sound, None) => return Ok(mark.handled.filter(|handled| !handled.is_alert_stored)),
        (Found::Sound, Some(seen)) => return handled(data, now, false, checked(&seen)).map(Some),
        (Found::Nothing, _) => Why::Gone,
        (Found::Broken(why), None) => Why::Unopened(why),
        (Found::Broken(found), Some(seen)) => Why::Damaged { seen, found },
    };
    let wanted = Wanted { from: config.snapshots(), at: None, force: true };
    match newest_sound(&wanted, stores, lock, now).await {
        Ok(Some(done)) => handled(data, now, true, text(&done, &why, now)).map(Some),
        Ok(None) if why == Why::Gone => {
            Mark::remove(data)?;
            Ok(None)
        }
        Ok(None) => Err(unusable(
            data,
            &why,
            "there is no snapshot to restore: name a backup with --backup-path or \
             `flowlord restore --from`, or move the file away to start with an empty history",
        )),
        Err(err) => Err(err.context(match why {
            Why::Gone => {
                "there is no database, and the backup can't be restored: to start with an empty history, \
                     start once without backup.path"
                    .to_owned()
            }
            why => unusable(data, &why, "and nothing can take its place").to_string(),
        })),
    }
}

/// A quick look, or all of it where damage was seen: beside the actors' thread.
async fn look(data: &Path, through: bool) -> anyhow::Result<Found> {
    let data = data.to_owned();
    if !through {
        return Ok(flowlord_db::look(&data)?);
    }
    log::warn!("event=database_check_begins reason=\"damage was seen\"");
    Ok(actix_rt::task::spawn_blocking(move || flowlord_db::look_through(&data)).await??)
}

fn unreadable(err: &std::io::Error, now: DateTime<Utc>) -> Mark {
    Mark {
        seen: Some(Seen { at: now, what: format!("the mark of damage can't be read ({err})") }),
        handled: None,
    }
}

/// Left beside the database before it is used: the alert is stored also when this start is cut off.
fn handled(data: &Path, now: DateTime<Utc>, is_restored: bool, text: String) -> anyhow::Result<Handled> {
    let handled = Handled { at: now, is_restored, text, is_alert_stored: false };
    Mark { seen: None, handled: Some(handled.clone()) }
        .write(data)
        .with_context(|| format!("{} can't be written", data.display()))?;
    Ok(handled)
}

/// The alert is stored.
pub(crate) fn told(data: &Path, handled: Handled) -> std::io::Result<()> {
    Mark { seen: None, handled: Some(Handled { is_alert_stored: true, ..handled }) }.write(data)
}

fn unusable(data: &Path, why: &Why, instead: &str) -> anyhow::Error {
    let path = data.join(flowlord_db::DATABASE);
    anyhow::anyhow!("{}: {}; {instead}", path.display(), why.text())
}

/// Restores what is wanted into the data folder of `lock`.
///
/// # Errors
/// When there is no such snapshot, it isn't sound, or there is a database and it isn't to be replaced; then nothing
/// was changed.
pub async fn restore(
    wanted: &Wanted,
    stores: &Stores,
    lock: &FolderLock,
    now: DateTime<Utc>,
) -> anyhow::Result<Done> {
    let restored = match single(&wanted.from, stores)? {
        Some((place, name)) => Some(one(&place, &name, wanted, lock, now).await?),
        None => newest_sound(wanted, stores, lock, now).await?,
    };
    let than = wanted.at.map(|at| format!(" that was begun by {}", utc(at))).unwrap_or_default();
    let done = restored.with_context(|| {
        format!("there is no snapshot in {}{than}: name another with --from", wanted.from)
    })?;
    // What was seen was seen in the one that is aside now.
    Mark::remove(lock.folder())?;
    Ok(done)
}

/// The place and the name of one snapshot, where `from` is one.
fn single(from: &Location, stores: &Stores) -> anyhow::Result<Option<(Place, String)>> {
    let one = match from.as_local() {
        Some(path) => {
            anyhow::ensure!(path.exists(), "{from} doesn't exist: name a snapshot or its folder with --from");
            path.is_file()
        }
        None => from.name().is_some_and(|name| name.ends_with(".db")),
    };
    let Some(name) = from.name().filter(|_| one) else { return Ok(None) };
    // A file that is named without its folder is in this one.
    let parent = match from.parent() {
        Location::Local(folder) if folder.as_os_str().is_empty() => Location::Local(".".into()),
        parent => parent,
    };
    Ok(Some((Place::open(&parent, stores)?, name.to_owned())))
}

/// The newest one that is sound; those that aren't are named in the log. None where there is none at all.
async fn newest_sound(
    wanted: &Wanted,
    stores: &Stores,
    lock: &FolderLock,
    now: DateTime<Utc>,
) -> anyhow::Result<Option<Done>> {
    let place = Place::open(&wanted.from, stores)?;
    let listed =
        place.list().await.with_context(|| format!("the snapshots in {} can't be listed", wanted.from))?;
    let mut bad = 0;
    for found in listed.iter().filter(|found| wanted.at.is_none_or(|at| found.at <= at)) {
        match one(&place, &found.name, wanted, lock, now).await {
            Ok(restored) => return Ok(Some(restored)),
            Err(Trouble::Unusable(err)) => {
                log::error!(
                    "event=snapshot_unusable location={:?} error={err:?}",
                    place.location(&found.name)
                );
                bad += 1;
            }
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
enum Trouble {
    /// It can't be had, or isn't sound: another one may be.
    #[error("{0}")]
    Unusable(String),
    /// Its log can't be read now: what is there mustn't be given up for that.
    #[error("the changes after the snapshot can't be read: {0}")]
    Away(String),
    #[error(transparent)]
    Restore(RestoreError),
}

/// How many segments are fetched at the same time.
const FETCHED_AHEAD: usize = 16;

/// A snapshot, with the log that goes on from it, is the database now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    pub restored: Restored,
    /// When the snapshot was begun, where its name tells.
    pub taken: Option<DateTime<Utc>>,
    /// Why the log ends before its last segment, where it does.
    pub ended: Option<String>,
}

impl Done {
    /// What was answered before is there: up to the last segment, else the snapshot, else as far as its tasks tell.
    fn until(&self) -> Option<DateTime<Utc>> {
        self.restored.log.map(|(_, until)| until).or(self.taken).or(self.restored.newest)
    }

    /// What was restored, and up to when.
    #[must_use]
    pub fn text(&self) -> String {
        let Restored { from, newest, log, moved_to } = &self.restored;
        let none = || "none".to_owned();
        let log = log.map(|(count, _)| format!(" with {count} segments of changes")).unwrap_or_default();
        let ended = self.ended.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
        let kept = moved_to.as_ref().map(|path| format!("; the old one is kept as {}", path.display()));
        format!(
            "{from} was restored{log}: it is as of {}, its newest task is {}{ended}{}",
            self.until().map_or_else(none, utc),
            newest.map_or_else(none, utc),
            kept.unwrap_or_default()
        )
    }
}

impl From<RestoreError> for Trouble {
    fn from(err: RestoreError) -> Self {
        match err {
            RestoreError::Snapshot(err) => Self::Unusable(err.to_string()),
            err => Self::Restore(err),
        }
    }
}

async fn one(
    place: &Place,
    name: &str,
    wanted: &Wanted,
    lock: &FolderLock,
    now: DateTime<Utc>,
) -> Result<Done, Trouble> {
    let unusable = |err: PlaceError| Trouble::Unusable(err.to_string());
    let fetched = lock.folder().join("flowlord.db.fetched");
    let file = match place.local(name) {
        Some(file) => place.verify(name).await.map(|()| file),
        None => place.fetch(name, &fetched).await.map(|()| fetched.clone()),
    };
    let done = match file {
        Ok(file) => with_log(place, name, &file, wanted, lock.folder(), now).await,
        Err(err) => Err(unusable(err)),
    };
    let _none_is_fine = std::fs::remove_file(fetched);
    done
}

/// The snapshot with the log that goes on from it; without it, where with it the database isn't sound.
async fn with_log(
    place: &Place,
    name: &str,
    file: &Path,
    wanted: &Wanted,
    data: &Path,
    now: DateTime<Utc>,
) -> Result<Done, Trouble> {
    let taken = flowlord_backup::taken_at(name);
    let mut restoring = begin(file, data, wanted.force).await?;
    let mut ended = None;
    if let Some((log, taken)) = restoring.log().zip(taken) {
        (restoring, ended) = replay(place, restoring, log, taken, wanted.at).await?;
    }
    let done = |restored, ended| Done { restored, taken, ended };
    match restoring.finish(place.location(name), now) {
        Err(RestoreError::Log(err)) => {
            log::error!("event=log_unusable snapshot={name:?} error={err:?}");
            let restored = begin(file, data, wanted.force).await?.finish(place.location(name), now)?;
            Ok(done(restored, Some(format!("the changes after it can't be used: {err}"))))
        }
        finished => Ok(done(finished?, ended)),
    }
}

/// Applies what is there of the log; says where it ends too early.
async fn replay(
    place: &Place,
    mut restoring: Restoring,
    log: LogPoint,
    since: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
) -> Result<(Restoring, Option<String>), Trouble> {
    let away = |err: PlaceError| Trouble::Away(err.to_string());
    let segments = place.segments(log.chain, since, until).await.map_err(away)?;
    let mut fetched = stream::iter(segments.iter().map(async |name| (name, place.segment(name).await)))
        .buffered(FETCHED_AHEAD);
    while let Some((name, bytes)) = fetched.next().await {
        let bytes = match bytes {
            Err(PlaceError::Store(flowlord_storage::Error::NotFound { .. })) => continue,
            bytes => bytes.map_err(away)?,
        };
        let digest = name.digest.clone();
        let applied = actix_rt::task::spawn_blocking(move || {
            let applied = restoring.apply(&bytes, &digest);
            (restoring, applied)
        });
        let (back, applied) = applied.await.map_err(|err| Trouble::Unusable(err.to_string()))?;
        restoring = back;
        if let Err(err) = applied {
            log::error!("event=log_ends at={} error={err:?}", name.at);
            return Ok((restoring, Some(format!("the segment of {} is not used: {err}", utc(name.at)))));
        }
    }
    drop(fetched);
    Ok((restoring, None))
}

/// Copying and checking take as long as the snapshot is large: not on the actors' thread.
async fn begin(file: &Path, data: &Path, force: bool) -> Result<Restoring, Trouble> {
    let (file, data) = (file.to_owned(), data.to_owned());
    let begun = actix_rt::task::spawn_blocking(move || Restoring::begin(&file, &data, force));
    Ok(begun.await.map_err(|err| Trouble::Unusable(err.to_string()))??)
}

fn utc(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// One sentence for each thing that a person must know: what was restored, what is missing, what is kept.
fn text(done: &Done, why: &Why, now: DateTime<Utc>) -> String {
    let from = done.until().map_or_else(|| "the beginning".to_owned(), utc);
    // Nothing was acknowledged once damage was seen.
    let to = match why {
        Why::Damaged { seen, .. } => seen.at,
        _ => now,
    };
    format!("{}; {}; the history from {from} to {} is missing", why.text(), done.text(), utc(to))
}

/// What people must know where the whole check contradicts what was seen.
fn checked(Seen { at, what }: &Seen) -> String {
    format!(
        "the database seemed damaged: {}, {what}; a full check found no damage, and nothing was replaced",
        utc(*at)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_what_is_missing_and_what_is_kept() {
        let at = |text: &str| text.parse().unwrap();
        let restored = Restored {
            from: "/b/one.db".into(),
            newest: Some(at("2026-03-01T11:00:00Z")),
            log: Some((3, at("2026-03-01T11:30:00Z"))),
            moved_to: Some("/d/flowlord.db.aside".into()),
        };
        let taken = Some(at("2026-03-01T10:00:00Z"));
        let ended = Some("the segment of 2026-03-01T11:30:05Z is not used: it is damaged".to_owned());
        let done = Done { restored: restored.clone(), taken, ended };
        let unopened = Why::Unopened("disk image is malformed".into());
        assert_eq!(
            text(&done, &unopened, at("2026-03-01T12:00:00Z")),
            "the database didn't open (disk image is malformed); /b/one.db was restored with 3 segments of changes: \
             it is as of 2026-03-01T11:30:00Z, its newest task is 2026-03-01T11:00:00Z; the segment of \
             2026-03-01T11:30:05Z is not used: it is damaged; the old one is kept as /d/flowlord.db.aside; the \
             history from 2026-03-01T11:30:00Z to 2026-03-01T12:00:00Z is missing"
        );
        let restored = Restored { newest: None, log: None, moved_to: None, ..restored };
        let seen = Seen { at: at("2026-03-01T11:58:00Z"), what: "a read: malformed".into() };
        let damaged = text(&done, &Why::Damaged { seen, found: "page 7".into() }, at("2026-03-01T12:00:00Z"));
        assert!(damaged.starts_with(
            "the database was damaged: 2026-03-01T11:58:00Z, a read: malformed; the full check: page 7; /b/"
        ));
        assert!(
            damaged.ends_with("from 2026-03-01T11:30:00Z to 2026-03-01T11:58:00Z is missing"),
            "{damaged}"
        );
        let fresh = Done { restored, taken: None, ended: None };
        let said = text(&fresh, &Why::Gone, at("2026-03-01T12:00:00Z"));
        assert_eq!(
            said,
            "there was no database; /b/one.db was restored: it is as of none, its newest task is none; the history \
             from the beginning to 2026-03-01T12:00:00Z is missing"
        );
    }
}

//! A snapshot takes the place of the database: when asked, and at a start where there is none or one that doesn't open.

use std::path::Path;

use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat, Utc};
use flowlord_backup::{Place, PlaceError};
use flowlord_db::{FolderLock, Found, RestoreError, Restored, Restoring};
use flowlord_messages::rowlog::LogPoint;
use flowlord_store::{Location, Stores};
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

/// What was done before a database could be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// What took its place.
    pub(crate) done: Done,
    /// Why the database that was there doesn't open; none when there was none.
    pub(crate) why: Option<String>,
}

/// Where there is no database, or one that doesn't open, the newest sound snapshot becomes the database.
pub(crate) async fn at_start(
    config: &Config,
    stores: &Stores,
    lock: &FolderLock,
    now: DateTime<Utc>,
) -> anyhow::Result<Option<Recovered>> {
    let why = match flowlord_db::look(lock.folder())? {
        Found::Sound => return Ok(None),
        Found::Nothing => None,
        Found::Broken(why) => Some(why),
    };
    let wanted = Wanted { from: config.snapshots(), at: None, force: true };
    match newest_sound(&wanted, stores, lock, now).await {
        Ok(Some(done)) => Ok(Some(Recovered { done, why })),
        Ok(None) if why.is_none() => Ok(None),
        Ok(None) => Err(damaged(lock, why, "there is no snapshot to restore: move the file away to begin with an \
             empty history")),
        Err(err) => Err(err.context(match why {
            Some(why) => damaged(lock, Some(why), "and nothing can take its place").to_string(),
            None => "there is no database, and the backup can't be restored: to begin with an empty history, start \
                     once without backup.path"
                .to_owned(),
        })),
    }
}

fn damaged(lock: &FolderLock, why: Option<String>, instead: &str) -> anyhow::Error {
    let path = lock.folder().join(flowlord_db::DATABASE);
    anyhow::anyhow!("the database {} doesn't open: {}; {instead}", path.display(), why.unwrap_or_default())
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
    if let Some((place, name)) = single(&wanted.from, stores)? {
        return Ok(one(&place, &name, wanted, lock, now).await?);
    }
    let restored = newest_sound(wanted, stores, lock, now).await?;
    let than = wanted.at.map(|at| format!(" that was begun by {}", utc(at))).unwrap_or_default();
    restored
        .with_context(|| format!("there is no snapshot in {}{than}: name another with --from", wanted.from))
}

/// The place and the name of one snapshot, where `from` is one.
fn single(from: &Location, stores: &Stores) -> anyhow::Result<Option<(Place, String)>> {
    let one = match from.as_local() {
        Some(path) => {
            anyhow::ensure!(path.exists(), "{from} isn't there: name a snapshot or its folder with --from");
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
        "none of {bad} snapshots is sound, see the log: name another with `flowlord restore --from`"
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
    /// None would do.
    #[error(transparent)]
    Restore(RestoreError),
}

/// How many segments are fetched at the same time.
const FETCHED_AHEAD: usize = 16;

/// A snapshot, with the log that goes on from it, is the database now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// What was done.
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
            Err(PlaceError::Store(flowlord_store::Error::NotFound { .. })) => continue,
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
            return Ok((restoring, Some(format!("the segment of {} doesn't count: {err}", utc(name.at)))));
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
pub(crate) fn text(recovered: &Recovered, now: DateTime<Utc>) -> String {
    let Recovered { done, why } = recovered;
    let begun = match why {
        Some(why) => format!("the database didn't open ({why}); "),
        None => "there was no database; ".to_owned(),
    };
    let from = done.until().map_or_else(|| "the beginning".to_owned(), utc);
    format!("{begun}{}; what happened from {from} to {} is missing", done.text(), utc(now))
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
        let ended = Some("the segment of 2026-03-01T11:30:05Z doesn't count: it is damaged".to_owned());
        let done = Done { restored: restored.clone(), taken, ended };
        let recovered = Recovered { done, why: Some("disk image is malformed".into()) };
        assert_eq!(
            text(&recovered, at("2026-03-01T12:00:00Z")),
            "the database didn't open (disk image is malformed); /b/one.db was restored with 3 segments of changes: \
             it is as of 2026-03-01T11:30:00Z, its newest task is 2026-03-01T11:00:00Z; the segment of \
             2026-03-01T11:30:05Z doesn't count: it is damaged; the old one is kept as /d/flowlord.db.aside; what \
             happened from 2026-03-01T11:30:00Z to 2026-03-01T12:00:00Z is missing"
        );
        let restored = Restored { newest: None, log: None, moved_to: None, ..restored };
        let fresh = Recovered { done: Done { restored, taken: None, ended: None }, why: None };
        let said = text(&fresh, at("2026-03-01T12:00:00Z"));
        assert_eq!(
            said,
            "there was no database; /b/one.db was restored: it is as of none, its newest task is none; what happened \
             from the beginning to 2026-03-01T12:00:00Z is missing"
        );
    }
}

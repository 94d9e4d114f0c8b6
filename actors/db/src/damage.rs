//! Damage seen in the database: nothing more is acknowledged, and a mark beside it has the next start check all of it.
//!
//! The mark is a file of its own, since a damaged database can't be trusted to keep it. It outlives the database that
//! it is about, so that the alert about the damage gets into the one that takes its place.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::{Code, Error, SharedClock};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::connection::{is_damage, open_read_only};
use crate::snapshot::lower_priority::run_at_lower_priority;
use crate::snapshot::verify::find_damage;
use crate::{DATABASE, utc_seconds};

/// After a start that dealt with damage, how long the next restart for damage waits: a disk or memory that goes on
/// breaking files must not become a loop of restarts.
pub const RESTART_PAUSE: TimeDelta = TimeDelta::hours(1);

/// Damage as it was seen first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenDamage {
    pub at: DateTime<Utc>,
    /// By what, and what SQLite said.
    pub what: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandledDamage {
    pub at: DateTime<Utc>,
    /// Whether a snapshot took the place of the database; else all of it was found sound.
    pub is_restored: bool,
    pub text: String,
    pub is_alert_stored: bool,
}

/// What is known of damage beside the database, in a file of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamageMark {
    /// Damage that no start has dealt with.
    #[serde(default)]
    pub seen: Option<SeenDamage>,
    /// What the last start did that dealt with some.
    #[serde(default)]
    pub handled: Option<HandledDamage>,
}

fn mark_file(data: &Path) -> PathBuf {
    data.join(format!("{DATABASE}.damage"))
}

impl DamageMark {
    /// The mark of a data folder; an empty one where nothing was seen.
    pub fn read(data: &Path) -> io::Result<Self> {
        match std::fs::read(mark_file(data)) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(err) => Err(err),
        }
    }

    /// Puts it beside the database, on disk.
    pub fn write(&self, data: &Path) -> io::Result<()> {
        // Renamed into place, so that a crash leaves the mark that was there or this one, whole.
        let mut partial = tempfile::NamedTempFile::new_in(data)?;
        partial.write_all(&serde_json::to_vec_pretty(self)?)?;
        partial.as_file().sync_all()?;
        partial.persist(mark_file(data)).map_err(|err| err.error)?;
        // The name as well: a mark that a power cut takes back would let the damaged file be served again.
        File::open(data)?.sync_all()
    }

    /// Removes it: a person put another database in place.
    pub fn remove(data: &Path) -> io::Result<()> {
        match std::fs::remove_file(mark_file(data)) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Adds what was seen; what was seen first counts.
    fn add_seen(data: &Path, seen: SeenDamage) {
        // One that can't be read says no more than this one.
        let mark = Self::read(data).unwrap_or_default();
        if let Err(err) = (Self { seen: mark.seen.or(Some(seen)), ..mark }).write(data) {
            log::error!("event=damage_not_marked error={err:?}");
        }
    }
}

/// Whether damage was seen in the database since it was opened. Everything that reads or writes it has a clone.
#[derive(Debug, Clone)]
pub struct DamageMonitor(Arc<DamageState>);

#[derive(Debug)]
struct DamageState {
    data: PathBuf,
    clock: SharedClock,
    handled: Option<HandledDamage>,
    seen: watch::Sender<Option<SeenDamage>>,
}

impl DamageMonitor {
    pub(crate) fn none_yet(data: &Path, clock: SharedClock) -> Self {
        let handled = DamageMark::read(data).unwrap_or_default().handled;
        Self(Arc::new(DamageState { data: data.to_owned(), clock, handled, seen: watch::Sender::new(None) }))
    }

    /// Judges an error met `by` a read or a write of one request. Where all of the file was found sound lately, such
    /// an error concerns that request alone.
    pub(crate) fn note_error(&self, by: &str, err: &rusqlite::Error) {
        if !is_damage(err) {
            return;
        }
        // Else an error of one request, in a file that was found sound, would restart the service again and again.
        if self.handled_lately().is_some_and(|handled| !handled.is_restored) {
            log::error!("event=damage_doubted by={by:?} error={err:?} reason=\"all was found sound lately\"");
            return;
        }
        self.mark_seen(&format!("{by}: {err}"));
    }

    /// Reads the whole database, after a copy of it turned out damaged: it may be the copy alone.
    pub(crate) fn check_source(&self, database: &Path) {
        // It may take minutes, and the writer goes on meanwhile.
        let found = run_at_lower_priority(|| open_read_only(database).and_then(|connection| find_damage(&connection)));
        match found {
            Ok(Some(problem)) => self.mark_seen(&format!("the check of a snapshot: {problem}")),
            Ok(None) => log::warn!("event=database_sound reason=\"a copy of it was damaged\""),
            Err(err) => log::warn!("event=database_unchecked error={err:?}"),
        }
    }

    /// From now on nothing is acknowledged.
    pub(crate) fn mark_seen(&self, what: &str) {
        let first = SeenDamage { at: self.0.clock.now(), what: what.to_owned() };
        let seen = self.seen().unwrap_or(first);
        // Before the restart is asked for: without its mark the next start would serve the same file again.
        DamageMark::add_seen(&self.0.data, seen.clone());
        if self.0.seen.send_replace(Some(seen)).is_none() {
            log::error!("event=database_damaged seen={what:?} restart_at={}", utc_seconds(self.restart_at()));
        }
    }

    pub fn seen(&self) -> Option<SeenDamage> {
        self.0.seen.borrow().clone()
    }

    /// What callers hear once damage was seen: nothing was stored.
    pub(crate) fn refusal_if_seen(&self) -> Option<Error> {
        let SeenDamage { at, what } = self.seen()?;
        let what =
            format!("the database is damaged (seen at {} by {what}), and nothing of this was stored", utc_seconds(at));
        let then = match self.handled_lately() {
            None => "the service restarts, checks all of it and restores the newest intact snapshot".to_owned(),
            Some(handled) => format!(
                "it was restored or checked at {} already: check the disk and the memory of this machine; the service \
                 restarts and checks it at {}",
                utc_seconds(handled.at),
                utc_seconds(self.restart_at())
            ),
        };
        Some(Error::new(Code::Storage, format!("{what}: {then}")))
    }

    pub async fn until_restart(&self) -> SeenDamage {
        let mut changes = self.0.seen.subscribe();
        let seen = changes.wait_for(Option::is_some).await.ok().and_then(|seen| seen.clone());
        // The sender is this one's own: it isn't gone.
        let Some(seen) = seen else { return std::future::pending().await };
        drop(self.0.clock.sleep_until(self.restart_at()).await);
        seen
    }

    fn restart_at(&self) -> DateTime<Utc> {
        self.handled_lately().map_or_else(|| self.0.clock.now(), |handled| handled.at + RESTART_PAUSE)
    }

    /// What a start did about damage less than [`RESTART_PAUSE`] ago.
    fn handled_lately(&self) -> Option<&HandledDamage> {
        let now = self.0.clock.now();
        // A time in the future is of a clock that was set back: it must not hold up a restart.
        self.0.handled.as_ref().filter(|handled| handled.at <= now && now - handled.at < RESTART_PAUSE)
    }
}

/// Leaves a mark where all of the database in `data` isn't sound; answers what is wrong. Hold its folder's lock.
#[must_use]
pub fn mark_if_damaged(data: &Path, now: DateTime<Utc>) -> Option<String> {
    let problem = open_read_only(&data.join(DATABASE)).and_then(|connection| find_damage(&connection)).ok()??;
    let what = format!("the check of a snapshot: {problem}");
    DamageMark::add_seen(data, SeenDamage { at: now, what });
    Some(problem)
}

//! Where snapshots are kept: files whose names say when they were taken.

use std::io;
use std::path::PathBuf;

use chrono::{DateTime, NaiveDateTime, Utc};
use flowlord_messages::snapshot::Snapshot;

/// What a name begins with, its time, and what it ends with. The names sort as the times do.
const FORM: &str = "flowlord-%Y%m%dT%H%M%S%.6fZ.db";

/// A folder of snapshots.
#[derive(Debug, Clone)]
pub struct Place(pub PathBuf);

impl Place {
    /// The file of a snapshot begun at `at`.
    #[must_use]
    pub fn file(&self, at: DateTime<Utc>) -> PathBuf {
        self.0.join(at.format(FORM).to_string())
    }

    /// The snapshots that are there, newest first; other files don't count.
    ///
    /// # Errors
    /// When the folder can't be read; one that isn't there has none.
    pub fn list(&self) -> io::Result<Vec<Snapshot>> {
        let entries = match std::fs::read_dir(&self.0) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            if let Some(at) = taken_at(&entry.file_name().to_string_lossy()) {
                let location = entry.path().display().to_string();
                found.push(Snapshot { location, at, bytes: entry.metadata()?.len() });
            }
        }
        found.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.at));
        Ok(found)
    }

    /// Removes all but the newest; the newest stays whatever is asked.
    pub(crate) fn keep(&self, newest: usize) -> io::Result<()> {
        for old in self.list()?.into_iter().skip(newest.max(1)) {
            std::fs::remove_file(&old.location)?;
            log::info!("event=snapshot_removed location={:?}", old.location);
        }
        Ok(())
    }
}

fn taken_at(name: &str) -> Option<DateTime<Utc>> {
    NaiveDateTime::parse_from_str(name, FORM).ok().map(|at| at.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn the_newest_stay_and_other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place(folder.path().to_owned());
        let times = ["2026-03-01T12:00:00Z", "2026-02-28T23:59:59.5Z", "2026-03-01T12:00:00.000001Z"];
        for time in times {
            std::fs::write(place.file(at(time)), "copy").unwrap();
        }
        std::fs::write(folder.path().join("mine.db"), "mine").unwrap();
        let listed: Vec<_> = place.list().unwrap().into_iter().map(|snapshot| snapshot.at).collect();
        assert_eq!(listed, [at(times[2]), at(times[0]), at(times[1])]);
        place.keep(1).unwrap();
        place.keep(0).unwrap();
        assert_eq!(place.list().unwrap().len(), 1);
        assert_eq!(place.list().unwrap()[0].at, at(times[2]));
        assert!(folder.path().join("mine.db").exists());
    }

    #[test]
    fn a_place_that_is_not_there_has_none() {
        assert_eq!(Place("/nowhere/at/all".into()).list().unwrap(), []);
    }
}

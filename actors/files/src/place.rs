//! A watched place, and when it is scanned next.

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::NewAlert;
use flowlord_messages::files::WatchedPlace;
use flowlord_storage::StorageLocation;

use crate::known::KnownFiles;
use crate::record::file_alert;
use crate::scan::{PlaceContents, PlaceScan};

/// How soon a place is scanned again whose files may still be written to.
const SETTLE_DELAY: TimeDelta = TimeDelta::seconds(1);

#[derive(Debug)]
pub(crate) struct PlaceWatch {
    location: StorageLocation,
    pub(crate) status: WatchedPlace,
    is_away: bool,
    /// None while a scan is under way.
    known: Option<KnownFiles>,
    due: DateTime<Utc>,
}

impl PlaceWatch {
    pub(crate) fn new(location: &StorageLocation, now: DateTime<Utc>) -> Self {
        let location = match location {
            // A rule's pattern is compared with the whole path.
            StorageLocation::Local(path) => {
                StorageLocation::Local(std::path::absolute(path).unwrap_or_else(|_| path.clone()))
            }
            other => other.clone(),
        };
        let place = location.to_string();
        let status = WatchedPlace { place, scanned_at: None, files: 0, problem: String::new() };
        Self { location, status, is_away: false, known: Some(KnownFiles::default()), due: now }
    }

    /// After a restart of the actor: what is stored counts.
    pub(crate) fn restart(&mut self, now: DateTime<Utc>) {
        (self.known, self.due) = (Some(KnownFiles::default()), now);
    }

    pub(crate) fn is_scanning(&self) -> bool {
        self.known.is_none()
    }

    /// None while a scan is under way.
    pub(crate) fn next_scan(&self) -> Option<DateTime<Utc>> {
        self.known.as_ref().map(|_| self.due)
    }

    pub(crate) fn take_due(&mut self, now: DateTime<Utc>) -> Option<(StorageLocation, KnownFiles)> {
        let known = self.known.take_if(|_| self.due <= now)?;
        Some((self.location.clone(), known))
    }

    /// Takes over the results of a scan, and returns the alert about a place that became unreadable.
    pub(crate) fn end_scan(&mut self, scan: PlaceScan, now: DateTime<Utc>, every: TimeDelta) -> Option<NewAlert> {
        let PlaceScan { known, found, is_unsettled } = scan;
        self.known = Some(known);
        // From the end of the scan: a store that takes long to list isn't listed all the time.
        self.due = now + if is_unsettled { every.min(SETTLE_DELAY) } else { every };
        let place = &self.status.place;
        match found {
            Ok(PlaceContents { files, skipped }) => {
                if self.is_away {
                    log::info!("event=place_is_back place={place:?}");
                }
                self.is_away = false;
                let place = place.clone();
                self.status = WatchedPlace { place, scanned_at: Some(now), files, problem: skipped };
                None
            }
            Err(problem) if problem == self.status.problem => None,
            Err(problem) => {
                self.is_away = true;
                log::warn!("event=place_not_looked_at place={place:?} error={problem:?}");
                self.status.problem.clone_from(&problem);
                // Files that nobody sees start nothing: people should know.
                Some(file_alert(format!("a watched place can't be read: {problem}"), now))
            }
        }
    }
}

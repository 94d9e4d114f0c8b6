//! The known files of a watched place, and how a scan differs from them.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, SecondsFormat, Utc};
use flowlord_domain::file_event::{FileEvent, is_folder_marker};
use flowlord_messages::files::SeenPlace;
use flowlord_storage::{FolderListing, SkippedEntries, StorageLocation, StoredObject, is_hidden};

/// What is known of a place between two scans.
#[derive(Debug, Default)]
pub(crate) struct KnownFiles {
    /// What was stored is read before the first scan.
    pub(crate) is_read: bool,
    /// New files start tasks since then; none until all that was there at first is remembered.
    pub(crate) since: Option<DateTime<Utc>>,
    pub(crate) seen: HashMap<String, String>,
    /// Files that were new at the last scan, by the version that they had: they may still be written to.
    unsettled: HashMap<String, String>,
}

/// How a scan differs from what is known.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PlaceChanges {
    /// Files that were there at the first scan.
    pub(crate) there: Vec<(String, String)>,
    /// Files that came, or changed, since; in the order in which they were written.
    pub(crate) arrived: Vec<StoredObject>,
    /// Entries that can't be taken and weren't known, as they are remembered.
    pub(crate) odd: Vec<(String, String)>,
    pub(crate) left: Vec<String>,
    /// How many files are scanned once more before they count.
    pub(crate) unsettled: usize,
}

impl KnownFiles {
    pub(crate) fn restore_stored(&mut self, stored: SeenPlace) {
        (self.is_read, self.since) = (true, stored.since);
        self.seen = stored.files.into_iter().collect();
    }

    /// Compares what is there with what is known. Where a file `settles`, it counts when two scans in a row find the
    /// same version of it: its writer is done then.
    pub(crate) fn compare(&mut self, listing: FolderListing, settles: bool) -> PlaceChanges {
        let FolderListing { mut objects, skipped } = listing;
        // Programs write under a hidden name first; stores mark folders by keys that are no files.
        objects.retain(|object| !is_hidden(&object.path) && !is_folder_marker(&object.path));
        let left = self.list_removed(&objects, &skipped);
        let odd = skipped.entries.iter().map(|entry| (skipped_key(&entry.path), entry.why.clone()));
        let odd = odd.filter(|(key, _)| !self.seen.contains_key(key)).collect();
        let mut changes = PlaceChanges { left, odd, ..PlaceChanges::default() };
        let before = std::mem::take(&mut self.unsettled);
        for object in objects {
            if self.seen.get(&object.path) == Some(&object.etag) {
                continue;
            }
            // At the first scan nothing is new: an archive must not start a task for each of its files.
            if self.since.is_none() {
                changes.there.push((object.path, object.etag));
            } else if settles && before.get(&object.path) != Some(&object.etag) {
                self.unsettled.insert(object.path, object.etag);
            } else {
                changes.arrived.push(object);
            }
        }
        changes.unsettled = self.unsettled.len();
        // Tasks start in the order in which their files were written, as if each had been reported.
        changes.arrived.sort_by(|a, b| (a.modified, &a.path).cmp(&(b.modified, &b.path)));
        changes
    }

    fn list_removed(&self, objects: &[StoredObject], skipped: &SkippedEntries) -> Vec<String> {
        // More likely a disk that isn't mounted than files that all left: what is forgotten would start again when it
        // is back.
        if objects.is_empty() {
            return Vec::new();
        }
        let mut there: HashSet<&str> = objects.iter().map(|object| object.path.as_str()).collect();
        let odd: Vec<_> = skipped.entries.iter().map(|entry| skipped_key(&entry.path)).collect();
        there.extend(odd.iter().map(String::as_str));
        // What is behind an entry that can't be read may still be there.
        let left = self.seen.keys().filter(|path| !there.contains(path.as_str()) && !skipped.covers(path));
        left.cloned().collect()
    }
}

/// How an entry that can't be taken is remembered among the files, so that it is reported once. No file of a place is
/// called so.
fn skipped_key(path: &str) -> String {
    format!("//{path}")
}

pub(crate) fn file_event(place: &StorageLocation, object: &StoredObject) -> FileEvent {
    let written = object.modified.to_rfc3339_opts(SecondsFormat::Secs, true);
    let checksum = match place {
        // No hash: it is made of the file's place on the disk, its time and its size.
        StorageLocation::Local(_) => "",
        StorageLocation::S3 { .. } | StorageLocation::Gs { .. } => object.etag.trim_matches('"'),
    };
    FileEvent {
        path: place.join(&object.path).map_or_else(|_| object.path.clone(), |at| at.to_string()),
        size: i64::try_from(object.bytes).unwrap_or(i64::MAX),
        checksum: checksum.to_owned(),
        created: written,
        version: format!("{} {}", object.etag, object.modified.timestamp_micros()),
        ..FileEvent::default()
    }
}

#[cfg(test)]
mod tests {
    use flowlord_storage::SkippedEntry;

    use super::*;

    fn object(path: &str, etag: &str) -> StoredObject {
        let modified = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        StoredObject { path: path.to_owned(), bytes: 5, modified, etag: etag.to_owned() }
    }

    fn known(since: bool, seen: &[(&str, &str)]) -> KnownFiles {
        let mut known = KnownFiles::default();
        let files = seen.iter().map(|(path, etag)| ((*path).to_owned(), (*etag).to_owned())).collect();
        known.restore_stored(SeenPlace { since: since.then(DateTime::default), files });
        known
    }

    fn listing(objects: Vec<StoredObject>) -> FolderListing {
        odd(objects, &[])
    }

    fn odd(objects: Vec<StoredObject>, paths: &[&str]) -> FolderListing {
        let entry = |path: &&str| SkippedEntry { path: (*path).to_owned(), why: "odd".to_owned() };
        FolderListing { objects, skipped: SkippedEntries { entries: paths.iter().map(entry).collect(), unnamed: 0 } }
    }

    fn paths(changes: &PlaceChanges) -> Vec<&str> {
        changes.arrived.iter().map(|object| object.path.as_str()).collect()
    }

    #[test]
    fn what_is_there_at_first_starts_nothing() {
        let changes = known(false, &[("a", "1")]).compare(listing(vec![object("a", "1"), object("b", "1")]), true);
        assert_eq!((changes.there, changes.arrived), (vec![("b".to_owned(), "1".to_owned())], vec![]));
    }

    #[test]
    fn a_file_counts_when_it_came_or_changed_and_nobody_writes_to_it() {
        let mut known = known(true, &[("a", "1")]);
        let there = |b: &str| {
            let hidden = [object(".b.part", "1"), object(".x/c", "1"), object("x_$folder$", "1")];
            listing([&[object("a", "1"), object("b", b)], &hidden[..]].concat())
        };
        assert_eq!(known.compare(there("1"), true), PlaceChanges { unsettled: 1, ..PlaceChanges::default() });
        assert_eq!(
            known.compare(there("2"), true),
            PlaceChanges { unsettled: 1, ..PlaceChanges::default() },
            "it grows"
        );
        assert_eq!(paths(&known.compare(there("2"), true)), ["b"]);
        known.seen.insert("b".to_owned(), "2".to_owned());
        assert_eq!(known.compare(there("2"), true), PlaceChanges::default());
        assert_eq!(paths(&known.compare(listing(vec![object("a", "9"), object("b", "2")]), false)), ["a"], "at once");
    }

    #[test]
    fn the_oldest_comes_first() {
        let newer = StoredObject { modified: DateTime::from_timestamp(1_700_000_009, 0).unwrap(), ..object("a", "1") };
        let changes = known(true, &[]).compare(listing(vec![newer, object("c", "1"), object("b", "1")]), false);
        assert_eq!(paths(&changes), ["b", "c", "a"]);
    }

    #[test]
    fn what_left_is_forgotten_unless_all_is_gone() {
        let mut known = known(true, &[("a", "1"), ("b", "1")]);
        assert_eq!(known.compare(listing(vec![object("a", "1")]), true).left, ["b"]);
        assert_eq!(known.compare(listing(vec![]), true), PlaceChanges::default());
    }

    #[test]
    fn what_cant_be_taken_is_told_once_and_hides_what_is_behind_it() {
        let mut known = known(true, &[("a", "1"), ("secret/b", "1")]);
        let odd = |paths: &[&str]| odd(vec![object("a", "1")], paths);
        let changes = known.compare(odd(&["Icon", "secret"]), true);
        assert_eq!((changes.odd.len(), changes.left), (2, vec![]));
        known.seen.extend(changes.odd);
        assert_eq!(known.compare(odd(&["Icon", "secret"]), true), PlaceChanges::default());
        assert_eq!(known.compare(odd(&["secret"]), true).left, ["//Icon"]);
        let mut left = known.compare(odd(&[]), true).left;
        left.sort_unstable();
        assert_eq!(left, ["//Icon", "//secret", "secret/b"]);
        let mut many = odd(&["Icon", "secret"]);
        many.skipped.unnamed = 1;
        assert_eq!(known.compare(many, true), PlaceChanges::default());
    }

    #[test]
    fn a_file_is_told_of_by_its_whole_path() {
        let local = file_event(&StorageLocation::parse("/srv/in").unwrap(), &object("2024/a.csv", "17-5"));
        assert_eq!((local.path.as_str(), local.size, local.checksum.as_str()), ("/srv/in/2024/a.csv", 5, ""));
        assert_eq!(local.created, "2023-11-14T22:13:20Z");
        let remote = file_event(&StorageLocation::parse("s3://b/in").unwrap(), &object("a.csv", "\"md5\""));
        assert_eq!((remote.path.as_str(), remote.checksum.as_str()), ("s3://b/in/a.csv", "md5"));
        assert_eq!(remote.version, "\"md5\" 1700000000000000");
    }
}

//! Files and folders at a place, and entries that can't be taken.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use object_store::ObjectMeta;

/// Whether a part of a path begins with a dot: editors and copying programs write to such names first.
pub fn is_hidden(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with('.'))
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// Relative to the store's place, with slashes; empty for the place itself.
    pub path: String,
    pub bytes: u64,
    pub modified: DateTime<Utc>,
    /// Differs when its content does.
    pub etag: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FolderLevel {
    pub files: Vec<StoredObject>,
    pub folders: Vec<String>,
    pub skipped: SkippedEntries,
}

/// How many skipped entries are named; the others are only counted.
const MAX_NAMED_ENTRIES: usize = 100;

const MAX_SHOWN_ENTRIES: usize = 5;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FolderListing {
    pub objects: Vec<StoredObject>,
    pub skipped: SkippedEntries,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SkippedEntry {
    /// Its path, relative to the store's place; what can't be shown is escaped.
    pub path: String,
    pub why: String,
}

/// Entries that can't be taken. They stop nothing: the others are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SkippedEntries {
    /// The first of them.
    pub entries: Vec<SkippedEntry>,
    pub unnamed: usize,
}

impl SkippedEntries {
    pub(crate) fn add_entry(&mut self, path: String, why: impl Into<String>) {
        if self.entries.len() < MAX_NAMED_ENTRIES {
            self.entries.push(SkippedEntry { path, why: why.into() });
        } else {
            self.unnamed += 1;
        }
    }

    pub fn count(&self) -> usize {
        self.entries.len() + self.unnamed
    }

    /// True when nothing is known of what is at a path, since it, or a folder that it is in, was skipped.
    pub fn covers(&self, path: &str) -> bool {
        let mut rests = self.entries.iter().filter_map(|entry| path.strip_prefix(&entry.path));
        self.unnamed > 0 || rests.any(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    pub fn retain(&mut self, matters: impl Fn(&SkippedEntry) -> bool) {
        self.entries.retain(matters);
    }

    /// What people read about them; empty where there are none.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for SkippedEntry { path, why } in self.entries.iter().take(MAX_SHOWN_ENTRIES) {
            let _ = write!(text, "{}`{path}` is skipped: {why}", if text.is_empty() { "" } else { "; " });
        }
        if self.count() > MAX_SHOWN_ENTRIES {
            let _ = write!(text, "; {} more are skipped", self.count() - MAX_SHOWN_ENTRIES);
        }
        text
    }
}

/// Why a name or a path within a store can't be one; none where it can.
pub(crate) fn find_path_problem(path: &str) -> Option<&'static str> {
    path.split('/').find_map(|part| match part {
        "" => Some("a part of its path is empty: remove one of the slashes"),
        "." | ".." => Some("a part of its path is `.` or `..`: rename it"),
        part if part.bytes().any(|byte| byte.is_ascii_control()) => Some("its name has a control character: rename it"),
        _ => None,
    })
}

/// A name as people can read it.
pub(crate) fn show_text(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() });
    Cow::Owned(escaped.collect())
}

/// A name of this machine, whose bytes need be no text.
pub(crate) fn shown_name(name: &OsStr) -> String {
    name.as_encoded_bytes().utf8_chunks().fold(String::new(), |mut text, chunk| {
        text.push_str(&show_text(chunk.valid()));
        chunk.invalid().iter().for_each(|byte| _ = write!(text, "\\x{byte:02X}"));
        text
    })
}

pub(crate) fn object_of(path: String, found: &ObjectMeta) -> StoredObject {
    StoredObject { path, bytes: found.size, modified: found.last_modified, etag: etag_of(found) }
}

pub(crate) fn etag_of(found: &ObjectMeta) -> String {
    // A store without tags changes at least the time or the size.
    let (time, size) = (found.last_modified.timestamp_micros(), found.size);
    found.e_tag.clone().unwrap_or_else(|| format!("{time}-{size}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_say_what_is_odd_and_are_shown() {
        for (path, odd) in [
            ("a/b c+ü&.csv", None),
            ("Icon\r", Some("control character")),
            ("p//x.csv", Some("part of its path is empty")),
            ("/x.csv", Some("part of its path is empty")),
            ("a/../b", Some("`.` or `..`")),
        ] {
            assert_eq!(find_path_problem(path).is_some(), odd.is_some(), "{path}");
            assert!(find_path_problem(path).is_none_or(|why| why.contains(odd.unwrap())), "{path}");
        }
        assert_eq!((show_text("Icon\r").as_ref(), show_text("a'b\\c").as_ref()), ("Icon\\r", "a'b\\c"));
    }

    #[test]
    fn some_are_named_and_all_are_counted() {
        let mut skipped = SkippedEntries::default();
        assert_eq!((skipped.text().as_str(), skipped.covers("a")), ("", false));
        skipped.add_entry("a/b".to_owned(), "odd");
        assert_eq!(skipped.text(), "`a/b` is skipped: odd");
        let covered = ["a/b", "a/b/c", "a/bc", "a"].map(|path| skipped.covers(path));
        assert_eq!(covered, [true, true, false, false]);
        (0..MAX_NAMED_ENTRIES).for_each(|n| skipped.add_entry(n.to_string(), "odd"));
        assert_eq!((skipped.entries.len(), skipped.count()), (MAX_NAMED_ENTRIES, MAX_NAMED_ENTRIES + 1));
        assert!(skipped.covers("x"), "it may be one that isn't named");
        assert!(skipped.text().ends_with("; `3` is skipped: odd; 96 more are skipped"), "{}", skipped.text());
    }
}

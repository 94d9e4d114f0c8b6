//! Folders of this machine, walked.

use std::collections::HashSet;
use std::fs::{DirEntry, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use chrono::{DateTime, Utc};

use crate::entry::{FolderLevel, StoredObject, find_path_problem, shown_name};
use crate::error::{Error, Result, StorageKind};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WalkDepth {
    All,
    One,
}

/// Which links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkPolicy {
    /// What is behind each link to a folder, unless that leads round in a circle.
    Each,
    /// Each folder once, however many links lead there; hidden files and folders don't.
    Once,
}

/// A folder to walk, and those that it was reached by.
struct WalkedFolder {
    path: PathBuf,
    /// What the paths in it begin with.
    name: String,
    real: PathBuf,
    above: Option<Rc<WalkedFolder>>,
}

impl WalkedFolder {
    fn name_of(&self, entry: &str) -> String {
        if self.name.is_empty() { entry.to_owned() } else { format!("{}/{entry}", self.name) }
    }

    fn is_within(&self, real: &Path) -> bool {
        let above = std::iter::successors(Some(self), |folder| folder.above.as_deref());
        above.into_iter().any(|folder| folder.real == real)
    }
}

struct FolderWalk<'a> {
    at: &'a str,
    most: usize,
    depth: WalkDepth,
    links: LinkPolicy,
    found: FolderLevel,
    walked: HashSet<PathBuf>,
    rest: Vec<WalkedFolder>,
    folders: usize,
}

/// Walks through a folder that is called `at`; `name` is what the paths in it begin with. What can't be read, or has a
/// name that can't be taken, is skipped. Nothing is in a folder that isn't there.
pub(crate) fn walk_folder(
    root: &Path,
    name: String,
    at: &str,
    most: usize,
    depth: WalkDepth,
    links: LinkPolicy,
) -> Result<FolderLevel> {
    let (found, walked) = (FolderLevel::default(), HashSet::new());
    let mut walk = FolderWalk { at, most, depth, links, found, walked, rest: Vec::new(), folders: 0 };
    let real = match root.canonicalize() {
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(walk.found),
        Err(err) => return Err(root_error(root, at, &err)),
        Ok(real) => real,
    };
    let first = WalkedFolder { path: root.to_owned(), name, real, above: None };
    match read_entries(root) {
        Err(err) if matches!(err.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
        Err(err) => return Err(root_error(root, at, &err)),
        Ok(entries) => walk.walk_entries(first, entries)?,
    }
    while let Some(folder) = walk.rest.pop() {
        match read_entries(&folder.path) {
            // It left since its folder was read.
            Err(err) if err.kind() == ErrorKind::NotFound => {}
            Err(err) => walk.found.skipped.add_entry(folder.name, unreadable_text(&err)),
            Ok(entries) => walk.walk_entries(folder, entries)?,
        }
    }
    Ok(walk.found)
}

fn root_error(root: &Path, at: &str, err: &io::Error) -> Error {
    match err.kind() {
        ErrorKind::PermissionDenied => Error::Refused { at: at.to_owned(), hint: StorageKind::Local.access_hint() },
        _ => Error::of_io(root, err),
    }
}

/// What is in a folder, by name, so that each walk finds the same.
fn read_entries(folder: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = std::fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

fn unreadable_text(err: &io::Error) -> String {
    format!("it can't be read: {err}")
}

impl FolderWalk<'_> {
    fn walk_entries(&mut self, folder: WalkedFolder, entries: Vec<DirEntry>) -> Result<()> {
        // By where it really is: links of two names lead to one folder.
        if self.links == LinkPolicy::Once && !self.walked.insert(folder.real.clone()) {
            return Ok(());
        }
        let folder = Rc::new(folder);
        for entry in entries {
            self.add_entry(&folder, &entry);
            let FolderLevel { files, folders, skipped } = &self.found;
            if files.len().max(self.folders) + folders.len() + skipped.count() > self.most {
                return Err(Error::TooMany { at: self.at.to_owned(), most: self.most });
            }
        }
        Ok(())
    }

    fn add_entry(&mut self, folder: &Rc<WalkedFolder>, entry: &DirEntry) {
        let file_name = entry.file_name();
        if self.links == LinkPolicy::Once && file_name.as_encoded_bytes().starts_with(b".") {
            return;
        }
        let kind =
            entry.file_type().and_then(|kind| if kind.is_symlink() { link_target_type(entry) } else { Ok(kind) });
        let skipped = match (kind, file_name.to_str()) {
            (Err(err), _) if err.kind() == ErrorKind::NotFound => return,
            // Pipes and the like: opening one would wait for ever.
            (Ok(kind), _) if !kind.is_dir() && !kind.is_file() => return,
            (Err(err), _) => Err(unreadable_text(&err)),
            (Ok(_), None) => Err("its name is not UTF-8: rename it".to_owned()),
            (Ok(kind), Some(name)) => match find_path_problem(name) {
                Some(problem) => Err(problem.to_owned()),
                None if kind.is_dir() => self.enter_folder(folder, entry, name),
                None => self.add_file(folder, entry, name),
            },
        };
        if let Err(why) = skipped {
            self.found.skipped.add_entry(folder.name_of(&shown_name(&file_name)), why);
        }
    }

    fn enter_folder(
        &mut self,
        folder: &Rc<WalkedFolder>,
        entry: &DirEntry,
        name: &str,
    ) -> std::result::Result<(), String> {
        if self.depth == WalkDepth::One {
            self.found.folders.push(name.to_owned());
            return Ok(());
        }
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        let path = entry.path();
        // Only links are resolved, which costs a call for each part of the path.
        let real = if is_link { path.canonicalize() } else { Ok(folder.real.join(name)) };
        let real = real.map_err(|err| unreadable_text(&err))?;
        if is_link && self.links == LinkPolicy::Each && folder.is_within(&real) {
            return Err("it is a link to a folder that contains it: remove it".to_owned());
        }
        self.folders += 1;
        let (name, above) = (folder.name_of(name), Some(Rc::clone(folder)));
        self.rest.push(WalkedFolder { path, name, real, above });
        Ok(())
    }

    fn add_file(&mut self, folder: &WalkedFolder, entry: &DirEntry, name: &str) -> std::result::Result<(), String> {
        // It gets its name once it is complete, and is found then.
        if is_being_written(name) {
            return Ok(());
        }
        match std::fs::metadata(entry.path()) {
            Ok(found) => self.found.files.push(local_object(folder.name_of(name), &found)),
            Err(err) if err.kind() == ErrorKind::NotFound => {}
            Err(err) => return Err(unreadable_text(&err)),
        }
        Ok(())
    }
}

fn link_target_type(entry: &DirEntry) -> io::Result<std::fs::FileType> {
    std::fs::metadata(entry.path()).map(|found| found.file_type())
}

/// The name of a file that a store on this machine hasn't written in whole: `a.db#1`.
fn is_being_written(name: &str) -> bool {
    let number = name.split_once('#').map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn local_object(path: String, found: &Metadata) -> StoredObject {
    let modified = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let modified: DateTime<Utc> = modified.into();
    StoredObject { path, bytes: found.len(), modified, etag: local_etag(found) }
}

/// As object_store makes it of a file: what was stored of earlier scans is compared with it.
fn local_etag(found: &Metadata) -> String {
    let written = found.modified().ok().and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    let written = written.unwrap_or_default().as_micros();
    format!("\"{:x}-{written:x}-{:x}\"", inode_number(found), found.len())
}

#[cfg(unix)]
fn inode_number(found: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(found)
}

#[cfg(not(unix))]
fn inode_number(_: &Metadata) -> u64 {
    0
}

//! Where the files at and below a path really are: the folders to watch, and the links that lead there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs::Metadata;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use crate::store::MAX_OBJECTS;

/// How many links may lead to one path, as on Linux.
const MAX_LINKS: usize = 40;

/// Which folder stands at a path: another one may take its place, even with its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FolderId {
    device: u64,
    number: u64,
    created: Option<SystemTime>,
}

/// All that must stay as it is for a watch to see every change. Paths in it have no links before their last part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PathTrace {
    /// Folders of which every file counts.
    pub(crate) within: BTreeSet<PathBuf>,
    /// Parts of the way to the root, and of the ways that links below it lead.
    pub(crate) on_the_way: BTreeSet<PathBuf>,
    /// Where those lead that are links.
    links: BTreeMap<PathBuf, PathBuf>,
    missing: BTreeSet<PathBuf>,
    /// The folders that all of these are in.
    folders: BTreeMap<PathBuf, Option<FolderId>>,
}

impl PathTrace {
    /// Traces an absolute path. Below it hidden files and folders don't count, nor do links to files that don't
    /// `matter`.
    pub(crate) fn trace_root(root: &Path, matters: &dyn Fn(&Path) -> bool) -> Self {
        let mut trace = Self::default();
        if let Some(root) = trace.resolve_path(root).filter(|root| root.is_dir()) {
            trace.walk_below(root, matters);
        }
        trace.missing = trace.on_the_way.iter().filter(|path| is_missing(path)).cloned().collect();
        let holders = trace.on_the_way.iter().filter_map(|path| path.parent());
        let folders: BTreeSet<_> = holders.chain(trace.within.iter().map(PathBuf::as_path)).collect();
        trace.folders = folders.into_iter().map(|folder| (folder.to_owned(), folder_id(folder))).collect();
        trace
    }

    /// The folders to watch: those of which every file counts, and those of single files. The others on the way aren't
    /// watched, since everything that is written there would be heard: `/tmp`, or the folder of the database.
    pub(crate) fn watched_folders(&self) -> BTreeSet<&Path> {
        let files = self.on_the_way.iter().filter(|path| !self.links.contains_key(*path) && path.is_file());
        files.filter_map(|file| file.parent()).chain(self.within.iter().map(PathBuf::as_path)).collect()
    }

    /// Whether each part of the way is what it was, which no watch tells.
    pub(crate) fn is_way_the_same(&self) -> bool {
        let mut folders = self.folders.iter().filter(|(path, _)| self.on_the_way.contains(*path));
        self.on_the_way.iter().all(|path| std::fs::read_link(path).ok().as_ref() == self.links.get(path))
            && self.missing.iter().all(|path| is_missing(path))
            && folders.all(|(path, then)| folder_id(path) == *then)
    }

    /// Whether another file or folder at this path would have to be watched anew.
    pub(crate) fn leads_by(&self, path: &Path) -> bool {
        self.within.contains(path) || self.on_the_way.contains(path)
    }

    pub(crate) fn holds_directly(&self, path: &Path) -> bool {
        path.parent().is_some_and(|folder| self.within.contains(folder))
    }

    /// Follows a path part by part, and notes each; none where it leads nowhere.
    fn resolve_path(&mut self, path: &Path) -> Option<PathBuf> {
        let mut at = PathBuf::new();
        let mut rest: VecDeque<OsString> = path_parts(path).collect();
        let mut links = 0;
        while let Some(part) = rest.pop_front() {
            match Path::new(&part).components().next() {
                Some(Component::ParentDir) => _ = at.pop(),
                Some(Component::Normal(_)) => {
                    let entry = at.join(&part);
                    self.on_the_way.insert(entry.clone());
                    if std::fs::symlink_metadata(&entry).ok()?.is_symlink() {
                        let target = std::fs::read_link(&entry).ok()?;
                        links += 1;
                        // Links that lead round in a circle would never end.
                        if links > MAX_LINKS {
                            return None;
                        }
                        path_parts(&target).rev().for_each(|part| rest.push_front(part));
                        self.links.insert(entry, target);
                    } else {
                        at = entry;
                    }
                }
                // The root, which an absolute link begins at again.
                _ => at.push(&part),
            }
        }
        Some(at)
    }

    fn walk_below(&mut self, root: PathBuf, matters: &dyn Fn(&Path) -> bool) {
        let mut folders = vec![root];
        let mut entries = 0;
        while let Some(folder) = folders.pop() {
            let listed = std::fs::read_dir(&folder);
            // A folder that was walked before ends a circle of links.
            if !self.within.insert(folder) || entries > MAX_OBJECTS {
                continue;
            }
            // One that can't be read is watched for the day when it can.
            for entry in listed.into_iter().flatten().flatten() {
                entries += 1;
                let path = entry.path();
                if entry.file_name().as_encoded_bytes().starts_with(b".") {
                    continue;
                }
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_symlink() {
                    folders.extend(self.follow_link(&path, matters));
                }
            }
        }
    }

    /// Follows a link below the root; answers the folder that it leads to.
    fn follow_link(&mut self, link: &Path, matters: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
        let leads_to_folder = std::fs::metadata(link).map(|found| found.is_dir());
        if !leads_to_folder.as_ref().is_ok_and(|is_folder| !is_folder) || matters(link) {
            return self.resolve_path(link).filter(|_| leads_to_folder.unwrap_or(false));
        }
        None
    }
}

fn is_missing(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_err()
}

fn path_parts(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    let parts: Vec<_> = path.components().filter(|part| *part != Component::CurDir).collect();
    parts.into_iter().map(|part| part.as_os_str().to_owned()).collect::<Vec<_>>().into_iter()
}

fn folder_id(path: &Path) -> Option<FolderId> {
    std::fs::metadata(path).ok().as_ref().map(id_of)
}

#[cfg(unix)]
fn id_of(found: &Metadata) -> FolderId {
    use std::os::unix::fs::MetadataExt as _;
    FolderId { device: found.dev(), number: found.ino(), created: found.created().ok() }
}

#[cfg(not(unix))]
fn id_of(found: &Metadata) -> FolderId {
    FolderId { device: 0, number: 0, created: found.created().ok() }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;

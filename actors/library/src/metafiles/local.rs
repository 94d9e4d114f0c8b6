//! Meta files of this machine: below the workflow files, or below a folder that was allowed.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use flowlord_domain::template::MetaRow;
use flowlord_kernel::{Error, Result};

use super::unpack::RowReader;
use super::{MAX_MATCHED_FILES, is_pattern, parse_glob, refuse_path};

/// At most this many entries of folders are read for one path.
const MAX_FOLDER_ENTRIES: usize = 100_000;

/// Reads the rows of `path`, from `root` on where it is relative.
pub(super) fn read_local_rows(root: Option<&Path>, allowed: &[PathBuf], path: &Path) -> Result<Vec<MetaRow>> {
    let asked = path.display().to_string();
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(refuse_path(&asked, "write it without `..`"));
    }
    let base = root.map(folder_of_root);
    let place = match base {
        Some(base) => base.join(path),
        None if path.is_absolute() => path.to_owned(),
        None => return Err(refuse_path(&asked, "write its absolute path, or that of a store")),
    };
    // Resolved like what is compared with them; a folder that isn't there allows nothing.
    let places: Vec<PathBuf> =
        base.into_iter().chain(allowed.iter().map(PathBuf::as_path)).filter_map(|at| at.canonicalize().ok()).collect();
    let mut rows = RowReader::default();
    for place in expand_pattern(&asked, &place, &places, MAX_FOLDER_ENTRIES)? {
        // Links are followed before they are judged, and what was judged is what is opened.
        let found = place.canonicalize().map_err(|err| match err.kind() {
            ErrorKind::NotFound => refuse_path(&asked, "it doesn't exist: paths are relative to the workflow folder"),
            _ => unreadable_file(&asked, &err),
        })?;
        if !is_within(&places, &found) {
            return Err(refuse_path(&asked, OUTSIDE));
        }
        if !found.is_file() {
            return Err(refuse_path(&asked, "it is not a file"));
        }
        let file = File::open(&found).map_err(|err| unreadable_file(&asked, &err))?;
        let name = if place.ends_with(path) { asked.clone() } else { place.display().to_string() };
        rows = rows.add_file(&asked, &name, std::io::BufReader::new(file))?;
    }
    Ok(rows.rows)
}

fn unreadable_file(asked: &str, err: &std::io::Error) -> Error {
    refuse_path(asked, &format!("it can't be read: {err}"))
}

fn is_within(places: &[PathBuf], found: &Path) -> bool {
    places.iter().any(|place| found.starts_with(place))
}

fn folder_of_root(root: &Path) -> &Path {
    match root.parent() {
        Some(folder) if root.is_file() && folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) if root.is_file() => folder,
        _ => root,
    }
}

const OUTSIDE: &str = "it is outside the workflow folder: move it there, or add its folder to files.allow";

/// The files that a path matches, by name: itself where it is no pattern. Folders that may not be read are
/// left out.
fn expand_pattern(asked: &str, place: &Path, places: &[PathBuf], max_entries: usize) -> Result<Vec<PathBuf>> {
    if !is_pattern(asked) {
        return Ok(vec![place.to_owned()]);
    }
    let mut found = vec![PathBuf::new()];
    let mut entries = 0;
    for part in place.components() {
        let text = part.as_os_str().to_string_lossy();
        if !matches!(part, Component::Normal(_)) || !is_pattern(&text) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let glob = parse_glob(asked, &text)?;
        let mut next = Vec::new();
        for folder in &found {
            // Judged before it is listed: else a pattern would tell which files are outside.
            let Ok(within) = folder.canonicalize() else { continue };
            if !is_within(places, &within) {
                return Err(refuse_path(asked, OUTSIDE));
            }
            let Ok(listed) = std::fs::read_dir(&within) else { continue };
            for entry in listed.flatten() {
                entries += 1;
                if entries > max_entries {
                    let why = format!("the folders of its pattern have more than {max_entries} entries");
                    return Err(refuse_path(asked, &format!("{why}: name smaller ones")));
                }
                let name = entry.file_name();
                if glob.matches(&name.to_string_lossy()) {
                    next.push(folder.join(name));
                }
            }
            if next.len() > MAX_MATCHED_FILES {
                return Err(refuse_path(asked, "more than 1000 files match it: name fewer"));
            }
        }
        found = next;
    }
    found.retain(|path| path.exists());
    found.sort();
    if found.is_empty() { Err(refuse_path(asked, "no file matches it")) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_with_more_entries_than_are_read_say_so() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.json", "b.json", "c.csv"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let root = folder.path().canonicalize().unwrap();
        let expand =
            |max_entries| expand_pattern("*.json", &root.join("*.json"), std::slice::from_ref(&root), max_entries);
        assert_eq!(expand(3).unwrap(), [root.join("a.json"), root.join("b.json")]);
        let refused = expand(2).unwrap_err().to_string();
        assert!(
            refused.contains("the folders of its pattern have more than 2 entries: name smaller ones"),
            "{refused}"
        );
    }
}

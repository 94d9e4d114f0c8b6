//! The files of a workflow folder, as they are on disk.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use flowlord_store::MOST_OBJECTS;
use sha2::{Digest as _, Sha256};

/// How large a workflow file may be.
pub(crate) const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Relative to the workflow root, with slashes; the file's name when the root is a file.
    pub path: String,
    /// What it holds; an error where that is no text.
    pub text: Result<String, String>,
    /// SHA-256 of what it holds, hexadecimal.
    pub hash: String,
}

/// Reads the workflow files of `root`: itself when it is a file, else every `.toml` below it. Other files, and
/// hidden ones, don't count: they never keep the others from loading.
///
/// # Errors
/// When the root or a folder below it can't be read: what is in there is then unknown.
pub fn read(root: &Path) -> io::Result<Vec<Content>> {
    if std::fs::metadata(root)?.is_file() {
        let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(content(root, name).into_iter().collect());
    }
    let mut contents = Vec::new();
    let mut seen = HashSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        // A link back to a folder above must not go round for ever.
        if !seen.insert(folder.canonicalize().map_err(|err| about(&folder, &err))?) {
            continue;
        }
        if contents.len() + folders.len() > MOST_OBJECTS {
            let most =
                format!("{} holds more than {MOST_OBJECTS} files: name a smaller folder", root.display());
            return Err(io::Error::other(most));
        }
        for entry in std::fs::read_dir(&folder).map_err(|err| about(&folder, &err))? {
            let path = entry?.path();
            if is_hidden(&path) {
                log::debug!("event=not_a_workflow path={:?}", path.display());
            } else if path.is_dir() {
                folders.push(path);
            } else if is_workflow(&path) {
                contents.extend(content(&path, relative(root, &path)));
            } else {
                log::debug!("event=not_a_workflow path={:?}", path.display());
            }
        }
    }
    contents.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(contents)
}

fn about(path: &Path, err: &io::Error) -> io::Error {
    io::Error::new(err.kind(), format!("{}: {err}", path.display()))
}

/// A regular file by a name that ends in `.toml`; opening a pipe would wait for ever.
fn is_workflow(path: &Path) -> bool {
    is_named_as_workflow(path) && path.is_file()
}

pub(crate) fn is_named_as_workflow(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'))
}

fn relative(root: &Path, path: &Path) -> String {
    let relative: PathBuf = path.strip_prefix(root).unwrap_or(path).to_owned();
    let parts: Vec<_> = relative.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

/// A file that can't be read counts as one that is broken: it must not stop the others. None when it left
/// meanwhile.
fn content(path: &Path, name: String) -> Option<Content> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
    let (text, hash) = match read {
        Ok(_) => {
            let hash = hash(&bytes);
            (text(bytes), hash)
        }
        Err(err) if err.kind() == io::ErrorKind::NotFound => return None,
        Err(err) => (Err(format!("the file can't be read: {err}")), format!("unreadable: {err}")),
    };
    Some(Content { path: name, text, hash })
}

/// A file's bytes as what a workflow file holds.
pub(crate) fn text(bytes: Vec<u8>) -> Result<String, String> {
    if u64::try_from(bytes.len()).is_ok_and(|len| len > MOST_BYTES) {
        return Err(format!("the file is larger than {} MiB: split it", MOST_BYTES / 1024 / 1024));
    }
    String::from_utf8(bytes).map_err(|_| "the file is no UTF-8 text: save it as UTF-8".to_owned())
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _never_fails = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_toml_files_count_however_deep() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("b/c")).unwrap();
        std::fs::create_dir_all(folder.path().join(".git")).unwrap();
        for name in
            ["a.toml", "b/c/d.TOML", "README.md", ".a.toml.swp", ".hidden.toml", ".git/x.toml", "a.toml~"]
        {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let paths: Vec<_> = read(folder.path()).unwrap().into_iter().map(|content| content.path).collect();
        assert_eq!(paths, ["a.toml", "b/c/d.TOML"]);
        let one = read(&folder.path().join("README.md")).unwrap();
        assert_eq!((one.len(), one[0].path.as_str()), (1, "README.md"), "a file named is taken as it is");
    }

    #[test]
    fn a_file_that_is_no_text_is_broken_not_fatal() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.toml"), [0xff, 0xfe]).unwrap();
        let read = read(folder.path()).unwrap();
        assert!(read[0].text.as_ref().unwrap_err().contains("UTF-8"));
        assert_eq!(read[0].hash.len(), 64);
    }

    #[test]
    fn a_file_that_is_too_large_is_broken_and_its_end_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(folder.path().join("a.toml")).unwrap();
        file.set_len(MOST_BYTES + 2).unwrap();
        let read = read(folder.path()).unwrap();
        assert!(read[0].text.as_ref().unwrap_err().contains("larger than 16 MiB: split it"));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_but_not_round_in_circles() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        // As Kubernetes mounts files.
        std::fs::create_dir_all(folder.path().join("..data")).unwrap();
        std::fs::write(folder.path().join("..data/a.toml"), "a").unwrap();
        symlink("..data/a.toml", folder.path().join("a.toml")).unwrap();
        symlink(".", folder.path().join("again")).unwrap();
        symlink("nowhere.toml", folder.path().join("dangling.toml")).unwrap();
        std::fs::create_dir(folder.path().join("folder.toml")).unwrap();
        let paths: Vec<_> = read(folder.path()).unwrap().into_iter().map(|content| content.path).collect();
        assert_eq!(paths, ["a.toml"]);
    }

    #[test]
    fn a_root_that_is_not_there_is_an_error() {
        assert!(read(Path::new("/nowhere/at/all")).is_err());
    }
}

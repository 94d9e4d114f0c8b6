//! The files of a workflow folder, as they are on disk.

use std::io::{self, Read as _};
use std::path::Path;

use flowlord_domain::bom;
use flowlord_domain::hex::to_hex;
use flowlord_kernel::{Code, Error};
use flowlord_storage::{FolderListing, MAX_OBJECTS, SkippedEntries, list_folder};
use sha2::{Digest as _, Sha256};

pub(crate) const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileContent {
    /// Relative to the workflow root, with slashes; the file's name when the root is a file.
    pub path: String,
    /// What it holds; an error where that is no text.
    pub text: Result<String, String>,
    /// SHA-256 of what it holds, hexadecimal.
    pub hash: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundFiles<T> {
    pub files: Vec<T>,
    pub skipped: SkippedEntries,
    /// Whether nothing at all is there, like where a disk isn't mounted.
    pub is_bare: bool,
}

impl<T> FoundFiles<T> {
    pub(crate) fn single_file(file: Option<T>) -> Self {
        Self { files: file.into_iter().collect(), skipped: SkippedEntries::default(), is_bare: false }
    }
}

/// Reads the workflow files of `root`: itself when it is a file, else every `.toml` below it. Other files, and
/// hidden ones, don't count: they never keep the others from loading.
pub fn read_folder(root: &Path) -> io::Result<FoundFiles<FileContent>> {
    if std::fs::metadata(root)?.is_file() {
        let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(FoundFiles::single_file(read_file(root, name)));
    }
    // Any other file at all, a README or a hidden one, shows that the disk is there.
    let is_bare = std::fs::read_dir(root)?.next().is_none();
    let FolderListing { objects, skipped } = list_folder(root, MAX_OBJECTS).map_err(io::Error::other)?;
    let paths = objects.into_iter().map(|object| object.path);
    let workflows = paths.filter(|path| is_named_as_workflow(Path::new(path)));
    let files = workflows.filter_map(|path| read_file(&root.join(&path), path)).collect();
    Ok(FoundFiles { files, skipped, is_bare })
}

pub(crate) fn is_named_as_workflow(path: &Path) -> bool {
    // The reference system read every file, so that a README or an editor's swap file kept it from starting.
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}

/// A file that can't be read counts as one that is broken: it must not stop the others. None when it left
/// meanwhile.
fn read_file(path: &Path, name: String) -> Option<FileContent> {
    let mut bytes = Vec::new();
    let read =
        // One byte more than is allowed tells a file that is too large, without reading all of it.
        std::fs::File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    let (text, hash) = match read {
        Ok(_) => {
            let hash = to_hex(&Sha256::digest(&bytes));
            (workflow_text(bytes), hash)
        }
        Err(err) if err.kind() == io::ErrorKind::NotFound => return None,
        // The problem stands for the content, so that the same one is reported once.
        Err(err) => (Err(format!("the file can't be read: {err}")), format!("unreadable: {err}")),
    };
    Some(FileContent { path: name, text, hash })
}

/// Reads files beside the thread of the actors.
pub(crate) async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> flowlord_kernel::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|err| Error::new(Code::Internal, format!("reading files failed: {err}")))
}

pub(crate) fn workflow_text(bytes: Vec<u8>) -> Result<String, String> {
    if u64::try_from(bytes.len()).is_ok_and(|len| len > MAX_FILE_BYTES) {
        return Err(format!("the file is larger than {} MiB: split it", MAX_FILE_BYTES / 1024 / 1024));
    }
    let text = String::from_utf8(bytes).map_err(|_| "the file is not UTF-8 text: save it as UTF-8".to_owned())?;
    Ok(bom::skip_mark(&text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_toml_files_count_however_deep() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("b/c")).unwrap();
        std::fs::create_dir_all(folder.path().join(".git")).unwrap();
        for name in ["a.toml", "b/c/d.TOML", "README.md", ".a.toml.swp", ".hidden.toml", ".git/x.toml", "a.toml~"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let paths: Vec<_> = read_folder(folder.path()).unwrap().files.into_iter().map(|content| content.path).collect();
        assert_eq!(paths, ["a.toml", "b/c/d.TOML"]);
        let one = read_folder(&folder.path().join("README.md")).unwrap().files;
        assert_eq!((one.len(), one[0].path.as_str()), (1, "README.md"), "a file named is taken as it is");
    }

    #[test]
    fn a_file_that_is_no_text_is_broken_not_fatal() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.toml"), [0xff, 0xfe]).unwrap();
        let read = read_folder(folder.path()).unwrap().files;
        assert!(read[0].text.as_ref().unwrap_err().contains("UTF-8"));
        assert_eq!(read[0].hash.len(), 64);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text_and_a_second_one_is() {
        let folder = tempfile::tempdir().unwrap();
        for (mark, text) in [("\u{feff}", "a = 1"), ("\u{feff}\u{feff}", "\u{feff}a = 1")] {
            std::fs::write(folder.path().join("a.toml"), format!("{mark}a = 1")).unwrap();
            assert_eq!(read_folder(folder.path()).unwrap().files[0].text.as_deref(), Ok(text));
        }
    }

    #[test]
    fn a_file_that_is_too_large_is_broken_and_its_end_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(folder.path().join("a.toml")).unwrap();
        file.set_len(MAX_FILE_BYTES + 2).unwrap();
        let read = read_folder(folder.path()).unwrap().files;
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
        let paths: Vec<_> = read_folder(folder.path()).unwrap().files.into_iter().map(|content| content.path).collect();
        assert_eq!(paths, ["a.toml"]);
    }

    #[cfg(unix)]
    #[test]
    fn an_entry_that_cant_be_taken_keeps_no_other_from_loading() {
        use std::os::unix::ffi::OsStrExt as _;
        let folder = tempfile::tempdir().unwrap();
        for name in [&b"a.toml"[..], b"Icon\r", b"caf\xe9.toml", b"b.toml"] {
            std::fs::write(folder.path().join(std::ffi::OsStr::from_bytes(name)), "a").unwrap();
        }
        std::os::unix::fs::symlink("itself.toml", folder.path().join("itself.toml")).unwrap();
        let found = read_folder(folder.path()).unwrap();
        let paths: Vec<_> = found.files.iter().map(|content| content.path.as_str()).collect();
        assert_eq!(paths, ["a.toml", "b.toml"]);
        let mut odd: Vec<_> = found.skipped.entries.iter().map(|entry| entry.path.as_str()).collect();
        odd.sort_unstable();
        assert_eq!(odd, ["Icon\\r", "caf\\xE9.toml", "itself.toml"]);
        assert!(!found.is_bare && read_folder(tempfile::tempdir().unwrap().path()).unwrap().is_bare);
    }

    #[test]
    fn a_root_that_is_not_there_is_an_error() {
        assert!(read_folder(Path::new("/nowhere/at/all")).is_err());
    }
}

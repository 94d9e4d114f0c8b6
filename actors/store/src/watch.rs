//! Local files, watched.

use std::path::{Path, PathBuf};

use notify::event::ModifyKind;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::error::{Error, Result};

/// Tells when something at or below a path changes, until it is dropped. Something may be missed (a disk of another
/// machine tells nothing), so that whoever watches looks now and then as well.
pub struct Watch {
    /// Watches while it is there.
    _watcher: RecommendedWatcher,
    root: PathBuf,
    id: Option<Id>,
}

/// Which folder stands at a path: another one may take its place.
type Id = (u64, u64);

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Watch {
    /// Watches `root`, a file or a folder with all below it, and what it is called in its own folder. `changed` is
    /// called on a thread of the watcher for each change: many times for one save. Whether a file that is written
    /// to counts is up to `matters`; files that come, go and are renamed always do.
    ///
    /// # Errors
    /// When it can't be watched.
    pub fn start(
        root: &Path,
        matters: impl Fn(&Path) -> bool + Send + 'static,
        changed: impl Fn() + Send + 'static,
    ) -> Result<Self> {
        let root = std::path::absolute(root).map_err(|err| failed(root, &err.to_string()))?;
        let about = root.clone();
        let is_file = root.is_file();
        let hear = move |event: notify::Result<Event>| {
            // An error means that something was missed.
            if event.map_or(true, |event| counts(&event, &about, is_file, &matters)) {
                changed();
            }
        };
        let mut watcher = notify::recommended_watcher(hear).map_err(|err| failed(&root, &err.to_string()))?;
        let mut watch =
            |path: &Path, mode| watcher.watch(path, mode).map_err(|err| failed(path, &err.to_string()));
        if !is_file {
            watch(&root, RecursiveMode::Recursive)?;
        }
        // A link that is replaced, as deployments do, is seen from outside only.
        if let Some(folder) = root.parent() {
            watch(folder, RecursiveMode::NonRecursive)?;
        }
        let id = id(&root);
        Ok(Self { _watcher: watcher, root, id })
    }

    /// Whether what is watched still stands at its path.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.id.is_some() && self.id == id(&self.root)
    }
}

fn counts(event: &Event, root: &Path, is_file: bool, matters: &dyn Fn(&Path) -> bool) -> bool {
    // A mounted file is a link by way of another name beside it, which is replaced.
    let ours = |path: &PathBuf| path.starts_with(root) || (is_file && path.parent() == root.parent());
    match event.kind {
        EventKind::Access(_) => false,
        EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_) | ModifyKind::Any) => {
            event.paths.iter().any(|path| ours(path) && (path == root || matters(path)))
        }
        _ => event.need_rescan() || event.paths.iter().any(ours),
    }
}

#[cfg(unix)]
fn id(path: &Path) -> Option<Id> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn id(path: &Path) -> Option<Id> {
    path.exists().then_some((0, 0))
}

fn failed(path: &Path, problem: &str) -> Error {
    let hint =
        "changes are seen at the next look; more can be watched with a larger fs.inotify.max_user_watches";
    Error::Unreachable { at: path.display().to_string(), problem: problem.to_owned(), hint }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn is_toml(path: &Path) -> bool {
        path.extension().is_some_and(|extension| extension == "toml")
    }

    struct Watched {
        watch: Watch,
        heard: mpsc::Receiver<()>,
        folder: tempfile::TempDir,
    }

    impl Watched {
        fn start(folder: tempfile::TempDir, root: &str) -> Self {
            let (tell, heard) = mpsc::channel();
            let changed = move || _ = tell.send(());
            let watch = Watch::start(&folder.path().join(root), is_toml, changed).unwrap();
            Self { watch, heard, folder }
        }

        /// Does something, which must be heard.
        fn hears(&self, what: &str, does: impl FnOnce(&Path)) {
            while self.heard.try_recv().is_ok() {}
            does(self.folder.path());
            assert!(self.heard.recv_timeout(PATIENCE).is_ok(), "{what} isn't heard");
        }
    }

    #[test]
    fn files_that_are_written_come_go_and_are_renamed_are_heard() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("root/deep")).unwrap();
        std::fs::write(folder.path().join("root/deep/a.toml"), "a").unwrap();
        let watched = Watched::start(folder, "root");
        watched.hears("a save in place", |at| std::fs::write(at.join("root/deep/a.toml"), "b").unwrap());
        watched.hears("a save by renaming", |at| {
            std::fs::write(at.join("root/deep/.a.swp"), "c").unwrap();
            std::fs::rename(at.join("root/deep/.a.swp"), at.join("root/deep/a.toml")).unwrap();
        });
        watched.hears("a new folder", |at| std::fs::create_dir(at.join("root/new")).unwrap());
        watched.hears("a removal", |at| std::fs::remove_file(at.join("root/deep/a.toml")).unwrap());
        assert!(watched.watch.is_current());
        watched.hears("its own removal", |at| {
            std::fs::rename(at.join("root"), at.join("gone")).unwrap();
        });
        assert!(!watched.watch.is_current());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_elsewhere_is_heard_and_watched_no_longer() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("one")).unwrap();
        std::fs::create_dir(folder.path().join("two")).unwrap();
        symlink("one", folder.path().join("current")).unwrap();
        let watched = Watched::start(folder, "current");
        watched.hears("a file behind the link", |at| std::fs::write(at.join("one/a.toml"), "a").unwrap());
        watched.hears("another link", |at| {
            symlink("two", at.join("next")).unwrap();
            std::fs::rename(at.join("next"), at.join("current")).unwrap();
        });
        assert!(!watched.watch.is_current());
    }

    #[test]
    fn a_single_file_is_watched_from_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("flow"), "a").unwrap();
        let watched = Watched::start(folder, "flow");
        watched.hears("a save", |at| std::fs::write(at.join("flow"), "b").unwrap());
        watched.hears("a save by renaming", |at| {
            std::fs::write(at.join("flow~"), "c").unwrap();
            std::fs::rename(at.join("flow~"), at.join("flow")).unwrap();
        });
    }

    #[test]
    fn what_doesnt_matter_isnt_told() {
        let root = Path::new("/srv/workflows");
        let event = |kind: EventKind, path: &str| Event::new(kind).add_path(path.into());
        let write = EventKind::Modify(ModifyKind::Any);
        let create = EventKind::Create(notify::event::CreateKind::Any);
        for (event, expected) in [
            (event(write, "/srv/workflows/a.toml"), true),
            (event(write, "/srv/workflows/data/flowlord.db"), false),
            (event(write, "/srv/other/a.toml"), false),
            (event(create, "/srv/other"), false),
            (event(create, "/srv/workflows"), true),
            (event(create, "/srv/workflows/x"), true),
            (event(EventKind::Access(notify::event::AccessKind::Any), "/srv/workflows/a.toml"), false),
        ] {
            assert_eq!(counts(&event, root, false, &is_toml), expected, "{event:?}");
        }
    }

    #[test]
    fn what_isnt_there_cant_be_watched_and_says_what_follows() {
        let err = Watch::start(Path::new("/is/not/there"), is_toml, || ()).unwrap_err().to_string();
        assert!(err.contains("/is/not/there") && err.contains("at the next look"), "{err}");
    }
}

//! Local files, watched.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use notify::event::ModifyKind;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::error::{Error, Result};
use crate::trace::PathTrace;

/// How often the way to the files is checked: a link that is replaced is seen after this time at most.
const WAY_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Notifies when something at or below a path changes, until it is dropped: also when a link on the way there, or one
/// below it, leads elsewhere. Something may be missed (a disk of another machine tells nothing), so that its user also
/// scans the files now and then.
pub struct FolderWatch {
    /// Watches while it is there.
    _watcher: RecommendedWatcher,
    /// The way is checked while it is there.
    _way: Sender<()>,
    state: Arc<WatchState>,
}

impl std::fmt::Debug for FolderWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FolderWatch").field("root", &self.state.root).finish_non_exhaustive()
    }
}

impl FolderWatch {
    /// Watches `root`, a file or a folder with all below it that isn't hidden, and the way there. `changed` is
    /// called on a thread of the watcher for each change: many times for one save. Whether a file that is written
    /// to counts is up to `matters`; files that come, go and are renamed always do.
    pub fn start(
        root: &Path,
        matters: impl Fn(&Path) -> bool + Send + Sync + 'static,
        changed: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self> {
        // Links stay in it: where they lead may change, and is watched.
        let root = std::path::absolute(root).map_err(|err| watch_error(root, &err))?;
        let trace = PathTrace::trace_root(&root, &matters);
        let (matters, changed) = (Box::new(matters), Box::new(changed));
        let state = Arc::new(WatchState { root, matters, changed, trace, is_stale: AtomicBool::new(false) });
        let (root, heard) = (&state.root, Arc::clone(&state));
        let mut watcher = notify::recommended_watcher(move |event| heard.handle_event(event))
            .map_err(|err| watch_error(root, &err))?;
        // A root that isn't there yet can't be watched, and its user must know that only scans will find it.
        std::fs::metadata(root).map_err(|err| watch_error(root, &err))?;
        for folder in state.trace.watched_folders() {
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                // What can't be read, or left meanwhile, hides no change elsewhere.
                Err(err) if matches!(err.kind, notify::ErrorKind::MaxFilesWatch) => {
                    return Err(watch_error(folder, &err));
                }
                _ => {}
            }
        }
        let way = check_way(Arc::clone(&state)).map_err(|err| watch_error(root, &err))?;
        let watch = Self { _watcher: watcher, _way: way, state };
        // What changed between the two isn't heard.
        if !watch.is_current() {
            (watch.state.changed)();
        }
        Ok(watch)
    }

    /// Whether all that is to be watched is.
    pub fn is_current(&self) -> bool {
        let WatchState { root, matters, trace, is_stale, .. } = &*self.state;
        !is_stale.load(Ordering::Relaxed) && *trace == PathTrace::trace_root(root, matters)
    }
}

/// What the watcher's thread, the check of the way and the watch itself share.
struct WatchState {
    root: PathBuf,
    matters: Box<dyn Fn(&Path) -> bool + Send + Sync>,
    changed: Box<dyn Fn() + Send + Sync>,
    trace: PathTrace,
    /// Set when a folder or a link that is watched was replaced.
    is_stale: AtomicBool,
}

impl WatchState {
    fn handle_event(&self, event: notify::Result<Event>) {
        // An error means that something was missed.
        let (is_ours, is_replaced) = event.map_or((true, true), |event| {
            let is_replaced = is_structural(&event) && event.paths.iter().any(|path| self.trace.leads_by(path));
            (is_counted(&event, &self.trace, &self.matters), is_replaced)
        });
        if is_replaced {
            self.is_stale.store(true, Ordering::Relaxed);
        }
        if is_ours {
            (self.changed)();
        }
    }
}

/// Checks the way to the files on a thread of its own, until something on it changed or the answer is dropped.
fn check_way(state: Arc<WatchState>) -> std::io::Result<Sender<()>> {
    let (watch, is_dropped) = mpsc::channel();
    std::thread::Builder::new().name("workflow-way".to_owned()).spawn(move || {
        // The pause ends at once when the watch is dropped, and with it its end of the channel.
        while is_dropped.recv_timeout(WAY_CHECK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            if !state.trace.is_way_the_same() {
                state.is_stale.store(true, Ordering::Relaxed);
                (state.changed)();
                return;
            }
        }
    })?;
    Ok(watch)
}

/// Whether something came, left or was renamed.
fn is_structural(event: &Event) -> bool {
    let is_written = matches!(
        event.kind,
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_) | ModifyKind::Any)
    );
    !is_written
}

fn is_counted(event: &Event, trace: &PathTrace, matters: &dyn Fn(&Path) -> bool) -> bool {
    match event.kind {
        EventKind::Access(_) => false,
        _ if is_structural(event) => {
            event.need_rescan() || event.paths.iter().any(|path| trace.holds_directly(path) || trace.leads_by(path))
        }
        _ => event.paths.iter().any(|path| trace.leads_by(path) || (trace.holds_directly(path) && matters(path))),
    }
}

fn watch_error(path: &Path, problem: &dyn std::fmt::Display) -> Error {
    let hint = "changes are seen at the next scan; more can be watched with a larger fs.inotify.max_user_watches";
    Error::Unreachable { at: path.display().to_string(), problem: problem.to_string(), hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn is_toml(path: &Path) -> bool {
        path.extension().is_some_and(|extension| extension == "toml")
    }

    struct Watched {
        watch: FolderWatch,
        heard: mpsc::Receiver<()>,
        folder: Option<tempfile::TempDir>,
    }

    impl Watched {
        fn start(folder: tempfile::TempDir, root: &str) -> Self {
            let watched = Self::start_at(&folder.path().join(root));
            Self { folder: Some(folder), ..watched }
        }

        fn start_at(root: &Path) -> Self {
            let (tell, heard) = mpsc::channel();
            let changed = move || _ = tell.send(());
            let watch = FolderWatch::start(root, is_toml, changed).unwrap();
            Self { watch, heard, folder: None }
        }

        /// Does something, which must be heard.
        fn hears(&self, what: &str, does: impl FnOnce(&Path)) {
            self.hears_at(what, || does(self.folder.as_ref().unwrap().path()));
        }

        fn hears_at(&self, what: &str, does: impl FnOnce()) {
            while self.heard.try_recv().is_ok() {}
            does();
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
        watched.hears("a removal", |at| std::fs::remove_file(at.join("root/deep/a.toml")).unwrap());
        assert!(watched.watch.is_current());
        watched.hears("a new folder", |at| std::fs::create_dir(at.join("root/new")).unwrap());
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

    #[cfg(unix)]
    #[test]
    fn a_link_anywhere_on_the_way_that_leads_elsewhere_is_heard() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        for release in ["releases/1/sub", "releases/2/sub", "teams/1", "teams/2", "root"] {
            std::fs::create_dir_all(at.join(release)).unwrap();
        }
        let swap = |target: &str, link: &str, at: &Path| {
            symlink(target, at.join("next")).unwrap();
            std::fs::rename(at.join("next"), at.join(link)).unwrap();
        };
        swap("releases/1", "current", at);
        swap("current", "live", at);
        swap("teams/1", "team", at);
        // A link below the root that leads out of it, by way of another one.
        symlink(at.join("team"), at.join("root/mine")).unwrap();
        for (root, link, old, new, inside) in [
            ("live/sub", "current", "releases/1", "releases/2", "releases/2/sub/a.toml"),
            ("live/sub", "live", "current", "releases/1", "releases/1/sub/a.toml"),
            ("root", "team", "teams/1", "teams/2", "teams/2/a.toml"),
        ] {
            swap(old, link, at);
            let watched = Watched::start_at(&at.join(root));
            assert!(watched.watch.is_current());
            watched.hears_at(&format!("another {link} to {root}"), || swap(new, link, at));
            assert!(!watched.watch.is_current(), "{root} by {link}");
            let watched = Watched::start_at(&at.join(root));
            watched.hears_at("a file behind it", || std::fs::write(at.join(inside), "a").unwrap());
        }
    }

    #[cfg(unix)]
    #[test]
    fn files_mounted_as_kubernetes_does_and_files_linked_from_elsewhere_are_heard() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().to_owned();
        for version in ["root/..1", "root/..2", "etc"] {
            std::fs::create_dir_all(at.join(version)).unwrap();
            std::fs::write(at.join(version).join("a.toml"), "a").unwrap();
        }
        symlink("..1", at.join("root/..data")).unwrap();
        symlink("..data/a.toml", at.join("root/a.toml")).unwrap();
        symlink("../etc/a.toml", at.join("root/b.toml")).unwrap();
        for (root, version) in [("root", "..2"), ("root/a.toml", "..1")] {
            let watched = Watched::start_at(&at.join(root));
            watched.hears_at("a new version", || {
                symlink(version, at.join("root/..next")).unwrap();
                std::fs::rename(at.join("root/..next"), at.join("root/..data")).unwrap();
            });
            assert!(!watched.watch.is_current());
            let watched = Watched::start_at(&at.join(root));
            let file = at.join("root").join(version).join("a.toml");
            watched.hears_at("a save of it", || std::fs::write(file, "b").unwrap());
        }
        let watched = Watched::start_at(&at.join("root"));
        watched.hears_at("a save elsewhere", || std::fs::write(at.join("etc/a.toml"), "b").unwrap());
    }

    #[test]
    fn a_folder_that_came_later_or_was_replaced_is_watched_by_a_new_watch() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().to_owned();
        std::fs::create_dir_all(at.join("root/deep")).unwrap();
        let watched = Watched::start_at(&at.join("root"));
        watched.hears_at("a new folder", || std::fs::create_dir(at.join("root/new")).unwrap());
        assert!(!watched.watch.is_current());
        let watched = Watched::start_at(&at.join("root"));
        watched.hears_at("a file in it", || std::fs::write(at.join("root/new/a.toml"), "a").unwrap());
        assert!(watched.watch.is_current());
        watched.hears_at("a folder in its place", || {
            std::fs::remove_dir(at.join("root/deep")).unwrap();
            std::fs::create_dir(at.join("root/deep")).unwrap();
        });
        assert!(!watched.watch.is_current(), "whatever its number is");
    }

    #[cfg(unix)]
    #[test]
    fn links_round_in_circles_and_to_nowhere_keep_nothing_from_being_watched() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().to_owned();
        std::fs::create_dir(at.join("root")).unwrap();
        symlink("itself", at.join("root/itself")).unwrap();
        symlink(".", at.join("root/again")).unwrap();
        symlink("../later.toml", at.join("root/later.toml")).unwrap();
        let watched = Watched::start_at(&at.join("root"));
        watched.hears_at("a save", || std::fs::write(at.join("root/a.toml"), "a").unwrap());
        assert!(watched.watch.is_current());
        watched.hears_at("what a link waits for", || std::fs::write(at.join("later.toml"), "a").unwrap());
    }

    #[test]
    fn the_folder_of_the_root_is_left_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(at.join("workflows")).unwrap();
        std::fs::write(at.join("one.toml"), "a").unwrap();
        let watched = |root: &str| {
            let trace = PathTrace::trace_root(&at.join(root), &is_toml);
            trace.watched_folders().into_iter().map(Path::to_owned).collect::<Vec<_>>()
        };
        // A database beside it is written to a thousand times a second.
        assert_eq!(watched("workflows"), [at.join("workflows")]);
        assert_eq!(watched("one.toml"), [at]);
    }

    #[test]
    fn what_doesnt_matter_isnt_told() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(at.join("workflows/data")).unwrap();
        let trace = PathTrace::trace_root(&at.join("workflows"), &is_toml);
        let event = |kind: EventKind, path: &str| Event::new(kind).add_path(at.join(path));
        let write = EventKind::Modify(ModifyKind::Any);
        let create = EventKind::Create(notify::event::CreateKind::Any);
        for (event, expected) in [
            (event(write, "workflows/a.toml"), true),
            (event(write, "workflows/data/flowlord.db"), false),
            (event(write, "other/a.toml"), false),
            (event(create, "other"), false),
            (event(create, "workflows"), true),
            (event(create, "workflows/x"), true),
            (event(EventKind::Access(notify::event::AccessKind::Any), "workflows/a.toml"), false),
        ] {
            assert_eq!(is_counted(&event, &trace, &is_toml), expected, "{event:?}");
        }
    }

    #[test]
    fn what_isnt_there_cant_be_watched_and_says_what_follows() {
        let err = FolderWatch::start(Path::new("/is/not/there"), is_toml, || ()).unwrap_err().to_string();
        assert!(err.contains("/is/not/there") && err.contains("at the next scan"), "{err}");
    }
}

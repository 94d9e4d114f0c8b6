//! One look at the workflow files: read what changed, compare, remember.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flowlord_kernel::{Code, Error, Result};
use flowlord_messages::library::Reloaded;
use flowlord_messages::read::ReadWorkflows;
use flowlord_store::Watch;
use tokio::sync::Notify;

use crate::files::Found;
use crate::row_problems::{self, RowProblems};
use crate::shelf::{Looked, Shelf};
use crate::source::{self, Seen};
use crate::{Config, Deps, files};

/// What is said of a root that was suddenly bare.
const UNMOUNTED: &str = "nothing is there any more, as where a disk isn't mounted: put the files back, or, to end their \
                         workflows, put any other file there";

/// What a look came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) shelf: Shelf,
    pub(crate) reloaded: Reloaded,
    pub(crate) row_problems: RowProblems,
    /// The place couldn't be read: what was there before stays.
    pub(crate) away: bool,
    pub(crate) watch: Option<Watch>,
}

/// Reads the files, compares, and has what changed remembered before it counts.
pub(crate) async fn look(
    config: Config,
    deps: Deps,
    shelf: Option<Shelf>,
    watch: Option<Watch>,
    changes: Arc<Notify>,
) -> Result<Outcome> {
    let shelf = match shelf {
        Some(shelf) => shelf,
        None => Shelf::remembered(deps.stored.call(ReadWorkflows).await?, config.zone),
    };
    let root = match config.files.root.as_local() {
        Some(path) => Root::Here(path.to_owned()),
        None => Root::There(remote(&config, &shelf).await),
    };
    let meta_files = config.files.clone();
    let now = deps.clock.now();
    let looked = tokio::task::spawn_blocking(move || {
        let mut watching = None;
        let seen = match root {
            Root::There(seen) => seen,
            Root::Here(path) => {
                if config.watch {
                    // Before the files are read: no change falls in between.
                    watching = watched(&path, watch, &changes);
                }
                let read = files::read(&path).map_err(|err| format!("{}: {err}", path.display()));
                read.map(|Found { files, skipped, is_bare }| Found {
                    files: files.into_iter().map(Into::into).collect(),
                    skipped,
                    is_bare,
                })
            }
        };
        let seen = seen
            .and_then(|found| if shelf.is_unmounted(&found) { Err(UNMOUNTED.to_owned()) } else { Ok(found) });
        let away = seen.is_err();
        let looked = match seen {
            Ok(found) => shelf.look(found, now),
            Err(problem) => shelf.keep(&problem, now),
        };
        (looked, away, watching)
    });
    let (Looked { shelf, reloaded, save }, away, watch) = looked
        .await
        .map_err(|err| Error::new(Code::Internal, format!("reading the workflow files failed: {err}")))?;
    if let Some(save) = save {
        deps.save.call(save).await?;
    }
    let row_problems = row_problems::find(&meta_files, &shelf.workflows()).await;
    Ok(Outcome { shelf, reloaded, row_problems, away, watch })
}

/// On this machine, or in a store, which was read by then.
enum Root {
    Here(PathBuf),
    There(Read),
}

/// What was read; else why not.
type Read = std::result::Result<Found<Seen>, String>;

async fn remote(config: &Config, shelf: &Shelf) -> Read {
    let files = &config.files;
    let store = files.stores.open(&files.root).map_err(|err| err.to_string())?;
    source::seen(&store, |path, hash| shelf.knows(path, hash)).await.map_err(|err| err.to_string())
}

/// The watch of the files, anew where another folder took their place. Without one they are still looked at every
/// `refresh`.
fn watched(root: &Path, watch: Option<Watch>, changes: &Arc<Notify>) -> Option<Watch> {
    if let Some(watch) = watch.filter(Watch::is_current) {
        return Some(watch);
    }
    let changes = Arc::clone(changes);
    let watch = Watch::start(root, files::is_named_as_workflow, move || changes.notify_one());
    watch.map_err(|err| log::warn!("event=not_watched error={:?}", err.to_string())).ok()
}

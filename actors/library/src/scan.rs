//! One scan of the workflow files: read what changed, compare, remember.

use std::path::Path;
use std::sync::Arc;

use flowlord_domain::calendar::Calendars;
use flowlord_kernel::Result;
use flowlord_messages::workflows::{ReadWorkflows, ReloadReport};
use flowlord_storage::FolderWatch;
use tokio::sync::Notify;

use crate::calendars::{is_named_as_calendar, read_calendars};
use crate::catalog::{CatalogChange, WorkflowCatalog};
use crate::files::{self, FoundFiles, run_blocking};
use crate::row_problems::{RowProblems, find_row_problems};
use crate::source::{ScannedFile, scan_store};
use crate::{Config, Deps};

/// The problem of a root that was suddenly bare.
const UNMOUNTED: &str = "the folder is empty, as if a disk were not mounted: put the files back, or, to end their \
                         workflows, put any other file there";

#[derive(Debug)]
pub(crate) struct ScanOutcome {
    pub(crate) catalog: WorkflowCatalog,
    pub(crate) reloaded: ReloadReport,
    pub(crate) row_problems: RowProblems,
    pub(crate) calendars: Calendars,
    /// The place couldn't be read: what was there before stays.
    pub(crate) is_away: bool,
    pub(crate) watch: Option<FolderWatch>,
}

/// What the scan before knew.
#[derive(Debug)]
pub(crate) struct KnownFiles {
    pub(crate) catalog: Option<WorkflowCatalog>,
    pub(crate) calendars: Calendars,
}

/// The files that were read; else why not.
type FilesRead = std::result::Result<FoundFiles<ScannedFile>, String>;

/// Reads the files, compares, and has what changed stored before it counts.
pub(crate) async fn scan_files(
    config: Config,
    deps: Deps,
    known: KnownFiles,
    watch: Option<FolderWatch>,
    changes: Arc<Notify>,
) -> Result<ScanOutcome> {
    let catalog = match known.catalog {
        Some(catalog) => catalog,
        // The first scan of this process: what an earlier one knew is in rows.
        None => WorkflowCatalog::from_records(deps.reader.call(ReadWorkflows).await?, config.zone),
    };
    let (found, watch) = match config.files.root.as_local() {
        Some(path) => {
            let (path, is_watched) = (path.to_owned(), config.watch);
            run_blocking(move || {
                // Watched before the files are read: no change falls in between.
                let watch = if is_watched { watch_folder(&path, watch, &changes) } else { None };
                (read_local(&path), watch)
            })
            .await?
        }
        None => (read_remote(&config, &catalog).await, None),
    };
    let now = deps.kit.now();
    // Parsing many files takes a while.
    let (change, is_away) = run_blocking(move || match found {
        Ok(found) if !catalog.is_unmounted(&found) => (catalog.compare(found, now), false),
        Ok(_) => (catalog.keep_all(UNMOUNTED, now), true),
        Err(problem) => (catalog.keep_all(&problem, now), true),
    })
    .await?;
    let CatalogChange { catalog, reloaded, save } = change;
    if let Some(save) = save {
        // Before it counts: after a crash the same versions must be in use, and no alert may be raised twice.
        deps.writer.call(save).await?;
    }
    let workflows = catalog.workflows();
    let row_problems = find_row_problems(&config.files, &workflows).await;
    let calendars = read_calendars(&config.files, &workflows, &known.calendars).await;
    Ok(ScanOutcome { catalog, reloaded, row_problems, calendars, is_away, watch })
}

fn read_local(path: &Path) -> FilesRead {
    let read = files::read_folder(path).map_err(|err| format!("{}: {err}", path.display()));
    let FoundFiles { files, skipped, is_bare } = read?;
    Ok(FoundFiles { files: files.into_iter().map(Into::into).collect(), skipped, is_bare })
}

async fn read_remote(config: &Config, catalog: &WorkflowCatalog) -> FilesRead {
    let files = &config.files;
    let store = files.stores.open(&files.root).map_err(|err| err.to_string())?;
    let scanned = scan_store(&store, |path, hash| catalog.knows_content(path, hash)).await;
    scanned.map_err(|err| err.to_string())
}

/// The watch of the files, anew where another folder took their place. Without one they are still scanned every
/// `refresh`.
fn watch_folder(root: &Path, watch: Option<FolderWatch>, changes: &Arc<Notify>) -> Option<FolderWatch> {
    if let Some(watch) = watch.filter(FolderWatch::is_current) {
        return Some(watch);
    }
    let changes = Arc::clone(changes);
    let is_read = |path: &Path| files::is_named_as_workflow(path) || is_named_as_calendar(path);
    let watch = FolderWatch::start(root, is_read, move || changes.notify_one());
    watch.map_err(|err| log::warn!("event=not_watched error={:?}", err.to_string())).ok()
}

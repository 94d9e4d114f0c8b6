//! `flowlord restore`: a snapshot becomes the database.

use std::path::PathBuf;
use std::process::ExitCode;

use flowlord::config::Loaded;
use flowlord_backup::Place;
use flowlord_db::FolderLock;
use flowlord_messages::{Clock as _, SystemClock};

use super::args::ConfigFlags;
use super::{USAGE, out};

const EXAMPLES: &str = "\
Examples:
  flowlord restore --data ./data --backup-path /backup
  flowlord restore --data ./data --from /backup/before-upgrade.db --force

Not while the service runs. A database that is there stays, unless --force moves it aside.";

/// Put a snapshot in the place of the database
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A snapshot, or a folder whose newest one is taken; else backup.path, or DATA/snapshots
    #[arg(long)]
    from: Option<PathBuf>,
    /// Move a database that is there aside
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    config: ConfigFlags,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Loaded { config, .. } = match args.config.load(&[]) {
        Ok(loaded) => loaded,
        Err(err) => {
            out::error(&format!("flowlord: {err:#}"));
            return Ok(ExitCode::from(USAGE));
        }
    };
    let from = args.from.clone().unwrap_or_else(|| config.snapshots());
    let snapshot = if from.is_dir() {
        let newest = Place(from.clone()).list()?.into_iter().next();
        let newest = newest.map(|snapshot| PathBuf::from(snapshot.location));
        newest.ok_or_else(|| {
            anyhow::anyhow!("there is no snapshot in {}: name one with --from", from.display())
        })?
    } else {
        anyhow::ensure!(
            from.exists(),
            "{} isn't there: name a snapshot or its folder with --from",
            from.display()
        );
        from
    };
    let _lock = FolderLock::take(&config.data)?;
    let restored = flowlord_db::restore(&snapshot, &config.data, args.force, SystemClock.now())?;
    let newest =
        restored.newest.map_or_else(|| "none".to_owned(), |at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string());
    out::line(&format!("restored {}, whose newest task is {newest}", snapshot.display()))?;
    if let Some(aside) = restored.moved_to {
        out::line(&format!("the database that was there is kept as {}", aside.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

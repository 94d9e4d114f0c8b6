//! `flowlord restore`: a snapshot becomes the database.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use flowlord::config::LoadedConfig;
use flowlord::recovery::{self, WantedSnapshot};
use flowlord_db::FolderLock;
use flowlord_kernel::{Clock as _, SystemClock};
use flowlord_storage::{StorageConnections, StorageLocation};

use super::args::ConfigFlags;
use super::out;

const EXAMPLES: &str = "\
Examples:
  flowlord restore --data ./data --backup-path s3://bucket/flowlord
  flowlord restore --data ./data --from /backup --at 2026-03-02T08:00:00Z --force
  flowlord restore --data ./data --from /backup/before-upgrade.db --force

The service must be stopped. An existing database is kept, unless --force moves it aside.";

/// Put a snapshot in the place of the database
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A snapshot, or a place whose newest one is taken, here or in s3:// or gs://; else backup.path, or DATA/snapshots
    #[arg(long, value_parser = StorageLocation::parse)]
    from: Option<StorageLocation>,
    /// As things were then, like 2026-03-02T08:00:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<DateTime<Utc>>,
    /// Move a database that is there aside
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    config: ConfigFlags,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let LoadedConfig { config, .. } = args.config.load(&[])?;
    let from = args.from.clone().unwrap_or_else(|| config.snapshots());
    let wanted = WantedSnapshot { from, at: args.at, force: args.force };
    // A service that runs would go on writing into the file that is moved aside.
    let lock = FolderLock::take(&config.data)?;
    let stores = StorageConnections::new(config.store.clone());
    let done = recovery::restore(&wanted, &stores, &lock, SystemClock.now());
    let done = actix_rt::System::new().block_on(done)?;
    out::line(&done.text())?;
    Ok(ExitCode::SUCCESS)
}

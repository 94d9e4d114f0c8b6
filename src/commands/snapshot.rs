//! `flowlord snapshot`: a copy of the database.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use flowlord::Config;
use flowlord::config::LoadedConfig;
use flowlord_backup::BackupPlace;
use flowlord_db::{FolderLock, OpenError, SnapshotError};
use flowlord_kernel::{Clock as _, SystemClock};
use flowlord_storage::StorageConnections;
use serde::Deserialize;
use serde_json::json;

use super::args::{ConfigFlags, existing_database, service_on};
use super::out;
use super::work::client::ApiClient;

const EXAMPLES: &str = "\
Examples:
  flowlord snapshot --data ./data
  flowlord snapshot --data ./data --to /backup/before-upgrade.db

Works while the service runs: then the service takes the snapshot. The copy is a plain SQLite file, checked before it
gets its name. Without --to it goes to backup.path, or to DATA/snapshots.";

// The service copies, checks and sends the whole database before it answers.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);

/// Make one consistent, checked copy of the database
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The file to make; there must be none of this name
    #[arg(long)]
    to: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigFlags,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let LoadedConfig { config, .. } = args.config.load(&[])?;
    let to = args.to.as_ref().map(std::path::absolute).transpose()?;
    let database = existing_database(&config.data)?;
    let (location, bytes) = match FolderLock::take(&config.data) {
        Ok(_lock) => match to {
            Some(to) => (to.display().to_string(), copy(&config, &database, &to)?),
            None => actix_rt::System::new().block_on(one_more(&config, &database))?,
        },
        Err(OpenError::InUse(_)) => {
            let client = ApiClient::of_running(&service_on(&config.data)?)?;
            let taken = actix_rt::System::new().block_on(by_service(&client, to))?;
            (taken.location, taken.bytes)
        }
        Err(err) => return Err(err.into()),
    };
    out::line(&format!("{location} {bytes} bytes, checked"))?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Deserialize)]
struct TakenSnapshot {
    location: String,
    bytes: u64,
}

/// One more in the usual place; old ones stay.
async fn one_more(config: &Config, database: &Path) -> anyhow::Result<(String, u64)> {
    let place = BackupPlace::open(&config.snapshots(), &StorageConnections::new(config.store.clone()))?;
    let at = SystemClock.now();
    let name = BackupPlace::name(at);
    let there = place.local_file(&name);
    let spooled = there.is_none();
    let file = there.unwrap_or_else(|| config.spool().join(&name));
    copy(config, database, &file)?;
    let log = flowlord_db::log_point(&file);
    // The copy on this machine is removed also where the place refuses it.
    let kept = place.keep_file(&name, at, &file, log).await;
    if spooled {
        std::fs::remove_file(&file)?;
    }
    Ok((place.location(&name), kept?.bytes))
}

/// A database that turns out damaged is left with a mark, by which the next start restores a snapshot.
fn copy(config: &Config, database: &Path, to: &Path) -> anyhow::Result<u64> {
    let copied = flowlord_db::copy(database, to);
    if copied.as_ref().is_err_and(SnapshotError::is_damage)
        && let Some(problem) = flowlord_db::mark_if_damaged(&config.data, SystemClock.now())
    {
        anyhow::bail!(
            "the database {} is damaged ({problem}): the next start of the service restores the newest intact snapshot",
            database.display()
        );
    }
    Ok(copied?)
}

async fn by_service(client: &ApiClient, to: Option<PathBuf>) -> anyhow::Result<TakenSnapshot> {
    let body = to.map_or_else(|| json!({}), |to| json!({ "to": to }));
    Ok(client.post("/snapshots", &body, PATIENCE).await?)
}

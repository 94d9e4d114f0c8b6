//! `flowlord health`: asks a service whether it lives, for containers without other programs.

use std::process::ExitCode;
use std::time::Duration;

use super::args::ServiceOfFolder;
use super::work::client::ApiClient;

const EXAMPLES: &str = "\
Examples:
  flowlord health
  flowlord health --ready --server http://127.0.0.1:8080

Exits with 0 when the service answers, with 1 and the reason when it doesn't.";

// Shorter than the time that a container's health check is given.
const PATIENCE: Duration = Duration::from_secs(4);

/// Ask whether the service lives: the health check of a container
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    folder: ServiceOfFolder,
    /// The service, where its data folder isn't at hand
    #[arg(long, value_name = "URL", env = "FLOWLORD_SERVER")]
    server: Option<String>,
    /// Ask also whether it is ready: every actor answers
    #[arg(long)]
    ready: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let client = match &args.server {
        Some(server) => ApiClient::new(server, None)?,
        None => args.folder.client()?,
    };
    let path = if args.ready { "/readyz" } else { "/healthz" };
    actix_rt::System::new().block_on(client.probe(path, PATIENCE))?;
    Ok(ExitCode::SUCCESS)
}

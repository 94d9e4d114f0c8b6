//! `flowlord serve`: the service.

use std::process::ExitCode;

use super::args::ConfigFlags;
use super::out;
use super::run::{HangupAction, run_until_asked};

const EXAMPLES: &str = "\
Examples:
  flowlord serve --workflow ./workflows --data ./data
  flowlord serve --config /etc/flowlord.toml --listen 127.0.0.1:9090
  FLOWLORD_NOTIFY__URL=https://hooks.slack.com/… flowlord serve
  flowlord serve --standby --backup-path s3://backups/flowlord --cluster-node b --cluster-url http://10.0.0.6:8080
  flowlord serve --print-config";

/// Run the service: prints its address on one line when it is ready
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigFlags,
    /// Follow the leader of the cluster, and take over when it fails; needs backup.path, cluster.node and cluster.url
    #[arg(long)]
    standby: bool,
    /// Print the effective configuration, secrets masked, and end
    #[arg(long)]
    print_config: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut loaded = args.config.load(&[])?;
    if args.standby {
        let Some(cluster) = &mut loaded.config.cluster else {
            anyhow::bail!("--standby is for a node of a cluster: set backup.path, cluster.node and cluster.url");
        };
        cluster.is_standby = true;
    }
    if args.print_config {
        out::text(&loaded.to_toml())?;
        return Ok(ExitCode::SUCCESS);
    }
    actix_rt::System::new().block_on(run_until_asked(&loaded.config, HangupAction::Reloads, |app| {
        out::line(&format!("flowlord listens on {}", app.url()))?;
        if let Some(token) = app.first_token() {
            out::line(&format!("flowlord made an admin token, shown only now: {}", token.expose()))?;
        }
        Ok(())
    }))
}

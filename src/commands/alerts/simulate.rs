//! `flowlord alerts simulate`: recorded alerts under another policy.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use flowlord::Config;
use flowlord::config::{Loaded, Sources};
use flowlord_domain::simulate::{Ladder, Replay, replay};
use flowlord_kernel::{Clock as _, SystemClock};

use super::recorded;
use super::table::{Side, table};
use crate::commands::args::ConfigFlags;
use crate::commands::plan::time;
use crate::commands::{USAGE, out};

const EXAMPLES: &str = "\
Examples:
  flowlord alerts simulate --policy seldom.toml --from 2026-03-01 --to 2026-03-08 --data ./data

  # seldom.toml
  [notify]
  min_frequency = \"15m\"
  max_frequency = \"6h\"
  [notify.routes.etl]
  workflow      = \"etl/*\"
  channel       = \"#etl\"
  quiet_hours   = \"22:00-07:00\"

Replays the alerts of that time under the policy of the configuration and under that of the file, and prints both side
by side: messages per day and route, the time to the first message of an incident, and the time to its all-clear. Each side
uses its own routes, each with its escalation policy and its quiet hours. Nothing is sent.

Works while the service runs: then the service reads its database. Alerts that were sent at once or silenced are left
out: no escalation policy applies to them.";

/// Replay recorded alerts under another policy
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The other policy: a configuration file, of which [notify] counts
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// From then on: a date (2026-03-01), a date and an hour (2026-03-01T05), or RFC 3339
    #[arg(long, value_name = "TIME")]
    from: String,
    /// Until then, not included [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    #[command(flatten)]
    config: ConfigFlags,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let asked = args.config.load(&[]).and_then(|Loaded { config, .. }| Asked::new(args, config));
    let asked = match asked {
        Ok(asked) => asked,
        Err(err) => {
            out::error(&format!("flowlord: {err:#}"));
            return Ok(ExitCode::from(USAGE));
        }
    };
    let alerts = recorded::read(&asked.config.data, asked.from, asked.to)?;
    let side = |name: &str, config: &Config| {
        let ladders = config.notify.ladders();
        let replay: Replay = replay(&ladders, &alerts, asked.from, asked.to);
        Side { name: name.to_owned(), policies: policies(&ladders), replay }
    };
    let sides = [side("now", &asked.config), side(&file_name(&args.policy), &asked.other)];
    out::line(&format!(
        "{} alerts from {} to {}",
        alerts.len(),
        asked.from.format("%Y-%m-%dT%H:%M:%SZ"),
        asked.to.format("%Y-%m-%dT%H:%M:%SZ")
    ))?;
    out::text(&table(&sides))?;
    Ok(ExitCode::SUCCESS)
}

struct Asked {
    config: Config,
    other: Config,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

impl Asked {
    fn new(args: &Args, config: Config) -> anyhow::Result<Self> {
        let zone = config.timezone;
        let from = time::parse(&args.from, zone).context("--from")?;
        let to = args.to.as_ref().map(|to| time::parse(to, zone).context("--to")).transpose()?;
        let to = to.unwrap_or_else(|| SystemClock.now());
        anyhow::ensure!(from < to, "--to is not after --from: write a later time");
        Ok(Self { other: policy(&args.policy)?, config, from, to })
    }
}

/// The file alone: neither the environment nor flags change what is to be tried out.
fn policy(file: &Path) -> anyhow::Result<Config> {
    let sources = Sources { file: Some(file.to_owned()), ..Sources::default() };
    let loaded = Config::load(&sources).with_context(|| format!("--policy {}", file.display()))?;
    Ok(loaded.config)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// In words, one a ladder; by the names of their routes where there are several.
fn policies(ladders: &[Ladder]) -> Vec<String> {
    let words = |ladder: &Ladder| {
        let name = if ladders.len() > 1 { format!("{}: ", ladder.route) } else { String::new() };
        let quiet = ladder.quiet.map(|quiet| format!(", quiet {quiet}")).unwrap_or_default();
        format!("{name}{}{quiet}", ladder.policy)
    };
    ladders.iter().map(words).collect()
}

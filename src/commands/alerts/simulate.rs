//! `flowlord alerts simulate`: recorded alerts under another policy.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use flowlord::Config;
use flowlord::config::{LoadedConfig, Sources};
use flowlord_domain::escalation::EscalationRoute;
use flowlord_domain::simulate::{RecordedAlert, replay_alerts};
use flowlord_kernel::{Clock as _, SystemClock};

use super::recorded;
use super::table::{ReplaySide, format_table};
use crate::commands::args::ConfigFlags;
use crate::commands::plan::time;
use crate::commands::{UsageError, out};

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
    let LoadedConfig { config, .. } = args.config.load(&[])?;
    let asked = SimulationRequest::new(args, config).map_err(UsageError)?;
    let alerts = recorded::read_alerts(&asked.config.data, asked.from, asked.to)?;
    let sides = [
        asked.replay_side("now", &asked.config, &alerts),
        asked.replay_side(&file_name(&args.policy), &asked.other, &alerts),
    ];
    out::line(&format!(
        "{} alerts from {} to {}",
        alerts.len(),
        asked.from.format("%Y-%m-%dT%H:%M:%SZ"),
        asked.to.format("%Y-%m-%dT%H:%M:%SZ")
    ))?;
    out::text(&format_table(&sides))?;
    Ok(ExitCode::SUCCESS)
}

struct SimulationRequest {
    config: Config,
    other: Config,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

impl SimulationRequest {
    fn new(args: &Args, config: Config) -> anyhow::Result<Self> {
        let zone = config.timezone;
        let from = time::parse_time(&args.from, zone).context("--from")?;
        let to = args.to.as_ref().map(|to| time::parse_time(to, zone).context("--to")).transpose()?;
        let to = to.unwrap_or_else(|| SystemClock.now());
        anyhow::ensure!(from < to, "--to is not after --from: write a later time");
        Ok(Self { other: read_policy(&args.policy)?, config, from, to })
    }

    fn replay_side(&self, name: &str, config: &Config, alerts: &[RecordedAlert]) -> ReplaySide {
        let ladders = config.notify.ladders();
        let replay = replay_alerts(&ladders, alerts, self.from, self.to);
        ReplaySide { name: name.to_owned(), policies: policy_texts(&ladders), replay }
    }
}

fn read_policy(file: &Path) -> anyhow::Result<Config> {
    // The file alone: neither the environment nor flags change what is to be tried out.
    let sources = Sources { file: Some(file.to_owned()), ..Sources::default() };
    let loaded = Config::load(&sources).with_context(|| format!("--policy {}", file.display()))?;
    Ok(loaded.config)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// In words, one a ladder; by the names of their routes where there are several.
fn policy_texts(ladders: &[EscalationRoute]) -> Vec<String> {
    let mut texts = Vec::new();
    for ladder in ladders {
        let name = if ladders.len() > 1 { format!("{}: ", ladder.name) } else { String::new() };
        let quiet = ladder.quiet.map(|quiet| format!(", quiet {quiet}")).unwrap_or_default();
        texts.push(format!("{name}{}{quiet}", ladder.policy));
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policies(text: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("other.toml");
        std::fs::write(&file, text).unwrap();
        policy_texts(&read_policy(&file).unwrap().notify.ladders())
    }

    #[test]
    fn a_policy_is_said_in_words_and_by_its_routes_where_there_are_several() {
        let [usual] = &policies("")[..] else { panic!("one policy") };
        assert!(usual.starts_with("5m to 1h20m"), "{usual}");
        let quiet = policies("[notify]\nquiet_hours = \"22:00-07:00\"\n");
        assert!(quiet[0].contains(", quiet 22:00"), "{quiet:?}");
        let routes = policies(
            "[notify]\nurl = \"https://h/x\"\n[notify.routes.ops]\ntype = \"load\"\nurl = \"https://h/y\"\nmin_frequency = \"10m\"\n",
        );
        assert_eq!(routes.len(), 2, "{routes:?}");
        assert!(routes[0].starts_with("ops: 10m to ") && routes[1].starts_with("default: 5m to "), "{routes:?}");
    }

    #[test]
    fn a_policy_that_can_not_be_read_is_named() {
        let missing = read_policy(Path::new("/is/not/there.toml")).unwrap_err();
        assert!(format!("{missing:#}").starts_with("--policy /is/not/there.toml: "), "{missing:#}");
    }

    #[test]
    fn a_side_is_called_by_the_name_of_its_file() {
        assert_eq!(["a/b.toml", "b.toml", "/"].map(|path| file_name(Path::new(path))), ["b.toml", "b.toml", "/"]);
    }
}

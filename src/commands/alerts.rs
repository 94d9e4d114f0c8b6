//! `flowlord alerts`: what was raised, and what people were and would be notified of.

pub(super) mod act;
mod list;
mod recorded;
mod simulate;
mod table;

use std::process::ExitCode;

use clap::Subcommand;

const EXAMPLES: &str = "\
Examples:
  flowlord alerts
  flowlord alerts --date 2026-03-01 --kind exhausted,result
  flowlord alerts --json | jq -r '.items[].msg'
  flowlord alerts simulate --policy seldom.toml --from 2026-03-01 --to 2026-03-08 --data ./data

The newest come first; those of today unless asked otherwise.";

/// List alerts, or try out how people are notified of them
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<AlertsCommand>,
    #[command(flatten)]
    list: list::AlertListArgs,
}

#[derive(Debug, Subcommand)]
enum AlertsCommand {
    Simulate(Box<simulate::Args>),
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.what {
        Some(AlertsCommand::Simulate(args)) => simulate::run(args),
        None => list::run(&args.list),
    }
}

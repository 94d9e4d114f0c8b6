//! `flowlord alerts`: what people were told, and would be.

mod recorded;
mod simulate;
mod table;

use std::process::ExitCode;

use clap::Subcommand;

const EXAMPLES: &str = "\
Examples:
  flowlord alerts simulate --policy seldom.toml --from 2026-03-01 --to 2026-03-08 --data ./data";

/// Try out how people are told about alerts
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: AlertsCommand,
}

#[derive(Debug, Subcommand)]
enum AlertsCommand {
    Simulate(Box<simulate::Args>),
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.what {
        AlertsCommand::Simulate(args) => simulate::run(args),
    }
}

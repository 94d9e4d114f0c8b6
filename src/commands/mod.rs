//! What the program can be asked to do.

mod alerts;
mod args;
mod attention;
mod backload;
mod bridge;
mod check;
mod cluster;
mod completions;
mod demo;
mod health;
mod import;
mod listing;
mod logs;
mod manual;
mod old_call;
mod out;
mod phases;
mod plan;
mod restore;
mod run;
mod serve;
mod shadow;
mod signals;
mod snapshot;
mod tasks;
mod token;
mod work;
mod workers;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use out::OutputFormat;

/// The exit code of a command that was called wrongly, as clap's own.
const USAGE: u8 = 2;

/// A task orchestrator in one container: workflows in TOML, workers over REST, summaries in Slack.
#[derive(Debug, Parser)]
#[command(name = "flowlord", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: ProgramCommand,
    /// How log lines are written to stderr; RUST_LOG says which
    #[arg(long, global = true, value_enum, default_value = "text", env = "FLOWLORD_LOG_FORMAT")]
    log_format: OutputFormat,
    /// What to say about the way in which the program was called
    #[arg(skip)]
    warnings: Vec<String>,
}

/// An error of those who called the program, not of its work: it ends with another exit code.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
struct UsageError(anyhow::Error);

pub(crate) fn run() -> ExitCode {
    // Before clap and the log: a guard is small, and says nothing.
    if std::env::args_os().nth(1).is_some_and(|word| word == work::guard::NAME) {
        return work::guard::run();
    }
    match Cli::read(std::env::args_os().collect()) {
        Ok(cli) => cli.run(),
        Err(wrong) => {
            out::error(&format!("flowlord: {wrong}"));
            ExitCode::from(USAGE)
        }
    }
}

#[derive(Debug, Subcommand)]
enum ProgramCommand {
    Serve(serve::Args),
    Demo(demo::Args),
    Check(check::Args),
    Plan(plan::Args),
    Work(work::Args),
    Bridge(bridge::Args),
    Backload(backload::Args),
    Attention(attention::Args),
    Tasks(tasks::Args),
    Show(tasks::show::Args),
    Logs(tasks::log::Args),
    Rerun(tasks::choice::RerunArgs),
    Cancel(tasks::choice::CancelArgs),
    Pause(phases::PauseArgs),
    Resume(phases::ResumeArgs),
    Run(phases::RunArgs),
    Alerts(alerts::Args),
    Ack(alerts::act::AckArgs),
    Silence(alerts::act::SilenceArgs),
    Workers(workers::WorkersArgs),
    Queues(workers::QueuesArgs),
    Snapshot(snapshot::Args),
    Restore(restore::Args),
    Import(import::Args),
    Shadow(shadow::Args),
    Token(token::Args),
    Cluster(cluster::Args),
    /// Print the OpenAPI document of the REST API
    #[command(after_help = "Example:\n  flowlord openapi > flowlord.json")]
    Openapi,
    Health(health::Args),
    Completions(completions::Args),
    Manual(manual::Args),
}

impl Cli {
    /// Reads the words of a call; what clap answers by itself ends the process.
    fn read(words: Vec<OsString>) -> Result<Self, String> {
        let old_call::ProgramCall { words, warnings } = old_call::modernise_call(words)?;
        match Self::try_parse_from(words) {
            Ok(cli) => Ok(Self { warnings, ..cli }),
            Err(answer) => {
                warnings.iter().for_each(|warning| out::error(&format!("flowlord: {warning}")));
                answer.exit()
            }
        }
    }

    fn run(self) -> ExitCode {
        let usual = if matches!(self.command, ProgramCommand::Demo(_)) { demo::USUAL_LOG } else { logs::USUAL };
        logs::start(self.log_format, usual);
        // Kept until now: before, nobody knew how log lines are written.
        for warning in &self.warnings {
            log::warn!("event=config_warning detail={warning:?}");
        }
        let done = match self.command {
            ProgramCommand::Serve(args) => serve::run(&args),
            ProgramCommand::Demo(args) => demo::run(&args),
            ProgramCommand::Check(args) => check::run(&args),
            ProgramCommand::Plan(args) => plan::run(&args),
            ProgramCommand::Work(args) => work::run(args),
            ProgramCommand::Bridge(args) => bridge::run(args),
            ProgramCommand::Backload(args) => backload::run(&args),
            ProgramCommand::Attention(args) => attention::run(&args),
            ProgramCommand::Tasks(args) => tasks::run(&args),
            ProgramCommand::Show(args) => tasks::show::run(&args),
            ProgramCommand::Logs(args) => tasks::log::run(&args),
            ProgramCommand::Rerun(args) => tasks::choice::rerun(&args),
            ProgramCommand::Cancel(args) => tasks::choice::cancel(&args),
            ProgramCommand::Pause(args) => phases::pause(&args),
            ProgramCommand::Resume(args) => phases::resume(&args),
            ProgramCommand::Run(args) => phases::run(&args),
            ProgramCommand::Alerts(args) => alerts::run(&args),
            ProgramCommand::Ack(args) => alerts::act::acknowledge(&args),
            ProgramCommand::Silence(args) => alerts::act::silence(&args),
            ProgramCommand::Workers(args) => workers::list_workers(&args),
            ProgramCommand::Queues(args) => workers::list_queues(&args),
            ProgramCommand::Snapshot(args) => snapshot::run(&args),
            ProgramCommand::Restore(args) => restore::run(&args),
            ProgramCommand::Import(args) => import::run(&args),
            ProgramCommand::Shadow(args) => shadow::run(&args),
            ProgramCommand::Token(args) => token::run(args),
            ProgramCommand::Cluster(args) => cluster::run(args),
            ProgramCommand::Openapi => print_openapi(),
            ProgramCommand::Health(args) => health::run(&args),
            ProgramCommand::Completions(args) => completions::run(&args),
            ProgramCommand::Manual(args) => manual::run(&args),
        };
        done.unwrap_or_else(|err| {
            out::error(&format!("flowlord: {err:#}"));
            if err.is::<UsageError>() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        })
    }
}

fn print_openapi() -> anyhow::Result<ExitCode> {
    let document = flowlord_web_server::openapi(env!("CARGO_PKG_VERSION"), "");
    out::line(&serde_json::to_string_pretty(&document)?)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_is_well_formed_and_shows_an_example() {
        let mut cli = Cli::command();
        cli.clone().debug_assert();
        cli.build();
        for command in cli.get_subcommands().filter(|command| command.get_name() != "help") {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("Example"), "{help}");
        }
    }
}

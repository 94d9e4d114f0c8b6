//! `flowlord pause`, `resume` and `run`: phases of a workflow file.

use std::process::ExitCode;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::backload::parse_meta;
use super::listing::{AnswerArgs, ListDocument, PATIENCE, TimeFormat};
use super::tasks::ListedTask;

const PAUSE_EXAMPLE: &str = "\
Example:
  flowlord pause etl/daily.toml load:hourly

A paused phase starts no tasks until it is resumed: neither by its schedule nor after a parent.";

const RESUME_EXAMPLE: &str = "\
Example:
  flowlord resume etl/daily.toml load:hourly

What becomes of the slots of the pause is decided by the phase's rule (missed).";

const RUN_EXAMPLES: &str = "\
Examples:
  flowlord run etl/daily.toml load:hourly
  flowlord run etl/daily.toml load:hourly --time 2026-01-15T03 --meta file=a.csv

Starts the tasks that a slot of the phase would start. The schedule goes on as it would, and so does a pause.";

#[derive(Debug, clap::Args)]
struct PhaseName {
    /// The workflow file, below the folder of workflows
    #[arg(value_name = "WORKFLOW")]
    workflow: String,
    /// The phase: its topic, or topic and job
    #[arg(value_name = "PHASE")]
    phase: String,
}

/// Pause a phase
#[derive(Debug, clap::Args)]
#[command(after_help = PAUSE_EXAMPLE)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    phase: PhaseName,
    #[command(flatten)]
    answer: AnswerArgs,
}

/// Resume a phase
#[derive(Debug, clap::Args)]
#[command(after_help = RESUME_EXAMPLE)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    phase: PhaseName,
    #[command(flatten)]
    answer: AnswerArgs,
}

/// Run a phase now
#[derive(Debug, clap::Args)]
#[command(after_help = RUN_EXAMPLES)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    phase: PhaseName,
    /// What the tasks are about: a day, an hour, or RFC 3339 [default: a slot of this hour]
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
    /// A value of the tasks' meta
    #[arg(long = "meta", value_name = "KEY=VALUE", value_parser = parse_meta)]
    metas: Vec<(String, String)>,
    #[command(flatten)]
    answer: AnswerArgs,
}

#[derive(Deserialize)]
struct PhaseState {
    workflow: String,
    task: String,
    paused_since: Option<DateTime<Utc>>,
}

pub(super) fn pause(args: &PauseArgs) -> anyhow::Result<ExitCode> {
    set_paused("/phases/pause", &args.phase, &args.answer)
}

pub(super) fn resume(args: &ResumeArgs) -> anyhow::Result<ExitCode> {
    set_paused("/phases/resume", &args.phase, &args.answer)
}

fn set_paused(path: &str, phase: &PhaseName, answer: &AnswerArgs) -> anyhow::Result<ExitCode> {
    let document: Value = ask(path, &phase.to_body(), answer)?;
    let PhaseState { workflow, task, paused_since } =
        PhaseState::deserialize(&document).context("the answer can't be read")?;
    let state = match paused_since {
        Some(since) => format!("is paused since {}", TimeFormat::of_now().time(since)),
        None => "is not paused".to_owned(),
    };
    answer.print(&document, || Ok(format!("{task} of {workflow} {state}\n")))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let list: ListDocument = ask("/phases/run", &args.to_body(), &args.answer)?;
    args.answer.print(&list, || args.answer.table::<ListedTask>(&list.items))?;
    Ok(ExitCode::SUCCESS)
}

fn ask<T: serde::de::DeserializeOwned>(path: &str, body: &Value, answer: &AnswerArgs) -> anyhow::Result<T> {
    let client = answer.client()?;
    Ok(actix_rt::System::new().block_on(client.post(path, body, PATIENCE))?)
}

impl PhaseName {
    fn to_body(&self) -> Value {
        json!({ "workflow": self.workflow, "task": self.phase })
    }
}

impl RunArgs {
    fn to_body(&self) -> Value {
        let mut body = self.phase.to_body();
        // Left out rather than null, so that the service chooses a slot of this hour.
        if let Some(time) = &self.time {
            body["time"] = json!(time);
        }
        if !self.metas.is_empty() {
            let metas: Map<String, Value> = self.metas.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
            body["meta"] = Value::Object(metas);
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct TestArgs {
        #[command(flatten)]
        run: RunArgs,
    }

    fn body(flags: &[&str]) -> Value {
        let all = ["run", "etl/daily.toml", "load:hourly"].iter().chain(flags);
        TestArgs::try_parse_from(all).unwrap().run.to_body()
    }

    #[test]
    fn a_run_is_asked_for_with_what_was_written() {
        assert_eq!(body(&[]), json!({"workflow": "etl/daily.toml", "task": "load:hourly"}));
        let flags = ["--time", "2026-01-15T03", "--meta", "file=a=b.csv", "--meta", "empty="];
        let expected = json!({
            "workflow": "etl/daily.toml", "task": "load:hourly", "time": "2026-01-15T03",
            "meta": {"file": "a=b.csv", "empty": ""},
        });
        assert_eq!(body(&flags), expected);
        assert!(TestArgs::try_parse_from(["run", "w.toml", "a", "--meta", "file"]).is_err());
    }
}

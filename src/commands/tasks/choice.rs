//! `flowlord rerun` and `flowlord cancel`: tasks that are named, or that a search finds.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use flowlord_domain::Uid;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ListedTask, TaskFilterArgs};
use crate::commands::listing::{AnswerArgs, PATIENCE, with_query};
use crate::commands::out;
use crate::commands::work::client::{ApiClient, ApiRefusal};

const RERUN_EXAMPLES: &str = "\
Examples:
  flowlord rerun 064c0953867001
  flowlord rerun 064c0953867001 --downstream failed
  flowlord rerun --query 'type:load result:error' --date 2026-01-15
  flowlord rerun --query 'type:load result:error' --date 2026-01-15 --execute

Tasks that are named are rerun at once. With a search it is shown which would be, unless --execute is given; a task that
has a later attempt is left out. Exits with 1 when some could not be rerun.";

const CANCEL_EXAMPLES: &str = "\
Examples:
  flowlord cancel 064c0953867001 --note 'the source is wrong'
  flowlord cancel --query type:load --state ready,delayed
  flowlord cancel --query type:load --state ready,delayed --execute

Tasks that are named are cancelled at once. With a search it is shown which would be, unless --execute is given. The
worker of a leased task is told to stop. Exits with 1 when some could not be cancelled.";

/// The service reads and changes up to 10,000 tasks before it answers.
const CHOICE_PATIENCE: Duration = Duration::from_secs(300);

/// What is done with tasks, and what the answer of its route calls it.
struct ChoiceAction {
    name: &'static str,
    done: &'static str,
    chosen_key: &'static str,
    done_key: &'static str,
}

const RERUN: ChoiceAction = ChoiceAction { name: "rerun", done: "rerun", chosen_key: "count", done_key: "created" };
const CANCEL: ChoiceAction =
    ChoiceAction { name: "cancel", done: "cancelled", chosen_key: "matched", done_key: "cancelled" };

/// Rerun tasks
#[derive(Debug, clap::Args)]
#[command(after_help = RERUN_EXAMPLES)]
pub(crate) struct RerunArgs {
    #[command(flatten)]
    chosen: ChosenTasks,
    /// Which children start when a task completes: all, none, or only those that failed
    #[arg(long, value_name = "WHICH", value_parser = ["true", "false", "failed"], default_value = "true")]
    downstream: String,
    #[command(flatten)]
    answer: AnswerArgs,
}

/// Cancel tasks that have no result yet
#[derive(Debug, clap::Args)]
#[command(after_help = CANCEL_EXAMPLES)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    chosen: ChosenTasks,
    /// Why; it becomes the message of the tasks
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    answer: AnswerArgs,
}

#[derive(Debug, clap::Args)]
struct ChosenTasks {
    /// The attempts
    #[arg(value_name = "UID", num_args = 1..=1000, required_unless_present = "filter", conflicts_with = "filter")]
    uids: Vec<Uid>,
    #[command(flatten)]
    filter: TaskFilterArgs,
    /// Do it with what was found
    #[arg(long, requires = "filter")]
    execute: bool,
}

pub(crate) fn rerun(args: &RerunArgs) -> anyhow::Result<ExitCode> {
    let downstream = match args.downstream.as_str() {
        "failed" => json!("failed"),
        text => json!(text == "true"),
    };
    act(&RERUN, &args.chosen, &json!({ "downstream": downstream }), &args.answer)
}

pub(crate) fn cancel(args: &CancelArgs) -> anyhow::Result<ExitCode> {
    let body = args.note.as_ref().map_or_else(|| json!({}), |note| json!({ "note": note }));
    act(&CANCEL, &args.chosen, &body, &args.answer)
}

/// What came of many, by either name that the two routes give it.
#[derive(Debug, Deserialize)]
struct ChoiceReport {
    status: String,
    #[serde(alias = "matched")]
    count: usize,
    #[serde(default)]
    skipped: usize,
    failed: Vec<ChoiceFailure>,
    tasks: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct ChoiceFailure {
    uid: String,
    detail: String,
}

fn act(action: &ChoiceAction, chosen: &ChosenTasks, body: &Value, answer: &AnswerArgs) -> anyhow::Result<ExitCode> {
    let client = answer.client()?;
    let is_search = chosen.uids.is_empty();
    let acting = async {
        if !is_search {
            return act_on_each(&client, action, &chosen.uids, body).await;
        }
        let mut body = body.clone();
        body["execute"] = json!(chosen.execute);
        let path = with_query(&format!("/tasks/{}", action.name), &chosen.filter.to_query());
        client.post(&path, &body, CHOICE_PATIENCE).await
    };
    let document = actix_rt::System::new().block_on(acting)?;
    let report = ChoiceReport::deserialize(&document).context("the answer can't be read")?;
    answer.print(&document, || {
        let table = if report.tasks.is_empty() { String::new() } else { answer.table::<ListedTask>(&report.tasks)? };
        Ok(format!("{table}{}\n", report.summary(action, is_search && !chosen.execute)))
    })?;
    for ChoiceFailure { uid, detail } in &report.failed {
        out::error(&format!("{uid}: {detail}"));
    }
    Ok(if report.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One after the other; the document is like that of the route for many.
async fn act_on_each(
    client: &ApiClient,
    action: &ChoiceAction,
    uids: &[Uid],
    body: &Value,
) -> Result<Value, ApiRefusal> {
    let ChoiceAction { name, done, chosen_key, done_key } = action;
    let (mut tasks, mut failed) = (Vec::new(), Vec::new());
    for uid in uids {
        match client.post::<Value>(&format!("/tasks/{uid}/{name}"), body, PATIENCE).await {
            Ok(task) => tasks.push(task),
            // Later an error here would hide what was done before.
            Err(err @ ApiRefusal::Later { .. }) if tasks.is_empty() && failed.is_empty() => return Err(err),
            // It says that a lease is lost, of which there is none here.
            Err(ApiRefusal::Lost(detail)) => failed.push(json!({ "uid": uid, "detail": detail })),
            Err(err) => failed.push(json!({ "uid": uid, "detail": err.to_string() })),
        }
    }
    let status = format!("{}/{} tasks {done}", tasks.len(), uids.len());
    Ok(json!({
        "status": status, *chosen_key: uids.len(), *done_key: tasks.len(), "failed": failed, "tasks": tasks,
    }))
}

impl ChoiceReport {
    fn summary(&self, action: &ChoiceAction, is_dry_run: bool) -> String {
        let skipped = match self.skipped {
            0 => String::new(),
            skipped => format!(", {skipped} with a later attempt left out"),
        };
        let Self { status, count, .. } = self;
        if is_dry_run {
            let tasks = if *count == 1 { "task" } else { "tasks" };
            return format!("{count} {tasks} would be {}{skipped}; do it with --execute", action.done);
        }
        format!("{status}{skipped}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_says_how_to_do_it_and_what_was_left_out() {
        let report = |more: Value| {
            let mut report = json!({"status": "2/3 tasks rerun", "count": 3, "skipped": 0, "failed": [], "tasks": []});
            report.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value::<ChoiceReport>(report).unwrap()
        };
        for (more, is_dry_run, summary) in [
            (json!({}), true, "3 tasks would be rerun; do it with --execute"),
            (json!({"count": 1}), true, "1 task would be rerun; do it with --execute"),
            (
                json!({"skipped": 4}),
                true,
                "3 tasks would be rerun, 4 with a later attempt left out; do it with --execute",
            ),
            (json!({"skipped": 4}), false, "2/3 tasks rerun, 4 with a later attempt left out"),
        ] {
            assert_eq!(report(more.clone()).summary(&RERUN, is_dry_run), summary, "{more}");
        }
        let cancelled = json!({"status": "", "matched": 2, "cancelled": 0, "failed": [], "tasks": []});
        let cancelled: ChoiceReport = serde_json::from_value(cancelled).unwrap();
        assert_eq!(cancelled.summary(&CANCEL, true), "2 tasks would be cancelled; do it with --execute");
    }
}

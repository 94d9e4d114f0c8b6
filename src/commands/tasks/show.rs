//! `flowlord show`: one task, and its chain.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use flowlord_domain::Uid;
use serde::Deserialize as _;
use serde_json::Value;

use super::ListedTask;
use crate::commands::listing::{AnswerArgs, ListDocument, PATIENCE, TimeFormat, clean_line, read_list};

const EXAMPLES: &str = "\
Examples:
  flowlord show 064c0953867001
  flowlord show 064c0953867001 --json | jq -r .msg

What a task says about itself, why it waits, and below it its chain: retries, children and what led to it, the first 50.
With --json only the task.";

/// How much of a chain is shown.
const MAX_CHAIN: usize = 50;

/// Show a task and its chain
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The attempt
    uid: Uid,
    #[command(flatten)]
    answer: AnswerArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let client = args.answer.client()?;
    let (document, task, chain) = actix_rt::System::new().block_on(async {
        let document: Value = client.get(&format!("/tasks/{}", args.uid), PATIENCE).await?;
        let task = ListedTask::deserialize(&document).context("the answer can't be read")?;
        let query = vec![("id", task.id.clone()), ("order", "asc".to_owned())];
        let chain = read_list(&client, "/tasks", &query, MAX_CHAIN).await?;
        anyhow::Ok((document, task, chain))
    })?;
    args.answer.print(&document, || show_task(&task, &chain, &args.answer))?;
    Ok(ExitCode::SUCCESS)
}

fn show_task(task: &ListedTask, chain: &ListDocument, answer: &AnswerArgs) -> anyhow::Result<String> {
    let mut text = format_fields(&fields_of(task, &TimeFormat::of_now()));
    if chain.items.len() > 1 {
        write!(text, "\nChain {}\n{}", clean_line(&task.id), answer.table::<ListedTask>(&chain.items)?)?;
    }
    Ok(text)
}

/// Names and values, without those that say nothing.
fn fields_of(task: &ListedTask, times: &TimeFormat) -> Vec<(&'static str, String)> {
    let progress = task.progress.map(|part| format!("{:.0} %", part * 100.)).unwrap_or_default();
    let waiting = task.waiting.as_ref();
    let waiting = waiting.map(|waiting| format!("{} (since {})", waiting.text, times.time(waiting.since)));
    let fields = [
        ("Task", task.name()),
        ("State", task.standing().to_owned()),
        ("Attempt", task.attempt.to_string()),
        ("Waiting", waiting.unwrap_or_default()),
        ("Created", times.time(task.created)),
        ("Not before", times.time_or_none(task.not_before)),
        ("Started", times.time_or_none(task.started)),
        ("Ended", times.time_or_none(task.ended)),
        ("Run time", task.run_time(times)),
        ("Progress", progress),
        ("Worker", task.worker.clone()),
        ("Parent", task.parent.clone().unwrap_or_default()),
        ("Chain", task.id.clone()),
        ("Info", task.info.clone()),
        ("Meta", task.meta.clone()),
        ("Message", task.msg.clone()),
    ];
    fields.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// One a line; further lines of a value are indented.
fn format_fields(fields: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        let name = format!("{name}:");
        for (index, line) in value.lines().enumerate() {
            let head = if index == 0 { name.as_str() } else { "" };
            text.push_str(format!("{head:12}{}", clean_line(line)).trim_end());
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Local, Utc};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_task_at_work_says_how_far_it_is_and_one_that_waits_says_why() {
        let task = |more: Value| {
            let mut task = json!({
                "uid": "064c0953867001", "id": "chain-1", "type": "load", "job": "daily", "info": "i", "state": "leased",
                "attempt": 2, "created": "2026-03-02T12:00:00Z",
            });
            task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            format_fields(&fields_of(&serde_json::from_value(task).unwrap(), &TimeFormat::of_now()))
        };
        let at = |time: &str| time.parse::<DateTime<Utc>>().unwrap().with_timezone(&Local).format("%Y-%m-%d %H:%M");
        let leased = task(json!({"progress": 0.25, "worker": "w1", "msg": "a quarter\n\n  of it\x1b[2J"}));
        for line in ["Task:       load:daily\n", "Attempt:    2\n", "Progress:   25 %\n", "Worker:     w1\n"] {
            assert!(leased.contains(line), "{line} in {leased}");
        }
        assert!(leased.ends_with("Message:    a quarter\n\n            of it\n"), "{leased}");
        assert!(!leased.contains("Ended:") && !leased.contains("Waiting:"), "{leased}");
        let since = "2026-03-02T12:00:00Z";
        let waiting =
            task(json!({"state": "ready", "waiting": {"reason": "queue", "since": since, "text": "Is next"}}));
        assert!(waiting.contains(&format!("Waiting:    Is next (since {})\n", at(since))), "{waiting}");
    }
}

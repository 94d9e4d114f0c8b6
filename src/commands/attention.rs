//! `flowlord attention`: what needs somebody now.

use std::process::ExitCode;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clap::builder::styling::{AnsiColor, Style};
use serde::Deserialize;
use serde_json::Value;

use super::check::count_of;
use super::listing::{AnswerArgs, ListColumn, ListedRow, PATIENCE, TimeFormat};
use super::tasks::task_name;

const EXAMPLES: &str = "\
Examples:
  flowlord attention
  flowlord attention --json | jq '{broken: .broken.count, late: .late.count, stuck: .stuck.count}'

Broken: open incidents, and workflow files with an error. Late: tasks that missed a deadline and still have no result.
Stuck: queues whose ready tasks no worker asks for.";

/// List what is broken, late or stuck
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    answer: AnswerArgs,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let client = args.answer.client()?;
    let document: Value = actix_rt::System::new().block_on(client.get("/attention", PATIENCE))?;
    args.answer.print(&document, || {
        let rows = AttentionDocument::deserialize(&document).context("the answer can't be read")?.into_rows();
        if rows.is_empty() {
            return Ok("Nothing is broken, late or stuck.\n".to_owned());
        }
        Ok(args.answer.table_of(&rows))
    })?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Deserialize)]
struct AttentionDocument {
    broken: BrokenPart,
    late: ItemsPart<LateTask>,
    stuck: ItemsPart<StuckQueue>,
}

#[derive(Deserialize)]
struct BrokenPart {
    incidents: Vec<OpenIncident>,
    files: Vec<BrokenFile>,
}

#[derive(Deserialize)]
struct ItemsPart<T> {
    items: Vec<T>,
}

#[derive(Deserialize)]
struct OpenIncident {
    route: String,
    opened: DateTime<Utc>,
    alerts: usize,
    tasks: Vec<String>,
    acknowledged_by: Option<String>,
}

#[derive(Deserialize)]
struct BrokenFile {
    file: String,
    line: usize,
    column: usize,
    message: String,
}

#[derive(Deserialize)]
struct LateTask {
    at: DateTime<Utc>,
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    job: String,
    #[serde(default)]
    msg: String,
}

#[derive(Deserialize)]
struct StuckQueue {
    topic: String,
    job: String,
    ready: u64,
    oldest_ready: Option<DateTime<Utc>>,
    text: String,
}

impl AttentionDocument {
    /// The answers to the three questions as rows of one table.
    fn into_rows(self) -> Vec<ListedProblem> {
        let row = |question, what, since, message| ListedProblem { question, what, since, message };
        let incidents = self.broken.incidents.into_iter().map(|incident| {
            let acknowledged = incident.acknowledged_by.map(|by| format!(", acknowledged by {by}")).unwrap_or_default();
            let message = format!("{} by route {}{acknowledged}", count_of(incident.alerts, "alert"), incident.route);
            row("broken", incident.tasks.join(" "), Some(incident.opened), message)
        });
        let files = self.broken.files.into_iter().map(|BrokenFile { file, line, column, message }| {
            row("broken", file, None, format!("{line}:{column}: {message}"))
        });
        let late = self.late.items.into_iter().map(|late| {
            let LateTask { at, r#type, job, msg } = late;
            row("late", task_name(&r#type, &job), Some(at), msg)
        });
        let stuck = self.stuck.items.into_iter().map(|stuck| {
            let name = task_name(&stuck.topic, &stuck.job);
            row("stuck", name, stuck.oldest_ready, format!("{} ready; {}", stuck.ready, stuck.text))
        });
        // In the order of the overview: what was told in Slack already comes first.
        incidents.chain(files).chain(late).chain(stuck).collect()
    }
}

/// A row of the table; what the service answers has three shapes.
struct ListedProblem {
    question: &'static str,
    what: String,
    since: Option<DateTime<Utc>>,
    message: String,
}

impl ListedRow for ListedProblem {
    const COLUMNS: &'static [ListColumn] =
        &[ListColumn::whole("IS"), ListColumn::name("WHAT"), ListColumn::whole("SINCE"), ListColumn::text("MESSAGE")];

    fn cells(&self, times: &TimeFormat) -> Vec<String> {
        vec![self.question.to_owned(), self.what.clone(), times.time_or_none(self.since), self.message.clone()]
    }

    fn style(&self) -> Style {
        if self.question == "broken" { AnsiColor::Red.on_default() } else { AnsiColor::Yellow.on_default() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_answer_is_a_row_with_what_it_is_about() {
        let document = json!({
            "broken": {
                "count": 2,
                "incidents": [{"route": "default", "opened": "2026-03-02T12:00:00Z", "alerts": 3,
                    "tasks": ["load:daily", "report"], "acknowledged_by": "ada"}],
                "files": [{"file": "etl.toml", "line": 3, "column": 5, "severity": "error", "message": "no task"}],
            },
            "late": {"count": 1, "items": [{"kind": "not_done", "at": "2026-03-02T11:00:00Z", "type": "sql", "job": "",
                "msg": "not complete by 11:00"}]},
            "stuck": {"count": 1, "items": [{"topic": "sql", "job": "month", "ready": 4, "oldest_ready": null,
                "text": "no worker has asked for `sql`"}]},
        });
        let rows = AttentionDocument::deserialize(&document).unwrap().into_rows();
        let texts: Vec<[&str; 3]> = rows.iter().map(|row| [row.question, &row.what, &row.message]).collect();
        let expected = [
            ["broken", "load:daily report", "3 alerts by route default, acknowledged by ada"],
            ["broken", "etl.toml", "3:5: no task"],
            ["late", "sql", "not complete by 11:00"],
            ["stuck", "sql:month", "4 ready; no worker has asked for `sql`"],
        ];
        assert_eq!(texts, expected);
        assert_eq!(rows.iter().map(|row| row.since.is_none()).collect::<Vec<_>>(), [false, true, false, true]);
        let styles: Vec<Style> = rows.iter().map(ListedRow::style).collect();
        assert!(styles[0] == styles[1] && styles[2] == styles[3] && styles[1] != styles[2]);
    }
}

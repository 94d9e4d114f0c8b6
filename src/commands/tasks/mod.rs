//! `flowlord tasks`, and what else is about tasks: `show`, `logs`, `rerun`, `cancel`.

pub(super) mod choice;
mod follow;
pub(super) mod log;
pub(super) mod show;

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::builder::styling::{AnsiColor, Style};
use flowlord_domain::search::TaskSearch;
use serde::Deserialize;

use super::listing::{ListArgs, ListColumn, ListedRow, QueryPairs, TimeFormat, print_list, query_pairs};

const EXAMPLES: &str = "\
Examples:
  flowlord tasks
  flowlord tasks --query 'type:load result:error \"no space\" -retry' --date 2026-01-15
  flowlord tasks --state ready,delayed --watch
  flowlord tasks --result running --json | jq -r '.items[].uid'

The newest come first. --query has the search of the page: words that must all be there, \"a phrase\", a field before a
colon (type, job, id, result, info, meta, msg), a dash for what must not be there. Times are in the zone of this machine,
or in that of TZ.";

/// List tasks
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    filter: TaskFilterArgs,
    #[command(flatten)]
    list: ListArgs,
}

/// Which tasks; all that is said must hold.
#[derive(Debug, Clone, clap::Args)]
#[group(id = "filter", multiple = true)]
pub(super) struct TaskFilterArgs {
    /// What is searched for, as on the page of tasks
    #[arg(long, short, value_name = "SEARCH", value_parser = check_search)]
    query: Option<String>,
    /// The topics
    #[arg(long = "type", value_name = "TOPIC", value_delimiter = ',')]
    topics: Vec<String>,
    /// The jobs
    #[arg(long = "job", value_name = "JOB", value_delimiter = ',')]
    jobs: Vec<String>,
    /// complete, error, warn, alert or running
    #[arg(long = "result", value_name = "RESULT", value_delimiter = ',')]
    results: Vec<String>,
    /// ready, delayed, leased or done
    #[arg(long = "state", value_name = "STATE", value_delimiter = ',')]
    states: Vec<String>,
    /// The UTC day of their creation, like 2026-01-15
    #[arg(long, value_name = "DAY", conflicts_with_all = ["from", "to"])]
    date: Option<String>,
    /// Created then or later: a day, or RFC 3339
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Created before
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

// The service would refuse it as well, but a wrong call ends with another code than a refusal.
fn check_search(text: &str) -> Result<String, String> {
    text.parse::<TaskSearch>().map(|_| text.to_owned()).map_err(|err| err.to_string())
}

impl TaskFilterArgs {
    pub(super) fn to_query(&self) -> QueryPairs {
        let one = [("q", &self.query), ("date", &self.date), ("from", &self.from), ("to", &self.to)];
        let many = [("type", &self.topics), ("job", &self.jobs), ("result", &self.results), ("state", &self.states)];
        query_pairs(one, many)
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    print_list::<ListedTask>(&args.list, "/tasks", args.filter.to_query())
}

/// A task of a list.
#[derive(Debug, Deserialize)]
pub(super) struct ListedTask {
    uid: String,
    id: String,
    r#type: String,
    #[serde(default)]
    job: String,
    info: String,
    #[serde(default)]
    meta: String,
    #[serde(default)]
    msg: String,
    result: Option<String>,
    state: String,
    attempt: u32,
    #[serde(default)]
    cancelled: bool,
    #[serde(default)]
    worker: String,
    progress: Option<f64>,
    created: DateTime<Utc>,
    started: Option<DateTime<Utc>>,
    ended: Option<DateTime<Utc>>,
    not_before: Option<DateTime<Utc>>,
    parent: Option<String>,
    waiting: Option<WaitingReason>,
}

#[derive(Debug, Deserialize)]
struct WaitingReason {
    since: DateTime<Utc>,
    text: String,
}

pub(super) fn task_name(topic: &str, job: &str) -> String {
    if job.is_empty() { topic.to_owned() } else { format!("{topic}:{job}") }
}

impl ListedTask {
    /// How it ended, or how far it is.
    fn standing(&self) -> &str {
        if self.cancelled { "cancelled" } else { self.result.as_deref().unwrap_or(&self.state) }
    }

    fn name(&self) -> String {
        task_name(&self.r#type, &self.job)
    }

    fn run_time(&self, times: &TimeFormat) -> String {
        times.span(self.started, self.ended)
    }

    /// What it says, else why it waits.
    fn message(&self) -> &str {
        match &self.waiting {
            Some(waiting) if self.msg.is_empty() => &waiting.text,
            _ => &self.msg,
        }
    }
}

impl ListedRow for ListedTask {
    const COLUMNS: &'static [ListColumn] = &[
        ListColumn::whole("STATE"),
        ListColumn::name("TASK"),
        ListColumn::whole("UID"),
        ListColumn::whole("CREATED").only_from_width(70),
        ListColumn::whole("RUN").only_from_width(100),
        ListColumn::text("INFO").only_from_width(100),
        ListColumn::text("MESSAGE"),
    ];

    fn cells(&self, times: &TimeFormat) -> Vec<String> {
        let (created, run) = (times.time(self.created), self.run_time(times));
        let message = self.message().to_owned();
        vec![self.standing().to_owned(), self.name(), self.uid.clone(), created, run, self.info.clone(), message]
    }

    fn style(&self) -> Style {
        match self.standing() {
            "complete" => AnsiColor::Green.on_default(),
            "error" | "alert" => AnsiColor::Red.on_default(),
            "warn" | "cancelled" => AnsiColor::Yellow.on_default(),
            "leased" => AnsiColor::Cyan.on_default(),
            _ => Style::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::{Value, json};

    use super::super::{Cli, ProgramCommand};
    use super::*;

    fn task(more: &Value) -> ListedTask {
        let mut task = json!({
            "uid": "064c0953867001", "id": "c", "type": "load", "info": "i", "state": "done", "attempt": 1,
            "created": "2026-03-02T12:00:00Z",
        });
        task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(task).unwrap()
    }

    #[test]
    fn a_task_stands_where_its_result_or_its_state_says() {
        let waiting = json!({"reason": "queue", "since": "2026-03-02T12:00:00Z", "text": "Waits for a worker"});
        let coloured = |color: AnsiColor| color.on_default();
        for (more, standing, message, style) in [
            (json!({"result": "complete", "msg": "12 rows"}), "complete", "12 rows", coloured(AnsiColor::Green)),
            (json!({"result": "alert"}), "alert", "", coloured(AnsiColor::Red)),
            (json!({"state": "leased", "msg": "half"}), "leased", "half", coloured(AnsiColor::Cyan)),
            (json!({"state": "leased", "cancelled": true}), "cancelled", "", coloured(AnsiColor::Yellow)),
            (json!({"state": "ready", "waiting": waiting}), "ready", "Waits for a worker", Style::new()),
            (json!({"state": "delayed", "waiting": waiting, "msg": "m"}), "delayed", "m", Style::new()),
        ] {
            let task = task(&more);
            assert_eq!((task.standing(), task.message(), task.style()), (standing, message, style), "{task:?}");
            assert_eq!(task.cells(&TimeFormat::of_now()).len(), ListedTask::COLUMNS.len());
        }
        assert_eq!(task(&json!({"job": "daily"})).name(), "load:daily");
    }

    #[test]
    fn every_option_of_the_filter_goes_into_the_query() {
        let words =
            "flowlord tasks --query x --type a,b --job j --result error --state done --from 2026-01-01 --to 2026-01-02";
        let ProgramCommand::Tasks(args) = Cli::try_parse_from(words.split(' ')).unwrap().command else {
            panic!("another command")
        };
        let query = args.filter.to_query();
        let expected = [
            ("q", "x"),
            ("from", "2026-01-01"),
            ("to", "2026-01-02"),
            ("type", "a"),
            ("type", "b"),
            ("job", "j"),
            ("result", "error"),
            ("state", "done"),
        ];
        assert_eq!(query, expected.map(|(name, value)| (name, value.to_owned())));
    }
}

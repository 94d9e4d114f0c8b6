//! `flowlord alerts`: what was raised.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::builder::styling::{AnsiColor, Style};
use serde::Deserialize;

use crate::commands::listing::{ListArgs, ListColumn, ListedRow, TimeFormat, print_list, query_pairs};
use crate::commands::tasks::task_name;

#[derive(Debug, clap::Args)]
pub(crate) struct AlertListArgs {
    /// The UTC day, like 2026-01-15 [default: today]
    #[arg(long, value_name = "DAY", conflicts_with_all = ["from", "to"])]
    date: Option<String>,
    /// Raised then or later: a day, or RFC 3339
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Raised before
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// The topics
    #[arg(long = "type", value_name = "TOPIC", value_delimiter = ',')]
    topics: Vec<String>,
    /// The jobs
    #[arg(long = "job", value_name = "JOB", value_delimiter = ',')]
    jobs: Vec<String>,
    /// The workflow files
    #[arg(long = "workflow", value_name = "WORKFLOW", value_delimiter = ',')]
    workflows: Vec<String>,
    /// Why they were raised, like exhausted, result, unfinished or no_workers
    #[arg(long = "kind", value_name = "KIND", value_delimiter = ',')]
    kinds: Vec<String>,
    #[command(flatten)]
    list: ListArgs,
}

pub(super) fn run(args: &AlertListArgs) -> anyhow::Result<ExitCode> {
    let one = [("date", &args.date), ("from", &args.from), ("to", &args.to)];
    let many = [("type", &args.topics), ("job", &args.jobs), ("workflow", &args.workflows), ("kind", &args.kinds)];
    print_list::<ListedAlert>(&args.list, "/alerts", query_pairs(one, many))
}

#[derive(Deserialize)]
struct ListedAlert {
    kind: String,
    at: DateTime<Utc>,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    job: String,
    #[serde(default)]
    workflow: String,
    #[serde(default)]
    msg: String,
    silence: Option<i64>,
}

impl ListedRow for ListedAlert {
    const EVENTS: &'static str = "alert,incident";
    const COLUMNS: &'static [ListColumn] = &[
        ListColumn::whole("KIND"),
        ListColumn::name("TASK"),
        ListColumn::whole("AT"),
        ListColumn::whole("UID").only_from_width(100),
        ListColumn::text("WORKFLOW").only_from_width(100),
        ListColumn::text("MESSAGE"),
    ];

    fn cells(&self, times: &TimeFormat) -> Vec<String> {
        let silenced = if self.silence.is_some() { "(silenced) " } else { "" };
        let (name, at) = (task_name(&self.r#type, &self.job), times.time(self.at));
        let message = format!("{silenced}{}", self.msg);
        vec![self.kind.clone(), name, at, self.uid.clone(), self.workflow.clone(), message]
    }

    fn style(&self) -> Style {
        if self.silence.is_some() { Style::new().dimmed() } else { AnsiColor::Red.on_default() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_silenced_alert_says_so() {
        let alert = |silence: Option<i64>| {
            let alert =
                json!({"kind": "exhausted", "at": "2026-03-02T12:00:00Z", "msg": "no disk", "silence": silence});
            serde_json::from_value::<ListedAlert>(alert).unwrap()
        };
        let message = |alert: &ListedAlert| alert.cells(&TimeFormat::of_now()).pop().unwrap();
        let (told, silenced) = (alert(None), alert(Some(7)));
        assert_eq!((message(&told), message(&silenced)), ("no disk".to_owned(), "(silenced) no disk".to_owned()));
        assert_ne!(told.style(), silenced.style());
    }
}

//! What a summary says: one line per task and job.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};

use crate::Uid;
use crate::alert::NewAlert;
use crate::dates::print_dates;
use crate::escalation::NewAlerts;

/// One alert as far as a summary tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SummaryItem<'a> {
    /// The topic, `type` on the wire.
    pub topic: &'a str,
    /// The job; empty for none.
    pub job: &'a str,
    /// The workflow file; empty for none.
    pub workflow: &'a str,
    /// The time that the task is about; none leaves the alert out of the date ranges, not of the count.
    pub task_time: Option<DateTime<Utc>>,
    /// When it was raised; none where that doesn't matter.
    pub raised: Option<DateTime<Utc>>,
}

impl<'a> From<&'a NewAlert> for SummaryItem<'a> {
    fn from(alert: &'a NewAlert) -> Self {
        Self {
            topic: &alert.topic,
            job: &alert.job,
            workflow: &alert.workflow,
            task_time: alert.task_time,
            raised: Some(alert.at),
        }
    }
}

/// The alerts of one task and job. Its text is a line of the summary, without the line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryLine {
    /// `topic:job`, or the topic alone.
    pub key: String,
    /// How many alerts it stands for.
    pub count: u64,
    /// The times that the tasks are about, as ranges; empty when no alert has one.
    pub time_range: String,
}

impl fmt::Display for SummaryLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The columns that the reference system's messages have.
        write!(f, "{:<35}{:>5}", format!("{}:", self.key), self.count)?;
        match self.time_range.as_str() {
            "" => Ok(()),
            range => write!(f, "  {range}"),
        }
    }
}

/// The name of a line, `topic:job`, or the topic alone.
pub fn line_key(topic: &str, job: &str) -> String {
    if job.is_empty() { topic.to_owned() } else { format!("{topic}:{job}") }
}

/// One line per task and job, by count, most first, and then name.
pub fn summarize_alerts<'a>(items: impl IntoIterator<Item = SummaryItem<'a>>) -> Vec<SummaryLine> {
    let mut groups: BTreeMap<String, (u64, Vec<DateTime<Utc>>)> = BTreeMap::new();
    for item in items {
        let (count, times) = groups.entry(line_key(item.topic, item.job)).or_default();
        *count += 1;
        times.extend(item.task_time); // alerts about no time count, too
    }
    let lines = groups.into_iter();
    let lines = lines.map(|(key, (count, times))| SummaryLine { key, count, time_range: print_dates(times) });
    let mut lines: Vec<SummaryLine> = lines.collect();
    // The map is in the order of names, and a stable sort keeps that within a count.
    lines.sort_by_key(|line| Reverse(line.count));
    lines
}

/// The alerts per line, as the escalation policy counts them.
pub fn count_by_line<'a>(items: impl IntoIterator<Item = SummaryItem<'a>>) -> BTreeMap<String, NewAlerts> {
    let mut counts: BTreeMap<String, NewAlerts> = BTreeMap::new();
    for item in items {
        let line = counts.entry(line_key(item.topic, item.job)).or_default();
        line.count += 1;
        line.raised.extend(item.raised);
        if !item.workflow.is_empty() && !line.workflows.contains(item.workflow) {
            line.workflows.insert(item.workflow.to_owned());
        }
    }
    counts
}

/// The lines as text, each with its line end.
pub fn summary_text(lines: &[SummaryLine]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The page that lists the alerts of a day, for people to click.
pub fn report_url(base: &str, day: NaiveDate) -> String {
    format!("{}/web/alert?date={}", base.trim_end_matches('/'), day.format("%Y-%m-%d"))
}

/// Of the last line of a task that a notification has.
const MAX_LINE_CHARACTERS: usize = 200;

/// The page with the log of a task.
pub fn log_url(base: &str, uid: Uid) -> String {
    format!("{}{}", base.trim_end_matches('/'), log_path(uid))
}

/// The same where nobody knows the address of the service yet.
pub fn log_path(uid: Uid) -> String {
    format!("/web/task/{uid}#log")
}

/// The last line that a task wrote, of its message; none where that is empty.
pub fn last_line(msg: &str) -> Option<String> {
    let line = msg.lines().rfind(|line| !line.trim().is_empty())?;
    Some(line.chars().take(MAX_LINE_CHARACTERS).collect())
}

/// The whole message in plain text: where the report is, then the lines.
pub fn summary_message(base: &str, day: NaiveDate, lines: &[SummaryLine]) -> String {
    format!("see report at {}\n{}", report_url(base, day), summary_text(lines))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn today() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 3, 1).unwrap()
    }

    #[test]
    fn alerts_about_no_time_are_counted_without_one() {
        let item = |task_time| SummaryItem { topic: "workflow", job: "", workflow: "", task_time, raised: None };
        let line = |items: &[SummaryItem<'_>]| summary_text(&summarize_alerts(items.iter().copied()));
        assert_eq!(line(&[item(None), item(None)]), "workflow:                              2\n");
        let at = DateTime::from_timestamp(1_705_316_400, 0);
        assert_eq!(line(&[item(None), item(at)]), "workflow:                              2  2024/01/15T11\n");
    }

    #[test]
    fn a_public_url_may_end_in_a_slash() {
        let url = "https://flow.example/sub/web/alert?date=2026-03-01";
        assert_eq!(report_url("https://flow.example/sub/", today()), url);
    }

    #[test]
    fn the_log_of_a_task_is_a_part_of_its_page() {
        let uid = Uid(0x0006_4c09_5386_7001);
        let path = log_path(uid);
        assert_eq!(path, format!("/web/task/{uid}#log"));
        assert_eq!(log_url("https://flow.example/sub/", uid), format!("https://flow.example/sub{path}"));
    }

    #[test]
    fn of_a_message_the_last_line_is_told_that_says_something() {
        let long = "é".repeat(MAX_LINE_CHARACTERS + 1);
        for (msg, last) in [
            ("one\ntwo\n", Some("two")),
            ("one\n \t\n\n", Some("one")),
            ("one", Some("one")),
            ("\n \n", None),
            ("", None),
            (&long, Some(&long[..2 * MAX_LINE_CHARACTERS])),
        ] {
            assert_eq!(last_line(msg).as_deref(), last, "{msg:?}");
        }
    }

    #[test]
    fn a_message_says_where_the_report_is_and_then_its_lines() {
        let item = |topic, job, workflow| SummaryItem { topic, job, workflow, task_time: None, raised: None };
        let items = [item("b", "", "w.toml"), item("a", "j", ""), item("b", "", "w.toml"), item("b", "", "v.toml")];
        let text = summary_message("https://flow.example", today(), &summarize_alerts(items));
        let expected = "see report at https://flow.example/web/alert?date=2026-03-01\n\
                        b:                                     3\n\
                        a:j:                                   1\n";
        assert_eq!(text, expected);
        let counted = count_by_line(items);
        let workflows: Vec<_> = counted["b"].workflows.iter().map(String::as_str).collect();
        assert_eq!((workflows, counted["a:j"].workflows.len()), (vec!["v.toml", "w.toml"], 0));
    }

    #[test]
    fn long_names_and_counts_keep_their_line_readable() {
        let line = |key: &str, count, range: &str| {
            SummaryLine { key: key.to_owned(), count, time_range: range.to_owned() }.to_string()
        };
        assert_eq!(line("a", 99_999, ""), "a:                                 99999");
        assert_eq!(line("a", 100_000, "x"), "a:                                 100000  x");
        let name = "n".repeat(40);
        assert_eq!(line(&name, 7, ""), format!("{name}:    7"), "longer than its column");
    }

    #[test]
    fn an_alert_is_told_with_its_name_and_both_its_times() {
        let (raised, about) = (DateTime::from_timestamp(9, 0).unwrap(), DateTime::from_timestamp(7, 0));
        let new = NewAlert::without_task(crate::AlertKind::Workflow, "load", "m".to_owned(), raised);
        let alert = NewAlert { job: "x".to_owned(), workflow: "w.toml".to_owned(), task_time: about, ..new };
        let expected =
            SummaryItem { topic: "load", job: "x", workflow: "w.toml", task_time: about, raised: Some(raised) };
        assert_eq!(SummaryItem::from(&alert), expected);
        let counted = count_by_line([expected, SummaryItem { raised: None, ..expected }]);
        assert_eq!((counted["load:x"].count, &counted["load:x"].raised), (2, &vec![raised]));
    }

    #[test]
    fn the_last_line_of_a_message_is_short_and_says_something() {
        for (msg, line) in
            [("", None), ("\n \n", None), ("a", Some("a")), ("a\nb\n\n", Some("b")), ("a\r\nb\r\n", Some("b"))]
        {
            assert_eq!(last_line(msg).as_deref(), line, "{msg:?}");
        }
        assert_eq!(last_line(&"é".repeat(1_000)).unwrap(), "é".repeat(MAX_LINE_CHARACTERS));
    }

    proptest! {
        #[test]
        fn no_alert_is_lost(alerts in proptest::collection::vec(("[ab]{1,2}", "[ab]{0,1}"), 0..50)) {
            let item = |(topic, job)| SummaryItem { topic, job, workflow: "w.toml", task_time: None, raised: None };
            let items: Vec<_> = alerts.iter().map(|(topic, job)| item((topic.as_str(), job.as_str()))).collect();
            let lines = summarize_alerts(items.iter().copied());
            let counted: u64 = count_by_line(items).values().map(|line| line.count).sum();
            prop_assert_eq!(counted, u64::try_from(alerts.len()).unwrap());
            prop_assert_eq!(lines.iter().map(|line| line.count).sum::<u64>(), counted);
            let ordered = lines.is_sorted_by_key(|line| (Reverse(line.count), line.key.clone()));
            prop_assert!(ordered);
        }
    }
}

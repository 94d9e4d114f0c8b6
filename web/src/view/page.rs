//! The rows of the start page.

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::workflow::{Finding, Severity};
use flowlord_domain::{Attempt, TaskResult, TaskState, duration};
use flowlord_messages::alerts::LadderStatus;
use flowlord_messages::library::Current;
use flowlord_messages::read::{Stats, StoredAlert};

use super::stats::{HourView, StatsView, Sum};

/// The height of the highest bar.
const BAR_HEIGHT: f64 = 60.0;

/// A figure of the day.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) label: &'static str,
    pub(crate) count: u64,
}

/// The parts of a sum, with the names that the stylesheet colours.
fn parts(sum: &Sum) -> [Figure; 5] {
    [
        Figure { label: "complete", count: sum.complete },
        Figure { label: "running", count: sum.running },
        Figure { label: "warn", count: sum.warn },
        Figure { label: "error", count: sum.error },
        Figure { label: "alert", count: sum.alert },
    ]
}

/// An hour of the chart.
#[derive(Debug)]
pub(crate) struct Bar {
    pub(crate) x: u32,
    pub(crate) title: String,
    pub(crate) segments: Vec<Segment>,
}

/// A part of a bar.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) class: &'static str,
    pub(crate) y: String,
    pub(crate) height: String,
}

/// A row of the table by topic and job.
#[derive(Debug)]
pub(crate) struct TopicRow {
    pub(crate) topic: String,
    pub(crate) job: String,
    pub(crate) total: u64,
    pub(crate) figures: [Figure; 5],
    pub(crate) run: String,
}

/// The day's totals.
#[derive(Debug, Default)]
pub(crate) struct Day {
    pub(crate) total: u64,
    pub(crate) figures: Vec<Figure>,
    pub(crate) bars: Vec<Bar>,
    pub(crate) topics: Vec<TopicRow>,
}

impl Day {
    pub(crate) fn new(date: chrono::NaiveDate, stats: &Stats) -> Self {
        let view = StatsView::new(date, stats);
        let highest = view.hours.iter().map(|hour| hour.sum.total).max().unwrap_or(0);
        let mut topics: Vec<TopicRow> = view
            .tasks
            .iter()
            .map(|task| TopicRow {
                topic: task.topic.to_owned(),
                job: task.job.to_owned(),
                total: task.sum.total,
                figures: parts(&task.sum),
                run: task.run_seconds.map(seconds).unwrap_or_default(),
            })
            .collect();
        topics.sort_by_key(|row| std::cmp::Reverse(row.total));
        Self {
            total: view.totals.total,
            figures: parts(&view.totals).into(),
            bars: view.hours.iter().map(|hour| bar(hour, highest)).collect(),
            topics,
        }
    }
}

fn bar(hour: &HourView, highest: u64) -> Bar {
    let mut y = BAR_HEIGHT;
    let mut title = format!("{:02}:00 UTC, {} tasks", hour.hour, hour.sum.total);
    let mut segments = Vec::new();
    for Figure { label, count } in parts(&hour.sum) {
        if count > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a height on the screen")]
            let height = count as f64 / highest.max(1) as f64 * BAR_HEIGHT;
            y -= height;
            title.push_str(&format!(", {count} {label}"));
            segments.push(Segment { class: label, y: format!("{y:.1}"), height: format!("{height:.1}") });
        }
    }
    Bar { x: u32::from(hour.hour) * 10 + 1, title, segments }
}

/// A row of the table of tasks.
#[derive(Debug)]
pub(crate) struct TaskRow {
    pub(crate) uid: String,
    /// The result, or the state while there is none.
    pub(crate) status: &'static str,
    pub(crate) class: &'static str,
    pub(crate) progress: Option<String>,
    pub(crate) topic: String,
    pub(crate) job: String,
    pub(crate) info: String,
    pub(crate) meta: String,
    pub(crate) msg: String,
    pub(crate) attempt: u32,
    pub(crate) created: When,
    pub(crate) waited: String,
    pub(crate) ran: String,
    pub(crate) worker: String,
}

/// A time, for people and for programs.
#[derive(Debug, Default)]
pub(crate) struct When {
    pub(crate) text: String,
    pub(crate) exact: String,
}

impl When {
    fn time_of_day(at: DateTime<Utc>) -> Self {
        Self { text: at.format("%H:%M:%S").to_string(), exact: exact(at) }
    }

    pub(crate) fn date_and_time(at: DateTime<Utc>) -> Self {
        Self { text: at.format("%Y-%m-%d %H:%M").to_string(), exact: exact(at) }
    }
}

fn exact(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

impl TaskRow {
    pub(crate) fn new(task: Attempt, now: DateTime<Utc>) -> Self {
        let created = task.uid.created();
        let (status, class) = status(&task);
        let waiting_since = task.not_before.filter(|at| *at > created).unwrap_or(created);
        let waited = match task.started {
            Some(started) => span(started - waiting_since),
            None if task.state == TaskState::Ready => span(now - waiting_since),
            None => String::new(),
        };
        let end = task.ended.or((task.state == TaskState::Leased).then_some(now));
        let ran = task.started.zip(end).map(|(from, to)| span(to - from)).unwrap_or_default();
        Self {
            uid: task.uid.to_string(),
            status,
            class,
            progress: task
                .progress
                .filter(|_| task.state == TaskState::Leased)
                .map(|part| format!("{part:.2}")),
            topic: task.topic,
            job: task.job,
            info: task.info,
            meta: task.meta,
            msg: task.msg,
            attempt: task.retry.saturating_add(1),
            created: When::time_of_day(created),
            waited,
            ran,
            worker: task.worker,
        }
    }
}

fn status(task: &Attempt) -> (&'static str, &'static str) {
    match (task.result, task.state) {
        (Some(result), _) => (result.as_str(), TaskResult::as_str(result)),
        (None, TaskState::Leased) => ("running", "running"),
        (None, TaskState::Delayed) => ("delayed", "waiting"),
        (None, _) => ("ready", "waiting"),
    }
}

/// A length of time with no more digits than people read.
fn span(span: TimeDelta) -> String {
    let span = span.max(TimeDelta::zero());
    let rounded = if span < TimeDelta::seconds(10) {
        TimeDelta::milliseconds(span.num_milliseconds())
    } else {
        TimeDelta::seconds(span.num_seconds())
    };
    duration::print(rounded)
}

fn seconds(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "an average run time fits")]
    let millis = (seconds * 1e3) as i64;
    span(TimeDelta::milliseconds(millis))
}

/// A row of the list of alerts.
#[derive(Debug)]
pub(crate) struct AlertRow {
    pub(crate) at: When,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) msg: String,
    pub(crate) uid: String,
}

impl AlertRow {
    pub(crate) fn new(alert: StoredAlert) -> Self {
        let name = match alert.job.as_str() {
            "" => alert.topic,
            job => format!("{}:{job}", alert.topic),
        };
        Self {
            at: When::time_of_day(alert.at),
            kind: alert.kind.as_str().replace('_', " "),
            name,
            msg: alert.msg,
            uid: alert.uid.map(|uid| uid.to_string()).unwrap_or_default(),
        }
    }
}

/// An incident that isn't over.
#[derive(Debug)]
pub(crate) struct Incident {
    pub(crate) route: String,
    pub(crate) since: When,
    pub(crate) next: When,
}

pub(crate) fn incidents(ladders: Vec<LadderStatus>) -> Vec<Incident> {
    let open = |ladder: LadderStatus| {
        let since = When::date_and_time(ladder.incident_since?);
        Some(Incident { route: ladder.route, since, next: When::time_of_day(ladder.next) })
    };
    ladders.into_iter().filter_map(open).collect()
}

/// Something wrong with a workflow file.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) place: String,
    pub(crate) message: String,
    pub(crate) class: &'static str,
}

pub(crate) fn troubles(current: &Current) -> Vec<Trouble> {
    let loaded = current.workflows.files().iter().flat_map(|file| &file.findings);
    let mut findings: Vec<&Finding> = current.broken.iter().chain(loaded).collect();
    findings.sort();
    findings.dedup();
    findings.sort_by_key(|finding| finding.severity);
    findings.into_iter().map(trouble).collect()
}

fn trouble(finding: &Finding) -> Trouble {
    Trouble {
        place: format!("{}:{}:{}", finding.file, finding.line, finding.column),
        message: finding.message.clone(),
        class: match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warn",
        },
    }
}

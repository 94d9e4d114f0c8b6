//! A backload that was begun: how far it is, and what became of its tasks.

use chrono::{DateTime, Utc};
use flowlord_domain::backload::{BackloadOrder, TaskSelection};
use flowlord_domain::summary::line_key;
use flowlord_messages::backloads::{BackloadState, StoredBackload};

use super::PATH;
use crate::link::PageLink;
use crate::parts::grouped;

pub(super) struct BackloadRow {
    pub(super) stored: StoredBackload,
    order: Option<BackloadOrder>,
    now: DateTime<Utc>,
}

impl BackloadRow {
    pub(super) fn new(stored: StoredBackload, now: DateTime<Utc>) -> Self {
        // An order of another version may not read: the rest is shown without it.
        let order = serde_json::from_str(&stored.order).ok();
        Self { stored, order, now }
    }

    pub(super) fn href(&self) -> String {
        PageLink::to(PATH).with("id", &self.stored.id).href()
    }

    pub(super) fn class(&self) -> &'static str {
        match self.stored.state {
            BackloadState::Running => "running",
            BackloadState::Paused => "waiting",
            BackloadState::Cancelled => "warn",
            BackloadState::Done if self.stored.failed > 0 => "error",
            BackloadState::Done => "complete",
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.stored.state == BackloadState::Running
    }

    pub(super) fn is_paused(&self) -> bool {
        self.stored.state == BackloadState::Paused
    }

    /// Whether something of it is still to be created, or to end.
    pub(super) fn can_cancel(&self) -> bool {
        let waits = self.stored.finished.is_some_and(|finished| finished < self.stored.created);
        self.is_running() || self.is_paused() || self.stored.state == BackloadState::Done && waits
    }

    pub(super) fn task_name(&self) -> String {
        self.order.as_ref().map(|order| line_key(&order.topic, &order.job)).unwrap_or_default()
    }

    pub(super) fn range_words(&self) -> String {
        let Some(order) = &self.order else { return String::new() };
        let [from, to] = [order.from, order.to].map(|at| at.format("%Y-%m-%d %H:%M").to_string());
        if order.from == order.to { from } else { format!("{from} to {to}") }
    }

    pub(super) fn created_words(&self) -> String {
        let [created, total] = [self.stored.created, self.stored.total].map(|count| grouped(count as u64));
        format!("{created}/{total} tasks created")
    }

    pub(super) fn finished_words(&self) -> Option<String> {
        // Backloads of older databases have no such count.
        let finished = grouped(self.stored.finished? as u64);
        Some(match self.stored.unsuccessful {
            0 => format!("{finished} ended"),
            bad => format!("{finished} ended, {} of them by a failure", grouped(bad as u64)),
        })
    }

    pub(super) fn rate_words(&self) -> Option<String> {
        Some(format!("{:.1} tasks an hour", self.stored.hourly_rate(self.now)?))
    }

    pub(super) fn expected_end(&self) -> Option<DateTime<Utc>> {
        self.stored.expected_end(self.now)
    }

    pub(super) fn template(&self) -> &str {
        self.order.as_ref().map_or("", |order| &order.template)
    }

    pub(super) fn interval(&self) -> String {
        self.order.as_ref().map(|order| format!("{:?}", order.by).to_lowercase()).unwrap_or_default()
    }

    pub(super) fn selection_words(&self) -> &'static str {
        match self.order.as_ref().map(|order| order.only) {
            Some(TaskSelection::Missing) => "those that were never created",
            Some(TaskSelection::Failed) => "those that failed",
            _ => "all",
        }
    }

    /// Leads to the tasks that it created.
    pub(super) fn tasks_href(&self) -> Option<String> {
        let order = self.order.as_ref()?;
        // By the day of the request: they are created then, whatever times they are about.
        let day = self.stored.requested.date_naive();
        let link = PageLink::to("/web/task").with("type", &order.topic).with("date", &day);
        Some(if order.job.is_empty() { link } else { link.with("job", &order.job) }.href())
    }
}

#[cfg(test)]
mod tests {
    use flowlord_testkit::sample::noon;

    use super::*;

    const ORDER: &str = r#"{"topic":"load","job":"daily","workflow":"","template":"?date={yyyy}","from":"2026-01-01T00:00:00Z","to":"2026-01-31T00:00:00Z","by":"day","only":"missing"}"#;

    fn row(state: BackloadState, failed: usize, order: &str) -> BackloadRow {
        BackloadRow::new(
            StoredBackload {
                id: 4,
                requested: noon(),
                changed: noon(),
                state,
                order: order.to_owned(),
                message: String::new(),
                digest: 0,
                total: 1_500,
                next: 0,
                created: 1_200,
                skipped: 0,
                failed,
                finished: Some(1_000),
                unsuccessful: 2,
                problem: String::new(),
            },
            noon() + chrono::TimeDelta::hours(2),
        )
    }

    #[test]
    fn a_backload_tells_what_it_was_asked_for() {
        let row = row(BackloadState::Running, 0, ORDER);
        assert_eq!(
            (row.task_name().as_str(), row.template(), row.interval().as_str()),
            ("load:daily", "?date={yyyy}", "day")
        );
        assert_eq!(row.range_words(), "2026-01-01 00:00 to 2026-01-31 00:00");
        assert_eq!(
            (row.created_words().as_str(), row.selection_words()),
            ("1,200/1,500 tasks created", "those that were never created")
        );
        assert_eq!(row.finished_words().unwrap(), "1,000 ended, 2 of them by a failure");
        assert_eq!(row.rate_words().unwrap(), "500.0 tasks an hour");
        assert_eq!(row.tasks_href().as_deref(), Some("/web/task?type=load&date=2026-03-02&job=daily"));
        assert_eq!(row.href(), "/web/backload?id=4");
        let one_time = ORDER.replace("01-31", "01-01").replace("\"daily\"", "\"\"").replace("missing", "failed");
        let row = self::row(BackloadState::Running, 0, &one_time);
        assert_eq!((row.range_words().as_str(), row.selection_words()), ("2026-01-01 00:00", "those that failed"));
        assert_eq!(row.tasks_href().as_deref(), Some("/web/task?type=load&date=2026-03-02"));
    }

    #[test]
    fn an_order_that_does_not_read_leaves_the_rest() {
        let row = row(BackloadState::Done, 0, "{}");
        assert_eq!((row.task_name(), row.range_words(), row.interval()), Default::default());
        assert_eq!((row.template(), row.tasks_href(), row.selection_words()), ("", None, "all"));
        assert_eq!(row.created_words(), "1,200/1,500 tasks created");
    }

    #[test]
    fn its_colour_says_how_it_stands() {
        let class = |state, failed| row(state, failed, ORDER).class();
        let states = [BackloadState::Running, BackloadState::Paused, BackloadState::Cancelled, BackloadState::Done];
        assert_eq!(states.map(|state| row(state, 0, ORDER).can_cancel()), [true, true, false, true]);
        let mut ended = row(BackloadState::Done, 0, ORDER);
        ended.stored.finished = Some(1_200);
        assert!(!ended.can_cancel());
        assert_eq!(states.map(|state| class(state, 0)), ["running", "waiting", "warn", "complete"]);
        assert_eq!(states.map(|state| class(state, 1)), ["running", "waiting", "warn", "error"]);
    }
}

//! A backload that was begun: how far it is, and what became of its tasks.

use flowlord_domain::backload::{BackloadOrder, TaskSelection};
use flowlord_domain::summary::line_key;
use flowlord_messages::backloads::{BackloadFailure, BackloadState, StoredBackload};

use super::PATH;
use crate::link::PageLink;
use crate::parts::grouped;
use crate::when::ShownTime;

pub(super) struct BackloadRow {
    pub(super) id: i64,
    pub(super) href: String,
    pub(super) state: &'static str,
    pub(super) class: &'static str,
    pub(super) task: String,
    pub(super) range: String,
    pub(super) requested: ShownTime,
    pub(super) created: String,
    pub(super) failed: usize,
    pub(super) skipped: usize,
    pub(super) total: usize,
    pub(super) done: usize,
    pub(super) problem: String,
}

pub(super) struct BackloadDetails {
    pub(super) row: BackloadRow,
    pub(super) message: String,
    pub(super) changed: ShownTime,
    pub(super) template: String,
    pub(super) by: String,
    pub(super) only: &'static str,
    pub(super) failures: Vec<BackloadFailure>,
    /// How many failures aren't remembered.
    pub(super) more: usize,
    pub(super) running: bool,
    pub(super) paused: bool,
    pub(super) tasks: String,
}

fn class(stored: &StoredBackload) -> &'static str {
    match stored.state {
        BackloadState::Running => "running",
        BackloadState::Paused => "waiting",
        BackloadState::Cancelled => "warn",
        BackloadState::Done if stored.failed > 0 => "error",
        BackloadState::Done => "complete",
    }
}

fn number(number: usize) -> String {
    grouped(u64::try_from(number).unwrap_or(u64::MAX))
}

impl BackloadRow {
    pub(super) fn new(stored: &StoredBackload) -> Self {
        // An order of another version may not read: the row shows the rest.
        let order: Option<BackloadOrder> = serde_json::from_str(&stored.order).ok();
        let task = order.as_ref().map(|order| line_key(&order.topic, &order.job));
        let range = order.map(|order| {
            let [from, to] = [order.from, order.to].map(|at| at.format("%Y-%m-%d %H:%M").to_string());
            if order.from == order.to { from } else { format!("{from} to {to}") }
        });
        Self {
            id: stored.id,
            href: PageLink::to(PATH).with("id", &stored.id).href(),
            state: stored.state.as_str(),
            class: class(stored),
            task: task.unwrap_or_default(),
            range: range.unwrap_or_default(),
            requested: ShownTime::date_and_time(stored.requested),
            created: format!("{}/{} tasks created", number(stored.created), number(stored.total)),
            failed: stored.failed,
            skipped: stored.skipped,
            total: stored.total,
            done: stored.next,
            problem: stored.problem.clone(),
        }
    }
}

impl BackloadDetails {
    pub(super) fn new(stored: &StoredBackload, failures: Vec<BackloadFailure>) -> Self {
        let order: Option<BackloadOrder> = serde_json::from_str(&stored.order).ok();
        let tasks = order.as_ref().map(|order| {
            let link = PageLink::to("/web/task")
                .with("type", &order.topic)
                .with("date", &stored.requested.date_naive());
            if order.job.is_empty() { link } else { link.with("job", &order.job) }.href()
        });
        let only = match order.as_ref().map(|order| order.only) {
            Some(TaskSelection::Missing) => "those that were never created",
            Some(TaskSelection::Failed) => "those that failed",
            _ => "all",
        };
        Self {
            row: BackloadRow::new(stored),
            message: stored.message.clone(),
            changed: ShownTime::full(stored.changed),
            template: order.as_ref().map(|order| order.template.clone()).unwrap_or_default(),
            by: order.map(|order| format!("{:?}", order.by).to_lowercase()).unwrap_or_default(),
            only,
            more: stored.failed.saturating_sub(failures.len()),
            failures,
            running: stored.state == BackloadState::Running,
            paused: stored.state == BackloadState::Paused,
            tasks: tasks.unwrap_or_default(),
        }
    }
}

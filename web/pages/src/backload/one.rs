//! A backload that was begun: how far it is, and what became of its tasks.

use flowlord_domain::backload::{BackloadOrder, TaskSelection};
use flowlord_domain::summary::line_key;
use flowlord_messages::backloads::{BackloadState, StoredBackload};

use super::PATH;
use crate::link::PageLink;
use crate::parts::grouped;

pub(super) struct BackloadRow {
    pub(super) stored: StoredBackload,
    order: Option<BackloadOrder>,
}

impl BackloadRow {
    pub(super) fn new(stored: StoredBackload) -> Self {
        // An order of another version may not read: the rest is shown without it.
        let order = serde_json::from_str(&stored.order).ok();
        Self { stored, order }
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

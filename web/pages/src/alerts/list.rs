//! The list of a day's alerts, and its order.

use std::cmp::Ordering;

use flowlord_domain::AlertKind;
use flowlord_messages::alerts::StoredAlert;
use flowlord_web_core::params::QueryParams;
use flowlord_web_core::problem::Problem;

use crate::sort::SortColumn;

pub(super) const COLUMNS: [SortColumn; 7] = [
    SortColumn { label: "Alerted", key: "at", figures: true },
    SortColumn { label: "Kind", key: "kind", figures: false },
    SortColumn { label: "Type", key: "type", figures: false },
    SortColumn { label: "Job", key: "job", figures: false },
    SortColumn { label: "Message", key: "msg", figures: false },
    SortColumn { label: "Task time", key: "time", figures: true },
    SortColumn { label: "Chain", key: "id", figures: false },
];

type Compare = fn(&StoredAlert, &StoredAlert) -> Ordering;

#[derive(Debug, Clone, Copy)]
pub(super) struct AlertOrder {
    column: usize,
    pub(super) descending: bool,
}

impl AlertOrder {
    /// From `sort` and `order`; the newest first unless asked otherwise.
    pub(super) fn of(params: &QueryParams) -> Result<Self, Problem> {
        let sort = params.one("sort")?.unwrap_or("at");
        let column = COLUMNS.iter().position(|column| column.key == sort).ok_or_else(|| {
            let known = COLUMNS.map(|column| column.key).join(", ");
            Problem::invalid(format!("`sort` is `{sort}`: write one of {known}"))
        })?;
        let descending = match params.one("order")? {
            None => sort == "at",
            Some("desc") => true,
            Some("asc") => false,
            Some(other) => {
                return Err(Problem::invalid(format!("`order` is `{other}`: write asc or desc")));
            }
        };
        Ok(Self { column, descending })
    }

    pub(super) fn key(self) -> &'static str {
        COLUMNS.get(self.column).map_or("", |column| column.key)
    }

    pub(super) fn sort(self, alerts: &mut [StoredAlert]) {
        let compare: Compare = match self.key() {
            "kind" => |a, b| a.kind.as_str().cmp(b.kind.as_str()),
            "type" => |a, b| a.topic.cmp(&b.topic),
            "job" => |a, b| a.job.cmp(&b.job),
            "msg" => |a, b| a.msg.cmp(&b.msg),
            "time" => |a, b| a.task_time.cmp(&b.task_time),
            "id" => |a, b| a.id.cmp(&b.id),
            _ => |a, b| a.at.cmp(&b.at),
        };
        // A stable sort: alerts that are alike stay as they came, the newest first.
        alerts.sort_by(|a, b| if self.descending { compare(b, a) } else { compare(a, b) });
    }
}

pub(super) fn is_failure(alert: &StoredAlert) -> bool {
    alert.uid.is_some() && matches!(alert.kind, AlertKind::Exhausted | AlertKind::UnknownPhase | AlertKind::Result)
}

/// The end of the chain's id, as far as it tells chains apart.
pub(super) fn short_id(alert: &StoredAlert) -> String {
    let length = alert.id.chars().count();
    alert.id.chars().skip(length.saturating_sub(12)).collect()
}

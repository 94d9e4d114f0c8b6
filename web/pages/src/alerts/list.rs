//! The list of a day's alerts, and its order.

use std::cmp::Ordering;

use flowlord_domain::AlertKind;
use flowlord_messages::alerts::StoredAlert;
use flowlord_web_core::params::QueryParams;
use flowlord_web_core::problem::Problem;

use crate::choice::is_chosen;
use crate::repeats::{RepeatedAlert, collapse_alerts};
use crate::sort::SortColumn;

pub(super) const COLUMNS: [SortColumn; 7] = [
    SortColumn { label: "Alerted", key: "at", figures: true },
    SortColumn { label: "Kind", key: "kind", figures: false },
    SortColumn { label: "Task", key: "type", figures: false },
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
            Problem::wrong_value("sort", sort, format_args!("one of {known}"))
        })?;
        Ok(Self { column, descending: params.descending()?.unwrap_or(sort == "at") })
    }

    pub(super) fn key(self) -> &'static str {
        COLUMNS.get(self.column).map_or("", |column| column.key)
    }

    /// By the newest alert of each line.
    fn sort(self, lines: &mut [RepeatedAlert]) {
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
        lines.sort_by(|a, b| {
            let (a, b) = (&a.newest, &b.newest);
            if self.descending { compare(b, a) } else { compare(a, b) }
        });
    }
}

/// The lines of a day's alerts, which come newest first: those that repeat are one, unless a kind is chosen.
pub(super) fn alert_lines(
    mut alerts: Vec<StoredAlert>,
    params: &QueryParams,
    order: AlertOrder,
) -> Result<Vec<RepeatedAlert>, Problem> {
    let kinds = params.named::<AlertKind>("kind")?;
    // Before they are collapsed: what isn't chosen must not be counted among the repeats.
    alerts.retain(|StoredAlert { kind, topic, job, workflow, .. }| {
        is_chosen(params, [("kind", kind.as_str()), ("type", topic), ("job", job), ("workflow", workflow)])
    });
    let mut lines = match kinds.as_slice() {
        [] => collapse_alerts(alerts),
        _ => alerts.into_iter().map(RepeatedAlert::alone).collect(),
    };
    order.sort(&mut lines);
    Ok(lines)
}

pub(super) fn is_failure(alert: &StoredAlert) -> bool {
    use AlertKind::{Exhausted, Result, TimedOut, UnknownPhase};
    alert.uid.is_some() && matches!(alert.kind, Exhausted | TimedOut | UnknownPhase | Result)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use flowlord_domain::Uid;
    use flowlord_testkit::sample::noon;

    use super::super::query::PARAMS;
    use super::*;

    fn alert(row: i64, kind: AlertKind, topic: &str) -> StoredAlert {
        StoredAlert {
            row,
            kind,
            at: noon() + TimeDelta::seconds(row),
            uid: Some(Uid(row)),
            id: format!("chain-{row}"),
            topic: topic.to_owned(),
            job: String::new(),
            workflow: String::new(),
            msg: format!("message {}", 9 - row),
            is_msg_cut: false,
            task_time: None,
            at_once: false,
            route: String::new(),
            silence: None,
            owner: String::new(),
            runbook: String::new(),
        }
    }

    fn order(query: &str) -> Result<AlertOrder, Problem> {
        AlertOrder::of(&QueryParams::parse(query, &["sort", "order"])?)
    }

    fn lines(query: &str, alerts: Vec<StoredAlert>) -> Vec<RepeatedAlert> {
        let params = QueryParams::parse(query, PARAMS).unwrap();
        alert_lines(alerts, &params, AlertOrder::of(&params).unwrap()).unwrap()
    }

    fn sorted(query: &str) -> Vec<i64> {
        let alerts = vec![
            alert(3, AlertKind::Result, "b"),
            alert(2, AlertKind::Exhausted, "a"),
            alert(1, AlertKind::Workflow, "b"),
        ];
        lines(query, alerts).iter().map(|line| line.newest.row).collect()
    }

    #[test]
    fn alerts_that_repeat_are_one_line_which_leads_to_each_of_them() {
        let of_file = |row, workflow: &str| StoredAlert {
            workflow: workflow.to_owned(),
            job: "daily".to_owned(),
            ..alert(row, AlertKind::Exhausted, "a&b")
        };
        let all = || {
            let other_kind = alert(6, AlertKind::Unfinished, "a&b");
            vec![of_file(9, "x.toml"), of_file(8, "y.toml"), of_file(7, "x.toml"), other_kind, of_file(5, "x.toml")]
        };
        let collapsed = lines("", all());
        let counts: Vec<_> = collapsed.iter().map(|line| (line.newest.row, line.count)).collect();
        assert_eq!(counts, [(9, 3), (8, 1), (6, 1)]);
        assert_eq!(collapsed[0].first_at, noon() + TimeDelta::seconds(5));
        let href = collapsed[0].href();
        assert_eq!(href, "/web/alert?date=2026-03-02&kind=exhausted&type=a%26b&job=daily&workflow=x.toml");
        let each = lines(href.split_once('?').unwrap().1, all());
        assert_eq!(each.iter().map(|line| (line.newest.row, line.count)).collect::<Vec<_>>(), [(9, 1), (7, 1), (5, 1)]);
        assert_eq!(collapsed[2].href(), "/web/alert?date=2026-03-02&kind=unfinished&type=a%26b");
    }

    #[test]
    fn the_newest_come_first_and_other_columns_begin_with_the_least() {
        for (query, rows) in [
            ("", [3, 2, 1]),
            ("order=asc", [1, 2, 3]),
            ("sort=kind", [2, 3, 1]),
            ("sort=kind&order=desc", [1, 3, 2]),
            // Those that are alike stay as they came.
            ("sort=type", [2, 3, 1]),
            ("sort=type&order=desc", [3, 1, 2]),
            ("sort=msg", [3, 2, 1]),
            ("sort=id", [1, 2, 3]),
            ("sort=time&order=desc", [3, 2, 1]),
        ] {
            assert_eq!(sorted(query), rows, "{query}");
        }
    }

    #[test]
    fn an_order_that_can_not_be_says_what_to_write() {
        for (query, says) in [
            ("sort=colour", "`sort` is `colour`: write one of at, kind, type, job, msg, time, id"),
            ("order=up", "`order` is `up`: write asc or desc"),
        ] {
            assert_eq!(order(query).unwrap_err().detail(), says);
        }
    }

    #[test]
    fn only_what_a_task_failed_by_is_a_failure() {
        for kind in AlertKind::ALL {
            let failed =
                [AlertKind::Exhausted, AlertKind::Result, AlertKind::UnknownPhase, AlertKind::TimedOut].contains(&kind);
            assert_eq!(is_failure(&alert(1, kind, "a")), failed, "{kind:?}");
        }
        assert!(!is_failure(&StoredAlert { uid: None, ..alert(1, AlertKind::Result, "a") }));
    }
}

//! The audit log: which changes a request asks for, the same for REST and for the page.

use chrono::NaiveDate;
use flowlord_messages::audit::{AuditAction, ListAuditRecords};

use crate::params::{QueryParams, day};
use crate::problem::Problem;

pub fn list_changes(params: &QueryParams, date: NaiveDate, limit: usize) -> Result<ListAuditRecords, Problem> {
    let (from, to) = day(date);
    Ok(ListAuditRecords {
        from,
        to,
        who: params.texts("who")?,
        actions: params.many("action").map(parse_action).collect::<Result<_, _>>()?,
        after: params.cursor()?,
        limit,
    })
}

fn parse_action(name: &str) -> Result<AuditAction, Problem> {
    AuditAction::from_name(name).ok_or_else(|| {
        let known = AuditAction::ALL.map(AuditAction::as_str).join(", ");
        Problem::wrong_value("action", name, format_args!("one of {known}"))
    })
}

//! The audit log: which changes a request asks for, the same for REST and for the page.

use chrono::NaiveDate;
use flowlord_messages::audit::ListAuditRecords;

use crate::params::{QueryParams, day};
use crate::problem::Problem;

pub fn list_changes(params: &QueryParams, date: NaiveDate, limit: usize) -> Result<ListAuditRecords, Problem> {
    let (from, to) = day(date);
    Ok(ListAuditRecords {
        from,
        to,
        who: params.texts("who")?,
        actions: params.named("action")?,
        after: params.cursor()?,
        limit,
    })
}

//! The audit log: which changes a request asks for, the same for REST and for the page.

use chrono::NaiveDate;
use flowlord_messages::audit::{Action, ListChanges};

use crate::params::{Params, day};
use crate::problem::Problem;

pub fn list_changes(params: &Params, date: NaiveDate, limit: usize) -> Result<ListChanges, Problem> {
    let (from, to) = day(date);
    Ok(ListChanges {
        from,
        to,
        who: params.texts("who")?,
        actions: params.many("action").map(action).collect::<Result<_, _>>()?,
        after: params.cursor()?,
        limit,
    })
}

fn action(name: &str) -> Result<Action, Problem> {
    Action::named(name).ok_or_else(|| {
        let known = Action::ALL.map(Action::as_str).join(", ");
        Problem::invalid(format!("`action` is `{name}`: write one of {known}"))
    })
}

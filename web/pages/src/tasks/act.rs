//! What people do about the tasks of the page: have those that they tick run again, or cancel them.

use std::collections::BTreeSet;

use flowlord_messages::tasks::ReadAttempts;
use flowlord_web_core::use_cases::tasks::parse_uid;

use super::PATH;
use crate::again::{BulkSummary, MOST};
use crate::prelude::*;
use crate::{Notice, PageLink, form_fields};

pub(crate) async fn change_selected(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let form = form_fields(&request, payload).await?;
    let done = match form.first_value("do") {
        Some("again") => rerun_ticked(&context, &form).await,
        Some("cancel") => cancel_ticked(&context, &form).await,
        _ => Err(Problem::invalid("the form names no action: send `do` as again or cancel")),
    };
    let done = done.and_then(BulkSummary::into_notice);
    Ok(Notice::after(&request, done).back_to(&PageLink::of(PATH, request.query_string()).href()))
}

/// The tasks of a form, each once, oldest first.
fn ticked_uids(form: &Query) -> Result<Vec<Uid>, Problem> {
    let uids = form.pairs().filter(|(name, _)| *name == "uid").map(|(_, uid)| parse_uid(uid));
    // A form can name a task twice: it is to be changed once.
    let uids: BTreeSet<Uid> = uids.collect::<Result<_, _>>()?;
    match uids.len() {
        0 => Err(Problem::invalid("no task is selected: select the tasks to rerun or cancel")),
        1..=MOST => Ok(uids.into_iter().collect()),
        many => Err(Problem::invalid(format!("{many} tasks are selected: select at most {MOST}"))),
    }
}

async fn cancel_ticked(context: &WebContext, form: &Query) -> Result<BulkSummary, Problem> {
    let mut done = BulkSummary::of_cancel();
    done.cancel(context, ticked_uids(form)?, None).await?;
    Ok(done)
}

async fn rerun_ticked(context: &WebContext, form: &Query) -> Result<BulkSummary, Problem> {
    let uids = ticked_uids(form)?;
    let found = context.deps.view_reader.call(ReadAttempts { uids: uids.clone() }).await?;
    let mut done = BulkSummary::of_rerun();
    let mut tasks: Vec<Attempt> = Vec::with_capacity(found.len());
    // They come in the order of the question; a task that was removed meanwhile is none.
    for (uid, task) in uids.into_iter().zip(found) {
        match task {
            Some(task) => tasks.push(task),
            None => done.refused.push(format!("the task {uid} no longer exists")),
        }
    }
    done.rerun(context, &tasks).await?;
    Ok(done)
}

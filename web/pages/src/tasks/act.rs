//! What people do about the tasks of the page: have those that they tick run again.

use std::collections::BTreeSet;

use actix_web::HttpRequest;
use actix_web::web::Payload;
use flowlord_domain::query::Query;
use flowlord_domain::{Attempt, Uid};
use flowlord_messages::tasks::ReadAttempts;
use flowlord_web_core::audit_entry::AuditEntry;
use flowlord_web_core::context::{ContextRef, WebContext};
use flowlord_web_core::extract::form_body;
use flowlord_web_core::problem::{Answer, Problem};
use flowlord_web_core::use_cases::tasks::parse_uid;

use super::PATH;
use crate::again::{MOST, RerunSummary};
use crate::{Notice, PageLink};

/// Has the ticked tasks run again, and leads back to where they stood.
pub(crate) async fn again(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let body = form_body(&request, payload).await?;
    let done = match ticked(&String::from_utf8_lossy(&body)) {
        Ok(uids) => run(&context, uids).await,
        Err(problem) => Err(problem),
    };
    if done.as_ref().map_or(true, |done| done.created == 0) {
        AuditEntry::nothing_changed(&request);
    }
    let notice = done.map_or_else(|problem| Notice::bad(problem.detail()), |done| done.notice());
    Ok(notice.back_to(&PageLink::of(PATH, request.query_string()).href()))
}

/// The tasks of a form, each once, oldest first.
fn ticked(form: &str) -> Result<Vec<Uid>, Problem> {
    let form = Query::parse_lenient(form);
    let uids = form.pairs().filter(|(name, _)| *name == "uid").map(|(_, uid)| parse_uid(uid));
    let uids: BTreeSet<Uid> = uids.collect::<Result<_, _>>()?;
    match uids.len() {
        0 => Err(Problem::invalid("no task is selected: select the tasks to rerun")),
        1..=MOST => Ok(uids.into_iter().collect()),
        many => Err(Problem::invalid(format!("{many} tasks are selected: select at most {MOST}"))),
    }
}

async fn run(context: &WebContext, uids: Vec<Uid>) -> Result<RerunSummary, Problem> {
    let found = context.deps.view_reader.call(ReadAttempts { uids: uids.clone() }).await?;
    let mut done = RerunSummary::default();
    let mut tasks: Vec<Attempt> = Vec::with_capacity(found.len());
    for (uid, task) in uids.into_iter().zip(found) {
        match task {
            Some(task) => tasks.push(task),
            None => done.refused.push(format!("the task {uid} no longer exists")),
        }
    }
    done.add(context, &tasks).await?;
    Ok(done)
}

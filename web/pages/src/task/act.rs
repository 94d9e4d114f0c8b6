//! What people do about one task: have it run again, cancel it, or mark it complete.

use flowlord_domain::TaskState;
use flowlord_domain::rerun::Downstream;
use flowlord_web_core::auth::caller::caller_name;
use flowlord_web_core::use_cases::tasks::{cancel_task, complete_task, parse_uid, read_task, rerun_task};
use flowlord_web_core::values::matching::note;

use crate::prelude::*;
use crate::{Notice, form_fields};

pub(crate) async fn change_task(
    context: ContextRef,
    path: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    let form = form_fields(&request, payload).await?;
    let uid = parse_uid(&path)?;
    let done = match form.first_value("do") {
        Some("again") => rerun_one(&context, uid, form.first_value("downstream")).await,
        Some("cancel") => cancel_one(&context, uid, form.first_value("note")).await,
        Some("complete") => complete_one(&context, uid, &caller_name(&request), form.first_value("note")).await,
        _ => Err(Problem::invalid("the form names no action: send `do` as again, cancel or complete")),
    };
    Ok(Notice::after(&request, done.map(Notice::good)).back_to(&format!("/web/task/{uid}")))
}

async fn rerun_one(context: &WebContext, uid: Uid, children: Option<&str>) -> Result<String, Problem> {
    let downstream = Downstream::parse(children.unwrap_or("true"))
        .ok_or_else(|| Problem::wrong_value("downstream", children.unwrap_or_default(), "true, false or failed"))?;
    let new = rerun_task(context, &read_task(context, uid).await?, downstream).await?;
    Ok(format!("Rerun as task {}.", new.uid))
}

async fn cancel_one(context: &WebContext, uid: Uid, given: Option<&str>) -> Result<String, Problem> {
    let reason = note("note", given.map(str::to_owned))?;
    let task = cancel_task(context, uid, reason).await?;
    Ok(match task.state {
        TaskState::Leased => "Its worker will be told to stop at its next heartbeat.".to_owned(),
        _ => "The task is cancelled.".to_owned(),
    })
}

async fn complete_one(context: &WebContext, uid: Uid, by: &str, given: Option<&str>) -> Result<String, Problem> {
    let reason = note("note", given.map(str::to_owned))?;
    complete_task(context, uid, by, reason.as_deref(), String::new()).await?;
    Ok("The task is marked complete, and its children start.".to_owned())
}

//! What people do about alerts from their page: take care of an incident, silence, end a silence, run again what
//! failed.

use flowlord_messages::alerts::AcknowledgeAlerts;
use flowlord_messages::silences::{AddSilence, RemoveSilence};
use flowlord_web_core::values::matching::{HOLDS, by, note, until};
use flowlord_web_core::values::required;

use super::again::rerun_failed;
use super::query::{AlertForm, PATH};
use crate::again::BulkSummary;
use crate::prelude::*;
use crate::{Notice, PageLink, form_fields};

pub(crate) async fn change_alerts(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let form = AlertForm(form_fields(&request, payload).await?);
    let done = match form.text("do").as_deref() {
        Some("ack") => acknowledge_incident(&context, &request, &form).await.map(Notice::good),
        Some("silence") => add_silence(&context, &request, &form).await.map(Notice::good),
        Some("end") => end_silence(&context, &form).await.map(Notice::good),
        Some("rerun") => rerun_failed(&context, &request, &form).await.and_then(BulkSummary::into_notice),
        _ => Err(Problem::invalid("the form names no action: send `do` as ack, silence, end or rerun")),
    };
    Ok(Notice::after(&request, done).back_to(&PageLink::of(PATH, request.query_string()).href()))
}

async fn acknowledge_incident(
    context: &WebContext,
    request: &HttpRequest,
    form: &AlertForm,
) -> Result<String, Problem> {
    let now = context.deps.kit.now();
    let said = AcknowledgeAlerts {
        route: form.text("route"),
        matcher: form.matcher()?,
        until: until(form.span()?, None, now)?.unwrap_or(now + HOLDS),
        by: by(form.text("by"), request)?,
        note: note("note", form.text("note"))?.unwrap_or_default(),
    };
    log::info!("event=acknowledge match={:?} until={} by={:?}", said.matcher.to_string(), said.until, said.by);
    let (who, until) = (said.by.clone(), said.until.format("%Y-%m-%d %H:%M"));
    Ok(match context.deps.alerts.call(said).await?.len() {
        0 => "No open incident matches: there is nothing to acknowledge.".to_owned(),
        _ => format!("Acknowledged by {who} until {until} UTC: no further notification unless another task fails."),
    })
}

async fn add_silence(context: &WebContext, request: &HttpRequest, form: &AlertForm) -> Result<String, Problem> {
    let now = context.deps.kit.now();
    let silence = AddSilence {
        now,
        matcher: form.matcher()?,
        until: required("for", until(form.span()?, None, now)?, "how long the silence lasts, like \"4h\"")?,
        by: by(form.text("by"), request)?,
        reason: required("reason", note("reason", form.text("reason"))?, "why these alerts are not to be sent")?,
    };
    let made = context.deps.writer.call(silence).await?;
    log::info!("event=silence_added id={} match={:?} by={:?}", made.id, made.matcher.to_string(), made.by);
    let until = made.until.format("%Y-%m-%d %H:%M");
    Ok(format!("No notifications for {} until {until} UTC.", made.matcher))
}

async fn end_silence(context: &WebContext, form: &AlertForm) -> Result<String, Problem> {
    let id = form.text("id").and_then(|id| id.parse().ok());
    let id = required("id", id, "the number of the silence")?;
    let ended = context.deps.writer.call(RemoveSilence { now: context.deps.kit.now(), id }).await?;
    log::info!("event=silence_ended id={id}");
    Ok(format!("Notifications for {} are sent again.", ended.matcher))
}

//! What changes, as server-sent events.

use actix_web::http::Method;
use actix_web::http::header::HeaderName;
use flowlord_web_core::answer::event_stream;
use flowlord_web_core::hang_up::HangUp;
use flowlord_web_core::live_events::{EventKind, EventKinds, stream};
use flowlord_web_core::use_cases::live_events::subscribe;
use futures_util::StreamExt as _;

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/events", Role::Viewer, events)
            .local()
            .about("service", "Live events")
            .says(
                "Server-sent events: task, tasks, counts, alert, incident, workflow, snapshot, backload, file, reset. \
                 The answer goes on until the client leaves, 15 minutes are over or the service stops.",
            )
            .query("kind", "only these", named_values::<EventKind>())
            .query("after", "the id from which to go on", json!({"type": "string"}))
            .header("Last-Event-ID", "the same, as browsers say it", json!({"type": "string"}))
            .answers_text(200, "events", &["text/event-stream"], "retry: 2000\nid: 64c0953867000-1\n\n")
            .fails(&[Code::InvalidRequest]),
    ]
}

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

async fn events(context: ContextRef, request: HttpRequest) -> Answer {
    let params = QueryParams::parse(request.query_string(), &["kind", "after"])?;
    let kinds = EventKinds::of(&params)?;
    let mut answer = event_stream();
    // HEAD has no body to wait for, and takes no subscriber's place.
    if *request.method() == Method::HEAD {
        return Ok(answer.finish());
    }
    // What a browser saw last counts more than where its page began.
    let seen = request.headers().get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    let subscription = subscribe(&context, seen.or(params.one("after")?)).await?;
    let events = stream(subscription, kinds);
    Ok(match HangUp::of(&request) {
        // A place among those who look on isn't kept for somebody who may be gone.
        Some(hang_up) => answer.streaming(events.take_until(hang_up.wait())),
        None => answer.streaming(events),
    })
}

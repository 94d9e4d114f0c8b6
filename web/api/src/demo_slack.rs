//! Slack's Web API as far as the demo needs it: the notifier posts here over HTTP, as it would to Slack.

use actix_web::http::header::AUTHORIZATION;
use flowlord_web_core::extract::slack_body;
use flowlord_web_core::live_events::{EventKind, LiveEvent};
use flowlord_web_core::route::ANYONE;

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        // Its token is none of the service's: it compares it itself, as Slack does.
        Route::post("/demo/slack/api/{method}", ANYONE, call),
    ]
}

async fn call(context: ContextRef, path: Path<String>, request: HttpRequest, payload: Payload) -> Answer {
    let slack = context.demo_slack()?;
    let body = slack_body(&request, payload).await?;
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|header| header.strip_prefix("Bearer "));
    let now = context.deps.kit.now();
    let answer = slack.answer(&path, token, &body, now);
    // Nothing is kept for pages that nobody has open.
    if answer["ok"] == true && context.hub.is_watched(now) {
        context.hub.tell(vec![LiveEvent::new(EventKind::Incident, &json!({}))]);
    }
    json(StatusCode::OK, &answer)
}

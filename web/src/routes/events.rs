//! What changes, as server-sent events.

use actix_web::http::Method;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::StreamExt as _;

use crate::api::ApiRef;
use crate::live::{Kinds, stream, subscribe};
use crate::params::Params;
use crate::problem::Answer;
use crate::socket::HangUp;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Proxies that gather answers before they pass them on are asked not to.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Goes on until the client leaves or the service stops.
pub(crate) async fn events(api: ApiRef, request: HttpRequest) -> Answer {
    let params = Params::parse(request.query_string(), &["kind", "after"])?;
    let kinds = Kinds::parse(params.many("kind"))?;
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((CONTENT_TYPE, HeaderValue::from_static("text/event-stream")))
        .insert_header((X_ACCEL_BUFFERING, HeaderValue::from_static("no")));
    if *request.method() == Method::HEAD {
        return Ok(answer.finish());
    }
    // What a browser saw last counts more than where its page began.
    let seen = request.headers().get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    let subscription = subscribe(&api, seen.or(params.one("after")?)).await?;
    let events = stream(subscription, kinds);
    Ok(match HangUp::of(&request) {
        // A place among those who look on isn't kept for somebody who may be gone.
        Some(hang_up) => answer.streaming(events.take_until(hang_up.wait())),
        None => answer.streaming(events),
    })
}

//! Whether the service is alive, and whether it can do its work.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use flowlord_messages::{Code, Ping};
use futures_util::future::join_all;
use serde_json::{Map, Value};

use crate::api::{Api, ApiRef};
use crate::problem::{Answer, Problem};
use crate::routes::json;

/// How long an actor may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The process answers.
pub(crate) async fn alive(api: ApiRef) -> Answer {
    json(StatusCode::OK, &serde_json::json!({ "status": "ok", "version": api.config.version }))
}

/// As the reference system answers it.
pub(crate) async fn status() -> HttpResponse {
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    HttpResponse::Ok().insert_header((CONTENT_TYPE, text)).body("ok")
}

/// Every actor answers.
pub(crate) async fn ready(api: ApiRef) -> Answer {
    let (troubles, actors) = ping_all(&api).await;
    if api.is_stopping() {
        return Err(Problem::new(Code::Stopping, "the service is stopping").with("actors", actors));
    }
    if !troubles.is_empty() {
        let each: Vec<_> = troubles.iter().map(|(name, why)| format!("{name}: {why}")).collect();
        return Err(Problem::new(Code::NotReady, each.join("; ")).with("actors", actors));
    }
    json(StatusCode::OK, &serde_json::json!({ "status": "ready", "actors": actors }))
}

/// Those that don't answer well, with what they say, and how each is.
pub(crate) async fn ping_all(api: &Api) -> (Vec<(&'static str, String)>, Value) {
    let pings = api.deps.pings.iter().map(|(name, port)| {
        let ping = tokio::time::timeout(ANSWER_WITHIN, port.call(Ping));
        async move { (*name, ping.await) }
    });
    let mut troubles = Vec::new();
    let mut actors = Map::new();
    for (name, answer) in join_all(pings).await {
        let detail = match answer {
            Ok(Ok(pong)) => serde_json::json!({ "status": "ok", "restarts": pong.restarts }),
            Ok(Err(err)) => {
                troubles.push((name, err.detail.clone()));
                serde_json::json!({ "status": err.code.as_str(), "detail": err.detail })
            }
            Err(_) => {
                troubles.push((name, format!("no answer within {} s", ANSWER_WITHIN.as_secs())));
                serde_json::json!({ "status": "timeout" })
            }
        };
        actors.insert(name.to_owned(), detail);
    }
    (troubles, Value::Object(actors))
}

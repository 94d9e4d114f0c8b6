//! Whether the service is alive, and whether it can do its work.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use chrono::{DateTime, Utc};
use flowlord_messages::rowlog::{ReadShipping, Shipping};
use flowlord_messages::snapshot::{BackupState, ReadBackup};
use flowlord_messages::{Code, Ping};
use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use crate::api::json;
use crate::core::context::{Api, ApiRef};
use crate::core::openapi::{Operation, schema};
use crate::core::problem::{Answer, Problem};
use crate::core::route::{ANYONE, Route, RouteClass};
use crate::core::view::time::Stamp;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/healthz", ANYONE, alive).class(RouteClass::Watch).documented(describe_alive),
        Route::get("/readyz", ANYONE, ready).class(RouteClass::Watch).documented(describe_ready),
        Route::get("/status", ANYONE, status).class(RouteClass::Watch).documented(describe_status),
    ]
}

/// How long an actor may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The process answers.
pub(crate) async fn alive(api: ApiRef) -> Answer {
    json(StatusCode::OK, &json!({ "status": "ok", "version": api.config.version }))
}

/// As the reference system answers it.
pub(crate) async fn status() -> HttpResponse {
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    HttpResponse::Ok().insert_header((CONTENT_TYPE, text)).body("ok")
}

/// Every actor answers. How the backup is stands beside it: it takes no part in the answer.
pub(crate) async fn ready(api: ApiRef) -> Answer {
    let ((troubles, actors), backup, shipping) =
        tokio::join!(ping_all(&api), api.deps.backup.call(ReadBackup), api.deps.shipping.call(ReadShipping));
    let shipping = shipping.unwrap_or_default();
    let backup = backup.map_or(Value::Null, |backup| backup_detail(backup, shipping, api.deps.clock.now()));
    if api.is_stopping() {
        return Err(Problem::new(Code::Stopping, "the service is stopping").with("actors", actors));
    }
    if !troubles.is_empty() {
        let each: Vec<_> = troubles.iter().map(|(name, why)| format!("{name}: {why}")).collect();
        let problem = Problem::new(Code::NotReady, each.join("; "));
        return Err(problem.with("actors", actors));
    }
    json(StatusCode::OK, &json!({ "status": "ready", "actors": actors, "backup": backup }))
}

/// Null where there is no backup place.
fn backup_detail(backup: BackupState, shipping: Shipping, now: DateTime<Utc>) -> Value {
    let Some(place) = backup.place else { return Value::Null };
    let Shipping { on, based, until, pending, problem } = shipping;
    let age = backup.verified.as_ref().map(|newest| (now - newest.at).num_seconds());
    json!({
        "place": place,
        "snapshot": backup.verified.map(|newest| newest.location),
        "age_seconds": age,
        "next": backup.next.map(Stamp),
        "problem": backup.problem,
        "changes": on.then(|| json!({
            "until": until.map(Stamp),
            "lag_seconds": until.map(|until| (now - until).num_seconds()),
            "pending": pending,
            "snapshot_to_go_on_from": based,
            "problem": problem,
        })),
    })
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
            Ok(Ok(pong)) => json!({ "status": "ok", "restarts": pong.restarts }),
            Ok(Err(err)) => {
                troubles.push((name, err.detail.clone()));
                json!({ "status": err.code.as_str(), "detail": err.detail })
            }
            Err(_) => {
                troubles.push((name, format!("no answer within {} s", ANSWER_WITHIN.as_secs())));
                json!({ "status": "timeout" })
            }
        };
        actors.insert(name.to_owned(), detail);
    }
    (troubles, Value::Object(actors))
}

fn describe_alive(operation: Operation) -> Operation {
    operation.about("service", "Whether the process lives").answers(
        200,
        "it does",
        schema("Alive"),
        json!({"status": "ok", "version": "1.0.0"}),
    )
}

fn describe_ready(operation: Operation) -> Operation {
    operation
        .about("service", "Whether it can do its work")
        .answers(
            200,
            "every actor answered, and the database can be written",
            schema("Ready"),
            json!({"status": "ready", "actors": {"db": {"status": "ok", "restarts": 0}}}),
        )
        .fails(&[Code::NotReady, Code::Stopping])
}

fn describe_status(operation: Operation) -> Operation {
    operation.about("kept", "Whether the process lives").answers_text(200, "it does", &["text/plain"], "ok")
}

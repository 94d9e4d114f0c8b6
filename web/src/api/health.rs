//! Whether the service is alive, and whether it can do its work.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use chrono::{DateTime, Utc};
use flowlord_kernel::Code;
use flowlord_messages::changelog::{ReadShipping, Shipping};
use flowlord_messages::snapshots::{BackupState, ReadBackup};
use serde_json::{Value, json};

use crate::core::answer::json;
use crate::core::context::ApiRef;
use crate::core::openapi::{Operation, schema};
use crate::core::problem::{Answer, Problem};
use crate::core::route::{ANYONE, Route, RouteClass};
use crate::core::use_cases::health::ping_actors;
use crate::core::view::time::Stamp;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/healthz", ANYONE, alive).class(RouteClass::Watch).documented(describe_alive),
        Route::get("/readyz", ANYONE, ready).class(RouteClass::Watch).documented(describe_ready),
        Route::get("/status", ANYONE, status).class(RouteClass::Watch).documented(describe_status),
    ]
}

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
    let ((troubles, actors), backup, shipping) = tokio::join!(
        ping_actors(&api),
        api.deps.backup.call(ReadBackup),
        api.deps.shipper.call(ReadShipping)
    );
    let shipping = shipping.unwrap_or_default();
    let backup = backup.map_or(Value::Null, |backup| backup_detail(backup, shipping, api.deps.kit.now()));
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

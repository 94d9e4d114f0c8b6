//! Tokens: made, listed, removed. A token is shown once, when it is made.

use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use flowlord_domain::Role;
use flowlord_kernel::Code;
use flowlord_messages::audit::Action;
use flowlord_messages::tokens::{AddToken, ReadTokens, RemoveToken};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::core::answer::{List, json};
use crate::core::auth::new_token;
use crate::core::context::ApiRef;
use crate::core::extract::{json_body, object};
use crate::core::openapi::{Operation, list_of};
use crate::core::params::Params;
use crate::core::problem::{Answer, Problem};
use crate::core::route::Route;
use crate::core::view::time::Stamp;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::view("/api/v1/tokens", Role::Admin, list).documented(describe_list),
        Route::post("/api/v1/tokens", Role::Admin, add).audited(Action::Token).documented(describe_add),
        Route::delete("/api/v1/tokens/{name}", Role::Admin, remove)
            .audited(Action::Token)
            .documented(describe_remove),
    ]
}

/// The longest name.
const MAX_NAME: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    role: String,
}

#[derive(Serialize)]
struct Made<'a> {
    name: &'a str,
    role: &'a str,
    token: &'a str,
}

#[derive(Serialize)]
struct TokenView {
    name: String,
    role: &'static str,
    created: Stamp,
}

/// Makes one.
pub(crate) async fn add(api: ApiRef, request: HttpRequest, payload: Payload) -> Answer {
    Params::none(&request)?;
    let body = json_body(&request, payload).await?;
    let Wanted { name, role } = object(&body, r#"{"name":"etl-workers","role":"worker"}"#)?;
    let known = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(known) {
        let detail = format!("name: write 1 to {MAX_NAME} letters, digits or any of ._-@");
        return Err(Problem::invalid(detail));
    }
    let role: Role = role.parse().map_err(|err| Problem::invalid(format!("role: {err}")))?;
    let (token, hash) = new_token(&mut api.deps.kit.ids());
    let now = api.deps.kit.now();
    api.deps.writer.call(AddToken { now, name: name.clone(), role, hash }).await?;
    api.tokens.changed();
    log::info!("event=token_added name={name} role={role}");
    let made = Made { name: &name, role: role.as_str(), token: &token };
    let mut answer = json(StatusCode::CREATED, &made)?;
    answer.headers_mut().insert(CACHE_CONTROL, actix_web::http::header::HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// Whose there are.
pub(crate) async fn list(api: ApiRef) -> Answer {
    let tokens = api.deps.reader.call(ReadTokens).await?;
    let view = |token: flowlord_messages::tokens::StoredToken| TokenView {
        name: token.name,
        role: token.role.as_str(),
        created: Stamp(token.created),
    };
    json(StatusCode::OK, &List { items: tokens.into_iter().map(view).collect::<Vec<_>>(), next: None })
}

/// Removes one; it is refused within seconds.
pub(crate) async fn remove(api: ApiRef, name: Path<String>) -> Answer {
    let name = name.into_inner();
    api.deps.writer.call(RemoveToken { name: name.clone() }).await?;
    api.tokens.changed();
    log::info!("event=token_removed name={name:?}");
    Ok(HttpResponse::NoContent().finish())
}

fn describe_list(operation: Operation) -> Operation {
    operation.about("service", "Tokens")
            .says("Names and roles; what a token is, is shown only once.")
            .answers(200, "tokens", list_of("Token"), json!({"items": [{"name": "etl", "role": "worker", "created": "2026-03-02T12:00:00Z"}], "next": null}))
            .asks()
}

fn describe_add(operation: Operation) -> Operation {
    let roles = json!({"type": "string", "enum": Role::ALL.map(Role::as_str)});
    let name = json!({"type": "string", "pattern": "^[A-Za-z0-9._@-]{1,64}$"});
    let wanted = json!({"type": "object", "required": ["name", "role"], "additionalProperties": false, "properties": {"name": name, "role": roles}});
    let made = json!({"type": "object", "required": ["name", "role", "token"], "properties": {
        "name": {"type": "string"}, "role": {"type": "string"}, "token": {"type": "string"},
    }});
    operation
        .about("service", "Make a token")
        .body("whose", wanted, json!({"name": "etl-workers", "role": "worker"}))
        .answers(
            201,
            "made; it isn't shown again",
            made,
            json!({"name": "etl-workers", "role": "worker", "token": "…"}),
        )
        .fails(&[Code::InvalidRequest])
        .asks()
}

fn describe_remove(operation: Operation) -> Operation {
    operation
        .about("service", "Remove a token")
        .path("name", "whose", "etl-workers")
        .answers_text(204, "removed", &[], "")
        .fails(&[Code::TokenUnknown])
        .asks()
}

//! Tokens: made, listed, removed. A token is shown once, when it is made.

use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use flowlord_domain::Role;
use flowlord_messages::token::{AddToken, ReadTokens, RemoveToken};
use serde::{Deserialize, Serialize};

use crate::api::ApiRef;
use crate::auth::new_token;
use crate::extract::{json_body, object};
use crate::params::Params;
use crate::problem::{Answer, Problem};
use crate::routes::{List, json};
use crate::view::time::Stamp;

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
    let (token, hash) = new_token(&mut api.deps.mint.clone());
    let now = api.deps.clock.now();
    api.deps.add_token.call(AddToken { now, name: name.clone(), role, hash }).await?;
    api.tokens.changed();
    log::info!("event=token_added name={name} role={role}");
    let made = Made { name: &name, role: role.as_str(), token: &token };
    let mut answer = json(StatusCode::CREATED, &made)?;
    answer.headers_mut().insert(CACHE_CONTROL, actix_web::http::header::HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// Whose there are.
pub(crate) async fn list(api: ApiRef) -> Answer {
    let tokens = api.deps.tokens_read.call(ReadTokens).await?;
    let view = |token: flowlord_messages::token::StoredToken| TokenView {
        name: token.name,
        role: token.role.as_str(),
        created: Stamp(token.created),
    };
    json(StatusCode::OK, &List { items: tokens.into_iter().map(view).collect::<Vec<_>>(), next: None })
}

/// Removes one; it is refused within seconds.
pub(crate) async fn remove(api: ApiRef, name: Path<String>) -> Answer {
    let name = name.into_inner();
    api.deps.remove_token.call(RemoveToken { name: name.clone() }).await?;
    api.tokens.changed();
    log::info!("event=token_removed name={name:?}");
    Ok(HttpResponse::NoContent().finish())
}

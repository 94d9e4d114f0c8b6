//! Tokens: made, listed, removed. A token is shown once, when it is made.

use actix_web::http::header::{CACHE_CONTROL, HeaderValue};
use flowlord_messages::tokens::{AddToken, ReadTokens, RemoveToken, StoredToken};
use flowlord_web_core::auth::new_token;
use flowlord_web_core::limits::MAX_TOKEN_NAME_CHARACTERS;

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::view("/api/v1/tokens", Role::Admin, list).documented(describe_list),
        Route::post("/api/v1/tokens", Role::Admin, add).audited(AuditAction::Token).documented(describe_add),
        Route::delete("/api/v1/tokens/{name}", Role::Admin, remove)
            .audited(AuditAction::Token)
            .documented(describe_remove),
    ]
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    #[schema(schema_with = limits::token_name)]
    name: String,
    #[schema(schema_with = limits::role)]
    role: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct MadeToken<'a> {
    name: &'a str,
    #[schema(schema_with = limits::role)]
    role: &'a str,
    /// The token itself, which isn't shown again.
    token: &'a str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub(crate) struct TokenView {
    name: String,
    #[schema(schema_with = limits::role)]
    role: &'static str,
    #[schema(schema_with = limits::time)]
    created: TimeStamp,
}

impl From<StoredToken> for TokenView {
    fn from(StoredToken { name, role, created, .. }: StoredToken) -> Self {
        Self { name, role: role.as_str(), created: TimeStamp(created) }
    }
}

async fn add(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let example = r#"{"name":"etl-workers","role":"worker"}"#;
    let NewToken { name, role } = strict_body(&request, payload, example).await?;
    if name.is_empty() || name.len() > MAX_TOKEN_NAME_CHARACTERS || !name.chars().all(is_name_character) {
        let detail = format!("name: write 1 to {MAX_TOKEN_NAME_CHARACTERS} letters, digits or any of ._-@");
        return Err(Problem::invalid(detail));
    }
    let role: Role = role.parse().map_err(|err| Problem::invalid(format!("role: {err}")))?;
    let (token, hash) = new_token(&mut context.deps.kit.ids());
    let now = context.deps.kit.now();
    context.deps.writer.call(AddToken { now, name: name.clone(), role, hash }).await?;
    context.tokens.changed();
    log::info!("event=token_added name={name} role={role}");
    let made = MadeToken { name: &name, role: role.as_str(), token: &token };
    let mut answer = json(StatusCode::CREATED, &made)?;
    // Nothing on the way may keep it: it is good as long as the token is.
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._-@".contains(c)
}

async fn list(context: ContextRef) -> Answer {
    let tokens = context.deps.reader.call(ReadTokens).await?;
    let items = tokens.into_iter().map(TokenView::from).collect();
    json(StatusCode::OK, &List { items, next: None })
}

async fn remove(context: ContextRef, name: Path<String>) -> Answer {
    let name = name.into_inner();
    context.deps.writer.call(RemoveToken { name: name.clone() }).await?;
    // Requests are checked by a copy, which would know it for some seconds more.
    context.tokens.changed();
    log::info!("event=token_removed name={name:?}");
    Ok(HttpResponse::NoContent().finish())
}

fn describe_list(operation: Operation) -> Operation {
    operation
        .about("service", "Tokens")
        .says("Names and roles; what a token is, is shown only once.")
        .answers(
            200,
            "tokens",
            list_of("Token"),
            json!({"items": [{"name": "etl", "role": "worker", "created": "2026-03-02T12:00:00Z"}], "next": null}),
        )
        .asks()
}

fn describe_add(operation: Operation) -> Operation {
    let example = json!({"name": "etl-workers", "role": "worker", "token": "…"});
    operation
        .about("service", "Create a token")
        .body("whose", schema("NewToken"), json!({"name": "etl-workers", "role": "worker"}))
        .answers(201, "made; it isn't shown again", schema("MadeToken"), example)
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

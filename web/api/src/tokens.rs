//! Tokens: made, listed, removed. A token is shown once, when it is made.

use actix_web::http::header::CACHE_CONTROL;
use flowlord_messages::tokens::{AddToken, ReadTokens, RemoveToken, StoredToken};
use flowlord_web_core::auth::new_token;
use flowlord_web_core::limits::MAX_TOKEN_NAME_CHARACTERS;

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    let listed = json!({"name": "etl", "role": "worker", "created": "2026-03-02T12:00:00Z"});
    let made = json!({"name": "etl-workers", "role": "worker", "token": "…"});
    vec![
        Route::view("/api/v1/tokens", Role::Admin, list)
            .about("service", "Tokens")
            .says("Names and roles; what a token is, is shown only once.")
            .lists::<TokenView>("tokens", listed),
        Route::post("/api/v1/tokens", Role::Admin, add)
            .audited(AuditAction::Token)
            .about("service", "Create a token")
            .body::<NewToken>("whose", example_of(EXAMPLE))
            .answers::<MadeToken<'_>>(201, "made; it isn't shown again", made),
        Route::delete("/api/v1/tokens/{name}", Role::Admin, remove)
            .audited(AuditAction::Token)
            .about("service", "Remove a token")
            .path("name", "whose", "etl-workers")
            .answers_text(204, "removed", &[], "")
            .fails(&[Code::TokenUnknown]),
    ]
}

const EXAMPLE: &str = r#"{"name":"etl-workers","role":"worker"}"#;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    #[schema(schema_with = limits::token_name)]
    name: String,
    #[schema(schema_with = limits::named::<Role>)]
    role: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct MadeToken<'a> {
    name: &'a str,
    #[schema(schema_with = limits::named::<Role>)]
    role: &'a str,
    /// The token itself, which isn't shown again.
    token: &'a str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub(crate) struct TokenView {
    name: String,
    #[schema(schema_with = limits::named::<Role>)]
    role: &'static str,
    created: DateTime<Utc>,
}

impl From<StoredToken> for TokenView {
    fn from(StoredToken { name, role, created, .. }: StoredToken) -> Self {
        Self { name, role: role.as_str(), created }
    }
}

async fn add(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let NewToken { name, role } = strict_body(&request, payload, EXAMPLE).await?;
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

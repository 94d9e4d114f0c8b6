//! The login page: a token becomes a session of the browser.

use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use flowlord_web_core::auth::{COOKIE, LASTS, Session, hash_of};
use flowlord_web_core::extract::form_body;
use flowlord_web_core::route::ANYONE;

use crate::prelude::*;
use crate::{PageLayout, html};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/login", ANYONE, login_form),
        Route::post("/login", ANYONE, login),
        Route::post("/logout", ANYONE, logout),
    ]
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    layout: PageLayout,
    next: &'a str,
    problem: &'a str,
}

pub(crate) async fn login_form(context: ContextRef, request: HttpRequest) -> Answer {
    let params = QueryParams::parse(request.query_string(), &["next"])?;
    login_page(&context, &request, own_path(params.one("next")?.unwrap_or_default()), "")
}

/// Logs in: on to where the person wanted to go, or back to the form with what is wrong.
pub(crate) async fn login(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let body = form_body(&request, payload).await?;
    let fields =
        Query::parse(&String::from_utf8_lossy(&body)).map_err(|err| Problem::invalid(format!("the form: {err}")))?;
    let next = own_path(fields.first_value("next").unwrap_or_default());
    let (now, from) = (context.deps.kit.now(), context.client(&request));
    // Before the lookup: an address that failed too often learns nothing of its next token.
    context.failures.check(from, now)?;
    // A token that was copied may bring a space along. Only hashes are stored.
    let hash = hash_of(fields.first_value("token").unwrap_or_default().trim());
    let Some(who) = context.tokens.by_hash(&hash).await? else {
        context.failures.count(from, now);
        let mut again = login_page(&context, &request, next, "This token is unknown. It was removed, or is mistyped.")?;
        *again.status_mut() = StatusCode::UNAUTHORIZED;
        return Ok(again);
    };
    log::info!("event=logged_in name={} role={}", who.name, who.role);
    let session = Session::new(&who.name, &hash, now).text();
    Ok(leave(next, session_cookie(context.is_https(&request), session, Duration::seconds(LASTS.num_seconds()))))
}

pub(crate) async fn logout(context: ContextRef, request: HttpRequest) -> HttpResponse {
    leave("/login", session_cookie(context.is_https(&request), String::new(), Duration::ZERO))
}

fn login_page(context: &WebContext, request: &HttpRequest, next: &str, problem: &str) -> Answer {
    html(&LoginPage { layout: PageLayout::bare(context, request), next, problem })
}

fn leave(to: &str, cookie: Cookie<'_>) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, to)).cookie(cookie).finish()
}

fn session_cookie<'a>(by_https: bool, value: String, max_age: Duration) -> Cookie<'a> {
    // Lax: a link in Slack must find the person logged in. Changes by other sites are refused by where they come from.
    Cookie::build(COOKIE, value)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(by_https)
        .max_age(max_age)
        .finish()
}

/// A path of this service, whatever was asked for: a link to the login page must not lead elsewhere.
fn own_path(next: &str) -> &str {
    // Browsers read a backslash as a slash, and drop tabs and line ends: `/\evil` would lead elsewhere.
    let own = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n', '\t']);
    if own { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::own_path;

    #[test]
    fn the_way_on_is_never_another_site() {
        assert_eq!(own_path("/web/alert?date=2026-03-01"), "/web/alert?date=2026-03-01");
        for next in ["", "https://evil.example", "//evil.example", "/\\evil.example", "/\t/evil.example", "evil"] {
            assert_eq!(own_path(next), "/", "{next:?}");
        }
    }
}

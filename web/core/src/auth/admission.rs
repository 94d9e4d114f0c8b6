//! Which requests are let in: by their token or session, and the role of their route.

use std::net::IpAddr;

use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{ACCEPT, AUTHORIZATION, HeaderMap};
use actix_web::{HttpMessage as _, HttpRequest};
use flowlord_domain::Role;
use flowlord_kernel::Code;
use flowlord_messages::tokens::TokenHash;

use super::caller::{Caller, TokenHolder};
use super::hooks;
use super::session::{COOKIE, Session};
use super::tokens::hash_of;
use crate::context::WebContext;
use crate::problem::Problem;
use crate::route::{ANYONE, RouteMatch};

pub async fn admit(context: &WebContext, request: &ServiceRequest, found: &RouteMatch<'_>) -> Result<Caller, Problem> {
    let peer = request.peer_addr().map(|peer| peer.ip());
    let from = context.config.access.proxies.client(peer, request.headers());
    if let Some(token) = hooks::token(request.match_info().as_str()) {
        return admit_push(context, token, from).await;
    }
    let presented = presented_proof(request);
    let anyone = Caller { who: None, from };
    // The commonest case on loopback: nothing to look up. A token that comes all the same is checked, so that the audit
    // log names its holder.
    if presented.is_none() && context.config.access.anonymous {
        return Ok(anyone);
    }
    if found.role == ANYONE || found.is_watch() && context.config.access.open_metrics {
        return Ok(anyone);
    }
    let Some(presented) = presented else { return Err(unauthorized_because("there is no token in it")) };
    let who = identify_caller(context, &presented, from).await?;
    if !found.role.lets_in(who.role) {
        let detail = format!(
            "{} is the token of a {}: {} {} needs the role {}",
            who.name,
            who.role,
            request.method(),
            found.pattern.unwrap_or_default(),
            found.role
        );
        return Err(Problem::new(Code::Forbidden, detail));
    }
    Ok(Caller { who: Some(who), from })
}

/// Lets in who has the token of a hook's address.
async fn admit_push(context: &WebContext, token: &str, from: Option<IpAddr>) -> Result<Caller, Problem> {
    // Also where anyone may do everything: the address is what others, from elsewhere, send to.
    let who =
        identify_caller(context, &PresentedProof::Token(hash_of(token)), from).await.map_err(
            |problem| match problem.code() {
                Code::Unauthorized => Problem::new(
                    Code::Unauthorized,
                    "the token in the address isn't known: it was removed, or is mistyped. `flowlord token add NAME \
                 --role push` makes one",
                ),
                _ => problem,
            },
        )?;
    if who.role != Role::Push {
        let detail = format!(
            "{} is the token of a {}: an address may hold only one of the role push, which is good for nothing else. \
             Replace it: others may have seen it there",
            who.name, who.role
        );
        return Err(Problem::new(Code::Forbidden, detail));
    }
    Ok(Caller { who: Some(who), from })
}

pub fn role(context: &WebContext, request: &HttpRequest) -> Option<Role> {
    let known = request.extensions().get::<Caller>().and_then(|caller| Some(caller.who.as_ref()?.role));
    known.or_else(|| context.config.access.anonymous.then_some(Role::Admin))
}

pub fn may_change(context: &WebContext, request: &HttpRequest) -> bool {
    role(context, request).is_some_and(|role| role.covers_role(Role::Operator))
}

enum PresentedProof {
    Token(TokenHash),
    Session(Session),
    /// Something that can't be read as either.
    Neither,
}

fn presented_proof(request: &ServiceRequest) -> Option<PresentedProof> {
    // Also a header that can't be read counts: a cookie must not stand in for a token that is wrong.
    if let Some(header) = request.headers().get(AUTHORIZATION) {
        let token = header.to_str().ok().and_then(|text| text.split_once(' '));
        return Some(match token {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                PresentedProof::Token(hash_of(token.trim()))
            }
            _ => PresentedProof::Neither,
        });
    }
    let cookie = request.cookie(COOKIE)?;
    Some(Session::read(cookie.value()).map_or(PresentedProof::Neither, PresentedProof::Session))
}

async fn identify_caller(
    context: &WebContext,
    presented: &PresentedProof,
    from: Option<IpAddr>,
) -> Result<TokenHolder, Problem> {
    let now = context.deps.kit.now();
    let known = match presented {
        PresentedProof::Token(hash) => {
            // Before the token is looked at, so that guessing on is no use.
            context.failures.check(from, now)?;
            context.tokens.by_hash(hash).await?
        }
        // An old session is no guess: it sends people to the login page, as often as they come.
        PresentedProof::Session(session) => {
            let token = context.tokens.by_name(&session.name).await?;
            return token
                .filter(|token| session.is_good(&token.hash, now))
                .map(|token| TokenHolder::from(&token))
                .ok_or_else(|| unauthorized_because("the session has ended: log in again"));
        }
        PresentedProof::Neither => None,
    };
    known.ok_or_else(|| {
        context.failures.count(from, now);
        unauthorized_because("its token isn't known: it was removed, or is mistyped")
    })
}

fn unauthorized_because(why: &str) -> Problem {
    let detail = format!(
        "the request isn't let in: {why}. Send `Authorization: Bearer TOKEN`; `flowlord token add NAME --role ROLE` \
         makes one"
    );
    Problem::new(Code::Unauthorized, detail)
}

pub fn wants_page(method: &Method, headers: &HeaderMap) -> bool {
    // A person is better served by a page than by a problem document.
    let accepts = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    method == Method::GET && accepts.contains("text/html")
}

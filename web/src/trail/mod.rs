//! The trail of what people change: each request of theirs that was carried out is stored, before it is answered.

mod action;

use std::cell::RefCell;
use std::rc::Rc;

use actix_web::HttpMessage as _;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use flowlord_domain::Role;
use flowlord_messages::audit::{Change, RecordChange};

use crate::api::Api;
use crate::auth::{Caller, hooks, needed};
use crate::meter::is_hot;

/// The longest path and the longest body in an entry, in characters.
const MAX_TEXT: usize = 1_000;

/// What a handler adds to the entry of its request. Kept in the request's extensions while one is written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trail(Rc<RefCell<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    detail: String,
    nothing_changed: bool,
}

impl Trail {
    /// Opens an entry if the request is a person's change.
    pub(crate) fn of(request: &ServiceRequest, caller: &Caller) -> Option<Self> {
        if is_hot(request.path()) && caller.who.is_none() {
            return None;
        }
        let pattern = request.match_pattern()?;
        is_change(request.method(), &pattern, caller).then(|| {
            let trail = Self::default();
            request.extensions_mut().insert(trail.clone());
            trail
        })
    }

    /// The body of the request.
    pub(crate) fn note(request: &actix_web::HttpRequest, body: &[u8]) {
        if let Some(trail) = request.extensions().get::<Self>() {
            trail.0.borrow_mut().detail = shortened(&String::from_utf8_lossy(body));
        }
    }

    /// The request was only a question, like a dry run.
    pub(crate) fn nothing_changed(request: &actix_web::HttpRequest) {
        if let Some(trail) = request.extensions().get::<Self>() {
            trail.0.borrow_mut().nothing_changed = true;
        }
    }

    /// Stores the entry of a request that was carried out.
    pub(crate) async fn store<B>(self, api: &Api, caller: &Caller, answer: &ServiceResponse<B>) {
        let noted = self.0.take();
        if noted.nothing_changed || answer.status().as_u16() >= 400 {
            return;
        }
        let request = answer.request();
        let path = request.uri().path_and_query().map_or("", |path| path.as_str());
        let pattern = request.match_pattern().unwrap_or_default();
        let change = Change {
            at: api.deps.clock.now(),
            who: caller.name().to_owned(),
            from: caller.from.map(|from| from.to_string()).unwrap_or_default(),
            action: action::of(&pattern, request.path(), &noted.detail),
            what: format!("{} {}", request.method(), shortened(&hooks::shown(path))),
            detail: noted.detail,
            status: answer.status().as_u16(),
        };
        log::info!(
            "event=changed who={:?} from={} action={} what={:?} status={}",
            change.who,
            change.from,
            change.action.as_str(),
            change.what,
            change.status
        );
        if let Err(err) = api.deps.record_change.call(RecordChange { change }).await {
            log::error!("event=change_not_recorded error={err:?}");
        }
    }
}

/// Whether a request is the change of a person. What workers do all day is none, unless somebody does it with a token
/// that isn't a worker's.
fn is_change(method: &Method, pattern: &str, caller: &Caller) -> bool {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    match needed(method, pattern) {
        // Changes by GET, kept from the reference system.
        Some(Role::Operator | Role::Admin) => !reads || matches!(pattern, "/refresh" | "/notify"),
        Some(Role::Worker) if pattern == "/api/v1/tasks" => {
            caller.who.as_ref().is_some_and(|who| who.role != Role::Worker)
        }
        _ => false,
    }
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.trim().chars().take(MAX_TEXT).collect();
    if shown.len() < text.trim().len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Who;

    fn caller(role: Role) -> Caller {
        Caller { who: Some(Who { name: "ann".to_owned(), role }), from: None }
    }

    #[test]
    fn what_people_change_leaves_a_trail_and_what_workers_do_leaves_none() {
        let anyone = Caller::default();
        for (method, pattern, caller, expected) in [
            (Method::POST, "/api/v1/backload", &anyone, true),
            (Method::POST, "/api/v1/tokens", &caller(Role::Admin), true),
            (Method::DELETE, "/api/v1/tokens/{name}", &anyone, true),
            (Method::GET, "/api/v1/tokens", &caller(Role::Admin), false),
            (Method::GET, "/refresh", &anyone, true),
            (Method::GET, "/api/v1/tasks", &caller(Role::Viewer), false),
            (Method::POST, "/api/v1/tasks", &caller(Role::Worker), false),
            (Method::POST, "/api/v1/tasks", &anyone, false),
            (Method::POST, "/api/v1/tasks", &caller(Role::Operator), true),
            (Method::POST, "/api/v1/lease", &caller(Role::Admin), false),
            (Method::POST, "/login", &anyone, false),
        ] {
            assert_eq!(is_change(&method, pattern, caller), expected, "{method} {pattern}");
        }
    }

    #[test]
    fn a_long_body_is_shortened_and_says_so() {
        assert_eq!(shortened(" {\"a\":1}\n"), "{\"a\":1}");
        let long = shortened(&"é".repeat(MAX_TEXT + 1));
        assert_eq!((long.chars().count(), long.ends_with('…')), (MAX_TEXT + 1, true));
    }
}

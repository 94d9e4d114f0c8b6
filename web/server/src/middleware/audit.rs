//! The audit log: each change of a person that was carried out is stored, before it is answered.

use actix_web::HttpMessage as _;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use flowlord_domain::Role;
use flowlord_messages::audit::{AuditRecord, RecordAudit};
use flowlord_web_core::audit_entry::{AuditEntry, shortened};
use flowlord_web_core::auth::{Caller, hooks};
use flowlord_web_core::context::WebContext;
use flowlord_web_core::route::{AuditedAction, Route, RouteMatch};

pub(crate) struct OpenEntry {
    action: AuditedAction,
    entry: AuditEntry,
}

impl OpenEntry {
    pub(crate) fn of(request: &ServiceRequest, found: &RouteMatch<'_>, caller: &Caller) -> Option<Self> {
        let action = audited_change(found.route?, caller)?;
        let entry = AuditEntry::default();
        request.extensions_mut().insert(entry.clone());
        Some(Self { action, entry })
    }

    pub(crate) async fn store<B>(self, context: &WebContext, caller: &Caller, answer: &ServiceResponse<B>) {
        let noted = self.entry.take();
        if noted.nothing_changed || answer.status().as_u16() >= 400 {
            return;
        }
        let request = answer.request();
        let path = request.uri().path_and_query().map_or("", |path| path.as_str());
        let change = AuditRecord {
            at: context.deps.kit.now(),
            who: caller.name().to_owned(),
            from: caller.from.map(|from| from.to_string()).unwrap_or_default(),
            action: self.action.of(request.path(), &noted.detail),
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
        if let Err(err) = context.deps.writer.call(RecordAudit { change }).await {
            log::error!("event=change_not_recorded error={err:?}");
        }
    }
}

/// The action of a request that is the change of a person. What workers do all day is none, unless somebody does it
/// with a token that isn't a worker's.
fn audited_change(route: &Route, caller: &Caller) -> Option<AuditedAction> {
    // Without tokens a request of a worker looks like anyone's: what workers may do is taken for theirs.
    let is_by_worker = caller.who.as_ref().is_none_or(|who| who.role == Role::Worker);
    route.audited.filter(|_| route.role != Role::Worker.into() || !is_by_worker)
}

#[cfg(test)]
mod tests {
    use actix_web::http::Method;
    use flowlord_messages::audit::AuditAction;
    use flowlord_web_core::auth::caller::TokenHolder;
    use flowlord_web_core::demo_slack::DEMO_SLACK;
    use flowlord_web_core::route::RequiredRole;

    use super::*;
    use crate::routes::table;

    fn caller(role: Role) -> Caller {
        Caller { who: Some(TokenHolder { name: "ann".to_owned(), role }), from: None }
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
            let table = table();
            let route = table.find(&method, &pattern.replace(['{', '}'], "")).route.unwrap();
            assert_eq!(audited_change(route, caller).is_some(), expected, "{method} {pattern}");
        }
    }

    #[test]
    fn forms_that_do_several_things_say_which() {
        let table = table();
        for (path, body, action) in [
            ("/web/alert", "route=default&do=ack", AuditAction::Acknowledge),
            ("/web/alert", "id=3&do=end", AuditAction::Silence),
            ("/web/alert", "do=rerun", AuditAction::Rerun),
            ("/web/task", "uid=1&do=cancel", AuditAction::Cancel),
            ("/web/task", "uid=1&do=again", AuditAction::Rerun),
            ("/web/task/1", "note=x&do=cancel", AuditAction::Cancel),
            ("/web/task/1", "do=again", AuditAction::Rerun),
            ("/web/task/1", "do=complete&note=x", AuditAction::Complete),
            ("/web/task/1", "", AuditAction::Other),
            ("/web/workflow/pause", "", AuditAction::Pause),
            ("/web/workflow/resume", "", AuditAction::Resume),
            ("/api/v1/backloads/4/pause", "", AuditAction::Backload),
        ] {
            let route = table.find(&Method::POST, path).route.unwrap();
            assert_eq!(route.audited.unwrap().of(path, body), action, "{path} {body}");
        }
    }

    #[test]
    fn each_route_that_changes_something_has_its_kind() {
        let table = table();
        let is_change = |route: &&Route| {
            let needs_person = matches!(route.role, RequiredRole::Only(Role::Operator | Role::Admin));
            // A click in the demo's Slack is stored by the actor that does what was clicked, as one in Slack is.
            needs_person
                && route.path != DEMO_SLACK
                && route.methods.iter().any(|method| !matches!(*method, Method::GET | Method::HEAD))
        };
        let changing: Vec<&Route> = table.routes().iter().filter(is_change).collect();
        for route in &changing {
            let says = |body| route.audited.is_some_and(|action| action.of("", body) != AuditAction::Other);
            assert!(says("do=ack") || says("do=again"), "{route:?}");
        }
        assert!(changing.len() > 20, "{}", changing.len());
    }
}

//! What kind of change a request is: by its route, and where a page's form can do several things, by what it says.

use flowlord_domain::query::Query;
use flowlord_messages::audit::Action;

/// The kind of a change. `detail` is the body of the request.
pub(super) fn of(pattern: &str, path: &str, detail: &str) -> Action {
    match pattern {
        "/api/v1/alerts/ack" => Action::Acknowledge,
        "/api/v1/silences" | "/api/v1/silences/{id}" => Action::Silence,
        "/api/v1/tasks" => Action::Create,
        "/api/v1/tasks/{uid}/cancel" => Action::Cancel,
        "/api/v1/tasks/rerun" | "/api/v1/tasks/{uid}/rerun" | "/rerun" | "/web/task" => Action::Rerun,
        "/api/v1/phases/pause" => Action::Pause,
        "/api/v1/phases/resume" => Action::Resume,
        "/web/workflow/{change:pause|resume}" if path.ends_with("/pause") => Action::Pause,
        "/web/workflow/{change:pause|resume}" => Action::Resume,
        "/api/v1/workflows/refresh" | "/refresh" | "/web/workflow/refresh" => Action::Refresh,
        "/api/v1/snapshots" => Action::Snapshot,
        "/notify" => Action::Notify,
        "/web/alert" | "/web/task/{uid}" => said(detail),
        _ if pattern.starts_with("/api/v1/tokens") => Action::Token,
        _ if pattern.contains("/backload") => Action::Backload,
        _ => Action::Other,
    }
}

/// What the button of a form says.
fn said(form: &str) -> Action {
    match Query::lenient(form).first("do") {
        Some("ack") => Action::Acknowledge,
        Some("silence" | "end") => Action::Silence,
        Some("again") => Action::Rerun,
        Some("cancel") => Action::Cancel,
        _ => Action::Other,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::Method;

    use super::*;
    use crate::auth::{Caller, Who};
    use crate::tests::documented::routed;

    #[test]
    fn forms_that_do_several_things_say_which() {
        for (pattern, path, detail, action) in [
            ("/web/alert", "/web/alert", "route=default&do=ack", Action::Acknowledge),
            ("/web/alert", "/web/alert", "id=3&do=end", Action::Silence),
            ("/web/task/{uid}", "/web/task/1", "note=x&do=cancel", Action::Cancel),
            ("/web/task/{uid}", "/web/task/1", "do=again", Action::Rerun),
            ("/web/task/{uid}", "/web/task/1", "", Action::Other),
            ("/web/workflow/{change:pause|resume}", "/web/workflow/pause", "", Action::Pause),
            ("/web/workflow/{change:pause|resume}", "/web/workflow/resume", "", Action::Resume),
            ("/api/v1/backloads/{id}/{change:pause|resume|cancel}", "", "", Action::Backload),
        ] {
            assert_eq!(of(pattern, path, detail), action, "{pattern} {path} {detail}");
        }
    }

    #[test]
    fn each_route_that_changes_something_has_its_kind() {
        let admin = Some(Who { name: "ann".to_owned(), role: flowlord_domain::Role::Admin });
        let caller = Caller { who: admin, from: None };
        let mut changing = 0;
        for (pattern, methods) in routed() {
            for method in methods.split(", ").map(|method| method.parse::<Method>().unwrap()) {
                if super::super::is_change(&method, &pattern, &caller) {
                    changing += 1;
                    assert_ne!(of(&pattern, "", "do=ack"), Action::Other, "{method} {pattern}");
                }
            }
        }
        assert!(changing > 20, "{changing}");
    }
}

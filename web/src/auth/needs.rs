//! The rule of every path. A path without a rule of its own follows from its method: reading needs a viewer,
//! changing an operator, so that a new one is never open by accident.

use actix_web::http::Method;
use flowlord_domain::Role;

/// The role that a request needs; none where anyone is let in.
pub(crate) fn needed(method: &Method, pattern: &str) -> Option<Role> {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    match pattern {
        "/healthz" | "/readyz" | "/status" | "/login" | "/assets/{build}/{name:.*}" => None,
        // Signed by Slack, which has no token.
        "/slack/interactive" => None,
        "/api/v1/lease" | "/api/v1/results" | "/api/v1/files" if !reads => Some(Role::Worker),
        "/api/v1/tasks" if *method == Method::POST => Some(Role::Worker),
        _ if pattern.starts_with("/api/v1/lease/") => Some(Role::Worker),
        _ if pattern.starts_with("/hooks/") => Some(Role::Push),
        _ if pattern.starts_with("/api/v1/tokens") => Some(Role::Admin),
        "/api/v1/audit" | "/web/audit" => Some(Role::Admin),
        "/api/v1/snapshots" if !reads => Some(Role::Admin),
        // Changes by GET, kept from the reference system.
        "/refresh" | "/notify" => Some(Role::Operator),
        "/logout" => None,
        _ if reads => Some(Role::Viewer),
        _ => Some(Role::Operator),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_needs_what_the_contract_says() {
        use Role::{Admin, Operator, Push, Viewer, Worker};
        for (method, pattern, role) in [
            (Method::GET, "/healthz", None),
            (Method::GET, "/readyz", None),
            (Method::POST, "/login", None),
            (Method::POST, "/api/v1/lease", Some(Worker)),
            (Method::POST, "/api/v1/lease/{lease}/result", Some(Worker)),
            (Method::POST, "/api/v1/results", Some(Worker)),
            (Method::POST, "/api/v1/tasks", Some(Worker)),
            (Method::POST, "/hooks/{token}/results", Some(Push)),
            (Method::GET, "/hooks/{token}/files", Some(Push)),
            (Method::GET, "/api/v1/tasks", Some(Viewer)),
            (Method::GET, "/metrics", Some(Viewer)),
            (Method::GET, "/", Some(Viewer)),
            (Method::GET, "/refresh", Some(Operator)),
            (Method::POST, "/api/v1/workflows/refresh", Some(Operator)),
            (Method::POST, "/api/v1/backload", Some(Operator)),
            (Method::POST, "/api/v1/tasks/rerun", Some(Operator)),
            (Method::POST, "/api/v1/tasks/{uid}/cancel", Some(Operator)),
            (Method::POST, "/api/v1/phases/pause", Some(Operator)),
            (Method::POST, "/rerun", Some(Operator)),
            (Method::GET, "/api/v1/snapshots", Some(Viewer)),
            (Method::POST, "/api/v1/snapshots", Some(Admin)),
            (Method::GET, "/api/v1/tokens", Some(Admin)),
            (Method::DELETE, "/api/v1/tokens/{name}", Some(Admin)),
            (Method::GET, "/what/ever/comes", Some(Viewer)),
            (Method::POST, "/what/ever/comes", Some(Operator)),
            (Method::PUT, "", Some(Operator)),
        ] {
            assert_eq!(needed(&method, pattern), role, "{method} {pattern}");
        }
    }
}

//! Every route of the router against every role: nobody adds one without saying who may use it.

use actix_web::http::Method;
use flowlord_domain::Role;
use flowlord_web_core::route::{ANYONE, RequiredRole, Route};

use super::access::{closed, with};
use super::documented::example;
use super::stub::{request, send};
use crate::routes::table;

/// Method, pattern, rule, and a path of it.
fn routes() -> Vec<(Method, &'static str, RequiredRole, String)> {
    let table = table();
    let one_by_one = |route: &Route| {
        let (pattern, role) = (route.path, route.role);
        route.methods.iter().map(move |method| (method.clone(), pattern, role, example(pattern)))
    };
    let mut all: Vec<_> = table.routes().iter().flat_map(one_by_one).collect();
    all.sort_by_key(|(method, pattern, ..)| (*pattern, method.to_string()));
    all
}

#[test]
fn each_route_has_a_rule_that_somebody_looked_at() {
    let rules: Vec<String> = routes()
        .iter()
        .map(|(method, pattern, role, _)| {
            let role = role.to_string();
            format!("{role:8} {method:6} {pattern}")
        })
        .collect();
    insta::assert_snapshot!(rules.join("\n"));
}

#[actix::test]
async fn each_role_is_let_in_where_its_rule_says_and_nowhere_else() {
    for (method, _, needed, path) in routes() {
        if needed == ANYONE {
            continue;
        }
        for role in Role::ALL {
            // What the actors answer comes after the door.
            let (_stub, context) = closed();
            // The token in the address of a hook is the one that counts.
            let path = path.replace("/hooks/x/", &format!("/hooks/{role}/"));
            let reply = send(context, with(request(method.clone(), &path), role.as_str())).await;
            let (refused, covers) = (reply.status == 403, needed.lets_in(role));
            assert_eq!(refused, !covers, "{role} {method} {path}: {}", reply.status);
            assert_ne!(reply.status, 401, "{role} {method} {path}");
        }
        let (_stub, context) = closed();
        let anyone = send(context, request(method.clone(), &path)).await;
        assert_eq!(anyone.status, 401, "{method} {path} without a token");
    }
}

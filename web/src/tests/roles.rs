//! Every route of the router against every role: nobody adds one without saying who may use it.

use actix_web::http::Method;
use flowlord_domain::Role;

use super::access::{closed, with};
use super::documented::routed;
use super::stub::{request, send};
use crate::auth::needed;

/// Method, pattern, and a path of it.
fn routes() -> Vec<(Method, String, String)> {
    let mut all: Vec<_> = routed()
        .flat_map(|(pattern, methods)| {
            let path = example(&pattern);
            let methods: Vec<Method> = methods.split(", ").map(|method| method.parse().unwrap()).collect();
            methods.into_iter().map(move |method| (method, pattern.clone(), path.clone()))
        })
        .collect();
    all.sort_by_key(|(method, pattern, _)| (pattern.clone(), method.to_string()));
    all
}

/// `{name}` and `{name:.*}` are any text, `{name:this|that}` the first of these.
fn example(pattern: &str) -> String {
    let mut path = String::new();
    let mut rest = pattern;
    while let Some((before, parameter)) = rest.split_once('{') {
        let (parameter, after) = parameter.split_once('}').unwrap();
        let values = parameter.split_once(':').map_or("", |(_, values)| values);
        let first = values.split('|').next().filter(|first| first.chars().all(|c| c.is_ascii_alphanumeric()));
        path.extend([before, first.filter(|first| !first.is_empty()).unwrap_or("x")]);
        rest = after;
    }
    path + rest
}

#[test]
fn each_route_has_a_rule_that_somebody_looked_at() {
    let rules: Vec<String> = routes()
        .iter()
        .map(|(method, pattern, _)| {
            let role = needed(method, pattern).map_or("anyone", |role| role.as_str());
            format!("{role:8} {method:6} {pattern}")
        })
        .collect();
    insta::assert_snapshot!(rules.join("\n"));
}

#[actix::test]
async fn each_role_is_let_in_where_its_rule_says_and_nowhere_else() {
    for (method, pattern, path) in routes() {
        let Some(needed) = needed(&method, &pattern) else { continue };
        for role in Role::ALL {
            // What the actors answer comes after the door.
            let (_stub, api) = closed();
            // The token in the address of a hook is the one that counts.
            let path = path.replace("/hooks/x/", &format!("/hooks/{role}/"));
            let reply = send(api, with(request(method.clone(), &path), role.as_str())).await;
            let (refused, covers) = (reply.status == 403, role.covers(needed));
            assert_eq!(refused, !covers, "{role} {method} {path}: {}", reply.status);
            assert_ne!(reply.status, 401, "{role} {method} {path}");
        }
        let (_stub, api) = closed();
        let anyone = send(api, request(method.clone(), &path)).await;
        assert_eq!(anyone.status, 401, "{method} {path} without a token");
    }
}

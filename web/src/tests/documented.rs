//! The OpenAPI document against the program: every route is in it, and every status that it promises is provoked.

use std::cell::RefCell;
use std::collections::BTreeSet;

use actix_web::App;
use serde_json::Value;

use super::stub::Stub;
use crate::openapi::{TAGS, document, operations};
use crate::routes;

thread_local! {
    static REGISTERED: RefCell<Vec<(String, &'static str)>> = RefCell::default();
}

/// Called for every path that is registered.
pub(crate) fn register(path: &str, methods: &'static str) {
    REGISTERED.with_borrow_mut(|all| all.push((path.to_owned(), methods)));
}

/// What people look at, which no program needs a description of.
fn is_page(path: &str) -> bool {
    let pages = ["/", "/login", "/logout", "/slack/interactive"];
    pages.contains(&path) || ["/web/", "/assets/", "/api/docs"].iter().any(|begin| path.starts_with(begin))
}

/// A path as the document has it: `{file:.*}` is `{file}`.
fn plain(path: &str) -> String {
    let mut plain = String::new();
    let mut in_pattern = false;
    for c in path.chars() {
        in_pattern = (in_pattern || c == ':') && c != '}';
        if !in_pattern {
            plain.push(c);
        }
    }
    plain
}

/// Every path that the router has, with its methods.
pub(crate) fn routed() -> impl Iterator<Item = (String, &'static str)> {
    REGISTERED.take();
    drop(routes::api());
    let mut api: Vec<_> = REGISTERED.take();
    drop(App::new().configure(routes::configure));
    let mut all: Vec<_> = REGISTERED.take();
    let rest = all.split_off(api.len());
    for (path, _) in &mut api {
        path.insert_str(0, "/api/v1");
    }
    api.into_iter().chain(rest)
}

/// Every method of every path that a program may use.
fn registered() -> BTreeSet<(String, String)> {
    let paths = routed().filter(|(path, _)| !is_page(path));
    paths
        .flat_map(|(path, methods)| {
            let methods = methods.split(", ").filter(|method| *method != "HEAD");
            methods.map(move |method| (plain(&path), method.to_lowercase())).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let described: BTreeSet<(String, String)> = operations()
        .iter()
        .map(|operation| (operation.path.to_owned(), operation.method.to_owned()))
        .collect();
    let registered = registered();
    let missing: Vec<_> = registered.difference(&described).collect();
    assert!(missing.is_empty(), "describe these in web/src/openapi: {missing:?}");
    let gone: Vec<_> = described.difference(&registered).collect();
    assert!(gone.is_empty(), "these are described, but not served: {gone:?}");
    assert!(registered.len() > 40, "{registered:?}");
}

#[test]
fn the_document_is_whole() {
    let document = document("1.2.3", "");
    let mut ids = BTreeSet::new();
    for operation in operations() {
        let described = &document["paths"][operation.path][operation.method];
        let name = format!("{} {}", operation.method, operation.path);
        assert!(TAGS.iter().any(|(tag, _)| *tag == operation.tag), "{name}");
        assert!(ids.insert(described["operationId"].as_str().unwrap().to_owned()), "{name}");
        assert!(
            operation.successes.iter().all(|success| success.status < 400) && !operation.successes.is_empty()
        );
        for part in operation.path.split(['{', '}']).skip(1).step_by(2) {
            assert!(operation.parameters.iter().any(|parameter| parameter.name == part), "{name}: {part}");
        }
    }
    let mut references = Vec::new();
    collect(&document, &mut references);
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                references.push(reference.clone());
            }
            members.values().for_each(|member| collect(member, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}

#[actix::test]
async fn the_page_shows_every_operation() {
    let page = Stub::default().get("/api/docs").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    for operation in operations() {
        let (method, path) = (operation.method.to_uppercase(), operation.path);
        assert!(page.text.contains(&format!("<code>{method} {path}</code>")), "{method} {path}");
        assert!(page.text.contains(&format!("id=\"{}\"", operation.anchor())), "{method} {path}");
    }
    assert!(!page.text.contains("<script>") && !page.text.contains("style="), "as the policy wants it");
}

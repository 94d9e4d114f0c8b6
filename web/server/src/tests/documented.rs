//! The OpenAPI document against the program: every route is in it, and every status that it promises is provoked.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use actix_web::http::{Method, StatusCode};
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, HttpResponse};
use flowlord_domain::Role;
use flowlord_web_core::base_path::OWN_PARTS;
use flowlord_web_core::openapi::TAGS;
use flowlord_web_core::router::RouterFactory;
use flowlord_web_core::view::alert::AlertView;
use flowlord_web_core::view::task::{GrantedView, TaskView};
use flowlord_web_pages::CONTENT_SECURITY_POLICY;
use serde_json::{Value, json};

use super::stub::{Stub, alert, finished, granted, leased};
use crate::routes::table;

/// Made once: it is looked into for every member of every answer.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| crate::openapi("1", ""));

/// What people look at, which no program needs a description of.
fn is_page(path: &str) -> bool {
    let pages = ["/", "/login", "/logout", "/slack/interactive"];
    pages.contains(&path) || ["/web/", "/assets/", "/api/docs", "/demo/"].iter().any(|begin| path.starts_with(begin))
}

#[test]
fn every_route_is_described_or_a_page() {
    let (pages, described): (Vec<_>, Vec<_>) =
        table().routes().iter().map(|route| (route.path, route.is_documented())).partition(|(path, _)| is_page(path));
    let missing: Vec<_> = described.iter().filter(|(_, is_described)| !is_described).collect();
    assert!(missing.is_empty(), "give these `.about(…)`: {missing:?}");
    let needless: Vec<_> = pages.iter().filter(|(_, is_described)| *is_described).collect();
    assert!(needless.is_empty(), "these are pages: {needless:?}");
    assert!(described.len() > 40, "{described:?}");
}

/// `{name}` and `{name:.*}` are any text, `{name:this|that}` the first of these.
pub(super) fn example(pattern: &str) -> String {
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

#[actix::test]
async fn each_route_is_found_and_its_path_refuses_other_methods() {
    let table = Arc::new(table());
    let not_found = || async { HttpResponse::NotFound().finish() };
    let service = init_service(App::new().default_service(RouterFactory::new(table.clone(), &not_found))).await;
    for route in table.routes() {
        for method in route.methods {
            let path = example(route.path);
            let found = table.find(method, &path);
            assert_eq!((found.pattern, found.role), (Some(route.path), route.role), "{method} {path}");
            let request = TestRequest::default().method(Method::PATCH).uri(&path).to_request();
            let refused = call_service(&service, request).await;
            assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
            let allow = refused.headers().get("allow").unwrap().to_str().unwrap();
            assert!(allow.split(", ").any(|allowed| allowed == method.as_str()), "{path}: {allow}");
        }
    }
    let missing = call_service(&service, TestRequest::with_uri("/what/ever/comes").to_request()).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
}

#[test]
fn no_path_is_open_because_nobody_thought_of_it() {
    let table = table();
    for (method, path, role) in [
        (Method::GET, "/what/ever/comes", Role::Viewer),
        (Method::POST, "/what/ever/comes", Role::Operator),
        (Method::PUT, "", Role::Operator),
        (Method::PUT, "/api/v1/tokens", Role::Admin),
        (Method::GET, "/hooks/x/files", Role::Push),
    ] {
        assert_eq!(table.find(&method, path).role, role.into(), "{method} {path}");
    }
}

#[test]
fn the_document_is_whole() {
    let document = crate::openapi("1.2.3", "");
    let mut ids = BTreeSet::new();
    for operation in table().operations() {
        let described = &document["paths"][&operation.path][operation.method];
        let name = format!("{} {}", operation.method, operation.path);
        assert!(TAGS.iter().any(|(tag, _)| *tag == operation.tag), "{name}");
        assert!(ids.insert(described["operationId"].as_str().unwrap().to_owned()), "{name}");
        assert!(operation.successes.iter().all(|success| success.status < 400) && !operation.successes.is_empty());
        for part in operation.path.split(['{', '}']).skip(1).step_by(2) {
            assert!(operation.parameters.iter().any(|parameter| parameter.name == part), "{name}: {part}");
        }
    }
    for operation in table().operations() {
        let described = &document["paths"][&operation.path][operation.method];
        let name = format!("{} {}", operation.method, operation.path);
        assert!(!operation.summary.is_empty() && !operation.summary.ends_with('.'), "{name}");
        let answers = described["responses"].as_object().unwrap();
        assert!(answers.values().all(|answer| answer["description"].is_string()), "{name}");
        for described in answers.values().chain([&described["requestBody"]]) {
            let media = &described["content"]["application/json"];
            let example = &media["example"];
            if !example.is_null() && *example != json!({}) {
                assert_eq!(conforms(&media["schema"], example), Ok(()), "{name}: {example}");
            }
        }
    }
    let mut references = Vec::new();
    collect(&document, &mut references);
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

/// A schema, or what it refers to.
pub(crate) fn resolved(schema: &Value) -> Value {
    match schema["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(reference.trim_start_matches('#')).unwrap().clone(),
        None => schema.clone(),
    }
}

/// Whether a value is as a schema says, and has no member that it doesn't know.
pub(crate) fn conforms(schema: &Value, value: &Value) -> Result<(), String> {
    let schema = resolved(schema);
    if let Some(alternatives) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
        let said: Vec<_> = alternatives.iter().map(|schema| conforms(schema, value)).collect();
        return if said.iter().any(Result::is_ok) { Ok(()) } else { Err(format!("{said:?}")) };
    }
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.clone(),
        kind => vec![kind.clone()],
    };
    let is = |kind: &Value| match kind.as_str() {
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64(),
        Some("number") => value.is_number(),
        Some(_) => value.is_null(),
    };
    let enumerated = schema["enum"].as_array().is_none_or(|values| values.contains(value));
    if !kinds.iter().any(is) || !enumerated {
        return Err(format!("{value} is not {schema}"));
    }
    for item in value.as_array().into_iter().flatten() {
        conforms(&schema["items"], item).map_err(|said| format!("item: {said}"))?;
    }
    let (Some(members), Some(known)) = (value.as_object(), schema["properties"].as_object()) else {
        return Ok(());
    };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        members.get(name).ok_or(format!("{name} is missing"))?;
    }
    members.iter().try_for_each(|(name, value)| {
        let described = known.get(name).ok_or(format!("{name} isn't described"))?;
        conforms(described, value).map_err(|said| format!("{name}: {said}"))
    })
}

#[test]
fn what_is_written_is_what_is_described() {
    let document = crate::openapi("1", "");
    let alert = alert(1);
    for (name, written) in [
        ("Task", json!(TaskView(&finished(2)))),
        ("Task", json!(TaskView(&leased(1)))),
        ("Leased", json!({ "tasks": [GrantedView::from(&granted())] })),
        ("Alert", json!(AlertView::from(&alert))),
    ] {
        assert_eq!(conforms(&document["components"]["schemas"][name], &written), Ok(()), "{name}");
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
async fn only_the_console_may_show_images_of_its_styles() {
    let stub = Stub::default();
    let policy = stub.get("/api/docs").await.header("content-security-policy").to_owned();
    assert_eq!(policy.replace(" data:", ""), CONTENT_SECURITY_POLICY);
    assert!(policy.contains("img-src 'self' data:;"), "{policy}");
    let errors = stub.get("/api/docs/errors").await;
    assert_eq!(errors.header("content-security-policy"), CONTENT_SECURITY_POLICY);
}

#[actix::test]
async fn the_page_loads_the_console_from_here() {
    let stub = Stub::default();
    let page = stub.get("/api/docs").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(!page.text.contains("<script>") && !page.text.contains("style="), "as the policy wants it");
    assert!(page.text.contains("href=\"/api/v1/openapi.json\""), "what the console reads, and who has no scripts");
    let loaded = page.text.split('"').filter(|text| text.starts_with("/assets/") && text.contains("/console/"));
    let loaded: Vec<_> = loaded.collect();
    assert_eq!(loaded.len(), 3, "two scripts and the licence: {loaded:?}");
    for path in loaded {
        let asset = stub.get(path).await;
        assert!(asset.status == 200 && !asset.header("content-type").contains("octet-stream"), "{path}: {asset:?}");
    }
}

#[test]
fn no_base_path_begins_like_a_path_of_the_service() {
    let table = table();
    let paths = table.routes().iter().map(|route| route.path.trim_start_matches('/'));
    let routed: BTreeSet<&str> = paths.filter_map(|path| path.split('/').next()).collect();
    for part in routed.iter().filter(|part| !part.is_empty()) {
        assert!(OWN_PARTS.contains(part), "{part} is routed: add it to OWN_PARTS");
    }
}

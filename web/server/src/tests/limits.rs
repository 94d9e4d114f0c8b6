//! Every limit that the OpenAPI document states: what just keeps it is accepted, what is one past it is refused by an
//! error that names it.

use actix_web::test::TestRequest;
use flowlord_messages::backloads::BackloadCheck;
use flowlord_messages::tasks::KnownTask;
use flowlord_web_core::openapi::{Operation, SchemaRegistry};
use serde_json::{Value, json};

use super::documented::resolved;
use super::statuses::serving;
use super::stub::{Reply, Stub};
use crate::routes::table;

/// A value of one member, and whether it is taken.
struct Case {
    /// Where it stands in the body.
    path: Vec<String>,
    value: Value,
    /// What the refusal names; none where the value is accepted.
    refusal: Option<String>,
}

/// What just keeps a schema's limits, and what is one past each.
fn cases(schema: &Value, path: &[&str], found: &mut Vec<Case>) {
    let schema = resolved(schema);
    let name = (*path.iter().rfind(|part| part.parse::<usize>().is_err()).unwrap_or(&"")).to_owned();
    let mut add = |value: Value, refusal: Option<String>| {
        found.push(Case { path: path.iter().map(|part| (*part).to_owned()).collect(), value, refusal });
    };
    let number = |keyword: &str| schema[keyword].as_i64();
    if let Some(longest) = number("maxLength") {
        add(json!("a".repeat(longest as usize)), None);
        add(json!("a".repeat(longest as usize + 1)), Some(longest.to_string()));
    }
    if number("minLength").is_some() && path.len() > 1 {
        add(json!(""), Some(name.clone()));
    }
    match schema["pattern"].as_str() {
        None => {}
        // A class of characters, and how many of them.
        Some(pattern) => match pattern.split_once(',').and_then(|(_, rest)| rest.split_once('}')) {
            Some((longest, _)) => {
                add(json!("a".repeat(longest.parse().unwrap())), None);
                add(json!("a".repeat(longest.parse::<usize>().unwrap() + 1)), Some(longest.to_owned()));
            }
            None if pattern == "\\S" => add(json!(" "), Some(name.clone())),
            None => add(json!("\u{7}"), Some(name.clone())),
        },
    }
    for (keyword, past) in [("minimum", -1), ("maximum", 1)] {
        if let Some(limit) = number(keyword) {
            add(json!(limit), None);
            // Below zero is no number of its type, which serde tells.
            let refusal = if limit == 0 && past < 0 { name.clone() } else { limit.to_string() };
            add(json!(limit + past), Some(refusal));
        }
    }
    if let Some(values) = schema["enum"].as_array() {
        values.iter().for_each(|value| add(value.clone(), None));
        add(json!("zzz"), values.last().unwrap().as_str().map(str::to_owned));
    }
    if let Some(example) = match schema["format"].as_str() {
        Some("date-time") => Some("2026-03-03T12:00:00Z"),
        Some("date") => Some("2026-03-03"),
        _ => None,
    } {
        add(json!(example), None);
        add(json!("yesterday"), Some(name.clone()));
    }
    if let Some(most) = number("maxItems") {
        let items = |count: i64| Value::from((0..count).map(|n| format!("a{n}")).collect::<Vec<_>>());
        add(items(most), None);
        add(items(most + 1), Some(most.to_string()));
        if let Some(least) = number("minItems") {
            add(items(least), None);
            add(items(least - 1), Some(least.to_string()));
        }
    }
    if schema["additionalProperties"] == false {
        found.push(Case {
            path: path.iter().copied().chain(["zzz"]).map(str::to_owned).collect(),
            value: json!(1),
            refusal: Some("zzz".to_owned()),
        });
    }
    if schema["items"].is_object() {
        cases(&schema["items"], &[path, &["0"]].concat(), found);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        cases(property, &[path, &[name]].concat(), found);
    }
    // Of a duration the description has the limits as people write them.
    let range = schema["description"].as_str().and_then(|says| says.split_once("; from ")?.1.split_once(','));
    for alternative in schema["anyOf"].as_array().into_iter().flatten() {
        let begin = found.len();
        cases(alternative, path, found);
        if let Some((range, _)) = range {
            let numbers = found[begin..].iter_mut().filter(|case| case.value.is_number());
            numbers.for_each(|case| case.refusal = case.refusal.take().map(|_| format!("from {range}")));
        }
    }
}

fn set(body: &mut Value, path: &[String], value: Value) {
    match path.split_first() {
        None => *body = value,
        Some((index, rest)) if body.is_array() => {
            set(&mut body[index.parse::<usize>().unwrap()], rest, value);
        }
        Some((_, rest)) if body.is_null() && path[0] == "0" => {
            *body = json!([null]);
            set(&mut body[0], rest, value);
        }
        Some((name, rest)) => set(&mut body[name.as_str()], rest, value),
    }
}

fn limited() -> Stub {
    let stub = serving();
    stub.known_tasks(|query| Ok(vec![KnownTask::Unknown; query.tasks.len()]));
    stub.check_backload(|ask| Ok(BackloadCheck { wanted: vec![true; ask.tasks.len()], ready: 0 }));
    stub
}

/// A refusal names what it is about. Of many results each is answered on its own.
fn judge(operation: &Operation, reply: &Reply, case: &Case) {
    let told = format!("{} {} {:?}: {reply:?}", operation.method, operation.path, case.path);
    let rejected = operation.path == "/api/v1/results" && reply.text.contains("\"rejected\":[{");
    match &case.refusal {
        None => assert!((200..300).contains(&reply.status) && !rejected, "{told}"),
        Some(named) => {
            assert!((400..500).contains(&reply.status) || rejected, "{told}");
            assert!(reply.text.contains(named), "names no {named}: {told}");
        }
    }
}

fn request(operation: &Operation, query: &str) -> TestRequest {
    let path = format!("{}{query}", operation.example_path());
    TestRequest::default().method(operation.method.to_uppercase().parse().unwrap()).uri(&path)
}

/// The body of the example; of a result one whose fields are all read, and of what excludes another only one.
fn body(operation: &Operation, case: &Case) -> Value {
    let mut body = operation.body.as_ref().unwrap().example.clone();
    if operation.path == "/api/v1/results" {
        body =
            json!([{"type": "load", "id": "c", "info": "x", "created": "2026-03-02T11:00:00Z", "result": "complete"}]);
    }
    if case.path.first().is_some_and(|name| name == "until") {
        body.as_object_mut().unwrap().remove("for");
    }
    set(&mut body, &case.path, case.value.clone());
    body
}

/// What the reference system passes over these do, too; what is pushed is never refused.
fn takes_anything(operation: &Operation) -> bool {
    operation.tag == "kept" || operation.path.starts_with("/hooks/")
}

#[actix::test]
async fn every_limit_of_a_body_holds() {
    let stub = limited();
    let mut count = 0;
    for operation in table().operations().iter().filter(|operation| !takes_anything(operation)) {
        let document = operation.document(&mut SchemaRegistry::default());
        let schema = &document["requestBody"]["content"]["application/json"]["schema"];
        // One of many is like one alone.
        let schema = schema["anyOf"].get(0).unwrap_or(schema);
        let mut found = Vec::new();
        cases(schema, &[], &mut found);
        for case in &found {
            let sent = request(operation, "").set_json(body(operation, case));
            judge(operation, &stub.send(sent).await, case);
        }
        count += found.len();
    }
    assert!(count > 120, "only {count} limits of bodies are found");
}

#[actix::test]
async fn every_member_that_a_body_needs_is_missed() {
    let stub = limited();
    for operation in table().operations().iter().filter(|operation| operation.path != "/backload") {
        let schema =
            &operation.document(&mut SchemaRegistry::default())["requestBody"]["content"]["application/json"]["schema"];
        let schema = resolved(schema["anyOf"].get(0).unwrap_or(schema));
        for name in schema["required"].as_array().into_iter().flatten() {
            let mut body = operation.body.as_ref().unwrap().example.clone();
            body.as_object_mut().unwrap().remove(name.as_str().unwrap()).unwrap();
            let case = Case { path: Vec::new(), value: Value::Null, refusal: name.as_str().map(str::to_owned) };
            judge(operation, &stub.send(request(operation, "").set_json(body)).await, &case);
        }
    }
}

#[actix::test]
async fn every_limit_of_a_parameter_holds() {
    let stub = limited();
    let mut count = 0;
    for operation in table().operations().iter().filter(|operation| !takes_anything(operation)) {
        for parameter in
            operation.document(&mut SchemaRegistry::default())["parameters"].as_array().into_iter().flatten()
        {
            let mut found = Vec::new();
            cases(&parameter["schema"], &[parameter["name"].as_str().unwrap()], &mut found);
            for case in found.iter().filter(|case| parameter["in"] != "path" && case.value != "") {
                // Events go on for ever.
                if operation.path == "/api/v1/events" && case.refusal.is_none() {
                    continue;
                }
                let name = &case.path[0];
                let text = match &case.value {
                    Value::String(text) => text.clone(),
                    Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
                    value => value.to_string(),
                };
                let mut sent = match parameter["in"].as_str() {
                    Some("header") => request(operation, "").insert_header((name.as_str(), text)),
                    _ => request(operation, &format!("?{name}={text}")),
                };
                if let Some(body) = &operation.body {
                    sent = sent.insert_header(("content-type", body.media)).set_payload(body.example.to_string());
                }
                judge(operation, &stub.send(sent).await, case);
                count += 1;
            }
        }
    }
    assert!(count > 80, "only {count} limits of parameters are found");
}

#[actix::test]
async fn a_body_may_be_as_large_as_the_document_says() {
    let stub = limited();
    let document = crate::openapi("1", "");
    for operation in table().operations().iter().filter(|operation| !operation.path.starts_with("/hooks/")) {
        let described = &document["paths"][&operation.path][operation.method]["requestBody"];
        let Some(largest) = described["x-max-bytes"].as_u64() else { continue };
        let mut body = operation.body.as_ref().unwrap().example.to_string();
        for (length, refusal) in [(largest, None), (largest + 1, Some(format!("{} MiB", largest >> 20)))] {
            body.push_str(&" ".repeat(usize::try_from(length).unwrap() - body.len()));
            assert!(described["description"].as_str().unwrap().ends_with(&format!("at most {} MiB", largest >> 20)));
            let sent = request(operation, "").insert_header(("content-type", operation.body.as_ref().unwrap().media));
            let case = Case { path: vec!["the body".to_owned()], value: Value::Null, refusal };
            judge(operation, &stub.send(sent.set_payload(body.clone())).await, &case);
        }
    }
}

//! Phases that people have run now, over REST and from their page.

use std::sync::{Arc, Mutex};

use actix_web::test::TestRequest;
use flowlord_domain::NewTask;
use flowlord_domain::template::MetaRow;
use flowlord_domain::workflow::{WorkflowFile, Workflows};
use flowlord_kernel::{Code, Error};
use flowlord_messages::tasks::{CreateTasks, CreatedTasks};
use serde_json::{Value, json};

use super::pages::{assert_strict, full};
use super::reads::current;
use super::stub::{Stub, finished};

const WORKFLOW: &str = r#"
[[phase]]
task = "load:a"
rule = "cron=5 * * * *&offset=-1h"
template = "?hour={yyyy}-{mm}-{dd}T{hh}"

[[phase]]
task = "fetch"
rule = "meta-file=tables.csv"
template = "{meta:table}/{dd}"

[[phase]]
task = "report"
dependsOn = "load:a"
template = "{meta:file}"
"#;

/// The tasks as the database was asked for them.
fn running(stub: &Stub) -> Arc<Mutex<Vec<NewTask>>> {
    let file = WorkflowFile::parse("etl.toml", WORKFLOW, "", "UTC".parse().unwrap()).unwrap();
    let workflows = Arc::new(Workflows::new([Arc::new(file)]));
    stub.workflows(move |_| {
        Ok(flowlord_messages::workflows::LoadedWorkflows { workflows: Arc::clone(&workflows), ..current() })
    });
    stub.meta_rows(|_| Ok(Arc::new(MetaRow::from_json_lines("{\"table\":\"a\"}\n{\"table\":\"b\"}").unwrap())));
    let stored: Arc<Mutex<Vec<NewTask>>> = Arc::default();
    let new = Arc::clone(&stored);
    stub.create(move |CreateTasks { tasks, .. }| {
        let uids = tasks.iter().map(|task| task.uid).collect();
        *new.lock().unwrap() = tasks;
        Ok(CreatedTasks { uids, repeated: false })
    });
    stored
}

fn body(task: &str, more: &Value) -> String {
    let mut body = json!({"workflow": "etl.toml", "task": task});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.to_string()
}

const PATH: &str = "/api/v1/phases/run";

#[actix::test]
async fn a_phase_runs_for_this_hour_or_for_a_time() {
    let stub = Stub::default();
    let stored = running(&stub);
    let reply = stub.post(PATH, body("load:a", &json!({}))).await;
    assert_eq!((reply.status, &reply.json()["items"][0]["info"]), (201, &json!("?hour=2026-03-02T11")));
    assert_eq!(reply.json()["items"][0]["meta"], "workflow=etl.toml&cron=2026-03-02T11&job=a");
    assert_eq!(stored.lock().unwrap()[0].workflow, "etl.toml");
    let about = stub.post(PATH, body("load:a", &json!({"time": "2026-01-15T03"}))).await;
    assert_eq!(about.json()["items"][0]["info"], "?hour=2026-01-15T03");
    let rows = stub.post(PATH, body("fetch", &json!({"meta": {"owner": "ann"}}))).await.json();
    let infos: Vec<_> = rows["items"].as_array().unwrap().iter().map(|task| task["info"].clone()).collect();
    assert_eq!((infos, rows["next"].is_null()), (vec![json!("a/02"), json!("b/02")], true));
    assert_eq!(rows["items"][1]["meta"], "cron=2026-03-02T12&table=b&workflow=etl.toml&owner=ann");
}

#[actix::test]
async fn what_can_not_run_says_what_to_change() {
    let stub = Stub::default();
    let stored = running(&stub);
    for (body, code, says) in [
        (body("lod", &json!({})), "workflow_unknown", "`etl.toml` has no phase `lod`"),
        (json!({"workflow": "x.toml", "task": "a"}).to_string(), "workflow_unknown", "no workflow file `x.toml`"),
        (json!({"workflow": "etl.toml"}).to_string(), "invalid_request", "`task` is missing"),
        (body("report", &json!({})), "invalid_request", "`{meta:file}`"),
        (body("load:a", &json!({"time": "noon"})), "invalid_request", "`time` is `noon`"),
        (body("load:a", &json!({"meta": {"cron": "x"}})), "invalid_request", "the key `cron`"),
        (body("load:a", &json!({"meta": "a=%zz"})), "invalid_request", "`meta`"),
        (body("load:a", &json!({"times": "x"})), "invalid_json", "did you mean `time`"),
    ] {
        let (_, given, detail) = stub.post(PATH, body.clone()).await.problem();
        assert!(given == code && detail.contains(says), "{body}: {given} {detail}");
    }
    stub.meta_rows(|_| Err(Error::new(Code::InvalidRequest, "line 3 is no JSON")));
    let (_, _, detail) = stub.post(PATH, body("fetch", &json!({}))).await.problem();
    assert_eq!(detail, "fetch can't run: meta-file `tables.csv`: line 3 is no JSON");
    stub.meta_rows(|_| Err(Error::new(Code::Busy, "later")));
    assert_eq!(stub.post(PATH, body("fetch", &json!({}))).await.code(), "busy");
    assert!(stored.lock().unwrap().is_empty());
}

#[actix::test]
async fn the_same_request_runs_it_once() {
    let stub = Stub::default();
    running(&stub);
    stub.create(|create| {
        assert_eq!(create.idempotency.unwrap().key, "k1");
        Ok(CreatedTasks { uids: vec![finished(1).uid], repeated: true })
    });
    stub.attempts(|_| Ok(vec![Some(finished(1))]));
    let request = TestRequest::post().uri(PATH).insert_header(("idempotency-key", "k1"));
    let reply = stub.send(request.set_payload(body("load:a", &json!({})))).await;
    assert_eq!((reply.status, &reply.json()["items"][0]["uid"]), (201, &json!(finished(1).uid)));
}

#[actix::test]
async fn a_phase_runs_from_its_page_with_the_keys_that_it_names() {
    let stub = full();
    let stored = running(&stub);
    let page = stub.get("/web/workflow?file=etl.toml").await.text;
    for part in ["action=\"/web/workflow/run\"", "name=\"meta.file\"", "name=\"time\""] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert_strict(&page);
    let told = async |form: &'static str| {
        let kind = ("content-type", "application/x-www-form-urlencoded");
        let request = TestRequest::post().uri("/web/workflow/run").insert_header(kind).set_payload(form);
        let reply = stub.send(request).await;
        assert_eq!((reply.status, reply.header("location")), (303, "/web/workflow?file=etl.toml"), "{reply:?}");
        reply.header("set-cookie").split(';').next().unwrap().replace("%20", " ")
    };
    let back = told("workflow=etl.toml&task=report&time=&meta.file=a.csv&back=/web/workflow?file%3Detl.toml").await;
    let uid = stored.lock().unwrap()[0].uid;
    assert!(back.ends_with(&format!("=good 1 task started: {uid}.")), "{back}");
    assert_eq!(stored.lock().unwrap()[0].info, "a.csv");
    let back = told("workflow=etl.toml&task=fetch&back=/web/workflow?file%3Detl.toml").await;
    assert!(back.ends_with("=good 2 tasks started."), "{back}");
    let back = told("workflow=etl.toml&task=report&meta.file=&back=/web/workflow?file%3Detl.toml").await;
    assert!(back.contains("=bad report can"), "{back}");
}

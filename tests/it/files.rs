//! Files that start tasks: told over REST, and seen in watched places.

use chrono::TimeDelta;
use flowlord_testkit::{ACCESS_KEY, FakeStore};
use serde_json::{Value, json};

use crate::support::{TestApp, as_created};

const PATH: &str = "/api/v1/files";

const WORKFLOW: &str = r#"
[[phase]]
task = "load:csv"
rule = "files=/in/*.csv&table=orders"
template = "{meta:file}?table={meta:table}&day={yyyy}-{mm}-{dd}"

[[phase]]
task = "merge"
rule = "files=gs://bucket/*/part-*.gz&count=3"
template = "{meta:files}"

[[phase]]
task = "report"
dependsOn = "load"
rule = "require={meta:file}"
template = "{meta:file}"
"#;

fn states(answer: &Value) -> Vec<&str> {
    answer["phases"].as_array().unwrap().iter().map(|phase| phase["state"].as_str().unwrap()).collect()
}

#[actix::test]
async fn a_file_starts_a_task_once_and_its_children_know_the_file() {
    let app = TestApp::with(WORKFLOW).await;
    let stat = json!({"path": "/in/20260301T000000.csv", "size": 5, "checksum": "c1"});
    let told = app.api.post(PATH, &stat).await.ok();
    assert_eq!((states(&told), told["phases"][0]["task"].as_str()), (vec!["started"], Some("load:csv")));
    assert_eq!(told["tasks"], as_created(app.api.tasks("&type=load").await), "as they are stored");

    let leased = app.api.lease("load:csv").await.unwrap();
    assert_eq!(leased.task["info"], "/in/20260301T000000.csv?table=orders&day=2026-03-01");
    app.api.complete(&leased.lease, "").await;
    let report = app.api.lease("report").await.unwrap();
    assert_eq!(report.task["info"], "/in/20260301T000000.csv");

    let app = app.restart(TimeDelta::minutes(1)).await;
    let again = app.api.post(PATH, &stat).await.ok();
    assert_eq!((states(&again), &again["tasks"]), (vec!["repeated"], &json!([])));
    assert_eq!(again["phases"][0]["uid"], told["tasks"][0]["uid"]);
    let none = app.api.post(PATH, &json!({"path": "/in/a.txt"})).await.ok();
    assert_eq!((states(&none), &none["tasks"]), (vec![], &json!([])));
    assert_eq!(app.api.post(PATH, &json!({"size": 5})).await.problem(), (400, "invalid_request"));

    let list = app.api.get(&format!("{PATH}?limit=2")).await.ok();
    let rest = app.api.get(&format!("{PATH}?cursor={}", list["next"].as_str().unwrap())).await.ok();
    let events: Vec<_> = [&list, &rest].into_iter().flat_map(|page| page["items"].as_array().unwrap()).collect();
    let paths: Vec<_> = events.iter().map(|event| event["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["/in/a.txt", "/in/20260301T000000.csv", "/in/20260301T000000.csv"]);
    assert_eq!(events[2]["phases"], told["phases"]);
    assert_eq!(app.api.get(&format!("{PATH}?date=2026-03-01")).await.ok()["items"], json!([]));
}

#[actix::test]
async fn three_files_start_one_task_also_across_a_restart() {
    let app = TestApp::with(WORKFLOW).await;
    let push = |n: u32, event: &str| {
        json!({"message": {
            "messageId": n.to_string(),
            "attributes": {
                "bucketId": "bucket", "objectId": format!("2026/part-{n}.gz"), "objectGeneration": "1", "eventType": event,
            },
        }, "subscription": "projects/p/subscriptions/s"})
    };
    for (n, event, expected) in [
        (1, "OBJECT_FINALIZE", vec!["waiting"]),
        (2, "OBJECT_DELETE", vec![]),
        (2, "OBJECT_FINALIZE", vec!["waiting"]),
        (1, "OBJECT_FINALIZE", vec!["repeated"]),
    ] {
        let told = app.api.post(PATH, &push(n, event)).await.ok();
        assert_eq!(states(&told), expected, "{n} {event}");
    }
    let app = app.restart(TimeDelta::minutes(1)).await;
    assert!(app.api.tasks("").await.is_empty());
    let told = app.api.post(PATH, &push(3, "OBJECT_FINALIZE")).await.ok();
    let all = "gs://bucket/2026/part-1.gz,gs://bucket/2026/part-2.gz,gs://bucket/2026/part-3.gz";
    assert_eq!((states(&told), told["tasks"][0]["info"].as_str()), (vec!["started"], Some(all)));
    assert_eq!(app.api.post(PATH, &push(4, "OBJECT_FINALIZE")).await.ok()["phases"][0]["state"], "waiting");
    assert_eq!(app.api.tasks("").await.len(), 1);
    let list = app.api.get(PATH).await.ok();
    let of_task = |event: &&Value| event["phases"][0]["uid"] == told["tasks"][0]["uid"];
    assert_eq!(list["items"].as_array().unwrap().iter().filter(of_task).count(), 3);
}

/// Each needs to know which others wait: none may be lost or taken twice.
#[actix::test]
async fn files_told_at_the_same_time_are_counted_right() {
    let app = TestApp::with(WORKFLOW).await;
    let tell = |n: u32| {
        let api = app.api.clone();
        async move { api.post(PATH, &json!({"path": format!("gs://bucket/a/part-{n}.gz")})).await.ok() }
    };
    let telling: Vec<_> = (0..30).map(|n| actix::spawn(tell(n))).collect();
    let mut told = Vec::new();
    for one in telling {
        told.push(one.await.unwrap());
    }
    let started: Vec<&str> = told.iter().filter_map(|told| told["tasks"][0]["info"].as_str()).collect();
    assert_eq!(started.len(), 10);
    let mut paths: Vec<&str> = started.iter().flat_map(|info| info.split(',')).collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), 30);
}

#[actix::test]
async fn only_new_objects_start_tasks_whatever_wraps_the_event() {
    let app = TestApp::with(
        "[[phase]]\ntask = \"load\"\nrule = \"files=s3://lake/in/*.csv\"\ntemplate = \"{meta:filename}\"\n",
    )
    .await;
    let record = |kind: &str, key: &str| json!({"eventName": kind, "s3": {"bucket": {"name": "lake"}, "object": {"key": key, "sequencer": "1"}}});
    let several = json!({"Records": [
        record("ObjectCreated:Put", "in/a+b.csv"), record("ObjectRemoved:Delete", "in/c.csv"),
        record("ObjectCreated:Put", "in/d.csv/"), record("ObjectCreated:Copy", "in/e.csv"),
    ]});
    let notice = json!({"Type": "Notification", "TopicArn": "arn:t", "Message": several.to_string()});
    let told = app.api.post(PATH, &notice).await.ok();
    let items = told["items"].as_array().unwrap();
    let started: Vec<_> = items.iter().map(|item| item["tasks"].as_array().unwrap().len()).collect();
    assert_eq!(started, [1, 0, 0, 1], "{told}");
    assert_eq!(items[0]["tasks"][0]["info"], "a b.csv");
    let again = app.api.post(PATH, &several).await.ok();
    assert_eq!(again["items"][0]["phases"][0]["state"], "repeated", "by whatever way it comes");
    let list = app.api.get(PATH).await.ok();
    assert_eq!(list["items"].as_array().unwrap().len(), 8, "all are recorded");
}

fn watching(place: &str) -> String {
    format!(
        "[[phase]]\ntask = \"load\"\nrule = \"files={place}/*.csv\"\ntemplate = \"{{meta:filename}}?day={{yyyy}}-{{mm}}-{{dd}}\"\n"
    )
}

async fn infos(app: &TestApp) -> Vec<String> {
    let tasks = app.api.tasks("").await;
    tasks.iter().map(|task| task["info"].as_str().unwrap().to_owned()).collect()
}

#[actix::test]
async fn a_file_in_a_watched_folder_starts_its_task_once_also_over_restarts() {
    let app = TestApp::configured("", |folder| {
        std::fs::create_dir(folder.join("in")).unwrap();
        std::fs::write(folder.join("in/old.csv"), "1").unwrap();
        format!("[files]\nfolders = [{:?}]\nevery = \"5s\"\n", folder.join("in"))
    })
    .await;
    let place = app.path("in").to_str().unwrap().to_owned();
    std::fs::write(app.workflow_path("main.toml"), watching(&place)).unwrap();
    app.api.post("/api/v1/workflows/refresh", &json!({})).await.ok();
    std::fs::write(app.path("in/20260115T000000.csv"), "1,2").unwrap();
    app.pass(TimeDelta::seconds(10)).await;
    assert_eq!(infos(&app).await, ["20260115T000000.csv?day=2026-01-15"]);
    let event = app.api.get(PATH).await.ok()["items"][0].clone();
    assert_eq!((&event["source"], &event["size"]), (&json!("watch"), &json!(3)));

    std::fs::write(app.path("in/later.csv"), "1").unwrap();
    let app = app.restart(TimeDelta::minutes(1)).await;
    app.pass(TimeDelta::minutes(1)).await;
    assert_eq!(infos(&app).await.len(), 2, "what came meanwhile, and nothing twice");
    let places = app.api.get("/api/v1/files/places").await.ok();
    assert_eq!((&places["items"][0]["place"], &places["items"][0]["files"]), (&json!(place), &json!(3)));
}

#[actix::test]
async fn a_prefix_of_a_store_is_watched_too() {
    let fake = FakeStore::start();
    fake.write("lake/in/old.csv", "1");
    let app = TestApp::configured(&watching("s3://lake/in"), |_| {
        format!(
            "[files]\nfolders = [\"s3://lake/in\"]\nevery = \"5s\"\n[store.s3]\nendpoint = {:?}\naccess_key = {ACCESS_KEY:?}\nsecret_key = \"secret\"\n",
            fake.url()
        )
    })
    .await;
    fake.write("lake/in/a.csv", "1");
    fake.write("lake/other/b.csv", "1");
    // A marker of a folder is no file, and a key that can't be a path hides no other.
    fake.write("lake/in/x.csv/", "");
    fake.write("lake/in//odd.csv", "1");
    app.pass(TimeDelta::seconds(5)).await;
    assert_eq!(infos(&app).await.len(), 1);
    fake.write("lake/in/a.csv", "changed");
    let app = app.restart(TimeDelta::minutes(1)).await;
    app.pass(TimeDelta::seconds(5)).await;
    assert_eq!(infos(&app).await.len(), 2, "another version of it");
    let places = app.api.get("/api/v1/files/places").await.ok();
    let problem = places["items"][0]["problem"].as_str().unwrap();
    assert!(problem.starts_with("`/odd.csv` is skipped: a part of its path is empty"), "{problem}");
    let alerts = app.api.get("/api/v1/alerts").await.ok().to_string();
    assert_eq!(alerts.matches("all other files are watched").count(), 1, "told once: {alerts}");
    // While the store is away it is told, and nothing is lost.
    fake.set_broken(Some(503));
    fake.write("lake/in/c.csv", "1");
    app.pass(TimeDelta::seconds(30)).await;
    let places = app.api.get("/api/v1/files/places").await.ok();
    assert!(places["items"][0]["problem"].as_str().is_some(), "{places}");
    fake.set_broken(None);
    app.pass(TimeDelta::seconds(30)).await;
    assert_eq!(infos(&app).await.len(), 3);
}

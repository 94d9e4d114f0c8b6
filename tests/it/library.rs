//! Workflow files wherever they are: seen at once when they are saved here, read from a store, checked there.

use chrono::TimeDelta;
use flowlord::config::Sources;
use flowlord::{App, Config};
use flowlord_kernel::{Clock as _, WorkCounter};
use flowlord_testkit::{ACCESS_KEY, FakeStore, VirtualClock};
use serde_json::json;

use crate::process::{flowlord, refused};
use crate::support::{Api, TestApp, noon};

const EVERY_MINUTE: &str = "[[phase]]\ntask = \"tick\"\nrule = \"cron=* * * * *\"\n";

/// How long it must be quiet after a save.
const QUIET: TimeDelta = TimeDelta::milliseconds(200);

#[actix_web::test]
async fn a_save_counts_without_waiting_for_refresh() {
    let app = TestApp::start().await;
    std::fs::write(app.workflow_path("tick.toml"), EVERY_MINUTE).unwrap();
    app.clock.wait_for_sleeper_at(app.clock.now() + QUIET).await;
    app.pass(TimeDelta::minutes(1)).await;
    assert!(app.api.lease("tick").await.is_some(), "its first slot started");
    // What an editor leaves beside it is no workflow.
    std::fs::write(app.workflow_path(".tick.toml.swp"), [0xff]).unwrap();
    std::fs::write(app.workflow_path("README.md"), "# Workflows").unwrap();
    let reloaded = app.api.post("/api/v1/workflows/refresh", &json!({})).await.ok();
    assert_eq!((&reloaded["broken"], &reloaded["added"]), (&json!([]), &json!([])), "{reloaded}");
    app.stop().await;
}

fn of_store(fake: &FakeStore, data: &std::path::Path) -> Vec<(String, String)> {
    let flags = [
        ("workflow", "s3://bucket/flows"),
        ("data", &data.display().to_string()),
        ("listen", "127.0.0.1:0"),
        ("store.s3.endpoint", &fake.url()),
        ("store.s3.access_key", ACCESS_KEY),
        ("store.s3.secret_key", "secret"),
    ];
    flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[actix_web::test]
async fn a_file_that_becomes_empty_goes_on_and_alerts() {
    let app = TestApp::with(EVERY_MINUTE).await;
    std::fs::write(app.workflow_path("main.toml"), "# nothing\n\n").unwrap();
    let reloaded = app.api.post("/api/v1/workflows/refresh", &json!({})).await.ok();
    assert!(reloaded["broken"][0]["message"].as_str().unwrap().starts_with("the file became empty"), "{reloaded}");
    app.pass(TimeDelta::minutes(1)).await;
    assert!(app.api.lease("tick").await.is_some(), "its phases count on");
    let alerts = app.api.get("/api/v1/alerts").await.ok().to_string();
    assert_eq!(alerts.matches("the file became empty").count(), 1, "{alerts}");
    app.stop().await;
}

#[cfg(unix)]
#[actix_web::test]
async fn a_link_by_way_of_another_one_that_leads_elsewhere_is_seen() {
    use std::os::unix::fs::symlink;
    let app = TestApp::with("").await;
    ["releases/1", "releases/2"].iter().for_each(|it| std::fs::create_dir_all(app.path(it)).unwrap());
    std::fs::write(app.path("releases/2/tick.toml"), EVERY_MINUTE).unwrap();
    symlink("releases/1", app.path("current")).unwrap();
    symlink("../current", app.workflow_path("team")).unwrap();
    app.clock.wait_for_sleeper_at(app.clock.now() + QUIET).await;
    app.pass(QUIET).await;
    symlink("releases/2", app.path("next")).unwrap();
    std::fs::rename(app.path("next"), app.path("current")).unwrap();
    app.clock.wait_for_sleeper_at(app.clock.now() + QUIET).await;
    app.pass(TimeDelta::minutes(1)).await;
    assert!(app.api.lease("tick").await.is_some(), "its first slot started");
    app.stop().await;
}

#[actix_web::test]
async fn workflows_of_a_store_run_and_go_on_while_it_is_away() {
    let fake = FakeStore::start();
    fake.write("bucket/flows/etl/tick.toml", EVERY_MINUTE);
    // What nobody can name hides no other, and is told.
    fake.write("bucket/flows//notes.txt", "");
    fake.write("bucket/flows/folder.toml/", "");
    let folder = tempfile::tempdir().unwrap();
    let config = Config::load(&Sources { flags: of_store(&fake, folder.path()), ..Sources::default() });
    let config = config.unwrap().config;
    for status in [None, Some(500)] {
        // The second time the store is away from the start.
        fake.set_broken(status);
        let clock = VirtualClock::new(noon(), WorkCounter::default());
        let environment = clock.environment();
        let app = App::start(&config, environment).await.unwrap();
        let api = Api::new(format!("http://{}", app.address()));
        let reloaded = api.post("/api/v1/workflows/refresh", &json!({})).await.ok();
        let broken = reloaded["broken"].to_string();
        assert!(broken.contains("`/notes.txt` is skipped"), "{reloaded}");
        assert_eq!(broken.contains("500 Internal Server Error"), status.is_some(), "{reloaded}");
        let workflows = api.get("/api/v1/workflows").await.ok().to_string();
        assert!(workflows.contains("etl/tick.toml"), "{workflows}");
        if status.is_none() {
            clock.advance(TimeDelta::minutes(1)).await;
            assert!(api.lease("tick").await.is_some(), "its first slot started");
        }
        app.stop().await;
    }
}

#[actix_web::test]
async fn a_store_is_checked_and_planned_from_a_terminal() {
    let fake = FakeStore::start();
    let rows = "[[phase]]\ntask = \"copy\"\nrule = \"cron=@daily&meta-file=rows.csv\"\ntemplate = \"{meta:t}\"\n";
    fake.write("bucket/flows/copy.toml", rows);
    fake.write("bucket/flows/rows.csv", "t\norders\nitems\n");
    let folder = tempfile::tempdir().unwrap();
    let file =
        format!("[store.s3]\nendpoint = {:?}\naccess_key = {ACCESS_KEY:?}\nsecret_key = \"secret\"\n", fake.url());
    std::fs::write(folder.path().join("flowlord.toml"), file).unwrap();
    let run = async |args: &[&str]| {
        let output = flowlord(folder.path(), args).output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(run(&["check", "s3://bucket/flows"]).await, "");
    let planned = run(&["plan", "s3://bucket/flows", "--from", "2024-01-15", "--to", "2024-01-16"]).await;
    assert_eq!(
        planned,
        "2024-01-15T00:00:00Z  copy.toml  copy  orders\n2024-01-15T00:00:00Z  copy.toml  copy  items\n"
    );
    fake.write("bucket/flows/copy.toml", "phase = 1");
    let output = flowlord(folder.path(), &["check", "s3://bucket/flows"]).output().await.unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.starts_with("s3://bucket/flows/copy.toml:1:"), "{told}");
    fake.set_broken(Some(403));
    let told = refused(flowlord(folder.path(), &["check", "s3://bucket/flows"])).await;
    assert!(told.contains("s3://bucket/flows: access is denied: check store.s3.access_key"), "{told}");
}

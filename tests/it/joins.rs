//! Joins over the whole program: a backload fills a day, over a restart, and a phase of another file starts once.

use chrono::TimeDelta;
use serde_json::json;

use crate::support::TestApp;

const HOURLY: &str = "[[phase]]\ntask = \"clicks\"\nrule = \"cron=5 * * * *&offset=-1h\"\n\
                      template = \"?hour={yyyy}-{mm}-{dd}T{hh}\"\n";

const DAILY: &str = "[[phase]]\ntask = \"sum\"\ndependsOn = \"main.toml#clicks\"\nrule = \"over=day\"\n\
                     template = \"?day={yyyy}-{mm}-{dd}&files={meta:files}\"\n";

async fn complete_clicks(app: &TestApp, count: usize) {
    for _ in 0..count {
        let leased = app.api.lease("clicks").await.expect("a task");
        app.api.complete(&leased.lease, "file=f").await;
    }
}

#[actix::test]
async fn a_backload_over_a_restart_starts_a_join_of_another_file_once() {
    let app = TestApp::configured(HOURLY, |_| String::new()).await;
    std::fs::create_dir_all(app.workflow_path("sums")).unwrap();
    std::fs::write(app.workflow_path("sums/daily.toml"), DAILY).unwrap();
    app.api.post("/api/v1/workflows/refresh", &json!({})).await.ok();
    let day = json!({"task": "clicks", "from": "2026-02-28T00", "to": "2026-02-28T23", "by": "hour", "execute": true});
    app.api.post("/api/v1/backload", &day).await.ok();
    app.pass(TimeDelta::seconds(1)).await;
    complete_clicks(&app, 22).await;
    let app = app.restart(TimeDelta::seconds(1)).await;
    let file = app.api.get("/api/v1/workflows/sums/daily.toml").await.ok();
    let waiting = json!([{"task": "sum", "period": "2026-02-28", "have": 22, "need": 24, "missing": ["T22", "T23"]}]);
    assert_eq!(file["joins"], waiting);
    assert!(app.api.lease("sum").await.is_none(), "not before all is there");
    complete_clicks(&app, 2).await;
    let sum = app.api.lease("sum").await.expect("a task");
    let files = vec!["f"; 24].join(",");
    assert_eq!(sum.task["info"], format!("?day=2026-02-28&files={files}"));
    assert_eq!(sum.task["meta"], "workflow=sums/daily.toml&cron=2026-02-28T00");
    app.api.complete(&sum.lease, "").await;

    // Once more, and nothing follows.
    app.api.post("/api/v1/backload", &day).await.ok();
    app.pass(TimeDelta::seconds(1)).await;
    complete_clicks(&app, 24).await;
    assert!(app.api.lease("sum").await.is_none(), "a period starts once");
    app.stop().await;
}

//! Every row of the lease table, with what it refuses.

use chrono::TimeDelta;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{TestApp, noon};

fn seconds(seconds: i64) -> TimeDelta {
    TimeDelta::seconds(seconds)
}

#[actix::test]
async fn a_task_is_leased_worked_on_and_finished() {
    let app = TestApp::start().await;
    let created = app.api.create(&json!({"type": "a", "job": "j", "info": "?x=1", "meta": "k=v"})).await;
    let leased = app.api.lease("a:j").await.expect("a task");
    assert_eq!(leased.expires, noon() + seconds(60));
    assert_eq!(leased.task["uid"], created["uid"]);
    for (key, value) in [("type", "a"), ("job", "j"), ("info", "?x=1"), ("meta", "k=v")] {
        assert_eq!(leased.task[key], value);
    }
    assert!(app.api.lease("a").await.is_none(), "one worker has it");
    app.api.complete(&leased.lease, "rows=5").await;
    let task = app.api.get(&format!("/api/v1/tasks/{}", created["uid"].as_str().unwrap())).await.ok();
    assert_eq!(
        (&task["state"], &task["result"], &task["meta"]),
        (&json!("done"), &json!("complete"), &json!("k=v&rows=5"))
    );
    assert_eq!((&task["attempt"], &task["delivery"], &task["worker"]), (&json!(1), &json!(1), &json!("w1")));
    app.stop().await;
}

#[actix::test]
async fn a_worker_waits_for_its_task_and_no_longer_than_it_said() {
    let app = TestApp::start().await;
    let wanted = json!({"topics": ["a"], "worker": "w1", "wait": "30s", "max": 10});
    let api = app.api.clone();
    let waiting = actix::spawn({
        let wanted = wanted.clone();
        async move { api.post("/api/v1/lease", &wanted).await.ok() }
    });
    app.clock.wait_for_sleeper_at(noon() + seconds(30)).await;
    app.api.create(&json!({"type": "a", "info": "i"})).await;
    assert_eq!(waiting.await.unwrap()["tasks"][0]["task"]["info"], "i");

    let api = app.api.clone();
    let in_vain = actix::spawn(async move { api.post("/api/v1/lease", &wanted).await.ok() });
    app.clock.wait_for_sleeper_at(noon() + seconds(30)).await;
    app.pass(seconds(30)).await;
    assert_eq!(in_vain.await.unwrap(), json!({"tasks": []}));
    app.stop().await;
}

#[actix::test]
async fn leases_of_one_request_are_many_and_take_turns() {
    let app = TestApp::start().await;
    for kind in ["a", "a", "a", "b"] {
        app.api.create(&json!({"type": kind, "info": "i"})).await;
    }
    let wanted = json!({"topics": ["a", "b"], "worker": "w1", "max": 2});
    let tasks = app.api.post("/api/v1/lease", &wanted).await.ok();
    let mut kinds: Vec<_> =
        tasks["tasks"].as_array().unwrap().iter().map(|task| task["task"]["type"].clone()).collect();
    kinds.sort_by_key(ToString::to_string);
    assert_eq!(kinds, ["a", "b"], "no topic waits behind another's flood");
    app.stop().await;
}

#[actix::test]
async fn heartbeats_keep_a_lease_alive_past_three_lease_times() {
    let app = TestApp::start().await;
    app.api.create(&json!({"type": "a", "info": "i"})).await;
    let leased = app.api.lease_for("a", "10s").await.unwrap();
    for beat in 1..=5 {
        app.pass(seconds(8)).await;
        let body = json!({"progress": 0.1 * f64::from(beat), "msg": format!("beat {beat}"), "lease": "10s"});
        let answer = app.api.post(&format!("/api/v1/lease/{}/heartbeat", leased.lease), &body).await.ok();
        assert_eq!(answer["cancel"], false);
        let expires: chrono::DateTime<chrono::Utc> = answer["expires"].as_str().unwrap().parse().unwrap();
        assert_eq!(expires, noon() + seconds(8 * i64::from(beat) + 10));
        assert!(app.api.lease("a").await.is_none());
    }
    let uid = leased.task["uid"].as_str().unwrap();
    let task = app.api.get(&format!("/api/v1/tasks/{uid}")).await.ok();
    assert_eq!((&task["progress"], &task["msg"], &task["state"]), (&json!(0.5), &json!("beat 5"), &json!("leased")));
    app.api.complete(&leased.lease, "").await;
    app.stop().await;
}

#[actix::test]
async fn a_heartbeat_without_a_length_keeps_the_one_that_was_asked_for_also_over_a_restart() {
    let app = TestApp::start().await;
    app.api.create(&json!({"type": "a", "info": "i"})).await;
    let leased = app.api.lease_for("a", "10m").await.unwrap();
    let heartbeat = format!("/api/v1/lease/{}/heartbeat", leased.lease);
    app.pass(seconds(200)).await;
    let answer = app.api.post(&heartbeat, &json!({"progress": 0.3})).await.ok();
    assert_eq!(answer["expires"], "2026-03-02T12:13:20Z");
    let app = app.restart(seconds(200)).await;
    let answer = app.api.post(&heartbeat, &json!({})).await.ok();
    assert_eq!(answer["expires"], "2026-03-02T12:16:40Z");
    app.pass(seconds(590)).await;
    assert!(app.api.lease("a").await.is_none(), "nobody else has it");
    app.api.complete(&leased.lease, "").await;
    app.stop().await;
}

#[actix::test]
async fn an_expired_lease_counts_until_the_task_is_handed_out_again() {
    let app = TestApp::start().await;
    app.api.create(&json!({"type": "a", "info": "late"})).await;
    app.api.create(&json!({"type": "b", "info": "too late"})).await;
    let late = app.api.lease_for("a", "10s").await.unwrap();
    let too_late = app.api.lease_for("b", "10s").await.unwrap();
    app.pass(seconds(11)).await;
    let again = app.api.lease_for("b", "10s").await.expect("back within a second");
    assert_eq!(again.task["uid"], too_late.task["uid"], "the same attempt");
    app.api.complete(&late.lease, "").await;
    let refused = app.api.result(&too_late.lease, &json!({"result": "complete"})).await;
    assert_eq!(refused.problem(), (409, "lease_lost"));
    let beat = app.api.post(&format!("/api/v1/lease/{}/heartbeat", too_late.lease), &json!({})).await;
    assert_eq!(beat.problem(), (409, "lease_lost"));
    app.api.complete(&again.lease, "").await;
    app.stop().await;
}

#[actix::test]
async fn the_fifth_delivery_without_a_result_ends_as_an_error() {
    let app = TestApp::start().await;
    let created = app.api.create(&json!({"type": "a", "info": "i"})).await;
    for delivery in 1..=5 {
        let leased = app.api.lease_for("a", "10s").await.expect("delivered again");
        assert_eq!(leased.task["uid"], created["uid"], "delivery {delivery}");
        app.pass(seconds(11)).await;
    }
    assert!(app.api.lease("a").await.is_none());
    let task = app.api.get(&format!("/api/v1/tasks/{}", created["uid"].as_str().unwrap())).await.ok();
    assert_eq!((&task["result"], &task["msg"]), (&json!("error"), &json!("lease expired 5 times")));
    assert_eq!((&task["delivery"], &task["attempt"]), (&json!(5), &json!(1)));
    app.stop().await;
}

#[actix::test]
async fn a_released_task_comes_back_after_its_delay() {
    let app = TestApp::start().await;
    app.api.create(&json!({"type": "a", "info": "i"})).await;
    let leased = app.api.lease("a").await.unwrap();
    let release = format!("/api/v1/lease/{}/release", leased.lease);
    app.api.post(&release, &json!({"delay": "10s"})).await.ok();
    assert!(app.api.lease("a").await.is_none());
    app.pass(seconds(10)).await;
    let again = app.api.lease("a").await.expect("after its delay");
    assert_eq!(again.task["uid"], leased.task["uid"]);
    assert_eq!(app.api.post(&release, &json!({})).await.problem(), (409, "lease_lost"));
    app.api.post(&format!("/api/v1/lease/{}/release", again.lease), &json!({})).await.ok();
    assert!(app.api.lease("a").await.is_some(), "at once without a delay");
    app.stop().await;
}

#[actix::test]
async fn leases_live_on_over_a_restart() {
    let app = TestApp::start().await;
    app.api.create(&json!({"type": "a", "info": "i"})).await;
    let leased = app.api.lease_for("a", "60s").await.unwrap();
    let app = app.restart(seconds(20)).await;
    assert!(app.api.lease("a").await.is_none(), "its worker is still at work");
    app.api.complete(&leased.lease, "").await;
    app.stop().await;
}

#[actix::test]
async fn a_lease_that_ends_in_downtime_comes_back() {
    let app = TestApp::start().await;
    app.api.create(&json!({"type": "a", "info": "i"})).await;
    app.api.lease_for("a", "60s").await.unwrap();
    let app = app.restart(seconds(50)).await;
    app.pass(seconds(11)).await;
    assert!(app.api.lease("a").await.is_some());
    app.stop().await;
}

#[actix::test]
async fn what_cannot_be_leased_says_what_to_change() {
    let app = TestApp::start().await;
    let long = "x".repeat(201);
    for (body, code) in [
        (json!({"worker": "w"}), "invalid_request"),
        (json!({"topics": [], "worker": "w"}), "invalid_request"),
        (json!({"topics": ["a b"], "worker": "w"}), "invalid_topic"),
        (json!({"topics": [""], "worker": "w"}), "invalid_topic"),
        (json!({"topics": [long], "worker": "w"}), "invalid_topic"),
        (json!({"topics": ["a:b:c"], "worker": "w"}), "invalid_topic"),
        (json!({"topics": ["a"], "worker": "w", "max": 0}), "invalid_request"),
        (json!({"topics": ["a"], "worker": "w", "lease": "4s"}), "invalid_request"),
        (json!({"topics": ["a"], "worker": "w", "lease": "25h"}), "invalid_request"),
        (json!({"topics": ["a"], "worker": "w", "wait": "soon"}), "invalid_request"),
    ] {
        let answer = app.api.post("/api/v1/lease", &body).await;
        let (status, given) = answer.problem();
        assert!(status == 400 && (given == code || given == "invalid_json"), "{body}: {answer:?}");
    }
    assert_eq!(app.api.lease("never.seen").await.map(|leased| leased.task), None, "an unknown topic is empty");
    app.stop().await;
}

#[actix::test]
async fn leases_that_never_were_are_unknown() {
    let app = TestApp::start().await;
    for lease in ["nonsense", "0612345678abcd-0123456789abcdef"] {
        for (verb, body) in
            [("heartbeat", json!({})), ("result", json!({"result": "complete"})), ("release", json!({}))]
        {
            let answer = app.api.post(&format!("/api/v1/lease/{lease}/{verb}"), &body).await;
            assert_eq!(answer.problem(), (404, "lease_unknown"), "{verb} {lease}");
        }
    }
    app.stop().await;
}

#[actix::test]
async fn a_worker_that_closes_its_side_takes_no_task_with_it() {
    let app = TestApp::start().await;
    let body = r#"{"topics":["late"],"worker":"gone","wait":"60s"}"#;
    let request =
        format!("POST /api/v1/lease HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut stream = TcpStream::connect(app.api.base.trim_start_matches("http://")).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(r#"{"tasks":[]}"#), "{answer}");

    let created = app.api.create(&json!({"type": "late", "info": "x"})).await;
    let leased = app.api.lease("late").await.expect("it waits for a worker that is there");
    assert_eq!(leased.task["uid"], created["uid"]);
    let task = app.api.get(&format!("/api/v1/tasks/{}", created["uid"].as_str().unwrap())).await.ok();
    assert_eq!((&task["delivery"], &task["worker"]), (&json!(1), &json!("w1")));
    app.stop().await;
}

#[actix::test]
async fn a_worker_that_stops_at_its_time_out_failed_and_its_retry_comes() {
    let text = "[[phase]]\ntask = \"slow\"\nretry = 1\nrule = \"cron=@yearly&timeout=10m&retry_delay=1s\"\n";
    let app = TestApp::with(text).await;
    app.api.create(&json!({"type": "slow", "info": "x", "meta": "workflow=main.toml"})).await;
    let first = app.api.lease_for("slow", "1h").await.unwrap();
    app.clock.advance_to(noon() + TimeDelta::minutes(10)).await;
    let beat = app.api.post(&format!("/api/v1/lease/{}/heartbeat", first.lease), &json!({})).await.ok();
    assert_eq!((&beat["cancel"], &beat["expires"]), (&json!(true), &json!("2026-03-02T12:11:00Z")));
    // As it answers what somebody cancelled, twice since the first answer was lost.
    for _ in 0..2 {
        app.api.result(&first.lease, &json!({"result": "warn", "msg": "stopped"})).await.ok();
    }
    app.pass(TimeDelta::seconds(3)).await;
    let second = app.api.lease_for("slow", "1h").await.unwrap();
    assert_ne!(second.task["uid"], first.task["uid"], "its retry");
    app.clock.advance_to(noon() + TimeDelta::minutes(22)).await;
    let ended = app.api.tasks("&type=slow&result=error").await;
    let said: Vec<_> = ended.iter().map(|task| task["msg"].as_str().unwrap()).collect();
    assert_eq!(said, ["timed out after 10m: stopped", "timed out after 10m"]);
    let alerts = app.api.get("/api/v1/alerts").await.ok();
    assert_eq!(alerts["items"][0]["kind"], "timed_out", "{alerts}");
    app.stop().await;
}

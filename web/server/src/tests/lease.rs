//! Lease, heartbeat, result, release.

use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use flowlord_domain::TaskResult;
use flowlord_kernel::{Code, Error};
use flowlord_messages::leases::{LeaseExtension, TopicFilter};
use flowlord_messages::results::{AppliedResult, ResultClaim};
use serde_json::json;
use tokio::sync::mpsc;

use super::stub::{Stub, granted, noon, token};

#[actix::test]
async fn a_lease_carries_its_task() {
    let stub = Stub::default();
    let seen = Arc::new(Mutex::new(None));
    let asked = Arc::clone(&seen);
    stub.lease(move |lease| {
        let _sent = lease.reply.send(Ok(vec![granted()]));
        *asked.lock().unwrap() = Some((lease.topics, lease.max, lease.worker, lease.lease, lease.wait));
        Ok(())
    });
    let body = r#"{"topics":["a","b:job"],"worker":"w1","max":10,"wait":"30s","lease":90,"more":1}"#;
    let reply = stub.post("/api/v1/lease", body).await;
    reply.ok();
    insta::assert_snapshot!(reply.text, @r#"{"tasks":[{"lease":"064c0953867001-000000000000feed","expires":"2026-03-02T12:01:00Z","attempt":1,"task":{"type":"load","job":"daily","info":"?date=2026-03-02","created":"2026-03-02T12:00:00.000001Z","id":"chain-1","meta":"workflow=main.toml","msg":"a quarter","started":"2026-03-02T12:00:00Z","uid":"064c0953867001"}}]}"#);
    let topic = |topic: &str, job: Option<&str>| TopicFilter { topic: topic.into(), job: job.map(Into::into) };
    assert_eq!(
        seen.lock().unwrap().take().unwrap(),
        (
            vec![topic("a", None), topic("b", Some("job"))],
            10,
            "w1".to_owned(),
            TimeDelta::seconds(90),
            TimeDelta::seconds(30)
        )
    );
    stub.post("/api/v1/lease", r#"{"topics":["a"],"worker":"w\n1"}"#).await.problem();
    stub.post("/api/v1/lease", r#"{"topics":["a"],"worker":"w 1"}"#).await.ok();
    let defaults = seen.lock().unwrap().take().unwrap();
    assert_eq!((defaults.1, defaults.3, defaults.4), (1, TimeDelta::seconds(60), TimeDelta::zero()));
}

#[actix::test]
async fn what_can_not_be_leased_says_what_to_write() {
    let stub = Stub::default();
    stub.lease(|_| panic!("nothing gets that far"));
    let long = json!({"topics": ["x".repeat(201)], "worker": "w"}).to_string();
    let many = json!({"topics": vec!["a"; 257], "worker": "w"}).to_string();
    for (body, code, says) in [
        ("{}", "invalid_request", "`topics` is missing"),
        (r#"{"topics":[],"worker":"w"}"#, "invalid_request", "`topics` has 0 entries"),
        (many.as_str(), "invalid_request", "write 1 to 256"),
        (r#"{"topics":["a"]}"#, "invalid_request", "`worker` is missing"),
        (r#"{"topics":["a"],"worker":""}"#, "invalid_request", "`worker`"),
        (r#"{"topics":["a b"],"worker":"w"}"#, "invalid_topic", "`a b` can't name a topic"),
        (r#"{"topics":[""],"worker":"w"}"#, "invalid_topic", "is empty"),
        (r#"{"topics":["a:"],"worker":"w"}"#, "invalid_topic", "the job is empty"),
        (r#"{"topics":["a:b:c"],"worker":"w"}"#, "invalid_topic", "`b:c` can't name a job"),
        (long.as_str(), "invalid_topic", "201 characters"),
        (r#"{"topics":["a"],"worker":"w","max":0}"#, "invalid_request", "from 1 to 100"),
        (r#"{"topics":["a"],"worker":"w","max":101}"#, "invalid_request", "from 1 to 100"),
        (r#"{"topics":["a"],"worker":"w","max":"1"}"#, "invalid_json", "`max`"),
        (
            r#"{"topics":["a"],"worker":"w","wait":"6m"}"#,
            "invalid_request",
            "`wait` is 6m0s: write a duration from 0s to 5m",
        ),
        (r#"{"topics":["a"],"worker":"w","wait":-1}"#, "invalid_request", "`wait` is -1s"),
        (r#"{"topics":["a"],"worker":"w","wait":"soon"}"#, "invalid_json", "`wait`: `soon` is not a duration"),
        (r#"{"topics":["a"],"worker":"w","lease":"4s"}"#, "invalid_request", "from 5s to 24h"),
        (r#"{"topics":["a"],"worker":"w","lease":"25h"}"#, "invalid_request", "from 5s to 24h"),
        (r#"{"topics":"a","worker":"w"}"#, "invalid_json", "`topics`"),
        (r#"["a"]"#, "invalid_json", "must be an object"),
        (r#"{"topics":["a"],"#, "invalid_json", "line 1 column"),
        ("", "invalid_request", "`topics` is missing"),
    ] {
        let (status, given, detail) = stub.post("/api/v1/lease", body.to_owned()).await.problem();
        assert_eq!((status, given.as_str()), (400, code), "{body}: {detail}");
        assert!(detail.contains(says), "{body}: {detail}");
    }
}

#[actix::test]
async fn a_lease_that_dispatch_refuses_or_forgets_is_a_problem() {
    let stub = Stub::default();
    let body = r#"{"topics":["a"],"worker":"w"}"#;
    stub.lease(|_| Err(Error::new(Code::Stopping, "stopping")));
    assert_eq!(stub.post("/api/v1/lease", body).await.problem().0, 503);
    stub.lease(|lease| {
        drop(lease.reply);
        Ok(())
    });
    assert_eq!(stub.post("/api/v1/lease", body).await.code(), "stopping");
    stub.lease(|lease| {
        let _sent = lease.reply.send(Err(Error::new(Code::Storage, "no disk")));
        Ok(())
    });
    assert_eq!(stub.post("/api/v1/lease", body).await.code(), "storage");
    stub.lease(|lease| {
        let _sent = lease.reply.send(Ok(Vec::new()));
        Ok(())
    });
    assert_eq!(stub.post("/api/v1/lease", body).await.ok(), json!({"tasks": []}));
}

#[actix::test]
async fn a_heartbeat_extends_and_tells() {
    let stub = Stub::default();
    stub.heartbeat(|beat| {
        assert_eq!(beat.lease, token());
        assert_eq!((beat.by, beat.progress, beat.msg.as_deref()), (Some(TimeDelta::minutes(2)), Some(0.4), Some("m")));
        Ok(LeaseExtension { expires: noon(), cancel: true })
    });
    let path = format!("/api/v1/lease/{}/heartbeat", token());
    let reply = stub.post(&path, r#"{"progress":0.4,"msg":"m","lease":"2m"}"#).await;
    assert_eq!(reply.ok(), json!({"expires": "2026-03-02T12:00:00Z", "cancel": true}));
    stub.heartbeat(|beat| {
        assert_eq!((beat.by, beat.progress, beat.msg), (None, None, None));
        Ok(LeaseExtension { expires: noon(), cancel: false })
    });
    assert_eq!(stub.post(&path, "").await.ok()["cancel"], false, "everything is optional");
    for (body, says) in [
        (r#"{"progress":1.1}"#, "from 0 to 1"),
        (r#"{"progress":"half"}"#, "`progress`"),
        (r#"{"lease":"1s"}"#, "from 5s to 24h"),
    ] {
        let (status, _, detail) = stub.post(&path, body).await.problem();
        assert!(status == 400 && detail.contains(says), "{body}: {detail}");
    }
    for code in [Code::LeaseLost, Code::LeaseUnknown] {
        stub.heartbeat(move |_| Err(Error::new(code, "gone")));
        assert_eq!(stub.post(&path, "{}").await.problem().0, code.status());
    }
}

#[actix::test]
async fn a_result_is_accepted_once_and_a_lost_one_refused() {
    let stub = Stub::default();
    stub.submit(|submit| {
        let (claim, outcome) = &submit.results[0];
        assert_eq!(*claim, ResultClaim::Lease(token()));
        assert_eq!(
            (outcome.result, outcome.msg.as_str(), outcome.meta.as_str()),
            (TaskResult::Complete, "ok", "a=x y&n=1")
        );
        Ok(vec![Ok(AppliedResult { duplicate: false })])
    });
    let path = format!("/api/v1/lease/{}/result", token());
    let body = r#"{"result":"complete","msg":"ok","meta":{"a":"x y","n":1}}"#;
    assert_eq!(stub.post(&path, body).await.ok(), json!({"accepted": true, "duplicate": false}));
    let body = r#"{"result":"complete","msg":"ok","meta":"a=x y&n=1"}"#;
    assert_eq!(stub.post(&path, body).await.status, 200);
    stub.submit(|_| Ok(vec![Ok(AppliedResult { duplicate: true })]));
    assert_eq!(stub.post(&path, body).await.ok(), json!({"accepted": true, "duplicate": true}));
    for code in [Code::LeaseLost, Code::LeaseUnknown, Code::AlreadyFinished] {
        stub.submit(move |_| Ok(vec![Err(Error::new(code, "no"))]));
        assert_eq!(stub.post(&path, body).await.code(), code.as_str());
    }
    stub.submit(|_| Err(Error::new(Code::Timeout, "slow")));
    assert_eq!(stub.post(&path, body).await.problem().0, 503);
    for (body, says) in [
        ("{}", "`result` is missing"),
        (r#"{"result":"fine"}"#, "complete, error, warn or alert"),
        (r#"{"result":5}"#, "`result`"),
        (r#"{"result":"warn","ended":"noon"}"#, "`ended`"),
    ] {
        let (status, _, detail) = stub.post(&path, body).await.problem();
        assert!(status == 400 && detail.contains(says), "{body}: {detail}");
    }
}

#[actix::test]
async fn a_release_gives_the_task_back() {
    let stub = Stub::default();
    stub.release(|release| {
        assert_eq!((release.lease, release.delay), (token(), TimeDelta::seconds(10)));
        Ok(())
    });
    let path = format!("/api/v1/lease/{}/release", token());
    stub.post(&path, r#"{"delay":"10s"}"#).await.ok();
    assert_eq!(stub.post(&path, r#"{"delay":"-1s"}"#).await.code(), "invalid_request");
    assert_eq!(stub.post(&path, r#"{"delay":"8000h"}"#).await.code(), "invalid_request");
    stub.release(|release| {
        assert_eq!(release.delay, TimeDelta::zero());
        Err(Error::new(Code::LeaseLost, "gone"))
    });
    assert_eq!(stub.post(&path, "").await.problem().0, 409);
}

#[actix::test]
async fn what_was_never_a_lease_is_unknown() {
    let stub = Stub::default();
    for lease in ["nonsense", "%20", "060a24181e4000-1", "060a24181e4000-0123456789abcdeg"] {
        for verb in ["heartbeat", "result", "release"] {
            let reply = stub.post(&format!("/api/v1/lease/{lease}/{verb}"), r#"{"result":"complete"}"#).await;
            assert_eq!(reply.problem().0, 404, "{verb} {lease}");
            assert_eq!(reply.code(), "lease_unknown");
        }
    }
}

#[actix::test]
async fn tasks_for_a_worker_that_just_left_are_given_back() {
    let stub = Stub::default();
    let (asked, mut leases) = mpsc::unbounded_channel();
    stub.lease(move |lease| {
        asked.send(lease).unwrap();
        Ok(())
    });
    let (released, mut given_back) = mpsc::unbounded_channel();
    stub.release(move |release| {
        released.send((release.lease, release.delay)).unwrap();
        Ok(())
    });
    let grant = async { leases.recv().await.unwrap().reply.send(Ok(vec![granted()])).unwrap() };
    // The worker leaves before it reads what was granted.
    tokio::select! {
        reply = stub.post("/api/v1/lease", r#"{"topics":["a"],"worker":"w1"}"#) => panic!("{reply:?}"),
        () = grant => {}
    }
    assert_eq!(given_back.recv().await, Some((token(), TimeDelta::zero())));
}

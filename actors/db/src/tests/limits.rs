//! What phases allow: for how long a worker may have a task.

use flowlord_domain::TaskState;
use flowlord_domain::limits::LimitTable;
use flowlord_domain::workflow::{WorkflowFile, Workflows};
use flowlord_messages::leases::{ExtendLease, ReapLeases, ReapedLeases, ReleaseLease};

use super::*;

/// Phases of `w.toml`, each with its rule besides the cron.
fn limits(phases: &[(&str, &str)]) -> Arc<LimitTable> {
    let text =
        phases.iter().map(|(task, rule)| format!("[[phase]]\ntask = \"{task}\"\nrule = \"cron=@daily&{rule}\"\n"));
    let file = WorkflowFile::parse("w.toml", &text.collect::<String>(), "", "UTC".parse().ok().unwrap()).unwrap();
    LimitTable::new(&Workflows::new([file.into()])).into()
}

/// Leases one task for a length, in seconds.
async fn lease(db: &Db, topic: &str, length: i64, after: i64, limits: &Arc<LimitTable>) -> Option<LeaseGrant> {
    let wanted = vec![LeaseRequest { lease: seconds(length), ..wanted(&[topic], 1) }];
    let now = noon() + seconds(after);
    db.write(GrantLeases { now, wanted, limits: Arc::clone(limits) }).await.unwrap().remove(0).pop()
}

/// When the lease ends after a beat, in seconds from noon, and whether the worker is to stop.
async fn beat(db: &Db, grant: &LeaseGrant, after: i64, by: Option<i64>) -> (i64, bool) {
    let (now, lease) = (noon() + seconds(after), grant.lease);
    let beat = ExtendLease { now, lease, by: by.map(seconds), default: seconds(60), progress: None, msg: None };
    let extended = db.write(beat).await.unwrap();
    ((extended.expires - noon()).num_seconds(), extended.cancel)
}

async fn reap(db: &Db, after: i64) -> ReapedLeases {
    db.write(ReapLeases { now: noon() + seconds(after), max_deliveries: 5 }).await.unwrap()
}

#[actix::test]
async fn a_heartbeat_past_the_time_out_says_cancel_and_extends_no_more() {
    let db = Db::new();
    db.create(vec![task("a", "")]).await;
    let limits = limits(&[("a", "timeout=10m")]);
    let grant = lease(&db, "a", 300, 0, &limits).await.unwrap();
    assert_eq!((grant.expires, grant.task.lease_expires), (noon() + seconds(300), Some(noon() + seconds(300))));
    assert_eq!(grant.task.times_out, Some(noon() + seconds(600)));
    assert_eq!(beat(&db, &grant, 200, None).await, (500, false));
    assert_eq!(beat(&db, &grant, 450, None).await, (660, false), "no further than a minute after");
    let db = db.reopen();
    assert_eq!(db.attempt(grant.lease.uid).await.times_out, Some(noon() + seconds(600)));
    assert_eq!(beat(&db, &grant, 599, Some(20)).await, (619, false));
    assert_eq!(beat(&db, &grant, 600, Some(20)).await, (620, true));
    assert_eq!(beat(&db, &grant, 615, Some(3_600)).await, (660, true));
    assert_eq!(reap(&db, 659).await, ReapedLeases { next: Some(noon() + seconds(660)), ..ReapedLeases::default() });
    let reaped = reap(&db, 660).await;
    assert_eq!((reaped.requeued, reaped.timed_out), (0, vec![(grant.lease, seconds(600))]));
    assert_eq!(db.attempt(grant.lease.uid).await.state, TaskState::Leased, "until its error is stored");
    db.finish(ResultClaim::TimedOut(grant.lease), decision(TaskResult::Error)).await.unwrap();
    let ended = db.attempt(grant.lease.uid).await;
    assert_eq!((ended.state, ended.result, ended.times_out), (TaskState::Done, Some(TaskResult::Error), None));
}

#[actix::test]
async fn a_worker_that_does_not_beat_loses_it_and_one_that_is_gone_before_only_its_lease() {
    let db = Db::new();
    db.create(vec![task("a", ""), task("a", "")]).await;
    let limits = limits(&[("a", "timeout=10m")]);
    let long = lease(&db, "a", 36_000, 0, &limits).await.unwrap();
    assert_eq!(long.expires, noon() + seconds(660));
    let short = lease(&db, "a", 30, 0, &limits).await.unwrap();
    // Seen late, as after a downtime: that one's lease just ran out.
    let reaped = reap(&db, 9_000).await;
    assert_eq!((reaped.requeued, reaped.timed_out), (1, vec![(long.lease, seconds(600))]));
    let again = lease(&db, "a", 30, 9_000, &limits).await.unwrap();
    assert_eq!((again.lease.uid, again.task.times_out), (short.lease.uid, Some(noon() + seconds(9_600))));
}

#[actix::test]
async fn a_deadline_ends_with_its_lease_and_tasks_without_one_have_none() {
    let db = Db::new();
    db.create(vec![task("a", ""), task("b", "")]).await;
    let grant = lease(&db, "a", 300, 0, &limits(&[("a", "timeout=10m")])).await.unwrap();
    db.write(ReleaseLease { now: noon(), lease: grant.lease, delay: seconds(0) }).await.unwrap();
    assert_eq!(db.attempt(grant.lease.uid).await.times_out, None);
    let none = Arc::default();
    for topic in ["a", "b"] {
        let grant = lease(&db, topic, 36_000, 0, &none).await.unwrap();
        assert_eq!((grant.expires, grant.task.times_out), (noon() + seconds(36_000), None));
    }
    let reaped = reap(&db, 36_000).await;
    assert_eq!((reaped.requeued, reaped.timed_out), (2, vec![]));
}

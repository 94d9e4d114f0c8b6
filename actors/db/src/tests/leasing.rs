//! Leases: given, kept, lost, given back.

use flowlord_domain::TaskState;
use flowlord_messages::leases::{
    LeaseExtension, LeaseStanding, ReadLeaseStanding, ReadNextExpiry, ReapLeases, ReapedLeases, ReleaseLease,
};

use super::*;

fn extend(lease: LeaseToken, now: DateTime<Utc>) -> ExtendLease {
    let (progress, msg) = (Some(0.5), Some("half".to_owned()));
    ExtendLease { by: Some(seconds(60)), default: seconds(1), progress, msg, ..heartbeat(lease, now) }
}

fn release(lease: LeaseToken, delay: i64) -> ReleaseLease {
    ReleaseLease { now: noon(), lease, delay: seconds(delay) }
}

async fn reap(db: &Db, after: i64) -> ReapedLeases {
    db.write(ReapLeases { now: noon() + seconds(after), max_deliveries: 5 }).await.unwrap()
}

#[actix::test]
async fn a_task_is_given_to_one_worker_and_its_lease_outlives_a_restart() {
    let db = Db::new();
    db.create(vec![task("a", "j")]).await;
    let granted = db.lease(&["a"], noon()).await.unwrap();
    assert_eq!(granted.expires, noon() + seconds(60));
    assert_eq!((granted.task.state, granted.task.delivery), (TaskState::Leased, 1));
    assert_eq!(granted.task.started, Some(noon()));
    let db = db.reopen();
    assert!(db.lease(&["a"], noon()).await.is_none());
    assert_eq!(db.read(ReadNextExpiry).await.unwrap(), Some(noon() + seconds(60)));
    let extended = db.write(extend(granted.lease, noon() + seconds(59))).await.unwrap();
    assert_eq!(extended.expires, noon() + seconds(119));
    let attempt = db.attempt(granted.lease.uid).await;
    assert_eq!((attempt.progress, attempt.msg.as_str()), (Some(0.5), "half"));
}

#[actix::test]
async fn a_heartbeat_extends_by_what_was_asked_for_last_until_it_asks_for_another_length() {
    let db = Db::new();
    db.create(vec![task("a", "")]).await;
    let lease = LeaseRequest { lease: seconds(600), ..wanted(&["a"], 1) };
    let granted = db
        .write(GrantLeases { now: noon(), wanted: vec![lease], limits: Arc::default() })
        .await
        .unwrap()
        .granted
        .remove(0)
        .remove(0);
    let beat = |after, by| ExtendLease { by, ..extend(granted.lease, noon() + seconds(after)) };
    let ends = |extended: LeaseExtension| (extended.expires - noon()).num_seconds();
    assert_eq!(ends(db.write(beat(200, None)).await.unwrap()), 800, "as leased");
    assert_eq!(ends(db.write(beat(300, Some(seconds(30)))).await.unwrap()), 330, "as asked");
    let db = db.reopen();
    assert_eq!(ends(db.write(beat(310, None)).await.unwrap()), 340, "as asked last, over a restart");
    db.write(ReapLeases { now: noon() + seconds(340), max_deliveries: 5 }).await.unwrap();
    assert_eq!(ends(db.write(beat(341, None)).await.unwrap()), 371, "also when it had run out");
}

#[actix::test]
async fn a_length_ends_with_its_hand_out() {
    let db = Db::new();
    db.create(vec![task("a", "")]).await;
    let lease = LeaseRequest { lease: seconds(600), ..wanted(&["a"], 1) };
    let first = db
        .write(GrantLeases { now: noon(), wanted: vec![lease], limits: Arc::default() })
        .await
        .unwrap()
        .granted
        .remove(0)
        .remove(0);
    db.write(release(first.lease, 0)).await.unwrap();
    let second = db.lease(&["a"], noon()).await.unwrap();
    let beat = ExtendLease { by: None, ..extend(second.lease, noon() + seconds(1)) };
    assert_eq!(db.write(beat).await.unwrap().expires, noon() + seconds(61));
}

#[actix::test]
async fn jobs_are_told_apart_and_a_topic_takes_any_of_them() {
    let db = Db::new();
    db.create(vec![task("a", "x"), task("a", "y")]).await;
    assert_eq!(db.lease(&["a:y"], noon()).await.unwrap().task.job, "y");
    assert!(db.lease(&["a:y"], noon()).await.is_none());
    assert!(db.lease(&["b", "a:z"], noon()).await.is_none());
    assert_eq!(db.lease(&["b", "a"], noon()).await.unwrap().task.job, "x");
}

#[actix::test]
async fn topics_take_turns_and_live_tasks_go_first() {
    let db = Db::new();
    let backload = |topic| NewTask { lane: TaskLane::Backload, ..task(topic, "") };
    let mut tasks = vec![backload("a"), backload("b")];
    tasks.extend((0..5).map(|_| task("a", "")));
    tasks.push(task("b", ""));
    db.create(tasks).await;
    let granted = db.lease_many(&["b", "a"], 8, noon()).await;
    let order: Vec<_> = granted.iter().map(|granted| (granted.task.topic.as_str(), granted.task.lane)).collect();
    let (live, backload) = (TaskLane::Live, TaskLane::Backload);
    let expected = [("b", live), ("a", live), ("a", live), ("a", live), ("a", live), ("a", live)];
    assert_eq!(order[..6], expected);
    assert_eq!(order[6..], [("b", backload), ("a", backload)]);
    let mut secrets: Vec<_> = granted.iter().map(|granted| granted.lease.secret).collect();
    secrets.sort_unstable();
    secrets.dedup();
    assert_eq!(secrets.len(), 8);
}

#[actix::test]
async fn leases_that_never_were_differ_from_those_that_are_lost() {
    let db = Db::new();
    db.create(vec![task("a", "")]).await;
    let granted = db.lease(&["a"], noon()).await.unwrap();
    let made_up = LeaseToken { secret: granted.lease.secret ^ 1, ..granted.lease };
    assert_eq!(code(db.write(extend(made_up, noon())).await), Code::LeaseUnknown);
    let no_task = LeaseToken { uid: Uid(1), ..granted.lease };
    assert_eq!(code(db.write(extend(no_task, noon())).await), Code::LeaseUnknown);
    assert_eq!(reap(&db, 60).await, ReapedLeases { requeued: 1, ..ReapedLeases::default() });
    db.lease(&["a"], noon() + seconds(60)).await.unwrap();
    assert_eq!(code(db.write(extend(granted.lease, noon())).await), Code::LeaseLost);
    assert_eq!(code(db.write(release(granted.lease, 0)).await), Code::LeaseLost);
}

#[actix::test]
async fn a_lease_that_ran_out_unnoticed_lives_on() {
    let db = Db::new();
    db.create(vec![task("a", "")]).await;
    let granted = db.lease(&["a"], noon()).await.unwrap();
    reap(&db, 60).await;
    assert_eq!(db.attempt(granted.lease.uid).await.state, TaskState::Ready);
    db.write(extend(granted.lease, noon() + seconds(61))).await.unwrap();
    assert!(db.lease(&["a"], noon() + seconds(61)).await.is_none(), "it is its first worker's again");
}

#[actix::test]
async fn a_released_task_is_ready_at_once_or_after_its_delay() {
    let db = Db::new();
    db.create(vec![task("a", "")]).await;
    let granted = db.lease(&["a"], noon()).await.unwrap();
    db.write(release(granted.lease, 0)).await.unwrap();
    assert_eq!(code(db.write(extend(granted.lease, noon())).await), Code::LeaseLost);
    let granted = db.lease(&["a"], noon()).await.unwrap();
    assert_eq!((granted.task.delivery, granted.task.retry), (2, 0));
    db.write(release(granted.lease, 10)).await.unwrap();
    let attempt = db.attempt(granted.lease.uid).await;
    assert_eq!((attempt.state, attempt.not_before), (TaskState::Delayed, Some(noon() + seconds(10))));
}

#[actix::test]
async fn the_fifth_lease_that_runs_out_ends_the_patience() {
    let db = Db::new();
    db.create(vec![task("a", "")]).await;
    let released = db.lease(&["a"], noon()).await.unwrap();
    db.write(release(released.lease, 0)).await.unwrap();
    for round in 0..4 {
        let now = noon() + seconds(round * 100);
        db.lease(&["a"], now).await.unwrap();
        assert_eq!(reap(&db, round * 100 + 60).await.requeued, 1, "round {round}");
    }
    let last = db.lease(&["a"], noon() + seconds(400)).await.unwrap();
    let reaped = reap(&db, 460).await;
    assert_eq!((reaped.requeued, reaped.exhausted), (0, vec![last.lease]), "a release doesn't count");
}

#[actix::test]
async fn a_grant_says_of_the_task_what_its_row_says() {
    let db = Db::new();
    let parent = Some(db.create(vec![task("first", "")]).await.uids[0]);
    let child = NewTask { parent, retry: 2, meta: "a=1".to_owned(), lane: TaskLane::Backload, ..task("a", "x") };
    let nameless = NewTask { workflow: String::new(), ..task("a", "") };
    db.create(vec![child, nameless]).await;
    let odd = noon() + TimeDelta::nanoseconds(1_234_567);
    for topic in ["a:x", "a"] {
        let grant = db.lease(&[topic], odd).await.unwrap();
        assert_eq!(*grant.task, db.attempt(grant.lease.uid).await);
        assert_eq!((grant.task.worker.as_str(), grant.task.delivery), ("w1", 1));
    }
    // A writer that knows no name yet looks each of them up.
    let uid = db.create(vec![task("b", "y")]).await.uids[0];
    let db = db.reopen();
    let grant = db.lease(&["b"], odd).await.unwrap();
    assert_eq!((grant.lease.uid, &*grant.task), (uid, &db.attempt(uid).await));
    // What a heartbeat said stays with the task when it is handed out again.
    let said = ExtendLease { msg: Some("half way".to_owned()), progress: Some(0.5), ..extend(grant.lease, odd) };
    db.write(said).await.unwrap();
    db.write(release(grant.lease, 0)).await.unwrap();
    let again = db.lease(&["b:y"], odd).await.unwrap();
    assert_eq!(*again.task, db.attempt(uid).await);
    assert_eq!((again.task.msg.as_str(), again.task.progress, again.task.delivery), ("half way", None, 2));
}

#[actix::test]
async fn a_lease_stands_until_another_worker_has_the_task_or_the_task_a_result() {
    let db = Db::new();
    db.create(vec![task("a", "")]).await;
    let first = db.lease(&["a"], noon()).await.unwrap().lease;
    let standing = async |lease| db.read(ReadLeaseStanding { lease }).await.unwrap();
    assert_eq!(standing(first).await, LeaseStanding::Held);
    assert_eq!(standing(LeaseToken { secret: first.secret ^ 1, ..first }).await, LeaseStanding::Unknown);
    reap(&db, 61).await;
    assert_eq!(standing(first).await, LeaseStanding::Held, "nobody else has the task");
    let second = db.lease(&["a"], noon() + seconds(62)).await.unwrap().lease;
    assert_eq!((standing(first).await, standing(second).await), (LeaseStanding::Lost, LeaseStanding::Held));
    db.write(release(second, 0)).await.unwrap();
    assert_eq!(standing(second).await, LeaseStanding::Lost);
    let third = db.lease(&["a"], noon() + seconds(63)).await.unwrap().lease;
    db.finish(ResultClaim::Lease(third), decision(TaskResult::Complete)).await.unwrap();
    assert_eq!(standing(third).await, LeaseStanding::Lost);
}

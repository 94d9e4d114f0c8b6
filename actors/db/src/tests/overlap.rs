//! Slots that come due while one before them hasn't ended.

use flowlord_domain::TaskState;
use flowlord_messages::schedule::{PromoteDue, ReadLastSlots, ReadSlots, SetPaused, SlotKey};
use flowlord_messages::tasks::{CancelTasks, RerunTasks};
use proptest::prelude::*;

use super::*;

/// A slot of the phase `a`, that many hours after noon.
fn slot(hour: i64) -> SlotKey {
    SlotKey { workflow: "w.toml".to_owned(), task: "a".to_owned(), at: noon() + TimeDelta::hours(hour) }
}

/// The slot of an hour, with a task that is about it.
async fn start(db: &Db, hour: i64, overlap: OverlapRule) -> Vec<Uid> {
    let about = NewTask {
        uid: Uid::at(slot(hour).at),
        id: format!("chain-{hour}"),
        info: hour.to_string(),
        workflow: "w.toml".to_owned(),
        ..task("a", "")
    };
    let create = CreateTasks { now: slot(hour).at, slot: Some(slot(hour)), overlap, ..creation(vec![about]) };
    db.write(create).await.unwrap().uids
}

/// The tasks that a worker can lease now, by what they are about.
async fn leasable(db: &Db, hour: i64) -> Vec<LeaseGrant> {
    db.write(PromoteDue { now: slot(hour).at }).await.unwrap();
    db.lease_many(&["a"], 9, slot(hour).at).await
}

fn infos(grants: &[LeaseGrant]) -> Vec<&str> {
    grants.iter().map(|grant| grant.task.info.as_str()).collect()
}

async fn complete(db: &Db, grant: &LeaseGrant) {
    db.finish(ResultClaim::Lease(grant.lease), decision(TaskResult::Complete)).await.unwrap();
}

async fn waits(db: &Db, uid: Uid) -> bool {
    let task = db.attempt(uid).await;
    assert_eq!(task.not_before, None, "no time is known");
    task.state == TaskState::Delayed && task.waits_for_slot
}

#[actix::test]
async fn by_default_slots_run_beside_each_other() {
    let db = Db::new();
    for hour in 0..3 {
        start(&db, hour, OverlapRule::Run).await;
    }
    assert_eq!(infos(&leasable(&db, 3).await), ["0", "1", "2"]);
}

#[actix::test]
async fn queued_slots_start_one_after_the_other_over_retries_and_restarts() {
    let db = Db::new();
    for hour in 0..3 {
        start(&db, hour, OverlapRule::Queue).await;
    }
    let first = leasable(&db, 3).await;
    assert_eq!(infos(&first), ["0"]);
    // A retry is the same slot: it goes on.
    let retry = NewTask { parent: Some(first[0].lease.uid), retry: 1, ..slot_retry(&first[0]) };
    let failed = TaskDecision { retry: Some(retry), ..decision(TaskResult::Error) };
    db.finish(ResultClaim::Lease(first[0].lease), failed).await.unwrap();
    let db = db.reopen();
    let again = leasable(&db, 3).await;
    assert_eq!(infos(&again), ["0"]);
    complete(&db, &again[0]).await;
    let second = leasable(&db, 3).await;
    assert_eq!(infos(&second), ["1"], "the oldest");
    complete(&db, &second[0]).await;
    assert_eq!(infos(&leasable(&db, 3).await), ["2"]);
}

fn slot_retry(grant: &LeaseGrant) -> NewTask {
    NewTask {
        uid: Uid(grant.lease.uid.0 + 1),
        id: grant.task.id.clone(),
        info: grant.task.info.clone(),
        workflow: "w.toml".to_owned(),
        ..task("a", "")
    }
}

#[actix::test]
async fn a_slot_is_skipped_and_recorded_and_late_for_nobody() {
    let db = Db::new();
    start(&db, 0, OverlapRule::Skip).await;
    assert_eq!(start(&db, 1, OverlapRule::Skip).await, []);
    let again = CreateTasks { slot: Some(slot(1)), overlap: OverlapRule::Skip, ..creation(Vec::new()) };
    assert_eq!(code(db.write(again).await), Code::SlotTaken);
    let phases = vec![("w.toml".to_owned(), "a".to_owned())];
    let read = ReadSlots { phases, from: noon(), to: slot(9).at, named: 0 };
    let seen: Vec<_> = db
        .read(read)
        .await
        .unwrap()
        .remove(0)
        .slots
        .iter()
        .map(|slot| (slot.is_skipped, slot.started.is_some()))
        .collect();
    assert_eq!(seen, [(true, false), (false, true)]);
    let last = db.read(ReadLastSlots { from: noon(), to: slot(9).at }).await.unwrap();
    assert_eq!((last[0].key.at, last[0].started), (noon(), Some(noon())), "it wasn't missed");
    let grant = leasable(&db, 2).await.remove(0);
    complete(&db, &grant).await;
    assert_eq!(start(&db, 3, OverlapRule::Skip).await.len(), 1);
}

#[actix::test]
async fn only_the_latest_slot_waits_and_the_others_say_why_not() {
    let db = Db::new();
    start(&db, 0, OverlapRule::Latest).await;
    let waiting = start(&db, 1, OverlapRule::Latest).await;
    assert!(waits(&db, waiting[0]).await);
    start(&db, 2, OverlapRule::Latest).await;
    let dropped = db.attempt(waiting[0]).await;
    assert_eq!((dropped.state, dropped.result), (TaskState::Done, Some(TaskResult::Warn)));
    assert!(dropped.msg.starts_with("skipped: a later slot came"), "{}", dropped.msg);
    let first = leasable(&db, 3).await;
    assert_eq!(infos(&first), ["0"]);
    complete(&db, &first[0]).await;
    assert_eq!(infos(&leasable(&db, 3).await), ["2"]);
}

#[actix::test]
async fn a_waiting_slot_starts_when_the_one_before_is_cancelled_and_not_within_a_pause() {
    let db = Db::new();
    let first = start(&db, 0, OverlapRule::Queue).await;
    let second = start(&db, 1, OverlapRule::Queue).await;
    let pause = |paused| SetPaused { now: slot(1).at, workflow: "w.toml".to_owned(), task: "a".to_owned(), paused };
    db.write(pause(true)).await.unwrap();
    db.write(CancelTasks { now: slot(1).at, uids: first.clone(), msg: "no".to_owned() }).await.unwrap();
    assert_eq!(infos(&leasable(&db, 2).await), Vec::<&str>::new());
    assert!(!waits(&db, second[0]).await, "for the pause alone");
    db.write(pause(false)).await.unwrap();
    assert_eq!(infos(&leasable(&db, 2).await), ["1"]);
    // A rerun of an ended slot is that slot at work: the next one waits for both.
    let rerun =
        NewTask { parent: Some(first[0]), uid: Uid(first[0].0 + 1), workflow: "w.toml".to_owned(), ..task("a", "") };
    db.write(RerunTasks { now: slot(2).at, tasks: vec![rerun] }).await.unwrap().remove(0).unwrap();
    let third = start(&db, 3, OverlapRule::Queue).await;
    assert!(waits(&db, third[0]).await);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Slots come due, workers lease, complete and fail, people cancel, the service crashes: at most one slot at a time is at
    /// work, none is forgotten, and at the end each that should have started has.
    #[test]
    fn slots_never_overlap_and_none_is_forgotten(
        rule in prop_oneof![Just(OverlapRule::Queue), Just(OverlapRule::Skip), Just(OverlapRule::Latest)],
        steps in proptest::collection::vec(0_u8..6, 1..40),
    ) {
        actix_rt::System::new().block_on(walk(rule, &steps));
    }
}

async fn walk(rule: OverlapRule, steps: &[u8]) {
    let mut db = Db::new();
    let (mut hour, mut started, mut leased) = (0, Vec::new(), Vec::new());
    for step in steps {
        match step {
            0 | 1 => {
                started.extend(start(&db, hour, rule).await);
                hour += 1;
            }
            2 => {
                let more = leasable(&db, hour).await;
                leased.extend(more);
                assert!(leased.len() <= 1, "{:?}", infos(&leased));
            }
            3 => {
                let Some(grant) = leased.pop() else { continue };
                complete(&db, &grant).await;
            }
            4 => {
                let Some(grant) = leased.pop() else { continue };
                let retry =
                    NewTask { retry: grant.task.retry + 1, parent: Some(grant.lease.uid), ..slot_retry(&grant) };
                let failed = TaskDecision { retry: Some(retry), ..decision(TaskResult::Error) };
                db.finish(ResultClaim::Lease(grant.lease), failed).await.unwrap();
            }
            _ if leased.is_empty() => {
                let uids = started.first().copied().into_iter().collect();
                db.write(CancelTasks { now: slot(hour).at, uids, msg: String::new() }).await.unwrap();
            }
            _ => db = db.reopen(),
        }
    }
    for _ in 0..=2 * steps.len() {
        leased.extend(leasable(&db, hour).await);
        let Some(grant) = leased.pop() else { break };
        assert!(leased.is_empty(), "{:?}", infos(&leased));
        complete(&db, &grant).await;
    }
    for uid in started {
        assert_eq!(db.attempt(uid).await.state, TaskState::Done);
    }
}

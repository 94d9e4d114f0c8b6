//! Results and what follows from them: one transaction, once.

use flowlord_domain::TaskState;
use flowlord_messages::read::{Chain, Counts, DayStats};
use flowlord_messages::write::ReapLeases;

use super::*;

#[actix::test]
async fn a_result_its_children_and_its_retry_are_stored_together_and_once() {
    let db = Db::new();
    db.create(vec![task("a", "")]).await;
    let granted = db.lease(&["a"], noon()).await.unwrap();
    let mut outcome = decision(TaskResult::Error);
    let parent = Some(granted.lease.uid);
    outcome.children = vec![NewTask { parent, ..task("kid", "") }];
    outcome.retry =
        Some(NewTask { parent, retry: 1, not_before: Some(noon() + seconds(60)), ..task("a", "") });
    let claim = Claim::Lease(granted.lease);
    assert_eq!(db.finish(claim, outcome.clone()).await, Ok(false));
    let db = db.reopen();
    assert_eq!(db.finish(claim, outcome).await, Ok(true), "the same again is a duplicate");
    let chain = db.read(Chain { id: "chain".to_owned() }).await.unwrap();
    let states: Vec<_> = chain.iter().map(|attempt| (attempt.topic.as_str(), attempt.state)).collect();
    assert_eq!(states, [("a", TaskState::Done), ("kid", TaskState::Ready), ("a", TaskState::Delayed)]);
    assert_eq!((chain[2].retry, chain[2].parent), (1, parent));
    assert_eq!(chain[0].meta, "workflow=w.toml&file=a");
    assert_eq!(chain[0].ended, Some(noon() + seconds(30)));
}

#[actix::test]
async fn a_late_result_counts_until_the_task_is_handed_out_again() {
    let db = Db::new();
    db.create(vec![task("a", ""), task("b", "")]).await;
    let late = db.lease(&["a"], noon()).await.unwrap();
    let too_late = db.lease(&["b"], noon()).await.unwrap();
    db.write(ReapLeases { now: noon() + seconds(60), max_deliveries: 5 }).await.unwrap();
    let second = db.lease(&["b"], noon() + seconds(60)).await.unwrap();
    assert_eq!(db.finish(Claim::Lease(late.lease), decision(TaskResult::Complete)).await, Ok(false));
    let refused = db.finish(Claim::Lease(too_late.lease), decision(TaskResult::Complete)).await;
    assert_eq!(code(refused), Code::LeaseLost);
    assert_eq!(db.finish(Claim::Lease(second.lease), decision(TaskResult::Complete)).await, Ok(false));
}

#[actix::test]
async fn another_result_for_a_finished_task_is_refused() {
    let db = Db::new();
    db.create(vec![task("a", "")]).await;
    let granted = db.lease(&["a"], noon()).await.unwrap();
    let claim = Claim::Lease(granted.lease);
    db.finish(claim, decision(TaskResult::Complete)).await.unwrap();
    assert_eq!(code(db.finish(claim, decision(TaskResult::Error)).await), Code::AlreadyFinished);
    let without_lease = Claim::Task(granted.lease.uid);
    assert_eq!(code(db.finish(without_lease, decision(TaskResult::Error)).await), Code::AlreadyFinished);
    assert_eq!(db.attempt(granted.lease.uid).await.result, Some(TaskResult::Complete));
}

#[actix::test]
async fn each_result_of_many_is_judged_alone() {
    let db = Db::new();
    let uids = db.create(vec![task("a", ""), task("a", "")]).await.uids;
    let all = [uids[0], Uid(1), uids[1]].map(|uid| (Claim::Task(uid), decision(TaskResult::Complete)));
    let answers = db.write(ApplyOutcomes { now: noon(), outcomes: all.to_vec() }).await.unwrap();
    let codes: Vec<_> = answers.into_iter().map(|answer| answer.map_err(|err| err.code)).collect();
    let applied = Ok(flowlord_messages::write::Applied { duplicate: false });
    assert_eq!(codes, [applied, Err(Code::TaskUnknown), applied]);
}

#[actix::test]
async fn totals_are_those_of_the_rows() {
    let db = Db::new();
    let next_hour = NewTask { uid: Uid::at(noon() + seconds(3600)), ..task("a", "j") };
    let yesterday = NewTask { uid: Uid::at(noon() - seconds(86_400)), ..task("a", "j") };
    let uids =
        db.create(vec![task("a", "j"), task("a", "j"), task("b", ""), next_hour, yesterday]).await.uids;
    for (uid, result) in uids.iter().zip([TaskResult::Complete, TaskResult::Error, TaskResult::Alert]) {
        let outcome = Decision { started: Some(noon() + seconds(28)), ..decision(result) };
        db.finish(Claim::Task(*uid), outcome).await.unwrap();
    }
    let stats = db.read(DayStats { day: noon().date_naive() }).await.unwrap();
    let rows: Vec<_> = stats.rows.iter().map(|row| (row.hour, row.topic.as_str(), row.counts)).collect();
    let counts = |total| Counts { total, ..Counts::default() };
    assert_eq!(
        rows,
        [
            (12, "a", Counts { complete: 1, error: 1, ..counts(2) }),
            (12, "b", Counts { alert: 1, ..counts(1) }),
            (13, "a", counts(1)),
        ]
    );
    assert_eq!((stats.rows[0].run_millis, stats.rows[2].counts.running()), (4_000, 1));
}

//! Results and what follows from them: one transaction, once.

use flowlord_domain::TaskState;
use flowlord_domain::foreign::ForeignTask;
use flowlord_domain::{AlertKind, NewAlert};
use flowlord_messages::alerts::{AlertFilter, ListAlerts};
use flowlord_messages::leases::ReapLeases;
use flowlord_messages::schedule::PromoteDue;
use flowlord_messages::stats::{ReadDayTotals, ResultCounts};
use flowlord_messages::tasks::{CancelTasks, FindKnownTasks, FindTasks, KnownTask, ReadChain, TaskFilter};

use super::*;

#[actix::test]
async fn a_result_its_children_and_its_retry_are_stored_together_and_once() {
    let db = Db::new();
    db.create(vec![task("a", "")]).await;
    let granted = db.lease(&["a"], noon()).await.unwrap();
    let mut outcome = decision(TaskResult::Error);
    let parent = Some(granted.lease.uid);
    outcome.children = vec![NewTask { parent, ..task("kid", "") }];
    outcome.retry = Some(NewTask { parent, retry: 1, not_before: Some(noon() + seconds(60)), ..task("a", "") });
    let claim = ResultClaim::Lease(granted.lease);
    assert_eq!(db.finish(claim.clone(), outcome.clone()).await, Ok(false));
    let db = db.reopen();
    assert_eq!(db.finish(claim, outcome).await, Ok(true), "the same again is a duplicate");
    let chain = db.read(ReadChain { id: "chain".to_owned() }).await.unwrap();
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
    assert_eq!(db.finish(ResultClaim::Lease(late.lease), decision(TaskResult::Complete)).await, Ok(false));
    let refused = db.finish(ResultClaim::Lease(too_late.lease), decision(TaskResult::Complete)).await;
    assert_eq!(code(refused), Code::LeaseLost);
    assert_eq!(db.finish(ResultClaim::Lease(second.lease), decision(TaskResult::Complete)).await, Ok(false));
}

#[actix::test]
async fn nothing_follows_a_task_that_was_cancelled_after_the_decision() {
    let db = Db::new();
    let [uid] = db.create(vec![task("a", "")]).await.uids[..] else { panic!("one task") };
    let granted = db.lease(&["a"], noon()).await.unwrap();
    let retry = NewTask { parent: Some(uid), retry: 1, ..task("a", "") };
    let decided = TaskDecision { retry: Some(retry), ..decision(TaskResult::Error) };
    db.write(CancelTasks { now: noon(), uids: vec![uid], msg: String::new() }).await.unwrap();
    assert_eq!(db.finish(ResultClaim::Lease(granted.lease), decided).await, Ok(false));
    assert_eq!(db.read(ReadChain { id: "chain".to_owned() }).await.unwrap().len(), 1, "it is not tried again");
}

#[actix::test]
async fn another_result_for_a_finished_task_is_refused() {
    let db = Db::new();
    db.create(vec![task("a", "")]).await;
    let granted = db.lease(&["a"], noon()).await.unwrap();
    let claim = ResultClaim::Lease(granted.lease);
    db.finish(claim.clone(), decision(TaskResult::Complete)).await.unwrap();
    assert_eq!(code(db.finish(claim, decision(TaskResult::Error)).await), Code::AlreadyFinished);
    let without_lease = ResultClaim::Task(granted.lease.uid);
    assert_eq!(code(db.finish(without_lease, decision(TaskResult::Error)).await), Code::AlreadyFinished);
    assert_eq!(db.attempt(granted.lease.uid).await.result, Some(TaskResult::Complete));
}

#[actix::test]
async fn each_result_of_many_is_judged_alone() {
    let db = Db::new();
    let uids = db.create(vec![task("a", ""), task("a", "")]).await.uids;
    let all = [uids[0], Uid(1), uids[1]].map(|uid| (ResultClaim::Task(uid), decision(TaskResult::Complete)));
    let answers = db.write(ApplyOutcomes { now: noon(), outcomes: all.to_vec() }).await.unwrap();
    let codes: Vec<_> = answers.into_iter().map(|answer| answer.map_err(|err| err.code)).collect();
    let applied = Ok(flowlord_messages::results::AppliedResult { duplicate: false });
    assert_eq!(codes, [applied, Err(Code::TaskUnknown), applied]);
}

#[actix::test]
async fn totals_are_those_of_the_rows() {
    let db = Db::new();
    let next_hour = NewTask { uid: Uid::at(noon() + seconds(3600)), ..task("a", "j") };
    let yesterday = NewTask { uid: Uid::at(noon() - seconds(86_400)), ..task("a", "j") };
    let uids = db.create(vec![task("a", "j"), task("a", "j"), task("b", ""), next_hour, yesterday]).await.uids;
    for (uid, result) in uids.iter().zip([TaskResult::Complete, TaskResult::Error, TaskResult::Alert]) {
        let outcome = TaskDecision { started: Some(noon() + seconds(28)), ..decision(result) };
        db.finish(ResultClaim::Task(*uid), outcome).await.unwrap();
    }
    let stats = db.read(ReadDayTotals { day: noon().date_naive() }).await.unwrap();
    let rows: Vec<_> = stats.rows.iter().map(|row| (row.hour, row.topic.as_str(), row.counts)).collect();
    let counts = |total| ResultCounts { total, ..ResultCounts::default() };
    assert_eq!(
        rows,
        [
            (12, "a", ResultCounts { complete: 1, error: 1, ..counts(2) }),
            (12, "b", ResultCounts { alert: 1, ..counts(1) }),
            (13, "a", counts(1)),
        ]
    );
    assert_eq!((stats.rows[0].run_millis, stats.rows[2].counts.without_result()), (4_000, 1));
}

#[actix::test]
async fn only_children_that_failed_or_never_started_start_again() {
    let db = Db::new();
    let [first] = db.create(vec![task("a", "")]).await.uids[..] else { panic!("one task") };
    let kid = |info: &str| NewTask { info: info.to_owned(), ..task("kid", "") };
    let kids = |infos: &[&str]| infos.iter().map(|info| kid(info)).collect();
    let complete = decision(TaskResult::Complete);
    let outcome = TaskDecision { children: kids(&["good", "bad", "worse", "late"]), ..complete.clone() };
    db.finish(ResultClaim::Task(first), outcome).await.unwrap();
    for (info, result) in [("good", TaskResult::Complete), ("bad", TaskResult::Error), ("worse", TaskResult::Alert)] {
        let granted = db.lease(&["kid"], noon()).await.unwrap();
        assert_eq!(granted.task.info, info);
        db.finish(ResultClaim::Lease(granted.lease), decision(result)).await.unwrap();
    }
    let [again] = db.create(vec![NewTask { parent: Some(first), ..task("a", "") }]).await.uids[..] else { panic!() };
    let children = kids(&["good", "bad", "worse", "late", "new", "new"]);
    let outcome = TaskDecision { children, only_failed_children: true, ..complete };
    db.finish(ResultClaim::Task(again), outcome).await.unwrap();
    let ready = db.lease_many(&["kid"], 9, noon() + seconds(60)).await;
    let infos: Vec<_> = ready.iter().map(|granted| granted.task.info.as_str()).collect();
    assert_eq!(infos, ["late", "bad", "worse", "new", "new"], "the first is the one that was under way");
}

fn by_person(uid: Uid, seen: Option<TaskResult>) -> ResultClaim {
    ResultClaim::Person { uid, seen }
}

#[actix::test]
async fn a_person_completes_what_a_worker_holds_and_the_worker_loses_it() {
    let db = Db::new();
    let [uid] = db.create(vec![task("a", "")]).await.uids[..] else { panic!("one task") };
    let granted = db.lease(&["a"], noon()).await.unwrap();
    db.write(CancelTasks { now: noon(), uids: vec![uid], msg: String::new() }).await.unwrap();
    let complete = TaskDecision { children: vec![task("kid", "")], ..decision(TaskResult::Complete) };
    assert_eq!(db.finish(by_person(uid, None), complete.clone()).await, Ok(false));
    let marked = db.attempt(uid).await;
    assert_eq!((marked.state, marked.result, marked.cancelled), (TaskState::Done, Some(TaskResult::Complete), false));
    assert!(db.lease(&["kid"], noon()).await.is_some(), "although it was to be cancelled");
    let late = db.finish(ResultClaim::Lease(granted.lease), decision(TaskResult::Error)).await;
    assert_eq!(code(late), Code::LeaseLost);
    assert_eq!(code(db.write(heartbeat(granted.lease, noon())).await), Code::LeaseLost);
    assert_eq!(code(db.finish(by_person(uid, None), complete).await), Code::AlreadyFinished, "once");
}

#[actix::test]
async fn a_person_completes_a_dead_letter_and_the_totals_follow() {
    let db = Db::new();
    let [uid] = db.create(vec![task("a", "j")]).await.uids[..] else { panic!("one task") };
    let started = Some(noon() + seconds(28));
    let failed = TaskDecision { given_up: true, started, ..decision(TaskResult::Error) };
    db.finish(ResultClaim::Task(uid), failed).await.unwrap();
    let complete = TaskDecision { started, ..decision(TaskResult::Complete) };
    assert_eq!(code(db.finish(by_person(uid, None), complete.clone()).await), Code::AlreadyFinished, "it failed since");
    db.finish(by_person(uid, Some(TaskResult::Error)), complete).await.unwrap();
    let stats = db.read(ReadDayTotals { day: noon().date_naive() }).await.unwrap();
    assert_eq!(stats.rows[0].counts, ResultCounts { total: 1, complete: 1, ..ResultCounts::default() });
    assert_eq!(stats.rows[0].run_millis, 2_000, "it ran once");
    let dead = TaskFilter { given_up: true, ..TaskFilter::default() };
    assert!(db.read(FindTasks::oldest_first(dead, 10)).await.unwrap().tasks.is_empty());
}

#[actix::test]
async fn only_the_last_attempt_is_completed_by_a_person() {
    let db = Db::new();
    let [uid] = db.create(vec![task("a", "")]).await.uids[..] else { panic!("one task") };
    let retry = NewTask { parent: Some(uid), retry: 1, not_before: Some(noon() + seconds(60)), ..task("a", "") };
    let failed = TaskDecision { retry: Some(retry), ..decision(TaskResult::Error) };
    db.finish(ResultClaim::Task(uid), failed).await.unwrap();
    let complete = decision(TaskResult::Complete);
    let first = by_person(uid, Some(TaskResult::Error));
    let refused = db.finish(first.clone(), complete.clone()).await.unwrap_err();
    let retry = db.read(ReadChain { id: "chain".to_owned() }).await.unwrap()[1].uid;
    assert_eq!(refused.code, Code::TaskUnfinished);
    assert!(refused.detail.contains(&retry.to_string()), "{refused}");
    db.finish(by_person(retry, None), complete.clone()).await.unwrap();
    assert_eq!(db.write(PromoteDue { now: noon() + seconds(90) }).await.unwrap().count, 0, "it runs no more");
    assert_eq!(code(db.finish(first, complete).await), Code::AlreadyFinished);
}

fn foreign(id: &str, info: &str) -> ResultClaim {
    ResultClaim::Foreign(Arc::new(ForeignTask {
        topic: "f".to_owned(),
        job: String::new(),
        id: id.to_owned(),
        chain: id.to_owned(),
        info: info.to_owned(),
        meta: "workflow=w.toml&retry=1".to_owned(),
        created: noon(),
    }))
}

async fn known(db: &Db, claim: &ResultClaim) -> KnownTask {
    let ResultClaim::Foreign(task) = claim else { panic!("{claim:?} is foreign") };
    db.read(FindKnownTasks { tasks: vec![(None, Arc::clone(task))] }).await.unwrap().remove(0)
}

#[actix::test]
async fn a_task_of_elsewhere_is_recorded_with_all_that_follows_once() {
    let db = Db::new();
    // The instant of its creation is another task's.
    db.create(vec![task("a", "")]).await;
    let claim = foreign("c1", "i");
    let kid = NewTask { parent: Some(claim.uid()), id: "c1".to_owned(), ..task("kid", "") };
    let told = NewAlert {
        kind: AlertKind::Result,
        at: noon(),
        uid: Some(claim.uid()),
        id: "c1".to_owned(),
        topic: "f".to_owned(),
        job: String::new(),
        workflow: "w.toml".to_owned(),
        msg: "said".to_owned(),
        task_time: None,
        owner: String::new(),
        runbook: String::new(),
        at_once: Some("{\"type\":\"f\",\"info\":\"i\",\"uid\":\"1\"}".to_owned()),
    };
    let outcome = TaskDecision { children: vec![kid], alerts: vec![told], ..decision(TaskResult::Complete) };
    assert_eq!(known(&db, &claim).await, KnownTask::Unknown);
    assert_eq!(db.finish(claim.clone(), outcome.clone()).await, Ok(false));
    let db = db.reopen();
    assert_eq!(known(&db, &claim).await, KnownTask::Recorded);
    assert_eq!(db.finish(claim.clone(), outcome).await, Ok(true), "the same again is a duplicate");
    let other = decision(TaskResult::Error);
    assert_eq!(db.finish(claim, other).await, Ok(true), "the first result stands");
    let chain = db.read(ReadChain { id: "c1".to_owned() }).await.unwrap();
    let [first, kid] = &chain[..] else { panic!("{chain:?}") };
    assert_eq!((first.uid, first.state), (Uid(Uid::at(noon()).0 + 1), TaskState::Done));
    assert_eq!((first.result, first.retry, first.delivery), (Some(TaskResult::Complete), 1, 0));
    assert_eq!((first.meta.as_str(), first.workflow.as_str()), ("workflow=w.toml&file=a", "w.toml"));
    let ResultClaim::Foreign(as_sent) = foreign("c1", "i") else { panic!("it is foreign") };
    let as_shown = Arc::new(ForeignTask { created: first.uid.created_at(), ..ForeignTask::clone(&as_sent) });
    let tasks = vec![(None, as_shown), (Some(first.uid), as_sent)];
    let known = db.read(FindKnownTasks { tasks }).await.unwrap();
    assert_eq!(known, [KnownTask::Created(first.uid), KnownTask::Recorded], "also as it is shown here");
    assert_eq!((kid.parent, kid.state), (Some(first.uid), TaskState::Ready), "it names the id that was free");
    let (from, to) = (noon(), noon() + seconds(1));
    let alerts = ListAlerts { from, to, filter: AlertFilter::default(), after: None, limit: 9 };
    let alerts = db.read(alerts).await.unwrap();
    assert_eq!(alerts[0].uid, Some(first.uid));
    let stats = db.read(ReadDayTotals { day: noon().date_naive() }).await.unwrap();
    let counted = stats.rows.iter().find(|row| row.topic == "f").unwrap();
    assert_eq!(counted.counts, ResultCounts { total: 1, complete: 1, ..ResultCounts::default() });
}

#[actix::test]
async fn the_same_task_of_elsewhere_twice_in_one_transaction_counts_once() {
    let db = Db::new();
    let outcomes = vec![(foreign("c1", "i"), decision(TaskResult::Complete))];
    let write = |_| actix::spawn(db.write(ApplyOutcomes { now: noon(), outcomes: outcomes.clone() }));
    let mut duplicates = 0;
    for written in (0..3).map(write).collect::<Vec<_>>() {
        let answers = written.await.unwrap().unwrap();
        duplicates += usize::from(answers[0].as_ref().unwrap().duplicate);
    }
    assert_eq!(duplicates, 2);
    assert_eq!(db.read(ReadChain { id: "c1".to_owned() }).await.unwrap().len(), 1);
}

#[actix::test]
async fn tasks_of_elsewhere_share_a_second_and_each_finds_its_place() {
    let db = Db::new();
    let outcomes: Vec<_> = (0..2_000)
        .map(|n| (foreign(&format!("c{}", n / 2), &format!("i{}", n % 2)), decision(TaskResult::Complete)))
        .collect();
    let again = outcomes.clone();
    let answers = db.write(ApplyOutcomes { now: noon(), outcomes }).await.unwrap();
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|applied| !applied.duplicate)));
    let answers = db.write(ApplyOutcomes { now: noon(), outcomes: again }).await.unwrap();
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|applied| applied.duplicate)));
    let chain = db.read(ReadChain { id: "c999".to_owned() }).await.unwrap();
    let places: Vec<_> = chain.iter().map(|attempt| attempt.uid.0 - Uid::at(noon()).0).collect();
    assert_eq!(places, [1_998, 1_999]);
}

#[actix::test]
async fn a_second_that_is_full_at_its_end_passes_on_to_the_next() {
    let db = Db::new();
    let last = Uid(Uid::at(noon()).0 + 999_999);
    db.create(vec![task("a", ""), NewTask { uid: last, ..task("a", "") }]).await;
    db.finish(foreign("c1", "i"), decision(TaskResult::Complete)).await.unwrap();
    let chain = db.read(ReadChain { id: "c1".to_owned() }).await.unwrap();
    assert_eq!(chain[0].uid, Uid(last.0 + 1));
}

#[actix::test]
async fn what_was_created_here_is_known_by_its_instant_or_its_uid() {
    let db = Db::new();
    let uid = db.create(vec![task("f", "")]).await.uids[0];
    let named = |id: &str| match foreign(id, "i") {
        ResultClaim::Foreign(task) => task,
        other => panic!("{other:?}"),
    };
    let tasks = vec![(None, named("chain")), (None, named("other")), (Some(uid), named("other"))];
    let known = db.read(FindKnownTasks { tasks }).await.unwrap();
    assert_eq!(known, [KnownTask::Created(uid), KnownTask::Unknown, KnownTask::Created(uid)]);
}

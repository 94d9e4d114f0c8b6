//! Tasks come to be, in groups, once, and stay.

use flowlord_domain::{AlertKind, TaskState};
use flowlord_messages::alerts::{AlertFilter, ListAlerts};
use flowlord_messages::database::CloseDatabase;
use flowlord_messages::schedule::{
    CronKey, LastSlot, PromoteDue, ReadLastSlots, ReadSchedule, RecordMissed, SaveCrons, SlotKey,
};
use flowlord_messages::snapshots::CopyDatabase;
use flowlord_messages::stats::{QueueLoad, ReadBacklog};
use flowlord_messages::tasks::{FindTasks, IdempotencyKey, ReadChain, ReadChainStart, TaskFilter};

use super::*;

#[actix::test]
async fn what_was_answered_is_there_after_a_crash() {
    let db = Db::new();
    let created = db.create(vec![task("a", "j"), task("b", "")]).await;
    let db = db.reopen();
    let stored = db.attempt(created.uids[0]).await;
    assert_eq!((stored.topic.as_str(), stored.job.as_str()), ("a", "j"));
    assert_eq!((stored.workflow.as_str(), stored.state), ("w.toml", TaskState::Ready));
    assert_eq!(stored.meta, "workflow=w.toml");
    assert_eq!(db.read(ReadChain { id: "chain".to_owned() }).await.unwrap().len(), 2);
}

#[actix::test]
async fn of_a_chain_of_any_length_the_beginning_is_read_and_the_rest_counted() {
    let db = Db::new();
    let created = db.create(vec![task("a", ""), task("b", ""), task("c", "")]).await;
    let beginning = async |limit| {
        let read = db.read(ReadChainStart { id: "chain".to_owned(), limit }).await.unwrap();
        (read.attempts.iter().map(|attempt| attempt.uid).collect::<Vec<_>>(), read.more)
    };
    assert_eq!(beginning(2).await, (created.uids[..2].to_vec(), 1));
    assert_eq!(beginning(3).await, (created.uids.clone(), 0));
    assert_eq!(beginning(9).await, (created.uids.clone(), 0));
    let none = db.read(ReadChainStart { id: "none".to_owned(), limit: 2 }).await.unwrap();
    assert_eq!((none.attempts.len(), none.more), (0, 0));
}

#[actix::test]
async fn ids_of_one_instant_move_on() {
    let db = Db::new();
    let first = db.create(vec![task("a", ""), task("a", "")]).await.uids;
    let second = db.create(vec![task("a", "")]).await.uids;
    assert_eq!(first[0], Uid::at(noon()));
    assert_eq!([first[1].0 - first[0].0, second[0].0 - first[0].0], [1, 2]);
}

fn slot() -> SlotKey {
    SlotKey { workflow: "w.toml".to_owned(), task: "a:j".to_owned(), at: noon() }
}

#[actix::test]
async fn a_slot_starts_once_whatever_happens() {
    let db = Db::new();
    let create = || CreateTasks { slot: Some(slot()), ..creation(vec![task("a", "j")]) };
    let (one, two) = tokio_join(db.write(create()), db.write(create())).await;
    assert_eq!(one.is_ok(), two.is_err(), "exactly one of a group");
    let db = db.reopen();
    assert_eq!(code(db.write(create()).await), Code::SlotTaken);
    let all = FindTasks::oldest_first(TaskFilter::default(), 10);
    assert_eq!(db.read(all).await.unwrap().tasks.len(), 1, "what a refused command did is undone");
    assert_eq!(db.read(ReadSchedule).await.unwrap().last_slots, [slot()]);
}

#[actix::test]
async fn a_slot_that_was_started_is_not_recorded_as_missed() {
    let db = Db::new();
    db.write(CreateTasks { slot: Some(slot()), ..creation(vec![task("a", "j")]) }).await.unwrap();
    let later = SlotKey { at: noon() + seconds(60), ..slot() };
    let missed = RecordMissed { slots: vec![slot(), later.clone()], alerts: Vec::new(), now: noon() };
    db.write(missed).await.unwrap();
    let all = ReadLastSlots { from: noon(), to: noon() + seconds(3600) };
    let last = LastSlot { key: later.clone(), started: Some(noon()) };
    assert_eq!(db.read(all).await.unwrap(), [last]);
    let before = ReadLastSlots { from: noon() - seconds(60), to: noon() };
    assert_eq!(db.read(before).await.unwrap(), []);
    let late = CreateTasks { slot: Some(later), ..creation(vec![task("a", "j")]) };
    assert_eq!(code(db.write(late).await), Code::SlotTaken);
}

#[actix::test]
async fn missed_slots_recorded_again_raise_no_second_alert() {
    let db = Db::new();
    let record = |minutes: i64| {
        let slots = vec![slot(), SlotKey { at: noon() + TimeDelta::minutes(minutes), ..slot() }];
        let alerts = vec![alerting::alert(AlertKind::MissedSlot, None)];
        db.write(RecordMissed { slots, alerts, now: noon() })
    };
    let alerts = async || {
        let (from, to) = (noon() - seconds(86_400), noon() + seconds(86_400));
        db.read(ListAlerts { from, to, filter: AlertFilter::default(), after: None, limit: 9 }).await.unwrap().len()
    };
    record(1).await.unwrap();
    record(1).await.unwrap();
    assert_eq!(alerts().await, 1);
    record(2).await.unwrap();
    assert_eq!(alerts().await, 2, "another slot is news");
}

#[actix::test]
async fn crons_are_remembered_with_their_beginning() {
    let db = Db::new();
    let cron = |text: &str| CronKey { workflow: "w.toml".into(), task: "a:j".into(), cron: text.into() };
    let (hourly, daily) = (cron("0 * * * *"), cron("0 0 * * *"));
    let added = vec![(hourly.clone(), noon()), (daily.clone(), noon())];
    db.write(SaveCrons { added, removed: Vec::new() }).await.unwrap();
    let added = vec![(daily.clone(), noon() + seconds(9))];
    db.write(SaveCrons { added, removed: vec![hourly] }).await.unwrap();
    let db = db.reopen();
    let read = db.read(ReadSchedule).await.unwrap();
    assert_eq!(read.crons, [(daily, noon() + seconds(9))]);
    assert_eq!(read.last_slots, [], "a phase without a slot has none");
}

#[actix::test]
async fn the_same_key_creates_once_and_another_body_is_refused() {
    let db = Db::new();
    let create = |digest| CreateTasks {
        idempotency: Some(IdempotencyKey { key: "k".to_owned(), digest }),
        ..creation(vec![task("a", ""), task("a", "")])
    };
    let first = db.write(create(u64::MAX)).await.unwrap();
    let again = db.write(create(u64::MAX)).await.unwrap();
    assert!(!first.repeated && again.repeated);
    assert_eq!(first.uids, again.uids);
    assert_eq!(code(db.write(create(2)).await), Code::IdempotencyConflict);
    let mut next_day = create(2);
    next_day.now = noon() + TimeDelta::hours(25);
    assert!(!db.write(next_day).await.unwrap().repeated, "keys are remembered for a day");
}

#[actix::test]
async fn delayed_tasks_become_ready_in_their_time() {
    let db = Db::new();
    let at = |delay| NewTask { not_before: Some(noon() + seconds(delay)), ..task("a", "") };
    db.create(vec![at(20), at(10)]).await;
    assert_eq!(db.read(ReadSchedule).await.unwrap().next_due, Some(noon() + seconds(10)));
    assert!(db.lease(&["a"], noon()).await.is_none());
    let promoted = db.write(PromoteDue { now: noon() + seconds(10) }).await.unwrap();
    assert_eq!((promoted.count, promoted.next), (1, Some(noon() + seconds(20))));
    assert!(db.lease(&["a"], noon() + seconds(10)).await.is_some());
    let promoted = db.write(PromoteDue { now: noon() + seconds(30) }).await.unwrap();
    assert_eq!((promoted.count, promoted.next), (1, None));
}

#[actix::test]
async fn a_closed_database_has_no_log_left_and_refuses_politely() {
    let db = Db::new();
    db.create(vec![task("a", "")]).await;
    db.write(CloseDatabase).await.unwrap();
    assert_eq!(code(db.write(creation(vec![task("a", "")])).await), Code::Stopping);
    let wal = db.folder.path().join("flowlord.db-wal");
    assert_eq!(std::fs::metadata(wal).map(|file| file.len()).unwrap_or(0), 0);
}

#[actix::test]
async fn a_flood_larger_than_a_batch_is_stored_wholly() {
    let db = Db::new();
    let all: Vec<_> = (0..1500).map(|_| db.write(creation(vec![task("a", "")]))).collect();
    for created in all {
        created.await.unwrap();
    }
    let list = FindTasks::newest_first(TaskFilter::default(), 2000);
    assert_eq!(db.read(list).await.unwrap().tasks.len(), 1500);
}

#[actix::test]
async fn lists_page_by_the_last_id_and_filter() {
    let db = Db::new();
    let done = NewTask { id: "other".to_owned(), ..task("b", "x") };
    db.create(vec![task("a", "x"), task("a", "y"), done]).await;
    let granted = db.lease(&["b"], noon()).await.unwrap();
    db.finish(ResultClaim::Lease(granted.lease), decision(TaskResult::Warn)).await.unwrap();

    let list = |filter: TaskFilter, after| FindTasks { after, ..FindTasks::oldest_first(filter, 2) };
    let first = db.read(list(TaskFilter::default(), None)).await.unwrap();
    let rest = db.read(list(TaskFilter::default(), first.next)).await.unwrap();
    assert_eq!((first.tasks.len(), rest.tasks.len(), rest.next), (2, 1, None));

    let names = |text: &str| vec![text.to_owned()];
    for (filter, found) in [
        (TaskFilter { topics: names("a"), ..TaskFilter::default() }, 2),
        (TaskFilter { topics: names("a"), jobs: names("y"), ..TaskFilter::default() }, 1),
        (TaskFilter { ids: names("other"), ..TaskFilter::default() }, 1),
        (TaskFilter { results: vec![TaskResult::Warn], ..TaskFilter::default() }, 1),
        (TaskFilter { running: true, ..TaskFilter::default() }, 2),
        (TaskFilter { running: true, results: vec![TaskResult::Warn], jobs: names("x"), ..TaskFilter::default() }, 2),
        (TaskFilter { states: vec![TaskState::Done], ..TaskFilter::default() }, 1),
        (TaskFilter { to: Some(noon()), ..TaskFilter::default() }, 0),
        (TaskFilter { from: Some(noon() + seconds(1)), ..TaskFilter::default() }, 0),
    ] {
        assert_eq!(db.read(list(filter.clone(), None)).await.unwrap().tasks.len(), found, "{filter:?}");
    }
}

async fn tokio_join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    (a.await, b.await)
}

#[actix::test]
async fn a_copy_holds_every_write_that_was_answered_before_it() {
    let db = Db::new();
    let to = db.folder.path().join("snapshots/one.db");
    let before = db.create(vec![task("a", "")]).await.uids[0];
    let (copied, _meanwhile) =
        tokio_join(db.write(CopyDatabase { to: to.clone() }), db.write(creation(vec![task("b", "")]))).await;
    assert_eq!(copied.unwrap().path, to);
    let copy = rusqlite::Connection::open(&to).unwrap();
    let stored = |uid: Uid| copy.query_row("SELECT 1 FROM task WHERE uid = ?1", [uid.0], |_| Ok(())).is_ok();
    assert!(stored(before));
    let again = db.write(CopyDatabase { to }).await;
    assert_eq!(code(again), Code::InvalidRequest, "a copy is never written over");
    assert!(db.attempt(before).await.uid == before, "and the database goes on");
}

#[actix::test]
async fn the_backlog_counts_what_waits() {
    let db = Db::new();
    let later = |n| NewTask { not_before: Some(noon() + seconds(n)), ..task("later", "") };
    db.create(vec![task("a", "x"), task("a", "y"), task("b", ""), later(60), later(90)]).await;
    db.lease(&["b"], noon()).await.unwrap();
    let backlog = db.read(ReadBacklog).await.unwrap();
    let queue =
        |topic: &str, job: &str| QueueLoad { topic: topic.to_owned(), job: job.to_owned(), ..QueueLoad::default() };
    let ready = |job| QueueLoad { ready: 1, oldest_ready: Some(noon()), ..queue("a", job) };
    let (leased, delayed) = (QueueLoad { leased: 1, ..queue("b", "") }, QueueLoad { delayed: 2, ..queue("later", "") });
    assert_eq!((backlog.queues, backlog.messages), (vec![ready("x"), ready("y"), leased, delayed], 0));
}

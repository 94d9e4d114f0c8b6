//! Backloads: moved on with their tasks, never twice, and what of them is there already.

use flowlord_domain::backload::TaskSelection;
use flowlord_messages::backloads::{
    BackloadCheck, BackloadFailure, BackloadState, CheckBackload, EndBackloadTasks, MAX_BACKLOAD_FAILURES,
    MAX_UNFINISHED_BACKLOADS, ReadBackload, ReadBackloads, SaveBackload, SetBackloadState, StoreBackloadChunk,
    StoredBackload,
};
use flowlord_messages::results::ResultClaim;
use flowlord_messages::tasks::RerunTasks;

use super::*;

fn save(total: usize) -> SaveBackload {
    SaveBackload { now: noon(), order: "{}".to_owned(), message: "told".to_owned(), digest: u64::MAX, total }
}

fn past(n: usize) -> NewTask {
    NewTask {
        info: format!("?n={n}"),
        meta: format!("cron=2026-01-01T{n:02}"),
        lane: TaskLane::Backload,
        ..task("load", "j")
    }
}

fn chunk(id: i64, from: usize, next: usize) -> StoreBackloadChunk {
    let tasks = (from..next).map(past).collect();
    StoreBackloadChunk { now: noon(), id, from, next, tasks, skipped: 0, failed: Vec::new() }
}

fn failure(index: usize) -> BackloadFailure {
    BackloadFailure { index, time: Some(noon()), why: "too large".to_owned() }
}

impl Db {
    async fn backload(&self, id: i64) -> (StoredBackload, Vec<BackloadFailure>) {
        self.read(ReadBackload { id }).await.unwrap().unwrap()
    }

    async fn set(&self, id: i64, state: BackloadState) -> Result<StoredBackload> {
        self.write(SetBackloadState { now: noon(), id, state, problem: String::new() }).await
    }

    async fn check(&self, only: TaskSelection, numbers: &[usize]) -> BackloadCheck {
        let tasks = numbers.iter().map(|n| past(*n)).map(|task| (task.info, task.meta)).collect();
        let check = CheckBackload { topic: "load".to_owned(), job: "j".to_owned(), only, tasks, count_to: 3 };
        self.read(check).await.unwrap()
    }

    async fn ids(&self, running: bool, after: Option<i64>) -> Vec<i64> {
        let read = ReadBackloads { running, after, limit: 2 };
        self.read(read).await.unwrap().iter().map(|stored| stored.id).collect()
    }
}

#[actix::test]
async fn a_chunk_is_stored_once_also_over_a_crash() {
    let db = Db::new();
    let id = db.write(save(5)).await.unwrap();
    let uids = db.write(chunk(id, 0, 2)).await.unwrap();
    assert_eq!(uids.len(), 2);
    assert_eq!(db.attempt(uids[1]).await.lane, TaskLane::Backload);
    assert_eq!(code(db.write(chunk(id, 0, 2)).await), Code::BackloadState, "the same again");
    let db = db.reopen();
    assert_eq!(code(db.write(chunk(id, 0, 2)).await), Code::BackloadState, "the same after a crash");
    assert_eq!(db.check(TaskSelection::All, &[]).await.ready, 2);
    let last = StoreBackloadChunk { next: 5, skipped: 1, failed: vec![failure(4)], ..chunk(id, 2, 3) };
    db.write(last).await.unwrap();
    let (stored, failures) = db.backload(id).await;
    assert_eq!((stored.state, stored.next, stored.total), (BackloadState::Done, 5, 5));
    assert_eq!((stored.created, stored.skipped, stored.failed), (3, 1, 1));
    assert_eq!((stored.digest, stored.message.as_str()), (u64::MAX, "told"));
    assert_eq!(failures, [failure(4)]);
}

impl Db {
    /// How many of its tasks ended, and how many of these by a failure.
    async fn ended(&self, id: i64) -> (usize, usize) {
        let (stored, _) = self.backload(id).await;
        (stored.finished.unwrap(), stored.unsuccessful)
    }

    async fn end_tasks(&self, id: i64, limit: usize) -> usize {
        self.write(EndBackloadTasks { now: noon(), id, limit }).await.unwrap()
    }
}

#[actix::test]
async fn the_end_of_each_task_is_counted_once_with_its_retries() {
    let db = Db::new();
    let id = db.write(save(4)).await.unwrap();
    let uids = db.write(chunk(id, 0, 4)).await.unwrap();
    db.finish(ResultClaim::Task(uids[0]), decision(TaskResult::Complete)).await.unwrap();
    db.finish(ResultClaim::Task(uids[1]), decision(TaskResult::Alert)).await.unwrap();
    db.finish(ResultClaim::Task(uids[1]), decision(TaskResult::Alert)).await.unwrap();
    assert_eq!(db.ended(id).await, (2, 1), "the same result again counts no more");
    let retry = NewTask { parent: Some(uids[2]), retry: 1, ..past(2) };
    let child = NewTask { parent: Some(uids[2]), ..task("kid", "") };
    let failed = TaskDecision { retry: Some(retry), children: vec![child], ..decision(TaskResult::Error) };
    db.finish(ResultClaim::Task(uids[2]), failed).await.unwrap();
    assert_eq!(db.ended(id).await, (2, 1), "it is tried again");
    let db = db.reopen();
    for granted in db.lease_many(&["kid"], 9, noon() + seconds(60)).await {
        db.finish(ResultClaim::Lease(granted.lease), decision(TaskResult::Complete)).await.unwrap();
    }
    assert_eq!(db.ended(id).await, (2, 1), "a child is none of its tasks");
    let again: Vec<_> = db.lease_many(&["load"], 9, noon() + seconds(60)).await;
    assert_eq!(again.len(), 2);
    for granted in again {
        db.finish(ResultClaim::Lease(granted.lease), decision(TaskResult::Error)).await.unwrap();
    }
    assert_eq!(db.ended(id).await, (4, 3));

    let rerun = RerunTasks { now: noon() + seconds(90), tasks: vec![NewTask { parent: Some(uids[1]), ..past(1) }] };
    let new = db.write(rerun).await.unwrap().remove(0).unwrap();
    assert_eq!(db.ended(id).await, (3, 2), "it is to be done again");
    db.finish(ResultClaim::Task(new), decision(TaskResult::Error)).await.unwrap();
    let person = ResultClaim::Person { uid: new, seen: Some(TaskResult::Error) };
    db.finish(person, decision(TaskResult::Complete)).await.unwrap();
    assert_eq!(db.ended(id).await, (4, 2), "marked complete");
}

#[actix::test]
async fn tasks_that_wait_end_with_their_backload_and_no_others() {
    let db = Db::new();
    let other = db.write(save(2)).await.unwrap();
    db.write(chunk(other, 0, 2)).await.unwrap();
    let id = db.write(save(5)).await.unwrap();
    let tasks = (2..7).map(past).map(|task| NewTask { topic: "mine".to_owned(), ..task }).collect();
    let uids = db.write(StoreBackloadChunk { tasks, ..chunk(id, 0, 5) }).await.unwrap();
    let granted = db.lease(&["mine"], noon()).await.unwrap();
    assert_eq!((db.end_tasks(id, 3).await, db.end_tasks(id, 3).await, db.end_tasks(id, 3).await), (3, 1, 0));
    assert_eq!(db.ended(id).await, (4, 0));
    let ended = db.attempt(uids[4]).await;
    assert_eq!((ended.result, ended.msg.as_str()), (Some(TaskResult::Warn), "cancelled: its backload was cancelled"));
    db.finish(ResultClaim::Lease(granted.lease), decision(TaskResult::Complete)).await.unwrap();
    assert_eq!(db.ended(id).await, (5, 0), "what a worker has goes on");
    assert_eq!(code(db.set(id, BackloadState::Cancelled).await), Code::BackloadState, "all have ended");
    assert_eq!(db.set(other, BackloadState::Cancelled).await.unwrap().state, BackloadState::Cancelled);
    assert_eq!((db.ended(other).await, db.lease_many(&["load"], 9, noon()).await.len()), ((0, 0), 2));
}

#[actix::test]
async fn what_is_paused_or_cancelled_stores_no_more() {
    let db = Db::new();
    let id = db.write(save(5)).await.unwrap();
    assert_eq!(db.set(id, BackloadState::Paused).await.unwrap().state, BackloadState::Paused);
    assert_eq!(code(db.write(chunk(id, 0, 2)).await), Code::BackloadState);
    assert_eq!(db.ids(true, None).await, Vec::<i64>::new());
    db.set(id, BackloadState::Running).await.unwrap();
    assert_eq!(db.ids(true, None).await, [id]);
    db.write(chunk(id, 0, 2)).await.unwrap();
    db.set(id, BackloadState::Cancelled).await.unwrap();
    db.set(id, BackloadState::Cancelled).await.unwrap();
    let error = db.set(id, BackloadState::Running).await.unwrap_err();
    assert_eq!(error.code, Code::BackloadState);
    assert!(error.detail.contains("is cancelled already: create a new one, with only=missing"), "{error}");
    let error = db.set(99, BackloadState::Paused).await.unwrap_err();
    assert_eq!(error.code, Code::BackloadUnknown);
    assert!(error.detail.contains("GET /api/v1/backloads lists them"), "{error}");
    assert_eq!(db.read(ReadBackload { id: 99 }).await.unwrap(), None);
}

#[actix::test]
async fn only_so_many_are_unfinished_and_only_so_much_is_remembered() {
    let db = Db::new();
    let empty = db.write(save(0)).await.unwrap();
    assert_eq!(db.backload(empty).await.0.state, BackloadState::Done);
    let mut ids = Vec::new();
    for _ in 0..MAX_UNFINISHED_BACKLOADS {
        ids.push(db.write(save(2_000)).await.unwrap());
    }
    let error = db.write(save(1)).await.unwrap_err();
    assert!(error.code == Code::Busy && error.detail.contains("cancel one"), "{error}");
    assert_eq!(db.ids(false, None).await, [ids[99], ids[98]]);
    assert_eq!(db.ids(false, Some(ids[1])).await, [ids[0], empty]);
    for from in [0, 700] {
        let failed = (from..from + 700).map(failure).collect();
        let store = StoreBackloadChunk { failed, tasks: Vec::new(), ..chunk(ids[0], from, from + 700) };
        db.write(store).await.unwrap();
    }
    let (stored, failures) = db.backload(ids[0]).await;
    assert_eq!((stored.failed, failures.len()), (1_400, MAX_BACKLOAD_FAILURES));
    db.set(ids[0], BackloadState::Cancelled).await.unwrap();
    for _ in 0..1_001 {
        db.write(save(0)).await.unwrap();
    }
    assert_eq!(db.read(ReadBackload { id: ids[0] }).await.unwrap(), None, "finished long ago");
    assert_eq!(db.backload(ids[1]).await.0.state, BackloadState::Running, "unfinished ones stay");
}

#[actix::test]
async fn what_is_missing_or_failed_is_found_by_topic_job_info_and_time() {
    let db = Db::new();
    assert_eq!(db.check(TaskSelection::Missing, &[1, 2]).await, BackloadCheck { wanted: vec![true, true], ready: 0 });
    assert_eq!(db.check(TaskSelection::Failed, &[1]).await.wanted, [false]);
    let other_time = NewTask { meta: "cron=2026-01-01T09".to_owned(), ..past(2) };
    let other_job = NewTask { job: String::new(), ..past(2) };
    let created = db.create(vec![past(1), past(3), past(4), past(5), other_time, other_job]).await;
    assert_eq!(db.check(TaskSelection::Missing, &[1, 2, 2, 3]).await.wanted, [false, true, false, false]);
    assert_eq!(db.check(TaskSelection::All, &[1, 2]).await, BackloadCheck { wanted: vec![true, true], ready: 3 });
    for (n, result) in [(1, TaskResult::Error), (2, TaskResult::Alert), (3, TaskResult::Complete)] {
        let decision = TaskDecision { meta: format!("a=1&{}", past(n + 2).meta), ..decision(result) };
        db.finish(ResultClaim::Task(created.uids[n]), decision).await.unwrap();
    }
    assert_eq!(db.check(TaskSelection::Failed, &[1, 2, 3, 4, 5]).await.wanted, [false, false, true, true, false]);
    assert_eq!(db.check(TaskSelection::Missing, &[3, 4, 5]).await.wanted, [false, false, false]);
    // The last attempt counts.
    db.create(vec![past(3)]).await;
    assert_eq!(db.check(TaskSelection::Failed, &[3, 4]).await.wanted, [false, true]);
}

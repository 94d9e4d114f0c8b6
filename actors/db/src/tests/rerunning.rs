//! Tasks that a person ends, or has run again; dead letters.

use flowlord_domain::TaskState;
use flowlord_messages::leases::{ReapLeases, ReleaseLease};
use flowlord_messages::schedule::PromoteDue;
use flowlord_messages::stats::ReadDayTotals;
use flowlord_messages::tasks::{CancelTasks, FindLaterAttempts, FindTasks, RerunTasks, TaskFilter};

use super::*;

async fn cancel(db: &Db, uid: Uid) -> Result<()> {
    let cancel = CancelTasks { now: noon() + seconds(9), uids: vec![uid], msg: "cancelled: no need".to_owned() };
    db.write(cancel).await?.remove(0)
}

async fn ended(db: &Db, uid: Uid) -> (TaskState, Option<TaskResult>, String) {
    let task = db.attempt(uid).await;
    assert!(task.cancelled);
    (task.state, task.result, task.msg)
}

fn warned(msg: &str) -> (TaskState, Option<TaskResult>, String) {
    (TaskState::Done, Some(TaskResult::Warn), msg.to_owned())
}

#[actix::test]
async fn what_waits_ends_at_once() {
    let db = Db::new();
    let later = NewTask { not_before: Some(noon() + seconds(60)), ..task("a", "") };
    for uid in db.create(vec![task("a", ""), later]).await.uids {
        cancel(&db, uid).await.unwrap();
        assert_eq!(ended(&db, uid).await, warned("cancelled: no need"));
        assert_eq!(code(cancel(&db, uid).await), Code::AlreadyFinished);
    }
    assert!(db.lease(&["a"], noon()).await.is_none());
    assert_eq!(db.write(PromoteDue { now: noon() + seconds(60) }).await.unwrap().count, 0);
    assert_eq!(code(cancel(&db, Uid(5)).await), Code::TaskUnknown);
    let stats = db.read(ReadDayTotals { day: noon().date_naive() }).await.unwrap();
    assert_eq!((stats.rows[0].counts.total, stats.rows[0].counts.warn), (2, 2));
}

#[actix::test]
async fn of_many_that_are_cancelled_each_is_judged_alone() {
    let db = Db::new();
    let mut uids = db.create(vec![task("a", ""), task("b", "")]).await.uids;
    cancel(&db, uids[0]).await.unwrap();
    uids.push(Uid(5));
    let answers = db.write(CancelTasks { now: noon(), uids: uids.clone(), msg: "cancelled".to_owned() }).await.unwrap();
    let codes: Vec<_> = answers.into_iter().map(|answer| answer.err().map(|err| err.code)).collect();
    assert_eq!(codes, [Some(Code::AlreadyFinished), None, Some(Code::TaskUnknown)]);
    assert_eq!(ended(&db, uids[1]).await, warned("cancelled"));
}

#[actix::test]
async fn the_worker_of_a_cancelled_task_is_told_and_nobody_else_gets_it() {
    let db = Db::new();
    db.create(vec![task("a", ""), task("b", ""), task("c", "")]).await;
    let mut leases = Vec::new();
    for topic in ["a", "b", "c"] {
        let lease = db.lease(&[topic], noon()).await.unwrap().lease;
        cancel(&db, lease.uid).await.unwrap();
        let beat = heartbeat(lease, noon());
        assert!(db.write(beat).await.unwrap().cancel);
        leases.push(lease);
    }
    let db = db.reopen();
    let release = ReleaseLease { now: noon() + seconds(10), lease: leases[0], delay: seconds(5) };
    db.write(release).await.unwrap();
    assert_eq!(ended(&db, leases[0].uid).await, warned("cancelled"));
    db.finish(ResultClaim::Lease(leases[1]), decision(TaskResult::Complete)).await.unwrap();
    assert_eq!(ended(&db, leases[1].uid).await.1, Some(TaskResult::Complete), "the worker has the last word");
    let reaped = db.write(ReapLeases { now: noon() + seconds(60), max_deliveries: 5 }).await.unwrap();
    assert_eq!((reaped.requeued, reaped.exhausted), (0, vec![]));
    assert_eq!(ended(&db, leases[2].uid).await, warned("cancelled"));
    assert!(db.lease_many(&["a", "b", "c"], 9, noon() + seconds(60)).await.is_empty());
}

async fn dead_letters(db: &Db) -> Vec<Uid> {
    let filter = TaskFilter { results: vec![TaskResult::Error], given_up: true, ..TaskFilter::default() };
    db.read(FindTasks::oldest_first(filter, 10)).await.unwrap().tasks.iter().map(|task| task.uid).collect()
}

#[actix::test]
async fn a_dead_letter_runs_again_once() {
    let db = Db::new();
    let uids = db.create(vec![task("a", "j"), task("a", "other")]).await.uids;
    let again = |parent: Uid| NewTask { parent: Some(parent), ..task("a", "j") };
    let rerun = async |parent: Uid| {
        let mut answers = db.write(RerunTasks { now: noon() + seconds(40), tasks: vec![again(parent)] }).await.unwrap();
        answers.remove(0)
    };
    assert_eq!(code(rerun(uids[0]).await), Code::TaskUnfinished);
    let failed = TaskDecision { given_up: true, ..decision(TaskResult::Error) };
    db.finish(ResultClaim::Task(uids[0]), failed.clone()).await.unwrap();
    db.finish(ResultClaim::Task(uids[1]), decision(TaskResult::Error)).await.unwrap();
    assert_eq!(dead_letters(&db).await, [uids[0]]);

    let new = rerun(uids[0]).await.unwrap();
    assert_eq!(dead_letters(&db).await, []);
    assert_eq!(db.read(FindLaterAttempts { uids: uids.clone() }).await.unwrap(), [Some(new), None]);
    let twice = rerun(uids[0]).await.unwrap_err();
    assert_eq!(twice.code, Code::TaskUnfinished);
    assert!(twice.detail.contains(&new.to_string()), "{twice}");
    assert_eq!(code(rerun(Uid(5)).await), Code::TaskUnknown);

    db.finish(ResultClaim::Task(new), failed).await.unwrap();
    assert_eq!(dead_letters(&db).await, [new]);
    rerun(uids[0]).await.unwrap();
}

//! What became of slots, and hours of topics and jobs.

use flowlord_domain::TaskDecision;
use flowlord_messages::schedule::{CronKey, ReadSlots, RecordMissed, SaveCrons, SlotKey};
use flowlord_messages::stats::{ReadDaySteps, ReadHourCounts, ResultCounts};

use super::*;

const HOUR: i64 = 3_600;

fn slot(hour: i64) -> SlotKey {
    SlotKey { workflow: "w.toml".to_owned(), task: "a:j".to_owned(), at: noon() + seconds(hour * HOUR) }
}

fn named(id: &str) -> NewTask {
    NewTask { id: id.to_owned(), ..task("a", "j") }
}

async fn start(db: &Db, hour: i64, tasks: Vec<NewTask>) -> Vec<Uid> {
    db.write(CreateTasks { slot: Some(slot(hour)), ..creation(tasks) }).await.unwrap().uids
}

fn all() -> ReadSlots {
    ReadSlots {
        phases: vec![("w.toml".to_owned(), "a:j".to_owned()), ("w.toml".to_owned(), "none".to_owned())],
        from: noon() - seconds(HOUR),
        to: noon() + seconds(9 * HOUR),
        named: 2,
    }
}

async fn end(db: &Db, uid: Uid, decision: TaskDecision) {
    db.finish(ResultClaim::Task(uid), decision).await.unwrap();
}

#[actix::test]
async fn a_slot_tells_how_its_tasks_ended_at_last() {
    let db = Db::new();
    db.write(SaveCrons {
        added: vec![(
            CronKey { workflow: "w.toml".to_owned(), task: "a:j".to_owned(), cron: "@hourly".to_owned() },
            noon(),
        )],
        removed: Vec::new(),
    })
    .await
    .unwrap();
    // Something else comes in between the tasks of the slot.
    db.create(vec![task("other", "")]).await;
    let uids = start(&db, 0, vec![named("c0"), named("c1"), named("c2"), named("c3")]).await;
    db.create(vec![task("other", ""), named("by hand")]).await;
    end(&db, uids[0], decision(TaskResult::Complete)).await;
    let retry = |id: &str, parent| NewTask { retry: 1, parent: Some(parent), ..named(id) };
    end(&db, uids[1], TaskDecision { retry: Some(retry("c1", uids[1])), ..decision(TaskResult::Error) }).await;
    end(&db, uids[2], TaskDecision { retry: Some(retry("c2", uids[2])), ..decision(TaskResult::Error) }).await;
    let retries = db.read(flowlord_messages::tasks::ReadChain { id: "c2".to_owned() }).await.unwrap();
    end(&db, retries[1].uid, decision(TaskResult::Complete)).await;
    end(&db, uids[3], decision(TaskResult::Error)).await;
    db.write(RecordMissed { slots: vec![slot(1)], alerts: Vec::new(), now: noon() }).await.unwrap();
    start(&db, 2, Vec::new()).await;

    let mut read = db.read(all()).await.unwrap();
    assert_eq!(read.pop().unwrap(), flowlord_messages::schedule::PhaseSlots::default());
    let read = read.pop().unwrap();
    assert_eq!((read.crons, read.cut), (vec![("@hourly".to_owned(), noon())], None));
    let outcome: Vec<_> = read.slots.iter().map(|slot| (slot.at, slot.started, slot.tasks, slot.counts)).collect();
    let none = ResultCounts::default();
    let ended = ResultCounts { total: 4, complete: 2, error: 1, ..none };
    assert_eq!(
        outcome,
        [
            (slot(2).at, None, Some(0), none),
            (slot(1).at, None, None, none),
            (slot(0).at, Some(uids[0]), Some(4), ended),
        ],
        "one still runs: its retry"
    );
    assert_eq!(read.slots[2].named, uids[..2]);
}

#[actix::test]
async fn hours_are_counted_by_topic_and_job() {
    let db = Db::new();
    let later = NewTask { uid: Uid::at(noon() + seconds(HOUR)), ..task("a", "j") };
    let uids = db.create(vec![task("a", "j"), task("a", "j"), later, task("b", "")]).await.uids;
    end(&db, uids[0], decision(TaskResult::Warn)).await;
    let read = |from, newest| ReadHourCounts {
        queues: vec![("a".to_owned(), "j".to_owned()), ("c".to_owned(), String::new())],
        from,
        to: noon() + seconds(2 * HOUR),
        newest,
    };
    let (one, two) = (
        ResultCounts { total: 1, ..ResultCounts::default() },
        ResultCounts { total: 2, warn: 1, ..ResultCounts::default() },
    );
    let later = noon() + seconds(HOUR);
    let answer = db.read(read(noon() - seconds(HOUR), false)).await.unwrap();
    assert_eq!(answer, [vec![(later, one), (noon(), two)], Vec::new()]);
    let answer = db.read(read(noon() - seconds(HOUR), true)).await.unwrap();
    assert_eq!(answer[0], [(later, one)]);
}

#[actix::test]
async fn steps_of_a_day_are_counted_by_topic_and_job_up_to_a_bound() {
    let db = Db::new();
    let at = |after: i64, topic: &str| NewTask { uid: Uid::at(noon() + seconds(after)), ..task(topic, "") };
    let uids = db.create(vec![at(0, "a"), at(299, "a"), at(1, "b"), at(300, "a"), at(-13 * HOUR, "a")]).await.uids;
    end(&db, uids[0], decision(TaskResult::Warn)).await;
    end(&db, uids[3], decision(TaskResult::Alert)).await;
    let day = noon().date_naive();
    let read = db.read(ReadDaySteps { day }).await.unwrap().unwrap();
    let counted: Vec<_> = read.iter().map(|row| (row.step, row.topic.as_str(), row.counts)).collect();
    let counts = |total, warn, alert| ResultCounts { total, warn, alert, ..ResultCounts::default() };
    let expected = [(144, "a", counts(2, 1, 0)), (144, "b", counts(1, 0, 0)), (145, "a", counts(1, 0, 1))];
    assert_eq!(counted, expected);
    let many = (400..).map(|second| at(second, "many")).take(ReadDaySteps::MAX_TASKS);
    for part in many.collect::<Vec<_>>().chunks(1_000) {
        db.create(part.to_vec()).await;
    }
    assert_eq!(db.read(ReadDaySteps { day }).await.unwrap(), None);
}

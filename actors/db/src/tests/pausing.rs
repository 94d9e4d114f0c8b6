//! Phases that are paused: what would start by itself is kept.

use flowlord_domain::TaskState;
use flowlord_domain::file_event::FileEvent;
use flowlord_domain::file_match::FilePhase;
use flowlord_messages::files::{FileMatchEffect, FileRecordOutcome, FileSource, NewFileMatch, RecordFile};
use flowlord_messages::schedule::{PausedPhase, PromoteDue, ReadPaused, ReadSchedule, SetPaused};

use super::*;

fn set(task: &str, paused: bool, after: i64) -> SetPaused {
    SetPaused { now: noon() + seconds(after), workflow: "w.toml".to_owned(), task: task.to_owned(), paused }
}

/// A task that ended and started these.
async fn parent_of(db: &Db, children: Vec<NewTask>) {
    let parent = db.create(vec![task("parent", "")]).await.uids[0];
    let outcome = TaskDecision { children, ..decision(TaskResult::Complete) };
    db.finish(ResultClaim::Task(parent), outcome).await.unwrap();
}

fn file(task: NewTask) -> RecordFile {
    let phase =
        FilePhase { workflow: "w.toml".to_owned(), task: "load".to_owned(), pattern: "/in/*".to_owned(), nth: 0 };
    let effect = FileMatchEffect::Start(Box::new(task));
    RecordFile {
        now: noon(),
        file: FileEvent { path: "/in/a".to_owned(), ..FileEvent::default() },
        source: FileSource::Api,
        ignored: String::new(),
        matches: vec![NewFileMatch { phase, waiting: Vec::new(), effect }],
        seen: None,
    }
}

#[actix::test]
async fn children_and_files_are_kept_until_their_phase_goes_on() {
    let db = Db::new();
    assert_eq!(db.write(set("load", true, 0)).await.unwrap(), Some(noon()));
    assert_eq!(db.write(set("load", true, 9)).await.unwrap(), Some(noon()), "since it was paused first");
    parent_of(
        &db,
        vec![task("load", ""), task("load", "other"), NewTask { workflow: "v.toml".to_owned(), ..task("load", "") }],
    )
    .await;
    let FileRecordOutcome::Stored(_, outcomes) = db.write(file(task("load", ""))).await.unwrap() else { panic!() };
    let db = db.reopen();
    let schedule = db.read(ReadSchedule).await.unwrap();
    let paused = PausedPhase { workflow: "w.toml".to_owned(), task: "load".to_owned(), since: noon() };
    assert_eq!((schedule.paused, schedule.next_due), (vec![paused], None), "no time is waited for");
    assert_eq!(db.lease_many(&["load"], 9, noon()).await.len(), 2, "the other phases go on");
    let kept = db.attempt(outcomes[0].uid.unwrap()).await;
    assert_eq!((kept.state, kept.not_before), (TaskState::Delayed, None));
    let far = DateTime::from_timestamp(200_000_000_000, 0).unwrap();
    let promoted = db.write(PromoteDue { now: far }).await.unwrap();
    assert_eq!((promoted.count, promoted.next), (0, None));

    assert_eq!(db.write(set("load", false, 60)).await.unwrap(), None);
    assert_eq!(db.read(ReadPaused).await.unwrap(), []);
    assert_eq!(db.read(ReadSchedule).await.unwrap().next_due, Some(noon() + seconds(60)));
    assert_eq!(db.write(PromoteDue { now: noon() + seconds(60) }).await.unwrap().count, 2);
    assert_eq!(db.lease_many(&["load"], 9, noon() + seconds(60)).await.len(), 2);
    assert_eq!(db.write(set("load", false, 70)).await.unwrap(), None, "again is fine");
}

#[actix::test]
async fn what_people_start_and_retries_go_on() {
    let db = Db::new();
    db.write(set("load", true, 0)).await.unwrap();
    let first = db.create(vec![task("load", "")]).await.uids[0];
    let retry = Some(NewTask { retry: 1, ..task("load", "") });
    db.finish(ResultClaim::Task(first), TaskDecision { retry, ..decision(TaskResult::Error) }).await.unwrap();
    assert_eq!(db.lease_many(&["load"], 9, noon()).await.len(), 1);
}

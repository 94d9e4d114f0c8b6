//! What slots led to, and what is at work for long.

use flowlord_domain::deadlines::PhasePause;
use flowlord_messages::deadlines::{DeadlineBreach, RaiseBreaches, ReadDeadlineInput, ReadSlotTasks, SlotTasks};
use flowlord_messages::history::{HistoryPosition, RemoveHistory};
use flowlord_messages::schedule::{CronKey, RecordMissed, SaveCrons, SetPaused, SlotKey};

use super::*;

const CRON: &str = "@hourly";

fn slot(hour: i64) -> SlotKey {
    let at = noon() + seconds(hour * 3_600);
    SlotKey { workflow: "w.toml".to_owned(), task: "a:j".to_owned(), at }
}

fn named(id: &str, topic: &str) -> NewTask {
    NewTask { id: id.to_owned(), ..task(topic, "j") }
}

async fn led_to(db: &Db, hour: i64) -> SlotTasks {
    let slots = vec![(slot(hour), CRON.to_owned())];
    db.read(ReadSlotTasks { slots }).await.unwrap().remove(0)
}

#[actix::test]
async fn a_slot_has_the_chains_of_all_its_tasks() {
    let db = Db::new();
    assert_eq!(led_to(&db, 0).await, SlotTasks { since: None, chains: Some(Vec::new()) });
    let cron = CronKey { workflow: "w.toml".to_owned(), task: "a:j".to_owned(), cron: CRON.to_owned() };
    db.write(SaveCrons { added: vec![(cron, noon())], removed: Vec::new() }).await.unwrap();
    db.create(vec![named("before", "a")]).await;
    let tasks = vec![named("one", "a"), named("two", "a")];
    let uids = db.write(CreateTasks { slot: Some(slot(0)), ..creation(tasks) }).await.unwrap().uids;
    db.create(vec![named("after", "a"), named("one", "b")]).await;
    let outcome = TaskDecision { children: vec![named("two", "child")], ..decision(TaskResult::Complete) };
    db.finish(ResultClaim::Task(uids[1]), outcome).await.unwrap();
    let db = db.reopen();
    let found = led_to(&db, 0).await;
    assert_eq!(found.since, Some(noon()));
    let topics = |chain: &Vec<Attempt>| chain.iter().map(|task| task.topic.clone()).collect::<Vec<_>>();
    let chains: Vec<_> = found.chains.unwrap().iter().map(topics).collect();
    assert_eq!(chains, [["a", "b"], ["a", "child"]]);
}

#[actix::test]
async fn a_slot_that_was_missed_led_to_nothing_and_one_that_is_gone_is_not_known() {
    let db = Db::new();
    db.write(RecordMissed { slots: vec![slot(1)], alerts: Vec::new(), now: noon() }).await.unwrap();
    assert_eq!(led_to(&db, 1).await.chains, Some(Vec::new()));
    let tasks = vec![named("one", "a")];
    let uids = db.write(CreateTasks { slot: Some(slot(2)), ..creation(tasks) }).await.unwrap().uids;
    db.finish(ResultClaim::Task(uids[0]), decision(TaskResult::Complete)).await.unwrap();
    db.create(vec![named("later", "a")]).await;
    let before = noon() + seconds(1);
    db.write(RemoveHistory { before, after: HistoryPosition::default(), limit: 9 }).await.unwrap();
    assert_eq!(led_to(&db, 2).await.chains, None);
}

#[actix::test]
async fn what_is_at_work_for_long_is_found() {
    let db = Db::new();
    db.create(vec![task("a", ""), task("b", "")]).await;
    db.lease(&["a"], noon()).await.unwrap();
    let before = noon() - seconds(9);
    let read = |since| ReadDeadlineInput { unfinished_before: before, running_since: since, paused_after: before };
    let found = db.read(read(Some(noon()))).await.unwrap().running;
    assert_eq!(found.iter().map(|task| task.topic.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(db.read(read(Some(noon() - seconds(1)))).await.unwrap().running, []);
    assert_eq!(db.read(read(None)).await.unwrap().running, []);
}

/// What is unfinished as of then, and how far that goes.
async fn unfinished(db: &Db, before: i64) -> (Vec<String>, i64) {
    let before = noon() + seconds(before);
    let read = ReadDeadlineInput { unfinished_before: before, running_since: None, paused_after: noon() };
    let found = db.read(read).await.unwrap();
    let until = (found.unfinished_until - noon()).num_seconds();
    (found.unfinished.into_iter().map(|task| task.topic).collect(), until)
}

async fn looked(db: &Db, until: i64, keys: Vec<String>) {
    let until = noon() + seconds(until);
    let breaches = keys.into_iter().map(|key| DeadlineBreach { key, alert: None }).collect();
    db.write(RaiseBreaches { looked_until: until, unfinished_until: until, breaches, late_joins: Vec::new() })
        .await
        .unwrap();
}

/// Pauses the phase `kept`, or lets it go on.
fn pause(paused: bool, after: i64) -> SetPaused {
    let (workflow, task) = ("w.toml".to_owned(), "kept".to_owned());
    SetPaused { now: noon() + seconds(after), workflow, task, paused }
}

#[actix::test]
async fn what_a_pause_keeps_ages_from_its_end() {
    let db = Db::new();
    db.write(pause(true, -1)).await.unwrap();
    let parent = db.create(vec![task("parent", "")]).await.uids[0];
    let children = vec![task("kept", ""), task("other", "")];
    db.finish(ResultClaim::Task(parent), TaskDecision { children, ..decision(TaskResult::Complete) }).await.unwrap();
    assert_eq!(unfinished(&db, 9_000).await, (vec!["other".to_owned()], 9_000), "the first look");
    looked(&db, -1, Vec::new()).await;
    assert_eq!(unfinished(&db, 9).await, (vec!["other".to_owned()], 9), "a later one");
    looked(&db, 9_000, Vec::new()).await;
    db.write(pause(false, 9_060)).await.unwrap();
    let db = db.reopen();
    assert_eq!(unfinished(&db, 9_059).await, (vec![], 9_059));
    assert_eq!(unfinished(&db, 9_060).await, (vec!["kept".to_owned()], 9_060));
    looked(&db, 9_060, Vec::new()).await;
    assert_eq!(unfinished(&db, 9_120).await.0, Vec::<String>::new(), "once");
    let pauses = db.read(ReadDeadlineInput { unfinished_before: noon(), running_since: None, paused_after: noon() });
    let pauses = pauses.await.unwrap().pauses;
    let (since, until) = (noon() - seconds(1), Some(noon() + seconds(9_060)));
    assert_eq!(pauses, [PhasePause { workflow: "w.toml".to_owned(), task: "kept".to_owned(), since, until }]);
}

/// More than one look takes went on at one instant: each look takes those that weren't told.
#[actix::test]
async fn of_many_that_go_on_together_each_is_looked_at() {
    let db = Db::new();
    db.write(pause(true, -1)).await.unwrap();
    let parent = db.create(vec![task("parent", "")]).await.uids[0];
    let children = vec![task("kept", ""); 1_001];
    db.finish(ResultClaim::Task(parent), TaskDecision { children, ..decision(TaskResult::Complete) }).await.unwrap();
    db.write(pause(false, 60)).await.unwrap();
    looked(&db, 59, Vec::new()).await;
    let before = noon() + seconds(60);
    let read = || ReadDeadlineInput { unfinished_before: before, running_since: None, paused_after: noon() };
    let first = db.read(read()).await.unwrap();
    assert_eq!((first.unfinished.len(), before - first.unfinished_until), (1_000, TimeDelta::microseconds(1)));
    let keys = first.unfinished.iter().map(|task| format!("unfinished/{}", task.uid));
    let breaches = keys.map(|key| DeadlineBreach { key, alert: None }).collect();
    let (looked_until, unfinished_until) = (before, first.unfinished_until);
    db.write(RaiseBreaches { looked_until, unfinished_until, breaches, late_joins: Vec::new() }).await.unwrap();
    let rest = db.read(read()).await.unwrap();
    assert_eq!((rest.unfinished.len(), rest.unfinished_until), (1, before));
}

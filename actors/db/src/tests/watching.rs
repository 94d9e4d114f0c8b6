//! What slots led to, and what is at work for long.

use flowlord_messages::watch::{ReadSlotTasks, ReadWatch, SlotTasks};
use flowlord_messages::write::{CronKey, RecordMissed, RemoveHistory, SaveCrons, SlotKey};

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
    let outcome = Decision { children: vec![named("two", "child")], ..decision(TaskResult::Complete) };
    db.finish(Claim::Task(uids[1]), outcome).await.unwrap();
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
    db.finish(Claim::Task(uids[0]), decision(TaskResult::Complete)).await.unwrap();
    db.create(vec![named("later", "a")]).await;
    let before = noon() + seconds(1);
    db.write(RemoveHistory { before, after: None, limit: 9 }).await.unwrap();
    assert_eq!(led_to(&db, 2).await.chains, None);
}

#[actix::test]
async fn what_is_at_work_for_long_is_found() {
    let db = Db::new();
    db.create(vec![task("a", ""), task("b", "")]).await;
    db.lease(&["a"], noon()).await.unwrap();
    let read = |since| ReadWatch { unfinished_before: noon() - seconds(9), running_since: since };
    let found = db.read(read(Some(noon()))).await.unwrap().running;
    assert_eq!(found.iter().map(|task| task.topic.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(db.read(read(Some(noon() - seconds(1)))).await.unwrap().running, []);
    assert_eq!(db.read(read(None)).await.unwrap().running, []);
}

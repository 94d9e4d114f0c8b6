//! What is older than it is kept leaves; what is needed stays.

use flowlord_domain::{AlertKind, NewAlert};
use flowlord_messages::alerts::{AlertFilter, ListAlerts, RaiseAlerts};
use flowlord_messages::history::{HistoryPosition, RemoveHistory};
use flowlord_messages::outbox::{
    DeliveryOutcome, EnqueueMessage, NewMessage, ReadPendingMessages, ReadThreads, RecordDelivery, SlackThread,
};
use flowlord_messages::schedule::{ReadLastSlots, ReadSchedule, RecordMissed, SlotKey};
use flowlord_messages::stats::ReadDayTotals;

use super::*;

fn remove(limit: usize, after: HistoryPosition) -> RemoveHistory {
    RemoveHistory { before: noon() + seconds(3600), after, limit }
}

async fn done(db: &Db, count: usize) -> Vec<Uid> {
    let uids = db.create(vec![task("old", ""); count]).await.uids;
    for granted in db.lease_many(&["old"], count, noon()).await {
        db.finish(ResultClaim::Lease(granted.lease), decision(TaskResult::Complete)).await.unwrap();
    }
    uids
}

#[actix::test]
async fn done_tasks_leave_in_steps_and_others_stay() {
    let db = Db::new();
    let waiting = db.create(vec![task("waiting", ""); 5]).await.uids;
    let old = done(&db, 25).await;
    let young = Uid::at(noon() + seconds(3600));
    db.create(vec![NewTask { uid: young, ..task("young", "") }]).await;
    let (mut after, mut steps, mut removed) = (HistoryPosition::default(), 0, 0);
    loop {
        let step = db.write(remove(10, after)).await.unwrap();
        assert!(step.tasks <= 10);
        (after, removed, steps) = (step.next, removed + step.tasks, steps + 1);
        if !step.more {
            break;
        }
    }
    assert_eq!((removed, steps), (25, 4));
    let left = db.read(ReadAttempts { uids: [waiting.clone(), old, vec![young]].concat() }).await.unwrap();
    let left: Vec<Uid> = left.into_iter().flatten().map(|task| task.uid).collect();
    assert_eq!(left, [waiting, vec![young]].concat());
    let stats = db.read(ReadDayTotals { day: noon().date_naive() }).await.unwrap();
    let total: u64 = stats.rows.iter().map(|row| row.counts.total).sum();
    assert_eq!(total, 31, "totals stay");
}

#[actix::test]
async fn slots_alerts_and_sent_messages_leave_but_not_the_last_slot_nor_what_waits() {
    let db = Db::new();
    let slots: Vec<SlotKey> =
        (0..5).map(|n| SlotKey { workflow: "w".to_owned(), task: "a".to_owned(), at: noon() + seconds(n) }).collect();
    db.write(RecordMissed { slots: slots.clone(), alerts: Vec::new(), now: noon() }).await.unwrap();
    let alert = NewAlert {
        kind: AlertKind::Exhausted,
        at: noon(),
        uid: None,
        id: String::new(),
        topic: "a".to_owned(),
        job: String::new(),
        workflow: String::new(),
        msg: "broke".to_owned(),
        task_time: None,
        owner: String::new(),
        runbook: String::new(),
        at_once: None,
    };
    db.write(RaiseAlerts { alerts: vec![alert; 3] }).await.unwrap();
    let message = |key: &str| EnqueueMessage {
        now: noon(),
        message: NewMessage {
            route: "default".to_owned(),
            kind: "test".to_owned(),
            key: key.to_owned(),
            payload: "{}".to_owned(),
        },
    };
    let sent = db.write(message("sent")).await.unwrap();
    db.write(message("waits")).await.unwrap();
    let thread = |opened| SlackThread {
        route: "default".to_owned(),
        opened,
        via: "default".to_owned(),
        channel: "C1".to_owned(),
        ts: "1.2".to_owned(),
        payload: "{}".to_owned(),
    };
    let mark = |id, thread| RecordDelivery { now: noon(), id, delivery: DeliveryOutcome::Sent, way: None, thread };
    db.write(mark(sent, Some(thread(noon())))).await.unwrap();
    db.write(mark(sent, Some(thread(noon() + seconds(1_000_000))))).await.unwrap();

    let removed = db.write(remove(100, HistoryPosition::default())).await.unwrap();
    assert_eq!((removed.tasks, removed.others, removed.more), (0, 4 + 3 + 1 + 1, false));
    let (from, to) = (noon() - seconds(9), noon() + seconds(99));
    let left = db.read(ReadLastSlots { from, to }).await.unwrap();
    assert_eq!(left.into_iter().map(|row| row.key).collect::<Vec<_>>(), [slots[4].clone()]);
    assert_eq!(db.read(ReadSchedule).await.unwrap().last_slots, [slots[4].clone()]);
    assert_eq!(
        db.read(ListAlerts { from, to, filter: AlertFilter::default(), after: None, limit: 10 }).await.unwrap(),
        []
    );
    let pending = db.read(ReadPendingMessages { limit: 10 }).await.unwrap();
    assert_eq!(pending.len(), 1, "what wasn't sent stays, however old");
    for (opened, left) in [(noon(), 0), (noon() + seconds(1_000_000), 1)] {
        let read = ReadThreads { route: "default".to_owned(), opened };
        assert_eq!(db.read(read).await.unwrap().len(), left, "the one of an old incident goes");
    }
}

#[actix::test]
async fn sent_messages_leave_from_behind_more_than_a_step_of_those_that_wait() {
    let db = Db::new();
    let mut ids = Vec::new();
    for n in 0..8 {
        let message = NewMessage {
            route: "default".to_owned(),
            kind: "test".to_owned(),
            key: n.to_string(),
            payload: "{}".to_owned(),
        };
        ids.push(db.write(EnqueueMessage { now: noon(), message }).await.unwrap());
    }
    for id in &ids[5..] {
        let delivery = DeliveryOutcome::Sent;
        db.write(RecordDelivery { now: noon(), id: *id, delivery, way: None, thread: None }).await.unwrap();
    }
    let (mut after, mut removed, mut steps) = (HistoryPosition::default(), 0, 0);
    loop {
        let step = db.write(remove(2, after)).await.unwrap();
        (after, removed, steps) = (step.next, removed + step.others, steps + 1);
        if !step.more {
            break;
        }
        assert!(steps < 9, "the walk comes to its end");
    }
    assert_eq!(removed, 3);
    assert_eq!(db.read(ReadPendingMessages { limit: 10 }).await.unwrap().len(), 5);
}

#[actix::test]
async fn the_file_becomes_smaller() {
    let db = Db::new();
    let long = NewTask { info: "x".repeat(4_000), ..task("old", "") };
    db.create(vec![long; 500]).await;
    for granted in db.lease_many(&["old"], 500, noon()).await {
        db.finish(ResultClaim::Lease(granted.lease), decision(TaskResult::Complete)).await.unwrap();
    }
    let pages = || {
        let copy = rusqlite::Connection::open(db.folder.path().join("flowlord.db")).unwrap();
        copy.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0)).unwrap()
    };
    let before = pages();
    assert!(before > 400, "{before}");
    let (mut after, mut more) = (HistoryPosition::default(), true);
    while more {
        let step = db.write(remove(100, after)).await.unwrap();
        (after, more) = (step.next, step.more);
    }
    // A last step gives back what the others freed.
    db.write(remove(100, HistoryPosition::default())).await.unwrap();
    assert!(pages() < before / 4, "{} of {before}", pages());
}

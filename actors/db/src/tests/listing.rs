//! Lists of long texts: what they carry, and what of the file they read for it.

use std::io::{Seek as _, SeekFrom, Write as _};

use flowlord_domain::{AlertKind, CutTexts, LISTED_BYTES, NewAlert};
use flowlord_messages::alerts::{RaiseAlerts, ReadAlerts};
use flowlord_messages::tasks::{FindTasks, ReadChain, ReadChainStart, TaskFilter};

use super::*;
use crate::DATABASE;

/// Longer than a list carries, by far, with its limit within a character.
fn long() -> String {
    format!("x{}end", "é".repeat(400_000))
}

async fn with_long_texts() -> Db {
    let db = Db::new();
    let long = NewTask { info: long(), ..task("long", "") };
    db.create(vec![long, task("short", "")]).await;
    db
}

async fn found(db: &Db, search: &str) -> Vec<Attempt> {
    let query = FindTasks { search: search.parse().unwrap(), ..FindTasks::oldest_first(TaskFilter::default(), 10) };
    db.read(query.for_list()).await.unwrap().tasks
}

fn is_listed(task: &Attempt) {
    assert_eq!(task.info, long()[..LISTED_BYTES - 1], "up to the last whole character");
    assert_eq!(task.cut, CutTexts { info: true, meta: false, msg: false });
    assert_eq!(task.meta, "workflow=w.toml", "what follows a long text is whole");
}

#[actix::test]
async fn a_list_carries_2_kb_of_a_text_and_says_so_and_one_task_has_all_of_it() {
    let db = with_long_texts().await;
    let tasks = found(&db, "").await;
    is_listed(&tasks[0]);
    assert_eq!((tasks[1].info.as_str(), tasks[1].cut), ("?date=2026-03-01", CutTexts::default()));
    let beginning = db.read(ReadChainStart { id: "chain".to_owned(), limit: 10 }).await.unwrap();
    assert_eq!(beginning.attempts, tasks);
    let whole = db.attempt(tasks[0].uid).await;
    assert_eq!((whole.info, whole.cut), (long(), CutTexts::default()));
    let chain = db.read(ReadChain { id: "chain".to_owned() }).await.unwrap();
    assert_eq!(chain[0].info.len(), long().len(), "what is worked with is whole");
}

#[actix::test]
async fn a_search_finds_what_a_list_cuts_off() {
    let db = with_long_texts().await;
    let tasks = found(&db, "info:end").await;
    assert_eq!(tasks.len(), 1);
    is_listed(&tasks[0]);
}

/// Writes over all pages of long texts of tasks but the first of each and the last two.
fn spoil_overflow(db: &Db) {
    let path = db.folder.path().join(DATABASE);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let _busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
    let pages = "SELECT pageno, pgsize FROM dbstat WHERE name = 'task' AND pagetype = 'overflow' ORDER BY path";
    let mut pages = connection.prepare(pages).unwrap();
    let pages = pages.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let pages: Vec<(u64, u64)> = pages.map(std::result::Result::unwrap).collect();
    assert!(pages.len() > 100, "{}", pages.len());
    let mut file = std::fs::File::options().write(true).open(&path).unwrap();
    for (page, size) in &pages[1..pages.len() - 2] {
        file.seek(SeekFrom::Start((page - 1) * size)).unwrap();
        file.write_all(&vec![0xAA; usize::try_from(*size).unwrap()]).unwrap();
    }
}

#[actix::test]
async fn what_a_list_does_not_show_is_not_read() {
    let db = Db::open(with_long_texts().await.close());
    spoil_overflow(&db);
    is_listed(&found(&db, "").await[0]);
    let uids = vec![Uid::at(noon())];
    let whole = db.read(ReadAttempts { uids }).await;
    assert!(whole.is_err() || whole.unwrap()[0].as_ref().is_some_and(|task| task.info != long()));
}

#[actix::test]
async fn pages_of_whole_texts_are_full_by_their_bytes() {
    let db = Db::new();
    let info = "x".repeat(3_000_000);
    let large = |nth| NewTask { uid: Uid::at(noon() + seconds(nth)), info: info.clone(), ..task("a", "") };
    db.create((0..7).map(large).collect()).await;
    let (mut query, mut pages) = (FindTasks::oldest_first(TaskFilter::default(), 1_000), Vec::new());
    loop {
        let page = db.read(query.clone()).await.unwrap();
        pages.push(page.tasks.iter().map(|task| task.uid).collect::<Vec<_>>());
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 1]);
    let all = (0..7).map(|nth| Uid::at(noon() + seconds(nth)));
    assert_eq!(pages.concat(), all.collect::<Vec<_>>(), "none is missing, none is there twice");
}

#[actix::test]
async fn alerts_carry_the_beginning_of_their_message() {
    let db = Db::new();
    let alert = |msg: String| NewAlert {
        kind: AlertKind::Exhausted,
        at: noon(),
        uid: None,
        id: String::new(),
        topic: "a".to_owned(),
        job: String::new(),
        workflow: String::new(),
        msg,
        task_time: None,
        owner: String::new(),
        runbook: String::new(),
        at_once: None,
    };
    db.write(RaiseAlerts { alerts: vec![alert(long()), alert("short".to_owned())] }).await.unwrap();
    let alerts = db.read(ReadAlerts { rows: vec![1, 2] }).await.unwrap();
    let told: Vec<_> = alerts.iter().map(|alert| (alert.msg.len(), alert.is_msg_cut)).collect();
    assert_eq!(told, [(LISTED_BYTES - 1, true), (5, false)]);
}

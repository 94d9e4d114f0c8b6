//! Changes that people made are kept, listed page by page, and leave with the rest of history.

use flowlord_messages::audit::{AuditAction, AuditRecord, ListAuditRecords, RecordAudit, StoredAuditRecord};
use flowlord_messages::history::{HistoryPosition, RemoveHistory};

use super::*;
use crate::reader::ReadQuery as _;
use crate::tables::audit::{CHANGES_BACKWARDS, MAX_ENTRIES_READ};

fn change(minutes: i64) -> AuditRecord {
    AuditRecord {
        at: noon() + TimeDelta::minutes(minutes),
        who: "ann".to_owned(),
        from: "10.0.0.1".to_owned(),
        action: AuditAction::Rerun,
        what: format!("POST /api/v1/tasks/{minutes}/rerun"),
        detail: "{}".to_owned(),
        status: 200,
    }
}

fn page(after: Option<i64>) -> ListAuditRecords {
    let (who, actions) = (Vec::new(), Vec::new());
    ListAuditRecords { from: noon(), to: noon() + TimeDelta::hours(1), who, actions, after, limit: 2 }
}

fn ids(changes: &[StoredAuditRecord]) -> Vec<i64> {
    changes.iter().map(|change| change.id).collect()
}

#[actix::test]
async fn changes_are_listed_newest_first_page_by_page() {
    let db = Db::new();
    // The clock was set back before the last one.
    for minutes in [1, 2, 3, 61, 2] {
        db.write(RecordAudit { change: change(minutes) }).await.unwrap();
    }
    let db = db.reopen();
    let first = db.read(page(None)).await.unwrap();
    let second = db.read(page(first.next)).await.unwrap();
    assert_eq!((ids(&first.changes), first.next), (vec![3, 5], Some(5)));
    assert_eq!((ids(&second.changes), second.next), (vec![2, 1], None));
    assert_eq!((&second.changes[1].change, second.looked_until), (&change(1), None));
    let gone = db.read(page(Some(77))).await.unwrap();
    assert_eq!((gone.changes, gone.next), (Vec::new(), None), "an entry that left has nothing after it");
}

#[actix::test]
async fn changes_are_found_by_who_and_by_what_kind() {
    let db = Db::new();
    let by = |who: &str, action| AuditRecord { who: who.to_owned(), action, ..change(1) };
    for change in [by("ann", AuditAction::Pause), by("bob", AuditAction::Token), by("ann", AuditAction::Token)] {
        db.write(RecordAudit { change }).await.unwrap();
    }
    let found = async |who: &[&str], actions: &[AuditAction]| {
        let who = who.iter().map(|who| (*who).to_owned()).collect();
        let asked = ListAuditRecords { who, actions: actions.to_vec(), ..page(None) };
        let page = db.read(asked).await.unwrap();
        assert_eq!((page.next, page.looked_until), (None, None), "what doesn't fit makes no further page");
        ids(&page.changes)
    };
    assert_eq!(found(&["ann"], &[]).await, [3, 1]);
    assert_eq!(found(&[], &[AuditAction::Token]).await, [3, 2]);
    assert_eq!(found(&["ann", "bob"], &[AuditAction::Pause]).await, [1]);
    assert_eq!(found(&["eve"], &[]).await, [0; 0]);
}

#[test]
fn a_page_looks_at_so_many_and_says_where_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let connection = crate::connection::open_writer(&folder.path().join(crate::DATABASE)).unwrap();
    let rows = i64::try_from(MAX_ENTRIES_READ).unwrap() + 2;
    connection
        .execute(
            "INSERT INTO change (at, who, source, what, detail, status)
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
             SELECT ?2 + i, iif(i = 1, 'ann', 'bob'), '', '', '', 200 FROM n",
            rusqlite::params![rows, noon().timestamp_micros()],
        )
        .unwrap();
    let asked = ListAuditRecords { who: vec!["ann".to_owned()], ..page(None) };
    let first = asked.read_from(&connection).unwrap();
    assert_eq!((first.changes.len(), first.next), (0, Some(3)));
    assert_eq!(first.looked_until, Some(noon() + TimeDelta::microseconds(3)));
    let second = ListAuditRecords { after: first.next, ..asked }.read_from(&connection).unwrap();
    assert_eq!((ids(&second.changes), second.next), (vec![1], None));

    let plan: Vec<String> = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {CHANGES_BACKWARDS}"))
        .unwrap()
        .query_map(rusqlite::params![0, 0, 0, 1], |row| row.get(3))
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap();
    assert_eq!(plan, ["SEARCH change USING INDEX change_at (at>? AND at<?)"], "a page reads no more");
}

#[actix::test]
async fn old_changes_leave_with_the_rest() {
    let db = Db::new();
    for minutes in [1, 30] {
        db.write(RecordAudit { change: change(minutes) }).await.unwrap();
    }
    let before = noon() + TimeDelta::minutes(10);
    let removed = db.write(RemoveHistory { before, after: HistoryPosition::default(), limit: 100 }).await.unwrap();
    assert_eq!(removed.others, 1);
    assert_eq!(db.read(page(None)).await.unwrap().changes.len(), 1);
}

//! Changes that people made are kept, listed page by page, and leave with the rest of history.

use flowlord_messages::audit::{Change, ListChanges, RecordChange};
use flowlord_messages::write::RemoveHistory;

use super::*;

fn change(minutes: i64) -> Change {
    Change {
        at: noon() + TimeDelta::minutes(minutes),
        who: "ann".to_owned(),
        from: "10.0.0.1".to_owned(),
        what: format!("POST /api/v1/tasks/{minutes}/rerun"),
        detail: "{}".to_owned(),
        status: 200,
    }
}

fn page(after: Option<i64>) -> ListChanges {
    ListChanges { from: noon(), to: noon() + TimeDelta::hours(1), after, limit: 2 }
}

#[actix::test]
async fn changes_are_listed_newest_first_page_by_page() {
    let db = Db::new();
    // The clock was set back before the last one.
    for minutes in [1, 2, 3, 61, 2] {
        db.write(RecordChange { change: change(minutes) }).await.unwrap();
    }
    let db = db.reopen();
    let first = db.read(page(None)).await.unwrap();
    let second = db.read(page(first.last().map(|last| last.id))).await.unwrap();
    let third = db.read(page(second.last().map(|last| last.id))).await.unwrap();
    assert_eq!(first.iter().map(|change| change.id).collect::<Vec<_>>(), [3, 5]);
    assert_eq!(second.iter().map(|change| change.id).collect::<Vec<_>>(), [2, 1]);
    assert_eq!((second[1].change.clone(), third), (change(1), Vec::new()));
}

#[actix::test]
async fn old_changes_leave_with_the_rest() {
    let db = Db::new();
    for minutes in [1, 30] {
        db.write(RecordChange { change: change(minutes) }).await.unwrap();
    }
    let before = noon() + TimeDelta::minutes(10);
    let removed = db.write(RemoveHistory { before, after: None, limit: 100 }).await.unwrap();
    assert_eq!(removed.others, 1);
    assert_eq!(db.read(page(None)).await.unwrap().len(), 1);
}

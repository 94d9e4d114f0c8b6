//! What entries say, and how they are written: other versions of the program read them.

use chrono::{DateTime, Utc};
use flowlord_messages::changelog::LogPoint;
use flowlord_messages::cluster::{SchemaMigration, SharedRecord};
use serde_json::{Value, json};

use crate::entry::{EntryContent, FormerLead, LogEntry, content_of};
use crate::place_log::PlaceLog;
use crate::tests::{folder_log, own};

fn at(hour: u32) -> DateTime<Utc> {
    format!("2026-03-02T{hour:02}:00:00Z").parse().unwrap()
}

fn entry(content: EntryContent) -> LogEntry {
    own("a").entry(3, at(12), content)
}

fn segment() -> EntryContent {
    let (path, digest) = ("log/1".to_owned(), "d1".to_owned());
    EntryContent::Segment { path, digest, bytes: 4, chain: "0000000000000007".to_owned(), upto: 9, through: at(11) }
}

fn rows(path: Option<&str>) -> EntryContent {
    EntryContent::Rows { digest: "d2".to_owned(), bytes: 5, through: at(10), path: path.map(str::to_owned) }
}

fn migrate(chain: &str) -> EntryContent {
    EntryContent::Migrate { from: 7, to: 8, digest: "d3".to_owned(), chain: chain.to_owned() }
}

fn bye(to: Option<&str>) -> EntryContent {
    EntryContent::Bye { to: to.map(str::to_owned) }
}

fn term(after: Option<FormerLead>) -> EntryContent {
    EntryContent::Term { version: "1.0.0".to_owned(), after }
}

fn former(is_handover: bool, is_complete: bool) -> FormerLead {
    FormerLead { node: "b".to_owned(), is_handover, through: Some(at(9)), is_complete }
}

#[test]
fn entries_are_written_as_nodes_of_other_versions_read_them() {
    let head = json!({"term": 3, "node": "a", "url": "http://a:8080", "id": "id of a", "at": "2026-03-02T12:00:00Z"});
    for (content, fields) in [
        (term(None), json!({"kind": "term", "version": "1.0.0", "after": null})),
        (
            segment(),
            json!({"kind": "segment", "path": "log/1", "digest": "d1", "bytes": 4, "chain": "0000000000000007",
                   "upto": 9, "through": "2026-03-02T11:00:00Z"}),
        ),
        (rows(None), json!({"kind": "rows", "digest": "d2", "bytes": 5, "through": "2026-03-02T10:00:00Z"})),
        (
            rows(Some("cluster/rows/1")),
            json!({"kind": "rows", "digest": "d2", "bytes": 5, "through": "2026-03-02T10:00:00Z",
                   "path": "cluster/rows/1"}),
        ),
        (EntryContent::Beat { through: None, workflows: None }, json!({"kind": "beat", "through": null})),
        (EntryContent::Snapshot { name: "s1".to_owned() }, json!({"kind": "snapshot", "name": "s1"})),
        (migrate("ff"), json!({"kind": "migrate", "from": 7, "to": 8, "digest": "d3", "chain": "ff"})),
        (bye(Some("b")), json!({"kind": "bye", "to": "b"})),
    ] {
        let mut expected = head.clone();
        expected.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let written = serde_json::to_value(entry(content.clone())).unwrap();
        assert_eq!(written, expected);
        assert_eq!(serde_json::from_value::<LogEntry>(written).unwrap(), entry(content));
    }
}

#[test]
fn entries_of_older_versions_lack_what_came_later() {
    let read = |fields: Value| serde_json::from_value::<LogEntry>(fields).map(|entry| entry.content);
    let mut old = json!({"term": 1, "node": "a", "url": "u", "id": "i", "at": "2026-03-02T12:00:00Z", "kind": "term",
                         "version": "0.1.0"});
    assert_eq!(read(old.clone()).unwrap(), EntryContent::Term { version: "0.1.0".to_owned(), after: None });
    old["after"] = json!({"node": "b", "is_handover": false, "through": null});
    let EntryContent::Term { after: Some(after), .. } = read(old.clone()).unwrap() else { panic!("a takeover") };
    assert!(!after.is_complete, "in a place some changes may be missing");
    old["kind"] = json!("of a newer program");
    assert!(read(old).is_err(), "what isn't known must not be passed over");
}

#[test]
fn an_entry_says_up_to_when_everything_is_there() {
    let beat = EntryContent::Beat { through: Some(at(8)), workflows: None };
    for (content, through) in [
        (segment(), Some(at(11))),
        (rows(None), Some(at(10))),
        (beat, Some(at(8))),
        (EntryContent::Beat { through: None, workflows: None }, None),
        (bye(None), Some(at(12))),
        (term(None), None),
        (EntryContent::Snapshot { name: String::new() }, None),
        (migrate("7"), None),
    ] {
        assert_eq!(entry(content.clone()).through(), through, "{content:?}");
    }
}

#[test]
fn a_takeover_is_told_with_the_time_since_which_changes_may_be_missing() {
    let takeover = |former| entry(term(Some(former))).takeover().unwrap();
    let lost = takeover(former(false, false));
    assert_eq!((lost.from.as_str(), lost.to.as_str(), lost.at), ("b", "a", at(12)));
    assert_eq!((lost.missing_since, lost.is_complete, lost.is_handover), (Some(at(9)), false, false));
    for former in [former(true, false), former(false, true), former(true, true)] {
        let takeover = takeover(former);
        assert!(takeover.is_complete && takeover.missing_since.is_none(), "{takeover:?}");
    }
    let unknown = takeover(FormerLead { through: None, ..former(false, false) });
    assert_eq!((unknown.missing_since, unknown.is_complete), (None, false), "since when isn't known");
    for content in [term(None), bye(Some("b")), segment()] {
        assert_eq!(entry(content).takeover(), None);
    }
}

#[test]
fn a_leader_that_leaves_calls_another_only_by_its_name() {
    assert!(entry(bye(Some("b"))).calls_other("a"));
    assert!(!entry(bye(Some("a"))).calls_other("a"));
    assert!(!entry(bye(None)).calls_other("a"), "any node may lead");
    assert!(!entry(segment()).calls_other("a"));
}

#[test]
fn a_database_is_not_what_a_log_of_transactions_says_without_its_rows_and_migrations() {
    for (content, is_transaction) in [
        (rows(None), true),
        (migrate("7"), true),
        (segment(), false),
        (bye(None), false),
        (term(None), false),
        (EntryContent::Beat { through: None, workflows: None }, false),
    ] {
        assert_eq!(content.is_transaction(), is_transaction, "{content:?}");
    }
}

#[test]
fn a_migration_is_read_only_with_the_number_of_its_change_log() {
    let migration = SchemaMigration { from: 7, to: 8, digest: "d3".to_owned(), chain: 255 };
    assert_eq!(migrate("00000000000000ff").migration(), Some(migration.clone()));
    assert_eq!(migrate("no number").migration(), None);
    assert_eq!(segment().migration(), None);
    let written = content_of(SharedRecord::Migration(migration.clone())).unwrap();
    assert_eq!(written.migration(), Some(migration), "as it was shared");
}

#[test]
fn what_the_leader_shares_becomes_an_entry_unless_it_changes_nothing() {
    let log = LogPoint { chain: 7, position: 9 };
    let shared = SharedRecord::Segment { path: "log/1".to_owned(), digest: "d1".to_owned(), bytes: 4, at: at(11), log };
    assert_eq!(content_of(shared), Some(segment()));
    let snapshot = SharedRecord::Snapshot { name: "s1".to_owned(), log: Some(log) };
    assert_eq!(content_of(snapshot), Some(EntryContent::Snapshot { name: "s1".to_owned() }));
    assert_eq!(content_of(SharedRecord::Current { at: at(1) }), None);
}

#[actix::test]
async fn a_database_holds_the_segments_of_its_own_chain_up_to_where_it_is() {
    let (_folder, log) = folder_log();
    for (number, content) in [(1, term(None)), (2, segment()), (3, bye(None)), (4, migrate("0000000000000007"))] {
        log.append(number, &entry(content)).await.unwrap();
    }
    let holds =
        async |applied, chain, position| log.is_held_by(applied, Some(LogPoint { chain, position })).await.unwrap();
    assert!(holds(0, 7, 9).await && holds(0, 7, 10).await);
    assert!(!holds(0, 7, 8).await, "it was put back to an earlier time");
    assert!(!holds(0, 8, 9).await, "it is another log");
    assert!(holds(4, 8, 0).await, "it knows these entries already");
    assert!(holds(2, 7, 0).await, "a migration begins a log");
    assert!(!holds(3, 8, 0).await);
    assert!(log.is_held_by(0, None).await.unwrap(), "without a database it is restored");
}

#[actix::test]
async fn segments_after_an_entry_are_those_that_count() {
    let (_folder, log) = folder_log();
    let place = PlaceLog::new(log.store.clone());
    assert_eq!(place.segments_after(0).await.unwrap(), None, "there is no log");
    for (number, content) in [(1, term(None)), (2, segment()), (1_001, migrate("7"))] {
        log.append(number, &entry(content)).await.unwrap();
    }
    let digests = async |after| {
        let mut digests: Vec<_> = place.segments_after(after).await.unwrap().unwrap().into_iter().collect();
        digests.sort();
        digests
    };
    assert_eq!(digests(0).await, ["d1", "d3"]);
    assert_eq!(digests(1).await, ["d1", "d3"]);
    assert_eq!(digests(2).await, ["d3"], "in another folder");
    assert!(digests(1_001).await.is_empty());
}

#[actix::test]
async fn a_log_goes_on_behind_what_was_removed() {
    let (_folder, log) = folder_log();
    assert_eq!((log.tip().await.unwrap(), log.next_after(0).await.unwrap()), (0, None));
    for number in [1, 5, 999, 1_000, 2_500] {
        log.append(number, &entry(bye(None))).await.unwrap();
    }
    let next = async |number| log.next_after(number).await.unwrap();
    assert_eq!([next(0).await, next(1).await, next(5).await], [Some(1), Some(5), Some(999)]);
    assert_eq!([next(999).await, next(1_000).await, next(2_499).await], [Some(1_000), Some(2_500), Some(2_500)]);
    assert_eq!((next(2_500).await, log.tip().await.unwrap()), (None, 2_500));
    log.remove(&[999, 2_500]).await.unwrap();
    assert_eq!((next(5).await, next(1_000).await, log.tip().await.unwrap()), (Some(1_000), None, 1_000));
    assert_eq!((log.read(0).await.unwrap(), log.read(999).await.unwrap()), (None, None));
}

#[actix::test]
async fn the_first_number_is_kept_and_one_that_is_none_is_said_by_its_file() {
    let (_folder, log) = folder_log();
    assert_eq!(log.first_number(7).await.unwrap(), 7);
    assert_eq!(log.first_number(9).await.unwrap(), 7, "whoever asks later");
    log.store.put("cluster/first", "seven").await.unwrap();
    let said = log.first_number(9).await.unwrap_err().to_string();
    assert_eq!(said, "cluster/first isn't the number of an entry: remove it");
}

#[actix::test]
async fn an_entry_that_can_not_be_read_is_said_by_its_file() {
    let (_folder, log) = folder_log();
    log.store.put("cluster/log/0000000000000/0000000000000003.json", "{").await.unwrap();
    let said = log.read(3).await.unwrap_err().to_string();
    assert!(said.starts_with("cluster/log/0000000000000/0000000000000003.json isn't an entry"), "{said}");
    assert!(said.ends_with("a newer program may have written it"), "{said}");
}

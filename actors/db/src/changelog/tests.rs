//! Databases that change at random, shipped and copied at random, and brought back.

use std::path::PathBuf;
use std::result::Result;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_messages::changelog::{ChangeSegment, ChangeTail};
use proptest::prelude::*;
use rusqlite::{Connection, params};

use super::apply::{FollowedDatabase, SegmentError};
use super::log::{read_log_point, restart_log};
use super::record::{noted_tables, quote_name};
use super::*;
use crate::DATABASE;
use crate::connection::{open_following, open_recording};
use crate::snapshot::copy::copy;
use crate::snapshot::restore::{RestoreError, RestoredDatabase, SnapshotRestore};

const CHAIN: u64 = 0xfeed;

fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// A database that notes what changes, and what was shipped of it.
struct Live {
    folder: tempfile::TempDir,
    connection: Connection,
    segments: Vec<ChangeSegment>,
    snapshots: Vec<PathBuf>,
}

impl Live {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let connection = open_recording(&folder.path().join(DATABASE), Some(CHAIN)).unwrap();
        Self { folder, connection, segments: Vec::new(), snapshots: Vec::new() }
    }

    fn run(&self, sql: &str, n: i64) {
        self.connection.execute(sql, params![n]).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(DATABASE)
    }

    /// What the shipper asks for, a second after the last time.
    fn tail(&self) -> ChangeTail {
        let at = noon() + TimeDelta::seconds(i64::try_from(self.segments.len()).unwrap());
        read::read_tail(&mut open_read_only(&self.path()).unwrap(), at, 1_000_000).unwrap()
    }

    /// Ships what there is. Without the acknowledgement it is as after a crash between the two.
    fn ship(&mut self, acknowledge: bool) {
        let Some(segment) = self.tail().segment else { return };
        if acknowledge {
            let taken = "UPDATE row_log SET taken = ?1, digest = ?2";
            self.connection.execute(taken, params![segment.upto, segment.digest]).unwrap();
            self.connection.execute("DELETE FROM row_change WHERE seq < ?1", [segment.upto]).unwrap();
        }
        self.segments.push(segment);
    }

    fn snapshot(&mut self) {
        let to = self.folder.path().join(format!("{}.db", self.snapshots.len()));
        copy(&self.path(), &to).unwrap();
        self.snapshots.push(to);
    }

    /// A snapshot with these segments, restored into a folder of its own.
    fn restored(
        &self,
        snapshot: &Path,
        segments: &[ChangeSegment],
    ) -> (tempfile::TempDir, Result<RestoredDatabase, RestoreError>, Vec<SegmentError>) {
        let data = tempfile::tempdir().unwrap();
        let mut restoring = SnapshotRestore::begin(snapshot, data.path(), false).unwrap();
        let applied = segments.iter().map(|segment| restoring.apply_segment(&segment.bytes, &segment.digest));
        let errors = applied.filter_map(Result::err).collect();
        (data, restoring.finish("one".to_owned(), noon()), errors)
    }
}

/// Every row of every table, in the order of its key.
fn dump(connection: &Connection) -> Vec<String> {
    let mut rows = Vec::new();
    for table in noted_tables(connection).unwrap() {
        let key = table.key.iter().map(|column| quote_name(column)).collect::<Vec<_>>().join(", ");
        let all = format!("SELECT * FROM {} ORDER BY {key}", quote_name(&table.name));
        let mut all = connection.prepare(&all).unwrap();
        let mut all = all.query([]).unwrap();
        while let Some(row) = all.next().unwrap() {
            let values: Vec<_> =
                (0..table.columns.len()).map(|nth| format!("{:?}", row.get_ref(nth).unwrap())).collect();
            rows.push(format!("{} {}", table.name, values.join(", ")));
        }
    }
    rows
}

/// A snapshot with these segments, as a follower applies them; each of them twice.
fn followed(snapshot: &Path, segments: &[ChangeSegment]) -> (tempfile::TempDir, Vec<SegmentError>) {
    let data = tempfile::tempdir().unwrap();
    let restore = SnapshotRestore::begin(snapshot, data.path(), false).unwrap().keeping_log();
    restore.finish("one".to_owned(), noon()).unwrap();
    let mut followed = FollowedDatabase::new(open_following(&data.path().join(DATABASE)).unwrap());
    let mut errors = Vec::new();
    for (entry, segment) in (1..).zip(segments) {
        let applied = followed.follow_segment(&segment.bytes, &segment.digest, entry);
        errors.extend(applied.err());
        if errors.is_empty() {
            assert_eq!(log_state(data.path()).unwrap().entry, entry);
        }
    }
    (data, errors)
}

/// Statements over tables of every kind: integer keys, texts, several columns, cascades, replaced rows, other unique
/// columns, changed keys. The number picks the row.
const CHANGES: [&str; 16] = [
    "INSERT OR IGNORE INTO queue (id, topic, job) VALUES (1 + ?1 % 3, 'topic' || ?1 % 3, '')",
    "INSERT OR REPLACE INTO task (uid, queue, state, lane, due, delivery, expired, retry, progress, chain, info, meta, msg)
         SELECT ?1, id, 0, 0, ?1, 0, 0, 0, ?1 / 7.0, 'c', 'ünï\"', 'a=b', char(10) FROM queue LIMIT 1",
    "UPDATE task SET state = 3, ended = ?1, result = ?1 % 4, progress = NULL WHERE uid % 4 = ?1 % 4",
    "DELETE FROM task WHERE uid % 5 = ?1 % 5",
    "UPDATE OR IGNORE task SET uid = uid + 1000 WHERE uid = ?1",
    "INSERT OR REPLACE INTO name (id, text) VALUES (1 + ?1 % 5, 'text' || ?1 % 3)",
    "INSERT OR REPLACE INTO token (name, role, hash, created) VALUES ('t' || ?1 % 4, 'admin', unhex(printf('%04x', ?1)), ?1)",
    "DELETE FROM token WHERE name = 't' || ?1 % 4",
    "INSERT INTO rollup (hour, queue, total, complete, error, alert, warn, run_millis)
         SELECT ?1 % 3, id, 1, 0, 0, 0, 0, 0 FROM queue WHERE true
         ON CONFLICT DO UPDATE SET total = total + 1",
    "INSERT OR IGNORE INTO file_place (id, location) VALUES (1 + ?1 % 2, 'place' || ?1 % 2)",
    "INSERT OR REPLACE INTO file_seen (place, path, etag) SELECT id, 'p' || ?1 % 4, ?1 FROM file_place",
    "DELETE FROM file_place WHERE id = 1 + ?1 % 2",
    "INSERT OR REPLACE INTO slack_outage (route, since, failures, retry_at) VALUES ('r' || ?1 % 2, ?1, 0, 0)",
    "INSERT OR IGNORE INTO outbox (at, route, kind, key, payload) VALUES (?1, 'default', 'k', 'key' || ?1 % 6, '{}')",
    "DELETE FROM outbox WHERE id % 3 = ?1 % 3",
    "UPDATE OR IGNORE name SET text = 'text' || (?1 + 1) % 3 WHERE id = 1 + ?1 % 5",
];

#[derive(Debug, Clone, Copy)]
enum Step {
    Change(usize, i64),
    Undone(usize, i64),
    Ship { acknowledge: bool },
    Snapshot,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let change = (0..CHANGES.len(), 0..40_i64);
    let step = prop_oneof![
        12 => change.clone().prop_map(|(nth, n)| Step::Change(nth, n)),
        2 => change.prop_map(|(nth, n)| Step::Undone(nth, n)),
        3 => any::<bool>().prop_map(|acknowledge| Step::Ship { acknowledge }),
        1 => Just(Step::Snapshot),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn from_every_snapshot_the_segments_lead_to_the_database_as_it_is(steps in steps()) {
        let mut live = Live::new();
        live.snapshot();
        for step in steps {
            match step {
                Step::Change(nth, n) => live.run(CHANGES[nth], n),
                Step::Undone(nth, n) => {
                    live.connection.execute_batch("BEGIN").unwrap();
                    live.run(CHANGES[nth], n);
                    live.connection.execute_batch("ROLLBACK").unwrap();
                }
                Step::Ship { acknowledge } => live.ship(acknowledge),
                Step::Snapshot => live.snapshot(),
            }
        }
        live.ship(true);
        let expected = dump(&live.connection);
        for snapshot in &live.snapshots {
            let (data, restored, errors) = live.restored(snapshot, &live.segments);
            prop_assert!(errors.is_empty(), "{errors:?}");
            restored.unwrap();
            let back = open_read_only(&data.path().join(DATABASE)).unwrap();
            prop_assert_eq!(&dump(&back), &expected);
            prop_assert!(read_log_point(&back).unwrap().is_none(), "its log isn't gone on with");
            let (data, errors) = followed(snapshot, &live.segments);
            prop_assert!(errors.is_empty(), "{errors:?}");
            let back = open_read_only(&data.path().join(DATABASE)).unwrap();
            prop_assert_eq!(&dump(&back), &expected);
            prop_assert!(!log_state(data.path()).unwrap().has_unsent(), "as a leader it would send again what it has");
        }
    }
}

fn task(live: &Live, n: i64) {
    live.run(CHANGES[0], 0);
    live.run(CHANGES[1], n);
}

/// A snapshot, then three segments.
fn shipped() -> Live {
    let mut live = Live::new();
    live.snapshot();
    for n in 1..=3 {
        task(&live, n);
        live.ship(true);
    }
    live
}

fn tasks(data: &tempfile::TempDir) -> i64 {
    let back = open_read_only(&data.path().join(DATABASE)).unwrap();
    back.query_row("SELECT count(*) FROM task", [], |row| row.get(0)).unwrap()
}

#[test]
fn the_log_ends_before_a_segment_that_is_damaged_missing_or_of_another() {
    let live = shipped();
    let [first, second, third] = [0, 1, 2].map(|nth| live.segments[nth].clone());
    let restored = |segments: &[ChangeSegment]| {
        let (data, restored, errors) = live.restored(&live.snapshots[0], segments);
        restored.unwrap();
        (tasks(&data), errors.into_iter().map(|err| err.to_string()).collect::<Vec<_>>().join("; "))
    };
    let mut flipped = second.clone();
    let middle = flipped.bytes.len() / 2;
    flipped.bytes[middle] ^= 1;
    assert_eq!(
        restored(&[first.clone(), flipped]),
        (1, "it is damaged: its SHA-256 isn't that of its name".to_owned())
    );
    let mut torn = second.clone();
    torn.bytes.truncate(middle);
    torn.digest = flowlord_domain::hex::to_hex(&<sha2::Sha256 as sha2::Digest>::digest(&torn.bytes));
    let (count, said) = restored(&[first.clone(), torn]);
    assert!(count == 1 && said.starts_with("it is damaged: "), "{said}");
    let (count, said) = restored(&[first.clone(), third.clone()]);
    assert!(count == 1 && said.contains("the changes from 3 to"), "{said}");
    let twin = shipped().segments[1].clone();
    assert_eq!(restored(&[first.clone(), twin]).0, 2, "the same changes are the same segment");
    assert_eq!(restored(&[first, second, third]), (3, String::new()));
}

#[test]
fn who_followed_goes_on_with_the_log_as_a_leader_and_others_follow_both() {
    let mut live = shipped();
    let (data, errors) = followed(&live.snapshots[0], &live.segments);
    assert!(errors.is_empty(), "{errors:?}");
    let state = log_state(data.path()).unwrap();
    assert_eq!((state.digest.as_str(), state.entry), (live.segments[2].digest.as_str(), 3));
    let mut next = Live {
        connection: open_recording(&data.path().join(DATABASE), Some(0xbad)).unwrap(),
        folder: data,
        segments: live.segments.clone(),
        snapshots: Vec::new(),
    };
    assert_eq!(log_state(next.folder.path()).unwrap().point, state.point, "it is the same log");
    task(&next, 20);
    next.ship(true);
    assert_eq!(next.segments[3].after, state.point.position);
    let (other, errors) = followed(&live.snapshots[0], &next.segments);
    assert!(errors.is_empty(), "{errors:?}");
    let [here, there] = [&next.path(), &other.path().join(DATABASE)].map(|path| dump(&open_read_only(path).unwrap()));
    assert_eq!(here, there);
    // The former leader went on by itself: what it sent isn't taken any more.
    task(&live, 21);
    live.ship(true);
    let fork = [&next.segments[..], &live.segments[3..]].concat();
    let (other, errors) = followed(&live.snapshots[0], &fork);
    assert_eq!(tasks(&other), 4, "{errors:?}");
}

#[test]
fn a_follower_refuses_what_doesnt_go_on_from_it() {
    let live = shipped();
    let [first, second, third] = [0, 1, 2].map(|nth| live.segments[nth].clone());
    let refused = |segments: &[ChangeSegment]| {
        let (data, errors) = followed(&live.snapshots[0], segments);
        (tasks(&data), errors.into_iter().map(|err| err.to_string()).collect::<Vec<_>>().join("; "))
    };
    let (count, said) = refused(&[first.clone(), third.clone()]);
    assert!(count == 1 && said.contains("the changes from 3 to"), "{said}");
    let mut flipped = second.clone();
    flipped.bytes[20] ^= 1;
    assert_eq!(refused(&[first.clone(), flipped]).1, "it is damaged: its SHA-256 isn't that of its name");
    let mut other = shipped();
    for n in [5, 6] {
        task(&other, n);
        other.ship(true);
    }
    let (count, said) = refused(&[first, second, third, other.segments[4].clone()]);
    assert!(count == 3 && said.contains("are missing"), "{said}");
    let mut anew = shipped();
    restart_log(&anew.connection, 0xbeef).unwrap();
    task(&anew, 4);
    anew.ship(true);
    let (count, said) = refused(&[live.segments.clone(), vec![anew.segments[3].clone()]].concat());
    assert!(count == 3 && said.contains("it is of another database: its log is 000000000000beef"), "{said}");
}

#[test]
fn numbers_of_rows_that_came_and_went_are_not_given_again() {
    let mut live = Live::new();
    live.snapshot();
    live.run(CHANGES[13], 1);
    live.connection.execute("DELETE FROM outbox", []).unwrap();
    live.ship(true);
    let (data, restored, errors) = live.restored(&live.snapshots[0], &live.segments);
    restored.unwrap();
    assert!(errors.is_empty(), "{errors:?}");
    let back = Connection::open(data.path().join(DATABASE)).unwrap();
    back.execute(CHANGES[13], [2]).unwrap();
    assert_eq!(back.last_insert_rowid(), 2);
}

#[test]
fn a_segment_written_again_after_a_crash_is_gone_on_from() {
    let mut live = Live::new();
    live.snapshot();
    task(&live, 1);
    live.ship(false);
    live.ship(true);
    task(&live, 2);
    live.ship(true);
    let [first, again] = [0, 1].map(|nth| &live.segments[nth]);
    assert!(first.upto == again.upto && first.digest != again.digest);
    let (data, restored, errors) = live.restored(&live.snapshots[0], &live.segments);
    restored.unwrap();
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(tasks(&data), 2);
}

#[test]
fn two_services_in_one_place_are_told_apart() {
    let mut one = shipped();
    let mut two = shipped();
    task(&one, 10);
    one.ship(true);
    task(&two, 11);
    two.ship(true);
    task(&two, 12);
    two.ship(true);
    for others in [&two.segments[4..], &two.segments[3..]] {
        let mixed = [&one.segments[..4], others].concat();
        let (data, restored, errors) = one.restored(&one.snapshots[0], &mixed);
        restored.unwrap();
        assert_eq!((tasks(&data), errors.len()), (4, 1));
        assert!(errors[0].to_string().contains("two services wrote into this place"), "{errors:?}");
    }
}

#[test]
fn a_log_that_began_anew_or_an_upgrade_needs_a_snapshot_of_afterwards() {
    let mut live = shipped();
    restart_log(&live.connection, 0xbeef).unwrap();
    assert_eq!(live.tail(), ChangeTail { chain: Some(0xbeef), pending: 0, segment: None });
    task(&live, 4);
    live.ship(true);
    let (data, restored, errors) = live.restored(&live.snapshots[0], &live.segments);
    restored.unwrap();
    assert_eq!(tasks(&data), 3);
    assert!(errors[0].to_string().contains("its log is 000000000000beef, this one's 000000000000feed"), "{errors:?}");
    // Opened without a backup, what changes goes unnoticed.
    let path = live.path();
    drop(live.connection);
    drop(open_recording(&path, None).unwrap());
    assert_eq!(log_point(&path), None);
    let again = open_recording(&path, Some(5)).unwrap();
    assert_eq!(read_log_point(&again).unwrap(), Some(LogPoint { chain: 5, position: 0 }));
}

#[test]
fn too_much_makes_no_segment_and_numbers_go_on_after_a_restart() {
    let mut live = shipped();
    let before = read_log_point(&live.connection).unwrap().unwrap();
    let path = live.path();
    drop(live.connection);
    live.connection = open_recording(&path, Some(1)).unwrap();
    assert_eq!(read_log_point(&live.connection).unwrap(), Some(before), "the log that is there goes on");
    task(&live, 4);
    let tail = read::read_tail(&mut open_read_only(&path).unwrap(), noon(), 0).unwrap();
    assert_eq!((tail.pending, tail.segment), (1, None));
    assert_eq!(live.tail().segment.unwrap().after, before.position);
}

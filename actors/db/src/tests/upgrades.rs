//! Databases of every earlier version open, keep what they held, and are then as a fresh one.

use flowlord_domain::TaskState;
use flowlord_messages::schedule::ReadSchedule;
use flowlord_messages::stats::ReadDayTotals;
use flowlord_messages::tasks::ReadChain;
use rusqlite::Connection;

use super::*;
use crate::connection::open_writer;
use crate::{DATABASE, VERSION};

/// One a version that people may have.
const SEEDS: [&str; 6] = [
    include_str!("seeds/v1.sql"),
    include_str!("seeds/v2.sql"),
    include_str!("seeds/v3.sql"),
    include_str!("seeds/v4.sql"),
    include_str!("seeds/v5.sql"),
    NEWEST_SEED,
];

pub(super) const NEWEST_SEED: &str = include_str!("seeds/v6.sql");

pub(super) fn seeded(seed: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let connection = Connection::open(folder.path().join(DATABASE)).unwrap();
    connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL").unwrap();
    // Tables come in the order of their names.
    connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    connection.execute_batch(seed).unwrap();
    folder
}

/// Every table and index with its statement.
pub(super) fn schema(folder: &tempfile::TempDir) -> Vec<(String, String)> {
    let connection = Connection::open(folder.path().join(DATABASE)).unwrap();
    let listed = "SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_schema ORDER BY 1";
    let mut statement = connection.prepare(listed).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<rusqlite::Result<_>>().unwrap()
}

fn version(folder: &tempfile::TempDir) -> usize {
    let connection = Connection::open(folder.path().join(DATABASE)).unwrap();
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

#[actix::test]
async fn every_earlier_version_opens_with_all_that_it_held() {
    assert_eq!(SEEDS.len(), VERSION - 1, "a new version needs a seed of the one before");
    let fresh = schema(&Db::new().folder);
    for (seed, from) in SEEDS.iter().zip(1..) {
        let folder = seeded(seed);
        assert_eq!(version(&folder), from);
        let db = Db::open(folder);
        assert_eq!(version(&db.folder), VERSION);
        assert_eq!(schema(&db.folder), fresh, "from version {from}");
        let done = db.attempt(Uid::at(noon())).await;
        assert_eq!((done.topic.as_str(), done.job.as_str(), done.msg.as_str()), ("extract", "orders", "done"));
        assert_eq!((done.state, done.result), (TaskState::Done, Some(TaskResult::Complete)));
        assert_eq!((done.worker.as_str(), done.workflow.as_str()), ("worker-1", "etl/daily.toml"));
        assert_eq!(db.read(ReadChain { id: "chain-1".to_owned() }).await.unwrap().len(), 2);
        let schedule = db.read(ReadSchedule).await.unwrap();
        assert_eq!(schedule.last_slots[0].at, noon());
        assert_eq!(schedule.next_due, Some(noon() + seconds(60)));
        let stats = db.read(ReadDayTotals { day: noon().date_naive() }).await.unwrap();
        assert_eq!(stats.rows.iter().map(|row| row.counts.total).sum::<u64>(), 4);
        // Handed out before lengths were kept: a heartbeat that names none extends by the default.
        let lease = LeaseToken { uid: Uid::at(noon() + TimeDelta::microseconds(9_000_003)), secret: 78 };
        assert_eq!(db.write(heartbeat(lease, noon())).await.unwrap().expires, noon() + seconds(60));
        let granted = db.lease(&["load"], noon() + seconds(20)).await.unwrap();
        assert_eq!(granted.task.info, "a?hour=2026-03-01T11");
        db.finish(ResultClaim::Lease(granted.lease), decision(TaskResult::Complete)).await.unwrap();
    }
}

#[test]
fn a_step_that_fails_changes_nothing_and_is_done_once_it_can_be() {
    let folder = seeded(SEEDS[0]);
    let path = folder.path().join(DATABASE);
    let obstacle = Connection::open(&path).unwrap();
    // Late in the step, after other tables were made.
    obstacle.execute_batch("CREATE TABLE file_place (of_somebody_else)").unwrap();
    let before = schema(&folder);
    assert!(open_writer(&path).unwrap_err().to_string().contains("file_place"));
    assert_eq!((version(&folder), schema(&folder)), (1, before));
    obstacle.execute_batch("DROP TABLE file_place").unwrap();
    drop(obstacle);
    open_writer(&path).unwrap();
    assert_eq!(version(&folder), VERSION);
}

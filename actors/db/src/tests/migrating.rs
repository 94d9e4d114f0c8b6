//! A leader with a newer program changes the tables at an entry of the cluster's log, and its followers do there, too.

use flowlord_messages::cluster::{SchemaMigration, SegmentOutcome};
use rusqlite::Connection;

use super::framed::{Follower, Leader};
use super::upgrades::{NEWEST_SEED, schema, seeded};
use crate::{DATABASE, VERSION, log_state, make_migration, plan_migration};

/// A node's database with the tables of the version before, which holds one entry.
fn older() -> tempfile::TempDir {
    let folder = seeded(NEWEST_SEED);
    let connection = Connection::open(folder.path().join(DATABASE)).unwrap();
    let log = "DELETE FROM row_change; DELETE FROM row_log;
        INSERT INTO row_log (id, chain, taken, digest, entry) VALUES (1, 5, 0, '', 1)";
    connection.execute_batch(log).unwrap();
    folder
}

#[actix::test]
async fn all_nodes_change_their_tables_at_one_entry_and_go_on_from_there() {
    let (leading, follower) = (older(), Follower::open(older()));
    let migration = plan_migration(leading.path(), 99).unwrap();
    assert_eq!((migration.from, migration.to), (VERSION - 1, VERSION));
    make_migration(leading.path(), &migration, true, 2).unwrap();
    assert_eq!(plan_migration(leading.path(), 99), None, "nothing is left to do");
    for _ in 0..2 {
        let outcome = follower.migrate(&migration, 2).await;
        assert!(matches!(outcome, SegmentOutcome::Applied { .. }), "again it does no harm: {outcome:?}");
    }
    let leader = Leader::on(leading, 3);
    let rows = leader.create("new", 4).await;
    assert!(follower.applied(&rows, 4).await);
    assert_eq!(follower.jobs().await, leader.jobs().await);
    assert!(follower.jobs().await.contains(&"new".to_owned()));
    let folders = [&leader.db.folder, &follower.folder];
    let [here, there] = folders.map(|folder| log_state(folder.path()).unwrap());
    assert_eq!((here.point.chain, here), (99, there));
    let [here, there] = folders.map(schema);
    assert_eq!(here, there);
}

#[actix::test]
async fn tables_that_a_program_does_not_know_stop_it_and_change_nothing() {
    let follower = Follower::open(older());
    let (tables, state) = (schema(&follower.folder), log_state(follower.folder.path()));
    let unknown = SchemaMigration { from: VERSION - 1, to: VERSION + 1, digest: "d".to_owned(), chain: 99 };
    let SegmentOutcome::Newer(why) = follower.migrate(&unknown, 2).await else { panic!("it was applied") };
    assert!(why.contains(&format!("its schema is {}", VERSION + 1)) && why.contains("upgrade this node"), "{why}");
    // The same versions by other statements: two builds of a program that isn't released.
    let other = SchemaMigration { to: VERSION, ..unknown };
    let SegmentOutcome::Diverged(why) = follower.migrate(&other, 2).await else { panic!("it was applied") };
    assert!(why.contains("does it otherwise"), "{why}");
    assert_eq!((schema(&follower.folder), log_state(follower.folder.path())), (tables, state));
}

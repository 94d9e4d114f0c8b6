//! A file that is damaged while it is used: what callers hear, and what is left for the next start.

use std::io::{Seek as _, SeekFrom, Write as _};

use flowlord_kernel::Ping;
use flowlord_messages::changelog::ReadSegment;
use flowlord_messages::snapshots::CopyDatabase;
use flowlord_messages::tasks::ReadChain;
use flowlord_testkit::VirtualClock;
use rusqlite::Connection;

use super::*;
use crate::{DATABASE, DamageMark, DatabaseCondition, HandledDamage, SeenDamage, inspect_database, verify_database};

/// Writes over every leaf of a table or index, as a disk that returns something else.
fn spoil(db: &Db, name: &str) {
    let path = db.folder.path().join(DATABASE);
    let connection = Connection::open(&path).unwrap();
    let _busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
    let leaves = "SELECT pageno, pgsize FROM dbstat WHERE name = ?1 AND pagetype = 'leaf' ORDER BY pageno";
    let mut leaves = connection.prepare(leaves).unwrap();
    let leaves = leaves.query_map([name], |row| Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?))).unwrap();
    let mut file = std::fs::File::options().write(true).open(&path).unwrap();
    let mut spoiled = 0;
    for leaf in leaves {
        let (page, size) = leaf.unwrap();
        file.seek(SeekFrom::Start((page - 1) * size)).unwrap();
        file.write_all(&vec![0xAA; usize::try_from(size).unwrap()]).unwrap();
        spoiled += 1;
    }
    assert!(spoiled > 0, "{name} has leaves");
}

/// A database with some pages of tasks, none of which is in memory, on a clock that the test moves.
struct Filled {
    db: Db,
    clock: VirtualClock,
}

impl Filled {
    async fn new() -> Self {
        let db = Db::new();
        let many = |from: i64| {
            let task = |nth| NewTask {
                uid: Uid::at(noon() + seconds(nth)),
                id: format!("chain-{nth}"),
                info: "x".repeat(1_000),
                ..task("a", "")
            };
            (from..from + 100).map(task).collect()
        };
        db.create(many(0)).await;
        db.create(many(100)).await;
        Self::open(db.close())
    }

    fn open(folder: tempfile::TempDir) -> Self {
        let activity = WorkCounter::default();
        let clock = VirtualClock::new(noon(), activity.clone());
        Self { db: Db::on(folder, Arc::new(clock.clone()), activity), clock }
    }

    fn mark(&self) -> DamageMark {
        DamageMark::read(self.db.folder.path()).unwrap()
    }

    /// Nothing is acknowledged, and nothing of the file is kept elsewhere.
    async fn is_refused(&self, seen_by: &str) {
        let refused = self.db.write(creation(vec![task("after", "")])).await.unwrap_err();
        assert_eq!(refused.code, Code::Storage);
        let said = format!("the database is damaged (seen at 2026-03-01T12:00:00Z by {seen_by}: database disk image");
        assert!(refused.detail.starts_with(&said), "{refused}");
        assert!(refused.detail.contains("nothing of this was stored"), "{refused}");
        assert_eq!(code(self.db.write(Ping).await), Code::Storage, "it doesn't look well");
        let to = self.db.folder.path().join("copy.db");
        assert_eq!(code(self.db.write(CopyDatabase { to: to.clone() }).await), Code::Storage);
        assert!(!to.exists());
        assert_eq!(code(self.db.write(ReadSegment { at: noon(), most: 1_000 }).await), Code::Storage);
        let seen = self.mark().seen.expect("a mark");
        assert_eq!(seen.at, noon());
        assert!(seen.what.starts_with(seen_by), "{seen:?}");
        assert_eq!(self.db.database.damage.until_restart().await, seen);
    }
}

#[actix::test]
async fn damage_met_by_a_read_of_a_table_or_an_index_ends_acknowledging_and_leaves_a_mark() {
    for name in ["task", "task_chain"] {
        let filled = Filled::new().await;
        spoil(&filled.db, name);
        assert_eq!(
            inspect_database(filled.db.folder.path()).unwrap(),
            DatabaseCondition::Sound,
            "a quick look doesn't find it"
        );
        let chain = ReadChain { id: "chain-150".to_owned() };
        assert_eq!(code(filled.db.read(chain).await), Code::Storage, "{name}");
        filled.is_refused("a read").await;
        assert!(matches!(verify_database(filled.db.folder.path()).unwrap(), DatabaseCondition::Broken(_)), "{name}");
    }
}

#[actix::test]
async fn damage_met_by_a_write_fails_its_whole_transaction() {
    for name in ["task", "task_chain"] {
        let filled = Filled::new().await;
        spoil(&filled.db, name);
        let refused = filled.db.write(creation(vec![task("a", "")])).await.unwrap_err();
        assert_eq!(refused.code, Code::Storage);
        assert!(refused.detail.contains("nothing of this was stored; the service restarts"), "{refused}");
        filled.is_refused("a write").await;
    }
}

#[actix::test]
async fn damage_met_by_a_copy_is_looked_for_in_the_database_itself() {
    let filled = Filled::new().await;
    spoil(&filled.db, "task");
    let to = filled.db.folder.path().join("snapshots/one.db");
    assert_eq!(code(filled.db.write(CopyDatabase { to: to.clone() }).await), Code::Storage);
    assert_eq!(to.parent().unwrap().read_dir().unwrap().count(), 0, "nothing of it is kept");
    let seen = filled.mark().seen.expect("a mark");
    assert!(seen.what.starts_with("the check of a snapshot: "), "{seen:?}");
    assert_eq!(code(filled.db.write(Ping).await), Code::Storage);
}

#[actix::test]
async fn damage_met_while_it_opens_leaves_a_mark_too() {
    let filled = Filled::new().await;
    spoil(&filled.db, "row_log");
    let folder = filled.db.close();
    assert_eq!(inspect_database(folder.path()).unwrap(), DatabaseCondition::Sound);
    let lock = FolderLock::take(folder.path()).unwrap();
    let kit = ActorEnvironment::system(Arc::new(|_| {})).kit("db");
    let opened =
        Database::open(lock, Some(1), OwnLead::of_single(), &Arbiter::new().handle(), kit, CommitHints::default())
            .unwrap_err();
    assert!(opened.is_damage(), "{opened}");
    let seen = DamageMark::read(folder.path()).unwrap().seen.expect("a mark");
    assert!(seen.what.starts_with("the start: "), "{seen:?}");
}

fn handled(is_restored: bool) -> DamageMark {
    let handled = HandledDamage {
        at: noon() - seconds(60),
        is_restored,
        text: "what was done".to_owned(),
        is_alert_stored: true,
    };
    DamageMark { seen: None, handled: Some(handled) }
}

#[actix::test]
async fn what_a_whole_check_found_sound_costs_one_request_and_no_restart_for_an_hour() {
    let filled = Filled::new().await;
    spoil(&filled.db, "task_chain");
    let folder = filled.db.close();
    handled(false).write(folder.path()).unwrap();
    let filled = Filled::open(folder);
    let chain = || filled.db.read(ReadChain { id: "chain-150".to_owned() });
    assert_eq!(code(chain().await), Code::Storage);
    assert_eq!(filled.mark(), handled(false), "the whole check decides");
    filled.db.write(Ping).await.unwrap();
    filled.clock.advance(TimeDelta::hours(1)).await;
    assert_eq!(code(chain().await), Code::Storage);
    assert!(filled.mark().seen.is_some(), "after an hour it is checked again");
}

#[actix::test]
async fn damage_soon_after_a_restore_ends_acknowledging_and_restarts_once_an_hour_is_over() {
    let filled = Filled::new().await;
    spoil(&filled.db, "task_chain");
    let folder = filled.db.close();
    handled(true).write(folder.path()).unwrap();
    let filled = Filled::open(folder);
    assert_eq!(code(filled.db.read(ReadChain { id: "chain-150".to_owned() }).await), Code::Storage);
    let refused = filled.db.write(Ping).await.unwrap_err().detail;
    assert!(refused.contains("check the disk and the memory of this machine"), "{refused}");
    assert!(refused.contains("checks it at 2026-03-01T12:59:00Z"), "{refused}");
    let mark = filled.mark();
    assert!(mark.seen.is_some() && mark.handled == handled(true).handled);

    let restarted = actix::spawn({
        let damage = filled.db.database.damage.clone();
        async move { damage.until_restart().await }
    });
    filled.clock.advance(TimeDelta::minutes(58)).await;
    assert!(!restarted.is_finished());
    filled.clock.advance(TimeDelta::minutes(1)).await;
    assert_eq!(Some(restarted.await.unwrap()), mark.seen);
}

#[test]
fn a_mark_keeps_what_was_seen_first() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(DamageMark::read(folder.path()).unwrap(), DamageMark::default());
    assert_eq!(crate::mark_if_damaged(folder.path(), noon()), None, "there is no database");
    let first = DamageMark { seen: Some(SeenDamage { at: noon(), what: "first".to_owned() }), ..handled(true) };
    first.write(folder.path()).unwrap();
    assert_eq!(DamageMark::read(folder.path()).unwrap(), first);
    DamageMark::remove(folder.path()).unwrap();
    DamageMark::remove(folder.path()).unwrap();
    assert_eq!(DamageMark::read(folder.path()).unwrap(), DamageMark::default());
    std::fs::write(folder.path().join("flowlord.db.damage"), "{").unwrap();
    assert!(DamageMark::read(folder.path()).is_err());
}

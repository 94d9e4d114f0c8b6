//! A disk that fails: what callers hear, what is on it, and how it ends.

use std::sync::mpsc::{Receiver, Sender, channel};

use flowlord_kernel::Ping;
use flowlord_kernel::fault::{self, FaultEffect, FaultPoint};
use flowlord_messages::snapshots::CopyDatabase;
use flowlord_testkit::VirtualClock;

use super::*;
use crate::writer::command::WriteCommand;
use crate::writer::context::{CommandResult, WriteContext};

/// A database on a clock that the test moves, with a task that was stored before anything failed.
struct Troubled {
    db: Db,
    clock: VirtualClock,
    before: Uid,
}

impl Troubled {
    async fn new() -> Self {
        let activity = WorkCounter::default();
        let clock = VirtualClock::new(noon(), activity.clone());
        let db = Db::on(tempfile::tempdir().unwrap(), Arc::new(clock.clone()), activity);
        let before = db.create(vec![task("before", "")]).await.uids[0];
        Self { db, clock, before }
    }

    fn plan(&self, point: FaultPoint, fault: FaultEffect, times: usize) {
        fault::plan(self.db.folder.path(), point, fault, times);
    }

    fn mended(&self) {
        fault::clear(self.db.folder.path());
    }

    async fn refused(&self, topic: &str) -> String {
        let err = self.db.write(creation(vec![task(topic, "")])).await.unwrap_err();
        assert_eq!(err.code, Code::Storage, "{err}");
        err.detail
    }

    /// Rows of a table with this condition, read past all actors.
    fn on_disk(&self, rows: &str) -> i64 {
        let connection = rusqlite::Connection::open(self.db.folder.path().join(crate::DATABASE)).unwrap();
        connection.query_row(&format!("SELECT count(*) FROM {rows}"), [], |row| row.get(0)).unwrap()
    }

    fn tasks(&self, topic: &str) -> i64 {
        self.on_disk(&format!("task JOIN queue ON queue.id = queue WHERE topic = '{topic}'"))
    }

    fn alerts(&self) -> i64 {
        self.on_disk("alert JOIN queue ON queue.id = queue WHERE topic = 'storage'")
    }
}

#[actix::test]
async fn at_each_point_callers_hear_what_is_on_disk() {
    for (point, stored) in [
        (FaultPoint::BeforeBegin, 0),
        (FaultPoint::BeforeCommand, 0),
        (FaultPoint::BeforeCommit, 0),
        (FaultPoint::AfterCommit, 1),
    ] {
        let troubled = Troubled::new().await;
        troubled.plan(point, FaultEffect::Broken, 1);
        let heard = troubled.refused("a").await;
        let said = if stored == 0 { "nothing of this was stored" } else { "is not known: send it again" };
        assert!(heard.contains(said), "{point:?}: {heard}");
        assert_eq!(troubled.tasks("a"), stored, "{point:?}");
        assert_eq!(troubled.tasks("before"), 1, "{point:?}");
        troubled.db.create(vec![task("after", "")]).await;
        assert_eq!(troubled.alerts(), 1, "{point:?}: a disk that fails once is told as well");
        let totals = troubled.on_disk("task") - troubled.on_disk("rollup WHERE total = 1");
        assert_eq!(totals, 0, "{point:?}: totals are as the tasks");
    }
}

/// A command that holds up its transaction, so that what comes meanwhile is one of its own.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub(super) struct Hold {
    begun: Sender<()>,
    until: Receiver<()>,
}

impl Hold {
    /// The command, what hears that it is being applied, and what lets it go on.
    pub(super) fn new() -> (Self, Receiver<()>, Sender<()>) {
        let ((begun, has_begun), (go_on, until)) = (channel(), channel());
        (Self { begun, until }, has_begun, go_on)
    }
}

impl WriteCommand for Hold {
    fn apply_to(&self, _: &mut WriteContext<'_>) -> CommandResult<()> {
        self.begun.send(()).unwrap();
        self.until.recv().unwrap();
        Ok(())
    }
}

#[actix::test]
async fn all_of_a_transaction_hear_the_same_and_none_is_stored() {
    let troubled = Troubled::new().await;
    let (hold, has_begun, go_on) = Hold::new();
    let held = troubled.db.write(hold);
    has_begun.recv().unwrap();
    let together = [(); 5].map(|()| troubled.db.write(creation(vec![task("a", "")])));
    // The command that is held passed this point: the fault meets the five.
    troubled.plan(FaultPoint::BeforeCommand, FaultEffect::Full, 1);
    go_on.send(()).unwrap();
    held.await.unwrap();
    for answer in together {
        assert_eq!(code(answer.await), Code::Storage);
    }
    assert_eq!(troubled.tasks("a"), 0);
}

#[actix::test]
async fn while_it_fails_nothing_is_acknowledged_reading_goes_on_and_it_ends_by_itself() {
    for (fault, advice) in [
        (FaultEffect::Broken, "check the disk"),
        (FaultEffect::Full, "free space"),
        (FaultEffect::ReadOnly, "writable"),
    ] {
        let troubled = Troubled::new().await;
        troubled.plan(FaultPoint::BeforeCommit, fault, usize::MAX);
        troubled.refused("a").await;
        let heard = troubled.refused("a").await;
        assert!(heard.contains("since 2026-03-01T12:00:00Z") && heard.contains(advice), "{heard}");
        assert_eq!(code(troubled.db.write(Ping).await), Code::Storage, "it doesn't look well");
        assert_eq!(troubled.db.attempt(troubled.before).await.topic, "before");
        troubled.clock.advance(seconds(90)).await;
        troubled.refused("a").await;

        troubled.mended();
        troubled.clock.advance(seconds(1)).await;
        troubled.db.create(vec![task("after", "")]).await;
        troubled.db.write(Ping).await.unwrap();
        assert_eq!((troubled.tasks("a"), troubled.tasks("after"), troubled.alerts()), (0, 1, 1));
        let said = "alert WHERE kind = 8 AND msg LIKE '%from 2026-03-01T12:00:00Z to 2026-03-01T12:01:31Z%3 commands%'";
        assert_eq!(troubled.on_disk(said), 1, "one alert, of the whole time");
    }
}

#[actix::test]
async fn one_that_comes_and_goes_is_told_once_in_ten_minutes() {
    let troubled = Troubled::new().await;
    for (minutes, told) in [(0, 1), (3, 1), (6, 1), (2, 2)] {
        troubled.clock.advance(TimeDelta::minutes(minutes)).await;
        troubled.plan(FaultPoint::BeforeCommit, FaultEffect::Full, 1);
        troubled.refused("a").await;
        troubled.db.create(vec![task("after", "")]).await;
        assert_eq!(troubled.alerts(), told, "{minutes} minutes later");
    }
}

#[actix::test]
async fn a_panic_within_a_transaction_leaves_no_names_of_rows_that_never_were() {
    let troubled = Troubled::new().await;
    troubled.plan(FaultPoint::BeforeCommit, FaultEffect::Panic, 1);
    let undone = troubled.db.write(creation(vec![task("undone", "")])).await;
    assert_eq!(code(undone), Code::Stopping);
    // It gets the id that the other topic had in the transaction.
    troubled.db.create(vec![task("other", "")]).await;
    let again = troubled.db.create(vec![task("undone", "")]).await.uids[0];
    assert_eq!(troubled.db.attempt(again).await.topic, "undone");
    assert_eq!((troubled.tasks("other"), troubled.tasks("undone")), (1, 1));
}

#[actix::test]
async fn a_copy_that_fails_leaves_nothing_and_writing_goes_on() {
    let troubled = Troubled::new().await;
    let to = troubled.db.folder.path().join("snapshots/one.db");
    troubled.plan(FaultPoint::DuringSnapshot, FaultEffect::Full, 1);
    let refused = troubled.db.write(CopyDatabase { to: to.clone() }).await;
    assert_eq!(code(refused), Code::Storage);
    assert_eq!(to.parent().unwrap().read_dir().unwrap().count(), 0);
    troubled.db.create(vec![task("after", "")]).await;
    assert_eq!(troubled.alerts(), 0, "the database itself is well");
    troubled.db.write(CopyDatabase { to: to.clone() }).await.unwrap();
    assert!(crate::check_snapshot(&to).is_ok());
}

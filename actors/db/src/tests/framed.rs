//! A leader whose transactions the cluster's log holds first, and a follower that applies them.

use std::cell::Cell;
use std::sync::Mutex;

use actix::{Actor, Arbiter, Context, Handler, ResponseFuture};
use flowlord_kernel::{Clock as _, Port, PortLimits, time_since_boot};
use flowlord_messages::alerts::{AlertFilter, ListAlerts};
use flowlord_messages::changelog::{ForgetChanges, ReadSegment, RestartChangeLog};
use flowlord_messages::cluster::{AppendRows, ApplyMigration, ApplyRows, SchemaMigration, SegmentOutcome};
use flowlord_messages::database::CloseDatabase;
use flowlord_messages::events::TakeChanges;
use flowlord_messages::tasks::{FindTasks, TaskFilter};
use tokio::sync::oneshot;

use super::*;
use crate::{FollowingDatabase, OwnLead, copy, log_state};

/// What the log is asked, in order, each with the way back.
type Asked = Arc<Mutex<Vec<(AppendRows, oneshot::Sender<Result<u64>>)>>>;

/// A log that answers when the test wants.
struct StubLog(Asked);

impl Actor for StubLog {
    type Context = Context<Self>;
}

impl Handler<AppendRows> for StubLog {
    type Result = ResponseFuture<Result<u64>>;

    fn handle(&mut self, rows: AppendRows, _: &mut Self::Context) -> Self::Result {
        let (reply, answered) = oneshot::channel();
        self.0.lock().unwrap().push((rows, reply));
        Box::pin(async move { answered.await.unwrap_or_else(|_| Err(Error::new(Code::Internal, "lost"))) })
    }
}

pub(super) struct Leader {
    pub(super) db: Db,
    asked: Asked,
}

impl Leader {
    fn new() -> Self {
        Self::on(tempfile::tempdir().unwrap(), 1)
    }

    pub(super) fn on(folder: tempfile::TempDir, entry: u64) -> Self {
        let asked = Asked::default();
        let activity = WorkCounter::default();
        let port = Port::new("log", StubLog(Arc::clone(&asked)).start().recipient(), PortLimits::PATIENT, &activity);
        let lease = LeaderLease::lapsed();
        lease.renew(time_since_boot());
        let lead = OwnLead { lease, entry, log: Some(port) };
        Self { db: Db::leading(folder, Some(7), lead), asked }
    }

    /// The next transaction that is sent to the log.
    async fn next_append(&self) -> (AppendRows, oneshot::Sender<Result<u64>>) {
        for _ in 0..1_000 {
            if let Some(asked) = self.asked.lock().unwrap().pop() {
                return asked;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("nothing was sent to the log");
    }

    /// Goes behind all that is in the writer's mailbox.
    async fn take_changes(&self) {
        self.db.environment.port::<_, TakeChanges>("db", &self.db.database.owner).call(TakeChanges).await.unwrap();
    }

    /// Creates a task, and stores it as this entry.
    pub(super) async fn create(&self, job: &str, entry: u64) -> AppendRows {
        let (created, rows) = tokio::join!(self.db.write(creation(vec![task("a", job)])), async {
            let (rows, reply) = self.next_append().await;
            reply.send(Ok(entry)).unwrap();
            rows
        });
        created.unwrap();
        rows
    }

    pub(super) async fn jobs(&self) -> Vec<String> {
        jobs(&self.db.environment, &self.db.database.readers).await
    }
}

async fn jobs(environment: &ActorEnvironment, readers: &actix::Addr<QueryReader>) -> Vec<String> {
    let find = environment.port::<_, FindTasks>("readers", readers);
    let found = find.call(FindTasks::newest_first(TaskFilter::default(), 10)).await.unwrap();
    let mut jobs: Vec<_> = found.tasks.into_iter().map(|task| task.job).collect();
    jobs.sort();
    jobs
}

#[actix::test]
async fn nothing_is_committed_or_answered_before_the_log_holds_it() {
    let leader = Leader::new();
    let write = |job: &str| leader.db.write(creation(vec![task("a", job)]));
    let (first, (second, third, ())) = tokio::join!(write("1"), async {
        let (rows, reply) = leader.next_append().await;
        assert!(!rows.bytes.is_empty() && leader.jobs().await.is_empty());
        // What comes meanwhile is one transaction, after this one.
        tokio::join!(write("2"), write("3"), async {
            // Behind both in the mailbox.
            leader.take_changes().await;
            reply.send(Ok(2)).unwrap();
            let (_, reply) = leader.next_append().await;
            assert_eq!(leader.jobs().await, ["1"]);
            reply.send(Ok(4)).unwrap();
        })
    });
    for created in [first, second, third] {
        created.unwrap();
    }
    assert_eq!(leader.jobs().await, ["1", "2", "3"]);
    assert!(leader.asked.lock().unwrap().is_empty());
    assert_eq!(log_state(leader.db.folder.path()).unwrap().entry, 4);
}

#[actix::test]
async fn what_another_leader_keeps_out_is_undone_and_said_to_be() {
    let leader = Leader::new();
    let (refused, ()) = tokio::join!(leader.db.write(creation(vec![task("a", "1")])), async {
        let lost = Error::new(Code::NotLeader, "nothing was appended");
        leader.next_append().await.1.send(Err(lost)).unwrap();
    });
    assert_eq!(refused.unwrap_err().code, Code::NotLeader);
    assert!(leader.jobs().await.is_empty());
    let rows = leader.create("2", 2).await;
    assert_eq!(rows.bytes.is_empty(), leader.jobs().await.is_empty());
}

#[actix::test]
async fn a_silent_log_leaves_its_callers_knowing_that_nobody_knows_until_it_speaks() {
    let leader = Leader::new();
    let mut created = Box::pin(leader.db.write(creation(vec![task("a", "1")])));
    let (_, reply) = tokio::select! {
        _ = &mut created => panic!("it was answered first"),
        asked = leader.next_append() => asked,
    };
    let waiting = leader.db.write(creation(vec![task("a", "2")]));
    let (unknown, refused) = tokio::join!(created, waiting);
    let (unknown, refused) = (unknown.unwrap_err(), refused.unwrap_err());
    assert!(unknown.detail.contains("is not known"), "{unknown:?}");
    assert!(refused.detail.contains("nothing of this was stored"), "{refused:?}");
    let refused = leader.db.write(creation(vec![task("a", "3")])).await.unwrap_err();
    assert!(refused.detail.contains("nothing of this was stored"), "nobody waits any more: {refused:?}");
    assert!(leader.jobs().await.is_empty());
    reply.send(Ok(2)).unwrap();
    // The alert about it.
    leader.next_append().await.1.send(Ok(3)).unwrap();
    leader.create("4", 4).await;
    assert_eq!(leader.jobs().await, ["1", "4"], "what the log holds is committed, also when nobody waits");
    let alerts = leader.db.environment.port::<_, ListAlerts>("readers", &leader.db.database.readers);
    let told = alerts.call(ListAlerts {
        from: noon(),
        to: SystemClock.now(),
        filter: AlertFilter::default(),
        after: None,
        limit: 10,
    });
    let told = told.await.unwrap();
    let [alert] = &told[..] else { panic!("{told:?}") };
    assert!(alert.msg.contains("acknowledged nothing from") && alert.msg.contains("; 3 commands"), "{}", alert.msg);
}

#[actix::test]
async fn a_service_that_stops_waits_for_its_last_transaction() {
    let leader = Leader::new();
    let mut created = Box::pin(leader.db.write(creation(vec![task("a", "1")])));
    let (_, reply) = tokio::select! {
        _ = &mut created => panic!("it was answered first"),
        asked = leader.next_append() => asked,
    };
    let close = leader.db.environment.port::<_, CloseDatabase>("db", &leader.db.database.owner);
    let (closed, created, ()) = tokio::join!(close.call(CloseDatabase), created, async { reply.send(Ok(2)).unwrap() });
    closed.unwrap();
    created.unwrap();
    let state = log_state(leader.db.folder.path()).unwrap();
    assert_eq!(state.entry, 2);
}

/// Leaves a leader that expects two commands at once.
async fn answer_two(leader: &Leader, next: &Cell<u64>) {
    let write = |job: &str| leader.db.write(creation(vec![task("a", job)]));
    tokio::select! {
        (one, two) = async { tokio::join!(write("1"), write("2")) } => { one.unwrap(); two.unwrap(); }
        // The longer the log takes, the longer commands are waited for.
        () = store_all(leader, next, Duration::from_millis(50)) => {}
    }
}

/// Stores what comes, so long after it was sent, as entries from `next` on; it never ends.
async fn store_all(leader: &Leader, next: &Cell<u64>, after: Duration) {
    loop {
        let (_, reply) = leader.next_append().await;
        tokio::time::sleep(after).await;
        reply.send(Ok(next.get())).unwrap();
        next.set(next.get() + 1);
    }
}

#[actix::test]
async fn clients_that_were_answered_together_are_waited_for() {
    let leader = Leader::new();
    let write = |job: &str| leader.db.write(creation(vec![task("a", job)]));
    let next = Cell::new(2);
    // A machine that is busy may take longer than the leader waits, but not each time.
    for _ in 0..20 {
        answer_two(&leader, &next).await;
        let first = next.get();
        tokio::select! {
            (one, two) = async { tokio::join!(write("3"), async {
                leader.take_changes().await;
                write("4").await
            }) } => { one.unwrap(); two.unwrap(); }
            () = store_all(&leader, &next, Duration::ZERO) => {}
        }
        if next.get() == first + 1 {
            return;
        }
    }
    panic!("no transaction waited for the second command");
}

#[actix::test]
async fn what_waits_for_more_is_stored_when_no_more_comes_and_when_the_service_stops() {
    let leader = Leader::new();
    let next = Cell::new(2);
    answer_two(&leader, &next).await;
    leader.create("alone", next.replace(next.get() + 1)).await;
    answer_two(&leader, &next).await;
    let last = next.get();
    let (written, close) = (leader.db.write(creation(vec![task("a", "last")])), async {
        leader.take_changes().await;
        leader.db.environment.port::<_, CloseDatabase>("db", &leader.db.database.owner).call(CloseDatabase).await
    });
    tokio::select! {
        (written, closed) = async { tokio::join!(written, close) } => { written.unwrap(); closed.unwrap(); }
        () = store_all(&leader, &next, Duration::ZERO) => {}
    }
    assert_eq!((next.get(), log_state(leader.db.folder.path()).unwrap().entry), (last + 1, last));
}

pub(super) struct Follower {
    apply: Port<ApplyRows>,
    migrate: Port<ApplyMigration>,
    database: FollowingDatabase,
    environment: ActorEnvironment,
    pub(super) folder: tempfile::TempDir,
    _arbiter: Arbiter,
}

impl Follower {
    fn of(leader: &Leader) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&leader.db.folder.path().join(crate::DATABASE), &folder.path().join(crate::DATABASE)).unwrap();
        Self::open(folder)
    }

    pub(super) fn open(folder: tempfile::TempDir) -> Self {
        let arbiter = Arbiter::new();
        let environment = ActorEnvironment::system(Arc::new(|name: &str| panic!("{name} gave up")));
        let lock = FolderLock::take(folder.path()).unwrap();
        let database =
            FollowingDatabase::open(lock, &arbiter.handle(), environment.kit("db"), CommitHints::default()).unwrap();
        let apply = environment.port::<_, ApplyRows>("db", &database.follower);
        let migrate = environment.port::<_, ApplyMigration>("db", &database.follower);
        Self { apply, migrate, database, environment, folder, _arbiter: arbiter }
    }

    async fn apply(&self, rows: &AppendRows, entry: u64) -> SegmentOutcome {
        let AppendRows { digest, bytes, .. } = rows.clone();
        self.apply.call(ApplyRows { entry, digest, bytes }).await.unwrap()
    }

    pub(super) async fn migrate(&self, migration: &SchemaMigration, entry: u64) -> SegmentOutcome {
        let migration = migration.clone();
        self.migrate.call(ApplyMigration { entry, migration, has_frames: true, at: noon() }).await.unwrap()
    }

    pub(super) async fn applied(&self, rows: &AppendRows, entry: u64) -> bool {
        matches!(self.apply(rows, entry).await, SegmentOutcome::Applied { .. })
    }

    pub(super) async fn jobs(&self) -> Vec<String> {
        jobs(&self.environment, &self.database.readers).await
    }
}

#[actix::test]
async fn a_follower_applies_each_transaction_once_and_in_order() {
    let leader = Leader::new();
    leader.create("1", 2).await;
    let follower = Follower::of(&leader);
    let [second, third, fourth] =
        [leader.create("2", 3).await, leader.create("3", 4).await, leader.create("4", 5).await];
    assert!(follower.applied(&second, 3).await && follower.applied(&second, 3).await, "again does no harm");
    let SegmentOutcome::Diverged(gap) = follower.apply(&fourth, 5).await else { panic!("it was applied") };
    assert!(gap.contains("are missing"), "{gap}");
    assert!(follower.applied(&third, 4).await && follower.applied(&fourth, 5).await);
    assert_eq!(follower.jobs().await, ["1", "2", "3", "4"]);
    let [here, there] = [leader.db.folder.path(), follower.folder.path()].map(|folder| log_state(folder).unwrap());
    assert_eq!(here, there);
    // The same changes of another history don't go on from this one.
    let other = Leader::new();
    other.create("1", 2).await;
    for (job, entry) in [("2", 3), ("3", 4), ("4", 5)] {
        other.create(job, entry).await;
    }
    let fifth = other.create("5", 6).await;
    let SegmentOutcome::Diverged(fork) = follower.apply(&fifth, 6).await else { panic!("it was applied") };
    assert!(fork.contains("doesn't follow"), "{fork}");
}

#[actix::test]
async fn a_new_leader_ships_what_the_former_one_had_not() {
    let leader = Leader::new();
    leader.create("1", 2).await;
    let follower = Follower::of(&leader);
    let frames = [leader.create("2", 3).await, leader.create("3", 4).await];
    let segment = |db: &Db| {
        let read = db.environment.port::<_, ReadSegment>("db", &db.database.owner);
        async move { read.call(ReadSegment { at: noon(), most: 1_000 }).await.unwrap().segment }
    };
    let sent = segment(&leader.db).await.unwrap();
    let forget =
        ForgetChanges { chain: sent.chain, upto: sent.upto, digest: sent.digest.clone(), entry: 5, limit: 1_000 };
    leader.db.write(forget).await.unwrap();
    let last = leader.create("4", 6).await;
    for (rows, entry) in frames.iter().zip(3..) {
        assert!(follower.applied(rows, entry).await);
    }
    assert!(follower.applied(&last, 6).await);
    assert_eq!(follower.jobs().await, ["1", "2", "3", "4"]);
    let Follower { folder, database, environment, _arbiter, .. } = follower;
    environment.port::<_, CloseDatabase>("db", &database.follower).call(CloseDatabase).await.unwrap();
    drop(database);
    let next = Leader::on(folder, 7);
    let [unsent, expected] = [segment(&next.db).await.unwrap(), segment(&leader.db).await.unwrap()];
    assert_eq!((unsent.after, unsent.upto, unsent.digest), (expected.after, expected.upto, expected.digest));
    next.create("5", 8).await;
    assert_eq!(next.jobs().await, ["1", "2", "3", "4", "5"]);
}

#[actix::test]
async fn a_row_that_is_not_the_leaders_is_found_and_nothing_goes_on_from_there() {
    let leader = Leader::new();
    let follower = Follower::of(&leader);
    let by_hand = rusqlite::Connection::open(follower.folder.path().join(crate::DATABASE)).unwrap();
    by_hand.execute("INSERT INTO name (id, text) VALUES (77, 'odd')", []).unwrap();
    // The first transaction tells of the first rows, which here are all.
    let rows = leader.create("1", 2).await;
    let SegmentOutcome::Differs(what) = follower.apply(&rows, 2).await else { panic!("it was applied") };
    assert!(what.contains("aren't what the leader has"), "{what}");
    assert!(follower.jobs().await.is_empty());
    by_hand.execute("DELETE FROM name WHERE id = 77", []).unwrap();
    assert!(follower.applied(&rows, 2).await);
    assert_eq!(follower.jobs().await, ["1"]);
}

#[actix::test]
async fn a_backup_that_begins_anew_keeps_its_followers() {
    let leader = Leader::new();
    leader.create("1", 2).await;
    let follower = Follower::of(&leader);
    leader.db.write(RestartChangeLog { chain: 99 }).await.unwrap();
    let rows = leader.create("2", 3).await;
    assert!(follower.applied(&rows, 3).await);
    let [here, there] = [leader.db.folder.path(), follower.folder.path()].map(|folder| log_state(folder).unwrap());
    assert_eq!((here.point.chain, here), (99, there));
}

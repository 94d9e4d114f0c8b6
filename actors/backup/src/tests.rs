//! Snapshots over days that pass in milliseconds, of a database that is one text.

use std::sync::{Arc, Mutex};

use actix::{Actor, Arbiter, Handler};
use flowlord_domain::{AlertKind, NewAlert};
use flowlord_kernel::{Clock as _, Ping, Port, WorkCounter};
use flowlord_messages::alerts::RaiseAlerts;
use flowlord_messages::clients::{BackupClient, ClusterClient};
use flowlord_messages::cluster::{AppendRecord, SharedRecord};
use flowlord_messages::snapshots::DatabaseCopy;
use flowlord_storage::{HiddenValue, S3Access, StorageConfig, StorageConnections, StorageLocation};
use flowlord_testkit::{ACCESS_KEY, FakeStore, VirtualClock};

use super::*;

#[derive(Debug, Default)]
struct Rows {
    copies: usize,
    alerts: Vec<NewAlert>,
    refuse: bool,
    refuse_alerts: bool,
    /// By which the cluster's log refuses the next entries; none without a cluster.
    refusals: Option<Vec<Code>>,
    announced: Vec<SharedRecord>,
}

#[derive(Clone, Default)]
struct Stub(Arc<Mutex<Rows>>);

impl Actor for Stub {
    type Context = Context<Self>;
}

impl Handler<CopyDatabase> for Stub {
    type Result = Result<DatabaseCopy>;

    fn handle(&mut self, command: CopyDatabase, _: &mut Self::Context) -> Self::Result {
        let mut rows = self.0.lock().unwrap();
        if rows.refuse {
            return Err(Error::new(Code::Storage, "the disk is full"));
        }
        rows.copies += 1;
        std::fs::create_dir_all(command.to.parent().unwrap()).unwrap();
        std::fs::write(&command.to, "copy").unwrap();
        Ok(DatabaseCopy { path: command.to, bytes: 4, log: None })
    }
}

impl Handler<AppendRecord> for Stub {
    type Result = Result<u64>;

    fn handle(&mut self, AppendRecord(record): AppendRecord, _: &mut Self::Context) -> Self::Result {
        let mut rows = self.0.lock().unwrap();
        if let Some(code) = rows.refusals.as_mut().and_then(Vec::pop) {
            return Err(Error::new(code, "not now"));
        }
        rows.announced.push(record);
        Ok(1)
    }
}

impl Handler<RaiseAlerts> for Stub {
    type Result = Result<()>;

    fn handle(&mut self, raise: RaiseAlerts, _: &mut Self::Context) -> Self::Result {
        let mut rows = self.0.lock().unwrap();
        if rows.refuse_alerts {
            return Err(Error::new(Code::Storage, "the disk is full"));
        }
        rows.alerts.extend(raise.alerts);
        Ok(())
    }
}

struct Bench {
    rows: Stub,
    clock: VirtualClock,
    store: FakeStore,
    folder: tempfile::TempDir,
    arbiter: Arbiter,
    client: BackupClient,
    stop: Port<StopBackup>,
}

fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

impl Bench {
    async fn new(every: Option<TimeDelta>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("snapshots").display().to_string();
        Self::start(Stub::default(), folder, FakeStore::start(), &place, noon(), every).await
    }

    /// With a place in an object store.
    async fn remote(every: Option<TimeDelta>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start(Stub::default(), folder, FakeStore::start(), "s3://bucket/flow", noon(), every).await
    }

    /// As the leader of a cluster, whose log refuses the first entries so.
    async fn clustered(refusals: &[Code], is_garbling: bool) -> Self {
        let (folder, store) = (tempfile::tempdir().unwrap(), FakeStore::start());
        store.set_garbling(is_garbling);
        let rows = Stub::default();
        rows.0.lock().unwrap().refusals = Some(refusals.to_vec());
        Self::start(rows, folder, store, "s3://bucket/flow", noon(), Some(hours(24))).await
    }

    async fn start(
        rows: Stub,
        folder: tempfile::TempDir,
        store: FakeStore,
        place: &str,
        now: DateTime<Utc>,
        every: Option<TimeDelta>,
    ) -> Self {
        let clock = VirtualClock::new(now, WorkCounter::default());
        let arbiter = Arbiter::new();
        let (stub, is_clustered) = (rows.clone(), rows.0.lock().unwrap().refusals.is_some());
        let db = Stub::start_in_arbiter(&arbiter.handle(), move |_| stub);
        let environment = clock.environment();
        let deps = Deps {
            kit: environment.kit("backup"),
            copier: DatabaseCopier::unconnected().with::<CopyDatabase>(environment.port("db", &db)),
            alert_sender: AlertSender::new(environment.port("db", &db), &environment),
            changed: LatePort::default(),
            cluster: is_clustered
                .then(|| ClusterClient::unconnected().with::<AppendRecord>(environment.port("replica", &db))),
        };
        let config = Config { spool: folder.path().join("spool"), every, keep: 3, chain: None, is_due_at_start: false };
        let s3 = S3Access {
            endpoint: Some(store.url()),
            access_key: Some(ACCESS_KEY.to_owned()),
            secret_key: Some(HiddenValue::new("secret")),
            ..S3Access::default()
        };
        let stores = StorageConnections::new(StorageConfig { s3, ..StorageConfig::default() });
        let place = BackupPlace::open(&StorageLocation::parse(place).unwrap(), &stores).unwrap();
        let backup = Backup::start(&arbiter.handle(), config, place, deps);
        environment.port("backup", &backup).call(Ping).await.unwrap();
        clock.settle().await;
        let client = BackupClient::connect("backup", &backup, &environment);
        let stop = environment.port("backup", &backup);
        Self { rows, clock, store, folder, arbiter, client, stop }
    }

    fn copies(&self) -> usize {
        self.rows.0.lock().unwrap().copies
    }

    async fn listed(&self) -> Vec<DateTime<Utc>> {
        self.client.call(ListSnapshots).await.unwrap().items.into_iter().map(|item| item.at).collect()
    }
}

fn hours(hours: i64) -> TimeDelta {
    TimeDelta::hours(hours)
}

#[actix::test]
async fn one_is_taken_when_it_is_due_also_over_a_restart_and_the_newest_stay() {
    let bench = Bench::new(Some(hours(24))).await;
    assert_eq!(bench.copies(), 1, "there was none");
    bench.clock.advance(hours(47)).await;
    assert_eq!(bench.copies(), 2);
    let Bench { rows, clock, store, folder, arbiter, .. } = bench;
    arbiter.stop();
    arbiter.join().unwrap();
    let place = folder.path().join("snapshots").display().to_string();
    let bench = Bench::start(rows, folder, store, &place, clock.now(), Some(hours(24))).await;
    assert_eq!(bench.copies(), 2, "the last one is a day old in an hour");
    bench.clock.advance(hours(49)).await;
    assert_eq!(bench.copies(), 5);
    assert_eq!(bench.listed().await, [noon() + hours(96), noon() + hours(72), noon() + hours(48)]);
}

#[actix::test]
async fn those_who_ask_at_the_same_time_share_one() {
    let bench = Bench::new(None).await;
    bench.clock.advance(hours(72)).await;
    assert_eq!(bench.copies(), 0, "without a backup place there is one only when asked");
    let asked: Vec<_> = (0..20).map(|_| bench.client.call(TakeSnapshot::default())).collect();
    let mut taken = Vec::new();
    for one in asked {
        taken.push(one.await.unwrap());
    }
    assert!(bench.copies() < 20, "{}", bench.copies());
    assert!(taken.iter().all(|one| *one == taken[0]), "{taken:?}");
    let elsewhere = bench.folder.path().join("mine.db");
    let other = bench.client.call(TakeSnapshot { to: Some(elsewhere.clone()) }).await.unwrap();
    assert_eq!(other.location, elsewhere.display().to_string());
    assert_eq!(bench.listed().await, [noon() + hours(72)], "one elsewhere isn't one of them");
}

#[actix::test]
async fn more_than_can_wait_are_refused() {
    let bench = Bench::new(None).await;
    let to = |n: usize| Some(bench.folder.path().join(format!("{n}.db")));
    // No copy is made before all were asked for, however slowly this thread gets on.
    let copying = bench.rows.0.lock().unwrap();
    let asked: Vec<_> = (0..40).map(|n| bench.client.call(TakeSnapshot { to: to(n) })).collect();
    drop(copying);
    let mut refused = 0;
    for one in asked {
        refused += usize::from(one.await.is_err_and(|err| err.code == Code::Busy));
    }
    assert!((1..=40 - MAX_WAITING).contains(&refused), "{refused}");
    assert_eq!(bench.copies(), 40 - refused, "whoever wasn't refused got one");
}

#[actix::test]
async fn one_that_fails_is_told_once_and_tried_again_until_it_is_there() {
    let bench = Bench::new(Some(hours(24))).await;
    bench.rows.0.lock().unwrap().refuse = true;
    bench.clock.advance(hours(25)).await;
    let snapshots = bench.client.call(ListSnapshots).await.unwrap();
    assert_eq!(snapshots.problem.as_deref(), Some("the disk is full"));
    {
        let mut rows = bench.rows.0.lock().unwrap();
        assert_eq!(rows.alerts.len(), 1, "one alert for as long as it lasts");
        assert_eq!(rows.alerts[0].kind, AlertKind::Snapshot);
        assert_eq!(rows.alerts[0].msg, "no snapshot was taken: the disk is full");
        rows.refuse = false;
    }
    bench.clock.advance(RETRY_DELAY).await;
    let snapshots = bench.client.call(ListSnapshots).await.unwrap();
    assert_eq!((snapshots.problem, snapshots.items.len()), (None, 2));
    let asked = bench.client.call(TakeSnapshot::default()).await;
    assert!(asked.is_ok());
}

#[actix::test]
async fn alerts_that_cannot_be_stored_wait_until_they_can() {
    let bench = Bench::new(Some(hours(24))).await;
    {
        let mut rows = bench.rows.0.lock().unwrap();
        (rows.refuse, rows.refuse_alerts) = (true, true);
    }
    bench.clock.advance(hours(60)).await;
    {
        let mut rows = bench.rows.0.lock().unwrap();
        assert_eq!(rows.alerts, []);
        rows.refuse_alerts = false;
    }
    bench.clock.advance(TimeDelta::seconds(10)).await;
    let rows = bench.rows.0.lock().unwrap();
    let told: Vec<_> = rows.alerts.iter().map(|alert| alert.msg.split(' ').next().unwrap()).collect();
    assert_eq!(told, ["no", "the"], "in their order, each once: {:?}", rows.alerts);
    assert_eq!(rows.alerts[0].at, noon() + hours(24), "as of when it was");
}

#[actix::test]
async fn a_refresh_backs_up_where_there_is_a_backup() {
    for (every, copies) in [(Some(hours(24)), 2), (None, 0)] {
        let bench = Bench::new(every).await;
        bench.clock.advance(hours(1)).await;
        assert!(bench.client.hint(TakeBackup));
        bench.clock.settle().await;
        assert_eq!(bench.copies(), copies);
    }
}

#[actix::test]
async fn the_stop_takes_a_last_one_and_then_there_are_no_more() {
    let bench = Bench::new(Some(hours(24))).await;
    bench.clock.advance(hours(1)).await;
    bench.stop.call(StopBackup).await.unwrap();
    assert_eq!(bench.listed().await, [noon() + hours(1), noon()]);
    bench.clock.advance(hours(100)).await;
    assert_eq!(bench.copies(), 2);
    let bench = Bench::new(None).await;
    bench.stop.call(StopBackup).await.unwrap();
    assert_eq!(bench.copies(), 0, "without a backup place");
}

#[actix::test]
async fn in_an_object_store_it_counts_once_it_was_read_back() {
    let bench = Bench::remote(Some(hours(24))).await;
    bench.clock.advance(hours(24 * 4)).await;
    assert_eq!(bench.listed().await.len(), 3, "the newest stay there, too");
    let names = bench.store.paths("bucket/flow/");
    assert_eq!(names.len(), 6, "each with its receipt: {names:?}");
    let spooled = std::fs::read_dir(bench.folder.path().join("spool")).unwrap().count();
    assert_eq!(spooled, 0, "nothing stays here");
    let state = bench.client.call(ReadBackup).await.unwrap();
    assert_eq!(state.place.as_deref(), Some("s3://bucket/flow"));
    let verified = state.verified.unwrap();
    assert_eq!((verified.at, verified.verified), (noon() + hours(96), true));
    assert!(verified.location.starts_with("s3://bucket/flow/flowlord-2026"), "{}", verified.location);

    bench.store.set_garbling(true);
    bench.clock.advance(hours(24)).await;
    let state = bench.client.call(ReadBackup).await.unwrap();
    assert!(state.problem.unwrap().contains("differs from what was sent there"));
    assert_eq!(state.verified.unwrap().at, noon() + hours(96), "the last one that is good");
    assert_eq!(bench.listed().await.len(), 3, "what is bad took no place");
}

#[actix::test]
async fn what_was_sent_without_being_read_back_does_not_count_and_leaves_with_the_old() {
    let bench = Bench::remote(Some(hours(24))).await;
    fault::plan(bench.folder.path(), FaultPoint::DuringUpload, fault::FaultEffect::Broken, 1);
    let refused = bench.client.call(TakeSnapshot::default()).await.unwrap_err();
    assert_eq!(refused.code, Code::Storage);
    let snapshots = bench.client.call(ListSnapshots).await.unwrap().items;
    assert_eq!(snapshots.iter().filter(|snapshot| snapshot.verified).count(), 1, "{snapshots:?}");
    bench.clock.advance(hours(24 * 4)).await;
    let snapshots = bench.client.call(ListSnapshots).await.unwrap().items;
    assert!(snapshots.iter().all(|snapshot| snapshot.verified), "{snapshots:?}");
    assert_eq!((snapshots.len(), bench.store.paths("bucket/flow/").len()), (3, 6));
}

#[actix::test]
async fn a_store_that_is_away_is_one_alert_and_another_when_the_newest_grows_old() {
    let minutes = TimeDelta::minutes;
    let bench = Bench::remote(Some(minutes(20))).await;
    bench.store.set_broken(Some(500));
    bench.clock.advance(minutes(21)).await;
    let told =
        || -> Vec<String> { bench.rows.0.lock().unwrap().alerts.iter().map(|alert| alert.msg.clone()).collect() };
    assert_eq!(told().len(), 1, "{:?}", told());
    assert!(told()[0].contains("500 Internal Server Error"), "{:?}", told());
    bench.clock.advance(minutes(30)).await;
    assert_eq!(told().len(), 2, "{:?}", told());
    assert!(told()[1].contains("older than twice backup.every (20m)"), "{:?}", told());
    bench.store.set_broken(None);
    bench.clock.advance(RETRY_DELAY).await;
    let state = bench.client.call(ReadBackup).await.unwrap();
    assert_eq!((state.problem, told().len()), (None, 2));
}

#[actix::test]
async fn in_a_cluster_a_snapshot_counts_once_it_was_read_back_and_is_named() {
    let receipts = |bench: &Bench| bench.store.paths("bucket/flow/").iter().filter(|it| it.ends_with(".json")).count();
    let announced = |bench: &Bench| bench.rows.0.lock().unwrap().announced.len();
    let bench = Bench::clustered(&[], false).await;
    assert_eq!((announced(&bench), receipts(&bench)), (1, 1));
    let behind = Bench::clustered(&[Code::NotReady], false).await;
    assert_eq!((announced(&behind), receipts(&behind)), (1, 1), "it was tried again");
    let deposed = Bench::clustered(&[Code::NotLeader], false).await;
    assert_eq!((announced(&deposed), receipts(&deposed)), (0, 0), "it may hold what nobody else has");
    let garbled = Bench::clustered(&[], true).await;
    assert_eq!((announced(&garbled), receipts(&garbled)), (0, 0), "followers would wait for it in vain");
}

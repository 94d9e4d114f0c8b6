//! The shipper over a store that goes away and comes back, in virtual time.

use std::sync::{Arc, Mutex};

use actix::{Actor, Arbiter, Context, Handler};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::{Code, Error, Ping, Port, Result, WorkCounter};
use flowlord_messages::AlertSender;
use flowlord_messages::alerts::RaiseAlerts;
use flowlord_messages::changelog::{
    ChangeSegment, ChangeTail, ForgetChanges, LogPoint, ReadSegment, ReadShippingState, RestartChangeLog, StopShipping,
};
use flowlord_messages::clients::{BackupClient, ClusterClient, DatabaseCopier, DatabaseWriter};
use flowlord_messages::cluster::{AppendRecord, SharedRecord};
use flowlord_messages::snapshots::{BackupState, ReadBackup, TakeBackup};
use flowlord_storage::{HiddenValue, S3Access, StorageConfig, StorageConnections, StorageLocation};
use flowlord_testkit::{ACCESS_KEY, FakeStore, VirtualClock};

use crate::{BackupPlace, ShipConfig, ShipDeps, Shipper};

/// A database that counts its changes.
#[derive(Debug, Default)]
struct Rows {
    chain: u64,
    taken: i64,
    changed: i64,
    /// The log of the newest snapshot.
    base: Option<u64>,
    snapshots_asked: usize,
    alerts: Vec<String>,
    /// What was appended to the cluster's log, and whether nothing more can be.
    entries: Vec<SharedRecord>,
    is_deposed: bool,
    /// The entry that was noted with the last segment.
    entry: u64,
}

#[derive(Clone)]
struct Stub(Arc<Mutex<Rows>>);

impl Actor for Stub {
    type Context = Context<Self>;
}

impl Handler<ReadSegment> for Stub {
    type Result = Result<ChangeTail>;

    fn handle(&mut self, read: ReadSegment, _: &mut Self::Context) -> Self::Result {
        let rows = self.0.lock().unwrap();
        let pending = u64::try_from(rows.changed - rows.taken).unwrap();
        let (chain, after, upto) = (rows.chain, rows.taken, rows.changed);
        let segment =
            || ChangeSegment { chain, after, upto, at: read.at, digest: format!("{upto:064}"), bytes: vec![7] };
        let segment = (pending > 0 && pending <= read.most).then(segment);
        Ok(ChangeTail { chain: Some(chain), pending, segment })
    }
}

impl Handler<ForgetChanges> for Stub {
    type Result = Result<bool>;

    fn handle(&mut self, forget: ForgetChanges, _: &mut Self::Context) -> Self::Result {
        let mut rows = self.0.lock().unwrap();
        let more = rows.taken < forget.upto;
        (rows.taken, rows.entry) = (forget.upto, forget.entry);
        Ok(more)
    }
}

impl Handler<RestartChangeLog> for Stub {
    type Result = Result<()>;

    fn handle(&mut self, restart: RestartChangeLog, _: &mut Self::Context) -> Self::Result {
        let mut rows = self.0.lock().unwrap();
        (rows.chain, rows.taken, rows.changed) = (restart.chain, 0, 0);
        Ok(())
    }
}

impl Handler<RaiseAlerts> for Stub {
    type Result = Result<()>;

    fn handle(&mut self, raise: RaiseAlerts, _: &mut Self::Context) -> Self::Result {
        self.0.lock().unwrap().alerts.extend(raise.alerts.into_iter().map(|alert| alert.msg));
        Ok(())
    }
}

impl Handler<ReadBackup> for Stub {
    type Result = Result<BackupState>;

    fn handle(&mut self, _: ReadBackup, _: &mut Self::Context) -> Self::Result {
        let log = self.0.lock().unwrap().base.map(|chain| LogPoint { chain, position: 0 });
        Ok(BackupState { log, ..BackupState::default() })
    }
}

impl Handler<TakeBackup> for Stub {
    type Result = ();

    fn handle(&mut self, _: TakeBackup, _: &mut Self::Context) {
        self.0.lock().unwrap().snapshots_asked += 1;
    }
}

impl Handler<AppendRecord> for Stub {
    type Result = Result<u64>;

    fn handle(&mut self, AppendRecord(record): AppendRecord, _: &mut Self::Context) -> Self::Result {
        let mut rows = self.0.lock().unwrap();
        if rows.is_deposed {
            return Err(Error::new(Code::NotLeader, "another node leads"));
        }
        rows.entries.push(record);
        Ok(40 + rows.entries.len() as u64)
    }
}

struct Bench {
    rows: Arc<Mutex<Rows>>,
    clock: VirtualClock,
    store: FakeStore,
    read: Port<ReadShippingState>,
    stop: Port<StopShipping>,
    _arbiter: Arbiter,
}

fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn seconds(seconds: i64) -> TimeDelta {
    TimeDelta::seconds(seconds)
}

impl Bench {
    async fn new(every: Option<TimeDelta>) -> Self {
        Self::start(every, false).await
    }

    async fn start(every: Option<TimeDelta>, is_clustered: bool) -> Self {
        let rows = Arc::new(Mutex::new(Rows { chain: 1, base: Some(1), ..Rows::default() }));
        let (store, arbiter) = (FakeStore::start(), Arbiter::new());
        let clock = VirtualClock::new(noon(), WorkCounter::default());
        let stub = Stub(Arc::clone(&rows));
        let db = Stub::start_in_arbiter(&arbiter.handle(), move |_| stub);
        let environment = clock.environment();
        let deps = ShipDeps {
            kit: environment.kit("shipper"),
            copier: DatabaseCopier::unconnected().with::<ReadSegment>(environment.port("db", &db)),
            writer: DatabaseWriter::unconnected()
                .with::<ForgetChanges>(environment.port("db", &db))
                .with::<RestartChangeLog>(environment.port("db", &db)),
            alert_sender: AlertSender::new(environment.port("db", &db), &environment),
            backup: BackupClient::unconnected()
                .with::<ReadBackup>(environment.port("backup", &db))
                .with::<TakeBackup>(environment.port("backup", &db)),
            cluster: is_clustered
                .then(|| ClusterClient::unconnected().with::<AppendRecord>(environment.port("replica", &db))),
        };
        let s3 = S3Access {
            endpoint: Some(store.url()),
            access_key: Some(ACCESS_KEY.to_owned()),
            secret_key: Some(HiddenValue::new("secret")),
            ..S3Access::default()
        };
        let stores = StorageConnections::new(StorageConfig { s3, ..StorageConfig::default() });
        let place = BackupPlace::open(&StorageLocation::parse("s3://bucket/flow").unwrap(), &stores).unwrap();
        let shipper = Shipper::start(&arbiter.handle(), ShipConfig { every, most: 100 }, place, deps);
        environment.port("shipper", &shipper).call(Ping).await.unwrap();
        clock.settle().await;
        let (read, stop) = (environment.port("shipper", &shipper), environment.port("shipper", &shipper));
        Self { rows, clock, store, read, stop, _arbiter: arbiter }
    }

    fn change(&self, count: i64) {
        self.rows.lock().unwrap().changed += count;
    }

    fn segments(&self) -> usize {
        self.store.paths("bucket/flow/log/20260301/").len()
    }

    fn alerts(&self) -> Vec<String> {
        self.rows.lock().unwrap().alerts.clone()
    }
}

#[actix::test]
async fn what_changed_is_shipped_every_few_seconds_and_nothing_where_nothing_did() {
    let bench = Bench::new(Some(seconds(5))).await;
    let state = bench.read.call(ReadShippingState).await.unwrap();
    assert_eq!((state.on, state.based, state.until), (true, true, Some(noon())));
    bench.clock.advance(seconds(60)).await;
    assert_eq!(bench.segments(), 0);
    bench.change(3);
    bench.clock.advance(seconds(5)).await;
    assert_eq!(bench.segments(), 1);
    bench.change(1);
    bench.stop.call(StopShipping).await.unwrap();
    assert_eq!(bench.segments(), 2, "the stop ships what is left");
    bench.change(1);
    bench.clock.advance(seconds(60)).await;
    assert_eq!(bench.segments(), 2);
    let off = Bench::new(None).await;
    off.change(1);
    off.clock.advance(seconds(60)).await;
    off.stop.call(StopShipping).await.unwrap();
    assert_eq!((off.segments(), off.read.call(ReadShippingState).await.unwrap().on), (0, false));
}

#[actix::test]
async fn a_store_that_is_away_a_while_is_one_alert_and_is_caught_up_with() {
    let bench = Bench::new(Some(seconds(5))).await;
    bench.store.set_broken(Some(500));
    bench.change(1);
    bench.clock.advance(seconds(30)).await;
    let state = bench.read.call(ReadShippingState).await.unwrap();
    assert!(state.problem.unwrap().contains("can't be reached"));
    assert_eq!((state.pending, state.until, bench.alerts().len()), (1, Some(noon()), 0), "a moment is none");
    bench.change(50);
    bench.clock.advance(seconds(120)).await;
    let told = bench.alerts();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("changes since 2026-03-01T12:00:00Z aren't in the backup: "), "{told:?}");
    bench.store.set_broken(None);
    bench.clock.advance(seconds(15)).await;
    let state = bench.read.call(ReadShippingState).await.unwrap();
    assert_eq!((state.pending, state.problem, bench.segments()), (0, None, 1), "all of it in one");
    assert!(state.based);
}

#[actix::test]
async fn too_much_begins_the_log_anew_and_asks_for_a_snapshot_until_one_is_there() {
    let bench = Bench::new(Some(seconds(5))).await;
    bench.change(101);
    bench.clock.advance(seconds(5)).await;
    let state = bench.read.call(ReadShippingState).await.unwrap();
    assert_eq!((state.based, bench.segments(), bench.alerts().len()), (false, 0, 1));
    assert!(bench.alerts()[0].contains("a new change log begins with the next snapshot"), "{:?}", bench.alerts());
    assert_eq!(bench.rows.lock().unwrap().snapshots_asked, 1);
    bench.clock.advance(TimeDelta::minutes(11)).await;
    assert_eq!(bench.rows.lock().unwrap().snapshots_asked, 2, "not at every look");
    {
        let mut rows = bench.rows.lock().unwrap();
        rows.base = Some(rows.chain);
    }
    bench.clock.advance(seconds(5)).await;
    assert!(bench.read.call(ReadShippingState).await.unwrap().based);
    bench.change(1);
    bench.clock.advance(TimeDelta::minutes(11)).await;
    assert_eq!((bench.segments(), bench.rows.lock().unwrap().snapshots_asked), (1, 2));
}

#[actix::test]
async fn in_a_cluster_a_segment_counts_once_it_is_named_and_is_removed_when_it_never_will_be() {
    let bench = Bench::start(Some(seconds(5)), true).await;
    assert_eq!(bench.rows.lock().unwrap().entries, [SharedRecord::Current { at: noon() }], "there is nothing to send");
    bench.change(3);
    bench.clock.advance(seconds(5)).await;
    {
        let rows = bench.rows.lock().unwrap();
        let SharedRecord::Segment { path, log, bytes, .. } = &rows.entries[1] else { panic!("{:?}", rows.entries) };
        assert_eq!((*log, *bytes, rows.entry), (LogPoint { chain: 1, position: 3 }, 1, 42));
        assert!(bench.store.read(&format!("bucket/flow/{path}")).is_some());
    }
    bench.rows.lock().unwrap().is_deposed = true;
    bench.change(1);
    bench.clock.advance(seconds(5)).await;
    assert_eq!(
        (bench.segments(), bench.rows.lock().unwrap().taken),
        (1, 3),
        "others would take it for a part of the log"
    );
    assert_eq!(bench.stop.call(StopShipping).await.unwrap_err().code, Code::NotLeader);
}

#[actix::test]
async fn a_stop_ships_also_what_came_while_another_was_under_way() {
    let bench = Bench::new(Some(seconds(5))).await;
    bench.store.set_broken(Some(503));
    bench.change(1);
    let stop = async {
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        // That one was read; the store is asked again in a moment.
        bench.change(1);
        let stopped = bench.stop.call(StopShipping);
        bench.store.set_broken(None);
        stopped.await
    };
    let (stopped, ()) = tokio::join!(stop, bench.clock.advance(seconds(5)));
    stopped.unwrap();
    let rows = bench.rows.lock().unwrap();
    assert_eq!((rows.taken, rows.changed), (2, 2));
}

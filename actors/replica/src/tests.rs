//! Two and more nodes at one log, in a folder and in a store whose answers get lost.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Arbiter, Context, Handler};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::{ActorEnvironment, Clock as _, Code, LatePort, Port, Result, SystemClock, time_since_boot};
use flowlord_messages::alerts::RaiseAlerts;
use flowlord_messages::changelog::LogPoint;
use flowlord_messages::clients::{ClusterClient, FollowedDatabase};
use flowlord_messages::cluster::{
    AppendRecord, ApplyMigration, ApplyRows, ApplySegment, DatabaseDifference, HandOver, LeaderLease, ListNodes,
    NodeAddress, NodeRole, NodeState, ReadCluster, ResignLead, SegmentOutcome, SharedRecord,
};
use flowlord_messages::snapshots::TakeBackup;
use flowlord_storage::{HiddenValue, S3Access, StorageConfig, StorageConnections, StorageLocation};
use flowlord_testkit::{ACCESS_KEY, FakeStore};

use super::*;
use crate::append::AppendOutcome;
use crate::entry::{EntryContent, LogEntry};
use crate::leader::BEAT_INTERVAL;
use crate::registry::register;

pub(crate) fn now() -> DateTime<Utc> {
    SystemClock.now()
}

pub(crate) fn own(node: &str) -> NodeIdentity {
    let address = NodeAddress { node: node.to_owned(), url: format!("http://{node}:8080") };
    NodeIdentity { address, id: format!("id of {node}"), version: "1.0.0".to_owned() }
}

pub(crate) fn folder_log() -> (tempfile::TempDir, ClusterLog) {
    let folder = tempfile::tempdir().unwrap();
    let location = StorageLocation::parse(&folder.path().display().to_string()).unwrap();
    let store = StorageConnections::new(StorageConfig::default()).open(&location).unwrap();
    (folder, ClusterLog::in_place(store))
}

fn store_log(fake: &FakeStore) -> ClusterLog {
    let s3 = S3Access {
        endpoint: Some(fake.url()),
        access_key: Some(ACCESS_KEY.to_owned()),
        secret_key: Some(HiddenValue::new("secret")),
        ..S3Access::default()
    };
    let stores = StorageConnections::new(StorageConfig { s3, ..StorageConfig::default() });
    ClusterLog::in_place(stores.open(&StorageLocation::parse("s3://bucket/flow").unwrap()).unwrap())
}

pub(crate) fn beat(node: &str, term: u64) -> LogEntry {
    own(node).entry(term, now(), EntryContent::Beat { through: None, workflows: None })
}

fn segment(number: i64) -> SharedRecord {
    let log = LogPoint { chain: 7, position: number };
    SharedRecord::Segment { path: format!("log/{number}"), digest: format!("d{number}"), bytes: 4, at: now(), log }
}

pub(crate) fn holding(applied: u64) -> OwnDatabase {
    OwnDatabase { applied, ..OwnDatabase::default() }
}

async fn joined(log: &ClusterLog, node: &str) -> JoinedRole {
    join(log, &own(node), false, &holding(0), now()).await.unwrap()
}

async fn joined_leader(log: &ClusterLog, node: &str) -> Lead {
    let JoinedRole::Leader(lead) = joined(log, node).await else { panic!("{node} doesn't lead") };
    lead
}

fn follows(role: &JoinedRole) -> bool {
    matches!(role, JoinedRole::Follower(_))
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} didn't come");
}

fn environment() -> ActorEnvironment {
    ActorEnvironment::system(Arc::new(|actor| panic!("{actor} gave up")))
}

/// A leader's replica by itself.
struct LeadingNode {
    client: ClusterClient,
    resign: Port<ResignLead>,
    lease: LeaderLease,
    role: RoleSwitch,
    /// How many were asked for.
    snapshots: Arc<Mutex<usize>>,
    /// What people were told.
    alerts: Arc<Mutex<Vec<String>>>,
}

struct StubBackup(Arc<Mutex<usize>>);

impl Actor for StubBackup {
    type Context = Context<Self>;
}

impl Handler<TakeBackup> for StubBackup {
    type Result = ();

    fn handle(&mut self, _: TakeBackup, _: &mut Self::Context) {
        *self.0.lock().unwrap() += 1;
    }
}

struct StubAlerts(Arc<Mutex<Vec<String>>>);

impl Actor for StubAlerts {
    type Context = Context<Self>;
}

impl Handler<RaiseAlerts> for StubAlerts {
    type Result = Result<()>;

    fn handle(&mut self, RaiseAlerts { alerts }: RaiseAlerts, _: &mut Self::Context) -> Self::Result {
        self.0.lock().unwrap().extend(alerts.into_iter().map(|alert| alert.msg));
        Ok(())
    }
}

fn lead(log: &ClusterLog, node: &str, lead: Lead) -> LeadingNode {
    lead_sending(log, node, lead, TimeDelta::seconds(5))
}

fn lead_sending(log: &ClusterLog, node: &str, lead: Lead, ship_every: TimeDelta) -> LeadingNode {
    let (lease, role, environment) = (LeaderLease::lapsed(), RoleSwitch::default(), environment());
    let deps = LeaderDeps {
        kit: environment.kit("replica"),
        lease: lease.clone(),
        role: role.clone(),
        changed: LatePort::default(),
        snapshot: LatePort::default(),
        alert: LatePort::default(),
        workflows: WorkflowSource::new(async || Some("1".to_owned())),
    };
    let (snapshots, alerts) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(Vec::new())));
    deps.alert.set(environment.port("db", &StubAlerts(Arc::clone(&alerts)).start()));
    deps.snapshot.set(environment.port("backup", &StubBackup(Arc::clone(&snapshots)).start()));
    let (takeover, warnings) = (lead.takeover.clone(), Vec::new());
    let config = LeaderConfig { own: own(node), lead, takeover, sent: None, ship_every, warnings };
    let leader = Leader::start(&Arbiter::current(), config, log.clone(), deps);
    let client = ClusterClient::connect("replica", &leader, &environment);
    LeadingNode { client, resign: environment.port("replica", &leader), lease, role, snapshots, alerts }
}

async fn leading(log: &ClusterLog, node: &str) -> LeadingNode {
    lead(log, node, joined_leader(log, node).await)
}

/// A database that notes what it is given, and answers as a test wants.
#[derive(Default)]
struct StubDatabase {
    applied: Arc<Mutex<Vec<u64>>>,
    refuses: Arc<Mutex<Option<u64>>>,
}

impl Actor for StubDatabase {
    type Context = Context<Self>;
}

impl Handler<ApplySegment> for StubDatabase {
    type Result = Result<SegmentOutcome>;

    fn handle(&mut self, segment: ApplySegment, _: &mut Self::Context) -> Self::Result {
        if *self.refuses.lock().unwrap() == Some(segment.entry) {
            return Ok(SegmentOutcome::Diverged("there is a gap".to_owned()));
        }
        self.applied.lock().unwrap().push(segment.entry);
        Ok(SegmentOutcome::Applied { at: now() })
    }
}

impl Handler<ApplyRows> for StubDatabase {
    type Result = Result<SegmentOutcome>;

    fn handle(&mut self, rows: ApplyRows, _: &mut Self::Context) -> Self::Result {
        self.applied.lock().unwrap().push(rows.entry);
        Ok(SegmentOutcome::Applied { at: now() })
    }
}

/// It knows tables up to version 7.
impl Handler<ApplyMigration> for StubDatabase {
    type Result = Result<SegmentOutcome>;

    fn handle(
        &mut self,
        ApplyMigration { entry, migration, at, .. }: ApplyMigration,
        _: &mut Self::Context,
    ) -> Self::Result {
        if migration.to > 7 {
            return Ok(SegmentOutcome::Newer("upgrade this node".to_owned()));
        }
        self.applied.lock().unwrap().push(entry);
        Ok(SegmentOutcome::Applied { at })
    }
}

struct FollowingNode {
    client: ClusterClient,
    applied: Arc<Mutex<Vec<u64>>>,
    refuses: Arc<Mutex<Option<u64>>>,
    role: RoleSwitch,
}

impl FollowingNode {
    fn start(log: &ClusterLog, node: &str, silence: Duration, reseeded_for: Option<u64>) -> Self {
        Self::start_after(log, node, silence, reseeded_for, (0, None))
    }

    /// With a database that holds the log up to an entry, and the newest one when it joined.
    fn start_after(
        log: &ClusterLog,
        node: &str,
        silence: Duration,
        reseeded_for: Option<u64>,
        (position, last): (u64, Option<LogEntry>),
    ) -> Self {
        let (database, environment, role) = (StubDatabase::default(), environment(), RoleSwitch::default());
        let (applied, refuses) = (Arc::clone(&database.applied), Arc::clone(&database.refuses));
        let deps = FollowerDeps {
            kit: environment.kit("replica"),
            database: FollowedDatabase::connect("db", &database.start(), &environment),
            role: role.clone(),
            changed: LatePort::default(),
            workflows: WorkflowSource::new(async || Some("2".to_owned())),
        };
        let last = LastEntry(last);
        let config = FollowerConfig {
            schema: 6,
            own_schema: 7,
            own: own(node),
            applied: position,
            reseeded_for,
            difference: None,
            through: None,
            silence,
            last,
            warnings: Vec::new(),
        };
        let follower = Follower::start(&Arbiter::current(), config, log.clone(), deps);
        let client = ClusterClient::unconnected()
            .with::<ReadCluster>(environment.port("replica", &follower))
            .with::<ListNodes>(environment.port("replica", &follower));
        Self { client, applied, refuses, role }
    }

    fn applied(&self) -> Vec<u64> {
        self.applied.lock().unwrap().clone()
    }
}

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(300);

fn segment_content(through: DateTime<Utc>) -> EntryContent {
    let (path, digest, chain) = ("log/1".to_owned(), "d1".to_owned(), "7".to_owned());
    EntryContent::Segment { path, digest, bytes: 4, chain, upto: 1, through }
}

async fn put_segments(log: &ClusterLog, numbers: impl IntoIterator<Item = i64>) {
    for number in numbers {
        log.store.put(&format!("log/{number}"), "rows").await.unwrap();
    }
}

#[actix::test]
async fn each_number_is_one_entry_and_entries_of_terms_stay() {
    let (_folder, log) = folder_log();
    assert_eq!((log.tip().await.unwrap(), log.next_after(0).await.unwrap()), (0, None));
    let (old, recent) = (now() - TimeDelta::days(9), now());
    let term = |number: u64, at| own("a").term_entry(number, at, None);
    for number in [1, 2, 999, 1_000, 1_999, 2_000, 2_001] {
        let entry = if number == 999 { term(1, old) } else { own("a").entry(1, old, beat("a", 1).content) };
        assert_eq!(log.append(number, &entry).await.unwrap(), AppendOutcome::Done);
        assert_eq!(log.append(number, &entry).await.unwrap(), AppendOutcome::Done, "done again, it is done once");
        let other = log.append(number, &beat("b", 2)).await.unwrap();
        assert_eq!(other, AppendOutcome::Taken(entry));
    }
    assert_eq!((log.tip().await.unwrap(), log.next_after(2).await.unwrap()), (2_001, Some(999)));
    assert_eq!((log.next_after(999).await.unwrap(), log.next_after(2_001).await.unwrap()), (Some(1_000), None));
    log.forget(old).await.unwrap();
    assert_eq!(log.next_after(0).await.unwrap(), Some(1), "they aren't older");
    log.forget(recent).await.unwrap();
    assert_eq!(log.next_after(0).await.unwrap(), Some(999), "the fence against a former leader");
    assert_eq!(log.next_after(999).await.unwrap(), Some(1_000), "the newest two folders stay");
}

#[actix::test]
async fn of_nodes_that_start_at_once_one_leads_and_it_leads_again_after_a_restart() {
    let (_folder, log) = folder_log();
    assert!(follows(&join(&log, &own("s"), true, &holding(0), now()).await.unwrap()), "a standby waits");
    let nodes: Vec<_> = (0..8).map(|n| own(&format!("n{n}"))).collect();
    // Each knows other numbers of another place.
    let databases: Vec<_> = (40..48).map(holding).collect();
    let joins = nodes.iter().zip(&databases).map(|(node, database)| join(&log, node, false, database, now()));
    let roles = futures_util::future::join_all(joins).await;
    let leads: Vec<_> =
        roles.into_iter().zip(&nodes).filter(|(role, _)| role.as_ref().is_ok_and(|role| !follows(role))).collect();
    assert_eq!(leads.len(), 1, "{leads:?}");
    let tip = log.tip().await.unwrap();
    assert!(
        matches!(&leads[0].0, Ok(JoinedRole::Leader(Lead { tail, is_first: true, .. })) if *tail == tip),
        "{leads:?}"
    );
    let again = join(&log, leads[0].1, true, &holding(0), now()).await.unwrap();
    let is_second = matches!(&again, JoinedRole::Leader(Lead { term: 2, takeover: None, is_first: false, .. }));
    assert!(is_second, "{again:?}");
    assert!(follows(&joined(&log, "other").await));
}

#[actix::test]
async fn the_first_entry_has_one_number_also_for_a_node_that_comes_late_with_another() {
    let (_folder, log) = folder_log();
    assert_eq!(log.first_number(44).await.unwrap(), 44);
    assert_eq!(log.first_number(48).await.unwrap(), 44, "as of a node that listed the place when it was empty");
    assert!(follows(&join(&log, &own("late"), false, &holding(47), now()).await.unwrap()), "it holds 44 of elsewhere");
    let led = join(&log, &own("early"), false, &holding(43), now()).await.unwrap();
    assert!(matches!(led, JoinedRole::Leader(Lead { tail: 44, is_first: true, .. })), "{led:?}");
}

#[actix::test]
async fn a_node_leads_again_only_with_all_that_it_shared_and_as_itself() {
    let (_folder, log) = folder_log();
    let node = leading(&log, "a").await;
    let first = node.client.call(AppendRecord(segment(1))).await.unwrap();
    node.client.call(AppendRecord(segment(2))).await.unwrap();
    drop(node);
    let at = |applied, position| {
        let point = Some(LogPoint { chain: 7, position });
        OwnDatabase { applied, point, begins_log: false }
    };
    let again = async |database: OwnDatabase| join(&log, &own("a"), false, &database, now()).await.unwrap();
    assert!(follows(&again(at(first, 1)).await), "it was put back to an earlier time");
    let other_log = OwnDatabase { applied: first, point: Some(LogPoint { chain: 8, position: 9 }), begins_log: false };
    assert!(follows(&again(other_log).await));
    // Killed before it noted that the last one was sent.
    assert!(!follows(&again(at(first, 2)).await));
    assert!(!follows(&again(holding(0)).await), "without a database it is restored, with the log");
    let copied = NodeIdentity { id: own("a").id, ..own("b") };
    let refused = join(&log, &copied, false, &at(first, 2), now()).await.unwrap_err().to_string();
    assert!(refused.contains("a copy of that of node a"), "{refused}");
}

#[actix::test]
async fn a_follower_migrates_with_its_leader_and_stops_where_it_does_not_know_how() {
    let (_folder, log) = folder_log();
    let migrate = |from, to| {
        let (digest, chain) = ("d".to_owned(), "63".to_owned());
        own("a").entry(1, now(), EntryContent::Migrate { from, to, digest, chain })
    };
    log.append(1, &own("a").term_entry(1, now(), None)).await.unwrap();
    log.append(2, &migrate(6, 7)).await.unwrap();
    let restarted = async |applied, chain| {
        let point = Some(LogPoint { chain, position: 0 });
        let database = OwnDatabase { applied, point, begins_log: false };
        join(&log, &own("a"), true, &database, now()).await.unwrap()
    };
    assert!(follows(&restarted(1, 7).await), "killed before it did what it had said: it does it as the others do");
    log.append(3, &migrate(7, 8)).await.unwrap();
    log.append(4, &beat("a", 1)).await.unwrap();
    let node = FollowingNode::start(&log, "b", SHORT, None);
    let state = async || node.client.call(ReadCluster).await.unwrap();
    until("the reason", async || state().await.problem.is_some_and(|why| why.contains("upgrade this node"))).await;
    assert_eq!((node.applied(), state().await.has_older_tables), (vec![2], false));
    log.append(5, &own("a").entry(1, now(), segment_content(now()))).await.unwrap();
    until("what comes behind", async || state().await.applied == 5).await;
    assert!(tokio::time::timeout(SHORT * 4, node.role.changed()).await.is_err(), "it never takes over");
    assert_eq!(node.applied(), [2]);
}

#[actix::test]
async fn a_place_that_replaces_what_is_there_is_found_out() {
    let (_folder, log) = folder_log();
    assert!(log.keeps_first("one").await.unwrap());
    assert!(log.keeps_first("one").await.unwrap(), "the probe is gone");
    let fake = FakeStore::start();
    let log = store_log(&fake);
    assert!(log.keeps_first("one").await.unwrap());
    fake.set_ignoring_conditions(true);
    assert!(!log.keeps_first("one").await.unwrap());
}

#[actix::test]
async fn a_leader_appends_in_order_also_when_answers_are_lost() {
    let fake = FakeStore::start();
    fake.set_page(1_000);
    let log = store_log(&fake);
    let node = leading(&log, "a").await;
    fake.set_losing_answers(true);
    let appended: Vec<_> = (1..=3).map(|n| node.client.call(AppendRecord(segment(n)))).collect();
    let back = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        fake.set_losing_answers(false);
    };
    let (numbers, ()) = tokio::join!(futures_util::future::join_all(appended), back);
    let numbers: Vec<u64> = numbers.into_iter().map(Result::unwrap).collect();
    assert_eq!(numbers, [numbers[0], numbers[0] + 1, numbers[0] + 2]);
    assert!(node.lease.is_held());
    for (number, nth) in numbers.iter().zip(1..) {
        let entry = log.read(*number).await.unwrap().unwrap();
        assert!(matches!(&entry.content, EntryContent::Segment { digest, .. } if *digest == format!("d{nth}")));
    }
    assert_eq!(PlaceLog::new(log.store.clone()).segments_after(0).await.unwrap().unwrap().len(), 3);
}

#[actix::test]
async fn a_leader_whose_number_is_taken_acknowledges_nothing_any_more() {
    let (_folder, log) = folder_log();
    let node = leading(&log, "a").await;
    node.client.call(AppendRecord(segment(1))).await.unwrap();
    assert!(node.lease.is_held());
    let tip = log.tip().await.unwrap();
    let term = own("b").term_entry(2, now(), None);
    assert_eq!(log.append(tip + 1, &term).await.unwrap(), AppendOutcome::Done);
    let refused = node.client.call(AppendRecord(segment(2))).await.unwrap_err();
    assert_eq!(refused.code, Code::NotLeader);
    assert!(!node.lease.is_held());
    assert_eq!(node.role.changed().await, RoleChange::Deposed { by: "b".to_owned() });
    assert_eq!(node.client.call(AppendRecord(segment(3))).await.unwrap_err().code, Code::NotLeader);
    assert_eq!(log.tip().await.unwrap(), tip + 1);
}

#[actix::test]
async fn a_snapshot_counts_once_segments_hold_all_of_it() {
    let (_folder, log) = folder_log();
    let node = leading(&log, "a").await;
    let snapshot = |position| {
        let log = Some(LogPoint { chain: 7, position });
        AppendRecord(SharedRecord::Snapshot { name: "s.db".to_owned(), log })
    };
    assert!(node.client.call(snapshot(0)).await.is_ok(), "there are no changes");
    assert_eq!(node.client.call(snapshot(2)).await.unwrap_err().code, Code::NotReady);
    node.client.call(AppendRecord(segment(1))).await.unwrap();
    assert_eq!(node.client.call(snapshot(2)).await.unwrap_err().code, Code::NotReady);
    let second = node.client.call(AppendRecord(segment(2))).await.unwrap();
    assert!(node.client.call(snapshot(2)).await.unwrap() > second);
}

#[actix::test]
async fn a_follower_applies_what_comes_passes_holes_and_knows_the_leader() {
    let (_folder, log) = folder_log();
    put_segments(&log, 1..=40).await;
    let node = leading(&log, "a").await;
    for number in 1..=40 {
        node.client.call(AppendRecord(segment(number))).await.unwrap();
    }
    let follower = FollowingNode::start(&log, "b", LONG, None);
    until("the last segment", async || follower.applied().len() == 40).await;
    let tip = log.tip().await.unwrap();
    until("the leader", async || follower.client.call(ReadCluster).await.unwrap().applied >= tip).await;
    let state = follower.client.call(ReadCluster).await.unwrap();
    assert_eq!((state.role, state.term, state.leader.unwrap().node.as_str()), (NodeRole::Follower, 1, "a"));
    assert!(state.through.is_some() && state.problem.is_none());
    let names = |nodes: Vec<NodeState>| -> Vec<String> { nodes.into_iter().map(|node| node.address.node).collect() };
    until("both nodes", async || names(node.client.call(ListNodes).await.unwrap()) == ["a", "b"]).await;
    assert_eq!(names(follower.client.call(ListNodes).await.unwrap()), ["a", "b"]);
}

#[actix::test]
async fn a_silent_leader_is_followed_by_exactly_one_and_a_late_one_finds_itself_deposed() {
    let (_folder, log) = folder_log();
    put_segments(&log, [1]).await;
    let silent = joined_leader(&log, "a").await;
    let through = now();
    let first = own("a").entry(1, now(), segment_content(through));
    log.append(silent.tail + 1, &first).await.unwrap();
    let followers: Vec<_> = ["b", "c", "d"].iter().map(|node| FollowingNode::start(&log, node, SHORT, None)).collect();
    let taken = async || log.tip().await.unwrap() > silent.tail + 1;
    until("a takeover", taken).await;
    let entry = log.read(silent.tail + 2).await.unwrap().unwrap();
    let takeover = entry.takeover().unwrap();
    assert_eq!((takeover.from.as_str(), takeover.missing_since, entry.term), ("a", Some(through), 2));
    let winner = ["b", "c", "d"].iter().position(|node| *node == entry.node).unwrap();
    assert_eq!(followers[winner].role.changed().await, RoleChange::Leads);
    assert_eq!(followers[winner].applied(), [silent.tail + 1], "it holds all that was in the log");
    // As after its restart, it leads; the former one wakes and can't append.
    let lead_of_winner = joined_leader(&log, &entry.node).await;
    assert_eq!(lead_of_winner.takeover.as_ref().unwrap().missing_since, Some(through), "nobody was told yet");
    let late = lead(&log, "a", Lead { tail: silent.tail + 1, ..silent.clone() });
    assert_eq!(late.role.changed().await, RoleChange::Deposed { by: entry.node.clone() });
    assert!(!late.lease.is_held());
}

#[actix::test]
async fn a_leader_that_leaves_is_followed_at_once_by_the_one_it_names() {
    let (_folder, log) = folder_log();
    let node = leading(&log, "a").await;
    let (named, other) = (FollowingNode::start(&log, "b", LONG, None), FollowingNode::start(&log, "c", LONG, None));
    let handover = |to: &str| node.client.call(HandOver { to: Some(to.to_owned()) });
    let early = handover("b").await.unwrap_err();
    assert!(early.detail.contains("has caught up"), "it may be far behind: {early:?}");
    node.client.call(AppendRecord(SharedRecord::Current { at: now() })).await.unwrap();
    let is_near = |node: &NodeState| node.address.node == "b" && node.lag_seconds.is_some();
    until("a follower that has caught up", async || node.client.call(ListNodes).await.unwrap().iter().any(is_near))
        .await;
    let unknown = handover("x").await.unwrap_err();
    assert!(unknown.code == Code::InvalidRequest && unknown.detail.contains("node x is no follower"), "{unknown:?}");
    assert_eq!(handover("a").await.unwrap_err().code, Code::InvalidRequest, "it leads already");
    handover("b").await.unwrap();
    assert_eq!(node.role.changed().await, RoleChange::HandsOver);
    node.resign.call(ResignLead).await.unwrap();
    assert!(!node.lease.is_held());
    assert!(follows(&joined(&log, "a").await), "it restarts at once");
    assert_eq!(named.role.changed().await, RoleChange::Leads);
    let tip = log.tip().await.unwrap();
    let entry = log.read(tip).await.unwrap().unwrap();
    let takeover = entry.takeover().unwrap();
    assert_eq!((entry.node.as_str(), takeover.is_handover, takeover.missing_since), ("b", true, None));
    let others = other.client.call(ReadCluster);
    assert!(others.await.unwrap().role == NodeRole::Follower);
}

#[actix::test]
async fn who_stood_still_for_long_finds_newer_entries_and_leads_nobody() {
    let (_folder, log) = folder_log();
    let first = joined_leader(&log, "a").await;
    for number in first.tail + 1..first.tail + 40 {
        log.append(number, &beat("a", 1)).await.unwrap();
    }
    // Old beats are gone: the number after the one that it read is free.
    log.remove(&(first.tail + 1..first.tail + 30).collect::<Vec<_>>()).await.unwrap();
    let follower = FollowingNode::start(&log, "b", Duration::ZERO, None);
    until("the newest entry", async || follower.client.call(ReadCluster).await.unwrap().applied >= first.tail + 39)
        .await;
    assert_eq!(log.read(first.tail + 1).await.unwrap(), None, "no fence was put where it is none");
    let takeover = log.read(first.tail + 40).await.unwrap();
    assert!(takeover.is_none_or(|entry| entry.node == "b"), "only behind the newest");
}

#[actix::test]
async fn a_follower_that_was_away_goes_on_behind_what_was_removed_and_knows_the_silent_leader() {
    let (_folder, log) = folder_log();
    put_segments(&log, [1]).await;
    let first = joined_leader(&log, "a").await;
    for number in first.tail + 1..first.tail + 40 {
        log.append(number, &beat("a", 1)).await.unwrap();
    }
    let last = own("a").entry(1, now(), segment_content(now()));
    log.append(first.tail + 40, &last).await.unwrap();
    log.remove(&(first.tail + 2..first.tail + 30).collect::<Vec<_>>()).await.unwrap();
    let after = (first.tail + 1, Some(last.clone()));
    let follower = FollowingNode::start_after(&log, "b", Duration::from_secs(1), None, after);
    until("the segment", async || follower.applied() == [first.tail + 40]).await;
    // A follower that holds everything hears nothing at all, and takes over all the same.
    let other = FollowingNode::start_after(&log, "c", SHORT, None, (first.tail + 40, Some(last)));
    assert_eq!(other.role.changed().await, RoleChange::Leads);
}

#[actix::test]
async fn a_leader_that_cant_send_changes_lets_the_lead_go() {
    let (_folder, log) = folder_log();
    let first = joined_leader(&log, "a").await;
    // As if nothing had been sent for longer than it may take.
    let stuck = lead_sending(&log, "a", first.clone(), TimeDelta::seconds(-31));
    let problem = async || stuck.client.call(ReadCluster).await.unwrap().problem;
    until("the problem", async || problem().await.is_some()).await;
    assert_eq!(problem().await.unwrap(), "changes can't be sent to the backup's place");
    tokio::time::sleep(BEAT_INTERVAL + Duration::from_millis(300)).await;
    assert_eq!(log.tip().await.unwrap(), first.tail, "it shows no sign of life");
    assert!(!stuck.lease.is_held());
}

#[actix::test]
async fn a_follower_that_needs_a_snapshot_gets_one() {
    let (_folder, log) = folder_log();
    let node = NodeState {
        address: own("b").address,
        role: NodeRole::Follower,
        applied: 1,
        lag_seconds: None,
        needs_snapshot: true,
        difference: None,
        version: String::new(),
        seen_at: now(),
    };
    register(&log.store, &node).await.unwrap();
    let leader = leading(&log, "a").await;
    until("the snapshot", async || *leader.snapshots.lock().unwrap() == 1).await;
}

#[actix::test]
async fn workflow_files_that_are_not_the_leaders_are_told_of_by_a_follower() {
    let (_folder, log) = folder_log();
    let leader = leading(&log, "a").await;
    let node = FollowingNode::start(&log, "b", LONG, None);
    let warnings = async || node.client.call(ReadCluster).await.unwrap().warnings;
    until("the warning", async || !warnings().await.is_empty()).await;
    assert!(warnings().await[0].contains("aren't those of a, which leads"), "{:?}", warnings().await);
    drop(leader);
    let same = EntryContent::Beat { through: None, workflows: Some("2".to_owned()) };
    log.append(log.tip().await.unwrap() + 1, &own("a").entry(1, now(), same)).await.unwrap();
    until("an end of it", async || warnings().await.is_empty()).await;
}

#[actix::test]
async fn a_database_that_differed_is_told_of_and_not_long_after() {
    let (_folder, log) = folder_log();
    for (name, minutes) in [("b", 1), ("c", 11)] {
        let at = now() - TimeDelta::minutes(minutes);
        let node = NodeState {
            address: own(name).address,
            role: NodeRole::Follower,
            applied: 1,
            lag_seconds: None,
            needs_snapshot: false,
            difference: Some(DatabaseDifference { at, what: "rows of table task".to_owned() }),
            version: String::new(),
            seen_at: now(),
        };
        register(&log.store, &node).await.unwrap();
    }
    let leader = leading(&log, "a").await;
    let alerts = || leader.alerts.lock().unwrap().clone();
    until("the alert", async || !alerts().is_empty()).await;
    let told = alerts();
    assert!(
        told.len() == 1 && told[0].contains("node b wasn't") && told[0].contains("check the disks of b and a"),
        "{told:?}"
    );
}

#[actix::test]
async fn a_folder_that_was_made_for_an_entry_hides_none() {
    let (folder, log) = folder_log();
    log.append(7, &beat("a", 1)).await.unwrap();
    std::fs::create_dir(folder.path().join("cluster/log/0000000000001")).unwrap();
    assert_eq!((log.tip().await.unwrap(), log.next_after(7).await.unwrap()), (7, None));
}

#[actix::test]
async fn what_cant_be_applied_needs_a_snapshot_once_and_then_a_newer_one() {
    let (_folder, log) = folder_log();
    put_segments(&log, [1]).await;
    let node = leading(&log, "a").await;
    let number = node.client.call(AppendRecord(segment(1))).await.unwrap();
    let refusing = |reseeded_for| {
        let follower = FollowingNode::start(&log, "b", SHORT, reseeded_for);
        *follower.refuses.lock().unwrap() = Some(number);
        follower
    };
    let reseeds = RoleChange::Reseeds { entry: number, why: "there is a gap".to_owned(), is_different: false };
    assert_eq!(refusing(None).role.changed().await, reseeds);
    let waiting = refusing(Some(number));
    let problem = async || waiting.client.call(ReadCluster).await.unwrap().problem.is_some();
    until("the problem", problem).await;
    let missing = own("a").entry(1, now(), EntryContent::Beat { through: None, workflows: None });
    let later =
        |seconds: i64, content| LogEntry { at: now() + TimeDelta::seconds(seconds), content, ..missing.clone() };
    drop(node);
    let tip = log.tip().await.unwrap();
    log.append(tip + 1, &later(0, EntryContent::Snapshot { name: "s.db".into() })).await.unwrap();
    log.append(tip + 2, &later(9, EntryContent::Beat { through: None, workflows: None })).await.unwrap();
    assert_eq!(waiting.role.changed().await, reseeds);
    // A file that is named and missing is the same.
    log.store.remove("log/1").await.unwrap();
    let RoleChange::Reseeds { why, .. } = FollowingNode::start(&log, "c", LONG, None).role.changed().await else {
        panic!()
    };
    assert_eq!(why, "log/1 is missing");
}

#[actix::test]
async fn the_file_of_a_node_keeps_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let mut ids = environment().ids;
    let mut file = NodeFile::read(folder.path(), &mut ids).unwrap();
    assert!(!file.has_led && file.id.len() == 16);
    file.has_led = true;
    file.write(folder.path()).unwrap();
    assert_eq!(NodeFile::read(folder.path(), &mut ids).unwrap(), file);
    std::fs::write(folder.path().join("cluster.json"), "{").unwrap();
    assert!(NodeFile::read(folder.path(), &mut ids).is_err(), "it isn't made anew: others know its id");
    assert!(time_since_boot() > Duration::ZERO);
}

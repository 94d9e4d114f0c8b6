//! The database through its actors, as the others use it.

mod alerting;
mod audit;
mod backloading;
mod damage;
mod database;
mod days;
mod files;
mod finding;
mod framed;
mod grid;
mod history;
mod isolation;
mod joins;
mod lead;
mod learning;
mod leasing;
mod limits;
mod listing;
mod migrating;
mod outbox;
mod overlap;
mod pausing;
mod plans;
mod rerunning;
mod results;
mod routing;
mod storing;
mod token;
mod trouble;
mod upgrades;
mod watching;

use std::sync::Arc;
use std::time::Duration;

use actix::{Arbiter, Handler, Message};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::limits::OverlapRule;
use flowlord_domain::{Attempt, NewTask, TaskDecision, TaskLane, TaskResult, Uid};
use flowlord_kernel::{ActorEnvironment, Code, Error, Port, PortLimits, Result, SharedClock, SystemClock, WorkCounter};
use flowlord_messages::LeaseToken;
use flowlord_messages::cluster::LeaderLease;
use flowlord_messages::leases::{ExtendLease, GrantLeases, LeaseGrant, LeaseRequest, TopicFilter};
use flowlord_messages::results::{ApplyOutcomes, ResultClaim};
use flowlord_messages::tasks::{CreateTasks, CreatedTasks, ReadAttempts};

use crate::{CommitHints, Database, DatabaseOwner, FolderLock, OwnLead, QueryReader};

fn test_environment() -> ActorEnvironment {
    ActorEnvironment::system(Arc::new(|name: &str| panic!("{name} gave up")))
}

/// A database in a folder of its own.
struct Db {
    database: Database,
    environment: ActorEnvironment,
    folder: tempfile::TempDir,
    arbiter: Arbiter,
}

impl Db {
    fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap())
    }

    fn open(folder: tempfile::TempDir) -> Self {
        Self::on(folder, Arc::new(SystemClock), WorkCounter::default())
    }

    fn on(folder: tempfile::TempDir, clock: SharedClock, activity: WorkCounter) -> Self {
        Self::leased(folder, clock, activity, LeaderLease::unlimited())
    }

    fn leased(folder: tempfile::TempDir, clock: SharedClock, activity: WorkCounter, lease: LeaderLease) -> Self {
        let environment = ActorEnvironment { clock, activity, ..test_environment() };
        Self::start(folder, None, OwnLead { lease, ..OwnLead::of_single() }, environment)
    }

    /// That of a leader which notes its changes in a log.
    fn leading(folder: tempfile::TempDir, record: Option<u64>, lead: OwnLead) -> Self {
        Self::start(folder, record, lead, test_environment())
    }

    fn start(folder: tempfile::TempDir, record: Option<u64>, lead: OwnLead, environment: ActorEnvironment) -> Self {
        let (arbiter, kit) = (Arbiter::new(), environment.kit("db"));
        let lock = FolderLock::take(folder.path()).unwrap();
        let database = Database::open(lock, record, lead, &arbiter.handle(), kit, CommitHints::default()).unwrap();
        Self { database, environment, folder, arbiter }
    }

    /// As after a crash: nothing is closed, all is opened again.
    fn reopen(self) -> Self {
        Self::open(self.close())
    }

    /// As after a crash.
    fn close(self) -> tempfile::TempDir {
        let Self { database, folder, arbiter, .. } = self;
        arbiter.stop();
        arbiter.join().unwrap();
        drop(database);
        folder
    }

    fn write<M, T>(&self, command: M) -> impl Future<Output = Result<T>> + use<M, T>
    where
        M: Message<Result = Result<T>> + Send + 'static,
        T: Send + 'static,
        DatabaseOwner: Handler<M>,
    {
        self.port(self.database.owner.clone().recipient()).call(command)
    }

    fn read<M, T>(&self, query: M) -> impl Future<Output = Result<T>> + use<M, T>
    where
        M: Message<Result = Result<T>> + Send + 'static,
        T: Send + 'static,
        QueryReader: Handler<M>,
    {
        self.port(self.database.readers.clone().recipient()).call(query)
    }

    fn port<M>(&self, to: actix::Recipient<M>) -> Port<M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let limits = PortLimits { max_under_way: 10_000, timeout: Duration::from_secs(30) };
        Port::new("db", to, limits, &self.environment.activity)
    }

    async fn create(&self, tasks: Vec<NewTask>) -> CreatedTasks {
        self.write(creation(tasks)).await.unwrap()
    }

    async fn attempt(&self, uid: Uid) -> Attempt {
        self.read(ReadAttempts { uids: vec![uid] }).await.unwrap().remove(0).unwrap()
    }

    async fn lease(&self, topics: &[&str], now: DateTime<Utc>) -> Option<LeaseGrant> {
        self.lease_many(topics, 1, now).await.pop()
    }

    async fn lease_many(&self, topics: &[&str], max: usize, now: DateTime<Utc>) -> Vec<LeaseGrant> {
        let seed = now.timestamp_micros().cast_unsigned();
        let wanted = vec![LeaseRequest { seed, ..wanted(topics, max) }];
        self.write(GrantLeases { now, wanted, limits: Arc::default() }).await.unwrap().granted.remove(0)
    }

    async fn finish(&self, claim: ResultClaim, decision: TaskDecision) -> Result<bool> {
        let now = decision.ended;
        let mut answers = self.write(ApplyOutcomes { now, outcomes: vec![(claim, decision)] }).await?;
        answers.remove(0).map(|applied| applied.duplicate)
    }
}

fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn seconds(seconds: i64) -> TimeDelta {
    TimeDelta::seconds(seconds)
}

fn task(topic: &str, job: &str) -> NewTask {
    NewTask {
        uid: Uid::at(noon()),
        topic: topic.to_owned(),
        job: job.to_owned(),
        id: "chain".to_owned(),
        info: "?date=2026-03-01".to_owned(),
        meta: "workflow=w.toml".to_owned(),
        workflow: "w.toml".to_owned(),
        parent: None,
        retry: 0,
        not_before: None,
        lane: TaskLane::Live,
    }
}

fn creation(tasks: Vec<NewTask>) -> CreateTasks {
    CreateTasks { now: noon(), tasks, slot: None, overlap: OverlapRule::Run, idempotency: None, alerts: Vec::new() }
}

fn wanted(topics: &[&str], max: usize) -> LeaseRequest {
    let filter = |name: &&str| match name.split_once(':') {
        Some((topic, job)) => TopicFilter { topic: topic.to_owned(), job: Some(job.to_owned()) },
        None => TopicFilter { topic: (*name).to_owned(), job: None },
    };
    let topics = topics.iter().map(filter).collect();
    LeaseRequest { topics, max, worker: "w1".to_owned(), lease: seconds(60), seed: 0 }
}

/// A worker still has its task, where no phase has a limit.
fn heartbeat(lease: LeaseToken, now: DateTime<Utc>) -> ExtendLease {
    ExtendLease { now, lease, by: None, default: seconds(60), limits: Arc::default(), progress: None, msg: None }
}

fn decision(result: TaskResult) -> TaskDecision {
    TaskDecision {
        result,
        msg: "said".to_owned(),
        meta: "workflow=w.toml&file=a".to_owned(),
        started: None,
        ended: noon() + seconds(30),
        task_time: None,
        children: Vec::new(),
        only_failed_children: false,
        arrivals: Vec::new(),
        retry: None,
        alerts: Vec::new(),
        given_up: false,
        unmarked_meta: None,
        learned: Vec::new(),
    }
}

fn code<T: std::fmt::Debug>(answer: Result<T>) -> Code {
    let Error { code, .. } = answer.unwrap_err();
    code
}

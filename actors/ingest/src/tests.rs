//! The actor against a database that knows every attempt, and a library whose meta files take their time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use actix::{Actor, Arbiter, Handler, ResponseFuture};
use chrono_tz::Tz;
use flowlord_domain::expect::{Figure, LearnedValues};
use flowlord_domain::workflow::WorkflowFile;
use flowlord_domain::{TaskResult, Uid};
use flowlord_kernel::{ActorEnvironment, IdGenerator, WorkCounter};
use flowlord_messages::LeaseToken;
use flowlord_messages::clients::IngestClient;
use flowlord_messages::results::AppliedResult;
use flowlord_messages::workflows::ReadMetaRows;
use flowlord_testkit::{VirtualClock, leased};
use tokio::sync::watch;

use super::*;

/// After task 1 comes one that needs a meta file; of task 200 as many rows as ever are expected.
const WORKFLOW: &str = r#"
[[phase]]
task = "task-1"
rule = "cron=@daily"

[[phase]]
task = "child"
dependsOn = "task-1"
rule = "meta-file=slow.csv"

[[phase]]
task = "task-200"
rule = "cron=@daily&expect=rows:0.5x..2x"
"#;

/// Both databases, and the library.
struct Stub {
    /// Meta files are read once it is true.
    readable: watch::Receiver<bool>,
    /// How many are asked for.
    asked: watch::Sender<usize>,
    /// Attempts that were read.
    read: Arc<AtomicUsize>,
    /// Keys of learned values that were read.
    learned: Arc<AtomicUsize>,
    /// What was stored.
    stored: Arc<Mutex<Vec<TaskDecision>>>,
}

impl Actor for Stub {
    type Context = Context<Self>;
}

impl Handler<ReadLoadedWorkflows> for Stub {
    type Result = Result<LoadedWorkflows>;

    fn handle(&mut self, _: ReadLoadedWorkflows, _: &mut Self::Context) -> Self::Result {
        let file = WorkflowFile::parse("w.toml", WORKFLOW, "h", Tz::UTC).unwrap();
        Ok(LoadedWorkflows {
            workflows: Arc::new(Workflows::new([Arc::new(file)])),
            scanned_at: DateTime::UNIX_EPOCH,
            next_scan: DateTime::UNIX_EPOCH,
            broken: Arc::default(),
        })
    }
}

impl Handler<ReadAttempts> for Stub {
    type Result = Result<Vec<Option<Attempt>>>;

    fn handle(&mut self, asked: ReadAttempts, _: &mut Self::Context) -> Self::Result {
        self.read.fetch_add(asked.uids.len(), Ordering::Relaxed);
        Ok(asked.uids.into_iter().map(|uid| Some(attempt(uid))).collect())
    }
}

impl Handler<ReadLearned> for Stub {
    type Result = Result<LearnedValues>;

    fn handle(&mut self, asked: ReadLearned, _: &mut Self::Context) -> Self::Result {
        self.learned.fetch_add(asked.keys.len(), Ordering::Relaxed);
        Ok(asked.keys.into_iter().map(|key| (key, vec![Figure::parse("10").unwrap(); 3])).collect())
    }
}

impl Handler<ReadMetaRows> for Stub {
    type Result = ResponseFuture<Result<Arc<Vec<flowlord_domain::template::MetaRow>>>>;

    fn handle(&mut self, _: ReadMetaRows, _: &mut Self::Context) -> Self::Result {
        let mut readable = self.readable.clone();
        self.asked.send_modify(|asked| *asked += 1);
        Box::pin(async move {
            readable.wait_for(|readable| *readable).await.unwrap();
            Ok(Arc::default())
        })
    }
}

impl Handler<ApplyOutcomes> for Stub {
    type Result = Result<Vec<Result<AppliedResult>>>;

    fn handle(&mut self, apply: ApplyOutcomes, _: &mut Self::Context) -> Self::Result {
        self.stored.lock().unwrap().extend(apply.outcomes.iter().map(|(_, decision)| decision.clone()));
        Ok(apply.outcomes.iter().map(|_| Ok(AppliedResult { duplicate: false })).collect())
    }
}

fn attempt(uid: Uid) -> Attempt {
    let (meta, workflow) = ("workflow=w.toml".to_owned(), "w.toml".to_owned());
    Attempt { meta, workflow, ..leased(uid, &format!("task-{}", uid.0)) }
}

struct World {
    client: IngestClient,
    readable: watch::Sender<bool>,
    asked: watch::Receiver<usize>,
    read: Arc<AtomicUsize>,
    learned: Arc<AtomicUsize>,
    stored: Arc<Mutex<Vec<TaskDecision>>>,
}

impl World {
    fn new() -> Self {
        let activity = WorkCounter::default();
        let environment = ActorEnvironment {
            clock: Arc::new(VirtualClock::new(DateTime::UNIX_EPOCH, activity.clone())),
            ids: IdGenerator::seeded(7),
            activity,
            give_up: Arc::new(|name| panic!("{name} gave up")),
        };
        let (readable, when) = watch::channel(false);
        let (asking, asked) = watch::channel(0);
        let read = Arc::<AtomicUsize>::default();
        let (learned, stored) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<_>>::default());
        let stub = Stub {
            readable: when,
            asked: asking,
            read: Arc::clone(&read),
            learned: Arc::clone(&learned),
            stored: Arc::clone(&stored),
        };
        let stub = stub.start();
        let deps = Deps {
            kit: environment.kit("ingest"),
            writer: DatabaseWriter::unconnected().with::<ApplyOutcomes>(environment.port("stub", &stub)),
            reader: DatabaseReader::unconnected()
                .with::<ReadAttempts>(environment.port("stub", &stub))
                .with::<ReadLearned>(environment.port("stub", &stub)),
            library: LibraryClient::unconnected()
                .with::<ReadLoadedWorkflows>(environment.port("stub", &stub))
                .with::<ReadMetaRows>(environment.port("stub", &stub)),
        };
        let ingest = Ingest::start(&Arbiter::current(), Config { host: "h".to_owned() }, deps);
        Self { client: IngestClient::connect("ingest", &ingest, &environment), readable, asked, read, learned, stored }
    }

    /// A task is complete.
    async fn complete(&self, uid: i64) -> Result<AppliedResult> {
        self.complete_claimed(ResultClaim::Task(Uid(uid))).await
    }

    async fn complete_claimed(&self, claim: ResultClaim) -> Result<AppliedResult> {
        self.complete_with(claim, "").await
    }

    async fn complete_with(&self, claim: ResultClaim, meta: &str) -> Result<AppliedResult> {
        let outcome = WorkerOutcome {
            result: TaskResult::Complete,
            msg: String::new(),
            meta: meta.to_owned(),
            started: None,
            ended: None,
        };
        let results = vec![(claim, outcome)];
        let submit = self.client.call(SubmitResults { results });
        submit.await.map(|answers| answers.into_iter().next().unwrap())?
    }
}

#[actix::test]
async fn a_meta_file_that_takes_its_time_holds_up_nobody_else() {
    let world = World::new();
    let mut asked = world.asked.clone();
    let waiting = world.complete(1);
    tokio::pin!(waiting);
    tokio::select! {
        _ = &mut waiting => panic!("it waits for its file"),
        all = async {
            asked.wait_for(|asked| *asked == 1).await.unwrap();
            for uid in 2..100 {
                world.complete(uid).await?;
            }
            Ok::<_, Error>(())
        } => all.unwrap(),
    }
    world.readable.send_replace(true);
    assert_eq!(waiting.await.unwrap(), AppliedResult { duplicate: false });
}

#[actix::test]
async fn only_so_many_wait_for_meta_files() {
    let world = World::new();
    let mut asked = world.asked.clone();
    let mut waiting = tokio::task::JoinSet::new();
    let world = std::rc::Rc::new(world);
    for nth in 1..=MAX_WAITING_ROUNDS {
        let one = std::rc::Rc::clone(&world);
        waiting.spawn_local(async move { one.complete(1).await });
        // One a round.
        asked.wait_for(|asked| *asked == nth).await.unwrap();
    }
    let refused = world.complete(1).await.unwrap_err();
    assert_eq!(refused.code, Code::Busy);
    world.complete(2).await.unwrap();
    world.readable.send_replace(true);
    assert!(waiting.join_all().await.iter().all(Result::is_ok));
    world.complete(1).await.unwrap();
}

#[actix::test]
async fn only_what_was_not_handed_out_lately_is_read() {
    let world = World::new();
    let lease = LeaseToken { uid: Uid(2), secret: 7 };
    assert!(world.client.hint(RememberGrants { grants: vec![(lease, Arc::new(attempt(lease.uid)))] }));
    for (claim, read) in [
        (ResultClaim::Lease(lease), 0),
        // The same once more, which is a duplicate or wrong: the database knows.
        (ResultClaim::Lease(lease), 1),
        (ResultClaim::Task(lease.uid), 2),
        (ResultClaim::Lease(LeaseToken { secret: 8, ..lease }), 3),
    ] {
        world.complete_claimed(claim.clone()).await.unwrap();
        assert_eq!(world.read.load(Ordering::Relaxed), read, "{claim:?}");
    }
}

#[actix::test]
async fn results_are_judged_where_their_phase_expects_something() {
    let world = World::new();
    let last = || world.stored.lock().unwrap().pop().unwrap();
    world.complete(2).await.unwrap();
    assert_eq!((last().result, world.learned.load(Ordering::Relaxed)), (TaskResult::Complete, 0), "nothing is read");
    let claim = ResultClaim::Task(Uid(200));
    for (meta, result, learned) in [("rows=5", TaskResult::Complete, 1), ("rows=4", TaskResult::Error, 0)] {
        world.complete_with(claim.clone(), meta).await.unwrap();
        let decision = last();
        assert_eq!((decision.result, decision.learned.len()), (result, learned), "{meta}");
    }
    assert_eq!(world.learned.load(Ordering::Relaxed), 2);
    // A person knows better, and nothing is read for that.
    let person = ResultClaim::Person { uid: Uid(200), seen: None };
    world.complete_with(person, "rows=4").await.unwrap();
    let decision = last();
    assert_eq!((decision.result, decision.learned.len()), (TaskResult::Complete, 1));
    assert_eq!(world.learned.load(Ordering::Relaxed), 2);
}

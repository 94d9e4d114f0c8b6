//! The actor against a database that answers what a test told it to, and an ingest that writes down what it hears.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use actix::{Actor, Arbiter, Handler};
use flowlord_domain::Uid;
use flowlord_domain::limits::LimitBlock;
use flowlord_kernel::{Clock as _, Port, WorkCounter};
use flowlord_messages::LeaseToken;
use flowlord_messages::clients::DispatchClient;
use flowlord_messages::leases::{BlockedQueue, ReleasedLease, TopicFilter};
use flowlord_messages::results::AppliedResult;
use flowlord_messages::workflows::LoadedWorkflows;
use flowlord_testkit::{VirtualClock, leased};
use tokio::sync::oneshot;

use super::*;

type LeasedTasks = Result<Vec<LeaseGrant>>;

/// What the others were asked, and what they answer.
#[derive(Default)]
struct World {
    /// How many workers each question was for.
    questions: Vec<usize>,
    /// What the next workers get; later ones get nothing.
    grants: VecDeque<Vec<LeaseGrant>>,
    is_broken: bool,
    released: Vec<LeaseToken>,
    remembered: Vec<LeaseToken>,
    /// Leases whose tasks were handed out too often.
    exhausted: Vec<LeaseToken>,
    timed_out: Vec<(LeaseToken, TimeDelta)>,
    /// What the next grants meet.
    blocked: Vec<BlockedQueue>,
    /// Whether limits could not be kept, and how often it was tried.
    kept: Vec<bool>,
    /// What the phases are, once the library answers.
    workflows: Option<Workflows>,
    /// The time-outs that grants of `load` came with.
    timeouts: Vec<Option<TimeDelta>>,
    reaped_at: Vec<DateTime<Utc>>,
    submitted: Vec<(ResultClaim, WorkerOutcome)>,
}

struct Others(Rc<RefCell<World>>);

impl Actor for Others {
    type Context = Context<Self>;
}

impl Handler<ReadNextExpiry> for Others {
    type Result = Result<Option<DateTime<Utc>>>;

    fn handle(&mut self, _: ReadNextExpiry, _: &mut Self::Context) -> Self::Result {
        Ok(None)
    }
}

impl Handler<GrantLeases> for Others {
    type Result = Result<GrantedLeases>;

    fn handle(&mut self, grant: GrantLeases, _: &mut Self::Context) -> Self::Result {
        let mut world = self.0.borrow_mut();
        world.questions.push(grant.wanted.len());
        world.timeouts.push(grant.limits.timeout_of("load", "", "w.toml"));
        if world.is_broken {
            return Err(Error::new(Code::Storage, "the disk is full"));
        }
        let granted = grant.wanted.iter().map(|_| world.grants.pop_front().unwrap_or_default()).collect();
        Ok(GrantedLeases { granted, blocked: std::mem::take(&mut world.blocked) })
    }
}

impl Handler<KeepLimits> for Others {
    type Result = Result<()>;

    fn handle(&mut self, _: KeepLimits, _: &mut Self::Context) -> Self::Result {
        let mut world = self.0.borrow_mut();
        let is_broken = world.is_broken;
        world.kept.push(!is_broken);
        if is_broken { Err(Error::new(Code::Storage, "the disk is full")) } else { Ok(()) }
    }
}

impl Handler<ReleaseLease> for Others {
    type Result = Result<ReleasedLease>;

    fn handle(&mut self, release: ReleaseLease, _: &mut Self::Context) -> Self::Result {
        let mut world = self.0.borrow_mut();
        world.released.push(release.lease);
        Ok(ReleasedLease { is_timed_out: !world.timed_out.is_empty() })
    }
}

impl Handler<ReapLeases> for Others {
    type Result = Result<ReapedLeases>;

    fn handle(&mut self, reap: ReapLeases, _: &mut Self::Context) -> Self::Result {
        let mut world = self.0.borrow_mut();
        world.reaped_at.push(reap.now);
        let World { exhausted, timed_out, .. } = &mut *world;
        Ok(ReapedLeases {
            exhausted: std::mem::take(exhausted),
            timed_out: std::mem::take(timed_out),
            ..ReapedLeases::default()
        })
    }
}

impl Handler<ReadLoadedWorkflows> for Others {
    type Result = Result<LoadedWorkflows>;

    fn handle(&mut self, _: ReadLoadedWorkflows, _: &mut Self::Context) -> Self::Result {
        let workflows = self.0.borrow().workflows.clone();
        let workflows = workflows.ok_or_else(|| Error::new(Code::Busy, "still loading"))?.into();
        let (scanned_at, next_scan) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH);
        Ok(LoadedWorkflows { workflows, scanned_at, next_scan, broken: Arc::default() })
    }
}

impl Handler<RememberGrants> for Others {
    type Result = ();

    fn handle(&mut self, grants: RememberGrants, _: &mut Self::Context) {
        self.0.borrow_mut().remembered.extend(grants.grants.iter().map(|(lease, _)| *lease));
    }
}

impl Handler<SubmitResults> for Others {
    type Result = Result<Vec<Result<AppliedResult>>>;

    fn handle(&mut self, submit: SubmitResults, _: &mut Self::Context) -> Self::Result {
        let answers = submit.results.iter().map(|_| Ok(AppliedResult { duplicate: false })).collect();
        self.0.borrow_mut().submitted.extend(submit.results);
        Ok(answers)
    }
}

struct Scene {
    world: Rc<RefCell<World>>,
    clock: VirtualClock,
    client: DispatchClient,
    hints: Port<TasksReady>,
    changed: Port<WorkflowsChanged>,
    stop: Port<StopLeasing>,
}

impl Scene {
    async fn new() -> Self {
        Self::with(Some(Workflows::default())).await
    }

    async fn with(workflows: Option<Workflows>) -> Self {
        let clock = VirtualClock::new(DateTime::UNIX_EPOCH, WorkCounter::default());
        let environment = clock.environment();
        let world = Rc::new(RefCell::new(World { workflows, ..World::default() }));
        let others = Others(Rc::clone(&world)).start();
        let deps = Deps {
            kit: environment.kit("dispatch"),
            writer: DatabaseWriter::unconnected()
                .with::<GrantLeases>(environment.port("db", &others))
                .with::<KeepLimits>(environment.port("db", &others))
                .with::<ReleaseLease>(environment.port("db", &others))
                .with::<ReapLeases>(environment.port("db", &others)),
            reader: DatabaseReader::unconnected().with::<ReadNextExpiry>(environment.port("db", &others)),
            ingest: IngestClient::unconnected()
                .with::<RememberGrants>(environment.port("ingest", &others))
                .with::<SubmitResults>(environment.port("ingest", &others)),
            library: LibraryClient::unconnected().with::<ReadLoadedWorkflows>(environment.port("library", &others)),
        };
        let dispatch = Dispatch::start(
            &Arbiter::current(),
            Config { lease: TimeDelta::seconds(60), groups: BTreeMap::new() },
            deps,
        );
        let client = DispatchClient::connect("dispatch", &dispatch, &environment);
        // Started, with a mailbox that has room for many.
        clock.settle().await;
        let (hints, stop) = (environment.port("dispatch", &dispatch), environment.port("dispatch", &dispatch));
        let changed = environment.port("dispatch", &dispatch);
        Self { world, clock, client, hints, changed, stop }
    }

    /// A worker that asks for tasks of the topic `load`.
    fn ask(&self, wait: TimeDelta) -> (impl Future<Output = Result<()>> + use<>, oneshot::Receiver<LeasedTasks>) {
        let (reply, answer) = oneshot::channel();
        let topics = vec![TopicFilter { topic: "load".to_owned(), job: None }];
        let (worker, lease) = ("w".to_owned(), TimeDelta::seconds(60));
        // Sent by this, not by the first poll.
        (self.client.call(RequestLeases { topics, max: 1, worker, lease, wait, address: None, reply }), answer)
    }

    /// The same, once it waits.
    async fn wait(&self, wait: TimeDelta) -> oneshot::Receiver<LeasedTasks> {
        let (taken, answer) = self.ask(wait);
        taken.await.unwrap();
        answer
    }

    fn grant_next(&self, uid: i64) -> LeaseToken {
        let lease = LeaseToken { uid: Uid(uid), secret: 7 };
        let task = Arc::new(leased(lease.uid, "load"));
        let expires = self.clock.now() + TimeDelta::seconds(60);
        self.world.borrow_mut().grants.push_back(vec![LeaseGrant { lease, expires, task }]);
        lease
    }

    fn hint_ready(&self) {
        assert!(
            self.hints.hint(TasksReady { topics: vec![("load".to_owned(), String::new())], has_freed_limits: false })
        );
    }
}

#[actix::test]
async fn workers_that_come_together_are_one_question_up_to_a_bound() {
    let scene = Scene::new().await;
    let requests: Vec<_> = (0..=ASKED_AT_ONCE).map(|_| scene.ask(TimeDelta::zero())).collect();
    for (taken, answer) in requests {
        taken.await.unwrap();
        assert_eq!(answer.await.unwrap(), Ok(Vec::new()));
    }
    assert_eq!(scene.world.borrow().questions, [ASKED_AT_ONCE, 1]);
}

#[actix::test]
async fn ingest_hears_of_a_lease_before_its_worker() {
    let scene = Scene::new().await;
    let lease = scene.grant_next(1);
    let answer = scene.wait(TimeDelta::zero()).await;
    let granted = answer.await.unwrap().unwrap();
    assert_eq!(granted[0].lease, lease);
    scene.clock.settle().await;
    assert_eq!(scene.world.borrow().remembered, [lease]);
}

#[actix::test]
async fn a_worker_that_waits_gets_what_becomes_ready_and_else_nothing_at_the_end() {
    let scene = Scene::new().await;
    let first = scene.wait(TimeDelta::seconds(30)).await;
    scene.clock.settle().await;
    let mut second = scene.wait(TimeDelta::seconds(30)).await;
    scene.clock.settle().await;
    let lease = scene.grant_next(1);
    scene.hint_ready();
    assert_eq!(first.await.unwrap().unwrap()[0].lease, lease, "it waited longest");
    scene.clock.advance(TimeDelta::seconds(29)).await;
    assert!(second.try_recv().is_err(), "it still waits");
    scene.clock.advance(TimeDelta::seconds(1)).await;
    assert_eq!(second.await.unwrap(), Ok(Vec::new()));
}

#[actix::test]
async fn the_task_of_a_worker_that_went_away_is_given_back() {
    let scene = Scene::new().await;
    let lease = scene.grant_next(1);
    let (taken, answer) = scene.ask(TimeDelta::seconds(30));
    drop(answer);
    taken.await.unwrap();
    scene.clock.settle().await;
    assert_eq!(scene.world.borrow().released, [lease]);
}

#[actix::test]
async fn all_who_were_asked_for_hear_of_a_failure_and_the_next_may_succeed() {
    let scene = Scene::new().await;
    scene.world.borrow_mut().is_broken = true;
    for (taken, answer) in [scene.ask(TimeDelta::seconds(30)), scene.ask(TimeDelta::seconds(30))] {
        taken.await.unwrap();
        assert_eq!(answer.await.unwrap().unwrap_err().code, Code::Storage);
    }
    scene.world.borrow_mut().is_broken = false;
    let lease = scene.grant_next(1);
    let answer = scene.wait(TimeDelta::seconds(30)).await;
    assert_eq!(answer.await.unwrap().unwrap()[0].lease, lease);
}

#[actix::test]
async fn a_stop_answers_all_who_wait_and_refuses_those_who_come() {
    let scene = Scene::new().await;
    let waiting = scene.wait(TimeDelta::seconds(30)).await;
    scene.clock.settle().await;
    scene.stop.call(StopLeasing).await.unwrap();
    assert_eq!(waiting.await.unwrap(), Ok(Vec::new()));
    let (taken, _answer) = scene.ask(TimeDelta::seconds(30));
    assert_eq!(taken.await.unwrap_err().code, Code::Stopping);
}

#[actix::test]
async fn a_lease_that_ran_out_too_often_ends_with_an_error() {
    let scene = Scene::new().await;
    let lease = scene.grant_next(1);
    let answer = scene.wait(TimeDelta::zero()).await;
    answer.await.unwrap().unwrap();
    scene.world.borrow_mut().exhausted.push(lease);
    scene.clock.advance(TimeDelta::seconds(60)).await;
    let world = scene.world.borrow();
    // Once more after the results: what ran out meanwhile mustn't wait.
    assert_eq!(world.reaped_at, [scene.clock.now(); 2]);
    let [(claim, outcome)] = &world.submitted[..] else { panic!("{:?}", world.submitted) };
    assert_eq!((claim, outcome.result), (&ResultClaim::Lease(lease), TaskResult::Error));
    assert_eq!(outcome.msg, "lease expired 5 times");
}

#[actix::test]
async fn a_task_past_its_time_out_ends_with_an_error_that_says_so() {
    let scene = Scene::new().await;
    let lease = scene.grant_next(1);
    scene.wait(TimeDelta::zero()).await.await.unwrap().unwrap();
    scene.world.borrow_mut().timed_out.push((lease, TimeDelta::hours(2)));
    scene.clock.advance(TimeDelta::seconds(60)).await;
    let world = scene.world.borrow();
    let [(claim, outcome)] = &world.submitted[..] else { panic!("{:?}", world.submitted) };
    assert_eq!((claim, outcome.result), (&ResultClaim::TimedOut(lease), TaskResult::Error));
    assert_eq!(outcome.msg, "timed out after 2h");
}

#[actix::test]
async fn a_release_past_the_deadline_ends_the_task_at_once() {
    let scene = Scene::new().await;
    let lease = scene.grant_next(1);
    scene.wait(TimeDelta::zero()).await.await.unwrap().unwrap();
    scene.world.borrow_mut().timed_out.push((lease, TimeDelta::hours(2)));
    scene.client.call(ReleaseTask { lease, delay: TimeDelta::zero() }).await.unwrap();
    scene.clock.settle().await;
    assert_eq!(scene.world.borrow().submitted[0].0, ResultClaim::TimedOut(lease));
}

fn workflows(rule: &str) -> Workflows {
    let text = format!("[[phase]]\ntask = \"load\"\nrule = \"cron=@daily&{rule}\"\n");
    let file = flowlord_domain::workflow::WorkflowFile::parse("w.toml", &text, "", "UTC".parse().ok().unwrap());
    Workflows::new([file.unwrap().into()])
}

#[actix::test]
async fn nothing_is_leased_before_the_limits_are_known_and_each_change_of_them_counts() {
    let scene = Scene::with(None).await;
    let lease = scene.grant_next(1);
    let answer = scene.wait(TimeDelta::seconds(30)).await;
    scene.clock.settle().await;
    assert!(scene.world.borrow().questions.is_empty());
    scene.world.borrow_mut().workflows = Some(workflows("timeout=1h"));
    scene.clock.advance(RETRY_DELAY).await;
    assert_eq!(answer.await.unwrap().unwrap()[0].lease, lease, "it waited");
    assert!(scene.changed.hint(WorkflowsChanged { workflows: workflows("timeout=2h").into() }));
    scene.wait(TimeDelta::zero()).await.await.unwrap().unwrap();
    assert_eq!(scene.world.borrow().timeouts, [TimeDelta::hours(1), TimeDelta::hours(2)].map(Some));
}

#[actix::test]
async fn what_a_limit_holds_back_is_offered_when_others_end_or_its_time_comes() {
    let scene = Scene::new().await;
    let block = |block: LimitBlock| BlockedQueue { topic: "load".to_owned(), job: String::new(), block };
    let queue = vec![("load".to_owned(), String::new())];
    scene.world.borrow_mut().blocked.push(block(LimitBlock::Active { max: 2 }));
    let first = scene.wait(TimeDelta::seconds(90)).await;
    scene.clock.settle().await;
    let last = scene.client.call(ReadLastAsked { queues: queue.clone() }).await.unwrap();
    assert_eq!(last.blocks, [Some((DateTime::UNIX_EPOCH, LimitBlock::Active { max: 2 }))]);
    // A rate takes its place: nobody need say when its time has come.
    let next = scene.clock.now() + TimeDelta::seconds(30);
    scene.world.borrow_mut().blocked.push(block(LimitBlock::Rate { next }));
    assert!(scene.hints.hint(TasksReady { topics: Vec::new(), has_freed_limits: true }));
    scene.clock.settle().await;
    assert_eq!(scene.world.borrow().questions, [1, 1]);
    let lease = scene.grant_next(1);
    scene.clock.advance(TimeDelta::seconds(30)).await;
    assert_eq!(first.await.unwrap().unwrap()[0].lease, lease);
    let last = scene.client.call(ReadLastAsked { queues: queue }).await.unwrap();
    assert_eq!(last.blocks, [None]);
}

#[actix::test]
async fn limits_are_kept_before_the_first_lease_by_them_and_until_they_are() {
    let scene = Scene::with(Some(workflows("max_active=2"))).await;
    assert_eq!(scene.world.borrow().kept, [true]);
    assert!(scene.changed.hint(WorkflowsChanged { workflows: workflows("max_active=2&retry_delay=1s").into() }));
    scene.clock.settle().await;
    assert_eq!(scene.world.borrow().kept, [true], "the same limits");
    scene.world.borrow_mut().is_broken = true;
    let changed = workflows("max_active=3");
    scene.world.borrow_mut().workflows = Some(changed.clone());
    assert!(scene.changed.hint(WorkflowsChanged { workflows: changed.into() }));
    scene.clock.settle().await;
    let answer = scene.wait(TimeDelta::seconds(30)).await;
    scene.world.borrow_mut().is_broken = false;
    let lease = scene.grant_next(1);
    scene.clock.advance(RETRY_DELAY).await;
    assert_eq!(scene.world.borrow().kept, [true, false, true]);
    assert_eq!(answer.await.unwrap().unwrap()[0].lease, lease);
}

#[actix::test]
async fn it_knows_who_asks_and_which_topics_nobody_asks_for() {
    let scene = Scene::new().await;
    let queues = ["load", "other"].map(|topic| (topic.to_owned(), "daily".to_owned())).to_vec();
    let (asked, _answer) = scene.ask(TimeDelta::seconds(30));
    asked.await.unwrap();
    scene.clock.advance(TimeDelta::seconds(20)).await;
    let now = scene.clock.now();
    let last = scene.client.call(ReadLastAsked { queues: queues.clone() }).await.unwrap();
    let known_since = DateTime::UNIX_EPOCH;
    let expected = LastAsked { known_since, asked: vec![Some(now), None], blocks: vec![None, None] };
    assert_eq!(last, expected, "it waits still");
    scene.clock.advance(TimeDelta::seconds(20)).await;
    let last = scene.client.call(ReadLastAsked { queues }).await.unwrap();
    assert_eq!(last.asked, [Some(known_since), None]);
    let workers = scene.client.call(ReadWorkers).await.unwrap();
    assert_eq!((workers.len(), workers[0].name.as_str(), workers[0].asked), (1, "w", known_since));
}

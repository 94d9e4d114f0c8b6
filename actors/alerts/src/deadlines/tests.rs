//! Hours that pass in milliseconds, over a database of one struct.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use actix::{Actor, Arbiter, Handler};
use flowlord_domain::deadlines::PhasePause;
use flowlord_domain::expect::{Figure, LearnedValues};
use flowlord_domain::join::JoinStanding;
use flowlord_domain::template::MetaRow;
use flowlord_domain::workflow::{WorkflowFile, Workflows};
use flowlord_domain::{Attempt, TaskState, Uid};
use flowlord_kernel::{Clock as _, Code, Error, Ping, Port, WorkCounter};
use flowlord_messages::clients::{DatabaseReader, DatabaseWriter, LibraryClient};
use flowlord_messages::deadlines::{DeadlineInput, RaiseBreaches, ReadDeadlineInput, ReadSlotTasks, SlotTasks};
use flowlord_messages::joins::ReadJoins;
use flowlord_messages::learned::ReadLearned;
use flowlord_messages::leases::{LastAsked, ReadLastAsked};
use flowlord_messages::stats::{QueueBacklog, QueueLoad, ReadBacklog};
use flowlord_messages::workflows::{LoadedWorkflows, ReadLoadedWorkflows, ReadMetaRows};
use flowlord_testkit::{VirtualClock, leased};

use super::*;

#[derive(Debug, Default)]
struct Rows {
    unfinished: Vec<Attempt>,
    until: Option<DateTime<Utc>>,
    looked_until: Option<DateTime<Utc>>,
    running: Option<Attempt>,
    pauses: Vec<PhasePause>,
    /// What every slot led to.
    slot: SlotTasks,
    queues: Vec<QueueLoad>,
    asked: Option<DateTime<Utc>>,
    keys: BTreeSet<String>,
    /// Minutes since noon, key and message.
    raised: Vec<(i64, String)>,
    refuse: bool,
    /// More phases.
    phases: String,
    /// How each join stands.
    join: JoinStanding,
    /// Minutes since noon, and the joins whose waiting ended.
    late_joins: Vec<(i64, String, bool)>,
}

#[derive(Clone, Default)]
struct Stub(Arc<Mutex<Rows>>);

impl Actor for Stub {
    type Context = Context<Self>;
}

impl Handler<ReadDeadlineInput> for Stub {
    type Result = Result<DeadlineInput>;

    fn handle(&mut self, read: ReadDeadlineInput, _: &mut Self::Context) -> Self::Result {
        let rows = self.0.lock().unwrap();
        let new = |task: &&Attempt| {
            let created = task.uid.created_at();
            created <= read.unfinished_before && rows.until.is_none_or(|until| created > until)
        };
        // One at a time.
        let unfinished: Vec<_> = rows.unfinished.iter().filter(new).take(1).cloned().collect();
        let last = unfinished.last().map(|task| task.uid.created_at());
        let (looked_until, unfinished_until) = (rows.looked_until, last.unwrap_or(read.unfinished_before));
        let running = rows.running.clone().filter(|_| read.running_since.is_some()).into_iter().collect();
        Ok(DeadlineInput { looked_until, unfinished, unfinished_until, running, pauses: rows.pauses.clone() })
    }
}

impl Handler<ReadLoadedWorkflows> for Stub {
    type Result = Result<LoadedWorkflows>;

    fn handle(&mut self, _: ReadLoadedWorkflows, _: &mut Self::Context) -> Self::Result {
        let text = "[[phase]]\ntask = \"a\"\nrule = \"cron=0 * * * *&start_by=10m&max_run=2h\"\ntemplate = \"x\"\n\
                    [[phase]]\ntask = \"b\"\nrule = \"files=/in/*&max_run=3x\"\ntemplate = \"x\"\n";
        let text = text.to_owned() + &self.0.lock().unwrap().phases;
        let file = WorkflowFile::parse("w.toml", &text, "", chrono_tz::Tz::UTC).unwrap();
        let workflows = Arc::new(Workflows::new([Arc::new(file)]));
        let never = noon();
        Ok(LoadedWorkflows { workflows, scanned_at: never, next_scan: never, broken: Arc::default() })
    }
}

impl Handler<ReadLearned> for Stub {
    type Result = Result<LearnedValues>;

    fn handle(&mut self, read: ReadLearned, _: &mut Self::Context) -> Self::Result {
        let hour = Figure::parse("3600000").unwrap();
        Ok(read.keys.into_iter().map(|key| (key, vec![hour; 3])).collect())
    }
}

impl Handler<ReadSlotTasks> for Stub {
    type Result = Result<Vec<SlotTasks>>;

    fn handle(&mut self, read: ReadSlotTasks, _: &mut Self::Context) -> Self::Result {
        let rows = self.0.lock().unwrap();
        Ok(read.slots.iter().map(|_| rows.slot.clone()).collect())
    }
}

impl Handler<ReadJoins> for Stub {
    type Result = Result<Vec<JoinStanding>>;

    fn handle(&mut self, read: ReadJoins, _: &mut Self::Context) -> Self::Result {
        Ok(vec![self.0.lock().unwrap().join.clone(); read.joins.len()])
    }
}

impl Handler<ReadMetaRows> for Stub {
    type Result = Result<Arc<Vec<MetaRow>>>;

    fn handle(&mut self, read: ReadMetaRows, _: &mut Self::Context) -> Self::Result {
        Err(Error::new(Code::InvalidRequest, format!("meta-file `{}`: it doesn't exist", read.path)))
    }
}

impl Handler<ReadBacklog> for Stub {
    type Result = Result<QueueBacklog>;

    fn handle(&mut self, _: ReadBacklog, _: &mut Self::Context) -> Self::Result {
        Ok(QueueBacklog { queues: self.0.lock().unwrap().queues.clone(), messages: 0 })
    }
}

impl Handler<ReadLastAsked> for Stub {
    type Result = Result<LastAsked>;

    fn handle(&mut self, ask: ReadLastAsked, _: &mut Self::Context) -> Self::Result {
        let asked = vec![self.0.lock().unwrap().asked; ask.queues.len()];
        let blocks = vec![None; ask.queues.len()];
        Ok(LastAsked { known_since: noon(), asked, blocks })
    }
}

impl Handler<RaiseBreaches> for Stub {
    type Result = Result<()>;

    fn handle(&mut self, raise: RaiseBreaches, _: &mut Self::Context) -> Self::Result {
        let mut rows = self.0.lock().unwrap();
        if rows.refuse {
            return Err(Error::new(Code::Storage, "planned"));
        }
        rows.until = Some(raise.unfinished_until);
        rows.looked_until = Some(raise.looked_until);
        for late in &raise.late_joins {
            let minutes = (raise.looked_until - noon()).num_minutes();
            rows.late_joins.push((minutes, late.key.task.clone(), late.starts));
        }
        for breach in raise.breaches {
            if rows.keys.insert(breach.key.clone()) {
                rows.raised.push(((raise.looked_until - noon()).num_minutes(), breach.alert.unwrap().topic));
            }
        }
        Ok(())
    }
}

struct Bench {
    rows: Stub,
    clock: VirtualClock,
    ping: Port<Ping>,
    arbiter: Arbiter,
}

fn noon() -> DateTime<Utc> {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

impl Bench {
    async fn start(rows: Stub, now: DateTime<Utc>) -> Self {
        let clock = VirtualClock::new(now, WorkCounter::default());
        let arbiter = Arbiter::new();
        let stub = rows.clone();
        let db = Stub::start_in_arbiter(&arbiter.handle(), move |_| stub);
        let environment = clock.environment();
        let deps = WorkflowDeps {
            kit: environment.kit("watch"),
            library: LibraryClient::unconnected()
                .with::<ReadLoadedWorkflows>(environment.port("library", &db))
                .with::<ReadMetaRows>(environment.port("library", &db)),
            reader: DatabaseReader::unconnected()
                .with::<ReadBacklog>(environment.port("db", &db))
                .with::<ReadDeadlineInput>(environment.port("db", &db))
                .with::<ReadJoins>(environment.port("db", &db))
                .with::<ReadLearned>(environment.port("db", &db))
                .with::<ReadSlotTasks>(environment.port("db", &db)),
            writer: DatabaseWriter::unconnected().with::<RaiseBreaches>(environment.port("db", &db)),
        };
        let dispatch = DispatchClient::unconnected().with::<ReadLastAsked>(environment.port("dispatch", &db));
        let (ttl, no_workers) = (TimeDelta::hours(4), TimeDelta::minutes(5));
        let config = Config { ttl, no_workers, host: "host".to_owned() };
        let checker = DeadlineChecker::start(&arbiter.handle(), config, deps, dispatch);
        let ping = environment.port("watch", &checker);
        ping.call(Ping).await.unwrap();
        clock.settle().await;
        Self { rows, clock, ping, arbiter }
    }

    async fn restart(self) -> Self {
        self.arbiter.stop();
        let _ended = self.arbiter.join();
        Self::start(self.rows, self.clock.now()).await
    }

    async fn pass(&self, minutes: i64) {
        self.clock.advance(TimeDelta::minutes(minutes)).await;
    }

    fn create(&self, topic: &str, at: DateTime<Utc>) {
        let mut rows = self.rows.0.lock().unwrap();
        rows.unfinished.push(task(topic, at));
        rows.unfinished.sort_by_key(|task| task.uid);
    }

    fn raised(&self) -> Vec<(i64, String)> {
        self.rows.0.lock().unwrap().raised.clone()
    }
}

fn task(topic: &str, at: DateTime<Utc>) -> Attempt {
    Attempt { info: "?date=2026-03-02".to_owned(), ..leased(Uid::at(at), topic) }
}

fn raised(expected: &[(i64, &str)]) -> Vec<(i64, String)> {
    expected.iter().map(|(at, topic)| (*at, (*topic).to_owned())).collect()
}

#[actix::test]
async fn each_task_unfinished_past_its_time_is_raised_once_over_restarts() {
    let bench = Bench::start(Stub::default(), noon()).await;
    bench.create("slow", noon());
    bench.create("slower", noon() + TimeDelta::seconds(1));
    bench.pass(4 * 60 - 1).await;
    assert_eq!(bench.raised(), []);
    bench.pass(1).await;
    assert_eq!(bench.raised(), raised(&[(240, "slow")]));
    let bench = bench.restart().await;
    bench.pass(60).await;
    assert_eq!(bench.raised(), raised(&[(240, "slow"), (241, "slower")]));
}

#[actix::test]
async fn what_could_not_be_stored_comes_with_the_next_look() {
    let bench = Bench::start(Stub::default(), noon()).await;
    bench.create("slow", noon());
    bench.rows.0.lock().unwrap().refuse = true;
    bench.pass(250).await;
    bench.rows.0.lock().unwrap().refuse = false;
    bench.pass(1).await;
    assert_eq!(bench.raised(), raised(&[(251, "slow")]));
}

#[actix::test]
async fn a_clock_set_back_hides_nothing_and_repeats_nothing() {
    let bench = Bench::start(Stub::default(), noon()).await;
    bench.create("slow", noon());
    bench.pass(240).await;
    bench.clock.step(-TimeDelta::days(10)).await;
    bench.ping.call(Ping).await.unwrap();
    bench.clock.settle().await;
    bench.create("later", bench.clock.now());
    bench.pass(245).await;
    let topics: Vec<_> = bench.raised().into_iter().map(|(_, topic)| topic).collect();
    assert_eq!(topics, ["slow", "later"]);
    bench.clock.step(TimeDelta::days(10)).await;
    bench.pass(60).await;
    assert_eq!(bench.raised().len(), 2, "each has its key");
}

/// A database that has the cron of `a` since long ago, and nothing of its slots.
fn waiting() -> Stub {
    let stub = Stub::default();
    let since = Some(noon() - TimeDelta::days(9));
    stub.0.lock().unwrap().slot = SlotTasks { since, chains: Some(Vec::new()) };
    stub
}

#[actix::test]
async fn a_deadline_is_told_in_its_minute_and_once_over_a_restart() {
    let bench = Bench::start(waiting(), noon()).await;
    bench.pass(9).await;
    assert_eq!(bench.raised(), [], "those before the first look aren't its concern");
    bench.pass(1).await;
    assert_eq!(bench.raised(), raised(&[(10, "a")]));
    let bench = bench.restart().await;
    bench.pass(59).await;
    assert_eq!(bench.raised().len(), 1);
    bench.pass(1).await;
    assert_eq!(bench.raised()[1..], raised(&[(70, "a")]));
}

#[actix::test]
async fn deadlines_of_downtime_are_told_when_it_is_over_a_day_back() {
    let bench = Bench::start(waiting(), noon()).await;
    bench.arbiter.stop();
    let _ended = bench.arbiter.join();
    let bench = Bench::start(bench.rows, noon() + TimeDelta::hours(50)).await;
    assert_eq!(bench.raised().len(), 24);
    bench.pass(9).await;
    assert_eq!(bench.raised().len(), 24);
}

#[actix::test]
async fn a_clock_set_back_tells_no_deadline_twice() {
    let bench = Bench::start(waiting(), noon()).await;
    bench.pass(71).await;
    bench.clock.step(-TimeDelta::hours(1)).await;
    bench.ping.call(Ping).await.unwrap();
    bench.clock.settle().await;
    bench.pass(61).await;
    assert_eq!(bench.raised(), raised(&[(10, "a"), (70, "a")]));
    bench.pass(60).await;
    assert_eq!(bench.raised().len(), 3);
}

#[actix::test]
async fn slots_from_before_their_cron_and_gone_tasks_are_not_told() {
    for slot in [
        SlotTasks { since: None, chains: Some(Vec::new()) },
        SlotTasks { since: Some(noon() + TimeDelta::hours(9)), chains: Some(Vec::new()) },
        SlotTasks { since: Some(noon() - TimeDelta::days(1)), chains: None },
    ] {
        let stub = Stub::default();
        stub.0.lock().unwrap().slot = slot;
        let bench = Bench::start(stub, noon()).await;
        bench.pass(200).await;
        assert_eq!(bench.raised(), []);
    }
}

#[actix::test]
async fn a_task_at_work_for_too_long_is_told_once() {
    // The second one by the median of its last runs, an hour.
    for (topic, minute) in [("a", 121), ("b", 181)] {
        let stub = Stub::default();
        let task = Attempt { workflow: "w.toml".to_owned(), started: Some(noon()), ..task(topic, noon()) };
        stub.0.lock().unwrap().running = Some(task);
        let bench = Bench::start(stub, noon()).await;
        bench.pass(200).await;
        assert_eq!(bench.raised(), raised(&[(minute, topic)]));
    }
}

#[actix::test]
async fn a_deadline_that_a_pause_held_is_told_when_it_counts() {
    let stub = waiting();
    let pause = PhasePause {
        workflow: "w.toml".to_owned(),
        task: "a".to_owned(),
        since: noon() + TimeDelta::minutes(30),
        until: Some(noon() + TimeDelta::minutes(100)),
    };
    let ready = Attempt { state: TaskState::Ready, delivery: 0, ..task("a", noon() + TimeDelta::minutes(100)) };
    {
        let mut rows = stub.0.lock().unwrap();
        rows.pauses = vec![pause];
        rows.slot.chains = Some(vec![vec![ready]]);
    }
    let bench = Bench::start(stub, noon()).await;
    bench.pass(109).await;
    assert_eq!(bench.raised(), raised(&[(10, "a")]), "the slot of 13:00 waits");
    bench.pass(1).await;
    assert_eq!(bench.raised()[1..], raised(&[(110, "a")]));
}

#[actix::test]
async fn ready_tasks_that_no_worker_asks_for_are_told_once_and_again_once_others_are() {
    let stub = Stub::default();
    let since = |minutes| Some(noon() + TimeDelta::minutes(minutes));
    let queue = |oldest_ready| QueueLoad { topic: "sql".to_owned(), ready: 3, oldest_ready, ..QueueLoad::default() };
    let change = |asked, queue| {
        let mut rows = stub.0.lock().unwrap();
        (rows.asked, rows.queues) = (asked, vec![queue]);
    };
    change(None, queue(since(2)));
    let bench = Bench::start(stub.clone(), noon()).await;
    bench.pass(6).await;
    assert_eq!(bench.raised(), [], "the oldest is ready for four minutes");
    bench.pass(10).await;
    assert_eq!(bench.raised(), raised(&[(7, "sql")]));
    let bench = bench.restart().await;
    change(since(20), queue(since(16)));
    bench.pass(8).await;
    assert_eq!(bench.raised().len(), 1, "a worker asked at 12:20");
    bench.pass(1).await;
    assert_eq!(bench.raised()[1..], raised(&[(25, "sql")]));
    change(since(20), QueueLoad { leased: 1, ..queue(since(30)) });
    bench.pass(60).await;
    assert_eq!(bench.raised().len(), 2, "a worker is busy with one of them");
}

/// An hourly task that nothing judges, joins of it, and a child of one.
fn joins() -> Stub {
    let stub = waiting();
    let join = |task: &str, rule: &str| {
        format!("[[phase]]\ntask = \"{task}\"\ndependsOn = \"x\"\nrule = \"over=hour&{rule}\"\n")
    };
    stub.0.lock().unwrap().phases = "[[phase]]\ntask = \"x\"\nrule = \"cron=0 * * * *\"\n".to_owned()
        + &join("due", "done_by=10m")
        + &join("late", "join_by=20m&meta-file=gone.json")
        + &join("told", "join_by=30m&join_by_then=alert")
        + "[[phase]]\ntask = \"child\"\ndependsOn = \"due\"\nrule = \"done_by=15m\"\n";
    stub
}

#[actix::test]
async fn joins_are_late_and_have_deadlines_from_the_end_of_their_hour() {
    let bench = Bench::start(joins(), noon() + TimeDelta::seconds(30)).await;
    bench.pass(9).await;
    let of_joins = |bench: &Bench| -> Vec<_> { bench.raised().into_iter().filter(|(_, topic)| topic != "a").collect() };
    assert_eq!(of_joins(&bench), []);
    bench.pass(1).await;
    assert_eq!(of_joins(&bench), raised(&[(10, "due")]));
    let bench = bench.restart().await;
    bench.pass(40).await;
    let expected = raised(&[(10, "due"), (15, "due")]);
    assert_eq!(of_joins(&bench), expected, "once each: what the child waits for is told of it");
    let late = bench.rows.0.lock().unwrap().late_joins.clone();
    assert_eq!(late, [(20, "late".to_owned(), true), (30, "told".to_owned(), false)]);
}

#[actix::test]
async fn a_join_that_started_keeps_its_deadline_and_one_of_a_downtime_is_ended_afterwards() {
    let stub = joins();
    stub.0.lock().unwrap().join = JoinStanding { has_started: true, ..JoinStanding::default() };
    stub.0.lock().unwrap().looked_until = Some(noon() - TimeDelta::days(3) - TimeDelta::hours(1));
    let bench = Bench::start(stub, noon() + TimeDelta::seconds(30)).await;
    bench.pass(20).await;
    assert!(bench.raised().iter().all(|(_, topic)| topic == "a"), "{:?}", bench.raised());
    let late = bench.rows.0.lock().unwrap().late_joins.clone();
    let of_late = late.iter().filter(|(_, task, _)| task == "late").count();
    assert_eq!(of_late, 74, "all hours of three days and two");
}

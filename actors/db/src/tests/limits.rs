//! What phases allow: for how long a worker may have a task, how many may be at work, how many may start.

use flowlord_domain::TaskState;
use flowlord_domain::limits::LimitBlock;
use flowlord_domain::limits::LimitTable;
use flowlord_domain::workflow::{WorkflowFile, Workflows};
use flowlord_messages::leases::{
    GrantedLeases, KeepLimits, ReadStartBuckets, ReadWorkerLeases, ReapLeases, ReapedLeases, ReleaseLease, StartBucket,
};
use flowlord_messages::tasks::{CancelTasks, RerunTasks};
use proptest::prelude::*;

use std::collections::BTreeMap;

use super::*;

/// Phases of `w.toml`, each with its rule besides the cron.
fn limits(phases: &[(&str, &str)]) -> Arc<LimitTable> {
    let text =
        phases.iter().map(|(task, rule)| format!("[[phase]]\ntask = \"{task}\"\nrule = \"cron=@daily&{rule}\"\n"));
    let file = WorkflowFile::parse("w.toml", &text.collect::<String>(), "", "UTC".parse().ok().unwrap()).unwrap();
    LimitTable::new(&Workflows::new([file.into()]), &BTreeMap::from([("g".to_owned(), 2)])).into()
}

/// Leases one task for a length, in seconds.
async fn lease(db: &Db, topic: &str, length: i64, after: i64, limits: &Arc<LimitTable>) -> Option<LeaseGrant> {
    let wanted = vec![LeaseRequest { lease: seconds(length), ..wanted(&[topic], 1) }];
    let now = noon() + seconds(after);
    db.write(GrantLeases { now, wanted, limits: Arc::clone(limits) }).await.unwrap().granted.remove(0).pop()
}

/// When the lease ends after a beat, in seconds from noon, and whether the worker is to stop.
async fn beat(db: &Db, grant: &LeaseGrant, after: i64, by: Option<i64>) -> (i64, bool) {
    let (now, lease) = (noon() + seconds(after), grant.lease);
    let beat = ExtendLease { by: by.map(seconds), ..heartbeat(lease, now) };
    let extended = db.write(beat).await.unwrap();
    ((extended.expires - noon()).num_seconds(), extended.cancel)
}

async fn reap(db: &Db, after: i64) -> ReapedLeases {
    db.write(ReapLeases { now: noon() + seconds(after), max_deliveries: 5 }).await.unwrap()
}

#[actix::test]
async fn a_heartbeat_past_the_time_out_says_cancel_and_extends_no_more() {
    let db = Db::new();
    db.create(vec![task("a", "")]).await;
    let limits = limits(&[("a", "timeout=10m")]);
    let grant = lease(&db, "a", 300, 0, &limits).await.unwrap();
    assert_eq!((grant.expires, grant.task.lease_expires), (noon() + seconds(300), Some(noon() + seconds(300))));
    assert_eq!(grant.task.times_out, Some(noon() + seconds(600)));
    assert_eq!(beat(&db, &grant, 200, None).await, (500, false));
    assert_eq!(beat(&db, &grant, 450, None).await, (660, false), "no further than a minute after");
    let db = db.reopen();
    assert_eq!(db.attempt(grant.lease.uid).await.times_out, Some(noon() + seconds(600)));
    assert_eq!(beat(&db, &grant, 599, Some(20)).await, (619, false));
    assert_eq!(beat(&db, &grant, 600, Some(20)).await, (620, true));
    assert_eq!(beat(&db, &grant, 615, Some(3_600)).await, (660, true));
    assert_eq!(reap(&db, 659).await, ReapedLeases { next: Some(noon() + seconds(660)), ..ReapedLeases::default() });
    let reaped = reap(&db, 660).await;
    assert_eq!((reaped.requeued, reaped.timed_out), (0, vec![(grant.lease, seconds(600))]));
    assert_eq!(db.attempt(grant.lease.uid).await.state, TaskState::Leased, "until its error is stored");
    db.finish(ResultClaim::TimedOut(grant.lease), decision(TaskResult::Error)).await.unwrap();
    let ended = db.attempt(grant.lease.uid).await;
    assert_eq!((ended.state, ended.result), (TaskState::Done, Some(TaskResult::Error)));
}

#[actix::test]
async fn a_release_past_the_time_out_ends_the_lease_and_not_the_wait() {
    let db = Db::new();
    db.create(vec![task("a", "")]).await;
    let limits = limits(&[("a", "timeout=10m")]);
    let grant = lease(&db, "a", 3_600, 0, &limits).await.unwrap();
    let release = |after| ReleaseLease { now: noon() + seconds(after), lease: grant.lease, delay: seconds(0) };
    assert!(db.write(release(601)).await.unwrap().is_timed_out);
    assert!(lease(&db, "a", 60, 601, &limits).await.is_none(), "nobody has it again");
    assert_eq!(reap(&db, 601).await.timed_out, [(grant.lease, seconds(600))]);
}

#[actix::test]
async fn a_worker_that_does_not_beat_loses_it_and_one_that_is_gone_before_only_its_lease() {
    let db = Db::new();
    db.create(vec![task("a", ""), task("a", "")]).await;
    let limits = limits(&[("a", "timeout=10m")]);
    let long = lease(&db, "a", 36_000, 0, &limits).await.unwrap();
    assert_eq!(long.expires, noon() + seconds(660));
    let short = lease(&db, "a", 30, 0, &limits).await.unwrap();
    // Seen late, as after a downtime: that one's lease just ran out.
    let reaped = reap(&db, 9_000).await;
    assert_eq!((reaped.requeued, reaped.timed_out), (1, vec![(long.lease, seconds(600))]));
    let again = lease(&db, "a", 30, 9_000, &limits).await.unwrap();
    assert_eq!((again.lease.uid, again.task.times_out), (short.lease.uid, Some(noon() + seconds(9_600))));
}

#[actix::test]
async fn a_deadline_ends_with_its_lease_and_tasks_without_one_have_none() {
    let db = Db::new();
    db.create(vec![task("a", ""), task("b", "")]).await;
    let grant = lease(&db, "a", 300, 0, &limits(&[("a", "timeout=10m")])).await.unwrap();
    db.write(ReleaseLease { now: noon(), lease: grant.lease, delay: seconds(0) }).await.unwrap();
    assert_eq!(db.attempt(grant.lease.uid).await.times_out, None);
    let none = Arc::default();
    for topic in ["a", "b"] {
        let grant = lease(&db, topic, 36_000, 0, &none).await.unwrap();
        assert_eq!((grant.expires, grant.task.times_out), (noon() + seconds(36_000), None));
    }
    let reaped = reap(&db, 36_000).await;
    assert_eq!((reaped.requeued, reaped.timed_out), (2, vec![]));
}

/// Leases as many tasks of these topics as there may be, for a minute.
async fn lease_all(db: &Db, topics: &[&str], after: i64, limits: &Arc<LimitTable>) -> GrantedLeases {
    let now = noon() + seconds(after);
    let seed = now.timestamp_micros().cast_unsigned();
    let wanted = vec![LeaseRequest { seed, ..wanted(topics, 100) }];
    db.write(GrantLeases { now, wanted, limits: Arc::clone(limits) }).await.unwrap()
}

/// How many it leases of each of the topics, and what holds back more.
fn told(granted: &GrantedLeases) -> (Vec<&str>, Vec<(&str, &LimitBlock)>) {
    let mut topics: Vec<_> = granted.granted[0].iter().map(|grant| grant.task.topic.as_str()).collect();
    topics.sort_unstable();
    let mut blocked: Vec<_> = granted.blocked.iter().map(|queue| (queue.topic.as_str(), &queue.block)).collect();
    blocked.sort_by_key(|(topic, _)| *topic);
    (topics, blocked)
}

fn tasks(topics: &[&str]) -> Vec<NewTask> {
    topics.iter().map(|topic| task(topic, "")).collect()
}

#[actix::test]
async fn as_many_are_at_work_as_may_be_and_the_others_stay_ready() {
    let db = Db::new();
    let limits = limits(&[("a", "max_active=2"), ("b", "group=g"), ("c", "group=g&max_active=1")]);
    db.create(tasks(&["a", "a", "a", "b", "c", "c", "free"])).await;
    let first = lease_all(&db, &["a", "b", "c", "free", "other"], 0, &limits).await;
    let group = LimitBlock::Group { name: "g".to_owned(), max: 2 };
    let two = LimitBlock::Active { max: 2 };
    assert_eq!(told(&first).0, ["a", "a", "b", "c", "free"]);
    assert_eq!(told(&first).1, [("a", &two), ("c", &LimitBlock::Active { max: 1 })]);
    let db = db.reopen();
    assert_eq!(told(&lease_all(&db, &["a"], 1, &limits).await), (vec![], vec![("a", &two)]), "over a restart");
    let of = |topic: &str| first.granted[0].iter().find(|grant| grant.task.topic == topic).unwrap().lease;
    db.create(tasks(&["b"])).await;
    assert_eq!(told(&lease_all(&db, &["b"], 1, &limits).await), (vec![], vec![("b", &group)]), "across topics");
    db.finish(ResultClaim::Lease(of("c")), decision(TaskResult::Complete)).await.unwrap();
    assert_eq!(told(&lease_all(&db, &["c"], 1, &limits).await).0, ["c"]);
    db.write(ReleaseLease { now: noon(), lease: of("b"), delay: seconds(60) }).await.unwrap();
    assert_eq!(told(&lease_all(&db, &["b"], 1, &limits).await).0, ["b"]);
}

#[actix::test]
async fn an_expired_lease_frees_its_place_and_can_not_come_back() {
    let db = Db::new();
    let limits = limits(&[("a", "max_active=1"), ("b", "timeout=9h")]);
    db.create(tasks(&["a", "a", "b"])).await;
    let first = lease_all(&db, &["a", "b"], 0, &limits).await.granted.remove(0);
    let [of_a, of_b] = ["a", "b"].map(|topic| first.iter().find(|grant| grant.task.topic == topic).unwrap());
    assert_eq!(reap(&db, 60).await.requeued, 2);
    assert_eq!(told(&lease_all(&db, &["a"], 60, &limits).await).0, ["a"]);
    let late = |lease| heartbeat(lease, noon() + seconds(61));
    assert_eq!(code(db.write(late(of_a.lease)).await), Code::LeaseLost);
    assert!(db.write(late(of_b.lease)).await.is_ok(), "without a limit it may");
    // Its result still counts, and takes no place.
    db.finish(ResultClaim::Lease(of_a.lease), decision(TaskResult::Complete)).await.unwrap();
    assert_eq!(told(&lease_all(&db, &["a"], 62, &limits).await).0, Vec::<&str>::new());
}

#[actix::test]
async fn a_lease_that_expired_before_its_limit_came_can_not_come_back_either() {
    for rule in ["max_active=1", "group=g"] {
        let (db, limits) = (Db::new(), limits(&[("a", rule)]));
        db.create(tasks(&["a"])).await;
        let before = lease_all(&db, &["a"], 0, &Arc::default()).await.granted.remove(0).remove(0);
        assert_eq!(reap(&db, 60).await.requeued, 1);
        db.write(KeepLimits { limits: Arc::clone(&limits) }).await.unwrap();
        let late = ExtendLease { limits, ..heartbeat(before.lease, noon() + seconds(61)) };
        assert_eq!(code(db.write(late).await), Code::LeaseLost, "{rule}: it would take a place that isn't counted");
        assert!(db.write(heartbeat(before.lease, noon() + seconds(61))).await.is_ok(), "without the limit it may");
    }
}

#[actix::test]
async fn tasks_start_no_faster_than_their_rate_over_restarts() {
    let db = Db::new();
    let limits = limits(&[("a", "rate=2/1m")]);
    db.create(tasks(&["a"; 9])).await;
    let at = |after: i64| LimitBlock::Rate { next: noon() + seconds(after) };
    assert_eq!(told(&lease_all(&db, &["a"], 0, &limits).await), (vec!["a", "a"], vec![("a", &at(30))]));
    let db = db.reopen();
    let bucket = StartBucket { topic: "a".to_owned(), job: String::new(), full_at: noon() + seconds(60) };
    assert_eq!(db.read(ReadStartBuckets).await.unwrap(), [bucket]);
    assert_eq!(told(&lease_all(&db, &["a"], 29, &limits).await), (vec![], vec![("a", &at(30))]));
    assert_eq!(told(&lease_all(&db, &["a"], 30, &limits).await), (vec!["a"], vec![("a", &at(60))]));
    assert_eq!(told(&lease_all(&db, &["a"], 600, &limits).await), (vec!["a", "a"], vec![("a", &at(630))]));
    // A clock that was set back leaves the bucket empty, no more.
    assert_eq!(told(&lease_all(&db, &["a"], 0, &limits).await), (vec![], vec![("a", &at(30))]));
}

#[actix::test]
async fn a_new_limit_counts_what_is_at_work_already() {
    let db = Db::new();
    db.create(tasks(&["a", "a", "a"])).await;
    let before = lease_all(&db, &["a"], 0, &Arc::default()).await;
    assert_eq!(told(&before), (vec!["a"; 3], vec![]));
    db.create(tasks(&["a"])).await;
    for (rule, free) in [("max_active=3", 0), ("group=g", 0), ("max_active=4", 1)] {
        let limits = limits(&[("a", rule)]);
        db.write(KeepLimits { limits: Arc::clone(&limits) }).await.unwrap();
        assert_eq!(lease_all(&db, &["a"], 1, &limits).await.granted[0].len(), free, "{rule}");
    }
}

/// What workers, people, the machine and its clock do.
#[derive(Debug, Clone)]
enum LimitStep {
    Create { topic: usize },
    Lease { first: usize },
    Finish { nth: usize, result: TaskResult },
    Release { nth: usize },
    Beat { nth: usize },
    Cancel { nth: usize },
    Rerun { nth: usize },
    Expire,
    Clock { seconds: i64 },
    Reopen,
}

fn limit_step() -> impl Strategy<Value = LimitStep> {
    let nth = || 0..6_usize;
    let result = prop_oneof![3 => Just(TaskResult::Complete), 2 => Just(TaskResult::Error)];
    prop_oneof![
        6 => (0..4_usize).prop_map(|topic| LimitStep::Create { topic }),
        8 => (0..4_usize).prop_map(|first| LimitStep::Lease { first }),
        4 => (nth(), result).prop_map(|(nth, result)| LimitStep::Finish { nth, result }),
        1 => nth().prop_map(|nth| LimitStep::Release { nth }),
        2 => nth().prop_map(|nth| LimitStep::Beat { nth }),
        1 => nth().prop_map(|nth| LimitStep::Cancel { nth }),
        1 => nth().prop_map(|nth| LimitStep::Rerun { nth }),
        2 => Just(LimitStep::Expire),
        // Also backwards, and by more than a lease or a bucket lasts.
        4 => (-400..400_i64).prop_map(|seconds| LimitStep::Clock { seconds }),
        1 => Just(LimitStep::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever workers, people, crashes and clocks do: no limit is ever exceeded, and at the end all places are free.
    #[test]
    fn no_limit_is_exceeded_and_none_leaks(steps in proptest::collection::vec(limit_step(), 1..60)) {
        actix_rt::System::new().block_on(async {
            let mut case = LimitCase::new();
            for step in &steps {
                case = case.take_step(step).await;
                case.check_active().await;
                case.check_rate();
            }
            case.check_places().await;
        });
    }
}

const LIMITED: [(&str, &str); 4] =
    [("a", "max_active=2"), ("b", "group=g"), ("c", "group=g&max_active=1&timeout=5m"), ("d", "rate=2/1m")];
const TOPICS: [&str; 4] = ["a", "b", "c", "d"];

/// A database, what workers have had of it, and how its clock went.
struct LimitCase {
    db: Db,
    limits: Arc<LimitTable>,
    leases: Vec<LeaseGrant>,
    /// Seconds from noon.
    now: i64,
    latest: i64,
    /// How far the clock went forward in all: for so long buckets were refilled at most.
    forward: i64,
    /// How far it was at each start of `d`.
    starts: Vec<i64>,
}

impl LimitCase {
    fn new() -> Self {
        let (leases, starts) = (Vec::new(), Vec::new());
        Self { db: Db::new(), limits: limits(&LIMITED), leases, now: 0, latest: 0, forward: 0, starts }
    }

    fn at(&self) -> DateTime<Utc> {
        noon() + seconds(self.now)
    }

    fn pass(&mut self, seconds: i64) {
        self.now += seconds;
        self.forward += seconds.max(0);
        self.latest = self.latest.max(self.now);
    }

    async fn take_step(mut self, step: &LimitStep) -> Self {
        let (now, count) = (self.at(), self.leases.len().max(1));
        let held = |nth: &usize| self.leases.get(nth % count).cloned();
        match step {
            LimitStep::Create { topic } => drop(self.db.create(tasks(&[TOPICS[*topic]; 2])).await),
            LimitStep::Lease { first } => self.lease_two(*first).await,
            LimitStep::Finish { nth, result } => {
                if let Some(grant) = held(nth) {
                    self.finish(&grant, *result).await;
                }
            }
            LimitStep::Release { nth } => {
                if let Some(LeaseGrant { lease, .. }) = held(nth) {
                    drop(self.db.write(ReleaseLease { now, lease, delay: seconds(0) }).await);
                }
            }
            LimitStep::Beat { nth } => {
                if let Some(LeaseGrant { lease, .. }) = held(nth) {
                    drop(self.db.write(heartbeat(lease, now)).await);
                }
            }
            LimitStep::Cancel { nth } => {
                if let Some(LeaseGrant { lease, .. }) = held(nth) {
                    drop(self.db.write(CancelTasks { now, uids: vec![lease.uid], msg: String::new() }).await);
                }
            }
            LimitStep::Rerun { nth } => {
                if let Some(grant) = held(nth) {
                    drop(self.db.write(RerunTasks { now, tasks: vec![again(&grant)] }).await);
                }
            }
            LimitStep::Expire => self.end_expired(self.now + 70).await,
            LimitStep::Clock { seconds } => self.pass(*seconds),
            LimitStep::Reopen => self.db = self.db.reopen(),
        }
        self
    }

    async fn lease_two(&mut self, first: usize) {
        let topics = [TOPICS[first], TOPICS[(first + 1) % TOPICS.len()]];
        let granted = lease_all(&self.db, &topics, self.now, &self.limits).await.granted.remove(0);
        let starts = granted.iter().filter(|grant| grant.task.topic == "d").count();
        self.starts.extend(std::iter::repeat_n(self.forward, starts));
        self.leases.extend(granted);
    }

    /// With a retry, where it failed.
    async fn finish(&self, grant: &LeaseGrant, result: TaskResult) {
        let retry = (result == TaskResult::Error).then(|| NewTask { retry: grant.task.retry + 1, ..again(grant) });
        let decision = TaskDecision { retry, ended: self.at(), ..decision(result) };
        drop(self.db.finish(ResultClaim::Lease(grant.lease), decision).await);
    }

    async fn end_expired(&self, after: i64) {
        let reaped = reap(&self.db, after).await;
        let timed_out = reaped.timed_out.into_iter().map(|(lease, _)| ResultClaim::TimedOut(lease));
        for claim in timed_out.chain(reaped.exhausted.into_iter().map(ResultClaim::Lease)) {
            drop(self.db.finish(claim, decision(TaskResult::Error)).await);
        }
    }

    async fn check_active(&self) {
        let leased = self.db.read(ReadWorkerLeases).await.unwrap();
        let count = |topics: &[&str]| -> u64 {
            leased.iter().filter(|held| topics.contains(&held.topic.as_str())).map(|held| held.leased).sum()
        };
        assert!(count(&["a"]) <= 2 && count(&["c"]) <= 1 && count(&["b", "c"]) <= 2, "{leased:?}");
    }

    fn check_rate(&self) {
        for (nth, begin) in self.starts.iter().enumerate() {
            for (more, end) in self.starts[nth..].iter().enumerate() {
                assert!(more < 2 + usize::try_from((end - begin) / 30).unwrap(), "{:?}", self.starts);
            }
        }
    }

    /// All leases run out, and then the places of all are free.
    async fn check_places(&self) {
        for later in 1..6 {
            self.end_expired(self.latest + 1_000 * later).await;
        }
        self.db.create(tasks(&["a", "a", "a", "b", "b", "b", "c", "c", "d", "d", "d"])).await;
        let last = lease_all(&self.db, &TOPICS, self.latest + 9_000, &self.limits).await;
        let (topics, _) = told(&last);
        let count = |wanted: &[&str]| topics.iter().filter(|topic| wanted.contains(topic)).count();
        assert_eq!([count(&["a"]), count(&["b", "c"]), count(&["d"])], [2; 3], "{topics:?}");
    }
}

/// The same task once more.
fn again(grant: &LeaseGrant) -> NewTask {
    let uid = grant.lease.uid;
    NewTask { parent: Some(uid), uid: Uid(uid.0 + 1), retry: grant.task.retry, ..task(&grant.task.topic, "") }
}

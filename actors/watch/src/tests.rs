//! Hours that pass in milliseconds, over a database of one struct.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::Arbiter;
use flowlord_domain::{Attempt, Lane, TaskState, Uid};
use flowlord_messages::{Clock as _, Code, Error};
use flowlord_testkit::VirtualClock;

use super::*;

#[derive(Debug, Default)]
struct Rows {
    unfinished: Vec<Attempt>,
    until: Option<DateTime<Utc>>,
    keys: BTreeSet<String>,
    /// Minutes since noon, key and message.
    raised: Vec<(i64, String)>,
    refuse: bool,
}

#[derive(Clone, Default)]
struct Stub(Arc<Mutex<Rows>>);

impl Actor for Stub {
    type Context = Context<Self>;
}

impl Handler<ReadWatch> for Stub {
    type Result = Result<WatchInput>;

    fn handle(&mut self, read: ReadWatch, _: &mut Self::Context) -> Self::Result {
        let rows = self.0.lock().unwrap();
        let new = |task: &&Attempt| {
            let created = task.uid.created();
            created <= read.unfinished_before && rows.until.is_none_or(|until| created > until)
        };
        // One at a time.
        let unfinished: Vec<_> = rows.unfinished.iter().filter(new).take(1).cloned().collect();
        let more_unfinished = !unfinished.is_empty();
        Ok(WatchInput { looked_until: None, unfinished, more_unfinished })
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
        let activity = Activity::default();
        let clock = VirtualClock::new(now, activity.clone());
        let arbiter = Arbiter::new();
        let stub = rows.clone();
        let db = Stub::start_in_arbiter(&arbiter.handle(), move |_| stub);
        let patience = Duration::from_secs(20);
        let deps = Deps {
            clock: Arc::new(clock.clone()),
            activity: activity.clone(),
            supervision: Supervision::new("watch", Arc::new(clock.clone()), Arc::new(|_| panic!("gave up"))),
            read: Port::new("db", db.clone().recipient(), 16, patience, &activity),
            raise: Port::new("db", db.recipient(), 16, patience, &activity),
        };
        let watch = Watch::start(&arbiter.handle(), Config { ttl: TimeDelta::hours(4) }, deps);
        let ping = Port::new("watch", watch.recipient(), 1, patience, &activity);
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
    Attempt {
        uid: Uid::at(at),
        topic: topic.to_owned(),
        job: String::new(),
        id: "chain".to_owned(),
        info: "?date=2026-03-02".to_owned(),
        meta: String::new(),
        workflow: String::new(),
        parent: None,
        retry: 0,
        lane: Lane::Live,
        state: TaskState::Leased,
        delivery: 1,
        not_before: None,
        worker: String::new(),
        lease_expires: None,
        progress: None,
        result: None,
        msg: String::new(),
        started: None,
        ended: None,
    }
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

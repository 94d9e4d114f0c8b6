//! Days that pass in milliseconds, over a history that is a number.

use std::sync::{Arc, Mutex};

use actix::{Actor, Arbiter, Handler};
use flowlord_kernel::{Clock as _, Code, Error, Ping, WorkCounter};
use flowlord_messages::clients::RetentionClient;
use flowlord_testkit::VirtualClock;

use super::*;

/// Each step takes 500 off what is left.
#[derive(Debug, Default)]
struct Rows {
    left: usize,
    asked: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    refuse: bool,
}

#[derive(Clone)]
struct Stub(Arc<Mutex<Rows>>, VirtualClock);

impl Actor for Stub {
    type Context = Context<Self>;
}

impl Handler<RemoveHistory> for Stub {
    type Result = Result<RemovedHistory>;

    fn handle(&mut self, step: RemoveHistory, _: &mut Self::Context) -> Self::Result {
        let mut rows = self.0.lock().unwrap();
        rows.asked.push((self.1.now(), step.before));
        if rows.refuse {
            return Err(Error::new(Code::Storage, "planned"));
        }
        let tasks = rows.left.min(step.limit);
        rows.left -= tasks;
        Ok(RemovedHistory { tasks, others: 0, next: HistoryPosition::default(), more: tasks == step.limit })
    }
}

struct Bench {
    rows: Arc<Mutex<Rows>>,
    clock: VirtualClock,
    client: RetentionClient,
    _arbiter: Arbiter,
}

fn noon() -> DateTime<Utc> {
    "2026-03-10T12:00:00Z".parse().unwrap()
}

async fn bench(left: usize) -> Bench {
    let clock = VirtualClock::new(noon(), WorkCounter::default());
    let environment = clock.environment();
    let arbiter = Arbiter::new();
    let rows = Arc::new(Mutex::new(Rows { left, ..Rows::default() }));
    let stub = Stub(Arc::clone(&rows), clock.clone());
    let db = Stub::start_in_arbiter(&arbiter.handle(), move |_| stub);
    let writer = DatabaseWriter::unconnected().with::<RemoveHistory>(environment.port("db", &db));
    let config = Config { retention: TimeDelta::days(7) };
    let deps = Deps { kit: environment.kit("retention"), writer };
    let retention = HistoryRemover::start(&arbiter.handle(), config, deps);
    let client = RetentionClient::connect("retention", &retention, &environment);
    environment.port("retention", &retention).call(Ping).await.unwrap();
    clock.settle().await;
    Bench { rows, clock, client, _arbiter: arbiter }
}

impl Bench {
    fn asked(&self) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
        std::mem::take(&mut self.rows.lock().unwrap().asked)
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[actix::test]
async fn old_days_leave_at_the_start_and_after_each_midnight_in_steps_with_pauses() {
    let bench = bench(1_200).await;
    bench.clock.advance(TimeDelta::seconds(1)).await;
    let asked = bench.asked();
    let pauses: Vec<TimeDelta> = asked.iter().map(|(when, _)| *when - noon()).collect();
    assert_eq!(pauses, [TimeDelta::zero(), STEP_PAUSE, STEP_PAUSE * 2]);
    assert!(asked.iter().all(|(_, before)| *before == at("2026-03-03T00:00:00Z")), "{asked:?}");
    bench.clock.advance(TimeDelta::days(2)).await;
    let midnights = [
        (at("2026-03-11T00:00:00Z"), at("2026-03-04T00:00:00Z")),
        (at("2026-03-12T00:00:00Z"), at("2026-03-05T00:00:00Z")),
    ];
    assert_eq!(bench.asked(), midnights);
}

#[actix::test]
async fn it_begins_when_asked_but_not_twice_at_once() {
    let bench = bench(10_000).await;
    for _ in 0..5 {
        assert!(bench.client.hint(RemoveOldHistory));
    }
    bench.clock.advance(TimeDelta::seconds(2)).await;
    assert_eq!(bench.asked().len(), 21, "one run of twenty full steps and an empty one");
    assert!(bench.client.hint(RemoveOldHistory));
    bench.clock.settle().await;
    assert_eq!(bench.asked().len(), 1);
}

#[actix::test]
async fn a_database_that_refuses_is_asked_again_where_it_was() {
    let bench = bench(700).await;
    bench.rows.lock().unwrap().refuse = true;
    bench.clock.advance(TimeDelta::minutes(3)).await;
    assert!(bench.asked().len() >= 3);
    bench.rows.lock().unwrap().refuse = false;
    bench.clock.advance(TimeDelta::minutes(2)).await;
    assert_eq!(bench.rows.lock().unwrap().left, 0);
}

//! The ladder over days that pass in milliseconds, against a database of one struct.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Arbiter, Context, Handler};
use flowlord_domain::{AlertKind, Attempt, Lane, TaskState, Uid};
use flowlord_messages::notifier::{Colour, Payload, Stage};
use flowlord_messages::read::StoredAlert;
use flowlord_messages::{Clock as _, Code, Error};
use flowlord_testkit::VirtualClock;

use super::*;

/// What the alerts actor needs of a database.
#[derive(Debug, Default)]
struct Rows {
    state: Option<String>,
    told_until: i64,
    alerts: Vec<StoredAlert>,
    unfinished: Vec<Attempt>,
    told: Vec<(DateTime<Utc>, String, Payload)>,
    refuse: bool,
    /// Steps are stored, but the answer is lost.
    silent: bool,
}

#[derive(Clone, Default)]
struct Stub(Arc<Mutex<Rows>>);

impl Actor for Stub {
    type Context = Context<Self>;
}

impl Handler<ReadLadder> for Stub {
    type Result = Result<LadderInput>;

    fn handle(&mut self, read: ReadLadder, _: &mut Self::Context) -> Self::Result {
        let rows = self.0.lock().unwrap();
        let untold: Vec<_> =
            rows.alerts.iter().filter(|alert| alert.row > rows.told_until).cloned().collect();
        let newest = untold.last().map_or(rows.told_until, |alert| alert.row);
        let overdue = |task: &&Attempt| task.uid.created() <= read.unfinished_before;
        let unfinished = rows.unfinished.iter().filter(overdue).cloned().collect();
        Ok(LadderInput { state: rows.state.clone(), untold, newest, unfinished, more_unfinished: false })
    }
}

impl Handler<AdvanceLadder> for Stub {
    type Result = Result<()>;

    fn handle(&mut self, advance: AdvanceLadder, _: &mut Self::Context) -> Self::Result {
        let mut rows = self.0.lock().unwrap();
        if rows.refuse {
            return Err(Error::new(Code::Storage, "planned"));
        }
        rows.state = Some(advance.state);
        rows.told_until = rows.told_until.max(advance.told_until);
        if let Some(until) = advance.unfinished_until {
            rows.unfinished.retain(|task| task.uid.created() > until);
        }
        for message in advance.messages {
            if rows.told.iter().all(|(_, key, _)| *key != message.key) {
                let payload = serde_json::from_str(&message.payload).unwrap();
                rows.told.push((advance.now, message.key, payload));
            }
        }
        if rows.silent {
            return Err(Error::new(Code::Timeout, "planned"));
        }
        Ok(())
    }
}

struct Bench {
    rows: Stub,
    clock: VirtualClock,
    activity: Activity,
    arbiter: Arbiter,
    raised: Port<AlertRaised>,
    stop: Port<StopAlerting>,
    states: Port<LadderStates>,
}

fn noon() -> DateTime<Utc> {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

impl Bench {
    async fn start(rows: Stub, now: DateTime<Utc>) -> Self {
        let activity = Activity::default();
        let clock = VirtualClock::new(now, activity.clone());
        let arbiter = Arbiter::new();
        let handle = arbiter.handle();
        let stub = rows.clone();
        let db = Stub::start_in_arbiter(&handle, move |_| stub);
        let patience = Duration::from_secs(20);
        let deps = Deps {
            clock: Arc::new(clock.clone()),
            activity: activity.clone(),
            supervision: Supervision::new("alerts", Arc::new(clock.clone()), Arc::new(|_| panic!("gave up"))),
            read: Port::new("db", db.clone().recipient(), 16, patience, &activity),
            advance: Port::new("db", db.recipient(), 16, patience, &activity),
        };
        let policy = Policy::default();
        let config = Config { policy, ttl: TimeDelta::hours(4), public_url: "http://flow".to_owned() };
        let alerts = Alerts::start(&handle, config, deps);
        // Answered once it has started: before that no work is under way.
        Port::new("alerts", alerts.clone().recipient(), 1, patience, &activity).call(Ping).await.unwrap();
        clock.settle().await;
        let raised = Port::new("alerts", alerts.clone().recipient(), 16, patience, &activity);
        let stop = Port::new("alerts", alerts.clone().recipient(), 1, patience, &activity);
        let states = Port::new("alerts", alerts.recipient(), 1, patience, &activity);
        Self { rows, clock, activity, arbiter, raised, stop, states }
    }

    async fn restart(self) -> Self {
        self.arbiter.stop();
        let _ended = self.arbiter.join();
        Self::start(self.rows, self.clock.now()).await
    }

    async fn pass(&self, minutes: i64) {
        self.clock.advance(TimeDelta::minutes(minutes)).await;
        assert!(self.activity.idle().0);
    }

    fn raise(&self, topic: &str, job: &str) {
        let mut rows = self.rows.0.lock().unwrap();
        let row = rows.alerts.len() as i64 + 1;
        rows.alerts.push(StoredAlert {
            row,
            kind: AlertKind::Exhausted,
            at: self.clock.now(),
            uid: None,
            id: String::new(),
            topic: topic.to_owned(),
            job: job.to_owned(),
            workflow: String::new(),
            msg: "broke".to_owned(),
            task_time: Some(noon()),
            at_once: false,
        });
        drop(rows);
        self.raised.hint(AlertRaised);
    }

    /// Minutes since noon and headline of each message.
    fn told(&self) -> Vec<(i64, String)> {
        let rows = self.rows.0.lock().unwrap();
        rows.told
            .iter()
            .map(|(at, _, payload)| ((*at - noon()).num_minutes(), payload.headline.clone()))
            .collect()
    }

    fn last(&self) -> Payload {
        self.rows.0.lock().unwrap().told.last().unwrap().2.clone()
    }
}

fn headlines(told: &[(i64, &str)]) -> Vec<(i64, String)> {
    told.iter().map(|(at, headline)| (*at, (*headline).to_owned())).collect()
}

#[actix::test]
async fn a_trickle_is_told_slower_and_slower_and_then_all_clear() {
    let bench = Bench::start(Stub::default(), noon()).await;
    for _ in 0..30 {
        bench.raise("extract", "orders");
        bench.pass(1).await;
    }
    let summaries = [(5, "5 alerts in 1 task"), (15, "10 alerts in 1 task")];
    assert_eq!(bench.told(), headlines(&summaries));
    bench.pass(5).await;
    assert_eq!(bench.told()[2..], headlines(&[(35, "15 alerts in 1 task")]));
    let payload = bench.last();
    assert_eq!(payload.lines, ["extract:orders:                       15  2026/03/02T12"]);
    assert_eq!(payload.link.as_deref(), Some("http://flow/web/alert?date=2026-03-02"));
    assert_eq!(payload.footer, "next update at 13:15 UTC, if there is news");
    let incident = payload.incident.unwrap();
    assert_eq!((incident.step, incident.stage, incident.alerts), (3, Stage::Escalating, 30));
    assert_eq!((incident.details, incident.tasks), (payload.lines, vec!["extract:orders".to_owned()]));
    // 40 minutes to the next look, then 20, 10, 5, and the all-clear at the bottom.
    bench.pass(74).await;
    assert_eq!(bench.told().len(), 3);
    bench.pass(1).await;
    assert_eq!(bench.told()[3..], headlines(&[(110, "all clear: 30 alerts in 1h45m")]));
    assert_eq!(
        (bench.last().colour, bench.last().lines),
        (Colour::Green, vec!["extract:orders recovered".to_owned()])
    );
    let incident = bench.last().incident.unwrap();
    assert_eq!((incident.step, incident.stage, incident.lasted.as_str()), (7, Stage::Clear, "1h45m"));
    bench.pass(24 * 60).await;
    assert_eq!(bench.told().len(), 4, "quiet when well");
}

#[actix::test]
async fn a_storm_is_one_message_a_tick_and_ever_seldomer() {
    let bench = Bench::start(Stub::default(), noon()).await;
    for _ in 0..6 * 60 {
        for (topic, count) in [("load", 3), ("extract", 2), ("audit", 2)] {
            (0..count).for_each(|_| bench.raise(topic, ""));
        }
        bench.pass(1).await;
    }
    let ticks: Vec<_> = bench.told().into_iter().map(|(at, _)| at).collect();
    assert_eq!(ticks, [5, 15, 35, 75, 155, 235, 315], "10, 20, 40, and then every 80 minutes");
    assert_eq!(bench.told()[0].1, "35 alerts in 3 tasks");
    let lines: Vec<_> = bench.last().lines;
    let keys: Vec<_> = lines.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(keys, ["load", "audit", "extract"], "by count, and then name: {lines:?}");
    let status = bench.states.call(LadderStates).await.unwrap();
    let expected = LadderStatus {
        route: "default".to_owned(),
        interval: TimeDelta::minutes(80),
        next: noon() + TimeDelta::minutes(395),
        policy: Policy::default(),
        incident_since: Some(noon() + TimeDelta::minutes(5)),
        alerts: 7 * 315,
        steps: 7,
        tasks: ["audit", "extract", "load"].map(str::to_owned).to_vec(),
        acknowledged_by: None,
    };
    assert_eq!(status, [expected]);
}

#[actix::test]
async fn a_summary_links_to_the_day_of_its_alerts() {
    let midnight = noon() + TimeDelta::hours(12);
    let bench = Bench::start(Stub::default(), midnight - TimeDelta::minutes(3)).await;
    bench.raise("a", "");
    bench.pass(5).await;
    assert_eq!(bench.last().link.as_deref(), Some("http://flow/web/alert?date=2026-03-02"));
}

#[actix::test]
async fn a_step_whose_answer_was_lost_is_told_once_and_hides_no_later_alert() {
    let bench = Bench::start(Stub::default(), noon()).await;
    bench.raise("a", "");
    bench.rows.0.lock().unwrap().silent = true;
    bench.pass(5).await;
    bench.raise("b", "");
    bench.pass(1).await;
    bench.rows.0.lock().unwrap().silent = false;
    bench.pass(20).await;
    let told = [(5, "1 alert in 1 task"), (15, "1 alert in 1 task")];
    assert_eq!(bench.told(), headlines(&told));
    assert!(bench.last().lines[0].starts_with("b:"));
}

#[actix::test]
async fn a_clock_set_back_silences_nothing() {
    let bench = Bench::start(Stub::default(), noon()).await;
    bench.clock.step(-TimeDelta::days(10)).await;
    bench.raise("a", "");
    bench.pass(5).await;
    assert_eq!(bench.told().len(), 1);
}

#[actix::test]
async fn a_stopped_ladder_moves_no_more() {
    let bench = Bench::start(Stub::default(), noon()).await;
    bench.raise("a", "");
    bench.stop.call(StopAlerting).await.unwrap();
    bench.pass(600).await;
    assert_eq!(bench.told(), []);
    let bench = bench.restart().await;
    bench.pass(5).await;
    assert_eq!(bench.told().len(), 1, "what wasn't told stays a row");
}

#[actix::test]
async fn a_state_that_cannot_be_read_counts_as_none() {
    let rows = Stub::default();
    rows.0.lock().unwrap().state = Some("{}".to_owned());
    let bench = Bench::start(rows, noon()).await;
    bench.raise("a", "");
    bench.pass(10).await;
    assert_eq!(bench.told().len(), 1);
}

#[actix::test]
async fn a_restart_neither_repeats_nor_forgets() {
    let bench = Bench::start(Stub::default(), noon()).await;
    bench.raise("a", "");
    bench.pass(4).await;
    let bench = bench.restart().await;
    bench.pass(1).await;
    assert_eq!(bench.told(), headlines(&[(5, "1 alert in 1 task")]), "the tick is a row too");
    let bench = bench.restart().await;
    bench.raise("b", "");
    bench.pass(9).await;
    assert_eq!(bench.told().len(), 1, "the doubled interval is a row too");
    bench.pass(1).await;
    assert_eq!(bench.told()[1..], headlines(&[(15, "1 alert in 1 task")]));
}

#[actix::test]
async fn a_database_that_refuses_moves_nothing() {
    let bench = Bench::start(Stub::default(), noon()).await;
    bench.pass(1).await;
    bench.raise("a", "");
    bench.rows.0.lock().unwrap().refuse = true;
    bench.pass(8).await;
    assert_eq!(bench.told(), []);
    bench.rows.0.lock().unwrap().refuse = false;
    bench.pass(1).await;
    assert_eq!(bench.told().len(), 1);
}

#[actix::test]
async fn a_task_unfinished_past_its_time_is_told_once() {
    let bench = Bench::start(Stub::default(), noon()).await;
    bench.rows.0.lock().unwrap().unfinished.push(Attempt {
        uid: Uid::at(noon()),
        topic: "slow".to_owned(),
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
    });
    bench.pass(4 * 60 - 1).await;
    assert_eq!(bench.told(), []);
    bench.pass(60).await;
    assert_eq!(bench.told()[..1], headlines(&[(240, "1 alert in 1 task")]));
    assert!(bench.rows.0.lock().unwrap().told[0].2.lines[0].starts_with("slow:"));
    assert_eq!(bench.told().len(), 2, "and its all-clear");
}

//! The ladder over days that pass in milliseconds, against a database of one struct.

use std::sync::{Arc, Mutex};

use actix::{Actor, Arbiter, Handler};
use flowlord_domain::alert::AlertMatcher;
use flowlord_domain::escalation::{EscalationPolicy, QuietHours};
use flowlord_domain::{AlertKind, Uid};
use flowlord_kernel::{Clock as _, Ping, Port, WorkCounter};
use flowlord_messages::alerts::StoredAlert;
use flowlord_messages::clients::{AlertsClient, DatabaseReader, DatabaseWriter};
use flowlord_messages::outbox::{IncidentStage, MessageColour, MessagePayload};
use flowlord_testkit::VirtualClock;

use super::*;

/// What the alerts actor needs of a database.
#[derive(Debug, Default)]
struct Rows {
    state: Option<String>,
    told_until: i64,
    alerts: Vec<StoredAlert>,
    /// When, kind, key, payload.
    told: Vec<(DateTime<Utc>, String, String, MessagePayload)>,
    steps: Vec<(u32, String, String)>,
    refuse: bool,
    /// Steps are stored, but the answer is lost.
    silent: bool,
}

#[derive(Clone, Default)]
struct Stub(Arc<Mutex<Rows>>);

impl Actor for Stub {
    type Context = Context<Self>;
}

impl Handler<ReadEscalation> for Stub {
    type Result = Result<EscalationInput>;

    fn handle(&mut self, _: ReadEscalation, _: &mut Self::Context) -> Self::Result {
        let rows = self.0.lock().unwrap();
        let untold: Vec<_> = rows.alerts.iter().filter(|alert| alert.row > rows.told_until).cloned().collect();
        let newest = untold.last().map_or(0, |alert| alert.row);
        Ok(EscalationInput { state: rows.state.clone(), untold, newest })
    }
}

impl Handler<SetRoutes> for Stub {
    type Result = Result<()>;

    fn handle(&mut self, set: SetRoutes, _: &mut Self::Context) -> Self::Result {
        assert_eq!(set.routes, [], "the default one takes what is left, and needs no rule");
        Ok(())
    }
}

impl Handler<AdvanceEscalation> for Stub {
    type Result = Result<()>;

    fn handle(&mut self, advance: AdvanceEscalation, _: &mut Self::Context) -> Self::Result {
        let mut rows = self.0.lock().unwrap();
        if rows.refuse {
            return Err(Error::new(Code::Storage, "planned"));
        }
        rows.state = Some(advance.state);
        rows.told_until = rows.told_until.max(advance.told_until);
        for message in advance.messages {
            if rows.told.iter().all(|(_, _, key, _)| *key != message.key) {
                let payload = serde_json::from_str(&message.payload).unwrap();
                rows.told.push((advance.now, message.kind, message.key, payload));
            }
        }
        rows.steps.extend(
            advance.incident.map(|incident| (incident.step.number, incident.step.kind, incident.step.headline)),
        );
        if rows.silent {
            return Err(Error::new(Code::Timeout, "planned"));
        }
        Ok(())
    }
}

struct Bench {
    rows: Stub,
    clock: VirtualClock,
    activity: WorkCounter,
    arbiter: Arbiter,
    raised: Port<AlertsRaised>,
    stop: Port<StopAlerting>,
    client: AlertsClient,
}

fn noon() -> DateTime<Utc> {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

impl Bench {
    async fn start(rows: Stub, now: DateTime<Utc>) -> Self {
        Self::with(rows, now, None).await
    }

    async fn with(rows: Stub, now: DateTime<Utc>, quiet: Option<QuietHours>) -> Self {
        let clock = VirtualClock::new(now, WorkCounter::default());
        let arbiter = Arbiter::new();
        let handle = arbiter.handle();
        let stub = rows.clone();
        let db = Stub::start_in_arbiter(&handle, move |_| stub);
        let environment = clock.environment();
        let deps = DatabaseDeps {
            kit: environment.kit("alerts"),
            writer: DatabaseWriter::unconnected()
                .with::<SetRoutes>(environment.port("db", &db))
                .with::<AdvanceEscalation>(environment.port("db", &db)),
            reader: DatabaseReader::unconnected().with::<ReadEscalation>(environment.port("db", &db)),
        };
        let route = EscalationRoute {
            name: DEFAULT_ROUTE.to_owned(),
            matcher: AlertMatcher::default(),
            policy: EscalationPolicy::default(),
            quiet,
        };
        let config = Config { routes: vec![route], public_url: "http://flow".to_owned() };
        let alerts = Alerts::start(&handle, config, deps);
        // Answered once it has started: before that no work is under way.
        environment.port("alerts", &alerts).call(Ping).await.unwrap();
        clock.settle().await;
        let raised = environment.port("alerts", &alerts);
        let stop = environment.port("alerts", &alerts);
        let client = AlertsClient::connect("alerts", &alerts, &environment);
        Self { rows, clock, activity: environment.activity, arbiter, raised, stop, client }
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
            is_msg_cut: false,
            task_time: Some(noon()),
            at_once: false,
            route: DEFAULT_ROUTE.to_owned(),
            silence: None,
            owner: String::new(),
            runbook: String::new(),
        });
        drop(rows);
        self.raised.hint(AlertsRaised);
    }

    /// Minutes since noon and headline of each message.
    fn told(&self) -> Vec<(i64, String)> {
        self.of(|kind| kind != "update")
    }

    /// The same of what only changes a message.
    fn updates(&self) -> Vec<(i64, String)> {
        self.of(|kind| kind == "update")
    }

    fn of(&self, kinds: fn(&str) -> bool) -> Vec<(i64, String)> {
        let rows = self.rows.0.lock().unwrap();
        let told = rows.told.iter().filter(|(_, kind, ..)| kinds(kind));
        told.map(|(at, .., payload)| ((*at - noon()).num_minutes(), payload.headline.clone())).collect()
    }

    fn last(&self) -> MessagePayload {
        self.rows.0.lock().unwrap().told.last().unwrap().3.clone()
    }

    async fn acknowledge(&self, matcher: AlertMatcher, hours: i64) -> Vec<AcknowledgedIncident> {
        let until = self.clock.now() + TimeDelta::hours(hours);
        let said = AcknowledgeAlerts { route: None, matcher, until, by: "ada".to_owned(), note: "on it".to_owned() };
        self.client.call(said).await.unwrap()
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
    assert_eq!(payload.footer, "next update at 13:15 UTC, if there are new alerts");
    let incident = payload.incident.unwrap();
    assert_eq!((incident.step, incident.stage, incident.alerts), (3, IncidentStage::Escalating, 30));
    assert_eq!((incident.details, incident.tasks), (payload.lines, vec!["extract:orders".to_owned()]));
    assert_eq!(bench.updates(), []);
    // 40 minutes to the next look, then 20, 10, 5, and the all-clear at the bottom.
    bench.pass(74).await;
    assert_eq!(bench.told().len(), 3);
    bench.pass(1).await;
    assert_eq!(bench.told()[3..], headlines(&[(110, "all clear: 30 alerts in 1h45m")]));
    assert_eq!(
        (bench.last().colour, bench.last().lines),
        (MessageColour::Green, vec!["extract:orders recovered".to_owned()])
    );
    let incident = bench.last().incident.unwrap();
    assert_eq!((incident.step, incident.stage, incident.lasted.as_str()), (7, IncidentStage::Clear, "1h45m"));
    let easing = "easing: 30 alerts in 1 task";
    assert_eq!(bench.updates(), headlines(&[(75, easing), (95, easing), (105, easing)]));
    let steps: Vec<_> = bench.rows.0.lock().unwrap().steps.iter().map(|(_, kind, _)| kind.clone()).collect();
    assert_eq!(steps, ["summary", "summary", "summary", "update", "update", "update", "all_clear"]);
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
    let status = bench.client.call(ReadEscalations).await.unwrap();
    let expected = EscalationStatus {
        route: "default".to_owned(),
        interval: TimeDelta::minutes(80),
        next: noon() + TimeDelta::minutes(395),
        policy: EscalationPolicy::default(),
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
async fn a_summary_of_one_failure_links_to_its_log_and_has_its_last_line() {
    let bench = Bench::start(Stub::default(), noon()).await;
    let fail = |uid, msg: &str| {
        bench.raise("a", "");
        let mut rows = bench.rows.0.lock().unwrap();
        let alert = rows.alerts.last_mut().unwrap();
        (alert.uid, alert.msg) = (Some(Uid(uid)), msg.to_owned());
    };
    fail(1, "Traceback\n\nno disk\n");
    bench.pass(5).await;
    assert_eq!(bench.last().link.as_deref(), Some("http://flow/web/task/00000000000001#log"));
    assert_eq!(bench.last().lines[1..], ["no disk"]);
    fail(2, "one");
    fail(3, "another");
    bench.pass(10).await;
    assert_eq!(bench.last().link.as_deref(), Some("http://flow/web/alert?date=2026-03-02"));
    assert_eq!(bench.last().lines.len(), 1);
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
async fn what_somebody_takes_care_of_is_not_told_again_until_something_else_fails() {
    let bench = Bench::start(Stub::default(), noon()).await;
    assert_eq!(bench.acknowledge(AlertMatcher::default(), 1).await, [], "nothing is failing");
    bench.raise("a", "x");
    bench.pass(6).await;
    let opened = Some(noon() + TimeDelta::minutes(5));
    let other = AlertMatcher { topic: Some("b".to_owned()), ..AlertMatcher::default() };
    assert_eq!(bench.acknowledge(other, 1).await, []);
    let known = bench.acknowledge(AlertMatcher::default(), 1).await;
    let expected = AcknowledgedIncident { route: "default".to_owned(), opened, tasks: vec!["a:x".to_owned()] };
    assert_eq!(known, [expected]);
    let incident = bench.last().incident.unwrap();
    assert_eq!(incident.acknowledged_by.as_deref(), Some("ada"));
    assert_eq!(incident.details, ["acknowledged by ada until 2026-03-02 13:06 UTC: on it"]);
    let bench = bench.restart().await;
    bench.raise("a", "x");
    bench.pass(10).await;
    assert_eq!(bench.told(), headlines(&[(5, "1 alert in 1 task")]), "repeats stop, over a restart too");
    assert_eq!(bench.updates().last(), Some(&(15, "2 alerts in 1 task".to_owned())));
    bench.raise("a", "x");
    bench.raise("b", "");
    bench.pass(20).await;
    assert_eq!(bench.told()[1..], headlines(&[(35, "2 alerts in 2 tasks")]));
    // It ended at 13:06.
    bench.pass(35).await;
    bench.raise("a", "x");
    bench.pass(5).await;
    assert_eq!(bench.told()[2..], headlines(&[(75, "1 alert in 1 task")]));
}

#[actix::test]
async fn an_acknowledgement_that_is_not_stored_is_not_answered_as_done() {
    let bench = Bench::start(Stub::default(), noon()).await;
    bench.raise("a", "");
    bench.pass(6).await;
    bench.rows.0.lock().unwrap().refuse = true;
    let until = noon() + TimeDelta::hours(9);
    let said = |route: Option<&str>| AcknowledgeAlerts {
        route: route.map(str::to_owned),
        matcher: AlertMatcher::default(),
        until,
        by: "ada".to_owned(),
        note: String::new(),
    };
    assert_eq!(bench.client.call(said(None)).await.unwrap_err().code, Code::Storage);
    assert_eq!(bench.client.call(said(Some("other"))).await, Ok(Vec::new()));
    bench.rows.0.lock().unwrap().refuse = false;
    assert_eq!(bench.client.call(said(Some("default"))).await.unwrap().len(), 1);
    bench.stop.call(StopAlerting).await.unwrap();
    assert_eq!(bench.client.call(said(None)).await.unwrap_err().code, Code::Stopping);
}

#[actix::test]
async fn in_quiet_hours_alerts_wait_over_a_restart() {
    let quiet = QuietHours::parse("12:30-14:00", chrono_tz::Tz::UTC).unwrap();
    let bench = Bench::with(Stub::default(), noon(), Some(quiet)).await;
    bench.pass(31).await;
    bench.raise("a", "");
    bench.pass(20).await;
    bench.arbiter.stop();
    let _ended = bench.arbiter.join();
    let bench = Bench::with(bench.rows, bench.clock.now(), Some(quiet)).await;
    bench.raise("b", "");
    bench.pass(60).await;
    assert_eq!(bench.told(), []);
    bench.pass(9).await;
    assert_eq!(bench.told(), headlines(&[(120, "2 alerts in 2 tasks")]));
}

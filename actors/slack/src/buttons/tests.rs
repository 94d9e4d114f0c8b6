//! Clicks through both doors, against a fake Slack.

mod connection;
mod reruns;
mod trail;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Arbiter, Handler};
use flowlord_domain::{Attempt, NewTask, TaskResult, TaskState, Uid};
use flowlord_kernel::{ActorEnvironment, Clock as _, Ping, Port, WorkCounter, guarded};
use flowlord_messages::alerts::{AcknowledgeAlerts, AcknowledgedIncident};
use flowlord_messages::audit::{AuditRecord, RecordAudit};
use flowlord_messages::outbox::{
    EnqueueMessage, IncidentRef, IncidentStage, MessageColour, MessagePayload, NewMessage, ReadThreads, SlackThread,
};
use flowlord_messages::silences::{AddSilence, Silence};
use flowlord_messages::tasks::{FindTasks, RerunTasks, TaskPage};
use flowlord_testkit::{FakeSlack, VirtualClock, leased};
use serde_json::{Value, json};

use super::signature::tests::signed;
use super::*;
use crate::click::IncidentTarget;

const SAFETY: Duration = Duration::from_secs(20);

fn noon() -> DateTime<Utc> {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

/// What was asked of the others, and what they answer.
#[derive(Clone, Default)]
struct Others(Arc<Mutex<Asked>>);

#[derive(Default)]
struct Asked {
    acknowledged: Vec<AcknowledgeAlerts>,
    silences: Vec<AddSilence>,
    messages: Vec<NewMessage>,
    changes: Vec<AuditRecord>,
    tasks: Vec<String>,
    failed: Vec<Attempt>,
    again: Vec<NewTask>,
    over: bool,
    broken: bool,
    trail_broken: bool,
    message_broken: bool,
    /// Silences after this many are refused.
    silences_broken_after: Option<usize>,
}

impl Others {
    fn with<T>(&self, f: impl FnOnce(&mut Asked) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }
}

impl Actor for Others {
    type Context = Context<Self>;
}

impl Handler<AcknowledgeAlerts> for Others {
    type Result = Result<Vec<AcknowledgedIncident>>;

    fn handle(&mut self, asked: AcknowledgeAlerts, _: &mut Self::Context) -> Self::Result {
        self.with(|state| {
            if state.broken {
                return Err(Error::new(Code::Storage, "planned"));
            }
            let route = asked.route.clone().unwrap();
            state.acknowledged.push(asked);
            let opened = Some(noon());
            Ok(if state.over {
                vec![]
            } else {
                vec![AcknowledgedIncident { route, opened, tasks: state.tasks.clone() }]
            })
        })
    }
}

impl Handler<AddSilence> for Others {
    type Result = Result<Silence>;

    fn handle(&mut self, asked: AddSilence, _: &mut Self::Context) -> Self::Result {
        let AddSilence { now, matcher, until, by, reason } = asked.clone();
        self.with(|state| {
            if state.silences_broken_after.is_some_and(|after| state.silences.len() >= after) {
                return Err(Error::new(Code::Storage, "planned"));
            }
            state.silences.push(asked);
            Ok(Silence { id: 1, from: now, until, matcher, by, reason })
        })
    }
}

impl Handler<FindTasks> for Others {
    type Result = Result<TaskPage>;

    fn handle(&mut self, asked: FindTasks, _: &mut Self::Context) -> Self::Result {
        assert!(asked.filter.given_up && asked.ascending);
        assert_eq!(asked.filter.from, Some(noon() - TimeDelta::days(1)));
        assert_eq!(asked.filter.topics, ["a", "b"]);
        let failed = self.with(|state| state.failed.clone());
        Ok(TaskPage { tasks: failed.into_iter().take(asked.limit).collect(), ..TaskPage::default() })
    }
}

impl Handler<RerunTasks> for Others {
    type Result = Result<Vec<Result<Uid>>>;

    fn handle(&mut self, asked: RerunTasks, _: &mut Self::Context) -> Self::Result {
        let refused =
            |task: &NewTask| (task.info == "runs").then(|| Error::new(Code::TaskUnfinished, "it runs again already"));
        let answers = asked.tasks.iter().map(|task| refused(task).map_or(Ok(task.uid), Err)).collect();
        self.with(|state| state.again.extend(asked.tasks));
        Ok(answers)
    }
}

impl Handler<RecordAudit> for Others {
    type Result = Result<()>;

    fn handle(&mut self, asked: RecordAudit, _: &mut Self::Context) -> Self::Result {
        self.with(|state| {
            if state.trail_broken {
                return Err(Error::new(Code::Storage, "planned"));
            }
            state.changes.push(asked.change);
            Ok(())
        })
    }
}

impl Handler<EnqueueMessage> for Others {
    type Result = Result<i64>;

    fn handle(&mut self, asked: EnqueueMessage, _: &mut Self::Context) -> Self::Result {
        self.with(|state| {
            if state.message_broken {
                return Err(Error::new(Code::Storage, "planned"));
            }
            state.messages.push(asked.message);
            Ok(1)
        })
    }
}

impl Handler<ReadThreads> for Others {
    type Result = Result<Vec<SlackThread>>;

    fn handle(&mut self, asked: ReadThreads, _: &mut Self::Context) -> Self::Result {
        let tasks = self.with(|state| state.tasks.clone());
        if asked.opened != noon() {
            return Ok(vec![]);
        }
        let incident = IncidentRef {
            opened: noon(),
            step: 1,
            stage: IncidentStage::Escalating,
            acknowledged_by: None,
            details: vec!["old".to_owned()],
            lasted: String::new(),
            alerts: 3,
            tasks,
        };
        let payload = MessagePayload {
            headline: "3 alerts".to_owned(),
            lines: vec!["a:j: 3".to_owned()],
            link: None,
            footer: "next update at 12:10 UTC".to_owned(),
            colour: MessageColour::Red,
            incident: Some(incident),
        };
        Ok(vec![SlackThread {
            route: asked.route,
            opened: noon(),
            via: "default".to_owned(),
            channel: "C1".to_owned(),
            ts: "1.1".to_owned(),
            payload: serde_json::to_string(&payload).unwrap(),
        }])
    }
}

/// Makes the actor panic.
struct Panic;

impl actix::Message for Panic {
    type Result = Result<()>;
}

impl Handler<Panic> for Buttons {
    type Result = Result<()>;

    fn handle(&mut self, _: Panic, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |_, _| panic!("planned"))
    }
}

struct Bench {
    others: Others,
    slack: FakeSlack,
    clock: VirtualClock,
    call: Port<SlackInteraction>,
    stop: Port<StopButtons>,
    panic: Port<Panic>,
    _arbiter: Arbiter,
}

impl Bench {
    async fn start(app_token: Option<&str>, slack: FakeSlack) -> Self {
        let others = Others::default();
        others.with(|state| state.tasks = vec!["a:j".to_owned(), "b".to_owned()]);
        Self::on(app_token, slack, others, noon()).await
    }

    /// Ends the actors, and starts them again without a connection.
    async fn restart(self) -> Self {
        self._arbiter.stop();
        let now = self.clock.now();
        Self::on(None, self.slack, self.others, now).await
    }

    async fn on(app_token: Option<&str>, slack: FakeSlack, others: Others, now: DateTime<Utc>) -> Self {
        let clock = VirtualClock::new(now, WorkCounter::default());
        let environment = clock.environment();
        let arbiter = Arbiter::new();
        let deps = deps(&others, &arbiter, &environment);
        let config = ButtonsConfig {
            app_token: app_token.map(Secret::new),
            signing_secret: Some(Secret::new("s3cret")),
            api_url: slack.api_url(),
        };
        let actor = Buttons::start_with(&arbiter.handle(), config, deps, SAFETY);
        environment.port("buttons", &actor).call(Ping).await.unwrap();
        let (call, stop) = (environment.port("buttons", &actor), environment.port("buttons", &actor));
        let panic = environment.port("buttons", &actor);
        Self { others, slack, clock, call, stop, panic, _arbiter: arbiter }
    }

    /// A click as Slack tells it.
    fn click(&self, action: &str) -> Value {
        self.click_at(action, "1.5")
    }

    fn click_at(&self, action: &str, ts: &str) -> Value {
        let target = IncidentTarget { route: "default".to_owned(), opened: noon() };
        json!({
            "type": "block_actions",
            "user": {"id": "U1", "name": "Ann <x>"},
            "actions": [{"action_id": action, "value": target.to_json(), "action_ts": ts}],
            "response_url": self.slack.response_url(),
        })
    }

    /// The same as a request of Slack to the service.
    async fn post(&self, click: &Value) -> Result<()> {
        self.call.call(self.signed(click)).await
    }

    fn signed(&self, click: &Value) -> SlackInteraction {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        let body = form.append_pair("payload", &click.to_string()).finish();
        let timestamp = self.clock.now().timestamp().to_string();
        let signature = signed("s3cret", &timestamp, &body);
        SlackInteraction { timestamp, signature, body }
    }

    async fn pass(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds)).await;
    }

    fn whispers(&self) -> Vec<String> {
        let told = self.slack.calls().into_iter().filter(|call| call.path == "/respond");
        told.map(|call| call.body["text"].as_str().unwrap().to_owned()).collect()
    }
}

#[actix::test]
async fn a_click_through_the_connection_acknowledges_the_incident() {
    let bench = Bench::start(Some("xapp-1"), FakeSlack::start()).await;
    bench.slack.wait_for_sockets(1, SAFETY).await;
    assert!(bench.slack.interact(bench.click("acknowledge"), SAFETY).await);
    let asked = bench.others.with(|state| state.acknowledged.clone());
    assert_eq!((asked.len(), asked[0].route.as_deref(), asked[0].by.as_str()), (1, Some("default"), "Ann <x>"));
    assert_eq!((asked[0].until, asked[0].matcher.is_all()), (noon() + TimeDelta::hours(8), true));
    assert!(bench.slack.interact(bench.click("open"), SAFETY).await, "a link is acknowledged and nothing else");
    assert!(bench.whispers().is_empty());
}

#[actix::test]
async fn a_signed_request_does_the_same() {
    let bench = Bench::start(None, FakeSlack::start()).await;
    bench.post(&bench.click("acknowledge")).await.unwrap();
    assert_eq!(bench.others.with(|state| state.acknowledged.len()), 1);
    assert_eq!(bench.slack.calls(), [], "without a token there is no connection");
}

#[actix::test]
async fn a_silence_is_for_each_task_and_is_shown() {
    for (button, hours) in [("silence_1h", 1), ("silence_4h", 4)] {
        let bench = Bench::start(None, FakeSlack::start()).await;
        bench.post(&bench.click(button)).await.unwrap();
        let (silences, messages) = bench.others.with(|state| (state.silences.clone(), state.messages.clone()));
        let matchers: Vec<_> = silences.iter().map(|silence| silence.matcher.to_string()).collect();
        assert_eq!(matchers, ["type=a job=j", "type=b job="]);
        assert!(silences.iter().all(|silence| silence.until == noon() + TimeDelta::hours(hours)));
        assert_eq!((messages.len(), messages[0].kind.as_str(), messages[0].route.as_str()), (1, "update", "default"));
        let id = format!("/{button}/U1/1.5");
        assert!(messages[0].key.ends_with(&id), "told twice it is one message: {}", messages[0].key);
        let payload: MessagePayload = serde_json::from_str(&messages[0].payload).unwrap();
        let said = format!("silenced by Ann <x> until 2026-03-02 {}:00 UTC", 12 + hours);
        assert_eq!(payload.footer, format!("{said}; next update at 12:10 UTC"));
        assert_eq!(payload.incident.unwrap().details, [said]);
    }
}

#[actix::test]
async fn who_clicks_in_vain_is_told_why() {
    let bench = Bench::start(None, FakeSlack::start()).await;
    bench.others.with(|state| state.over = true);
    bench.post(&bench.click("acknowledge")).await.unwrap();
    bench.others.with(|state| state.tasks = vec!["a:j".to_owned(); 51]);
    bench.post(&bench.click("silence_1h")).await.unwrap();
    let unknown = bench.click("silence_4h").to_string().replace("2026-03-02T12", "2026-03-02T11");
    bench.post(&serde_json::from_str(&unknown).unwrap()).await.unwrap();
    let whispers = bench.whispers();
    assert_eq!(whispers.len(), 3, "{whispers:?}");
    assert!(whispers[0].contains("there is nothing to acknowledge"), "{whispers:?}");
    assert!(whispers[1].contains("51 tasks are failing") && whispers[1].contains("alerts page"), "{whispers:?}");
    assert!(whispers[2].contains("no longer known"), "{whispers:?}");
    assert!(bench.others.with(|state| state.silences.is_empty()));
}

#[actix::test]
async fn what_could_not_be_stored_is_not_acknowledged() {
    let bench = Bench::start(Some("xapp-1"), FakeSlack::start()).await;
    bench.slack.wait_for_sockets(1, SAFETY).await;
    bench.others.with(|state| state.broken = true);
    let asked = bench.slack.interact(bench.click_at("acknowledge", "1"), Duration::from_millis(300));
    assert!(!asked.await);
    assert_eq!(bench.post(&bench.click_at("acknowledge", "2")).await.unwrap_err().code, Code::Storage);
    assert!(bench.whispers().iter().all(|said| said.contains("planned")), "{:?}", bench.whispers());
    bench.others.with(|state| state.broken = false);
    assert!(bench.slack.interact(bench.click("acknowledge"), SAFETY).await);
}

#[actix::test]
async fn an_answer_goes_to_slack_alone() {
    let other = FakeSlack::start();
    let bench = Bench::start(None, FakeSlack::start()).await;
    bench.others.with(|state| state.over = true);
    let mut click = bench.click("acknowledge");
    click["response_url"] = other.response_url().into();
    bench.post(&click).await.unwrap();
    assert_eq!(other.calls(), []);
}

#[actix::test]
async fn forged_and_stale_requests_are_refused() {
    let bench = Bench::start(None, FakeSlack::start()).await;
    let timestamp = noon().timestamp().to_string();
    let body = "payload=%7B%7D".to_owned();
    let call = |timestamp: &str, signature: String, body: &str| {
        bench.call.call(SlackInteraction { timestamp: timestamp.to_owned(), signature, body: body.to_owned() })
    };
    let err = call(&timestamp, signed("other", &timestamp, &body), &body).await.unwrap_err();
    assert_eq!(err.code, Code::Unauthorized);
    assert!(err.detail.contains("notify.signing_secret"), "{err:?}");
    let old = (noon() - TimeDelta::minutes(6)).timestamp().to_string();
    let err = call(&old, signed("s3cret", &old, &body), &body).await.unwrap_err();
    assert!(err.detail.contains("too long ago"), "{err:?}");
    for (body, expected) in [("x=1", "no payload"), ("payload=x", "can't be read")] {
        let err = call(&timestamp, signed("s3cret", &timestamp, body), body).await.unwrap_err();
        assert_eq!(err.code, Code::InvalidRequest);
        assert!(err.detail.contains(expected), "{err:?}");
    }
    call(&timestamp, signed("s3cret", &timestamp, &body), &body).await.unwrap();
}

#[actix::test]
async fn a_request_that_comes_again_is_refused() {
    let bench = Bench::start(None, FakeSlack::start()).await;
    let recorded = bench.signed(&bench.click("acknowledge"));
    bench.call.call(recorded.clone()).await.unwrap();
    for seconds in [0, 299] {
        bench.pass(seconds).await;
        let err = bench.call.call(recorded.clone()).await.unwrap_err();
        assert_eq!(err.code, Code::Unauthorized);
        assert!(err.detail.contains("replay") && err.detail.contains("Click again"), "{err:?}");
    }
    assert_eq!(bench.others.with(|state| state.acknowledged.len()), 1);
    let bench = bench.restart().await;
    let err = bench.call.call(recorded).await.unwrap_err();
    assert!(err.detail.contains("before this service started"), "{err:?}");
    assert_eq!(bench.others.with(|state| state.acknowledged.len()), 1);
    bench.clock.step(-TimeDelta::hours(1)).await;
    bench.post(&bench.click("silence_1h")).await.expect("a clock set back doesn't make it deaf");
}

#[actix::test]
async fn a_click_told_of_twice_is_done_once() {
    let bench = Bench::start(Some("xapp-1"), FakeSlack::start()).await;
    bench.slack.wait_for_sockets(1, SAFETY).await;
    assert!(bench.slack.interact(bench.click("silence_1h"), SAFETY).await);
    assert!(bench.slack.interact(bench.click("silence_1h"), SAFETY).await);
    bench.post(&bench.click("silence_1h")).await.unwrap();
    assert_eq!(bench.others.with(|state| state.silences.len()), 2, "one for each task");
    bench.others.with(|state| state.broken = true);
    assert_eq!(bench.post(&bench.click("acknowledge")).await.unwrap_err().code, Code::Storage);
    bench.others.with(|state| state.broken = false);
    bench.pass(1).await;
    bench.post(&bench.click("acknowledge")).await.unwrap();
    assert_eq!(bench.others.with(|state| state.acknowledged.len()), 1, "what failed isn't done");
}

#[actix::test]
async fn without_a_secret_nothing_is_heard() {
    for secret in [None, Some(Secret::new(""))] {
        let bench = Bench::start(None, FakeSlack::start()).await;
        let environment = ActorEnvironment { give_up: Arc::new(|_| {}), ..bench.clock.environment() };
        let deps = deps(&bench.others, &bench._arbiter, &environment);
        let config = ButtonsConfig { signing_secret: secret, ..ButtonsConfig::default() };
        let deaf = Buttons::start(&bench._arbiter.handle(), config, deps);
        let call: Port<SlackInteraction> = environment.port("buttons", &deaf);
        let (timestamp, body) = (noon().timestamp().to_string(), String::new());
        let signature = signed("", &timestamp, &body);
        let err = call.call(SlackInteraction { timestamp, signature, body }).await.unwrap_err();
        assert_eq!(err.code, Code::NotFound);
        assert!(err.detail.contains("set notify.signing_secret"), "{err:?}");
    }
}

fn deps(others: &Others, arbiter: &Arbiter, environment: &ActorEnvironment) -> ButtonsDeps {
    let stub = others.clone();
    let others = Others::start_in_arbiter(&arbiter.handle(), move |_| stub);
    ButtonsDeps {
        kit: environment.kit("buttons"),
        reader: DatabaseReader::unconnected()
            .with::<ReadThreads>(environment.port("db", &others))
            .with::<FindTasks>(environment.port("db", &others)),
        writer: DatabaseWriter::unconnected()
            .with::<AddSilence>(environment.port("db", &others))
            .with::<RerunTasks>(environment.port("db", &others))
            .with::<EnqueueMessage>(environment.port("db", &others))
            .with::<RecordAudit>(environment.port("db", &others)),
        alerts: AlertsClient::unconnected().with::<AcknowledgeAlerts>(environment.port("alerts", &others)),
    }
}

#[test]
fn no_secret_is_shown() {
    let secret = Some(Secret::new("planted"));
    let config = ButtonsConfig { app_token: secret.clone(), signing_secret: secret, api_url: String::new() };
    let call =
        SlackInteraction { timestamp: String::new(), signature: "planted".to_owned(), body: "planted".to_owned() };
    let shown = format!("{config:?} {call:?}");
    assert!(!shown.contains("planted"), "{shown}");
}

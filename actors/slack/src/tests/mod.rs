//! An outbox without a database, on a clock that the test moves.

mod bot;
mod fates;
mod outbox;
mod routes;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Arbiter, Handler};
use flowlord_domain::Secret;
use flowlord_kernel::{Clock as _, Code, Error, Ping, Port, WorkCounter, guarded};
use flowlord_testkit::{FakeSlack, SlackMode, VirtualClock};

use flowlord_messages::clients::{DatabaseReader, DatabaseWriter};
use flowlord_messages::outbox::{
    AwaitDelivery, DeliveryOutcome, DeliveryRecord, DeliveryStatus, MessageColour, MessagePayload, ReadMessage,
    ReadThreads, RecordDelivery, RouteTransport, SlackThread,
};

use crate::*;

/// The outbox of a database.
#[derive(Clone, Default)]
struct Outbox(Arc<Mutex<Rows>>);

#[derive(Default)]
struct Rows {
    rows: Vec<(OutboxRow, bool)>,
    /// What became of each attempt, in order.
    marks: Vec<DeliveryOutcome>,
    threads: Vec<SlackThread>,
    ways: Vec<RouteTransport>,
    refuse: bool,
}

impl Actor for Outbox {
    type Context = Context<Self>;
}

impl Handler<ReadPendingMessages> for Outbox {
    type Result = Result<Vec<OutboxRow>>;

    fn handle(&mut self, read: ReadPendingMessages, _: &mut Self::Context) -> Self::Result {
        let rows = &self.0.lock().unwrap().rows;
        let mut taken = BTreeMap::new();
        let unsent = rows.iter().filter(|(_, sent)| !sent).map(|(row, _)| row);
        let first = unsent.filter(|row| {
            let of_its_route: &mut usize = taken.entry(row.route.clone()).or_default();
            *of_its_route += 1;
            *of_its_route <= read.limit
        });
        Ok(first.cloned().collect())
    }
}

impl Handler<ReadThreads> for Outbox {
    type Result = Result<Vec<SlackThread>>;

    fn handle(&mut self, read: ReadThreads, _: &mut Self::Context) -> Self::Result {
        let threads = &self.0.lock().unwrap().threads;
        let of = |thread: &&SlackThread| thread.route == read.route && thread.opened == read.opened;
        Ok(threads.iter().filter(of).cloned().collect())
    }
}

impl Handler<ReadMessage> for Outbox {
    type Result = Result<Option<DeliveryRecord>>;

    fn handle(&mut self, read: ReadMessage, _: &mut Self::Context) -> Self::Result {
        let rows = self.0.lock().unwrap();
        let before = rows.rows.iter().filter(|(row, sent)| !sent && row.id < read.id);
        let Some((row, sent)) = rows.rows.iter().find(|(row, _)| row.id == read.id) else { return Ok(None) };
        let error = (row.attempts > 0).then(|| "planned".to_owned());
        Ok(Some(DeliveryRecord {
            sent: sent.then(noon),
            attempts: row.attempts,
            error,
            retry_at: row.retry_at,
            uncertain: row.uncertain,
            ahead: before.clone().count() as u64,
            first_error: before
                .min_by_key(|(row, _)| row.id)
                .filter(|(row, _)| row.attempts > 0)
                .map(|_| "planned".to_owned()),
        }))
    }
}

impl Handler<ReadOutages> for Outbox {
    type Result = Result<Vec<RouteTransport>>;

    fn handle(&mut self, _: ReadOutages, _: &mut Self::Context) -> Self::Result {
        Ok(self.0.lock().unwrap().ways.clone())
    }
}

impl Handler<RecordDelivery> for Outbox {
    type Result = Result<()>;

    fn handle(&mut self, mark: RecordDelivery, _: &mut Self::Context) -> Self::Result {
        let mut rows = self.0.lock().unwrap();
        if rows.refuse {
            return Err(Error::new(Code::Storage, "planned"));
        }
        rows.marks.push(mark.delivery.clone());
        if let Some(way) = mark.way {
            rows.ways.retain(|other| other.route != way.route);
            rows.ways.extend(way.outage.is_some().then_some(way));
        }
        if let Some(thread) = mark.thread {
            let key = |thread: &SlackThread| (thread.route.clone(), thread.opened, thread.via.clone());
            rows.threads.retain(|other| key(other) != key(&thread));
            rows.threads.push(thread);
        }
        let (row, sent) = rows.rows.iter_mut().find(|(row, _)| row.id == mark.id).unwrap();
        row.attempts += 1;
        match mark.delivery {
            DeliveryOutcome::Sent | DeliveryOutcome::Skipped => *sent = true,
            DeliveryOutcome::Refused { retry_at, .. } => row.retry_at = Some(retry_at),
            DeliveryOutcome::Unknown { retry_at, .. } => {
                (row.retry_at, row.uncertain) = (Some(retry_at), true);
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Way {
    Webhook,
    Bot,
    Nowhere,
    To(&'static str),
}

/// Makes the actor panic.
struct Panic;

impl actix::Message for Panic {
    type Result = Result<()>;
}

impl Handler<Panic> for Notifier {
    type Result = Result<()>;

    fn handle(&mut self, _: Panic, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |_, _| panic!("planned"))
    }
}

struct Bench {
    config: Config,
    outbox: Outbox,
    slack: FakeSlack,
    clock: VirtualClock,
    notify: Port<MessagesQueued>,
    stop: Port<StopNotifying>,
    fate: Port<AwaitDelivery>,
    panic: Port<Panic>,
    patience: Port<Patience>,
    arbiter: Arbiter,
}

const SAFETY: Duration = Duration::from_secs(20);

fn noon() -> DateTime<Utc> {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

fn route(way: Way, slack: &FakeSlack) -> SlackRoute {
    let (webhook, token) = match way {
        Way::Webhook => (Some(Secret::new(slack.webhook_url())), None),
        Way::Bot => (None, Some(Secret::new("xoxb-secret"))),
        Way::Nowhere => (None, None),
        Way::To(url) => (Some(Secret::new(url)), None),
    };
    SlackRoute { name: "default".to_owned(), webhook, token, channel: Some("#ops".to_owned()), fallback: None }
}

fn config(routes: Vec<SlackRoute>, slack: &FakeSlack) -> Config {
    Config {
        routes,
        api_url: slack.api_url(),
        prefix: String::new(),
        title: String::new(),
        public_url: "http://flow".to_owned(),
        fallback_after: TimeDelta::minutes(15),
        buttons: true,
    }
}

fn payload(headline: &str) -> MessagePayload {
    MessagePayload {
        headline: headline.to_owned(),
        lines: Vec::new(),
        link: None,
        footer: String::new(),
        colour: MessageColour::Red,
        incident: None,
    }
}

fn json(payload: &MessagePayload) -> String {
    serde_json::to_string(payload).unwrap()
}

/// The headline of a message.
fn headline(body: &serde_json::Value) -> String {
    body["attachments"][0]["blocks"][0]["text"]["text"].as_str().unwrap_or_default().replace('*', "")
}

impl Bench {
    async fn start(way: Way) -> Self {
        Self::on(way, Outbox::default(), FakeSlack::start(), noon(), SAFETY).await
    }

    async fn on(way: Way, outbox: Outbox, slack: FakeSlack, now: DateTime<Utc>, patience: Duration) -> Self {
        let config = config(vec![route(way, &slack)], &slack);
        Self::with(config, outbox, slack, now, patience).await
    }

    async fn with(config: Config, outbox: Outbox, slack: FakeSlack, now: DateTime<Utc>, patience: Duration) -> Self {
        let clock = VirtualClock::new(now, WorkCounter::default());
        slack.follow(&clock);
        let arbiter = Arbiter::new();
        let stub = outbox.clone();
        let db = Outbox::start_in_arbiter(&arbiter.handle(), move |_| stub);
        let environment = clock.environment();
        let deps = DatabaseDeps {
            kit: environment.kit("notifier"),
            reader: DatabaseReader::unconnected()
                .with::<ReadPendingMessages>(environment.port("db", &db))
                .with::<ReadOutages>(environment.port("db", &db))
                .with::<ReadThreads>(environment.port("db", &db))
                .with::<ReadMessage>(environment.port("db", &db)),
            writer: DatabaseWriter::unconnected().with::<RecordDelivery>(environment.port("db", &db)),
        };
        let actor = Notifier::start_with(&arbiter.handle(), config.clone(), deps, patience);
        let (notify, stop) = (environment.port("notifier", &actor), environment.port("notifier", &actor));
        let (fate, panic) = (environment.port("notifier", &actor), environment.port("notifier", &actor));
        let waits = environment.port("notifier", &actor);
        // Answered once it has started: before that no work is under way.
        environment.port("notifier", &actor).call(Ping).await.unwrap();
        Self { config, outbox, slack, clock, notify, stop, fate, panic, patience: waits, arbiter }
    }

    /// Ends the actors without a word, as a crash does, and starts them again on the same rows.
    async fn restart(self) -> Self {
        self.arbiter.stop();
        let _ended = self.arbiter.join();
        Self::with(self.config, self.outbox, self.slack, self.clock.now(), SAFETY).await
    }

    fn add(&self, route: &str, kind: &str, payload: String) {
        let mut rows = self.outbox.0.lock().unwrap();
        let row = OutboxRow {
            id: rows.rows.len() as i64,
            at: self.clock.now(),
            route: route.to_owned(),
            kind: kind.to_owned(),
            payload,
            attempts: 0,
            retry_at: None,
            uncertain: false,
        };
        rows.rows.push((row, false));
    }

    fn put_only(&self, headlines: &[&str]) {
        for headline in headlines {
            self.add("default", "summary", json(&payload(headline)));
        }
        self.notify.hint(MessagesQueued);
    }

    /// Puts one message of a kind into a route's outbox.
    async fn tell(&self, route: &str, kind: &str, payload: &MessagePayload) {
        self.add(route, kind, json(payload));
        self.notify.hint(MessagesQueued);
        self.clock.settle().await;
    }

    async fn put(&self, headlines: &[&str]) {
        self.put_only(headlines);
        self.clock.settle().await;
    }

    async fn pass(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds)).await;
    }

    /// What arrived, as the headlines found in it.
    fn arrived(&self) -> Vec<String> {
        self.slack.requests().iter().map(|request| headline(&request.body)).collect()
    }

    fn unsent(&self) -> usize {
        self.outbox.0.lock().unwrap().rows.iter().filter(|(_, sent)| !sent).count()
    }

    fn marks(&self) -> Vec<DeliveryOutcome> {
        self.outbox.0.lock().unwrap().marks.clone()
    }

    fn refuse_marks(&self, refuse: bool) {
        self.outbox.0.lock().unwrap().refuse = refuse;
    }
}

/// Makes it wait this long for what becomes of a message.
struct Patience(Duration);

impl actix::Message for Patience {
    type Result = Result<()>;
}

impl Handler<Patience> for Notifier {
    type Result = Result<()>;

    fn handle(&mut self, patience: Patience, _: &mut Self::Context) -> Self::Result {
        self.status_timeout = patience.0;
        Ok(())
    }
}

impl Bench {
    async fn patience(&self, patience: Duration) {
        self.patience.call(Patience(patience)).await.unwrap();
    }
}

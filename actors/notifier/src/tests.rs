//! The outbox against a Slack that breaks, on a clock that the test moves.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::Arbiter;
use flowlord_messages::Clock as _;
use flowlord_messages::notifier::Colour;
use flowlord_testkit::{FakeSlack, SlackMode, VirtualClock};

use super::*;

/// The outbox of a database.
#[derive(Clone, Default)]
struct Outbox(Arc<Mutex<Vec<(OutboxRow, bool)>>>);

impl Actor for Outbox {
    type Context = Context<Self>;
}

impl Handler<PendingMessages> for Outbox {
    type Result = Result<Vec<OutboxRow>>;

    fn handle(&mut self, read: PendingMessages, _: &mut Self::Context) -> Self::Result {
        let rows = self.0.lock().unwrap();
        Ok(rows.iter().filter(|(_, sent)| !sent).map(|(row, _)| row.clone()).take(read.limit).collect())
    }
}

impl Handler<MarkNotified> for Outbox {
    type Result = Result<()>;

    fn handle(&mut self, mark: MarkNotified, _: &mut Self::Context) -> Self::Result {
        let mut rows = self.0.lock().unwrap();
        let (row, sent) = rows.iter_mut().find(|(row, _)| row.id == mark.id).unwrap();
        row.attempts += 1;
        match mark.delivery {
            Delivery::Sent => *sent = true,
            Delivery::Refused { retry_at, .. } => row.retry_at = Some(retry_at),
            Delivery::Unknown { retry_at, .. } => (row.retry_at, row.uncertain) = (Some(retry_at), true),
        }
        Ok(())
    }
}

struct Bench {
    outbox: Outbox,
    slack: FakeSlack,
    clock: VirtualClock,
    notify: Port<Notify>,
    _arbiter: Arbiter,
}

enum Way {
    Webhook,
    Bot,
}

impl Bench {
    async fn start(way: Way) -> Self {
        let activity = Activity::default();
        let clock = VirtualClock::new("2026-03-02T12:00:00Z".parse().unwrap(), activity.clone());
        let arbiter = Arbiter::new();
        let (outbox, slack) = (Outbox::default(), FakeSlack::start());
        let stub = outbox.clone();
        let db = Outbox::start_in_arbiter(&arbiter.handle(), move |_| stub);
        let patience = Duration::from_secs(20);
        let deps = Deps {
            clock: Arc::new(clock.clone()),
            mint: Mint::seeded(1),
            activity: activity.clone(),
            supervision: Supervision::new(
                "notifier",
                Arc::new(clock.clone()),
                Arc::new(|_| panic!("gave up")),
            ),
            pending: Port::new("db", db.clone().recipient(), 16, patience, &activity),
            mark: Port::new("db", db.recipient(), 16, patience, &activity),
        };
        let (webhook, token) = match way {
            Way::Webhook => (Some(slack.webhook_url()), None),
            Way::Bot => (None, Some("xoxb-secret".to_owned())),
        };
        let channel = Some("#ops".to_owned());
        let config = Config {
            webhook,
            token,
            channel,
            api_url: slack.api_url(),
            prefix: String::new(),
            title: String::new(),
        };
        let actor = Notifier::start(&arbiter.handle(), config, deps);
        let notify = Port::new("notifier", actor.recipient(), 16, patience, &activity);
        Self { outbox, slack, clock, notify, _arbiter: arbiter }
    }

    async fn put(&self, headlines: &[&str]) {
        for headline in headlines {
            let mut rows = self.outbox.0.lock().unwrap();
            let payload = Payload {
                headline: (*headline).to_owned(),
                lines: Vec::new(),
                link: None,
                footer: String::new(),
                colour: Colour::Red,
            };
            let row = OutboxRow {
                id: rows.len() as i64,
                at: self.clock.now(),
                route: "default".to_owned(),
                kind: "summary".to_owned(),
                payload: serde_json::to_string(&payload).unwrap(),
                attempts: 0,
                retry_at: None,
                uncertain: false,
            };
            rows.push((row, false));
        }
        self.notify.hint(Notify);
        self.clock.settle().await;
    }

    async fn pass(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds)).await;
    }

    /// What arrived, as the headlines found in it.
    fn arrived(&self) -> Vec<String> {
        let text = |body: &serde_json::Value| {
            body["attachments"][0]["blocks"][0]["text"]["text"].as_str().unwrap_or_default().replace('*', "")
        };
        self.slack.requests().iter().map(|request| text(&request.body)).collect()
    }

    fn unsent(&self) -> usize {
        self.outbox.0.lock().unwrap().iter().filter(|(_, sent)| !sent).count()
    }
}

#[actix::test]
async fn messages_go_in_order_one_a_second() {
    let bench = Bench::start(Way::Webhook).await;
    bench.put(&["a", "b", "c"]).await;
    assert_eq!(bench.arrived(), ["a"]);
    bench.pass(1).await;
    assert_eq!(bench.arrived(), ["a", "b"]);
    bench.pass(1).await;
    assert_eq!((bench.arrived(), bench.unsent()), (vec!["a".into(), "b".into(), "c".into()], 0));
    assert_eq!(bench.slack.requests()[0].body["channel"], "#ops");
}

#[actix::test]
async fn what_is_refused_comes_again_in_order_and_arrives_once() {
    for mode in [SlackMode::Status(500), SlackMode::Status(404), SlackMode::TooMany { retry_after: 20 }] {
        let bench = Bench::start(Way::Webhook).await;
        bench.slack.set_mode(mode);
        bench.put(&["a", "b"]).await;
        bench.pass(19).await;
        assert!(bench.arrived().iter().all(|headline| headline == "a"), "{mode:?}: b waits behind a");
        let attempts = bench.arrived().len();
        if matches!(mode, SlackMode::TooMany { .. }) {
            assert_eq!(attempts, 1, "Slack said when to come back");
        }
        bench.slack.clear();
        bench.slack.set_mode(SlackMode::Ok);
        bench.pass(400).await;
        assert_eq!((bench.arrived(), bench.unsent()), (vec!["a".into(), "b".into()], 0), "{mode:?}");
    }
}

#[actix::test]
async fn a_line_that_is_cut_leaves_doubt_which_is_said() {
    let bench = Bench::start(Way::Webhook).await;
    bench.slack.set_mode(SlackMode::Cut);
    bench.put(&["a"]).await;
    bench.slack.set_mode(SlackMode::Ok);
    bench.pass(400).await;
    let last = bench.slack.requests().pop().unwrap().body.to_string();
    assert!(last.contains("sent again: it is unknown whether the first one arrived"), "{last}");
    assert_eq!(bench.unsent(), 0);
}

#[actix::test]
async fn the_web_api_is_used_with_a_token_and_its_refusals_are_heard() {
    let bench = Bench::start(Way::Bot).await;
    bench.slack.set_mode(SlackMode::NotOk);
    bench.put(&["a"]).await;
    assert_eq!(bench.unsent(), 1);
    bench.slack.set_mode(SlackMode::Ok);
    bench.pass(400).await;
    let request = bench.slack.requests().pop().unwrap();
    assert_eq!((request.path.as_str(), &request.body["channel"]), ("/api/chat.postMessage", &"#ops".into()));
    assert!(request.head.iter().any(|line| line.to_lowercase() == "authorization: bearer xoxb-secret"));
    assert_eq!(bench.unsent(), 0);
}

#[test]
fn no_secret_is_shown() {
    let config = Config {
        webhook: Some("http://slack/secret".to_owned()),
        token: Some("xoxb-secret".to_owned()),
        channel: None,
        api_url: String::new(),
        prefix: String::new(),
        title: String::new(),
    };
    assert!(!format!("{config:?} {:?}", Slack::new(&config)).contains("secret"));
}

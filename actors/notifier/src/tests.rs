//! The outbox against a Slack that breaks, on a clock that the test moves.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::Arbiter;
use flowlord_messages::{Clock as _, Code, Error};
use flowlord_testkit::{FakeSlack, SlackMode, VirtualClock};

use super::*;

/// The outbox of a database.
#[derive(Clone, Default)]
struct Outbox(Arc<Mutex<Rows>>);

#[derive(Default)]
struct Rows {
    rows: Vec<(OutboxRow, bool)>,
    /// What became of each attempt, in order.
    marks: Vec<Delivery>,
    refuse: bool,
}

impl Actor for Outbox {
    type Context = Context<Self>;
}

impl Handler<PendingMessages> for Outbox {
    type Result = Result<Vec<OutboxRow>>;

    fn handle(&mut self, read: PendingMessages, _: &mut Self::Context) -> Self::Result {
        let rows = &self.0.lock().unwrap().rows;
        Ok(rows.iter().filter(|(_, sent)| !sent).map(|(row, _)| row.clone()).take(read.limit).collect())
    }
}

impl Handler<MarkNotified> for Outbox {
    type Result = Result<()>;

    fn handle(&mut self, mark: MarkNotified, _: &mut Self::Context) -> Self::Result {
        let mut rows = self.0.lock().unwrap();
        if rows.refuse {
            return Err(Error::new(Code::Storage, "planned"));
        }
        rows.marks.push(mark.delivery.clone());
        let (row, sent) = rows.rows.iter_mut().find(|(row, _)| row.id == mark.id).unwrap();
        row.attempts += 1;
        match mark.delivery {
            Delivery::Sent => *sent = true,
            Delivery::Refused { retry_at, .. } => row.retry_at = Some(retry_at),
            Delivery::Unknown { retry_at, .. } => (row.retry_at, row.uncertain) = (Some(retry_at), true),
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Way {
    Webhook,
    Bot,
    Nowhere,
    /// To this address.
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
    way: Way,
    outbox: Outbox,
    slack: FakeSlack,
    clock: VirtualClock,
    notify: Port<Notify>,
    stop: Port<StopNotifying>,
    panic: Port<Panic>,
    arbiter: Arbiter,
}

const SAFETY: Duration = Duration::from_secs(20);

fn noon() -> DateTime<Utc> {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

fn config(way: Way, slack: &FakeSlack) -> Config {
    let (webhook, token) = match way {
        Way::Webhook => (Some(slack.webhook_url()), None),
        Way::Bot => (None, Some("xoxb-secret".to_owned())),
        Way::Nowhere => (None, None),
        Way::To(url) => (Some(url.to_owned()), None),
    };
    Config {
        webhook,
        token,
        channel: Some("#ops".to_owned()),
        api_url: slack.api_url(),
        prefix: String::new(),
        title: String::new(),
    }
}

impl Bench {
    async fn start(way: Way) -> Self {
        Self::on(way, Outbox::default(), FakeSlack::start(), noon(), SAFETY).await
    }

    async fn on(way: Way, outbox: Outbox, slack: FakeSlack, now: DateTime<Utc>, patience: Duration) -> Self {
        let activity = Activity::default();
        let clock = VirtualClock::new(now, activity.clone());
        let arbiter = Arbiter::new();
        let stub = outbox.clone();
        let db = Outbox::start_in_arbiter(&arbiter.handle(), move |_| stub);
        let give_up = Arc::new(|_: &str| panic!("gave up"));
        let deps = Deps {
            clock: Arc::new(clock.clone()),
            mint: Mint::seeded(1),
            activity: activity.clone(),
            supervision: Supervision::new("notifier", Arc::new(clock.clone()), give_up),
            pending: Port::new("db", db.clone().recipient(), 16, SAFETY, &activity),
            mark: Port::new("db", db.recipient(), 16, SAFETY, &activity),
        };
        let actor = Notifier::start_with(&arbiter.handle(), config(way, &slack), deps, patience);
        let notify = Port::new("notifier", actor.clone().recipient(), 16, SAFETY, &activity);
        let stop = Port::new("notifier", actor.clone().recipient(), 16, SAFETY, &activity);
        let panic = Port::new("notifier", actor.clone().recipient(), 1, SAFETY, &activity);
        // Answered once it has started: before that no work is under way.
        Port::new("notifier", actor.recipient(), 1, SAFETY, &activity).call(Ping).await.unwrap();
        Self { way, outbox, slack, clock, notify, stop, panic, arbiter }
    }

    /// Ends the actors without a word, as a crash does, and starts them again on the same rows.
    async fn restart(self) -> Self {
        self.arbiter.stop();
        let _ended = self.arbiter.join();
        Self::on(self.way, self.outbox, self.slack, self.clock.now(), SAFETY).await
    }

    fn add(&self, payload: String) {
        let mut rows = self.outbox.0.lock().unwrap();
        let row = OutboxRow {
            id: rows.rows.len() as i64,
            at: self.clock.now(),
            route: "default".to_owned(),
            kind: "summary".to_owned(),
            payload,
            attempts: 0,
            retry_at: None,
            uncertain: false,
        };
        rows.rows.push((row, false));
    }

    fn put_only(&self, headlines: &[&str]) {
        for headline in headlines {
            let payload = Payload {
                headline: (*headline).to_owned(),
                lines: Vec::new(),
                link: None,
                footer: String::new(),
                colour: Colour::Red,
                incident: None,
            };
            self.add(serde_json::to_string(&payload).unwrap());
        }
        self.notify.hint(Notify);
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
        let text = |body: &serde_json::Value| {
            body["attachments"][0]["blocks"][0]["text"]["text"].as_str().unwrap_or_default().replace('*', "")
        };
        self.slack.requests().iter().map(|request| text(&request.body)).collect()
    }

    fn unsent(&self) -> usize {
        self.outbox.0.lock().unwrap().rows.iter().filter(|(_, sent)| !sent).count()
    }

    fn marks(&self) -> Vec<Delivery> {
        self.outbox.0.lock().unwrap().marks.clone()
    }

    fn refuse_marks(&self, refuse: bool) {
        self.outbox.0.lock().unwrap().refuse = refuse;
    }
}

#[actix::test]
async fn messages_go_in_order_one_a_second() {
    let bench = Bench::start(Way::Webhook).await;
    bench.put(&["a", "b", "c"]).await;
    assert_eq!(bench.arrived(), ["a"]);
    bench.pass(1).await;
    assert_eq!(bench.arrived(), ["a", "b"]);
    bench.put(&["d"]).await;
    assert_eq!(bench.arrived().len(), 2, "a hint doesn't hurry it");
    bench.pass(2).await;
    assert_eq!((bench.arrived(), bench.unsent()), (["a", "b", "c", "d"].map(str::to_owned).to_vec(), 0));
    assert_eq!(bench.slack.requests()[0].body["channel"], "#ops");
}

#[actix::test]
async fn what_is_refused_comes_again_in_order_and_arrives_once() {
    let modes = [
        SlackMode::Status(500),
        SlackMode::Status(404),
        SlackMode::Status(302),
        SlackMode::Bare(503),
        SlackMode::TooMany { retry_after: 20 },
        SlackMode::NotOk,
        SlackMode::Refuse,
    ];
    for mode in modes {
        let bench = Bench::start(Way::Webhook).await;
        bench.slack.set_mode(mode);
        bench.put(&["a", "b"]).await;
        bench.pass(19).await;
        assert!(bench.arrived().iter().all(|headline| headline == "a"), "{mode:?}: b waits behind a");
        let refused = |mark: &Delivery| matches!(mark, Delivery::Refused { .. });
        assert!(bench.marks().iter().all(refused), "{mode:?}: nobody doubts");
        assert!(!bench.marks().is_empty(), "{mode:?}");
        bench.slack.clear();
        bench.slack.set_mode(SlackMode::Ok);
        bench.pass(400).await;
        assert_eq!((bench.arrived(), bench.unsent()), (vec!["a".into(), "b".into()], 0), "{mode:?}");
        assert!(!bench.slack.requests()[0].body.to_string().contains("sent again"), "{mode:?}");
    }
}

#[actix::test]
async fn refusals_grow_apart_up_to_five_minutes() {
    let bench = Bench::start(Way::Webhook).await;
    bench.slack.set_mode(SlackMode::Status(503));
    bench.put(&["a"]).await;
    let mut waits = Vec::new();
    for _ in 0..14 {
        let Some(Delivery::Refused { retry_at, .. }) = bench.marks().pop() else { panic!("refused") };
        waits.push((retry_at - bench.clock.now()).num_milliseconds());
        bench.clock.advance_to(retry_at).await;
    }
    assert_eq!(bench.slack.requests().len(), 15);
    for (nth, wait) in waits.iter().enumerate() {
        let longest = 1_000 * (1 << nth.min(16)).min(300);
        assert!((1_000.max(longest / 2)..=longest).contains(wait), "{nth}: {waits:?}");
    }
    assert!(waits[9..].windows(2).any(|pair| pair[0] != pair[1]), "with jitter: {waits:?}");
}

#[actix::test]
async fn slack_says_when_to_come_back() {
    let bench = Bench::start(Way::Webhook).await;
    bench.slack.answer_next(SlackMode::TooMany { retry_after: 90 });
    bench.slack.answer_next(SlackMode::TooMany { retry_after: 0 });
    bench.slack.answer_next(SlackMode::TooMany { retry_after: u64::MAX });
    bench.put(&["a"]).await;
    bench.pass(89).await;
    assert_eq!(bench.arrived().len(), 1);
    bench.pass(1).await;
    assert_eq!(bench.arrived().len(), 2);
    bench.pass(1).await;
    assert_eq!(bench.arrived().len(), 3, "at once still means one a second");
    bench.pass(3_599).await;
    assert_eq!(bench.arrived().len(), 3);
    bench.pass(1).await;
    assert_eq!((bench.arrived().len(), bench.unsent()), (4, 0), "nobody waits for ever");
}

#[actix::test]
async fn a_good_status_is_enough_for_a_webhook() {
    for status in [200, 201, 204] {
        let bench = Bench::start(Way::Webhook).await;
        bench.slack.set_mode(SlackMode::Bare(status));
        bench.put(&["a"]).await;
        bench.pass(600).await;
        assert_eq!((bench.arrived().len(), bench.unsent()), (1, 0), "{status}");
    }
}

#[actix::test]
async fn a_429_without_a_content_type_is_a_refusal_too() {
    let bench = Bench::start(Way::Webhook).await;
    bench.slack.answer_next(SlackMode::Bare(429));
    bench.put(&["a"]).await;
    bench.pass(600).await;
    assert_eq!((bench.arrived().len(), bench.unsent()), (2, 0));
    assert!(matches!(bench.marks()[..], [Delivery::Refused { .. }, Delivery::Sent]), "{:?}", bench.marks());
}

#[actix::test]
async fn a_line_that_is_cut_leaves_doubt_which_is_said() {
    let bench = Bench::start(Way::Webhook).await;
    bench.slack.answer_next(SlackMode::Cut);
    bench.put(&["a", "b"]).await;
    bench.pass(400).await;
    assert_eq!((bench.arrived(), bench.unsent()), (["a", "a", "b"].map(str::to_owned).to_vec(), 0));
    let again = "(sent again: it is unknown whether the first one arrived)";
    let said: Vec<_> =
        bench.slack.requests().iter().map(|request| request.body.to_string().contains(again)).collect();
    assert_eq!(said, [false, true, false]);
}

#[actix::test]
async fn a_slack_that_hangs_leaves_doubt_and_holds_up_nothing_for_ever() {
    let short = Duration::from_millis(500);
    let bench = Bench::on(Way::Webhook, Outbox::default(), FakeSlack::start(), noon(), short).await;
    bench.slack.set_mode(SlackMode::Hang);
    bench.put(&["a"]).await;
    assert!(matches!(bench.marks()[..], [Delivery::Unknown { .. }]), "{:?}", bench.marks());
    bench.slack.set_mode(SlackMode::Ok);
    let bench = bench.restart().await;
    bench.pass(400).await;
    assert_eq!((bench.arrived(), bench.unsent()), (vec!["a".into(), "a".into()], 0));
    assert!(bench.slack.requests()[1].body.to_string().contains("sent again"));
}

#[actix::test]
async fn a_restart_between_attempts_keeps_order_and_plan() {
    let bench = Bench::start(Way::Webhook).await;
    bench.slack.answer_next(SlackMode::TooMany { retry_after: 60 });
    bench.put(&["a", "b"]).await;
    bench.pass(30).await;
    let bench = bench.restart().await;
    bench.put(&["c"]).await;
    bench.pass(29).await;
    assert_eq!(bench.arrived(), ["a"], "Slack's wish outlives a restart");
    bench.pass(10).await;
    assert_eq!((bench.arrived(), bench.unsent()), (["a", "a", "b", "c"].map(str::to_owned).to_vec(), 0));
}

#[actix::test]
async fn a_panic_while_a_message_is_on_its_way_leaves_doubt_which_is_said() {
    let bench = Bench::start(Way::Webhook).await;
    bench.slack.set_mode(SlackMode::Hang);
    bench.put_only(&["a", "b"]);
    bench.slack.wait_for(1, SAFETY).await;
    assert_eq!(bench.panic.call(Panic).await.unwrap_err().code, Code::Internal);
    bench.slack.set_mode(SlackMode::Ok);
    bench.pass(10).await;
    assert_eq!((bench.arrived(), bench.unsent()), (["a", "a", "b"].map(str::to_owned).to_vec(), 0));
    assert!(bench.slack.requests()[1].body.to_string().contains("sent again"));
}

#[actix::test]
async fn a_database_that_refuses_makes_no_message_come_twice() {
    let bench = Bench::start(Way::Webhook).await;
    bench.refuse_marks(true);
    bench.put(&["a", "b"]).await;
    bench.pass(60).await;
    assert_eq!((bench.arrived(), bench.unsent()), (vec!["a".into()], 2));
    bench.refuse_marks(false);
    bench.pass(10).await;
    assert_eq!((bench.arrived(), bench.unsent()), (vec!["a".into(), "b".into()], 0));
}

#[actix::test]
async fn a_clock_set_back_does_not_silence_it() {
    let bench = Bench::start(Way::Webhook).await;
    bench.slack.answer_next(SlackMode::TooMany { retry_after: 60 });
    bench.put(&["a"]).await;
    bench.clock.step(-TimeDelta::days(30)).await;
    bench.put(&["b"]).await;
    bench.pass(2).await;
    assert_eq!((bench.arrived().len(), bench.unsent()), (3, 0));
}

#[actix::test]
async fn what_slack_cannot_read_comes_as_plain_text_and_holds_up_nobody() {
    let bench = Bench::start(Way::Webhook).await;
    bench.slack.answer_next(SlackMode::Status(400));
    bench.put(&["a", "b"]).await;
    bench.pass(10).await;
    let bodies: Vec<_> = bench.slack.requests().into_iter().map(|request| request.body).collect();
    assert_eq!((bodies.len(), bench.unsent()), (3, 0));
    assert_eq!(bodies[1], serde_json::json!({"channel": "#ops", "text": "a"}));
    assert!(bodies[2]["attachments"].is_array(), "only the one");
}

#[actix::test]
async fn a_row_that_cannot_be_read_is_sent_as_it_stands() {
    let bench = Bench::start(Way::Webhook).await;
    bench.add("{\"from\": \"the future\"}".to_owned());
    bench.put(&["b"]).await;
    bench.pass(10).await;
    assert_eq!((bench.arrived(), bench.unsent()), (vec!["summary".into(), "b".into()], 0));
    assert!(bench.slack.requests()[0].body.to_string().contains("the future"));
}

#[actix::test]
async fn the_web_api_is_used_with_a_token_and_its_refusals_are_heard() {
    let bench = Bench::start(Way::Bot).await;
    bench.slack.set_mode(SlackMode::NotOk);
    bench.put(&["a"]).await;
    let marks = format!("{:?}", bench.marks());
    assert!(marks.starts_with("[Refused") && marks.contains("channel_not_found"), "{marks}");
    // A 200 that isn't Slack's: a proxy's page, say.
    bench.slack.set_mode(SlackMode::Bare(200));
    bench.pass(2).await;
    assert!(matches!(bench.marks().last(), Some(Delivery::Unknown { .. })), "{:?}", bench.marks());
    bench.slack.set_mode(SlackMode::Ok);
    bench.pass(400).await;
    let request = bench.slack.requests().pop().unwrap();
    assert_eq!((request.path.as_str(), &request.body["channel"]), ("/api/chat.postMessage", &"#ops".into()));
    assert_eq!(request.header("authorization"), Some("Bearer xoxb-secret"));
    assert_eq!(bench.unsent(), 0);
}

#[actix::test]
async fn without_slack_messages_go_to_the_log_alone() {
    let bench = Bench::start(Way::Nowhere).await;
    bench.put(&["a", "b", "c"]).await;
    assert_eq!((bench.slack.requests().len(), bench.unsent()), (0, 0), "and need no pace");
}

#[actix::test]
async fn an_address_that_is_none_loses_nothing() {
    for url in ["", "no address", "ftp://127.0.0.1/x", "http://127.0.0.1:1/secret"] {
        let bench = Bench::start(Way::To(url)).await;
        bench.put(&["a"]).await;
        let marks = format!("{:?}", bench.marks());
        assert!(marks.starts_with("[Refused") && !marks.contains("secret"), "{url:?}: {marks}");
        let outbox = bench.outbox.clone();
        let mended = Bench::on(Way::Webhook, outbox, FakeSlack::start(), bench.clock.now(), SAFETY).await;
        mended.pass(10).await;
        assert_eq!((mended.arrived(), mended.unsent()), (vec!["a".into()], 0), "{url:?}");
    }
}

#[actix::test]
async fn a_stop_waits_for_the_request_under_way_and_for_no_other() {
    let bench = Bench::start(Way::Webhook).await;
    bench.slack.set_mode(SlackMode::Hang);
    bench.put_only(&["a", "b"]);
    bench.slack.wait_for(1, SAFETY).await;
    let stopped = actix::spawn(bench.stop.call(StopNotifying));
    bench.slack.set_mode(SlackMode::Ok);
    stopped.await.unwrap().unwrap();
    assert!(matches!(bench.marks()[..], [Delivery::Sent]), "known before it stops: {:?}", bench.marks());
    bench.put(&["c"]).await;
    bench.pass(600).await;
    assert_eq!((bench.arrived(), bench.unsent()), (vec!["a".into()], 2), "what isn't sent stays a row");
    bench.stop.call(StopNotifying).await.unwrap();
    let bench = bench.restart().await;
    bench.pass(10).await;
    assert_eq!((bench.arrived(), bench.unsent()), (["a", "b", "c"].map(str::to_owned).to_vec(), 0));
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
    let bot = Config { webhook: None, ..config.clone() };
    let shown = format!("{config:?} {:?} {:?}", Slack::new(&config, SAFETY), Slack::new(&bot, SAFETY));
    assert!(!shown.contains("secret"), "{shown}");
}

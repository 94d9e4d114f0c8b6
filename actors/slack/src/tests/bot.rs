//! One message an incident, edited in place, with what is new in its thread.

use flowlord_messages::outbox::{IncidentRef, IncidentStage};
use flowlord_testkit::{SlackPost, problems};

use super::*;

pub(super) fn step(nth: u32, stage: IncidentStage, headline: &str) -> MessagePayload {
    let details = if stage == IncidentStage::Easing { Vec::new() } else { vec![format!("line {nth}")] };
    let incident = IncidentRef {
        opened: noon(),
        step: nth,
        stage,
        acknowledged_by: None,
        details,
        lasted: String::new(),
        alerts: u64::from(nth),
        tasks: vec!["a:j".to_owned()],
    };
    let link = Some("http://flow/web/alert?date=2026-03-02".to_owned());
    MessagePayload { link, incident: Some(incident), ..payload(headline) }
}

/// What people see: each message's headline, and whether it is in a thread.
fn seen(posts: &[SlackPost]) -> Vec<(String, bool, u32)> {
    posts.iter().map(|post| (headline(&post.body), post.thread.is_some(), post.edits)).collect()
}

fn posts(expected: &[(&str, bool, u32)]) -> Vec<(String, bool, u32)> {
    expected.iter().map(|(text, thread, edits)| ((*text).to_owned(), *thread, *edits)).collect()
}

fn buttons(body: &serde_json::Value) -> Vec<&str> {
    let blocks = body["attachments"][0]["blocks"].as_array().unwrap();
    let actions = blocks.iter().filter_map(|block| block["elements"].as_array()).flatten();
    actions.filter_map(|element| element["action_id"].as_str()).collect()
}

/// When each request came, in seconds after noon, and by which method.
fn times(bench: &Bench) -> Vec<(i64, String)> {
    let time = |at: Option<DateTime<Utc>>| (at.unwrap() - noon()).num_seconds();
    let method = |path: &str| path.trim_start_matches("/api/chat.").to_owned();
    bench.slack.requests().iter().map(|request| (time(request.at), method(&request.path))).collect()
}

fn at(expected: &[(i64, &str)]) -> Vec<(i64, String)> {
    expected.iter().map(|(at, method)| (*at, (*method).to_owned())).collect()
}

#[actix::test]
async fn an_incident_is_one_message_from_red_to_green() {
    let bench = Bench::start(Way::Bot).await;
    bench.tell("default", "summary", &step(1, IncidentStage::Escalating, "1 alert")).await;
    let colour = |bench: &Bench| bench.slack.board()[0].body["attachments"][0]["color"].clone();
    assert_eq!(colour(&bench), "#FF0000");
    assert_eq!(buttons(&bench.slack.board()[0].body), ["acknowledge", "silence_1h", "silence_4h", "rerun", "open"]);
    bench.pass(300).await;
    bench.tell("default", "summary", &step(2, IncidentStage::Steady, "2 alerts")).await;
    bench.pass(300).await;
    assert_eq!(seen(&bench.slack.board()), posts(&[("2 alerts", false, 1), ("2 alerts", true, 0)]));
    let thread = bench.slack.board()[1].body.to_string();
    assert!(thread.contains("line 2") && !thread.contains("acknowledge"), "only what is new: {thread}");
    let mut easing = step(2, IncidentStage::Easing, "2 alerts");
    easing.incident.as_mut().unwrap().acknowledged_by = Some("Ann".to_owned());
    bench.tell("default", "update", &easing).await;
    bench.pass(300).await;
    assert_eq!(colour(&bench), "#FFFF00");
    assert_eq!(bench.slack.board().len(), 2, "an update without news is an edit alone");
    assert_eq!(buttons(&bench.slack.board()[0].body), ["silence_1h", "silence_4h", "rerun", "open"]);
    assert!(bench.slack.board()[0].body.to_string().contains("acknowledged by Ann"));
    bench.tell("default", "all_clear", &step(3, IncidentStage::Clear, "all clear: 2 alerts in 15m")).await;
    bench.pass(300).await;
    assert_eq!(colour(&bench), "#00FF00");
    assert_eq!(buttons(&bench.slack.board()[0].body), ["open"]);
    let clear = "all clear: 2 alerts in 15m";
    assert_eq!(seen(&bench.slack.board()), posts(&[(clear, false, 3), ("2 alerts", true, 0), (clear, true, 0)]));
    let expected = [
        (0, "postMessage"),
        (300, "update"),
        (301, "postMessage"),
        (600, "update"),
        (900, "update"),
        (901, "postMessage"),
    ];
    assert_eq!(times(&bench), at(&expected));
}

#[actix::test]
async fn the_next_incident_has_its_own_message() {
    let bench = Bench::start(Way::Bot).await;
    bench.tell("default", "summary", &step(1, IncidentStage::Escalating, "first")).await;
    let mut other = step(1, IncidentStage::Escalating, "second");
    other.incident.as_mut().unwrap().opened = noon() + TimeDelta::hours(1);
    bench.tell("default", "summary", &other).await;
    bench.tell("default", "alert", &payload("at once")).await;
    bench.pass(10).await;
    let expected = [("first", false, 0), ("second", false, 0), ("at once", false, 0)];
    assert_eq!(seen(&bench.slack.board()), posts(&expected));
    assert!(buttons(&bench.slack.board()[2].body).is_empty(), "nothing to acknowledge");
}

#[actix::test]
async fn a_message_that_was_deleted_is_posted_anew() {
    let bench = Bench::start(Way::Bot).await;
    bench.tell("default", "summary", &step(1, IncidentStage::Escalating, "1 alert")).await;
    bench.slack.delete(&bench.slack.board()[0].ts);
    bench.tell("default", "summary", &step(2, IncidentStage::Escalating, "2 alerts")).await;
    bench.pass(10).await;
    assert_eq!(seen(&bench.slack.board()), posts(&[("2 alerts", false, 0)]));
    bench.tell("default", "all_clear", &step(3, IncidentStage::Clear, "clear")).await;
    bench.pass(10).await;
    assert_eq!(seen(&bench.slack.board()), posts(&[("clear", false, 1), ("clear", true, 0)]));
    let expected = [(0, "postMessage"), (1, "update"), (2, "postMessage"), (10, "update"), (11, "postMessage")];
    assert_eq!(times(&bench), at(&expected));
    assert!(bench.outbox.0.lock().unwrap().ways.is_empty(), "the way didn't fail");
}

#[actix::test]
async fn a_restart_between_edit_and_news_edits_again_and_tells_once() {
    let bench = Bench::start(Way::Bot).await;
    bench.tell("default", "summary", &step(1, IncidentStage::Escalating, "1 alert")).await;
    bench.pass(60).await;
    bench.tell("default", "summary", &step(2, IncidentStage::Escalating, "2 alerts")).await;
    assert_eq!(seen(&bench.slack.board()), posts(&[("2 alerts", false, 1)]), "edited, and nothing told yet");
    let bench = bench.restart().await;
    bench.pass(60).await;
    assert_eq!(seen(&bench.slack.board()), posts(&[("2 alerts", false, 2), ("2 alerts", true, 0)]));
    assert!(!bench.slack.board()[1].body.to_string().contains("sent again"));
}

#[actix::test]
async fn an_edit_of_unknown_fate_is_made_again_without_a_word() {
    let bench = Bench::start(Way::Bot).await;
    bench.tell("default", "summary", &step(1, IncidentStage::Escalating, "1 alert")).await;
    bench.pass(60).await;
    bench.slack.answer_next(SlackMode::Cut);
    bench.tell("default", "summary", &step(2, IncidentStage::Escalating, "2 alerts")).await;
    bench.pass(60).await;
    assert_eq!(seen(&bench.slack.board()), posts(&[("2 alerts", false, 1), ("2 alerts", true, 0)]));
    assert!(!bench.slack.requests().iter().any(|request| request.body.to_string().contains("sent again")));
}

#[actix::test]
async fn news_of_unknown_fate_come_again_and_say_so() {
    let bench = Bench::start(Way::Bot).await;
    bench.tell("default", "summary", &step(1, IncidentStage::Escalating, "1 alert")).await;
    bench.pass(60).await;
    bench.tell("default", "summary", &step(2, IncidentStage::Escalating, "2 alerts")).await;
    bench.slack.answer_next(SlackMode::Cut);
    bench.pass(60).await;
    let board = bench.slack.board();
    assert_eq!(board.len(), 2);
    assert!(board[1].body.to_string().contains("sent again"), "{board:?}");
    assert!(!board[0].body.to_string().contains("sent again"), "{board:?}");
}

#[actix::test]
async fn an_update_of_what_was_never_told_is_nothing() {
    for way in [Way::Bot, Way::Webhook, Way::Nowhere] {
        let bench = Bench::start(way).await;
        bench.tell("default", "update", &step(1, IncidentStage::Easing, "1 alert")).await;
        bench.tell("default", "test", &payload("test")).await;
        assert_eq!(bench.unsent(), 0, "and costs no pace");
        assert_eq!(bench.marks()[0], DeliveryOutcome::Skipped, "nobody was told");
        assert!(bench.arrived().iter().all(|headline| headline == "test"));
    }
}

#[actix::test]
async fn a_webhook_posts_each_step_and_has_no_buttons() {
    let bench = Bench::start(Way::Webhook).await;
    for (nth, kind, stage) in [
        (1, "summary", IncidentStage::Escalating),
        (2, "update", IncidentStage::Easing),
        (3, "all_clear", IncidentStage::Clear),
    ] {
        bench.tell("default", kind, &step(nth, stage, kind)).await;
        bench.pass(60).await;
    }
    assert_eq!(bench.arrived(), ["summary", "all_clear"]);
    for request in bench.slack.requests() {
        assert!(buttons(&request.body).is_empty());
        assert_eq!(problems(&request.body), Vec::<String>::new());
    }
}

#[actix::test]
async fn without_anybody_to_hear_a_click_there_are_no_buttons() {
    let slack = FakeSlack::start();
    let config = Config { buttons: false, ..config(vec![route(Way::Bot, &slack)], &slack) };
    let bench = Bench::with(config, Outbox::default(), slack, noon(), SAFETY).await;
    bench.tell("default", "summary", &step(1, IncidentStage::Escalating, "1 alert")).await;
    assert!(buttons(&bench.slack.board()[0].body).is_empty());
    assert!(bench.slack.board()[0].body.to_string().contains("see report"));
}

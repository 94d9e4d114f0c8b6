//! The outbox against a Slack that breaks.

use super::*;

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
        let refused = |mark: &DeliveryOutcome| matches!(mark, DeliveryOutcome::Refused { .. });
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
        let Some(DeliveryOutcome::Refused { retry_at, .. }) = bench.marks().pop() else { panic!("refused") };
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
    assert!(
        matches!(bench.marks()[..], [DeliveryOutcome::Refused { .. }, DeliveryOutcome::Sent]),
        "{:?}",
        bench.marks()
    );
}

#[actix::test]
async fn a_line_that_is_cut_leaves_doubt_which_is_said() {
    let bench = Bench::start(Way::Webhook).await;
    bench.slack.answer_next(SlackMode::Cut);
    bench.put(&["a", "b"]).await;
    bench.pass(400).await;
    assert_eq!((bench.arrived(), bench.unsent()), (["a", "a", "b"].map(str::to_owned).to_vec(), 0));
    let again = "(sent again: it is unknown whether the first one arrived)";
    let said: Vec<_> = bench.slack.requests().iter().map(|request| request.body.to_string().contains(again)).collect();
    assert_eq!(said, [false, true, false]);
}

#[actix::test]
async fn a_slack_that_hangs_leaves_doubt_and_holds_up_nothing_for_ever() {
    let short = Duration::from_millis(500);
    let bench = Bench::on(Way::Webhook, Outbox::default(), FakeSlack::start(), noon(), short).await;
    bench.slack.set_mode(SlackMode::Hang);
    bench.put(&["a"]).await;
    assert!(matches!(bench.marks()[..], [DeliveryOutcome::Unknown { .. }]), "{:?}", bench.marks());
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
    // The actor restarts on a thread of its own, which may be after the first seconds have passed.
    for _ in 0..30 {
        bench.pass(10).await;
        if bench.unsent() == 0 {
            break;
        }
    }
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
    bench.add("default", "summary", "{\"from\": \"the future\"}".to_owned());
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
    assert!(matches!(bench.marks().last(), Some(DeliveryOutcome::Unknown { .. })), "{:?}", bench.marks());
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
    assert!(matches!(bench.marks()[..], [DeliveryOutcome::Sent]), "known before it stops: {:?}", bench.marks());
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
    let webhook = Some(Secret::new("http://slack/secret"));
    let route = SlackRoute {
        name: "default".to_owned(),
        webhook,
        token: Some(Secret::new("xoxb-secret")),
        ..SlackRoute::default()
    };
    let bot = SlackRoute { name: "bot".to_owned(), webhook: None, ..route.clone() };
    let routes = [route, bot];
    let shown = format!("{routes:?} {:?}", DestinationTable::new(&routes, "", SAFETY, TimeDelta::zero()));
    assert!(!shown.contains("secret"), "{shown}");
}

//! Routes that don't wait for each other, and the way of another where one fails.

use flowlord_messages::outbox::IncidentStage;

use super::bot::step;
use super::*;

/// A webhook at each of two Slacks; the first one's fallback is the second.
async fn two(fallback: Option<&str>) -> (Bench, FakeSlack) {
    let (slack, other) = (FakeSlack::start(), FakeSlack::start());
    let first = SlackRoute { fallback: fallback.map(str::to_owned), ..route(Way::Webhook, &slack) };
    let second = SlackRoute { name: "second".to_owned(), ..route(Way::Webhook, &other) };
    let config = config(vec![first, second], &slack);
    let bench = Bench::with(config, Outbox::default(), slack, noon(), SAFETY).await;
    other.follow(&bench.clock);
    (bench, other)
}

/// When what came, in seconds after noon.
fn came(slack: &FakeSlack) -> Vec<(i64, String)> {
    let time = |at: Option<DateTime<Utc>>| (at.unwrap() - noon()).num_seconds();
    slack.requests().iter().map(|request| (time(request.at), headline(&request.body))).collect()
}

#[actix::test]
async fn a_route_that_fails_holds_up_no_other() {
    let (bench, other) = two(None).await;
    bench.slack.set_mode(SlackMode::TooMany { retry_after: 600 });
    for (route, headline) in [("default", "a"), ("second", "b"), ("default", "c"), ("second", "d")] {
        bench.tell(route, "test", &payload(headline)).await;
    }
    bench.pass(5).await;
    assert_eq!(came(&other), [(0, "b".to_owned()), (1, "d".to_owned())]);
    assert_eq!(came(&bench.slack), [(0, "a".to_owned())]);
    bench.slack.set_mode(SlackMode::Ok);
    bench.pass(600).await;
    assert_eq!(came(&bench.slack)[1..], [(600, "a".to_owned()), (601, "c".to_owned())]);
}

#[actix::test]
async fn a_slack_that_hangs_holds_up_no_other_route() {
    let (bench, other) = two(None).await;
    bench.slack.set_mode(SlackMode::Hang);
    bench.add("default", "test", json(&payload("a")));
    bench.add("second", "test", json(&payload("b")));
    bench.notify.hint(MessagesQueued);
    bench.slack.wait_for(1, SAFETY).await;
    other.wait_for(1, SAFETY).await;
    bench.slack.set_mode(SlackMode::Ok);
    bench.clock.settle().await;
    assert_eq!(bench.unsent(), 0);
}

#[actix::test]
async fn routes_of_one_channel_share_its_pace() {
    let slack = FakeSlack::start();
    let first = route(Way::Bot, &slack);
    let second = SlackRoute { name: "second".to_owned(), ..first.clone() };
    let config = config(vec![first, second], &slack);
    let bench = Bench::with(config, Outbox::default(), slack, noon(), SAFETY).await;
    for (route, headline) in [("default", "a"), ("second", "b"), ("default", "c"), ("second", "d")] {
        bench.add(route, "test", json(&payload(headline)));
    }
    bench.notify.hint(MessagesQueued);
    bench.pass(10).await;
    let times: Vec<_> = came(&bench.slack).into_iter().map(|(at, _)| at).collect();
    assert_eq!(times, [0, 1, 2, 3]);
    assert_eq!(bench.unsent(), 0);
}

#[actix::test]
async fn what_a_removed_route_left_goes_to_the_default() {
    let bench = Bench::start(Way::Webhook).await;
    bench.tell("gone", "test", &payload("a")).await;
    assert_eq!((bench.arrived(), bench.unsent()), (vec!["a".to_owned()], 0));
}

#[actix::test]
async fn after_a_quarter_of_an_hour_the_fallback_is_taken_and_says_so() {
    let (bench, other) = two(Some("second")).await;
    bench.slack.set_mode(SlackMode::Refuse);
    bench.tell("default", "test", &payload("a")).await;
    bench.pass(14 * 60 + 59).await;
    assert_eq!((came(&other), bench.unsent()), (vec![], 1), "not at once");
    bench.pass(1).await;
    assert_eq!(came(&other), [(900, "a".to_owned())]);
    let said = other.requests()[0].body.to_string();
    assert!(said.contains("(sent here: the destination of route default fails)"), "{said}");
    // While it stays down the way is tried now and then, and the others don't wait for it.
    bench.tell("default", "test", &payload("b")).await;
    bench.pass(1).await;
    assert_eq!(came(&other)[1..], [(901, "b".to_owned())]);
    bench.slack.set_mode(SlackMode::Ok);
    bench.pass(600).await;
    bench.tell("default", "test", &payload("c")).await;
    bench.tell("default", "test", &payload("d")).await;
    bench.pass(10).await;
    assert_eq!((bench.arrived(), other.requests().len()), (vec!["c".into(), "d".into()], 2), "and back again");
    assert!(bench.outbox.0.lock().unwrap().ways.is_empty());
}

#[actix::test]
async fn a_restart_forgets_no_outage() {
    let (bench, other) = two(Some("second")).await;
    bench.slack.set_mode(SlackMode::TooMany { retry_after: 3_000 });
    bench.tell("default", "test", &payload("a")).await;
    bench.pass(890).await;
    let bench = bench.restart().await;
    other.follow(&bench.clock);
    assert_eq!(bench.slack.requests().len(), 1, "Slack said to wait");
    bench.pass(10).await;
    assert_eq!(came(&other), [(900, "a".to_owned())]);
    assert_eq!(bench.slack.requests().len(), 1);
}

#[actix::test]
async fn a_message_of_unknown_fate_says_so_by_the_other_way_too() {
    let (bench, other) = two(Some("second")).await;
    bench.slack.set_mode(SlackMode::Cut);
    bench.tell("default", "test", &payload("a")).await;
    bench.pass(900).await;
    let said = other.requests().pop().unwrap().body.to_string();
    assert!(said.contains("sent again") && said.contains("sent here"), "{said}");
}

#[actix::test]
async fn where_both_fail_nothing_is_lost() {
    let (bench, other) = two(Some("second")).await;
    bench.slack.set_mode(SlackMode::Refuse);
    other.set_mode(SlackMode::Refuse);
    for headline in ["a", "b"] {
        bench.tell("default", "test", &payload(headline)).await;
    }
    bench.pass(7_200).await;
    assert_eq!(bench.unsent(), 2);
    other.set_mode(SlackMode::Ok);
    bench.pass(600).await;
    let arrived: Vec<_> = came(&other).into_iter().map(|(_, headline)| headline).collect();
    assert_eq!((arrived, bench.unsent()), (vec!["a".into(), "b".into()], 0));
}

#[actix::test]
async fn a_bot_s_incident_goes_on_where_the_way_leads() {
    let (slack, other) = (FakeSlack::start(), FakeSlack::start());
    let first = SlackRoute { fallback: Some("second".to_owned()), ..route(Way::Bot, &slack) };
    let second = SlackRoute { name: "second".to_owned(), ..route(Way::Webhook, &other) };
    let config = config(vec![first, second], &slack);
    let bench = Bench::with(config, Outbox::default(), slack, noon(), SAFETY).await;
    bench.tell("default", "summary", &step(1, IncidentStage::Escalating, "1 alert")).await;
    bench.slack.set_mode(SlackMode::Status(503));
    bench.tell("default", "summary", &step(2, IncidentStage::Escalating, "2 alerts")).await;
    bench.pass(1_000).await;
    assert_eq!(other.requests().len(), 1);
    bench.slack.set_mode(SlackMode::Ok);
    bench.pass(600).await;
    bench.tell("default", "all_clear", &step(3, IncidentStage::Clear, "clear")).await;
    bench.pass(10).await;
    let board = bench.slack.board();
    let headlines: Vec<_> = board.iter().map(|post| headline(&post.body)).collect();
    assert_eq!(headlines, ["clear", "clear"], "the first message, and its thread");
}

//! The connection of Socket Mode: cut, refused, asked for anew, ended.

use flowlord_testkit::SlackMode;

use super::*;
use crate::sender::FIRST_WAIT;

#[actix::test]
async fn a_connection_that_is_cut_is_opened_again() {
    let bench = Bench::start(Some("xapp-1"), FakeSlack::start()).await;
    bench.slack.wait_for_sockets(1, SAFETY).await;
    for nth in 2..5 {
        bench.slack.cut_sockets();
        bench.clock.wait_for_sleeper_at(bench.clock.now() + FIRST_WAIT).await;
        bench.pass(1).await;
        bench.slack.wait_for_sockets(nth, SAFETY).await;
        bench.clock.settle().await;
    }
    assert!(bench.slack.interact(bench.click("acknowledge"), SAFETY).await);
}

#[actix::test]
async fn slack_asks_for_a_new_connection_and_gets_it_at_once() {
    let bench = Bench::start(Some("xapp-1"), FakeSlack::start()).await;
    bench.slack.wait_for_sockets(1, SAFETY).await;
    bench.clock.settle().await;
    bench.slack.say(&json!({"type": "disconnect", "reason": "refresh_requested"}));
    bench.slack.wait_for_sockets(2, SAFETY).await;
    assert!(bench.slack.interact(bench.click("acknowledge"), SAFETY).await);
}

#[actix::test]
async fn what_is_not_ours_is_acknowledged_and_what_cannot_be_read_passed_over() {
    let bench = Bench::start(Some("xapp-1"), FakeSlack::start()).await;
    bench.slack.wait_for_sockets(1, SAFETY).await;
    bench.slack.say(&json!("no envelope"));
    bench.slack.say(&json!({"type": "slash_commands", "envelope_id": "e", "payload": {}}));
    assert!(bench.slack.interact(json!({"type": "view_closed"}), SAFETY).await);
    assert!(!bench.slack.interact(json!({"type": "block_actions", "actions": 7}), Duration::from_millis(300)).await);
    assert!(bench.slack.interact(bench.click("acknowledge"), SAFETY).await, "it goes on");
}

#[actix::test]
async fn a_slack_that_is_down_is_asked_again_ever_seldomer() {
    let slack = FakeSlack::start();
    slack.set_mode(SlackMode::Status(503));
    let bench = Bench::start(Some("xapp-1"), slack).await;
    bench.pass(3_600).await;
    let asked = bench.slack.calls().len();
    assert!((12..40).contains(&asked), "every five minutes at last: {asked}");
    bench.slack.set_mode(SlackMode::Ok);
    bench.pass(301).await;
    bench.slack.wait_for_sockets(1, SAFETY).await;
}

#[actix::test]
async fn a_token_of_another_kind_is_not_tried_again_soon() {
    let bench = Bench::start(Some("xoxb-1"), FakeSlack::start()).await;
    bench.pass(299).await;
    assert_eq!(bench.slack.calls().len(), 1);
    bench.pass(1).await;
    assert_eq!(bench.slack.calls().len(), 2);
}

#[actix::test]
async fn a_panic_costs_the_connection_and_a_new_one_is_opened() {
    let bench = Bench::start(Some("xapp-1"), FakeSlack::start()).await;
    bench.slack.wait_for_sockets(1, SAFETY).await;
    bench.clock.settle().await;
    assert_eq!(bench.panic.call(Panic).await.unwrap_err().code, Code::Internal);
    bench.slack.wait_for_sockets(2, SAFETY).await;
    assert!(bench.slack.interact(bench.click("acknowledge"), SAFETY).await);
}

#[actix::test]
async fn a_stop_ends_the_connection() {
    let bench = Bench::start(Some("xapp-1"), FakeSlack::start()).await;
    bench.slack.wait_for_sockets(1, SAFETY).await;
    bench.stop.call(StopButtons).await.unwrap();
    assert!(!bench.slack.interact(bench.click("acknowledge"), Duration::from_millis(300)).await);
    bench.pass(3_600).await;
    assert_eq!(bench.slack.calls().len(), 1, "and no other is opened");
}

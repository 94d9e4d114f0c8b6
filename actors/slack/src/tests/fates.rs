//! Whether a message arrived, told to whoever asks.

use super::*;

async fn ask(bench: &Bench) -> DeliveryStatus {
    bench.fate.call(AwaitDelivery { id: 0 }).await.unwrap()
}

#[actix::test]
async fn what_arrived_is_known_before_and_after() {
    let bench = Bench::start(Way::Webhook).await;
    bench.slack.set_mode(SlackMode::Hang);
    bench.put_only(&["a"]);
    bench.slack.wait_for(1, SAFETY).await;
    let asked = actix::spawn(bench.fate.call(AwaitDelivery { id: 0 }));
    // The question is with the actor before Slack answers.
    bench.fate.call(AwaitDelivery { id: 9 }).await.unwrap_err();
    bench.slack.set_mode(SlackMode::Ok);
    assert_eq!(asked.await.unwrap().unwrap(), DeliveryStatus::Arrived);
    assert_eq!(ask(&bench).await, DeliveryStatus::Arrived);
}

#[actix::test]
async fn slack_s_own_words_are_told() {
    let bench = Bench::start(Way::Bot).await;
    bench.slack.set_mode(SlackMode::Error("not_in_channel"));
    bench.put_only(&["a"]);
    let DeliveryStatus::Refused { error, retry_at } = ask(&bench).await else { panic!("refused") };
    assert!(error.contains("not_in_channel") || error == "planned", "{error}");
    assert!(retry_at > noon());
}

#[actix::test]
async fn doubt_is_told() {
    let bench = Bench::start(Way::Webhook).await;
    bench.slack.set_mode(SlackMode::Cut);
    bench.put(&["a"]).await;
    assert!(matches!(ask(&bench).await, DeliveryStatus::Unknown { .. }));
}

#[actix::test]
async fn what_waits_behind_a_refused_one_is_told_at_once() {
    let bench = Bench::start(Way::Webhook).await;
    bench.slack.set_mode(SlackMode::TooMany { retry_after: 3_000 });
    bench.put(&["a", "b"]).await;
    let waits = bench.fate.call(AwaitDelivery { id: 1 }).await.unwrap();
    assert_eq!(waits, DeliveryStatus::Waits { ahead: 1, error: Some("planned".to_owned()) });
}

#[actix::test]
async fn nobody_waits_for_ever() {
    let short = Duration::from_millis(1);
    let bench = Bench::on(Way::Webhook, Outbox::default(), FakeSlack::start(), noon(), SAFETY).await;
    bench.slack.set_mode(SlackMode::Hang);
    bench.put_only(&["a"]);
    bench.slack.wait_for(1, SAFETY).await;
    bench.patience(short).await;
    assert_eq!(ask(&bench).await, DeliveryStatus::Waits { ahead: 0, error: None });
    bench.slack.set_mode(SlackMode::Ok);
    let many = (0..100).map(|_| actix::spawn(bench.fate.call(AwaitDelivery { id: 1 })));
    for asked in many.collect::<Vec<_>>() {
        let err = asked.await.unwrap().unwrap_err();
        assert!([Code::NotFound, Code::Busy].contains(&err.code), "{err:?}");
    }
}

//! What arrives in Slack, when: storms, trickles, flapping, outages, and restarts in the middle of each.

mod clicks;
mod pictures;
mod secrets;
mod traces;
mod trouble;

use std::time::Duration;

use chrono::TimeDelta;
use flowlord_testkit::{SlackMode, problems};
use serde_json::json;

use crate::support::{TestApp, noon};

/// Longer than anything takes, in real time.
const SAFETY: Duration = Duration::from_secs(60);

async fn alert(app: &TestApp, msg: &str) {
    app.api.create(&json!({"type": "a", "info": "i"})).await;
    let leased = app.api.lease("a").await.expect("tasks go on");
    app.api.result(&leased.lease, &json!({"result": "alert", "msg": msg})).await.ok();
}

#[actix::test]
async fn messages_wait_while_slack_refuses_and_arrive_in_order_once() {
    for mode in [SlackMode::Status(500), SlackMode::TooMany { retry_after: 30 }, SlackMode::Refuse] {
        let app = TestApp::start().await;
        app.slack.set_mode(mode);
        for msg in ["first", "second", "third"] {
            alert(&app, msg).await;
            app.pass(TimeDelta::seconds(5)).await;
        }
        app.slack.clear();
        let app = app.restart(TimeDelta::seconds(1)).await;
        app.slack.set_mode(SlackMode::Ok);
        app.slack.clear();
        app.pass(TimeDelta::minutes(12)).await;
        let told: Vec<_> = app.slack.requests().iter().map(|request| request.body.to_string()).collect();
        let order: Vec<_> = ["first", "second", "third"]
            .iter()
            .map(|msg| told.iter().filter(|body| body.contains(msg)).count())
            .collect();
        assert_eq!(order, [1, 1, 1], "{mode:?}: {told:?}");
        let place = |msg: &str| told.iter().position(|body| body.contains(msg));
        assert!(place("first") < place("second") && place("second") < place("third"), "{mode:?}: {told:?}");
        app.stop().await;
    }
}

/// A task fails for good.
async fn fail(app: &TestApp, topic: &str) {
    app.api.create(&json!({"type": topic, "info": "i"})).await;
    let leased = app.api.lease(topic).await.expect("tasks go on");
    app.api.result(&leased.lease, &json!({"result": "error", "msg": "broke"})).await.ok();
}

/// What came, as `minute:second method headline`.
fn timeline(app: &TestApp) -> Vec<String> {
    let line = |request: &flowlord_testkit::SlackRequest| {
        assert_eq!(problems(&request.body), Vec::<String>::new());
        let after = request.at.unwrap() - noon();
        let method = match (request.path.as_str(), request.body.get("thread_ts")) {
            ("/api/chat.update", _) => "edit",
            (_, Some(_)) => "reply",
            _ => "post",
        };
        let text = request.body["attachments"][0]["blocks"][0]["text"]["text"].as_str().unwrap();
        let (minutes, seconds) = (after.num_minutes(), after.num_seconds() % 60);
        format!("{minutes}:{seconds:02} {method} {}", text.replace('*', ""))
    };
    app.slack.requests().iter().map(line).collect()
}

/// Before tasks of the workflow's cron are unfinished for too long.
const END: i64 = 16_000;

/// What happens in a test's time.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// Tasks fail for good: how many of which type.
    Fail(usize, &'static str),
    /// Slack is in this state from now on.
    Slack(SlackMode),
    /// Slack answers the next message so.
    Next(SlackMode),
    /// The service is stopped and started again.
    Restart,
}

/// Plays events, each with its second after noon, and lets time pass up to `end`.
async fn play(mut app: TestApp, mut events: Vec<(i64, Event)>, restarts: &[i64], end: i64) -> TestApp {
    events.extend(restarts.iter().map(|at| (*at, Event::Restart)));
    events.sort_by_key(|(at, _)| *at);
    for (at, event) in events {
        app.clock.advance_to(noon() + TimeDelta::seconds(at)).await;
        match event {
            Event::Fail(count, topic) => {
                for _ in 0..count {
                    fail(&app, topic).await;
                }
            }
            Event::Slack(mode) => app.slack.set_mode(mode),
            Event::Next(mode) => app.slack.answer_next(mode),
            Event::Restart => app = app.restart(TimeDelta::zero()).await,
        }
    }
    app.clock.advance_to(noon() + TimeDelta::seconds(end)).await;
    app
}

/// One failure a minute, in the middle of each.
fn trickle(minutes: std::ops::Range<i64>) -> Vec<(i64, Event)> {
    minutes.map(|minute| (minute * 60 + 30, Event::Fail(1, "a"))).collect()
}

/// Plays a scenario without and with restarts: the same arrives in the same second.
async fn check(events: Vec<(i64, Event)>, restarts: &[i64], end: i64, expected: &[&str]) {
    for restarts in [&[], restarts] {
        let app = play(TestApp::bot().await, events.clone(), restarts, end).await;
        assert_eq!(timeline(&app), expected, "restarts at {restarts:?}");
        app.stop().await;
    }
}

#[actix::test]
async fn a_trickle_is_one_living_message() {
    let expected = [
        "5:00 post 5 alerts in 1 task",
        "15:00 edit 10 alerts in 1 task",
        "15:01 reply 10 alerts in 1 task",
        "35:00 edit 5 alerts in 1 task",
        "35:01 reply 5 alerts in 1 task",
        "75:00 edit easing: 20 alerts in 1 task",
        "95:00 edit easing: 20 alerts in 1 task",
        "105:00 edit easing: 20 alerts in 1 task",
        "110:00 edit all clear: 20 alerts in 1h45m",
        "110:01 reply all clear: 20 alerts in 1h45m",
    ];
    check(trickle(0..20), &[100, 910, 1_000, 3_000, 6_500], END, &expected).await;
}

#[actix::test]
async fn a_storm_is_told_at_once_and_then_ever_seldomer() {
    let mut events = vec![(10, Event::Fail(40, "a")), (20, Event::Fail(20, "b")), (30, Event::Fail(1, "c"))];
    events.extend((1..40).map(|minute| (minute * 60, Event::Fail(2, "b"))));
    let expected = [
        "5:00 post 69 alerts in 3 tasks",
        "15:00 edit 20 alerts in 1 task",
        "15:01 reply 20 alerts in 1 task",
        "35:00 edit 40 alerts in 1 task",
        "35:01 reply 40 alerts in 1 task",
        "75:00 edit 10 alerts in 1 task",
        "75:01 reply 10 alerts in 1 task",
        "155:00 edit easing: 139 alerts in 3 tasks",
        "195:00 edit easing: 139 alerts in 3 tasks",
        "215:00 edit easing: 139 alerts in 3 tasks",
        "225:00 edit easing: 139 alerts in 3 tasks",
        "230:00 edit all clear: 139 alerts in 3h45m",
        "230:01 reply all clear: 139 alerts in 3h45m",
    ];
    check(events, &[25, 1_500, 5_000], END, &expected).await;
}

#[actix::test]
async fn flapping_is_an_incident_each_time_and_no_more() {
    let flaps = [0, 3_600, 7_200].map(|at| (at + 30, Event::Fail(1, "a")));
    let expected = [
        "5:00 post 1 alert in 1 task",
        "15:00 edit easing: 1 alert in 1 task",
        "20:00 edit all clear: 1 alert in 15m",
        "20:01 reply all clear: 1 alert in 15m",
        "65:00 post 1 alert in 1 task",
        "75:00 edit easing: 1 alert in 1 task",
        "80:00 edit all clear: 1 alert in 15m",
        "80:01 reply all clear: 1 alert in 15m",
        "125:00 post 1 alert in 1 task",
        "135:00 edit easing: 1 alert in 1 task",
        "140:00 edit all clear: 1 alert in 15m",
        "140:01 reply all clear: 1 alert in 15m",
    ];
    check(flaps.to_vec(), &[1_000, 3_660, 8_000], END, &expected).await;
}

#[actix::test]
async fn a_slack_that_asks_to_wait_is_obeyed() {
    let mut events = trickle(0..20);
    events.push((200, Event::Next(SlackMode::TooMany { retry_after: 45 })));
    events.push((210, Event::Next(SlackMode::TooMany { retry_after: 30 })));
    events.push((800, Event::Next(SlackMode::TooMany { retry_after: 120 })));
    let expected = [
        "5:00 post 5 alerts in 1 task",
        "5:45 post 5 alerts in 1 task",
        "6:15 post 5 alerts in 1 task",
        "15:00 edit 10 alerts in 1 task",
        "17:00 edit 10 alerts in 1 task",
        "17:01 reply 10 alerts in 1 task",
        "35:00 edit 5 alerts in 1 task",
        "35:01 reply 5 alerts in 1 task",
        "75:00 edit easing: 20 alerts in 1 task",
        "95:00 edit easing: 20 alerts in 1 task",
        "105:00 edit easing: 20 alerts in 1 task",
        "110:00 edit all clear: 20 alerts in 1h45m",
        "110:01 reply all clear: 20 alerts in 1h45m",
    ];
    check(events, &[310, 360, 950], END, &expected).await;
}

#[actix::test]
async fn a_line_that_is_cut_leaves_doubt_that_is_said() {
    let mut events = vec![(30, Event::Fail(1, "a")), (200, Event::Next(SlackMode::Cut))];
    for restart in [false, true] {
        if restart {
            events.push((300, Event::Restart));
        }
        let app = play(TestApp::bot().await, events.clone(), &[], 1_000).await;
        let easing = "15:00 edit easing: 1 alert in 1 task";
        assert_eq!(timeline(&app), ["5:00 post 1 alert in 1 task", "5:01 post 1 alert in 1 task", easing]);
        let again: Vec<_> =
            app.slack.requests().iter().map(|request| request.body.to_string().contains("sent again")).collect();
        assert_eq!(again, [false, true, false]);
        app.stop().await;
    }
}

#[actix::test]
async fn what_happens_while_slack_is_down_is_told_in_order_when_it_is_back() {
    for restarts in [&[][..], &[400, 950, 2_500]] {
        let mut events = trickle(0..20);
        events.push((600, Event::Slack(SlackMode::Status(500))));
        let app = play(TestApp::bot().await, events, restarts, 3_000).await;
        let asked = timeline(&app).split_off(1);
        assert!(asked.iter().all(|line| line.ends_with("edit 10 alerts in 1 task")), "in order: {asked:?}");
        assert!((8..25).contains(&asked.len()), "ever seldomer: {asked:?}");
        app.slack.clear();
        let app = play(app, vec![(3_000, Event::Slack(SlackMode::Ok))], &[], END).await;
        let told: Vec<_> = timeline(&app);
        let said: Vec<_> = told.iter().map(|line| line.split_once(' ').unwrap().1).collect();
        let expected = [
            "edit 10 alerts in 1 task",
            "reply 10 alerts in 1 task",
            "edit 5 alerts in 1 task",
            "reply 5 alerts in 1 task",
            "edit easing: 20 alerts in 1 task",
            "edit easing: 20 alerts in 1 task",
            "edit easing: 20 alerts in 1 task",
            "edit all clear: 20 alerts in 1h45m",
            "reply all clear: 20 alerts in 1h45m",
        ];
        assert_eq!(said, expected);
        assert!(told[..4].iter().all(|line| ("50:00".."56:00").contains(&line.as_str())), "{told:?}");
        assert_eq!(told[7].split(' ').next(), Some("110:00"));
        app.stop().await;
    }
}

#[actix::test]
async fn a_bot_that_was_a_webhook_posts_what_it_cannot_edit() {
    let app = play(TestApp::start().await, vec![(30, Event::Fail(1, "a"))], &[], 600).await;
    assert_eq!(timeline(&app), ["5:00 post 1 alert in 1 task"]);
    let app = play(app.restart_as_bot().await, vec![], &[], END).await;
    assert_eq!(timeline(&app)[1..], ["20:00 post all clear: 1 alert in 15m"]);
    app.stop().await;
}

//! Slack in trouble for long: storms of 429, answers that never come. What arrives by the second, and that tasks
//! never wait for it.

use flowlord_testkit::SlackMode;
use serde_json::json;

use super::{Event, SAFETY, check, fail, play, timeline};
use crate::support::{TestApp, noon};

#[actix::test]
async fn in_a_storm_of_429_it_asks_as_seldom_as_it_is_told() {
    let events = vec![
        (30, Event::Fail(1, "a")),
        (200, Event::Slack(SlackMode::TooMany { retry_after: 240 })),
        (1_250, Event::Slack(SlackMode::Ok)),
    ];
    let expected = [
        "5:00 post 1 alert in 1 task",
        "9:00 post 1 alert in 1 task",
        "13:00 post 1 alert in 1 task",
        "17:00 post 1 alert in 1 task",
        "21:00 post 1 alert in 1 task",
        "21:01 edit easing: 1 alert in 1 task",
        "21:02 edit all clear: 1 alert in 15m",
        "21:03 reply all clear: 1 alert in 15m",
    ];
    check(events, &[301, 700, 1_240], 2_000, &expected).await;
}

#[actix::test]
async fn a_storm_of_429_in_the_middle_of_an_incident_delays_and_loses_nothing() {
    let mut events = super::trickle(0..20);
    events.push((890, Event::Slack(SlackMode::TooMany { retry_after: 600 })));
    events.push((2_000, Event::Slack(SlackMode::Ok)));
    let expected = [
        "5:00 post 5 alerts in 1 task",
        "15:00 edit 10 alerts in 1 task",
        "25:00 edit 10 alerts in 1 task",
        "35:00 edit 10 alerts in 1 task",
        "35:01 reply 10 alerts in 1 task",
        "35:02 edit 5 alerts in 1 task",
        "35:03 reply 5 alerts in 1 task",
        "75:00 edit easing: 20 alerts in 1 task",
        "95:00 edit easing: 20 alerts in 1 task",
        "105:00 edit easing: 20 alerts in 1 task",
        "110:00 edit all clear: 20 alerts in 1h45m",
        "110:01 reply all clear: 20 alerts in 1h45m",
    ];
    check(events, &[901, 1_600, 2_050], super::END, &expected).await;
}

#[actix::test]
async fn while_slack_hangs_tasks_go_on() {
    let app = play(TestApp::bot().await, vec![(30, Event::Fail(1, "a"))], &[], 200).await;
    app.slack.set_mode(SlackMode::Hang);
    let work = async {
        app.slack.wait_for(1, SAFETY).await;
        app.api.create(&json!({"type": "b", "info": "i"})).await;
        let leased = app.api.lease("b").await.expect("a task");
        app.api.complete(&leased.lease, "").await;
        fail(&app, "c").await;
        assert_eq!(app.slack.board().len(), 0, "it still hangs");
        app.slack.set_mode(SlackMode::Ok);
    };
    let later = app.clock.advance_to(noon() + chrono::TimeDelta::seconds(310));
    tokio::join!(work, later);
    assert_eq!(timeline(&app), ["5:00 post 1 alert in 1 task"], "answered late, it isn't sent again");
    app.stop().await;
}

#[actix::test]
async fn an_answer_that_never_comes_leaves_doubt_that_is_said_also_over_a_restart() {
    for restarts in [&[][..], &[300, 301]] {
        let events = vec![(30, Event::Fail(1, "a")), (200, Event::Next(SlackMode::Hang))];
        let app = play(TestApp::bot().await, events, restarts, 400).await;
        assert_eq!(timeline(&app), ["5:00 post 1 alert in 1 task", "5:01 post 1 alert in 1 task"]);
        let again = app
            .slack
            .requests()
            .iter()
            .map(|request| request.body.to_string().contains("sent again"))
            .collect::<Vec<_>>();
        assert_eq!(again, [false, true], "{restarts:?}");
        app.stop().await;
    }
}

//! Recorded traces: how many messages come, how soon the first one, how soon the all-clear; beside what the
//! reference's rule would send, which starts anew at the first quiet tick and never says that it is over.

use flowlord_domain::duration::print_go_duration;

use super::{Event, play, timeline};
use crate::support::{TestApp, Way, noon};

/// No cron, so that nothing but the trace raises alerts.
const NOTHING: &str = "[[phase]]\ntask = \"none\"\nrule = \"files=/nowhere/*\"\n";

/// Seconds after noon at which a task fails for good.
struct Trace {
    name: &'static str,
    alerts: Vec<i64>,
    flapping: bool,
}

/// Every so many seconds within each of the stretches, in minutes.
fn failing(every: i64, stretches: &[(i64, i64)]) -> Vec<i64> {
    let within = |(from, to): &(i64, i64)| (from * 60 + 30..to * 60).step_by(usize::try_from(every).unwrap());
    stretches.iter().flat_map(within).collect()
}

/// On for so many minutes, then off for so many, again and again.
fn flapping(on: i64, off: i64, times: i64, every: i64) -> Vec<i64> {
    let stretches: Vec<_> = (0..times).map(|nth| (nth * (on + off), nth * (on + off) + on)).collect();
    failing(every, &stretches)
}

fn traces() -> Vec<Trace> {
    let trace = |name, alerts| Trace { name, alerts, flapping: false };
    let flaps = |name, alerts| Trace { name, alerts, flapping: true };
    let mut storm = vec![10; 30];
    storm.extend(failing(60, &[(1, 40)]));
    vec![
        trace("one failure", vec![30]),
        trace("a trickle of 20 minutes", failing(60, &[(0, 20)])),
        trace("a storm that ebbs away", storm),
        flaps("5 minutes on, 10 off, 10 times", flapping(5, 10, 10, 150)),
        flaps("20 minutes on, 20 off, 6 times", flapping(20, 20, 6, 300)),
        flaps("2 hours on, 2 off, 4 times", flapping(120, 120, 4, 300)),
    ]
}

/// What came of a trace.
struct Told {
    /// By a webhook, all of them.
    messages: usize,
    /// As a bot: in the channel, changed there, and in the thread.
    bot: (usize, usize, usize),
    /// Seconds from the first alert to the first message.
    first: i64,
    /// Seconds from the last alert to the last message, which is the all-clear.
    clear: i64,
}

async fn told(trace: &Trace, restarts: &[i64]) -> Told {
    let last = *trace.alerts.last().unwrap();
    let end = last + 6 * 3_600;
    let mut events: Vec<(i64, Event)> = Vec::new();
    for at in &trace.alerts {
        match events.last_mut() {
            Some((known, Event::Fail(count, _))) if known == at => *count += 1,
            _ => events.push((*at, Event::Fail(1, "a"))),
        }
    }
    let app = play(TestApp::of(NOTHING, Way::Webhook).await, events.clone(), restarts, end).await;
    let times: Vec<i64> =
        app.slack.requests().iter().map(|request| (request.at.unwrap() - noon()).num_seconds()).collect();
    assert!(timeline(&app).last().unwrap().contains("all clear"), "{}: {:?}", trace.name, timeline(&app));
    app.stop().await;
    let app = play(TestApp::of(NOTHING, Way::Bot).await, events, restarts, end).await;
    let lines = timeline(&app);
    let count = |method: &str| lines.iter().filter(|line| line.split(' ').nth(1) == Some(method)).count();
    let bot = (count("post"), count("edit"), count("reply"));
    app.stop().await;
    let (first, clear) = (times[0] - trace.alerts[0], times.last().unwrap() - last);
    Told { messages: times.len(), bot, first, clear }
}

/// The reference's rule: new alerts are told and the wait doubles, a quiet tick sets it back. How many messages,
/// and seconds to the first one.
fn reference(alerts: &[i64]) -> (usize, i64) {
    const SHORTEST: i64 = 5 * 60;
    let (mut now, mut wait, mut known, mut messages, mut first) = (SHORTEST, SHORTEST, 0, 0, None);
    while known < alerts.len() {
        let raised = alerts.iter().filter(|at| **at <= now).count();
        if raised > known {
            (messages, known) = (messages + 1, raised);
            first.get_or_insert(now - alerts[0]);
            wait = (wait * 2).min(16 * SHORTEST);
        } else {
            wait = SHORTEST;
        }
        now += wait;
    }
    (messages, first.unwrap())
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn line(trace: &Trace, told: &Told) -> String {
    let after = |seconds| print_go_duration(chrono::TimeDelta::seconds(seconds));
    let (posts, edits, replies) = told.bot;
    format!(
        "{}: {}, first after {}, all clear after {}; as a bot {}, {}, {replies} in its thread; the reference {}",
        trace.name,
        plural(told.messages, "message"),
        after(told.first),
        after(told.clear),
        plural(posts, "message"),
        plural(edits, "edit"),
        plural(reference(&trace.alerts).0, "message"),
    )
}

const EXPECTED: [&str; 6] = [
    "one failure: 2 messages, first after 4m30s, all clear after 19m30s; as a bot 1 message, 2 edits, 1 in its thread; the reference 1 message",
    "a trickle of 20 minutes: 4 messages, first after 4m30s, all clear after 1h30m30s; as a bot 1 message, 6 edits, 3 in its thread; the reference 3 messages",
    "a storm that ebbs away: 5 messages, first after 4m50s, all clear after 3h10m30s; as a bot 1 message, 8 edits, 4 in its thread; the reference 4 messages",
    "5 minutes on, 10 off, 10 times: 4 messages, first after 4m30s, all clear after 1h32m0s; as a bot 1 message, 20 edits, 3 in its thread; the reference 10 messages",
    "20 minutes on, 20 off, 6 times: 5 messages, first after 4m30s, all clear after 4h9m30s; as a bot 1 message, 10 edits, 4 in its thread; the reference 6 messages",
    "2 hours on, 2 off, 4 times: 15 messages, first after 4m30s, all clear after 3h54m30s; as a bot 1 message, 19 edits, 14 in its thread; the reference 20 messages",
];

#[actix::test]
async fn messages_and_waits_of_each_trace() {
    let mut lines = Vec::new();
    for trace in traces() {
        let told = told(&trace, &[]).await;
        let (messages, first) = reference(&trace.alerts);
        assert!(told.first <= first, "{}: never a later first message", trace.name);
        if trace.flapping {
            assert!(told.bot.0 < messages, "{}: fewer in the channel", trace.name);
            assert!(told.messages < messages, "{}: fewer to a webhook", trace.name);
        }
        lines.push(line(&trace, &told));
    }
    assert_eq!(lines, EXPECTED, "{lines:#?}");
}

#[actix::test]
async fn restarts_change_nothing_in_any_trace() {
    for (trace, expected) in traces().iter().zip(EXPECTED) {
        let last = *trace.alerts.last().unwrap();
        let restarts = [trace.alerts[0] + 5, 301, last / 2, last + 5, last + 1_000];
        assert_eq!(line(trace, &told(trace, &restarts).await), expected);
    }
}

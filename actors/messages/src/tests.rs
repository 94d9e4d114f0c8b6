//! What messages reckon themselves: totals, signatures, names.

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::{TaskResult, Uid};

use crate::LeaseToken;
use crate::backloads::{BackloadState, StoredBackload};
use crate::changelog::chain_hex;
use crate::cluster::{ClusterState, NodeRole};
use crate::leases::TopicFilter;
use crate::outbox::{SlackInteraction, slack_signature};
use crate::results::ResultClaim;
use crate::stats::{QueueBacklog, QueueLoad, ResultCounts};
use crate::tasks::{SortKey, TaskCursor, TaskFilter};

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}

fn load(topic: &str, job: &str, ready: u64, oldest: Option<i64>) -> QueueLoad {
    let (topic, job, oldest_ready) = (topic.to_owned(), job.to_owned(), oldest.map(at));
    QueueLoad { topic, job, ready, oldest_ready, delayed: 10 * ready, leased: 100 * ready }
}

#[test]
fn a_backlog_is_summed_by_topic_and_in_all() {
    let queues = vec![
        load("a", "", 1, Some(50)),
        load("a", "x", 2, Some(40)),
        load("a", "y", 0, None),
        load("b", "x", 3, None),
        load("c", "", 4, Some(60)),
    ];
    let backlog = QueueBacklog { queues, messages: 0 };
    let topics = backlog.by_topic();
    assert_eq!(topics, [load("a", "", 3, Some(40)), load("b", "", 3, None), load("c", "", 4, Some(60))]);
    assert_eq!(backlog.sum(), load("", "", 10, Some(40)));
    assert_eq!(QueueBacklog { queues: Vec::new(), messages: 0 }.sum(), QueueLoad::default());
}

#[test]
fn tasks_without_a_result_are_those_that_are_left() {
    let counts = ResultCounts { total: 20, complete: 1, error: 2, alert: 3, warn: 4 };
    assert_eq!(counts.without_result(), 10);
    let sum = counts.add_counts(&ResultCounts { total: 5, complete: 1, error: 1, alert: 1, warn: 1 });
    assert_eq!(sum, ResultCounts { total: 25, complete: 2, error: 3, alert: 4, warn: 5 });
    let odd = ResultCounts { total: 1, complete: 2, ..ResultCounts::default() };
    assert_eq!(odd.without_result(), 0, "never less than none");
}

#[test]
fn a_request_of_slack_is_signed_as_slack_documents_it() {
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
                &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
                &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554\
                %2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let signature = slack_signature("8f742231b10e8888abcd99yyyzzz85a5", "1531420618", body).unwrap();
    assert_eq!(signature, "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503");
    let other = slack_signature("8f742231b10e8888abcd99yyyzzz85a5", "1531420619", body).unwrap();
    assert_ne!(other, signature, "the time is signed, too");
}

#[test]
fn a_click_is_not_logged_with_what_it_holds() {
    let click = SlackInteraction {
        timestamp: "1".to_owned(),
        signature: "v0=s3cret".to_owned(),
        body: "token=s3cret".to_owned(),
    };
    assert!(!format!("{click:?}").contains("s3cret"));
}

#[test]
fn a_topic_that_a_worker_asks_for_is_written_with_its_job() {
    let filter = |job: Option<&str>| TopicFilter { topic: "load".to_owned(), job: job.map(str::to_owned) }.to_string();
    assert_eq!([filter(None), filter(Some("x")), filter(Some(""))], ["load", "load:x", "load:"]);
}

#[test]
fn a_lease_is_read_only_as_it_is_written() {
    let token = LeaseToken { uid: Uid(0x00ab_cdef), secret: 0xff };
    let text = token.to_string();
    assert_eq!(text.parse(), Ok(token));
    assert!(text.ends_with("-00000000000000ff"), "{text}");
    let (uid, secret) = text.split_once('-').unwrap();
    for wrong in [
        uid.to_owned(),
        format!("{uid}-"),
        format!("{uid}-ff"),
        format!("{uid}-{secret}0"),
        format!("{uid}-+{}", &secret[1..]),
        format!("{uid}-{}g", &secret[1..]),
        format!("x-{secret}"),
        format!("-{secret}"),
        String::new(),
    ] {
        assert!(wrong.parse::<LeaseToken>().is_err(), "{wrong}");
    }
}

#[test]
fn a_result_is_about_its_attempt_whoever_claims_it() {
    let lease = LeaseToken { uid: Uid(7), secret: 1 };
    for claim in [
        ResultClaim::Lease(lease),
        ResultClaim::TimedOut(lease),
        ResultClaim::Task(Uid(7)),
        ResultClaim::Person { uid: Uid(7), seen: Some(TaskResult::Error) },
    ] {
        assert_eq!(claim.uid(), Uid(7), "{claim:?}");
    }
}

#[test]
fn the_number_of_a_change_log_is_written_with_all_its_digits() {
    assert_eq!([chain_hex(0), chain_hex(255)], ["0000000000000000", "00000000000000ff"]);
    assert_eq!(chain_hex(u64::MAX), "ffffffffffffffff");
}

#[test]
fn a_follower_is_behind_by_what_it_may_lack_and_others_by_nothing() {
    let state = |role, through: Option<i64>, current_at: Option<i64>| ClusterState {
        role,
        through: through.map(at),
        current_at: current_at.map(at),
        ..ClusterState::default()
    };
    let lag = |through, current_at| state(NodeRole::Follower, through, current_at).lag_seconds(at(100));
    assert_eq!(lag(Some(90), None), Some(10.));
    assert_eq!(lag(Some(90), Some(97)), Some(3.), "it had read the end of the log");
    assert_eq!(lag(Some(99), Some(97)), Some(1.));
    assert_eq!(lag(Some(105), None), Some(0.), "the leader's clock is ahead");
    assert_eq!(lag(None, None), None);
    let exact = state(NodeRole::Follower, Some(90), None).lag_seconds(at(100) + TimeDelta::microseconds(1_499));
    assert_eq!(exact, Some(10.001));
    for role in [NodeRole::Leader, NodeRole::Single] {
        assert_eq!(state(role, Some(1), None).lag_seconds(at(100)), Some(0.));
    }
}

#[test]
fn failures_of_an_incident_are_looked_for_from_a_day_before_it() {
    let lines = ["load:x", "load:y", "sql", "load"].into_iter().collect();
    let filter = TaskFilter::given_up_in(at(200_000), &lines);
    assert_eq!((filter.from, filter.given_up), (Some(at(200_000 - 86_400)), true));
    assert_eq!(filter.topics, ["load", "sql"]);
    assert!(filter.jobs.is_empty() && filter.results.is_empty(), "a job's failure may have been raised without it");
}

#[test]
fn a_cursor_leads_on_from_where_a_list_ended() {
    let within = |key| TaskCursor::Within { oldest: Uid(1), newest: Uid(9), key, uid: Uid(5) };
    for cursor in [
        TaskCursor::After(Uid(77)),
        within(SortKey::None),
        within(SortKey::Number(-3)),
        within(SortKey::Number(i64::MAX)),
        within(SortKey::Text(String::new())),
        within(SortKey::Text("a.b/ü\n?".to_owned())),
    ] {
        let text = cursor.to_string();
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)), "{text}");
        assert_eq!(text.parse::<TaskCursor>().unwrap(), cursor, "{text}");
    }
}

#[test]
fn what_is_no_cursor_is_refused() {
    let [one, other] = [Uid(1), Uid(9)].map(|uid| uid.to_string());
    for wrong in [
        String::new(),
        "x".to_owned(),
        format!("{one}.{other}"),
        format!("{one}.{other}.{one}"),
        format!("{one}.{other}.{one}."),
        format!("{one}.{other}.{one}.x"),
        format!("{one}.{other}.{one}.i"),
        format!("{one}.{other}.{one}.i1.5"),
        format!("{one}.{other}.{one}.ta"),
        format!("{one}.{other}.{one}.tzz"),
        format!("{one}.{other}.{one}.tff"),
        format!("{one}.{other}.{one}.n.n"),
    ] {
        assert!(wrong.parse::<TaskCursor>().is_err(), "{wrong}");
    }
}

#[test]
fn a_backload_that_waits_for_nothing_ends_at_no_time() {
    let stored = |state, next, created, finished| StoredBackload {
        id: 1,
        requested: at(0),
        changed: at(0),
        state,
        order: String::new(),
        message: String::new(),
        digest: 0,
        total: 100,
        next,
        created,
        skipped: 0,
        failed: 0,
        finished,
        unsuccessful: 0,
        problem: String::new(),
    };
    let end = |stored: StoredBackload| stored.expected_end(at(3_600)).map(|end| (end - at(3_600)).num_seconds());
    assert_eq!(end(stored(BackloadState::Running, 100, 100, Some(50))), Some(3_600), "50 an hour, 50 are left");
    assert_eq!(end(stored(BackloadState::Done, 100, 100, Some(50))), Some(3_600), "its tasks go on");
    assert_eq!(end(stored(BackloadState::Running, 100, 100, Some(100))), None, "all ended");
    assert_eq!(end(stored(BackloadState::Running, 0, 0, Some(0))), None, "nothing ended");
    assert_eq!(end(stored(BackloadState::Cancelled, 50, 50, Some(10))), None);
}

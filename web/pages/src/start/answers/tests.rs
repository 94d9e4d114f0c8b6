//! The three answers of the overview, clause by clause.

use chrono::TimeDelta;
use flowlord_domain::AlertKind;
use flowlord_messages::stats::QueueLoad;
use flowlord_testkit::sample::noon;

use super::*;

fn incident(tasks: &[&str], alerts: u64) -> OpenIncident {
    OpenIncident {
        route: "ops".to_owned(),
        opened: noon(),
        alerts,
        tasks: tasks.iter().map(|task| (*task).to_owned()).collect(),
        acknowledged_by: None,
    }
}

fn late_alert(uid: Option<Uid>) -> StoredAlert {
    StoredAlert {
        row: 1,
        kind: AlertKind::NotDone,
        at: noon(),
        uid,
        id: String::new(),
        topic: "load".to_owned(),
        job: "x y".to_owned(),
        workflow: String::new(),
        msg: "not complete by 12:00:00 UTC".to_owned(),
        is_msg_cut: false,
        task_time: None,
        at_once: false,
        route: String::new(),
        silence: None,
        owner: String::new(),
        runbook: String::new(),
    }
}

fn text(clause: &Clause) -> String {
    let since = clause.since.as_ref().map(|since| format!(" {}", since.text)).unwrap_or_default();
    format!("{}: {}{since}{}", clause.name, clause.text, clause.rest)
}

#[test]
fn an_incident_is_named_by_what_fails_and_by_its_route() {
    let today = noon().date_naive();
    for (tasks, alerts, says) in [
        (&[][..], 1, "route ops: 1 alert since 12:00:00, incident open on route ops"),
        (&["load:x"], 2, "load:x: 2 alerts since 12:00:00, incident open on route ops"),
        (&["load:x", "sql"], 0, "load:x and 1 more: 0 alerts since 12:00:00, incident open on route ops"),
        (&["a", "b", "c"], 1_200, "a and 2 more: 1,200 alerts since 12:00:00, incident open on route ops"),
    ] {
        assert_eq!(text(&Clause::of_incident(&incident(tasks, alerts), today)), says);
    }
}

#[test]
fn an_incident_of_another_day_says_its_day_and_who_acknowledged_it() {
    let tomorrow = (noon() + TimeDelta::days(1)).date_naive();
    let taken = OpenIncident { acknowledged_by: Some("ada".to_owned()), ..incident(&["load"], 3) };
    let clause = Clause::of_incident(&taken, tomorrow);
    let day = noon().format("%Y-%m-%d");
    assert_eq!(
        text(&clause),
        format!("load: 3 alerts since {day} 12:00, incident open on route ops, acknowledged by ada")
    );
    assert_eq!(clause.href, "/web/alert");
}

#[test]
fn what_is_late_leads_to_its_task_and_without_one_to_its_alerts() {
    let uid = Uid(77);
    let with_task = Clause::of_late_task(&late_alert(Some(uid)));
    assert_eq!(
        (with_task.href, text(&Clause::of_late_task(&late_alert(None)))),
        (format!("/web/task/{uid}"), "load:x y: not complete by 12:00:00 UTC".to_owned())
    );
    let without = Clause::of_late_task(&late_alert(None));
    let day = noon().format("%Y-%m-%d");
    assert_eq!(without.href, format!("/web/alert?date={day}&type=load&job=x+y"));
}

#[test]
fn a_stuck_queue_says_how_much_waits_and_since_when_nobody_asks() {
    let queue = |job: &str, ready| {
        let load = QueueLoad { topic: "sql".to_owned(), job: job.to_owned(), ready, ..QueueLoad::default() };
        StuckQueue { load, text: "no worker has asked for it".to_owned() }
    };
    let [one, many] = [queue("", 1), queue("x", 2_000)].map(|queue| text(&Clause::of_queue(&queue)));
    assert_eq!(one, "sql: 1 task ready, no worker has asked for it");
    assert_eq!(many, "sql:x: 2,000 tasks ready, no worker has asked for it");
}

#[test]
fn a_broken_file_says_its_line_and_leads_to_its_page() {
    let finding = Finding {
        file: "etl/a b.toml".to_owned(),
        line: 7,
        column: 1,
        severity: flowlord_domain::workflow::Severity::Error,
        message: "remove it".to_owned(),
    };
    let clause = Clause::of_broken_file(&finding);
    assert_eq!(text(&clause), "etl/a b.toml: line 7: remove it");
    assert_eq!(clause.href, "/web/workflow?file=etl/a+b.toml");
}

#[test]
fn an_answer_has_its_first_clauses_and_counts_the_others() {
    let answer = |count: usize| {
        let clauses = (0..count).map(|n| Clause::of_incident(&incident(&[&n.to_string()], 1), noon().date_naive()));
        let answer = Answer::new("broken", "error", clauses.collect());
        (answer.clauses.iter().map(|clause| clause.name.clone()).collect::<Vec<_>>().concat(), answer.more)
    };
    assert_eq!([answer(0), answer(3), answer(5)], [(String::new(), 0), ("012".to_owned(), 0), ("012".to_owned(), 2)]);
}

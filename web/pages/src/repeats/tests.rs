//! Which alerts are one line, and where it leads.

use flowlord_domain::AlertKind;
use flowlord_testkit::sample::noon;

use super::*;

fn alert(row: i64, kind: AlertKind, [topic, job, workflow]: [&str; 3]) -> StoredAlert {
    StoredAlert {
        row,
        kind,
        at: noon() + chrono::TimeDelta::seconds(row),
        uid: None,
        id: String::new(),
        topic: topic.to_owned(),
        job: job.to_owned(),
        workflow: workflow.to_owned(),
        msg: String::new(),
        is_msg_cut: false,
        task_time: None,
        at_once: false,
        route: String::new(),
        silence: None,
        owner: String::new(),
        runbook: String::new(),
    }
}

fn told(alerts: Vec<StoredAlert>) -> Vec<(i64, i64, usize)> {
    let lines = collapse_alerts(alerts).into_iter();
    lines.map(|line| (line.newest.row, (line.first_at - noon()).num_seconds(), line.count)).collect()
}

#[test]
fn alerts_of_a_phase_and_kind_are_one_line_at_the_place_of_the_newest() {
    let (a, b) = (["a", "", "w.toml"], ["b", "", "w.toml"]);
    let kind = AlertKind::NotDone;
    let newest_first = vec![alert(5, kind, a), alert(4, kind, b), alert(3, kind, a), alert(1, kind, a)];
    assert_eq!(told(newest_first), [(5, 1, 3), (4, 4, 1)]);
    assert!(told(Vec::new()).is_empty());
}

#[test]
fn alerts_that_differ_in_anything_that_a_line_says_stay_apart() {
    let kind = AlertKind::NotDone;
    let alerts = vec![
        alert(5, kind, ["a", "", ""]),
        alert(4, AlertKind::NotStarted, ["a", "", ""]),
        alert(3, kind, ["a", "x", ""]),
        alert(2, kind, ["a", "", "w.toml"]),
        alert(1, kind, ["b", "", ""]),
    ];
    assert_eq!(told(alerts), [(5, 5, 1), (4, 4, 1), (3, 3, 1), (2, 2, 1), (1, 1, 1)]);
}

#[test]
fn a_line_leads_to_the_alerts_that_it_stands_for() {
    let href = |names| RepeatedAlert::alone(alert(1, AlertKind::NotDone, names)).href();
    let page = format!("/web/alert?date={}&kind={}", noon().format("%Y-%m-%d"), AlertKind::NotDone.as_str());
    assert_eq!(href(["", "", ""]), page, "an alert about the service has no task");
    assert_eq!(href(["a", "", ""]), format!("{page}&type=a"));
    assert_eq!(href(["a", "x", "etl/w.toml"]), format!("{page}&type=a&job=x&workflow=etl/w.toml"));
}

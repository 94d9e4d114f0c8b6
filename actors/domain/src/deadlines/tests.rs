//! Deadlines of a small workflow: an extract by cron, a load behind it, two reports behind that.

use std::sync::Arc;

use chrono_tz::Tz;

use super::*;
use crate::expect::Figure;
use crate::task::{TaskLane, Uid};
use crate::workflow::WorkflowFile;

const TEXT: &str = r#"
[[phase]]
task = "extract:orders"
rule = "cron=0 * * * *&start_by=10m&done_by=30m&offset=-1h&max_run=20m"
template = "?h={hh}"
[[phase]]
task = "load"
dependsOn = "extract:orders"
rule = "done_by=1h"
template = "?h={hh}"
[[phase]]
task = "report"
dependsOn = "load"
rule = "done_by=1h"
template = "?h={hh}"
[[phase]]
task = "mail"
dependsOn = "report"
rule = "start_by=1h"
template = "?h={hh}"
"#;

fn workflows(text: &str) -> Workflows {
    Workflows::new([Arc::new(WorkflowFile::parse("w.toml", text, "", Tz::UTC).unwrap())])
}

fn at(time: &str) -> DateTime<Utc> {
    format!("2026-03-02T{time}:00Z").parse().unwrap()
}

/// An attempt of a chain; `started` and `ended` as times, empty for none.
fn attempt(task: &str, state: TaskState, (started, ended): (&str, &str), result: Option<TaskResult>) -> Attempt {
    let (topic, job) = task.split_once(':').unwrap_or((task, ""));
    let time = |text: &str| (!text.is_empty()).then(|| at(text));
    Attempt {
        uid: Uid::at(at("12:00")),
        topic: topic.to_owned(),
        job: job.to_owned(),
        id: "chain".to_owned(),
        info: String::new(),
        meta: String::new(),
        workflow: "w.toml".to_owned(),
        parent: None,
        retry: 0,
        lane: TaskLane::Live,
        state,
        delivery: u32::from(!started.is_empty()),
        not_before: None,
        worker: "w1".to_owned(),
        cancelled: false,
        lease_expires: None,
        times_out: None,
        waits_for_slot: false,
        progress: None,
        result,
        msg: String::new(),
        started: time(started),
        ended: time(ended),
        cut: crate::CutTexts::default(),
    }
}

fn ready(task: &str) -> Attempt {
    attempt(task, TaskState::Ready, ("", ""), None)
}

fn leased(task: &str, since: &str) -> Attempt {
    attempt(task, TaskState::Leased, (since, ""), None)
}

fn done(task: &str, (from, to): (&str, &str), result: TaskResult) -> Attempt {
    attempt(task, TaskState::Done, (from, to), Some(result))
}

/// What is told of the deadlines from `after` to `until` where the slot of 12:00 led to these chains: `line: words`,
/// and `-` for what another line tells.
fn told(after: &str, until: &str, chains: &[Vec<Attempt>]) -> Vec<String> {
    told_with(&[], after, until, chains)
}

/// The same with pauses.
fn told_with(pauses: &[PhasePause], after: &str, until: &str, chains: &[Vec<Attempt>]) -> Vec<String> {
    let workflows = workflows(TEXT);
    let judged: Vec<_> = passed_deadlines(&workflows, pauses, at(after), at(until))
        .into_iter()
        .filter(|due| due.from == at("12:00"))
        .map(|due| (due, chains.to_vec()))
        .collect();
    let words = |(_, alert): (String, Option<NewAlert>)| match alert {
        Some(alert) => format!("{} {}:{} {}", alert.kind.as_str(), alert.topic, alert.job, alert.msg),
        None => "-".to_owned(),
    };
    missed_deadlines(&judged, at(until)).into_iter().map(words).collect()
}

#[test]
fn an_alert_about_an_attempt_leads_to_it() {
    let workflows = workflows(TEXT);
    let alert_of = |chains: Vec<Vec<Attempt>>| {
        let due = passed_deadlines(&workflows, &[], at("12:09"), at("12:10")).remove(0);
        missed_deadlines(&[(due, chains)], at("12:10")).remove(0).1.unwrap()
    };
    let waiting = alert_of(vec![vec![ready("extract:orders")]]);
    assert_eq!((waiting.uid, waiting.id.as_str()), (Some(Uid::at(at("12:00"))), "chain"));
    assert_eq!(
        (waiting.topic.as_str(), waiting.job.as_str(), waiting.task_time),
        ("extract", "orders", Some(at("11:00")))
    );
    let missing = alert_of(Vec::new());
    assert_eq!((missing.uid, missing.id.as_str()), (None, ""), "there is none to lead to");
}

#[test]
fn deadlines_follow_from_the_schedule_of_what_starts_it() {
    let workflows = workflows(TEXT);
    let seen: Vec<_> = passed_deadlines(&workflows, &[], at("12:30"), at("13:10"))
        .iter()
        .map(|due| {
            format!("{:?} {} {} {}", due.what, due.phase.task_name(), due.from.format("%H:%M"), due.by.format("%H:%M"))
        })
        .collect();
    assert_eq!(
        seen,
        [
            "Started extract:orders 13:00 13:10",
            "Done load 12:00 13:00",
            "Done report 12:00 13:00",
            "Started mail 12:00 13:00",
        ]
    );
    assert_eq!(passed_deadlines(&workflows, &[], at("13:10"), at("13:10")).len(), 0, "each passes once");
    assert_eq!(passed_deadlines(&workflows, &[], at("13:10"), at("12:10")).len(), 0);
}

#[test]
fn many_slots_are_bounded() {
    let workflows = workflows("[[phase]]\ntask = \"a\"\nrule = \"cron=* * * * * *&start_by=1s\"\ntemplate = \"x\"\n");
    assert_eq!(passed_deadlines(&workflows, &[], at("12:00"), at("23:00")).len(), AT_ONCE);
}

#[test]
fn a_task_that_is_not_leased_in_time_is_told() {
    let early = "not leased by 2026-03-02 12:10:00 UTC (start_by=10m after the slot of 2026-03-02 12:00:00): ";
    for (chains, why) in [
        (vec![], Some("no task was created for it")),
        (vec![vec![ready("extract:orders")]], Some("it waits for a worker")),
        (vec![vec![leased("extract:orders", "12:09")], vec![ready("extract:orders")]], Some("it waits for a worker")),
        (vec![vec![leased("extract:orders", "12:11")]], Some("a worker has it")),
        (vec![vec![leased("extract:orders", "12:10")]], None),
        (vec![vec![Attempt { delivery: 2, ..leased("extract:orders", "12:20") }]], None),
        (vec![vec![done("extract:orders", ("", "12:05"), TaskResult::Complete)]], None),
        (vec![vec![Attempt { retry: 1, ..ready("extract:orders") }]], None),
    ] {
        let expected: Vec<_> = why.map(|why| format!("not_started extract:orders {early}{why}")).into_iter().collect();
        assert_eq!(told("12:05", "12:12", &chains), expected, "{chains:?}");
    }
}

#[test]
fn a_task_that_is_not_complete_in_time_is_told() {
    let failed = done("extract:orders", ("12:01", "12:05"), TaskResult::Error);
    let again = Attempt { uid: Uid(failed.uid.0 + 1), parent: Some(failed.uid), retry: 1, ..ready("extract:orders") };
    for (chain, why) in [
        (vec![leased("extract:orders", "12:01")], Some("a worker has it")),
        (vec![failed.clone()], Some("it failed")),
        (vec![failed.clone(), again.clone()], Some("it waits for a worker")),
        (
            vec![
                failed.clone(),
                Attempt {
                    state: TaskState::Done,
                    result: Some(TaskResult::Complete),
                    ended: Some(at("12:20")),
                    ..again
                },
            ],
            None,
        ),
        (vec![done("extract:orders", ("12:01", "12:30"), TaskResult::Warn)], None),
        (vec![done("extract:orders", ("12:01", "12:31"), TaskResult::Complete)], Some("it was late")),
        (vec![done("extract:orders", ("12:01", "12:02"), TaskResult::Alert)], Some("it ended with an alert")),
    ] {
        let told = told("12:15", "12:32", std::slice::from_ref(&chain));
        assert_eq!(told.len(), usize::from(why.is_some()), "{chain:?}: {told:?}");
        assert!(
            told.iter().all(|told| told.starts_with("not_done extract:orders") && told.ends_with(why.unwrap())),
            "{told:?}"
        );
    }
}

#[test]
fn what_waits_behind_a_failure_is_one_line_of_it() {
    let failed = vec![done("extract:orders", ("12:01", "12:05"), TaskResult::Error)];
    let expected = "not_done extract:orders load, report, mail can't be in time (by 2026-03-02 13:00:00 UTC): this \
                    comes first, and it failed";
    assert_eq!(told("12:59", "13:00", std::slice::from_ref(&failed)), [expected, "-", "-"]);
    assert_eq!(told("12:59", "13:00", &[])[0].split(' ').nth(1), Some("extract:orders"));
    // Seen together with the failure's own deadline, that one tells of it.
    let late = told("12:15", "13:00", &[failed]);
    assert_eq!(late.len(), 4);
    assert!(late[0].starts_with("not_done extract:orders not complete by") && late[1..] == ["-", "-", "-"], "{late:?}");
}

#[test]
fn what_is_missing_though_all_before_it_ended_is_told_itself() {
    let loaded = vec![
        done("extract:orders", ("12:01", "12:05"), TaskResult::Complete),
        done("load", ("12:06", "12:10"), TaskResult::Complete),
    ];
    let late = told("12:59", "13:00", std::slice::from_ref(&loaded));
    assert_eq!(late.len(), 2);
    assert!(late[0].starts_with("not_done report: not complete by"), "{late:?}");
    assert!(late[0].ends_with("no task was created for it") && late[1] == "-", "mail waits for it: {late:?}");
    let mut running = loaded;
    running.push(leased("report", "12:15"));
    let late = told("12:59", "13:00", &[running]);
    assert!(late[0].ends_with("a worker has it") && late[1] == "-", "{late:?}");
}

#[test]
fn each_deadline_has_a_key_of_its_own_and_an_alert_is_about_its_slot() {
    let workflows = workflows(TEXT);
    let judged: Vec<_> =
        passed_deadlines(&workflows, &[], at("11:59"), at("13:12")).into_iter().map(|due| (due, Vec::new())).collect();
    let breaches = missed_deadlines(&judged, at("13:12"));
    let keys: BTreeSet<_> = breaches.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys.len(), judged.len());
    assert!(keys.contains("start_by/w.toml/extract:orders/extract:orders/1772452800000000"), "{keys:?}");
    let alert = breaches.iter().find_map(|(_, alert)| alert.as_ref()).unwrap();
    assert_eq!((alert.task_time, alert.workflow.as_str()), (Some(at("11:00")), "w.toml"));
}

#[test]
fn a_task_at_work_for_too_long_is_told() {
    let workflows = workflows(TEXT);
    assert_eq!(shortest_max_run(&workflows, &LearnedValues::default()), Some(TimeDelta::minutes(20)));
    let task = leased("extract:orders", "12:00");
    assert_eq!(check_max_run(&workflows, &LearnedValues::default(), &task, at("12:20")), None);
    let (key, alert) = check_max_run(&workflows, &LearnedValues::default(), &task, at("12:21")).unwrap();
    assert!(key.starts_with("max_run/"), "{key}");
    assert_eq!((alert.kind, alert.topic.as_str()), (AlertKind::RunsLong, "extract"));
    assert_eq!(alert.msg, "running for more than 20m (max_run) since 2026-03-02 12:00:00 UTC on w1");
    assert_eq!(check_max_run(&workflows, &LearnedValues::default(), &leased("load", "12:00"), at("23:00")), None);
}

#[test]
fn a_limit_of_times_the_median_counts_once_enough_is_known() {
    let workflows = workflows("[[phase]]\ntask = \"a\"\nrule = \"cron=@daily&max_run=3x\"\n");
    let learned = |runs: usize| -> LearnedValues {
        let minute = Figure::new(60_000.0).unwrap();
        LearnedValues::max_run_keys(&workflows).into_iter().map(|key| (key, vec![minute; runs])).collect()
    };
    let task = leased("a", "12:00");
    assert_eq!(shortest_max_run(&workflows, &learned(2)), None);
    assert_eq!(check_max_run(&workflows, &learned(2), &task, at("23:00")), None);
    assert_eq!(shortest_max_run(&workflows, &learned(3)), Some(TimeDelta::minutes(3)));
    let (_, alert) = check_max_run(&workflows, &learned(3), &task, at("12:04")).unwrap();
    let says = "running for more than 3m (max_run=3x, times the median) since 2026-03-02 12:00:00 UTC on w1";
    assert_eq!((alert.kind, alert.msg.as_str()), (AlertKind::RunsLong, says));
}

fn pause(task: &str, since: &str, until: &str) -> PhasePause {
    let until = (!until.is_empty()).then(|| at(until));
    PhasePause { workflow: "w.toml".to_owned(), task: task.to_owned(), since: at(since), until }
}

fn created(task: Attempt, time: &str) -> Attempt {
    Attempt { uid: Uid::at(at(time)), ..task }
}

#[test]
fn a_slot_that_a_pause_left_out_is_no_breach_also_when_it_is_over() {
    for until in ["", "12:05", "23:00"] {
        let pauses = [pause("extract:orders", "11:50", until)];
        assert_eq!(told_with(&pauses, "12:05", "13:05", &[]), Vec::<String>::new(), "{until}");
    }
    for other in [
        pause("extract:orders", "12:01", ""),
        PhasePause { workflow: "v".to_owned(), ..pause("extract:orders", "11:50", "") },
    ] {
        let told = told_with(std::slice::from_ref(&other), "12:05", "12:12", &[]);
        assert_eq!(told.len(), 1, "{other:?}: {told:?}");
    }
}

#[test]
fn a_slot_that_starts_when_its_pause_is_over_counts_from_there() {
    let pauses = [pause("extract:orders", "11:50", "14:00")];
    let chains = [vec![created(ready("extract:orders"), "14:00")]];
    assert_eq!(told_with(&pauses, "12:05", "14:09", &chains), Vec::<String>::new());
    let expected = "not_started extract:orders not leased by 2026-03-02 14:10:00 UTC \
                    (start_by=10m after a pause that ended at 2026-03-02 14:00:00): it waits for a worker";
    assert_eq!(told_with(&pauses, "14:09", "14:10", &chains), [expected]);
    let begun = [vec![created(leased("extract:orders", "14:10"), "14:00")]];
    assert_eq!(told_with(&pauses, "14:09", "14:10", &begun), Vec::<String>::new());
}

#[test]
fn what_a_pause_holds_is_no_breach_and_counts_from_its_end() {
    let extract = done("extract:orders", ("12:01", "12:05"), TaskResult::Complete);
    let load = created(ready("load"), "12:05");
    let held = [vec![extract.clone(), load.clone()]];
    let still = [pause("load", "12:03", "")];
    assert_eq!(told_with(&still, "12:05", "13:00", &held), Vec::<String>::new(), "nor what waits for it");
    let over = [pause("load", "12:03", "13:30")];
    assert_eq!(told_with(&over, "12:50", "14:29", &held), Vec::<String>::new());
    let told = told_with(&over, "14:29", "14:30", &held);
    assert_eq!(told.len(), 3, "load itself, and two that wait for it: {told:?}");
    let expected = "not_done load: not complete by 2026-03-02 14:30:00 UTC (done_by=1h after a pause that ended at";
    assert!(told[0].starts_with(expected) && told[1..] == ["-", "-"], "{told:?}");
    // What was created before goes on, and so do its retries.
    let late = [pause("load", "12:06", "")];
    assert_eq!(told_with(&late, "12:50", "13:00", &held).len(), 3);
    let failed = Attempt { state: TaskState::Done, result: Some(TaskResult::Error), ..load };
    let again = Attempt { parent: Some(failed.uid), retry: 1, ..created(ready("load"), "12:07") };
    assert_eq!(told_with(&late, "12:50", "13:00", &[vec![extract, failed, again]]).len(), 3);
}

#[test]
fn what_is_not_reached_yet_is_no_breach_while_it_is_paused() {
    let chains = [vec![leased("extract:orders", "12:01")]];
    let paused = |task: &str, until: &str| [pause(task, "12:03", until)];
    let load = told_with(&paused("load", ""), "12:50", "13:00", &chains);
    assert_eq!(load, Vec::<String>::new(), "report and mail come behind it");
    let mail = told_with(&paused("mail", ""), "12:50", "13:00", &chains);
    assert!(mail.len() == 2 && mail[0].contains(" load, report can't be in time"), "{mail:?}");
    assert_eq!(told_with(&paused("load", "12:59"), "12:50", "13:00", &chains).len(), 3, "it was over by then");
    let over = told_with(&paused("load", "13:01"), "13:55", "14:01", &chains);
    assert!(over[0].contains("load, report, mail can't be in time (by 2026-03-02 14:01:00 UTC)"), "{over:?}");
}

#[test]
fn of_a_long_pause_the_latest_slots_are_judged() {
    let workflows =
        workflows("[[phase]]\ntask = \"a\"\nrule = \"cron=*/10 * * * * *&start_by=1s\"\ntemplate = \"x\"\n");
    let pauses = [pause("a", "03:00", "12:00")];
    let due = passed_deadlines(&workflows, &pauses, at("12:00"), at("12:01"));
    assert_eq!(due.len(), AT_ONCE + 6);
    assert_eq!(due[AT_ONCE - 1].from, at("12:00") - TimeDelta::seconds(10));
}

#[test]
fn the_longest_limit_is_that_of_a_beginning_or_an_end() {
    let longest = |rules: &[&str]| {
        let phase = |rule: &&str| format!("[[phase]]\ntask = \"a\"\nrule = \"cron=@daily{rule}\"\n");
        longest_limit(&workflows(&rules.iter().map(phase).collect::<String>()))
    };
    assert_eq!(longest(&["", "&max_run=9h"]), TimeDelta::zero());
    assert_eq!(longest(&["&start_by=1h&done_by=2h", "&start_by=3h"]), TimeDelta::hours(3));
    assert_eq!(longest(&["&start_by=1h", "&done_by=2h"]), TimeDelta::hours(2));
}

#[test]
fn a_pause_holds_from_its_beginning_and_no_longer_at_its_end() {
    for (since, until, breaches) in [("11:50", "12:00", 1), ("12:00", "12:01", 0), ("12:01", "12:02", 1)] {
        let pauses = [pause("extract:orders", since, until)];
        assert_eq!(told_with(&pauses, "12:05", "12:12", &[]).len(), breaches, "{since} to {until}");
    }
}

#[test]
fn slots_of_a_pause_are_judged_once_when_what_it_held_is_due() {
    let workflows = workflows("[[phase]]\ntask = \"a\"\nrule = \"cron=0 12 * * *&start_by=10m\"\n");
    let pauses = [pause("a", "11:50", "14:00")];
    let slots = |after: &str, until: &str| passed_deadlines(&workflows, &pauses, at(after), at(until)).len();
    assert_eq!(slots("14:00", "14:09"), 0);
    assert_eq!(slots("14:09", "14:10"), 1);
    assert_eq!(slots("14:10", "14:20"), 0);
}

#[test]
fn each_failure_has_a_line_for_what_waits_behind_it() {
    let chain = |first: &str, next: &str| {
        format!(
            "[[phase]]\ntask = \"{first}\"\nrule = \"cron=0 12 * * *\"\n\
             [[phase]]\ntask = \"{next}\"\ndependsOn = \"{first}\"\nrule = \"done_by=1h\"\n"
        )
    };
    let workflows = workflows(&(chain("a", "b") + &chain("c", "d")));
    let failed = |task: &str| vec![vec![done(task, ("12:01", "12:05"), TaskResult::Error)]];
    let judged: Vec<_> = passed_deadlines(&workflows, &[], at("12:59"), at("13:00"))
        .into_iter()
        .map(|due| (failed(if due.phase.task.topic == "b" { "a" } else { "c" }), due))
        .map(|(chains, due)| (due, chains))
        .collect();
    let told: Vec<_> = missed_deadlines(&judged, at("13:00")).into_iter().filter_map(|(_, alert)| alert).collect();
    let lines: Vec<_> = told.iter().map(|alert| (alert.topic.as_str(), alert.msg.split(' ').next().unwrap())).collect();
    assert_eq!(lines, [("a", "b"), ("c", "d")]);
}

/// A join of the hours of a day, and what follows it.
const JOINED: &str = r#"
[[phase]]
task = "extract"
rule = "cron=5 * * * *"
[[phase]]
task = "sum"
dependsOn = "extract"
rule = "over=day&done_by=1h&meta=of:a,b"
template = "{meta:of}"
owner = "data"
[[phase]]
task = "report"
dependsOn = "sum"
rule = "start_by=90m&done_by=2h"
[[phase]]
task = "mail"
dependsOn = "report"
rule = "done_by=2h"
"#;

fn hours_of_sunday(but: &[u32]) -> Vec<String> {
    (0..24).filter(|hour| !but.contains(hour)).map(|hour| format!("w.toml#extract@2026-03-01T{hour:02}")).collect()
}

/// What is told of the deadlines after Sunday's end where its join stands so.
fn told_of_join(pauses: &[PhasePause], (after, until): (&str, &str), standing: &JoinStanding) -> Vec<String> {
    let workflows = workflows(JOINED);
    let judged: Vec<_> = passed_deadlines(&workflows, pauses, at(after), at(until))
        .into_iter()
        .filter_map(|due| due.with_join(standing.clone()))
        .collect();
    let told = missed_deadlines(&judged, at(until)).into_iter();
    told.map(|(_, alert)| alert.map_or_else(|| "-".to_owned(), |alert| format!("{} {}", alert.topic, alert.msg)))
        .collect()
}

/// It started these attempts, of which each follows the one at its place; itself for none.
fn joined(attempts: Vec<(Attempt, usize)>) -> JoinStanding {
    let uid = |nth: usize| Uid(Uid::at(at("00:10")).0 + nth as i64);
    let number = |(nth, (attempt, parent)): (usize, (Attempt, usize))| {
        let parent = Some(uid(parent)).filter(|parent| *parent < uid(nth));
        Attempt { uid: uid(nth), parent, ..attempt }
    };
    let attempts = attempts.into_iter().enumerate().map(number).collect();
    JoinStanding { has_started: true, attempts, arrived: hours_of_sunday(&[]) }
}

#[test]
fn deadlines_of_a_join_and_of_what_follows_it_count_from_the_end_of_its_period() {
    let workflows = workflows(JOINED);
    let due = passed_deadlines(&workflows, &[], at("00:59"), at("02:00"));
    let seen: Vec<_> = due.iter().map(|due| format!("{:?} {} {}", due.what, due.phase.task, due.by)).collect();
    assert_eq!(
        seen,
        [
            "Done sum 2026-03-02 01:00:00 UTC",
            "Started report 2026-03-02 01:30:00 UTC",
            "Done report 2026-03-02 02:00:00 UTC",
            "Done mail 2026-03-02 02:00:00 UTC",
        ]
    );
    assert!(due.iter().all(|due| due.join_key().unwrap().task == "sum" && due.from == at("00:00")));
    let keys: BTreeSet<_> = due.iter().map(PassedDeadline::key_text).collect();
    assert!(keys.len() == 4 && keys.contains("done_by/w.toml/report/sum/1772409600000000"), "{keys:?}");
    assert!(workflows.files()[0].findings.is_empty(), "{:?}", workflows.files()[0].findings);
}

#[test]
fn what_waits_for_a_join_is_one_line_of_what_the_join_waits_for() {
    let waiting = JoinStanding { arrived: hours_of_sunday(&[7, 19]), ..JoinStanding::default() };
    let own = "sum not complete by 2026-03-02 01:00:00 UTC (done_by=1h after the end of 2026-03-01): it has 22 of 24: \
               waits for T07, T19";
    assert_eq!(told_of_join(&[], ("00:59", "01:00"), &waiting), [own]);
    let behind = "sum report, mail can't be in time (by 2026-03-02 02:00:00 UTC): this comes first, and it has 22 of \
                  24: waits for T07, T19";
    assert_eq!(told_of_join(&[], ("01:59", "02:00"), &waiting), [behind, "-"]);
    assert_eq!(told_of_join(&[], ("00:59", "02:00"), &waiting), [own, "-", "-", "-"]);
    let gone = JoinStanding { has_started: true, ..JoinStanding::default() };
    assert_eq!(told_of_join(&[], ("00:59", "02:00"), &gone), Vec::<String>::new(), "it has left the history");
    let workflows = workflows(JOINED);
    let [(due, chains)] = &passed_deadlines(&workflows, &[], at("00:59"), at("01:00"))
        .into_iter()
        .filter_map(|due| due.with_join(waiting.clone()))
        .collect::<Vec<_>>()[..]
    else {
        panic!("one deadline")
    };
    let late = due.find_late(chains, at("01:00")).unwrap();
    let alert = due.to_alert(&late, String::new(), at("01:00"));
    let sunday = "2026-03-01T00:00:00Z".parse().ok();
    assert_eq!((alert.task_time, alert.owner.as_str(), alert.kind), (sunday, "data", AlertKind::NotDone));
}

#[test]
fn each_task_of_a_join_has_a_chain_of_its_own() {
    let done = |task: &str, time: &str| done(task, (time, time), TaskResult::Complete);
    let both = |last: Attempt| {
        let sums = [(done("sum", "00:10"), 0), (done("sum", "00:11"), 1)];
        let first = [(done("report", "00:20"), 0), (done("mail", "00:30"), 2)];
        joined(sums.into_iter().chain(first).chain([(last, 1)]).collect())
    };
    let between = ("00:59", "02:00");
    let late = told_of_join(&[], between, &both(leased("report", "01:40")));
    let says = |text: &str, of: &str| late.iter().any(|line| line.starts_with(of) && line.ends_with(text));
    assert_eq!(late.len(), 3, "{late:?}");
    assert!(says("(start_by=1h30m after the end of 2026-03-01): a worker has it", "report not leased by"), "{late:?}");
    assert!(says("(done_by=2h after the end of 2026-03-01): a worker has it", "report not complete by"), "{late:?}");
    assert_eq!(late[2], "-", "mail waits for it");
    let mail = told_of_join(&[], between, &both(done("report", "01:20")));
    assert!(mail.len() == 1 && mail[0].starts_with("mail not complete by"), "{mail:?}");
    // Another task of the chain that completed the join is none of it.
    let other = joined(vec![
        (done("sum", "00:10"), 0),
        (done("report", "00:20"), 0),
        (done("mail", "00:21"), 1),
        (ready("mail"), 9),
    ]);
    assert_eq!(told_of_join(&[], between, &other), Vec::<String>::new());
}

#[test]
fn what_a_pause_of_a_join_holds_counts_from_its_end() {
    let waiting = JoinStanding { arrived: hours_of_sunday(&[7]), ..JoinStanding::default() };
    for task in ["sum", "report"] {
        let still = [pause(task, "00:30", "")];
        let lines = told_of_join(&still, ("00:59", "02:00"), &waiting);
        assert_eq!(lines.len(), usize::from(task == "report"), "{lines:?}");
    }
    let over = [pause("sum", "00:05", "03:00")];
    let held = joined(vec![(ready("sum"), 0)]);
    assert_eq!(told_of_join(&over, ("00:59", "03:59"), &held), Vec::<String>::new());
    let told = told_of_join(&over, ("03:59", "04:00"), &held);
    let since = "(done_by=1h after a pause that ended at 2026-03-02 03:00:00): it waits for a worker";
    assert!(told.len() == 1 && told[0].ends_with(since), "{told:?}");
}

#[test]
fn deadlines_follow_over_files() {
    let text = "[[phase]]\ntask = \"sent\"\ndependsOn = \"w.toml#report\"\nrule = \"done_by=3h\"\n\
                [[phase]]\ntask = \"filed\"\ndependsOn = \"sent\"\nrule = \"start_by=3h\"\n\
                [[phase]]\ntask = \"hourly\"\ndependsOn = \"w.toml#extract\"\nrule = \"start_by=20m\"\n";
    let file = |path: &str, text: &str| Arc::new(WorkflowFile::parse(path, text, "", Tz::UTC).unwrap());
    let workflows = Workflows::new([file("other.toml", text), file("w.toml", JOINED)]);
    assert!(workflows.files()[0].findings.is_empty(), "{:?}", workflows.files()[0].findings);
    let seen: Vec<_> = passed_deadlines(&workflows, &[], at("02:24"), at("03:00"))
        .iter()
        .map(|due| format!("{} of {} {}", due.phase.task, due.starter.task, due.by.format("%H:%M")))
        .collect();
    assert_eq!(seen, ["sent of sum 03:00", "filed of sum 03:00", "hourly of extract 02:25"]);
    let paused = [
        pause("report", "02:50", ""),
        PhasePause { workflow: "other.toml".to_owned(), ..pause("filed", "02:50", "") },
        PhasePause { workflow: "other.toml".to_owned(), ..pause("report", "00:00", "") },
    ];
    let standing = JoinStanding { arrived: hours_of_sunday(&[7]), ..JoinStanding::default() };
    let told = |pauses: &[PhasePause]| -> Vec<_> {
        let due = passed_deadlines(&workflows, pauses, at("02:59"), at("03:00")).into_iter();
        let judged: Vec<_> = due.filter_map(|due| due.with_join(standing.clone())).collect();
        missed_deadlines(&judged, at("03:00")).into_iter().filter_map(|(_, alert)| Some(alert?.msg)).collect()
    };
    let words = |names: &str| {
        format!(
            "{names} can't be in time (by 2026-03-02 03:00:00 UTC): this comes first, and it has 23 of 24: waits for T07"
        )
    };
    assert_eq!((told(&[]), told(&paused[2..])), (vec![words("sent, filed")], vec![words("sent, filed")]));
    assert_eq!((told(&paused[..1]), told(&paused[1..])), (vec![], vec![words("sent")]));
}

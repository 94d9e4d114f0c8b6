use std::sync::Arc;

use chrono::TimeDelta;
use chrono_tz::Tz;
use proptest::prelude::*;

use super::*;
use crate::ids::fixed::FixedIds;
use crate::task::{TaskLane, Uid};
use crate::workflow::WorkflowFile;

const FILE: &str = r#"
[[phase]]
task = "load:hourly"
rule = "cron=0 * * * *&retry_delay=exp:10s,max=1m"
retry = 2
[[phase]]
task = "report"
dependsOn = "load"
template = "{meta:file}?day={yyyy}-{mm}-{dd}&region={meta:region}"
rule = "meta=region:eu,us&require={meta:file}"
[[phase]]
task = "broken"
dependsOn = "load"
rule = "meta-file=rows.json"
[[phase]]
task = "archive"
dependsOn = "load:hourly"
template = "{meta:file}"
[[phase]]
task = "quiet"
rule = "cron=@daily&no_alert"
"#;

fn now() -> DateTime<Utc> {
    "2024-01-15T10:00:00Z".parse().unwrap()
}

fn workflows() -> Workflows {
    Workflows::new([Arc::new(WorkflowFile::parse("w.toml", FILE, "", Tz::UTC).unwrap())])
}

fn attempt(topic: &str, job: &str, meta: &str) -> Attempt {
    Attempt {
        uid: Uid(7),
        topic: topic.to_owned(),
        job: job.to_owned(),
        id: "chain".to_owned(),
        info: "?date=2024-01-14".to_owned(),
        meta: meta.to_owned(),
        workflow: "w.toml".to_owned(),
        parent: None,
        retry: 0,
        lane: TaskLane::Backload,
        state: TaskState::Leased,
        delivery: 1,
        not_before: None,
        worker: "w1".to_owned(),
        cancelled: false,
        lease_expires: None,
        times_out: None,
        waits_for_slot: false,
        progress: None,
        result: None,
        msg: String::new(),
        started: None,
        ended: None,
        cut: crate::CutTexts::default(),
    }
}

fn decision(task: &Attempt, result: TaskResult, meta: &str) -> TaskDecision {
    decide_result(&workflows(), task, &outcome(result, meta), now(), "host", &mut FixedIds::default())
}

fn outcome(result: TaskResult, meta: &str) -> WorkerOutcome {
    WorkerOutcome { result, msg: "why".to_owned(), meta: meta.to_owned(), started: None, ended: None }
}

#[test]
fn an_attempt_that_was_taken_from_its_worker_says_so_instead_of_that_it_failed() {
    let last = Attempt { retry: 2, ..attempt("load", "hourly", "workflow=w.toml") };
    let failed = decision(&last, TaskResult::Error, "");
    let kinds = |decision: &TaskDecision| decision.alerts.iter().map(|alert| alert.kind).collect::<Vec<_>>();
    assert_eq!(kinds(&failed), [AlertKind::Exhausted]);
    assert_eq!(kinds(&failed.clone().as_timed_out()), [AlertKind::TimedOut]);
    let other = TaskDecision { alerts: decision(&last, TaskResult::Alert, "").alerts, ..failed };
    let before = kinds(&other);
    assert!(!before.is_empty() && !before.contains(&AlertKind::Exhausted), "{before:?}");
    assert_eq!(kinds(&other.as_timed_out()), before, "what else it says stays");
}

#[test]
fn a_rerun_says_which_of_its_children_start() {
    let decided = |meta: &str| {
        let decided = decision(&attempt("load", "hourly", meta), TaskResult::Complete, "file=a");
        let metas: Vec<_> = decided.children.iter().map(|child| child.meta.clone()).collect();
        (decided.only_failed_children, metas)
    };
    assert_eq!(decided("rerun=alone"), (false, vec![]));
    let (only_failed, metas) = decided("rerun=failed");
    assert!(only_failed && !metas.is_empty() && metas.iter().all(|meta| meta.contains("rerun=failed")), "{metas:?}");
    let (only_failed, metas) = decided("rerun=manual");
    assert!(!only_failed && metas.iter().all(|meta| !meta.contains("rerun")), "{metas:?}");
}

#[test]
fn children_see_what_the_worker_said_and_one_that_fails_stops_no_other() {
    let task = attempt("load", "hourly", "workflow=w.toml&cron=2024-01-14T05");
    let decision = decision(&task, TaskResult::Complete, "file=s3://b/a b&c");
    let children: Vec<String> =
        decision.children.iter().map(|c| format!("{} {} {}", c.topic, c.info, c.meta)).collect();
    assert_eq!(
        children,
        [
            "archive s3://b/a b workflow=w.toml&cron=2024-01-14T05",
            "report s3://b/a b?day=2024-01-14&region=eu workflow=w.toml&cron=2024-01-14T05&region=eu",
            "report s3://b/a b?day=2024-01-14&region=us workflow=w.toml&cron=2024-01-14T05&region=us",
        ]
    );
    for child in &decision.children {
        assert_eq!((child.parent, child.id.as_str(), child.lane), (Some(Uid(7)), "chain", TaskLane::Backload));
    }
    let [alert] = decision.alerts.as_slice() else { panic!("{:?}", decision.alerts) };
    assert_eq!((alert.kind, alert.topic.as_str(), alert.uid), (AlertKind::CreateFailed, "broken", Some(Uid(7))));
    assert!(alert.msg.starts_with("broken was not created: meta-file `rows.json`"), "{}", alert.msg);
}

#[test]
fn rows_of_a_file_come_from_the_caller_and_none_means_no_child() {
    let task = attempt("load", "other", "");
    let outcome = outcome(TaskResult::Complete, "");
    let created = |lines: &'static str| {
        let files = move |_: &str| MetaRow::from_json_lines(lines).map_err(|e| e.to_string());
        decide_result_with(&workflows(), &task, &outcome, now(), "h", &mut FixedIds::default(), &files).children.len()
    };
    assert_eq!((created("{\"k\":1}\n{\"k\":2}"), created("")), (2, 0));
}

#[test]
fn a_key_comes_from_the_rows_or_from_the_parent_or_no_child_starts() {
    let text = "[[phase]]\ntask = \"copy\"\ndependsOn = \"load\"\nrule = \"meta-file=rows.csv\"\n\
                template = \"{meta:table}/{meta:shard}\"\n";
    let file = WorkflowFile::parse("w.toml", text, "", Tz::UTC).unwrap();
    let workflows = Workflows::new([Arc::new(file)]);
    let outcome = outcome(TaskResult::Complete, "");
    let decided = |meta: &str| {
        let task = attempt("load", "", meta);
        let files =
            |_: &str| MetaRow::from_json_lines("{\"table\":\"a\"}\n{\"table\":\"b\"}").map_err(|e| e.to_string());
        decide_result_with(&workflows, &task, &outcome, now(), "h", &mut FixedIds::default(), &files)
    };
    let infos: Vec<String> = decided("shard=7").children.into_iter().map(|task| task.info).collect();
    assert_eq!(infos, ["a/7", "b/7"]);
    let TaskDecision { children, alerts, .. } = decided("other=7");
    assert!(children.is_empty());
    assert_eq!((alerts.len(), alerts[0].kind, alerts[0].topic.as_str()), (1, AlertKind::CreateFailed, "copy"));
    let msg = "copy was not created: meta-file `rows.csv`: no row has `shard`, which the template names; the keys of \
               its rows are `table`";
    assert!(alerts[0].msg.starts_with(msg), "{}", alerts[0].msg);
}

#[test]
fn a_failed_task_is_tried_again_and_then_given_up() {
    let first = decision(&attempt("load", "hourly", "a=1"), TaskResult::Error, "b=2");
    let retry = first.retry.unwrap();
    assert_eq!((retry.retry, retry.info.as_str(), retry.parent), (1, "?date=2024-01-14", Some(Uid(7))));
    let wait = retry.not_before.unwrap() - now();
    assert!(wait >= TimeDelta::zero() && wait <= TimeDelta::seconds(10), "{wait}");
    assert!(retry.meta.starts_with("a=1&b=2&delayed=") && retry.meta.ends_with("&retry=1"), "{}", retry.meta);
    assert!(first.alerts.is_empty());

    let last = decision(&attempt("load", "hourly", "retry=2"), TaskResult::Error, "");
    assert_eq!((last.retry, last.meta.as_str()), (None, "retried=2&retry=failed"));
    assert_eq!(last.alerts[0].kind, AlertKind::Exhausted);
    let again = decision(&attempt("load", "hourly", "retry=failed&retried=2"), TaskResult::Error, "");
    assert_eq!((again.retry, again.meta.as_str()), (None, "retry=failed&retried=2"));
    assert!(decision(&attempt("quiet", "", ""), TaskResult::Error, "").alerts.is_empty());
}

#[test]
fn what_needs_a_person_is_told() {
    let unknown = decision(&attempt("nope", "", ""), TaskResult::Error, "");
    assert_eq!((unknown.alerts[0].kind, &unknown.retry), (AlertKind::UnknownPhase, &None));
    let told = decision(&attempt("quiet", "", "a=1"), TaskResult::Alert, "b=2");
    let text = told.alerts[0].at_once.clone().unwrap();
    assert_eq!(told.alerts[0].kind, AlertKind::Result);
    assert!(text.contains("\"meta\": \"a=1&b=2\"") && text.contains("\"result\": \"alert\""), "{text}");
    let warned = decision(&attempt("load", "hourly", ""), TaskResult::Warn, "");
    assert!(warned.alerts.is_empty() && warned.retry.is_none() && warned.children.is_empty());
}

#[test]
fn meta_files_are_those_of_the_children_that_start() {
    let files = |topic: &str, cancelled: bool, result: TaskResult, meta: &str| {
        let task = Attempt { cancelled, ..attempt(topic, "", "") };
        meta_files(&workflows(), &task, &outcome(result, meta))
    };
    let complete = TaskResult::Complete;
    assert_eq!(files("load", false, complete, ""), ["rows.json"]);
    assert_eq!(files("report", false, complete, ""), Vec::<String>::new());
    assert_eq!(files("load", true, complete, ""), Vec::<String>::new(), "nothing follows");
    assert_eq!(files("load", false, TaskResult::Error, ""), Vec::<String>::new());
    let text = "[[phase]]\ntask = \"copy\"\ndependsOn = \"load\"\nrule = \"meta-file=f.csv&require={meta:go}\"\n";
    let workflows = Workflows::new([Arc::new(WorkflowFile::parse("w.toml", text, "", Tz::UTC).unwrap())]);
    let task = attempt("load", "", "");
    assert_eq!(meta_files(&workflows, &task, &outcome(complete, "go=1")), ["f.csv"]);
    assert_eq!(meta_files(&workflows, &task, &outcome(complete, "go=")), Vec::<String>::new());
}

#[test]
fn nothing_follows_a_cancelled_task_but_what_its_worker_wants_told() {
    for (result, alerts) in
        [(TaskResult::Complete, 0), (TaskResult::Error, 0), (TaskResult::Warn, 0), (TaskResult::Alert, 1)]
    {
        for (topic, job) in [("load", "hourly"), ("nope", "")] {
            let task = Attempt { cancelled: true, ..attempt(topic, job, "") };
            let decision = decision(&task, result, "file=f");
            assert_eq!(
                (decision.children.len(), decision.retry.as_ref(), decision.given_up),
                (0, None, false),
                "{result}"
            );
            assert_eq!(decision.alerts.len(), alerts, "{result}");
            assert_eq!((decision.result, decision.msg.as_str()), (result, "why"));
        }
    }
}

#[test]
fn what_is_cancelled_after_the_decision_ends_as_if_it_had_been_before() {
    let mut given_up = 0;
    for result in TaskResult::ALL {
        for (topic, job) in [("load", "hourly"), ("quiet", ""), ("nope", "")] {
            for meta in ["", "retry=2&b=1&a=1", "retry=failed&b=1&a=1"] {
                let task = attempt(topic, job, meta);
                let before = decision(&Attempt { cancelled: true, ..task.clone() }, result, "z=1&file=f");
                let after = decision(&task, result, "z=1&file=f");
                given_up += usize::from(after.unmarked_meta.is_some());
                assert_eq!(after.as_cancelled(), before, "{result} {topic} {meta}");
            }
        }
    }
    assert!(given_up > 1, "no case has a mark to take back");
}

#[test]
fn a_child_belongs_to_the_workflow_of_its_phase() {
    let files = ["w.toml", "other.toml"].map(|path| {
        let text = "[[phase]]\ntask = \"report:x\"\ndependsOn = \"load\"\n";
        Arc::new(WorkflowFile::parse(path, text, "", Tz::UTC).unwrap())
    });
    let workflows = Workflows::new(files);
    for (own, meta, expected) in [
        ("w.toml", "", Some("w.toml")),
        ("other.toml", "workflow=w.toml", Some("other.toml")),
        ("", "workflow=other.toml", Some("other.toml")),
        ("", "", None),
        ("gone.toml", "workflow=w.toml", None),
    ] {
        let task = Attempt { workflow: own.to_owned(), ..attempt("load", "", meta) };
        let outcome = outcome(TaskResult::Complete, "");
        let decision = decide_result(&workflows, &task, &outcome, now(), "h", &mut FixedIds::default());
        let found: Vec<_> = decision.children.iter().map(|child| child.workflow.as_str()).collect();
        assert_eq!(found, Vec::from_iter(expected), "{own} {meta}");
        for child in &decision.children {
            assert_eq!((child.job.as_str(), child.retry, child.not_before), ("x", 0, None));
            assert_eq!(child.meta, format!("workflow={}&job=x", child.workflow));
        }
    }
}

#[test]
fn a_phase_without_a_retry_delay_tries_again_after_a_second() {
    let text = "[[phase]]\ntask = \"load:j\"\nrule = \"cron=@daily\"\nretry = 3\n";
    let workflows = Workflows::new([Arc::new(WorkflowFile::parse("w.toml", text, "", Tz::UTC).unwrap())]);
    let decided = |job: &str, retry: u32, meta: &str| {
        let task = Attempt { retry, ..attempt("load", job, meta) };
        let outcome = outcome(TaskResult::Error, "");
        decide_result(&workflows, &task, &outcome, now(), "h", &mut FixedIds::default())
    };
    // The job may stand in the meta alone; `delayed` of the time before doesn't stay.
    let retry = decided("", 1, "job=j&delayed=5s&a=1").retry.unwrap();
    assert_eq!(retry.not_before, Some(now() + TimeDelta::seconds(1)));
    assert_eq!((retry.retry, retry.meta.as_str()), (2, "a=1&job=j&retry=2"));
    assert_eq!((retry.lane, retry.id.as_str(), retry.workflow.as_str()), (TaskLane::Backload, "chain", "w.toml"));
    let next = |retry: u32, meta: &str| decided("j", retry, meta).retry.map(|retry| retry.retry);
    assert_eq!((next(2, ""), next(3, "")), (Some(3), None), "three retries, and no more");
    assert_eq!(next(3, "retry=1"), Some(2), "its meta counts before the row");
    let last = decided("j", 3, "");
    assert!(last.given_up && last.alerts[0].kind == AlertKind::Exhausted);
    assert!(!decided("j", 2, "").given_up);
}

#[test]
fn what_a_worker_wants_told_at_once_is_told_with_the_task_as_it_ended() {
    let started = now() - TimeDelta::minutes(5);
    let task = Attempt { started: Some(started), ..attempt("load", "hourly", "cron=2024-01-14T05") };
    let told = |outcome: WorkerOutcome| {
        let decision = decide_result(&workflows(), &task, &outcome, now(), "h", &mut FixedIds::default());
        let [alert] = decision.alerts.as_slice() else { panic!("{:?}", decision.alerts) };
        alert.clone()
    };
    let plain = told(outcome(TaskResult::Alert, "rows=5"));
    let doc = TaskDoc::parse(plain.at_once.as_deref().unwrap()).unwrap();
    let expected = TaskDoc {
        topic: "load".to_owned(),
        job: "hourly".to_owned(),
        info: "?date=2024-01-14".to_owned(),
        created: created_text(Uid(7)),
        id: "chain".to_owned(),
        meta: "cron=2024-01-14T05&rows=5".to_owned(),
        result: "alert".to_owned(),
        msg: "why".to_owned(),
        started: "2024-01-15T09:55:00Z".to_owned(),
        ended: "2024-01-15T10:00:00Z".to_owned(),
        attempt_uid: Uid(7).to_string(),
        not_before: String::new(),
    };
    assert_eq!(doc, expected);
    assert_eq!((plain.topic.as_str(), plain.job.as_str(), plain.workflow.as_str()), ("load", "hourly", "w.toml"));
    assert_eq!(plain.task_time, Some("2024-01-14T05:00:00Z".parse().unwrap()));
    // What the worker says of its times counts before what is known of them.
    let own = WorkerOutcome {
        started: Some(now() - TimeDelta::minutes(3)),
        ended: Some(now() - TimeDelta::minutes(2)),
        ..outcome(TaskResult::Alert, "")
    };
    let doc = TaskDoc::parse(told(own).at_once.as_deref().unwrap()).unwrap();
    assert_eq!((doc.started.as_str(), doc.ended.as_str()), ("2024-01-15T09:57:00Z", "2024-01-15T09:58:00Z"));
}

#[test]
fn what_follows_an_attempt_follows_it_to_another_id() {
    let complete = decision(&attempt("load", "hourly", ""), TaskResult::Complete, "file=f").with_uid(Uid(99));
    assert_eq!(complete.children.len(), 3);
    assert!(complete.children.iter().all(|child| child.parent == Some(Uid(99))));
    assert!(complete.alerts.iter().all(|alert| alert.uid == Some(Uid(99))));
    let failed = decision(&attempt("load", "hourly", ""), TaskResult::Error, "").with_uid(Uid(99));
    assert_eq!(failed.retry.unwrap().parent, Some(Uid(99)));
    let told = decision(&attempt("load", "hourly", ""), TaskResult::Alert, "");
    let moved = told.with_uid(Uid(99));
    let doc = |decision: &TaskDecision| TaskDoc::parse(decision.alerts[0].at_once.as_deref().unwrap()).unwrap();
    let expected = TaskDoc { attempt_uid: Uid(99).to_string(), created: created_text(Uid(99)), ..doc(&told) };
    assert_eq!(doc(&moved), expected);
}

#[test]
fn an_alert_names_the_job_and_workflow_that_only_the_meta_says() {
    let task =
        Attempt { workflow: String::new(), info: String::new(), ..attempt("stray", "", "job=j&workflow=w.toml") };
    let told = decision(&task, TaskResult::Error, "cron=2024-01-10T03&job=other");
    let [alert] = told.alerts.as_slice() else { panic!("{:?}", told.alerts) };
    assert_eq!((alert.kind, alert.topic.as_str(), alert.uid), (AlertKind::UnknownPhase, "stray", Some(Uid(7))));
    assert_eq!((alert.job.as_str(), alert.workflow.as_str()), ("other", "w.toml"), "the worker's word goes over it");
    assert_eq!((alert.at, alert.task_time), (now(), told.task_time));
    assert_eq!(told.task_time, Some("2024-01-10T03:00:00Z".parse().unwrap()));
    let own = decision(&attempt("stray", "x", "job=j&workflow=v.toml"), TaskResult::Error, "");
    assert_eq!((own.alerts[0].job.as_str(), own.alerts[0].workflow.as_str()), ("x", "w.toml"), "its own go first");
}

#[test]
fn what_isn_t_task_json_moves_to_another_id_as_it_is() {
    let mut told = decision(&attempt("load", "hourly", ""), TaskResult::Alert, "");
    told.alerts[0].at_once = Some("not JSON".to_owned());
    let moved = told.with_uid(Uid(99));
    assert_eq!((moved.alerts[0].at_once.as_deref(), moved.alerts[0].uid), (Some("not JSON"), Some(Uid(99))));
}

#[test]
fn a_decision_holds_what_the_worker_said() {
    let done = decision(&attempt("quiet", "", "a=1"), TaskResult::Warn, "b=2");
    assert_eq!((done.meta.as_str(), done.started, done.ended), ("a=1&b=2", None, now()));
    assert_eq!(done.task_time, Some("2024-01-14T00:00:00Z".parse().unwrap()));
    let (start, end) = (now() - TimeDelta::hours(2), now() - TimeDelta::hours(1));
    let outcome = WorkerOutcome { started: Some(start), ended: Some(end), ..outcome(TaskResult::Warn, "") };
    let task = attempt("quiet", "", "");
    let done = decide_result(&workflows(), &task, &outcome, now(), "h", &mut FixedIds::default());
    assert_eq!((done.started, done.ended), (Some(start), end));
}

proptest! {
    #[test]
    fn any_task_is_decided(
        topic in "load|report|quiet|x|", job in "hourly|", meta in "[a-z=&%;{}:0-9]{0,30}", result in 0..4_usize,
    ) {
        let decision = decision(&attempt(&topic, &job, &meta), TaskResult::ALL[result], &meta);
        let retries = usize::from(decision.retry.is_some());
        prop_assert!(retries == 0 || decision.result == TaskResult::Error && decision.alerts.is_empty());
        prop_assert!(decision.children.is_empty() || decision.result == TaskResult::Complete);
    }
}

use std::sync::Arc;

use chrono::TimeDelta;
use chrono_tz::Tz;
use proptest::prelude::*;

use super::*;
use crate::ids::fixed::FixedIds;
use crate::task::{Lane, Uid};
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
        lane: Lane::Backload,
        state: TaskState::Leased,
        delivery: 1,
        not_before: None,
        worker: "w1".to_owned(),
        cancelled: false,
        lease_expires: None,
        progress: None,
        result: None,
        msg: String::new(),
        started: None,
        ended: None,
        cut: crate::CutTexts::default(),
    }
}

fn decision(task: &Attempt, result: TaskResult, meta: &str) -> Decision {
    let outcome =
        Outcome { result, msg: "why".to_owned(), meta: meta.to_owned(), started: None, ended: None };
    decide(&workflows(), task, &outcome, now(), "host", &mut FixedIds::default())
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
        assert_eq!((child.parent, child.id.as_str(), child.lane), (Some(Uid(7)), "chain", Lane::Backload));
    }
    let [alert] = decision.alerts.as_slice() else { panic!("{:?}", decision.alerts) };
    assert_eq!(
        (alert.kind, alert.topic.as_str(), alert.uid),
        (AlertKind::CreateFailed, "broken", Some(Uid(7)))
    );
    assert!(alert.msg.starts_with("broken was not created: meta-file `rows.json`"), "{}", alert.msg);
}

#[test]
fn rows_of_a_file_come_from_the_caller_and_none_means_no_child() {
    let task = attempt("load", "other", "");
    let outcome = Outcome {
        result: TaskResult::Complete,
        msg: String::new(),
        meta: String::new(),
        started: None,
        ended: None,
    };
    let created = |lines: &'static str| {
        let files = move |_: &str| Row::from_json_lines(lines).map_err(|e| e.to_string());
        decide_with(&workflows(), &task, &outcome, now(), "h", &mut FixedIds::default(), &files)
            .children
            .len()
    };
    assert_eq!((created("{\"k\":1}\n{\"k\":2}"), created("")), (2, 0));
}

#[test]
fn a_key_comes_from_the_rows_or_from_the_parent_or_no_child_starts() {
    let text = "[[phase]]\ntask = \"copy\"\ndependsOn = \"load\"\nrule = \"meta-file=rows.csv\"\n\
                template = \"{meta:table}/{meta:shard}\"\n";
    let file = WorkflowFile::parse("w.toml", text, "", Tz::UTC).unwrap();
    let workflows = Workflows::new([Arc::new(file)]);
    let outcome = Outcome {
        result: TaskResult::Complete,
        msg: String::new(),
        meta: String::new(),
        started: None,
        ended: None,
    };
    let decided = |meta: &str| {
        let task = attempt("load", "", meta);
        let files =
            |_: &str| Row::from_json_lines("{\"table\":\"a\"}\n{\"table\":\"b\"}").map_err(|e| e.to_string());
        decide_with(&workflows, &task, &outcome, now(), "h", &mut FixedIds::default(), &files)
    };
    let infos: Vec<String> = decided("shard=7").children.into_iter().map(|task| task.info).collect();
    assert_eq!(infos, ["a/7", "b/7"]);
    let Decision { children, alerts, .. } = decided("other=7");
    assert!(children.is_empty());
    assert_eq!(
        (alerts.len(), alerts[0].kind, alerts[0].topic.as_str()),
        (1, AlertKind::CreateFailed, "copy")
    );
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

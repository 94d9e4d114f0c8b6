//! Task JSON, and what follows from a result.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use flowlord_domain::decide::{Decision, Outcome, decide_with};
use flowlord_domain::query::Query;
use flowlord_domain::rule::Rule;
use flowlord_domain::task_doc::TaskDoc;
use flowlord_domain::template::Row;
use flowlord_domain::workflow::{Phase, WorkflowFile, Workflows};
use flowlord_domain::{AlertKind, Attempt, Uid};
use flowlord_testkit::leased;
use serde_json::{Value, json};

use crate::case::{Case, TestIds, Verdict, at, go_time};
use crate::departures;

pub(crate) fn task_json(case: &Case<'_>) -> Verdict {
    match (TaskDoc::parse(case.input.as_str().expect("a text")), case.error) {
        (Err(_), Some(_)) => Verdict::Same,
        (Ok(doc), None) => Verdict::of(&case.expected.as_str(), &Some(doc.to_json().as_str())),
        (doc, _) => Verdict::Wrong(format!("{doc:?}")),
    }
}

/// The workflow files of a setup.
pub(crate) fn workflows(setup: &Value) -> Workflows {
    let files = setup["files"].as_object().expect("files");
    let parse = |(path, text): (&String, &Value)| {
        let text = text.as_str().expect("a text");
        Arc::new(WorkflowFile::parse(path, text, "", Tz::UTC).unwrap_or_else(|e| panic!("{path}: {e:?}")))
    };
    Workflows::new(files.iter().map(parse))
}

/// The rows of the files that cases name by masks.
pub(crate) fn rows(path: &str) -> Result<Vec<Row>, String> {
    let row = |value: &str| Row::from_json(&json!({ "k": value })).expect("a row");
    match path {
        "<EMPTY>" => Ok(Vec::new()),
        path if path.contains('<') => Ok(vec![row("x"), row("y")]),
        _ => Err("no such file".to_owned()),
    }
}

const NOW: &str = "2024-01-15T10:00:00Z";

pub(crate) fn process(case: &Case<'_>) -> Verdict {
    let doc: TaskDoc = serde_json::from_value(case.input["task"].clone()).expect("a task");
    let Ok(Some(result)) = doc.parsed_result() else {
        // Such a result doesn't get here: the request is refused.
        return Verdict::holds(case.error.is_some(), "no result");
    };
    let workflows = workflows(case.setup);
    let outcome = Outcome {
        result,
        msg: doc.msg.clone(),
        meta: String::new(),
        started: Some(at(&doc.started)),
        ended: Some(at(&doc.ended)),
    };
    let attempt = attempt(&doc);
    let mut ids = TestIds::default();
    let decision = decide_with(&workflows, &attempt, &outcome, at(NOW), "host", &mut ids, &rows);
    if seen(&decision, case) == wanted(case) {
        return Verdict::Same;
    }
    departures(case, &workflows, &attempt, &decision)
}

fn attempt(doc: &TaskDoc) -> Attempt {
    let created: DateTime<Utc> = at(if doc.created == "NOW" { NOW } else { &doc.created });
    Attempt {
        job: doc.job.clone(),
        id: doc.id.clone(),
        info: doc.info.clone(),
        meta: doc.meta.clone(),
        ..leased(Uid::at(created), &doc.topic)
    }
}

/// New tasks, alerts of the table, posts at once, the task's own record.
fn wanted(case: &Case<'_>) -> Value {
    let list = |name: &str| case.expected[name].as_array().cloned().unwrap_or_default();
    let new = |sent: &Value| sent["created_is_new"] == true;
    let sent: Vec<Value> = list("sent").iter().filter(|sent| new(sent)).map(short).collect();
    let alert = |a: &Value| json!([a["type"], a["job"], a["msg"], a["task_time"]]);
    let alerts: Vec<Value> = list("alerts_stored").iter().map(alert).collect();
    let records = list("task_records");
    let own = records.iter().find(|record| record["result"] != "").map(|record| record["meta"].clone());
    let posts: Vec<Value> = list("slack_posts").iter().map(post).collect();
    json!({ "sent": sent, "alerts": alerts, "posts": posts, "own": own })
}

fn short(sent: &Value) -> Value {
    json!([sent["type"], sent["job"], sent["info"], sent["meta"], sent["same_id"]])
}

/// The text of a post, without what each attempt has on its own.
fn post(post: &Value) -> Value {
    let text = post["attachments"][0]["text"].as_str().unwrap_or_default();
    strip(serde_json::from_str(text).expect("JSON"))
}

fn strip(mut doc: Value) -> Value {
    let map = doc.as_object_mut().expect("an object");
    map.remove("created");
    map.remove("uid");
    doc
}

fn seen(decision: &Decision, case: &Case<'_>) -> Value {
    let expected = case.expected.to_string();
    let mask = |meta: &str| {
        let mut query = Query::lenient(meta);
        if expected.contains("delayed=<DUR>") && query.first("delayed").is_some() {
            query.set("delayed", "<DUR>");
            return query.encode();
        }
        meta.to_owned()
    };
    let id = case.input["task"]["id"].as_str().unwrap_or_default();
    let created = decision.children.iter().chain(&decision.retry);
    let sent: Vec<Value> = created
        .map(|task| json!([task.topic, task.job, task.info, mask(&task.meta), task.id == id]))
        .collect();
    let stored = decision.alerts.iter().filter(|alert| alert.at_once.is_none());
    let alerts: Vec<Value> =
        stored.map(|alert| json!([alert.topic, alert.job, alert.msg, go_time(alert.task_time)])).collect();
    let posts = decision.alerts.iter().filter_map(|alert| alert.at_once.as_deref());
    let posts: Vec<Value> = posts.map(|text| strip(serde_json::from_str(text).expect("JSON"))).collect();
    // A record without an id isn't kept by the reference, one of this very second is overwritten.
    let kept =
        case.expected["task_records"].as_array().is_some_and(|all| all.iter().any(|r| r["result"] != ""));
    let own = kept.then(|| mask(&decision.meta));
    json!({ "sent": sent, "alerts": alerts, "posts": posts, "own": own })
}

/// The rules, each with what we do instead.
fn departures(case: &Case<'_>, workflows: &Workflows, task: &Attempt, decision: &Decision) -> Verdict {
    let meta = Query::lenient(&task.meta);
    let workflow = meta.first("workflow").unwrap_or_default();
    let job = if task.job.is_empty() { meta.first("job").unwrap_or_default() } else { &task.job };
    match task_result(case) {
        "error" => {
            let phase = workflows.phase_for(workflow, &task.topic, job);
            let by_path = workflows.phase_for("", &task.topic, job);
            let kinds: Vec<AlertKind> = decision.alerts.iter().map(|alert| alert.kind).collect();
            match phase {
                None => Verdict::departs(departures::UNKNOWN_PHASE, &vec![AlertKind::UnknownPhase], &kinds),
                Some(phase) => failed(case, phase, phase != by_path.expect("a phase"), decision),
            }
        }
        "complete" => completed(case, workflows, workflow, task, job, decision),
        _ => Verdict::of(&wanted(case), &seen(decision, case)),
    }
}

fn task_result<'a>(case: &Case<'a>) -> &'a str {
    case.input["task"]["result"].as_str().unwrap_or_default()
}

fn failed(case: &Case<'_>, phase: &Phase, other_file: bool, decision: &Decision) -> Verdict {
    let own = Query::lenient(&decision.meta);
    let retries: Option<&str> = own.first("retried");
    if other_file {
        let wanted = decision.retry.is_some() || retries == Some(phase.retry.to_string().as_str());
        return Verdict::departs(departures::OWN_FILE, &true, &wanted);
    }
    if Query::lenient(case.input["task"]["meta"].as_str().unwrap_or_default()).first("retry")
        == Some("failed")
    {
        return Verdict::departs(departures::RETRY_FAILED, &None, &decision.retry);
    }
    if phase.rule.problems.iter().any(|problem| problem.key == "retry_delay") {
        let waits =
            decision.retry.as_ref().and_then(|retry| retry.not_before).map(|at| at - crate::case::at(NOW));
        return Verdict::departs(departures::RETRY_DELAY, &Some(chrono::TimeDelta::seconds(1)), &waits);
    }
    let quiet = decision.alerts.is_empty();
    if phase.rule.query.first_any_case("no_alert").is_some() {
        let value = phase.rule.query.first_any_case("no_alert").unwrap_or_default();
        return Verdict::departs(
            departures::NO_ALERT,
            &(!value.eq_ignore_ascii_case("false"), Some("failed")),
            &(quiet, own.first("retry")),
        );
    }
    let topic = case.text("failed_topic");
    if topic.is_empty() || topic == "-" || !case.text("producer_fails_on_topic").is_empty() {
        let got = (own.first("retry"), quiet);
        return Verdict::departs(departures::FAILED_TOPIC, &(Some("failed"), false), &got);
    }
    Verdict::of(&wanted(case), &seen(decision, case))
}

fn completed(
    case: &Case<'_>,
    workflows: &Workflows,
    workflow: &str,
    task: &Attempt,
    job: &str,
    decision: &Decision,
) -> Verdict {
    let meta = Query::lenient(&task.meta);
    let ready: Vec<&Phase> =
        workflows.children(workflow, &task.topic, job).filter(|phase| phase.rule.is_ready(&meta)).collect();
    let own = workflows.phase_for(workflow, &task.topic, job);
    let count: usize = ready.iter().map(|phase| row_count(&phase.rule)).sum();
    let created = decision.children.len();
    let problem =
        |wanted: usize| (wanted, ready.len() - ready.iter().filter(|p| row_count(&p.rule) > 0).count());
    let got = (created, problem(created).1);
    if ready.iter().any(|phase| phase.rule.has_rows()) {
        let distinct: std::collections::BTreeSet<_> =
            decision.children.iter().map(|c| (&c.topic, &c.info)).collect();
        let wanted = (problem(count), count);
        return Verdict::departs(departures::CHILD_ROWS, &wanted, &(got, distinct.len()));
    }
    if own.is_some_and(|phase| phase.cyclic) {
        return Verdict::departs(departures::CIRCLE, &ready.len(), &created);
    }
    let repeated = meta.pairs().any(|(key, _)| meta.all(key).count() > 1);
    if repeated || !case.text("producer_fails_on_topic").is_empty() {
        let rule = if repeated { departures::FIRST_VALUE } else { departures::SIBLINGS };
        return Verdict::departs(rule, &ready.len(), &created);
    }
    if ready.iter().any(|phase| phase.rule.query.pairs().any(|(key, _)| key != key.to_lowercase())) {
        let topics = |names: Vec<&str>| names.join(",");
        let wanted = topics(ready.iter().map(|phase| phase.task.topic.as_str()).collect());
        return Verdict::departs(
            departures::REDIRECT,
            &wanted,
            &topics(decision.children.iter().map(|c| c.topic.as_str()).collect()),
        );
    }
    let reads_back = |child: &flowlord_domain::NewTask| {
        Query::parse(&child.meta).is_ok_and(|meta| meta.first("job").unwrap_or_default() == child.job)
    };
    if decision.children.iter().any(|child| child.job.contains(['&', '+', '%', ';'])) {
        let all = decision.children.iter().all(reads_back) && created == ready.len();
        return Verdict::departs(departures::ENCODED, &true, &all);
    }
    Verdict::of(&wanted(case), &seen(decision, case))
}

fn row_count(rule: &Rule) -> usize {
    let file = rule.meta_file.as_deref().map(|path| rows(path).map_or(0, |rows| rows.len()));
    let list = rule.meta.values().next().map(Vec::len);
    if rule.has_rows() { file.unwrap_or(0) + list.unwrap_or(0) } else { 1 }
}

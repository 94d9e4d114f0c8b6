//! Task JSON, and what follows from a result.

use std::sync::Arc;

use chrono::{DateTime, Datelike as _};
use chrono_tz::Tz;
use flowlord_domain::decide::{TaskDecision, WorkerOutcome, decide_result_with};
use flowlord_domain::query::Query;
use flowlord_domain::schedule::phase_rows;
use flowlord_domain::task_doc::TaskDoc;
use flowlord_domain::template::{MetaRow, expand_meta, render_template_utc};
use flowlord_domain::workflow::{Phase, WorkflowFile, Workflows};
use flowlord_domain::{AlertKind, Attempt, TaskResult, Uid};
use flowlord_testkit::leased;
use serde_json::{Value, json};

use crate::case::{Case, TestIds, Verdict, at, go_time, list};
use crate::departures::{self, Departure};
use crate::masks::is_like;
use crate::meta_files::rows;
use crate::spelling;

pub(crate) fn task_json(case: &Case<'_>) -> Verdict {
    match (TaskDoc::parse(case.input.as_str().expect("a text")), case.error) {
        (Err(_), Some(_)) => Verdict::Same,
        (Ok(doc), None) => Verdict::of(&case.expected.as_str(), &Some(doc.to_json().as_str())),
        (doc, _) => Verdict::Wrong(format!("{doc:?}")),
    }
}

/// The workflow files of a setup.
pub(crate) fn workflows(setup: &Value) -> Workflows {
    parse_files(setup, |_, text| text.to_owned())
}

/// The same as the reference would have to find them to read them like we do.
pub(crate) fn plain_workflows(setup: &Value) -> Workflows {
    let all = workflows(setup);
    parse_files(setup, |path, text| {
        spelling::plain_file(text, all.file_at(path).into_iter().flat_map(|file| &file.phases))
    })
}

fn parse_files(setup: &Value, text_of: impl Fn(&str, &str) -> String) -> Workflows {
    let parse = |(path, text): (&String, &Value)| {
        let text = text_of(path, text.as_str().expect("a text"));
        Arc::new(WorkflowFile::parse(path, &text, "", Tz::UTC).unwrap_or_else(|e| panic!("{path}: {e:?}")))
    };
    Workflows::new(setup["files"].as_object().into_iter().flatten().map(parse))
}

const NOW: &str = "2024-01-15T10:00:00Z";

pub(crate) fn process(case: &Case<'_>) -> Verdict {
    let doc: TaskDoc = serde_json::from_value(case.input["task"].clone()).expect("a task");
    let Ok(Some(result)) = doc.parsed_result() else {
        // Such a result doesn't get here: the request is refused.
        return Verdict::holds(case.error.is_some(), "no result");
    };
    let time = |text: &str| DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc());
    let outcome = WorkerOutcome {
        result,
        msg: doc.msg.clone(),
        meta: String::new(),
        started: time(&doc.started),
        ended: time(&doc.ended),
    };
    let done = Done { case, task: attempt(&doc), workflows: workflows(case.setup), outcome };
    let decision = done.decide(&done.workflows);
    if is_like(&wanted(case), &seen(&decision, case)) {
        return Verdict::Same;
    }
    done.departs(&decision).unwrap_or_else(|| Verdict::like(&wanted(case), &seen(&decision, case)))
}

fn attempt(doc: &TaskDoc) -> Attempt {
    let created = DateTime::parse_from_rfc3339(&doc.created).map_or_else(|_| at(NOW), |at| at.to_utc());
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
    let all = |name: &str| list(&case.expected[name]);
    let sent: Vec<Value> = all("sent").iter().filter(|sent| sent["created_is_new"] == true).map(short).collect();
    let alert = |a: &Value| json!([a["type"], a["job"], a["msg"], a["task_time"]]);
    let alerts: Vec<Value> = all("alerts_stored").iter().map(alert).collect();
    let records = all("task_records");
    let own = records.iter().find(|record| record["result"] != "").map(|record| record["meta"].clone());
    let posts: Vec<Value> = all("slack_posts").iter().map(post).collect();
    json!({ "sent": sent, "alerts": alerts, "posts": posts, "own": own })
}

fn short(sent: &Value) -> Value {
    let job = sent["job"].as_str().unwrap_or_default();
    json!([sent["type"], job, sent["info"], sent["meta"], sent["same_id"]])
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

fn seen(decision: &TaskDecision, case: &Case<'_>) -> Value {
    let id = case.input["task"]["id"].as_str().unwrap_or_default();
    let created = decision.children.iter().chain(&decision.retry);
    let sent: Vec<Value> =
        created.map(|task| json!([task.topic, task.job, task.info, task.meta, task.id == id])).collect();
    let stored = decision.alerts.iter().filter(|alert| alert.at_once.is_none());
    let alerts: Vec<Value> =
        stored.map(|alert| json!([alert.topic, alert.job, alert.msg, go_time(alert.task_time)])).collect();
    let posts = decision.alerts.iter().filter_map(|alert| alert.at_once.as_deref());
    let posts: Vec<Value> = posts.map(|text| strip(serde_json::from_str(text).expect("JSON"))).collect();
    // A record without an id isn't kept by the reference, one of this very second is overwritten.
    let kept = list(&case.expected["task_records"]).iter().any(|record| record["result"] != "");
    json!({ "sent": sent, "alerts": alerts, "posts": posts, "own": kept.then_some(&decision.meta) })
}

/// A done task, and what its case is about.
struct Done<'a> {
    case: &'a Case<'a>,
    task: Attempt,
    workflows: Workflows,
    outcome: WorkerOutcome,
}

impl Done<'_> {
    fn decide(&self, workflows: &Workflows) -> TaskDecision {
        let mut ids = TestIds::default();
        let files = |path: &str| rows(self.case.setup, path);
        decide_result_with(workflows, &self.task, &self.outcome, at(NOW), "host", &mut ids, &files)
    }

    fn meta(&self) -> Query {
        Query::parse_lenient(&self.task.meta)
    }

    fn workflow(&self) -> String {
        self.meta().first_value("workflow").unwrap_or_default().to_owned()
    }

    fn job(&self) -> String {
        match self.task.job.as_str() {
            "" => self.meta().first_value("job").unwrap_or_default().to_owned(),
            job => job.to_owned(),
        }
    }

    /// By which rule we do otherwise, and whether we do as it says.
    fn departs(&self, decision: &TaskDecision) -> Option<Verdict> {
        match self.outcome.result {
            TaskResult::Error => self.failed(decision),
            TaskResult::Complete => self.completed(decision),
            _ => None,
        }
    }

    fn failed(&self, decision: &TaskDecision) -> Option<Verdict> {
        let kinds: Vec<AlertKind> = decision.alerts.iter().map(|alert| alert.kind).collect();
        let Some(phase) = self.workflows.phase_for(&self.workflow(), &self.task.topic, &self.job()) else {
            return Some(Verdict::departs(departures::UNKNOWN_PHASE, &vec![AlertKind::UnknownPhase], &kinds));
        };
        let (meta, own) = (self.meta(), Query::parse_lenient(&decision.meta));
        if meta.first_value("retry") == Some("failed") {
            return Some(Verdict::departs(departures::RETRY_FAILED, &None, &decision.retry));
        }
        let so_far: u32 = meta.first_value("retry").and_then(|text| text.parse().ok()).unwrap_or_default();
        let goes_on = decision.retry.is_some();
        let by_path = self.workflows.phase_for("", &self.task.topic, &self.job());
        if by_path != Some(phase) {
            let wanted = (so_far < phase.retry, (so_far >= phase.retry).then(|| phase.retry.to_string()));
            let retried = own.first_value("retried").filter(|_| !goes_on).map(str::to_owned);
            return Some(Verdict::departs(departures::OWN_FILE, &wanted, &(goes_on, retried)));
        }
        if goes_on && phase.rule.problems.iter().any(|problem| problem.key == "retry_delay") {
            let waits = decision.retry.as_ref().and_then(|retry| retry.not_before).map(|until| until - at(NOW));
            let second = Some(chrono::TimeDelta::seconds(1));
            return Some(Verdict::departs(departures::RETRY_DELAY, &second, &waits));
        }
        if let Some(spelled) = self.spelled([phase], decision) {
            return Some(spelled);
        }
        if goes_on {
            return self.retried(decision);
        }
        self.given_up(phase, decision, &own)
    }

    fn given_up(&self, phase: &Phase, decision: &TaskDecision, own: &Query) -> Option<Verdict> {
        let quiet = decision.alerts.is_empty();
        if let Some(value) = phase.rule.query.first_any_case("no_alert") {
            let wanted = (!value.eq_ignore_ascii_case("false"), Some("failed"));
            return Some(Verdict::departs(departures::NO_ALERT, &wanted, &(quiet, own.first_value("retry"))));
        }
        let topic = self.case.text("failed_topic");
        if ["", "-"].contains(&topic) || !self.case.text("producer_fails_on_topic").is_empty() {
            let got = (own.first_value("retry"), quiet);
            return Some(Verdict::departs(departures::FAILED_TOPIC, &(Some("failed"), false), &got));
        }
        if self.only_meta_has_the_job() {
            let jobs: Vec<&str> = decision.alerts.iter().map(|alert| alert.job.as_str()).collect();
            return Some(Verdict::departs(departures::META_JOB, &vec![self.job().as_str()], &jobs));
        }
        self.encoded(&decision.meta)
    }

    fn retried(&self, decision: &TaskDecision) -> Option<Verdict> {
        let retry = decision.retry.as_ref()?;
        if self.only_meta_has_the_job() {
            let name = |topic, job| (topic, job);
            let wanted = name(&self.task.topic, &self.task.job);
            return Some(Verdict::departs(departures::META_JOB, &wanted, &name(&retry.topic, &retry.job)));
        }
        self.encoded(&retry.meta)
    }

    fn only_meta_has_the_job(&self) -> bool {
        self.task.job.is_empty() && !self.job().is_empty()
    }

    /// What the task's meta says reads back from `meta`, which only an escape makes another text.
    fn encoded(&self, meta: &str) -> Option<Verdict> {
        let before = self.meta();
        before.pairs().any(|(_, value)| is_special(value)).then(|| {
            let after = Query::parse(meta).unwrap_or_default();
            let kept =
                |(key, value)| ["retry", "retried", "delayed"].contains(&key) || after.first_value(key) == Some(value);
            Verdict::departs(departures::ENCODED, &true, &before.pairs().all(kept))
        })
    }

    /// A rule that is spelled otherwise counts as the plain one does.
    fn spelled<'p>(&self, phases: impl IntoIterator<Item = &'p Phase>, decision: &TaskDecision) -> Option<Verdict> {
        let rule = spelling::of_phases(phases)?;
        let plain = self.decide(&plain_workflows(self.case.setup));
        Some(Verdict::departs(rule, &seen(&plain, self.case), &seen(decision, self.case)))
    }

    fn completed(&self, decision: &TaskDecision) -> Option<Verdict> {
        let (workflow, job) = (self.workflow(), self.job());
        let all: Vec<&Phase> = self.workflows.children_of(&workflow, &self.task.topic, &job).collect();
        let ready: Vec<&Phase> = all.iter().copied().filter(|phase| phase.rule.is_ready(&self.meta())).collect();
        let rule = self.rule_of_children(&ready, &all, decision)?;
        let wanted: Vec<_> = ready.iter().flat_map(|phase| self.tasks_of(phase, decision)).collect();
        let got = decision.children.iter();
        let got: Vec<_> = got.map(|task| (task.topic.clone(), task.job.clone(), self.comparable(&task.info))).collect();
        if let Verdict::Wrong(why) = Verdict::of(&wanted, &got) {
            return Some(Verdict::Wrong(why));
        }
        if rule == departures::RULE_KEYS || rule == departures::REQUIRE {
            return self.spelled(all, decision);
        }
        let reads_back = |task: &flowlord_domain::NewTask| {
            Query::parse(&task.meta).is_ok_and(|meta| meta.first_value("job").unwrap_or_default() == task.job)
        };
        Some(Verdict::departs(rule, &true, &decision.children.iter().all(reads_back)))
    }

    /// Why other children start, if any rule says that they do.
    fn rule_of_children(&self, ready: &[&Phase], all: &[&Phase], decision: &TaskDecision) -> Option<Departure> {
        let meta = self.meta();
        let (workflow, topic) = (self.workflow(), &self.task.topic);
        let on_circle = |phase: &Phase| {
            let follows = phase.depends_on.as_ref().is_some_and(|parent| parent.topic == *topic);
            phase.is_cyclic && phase.workflow == workflow && follows
        };
        let templates = || ready.iter().map(|phase| phase.template.as_str());
        let asks = |tokens: &[&str]| templates().any(|template| tokens.iter().any(|token| template.contains(token)));
        let capital = |phase: &&Phase| phase.rule.query.pairs().any(|(key, _)| key != key.to_lowercase());
        let values = || decision.children.iter().map(|child| child.meta.as_str());
        let rules = [
            (ready.iter().any(|phase| phase.rule.has_rows()), departures::CHILD_ROWS),
            (self.workflows.phases().any(on_circle), departures::CIRCLE),
            (meta.pairs().any(|(key, _)| meta.all_values(key).count() > 1), departures::FIRST_VALUE),
            (!self.case.text("producer_fails_on_topic").is_empty(), departures::SIBLINGS),
            (
                all.iter().any(|phase| spelling::of_rule(&phase.rule_text) == Some(departures::REQUIRE)),
                departures::REQUIRE,
            ),
            (all.iter().any(|phase| spelling::has_other_case(&phase.rule_text)), departures::RULE_KEYS),
            (ready.iter().any(capital), departures::REDIRECT),
            (meta.pairs().any(|(_, value)| value.contains("{meta:")), departures::EXPAND_ONCE),
            (decision.task_time.is_some_and(|time| time.year() < 1000), departures::YEARS),
            (asks(&["{ts}", "{UUID}", "{uuid}"]), departures::TOKENS),
            (
                values().any(|meta| Query::parse_lenient(meta).pairs().any(|(_, value)| is_special(value))),
                departures::ENCODED,
            ),
        ];
        rules.into_iter().find_map(|(holds, rule)| holds.then_some(rule))
    }

    /// Topic, job and info of the tasks that a phase starts: one a row, with the parent's meta where it has no value.
    fn tasks_of(&self, phase: &Phase, decision: &TaskDecision) -> Vec<(String, String, String)> {
        let meta = self.meta();
        let files = |path: &str| rows(self.case.setup, path);
        let rows = match phase_rows(phase, &files, |key| meta.first_value(key).is_some()) {
            Ok(Some(rows)) => rows,
            Ok(None) => vec![MetaRow::default()],
            Err(_) => Vec::new(),
        };
        let text = render_template_utc(&phase.template, decision.task_time, "host", &mut TestIds::default());
        let info = |row: &MetaRow| {
            let value = |key: &str| row.value_of(key).or_else(|| meta.first_value(key)).map(str::to_owned);
            self.comparable(&expand_meta(&text, value).0)
        };
        rows.iter().map(|row| (phase.task.topic.clone(), phase.task.job.clone(), info(row))).collect()
    }

    /// An info without the digits of ids, which differ.
    fn comparable(&self, info: &str) -> String {
        let has_ids = self.workflows.phases().any(|phase| phase.template.to_lowercase().contains("{uuid}"));
        if has_ids { info.chars().filter(|c| !c.is_ascii_hexdigit()).collect() } else { info.to_owned() }
    }
}

/// Whether a value can't stand in a meta as it is.
pub(crate) fn is_special(value: &str) -> bool {
    value.contains(['&', '+', '%', ';'])
}

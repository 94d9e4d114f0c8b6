//! Rules, schedules that are none, what a phase needs.

use chrono_tz::Tz;
use flowlord_domain::cron::Schedule;
use flowlord_domain::query::Query;
use flowlord_domain::rule::{By, Rule};
use flowlord_domain::workflow::WorkflowFile;
use serde_json::{Value, json};

use crate::case::{Case, Verdict};
use crate::departures;

pub(crate) fn cron_invalid(case: &Case<'_>) -> Verdict {
    let got = Schedule::parse(case.input.as_str().expect("a text"), Tz::UTC);
    match (&got, case.error) {
        (Ok(_), None) | (Err(_), Some(_)) => Verdict::Same,
        _ => Verdict::Wrong(format!("{got:?}")),
    }
}

pub(crate) fn is_ready(case: &Case<'_>) -> Verdict {
    let text = case.text("rule");
    let got = Rule::parse(text, Tz::UTC).is_ready(&Query::lenient(case.text("meta")));
    if case.expected.as_bool() == Some(got) {
        return Verdict::Same;
    }
    let lower = text.to_lowercase();
    if lower.contains("require:") {
        return Verdict::departs(departures::REQUIRE, &false, &got);
    }
    if lower.contains("require=") && !text.contains("require=") {
        return Verdict::departs(departures::RULE_KEYS, &false, &got);
    }
    Verdict::Wrong(format!("got {got}"))
}

pub(crate) fn rule_parse(case: &Case<'_>) -> Verdict {
    let text = case.input.as_str().expect("a text");
    let rule = Rule::parse(text, Tz::UTC);
    let checks =
        [values(case, text), status(case, &rule), plain_keys(case, text, &rule), batch(case, text, &rule)];
    let mut departs = None;
    for check in checks {
        match check {
            Verdict::Same => {}
            Verdict::Departs(rule) => departs = Some(rule),
            wrong @ Verdict::Wrong(_) => return wrong,
        }
    }
    departs.map_or(Verdict::Same, Verdict::Departs)
}

fn values(case: &Case<'_>, text: &str) -> Verdict {
    let (query, error) = Query::parse_with_error(text);
    let mut map = serde_json::Map::new();
    for (key, value) in query.pairs() {
        let list = map.entry(key).or_insert_with(|| json!([]));
        list.as_array_mut().expect("a list").push(json!(value));
    }
    let expected = (case.expected["values"].clone(), !case.expected["values_error"].is_null());
    Verdict::of(&expected, &(Value::Object(map), error.is_some()))
}

/// The kind of a status: its first words.
fn kind(status: &str) -> &str {
    let kinds = ["invalid rule format", "invalid cron", "non-scheduled phase", "panic"];
    kinds.into_iter().find(|kind| status.starts_with(kind)).map_or(status, |kind| kind)
}

fn status(case: &Case<'_>, rule: &Rule) -> Verdict {
    let expected = kind(case.expected["validate"].as_str().unwrap_or_default());
    let status = rule.status(false).unwrap_or_default();
    if expected == "panic" {
        return Verdict::of(&"invalid cron", &kind(&status));
    }
    if expected != kind(&status) && other_case(case.input.as_str().unwrap_or_default()) {
        return Verdict::Departs(departures::RULE_KEYS);
    }
    Verdict::of(&expected, &kind(&status))
}

fn plain_keys(case: &Case<'_>, text: &str, rule: &Rule) -> Verdict {
    let got = json!([rule.job, rule.files.clone().unwrap_or_default(), rule.count, rule.require_text]);
    let expected = &case.expected;
    let wanted = json!([expected["job"], expected["files"], expected["count"], expected["require"]]);
    let delay = &expected["retry_delay"];
    let delay_fails = !delay["error"].is_null() || !delay["jitter_panic"].is_null();
    let tells_delay = rule.problems.iter().any(|problem| problem.key == "retry_delay");
    let raw_fits = delay["raw"].as_str() == Some(rule.retry_delay_text.as_str());
    if wanted != got {
        let require = rule.require_text.is_empty() || text.to_lowercase().contains("require:");
        return match (require && text.contains("equire:"), other_case(text)) {
            (true, _) => Verdict::Departs(departures::REQUIRE),
            (_, true) => Verdict::Departs(departures::RULE_KEYS),
            _ => Verdict::of(&wanted, &got),
        };
    }
    if delay_fails != tells_delay || !raw_fits {
        return Verdict::Wrong(format!("retry_delay {delay} but {:?}", rule.problems));
    }
    let no_alert = expected["no_alert"].as_bool().unwrap_or_default();
    if no_alert != rule.no_alert {
        let value = rule.query.first_any_case("no_alert");
        let wanted = value.is_some_and(|value| !value.eq_ignore_ascii_case("false"));
        return Verdict::departs(departures::NO_ALERT, &wanted, &rule.no_alert);
    }
    if delay_fails { Verdict::Departs(departures::RETRY_DELAY) } else { Verdict::Same }
}

fn batch(case: &Case<'_>, text: &str, rule: &Rule) -> Verdict {
    let expected = &case.expected["batch_job"];
    let ours_fails = rule.problems.iter().any(|p| p.blocks && p.key != "cron");
    if !case.expected["batch_job_error"].is_null() || !case.expected["values_error"].is_null() {
        return Verdict::holds(ours_fails, &rule.problems);
    }
    let lists: serde_json::Map<String, Value> =
        rule.meta.iter().map(|(key, list)| (key.clone(), json!(list))).collect();
    let got = json!([
        rule.cron.clone().unwrap_or_default(),
        rule.offset.num_nanoseconds(),
        rule.span.num_nanoseconds(),
        lists,
        rule.meta_file.clone().unwrap_or_default()
    ]);
    let mut meta = expected["meta"].clone();
    for list in meta.as_object_mut().into_iter().flat_map(|map| map.values_mut()) {
        if list.is_null() {
            *list = json!([]);
        }
    }
    let wanted =
        json!([expected["cron"], expected["offset_ns"], expected["for_ns"], meta, expected["meta_file"]]);
    let by = By::parse(expected["by"].as_str().unwrap_or_default()).unwrap_or_default();
    if wanted == got && by == rule.by {
        return Verdict::Same;
    }
    if text.contains('#') {
        let kept = rule.query.pairs().any(|(key, value)| key.contains('#') || value.contains('#'));
        return Verdict::departs(departures::HASH, &true, &kept);
    }
    if !other_case(text) {
        return Verdict::of(&wanted, &got);
    }
    let lower: Query =
        rule.query.pairs().map(|(key, value)| (key.to_lowercase(), value.to_owned())).collect();
    let plain = Rule::parse(&lower.encode(), Tz::UTC);
    let parts =
        |rule: &Rule| (rule.cron.clone(), rule.offset, rule.span, rule.meta.clone(), rule.meta_file.clone());
    Verdict::departs(departures::RULE_KEYS, &parts(&plain), &parts(rule))
}

/// Whether a known key is written in another case.
fn other_case(text: &str) -> bool {
    let query = Query::lenient(text);
    let known = |key: &str| flowlord_domain::rule::KEYS.iter().any(|known| known.eq_ignore_ascii_case(key));
    query.pairs().any(|(key, _)| known(key) && key != key.to_lowercase())
}

pub(crate) fn phase(case: &Case<'_>) -> Verdict {
    let quoted = |text: &str| toml_text(text);
    let text = format!(
        "[[phase]]\ntask = {}\nrule = {}\ndependsOn = {}\ntemplate = {}\nretry = {}\n",
        quoted(case.text("task")),
        quoted(case.text("rule")),
        quoted(case.text("dependsOn")),
        quoted(case.text("template")),
        case.input["retry"],
    );
    let file = match WorkflowFile::parse("wf.toml", &text, "", Tz::UTC) {
        Ok(file) => file,
        Err(findings) => return Verdict::Wrong(format!("{findings:?}")),
    };
    let phase = &file.phases[0];
    let status = phase.rule.status(phase.depends_on.is_some()).unwrap_or_default();
    let wanted = kind(case.expected["status"].as_str().unwrap_or_default());
    let wanted = if wanted == "panic" { "invalid cron" } else { wanted };
    let names =
        [&case.expected["topic"], &case.expected["job"]].map(|name| name.as_str().unwrap_or_default());
    Verdict::of(&(names, wanted), &([phase.task.topic.as_str(), phase.task.job.as_str()], kind(&status)))
}

/// A text as TOML writes it.
pub(crate) fn toml_text(text: &str) -> String {
    serde_json::to_string(text).expect("a text").replace('\u{7f}', "\\u007f")
}

//! Rules, schedules that are none, what a phase needs.

use chrono_tz::Tz;
use flowlord_domain::cron::CronSchedule;
use flowlord_domain::query::Query;
use flowlord_domain::rule::{BatchStep, Rule};
use flowlord_domain::workflow::WorkflowFile;
use serde_json::{Value, json};

use crate::case::{Case, Verdict, list};
use crate::departures;
use crate::spelling;

pub(crate) fn cron_invalid(case: &Case<'_>) -> Verdict {
    let got = CronSchedule::parse(case.input.as_str().expect("a text"), Tz::UTC);
    match (&got, case.error) {
        (Ok(_), None) | (Err(_), Some(_)) => Verdict::Same,
        _ => Verdict::Wrong(format!("{got:?}")),
    }
}

pub(crate) fn is_ready(case: &Case<'_>) -> Verdict {
    let text = case.text("rule");
    let got = Rule::parse(text, Tz::UTC).is_ready(&Query::parse_lenient(case.text("meta")));
    if case.expected.as_bool() == Some(got) {
        return Verdict::Same;
    }
    match spelling::of_rule(text) {
        Some(rule) => Verdict::departs(rule, &false, &got),
        None => Verdict::Wrong(format!("got {got}")),
    }
}

pub(crate) fn rule_parse(case: &Case<'_>) -> Verdict {
    let text = case.input.as_str().expect("a text");
    let rule = Rule::parse(text, Tz::UTC);
    let checks = [values(case, text), status(case, &rule), plain_keys(case, text, &rule), batch(case, text, &rule)];
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
    let failed = !case.expected["values_error"].is_null();
    let expected = json!([or_empty(&case.expected["values"]), failed]);
    Verdict::of(&expected, &json!([map, error.is_some()]))
}

/// A map with its lists; Go writes null for those that nothing was ever put into.
fn or_empty(map: &Value) -> Value {
    let lists = map.as_object().into_iter().flatten();
    lists.map(|(key, values)| (key.clone(), json!(list(values)))).collect::<serde_json::Map<_, _>>().into()
}

/// The kind of a status: its first words.
fn kind(status: &str) -> &str {
    let kinds = ["invalid rule format", "invalid cron", "non-scheduled phase", "panic"];
    kinds.into_iter().find(|kind| status.starts_with(kind)).map_or(status, |kind| kind)
}

fn status(case: &Case<'_>, rule: &Rule) -> Verdict {
    let expected = kind(case.expected["validate"].as_str().unwrap_or_default());
    let expected = if expected == "panic" { "invalid cron" } else { expected };
    let status = rule.why_never_started(false).unwrap_or_default();
    let text = case.input.as_str().unwrap_or_default();
    if expected != kind(&status) && spelling::has_other_case(text) {
        let plain = Rule::parse(&spelling::plain_rule(text), Tz::UTC).why_never_started(false);
        return Verdict::departs(departures::RULE_KEYS, &kind(&plain.unwrap_or_default()), &kind(&status));
    }
    Verdict::of(&expected, &kind(&status))
}

fn plain_keys(case: &Case<'_>, text: &str, rule: &Rule) -> Verdict {
    let got = json!([rule.job, rule.files.clone().unwrap_or_default(), rule.count, rule.require_text]);
    let expected = &case.expected;
    let text_of = |name: &str| expected[name].as_str().unwrap_or_default();
    let count = expected["count"].as_i64().unwrap_or_default();
    let wanted = json!([text_of("job"), text_of("files"), count, text_of("require")]);
    let delay = &expected["retry_delay"];
    let delay_fails = !delay["error"].is_null() || !delay["jitter_panic"].is_null();
    let tells_delay = rule.problems.iter().any(|problem| problem.key == "retry_delay");
    let raw_fits = delay["raw"].as_str() == Some(rule.retry_delay_text.as_str());
    if wanted != got {
        let require = rule.require_text.is_empty() || text.to_lowercase().contains("require:");
        return match (require && text.contains("equire:"), spelling::has_other_case(text)) {
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
    let meta = or_empty(&expected["meta"]);
    let wanted = json!([expected["cron"], expected["offset_ns"], expected["for_ns"], meta, expected["meta_file"]]);
    let by = BatchStep::parse(expected["by"].as_str().unwrap_or_default()).unwrap_or_default();
    if wanted == got && by == rule.by {
        return Verdict::Same;
    }
    if text.contains('#') {
        let kept = rule.query.pairs().any(|(key, value)| key.contains('#') || value.contains('#'));
        return Verdict::departs(departures::HASH, &true, &kept);
    }
    if !spelling::has_other_case(text) {
        return Verdict::of(&wanted, &got);
    }
    let plain = Rule::parse(&spelling::plain_rule(text), Tz::UTC);
    let parts = |rule: &Rule| (rule.cron.clone(), rule.offset, rule.span, rule.meta.clone(), rule.meta_file.clone());
    Verdict::departs(departures::RULE_KEYS, &parts(&plain), &parts(rule))
}

pub(crate) fn phase(case: &Case<'_>) -> Verdict {
    let quoted = |text: &str| toml_text(text);
    let text = format!(
        "[[phase]]\ntask = {}\nrule = {}\ndependsOn = {}\ntemplate = {}\nretry = {}\n",
        quoted(case.text("task")),
        quoted(case.text("rule")),
        quoted(case.text("dependsOn")),
        quoted(case.text("template")),
        case.input["retry"].as_i64().unwrap_or_default(),
    );
    let gist = |text: &str| -> Result<[String; 3], String> {
        let file = WorkflowFile::parse("wf.toml", text, "", Tz::UTC).map_err(|err| format!("{err:?}"))?;
        let phase = &file.phases[0];
        let status = phase.rule.why_never_started(phase.depends_on.is_some()).unwrap_or_default();
        Ok([phase.task.topic.clone(), phase.task.job.clone(), kind(&status).to_owned()])
    };
    let wanted = kind(case.expected["status"].as_str().unwrap_or_default());
    let wanted = if wanted == "panic" { "invalid cron" } else { wanted };
    let text_of = |name: &str| case.expected[name].as_str().unwrap_or_default().to_owned();
    let (wanted, got) = (Ok([text_of("topic"), text_of("job"), wanted.to_owned()]), gist(&text));
    let rule = case.text("rule");
    match spelling::of_rule(rule).filter(|_| wanted != got) {
        Some(spelled) => {
            let plain = text.replace(&quoted(rule), &quoted(&spelling::plain_rule(rule)));
            Verdict::departs(spelled, &gist(&plain), &got)
        }
        None => Verdict::of(&wanted, &got),
    }
}

/// A text as TOML writes it.
pub(crate) fn toml_text(text: &str) -> String {
    serde_json::to_string(text).expect("a text").replace('\u{7f}', "\\u007f")
}

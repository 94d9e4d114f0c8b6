use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;

use super::*;
use crate::alert::AlertKind;
use crate::decide::{TaskDecision, WorkerOutcome, decide_result};
use crate::ids::fixed::FixedIds;
use crate::rule::Rule;
use crate::task::{Attempt, NewTask, TaskResult, TaskState};
use crate::workflow::{WorkflowFile, Workflows};

/// A Monday.
fn noon() -> DateTime<Utc> {
    "2024-01-15T12:00:00Z".parse().unwrap()
}

fn rule(text: &str) -> Rule {
    Rule::parse(text, Tz::UTC)
}

fn expecting(rule: &str, retry: u32) -> Workflows {
    let text = format!(
        "[[phase]]\ntask = \"load:orders\"\nrule = \"cron=@hourly&{rule}\"\nretry = {retry}\n\
         [[phase]]\ntask = \"report\"\ndependsOn = \"load\"\n"
    );
    Workflows::new([Arc::new(WorkflowFile::parse("w.toml", &text, "", Tz::UTC).unwrap())])
}

fn task() -> Attempt {
    let task = NewTask::of_new_chain(("load", "orders"), "w.toml", noon(), &mut FixedIds::default());
    let meta = "cron=2024-01-16T05".to_owned();
    Attempt { state: TaskState::Leased, started: Some(noon()), meta, ..task.into_attempt() }
}

fn complete(meta: &str) -> WorkerOutcome {
    let (msg, meta) = ("loaded".to_owned(), meta.to_owned());
    WorkerOutcome { result: TaskResult::Complete, msg, meta, started: None, ended: None }
}

fn at(seconds: i64) -> DateTime<Utc> {
    noon() + TimeDelta::seconds(seconds)
}

fn figures(values: &[f64]) -> Vec<Figure> {
    values.iter().filter_map(|value| Figure::new(*value)).collect()
}

/// The values of all keys that are asked for.
fn known(workflows: &Workflows, values: &[f64]) -> LearnedValues {
    let keys = learned_keys(workflows, &task(), &complete("")).into_iter();
    keys.chain(LearnedValues::max_run_keys(workflows)).map(|key| (key, figures(values))).collect()
}

fn decided(workflows: &Workflows, values: &[f64], task: &Attempt, outcome: &WorkerOutcome) -> TaskDecision {
    let now = at(12);
    let judged = JudgedResult::of_worker(workflows, task, outcome, &known(workflows, values), now);
    let mut decision = decide_result(workflows, task, &judged.outcome, now, "h", &mut FixedIds::default());
    judged.complete_decision(&mut decision);
    decision
}

fn told(decision: &TaskDecision) -> Vec<(AlertKind, &str)> {
    decision.alerts.iter().map(|alert| (alert.kind, alert.msg.as_str())).collect()
}

#[test]
fn expectations_are_read() {
    let read = rule("cron=@daily&min_run=3m&max_run=3x&Expect=rows>0&expect= bytes : 0.5x..2x &expect_else=Warn");
    assert_eq!(read.problems, []);
    let expected = &read.expectations;
    assert_eq!((expected.min_run, expected.otherwise), (Some(TimeDelta::minutes(3)), ExpectElse::Warn));
    assert_eq!((expected.max_run_factor, read.max_run), (Figure::new(3.0), None));
    assert_eq!(expected.to_texts(), ["min_run=3m", "rows>0", "bytes:0.5x..2x"]);
    for text in ["a<1", "a<=1.5", "a>-2", "a>=1000000000000", "a=0", "a_b:0x..1x", "a:1x..1x"] {
        let read = rule(&format!("cron=@daily&expect={text}"));
        assert_eq!((read.problems, read.expectations.to_texts()), (vec![], vec![text.to_owned()]));
    }
    let plain = rule("max_run=45m&expect=");
    assert_eq!((plain.max_run, plain.expectations.max_run_factor), (Some(TimeDelta::minutes(45)), None));
    assert!(!plain.expectations.need_results());
}

#[test]
fn what_can_t_be_read_says_what_to_write() {
    let like = "can't be read: write it like rows>0, or rows:0.5x..2x for times the median";
    for (text, says) in [
        ("expect=rows", format!("expect `rows` {like}")),
        ("expect=>0", format!("expect `>0` {like}")),
        ("expect=rows>many", format!("expect `rows>many` {like}")),
        ("expect=rows>inf", format!("expect `rows>inf` {like}")),
        ("expect=rows:0.5..2", format!("expect `rows:0.5..2` {like}")),
        ("expect=rows:-1x..2x", format!("expect `rows:-1x..2x` {like}")),
        (
            "expect=rows:2x..0.5x",
            "expect `rows:2x..0.5x` holds for nothing: write the smaller one first, 0.5x..2x".to_owned(),
        ),
        ("expect_else=stop", "expect_else `stop` is unknown: write error, alert or warn".to_owned()),
        ("min_run=0s", "min_run `0s` is not positive: write a duration like 1h".to_owned()),
        ("min_run=2h&max_run=1h", "min_run 2h is longer than max_run 1h: swap them".to_owned()),
        (
            "max_run=1x",
            "max_run `1x` is no limit: write more than 1x, like 3x for times the median, or a duration like 45m"
                .to_owned(),
        ),
    ] {
        let problems = rule(&format!("cron=@daily&{text}")).problems;
        assert_eq!(problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>(), [says]);
        assert!(!problems[0].blocks, "it starts all the same");
    }
}

#[test]
fn figures_are_compared_with_numbers_and_medians() {
    const KNOWN: [f64; 4] = [900.0, 1_100.0, 1.0, 5_000.0];
    for (expected, meta, values, says) in [
        ("rows>0", "rows=1", &[][..], None),
        ("rows>0", "rows=0", &[], Some("rows is 0, >0 expected")),
        ("rows>0", "bytes=1", &[], Some("rows is missing, >0 expected")),
        ("rows>0", "rows=", &[], Some("rows is ``, >0 expected")),
        ("rows>0", "rows=12 kB", &[], Some("rows is `12 kB`, >0 expected")),
        ("rows<10", "rows=9.5", &[], None),
        ("rows<10", "rows=10", &[], Some("rows is 10, <10 expected")),
        ("rows<=10", "rows=10", &[], None),
        ("rows>=10", "rows=9", &[], Some("rows is 9, >=10 expected")),
        ("rows=2", "rows=2.0", &[], None),
        ("rows=2", "rows=3", &[], Some("rows is 3, =2 expected")),
        ("rows:0.5x..2x", "rows=40", &KNOWN, Some("rows is 40, 0.5x..2x of the median 1000 expected")),
        ("rows:0.5x..2x", "rows=500", &KNOWN, None),
        ("rows:0.5x..2x", "rows=2000", &KNOWN, None),
        ("rows:0.5x..2x", "rows=2000.1", &KNOWN, Some("rows is 2000.1, 0.5x..2x of the median 1000 expected")),
        ("rows:0.5x..2x", "rows=1", &[5.0, 5.0], None),
        ("rows:0.5x..2x", "rows=1", &[5.0, 5.0, 5.0], Some("rows is 1, 0.5x..2x of the median 5 expected")),
        ("rows:0.5x..2x", "", &[], Some("rows is missing, 0.5x..2x of the median expected")),
    ] {
        let decision = decided(&expecting(&format!("expect={expected}"), 0), values, &task(), &complete(meta));
        let alerts = says.map(|says| (AlertKind::Unexpected, says));
        assert_eq!(told(&decision), alerts.into_iter().collect::<Vec<_>>(), "{expected} {meta}");
        assert_eq!(decision.result, if says.is_some() { TaskResult::Error } else { TaskResult::Complete });
    }
}

#[test]
fn an_error_keeps_children_from_starting_and_is_retried_before_it_is_told() {
    let workflows = expecting("min_run=3m&expect=rows>0", 1);
    let first = decided(&workflows, &[], &task(), &complete("rows=0&file=a"));
    assert_eq!((first.result, first.children.len(), told(&first)), (TaskResult::Error, 0, vec![]));
    assert_eq!(first.msg, "took 12s, at least 3m expected; rows is 0, >0 expected; the worker said complete: loaded");
    let retry = Attempt { started: Some(noon()), ..first.retry.unwrap().into_attempt() };
    let last = decided(&workflows, &[], &retry, &complete(""));
    assert!(last.given_up && last.retry.is_none());
    let texts = ["took 12s, at least 3m expected", "rows is missing, >0 expected"];
    assert_eq!(told(&last), [(AlertKind::TooShort, texts[0]), (AlertKind::Unexpected, texts[1])]);
    assert_eq!((last.alerts[0].job.as_str(), last.alerts[0].uid), ("orders", Some(retry.uid)));
    let quiet = decided(&expecting("min_run=3m&no_alert", 0), &[], &task(), &complete(""));
    assert_eq!((quiet.result, told(&quiet)), (TaskResult::Error, vec![]));
}

#[test]
fn alert_and_warn_say_what_follows_instead() {
    let alert = decided(&expecting("expect=rows>0&expect_else=alert", 1), &[], &task(), &complete("rows=0"));
    assert_eq!((alert.result, alert.children.len(), alert.retry), (TaskResult::Complete, 1, None));
    assert_eq!(alert.msg, "rows is 0, >0 expected; the worker said complete: loaded");
    assert_eq!(alert.alerts.len(), 1);
    let warn = decided(&expecting("expect=rows>0&expect_else=warn", 1), &[], &task(), &complete("rows=0"));
    assert_eq!((warn.result, warn.children.len(), warn.retry, warn.alerts), (TaskResult::Warn, 0, None, vec![]));
}

#[test]
fn what_isn_t_complete_or_was_cancelled_or_has_no_time_isn_t_judged() {
    let workflows = expecting("min_run=3m&expect=rows>0", 0);
    let failed = WorkerOutcome { result: TaskResult::Error, ..complete("") };
    assert_eq!(told(&decided(&workflows, &[], &task(), &failed)), [(AlertKind::Exhausted, "loaded")]);
    let cancelled = decided(&workflows, &[], &Attempt { cancelled: true, ..task() }, &complete(""));
    assert_eq!((cancelled.result, cancelled.alerts), (TaskResult::Complete, vec![]));
    // Nobody knows when it began.
    let unknown = decided(&workflows, &[], &Attempt { started: None, ..task() }, &complete("rows=1"));
    assert_eq!(unknown.result, TaskResult::Complete);
    let long = WorkerOutcome { started: Some(at(-168)), ..complete("rows=1") };
    assert_eq!(decided(&workflows, &[], &task(), &long).result, TaskResult::Complete, "3m to the second");
    let backwards = WorkerOutcome { ended: Some(at(-9)), ..complete("rows=1") };
    assert!(decided(&workflows, &[], &task(), &backwards).msg.starts_with("took 0s, "));
    let plain = expecting("retry_delay=1s", 0);
    assert_eq!(decided(&plain, &[], &task(), &complete("")), {
        decide_result(&plain, &task(), &complete(""), at(12), "h", &mut FixedIds::default())
    });
}

#[test]
fn the_same_result_again_counts_as_before_whatever_was_learned_since() {
    for (otherwise, result) in
        [("error", TaskResult::Error), ("alert", TaskResult::Complete), ("warn", TaskResult::Warn)]
    {
        let workflows = expecting(&format!("expect=rows:0.5x..2x&expect_else={otherwise}"), 0);
        let first = decided(&workflows, &[10.0; 3], &task(), &complete("rows=99"));
        let (msg, meta) = (first.msg.clone(), first.meta.clone());
        let done = Attempt { state: TaskState::Done, result: Some(result), msg, meta, ..task() };
        assert_eq!(learned_keys(&workflows, &done, &complete("rows=99")), []);
        let again = decided(&workflows, &[99.0; 3], &done, &complete("rows=99"));
        assert_eq!((again.result, &again.msg, &again.meta), (first.result, &first.msg, &first.meta));
        assert!(again.learned.is_empty());
        let other = WorkerOutcome { msg: "other".to_owned(), ..complete("rows=99") };
        assert_eq!(decided(&workflows, &[], &done, &other).msg, "other", "which the first one refuses");
    }
}

#[test]
fn complete_tasks_teach_their_run_time_and_the_figures_of_their_hour() {
    let learned = |rule: &str, meta: &str| {
        let all = decided(&expecting(rule, 0), &[], &task(), &complete(meta)).learned;
        all.into_iter().map(|value| (value.of.key, value.of.hour, value.value.to_f64())).collect::<Vec<_>>()
    };
    let rule = "max_run=3x&expect=rows:0.5x..2x&expect=bytes>0";
    // A Tuesday at five.
    assert_eq!(learned(rule, "rows=7&bytes=1"), [(String::new(), 0, 12_000.0), ("rows".to_owned(), 29, 7.0)]);
    assert_eq!(learned(rule, "rows=7&bytes=0"), [], "it isn't complete");
    assert_eq!(learned(&format!("{rule}&expect_else=alert"), "rows=7&bytes=0").len(), 2);
    assert_eq!(learned("min_run=1s&expect=rows>0", "rows=7"), [], "nothing is compared with it");
    let zone = |text: &str| Rule::parse(text, Tz::UTC).expectations.zone;
    assert_eq!(zone("cron=@daily"), Tz::UTC);
    assert_eq!(zone("cron=CRON_TZ=Europe/Berlin 0 * * * *"), Tz::Europe__Berlin);
}

#[test]
fn a_person_accepts_the_figures_but_not_the_time_until_then() {
    let workflows = expecting("min_run=3m&max_run=3x&expect=rows:0.5x..2x", 0);
    let failed = Attempt { result: Some(TaskResult::Error), meta: "rows=40".to_owned(), ..task() };
    let marked = complete("");
    let judged = JudgedResult::of_person(&workflows, &failed, &marked);
    assert_eq!(judged.outcome.as_ref(), &marked);
    let mut decision = decide_result(&workflows, &failed, &judged.outcome, at(12), "h", &mut FixedIds::default());
    judged.complete_decision(&mut decision);
    let learned: Vec<_> = decision.learned.iter().map(|value| (value.of.key.as_str(), value.value)).collect();
    assert_eq!(learned, [("rows", Figure::new(40.0).unwrap())]);
    assert!(decision.alerts.is_empty() && decision.as_cancelled().learned.is_empty());
}

#[test]
fn a_learned_limit_counts_once_enough_is_known() {
    let workflows = expecting("max_run=3x", 0);
    let phase = workflows.phases().next().unwrap();
    let limit = |values: &[f64]| known(&workflows, values).max_run_of(phase);
    assert_eq!(limit(&[60_000.0; 2]), None);
    assert_eq!(limit(&[60_000.0, 1.0, 90_000.0]), Some(TimeDelta::minutes(3)));
    assert_eq!(limit(&[f64::MAX; 3]), Some(TimeDelta::days(365)));
    assert_eq!(limit(&[0.0; 3]), Some(TimeDelta::seconds(1)));
    let other = workflows.phases().nth(1).unwrap();
    assert_eq!(known(&workflows, &[1.0; 3]).max_run_of(other), None);
}

proptest! {
    #[test]
    fn a_median_has_as_many_values_below_as_above(values in proptest::collection::vec(-1e9..1e9_f64, 3..40)) {
        let workflows = expecting("max_run=3x", 0);
        let key = LearnedValues::max_run_keys(&workflows).remove(0);
        let median = known(&workflows, &values).median_of(&key).unwrap().to_f64();
        let (below, above) = (values.iter().filter(|v| **v < median).count(), values.iter().filter(|v| **v > median).count());
        prop_assert!(below.max(above) * 2 <= values.len(), "{below} {above}");
    }

    #[test]
    fn what_is_written_reads_back(key in "[a-z_]{1,5}", number in -1000..1000_i32, low in 0..50_u8, more in 0..50_u8, nth in 0..6_usize) {
        let wanted = match Comparison::ALL.get(nth) {
            Some(comparison) => WantedFigure::Compared(*comparison, Figure(f64::from(number) / 8.0)),
            None => WantedFigure::OfMedian(Figure(f64::from(low) / 4.0), Figure(f64::from(low) / 4.0 + f64::from(more))),
        };
        let expected = FigureExpectation { key, wanted };
        prop_assert_eq!(FigureExpectation::parse(&expected.to_string()), Ok(expected));
    }

    /// Whatever a worker says: what isn't as expected starts no child, and is told once for each expectation.
    #[test]
    fn children_start_if_and_only_if_all_is_as_expected(rows in 0..40_u32, bytes in 0..40_u32, run in 0..20_i64, known in 0..6_usize) {
        let workflows = expecting("min_run=10s&expect=rows>9&expect=bytes:0.5x..2x", 0);
        let outcome = WorkerOutcome { ended: Some(at(run)), ..complete(&format!("rows={rows}&bytes={bytes}")) };
        let decision = decided(&workflows, &vec![16.0; known], &task(), &outcome);
        let failed = [run < 10, rows <= 9, known >= 3 && !(8..=32).contains(&bytes)];
        let failed = failed.into_iter().filter(|failed| *failed).count();
        prop_assert_eq!(decision.alerts.len(), failed);
        prop_assert_eq!(decision.children.len(), usize::from(failed == 0));
        prop_assert_eq!(decision.learned.len(), usize::from(failed == 0));
    }

    #[test]
    fn any_expectation_is_read_or_refused(text in "[a-z<>=:.x0-9 -]{0,12}") {
        let _ = rule(&format!("expect={text}&max_run={text}x&min_run={text}"));
    }
}

//! What is told of tasks that were: the day's recap, lists of tasks, one chain.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{TimeDelta, Timelike as _};
use flowlord_domain::{Attempt, TaskResult, duration};
use flowlord_messages::stats::{DayTotals, ReadDayTotals, ResultCounts};
use flowlord_messages::tasks::{FindTasks, ReadChain, TaskFilter, TaskPage};
use flowlord_web_compat::recap::{DayRecap, key};
use serde_json::{Map, Value, json};

use crate::case::{Case, Verdict, at, list};
use crate::departures;
use crate::masks::is_like;
use crate::store::{Store, day, field, has_other_day, is_unreadable, with_tasks};

/// How many tasks a page has unless the case says otherwise.
const PAGE: usize = 100;

pub(crate) fn recap(case: &Case<'_>) -> Verdict {
    let tasks = list(&case.input["tasks"]);
    let date = case.text("day");
    let (stats, attempts) = with_tasks(tasks, async |store: &Store| {
        let (from, to) = day(date);
        let stats = store.read(ReadDayTotals { day: from.date_naive() }).await;
        let filter = TaskFilter { from: Some(from), to: Some(to), ..TaskFilter::default() };
        (stats, store.all_of(FindTasks::oldest_first(filter, 10_000)).await)
    });
    let mut recap = DayRecap::new(&stats);
    attempts.iter().for_each(|attempt| recap.add(attempt));
    let json: Value = serde_json::from_str(&recap.json()).expect("JSON");
    let mut got = json!({ "json": json, "text_sorted_by_key": recap.text() });
    merge(&mut got, figures(&stats));
    let mut wanted = case.expected.clone();
    let wanted_hours = wanted["web_hourly"].take();
    let hours = got["web_hourly"].take();
    if !is_like(&wanted, &got) {
        return recap_departures(case, tasks, &wanted, &got);
    }
    if is_like(&wanted_hours, &hours) {
        return Verdict::Same;
    }
    let created: Vec<u32> = attempts.iter().map(|attempt| attempt.uid.created_at().hour()).collect();
    let count = |hour: u32| created.iter().filter(|created| **created == hour).count();
    let by_creation: Vec<(u32, usize)> =
        (0..24).map(|hour| (hour, count(hour))).filter(|(_, count)| *count > 0).collect();
    let shown: BTreeMap<u32, usize> = hours.as_object().expect("hours").iter().map(total).collect();
    Verdict::departs(departures::HOURS, &by_creation, &shown.into_iter().collect())
}

fn total((hour, counts): (&String, &Value)) -> (u32, usize) {
    let total = counts["Total"].as_u64().and_then(|total| usize::try_from(total).ok());
    (hour.parse().expect("an hour"), total.expect("a total"))
}

fn merge(into: &mut Value, more: Value) {
    let (Value::Object(into), Value::Object(more)) = (into, more) else { return };
    into.extend(more);
}

/// The figures of the page, from the totals of the day.
fn figures(stats: &DayTotals) -> Value {
    let mut hours: BTreeMap<u8, ResultCounts> = BTreeMap::new();
    let mut all = ResultCounts::default();
    let mut jobs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let keys: BTreeSet<String> = stats.rows.iter().map(|row| key(&row.topic, &row.job)).collect();
    for row in &stats.rows {
        add(hours.entry(row.hour).or_default(), row.counts);
        add(&mut all, row.counts);
    }
    for (topic, job) in keys.iter().filter_map(|key| key.split_once(':')) {
        jobs.entry(topic.to_owned()).or_default().insert(job.to_owned());
    }
    let types: BTreeSet<&str> =
        keys.iter().map(|key| key.split_once(':').map_or(key.as_str(), |(topic, _)| topic)).collect();
    let hours: Map<String, Value> = hours.into_iter().map(|(hour, sum)| (hour.to_string(), counts(sum))).collect();
    json!({
        "web_counts": counts(all), "web_hourly": hours, "web_jobs_by_type": jobs, "web_keys": keys,
        "web_types": types,
    })
}

fn add(sum: &mut ResultCounts, more: ResultCounts) {
    sum.total += more.total;
    sum.complete += more.complete;
    sum.error += more.error;
    sum.alert += more.alert;
    sum.warn += more.warn;
}

fn counts(counts: ResultCounts) -> Value {
    json!({
        "Total": counts.total, "Completed": counts.complete, "Error": counts.error, "Alert": counts.alert,
        "Warn": counts.warn, "Running": counts.without_result(),
    })
}

fn recap_departures(case: &Case<'_>, tasks: &[Value], wanted: &Value, got: &Value) -> Verdict {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for task in tasks.iter().filter(|task| !field(task, "id").is_empty()) {
        if at(field(task, "created")).date_naive().to_string() == case.text("day") {
            names.insert(key(field(task, "type"), field(task, "job")));
        }
    }
    let names_of = |value: &Value| -> Vec<String> {
        value["json"].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
    };
    if tasks.iter().any(has_other_day) {
        return Verdict::departs(departures::UTC, &names.into_iter().collect(), &names_of(got));
    }
    let count = |value: &Value| value["web_counts"]["Total"].as_u64();
    let same = (names_of(wanted), count(wanted));
    let ours = (names_of(got), count(got));
    let done = |task: &&Value| !field(task, "result").is_empty();
    let rule = if tasks.iter().any(is_unreadable) {
        departures::NO_TIMES
    } else if tasks.iter().filter(done).any(|task| field(task, "result").parse::<TaskResult>().is_err()) {
        departures::NO_RESULT
    } else if tasks.iter().filter(done).any(|task| field(task, "started").is_empty()) {
        departures::NO_START
    } else if tasks.iter().any(|task| field(task, "job").is_empty() && field(task, "meta").contains("job=")) {
        departures::META_JOB
    } else {
        return Verdict::of(wanted, got);
    };
    Verdict::departs(rule, &same, &ours)
}

pub(crate) fn task_view(case: &Case<'_>) -> Verdict {
    let tasks = list(&case.setup["tasks"]);
    match case.input["id"].as_str() {
        Some(id) => chain(case, tasks, id),
        None => of_a_day(case, tasks),
    }
}

fn chain(case: &Case<'_>, tasks: &[Value], id: &str) -> Verdict {
    let attempts = with_tasks(tasks, async |store: &Store| store.read(ReadChain { id: id.to_owned() }).await);
    let got: Value = serde_json::from_str(&flowlord_web_compat::task::chain(&attempts)).expect("JSON");
    let events = tasks.iter().filter(|task| field(task, "id") == id);
    if !is_like(case.expected, &got) && events.clone().any(|task| has_other_day(task) || is_unreadable(task)) {
        let rule = if events.clone().any(is_unreadable) { departures::NO_TIMES } else { departures::UTC };
        let count = got["Events"].as_array().map_or(0, Vec::len);
        return Verdict::departs(rule, &events.count(), &count);
    }
    Verdict::like(case.expected, &got)
}

/// What the list of a day is asked for.
struct Wanted {
    filter: TaskFilter,
    page: usize,
    limit: usize,
}

impl Wanted {
    /// None when the filter names a result that there isn't.
    fn of(case: &Case<'_>) -> Option<Self> {
        const KNOWN: [&str; 6] = ["ID", "Type", "Job", "Result", "Page", "Limit"];
        let asked = &case.input["filter"];
        for key in asked.as_object().into_iter().flat_map(Map::keys) {
            assert!(KNOWN.contains(&key.as_str()), "unknown key {key:?} of a filter");
        }
        let text = |name: &str| Some(field(asked, name).to_owned()).filter(|text| !text.is_empty());
        let list = |name: &str| text(name).into_iter().collect();
        let number = |name: &str| asked[name].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        let result = text("Result");
        let running = result.as_deref() == Some("running");
        let results = result.filter(|_| !running).map(|result| result.parse()).transpose().ok()?;
        let (from, to) = day(case.text("day"));
        let filter = TaskFilter {
            from: Some(from),
            to: Some(to),
            topics: list("Type"),
            jobs: list("Job"),
            results: results.into_iter().collect(),
            running,
            states: Vec::new(),
            ids: list("ID"),
            ..TaskFilter::default()
        };
        let limit = Some(number("Limit")).filter(|limit| *limit > 0).unwrap_or(PAGE);
        Some(Self { filter, page: number("Page").max(1), limit })
    }
}

fn of_a_day(case: &Case<'_>, tasks: &[Value]) -> Verdict {
    let expected = list(&case.expected["tasks"]).to_vec();
    let total = case.expected["total"].as_u64();
    let Some(wanted) = Wanted::of(case) else {
        return Verdict::departs(departures::NO_RESULT, &Some(0), &total);
    };
    let (all, shown) = with_tasks(tasks, async |store: &Store| {
        let all = store.all_of(FindTasks::newest_first(wanted.filter.clone(), 10_000)).await;
        let mut list = FindTasks::newest_first(wanted.filter.clone(), wanted.limit);
        let mut page = store.read(list.clone()).await;
        for _ in 1..wanted.page {
            list.after = page.next.take();
            let more = list.after.is_some();
            page = if more { store.read(list.clone()).await } else { TaskPage::default() };
        }
        (all.len() as u64, page.tasks)
    });
    let ids = |tasks: &[Value]| -> Vec<String> { tasks.iter().map(|task| field(task, "id").to_owned()).collect() };
    let rows: Vec<Value> = shown.iter().map(row).collect();
    if (total, ids(&expected)) != (Some(all), ids(&rows)) {
        if tasks.iter().any(has_other_day) {
            let (wanted_ids, count) = of_utc_day(case, tasks, &wanted);
            return Verdict::departs(departures::UTC, &(wanted_ids, count), &(ids(&rows), Some(all)));
        }
        return Verdict::of(&(total, ids(&expected)), &(Some(all), ids(&rows)));
    }
    let mut departs = None;
    for (expected, got) in expected.iter().zip(&rows) {
        let source = tasks.iter().find(|task| task["id"] == got["id"]).expect("a task");
        match one(expected, got, source) {
            Verdict::Same => {}
            Verdict::Departs(rule) => departs = Some(rule),
            wrong @ Verdict::Wrong(_) => return wrong,
        }
    }
    departs.map_or(Verdict::Same, Verdict::Departs)
}

/// The tasks of a page, and how many there are, by the UTC day of their creation.
fn of_utc_day(case: &Case<'_>, tasks: &[Value], wanted: &Wanted) -> (Vec<String>, Option<u64>) {
    let filter = &case.input["filter"];
    let fits = |task: &&Value| {
        let same = |asked: &str, name: &str| [field(task, name), ""].contains(&field(filter, asked));
        let result = match field(filter, "Result") {
            "running" => field(task, "result").is_empty(),
            result => ["", field(task, "result")].contains(&result),
        };
        at(field(task, "created")).date_naive().to_string() == case.text("day")
            && same("ID", "id")
            && same("Type", "type")
            && same("Job", "job")
            && result
    };
    let mut of_day: Vec<&Value> = tasks.iter().filter(fits).collect();
    of_day.sort_by_key(|task| std::cmp::Reverse(at(field(task, "created"))));
    let page = of_day.iter().skip((wanted.page - 1) * wanted.limit).take(wanted.limit);
    (page.map(|task| field(task, "id").to_owned()).collect(), Some(of_day.len() as u64))
}

/// A task as the reference's list has it.
fn row(attempt: &Attempt) -> Value {
    let event: Value =
        serde_json::from_str(&flowlord_web_compat::task::chain(std::slice::from_ref(attempt))).expect("JSON");
    let mut row = event["Events"][0].clone();
    let fields = row.as_object_mut().expect("an object");
    for name in ["job", "result", "meta", "msg", "started", "ended"] {
        fields.entry(name).or_insert_with(|| json!(""));
    }
    let span = |name: &str, from: Option<_>, to: Option<_>| {
        let span = Option::zip(from, to).map(|(from, to)| to - from);
        let text = span.map_or_else(|| "N/A".to_owned(), duration::print_clock);
        let seconds = span.map_or(0, |span| duration::whole_seconds(span.max(TimeDelta::zero())));
        [(format!("{name}_seconds"), json!(seconds)), (format!("{name}_time"), json!(text))]
    };
    fields.extend(span("task", attempt.started, attempt.ended));
    fields.extend(span("queue", Some(attempt.uid.created_at()), attempt.started));
    row
}

fn one(expected: &Value, got: &Value, source: &Value) -> Verdict {
    if expected == got {
        return Verdict::Same;
    }
    let zero = json!([0, "00:00:00"]);
    let run = json!([got["task_seconds"], got["task_time"]]);
    if is_unreadable(source) {
        return Verdict::departs(departures::NO_TIMES, &(&source["result"], &zero), &(&got["result"], &run));
    }
    if has_other_day(source) {
        let same = |mut task: Value| {
            let created = at(field(&task, "created"));
            task["created"] = json!(created.to_rfc3339());
            task
        };
        return Verdict::departs(departures::UTC, &same(expected.clone()), &same(got.clone()));
    }
    let time = |name: &str| Some(field(source, name)).filter(|text| !text.is_empty()).map(at);
    let span = |from: &str, to: &str| time(from).zip(time(to)).map(|(from, to)| to - from);
    let spans = [("task", span("started", "ended")), ("queue", span("created", "started"))];
    let odd = |span: TimeDelta| span < TimeDelta::zero() || span >= TimeDelta::seconds(1_000_000);
    if !spans.iter().any(|(_, span)| span.is_some_and(odd)) {
        return Verdict::of(expected, got);
    }
    // A row is the same but for spans that the reference can't show; in the place of one with a long span it shows an
    // error.
    let is_long = spans.iter().any(|(_, span)| span.is_some_and(|span| span >= TimeDelta::seconds(1_000_000)));
    let mut wanted = if is_long { got.clone() } else { expected.clone() };
    for (name, span) in spans.into_iter().filter_map(|(name, span)| Some((name, span.filter(|span| odd(*span))?))) {
        let seconds = span.num_seconds().max(0);
        wanted[format!("{name}_seconds")] = json!(seconds);
        wanted[format!("{name}_time")] =
            json!(format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
    }
    Verdict::departs(departures::SPANS, &wanted, got)
}

//! Requests, what becomes of them, and plans as wholes and in parts.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use chrono_tz::Tz;
use proptest::prelude::*;

use super::*;
use crate::batch;
use crate::ids::fixed::FixedIds;
use crate::rule::BatchStep;
use crate::workflow::{WorkflowFile, Workflows};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn now() -> DateTime<Utc> {
    at("2026-03-02T12:34:56Z")
}

fn workflows() -> Workflows {
    let text = r#"
[[phase]]
task = "load:daily"
rule = "cron=0 0 * * *"
template = "?date={yyyy}-{mm}-{dd}"
[[phase]]
task = "lists"
rule = "meta=key:a,b|val:1,2"
template = "?{meta:key}={meta:val}"
[[phase]]
task = "file"
rule = "meta-file=rows.json"
template = "?{meta:key}"
[[phase]]
task = "broken"
rule = "meta=abc"
template = "x"
"#;
    let file = WorkflowFile::parse("f.toml", text, "", Tz::UTC).unwrap();
    let other = WorkflowFile::parse("z.toml", &text.replace("?date", "?z"), "", Tz::UTC).unwrap();
    Workflows::new([file.into(), other.into()])
}

fn request(json: &str) -> BackloadRequest {
    serde_json::from_str(json).unwrap()
}

fn resolve(json: &str) -> Result<ResolvedRequest, BackloadRequestError> {
    request(json).resolve_order(&workflows(), now())
}

fn plan(json: &str) -> BackloadPlan {
    BackloadPlan::new(resolve(json).unwrap().order, None).unwrap()
}

fn infos(plan: &BackloadPlan) -> Vec<String> {
    let chunk = plan.make_chunk(0, usize::MAX, now(), "h", &mut FixedIds::default());
    assert_eq!((chunk.next, chunk.unmade), (plan.count(), vec![]));
    chunk.tasks.into_iter().map(|(_, task)| task.info).collect()
}

#[test]
fn keys_come_in_any_case_null_is_nothing_and_the_last_counts() {
    let read = request(
        r#"{"TASK":"a","Task":"b","Meta-File":"f","job":null,"META":{"k":["1",null],"all":"x","n":null},
            "only":"missing","Execute":true,"form":1,"more":{}}"#,
    );
    assert_eq!((read.task.as_str(), read.job.as_str(), read.meta_file.as_str()), ("b", "", "f"));
    assert_eq!((read.only, read.execute, read.unknown.as_deref()), (TaskSelection::Missing, true, Some("form")));
    let texts = |key| read.meta.0[key].as_texts().join(",");
    assert_eq!([texts("k"), texts("all"), texts("n")], ["1,", "x", ""]);
    for (json, says) in [
        (r#"{"execute":"true"}"#, "expected a boolean"),
        (r#"{"task":1}"#, "expected a string"),
        (r#"{"meta":[]}"#, "expected a map"),
        (r#"{"meta":{"a":1}}"#, "expected a text, or a list of texts"),
        (r#"{"meta":{"a":["x",1]}}"#, "expected a string"),
        (r#"{"only":"some"}"#, "expected one of `all`, `missing`, `failed`"),
    ] {
        let err = serde_json::from_str::<BackloadRequest>(json).unwrap_err().to_string();
        assert!(err.contains(says), "{json}: {err}");
    }
}

#[test]
fn null_takes_back_a_limit_and_no_other_value() {
    let read = request(r#"{"limit":5,"Limit":null,"offset":3,"offset":null,"by":"day","BY":null,"only":null}"#);
    assert_eq!((read.limit, read.offset, read.by.as_str(), read.only), (None, 3, "day", TaskSelection::All));
    assert_eq!(request(r#"{"limit":null,"limit":0}"#).limit, Some(0));
    assert_eq!(request(r#"{"x":1,"task":"a","y":2}"#).unknown.as_deref(), Some("x"), "the first one");
    for json in [r#"{"offset":-1}"#, r#"{"limit":1.5}"#, r#"{"background":0}"#, "[]", "null"] {
        assert!(serde_json::from_str::<BackloadRequest>(json).is_err(), "{json}");
    }
}

#[test]
fn what_is_missing_comes_from_the_phase_and_is_told() {
    let ResolvedRequest { order, message } = resolve(r#"{"task":"load","job":"daily","template":"mine"}"#).unwrap();
    assert_eq!(message, "no time provided using today, phase found in f.toml, using default day iterator");
    assert_eq!((order.from, order.to), (at("2026-03-02T12:00:00Z"), at("2026-03-02T12:00:00Z")));
    assert_eq!((order.workflow.as_str(), order.template.as_str()), ("f.toml", "?date={yyyy}-{mm}-{dd}"));
    let other = resolve(r#"{"task":"load:daily","workflow":"z.toml","at":"2026-01-01"}"#).unwrap();
    assert_eq!((other.order.workflow.as_str(), other.order.job.as_str()), ("z.toml", "daily"));
    let ours = resolve(r#"{"task":"new","workflow":"w","template":"x","by":"WEEK","at":"2026-01-01"}"#).unwrap();
    assert_eq!((ours.order.workflow.as_str(), ours.order.by, ours.message.as_str()), ("w", BatchStep::Week, ""));
    assert_eq!(infos(&plan(r#"{"task":"lists","at":"2026-01-01"}"#)), ["?a=1", "?b=2"]);
    assert_eq!(resolve(r#"{"task":"file"}"#).unwrap().order.meta_file.as_deref(), Some("rows.json"));
    let over = resolve(r#"{"task":"file","meta":{"key":"z"}}"#).unwrap().order;
    assert_eq!((over.meta_file, over.meta.is_empty()), (None, false));
    // Rows of the request's own don't need those of the rule.
    assert!(resolve(r#"{"task":"broken","meta":{"key":"z"}}"#).is_ok());
}

#[test]
fn what_is_taken_for_missing_times_is_told() {
    let told = |times: &str| {
        let json = format!("{{\"task\":\"x\",\"template\":\"y\",\"by\":\"day\"{times}}}");
        resolve(&json).unwrap().message
    };
    for (times, message) in [
        ("", "no time provided using today"),
        (r#","at":"","from":null"#, "no time provided using today"),
        (r#","from":"2026-01-01""#, "to value not set"),
        (r#","to":"2026-01-01""#, "from value not set"),
        (r#","at":"2026-01-01","from":"2026-02-01""#, "to value not set"),
        (r#","from":"2026-01-01","to":"2026-01-02""#, ""),
        (r#","at":"2026-01-01""#, ""),
    ] {
        assert_eq!(told(times), message, "{times}");
    }
}

#[test]
fn a_phase_of_another_file_is_found_where_the_named_file_has_none() {
    let order = resolve(r#"{"task":"lists","workflow":"gone.toml","at":"2026-01-01"}"#).unwrap().order;
    assert_eq!(order.workflow, "f.toml");
}

#[test]
fn what_cannot_be_carried_out_says_what_to_change() {
    for (json, says) in [
        ("{}", "`task` is missing"),
        (r#"{"task":"load:daily","job":"hourly"}"#, "`task` names the job `daily` and `job` says `hourly`"),
        (r#"{"task":"x","at":"2026-13-01"}"#, "`at` is `2026-13-01`: write a day like"),
        (r#"{"task":"x","from":"1969-12-31"}"#, "of the years 1970 to 9999"),
        (r#"{"task":"x","from":"2026-01-15T00:00:00 02:00"}"#, "write 2026-01-15T00:00:00%2B02:00"),
        (r#"{"task":"x","meta":{"a":"1"},"meta-file":"f"}"#, "`meta` and `meta-file` are both given"),
        (r#"{"task":"x","template":"y","meta":{"a":["1"],"b":["1","2"]}}"#, "give each list the same number of values"),
        (r#"{"task":"broken"}"#, "invalid rule found for broken: `abc` is not a list"),
        (r#"{"task":"load:dayly"}"#, "did you mean `load:daily`?"),
    ] {
        let err = resolve(json).unwrap_err().to_string();
        assert!(err.contains(says), "{json}: {err}");
    }
    let long = "x".repeat(MAX_TASK_BYTES / 2);
    let wide = vec!["a"; 100_000];
    let json = serde_json::json!({"task": "x", "template": "y", "meta": {"all": long, "each": wide}});
    let err = resolve(&json.to_string()).unwrap_err().to_string();
    assert!(err.contains("its 100000 rows would have") && err.contains("put them into a meta-file"), "{err}");
    for (json, says) in [
        (
            r#"{"task":"x","rate":"100"}"#,
            "`rate` is `100`: write how many tasks in how long, like 100/1m, over 1s to 24h",
        ),
        (r#"{"task":"x","tempalte":"y"}"#, "`tempalte` is unknown: did you mean `template`?"),
        (r#"{"task":"x","by":"year"}"#, "`by` is `year`: write hour, day, week or month"),
        (r#"{"task":"x","at":"2026-01-01","to":"2026-01-02"}"#, "`at` and `from` or `to`"),
    ] {
        let err = request(json).refuse_doubtful().unwrap_err().to_string();
        assert!(err.contains(says), "{json}: {err}");
    }
    assert_eq!(request(r#"{"task":"x","at":"2026-01-01","by":"hourly"}"#).refuse_doubtful(), Ok(()));
}

#[test]
fn times_are_read_as_go_does() {
    for (text, time) in [
        ("2020-01-02", "2020-01-02T00:00:00Z"),
        ("2020-01-02T03", "2020-01-02T03:00:00Z"),
        ("2020-01-02T03:04:05.5+01:00", "2020-01-02T02:04:05.5Z"),
        ("9999-12-31T23", "9999-12-31T23:00:00Z"),
        ("2020-01-02T3", "2020-01-02T03:00:00Z"),
        ("2020-01-02T3:04:05Z", "2020-01-02T03:04:05Z"),
        ("2020-01-02T03:04:05,5Z", "2020-01-02T03:04:05.5Z"),
    ] {
        assert_eq!(parse_time(text), Some(at(time)), "{text}");
    }
    for text in [
        "",
        " 2020-01-02",
        "2020-1-2",
        "2020-02-30",
        "2020-01-02T24",
        "2020-01-02 03:04:05Z",
        "2020-01-02t03:04:05Z",
        "2020-01-02T03:04:05z",
        "2020-01-02T03:04:60Z",
        "0001-01-01",
        "10000-01-01",
        "9999-12-31T23:59:59-01:00",
        "2020-01-02T",
        "2020-01-02T003",
    ] {
        assert_eq!(parse_time(text), None, "{text}");
    }
}

#[test]
fn an_order_survives_being_stored() {
    for json in [
        r#"{"task":"t:j","template":"x","meta":{"a":["1","2"],"all":"x"},"from":"2026-01-01","to":"2025-01-01"}"#,
        r#"{"task":"file","only":"failed","at":"2026-01-01T05:06:07Z"}"#,
    ] {
        let order = resolve(json).unwrap().order;
        let stored = serde_json::to_string(&order).unwrap();
        assert_eq!(serde_json::from_str::<BackloadOrder>(&stored).unwrap(), order, "{stored}");
    }
}

#[test]
fn rows_of_a_file_are_told_apart_by_their_digest() {
    let row = |value: &str| MetaRow(BTreeMap::from([("key".to_owned(), value.to_owned())]));
    let order = resolve(r#"{"task":"file","at":"2026-01-01"}"#).unwrap().order;
    let plan = |rows: &[&str]| {
        let rows = rows.iter().map(|value| row(value)).collect::<Vec<_>>();
        BackloadPlan::new(order.clone(), Some(rows.into())).unwrap()
    };
    assert_eq!(infos(&plan(&["a", "b"])), ["?a", "?b"]);
    assert_eq!(plan(&[]).count(), 0, "an empty file means nothing to do");
    assert_eq!(plan(&["a", "b"]).digest_of_rows(), plan(&["a", "b"]).digest_of_rows());
    assert_ne!(plan(&["a", "b"]).digest_of_rows(), plan(&["ab"]).digest_of_rows());
    assert_ne!(plan(&["a", "b"]).digest_of_rows(), plan(&["b", "a"]).digest_of_rows());
}

#[test]
fn a_key_of_the_template_that_no_row_has_is_refused() {
    let plan = |json: &str, key: &str| {
        let row = MetaRow(BTreeMap::from([(key.to_owned(), "a".to_owned())]));
        BackloadPlan::new(resolve(json).unwrap().order, Some(vec![row].into())).map_err(|err| err.to_string())
    };
    for json in [
        r#"{"task":"file","at":"2026-01-01"}"#,
        r#"{"task":"lists","meta-file":"rows.json","at":"2026-01-01"}"#,
        r#"{"task":"new","template":"{meta:key}{meta:val}","meta-file":"rows.json","at":"2026-01-01"}"#,
    ] {
        let err = plan(json, "Key").unwrap_err();
        assert!(err.starts_with("meta-file `rows.json`: no row has `key`"), "{json}: {err}");
        assert!(err.contains("the keys of its rows are `Key`"), "{json}: {err}");
    }
    assert!(plan(r#"{"task":"file","at":"2026-01-01"}"#, "key").is_ok());
}

#[test]
fn a_task_that_is_too_large_is_told_and_never_made() {
    let template = "{meta:a}".repeat(50_000);
    let json = serde_json::json!({
        "task": "t", "template": template, "at": "2026-01-01", "meta": {"a": ["x", "y".repeat(500_000), "z"]},
    });
    let plan = plan(&json.to_string());
    let chunk = plan.make_chunk(0, 10, now(), "h", &mut FixedIds::default());
    assert_eq!(
        chunk.tasks.iter().map(|(n, task)| (*n, task.info.len())).collect::<Vec<_>>(),
        [(0, 50_000), (2, 50_000)]
    );
    let [(1, UnmadeTask { time: Some(_), why })] = chunk.unmade.as_slice() else { panic!("{:?}", chunk.unmade) };
    assert!(why.contains("its info would have 25000400000 bytes, at most 1048576"), "{why}");
}

#[test]
fn a_chunk_of_large_tasks_ends_early() {
    let json = serde_json::json!({
        "task": "t", "template": "x".repeat(900_000), "from": "2026-01-01", "to": "2026-01-31",
    });
    let plan = plan(&json.to_string());
    let chunk = plan.make_chunk(3, 100, now(), "h", &mut FixedIds::default());
    assert_eq!((plan.count(), chunk.tasks.len(), chunk.next), (31, 5, 8));
}

#[test]
fn a_million_tasks_are_counted_without_making_them() {
    let plan = plan(r#"{"task":"t","template":"{hh}","by":"hour","from":"1970-01-01","to":"9999-12-31T23"}"#);
    assert_eq!(plan.count(), 70_389_528);
    let last = plan.make_task(plan.count() - 1, now(), "h", &mut FixedIds::default()).unwrap();
    assert_eq!((last.meta.as_str(), last.lane), ("cron=9999-12-31T23", TaskLane::Backload));
}

#[test]
fn the_slot_of_a_task_is_its_cron() {
    assert_eq!(slot_of_meta("a=1&cron=2026-01-01T03&workflow=w").as_deref(), Some("2026-01-01T03"));
    assert_eq!(slot_of_meta("acron=2026-01-01T03"), None);
}

#[test]
fn a_rule_keeps_its_phase_from_a_backload_only_by_its_rows_or_as_a_whole() {
    let resolved = |rule: &str, more: &str| {
        let text = format!("[[phase]]\ntask = \"a\"\ntemplate = \"x\"\nrule = \"{rule}\"\n");
        let file = WorkflowFile::parse("f.toml", &text, "", Tz::UTC).unwrap();
        request(&format!("{{\"task\":\"a\"{more}}}")).resolve_order(&Workflows::new([file.into()]), now()).is_ok()
    };
    let own_rows = r#","meta":{"k":"1"}"#;
    for (rule, phase_rows, request_rows) in [
        ("cron=@daily", true, true),
        ("cron=never&offset=x&for=x", true, true),
        ("meta=k", false, true),
        ("meta=k:1&meta-file=f", false, true),
        ("x=%zz", false, false),
    ] {
        assert_eq!((resolved(rule, ""), resolved(rule, own_rows)), (phase_rows, request_rows), "{rule}");
    }
}

#[test]
fn each_key_of_a_request_has_its_place() {
    let read = request(
        r#"{"at":"1","from":"2","to":"3","by":"4","template":"5","workflow":"6","meta-file":"7","task":"8","job":"9",
            "background":true,"execute":false,"offset":5,"limit":7,"only":"failed"}"#,
    );
    let texts = [&read.at, &read.from, &read.to, &read.by, &read.template, &read.workflow, &read.meta_file, &read.task];
    assert_eq!(texts, ["1", "2", "3", "4", "5", "6", "7", "8"]);
    assert_eq!((read.job.as_str(), read.background, read.execute), ("9", true, false));
    assert_eq!((read.offset, read.limit, read.only), (5, Some(7), TaskSelection::Failed));
    let err = serde_json::from_str::<BackloadRequest>("[]").unwrap_err().to_string();
    assert!(err.contains("expected an object"), "{err}");
}

#[test]
fn the_digest_of_rows_is_the_same_in_every_version() {
    let order = resolve(r#"{"task":"file","at":"2026-01-01"}"#).unwrap().order;
    let rows = vec![MetaRow(BTreeMap::from([("key".to_owned(), "a".to_owned())]))];
    // FNV-1a of `key`, 0xff, `a`, 0xff.
    assert_eq!(BackloadPlan::new(order, Some(rows.into())).unwrap().digest_of_rows(), 0x3366_0531_758a_b4e5);
}

#[test]
fn a_task_may_be_as_large_as_the_limit() {
    // The meta of the task is `cron=2026-01-01T00`.
    let made = |length: usize| {
        let json = serde_json::json!({"task": "t", "template": "x".repeat(length), "at": "2026-01-01"});
        let plan = plan(&json.to_string());
        plan.make_task(0, now(), "h", &mut FixedIds::default()).map(|task| task.info.len()).map_err(|unmade| unmade.why)
    };
    assert_eq!(made(MAX_TASK_BYTES - 18), Ok(MAX_TASK_BYTES - 18));
    assert!(made(MAX_TASK_BYTES - 17).unwrap_err().starts_with("its info and meta have 1048577 bytes"));
    assert!(made(MAX_TASK_BYTES).unwrap_err().starts_with("its info and meta have"));
    assert!(made(MAX_TASK_BYTES + 1).unwrap_err().starts_with("its info would have 1048577 bytes"));
}

proptest! {
    #[test]
    fn a_backload_of_a_range_is_those_of_its_parts(
        start in 0_i64..20_000, steps in -60_i32..60, cut in 0_u32..100, by in 0..4_usize, rows in 0..3_usize,
    ) {
        let by = [BatchStep::Hour, BatchStep::Day, BatchStep::Week, BatchStep::Month][by];
        // A day that each month has: from a later one on, months of a part are cut otherwise than those of the whole.
        let days = DateTime::UNIX_EPOCH + TimeDelta::days(start / 28 * 31);
        let from = days.date_naive().format("%Y-%m-14T05:00:00Z").to_string().parse::<DateTime<Utc>>().unwrap();
        let there = |n: i32| {
            let far = from + TimeDelta::days(i64::from(n) * 40);
            let times = batch::times_of_range(from, far, by, n.unsigned_abs() as usize + 1);
            *times.last().unwrap()
        };
        let lists = (rows > 0).then(|| MetaValues::Many((0..rows).map(|n| n.to_string()).collect()));
        let order = |from, to| BackloadOrder {
            topic: "t".to_owned(), job: String::new(), workflow: String::new(),
            template: "{yyyy}{mm}{dd}{hh} {meta:k}".to_owned(), from, to, by,
            meta: MetaLists(lists.clone().into_iter().map(|list| ("k".to_owned(), list)).collect()),
            meta_file: None, only: TaskSelection::All, rate: String::new(),
        };
        let part = |from, to| infos(&BackloadPlan::new(order(from, to), None).unwrap());
        let to = there(steps);
        let whole = part(from, to);
        prop_assert_eq!(whole.len(), (steps.unsigned_abs() as usize + 1) * rows.max(1));
        if steps == 0 {
            return Ok(());
        }
        // The first part ends with this step, the second begins with the next one.
        let end = i32::try_from(cut % steps.unsigned_abs()).unwrap() * steps.signum();
        let second = part(there(end + steps.signum()), to);
        let mut parts = [part(from, there(end)), second].concat();
        // One time alone has no direction, and its rows go forwards.
        parts.sort();
        let mut whole = whole;
        whole.sort();
        prop_assert_eq!(whole, parts);
    }
}

//! What a join starts, once its parents' metas are known.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::JoinStart;
use super::start::JoinedTask;
use super::tests::{at, join, phase, workflows};
use crate::ids::fixed::FixedIds;
use crate::schedule::NoFiles;
use crate::task::{NewTask, Uid};

const MOST_BYTES: usize = 1024 * 1024;

fn about() -> DateTime<Utc> {
    at("2024-01-15T03:00:00Z")
}

/// What the join with these keys starts.
fn start_of(keys: &str) -> JoinStart {
    let text = phase("x", "rule = \"cron=0 3 * * *\"") + &phase("sum:day", &format!("dependsOn = \"x\"\n{keys}"));
    let workflows = workflows(Tz::UTC, &[("w.toml", &text)]);
    let mut ids = FixedIds::default();
    let base = NewTask::of_new_chain(("x", ""), "w.toml", about(), &mut ids);
    JoinStart::new(join(&workflows, "sum:day"), about(), base, (about(), "host"), &mut ids, &NoFiles)
}

fn left(meta: &str) -> [JoinedTask; 1] {
    [JoinedTask::new("w.toml#x@2024-01-15T03", meta)]
}

fn infos(start: &JoinStart, meta: &str, keeps_unknown: bool) -> Vec<String> {
    let tasks = start.tasks(&left(meta), keeps_unknown).unwrap();
    tasks.into_iter().map(|task| task.info).collect()
}

#[test]
fn metas_are_read_only_where_a_template_asks_for_them() {
    assert!(start_of("rule = \"over=day\"\ntemplate = \"{yyyy}/{meta:file}\"").needs_meta());
    assert!(!start_of("rule = \"over=day\"\ntemplate = \"{yyyy}\"").needs_meta());
}

#[test]
fn what_no_parent_left_is_empty_and_stays_as_it_is_written_in_a_plan() {
    let start = start_of("rule = \"over=day\"\ntemplate = \"{meta:file}|{meta:rows}\"");
    assert_eq!(infos(&start, "file=f", false), ["f|"]);
    assert_eq!(infos(&start, "file=f", true), ["f|{meta:rows}"]);
    assert_eq!(infos(&start, "file=&rows=3", true), ["{meta:file}|3"], "an empty value is none");
}

#[test]
fn each_row_is_a_task_that_takes_its_value_along() {
    let start = start_of("rule = \"over=day&meta=r:eu,us\"\ntemplate = \"{meta:r}{meta:file}\"");
    let tasks = start.tasks(&left("file=f&r=other"), false).unwrap();
    let seen: Vec<_> = tasks.iter().map(|task| (task.info.as_str(), task.meta.as_str())).collect();
    let of_row = |row: &str, task: &NewTask| task.meta.ends_with(&format!("r={row}"));
    assert_eq!((seen[0].0, seen[1].0), ("euf", "usf"), "a row's value goes before a parent's");
    assert!(of_row("eu", &tasks[0]) && of_row("us", &tasks[1]), "{seen:?}");
    let mut uids: Vec<Uid> = tasks.iter().map(|task| task.uid).chain([start.base().uid]).collect();
    uids.sort_unstable();
    uids.dedup();
    assert_eq!(uids.len(), 3, "each has an id of its own");
    assert!(
        tasks
            .iter()
            .all(|task| task.id == start.base().id && (task.topic.as_str(), task.job.as_str()) == ("sum", "day"))
    );
}

#[test]
fn a_list_of_values_makes_no_task_that_is_too_large() {
    let start = start_of("rule = \"over=day\"\ntemplate = \"{meta:file}\"");
    let of_bytes = |bytes: usize| start.tasks(&left(&format!("file={}", "f".repeat(bytes))), false);
    assert_eq!(of_bytes(MOST_BYTES).unwrap()[0].info.len(), MOST_BYTES);
    let says = "its info would have 1048577 bytes, at most 1048576 are allowed";
    assert_eq!(of_bytes(MOST_BYTES + 1).unwrap_err(), says);
}

#[test]
fn rows_that_can_not_be_read_are_a_reason_to_start_nothing() {
    let start = start_of("rule = \"over=day&meta-file=rows.csv\"\ntemplate = \"{meta:r}\"");
    let problem = start.tasks(&left(""), false).unwrap_err();
    assert!(problem.contains("rows.csv"), "{problem}");
    assert!(!start.needs_meta(), "there is no task to fill in");
}

#[test]
fn a_join_belongs_to_the_chain_of_the_task_that_completed_it() {
    let mut start = start_of("rule = \"over=day\"\ntemplate = \"{meta:file}\"");
    assert_eq!(start.tasks(&left(""), false).unwrap()[0].parent, None);
    start.rename_parent(Uid(7));
    assert_eq!(start.tasks(&left(""), false).unwrap()[0].parent, Some(Uid(7)));
}

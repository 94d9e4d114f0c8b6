use std::fs;
use std::path::Path;

use chrono_tz::Tz;
use tempfile::TempDir;

use super::*;
use print::plan_lines;

const LIMITS: PlanLimits = PlanLimits { tasks: 2, followers: 2, depth: MAX_DEPTH };

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn how() -> ReadOptions {
    ReadOptions { zone: Tz::UTC, allowed: Vec::new(), stores: StorageConnections::default() }
}

fn read(path: &Path) -> PlanFiles {
    PlanFiles::read(&path.display().to_string(), &how(), None).unwrap()
}

fn planned(folder: &PlanFiles, zone: Tz) -> Vec<String> {
    let (from, to) = (time::parse_time("2024-01-15", zone).unwrap(), time::parse_time("2024-01-16", zone).unwrap());
    let plan = SlotPlan::new(&folder.workflows, folder, from, to, LIMITS);
    plan.flat_map(|planned| plan_lines(&planned, zone)).map(|line| "  ".repeat(line.depth) + &line.text).collect()
}

#[test]
fn the_rows_of_a_meta_file_are_read_beside_the_workflow() {
    let phase = |rest: &str| {
        format!("[[phase]]\ntask = \"a\"\nrule = \"cron=0 5 * * *&meta-file={rest}\"\ntemplate = \"{{meta:k}}\"\n")
    };
    let rows = "{\"k\":\"eu\"}\n{\"k\":\"us\"}\n{\"k\":\"cn\"}\n{\"k\":\"au\"}\n";
    let folder = folder(&[
        ("a.toml", &phase("rows.json")),
        ("b.toml", &phase("nowhere.json")),
        ("c.toml", &phase("bad.json")),
        ("d.toml", &phase("s3://b/rows.json")),
        ("rows.json", rows),
        ("bad.json", "[1]"),
    ]);
    let planned = planned(&read(folder.path()), Tz::Europe__Berlin);
    let begins = |n: usize, text: &str| assert!(planned[n].starts_with(text), "{planned:?}");
    begins(0, "2024-01-15T06:00:00+01:00  a.toml  a  eu");
    begins(1, "2024-01-15T06:00:00+01:00  a.toml  a  us");
    begins(2, "2024-01-15T06:00:00+01:00  a.toml  a  ... and 2 more tasks: --most shows them");
    begins(3, "2024-01-15T06:00:00+01:00  b.toml  a  ! starts nothing: meta-file `nowhere.json`: ");
    assert!(planned[3].ends_with("it doesn't exist: paths are relative to the workflow folder"), "{planned:?}");
    assert!(planned[4].ends_with("line 1: not an object: each line is one, like {\"key\":\"value\"}"), "{planned:?}");
    assert!(planned[5].ends_with("no such store is configured: set [store.s3] or [store.gcs]"), "{planned:?}");
    assert_eq!(planned.len(), 6);
}

#[test]
fn a_line_stays_a_line_and_what_follows_is_cut() {
    let phase = |task: &str, parent: &str| format!("[[phase]]\ntask = \"{task}\"\ndependsOn = \"{parent}\"\n");
    let text = "[[phase]]\ntask = \"a\"\nrule = \"cron=0 5 * * *\"\ntemplate = \"x\\ny\"\n".to_owned()
        + &phase("b", "a")
        + &phase("c", "b")
        + &phase("d", "c");
    let folder = folder(&[("a.toml", &text)]);
    assert_eq!(
        planned(&read(&folder.path().join("a.toml")), Tz::UTC),
        ["2024-01-15T05:00:00Z  a.toml  a  x\\ny", "  b", "    c", "      ... and more: --most shows them"]
    );
}

#[test]
fn files_that_can_t_be_read_have_no_plan() {
    let error = |path: &Path| PlanFiles::read(&path.display().to_string(), &how(), None).err().unwrap().to_string();
    let folder = folder(&[("a.toml", "[[phase]]\ntask = 1\n")]);
    let expected = format!(
        "no plan, because these files can't be read:\n{}:2:8: `task` is a number: write a text in quotes",
        folder.path().join("a.toml").display()
    );
    assert_eq!(error(folder.path()), expected);
    assert!(error(&folder.path().join("x")).contains("x can't be read: No such file"));
    fs::remove_file(folder.path().join("a.toml")).unwrap();
    assert!(error(folder.path()).ends_with("has no workflow files (*.toml)"));
}

/// A day's plan as JSON.
fn planned_values(folder: &PlanFiles) -> Vec<serde_json::Value> {
    let (from, to) =
        (time::parse_time("2024-01-15", Tz::UTC).unwrap(), time::parse_time("2024-01-16", Tz::UTC).unwrap());
    let plan = SlotPlan::new(&folder.workflows, folder, from, to, LIMITS);
    plan.map(|planned| print::planned_json(&planned, Tz::UTC)).collect()
}

const CHAIN: &str = r#"
[[phase]]
task = "a"
rule = "cron=0 5 * * *&expect=rows>0"
template = "{dd}"
[[phase]]
task = "b:x"
dependsOn = "a"
rule = "require={meta:file}&meta-file=gone.csv"
[[phase]]
task = "c"
dependsOn = "a"
rule = "require={meta:file}&require={meta:rows}&expect=rows>1"
template = "{meta:file}"
"#;

#[test]
fn what_follows_is_said_with_what_it_needs_and_expects() {
    let folder = folder(&[("a.toml", CHAIN)]);
    let lines = planned(&read(folder.path()), Tz::UTC);
    assert_eq!(lines[0], "2024-01-15T05:00:00Z  a.toml  a  15  (expects rows>0)");
    let children = &lines[1..];
    assert!(
        children.contains(&"  c  {meta:file}  (if file and rows is set)  (expects rows>1)".to_owned()),
        "{lines:?}"
    );
    assert!(children.iter().any(|line| line.starts_with("  b:x  ! ") && line.contains("gone.csv")), "{lines:?}");
}

#[test]
fn a_plan_as_json_leaves_out_what_there_is_nothing_to_say_about() {
    let folder = folder(&[("a.toml", CHAIN)]);
    let [a] = &planned_values(&read(folder.path()))[..] else { panic!("one slot") };
    assert_eq!(
        (&a["time"], &a["workflow"], &a["task"]),
        (&"2024-01-15T05:00:00Z".into(), &"a.toml".into(), &"a".into())
    );
    assert_eq!((&a["info"], &a["expects"]), (&"15".into(), &serde_json::json!(["rows>0"])));
    for absent in ["needs", "problem", "more", "cut"] {
        assert!(a.get(absent).is_none(), "{absent}: {a}");
    }
    let children = a["children"].as_array().unwrap();
    let child = |task: &str| children.iter().find(|child| child["task"] == task).unwrap();
    assert_eq!(child("c")["needs"], serde_json::json!(["file", "rows"]));
    assert!(child("b:x")["problem"].as_str().unwrap().contains("gone.csv"));
    assert!(child("b:x").get("info").is_none() && child("b:x").get("meta").is_none(), "a task that isn't created");
}

#[test]
fn a_plan_as_json_says_what_the_limits_leave_out() {
    let folder = folder(&[(
        "a.toml",
        "[[phase]]\ntask = \"a\"\nrule = \"cron=0 5 * * *&for=4h&by=hour\"\ntemplate = \"{hh}\"\n\
         [[phase]]\ntask = \"z\"\nrule = \"cron=0 6 * * *&meta-file=gone.csv\"\n",
    )]);
    let values = planned_values(&read(folder.path()));
    assert_eq!((values.len(), &values[2]["more"]), (4, &3.into()));
    assert!(values[3]["problem"].as_str().unwrap().contains("gone.csv"), "{}", values[3]);
}

#[test]
fn a_list_as_json_is_one_also_where_it_is_empty() {
    let mut list = print::JsonList::default();
    assert_eq!(list.end(), "[]\n");
    let text = list.next(&1.into()) + &list.next(&"two".into()) + list.end();
    assert_eq!(text, "[\n 1,\n \"two\"\n]\n");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), serde_json::json!([1, "two"]));
}

/// The differences of two files, as text and as JSON.
fn differences(old: &str, new: &str) -> (Vec<String>, Vec<String>) {
    let [old, new] = [old, new].map(|text| folder(&[("w.toml", text)]));
    let [old, new] = [&old, &new].map(|folder| read(folder.path()));
    let (from, to) =
        (time::parse_time("2024-01-15", Tz::UTC).unwrap(), time::parse_time("2024-01-16", Tz::UTC).unwrap());
    let [old, new] = [&old, &new].map(|files| SlotPlan::new(&files.workflows, files, from, to, LIMITS));
    let (mut texts, mut values) = (Vec::new(), Vec::new());
    for (old, new) in diff::pair_slots(old, new) {
        texts.extend(diff::diff_text(&old, &new, Tz::UTC).lines().map(str::to_owned));
        let changes = diff::diff_json(&old, &new, Tz::UTC).into_iter();
        values
            .extend(changes.map(|change| format!("{} {}", change["change"].as_str().unwrap(), change["slot"]["task"])));
    }
    (texts, values)
}

fn cron_phase(task: &str, hour: u32, info: &str) -> String {
    format!("[[phase]]\ntask = \"{task}\"\nrule = \"cron=0 {hour} * * *\"\ntemplate = \"{info}\"\n")
}

fn child_phase(task: &str, parent: &str, info: &str) -> String {
    format!("[[phase]]\ntask = \"{task}\"\ndependsOn = \"{parent}\"\ntemplate = \"{info}\"\n")
}

#[test]
fn the_same_plan_has_no_differences() {
    let text = cron_phase("a", 5, "x") + &child_phase("b", "a", "y");
    assert_eq!(differences(&text, &text), (Vec::new(), Vec::new()));
}

#[test]
fn a_slot_that_comes_or_goes_or_moves_is_a_difference() {
    let (a, b) = (cron_phase("a", 5, "x"), cron_phase("b", 6, "y"));
    let line = |mark: char, hour: u32, rest: &str| format!("{mark} 2024-01-15T0{hour}:00:00Z  w.toml  {rest}");
    let (texts, values) = differences(&a, &(a.clone() + &b));
    assert_eq!((texts, values), (vec![line('+', 6, "b  y")], vec!["added \"b\"".to_owned()]));
    let (texts, values) = differences(&(a.clone() + &b), &a);
    assert_eq!((texts, values), (vec![line('-', 6, "b  y")], vec!["removed \"b\"".to_owned()]));
    let (texts, values) = differences(&a, &cron_phase("a", 7, "x"));
    assert_eq!(texts, [line('-', 5, "a  x"), line('+', 7, "a  x")]);
    assert_eq!(values, ["removed \"a\"", "added \"a\""]);
}

#[test]
fn a_task_that_follows_is_shown_with_what_leads_to_it() {
    let text = |info: &str| {
        cron_phase("a", 5, "x")
            + &child_phase("b", "a", "same")
            + &child_phase("c", "b", info)
            + &child_phase("d", "a", "same")
    };
    let (texts, values) = differences(&text("old"), &text("new"));
    assert_eq!(texts, ["  2024-01-15T05:00:00Z  w.toml  a  x", "    b  same", "-     c  old", "+     c  new"]);
    assert_eq!(values, ["removed \"a\"", "added \"a\""], "JSON has the slot with all that follows");
}

#[test]
fn tasks_that_are_alike_are_told_apart_by_their_number() {
    let rows =
        |rows: &str| format!("[[phase]]\ntask = \"a\"\nrule = \"cron=0 5 * * *&meta=k:{rows}\"\ntemplate = \"same\"\n");
    let (texts, values) = differences(&rows("1,1"), &rows("1"));
    assert_eq!(texts, ["- 2024-01-15T05:00:00Z  w.toml  a  same"]);
    assert_eq!(values, ["removed \"a\""]);
}

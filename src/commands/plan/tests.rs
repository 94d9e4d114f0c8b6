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

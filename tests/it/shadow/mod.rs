//! The database of a Go program compared with what would be done here: every planted difference is found, and nothing
//! else.

mod go_program;
mod plant;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Output, Stdio};

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::process::{PATIENCE, flowlord, signal};
use go_program::{GoDatabase, GoPlan, Row, run_go_program, start_of, workflow_texts};
use plant::{Planted, plant_differences};

const SMALL: GoPlan =
    GoPlan { schema: 2, files: 4, minutes: 30, days: 30, zone: Tz::UTC, departs: false, planted: 4, seed: 1 };

const LARGE: GoPlan = GoPlan { files: 12, minutes: 40, departs: true, planted: 40, seed: 9, ..SMALL };

/// Writes the workflow files and the database of a plan into a folder. Answers what was planted.
fn write_plan(folder: &Path, plan: &GoPlan) -> (Vec<Planted>, GoDatabase) {
    write_workflows(folder, workflow_texts(plan));
    let (database, planted) = plant_differences(run_go_program(plan), plan);
    database.write_to(&folder.join("tasks.db"), plan.schema);
    (planted, database)
}

fn write_workflows(folder: &Path, texts: Vec<(String, String)>) {
    for (path, text) in texts {
        let path = folder.join("workflows").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

async fn shadow(folder: &Path, zone: Tz, more: &[&str]) -> Output {
    let args = ["shadow", "tasks.db", "--workflow", "workflows", "--timezone", zone.name()];
    flowlord(folder, &[&args[..], more].concat()).output().await.unwrap()
}

async fn compared(folder: &Path, zone: Tz, more: &[&str]) -> (Option<i32>, Value) {
    let output = shadow(folder, zone, &[&["--format", "json"], more].concat()).await;
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code(), report.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))))
}

/// What isn't a departure, as it is planted.
fn unexplained(report: &Value) -> Vec<Planted> {
    let all = report["differences"].as_array().unwrap();
    let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    let mut found: Vec<Planted> = all
        .iter()
        .filter(|one| one["class"] != "departure")
        .map(|one| {
            let kind = text(one, "kind");
            let key = match kind.as_str() {
                "file task" => text(one, "info"),
                "root task" if text(one, "id").is_empty() => text(one, "time"),
                _ => text(one, "id"),
            };
            (text(one, "class"), kind, text(one, "task"), key)
        })
        .collect();
    found.sort();
    found
}

fn assert_found(plan: &GoPlan, report: &Value, mut planted: Vec<Planted>) {
    planted.sort();
    let found = unexplained(report);
    let missed: Vec<_> = planted.iter().filter(|one| !found.contains(one)).collect();
    let more: Vec<_> = found.iter().filter(|one| !planted.contains(one)).collect();
    assert!(missed.is_empty() && more.is_empty(), "{plan:?}: missed {missed:#?}\nmore {more:#?}");
    assert_eq!(found, planted, "{plan:?}");
    assert!(planted.len() >= 12 * plan.planted, "{}", planted.len());
}

#[actix::test]
async fn every_planted_difference_is_found_and_nothing_else() {
    for plan in [
        SMALL,
        GoPlan { schema: 1, departs: true, seed: 2, ..SMALL },
        GoPlan { zone: Tz::Europe__Berlin, departs: true, seed: 3, ..SMALL },
        LARGE,
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (planted, database) = write_plan(folder.path(), &plan);
        let (code, report) = compared(folder.path(), plan.zone, &[]).await;
        assert_eq!(code, Some(1));
        assert_found(&plan, &report, planted);
        let counts = &report["counts"];
        let same = counts["same"].as_u64().unwrap();
        assert!(same > database.rows.len() as u64 / 2, "{counts}");
        for (name, count) in &database.departures {
            assert_eq!(counts["departures"][name], *count, "{name} in {counts}");
        }
        let wanted: &[&str] = match (plan.departs, plan.zone == Tz::UTC) {
            (false, _) => &[],
            (true, true) => &["downtime", "overwritten"],
            (true, false) => &["downtime", "overwritten", "utc", "clocks"],
        };
        for name in wanted {
            assert!(counts["departures"][name].is_u64(), "{name} in {counts}");
        }
    }
}

#[actix::test]
async fn days_compared_one_by_one_tell_what_all_of_them_tell() {
    let folder = tempfile::tempdir().unwrap();
    let plan = GoPlan { schema: 1, departs: true, seed: 5, ..SMALL };
    let (planted, database) = write_plan(folder.path(), &plan);
    let mut found = Vec::new();
    let mut alerts = 0;
    for day in 0..plan.days {
        let time = |days: i64| (start_of(&plan) + TimeDelta::days(days)).format("%Y-%m-%d").to_string();
        let (from, to) = (time(day), time(day + 1));
        let (_, report) = compared(folder.path(), plan.zone, &["--from", &from, "--to", &to]).await;
        found.extend(unexplained(&report));
        alerts += report["counts"]["departures"]["alert-result"].as_u64().unwrap_or(0);
    }
    let (found, planted): (BTreeSet<_>, BTreeSet<_>) = (found.into_iter().collect(), planted.into_iter().collect());
    assert_eq!(found, planted);
    assert_eq!(alerts, database.departures["alert-result"]);
}

fn at(clock: &str) -> DateTime<Utc> {
    format!("2024-01-15T{clock}Z").parse().unwrap()
}

const HOURLY: &str = "[[phase]]\ntask = \"h\"\nrule = \"cron=0 * * * *\"\ntemplate = \"?h={hh}\"\n";

fn hourly(hour: u32) -> Row {
    Row {
        topic: "h".to_owned(),
        id: format!("chain-{hour}"),
        info: format!("?h={hour:02}"),
        meta: format!("workflow=w.toml&cron=2024-01-15T{hour:02}"),
        result: "complete".to_owned(),
        created: at(&format!("{hour:02}:00:01")),
        ended: Some(at(&format!("{hour:02}:00:09"))),
        ..Row::default()
    }
}

/// A folder with the database of a program that used these hours.
fn hours(hours: impl IntoIterator<Item = u32>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_workflows(folder.path(), vec![("w.toml".to_owned(), HOURLY.to_owned())]);
    let database = GoDatabase { rows: hours.into_iter().map(hourly).collect(), ..GoDatabase::default() };
    database.write_to(&folder.path().join("tasks.db"), 2);
    folder
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[actix::test]
async fn the_exit_code_says_whether_something_is_unexplained_and_nothing_is_written() {
    let (same, different) = (hours(0..12), hours((0..12).filter(|hour| *hour != 7)));
    let before = std::fs::read(same.path().join("tasks.db")).unwrap();
    let output = shadow(same.path(), Tz::UTC, &[]).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines, ["from 2024-01-15T00:00:01Z to 2024-01-15T10:55:01Z", "same         11  root task"]);
    assert_eq!(names_in(same.path()), ["tasks.db", "workflows"].map(str::to_owned).into());
    assert_eq!(std::fs::read(same.path().join("tasks.db")).unwrap(), before);

    let output = shadow(different.path(), Tz::UTC, &[]).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let line = "only here  root task  2024-01-15T07:00:00Z  h  w.toml  ?h=07  (w.toml:1 has this slot)";
    assert!(text.ends_with(&format!("\n\n{line}\n")), "{text}");

    for (more, says) in [
        (&["--from", "yesterday"][..], "`yesterday` is not a time"),
        (&["--from", "2024-02-01"], "nothing to compare: the database has records from 2024-01-15 00:00:01 UTC"),
        (&["--follow", "5ms"], "write 1s or more"),
        (&["--follow", "1m", "--to", "2024-02-01"], "cannot be used with"),
    ] {
        let output = shadow(same.path(), Tz::UTC, more).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(says), "{more:?}: {said}");
    }
    for (database, workflow, zone, says) in [
        ("none.db", "workflows", "UTC", "none.db doesn't exist: name the database of the Go program"),
        ("tasks.db", "none", "UTC", "none"),
        ("tasks.db", "workflows", "Nowhere", "Nowhere"),
        ("workflows/w.toml", "workflows", "UTC", "w.toml can't be read"),
    ] {
        let args = ["shadow", database, "--workflow", workflow, "--timezone", zone];
        let output = flowlord(same.path(), &args).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(says), "{args:?}: {said}");
    }
}

#[actix::test]
async fn json_is_one_document() {
    let folder = hours((0..12).filter(|hour| *hour != 7));
    let (code, report) = compared(folder.path(), Tz::UTC, &[]).await;
    assert_eq!(code, Some(1));
    insta::assert_json_snapshot!(report, @r#"
    {
      "counts": {
        "departures": {},
        "left_out": {},
        "only_here": 1,
        "only_there": 0,
        "same": 10
      },
      "differences": [
        {
          "class": "only_here",
          "hint": "w.toml:1 has this slot",
          "id": "",
          "info": "?h=07",
          "kind": "root task",
          "task": "h",
          "time": "2024-01-15T07:00:00Z",
          "workflow": "w.toml"
        }
      ],
      "range": {
        "from": "2024-01-15T00:00:01Z",
        "to": "2024-01-15T10:55:01Z"
      }
    }
    "#);
}

#[actix::test]
async fn a_program_that_runs_is_followed() {
    let folder = hours(0..5);
    let path = folder.path().join("tasks.db");
    let running = Connection::open(&path).unwrap();
    running.execute_batch("PRAGMA user_version = 0; CREATE TABLE alive (n INTEGER)").unwrap();
    assert!(names_in(folder.path()).contains("tasks.db-wal"), "what it wrote is only in its log");
    let args = [
        "shadow",
        "tasks.db",
        "--workflow",
        "workflows",
        "--timezone",
        "UTC",
        "--follow",
        "1s",
        "--from",
        "2024-01-15",
    ];
    let mut child = flowlord(folder.path(), &args).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let insert = "INSERT INTO task_records (id, type, job, info, result, meta, created, ended)
        VALUES (?1, 'h', '', ?2, 'complete', ?3, ?4, ?4)";
    // Hour 7 is left out.
    let later = async {
        loop {
            for hour in [5, 6, 8, 9] {
                let row = hourly(hour);
                let created = row.created.to_rfc3339();
                running
                    .execute(&insert.replace("INSERT", "INSERT OR IGNORE"), [&row.id, &row.info, &row.meta, &created])
                    .unwrap();
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let line = tokio::select! {
        line = tokio::time::timeout(PATIENCE, lines.next_line()) => line.expect("a line").unwrap().unwrap(),
        () = later => unreachable!(),
    };
    assert!(line.starts_with("only here  root task  2024-01-15T07:00:00Z  h  w.toml  ?h=07"), "{line}");
    signal(child.id().unwrap(), Signal::TERM);
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap();
    assert_eq!(status.code(), Some(1));
}

/// Writes a database to compare with, for measurements: see CONTRIBUTING.md.
#[test]
#[expect(clippy::print_stdout, reason = "what was written is what a person runs this for")]
fn a_database_can_be_written_for_measurements() {
    let Some(folder) = std::env::var_os("SHADOW_DATA") else { return };
    let plan = LARGE;
    let (planted, database) = write_plan(Path::new(&folder), &plan);
    assert!(database.rows.len() >= 100_000, "{}", database.rows.len());
    println!("{} records, {} differences planted", database.rows.len(), planted.len());
}

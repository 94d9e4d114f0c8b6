//! `GET /info`: when what starts, and what follows it.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::duration;
use flowlord_domain::workflow::{Phase, WorkflowFile, Workflows};
use serde::Serialize;

use super::{pretty, time_or_none};

/// What the service says of itself.
#[derive(Debug, Clone, Copy)]
pub struct ServiceInfo<'a> {
    pub version: &'a str,
    /// How long it is up.
    pub up: TimeDelta,
    /// When the workflow files are looked at next.
    pub next_look: DateTime<Utc>,
    /// When they were looked at last.
    pub last_look: DateTime<Utc>,
}

#[derive(Serialize)]
struct InfoDocument<'a> {
    app_name: &'static str,
    version: &'a str,
    runtime: String,
    next_cache: String,
    last_cache: String,
    workflow: BTreeMap<&'a str, BTreeMap<String, RootPhase>>,
}

/// A task and job that is no other's child.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RootPhase {
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev: Option<String>,
    #[serde(rename = "warning", skip_serializing_if = "String::is_empty")]
    warning: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    schedule: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    child: Vec<String>,
}

/// When a phase starts next, and when it did last.
pub type Runs = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

/// The JSON of all workflows; `runs` is asked of phases with a schedule.
pub fn info(service: &ServiceInfo<'_>, workflows: &Workflows, runs: impl Fn(&Phase) -> Runs) -> String {
    const LOOK: &str = "%Y-%m-%dT%H:%M:%S";
    let mut room = MAX_PATH_BYTES;
    let mut files = BTreeMap::new();
    for file in workflows.files() {
        let entries = entries(workflows, file, &runs, &mut room);
        if !entries.is_empty() {
            files.insert(file.path.as_str(), entries);
        }
    }
    pretty(&InfoDocument {
        app_name: "flowlord",
        version: service.version,
        runtime: duration::print_duration(service.up),
        next_cache: service.next_look.format(LOOK).to_string(),
        last_cache: service.last_look.format(LOOK).to_string(),
        workflow: files,
    })
}

/// What `/notify` posts: the same without workflows.
pub(crate) fn stamp(version: &str, up: TimeDelta) -> String {
    let stamp = serde_json::json!({
        "app_name": "flowlord", "version": version, "runtime": duration::print_duration(up)
    });
    stamp.to_string()
}

fn entries(
    workflows: &Workflows,
    file: &WorkflowFile,
    runs: &impl Fn(&Phase) -> Runs,
    room: &mut usize,
) -> BTreeMap<String, RootPhase> {
    let parents = parent_names(file);
    let mut times: BTreeMap<String, Runs> = BTreeMap::new();
    let mut entries: BTreeMap<String, RootPhase> = BTreeMap::new();
    for phase in &file.phases {
        let orphan = is_orphan(phase, &parents);
        let starts = phase.rule.cron.is_some() || phase.rule.files.is_some();
        // What follows a phase is told there; nothing leads to a phase on a circle.
        if phase.has_parent() && !(starts || orphan || phase.is_cyclic) {
            continue;
        }
        let name = phase.task_name();
        let entry = entries
            .entry(name.clone())
            .or_insert_with(|| RootPhase { child: paths(workflows, phase, room), ..RootPhase::default() });
        if let Some(cron) = &phase.rule.cron {
            entry.schedule.push(format!("{cron}?offset={}", duration::print_duration(phase.rule.offset)));
            let (next, last) = runs(phase);
            // A phase that can't start has no times; one whose schedule never fires has Go's zero time.
            if next.is_some() || phase.problems.is_empty() {
                let all = times.entry(name).or_default();
                // The schedules of one name are one entry: the next run of any of them, and the last of any.
                all.0 = all.0.into_iter().chain(next).min();
                all.1 = all.1.max(last);
            }
        }
        entry.schedule.extend(phase.rule.files.clone());
        warn(entry, &phase.problems_text());
        if orphan {
            warn(entry, &format!("parent task not found: {}", phase.depends_on_text));
        }
    }
    for (name, (next, last)) in times {
        if let Some(entry) = entries.get_mut(&name) {
            (entry.next, entry.prev) = (Some(time_or_none(next)), Some(time_or_none(last)));
        }
    }
    entries
}

fn parent_names(file: &WorkflowFile) -> HashSet<(&str, &str)> {
    let tasks = file.phases.iter().map(|phase| &phase.task);
    // A phase may depend on a topic alone, whatever the job.
    tasks.flat_map(|task| [(task.topic.as_str(), task.job.as_str()), (task.topic.as_str(), "")]).collect()
}

/// Whether a phase depends on a task that its file doesn't have.
fn is_orphan(phase: &Phase, parents: &HashSet<(&str, &str)>) -> bool {
    let parent = phase.depends_on.as_ref();
    parent.is_some_and(|parent| !parents.contains(&(parent.topic.as_str(), parent.job.as_str())))
}

fn warn(entry: &mut RootPhase, warning: &str) {
    // Several phases of a name may have the same trouble.
    if !warning.is_empty() && !entry.warning.contains(warning) {
        if !entry.warning.is_empty() {
            entry.warning.push_str("; ");
        }
        entry.warning.push_str(warning);
    }
}

// Bytes of all paths together. Where many tasks follow any job of a topic, paths multiply at each step, and there are
// soon more than fit into memory.
const MAX_PATH_BYTES: usize = 4 << 20;

const MORE: &str = "…";

/// Each path from a phase's children to those that nothing follows, as `a ➞ b`.
fn paths(workflows: &Workflows, from: &Phase, room: &mut usize) -> Vec<String> {
    let mut paths = Vec::new();
    let mut names: Vec<String> = Vec::new();
    // Not by recursion: a chain may be longer than a stack is deep.
    let mut levels = vec![followers(workflows, from).into_iter()];
    while let Some(level) = levels.last_mut() {
        let Some(phase) = level.next() else {
            levels.pop();
            names.pop();
            continue;
        };
        names.push(phase.task_name());
        let next = followers(workflows, phase);
        if !next.is_empty() {
            levels.push(next.into_iter());
            continue;
        }
        let path = names.join(" ➞ ");
        names.pop();
        let Some(left) = room.checked_sub(path.len()) else {
            paths.push(MORE.to_owned());
            break;
        };
        *room = left;
        paths.push(path);
    }
    paths
}

/// The phases that follow one.
fn followers<'a>(workflows: &'a Workflows, phase: &Phase) -> Vec<&'a Phase> {
    let mut children = workflows.all_children_of(&phase.workflow, &phase.task.topic, &phase.task.job);
    // Phases of one name are one step of a path: they lead on to the same followers.
    children.dedup_by(|a, b| a.task == b.task);
    children
}

#[cfg(test)]
mod tests {
    use flowlord_testkit::sample::noon;
    use std::sync::Arc;

    use super::*;

    fn told(files: &[(&str, &str)]) -> String {
        let file = |(path, text): &(&str, &str)| {
            let zone = "UTC".parse().ok().unwrap();
            Arc::new(WorkflowFile::parse(path, text, "", zone).unwrap())
        };
        let workflows = Workflows::new(files.iter().map(file));
        let service = ServiceInfo {
            version: "1.2.3",
            up: TimeDelta::milliseconds(5_400_120),
            next_look: noon() + TimeDelta::minutes(15),
            last_look: noon(),
        };
        info(&service, &workflows, |phase| {
            let hours = TimeDelta::hours(i64::try_from(phase.line).unwrap());
            (Some(noon() + hours), (phase.line > 1).then(|| noon() - hours))
        })
    }

    #[test]
    fn schedules_of_a_name_are_one_entry_and_each_path_of_its_children_is_a_line() {
        let text = concat!(
            "[[phase]]\ntask = \"a:j\"\nrule = \"cron=0 0 * * *&offset=90m\"\n",
            "[[phase]]\ntask = \"a:j\"\nrule = \"cron=0 6 * * *&meta=k:<1>\"\n",
            "[[phase]]\ntask = \"b\"\ndependsOn = \"a\"\n",
            "[[phase]]\ntask = \"c\"\ndependsOn = \"b\"\n",
            "[[phase]]\ntask = \"d:x\"\ndependsOn = \"b\"\n",
            "[[phase]]\ntask = \"e\"\ndependsOn = \"a:j\"\n",
            "[[phase]]\ntask = \"late\"\ndependsOn = \"gone:<1>\"\n",
            "[[phase]]\ntask = \"f\"\nrule = \"files=/x/*.txt\"\n",
        );
        insta::assert_snapshot!(told(&[("w.toml", text), ("empty.toml", "")]), @r#"
        {
          "app_name": "flowlord",
          "version": "1.2.3",
          "runtime": "1h30m0.12s",
          "next_cache": "2026-03-02T12:15:00",
          "last_cache": "2026-03-02T12:00:00",
          "workflow": {
            "w.toml": {
              "a:j": {
                "Next": "2026-03-02T13:00:00Z",
                "Prev": "2026-03-02T08:00:00Z",
                "Schedule": [
                  "0 0 * * *?offset=1h30m",
                  "0 6 * * *?offset=0s"
                ],
                "Child": [
                  "b ➞ c",
                  "b ➞ d:x",
                  "e"
                ]
              },
              "f": {
                "Schedule": [
                  "/x/*.txt"
                ]
              },
              "late": {
                "warning": "parent task not found: gone:\u003c1\u003e"
              }
            }
          }
        }
        "#);
    }

    #[test]
    fn a_circle_is_told_and_walked_once() {
        let text = concat!(
            "[[phase]]\ntask = \"a\"\ndependsOn = \"b\"\n",
            "[[phase]]\ntask = \"b\"\ndependsOn = \"a\"\n",
            "[[phase]]\ntask = \"c\"\ndependsOn = \"b\"\n",
        );
        let json: serde_json::Value = serde_json::from_str(&told(&[("w.toml", text)])).unwrap();
        let entries = &json["workflow"]["w.toml"];
        assert!(entries["a"]["warning"].as_str().unwrap().contains("depends on itself"), "{entries}");
        assert_eq!((&entries["b"]["Child"][0], &entries["c"]), (&"c".into(), &serde_json::Value::Null));
    }

    #[test]
    fn more_paths_than_anybody_reads_are_cut() {
        use std::fmt::Write as _;
        let mut text = "[[phase]]\ntask = \"t0\"\nrule = \"cron=0 0 * * *\"\n".to_owned();
        for (depth, job) in (1..12).flat_map(|depth| (0..4).map(move |job| (depth, job))) {
            let _ = write!(text, "[[phase]]\ntask = \"t{depth}:j{job}\"\ndependsOn = \"t{}\"\n", depth - 1);
        }
        let json = told(&[("w.toml", &text)]);
        assert!(json.len() < 2 * MAX_PATH_BYTES && json.contains("\"…\""), "{} bytes", json.len());
        let mut chain = "[[phase]]\ntask = \"t0\"\nrule = \"cron=0 0 * * *\"\n".to_owned();
        for depth in 1..5_000 {
            let _ = write!(chain, "[[phase]]\ntask = \"t{depth}\"\ndependsOn = \"t{}\"\n", depth - 1);
        }
        assert_eq!(told(&[("w.toml", &chain)]).matches(" ➞ ").count(), 4_998);
    }
}

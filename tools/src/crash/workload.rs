//! What the clients of a crash work on: the workflow, the tasks that they create, and who takes which of them.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta};

pub(super) const TICK: &str = "tick";

/// Topics and their children, which start once the parent is complete.
pub(super) const CHILDREN: [(&str, &str); 2] = [("first", "second"), ("second", "third")];

/// How often tasks of these topics are retried.
pub(super) const RETRIES: u32 = 3;
pub(super) const RETRIED: [&str; 3] = ["first", "left", "right"];

/// Phases for tasks that clients create, with their children, joins and limits, and one for cron.
const WORKFLOW: &str = r#"
[[phase]]
task = "tick"
rule = "cron=* * * * * *"
template = "{ts}"

[[phase]]
task = "first"
rule = "cron=0 0 1 1 *&retry_delay=1s"
retry = 3

[[phase]]
task = "second"
dependsOn = "first"
template = "after {meta:workflow}"

[[phase]]
task = "third"
dependsOn = "second"
template = "after {meta:workflow}"

[[phase]]
task = "left"
rule = "cron=0 * * * *&retry_delay=1s&group=pair"
retry = 3

[[phase]]
task = "right"
rule = "cron=0 0 1 1 *&retry_delay=1s&rate=50/1s"
retry = 3

[[phase]]
task = "both"
dependsOn = ["left", "right"]
rule = "max_active=2"

[[phase]]
task = "either"
dependsOn = ["left", "right"]
rule = "join=any&group=pair"

[[phase]]
task = "two"
dependsOn = ["left", "right", "first"]
rule = "join=2"

[[phase]]
task = "day"
dependsOn = "left"
rule = "over=day"
"#;

/// A join of the workflow: it starts once so many of its parents' hours are complete in its period.
#[derive(Debug, Clone, Copy)]
pub(super) struct WatchedJoin {
    pub(super) task: &'static str,
    pub(super) parents: &'static [&'static str],
    pub(super) need: usize,
    /// How much of a time names its period: `2000-01-01T05`, or `2000-01-01`.
    pub(super) period_bytes: usize,
}

const HOUR_BYTES: usize = 13;
pub(super) const DAY_BYTES: usize = 10;

pub(super) const JOINS: [WatchedJoin; 4] = [
    WatchedJoin { task: "both", parents: &["left", "right"], need: 2, period_bytes: HOUR_BYTES },
    WatchedJoin { task: "either", parents: &["left", "right"], need: 1, period_bytes: HOUR_BYTES },
    WatchedJoin { task: "two", parents: &["left", "right", "first"], need: 2, period_bytes: HOUR_BYTES },
    WatchedJoin { task: "day", parents: &["left"], need: 24, period_bytes: DAY_BYTES },
];

/// Topics of which no more may be at work at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct WatchedLimit {
    pub(super) topics: &'static [&'static str],
    pub(super) most: usize,
}

pub(super) const LIMITS: [WatchedLimit; 2] =
    [WatchedLimit { topics: &["left", "either"], most: 3 }, WatchedLimit { topics: &["both"], most: 2 }];

/// The limits that the workflow leaves to the configuration.
const CONFIG: &str = "[groups]\npair = 3\n";

/// The topic with a rate: so many at once, then one after each interval.
pub(super) const RATED: &str = "right";
pub(super) const RATE_TASKS: usize = 50;
pub(super) const RATE_INTERVAL: Duration = Duration::from_millis(20);

/// Writes the workflow and the configuration beside it, which `FLOWLORD_CONFIG` is to name.
pub(crate) fn write_workflow(workflows: &Path, config: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(workflows)?;
    std::fs::write(workflows.join("crash.toml"), WORKFLOW)?;
    std::fs::write(config, CONFIG)
}

/// The tasks of an hour: all parents of joins, one of them twice.
const HOURLY: [&str; 5] = ["first", "left", "right", "first", "left"];

pub(super) const TASKS_OF_A_DAY: u64 = 24 * HOURLY.len() as u64;

/// The topic of the task of that number, and the hour that it is about.
pub(super) fn task_of_number(number: u64) -> (&'static str, String) {
    let count = HOURLY.len() as u64;
    let place = (number % count) as usize;
    let hour = DateTime::UNIX_EPOCH + TimeDelta::hours((number / count).cast_signed());
    (HOURLY[place], hour.format("%Y-%m-%dT%H").to_string())
}

/// Whose tasks a client takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkerKind {
    /// Tasks without a limit, by leases that outlast the run: none of them may be lost.
    Patient,
    /// Tasks with limits and joins, by leases as short as may be: where an answer was lost in a kill, the place is free soon.
    Limited,
}

impl WorkerKind {
    pub(super) fn topics(self) -> &'static [&'static str] {
        match self {
            Self::Patient => &["first", "second", "third", TICK],
            Self::Limited => &["left", "right", "both", "either", "two", "day"],
        }
    }

    pub(super) fn lease_time(self) -> Duration {
        match self {
            Self::Patient => Duration::from_hours(1),
            Self::Limited => Duration::from_secs(5),
        }
    }

    /// The same as a request has it.
    pub(super) fn lease_text(self) -> String {
        format!("{}s", self.lease_time().as_secs())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use flowlord_domain::workflow::{Phase, WorkflowFile};

    use super::*;

    fn phases() -> Vec<Phase> {
        let file = WorkflowFile::parse("crash.toml", WORKFLOW, "", Default::default()).unwrap();
        assert_eq!(file.findings, [], "what the service refuses would start nothing");
        file.phases
    }

    #[test]
    fn tasks_go_hour_by_hour_through_all_parents_of_joins() {
        let tasks: Vec<_> = (0..TASKS_OF_A_DAY).map(task_of_number).collect();
        let mut hours: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        tasks.iter().for_each(|(topic, hour)| _ = hours.entry(hour.as_str()).or_default().insert(*topic));
        assert_eq!(hours.len(), 24, "each hour of the day");
        assert!(hours.keys().all(|hour| hour.starts_with("1970-01-01T")), "{hours:?}");
        assert!(hours.values().all(|topics| topics.iter().eq(&["first", "left", "right"])), "{hours:?}");
        assert_eq!(task_of_number(TASKS_OF_A_DAY), ("first", "1970-01-02T00".to_owned()));
    }

    #[test]
    fn what_is_watched_is_what_the_workflow_says() {
        let phases = phases();
        let named = |task: &str| phases.iter().find(|phase| phase.task_name() == task).unwrap();
        for WatchedJoin { task, parents, .. } in JOINS {
            let phase = named(task);
            assert!(phase.is_join, "{task}");
            let of_phase: Vec<String> = phase.parents.iter().map(|parent| parent.task.to_string()).collect();
            assert_eq!(of_phase, parents, "{task}");
        }
        for (parent, child) in CHILDREN {
            assert_eq!(named(child).depends_on_text, parent);
        }
        for topic in RETRIED {
            assert_eq!(named(topic).retry, RETRIES, "{topic}");
        }
        for WatchedLimit { topics, .. } in LIMITS {
            let limits: Vec<_> = topics.iter().map(|topic| &named(topic).rule.limits).collect();
            assert!(limits.iter().all(|limits| limits.max_active.is_some() || limits.group.is_some()), "{topics:?}");
        }
        let rate = named(RATED).rule.limits.rate.unwrap();
        let interval = rate.per.to_std().unwrap() / u32::try_from(rate.tasks).unwrap();
        assert_eq!((rate.tasks, interval), (RATE_TASKS, RATE_INTERVAL));
    }

    #[test]
    fn every_phase_has_workers_and_those_with_limits_have_short_leases() {
        let topics = |kind: WorkerKind| kind.topics().iter().copied().collect::<BTreeSet<_>>();
        let (patient, limited) = (topics(WorkerKind::Patient), topics(WorkerKind::Limited));
        assert!(patient.is_disjoint(&limited));
        let phases = phases();
        assert!(
            phases.iter().all(|phase| patient.contains(&*phase.task.topic) || limited.contains(&*phase.task.topic))
        );
        for limits in LIMITS.iter().flat_map(|limit| limit.topics) {
            assert!(limited.contains(limits), "{limits}: a lost answer would hold its place for an hour");
        }
        assert_eq!(
            (WorkerKind::Patient.lease_text().as_str(), WorkerKind::Limited.lease_text().as_str()),
            ("3600s", "5s")
        );
    }
}

//! What holds tasks back once they are there: for how long a worker may have one.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use crate::rule::Rule;
use crate::task::Attempt;
use crate::workflow::Workflows;

/// A worker hears that its time is over, and has as long as this to stop.
const MAX_GRACE: TimeDelta = TimeDelta::seconds(60);

/// The limits that a rule sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunLimits {
    /// So long after its lease began a task is taken back.
    pub timeout: Option<TimeDelta>,
}

impl RunLimits {
    /// Reads them; what can't be read is a problem of the rule.
    pub(crate) fn read_from(rule: &mut Rule) -> Self {
        Self { timeout: rule.limit_of("timeout") }
    }
}

/// The limits of all phases, by the topic and job of their tasks.
///
/// ```
/// use chrono::{DateTime, TimeDelta};
/// use chrono_tz::Tz;
/// use flowlord_domain::limits::LimitTable;
/// use flowlord_domain::workflow::{WorkflowFile, Workflows};
///
/// let text = "[[phase]]\ntask = \"load:orders\"\nrule = \"cron=@daily&timeout=2h\"\n";
/// let file = WorkflowFile::parse("w.toml", text, "", Tz::UTC).unwrap();
/// let table = LimitTable::new(&Workflows::new([file.into()]));
/// assert_eq!(table.timeout_of("load", "orders", "w.toml"), Some(TimeDelta::hours(2)));
/// assert_eq!(table.timeout_of("load", "other", "w.toml"), None);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimitTable {
    /// Only those that have any.
    queues: HashMap<String, HashMap<String, QueueLimits>>,
}

/// The limits of the phases of one topic and job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct QueueLimits {
    /// Of each file that has such a phase, by its path.
    timeouts: BTreeMap<String, Option<TimeDelta>>,
}

impl QueueLimits {
    fn is_none(&self) -> bool {
        self.timeouts.values().all(Option::is_none)
    }
}

impl LimitTable {
    /// The limits of these workflows.
    pub fn new(workflows: &Workflows) -> Self {
        let mut queues: HashMap<String, HashMap<String, QueueLimits>> = HashMap::new();
        for phase in workflows.phases() {
            let jobs = queues.entry(phase.task.topic.clone()).or_default();
            let limits = jobs.entry(phase.task.job.clone()).or_default();
            // Of several phases of a name in one file the first one counts, as for retries.
            limits.timeouts.entry(phase.workflow.clone()).or_insert(phase.rule.limits.timeout);
        }
        queues.retain(|_, jobs| {
            jobs.retain(|_, limits| !limits.is_none());
            !jobs.is_empty()
        });
        Self { queues }
    }

    /// How long a worker may have a task: as its own workflow says, else the first that knows it.
    pub fn timeout_of(&self, topic: &str, job: &str, workflow: &str) -> Option<TimeDelta> {
        let timeouts = &self.queues.get(topic)?.get(job)?.timeouts;
        *timeouts.get(workflow).or_else(|| timeouts.values().next())?
    }
}

/// When a lease of this length ends that is asked for now, of a task with this deadline: a heartbeat can't move it further.
pub fn lease_end(now: DateTime<Utc>, length: TimeDelta, deadline: Option<DateTime<Utc>>) -> DateTime<Utc> {
    let last = deadline.map(|deadline| deadline + length.min(MAX_GRACE));
    last.map_or(now + length, |last| last.min(now + length))
}

impl Attempt {
    /// The same with a deadline, as it was leased for this length at `now`.
    #[must_use]
    pub fn with_timeout(self, timeout: TimeDelta, length: TimeDelta, now: DateTime<Utc>) -> Self {
        let deadline = Some(now + timeout);
        Self { times_out: deadline, lease_expires: Some(lease_end(now, length, deadline)), ..self }
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use proptest::prelude::*;

    use super::*;
    use crate::workflow::WorkflowFile;

    fn table(files: &[(&str, &str)]) -> LimitTable {
        let file = |(path, rule): &(&str, &str)| {
            let text = format!("[[phase]]\ntask = \"a:x\"\nrule = \"cron=@daily&{rule}\"\n");
            WorkflowFile::parse(path, &text, "", Tz::UTC).unwrap().into()
        };
        LimitTable::new(&Workflows::new(files.iter().map(file)))
    }

    #[test]
    fn a_timeout_is_that_of_the_own_file_or_else_of_the_first() {
        let table = table(&[("b.toml", "timeout=2h"), ("a.toml", "timeout=90m"), ("c.toml", "retry_delay=1s")]);
        let minutes = |workflow: &str| table.timeout_of("a", "x", workflow).map(|timeout| timeout.num_minutes());
        let found = ["a.toml", "b.toml", "c.toml", "", "gone.toml"].map(minutes);
        assert_eq!(found, [Some(90), Some(120), None, Some(90), Some(90)]);
        assert_eq!((table.timeout_of("a", "", "a.toml"), table.timeout_of("b", "x", "a.toml")), (None, None));
    }

    #[test]
    fn phases_without_limits_take_no_room() {
        assert_eq!(table(&[("a.toml", "retry_delay=1s")]), LimitTable::default());
    }

    #[test]
    fn a_bad_timeout_is_found() {
        for (text, says) in [
            ("timeout=0s", "timeout `0s` is not positive: write a duration like 1h"),
            ("timeout=2y", "timeout: `2y` is not a duration: write it like 250ms, 90s, 5m, 4h or 90d"),
            ("timeout=400d", "timeout `400d` is too long: write 1y or less"),
        ] {
            let rule = Rule::parse(&format!("cron=@daily&{text}"), Tz::UTC);
            assert_eq!(rule.problems[0].message, says);
            assert_eq!(rule.limits, RunLimits::default());
        }
    }

    proptest! {
        #[test]
        fn no_heartbeat_moves_a_lease_past_its_deadline_and_a_minute(
            beats in proptest::collection::vec((0_i64..10_000, 1_i64..5_000), 1..20),
            deadline in 0_i64..10_000,
        ) {
            let at = |second: i64| DateTime::from_timestamp(second, 0).unwrap();
            for (now, length) in beats {
                let end = lease_end(at(now), TimeDelta::seconds(length), Some(at(deadline)));
                prop_assert!(end <= at(deadline + length.min(60)) && end <= at(now + length));
                prop_assert!(end == at(now + length) || end == at(deadline + length.min(60)));
                prop_assert_eq!(lease_end(at(now), TimeDelta::seconds(length), None), at(now + length));
            }
        }
    }
}

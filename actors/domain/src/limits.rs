//! What holds slots and tasks back: the slot before, a spread of starts, and for how long a worker may have a task.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use crate::rule::Rule;
use crate::task::Attempt;
use crate::workflow::{Phase, WorkflowFile, Workflows};

/// A worker hears that its time is over, and has as long as this to stop.
const MAX_GRACE: TimeDelta = TimeDelta::seconds(60);

/// The limits that a rule sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunLimits {
    /// So long after its lease began a task is taken back.
    pub timeout: Option<TimeDelta>,
    /// What becomes of a slot whose predecessor hasn't ended.
    pub overlap: OverlapRule,
    /// Its slots start up to so much later.
    pub jitter: Option<TimeDelta>,
}

named_enum! {
    /// What becomes of a slot when a slot of the same phase before it hasn't ended.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub enum OverlapRule {
        /// It starts beside it.
        #[default]
        Run = "run",
        /// It starts once all before it ended.
        Queue = "queue",
        /// It starts nothing.
        Skip = "skip",
        /// It waits, and takes the place of one that waits already.
        Latest = "latest",
    }
}

/// How a slot is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotPlacement {
    /// Its tasks start.
    Start,
    /// Its tasks wait until the slots before it ended.
    Wait,
    /// The same, and those that wait now are dropped.
    Replace,
    /// It is recorded without a task.
    Skip,
}

impl OverlapRule {
    /// How a slot is stored that comes due while one before it hasn't ended, or has.
    pub fn place_slot(self, is_open: bool) -> SlotPlacement {
        match self {
            _ if !is_open => SlotPlacement::Start,
            Self::Run => SlotPlacement::Start,
            Self::Queue => SlotPlacement::Wait,
            Self::Latest => SlotPlacement::Replace,
            Self::Skip => SlotPlacement::Skip,
        }
    }
}

/// The longest jitter: more would lead into other days.
const MAX_JITTER: TimeDelta = TimeDelta::days(1);

impl RunLimits {
    /// Reads them; what can't be read is a problem of the rule.
    pub(crate) fn read_from(rule: &mut Rule) -> Self {
        let overlap = rule.filled_text("overlap").map(|text| {
            OverlapRule::from_name(&text.to_ascii_lowercase()).unwrap_or_else(|| {
                let message = format!("overlap `{text}` is unknown, run is used: write run, queue, skip or latest");
                rule.add_error("overlap", message);
                OverlapRule::Run
            })
        });
        let jitter = rule.limit_of("jitter").filter(|jitter| {
            let is_short = *jitter <= MAX_JITTER;
            if !is_short {
                rule.add_error("jitter", "jitter is longer than a day: write 1d or less".to_owned());
            }
            is_short
        });
        Self { timeout: rule.limit_of("timeout"), overlap: overlap.unwrap_or_default(), jitter }
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

impl WorkflowFile {
    /// How much later than its slots a phase starts. All phases of a name share their slots, so the first one says it.
    pub fn start_shift(&self, phase: &Phase) -> TimeDelta {
        let first = self.first_phase(&phase.task.topic, &phase.task.job).unwrap_or(phase);
        let seconds = first.rule.limits.jitter.map_or(0, |jitter| jitter.num_seconds().unsigned_abs());
        let shift = name_hash(&self.path, &phase.task_name()).checked_rem(seconds).unwrap_or(0);
        TimeDelta::seconds(i64::try_from(shift).unwrap_or(0))
    }
}

/// FNV-1a of a phase's file and name: the same on every machine and in every version, so that no restart moves a start.
fn name_hash(workflow: &str, task: &str) -> u64 {
    let bytes = workflow.bytes().chain([0]).chain(task.bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    // The low bits of the plain hash are much alike for names that are.
    hash ^ (hash >> 32)
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

    #[test]
    fn a_slot_starts_unless_one_before_it_is_open_and_its_rule_says_otherwise() {
        use SlotPlacement::{Replace, Skip, Start, Wait};
        for (text, placed) in [
            ("", Start),
            ("overlap=run", Start),
            ("overlap=Queue", Wait),
            ("overlap=skip", Skip),
            ("overlap=latest", Replace),
        ] {
            let rule = Rule::parse(&format!("cron=@daily&{text}"), Tz::UTC);
            assert_eq!(rule.problems, []);
            assert_eq!(rule.limits.overlap.place_slot(true), placed, "{text}");
            assert_eq!(rule.limits.overlap.place_slot(false), Start, "{text}");
        }
        for (text, says) in [
            ("overlap=wait", "overlap `wait` is unknown, run is used: write run, queue, skip or latest"),
            ("jitter=2d", "jitter is longer than a day: write 1d or less"),
            ("jitter=-1m", "jitter `-1m` is not positive: write a duration like 1h"),
        ] {
            let rule = Rule::parse(&format!("cron=@daily&{text}"), Tz::UTC);
            assert_eq!((rule.problems[0].message.as_str(), rule.limits), (says, RunLimits::default()));
        }
    }

    #[test]
    fn starts_are_spread_over_the_jitter_the_same_each_time() {
        let text = |jitter: &str| -> String {
            let phase = |n: usize| format!("[[phase]]\ntask = \"a:j{n}\"\nrule = \"cron=@daily{jitter}\"\n");
            (0..200).map(phase).collect()
        };
        let shifts = |jitter: &str, path: &str| -> Vec<i64> {
            let file = WorkflowFile::parse(path, &text(jitter), "", Tz::UTC).unwrap();
            file.phases.iter().map(|phase| file.start_shift(phase).num_seconds()).collect()
        };
        let spread = shifts("&jitter=2m", "w.toml");
        assert_eq!(spread, shifts("&jitter=2m", "w.toml"));
        assert_ne!(spread, shifts("&jitter=2m", "v.toml"));
        assert!(spread.iter().all(|shift| (0..120).contains(shift)), "{spread:?}");
        for quarter in 0..4 {
            let count = spread.iter().filter(|shift| **shift / 30 == quarter).count();
            assert!((25..=75).contains(&count), "{count} of 200 in quarter {quarter}");
        }
        // What plans and people have seen stays so.
        assert_eq!(spread[..3], [36, 91, 86]);
        assert!(shifts("", "w.toml").iter().all(|shift| *shift == 0) && shifts("&jitter=1s", "w.toml")[0] == 0);
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

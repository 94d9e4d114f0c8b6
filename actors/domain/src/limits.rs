//! What holds slots and tasks back: the slot before, a spread of starts, how many may be at work or start, and for how long a
//! worker may have a task.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use crate::backload::CreationRate;
use crate::decide::WorkerOutcome;
use crate::duration::print_duration;
use crate::finding::{Finding, Severity};
use crate::task::{Attempt, TaskResult};
use crate::workflow::{Phase, WorkflowFile, Workflows};

pub use crate::rule::limits::{OverlapRule, RunLimits, SlotPlacement, is_group_name};

/// A worker hears that its time is over, and has as long as this to stop.
const MAX_GRACE: TimeDelta = TimeDelta::seconds(60);

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
/// let table = LimitTable::new(&Workflows::new([file.into()]), &Default::default());
/// assert_eq!(table.timeout_of("load", "orders", "w.toml"), Some(TimeDelta::hours(2)));
/// assert_eq!(table.timeout_of("load", "other", "w.toml"), None);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimitTable {
    /// Only those that have any.
    queues: HashMap<String, HashMap<String, QueueLimits>>,
}

/// The limits of the phases of one topic and job. All tasks of these count, wherever they come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueLimits {
    /// Of each file that has such a phase, by its path.
    timeouts: BTreeMap<String, Option<TimeDelta>>,
    /// As many may be at work at a time: the smallest of what its phases say.
    pub max_active: Option<u32>,
    /// The group whose limit they share, and as many of the group may be at work.
    pub group: Option<(String, u32)>,
    /// As many may start in so long a time: the slowest of what its phases say.
    pub rate: Option<CreationRate>,
}

impl QueueLimits {
    fn is_none(&self) -> bool {
        self.timeouts.values().all(Option::is_none) && !self.is_limited() && self.rate.is_none()
    }

    /// Whether only so many may be at work.
    pub fn is_limited(&self) -> bool {
        self.max_active.is_some() || self.group.is_some()
    }
}

impl LimitTable {
    /// The limits of these workflows, with the limit of each group.
    pub fn new(workflows: &Workflows, groups: &BTreeMap<String, u32>) -> Self {
        let mut queues: HashMap<String, HashMap<String, QueueLimits>> = HashMap::new();
        for phase in workflows.phases() {
            let jobs = queues.entry(phase.task.topic.clone()).or_default();
            let limits = jobs.entry(phase.task.job.clone()).or_default();
            // Of several phases of a name in one file the first one counts, as for retries.
            let own = &phase.rule.limits;
            limits.timeouts.entry(phase.workflow.clone()).or_insert(own.timeout);
            limits.max_active = limits.max_active.into_iter().chain(own.max_active).min();
            limits.rate = limits.rate.into_iter().chain(own.rate).max_by_key(|rate| token_interval(*rate));
            let group = own.group.iter().filter_map(|name| Some((name.clone(), *groups.get(name)?))).next();
            limits.group = limits.group.take().or(group);
        }
        queues.retain(|_, jobs| {
            jobs.retain(|_, limits| !limits.is_none());
            !jobs.is_empty()
        });
        Self { queues }
    }

    /// What holds for all tasks of a topic and job; none where nothing does.
    pub fn limits_of(&self, topic: &str, job: &str) -> Option<&QueueLimits> {
        self.queues.get(topic)?.get(job)
    }

    /// All topics and jobs with limits, by name.
    pub fn all_limits(&self) -> Vec<(&str, &str, &QueueLimits)> {
        let mut all: Vec<(&str, &str, &QueueLimits)> = Vec::new();
        for (topic, jobs) in &self.queues {
            all.extend(jobs.iter().map(|(job, limits)| (topic.as_str(), job.as_str(), limits)));
        }
        all.sort_by_key(|(topic, job, _)| (*topic, *job));
        all
    }

    /// Whether only so many tasks of some phase may be at work.
    pub fn has_limited(&self) -> bool {
        self.queues.values().flat_map(HashMap::values).any(QueueLimits::is_limited)
    }

    /// How long a worker may have a task: as its own workflow says, else the first that knows it.
    pub fn timeout_of(&self, topic: &str, job: &str, workflow: &str) -> Option<TimeDelta> {
        let timeouts = &self.queues.get(topic)?.get(job)?.timeouts;
        *timeouts.get(workflow).or_else(|| timeouts.values().next())?
    }
}

/// Why no task of a topic and job may start now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitBlock {
    /// As many as may are at work.
    Active {
        /// So many.
        max: u32,
    },
    /// As many of its group as may are at work.
    Group {
        /// The name of the group.
        name: String,
        /// So many.
        max: u32,
    },
    /// As many as may have started.
    Rate {
        /// When the next one may.
        next: DateTime<Utc>,
    },
}

/// Takes a token from a bucket that is full with as many as the rate has, and is refilled by the rate; empty at `full_at` less
/// its duration. Answers when it is full again, or when the next token comes.
pub fn take_token(
    rate: CreationRate,
    full_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, DateTime<Utc>> {
    let step = token_interval(rate);
    // After a clock was set back it is empty, no more than that.
    let full_at = full_at.unwrap_or(now).clamp(now, now + rate.per);
    let next = full_at + step;
    if next <= now + rate.per { Ok(next) } else { Err(next - rate.per) }
}

/// How many tokens are in a bucket: as often as [`take_token`] may be called now.
pub fn tokens_left(rate: CreationRate, full_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> usize {
    let full_in = full_at.map_or_else(TimeDelta::zero, |full_at| (full_at - now).clamp(TimeDelta::zero(), rate.per));
    let micros = |span: TimeDelta| span.num_microseconds().unwrap_or(i64::MAX);
    // A rate of more than one a microsecond has an interval of none.
    usize::try_from(micros(rate.per - full_in) / micros(token_interval(rate)).max(1))
        .unwrap_or_default()
        .min(rate.tasks)
}

/// After so long a bucket has one token more.
fn token_interval(rate: CreationRate) -> TimeDelta {
    let tasks = i64::try_from(rate.tasks).unwrap_or(i64::MAX);
    TimeDelta::microseconds(rate.per.num_microseconds().unwrap_or(i64::MAX) / tasks)
}

/// Groups of phases for which the configuration has no limit.
pub fn groups_without_limit(workflows: &Workflows, groups: &BTreeMap<String, u32>) -> Vec<Finding> {
    let unlimited = workflows.phases().filter_map(|phase| {
        let group = phase.rule.limits.group.as_ref().filter(|group| !groups.contains_key(*group))?;
        let message = format!("group `{group}` has no limit: write {group} = 4 below [groups] in the configuration");
        Some(Finding::new(&phase.workflow, phase.name_place(), Severity::Warning, message))
    });
    unlimited.collect()
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

/// What a worker means that stops since its time is over: it was told to cancel, so it sends a `warn` as for a task that a
/// person cancelled, and yet the attempt failed. None where it means what it says.
pub fn late_outcome(task: &Attempt, outcome: &WorkerOutcome, now: DateTime<Utc>) -> Option<WorkerOutcome> {
    let deadline = task.times_out.filter(|at| *at <= now && !task.cancelled && outcome.result == TaskResult::Warn)?;
    let mut msg = timeout_text(task.started.map_or_else(TimeDelta::zero, |started| deadline - started));
    if !outcome.msg.is_empty() {
        msg = format!("{msg}: {}", outcome.msg);
    }
    Some(WorkerOutcome { result: TaskResult::Error, msg, ..outcome.clone() })
}

/// What the error of an attempt says that took longer than this.
pub fn timeout_text(timeout: TimeDelta) -> String {
    format!("timed out after {}", print_duration(timeout))
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
    use crate::rule::Rule;
    use crate::workflow::WorkflowFile;

    fn table(files: &[(&str, &str)]) -> LimitTable {
        let file = |(path, rule): &(&str, &str)| {
            let text = format!("[[phase]]\ntask = \"a:x\"\nrule = \"cron=@daily&{rule}\"\n");
            WorkflowFile::parse(path, &text, "", Tz::UTC).unwrap().into()
        };
        LimitTable::new(&Workflows::new(files.iter().map(file)), &BTreeMap::from([("g".to_owned(), 4)]))
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
    fn of_several_phases_of_a_name_the_strictest_limit_counts() {
        let table = table(&[
            ("a.toml", "max_active=3&rate=60/1m"),
            ("b.toml", "max_active=2&group=g&rate=10/1s"),
            ("c.toml", "group=h&rate=1000/1h"),
        ]);
        let limits = table.limits_of("a", "x").unwrap();
        assert_eq!((limits.max_active, limits.group.clone()), (Some(2), Some(("g".to_owned(), 4))));
        assert_eq!(limits.rate, CreationRate::parse("1000/1h"));
        assert!(table.has_limited() && limits.is_limited() && table.limits_of("a", "").is_none());
    }

    #[test]
    fn a_queue_is_limited_by_its_own_number_or_by_its_group_and_not_by_a_rate() {
        for (rule, is_limited) in [
            ("max_active=3", true),
            ("group=g", true),
            ("max_active=3&group=g", true),
            ("group=unknown&timeout=1h", false),
            ("rate=60/1m", false),
            ("timeout=1h", false),
        ] {
            let table = table(&[("a.toml", rule)]);
            assert_eq!(table.limits_of("a", "x").map(QueueLimits::is_limited), Some(is_limited), "{rule}");
            assert_eq!(table.has_limited(), is_limited, "{rule}");
        }
    }

    #[test]
    fn all_limits_are_listed_by_topic_and_job() {
        let text: String = ["b:y", "b", "a:z", "b:x", "c"]
            .map(|name| format!("[[phase]]\ntask = \"{name}\"\nrule = \"cron=@daily&max_active=2\"\n"))
            .concat();
        let text = text + "[[phase]]\ntask = \"free\"\nrule = \"cron=@daily\"\n";
        let workflows = Workflows::new([WorkflowFile::parse("w.toml", &text, "", Tz::UTC).unwrap().into()]);
        let table = LimitTable::new(&workflows, &BTreeMap::new());
        let all: Vec<_> =
            table.all_limits().iter().map(|(topic, job, limits)| (*topic, *job, limits.max_active)).collect();
        assert_eq!(
            all,
            [("a", "z"), ("b", ""), ("b", "x"), ("b", "y"), ("c", "")].map(|(topic, job)| (topic, job, Some(2)))
        );
    }

    #[test]
    fn a_limit_that_can_not_be_read_is_an_error_and_none() {
        for (text, says) in [
            ("max_active=0", "max_active `0` is no limit: write a whole number of 1 or more"),
            ("max_active=two", "max_active `two` is no limit: write a whole number of 1 or more"),
            ("group=a b", "group `a b` is no limit: write letters, digits, dashes and underscores, at most 100"),
            ("rate=60", "rate `60` is no limit: write a number and a time from 1s to 1d, like 60/1m"),
        ] {
            let rule = Rule::parse(&format!("cron=@daily&{text}"), Tz::UTC);
            assert_eq!((rule.problems[0].message.as_str(), rule.limits), (says, RunLimits::default()));
        }
    }

    #[test]
    fn a_group_without_a_limit_is_found() {
        let text = "[[phase]]\ntask = \"a\"\nrule = \"cron=@daily&group=warehose\"\n";
        let workflows = Workflows::new([WorkflowFile::parse("w.toml", text, "", Tz::UTC).unwrap().into()]);
        let found = |groups: &[&str]| -> Vec<String> {
            let groups = groups.iter().map(|name| ((*name).to_owned(), 1)).collect();
            groups_without_limit(&workflows, &groups).iter().map(ToString::to_string).collect()
        };
        let says = "w.toml:2:8: group `warehose` has no limit: write warehose = 4 below [groups] in the configuration (warning)";
        assert_eq!(found(&["warehouse"]), [says.strip_suffix(" (warning)").unwrap()]);
        assert!(found(&["warehose"]).is_empty());
    }

    #[test]
    fn phases_without_limits_take_no_room() {
        assert_eq!(table(&[("a.toml", "retry_delay=1s")]), LimitTable::default());
    }

    #[test]
    fn a_worker_that_stops_past_its_deadline_failed_and_its_other_results_stand() {
        let at = |second: i64| DateTime::from_timestamp(second, 0).unwrap();
        let task = crate::NewTask::of_new_chain(("a", ""), "", at(0), &mut crate::ids::fixed::FixedIds::default());
        let task = Attempt { started: Some(at(0)), ..task.into_attempt() };
        let task = task.with_timeout(TimeDelta::hours(2), TimeDelta::hours(9), at(0));
        assert_eq!(task.lease_expires, Some(at(7_260)));
        let outcome = |result: TaskResult, msg: &str| WorkerOutcome {
            result,
            msg: msg.to_owned(),
            meta: "rows=5".to_owned(),
            started: None,
            ended: None,
        };
        let told = |task: &Attempt, result, msg: &str, second| {
            late_outcome(task, &outcome(result, msg), at(second)).map(|late| (late.result, late.msg, late.meta))
        };
        let error = |msg: &str| Some((TaskResult::Error, msg.to_owned(), "rows=5".to_owned()));
        assert_eq!(told(&task, TaskResult::Warn, "", 7_200), error("timed out after 2h"));
        assert_eq!(told(&task, TaskResult::Warn, "stopped", 7_300), error("timed out after 2h: stopped"));
        assert_eq!(told(&task, TaskResult::Warn, "", 7_199), None);
        for result in [TaskResult::Complete, TaskResult::Error, TaskResult::Alert] {
            assert_eq!(told(&task, result, "", 7_300), None);
        }
        let cancelled = Attempt { cancelled: true, ..task.clone() };
        let unlimited = Attempt { times_out: None, ..task };
        assert_eq!(
            [told(&cancelled, TaskResult::Warn, "", 7_300), told(&unlimited, TaskResult::Warn, "", 7_300)],
            [None, None]
        );
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
        /// In no stretch of time more start than the bucket holds and is refilled with, and it never stays empty.
        #[test]
        fn no_more_start_than_the_rate_allows(
            tasks in 1_usize..20, seconds in 1_i64..100,
            waits in proptest::collection::vec(0_i64..20_000, 1..100),
        ) {
            let rate = CreationRate { tasks, per: TimeDelta::seconds(seconds) };
            let (mut now, mut full_at, mut starts) = (DateTime::UNIX_EPOCH, None, Vec::new());
            for wait in waits {
                now += TimeDelta::milliseconds(wait);
                let (left, mut emptied) = (tokens_left(rate, full_at, now), full_at);
                for taken in 0..=left {
                    let next = take_token(rate, emptied, now);
                    prop_assert_eq!(next.is_ok(), taken < left, "as many as are left");
                    emptied = next.ok();
                }
                match take_token(rate, full_at, now) {
                    Ok(next) => {
                        full_at = Some(next);
                        starts.push(now);
                    }
                    Err(next) => {
                        prop_assert!(next > now && next <= now + token_interval(rate));
                        prop_assert!(take_token(rate, full_at, next).is_ok());
                    }
                }
            }
            for (n, first) in starts.iter().enumerate() {
                for (more, last) in starts[n..].iter().enumerate() {
                    let step = token_interval(rate).num_microseconds().unwrap();
                    let refilled = (*last - *first).num_microseconds().unwrap() / step;
                    prop_assert!(i64::try_from(more).unwrap() <= i64::try_from(tasks).unwrap() + refilled);
                }
            }
            let set_back = take_token(rate, full_at, DateTime::UNIX_EPOCH - TimeDelta::days(1));
            prop_assert!(set_back.map_or_else(|next| next, |_| DateTime::UNIX_EPOCH) <= DateTime::UNIX_EPOCH);
        }

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

//! What a rule says of when its tasks may start and how long they may take.

use chrono::TimeDelta;

use super::Rule;
use crate::creation_rate::CreationRate;

/// The limits that a rule sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunLimits {
    /// So long after its lease began a task is taken back.
    pub timeout: Option<TimeDelta>,
    /// What becomes of a slot whose predecessor hasn't ended.
    pub overlap: OverlapRule,
    /// Its slots start up to so much later.
    pub jitter: Option<TimeDelta>,
    /// As many of its tasks may be at work at a time.
    pub max_active: Option<u32>,
    /// The group of phases that share a limit.
    pub group: Option<String>,
    /// As many of its tasks may start in so long a time.
    pub rate: Option<CreationRate>,
}

/// A limit that its author meant: one that can't be read is an error, and there is none.
fn read_limit<T>(rule: &mut Rule, key: &str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
    let text = rule.filled_text(key)?;
    let limit = parse(&text);
    if limit.is_none() {
        rule.add_error(key, format!("{key} `{text}` is no limit: write {expected}"));
    }
    limit
}

/// Whether a group can be called so, here and in the configuration.
pub fn is_group_name(name: &str) -> bool {
    let is_short = (1..=100).contains(&name.len());
    is_short && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
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
        Self {
            timeout: rule.limit_of("timeout"),
            overlap: overlap.unwrap_or_default(),
            jitter,
            max_active: read_limit(rule, "max_active", "a whole number of 1 or more", |text| {
                text.parse().ok().filter(|max| *max > 0)
            }),
            group: read_limit(rule, "group", "letters, digits, dashes and underscores, at most 100", |text| {
                is_group_name(text).then(|| text.to_owned())
            }),
            rate: read_limit(rule, "rate", "a number and a time from 1s to 1d, like 60/1m", CreationRate::parse),
        }
    }
}

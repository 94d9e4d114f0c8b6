//! What two programs did, side by side: the terms of the comparison, and its counts.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use flowlord_db::TimeRange;
use flowlord_domain::ids::IdSource;
use flowlord_domain::named_enum;
use flowlord_domain::task::Uid;
use flowlord_domain::workflow::{Phase, TaskName, Workflows};

use super::departures::PHASE_LISTS;
use crate::commands::plan::files::PlanFiles;

/// How far from its slot a task may be created.
pub(super) const SLOT_TOLERANCE: TimeDelta = TimeDelta::seconds(5);

/// How long the Go program may take until what follows from a result is in its database.
pub(super) const SETTLING_TIME: TimeDelta = TimeDelta::minutes(5);

/// Stands for any host's name.
pub(super) const ANY_HOST: &str = "\u{1}";

/// Stands for any `{uuid}`: its eight digits.
const ANY_UUID: &str = "feedbeef";

/// What is compared, and with what.
pub(super) struct Replay<'a> {
    pub(super) files: &'a PlanFiles,
    /// Files that the Go program reads otherwise because of how they are spelled, with the departure.
    pub(super) spelled: &'a BTreeMap<String, &'static str>,
    /// The zone that the Go program ran in.
    pub(super) zone: Tz,
    /// What happened then is judged; what is before and after it is only looked at.
    pub(super) range: TimeRange,
    /// When something was last written there.
    pub(super) last: DateTime<Utc>,
    /// Whether the database has a table of them.
    pub(super) has_alerts: bool,
}

impl Replay<'_> {
    pub(super) fn workflows(&self) -> &Workflows {
        &self.files.workflows
    }

    /// Why the Go program may not have the phase: it loses some of a file that spells them in two ways.
    pub(super) fn spelled_phases(&self, phase: &Phase) -> Option<&'static str> {
        self.spelled.get(&phase.workflow).copied().filter(|name| *name == PHASE_LISTS)
    }

    /// When slots are looked at: a time without the Go program may begin before what is judged, or end after it.
    pub(super) fn slot_range(&self) -> TimeRange {
        let (from, to) = (self.range.0 - TimeDelta::hours(24), self.range.1 + TimeDelta::hours(24));
        // Nothing can be there after the last record: such slots would all be missing.
        (from, to.min(self.last - SETTLING_TIME).max(self.range.1))
    }

    pub(super) fn is_judged(&self, at: DateTime<Utc>) -> bool {
        // The end is left out, so that two ranges in a row judge nothing twice.
        (self.range.0..self.range.1).contains(&at)
    }
}

named_enum! {
    /// What is compared.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub(super) enum ComparedKind {
        Root = "root task",
        Child = "child",
        Retry = "retry",
        Alert = "alert",
        File = "file task",
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DifferenceClass {
    OnlyThere,
    OnlyHere,
    /// On purpose: its name in docs/departures.md.
    Departure(&'static str),
}

/// One thing that one of the two did, and the other didn't.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) class: DifferenceClass,
    pub(super) kind: ComparedKind,
    pub(super) at: DateTime<Utc>,
    /// `topic` or `topic:job`.
    pub(super) task: String,
    pub(super) workflow: String,
    /// The chain; empty where none is known.
    pub(super) id: String,
    /// The info of the task; the message of an alert; the path of a file.
    pub(super) info: String,
    /// What to look at.
    pub(super) hint: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ComparisonCounts {
    pub(super) same: BTreeMap<ComparedKind, u64>,
    pub(super) different: BTreeMap<(DifferenceClass, ComparedKind), u64>,
    /// What nobody can compare, by why.
    pub(super) left_out: BTreeMap<&'static str, u64>,
}

impl ComparisonCounts {
    pub(super) fn of_class(&self, class: DifferenceClass) -> u64 {
        self.different.iter().filter(|((of, _), _)| *of == class).map(|(_, count)| count).sum()
    }

    /// Whether one program did what the other wouldn't do, without a reason that is known.
    pub(super) fn is_unexplained(&self) -> bool {
        self.of_class(DifferenceClass::OnlyThere) + self.of_class(DifferenceClass::OnlyHere) > 0
    }
}

/// Counts what is compared, and hands on each difference.
pub(super) struct ComparisonTally<'o> {
    pub(super) counts: ComparisonCounts,
    pub(super) each: &'o mut dyn FnMut(&Difference) -> anyhow::Result<()>,
}

impl ComparisonTally<'_> {
    pub(super) fn add_same(&mut self, kind: ComparedKind, is_judged: bool) {
        if is_judged {
            *self.counts.same.entry(kind).or_default() += 1;
        }
    }

    pub(super) fn add_difference(&mut self, difference: &Difference) -> anyhow::Result<()> {
        *self.counts.different.entry((difference.class, difference.kind)).or_default() += 1;
        (self.each)(difference)
    }

    pub(super) fn leave_out(&mut self, why: &'static str, count: u64) {
        if count > 0 {
            *self.counts.left_out.entry(why).or_default() += count;
        }
    }
}

/// `topic` or `topic:job`.
pub(super) fn task_name(topic: &str, job: &str) -> String {
    TaskName { topic: topic.to_owned(), job: job.to_owned() }.to_string()
}

/// Whether a phase is called so.
pub(super) fn is_named(phase: &Phase, topic: &str, job: &str) -> bool {
    phase.task.topic == topic && phase.task.job == job
}

/// Ids that are told from all others, so that what stands in their place there can be anything.
pub(super) struct WildIds;

impl IdSource for WildIds {
    fn next_uid(&mut self, now: DateTime<Utc>) -> Uid {
        Uid::at(now)
    }

    fn random_bits(&mut self) -> u64 {
        // A `{uuid}` is made of the upper half, which must read as ANY_UUID.
        0xfeed_beef_0000_0000
    }
}

pub(super) fn has_wildcard(expected: &str) -> bool {
    expected.contains(ANY_HOST) || expected.contains(ANY_UUID)
}

/// Whether a text is what was expected, but for the host and the uuids in it.
pub(super) fn is_alike(expected: &str, found: &str) -> bool {
    if !has_wildcard(expected) {
        return expected == found;
    }
    let wild = [ANY_HOST, ANY_UUID].map(|wild| (expected.find(wild).unwrap_or(usize::MAX), wild));
    let Some((start, wild)) = wild.into_iter().min() else { return false };
    let (Some(found), rest) = (found.strip_prefix(&expected[..start]), &expected[start + wild.len()..]) else {
        return false;
    };
    if wild == ANY_UUID {
        let is_hex = found.bytes().take(ANY_UUID.len()).filter(u8::is_ascii_hexdigit).count() == ANY_UUID.len();
        return is_hex && is_alike(rest, &found[ANY_UUID.len()..]);
    }
    // A host has any length, so each possible end of it is tried.
    let is_end_of_host = |c: char| !(c.is_alphanumeric() || "-._".contains(c));
    let longest = found.find(is_end_of_host).unwrap_or(found.len());
    let mut ends = found[..longest].char_indices().map(|(at, c)| at + c.len_utf8());
    ends.any(|end| is_alike(rest, &found[end..]))
}

/// A template as it was written, where a text is all that is known of what was expected.
pub(super) fn readable(expected: &str) -> String {
    expected.replace(ANY_HOST, "{host}").replace(ANY_UUID, "{uuid}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_uuids_may_be_any() {
        let host = |text: &str| text.replace("{host}", ANY_HOST).replace("{uuid}", ANY_UUID);
        for (expected, found, alike) in [
            ("?d=1", "?d=1", true),
            ("?d=1", "?d=2", false),
            ("?h={host}&d=1", "?h=pod-7.example&d=1", true),
            ("?h={host}&d=1", "?h=&d=1", false),
            ("?h={host}&d=1", "?h=a&d=2", false),
            ("?h={host}", "?h=a/b", false),
            ("{host}-{host}", "a-b-c", true),
            ("x/{uuid}.csv", "x/0123abcd.csv", true),
            ("x/{uuid}.csv", "x/0123abc.csv", false),
            ("x/{uuid}.csv", "x/0123abcg.csv", false),
            ("{uuid}{host}", "0123abcdpod", true),
            ("{uuid}", "0123abcdé", false),
            ("{uuid}", "0123abé", false),
        ] {
            assert_eq!(is_alike(&host(expected), found), alike, "{expected} {found}");
        }
        assert_eq!(readable(&host("{host}/{uuid}")), "{host}/{uuid}");
    }
}

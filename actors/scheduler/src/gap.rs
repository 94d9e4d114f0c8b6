//! Slots that fell into downtime or a pause: which of them start after all, which are recorded and reported as missed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use flowlord_domain::cron::CronSchedule;
use flowlord_domain::rule::MissedSlotRule;
use flowlord_domain::schedule::slots_to_catch_up;
use flowlord_domain::{AlertKind, NewAlert};
use flowlord_messages::schedule::SlotKey;

use crate::alert::{phase_alert, slot_time};
use crate::slot::{DueSlot, PlannedPhase, SlotName};

// Of more slots the latest are recorded: after a year away, a phase of every second would fill the database with them.
const MAX_RECORDED_SLOTS: usize = 1_000;

// Walking takes time for each slot; beyond this, most of the rest is leapt over.
const MAX_WALKED_SLOTS: usize = 100_000;

/// Slots of one name that fell into downtime or a pause.
#[derive(Debug, Clone)]
pub(crate) struct SlotGap {
    pub(crate) name: Arc<SlotName>,
    /// Each phase with its first slot in there.
    pub(crate) crons: Vec<(PlannedPhase, DateTime<Utc>)>,
    /// The first instant after it.
    pub(crate) until: DateTime<Utc>,
    // Then nobody is alerted: it was meant.
    pub(crate) is_paused: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum SlotWrite {
    Start(DueSlot),
    Missed(MissedSlots),
}

#[derive(Debug, Clone)]
pub(crate) struct MissedSlots {
    pub(crate) name: Arc<SlotName>,
    pub(crate) slots: Vec<SlotKey>,
    pub(crate) alert: Option<Box<NewAlert>>,
}

impl SlotWrite {
    pub(crate) fn slot_name(&self) -> &Arc<SlotName> {
        match self {
            Self::Start(slot) => &slot.name,
            Self::Missed(missed) => &missed.name,
        }
    }
}

impl SlotGap {
    pub(crate) fn first_slot(&self) -> Option<DateTime<Utc>> {
        self.crons.iter().map(|(_, first)| *first).min()
    }

    pub(crate) fn slot_writes(&self, now: DateTime<Utc>) -> Vec<SlotWrite> {
        let mut starting: BTreeMap<DateTime<Utc>, Vec<PlannedPhase>> = BTreeMap::new();
        let mut all = BTreeSet::new();
        let mut left_out = Vec::new();
        for (phase, first) in &self.crons {
            let Some(schedule) = &phase.rule.schedule else { continue };
            let walk = walk_slots(schedule, *first, self.until);
            let starts = slots_to_catch_up(&phase.rule, &walk.latest, now);
            left_out.extend(UnstartedSlots::new(phase, &walk, starts.len()));
            all.extend(walk.latest);
            for slot in starts {
                starting.entry(slot).or_default().push(phase.clone());
            }
        }
        let mut alert = if self.is_paused { None } else { UnstartedSlots::make_alert(&left_out, now) };
        let mut writes = Vec::new();
        let mut missed = Vec::new();
        // Oldest first, so that what was stored before a crash is never behind what wasn't.
        for at in all {
            let Some(phases) = starting.remove(&at) else {
                missed.push(self.name.slot_key(at));
                continue;
            };
            writes.extend(self.write_missed(std::mem::take(&mut missed), &mut alert));
            writes.push(SlotWrite::Start(DueSlot { name: Arc::clone(&self.name), at, phases }));
        }
        writes.extend(self.write_missed(missed, &mut alert));
        writes
    }

    fn write_missed(&self, slots: Vec<SlotKey>, alert: &mut Option<Box<NewAlert>>) -> Option<SlotWrite> {
        let name = Arc::clone(&self.name);
        // The alert goes with the first slots that are recorded: in one transaction with them, and once.
        (!slots.is_empty()).then(|| SlotWrite::Missed(MissedSlots { name, slots, alert: alert.take() }))
    }
}

#[derive(Debug)]
struct UnstartedSlots {
    phase: PlannedPhase,
    first: DateTime<Utc>,
    last: DateTime<Utc>,
    count: usize,
    more: bool,
}

impl UnstartedSlots {
    /// None where the rule wants no more.
    fn new(phase: &PlannedPhase, walk: &SlotWalk, started: usize) -> Option<Self> {
        let satisfied = match phase.rule.missed {
            MissedSlotRule::None => false,
            // Nobody misses the older slots.
            MissedSlotRule::Latest => started > 0,
            MissedSlotRule::All => started >= walk.count,
        };
        let last = walk.latest.iter().rev().nth(started).or(walk.latest.first()).copied()?;
        let (first, count, more) = (walk.first, walk.count.saturating_sub(started), walk.more);
        (!satisfied).then(|| Self { phase: phase.clone(), first, last, count, more })
    }

    /// One alert for all phases of the name.
    fn make_alert(all: &[Self], now: DateTime<Utc>) -> Option<Box<NewAlert>> {
        let first = all.iter().map(|left| left.first).min()?;
        let latest = all.iter().max_by_key(|left| left.last)?;
        let count: usize = all.iter().map(|left| left.count).sum();
        let more = if all.iter().any(|left| left.more) { "more than " } else { "" };
        let (from, to) = (slot_time(first), slot_time(latest.last));
        let what = match count {
            1 => format!("the slot of {from} fell into downtime and was not started"),
            count => {
                format!("{more}{count} slots from {from} to {to} fell into downtime and were not started")
            }
        };
        let recorded = if count > MAX_RECORDED_SLOTS {
            format!("; only the latest {MAX_RECORDED_SLOTS} of each phase are recorded")
        } else {
            String::new()
        };
        let msg = format!("{what}{recorded}; missed=latest or missed=all in the rule would start such slots");
        Some(Box::new(phase_alert(&latest.phase, AlertKind::MissedSlot, msg, latest.last, now)))
    }
}

#[derive(Debug, PartialEq, Eq)]
struct SlotWalk {
    first: DateTime<Utc>,
    /// The latest of them, oldest first.
    latest: Vec<DateTime<Utc>>,
    count: usize,
    more: bool,
}

fn walk_slots(schedule: &CronSchedule, first: DateTime<Utc>, until: DateTime<Utc>) -> SlotWalk {
    let mut latest = VecDeque::new();
    let mut count = 0;
    for slot in list_slots(schedule, first, until) {
        count += 1;
        push_latest(&mut latest, slot);
    }
    let more = latest.back().and_then(|last| leap_to_end(first, *last, until));
    if count == MAX_WALKED_SLOTS
        && let Some(near) = more
    {
        for slot in list_slots(schedule, near, until) {
            push_latest(&mut latest, slot);
        }
    }
    SlotWalk { first, latest: latest.into(), count, more: count == MAX_WALKED_SLOTS && more.is_some() }
}

fn list_slots(
    schedule: &CronSchedule,
    first: DateTime<Utc>,
    until: DateTime<Utc>,
) -> impl Iterator<Item = DateTime<Utc>> {
    let slots = std::iter::successors(Some(first), |slot| schedule.next_after(*slot));
    slots.take_while(move |slot| *slot < until).take(MAX_WALKED_SLOTS)
}

fn push_latest(latest: &mut VecDeque<DateTime<Utc>>, slot: DateTime<Utc>) {
    if latest.len() == MAX_RECORDED_SLOTS {
        latest.pop_front();
    }
    latest.push_back(slot);
}

/// From the last slot walked to shortly before the end.
fn leap_to_end(first: DateTime<Utc>, last: DateTime<Utc>, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
    // By whole steps of the average length, so that an `@every` keeps its beat.
    let steps = i32::try_from(MAX_WALKED_SLOTS - 1).ok()?;
    let step = (last - first) / steps;
    let ahead = (until - last).num_seconds().checked_div(step.num_seconds())?;
    let near = i32::try_from(ahead.saturating_sub(2 * i64::try_from(MAX_RECORDED_SLOTS).ok()?)).ok()?;
    (near > 0).then(|| last + step * near)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::DueWork;
    use crate::plan::tests::{at, plan};

    /// What is stored for a gap from 12:00 to 15:30 of phases with these rules.
    fn writes(rules: &[&str]) -> (Vec<String>, Vec<String>) {
        let phases: Vec<_> = rules.iter().map(|rule| ("a:j", *rule)).collect();
        let mut plan = plan(&phases, at("11:30:00"));
        let due = plan.take_due(at("15:31:00"));
        let [DueWork::Gap(gap)] = &due[..] else { panic!("{due:?}") };
        assert_eq!(gap.until, at("15:30:00"));
        let mut alerts = Vec::new();
        let hours = |slots: &[SlotKey]| -> Vec<String> {
            slots.iter().map(|slot| slot.at.format("%H:%M").to_string()).collect()
        };
        let text = |write: &SlotWrite| match write {
            SlotWrite::Start(slot) => format!("start {} x{}", slot.at.format("%H:%M"), slot.phases.len()),
            SlotWrite::Missed(missed) => {
                alerts.extend(missed.alert.clone());
                format!("missed {}", hours(&missed.slots).join(" "))
            }
        };
        let writes = gap.slot_writes(at("15:31:00")).iter().map(text).collect();
        for alert in &alerts {
            assert_eq!((alert.kind, alert.topic.as_str(), alert.job.as_str()), (AlertKind::MissedSlot, "a", "j"));
        }
        (writes, alerts.into_iter().map(|alert| alert.msg).collect())
    }

    #[test]
    fn by_default_nothing_starts_and_it_is_said_once() {
        let (writes, alerts) = writes(&["cron=0 * * * *"]);
        assert_eq!(writes, ["missed 12:00 13:00 14:00 15:00"]);
        let range = "4 slots from 2026-03-02T12:00:00Z to 2026-03-02T15:00:00Z fell into downtime";
        assert!(alerts.len() == 1 && alerts[0].starts_with(range), "{alerts:?}");
    }

    #[test]
    fn of_a_pause_nobody_is_told() {
        let mut plan = plan(&[("a:j", "cron=0 * * * *&missed=latest"), ("a:j", "cron=30 * * * *")], at("11:30:00"));
        let name = SlotName { workflow: "w.toml".to_owned(), task: "a:j".to_owned() };
        plan.pause_phase(name.clone());
        let writes = plan.resume_phase(&name, at("14:10:00")).unwrap().slot_writes(at("14:10:00"));
        let text = |write: &SlotWrite| match write {
            SlotWrite::Start(slot) => format!("start {}", slot.at.format("%H:%M")),
            SlotWrite::Missed(missed) => format!("missed {} {:?}", missed.slots.len(), missed.alert),
        };
        assert_eq!(writes.iter().map(text).collect::<Vec<_>>(), ["missed 4 None", "start 14:00"]);
    }

    #[test]
    fn the_rule_says_what_starts() {
        let (latest, alerts) = writes(&["cron=0 * * * *&missed=latest"]);
        assert_eq!((latest, alerts.len()), (vec!["missed 12:00 13:00 14:00".into(), "start 15:00 x1".into()], 0));
        let (all, alerts) = writes(&["cron=0 */2 * * *&missed=all"]);
        assert_eq!((all, alerts.len()), (vec!["start 12:00 x1".to_owned(), "start 14:00 x1".into()], 0));
    }

    #[test]
    fn outside_the_window_nothing_starts_which_is_said() {
        let (all, alerts) = writes(&["cron=0 * * * *&missed=all&missed_window=2h"]);
        assert_eq!(all, ["missed 12:00 13:00", "start 14:00 x1", "start 15:00 x1"]);
        assert!(alerts[0].starts_with("2 slots from 2026-03-02T12:00:00Z to 2026-03-02T13:00:00Z"), "{alerts:?}");
        let (latest, alerts) = writes(&["cron=0 12 * * *&missed=latest&missed_window=1h"]);
        assert_eq!(latest, ["missed 12:00"]);
        assert!(alerts[0].starts_with("the slot of 2026-03-02T12:00:00Z"), "{alerts:?}");
    }

    #[test]
    fn phases_of_one_name_each_have_their_way_oldest_first() {
        let (writes, alerts) =
            writes(&["cron=0 12,13,14 * * *", "cron=0 13 * * *&missed=all", "cron=0 12-14 * * *&missed=latest"]);
        assert_eq!(writes, ["missed 12:00", "start 13:00 x1", "start 14:00 x1"]);
        assert_eq!(alerts.len(), 1, "{alerts:?}");
    }

    fn schedule(text: &str) -> CronSchedule {
        CronSchedule::parse(text, chrono_tz::Tz::UTC).unwrap()
    }

    #[test]
    fn a_long_downtime_is_bounded() {
        let walk = walk_slots(&schedule("* * * * * *"), at("00:00:01"), at("01:00:01"));
        assert_eq!((walk.count, walk.more, walk.latest.len()), (3600, false, MAX_RECORDED_SLOTS));
        assert_eq!((walk.first, walk.latest.last()), (at("00:00:01"), Some(&at("01:00:00"))));
    }

    #[test]
    fn of_a_very_long_downtime_the_latest_slots_are_found_and_every_keeps_its_beat() {
        let first: DateTime<Utc> = "2024-03-02T00:00:00Z".parse().unwrap();
        for (cron, last) in [("* * * * * *", "12:00:00"), ("@every 7s", "11:59:56")] {
            let walk = walk_slots(&schedule(cron), first, at("12:00:01"));
            assert_eq!(
                (walk.count, walk.more, walk.latest.len()),
                (MAX_WALKED_SLOTS, true, MAX_RECORDED_SLOTS),
                "{cron}"
            );
            let end = *walk.latest.last().unwrap();
            assert!(at("12:00:01") - end <= chrono::TimeDelta::seconds(7), "{end} {last}");
            let beat = if cron.starts_with('@') { 7 } else { 1 };
            assert_eq!((end - first).num_seconds() % beat, 0, "{cron}");
        }
    }
}

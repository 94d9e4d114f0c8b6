//! When each scheduled phase starts next.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::workflow::{Phase, Workflows};
use flowlord_messages::scheduler::PhaseTimes;
use flowlord_messages::write::SlotKey;

/// A slot that comes up later than this is treated as one in downtime: the machine slept, or its clock was set.
const LATE: TimeDelta = TimeDelta::seconds(60);

/// How many slots of one phase in downtime are told apart; of more, the latest.
const TOLD_APART: usize = 1_000;

/// How many slots in downtime are walked through at all.
const WALKED: usize = 100_000;

/// A scheduled phase: several may share a task, each with its own cron.
type Key = (String, String, String);

#[derive(Debug)]
struct Entry {
    phase: Arc<Phase>,
    next: Option<DateTime<Utc>>,
    previous: Option<DateTime<Utc>>,
}

/// All scheduled phases.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    entries: HashMap<Key, Entry>,
    by_time: BTreeSet<(DateTime<Utc>, Key)>,
}

/// A slot whose time has come.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) phase: Arc<Phase>,
    pub(crate) at: DateTime<Utc>,
}

impl Slot {
    pub(crate) fn key(&self) -> SlotKey {
        SlotKey { workflow: self.phase.workflow.clone(), task: self.phase.name(), at: self.at }
    }
}

/// Slots of one phase that nobody was there for, oldest first.
#[derive(Debug, Clone)]
pub(crate) struct Gap {
    pub(crate) phase: Arc<Phase>,
    pub(crate) slots: Vec<DateTime<Utc>>,
    /// The first of all, and how many there were.
    pub(crate) first: DateTime<Utc>,
    pub(crate) count: usize,
}

/// What is due.
#[derive(Debug, Default)]
pub(crate) struct Due {
    pub(crate) slots: Vec<Slot>,
    pub(crate) gaps: Vec<Gap>,
}

impl Plan {
    /// Takes over the phases that count now. A phase that was there keeps its place; a new one begins at `now`.
    pub(crate) fn replace(&mut self, workflows: &Workflows, now: DateTime<Utc>) {
        let mut entries = HashMap::new();
        for phase in workflows.phases() {
            let (Some(cron), Some(schedule)) = (&phase.rule.cron, &phase.rule.schedule) else { continue };
            let key = (phase.workflow.clone(), phase.name(), cron.clone());
            let known = self.entries.remove(&key);
            let previous = known.as_ref().and_then(|known| known.previous);
            let next = known.and_then(|known| known.next).or_else(|| schedule.next_after(now));
            entries.insert(key, Entry { phase: Arc::new(phase.clone()), next, previous });
        }
        self.entries = entries;
        let timed = |(key, entry): (&Key, &Entry)| entry.next.map(|next| (next, key.clone()));
        self.by_time = self.entries.iter().filter_map(timed).collect();
    }

    /// The slots that fell into downtime, given the last recorded one of each phase. A phase that never had one
    /// has no past.
    pub(crate) fn gaps(&self, last: &[SlotKey], now: DateTime<Utc>) -> Vec<Gap> {
        let last: HashMap<_, _> = last.iter().map(|slot| ((&slot.workflow, &slot.task), slot.at)).collect();
        let mut gaps: Vec<_> = self
            .entries
            .iter()
            .filter_map(|((workflow, task, _), entry)| gap(&entry.phase, *last.get(&(workflow, task))?, now))
            .collect();
        gaps.sort_by(|a, b| {
            (a.first, &a.phase.workflow, &a.phase.task).cmp(&(b.first, &b.phase.workflow, &b.phase.task))
        });
        gaps
    }

    /// Takes what is due, in the order of time.
    pub(crate) fn due(&mut self, now: DateTime<Utc>) -> Due {
        let mut due = Due::default();
        while let Some((at, key)) = self.by_time.first().filter(|(at, _)| *at <= now).cloned() {
            self.by_time.remove(&(at, key.clone()));
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            let Some(schedule) = &entry.phase.rule.schedule else { continue };
            if now - at > LATE {
                due.gaps.extend(gap(&entry.phase, at - TimeDelta::microseconds(1), now));
                entry.next = schedule.next_after(now);
            } else {
                due.slots.push(Slot { phase: Arc::clone(&entry.phase), at });
                entry.previous = Some(at);
                entry.next = schedule.next_after(at);
            }
            self.by_time.extend(entry.next.map(|next| (next, key)));
        }
        due
    }

    /// When something is due next.
    pub(crate) fn next(&self) -> Option<DateTime<Utc>> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Every phase's times, by file and task.
    pub(crate) fn times(&self) -> Vec<PhaseTimes> {
        let mut times: Vec<_> = self
            .entries
            .iter()
            .map(|((workflow, task, cron), entry)| PhaseTimes {
                workflow: workflow.clone(),
                task: task.clone(),
                cron: cron.clone(),
                next: entry.next,
                previous: entry.previous,
            })
            .collect();
        times.sort_by(|a, b| (&a.workflow, &a.task, &a.cron).cmp(&(&b.workflow, &b.task, &b.cron)));
        times
    }
}

/// The slots of a phase after `after` up to `now`; none when there are none.
fn gap(phase: &Arc<Phase>, after: DateTime<Utc>, now: DateTime<Utc>) -> Option<Gap> {
    let schedule = phase.rule.schedule.as_ref()?;
    let walk = std::iter::successors(schedule.next_after(after), |slot| schedule.next_after(*slot));
    let mut slots = VecDeque::new();
    let (mut first, mut count) = (None, 0);
    for slot in walk.take_while(|slot| *slot <= now).take(WALKED) {
        first.get_or_insert(slot);
        count += 1;
        slots.push_back(slot);
        if slots.len() > TOLD_APART {
            slots.pop_front();
        }
    }
    Some(Gap { phase: Arc::clone(phase), slots: slots.into(), first: first?, count })
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use flowlord_domain::workflow::WorkflowFile;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-03-02T{text}Z").parse().unwrap()
    }

    fn workflows(phases: &[(&str, &str)]) -> Workflows {
        let text: String = phases
            .iter()
            .map(|(task, cron)| format!("[[phase]]\ntask = \"{task}\"\nrule = \"cron={cron}\"\n"))
            .collect();
        Workflows::new([Arc::new(WorkflowFile::parse("w.toml", &text, "h", Tz::UTC).unwrap())])
    }

    fn plan(phases: &[(&str, &str)], now: DateTime<Utc>) -> Plan {
        let mut plan = Plan::default();
        plan.replace(&workflows(phases), now);
        plan
    }

    fn fired(due: &Due) -> Vec<String> {
        due.slots.iter().map(|slot| format!("{} {}", slot.phase.name(), slot.at.format("%H:%M"))).collect()
    }

    #[test]
    fn what_is_due_comes_in_the_order_of_time_and_once() {
        let mut plan = plan(&[("b", "0 * * * *"), ("a", "0 * * * *"), ("c", "30 * * * *")], at("11:00:00"));
        assert_eq!(plan.next(), Some(at("11:30:00")));
        assert_eq!(fired(&plan.due(at("11:30:00"))), ["c 11:30"]);
        assert_eq!(fired(&plan.due(at("12:00:01"))), ["a 12:00", "b 12:00"]);
        assert!(fired(&plan.due(at("12:00:01"))).is_empty());
    }

    #[test]
    fn a_reload_keeps_the_place_of_a_phase_and_begins_new_ones_now() {
        let mut plan = plan(&[("a", "0 * * * *"), ("gone", "0 * * * *")], at("11:30:00"));
        // The reload comes just after a slot that was not taken yet.
        plan.replace(&workflows(&[("a", "0 * * * *"), ("new", "0 * * * *")]), at("12:00:01"));
        assert_eq!(fired(&plan.due(at("12:00:01"))), ["a 12:00"]);
        let next: Vec<_> = plan.times().iter().map(|times| times.next).collect();
        assert_eq!(next, [Some(at("13:00:00")); 2]);
    }

    #[test]
    fn phases_may_share_a_task_each_with_its_own_cron() {
        let mut plan = plan(&[("a", "0 12 * * *"), ("a", "30 12 * * *")], at("11:00:00"));
        assert_eq!(fired(&plan.due(at("12:00:00"))), ["a 12:00"]);
        assert_eq!(fired(&plan.due(at("12:30:00"))), ["a 12:30"]);
    }

    #[test]
    fn a_clock_set_back_fires_nothing_again_and_one_set_forward_leaves_a_gap() {
        let mut plan = plan(&[("a", "0 * * * *")], at("11:30:00"));
        assert_eq!(fired(&plan.due(at("12:00:00"))), ["a 12:00"]);
        assert!(fired(&plan.due(at("11:59:59"))).is_empty());
        assert!(fired(&plan.due(at("12:30:00"))).is_empty());
        let due = plan.due(at("15:30:00"));
        assert!(due.slots.is_empty());
        assert_eq!((due.gaps[0].first, due.gaps[0].count), (at("13:00:00"), 3));
        assert_eq!(fired(&plan.due(at("16:00:00"))), ["a 16:00"]);
    }

    #[test]
    fn downtime_is_from_the_last_recorded_slot_and_a_new_phase_has_none() {
        let plan = plan(&[("a", "0 * * * *"), ("b", "0 * * * *")], at("14:30:00"));
        let last = [SlotKey { workflow: "w.toml".to_owned(), task: "a".to_owned(), at: at("11:00:00") }];
        let gaps = plan.gaps(&last, at("14:30:00"));
        assert_eq!(gaps.len(), 1);
        assert_eq!(gaps[0].slots, [at("12:00:00"), at("13:00:00"), at("14:00:00")]);
    }

    #[test]
    fn a_long_downtime_of_a_quick_cron_is_bounded() {
        let phase = workflows(&[("a", "* * * * * *")]).phases().next().cloned().unwrap();
        let gap = gap(&Arc::new(phase), at("00:00:00"), at("01:00:00")).unwrap();
        assert_eq!((gap.count, gap.slots.len()), (3600, TOLD_APART));
        assert_eq!((gap.first, gap.slots.last()), (at("00:00:01"), Some(&at("01:00:00"))));
    }
}

//! When each scheduled phase starts next.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::cron::CronSchedule;
use flowlord_domain::workflow::Workflows;
use flowlord_messages::schedule::{CronKey, PhaseTimes, ScheduleInput};

use crate::gap::SlotGap;
use crate::slot::{DueSlot, PlannedPhase, SlotName};

// A slot that comes up later than this is treated as one in downtime: the machine slept, or its clock was set.
pub(crate) const MAX_LATENESS: TimeDelta = TimeDelta::seconds(60);

/// The smallest difference between two times.
const INSTANT: TimeDelta = TimeDelta::microseconds(1);

#[derive(Debug)]
pub(crate) enum DueWork {
    Slot(DueSlot),
    Gap(SlotGap),
}

#[derive(Debug)]
struct PlannedCron {
    phase: PlannedPhase,
    schedule: CronSchedule,
    next: Option<DateTime<Utc>>,
    previous: Option<DateTime<Utc>>,
    /// It counts from then on.
    since: DateTime<Utc>,
}

#[derive(Debug, Default)]
struct PlannedSlots {
    crons: Vec<PlannedCron>,
    /// How much later than its slots the name starts.
    shift: TimeDelta,
}

#[derive(Debug, Default)]
pub(crate) struct SchedulePlan {
    entries: HashMap<Arc<SlotName>, PlannedSlots>,
    /// Without those that are paused: their crons stay where they were, and show at the end what the pause skipped.
    by_time: BTreeSet<(DateTime<Utc>, Arc<SlotName>)>,
    paused: HashSet<SlotName>,
}

impl SchedulePlan {
    /// Takes over the phases that count now. A phase that was there keeps its place; a new one begins at `now`.
    pub(crate) fn replace_workflows(&mut self, workflows: &Workflows, now: DateTime<Utc>) {
        let known = std::mem::take(&mut self.entries);
        for file in workflows.files() {
            for (index, phase) in file.phases.iter().enumerate() {
                let Some(schedule) = &phase.rule.schedule else { continue };
                let name = Arc::new(SlotName { workflow: phase.workflow.clone(), task: phase.task_name() });
                // By schedule, not by place in the file: a phase that moved within it is the same.
                let known = known.get(&name).and_then(|entry| entry.find_cron(schedule));
                let next = known.map_or_else(|| schedule.next_after(now), |known| known.next);
                let previous = known.and_then(|known| known.previous);
                let since = known.map_or(now, |known| known.since);
                let shift = file.start_shift(phase);
                let phase = PlannedPhase { file: Arc::clone(file), index };
                let cron = PlannedCron { phase, schedule: schedule.clone(), next, previous, since };
                let entry = self.entries.entry(name).or_default();
                entry.shift = shift;
                entry.add_cron(cron);
            }
        }
        self.sort_by_time();
    }

    /// Resumes where an earlier run ended, and returns the slots before `until` that fell into downtime. A cron
    /// that is new since then has none.
    pub(crate) fn resume_stored(
        &mut self,
        stored: &ScheduleInput,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Vec<SlotGap> {
        // What was stored in the future was stored by a clock that was wrong: the plan begins at `now`.
        let slots = stored.last_slots.iter().filter(|slot| slot.at <= now);
        let last: HashMap<_, _> = slots.map(|slot| ((&slot.workflow, &slot.task), slot.at)).collect();
        let crons = stored.crons.iter().filter(|(_, since)| *since <= now);
        let since: HashMap<_, _> = crons.map(|(cron, since)| (cron, *since)).collect();
        let paused = stored.paused.iter();
        self.paused =
            paused.map(|phase| SlotName { workflow: phase.workflow.clone(), task: phase.task.clone() }).collect();
        let mut gaps = Vec::new();
        for (name, entry) in &mut self.entries {
            let last = last.get(&(&name.workflow, &name.task)).copied();
            for cron in &mut entry.crons {
                let Some(since) = since.get(&cron.cron_key(name)) else { continue };
                cron.since = *since;
                cron.next = cron.schedule.next_after(last.map_or(*since, |last| last.max(*since)));
            }
            // What a paused phase left out is dealt with when it is resumed.
            if !self.paused.contains(&**name) && entry.next_start().is_some_and(|next| next < until) {
                gaps.push(entry.skip_slots(Arc::clone(name), until));
            }
        }
        // The map has no order: the oldest gaps are stored first.
        gaps.sort_by(|a, b| (a.first_slot(), &a.name).cmp(&(b.first_slot(), &b.name)));
        self.sort_by_time();
        gaps
    }

    pub(crate) fn cron_starts(&self) -> HashMap<CronKey, DateTime<Utc>> {
        self.all_crons().map(|(name, cron)| (cron.cron_key(name), cron.since)).collect()
    }

    fn all_crons(&self) -> impl Iterator<Item = (&SlotName, &PlannedCron)> {
        self.entries.iter().flat_map(|(name, entry)| entry.crons.iter().map(|cron| (&**name, cron)))
    }

    /// Plans again from `now`, where that is earlier.
    pub(crate) fn follow_clock_back(&mut self, now: DateTime<Utc>) {
        // Slots that started before the clock was set back come again: the database refuses them.
        for entry in self.entries.values_mut() {
            for cron in &mut entry.crons {
                // One that is paused may stand before that.
                let next = cron.schedule.next_after(now - entry.shift);
                cron.next = cron.next.into_iter().chain(next).min();
            }
        }
        self.sort_by_time();
    }

    pub(crate) fn is_paused(&self, name: &SlotName) -> bool {
        self.paused.contains(name)
    }

    pub(crate) fn pause_phase(&mut self, name: SlotName) {
        self.paused.insert(name);
        self.sort_by_time();
    }

    /// Resumes a name; returns the slots that fell into its pause.
    pub(crate) fn resume_phase(&mut self, name: &SlotName, now: DateTime<Utc>) -> Option<SlotGap> {
        if !self.paused.remove(name) {
            return None;
        }
        let (name, _) = self.entries.get_key_value(name)?;
        let name = Arc::clone(name);
        let entry = self.entries.get_mut(&name)?;
        let fell_into = entry.next_start().is_some_and(|next| next < now);
        let gap = fell_into.then(|| SlotGap { is_paused: true, ..entry.skip_slots(name, now) });
        self.sort_by_time();
        gap
    }

    fn sort_by_time(&mut self) {
        let running = self.entries.iter().filter(|(name, _)| !self.paused.contains(&***name));
        self.by_time = running.filter_map(|(name, entry)| Some((entry.next_start()?, Arc::clone(name)))).collect();
    }

    /// Takes what is due, in the order of time.
    pub(crate) fn take_due(&mut self, now: DateTime<Utc>) -> Vec<DueWork> {
        let in_time = now - MAX_LATENESS;
        let mut due = Vec::new();
        while let Some((at, name)) = self.by_time.pop_first() {
            if at > now {
                self.by_time.insert((at, name));
                break;
            }
            let Some(entry) = self.entries.get_mut(&name) else { continue };
            due.push(if at < in_time {
                DueWork::Gap(entry.skip_slots(Arc::clone(&name), in_time))
            } else {
                DueWork::Slot(entry.take_slot(Arc::clone(&name), at - entry.shift))
            });
            self.by_time.extend(entry.next_start().map(|next| (next, name)));
        }
        due
    }

    pub(crate) fn next_due(&self) -> Option<DateTime<Utc>> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Every phase's times, by file and task.
    pub(crate) fn phase_times(&self) -> Vec<PhaseTimes> {
        let starts =
            self.entries.iter().flat_map(|(name, entry)| entry.crons.iter().map(move |cron| (name, entry, cron)));
        let mut times: Vec<_> = starts
            .map(|(name, entry, cron)| PhaseTimes {
                workflow: name.workflow.clone(),
                task: name.task.clone(),
                cron: cron.cron_key(name).cron,
                next: cron.next.map(|next| next + entry.shift).filter(|_| !self.is_paused(name)),
                previous: cron.previous,
            })
            .collect();
        times.sort_by(|a, b| (&a.workflow, &a.task, &a.cron).cmp(&(&b.workflow, &b.task, &b.cron)));
        times
    }
}

impl PlannedCron {
    fn cron_key(&self, name: &SlotName) -> CronKey {
        let cron = self.phase.rule.cron.clone().unwrap_or_default();
        CronKey { workflow: name.workflow.clone(), task: name.task.clone(), cron }
    }
}

impl PlannedSlots {
    fn add_cron(&mut self, cron: PlannedCron) {
        // The same phase written twice starts once.
        let (rule, template) = (&cron.phase.rule_text, &cron.phase.template);
        if !self.crons.iter().any(|other| (&other.phase.rule_text, &other.phase.template) == (rule, template)) {
            self.crons.push(cron);
        }
    }

    fn find_cron(&self, schedule: &CronSchedule) -> Option<&PlannedCron> {
        self.crons.iter().find(|cron| cron.schedule == *schedule)
    }

    /// When the next slot starts.
    fn next_start(&self) -> Option<DateTime<Utc>> {
        self.crons.iter().filter_map(|cron| cron.next).min().map(|slot| slot + self.shift)
    }

    /// The slot at `at`, with all phases that have it; each moves on.
    fn take_slot(&mut self, name: Arc<SlotName>, at: DateTime<Utc>) -> DueSlot {
        let mut phases = Vec::new();
        for cron in self.crons.iter_mut().filter(|cron| cron.next == Some(at)) {
            phases.push(cron.phase.clone());
            cron.previous = Some(at);
            cron.next = cron.schedule.next_after(at);
        }
        DueSlot { name, at, phases }
    }

    /// All that were to start before `until`.
    fn skip_slots(&mut self, name: Arc<SlotName>, until: DateTime<Utc>) -> SlotGap {
        let until = until - self.shift;
        let mut crons = Vec::new();
        for cron in &mut self.crons {
            let Some(first) = cron.next.filter(|next| *next < until) else { continue };
            crons.push((cron.phase.clone(), first));
            cron.next = cron.schedule.next_after(until - INSTANT);
        }
        SlotGap { name, crons, until, is_paused: false }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use chrono_tz::Tz;
    use flowlord_domain::workflow::WorkflowFile;
    use flowlord_messages::schedule::PausedPhase;

    use super::*;

    pub(crate) fn at(text: &str) -> DateTime<Utc> {
        format!("2026-03-02T{text}Z").parse().unwrap()
    }

    pub(crate) fn workflows(phases: &[(&str, &str)]) -> Workflows {
        let text: String = phases
            .iter()
            .map(|(task, rule)| {
                format!("[[phase]]\ntask = \"{task}\"\nrule = \"{rule}\"\ntemplate = \"{{timestamp}}\"\n")
            })
            .collect();
        Workflows::new([Arc::new(WorkflowFile::parse("w.toml", &text, "h", Tz::UTC).unwrap())])
    }

    pub(crate) fn plan(phases: &[(&str, &str)], now: DateTime<Utc>) -> SchedulePlan {
        let mut plan = SchedulePlan::default();
        plan.replace_workflows(&workflows(phases), now);
        plan
    }

    /// What was stored: the last slots, and crons of those names that count since midnight.
    fn stored(last: &[(&str, &str)], crons: &[(&str, &str)]) -> ScheduleInput {
        let name = |task: &str| SlotName { workflow: "w.toml".to_owned(), task: task.to_owned() };
        let key = |task: &str, cron: &str| CronKey {
            workflow: "w.toml".to_owned(),
            task: task.to_owned(),
            cron: cron.to_owned(),
        };
        ScheduleInput {
            last_slots: last.iter().map(|(task, slot)| name(task).slot_key(at(slot))).collect(),
            crons: crons.iter().map(|(task, cron)| (key(task, cron), at("00:00:00"))).collect(),
            next_due: None,
            paused: Vec::new(),
        }
    }

    /// `task time`, with the number of phases where that isn't one; gaps as `task first.. `.
    fn seen(due: &[DueWork]) -> Vec<String> {
        let slot = |due: &DueWork| match due {
            DueWork::Slot(slot) if slot.phases.len() == 1 => {
                format!("{} {}", slot.name.task, slot.at.format("%H:%M:%S"))
            }
            DueWork::Slot(slot) => {
                format!("{} {} x{}", slot.name.task, slot.at.format("%H:%M:%S"), slot.phases.len())
            }
            DueWork::Gap(gap) => format!(
                "{} {}..{}",
                gap.name.task,
                gap.first_slot().unwrap().format("%H:%M:%S"),
                gap.until.format("%H:%M:%S")
            ),
        };
        due.iter().map(slot).collect()
    }

    #[test]
    fn what_is_due_comes_in_the_order_of_time_and_once() {
        let phases = [("b", "cron=0 * * * *"), ("a", "cron=0 * * * *"), ("c", "cron=30 * * * *")];
        let mut plan = plan(&phases, at("11:00:00"));
        assert_eq!(plan.next_due(), Some(at("11:30:00")));
        assert_eq!(seen(&plan.take_due(at("11:30:00"))), ["c 11:30:00"]);
        assert_eq!(seen(&plan.take_due(at("12:00:01"))), ["a 12:00:00", "b 12:00:00"]);
        assert!(plan.take_due(at("12:00:01")).is_empty());
    }

    #[test]
    fn a_reload_keeps_the_place_of_a_phase_and_begins_new_and_changed_ones_now() {
        let before = [("a", "cron=0 * * * *"), ("gone", "cron=0 * * * *"), ("moved", "cron=0 * * * *")];
        let mut plan = plan(&before, at("11:30:00"));
        // The reload comes just after a slot that was not taken yet.
        let after = [("a", "cron=0 * * * *&retry_delay=9s"), ("new", "cron=0 * * * *"), ("moved", "cron=5 * * * *")];
        plan.replace_workflows(&workflows(&after), at("12:00:01"));
        assert_eq!(seen(&plan.take_due(at("12:00:01"))), ["a 12:00:00"]);
        let next: Vec<_> = plan.phase_times().iter().map(|times| times.next).collect();
        assert_eq!(next, [Some(at("13:00:00")), Some(at("12:05:00")), Some(at("13:00:00"))]);
    }

    #[test]
    fn phases_that_share_a_task_share_its_slots() {
        let phases = [
            ("a", "cron=0 12 * * *&meta=k:1"),
            ("a", "cron=0 12 * * *&meta=k:2"),
            ("a", "cron=0 * * * *"),
            ("a", "cron=30 12 * * *"),
            ("a", "cron=30 12 * * *"),
        ];
        let mut plan = plan(&phases, at("11:30:00"));
        assert_eq!(seen(&plan.take_due(at("12:00:00"))), ["a 12:00:00 x3"]);
        assert_eq!(seen(&plan.take_due(at("12:30:00"))), ["a 12:30:00"], "the same phase twice counts once");
        assert_eq!(seen(&plan.take_due(at("13:00:00"))), ["a 13:00:00"]);
    }

    #[test]
    fn a_clock_set_forward_leaves_a_gap_but_for_what_is_hardly_late() {
        let mut plan = plan(&[("a", "cron=*/30 * * * * *"), ("b", "cron=0 * * * *")], at("11:59:45"));
        assert_eq!(seen(&plan.take_due(at("12:00:00"))), ["a 12:00:00", "b 12:00:00"]);
        let due = seen(&plan.take_due(at("15:00:20")));
        assert_eq!(due, ["a 12:00:30..14:59:20", "b 13:00:00..14:59:20", "a 14:59:30", "a 15:00:00", "b 15:00:00"]);
        assert_eq!(seen(&plan.take_due(at("15:00:30"))), ["a 15:00:30"]);
    }

    #[test]
    fn jitter_moves_the_start_of_a_slot_and_not_its_time() {
        let start = |rule: &str| plan(&[("a", rule)], at("11:30:00")).next_due().unwrap();
        let shift = start("cron=0 * * * *&jitter=30m") - at("12:00:00");
        assert!(shift > TimeDelta::minutes(1) && shift < TimeDelta::minutes(30), "{shift}");
        let mut plan = plan(&[("a", "cron=0 * * * *&jitter=30m")], at("11:30:00"));
        assert_eq!(plan.phase_times()[0].next, Some(at("12:00:00") + shift));
        assert!(plan.take_due(at("12:00:00") + shift - INSTANT).is_empty());
        assert_eq!(seen(&plan.take_due(at("12:00:00") + shift)), ["a 12:00:00"]);
        assert_eq!(plan.next_due(), Some(at("13:00:00") + shift));
        // Late by more than a minute: the slot whose start fell into it is a gap, and no other.
        let due = plan.take_due(at("14:00:00") + shift);
        assert_eq!(due.len(), 2);
        let DueWork::Gap(gap) = &due[0] else { panic!("{:?}", seen(&due)) };
        assert_eq!((gap.first_slot(), gap.until), (Some(at("13:00:00")), at("13:59:00")));
        assert_eq!(seen(&due)[1], "a 14:00:00");
        plan.follow_clock_back(at("13:00:00"));
        assert_eq!(plan.next_due(), Some(at("13:00:00") + shift));
        let paused = SlotName { workflow: "w.toml".to_owned(), task: "a".to_owned() };
        plan.pause_phase(paused.clone());
        assert!(plan.resume_phase(&paused, at("13:00:00") + shift).is_none(), "it starts only now");
        plan.pause_phase(paused.clone());
        let gap = plan.resume_phase(&paused, at("13:00:00") + shift + INSTANT).unwrap();
        assert_eq!(gap.first_slot(), Some(at("13:00:00")));
    }

    #[test]
    fn a_clock_set_back_is_followed() {
        let mut plan = plan(&[("a", "cron=0 * * * *")], at("11:30:00"));
        assert_eq!(seen(&plan.take_due(at("12:00:00"))), ["a 12:00:00"]);
        assert!(plan.take_due(at("11:59:59")).is_empty());
        plan.follow_clock_back(at("03:30:00"));
        assert_eq!(plan.next_due(), Some(at("04:00:00")));
    }

    #[test]
    fn downtime_is_from_the_last_recorded_slot_and_a_new_cron_has_none() {
        let now = at("14:30:00");
        let phases = [
            ("a", "cron=0 * * * *"),
            ("b", "cron=0 * * * *"),
            ("c", "cron=@every 7m"),
            ("changed", "cron=*/5 * * * *"),
            ("first", "cron=30 13 * * *"),
        ];
        let mut plan = plan(&phases, now);
        let last = [("a", "11:00:00"), ("c", "14:24:00"), ("changed", "00:00:00"), ("gone", "01:00:00")];
        let crons = [("a", "0 * * * *"), ("c", "@every 7m"), ("changed", "0 0 * * *"), ("first", "30 13 * * *")];
        let gaps = plan.resume_stored(&stored(&last, &crons), now, now);
        let gaps: Vec<_> = gaps.into_iter().map(DueWork::Gap).collect();
        assert_eq!(seen(&gaps), ["a 12:00:00..14:30:00", "first 13:30:00..14:30:00"]);
        let next: Vec<_> =
            plan.phase_times().iter().map(|times| times.next.unwrap().format("%H:%M").to_string()).collect();
        assert_eq!(next, ["15:00", "15:00", "14:31", "14:35", "13:30"], "c goes on where it was");
        let crons = plan.cron_starts();
        let since = |task: &str| crons.iter().find(|(key, _)| key.task == task).map(|(_, since)| *since);
        assert_eq!((since("a"), since("changed")), (Some(at("00:00:00")), Some(now)));
    }

    #[test]
    fn a_paused_phase_takes_nothing_and_then_has_a_gap_from_where_it_was() {
        let name = |task: &str| SlotName { workflow: "w.toml".to_owned(), task: task.to_owned() };
        let mut plan = plan(&[("a", "cron=0 * * * *"), ("b", "cron=30 * * * *")], at("11:30:00"));
        plan.pause_phase(name("a"));
        plan.pause_phase(name("child"));
        assert_eq!(seen(&plan.take_due(at("12:30:00"))), ["b 12:30:00"]);
        let next: Vec<_> = plan.phase_times().iter().map(|times| times.next).collect();
        assert_eq!(next, [None, Some(at("13:30:00"))]);
        // A reload, a restart and a clock that is set back lose nothing of it.
        plan.replace_workflows(&workflows(&[("a", "cron=0 * * * *")]), at("12:40:00"));
        plan.follow_clock_back(at("12:20:00"));
        let paused =
            |task: &str| PausedPhase { workflow: "w.toml".to_owned(), task: task.to_owned(), since: at("11:40:00") };
        let mut stored = stored(&[("a", "11:00:00")], &[("a", "0 * * * *")]);
        stored.paused = vec![paused("a"), paused("gone")];
        assert!(plan.resume_stored(&stored, at("14:00:00"), at("14:00:00")).is_empty());
        assert!(plan.take_due(at("14:10:00")).is_empty() && plan.next_due().is_none());

        let gap = plan.resume_phase(&name("a"), at("15:00:00")).unwrap();
        assert!(gap.is_paused);
        assert_eq!(seen(&[DueWork::Gap(gap)]), ["a 12:00:00..15:00:00"]);
        assert_eq!(seen(&plan.take_due(at("15:00:00"))), ["a 15:00:00"], "a slot of this instant isn't late");
        assert!(plan.resume_phase(&name("a"), at("15:00:00")).is_none());
        assert!(plan.resume_phase(&name("gone"), at("15:00:00")).is_none());
    }

    #[test]
    fn a_slot_at_this_very_instant_is_not_missed() {
        let mut plan = plan(&[("a", "cron=0 * * * *")], at("12:00:00"));
        let stored = stored(&[("a", "11:00:00")], &[("a", "0 * * * *")]);
        assert!(plan.resume_stored(&stored, at("12:00:00"), at("12:00:00")).is_empty());
        assert_eq!(seen(&plan.take_due(at("12:00:00"))), ["a 12:00:00"]);
    }

    #[test]
    fn a_recorded_slot_of_the_future_holds_up_nothing() {
        let mut plan = plan(&[("a", "cron=0 * * * *")], at("12:30:00"));
        let mut stored = stored(&[("a", "22:00:00")], &[("a", "0 * * * *")]);
        stored.crons[0].1 = at("21:00:00");
        assert!(plan.resume_stored(&stored, at("12:30:00"), at("12:30:00")).is_empty());
        assert_eq!(plan.next_due(), Some(at("13:00:00")));
    }
}

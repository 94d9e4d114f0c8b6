//! The tasks that slots started, beside those that they would start here.
//!
//! Both come in the order of time, so that only what is some seconds around one slot is in memory.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_db::{OldAlert, OldRecord, OldTask};
use flowlord_domain::NewTask;
use flowlord_domain::cron::CronSchedule;
use flowlord_domain::foreign::retries_in_meta;
use flowlord_domain::query::Query;
use flowlord_domain::schedule::CreateError;
use flowlord_domain::task_time::cron_hour;
use flowlord_domain::workflow::Phase;

use super::compare::{
    ComparedKind, ComparisonTally, Difference, DifferenceClass, Replay, SLOT_TOLERANCE, is_alike, is_named, readable,
    task_name,
};
use super::departures;
use super::expected::{ExpectedTask, cron_of, expected_tasks, has_fixed_hour, is_clock_change, is_second_time};
use super::gap::{MissingSlots, SlotGaps};

/// How many tasks of a slot are looked at to tell whether it could have started one.
const MAX_LOOKED_AT: usize = 10_000;

/// A task that may have been started by a slot.
struct RootTask {
    task: OldTask,
    meta: Query,
    cron: Option<DateTime<Utc>>,
    is_claimed: Cell<bool>,
}

impl RootTask {
    fn new(task: OldTask) -> Self {
        let meta = Query::parse_lenient(&task.meta);
        let cron = meta.first_value("cron").and_then(cron_hour);
        Self { task, meta, cron, is_claimed: Cell::new(false) }
    }

    /// How often it was tried before: its first record lies below that of a retry of the same second.
    fn retries(&self) -> u32 {
        retries_in_meta(&self.meta)
    }

    /// Whether a slot may have started it, and none was found that did.
    fn is_free(&self) -> bool {
        !self.is_claimed.get() && self.task.is_first && !self.is_rerun()
    }

    fn is_rerun(&self) -> bool {
        self.meta.first_value("rerun").is_some()
    }

    fn is_near(&self, slot: DateTime<Utc>) -> bool {
        (self.task.created - slot).abs() <= SLOT_TOLERANCE
    }
}

type SlotKey = (String, String, Option<DateTime<Utc>>);

/// An `@every`, whose slots follow from when the program began.
struct EveryPhase<'a> {
    phase: &'a Phase,
    step: TimeDelta,
    last: Option<DateTime<Utc>>,
    /// The longest time since then without any record.
    quiet: TimeDelta,
}

impl EveryPhase<'_> {
    /// Whether a task comes before its time. It begins anew at each reload and with the program, which makes it later.
    fn is_early(&self, slot: DateTime<Utc>) -> bool {
        self.last.is_some_and(|last| slot - last < self.step - SLOT_TOLERANCE)
    }

    /// Notes a slot. Answers how long nothing came before it, if something should have.
    fn note_slot(&mut self, slot: DateTime<Utc>) -> Option<TimeDelta> {
        let silence = slot - self.last.replace(slot)?;
        let quiet = std::mem::replace(&mut self.quiet, TimeDelta::zero());
        // While the Go program recorded nothing at all, it may have been down: that is another difference.
        Some(silence).filter(|_| silence > self.step * 2 + SLOT_TOLERANCE && quiet < self.step)
    }
}

pub(super) struct SlotComparison<'a> {
    replay: &'a Replay<'a>,
    slots_to: DateTime<Utc>,
    crons: Vec<(&'a Phase, &'a CronSchedule)>,
    due: BinaryHeap<Reverse<(DateTime<Utc>, usize)>>,
    every: Vec<EveryPhase<'a>>,
    tasks: VecDeque<RootTask>,
    alerts: VecDeque<(OldAlert, Cell<bool>)>,
    gaps: SlotGaps,
    last_record: Option<DateTime<Utc>>,
}

impl<'a> SlotComparison<'a> {
    pub(super) fn new(replay: &'a Replay<'a>) -> Self {
        let from = replay.slot_range().0;
        let all = replay.workflows().phases().filter_map(|phase| Some((phase, phase.rule.schedule.as_ref()?)));
        // Only the Go program knows when it began, so slots of `@every` can't be computed.
        let is_every = |phase: &Phase| phase.rule.cron.as_ref().is_some_and(|cron| cron.contains("@every"));
        let (every, crons): (Vec<_>, Vec<_>) = all.partition(|(phase, _)| is_every(phase));
        // A heap of each schedule's next slot: all slots of a year at once would be millions.
        let firsts = crons.iter().enumerate();
        let due = firsts.filter_map(|(n, (_, schedule))| Some(Reverse((schedule.first_from(from)?, n)))).collect();
        let every = every.into_iter().filter_map(|(phase, schedule)| {
            Some(EveryPhase { phase, step: schedule.next_after(from)? - from, last: None, quiet: TimeDelta::zero() })
        });
        Self {
            replay,
            slots_to: replay.slot_range().1,
            crons,
            due,
            every: every.collect(),
            tasks: VecDeque::new(),
            alerts: VecDeque::new(),
            gaps: SlotGaps::default(),
            last_record: None,
        }
    }

    /// Takes the next record of the Go program.
    pub(super) fn take_record(&mut self, record: OldRecord, tally: &mut ComparisonTally<'_>) -> anyhow::Result<()> {
        let at = match &record {
            OldRecord::Task(task) => task.created,
            OldRecord::Alert(alert) => alert.at,
        };
        // Records come in the order of time: no later one can be of these slots.
        while self.next_slot().is_some_and(|slot| slot + SLOT_TOLERANCE < at) {
            self.close_slot(tally)?;
        }
        self.retire_records(at, tally)?;
        match record {
            OldRecord::Task(task) => {
                self.note_life(at);
                self.tasks.push_back(RootTask::new(task));
            }
            OldRecord::Alert(alert) => self.alerts.push_back((alert, Cell::new(false))),
        }
        Ok(())
    }

    /// Judges what is left, when there are no more records.
    pub(super) fn finish_slots(mut self, tally: &mut ComparisonTally<'_>) -> anyhow::Result<()> {
        while self.next_slot().is_some() {
            self.close_slot(tally)?;
        }
        self.retire_records(DateTime::<Utc>::MAX_UTC, tally)?;
        self.gaps.close_gap(tally)
    }

    fn next_slot(&self) -> Option<DateTime<Utc>> {
        let Reverse((slot, _)) = self.due.peek()?;
        Some(*slot).filter(|slot| *slot < self.slots_to)
    }

    fn note_life(&mut self, at: DateTime<Utc>) {
        let since = at - self.last_record.unwrap_or(at);
        for every in &mut self.every {
            every.quiet = every.quiet.max(since);
        }
        self.last_record = Some(at);
        self.gaps.note_life(at, self.next_slot());
    }

    /// Compares what starts at the next instant with a slot.
    fn close_slot(&mut self, tally: &mut ComparisonTally<'_>) -> anyhow::Result<()> {
        let Some(slot) = self.next_slot() else { return Ok(()) };
        // Grouped once: a slot may expect thousands of tasks, and each would search all others.
        let buckets = self.near_tasks(slot);
        let (mut problems, mut slots) = (Vec::new(), Vec::new());
        for phase in self.pop_phases(slot) {
            match expected_tasks(self.replay, phase, slot) {
                Ok(expected) => slots.push(self.take_found(&buckets, (slot, phase), expected, tally)?),
                Err(why) => problems.push((phase, why)),
            }
        }
        // Only now: what is left over there is of none of these phases.
        let mut missing = MissingSlots::new(slot, self.replay.is_judged(slot));
        for SlotResult { phase, left, has_some } in &slots {
            let explain = |one| self.explain_missing(slot, phase, one, *has_some);
            missing.add_slot(left.iter().map(explain).collect());
        }
        for (phase, why) in &problems {
            self.judge_problem(slot, phase, why, tally)?;
        }
        self.gaps.close_slot(missing, slots.iter().any(|slot| slot.has_some), tally)
    }

    /// Takes what is there of a phase's slot.
    fn take_found(
        &self,
        buckets: &HashMap<SlotKey, Vec<usize>>,
        (slot, phase): (DateTime<Utc>, &'a Phase),
        expected: Vec<ExpectedTask>,
        tally: &mut ComparisonTally<'_>,
    ) -> anyhow::Result<SlotResult<'a>> {
        let mut result = SlotResult { phase, left: Vec::new(), has_some: false };
        for one in expected {
            match self.find_task(buckets, &one).or_else(|| self.find_late_task(phase, slot)) {
                Some(found) => {
                    result.has_some = true;
                    self.count_root(&self.tasks[found.place], found.departure, tally)?;
                }
                None => result.left.push(one),
            }
        }
        Ok(result)
    }

    /// The phases with a slot at an instant; their next ones are noted.
    fn pop_phases(&mut self, slot: DateTime<Utc>) -> Vec<&'a Phase> {
        let mut phases = Vec::new();
        while let Some(Reverse((_, n))) = self.due.peek().copied().filter(|Reverse((at, _))| *at == slot) {
            self.due.pop();
            let (phase, schedule) = self.crons[n];
            self.due.extend(schedule.next_after(slot).map(|next| Reverse((next, n))));
            phases.push(phase);
        }
        phases
    }

    /// The tasks around a slot by what tells them apart but for their info, those created nearest first.
    fn near_tasks(&self, slot: DateTime<Utc>) -> HashMap<SlotKey, Vec<usize>> {
        let mut buckets: HashMap<SlotKey, Vec<usize>> = HashMap::new();
        for (place, root) in self.tasks.iter().enumerate() {
            if root.is_free() && root.cron.is_some() && root.is_near(slot) {
                let key = (root.task.topic.clone(), root.task.job.clone(), root.cron);
                buckets.entry(key).or_default().push(place);
            }
        }
        for places in buckets.values_mut() {
            // A retry stands for its slot only where it replaced the first attempt.
            places.sort_by_key(|place| {
                let root = &self.tasks[*place];
                (root.retries() > 0, (root.task.created - slot).abs())
            });
        }
        buckets
    }

    /// Takes the task there that is the expected one; with the departure by which it is another text.
    fn find_task(&self, buckets: &HashMap<SlotKey, Vec<usize>>, one: &ExpectedTask) -> Option<FoundTask> {
        // First as the Go program writes it: here the same text may be that of another hour.
        for (task, departure) in [(one.there.as_ref(), Some(departures::UTC)), (Some(&one.here), None)] {
            let Some(task) = task else { continue };
            let key = (task.topic.clone(), task.job.clone(), cron_of(task));
            let places = buckets.get(&key).map(Vec::as_slice).unwrap_or_default();
            let fits = |place: &usize| {
                let root = &self.tasks[*place];
                !root.is_claimed.get() && is_alike(&task.info, &root.task.info)
            };
            if let Some(place) = places.iter().copied().find(fits) {
                let root = &self.tasks[place];
                root.is_claimed.set(true);
                let is_overwritten = root.retries() > 0;
                let departure = departure.or_else(|| is_overwritten.then_some(departures::OVERWRITTEN));
                return Some(FoundTask { place, departure });
            }
        }
        None
    }

    /// Takes a task that is about the instant of its creation: the Go program renders when it starts it, and may be a
    /// second late.
    fn find_late_task(&self, phase: &Phase, slot: DateTime<Utc>) -> Option<FoundTask> {
        // Tasks of a batch are about other times than the one of their creation.
        if phase.rule.is_batch() {
            return None;
        }
        self.tasks.iter().enumerate().find_map(|(place, root)| {
            let may_be_late = root.is_free() && root.is_near(slot) && root.task.created != slot;
            if !may_be_late || !is_named(phase, &root.task.topic, &root.task.job) {
                return None;
            }
            let expected = expected_tasks(self.replay, phase, root.task.created).ok()?.pop()?;
            let is_it = |task: &NewTask| cron_of(task) == root.cron && is_alike(&task.info, &root.task.info);
            let departure = if is_it(&expected.here) { None } else { Some(departures::UTC) };
            let is_found = departure.is_none() || expected.there.as_ref().is_some_and(is_it);
            is_found.then(|| root.is_claimed.set(true)).map(|()| FoundTask { place, departure })
        })
    }

    fn count_root(
        &self,
        root: &RootTask,
        departure: Option<&'static str>,
        tally: &mut ComparisonTally<'_>,
    ) -> anyhow::Result<()> {
        let is_judged = self.replay.is_judged(root.task.created);
        match departure.filter(|_| is_judged) {
            Some(name) => tally.add_difference(&root.difference(DifferenceClass::Departure(name), "")),
            None => {
                tally.add_same(ComparedKind::Root, is_judged);
                Ok(())
            }
        }
    }

    /// Why an expected task isn't there; one of the same name that is there by a departure is taken for it. `has_some`
    /// says whether others of its slot are there.
    fn explain_missing(&self, slot: DateTime<Utc>, phase: &Phase, one: &ExpectedTask, has_some: bool) -> Difference {
        let other = self
            .tasks
            .iter()
            .find(|root| root.is_free() && root.is_near(slot) && is_named(phase, &root.task.topic, &root.task.job));
        let by_info = other.and_then(|root| departures::of_info(phase, &root.meta, &one.here.info, &root.task.info));
        let is_clock_change = is_clock_change(phase, self.replay.zone, slot) && has_fixed_hour(phase);
        let departure = by_info
            // Wrong times don't keep a slot from starting tasks, so something must have started.
            .or_else(|| departures::of_times(phase).filter(|_| has_some || other.is_some()))
            .or_else(|| departures::of_unseen_key(phase, "cron"))
            .or_else(|| self.replay.spelled_phases(phase))
            .or_else(|| is_clock_change.then_some(departures::CLOCKS));
        // It would else be counted once more, as a task that no slot starts.
        if let Some(root) = other.filter(|_| departure.is_some()) {
            root.is_claimed.set(true);
        }
        let hint = match other {
            Some(root) => format!("there its info is {}, its meta {}", root.task.info, root.task.meta),
            None => format!("{}:{} has this slot", phase.workflow, phase.line),
        };
        Difference {
            class: departure.map_or(DifferenceClass::OnlyHere, DifferenceClass::Departure),
            kind: ComparedKind::Root,
            at: slot,
            task: phase.task_name(),
            workflow: phase.workflow.clone(),
            id: String::new(),
            info: readable(&one.here.info),
            hint,
        }
    }

    /// A slot that starts nothing here, and raises an alert.
    fn judge_problem(
        &self,
        slot: DateTime<Utc>,
        phase: &Phase,
        why: &CreateError,
        tally: &mut ComparisonTally<'_>,
    ) -> anyhow::Result<()> {
        let name =
            if matches!(why, CreateError::MissingKeys { .. }) { departures::ROW_KEY } else { departures::BAD_PHASE };
        let started = self
            .tasks
            .iter()
            .filter(|root| root.is_free() && root.is_near(slot) && is_named(phase, &root.task.topic, &root.task.job));
        let mut has_started = false;
        for root in started {
            has_started = true;
            root.is_claimed.set(true);
            if self.replay.is_judged(root.task.created) {
                tally.add_difference(&root.difference(DifferenceClass::Departure(name), &why.to_string()))?;
            }
        }
        // The Go program may have the same problem, and its alert says so.
        let alert = self.alerts.iter().find(|(alert, is_claimed)| {
            let is_near = (alert.at - slot).abs() <= SLOT_TOLERANCE;
            is_near && !is_claimed.get() && is_named(phase, &alert.topic, &alert.job)
        });
        match alert {
            Some((_, is_claimed)) => {
                is_claimed.set(true);
                tally.add_same(ComparedKind::Alert, self.replay.is_judged(slot));
            }
            None if !has_started && self.replay.has_alerts && self.replay.is_judged(slot) => {
                tally.add_difference(&Difference {
                    class: DifferenceClass::OnlyHere,
                    kind: ComparedKind::Alert,
                    at: slot,
                    task: phase.task_name(),
                    workflow: phase.workflow.clone(),
                    id: String::new(),
                    info: why.to_string(),
                    hint: format!("{}:{} starts nothing", phase.workflow, phase.line),
                })?;
            }
            None => {}
        }
        Ok(())
    }

    /// Judges what no slot that is still to come can have started.
    fn retire_records(&mut self, now: DateTime<Utc>, tally: &mut ComparisonTally<'_>) -> anyhow::Result<()> {
        let next = self.next_slot().unwrap_or(DateTime::<Utc>::MAX_UTC);
        let is_past = |at: DateTime<Utc>| at + SLOT_TOLERANCE < next && at + SLOT_TOLERANCE < now;
        while self.tasks.front().is_some_and(|root| is_past(root.task.created)) {
            let Some(root) = self.tasks.pop_front() else { break };
            // Others of a chain follow from results, and are compared with their chain.
            if root.task.is_first && !root.is_claimed.get() && (root.is_rerun() || !self.take_every(&root, tally)?) {
                self.judge_extra(&root, tally)?;
            }
        }
        while self.alerts.front().is_some_and(|(alert, _)| is_past(alert.at)) {
            let Some((alert, is_claimed)) = self.alerts.pop_front() else { break };
            // They may be about anything, also about tasks that people sent.
            let is_left = !is_claimed.get() && self.replay.is_judged(alert.at);
            tally.leave_out("alerts about no task", u64::from(is_left));
        }
        Ok(())
    }

    /// Whether an `@every` started the task. What it starts with it is looked for, too.
    fn take_every(&mut self, root: &RootTask, tally: &mut ComparisonTally<'_>) -> anyhow::Result<bool> {
        let of_name = |every: &EveryPhase<'_>| is_named(every.phase, &root.task.topic, &root.task.job);
        let Some(nth) = self.every.iter().position(of_name).filter(|_| root.retries() == 0) else { return Ok(false) };
        let phase = self.every[nth].phase;
        let is_it = |task: &NewTask| cron_of(task) == root.cron && is_alike(&task.info, &root.task.info);
        // Its slot may be some seconds before: of those that start it the nearest.
        let found = (0..=SLOT_TOLERANCE.num_seconds()).find_map(|before| {
            let slot = root.task.created - TimeDelta::seconds(before);
            let expected = expected_tasks(self.replay, phase, slot).ok()?;
            let own = expected.iter().position(|one| is_it(&one.here) || one.there.as_ref().is_some_and(is_it))?;
            Some((slot, own, expected))
        });
        let Some((slot, own, mut expected)) = found else { return Ok(false) };
        let is_local = !is_it(&expected.remove(own).here);
        // Those of one name can't be told apart.
        let is_alone = self.every.iter().filter(|every| of_name(every)).count() == 1;
        if is_alone && self.every[nth].is_early(slot) {
            return Ok(false);
        }
        let silence = self.every[nth].note_slot(slot);
        // It was noted above in any case: the next slot is measured from it.
        if !self.replay.is_judged(slot) {
            return Ok(true);
        }
        self.count_root(root, is_local.then_some(departures::UTC), tally)?;
        if let Some(silence) = silence {
            let hint = format!("nothing before it for {} s", silence.num_seconds());
            tally.add_difference(&root.difference(DifferenceClass::OnlyHere, &hint))?;
        }
        let buckets = self.near_tasks(slot);
        for one in &expected {
            match self.find_task(&buckets, one) {
                Some(found) => self.count_root(&self.tasks[found.place], found.departure, tally)?,
                None => tally.add_difference(&self.explain_missing(slot, phase, one, true))?,
            }
        }
        Ok(true)
    }

    /// The first task of a chain that no slot here starts.
    fn judge_extra(&self, root: &RootTask, tally: &mut ComparisonTally<'_>) -> anyhow::Result<()> {
        if !self.replay.is_judged(root.task.created) {
            return Ok(());
        }
        let value = |key: &str| root.meta.first_value(key).unwrap_or_default();
        // The pass over files compares these.
        if !value("file").is_empty() && !value("filename").is_empty() {
            tally.leave_out("tasks that files started, told by file_messages", 1);
            return Ok(());
        }
        // The Go program's retention may have removed the attempt before it.
        if root.retries() > 0 {
            tally.leave_out("tasks whose parent has no record", 1);
            return Ok(());
        }
        if root.is_rerun() {
            tally.leave_out("tasks that people started", 1);
            return Ok(());
        }
        let workflow = value("workflow");
        let file = self.replay.workflows().file_at(workflow);
        let phase = file.and_then(|file| file.first_phase(&root.task.topic, &root.task.job));
        let hint = if !workflow.is_empty() && root.cron.is_some() && phase.is_none() {
            format!(
                "the workflow files have no phase {} in {workflow}: is --workflow the folder of the Go program?",
                root.name()
            )
        } else if self.could_be_of_slot(root) {
            "no slot here starts it; --timezone is the zone that the Go program ran in".to_owned()
        } else {
            tally.leave_out("tasks that people started", 1);
            return Ok(());
        };
        // When clocks are set back, the Go program starts such a slot twice.
        let is_twice = is_second_time(self.replay.zone, root.task.created) && phase.is_some_and(has_fixed_hour);
        let class = if is_twice { DifferenceClass::Departure(departures::CLOCKS) } else { DifferenceClass::OnlyThere };
        tally.add_difference(&root.difference(class, &hint))
    }

    /// Whether a slot at the time of its creation would give it the `cron` that it has. A backload gives another one,
    /// but for a batch, which is about many times: that must have a slot then.
    fn could_be_of_slot(&self, root: &RootTask) -> bool {
        let created = root.task.created;
        let phases = self.replay.workflows().phases().filter(|phase| is_named(phase, &root.task.topic, &root.task.job));
        let mut scheduled = phases.filter_map(|phase| Some((phase, phase.rule.schedule.as_ref()?)));
        scheduled.any(|(phase, schedule)| {
            let next = schedule.first_from(created - SLOT_TOLERANCE);
            if phase.rule.is_batch() && next.is_none_or(|slot| slot > created + SLOT_TOLERANCE) {
                return false;
            }
            let expected = expected_tasks(self.replay, phase, created).unwrap_or_default();
            expected.iter().take(MAX_LOOKED_AT).any(|one| {
                let theirs = one.there.as_ref().and_then(cron_of);
                root.cron.is_some() && (cron_of(&one.here) == root.cron || theirs == root.cron)
            })
        })
    }
}

/// What became of one slot of a phase.
struct SlotResult<'a> {
    phase: &'a Phase,
    /// What isn't there.
    left: Vec<ExpectedTask>,
    has_some: bool,
}

/// A task there, by its place, and why it is another text than here.
#[derive(Clone, Copy)]
struct FoundTask {
    place: usize,
    departure: Option<&'static str>,
}

impl RootTask {
    fn name(&self) -> String {
        task_name(&self.task.topic, &self.task.job)
    }

    fn difference(&self, class: DifferenceClass, hint: &str) -> Difference {
        let separator = if hint.is_empty() { "" } else { ": " };
        Difference {
            class,
            kind: ComparedKind::Root,
            at: self.task.created,
            task: self.name(),
            workflow: self.meta.first_value("workflow").unwrap_or_default().to_owned(),
            id: self.task.id.clone(),
            info: self.task.info.clone(),
            hint: format!("row {} of task_records{separator}{hint}", self.task.number),
        }
    }
}

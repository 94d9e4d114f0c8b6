//! What would start, slot by slot, without starting anything.
//!
//! What follows a task is what [`decide_result_with`] says when it completes. What its worker would leave in its meta isn't
//! known: `{meta:key}` stays there as it is written.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use crate::alert::AlertKind;
use crate::cron::CronSchedule;
use crate::decide::{WorkerOutcome, decide_result_with};
use crate::ids::IdSource;
use crate::join::{JoinArrival, JoinKey};
use crate::query::Query;
use crate::rule::BatchStep;
use crate::schedule::{RowSource, StartingSlot};
use crate::task::{Attempt, NewTask, TaskResult, TaskState, Uid};
use crate::template::meta_keys;
use crate::workflow::{Phase, TaskName, WorkflowFile, Workflows};

/// What stands in the place of the machine's name.
const HOST: &str = "{host}";

/// How much a plan shows of each slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanLimits {
    /// The most tasks of one slot of a phase.
    pub tasks: usize,
    /// The most tasks that follow one of them.
    pub followers: usize,
    /// The most steps down a chain.
    pub depth: usize,
}

/// The slots of a time, in the order in which they start. Only one task at a time is in memory.
pub struct SlotPlan<'a> {
    workflows: &'a Workflows,
    files: &'a dyn RowSource,
    /// Slots before count for joins, and aren't shown.
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    /// What joins wait for, and have; none where there are none.
    joins: Option<HashMap<JoinKey, PlannedJoin>>,
    limits: PlanLimits,
    /// By workflow and task, which is the order in which slots of one instant start.
    crons: Vec<PhaseCron<'a>>,
    due: BinaryHeap<Reverse<(DateTime<Utc>, usize)>>,
    current: Option<CurrentSlot<'a>>,
}

/// The tasks that a join has, by their slots, with their metas.
#[derive(Default)]
struct PlannedJoin {
    arrived: BTreeMap<String, String>,
    has_started: bool,
}

#[derive(Clone, Copy)]
struct PhaseCron<'a> {
    phase: &'a Phase,
    schedule: &'a CronSchedule,
    /// How much later than its slots it starts.
    shift: TimeDelta,
}

struct CurrentSlot<'a> {
    /// When it starts.
    at: DateTime<Utc>,
    phase: &'a Phase,
    slot: StartingSlot<'a>,
    next: usize,
}

/// One line of a plan: a task that starts, or why none does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedSlot<'a> {
    /// When it starts: the time of the slot, shifted by the phase's jitter.
    pub at: DateTime<Utc>,
    /// The phase that has the slot.
    pub phase: &'a Phase,
    /// What would happen then.
    pub what: PlannedOutcome,
}

/// What happens in a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlannedOutcome {
    /// A task starts.
    Task(PlannedTask),
    /// More tasks start, which the limit leaves out.
    More(usize),
    /// Nothing starts, and an alert says why.
    Problem(String),
}

/// A task, and what follows when it completes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlannedTask {
    /// `topic` or `topic:job`.
    pub task: String,
    /// What the worker is to do.
    pub info: String,
    /// The task's meta, as far as it is known before.
    pub meta: String,
    /// The keys without which its parent doesn't start it.
    pub needs: Vec<String>,
    /// What is expected of it, as its rule says it; else what follows doesn't start.
    pub expects: Vec<String>,
    /// What follows.
    pub children: Vec<PlannedTask>,
    /// Why it isn't created.
    pub problem: Option<String>,
    /// More follows than the limit lets be told.
    pub cut: bool,
}

impl<'a> SlotPlan<'a> {
    /// The slots at or after `from` and before `until`.
    pub fn new(
        workflows: &'a Workflows,
        files: &'a dyn RowSource,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        limits: PlanLimits,
    ) -> Self {
        let of_file = |file: &'a WorkflowFile| {
            file.phases.iter().filter_map(move |phase| {
                Some(PhaseCron { phase, schedule: phase.rule.schedule.as_ref()?, shift: file.start_shift(phase) })
            })
        };
        let mut crons: Vec<_> = workflows.files().iter().flat_map(|file| of_file(file)).collect();
        // Slots of the same instant come in this order, so that a plan reads the same each time.
        crons.sort_by_cached_key(|cron| (cron.phase.workflow.clone(), cron.phase.task_name()));
        let mut seen = BTreeSet::new();
        crons.retain(|cron| seen.insert(cron.phase.slot_identity()));
        let look_back = look_back(workflows);
        let begin = from.checked_sub_signed(look_back.unwrap_or_default()).unwrap_or(from);
        let firsts = crons.iter().enumerate().filter_map(|(n, cron)| {
            // An interval begins with the plan.
            let begin = if cron.schedule.is_interval() { from } else { begin };
            Some(Reverse((cron.schedule.first_from(begin - cron.shift)? + cron.shift, n)))
        });
        let (due, joins) = (firsts.collect(), look_back.map(|_| HashMap::new()));
        Self { workflows, files, from, until, joins, limits, due, crons, current: None }
    }

    fn next_of(&mut self, mut current: CurrentSlot<'a>) -> Option<PlannedSlot<'a>> {
        let (at, phase, n) = (current.at, current.phase, current.next);
        let left = current.slot.count().saturating_sub(n);
        if left == 0 {
            return None;
        }
        if n >= self.limits.tasks {
            if self.joins.is_some() {
                self.plan_unseen(&current);
            }
            // Nothing is left of this slot in memory.
            return Some(PlannedSlot { at, phase, what: PlannedOutcome::More(left) });
        }
        current.next += 1;
        let task = current.slot.nth_task(n, HOST, &mut ZeroIds, at)?;
        self.current = Some(current);
        let mut left = self.limits.followers;
        let step = self.plan_task(task, Vec::new(), at, self.limits.depth, &mut left);
        Some(PlannedSlot { at, phase, what: PlannedOutcome::Task(step) })
    }

    /// What isn't shown still counts for joins.
    fn plan_unseen(&mut self, current: &CurrentSlot<'a>) {
        for n in current.next..current.slot.count().min(MAX_UNSEEN) {
            if let Some(task) = current.slot.nth_task(n, HOST, &mut ZeroIds, current.at) {
                let mut left = self.limits.followers;
                self.plan_task(task, Vec::new(), current.at, self.limits.depth, &mut left);
            }
        }
    }

    fn begin_slot(&mut self, at: DateTime<Utc>, n: usize) -> Option<PlannedSlot<'a>> {
        let PhaseCron { phase, schedule, shift } = self.crons[n];
        let slot = at - shift;
        // A slot comes after the one before it, always.
        self.due.extend(schedule.next_after(slot).map(|next| Reverse((next + shift, n))));
        match StartingSlot::new(phase, slot, self.files) {
            Ok(slot) => self.next_of(CurrentSlot { at, phase, slot, next: 0 }),
            Err(e) => Some(PlannedSlot { at, phase, what: PlannedOutcome::Problem(e.to_string()) }),
        }
    }

    fn plan_task(
        &mut self,
        task: NewTask,
        needs: Vec<String>,
        at: DateTime<Utc>,
        depth: usize,
        left: &mut usize,
    ) -> PlannedTask {
        let name = TaskName { topic: task.topic.clone(), job: task.job.clone() };
        let (info, meta) = (task.info.clone(), task.meta.clone());
        let mut step = PlannedTask {
            task: name.to_string(),
            info,
            meta,
            needs,
            expects: self.expected_of(&task),
            ..PlannedTask::default()
        };
        let unknown = self.unknown_keys(&task);
        let meta = unknown.iter().map(|key| (key.clone(), format!("{{meta:{key}}}"))).collect::<Query>().to_text();
        let outcome =
            WorkerOutcome { result: TaskResult::Complete, msg: String::new(), meta, started: None, ended: None };
        let task = leased_attempt(task);
        let decision = decide_result_with(self.workflows, &task, &outcome, at, HOST, &mut ZeroIds, self.files);
        for child in decision.children {
            step.cut = depth == 0 || *left == 0;
            if step.cut {
                break;
            }
            // Shared by all that follows one task: a tree grows in width as well.
            *left -= 1;
            let needs = self.required_keys(&task, &child, &unknown);
            step.children.push(self.plan_task(child, needs, at, depth - 1, left));
        }
        for arrival in &decision.arrivals {
            self.plan_join(&mut step, arrival, &decision.meta, (at, depth), left);
        }
        let failed = decision.alerts.into_iter().filter(|alert| alert.kind == AlertKind::CreateFailed);
        step.children.extend(failed.map(|alert| PlannedTask {
            task: TaskName { topic: alert.topic, job: alert.job }.to_string(),
            problem: Some(alert.msg),
            ..PlannedTask::default()
        }));
        step
    }

    /// The tasks of a join that has all that it waits for, below the last one.
    fn plan_join(
        &mut self,
        step: &mut PlannedTask,
        arrival: &JoinArrival,
        meta: &str,
        (at, depth): (DateTime<Utc>, usize),
        left: &mut usize,
    ) {
        let join = self.joins.get_or_insert_default().entry(arrival.key.clone()).or_default();
        join.arrived.extend(arrival.slots.iter().map(|slot| (slot.clone(), meta.to_owned())));
        let is_over = join.has_started && !arrival.again;
        if is_over || !arrival.count.is_complete(join.arrived.keys().map(String::as_str)) {
            return;
        }
        join.has_started = true;
        let arrived = if arrival.again { join.arrived.clone() } else { std::mem::take(&mut join.arrived) };
        let arrived = arrived.into_iter().collect();
        match arrival.count.plan_tasks(&arrival.start, arrived) {
            Ok(tasks) => {
                for task in tasks {
                    step.cut |= depth == 0 || *left == 0;
                    if step.cut {
                        break;
                    }
                    *left -= 1;
                    step.children.push(self.plan_task(task, Vec::new(), at, depth - 1, left));
                }
            }
            Err(problem) => {
                let task = arrival.key.task.clone();
                step.children.push(PlannedTask { task, problem: Some(problem), ..PlannedTask::default() });
            }
        }
    }

    fn expected_of(&self, task: &NewTask) -> Vec<String> {
        let phase = self.workflows.phase_for(&task.workflow, &task.topic, &task.job);
        phase.map(|phase| phase.rule.expectations.to_texts()).unwrap_or_default()
    }

    /// What the children of a task ask its meta for, and only its worker can put there.
    fn unknown_keys(&self, task: &NewTask) -> BTreeSet<String> {
        let meta = Query::parse_lenient(&task.meta);
        let children = self.workflows.all_children_of(&task.workflow, &task.topic, &task.job);
        let asked = children.into_iter().flat_map(|phase| {
            // A join fills in what all its parents have.
            let mut keys = if phase.is_join { Vec::new() } else { meta_keys(&phase.template) };
            keys.extend(phase.rule.require.iter().cloned());
            keys
        });
        // The task itself may have it already.
        asked.filter(|key| meta.first_value(key).is_none_or(str::is_empty)).collect()
    }

    /// What a child's phase requires and isn't known.
    fn required_keys(&self, parent: &Attempt, child: &NewTask, unknown: &BTreeSet<String>) -> Vec<String> {
        let phases = self.workflows.all_children_of(&parent.workflow, &parent.topic, &parent.job);
        let mut own = phases.into_iter().filter(|phase| phase.task.topic == child.topic && phase.task.job == child.job);
        // Several phases of one name can't be told apart here.
        let required = own.next().filter(|_| own.next().is_none()).map(|phase| &phase.rule.require);
        required.into_iter().flatten().filter(|key| unknown.contains(*key)).cloned().collect()
    }
}

impl<'a> Iterator for SlotPlan<'a> {
    type Item = PlannedSlot<'a>;

    fn next(&mut self) -> Option<PlannedSlot<'a>> {
        loop {
            let current = self.current.take();
            if let Some(planned) = current.and_then(|current| self.next_of(current)).filter(|it| it.at >= self.from) {
                return Some(planned);
            }
            if self.current.is_some() {
                continue;
            }
            let Reverse((at, n)) = self.due.pop()?;
            if at >= self.until {
                self.due.clear(); // nothing comes after it, however often it is asked
                return None;
            }
            if let Some(planned) = self.begin_slot(at, n).filter(|it| it.at >= self.from) {
                return Some(planned);
            }
        }
    }
}

/// How many tasks of a slot count for joins without being shown.
const MAX_UNSEEN: usize = 10_000;

/// How far back the tasks are that joins of a plan wait for; none without joins.
fn look_back(workflows: &Workflows) -> Option<TimeDelta> {
    let joins = workflows.phases().filter(|phase| phase.is_join);
    let longest = joins.map(|phase| phase.rule.join.over.unwrap_or(BatchStep::Hour)).max()?;
    let days = match longest {
        BatchStep::Hour | BatchStep::Day => 2,
        BatchStep::Week => 14,
        BatchStep::Month => 62,
    };
    let reach = workflows.phases().map(|phase| phase.rule.offset.abs() + phase.rule.span.abs()).max();
    Some(TimeDelta::days(days) + reach.unwrap_or_default().min(TimeDelta::days(62)))
}

/// The task as it is when its worker is through.
fn leased_attempt(task: NewTask) -> Attempt {
    Attempt { state: TaskState::Leased, delivery: 1, not_before: None, ..task.into_attempt() }
}

/// Two plans of the same files are the same: what is random is zero.
struct ZeroIds;

impl IdSource for ZeroIds {
    fn next_uid(&mut self, now: DateTime<Utc>) -> Uid {
        Uid::at(now)
    }

    fn random_bits(&mut self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests;

//! What the page is made of, read with as few questions as it takes.

use std::collections::HashMap;

use flowlord_domain::waiting::PhasePause;
use flowlord_domain::workflow::{Phase, TaskName};
use flowlord_messages::schedule::{PhaseSlots, PhaseTimes, ReadNextRuns, ReadPaused, ReadSlots};
use flowlord_messages::stats::{ReadHourCounts, ResultCounts};
use flowlord_messages::tasks::ReadAttempts;
use flowlord_messages::workflows::{LoadedWorkflows, ReadLoadedWorkflows};
use flowlord_web_core::use_cases::pauses::read_pausers;
use flowlord_web_core::use_cases::workflows::{ShownJoin, read_waiting_joins};

use super::graph::PhaseDrawing;
use super::grid::{GridRow, by_hour, hour_cells};
use super::query::{MOST_ROWS, WorkflowQuery, hour_of, slot_href};
use super::slots::{ShownSlot, all_slots};
use crate::layout::PageLayout;
use crate::link::PageLink;
use crate::prelude::*;

/// How many of the tasks of an hour are listed.
const LISTED: usize = 50;

/// How far back the last hour of a task is looked for.
const LOOK_BACK: TimeDelta = TimeDelta::days(7);

/// Workflow file and `topic:job`.
pub(super) type Key = (String, String);

pub(crate) struct WorkflowData {
    pub(super) current: LoadedWorkflows,
    pub(super) times: Vec<PhaseTimes>,
    pub(super) paused: HashMap<Key, PhasePause>,
    /// The slots of the last day, by phase in the order of the page.
    pub(super) last_day: Vec<(Key, PhaseSlots)>,
    /// How many phases found no room there.
    pub(super) more: usize,
    /// The phase whose days are shown, and its slots, or its hours where it has none.
    pub(super) chosen: Option<ChosenPhase>,
    /// The newest hour of each task of the chosen file.
    pub(super) newest: HashMap<TaskName, (DateTime<Utc>, ResultCounts)>,
    /// The joins of the chosen file that wait.
    pub(super) joins: Vec<ShownJoin>,
}

/// The phase whose days are shown.
#[derive(Default)]
pub(super) struct ChosenPhase {
    pub(super) name: TaskName,
    pub(super) scheduled: bool,
    pub(super) slots: PhaseSlots,
    pub(super) hours: Vec<(DateTime<Utc>, ResultCounts)>,
    /// The slots of the hour that is looked at, and their first tasks.
    pub(super) looked_at: PhaseSlots,
    pub(super) tasks: Vec<Attempt>,
}

pub(super) async fn read(
    context: &WebContext,
    asked: &WorkflowQuery,
    layout: &mut PageLayout,
) -> Result<WorkflowData, Problem> {
    let deps = &context.deps;
    // Two rounds: the second asks about phases that the first one names.
    let (current, times, paused) = tokio::join!(
        deps.library.call(ReadLoadedWorkflows),
        deps.scheduler.call(ReadNextRuns),
        deps.view_reader.call(ReadPaused),
    );
    // There is no page without the workflows; without the rest there is.
    let current = current?;
    let times = layout.read("the next runs", times)?.unwrap_or_default();
    let paused = layout.read("which phases are paused", paused)?.unwrap_or_default();
    let paused = read_pausers(context, paused).await;
    let (keys, more) = scheduled_phases(&current, asked);
    let to = hour_of(asked.now) + TimeDelta::hours(1);
    let last_day = ReadSlots { phases: keys.clone(), from: asked.day_from(), to, named: 0 };
    let (last_day, chosen, newest, joins) = tokio::join!(
        deps.view_reader.call(last_day),
        choose_phase(context, asked, &current),
        newest_hours(context, asked, &current),
        waiting_joins(context, asked, &current),
    );
    Ok(WorkflowData {
        times,
        paused,
        last_day: keys.into_iter().zip(layout.read("the last day", last_day)?.unwrap_or_default()).collect(),
        more,
        chosen: layout.read("the phase", chosen)?.flatten(),
        newest: layout.read("the last tasks", newest)?.unwrap_or_default(),
        joins: layout.read("the joins that wait", joins)?.unwrap_or_default(),
        current,
    })
}

fn scheduled_phases(current: &LoadedWorkflows, asked: &WorkflowQuery) -> (Vec<Key>, usize) {
    let mut keys: Vec<Key> = Vec::new();
    for phase in current.workflows.phases().filter(|phase| phase.rule.schedule.is_some() && asked.shows(phase)) {
        let key = (phase.workflow.clone(), phase.task_name());
        // Bounded, since each is compared with all before it.
        if !keys.contains(&key) && keys.len() <= MOST_ROWS * 10 {
            keys.push(key);
        }
    }
    let more = keys.len().saturating_sub(MOST_ROWS);
    keys.truncate(MOST_ROWS);
    (keys, more)
}

type Answered<T> = flowlord_kernel::Result<T>;

/// The phase that the address names, else the first of the file that a schedule starts, else the first.
async fn choose_phase(
    context: &WebContext,
    asked: &WorkflowQuery,
    current: &LoadedWorkflows,
) -> Answered<Option<ChosenPhase>> {
    let Some(file) = current.workflows.file_at(&asked.file) else { return Ok(None) };
    let named = file.phases.iter().find(|phase| phase.task_name() == asked.phase);
    let scheduled = file.phases.iter().find(|phase| phase.rule.schedule.is_some());
    let Some(phase) = named.or(scheduled).or(file.phases.first()) else { return Ok(None) };
    let scheduled = file.phases.iter().any(|other| other.task == phase.task && other.rule.schedule.is_some());
    let mut chosen = ChosenPhase { name: phase.task.clone(), scheduled, ..ChosenPhase::default() };
    // What only other tasks start has no slots: its tasks are counted by hour.
    let (from, to) = asked.grid();
    if !scheduled {
        let queues = vec![(phase.task.topic.clone(), phase.task.job.clone())];
        let hours = ReadHourCounts { queues, from, to, newest: false };
        chosen.hours = context.deps.view_reader.call(hours).await?.pop().unwrap_or_default();
        return Ok(Some(chosen));
    }
    let phases = vec![(asked.file.clone(), phase.task_name())];
    let all = ReadSlots { phases: phases.clone(), from, to, named: 0 };
    chosen.slots = context.deps.view_reader.call(all).await?.pop().unwrap_or_default();
    if let Some(from) = asked.slot {
        let hour = ReadSlots { phases, from, to: from + TimeDelta::hours(1), named: LISTED };
        chosen.looked_at = context.deps.view_reader.call(hour).await?.pop().unwrap_or_default();
        let uids: Vec<Uid> = chosen.looked_at.slots.iter().flat_map(|slot| &slot.named).copied().take(LISTED).collect();
        let tasks = context.deps.view_reader.call(ReadAttempts { uids }).await?;
        chosen.tasks = tasks.into_iter().flatten().map(Attempt::cut_for_list).collect();
    }
    Ok(Some(chosen))
}

async fn waiting_joins(
    context: &WebContext,
    asked: &WorkflowQuery,
    current: &LoadedWorkflows,
) -> Answered<Vec<ShownJoin>> {
    let Some(file) = current.workflows.file_at(&asked.file) else { return Ok(Vec::new()) };
    read_waiting_joins(context, &current.workflows, file).await
}

/// When each task that is drawn of the chosen file had any last, and how those ended.
async fn newest_hours(
    context: &WebContext,
    asked: &WorkflowQuery,
    current: &LoadedWorkflows,
) -> Answered<HashMap<TaskName, (DateTime<Utc>, ResultCounts)>> {
    let Some(file) = current.workflows.file_at(&asked.file) else { return Ok(HashMap::new()) };
    let names = PhaseDrawing::drawn(file);
    let queues = names.iter().map(|name| (name.topic.clone(), name.job.clone())).collect();
    let to = hour_of(asked.now) + TimeDelta::hours(1);
    let hours = ReadHourCounts { queues, from: to - LOOK_BACK, to, newest: true };
    let found = context.deps.view_reader.call(hours).await?;
    let newest =
        names.into_iter().zip(found).filter_map(|(name, hours)| Some((name.clone(), hours.into_iter().next()?)));
    Ok(newest.collect())
}

impl WorkflowData {
    pub(super) fn pause_of(&self, workflow: &str, task: &str) -> Option<&PhasePause> {
        self.paused.get(&(workflow.to_owned(), task.to_owned()))
    }

    /// The slots of a task of a file, also those that should be there.
    pub(super) fn slots(
        &self,
        (workflow, task): (&str, &str),
        read: &PhaseSlots,
        range: (DateTime<Utc>, DateTime<Utc>),
        now: DateTime<Utc>,
    ) -> Vec<ShownSlot> {
        let file = self.current.workflows.file_at(workflow);
        let phases: Vec<&Phase> =
            file.into_iter().flat_map(|file| &file.phases).filter(|phase| phase.task_name() == task).collect();
        let paused_since = self.pause_of(workflow, task).map(|pause| pause.since);
        all_slots(&phases, read, paused_since, range, now)
    }

    pub(super) fn last_day(&self, asked: &WorkflowQuery, link: &PageLink) -> Vec<GridRow> {
        let from = asked.day_from();
        let range = (from, hour_of(asked.now) + TimeDelta::hours(1));
        let phases = self.last_day.iter();
        phases
            .map(|((workflow, task), read)| {
                let to = link.only(&[]).with("file", workflow).with("phase", task);
                let slots = self.slots((workflow, task), read, range, asked.now);
                GridRow {
                    label: task.clone(),
                    file: if asked.file.is_empty() { workflow.clone() } else { String::new() },
                    href: to.href() + "#days",
                    cells: hour_cells(&by_hour(&slots), from, 24, None, |at| {
                        slot_href(&to.with("date", &at.date_naive()), at)
                    }),
                }
            })
            .collect()
    }
}

//! The tasks that are drawn: the newest of the day, by one read.

use std::collections::BTreeSet;

use flowlord_domain::workflow::Phase;
use flowlord_messages::tasks::{FindTasks, TaskFilter};

use super::MOST_BARS;
use super::bars::TimeWindow;
use crate::prelude::*;
use crate::workflow::query::WorkflowQuery;

/// What was created so long before may still have run.
const LOOK_BACK: TimeDelta = TimeDelta::hours(12);

#[derive(Default)]
pub(super) struct WindowTasks {
    /// Oldest first.
    pub(super) tasks: Vec<Attempt>,
    /// Nothing that was created before it was read, though there is more.
    pub(super) cut: Option<DateTime<Utc>>,
}

pub(super) async fn tasks_of_window(
    context: &WebContext,
    asked: &WorkflowQuery,
    phases: &[&Phase],
    window: &TimeWindow,
) -> flowlord_kernel::Result<WindowTasks> {
    let Some(queues) = filter_of(asked, phases) else { return Ok(WindowTasks::default()) };
    let filter = TaskFilter { from: Some(window.from - LOOK_BACK), to: Some(window.to), ..queues };
    let found = context.deps.view_reader.call(FindTasks::newest_first(filter, MOST_BARS).for_list()).await?;
    let oldest = found.looked_until.or(found.tasks.last().map(|task| task.uid.created_at()));
    let mut tasks = found.tasks;
    // Its file isn't part of the filter, only the topics and jobs that it has.
    tasks.retain(|task| is_of_file(task, &asked.file) && window.touches(task));
    tasks.reverse();
    // What lies before the window was only looked at for what went on into it.
    let cut = oldest.filter(|oldest| found.next.is_some() && *oldest > window.from);
    Ok(WindowTasks { tasks, cut })
}

fn named(name: &str) -> Option<String> {
    (!name.is_empty()).then(|| name.to_owned())
}

fn is_of_file(task: &Attempt, file: &str) -> bool {
    file.is_empty() || task.workflow.is_empty() || task.workflow == file
}

/// The topics and jobs of the phases of a file; none where no task can fit.
fn filter_of(asked: &WorkflowQuery, phases: &[&Phase]) -> Option<TaskFilter> {
    if asked.file.is_empty() {
        // Tasks need not be of any phase.
        let [topics, jobs] = [&asked.task, &asked.job].map(|name| named(name).into_iter().collect());
        return Some(TaskFilter { topics, jobs, ..TaskFilter::default() });
    }
    let topics: BTreeSet<&str> = phases.iter().map(|phase| phase.task.topic.as_str()).collect();
    let jobs: BTreeSet<&str> = phases.iter().map(|phase| phase.task.job.as_str()).collect();
    // A phase without a job has tasks of any.
    let jobs = if jobs.contains("") { BTreeSet::new() } else { jobs };
    let [topics, jobs] = [topics, jobs].map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>());
    (!topics.is_empty()).then(|| TaskFilter { topics, jobs, ..TaskFilter::default() })
}

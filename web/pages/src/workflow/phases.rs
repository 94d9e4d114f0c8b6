//! The table of phases, and what it is filtered by.

use std::collections::BTreeSet;

use flowlord_domain::workflow::Phase;
use flowlord_messages::workflows::Current;

use super::query::{WorkflowQuery, fits};
use super::read::Wanted;
use crate::link::Link;
use crate::parts::Cell;
use crate::when::When;

/// So many names are offered.
const OFFERED: usize = 1_000;

/// What there is to choose from.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) file: String,
    pub(super) task: String,
    pub(super) job: String,
    pub(super) files: Vec<String>,
    pub(super) tasks: Vec<String>,
    pub(super) jobs: Vec<String>,
}

impl Filter {
    pub(super) fn new(current: &Current, asked: &WorkflowQuery) -> Self {
        let workflows = &current.workflows;
        let of_file = |phase: &&Phase| asked.file.is_empty() || phase.workflow == asked.file;
        let of_task = |phase: &&Phase| asked.task.is_empty() || phase.task.topic == asked.task;
        let tasks: BTreeSet<&str> =
            workflows.phases().filter(of_file).map(|phase| phase.task.topic.as_str()).collect();
        let jobs: BTreeSet<&str> =
            workflows.phases().filter(of_file).filter(of_task).map(|phase| phase.task.job.as_str()).collect();
        // What the address names stays to be seen, though there is none.
        let offer = |names: BTreeSet<&str>, chosen: &str| {
            let mut names: BTreeSet<String> = names.into_iter().take(OFFERED).map(str::to_owned).collect();
            names.insert(chosen.to_owned());
            names.into_iter().filter(|name| !name.is_empty()).collect()
        };
        Self {
            files: offer(workflows.files().iter().map(|file| file.path.as_str()).collect(), &asked.file),
            tasks: offer(tasks, &asked.task),
            jobs: offer(jobs, &asked.job),
            file: asked.file.clone(),
            task: asked.task.clone(),
            job: asked.job.clone(),
        }
    }

    pub(super) fn shows(&self, phase: &Phase) -> bool {
        fits(phase, &self.file, &self.task, &self.job)
    }
}

#[derive(Debug)]
pub(super) struct PhaseRow {
    pub(super) file: String,
    pub(super) name: String,
    pub(super) href: String,
    pub(super) file_href: String,
    /// Leads to the tasks of today.
    pub(super) tasks: String,
    pub(super) line: usize,
    pub(super) starts: String,
    pub(super) rule: Cell,
    pub(super) retry: u32,
    pub(super) template: Cell,
    /// What keeps it from starting; empty when it is well.
    pub(super) problem: String,
    pub(super) next: Option<When>,
    pub(super) previous: Option<When>,
    pub(super) paused: Option<When>,
    /// Where pausing leads back to.
    pub(super) back: String,
    pub(super) chosen: bool,
}

impl PhaseRow {
    pub(super) fn new(phase: &Phase, read: &Wanted, asked: &WorkflowQuery, link: &Link) -> Self {
        let name = phase.name();
        let times = phase.rule.cron.as_ref().and_then(|cron| {
            read.times
                .iter()
                .find(|times| times.workflow == phase.workflow && times.task == name && times.cron == *cron)
        });
        let to = link.only(&["date", "days"]).with("file", &phase.workflow).with("phase", &name);
        let tasks = Link::to("/web/task").with("type", &phase.task.topic);
        let tasks = if phase.task.job.is_empty() { tasks } else { tasks.with("job", &phase.task.job) };
        let chosen = read.chosen.as_ref().is_some_and(|chosen| chosen.name == phase.task)
            && phase.workflow == asked.file;
        Self {
            file: phase.workflow.clone(),
            href: to.href() + "#days",
            file_href: to.only(&["date", "days"]).with("file", &phase.workflow).href(),
            tasks: tasks.href(),
            line: phase.line,
            starts: phase.words(),
            rule: Cell::from(phase.rule_text.clone()),
            retry: phase.retry,
            template: Cell::from(phase.template.clone()),
            problem: phase.status(),
            next: times.and_then(|times| times.next).map(When::date_and_time),
            previous: times
                .and_then(|times| times.previous)
                .or_else(|| read.previous(phase))
                .map(When::date_and_time),
            paused: read.paused_since(&phase.workflow, &name).map(When::date_and_time),
            back: link.href(),
            chosen,
            name,
        }
    }
}

impl Wanted {
    /// The last slot within the last day that started something.
    fn previous(&self, phase: &Phase) -> Option<chrono::DateTime<chrono::Utc>> {
        phase.rule.schedule.as_ref()?;
        let name = phase.name();
        let (_, slots) =
            self.last_day.iter().find(|((file, task), _)| *file == phase.workflow && *task == name)?;
        slots.slots.iter().find(|slot| slot.started.is_some()).map(|slot| slot.at)
    }
}

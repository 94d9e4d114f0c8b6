//! The table of phases, and what it is filtered by.

use std::collections::BTreeSet;

use flowlord_domain::workflow::{Phase, PhaseContact};
use flowlord_messages::workflows::LoadedWorkflows;

use super::query::{WorkflowQuery, is_shown};
use super::read::WorkflowData;
use crate::link::PageLink;
use crate::parts::LongText;
use crate::when::ShownTime;

const OFFERED: usize = 1_000;

/// What the names of the fields begin with that are keys of the meta.
pub(super) const META_FIELD: &str = "meta.";

/// The most keys for which the form that runs a phase has a field.
const MAX_KEYS: usize = 20;

pub(super) struct PhaseFilter {
    /// The page that it is on, with what else stays as it is.
    pub(super) link: PageLink,
    pub(super) file: String,
    pub(super) task: String,
    pub(super) job: String,
    pub(super) files: Vec<String>,
    pub(super) tasks: Vec<String>,
    pub(super) jobs: Vec<String>,
}

impl PhaseFilter {
    pub(super) fn new(current: &LoadedWorkflows, asked: &WorkflowQuery, link: PageLink) -> Self {
        let workflows = &current.workflows;
        let files = workflows.files().iter().map(|file| &file.path);
        // Each filter offers what those before it leave.
        let of_file = workflows.phases().filter(|phase| is_shown(phase, &asked.file, "", ""));
        let of_task = workflows.phases().filter(|phase| is_shown(phase, &asked.file, &asked.task, ""));
        Self {
            files: offered_names(files, &asked.file),
            tasks: offered_names(of_file.map(|phase| &phase.task.topic), &asked.task),
            jobs: offered_names(of_task.map(|phase| &phase.task.job), &asked.job),
            file: asked.file.clone(),
            task: asked.task.clone(),
            job: asked.job.clone(),
            link,
        }
    }
}

fn offered_names<'a>(names: impl Iterator<Item = &'a String>, chosen: &str) -> Vec<String> {
    let names: BTreeSet<&str> = names.map(String::as_str).collect();
    let mut offered: BTreeSet<&str> = names.into_iter().take(OFFERED).collect();
    // What the address names stays to be seen, though there is none.
    offered.insert(chosen);
    offered.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

pub(super) struct PhaseRow {
    pub(super) file: String,
    pub(super) name: String,
    pub(super) href: String,
    pub(super) file_href: String,
    /// Leads to the tasks of today.
    pub(super) tasks: String,
    pub(super) line: usize,
    pub(super) starts: String,
    pub(super) rule: LongText,
    pub(super) retry: u32,
    pub(super) template: LongText,
    pub(super) contact: PhaseContact,
    /// What keeps it from starting; empty when it is well.
    pub(super) problem: String,
    pub(super) next: Option<ShownTime>,
    pub(super) previous: Option<ShownTime>,
    pub(super) paused: Option<ShownPause>,
    pub(super) back: String,
    pub(super) chosen: bool,
    /// The keys of the meta that the form which runs it asks for.
    pub(super) keys: Vec<String>,
}

pub(super) struct ShownPause {
    pub(super) since: ShownTime,
    /// Who paused it; empty where nobody knows.
    pub(super) by: String,
}

impl PhaseRow {
    pub(super) fn new(phase: &Phase, read: &WorkflowData, asked: &WorkflowQuery, link: &PageLink) -> Self {
        let name = phase.task_name();
        // A task of a file may have several schedules: its cron tells a phase apart.
        let times = phase.rule.cron.as_ref().and_then(|cron| {
            read.times
                .iter()
                .find(|times| times.workflow == phase.workflow && times.task == name && times.cron == *cron)
        });
        let to = link.only(&["date", "days"]).with("file", &phase.workflow).with("phase", &name);
        let chosen =
            read.chosen.as_ref().is_some_and(|chosen| chosen.name == phase.task) && phase.workflow == asked.file;
        Self {
            file: phase.workflow.clone(),
            href: to.href() + "#days",
            file_href: to.only(&["date", "days"]).with("file", &phase.workflow).href(),
            tasks: PageLink::to("/web/task").with_task(&phase.task.topic, &phase.task.job).href(),
            line: phase.line,
            starts: phase.to_words(),
            rule: LongText::from(phase.rule_text.clone()),
            retry: phase.retry,
            template: LongText::from(phase.template.clone()),
            contact: phase.contact.clone(),
            problem: phase.problems_text(),
            next: times.and_then(|times| times.next).map(|at| ShownTime::near(at, asked.now)),
            previous: times
                .and_then(|times| times.previous)
                .or_else(|| read.previous(phase))
                .map(|at| ShownTime::near(at, asked.now)),
            paused: read
                .pause_of(&phase.workflow, &name)
                .map(|pause| ShownPause { since: ShownTime::date_and_time(pause.since), by: pause.by.clone() }),
            back: link.href(),
            chosen,
            keys: asked_keys(phase),
            name,
        }
    }
}

/// What the template names, each once.
fn asked_keys(phase: &Phase) -> Vec<String> {
    let keys: BTreeSet<String> = phase.template_keys().into_iter().collect();
    keys.into_iter().take(MAX_KEYS).collect()
}

impl WorkflowData {
    /// The last slot within the last day that started something.
    fn previous(&self, phase: &Phase) -> Option<chrono::DateTime<chrono::Utc>> {
        phase.rule.schedule.as_ref()?;
        let name = phase.task_name();
        let (_, slots) = self.last_day.iter().find(|((file, task), _)| *file == phase.workflow && *task == name)?;
        slots.slots.iter().find(|slot| slot.started.is_some()).map(|slot| slot.at)
    }
}

#[cfg(test)]
mod tests {
    use flowlord_domain::workflow::WorkflowFile;

    use super::*;

    fn offered(names: &[&str], chosen: &str) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        offered_names(names.iter(), chosen)
    }

    #[test]
    fn names_are_offered_once_and_the_chosen_one_always() {
        assert_eq!(offered(&["b", "a", "b", ""], ""), ["a", "b"]);
        assert_eq!(offered(&["b"], "gone"), ["b", "gone"]);
        let many: Vec<String> = (0..OFFERED + 5).map(|n| format!("{n:05}")).collect();
        let shown = offered_names(many.iter(), "zzz");
        assert_eq!((shown.len(), shown.last().map(String::as_str)), (OFFERED + 1, Some("zzz")));
        assert_eq!(offered_names(many.iter(), &many[0]).len(), OFFERED, "it is among them");
    }

    #[test]
    fn a_run_asks_for_each_key_of_the_template_once_and_not_for_all_of_many() {
        let keys = |template: &str| {
            let text = format!("[[phase]]\ntask = \"a\"\nrule = \"cron=@daily\"\ntemplate = \"{template}\"\n");
            asked_keys(&WorkflowFile::parse("w.toml", &text, "", Default::default()).unwrap().phases[0])
        };
        assert_eq!(keys("{meta:b}-{meta:a}-{meta:b}-{yyyy}"), ["a", "b"]);
        assert!(keys("{yyyy}").is_empty());
        let many: String = (0..MAX_KEYS + 3).map(|n| format!("{{meta:k{n:02}}}")).collect();
        assert_eq!(keys(&many).len(), MAX_KEYS);
    }
}

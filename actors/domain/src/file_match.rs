//! Which phases a file starts, and the task that it becomes.

use chrono::{DateTime, Utc};

use crate::glob::Glob;
use crate::ids::IdSource;
use crate::rule::{MAX_FILES, Rule};
use crate::schedule::CreateError;
use crate::task::NewTask;
use crate::task_time::path_time;
use crate::template::{expand_meta, render_template_utc};
use crate::workflow::{Phase, Workflows};

/// A phase that files start, as it is remembered: what it is called and which files it takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FilePhase {
    /// The workflow file, relative to the workflow root.
    pub workflow: String,
    /// The phase's name, `topic` or `topic:job`.
    pub task: String,
    /// Its `files`, a glob.
    pub pattern: String,
    /// Tells apart phases of a file with the same name and pattern.
    pub nth: usize,
}

/// A phase that takes a file.
#[derive(Debug, Clone)]
pub struct FileMatch<'a> {
    /// The phase.
    pub phase: &'a Phase,
    /// What it is remembered by.
    pub key: FilePhase,
}

/// What a file does to a phase that takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileEffect {
    /// A task starts.
    Start(NewTask),
    /// More files are needed first.
    Wait,
    /// The same path waits already.
    Waits,
}

/// The phases that take a file at `path`, by workflow file and as written.
pub fn match_phases<'a>(workflows: &'a Workflows, path: &str) -> Vec<FileMatch<'a>> {
    let mut matches: Vec<FileMatch<'a>> = Vec::new();
    for phase in workflows.phases() {
        let Some(pattern) = &phase.rule.files else { continue };
        // A pattern that can't be read is a finding of its file.
        if !Glob::parse(pattern).is_ok_and(|glob| glob.matches(path)) {
            continue;
        }
        let mut key =
            FilePhase { workflow: phase.workflow.clone(), task: phase.task_name(), pattern: pattern.clone(), nth: 0 };
        // Phases may differ in nothing but their template.
        key.nth = matches.iter().filter(|other| FilePhase { nth: 0, ..other.key.clone() } == key).count();
        matches.push(FileMatch { phase, key });
    }
    matches
}

/// How many files a task of the rule is about.
pub fn files_per_task(rule: &Rule) -> usize {
    usize::try_from(rule.count.clamp(1, MAX_FILES)).unwrap_or(1)
}

impl FileMatch<'_> {
    /// What a file at `path` does, where those at `waiting` wait, oldest first.
    pub fn effect_of_file(
        &self,
        path: &str,
        waiting: &[String],
        host: &str,
        ids: &mut dyn IdSource,
        now: DateTime<Utc>,
    ) -> Result<FileEffect, CreateError> {
        let rule = &self.phase.rule;
        // Only what keeps the rule from being read at all: a wrong schedule is none of a file's business.
        if let Some(problem) = rule.find_blocker(&[""]) {
            return Err(CreateError::Rule(problem.message.clone()));
        }
        if self.phase.task.topic.is_empty() {
            return Err(CreateError::NoTopic);
        }
        // Hearing of a file twice must not count twice.
        if waiting.iter().any(|known| known == path) {
            return Ok(FileEffect::Waits);
        }
        if waiting.len() + 1 < files_per_task(rule) {
            return Ok(FileEffect::Wait);
        }
        Ok(FileEffect::Start(self.build_task(path, waiting, host, ids, now)))
    }

    fn build_task(
        &self,
        path: &str,
        waiting: &[String],
        host: &str,
        ids: &mut dyn IdSource,
        now: DateTime<Utc>,
    ) -> NewTask {
        let Phase { rule, task, workflow, template, .. } = self.phase;
        let mut meta = rule.query.clone();
        meta.set_value("file", path);
        meta.set_value("filename", file_name(path));
        meta.set_value("workflow", workflow);
        // Some may wait from when the rule took more of them.
        if files_per_task(rule) > 1 || !waiting.is_empty() {
            let paths = waiting.iter().map(String::as_str).chain([path]);
            let list: Vec<String> = paths.map(list_item).collect();
            meta.set_value("count", list.len().to_string());
            meta.set_value("files", list.join(","));
        }
        let info = render_template_utc(template, path_time(path), host, ids);
        let (info, _) = expand_meta(&info, |key| meta.first_value(key).map(str::to_owned));
        NewTask {
            info,
            meta: meta.sorted().to_text(),
            ..NewTask::of_new_chain((&task.topic, &task.job), workflow, now, ids)
        }
    }
}

/// What follows the last slash.
fn file_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

/// A path in a list with commas: its own are written `%2C`, and so its percent signs `%25`.
fn list_item(path: &str) -> String {
    // The percent sign first, or it would escape the escapes.
    path.replace('%', "%25").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono_tz::Tz;

    use super::*;
    use crate::ids::fixed::FixedIds;
    use crate::query::Query;
    use crate::workflow::WorkflowFile;

    fn workflows(text: &str) -> Workflows {
        Workflows::new([Arc::new(WorkflowFile::parse("w.toml", text, "h", Tz::UTC).unwrap())])
    }

    fn effect(found: &FileMatch<'_>, path: &str, waiting: &[&str]) -> Result<FileEffect, CreateError> {
        let waiting: Vec<String> = waiting.iter().map(|path| (*path).to_owned()).collect();
        let now = DateTime::from_timestamp(1_600_000_000, 0).unwrap();
        found.effect_of_file(path, &waiting, "host", &mut FixedIds::default(), now)
    }

    #[test]
    fn the_nth_file_starts_a_task_with_all_of_them() {
        let workflows = workflows(
            "[[phase]]\ntask = \"load\"\nrule = \"files=/in/*&count=3\"\ntemplate = \"{meta:file}?d={dd} {meta:files}\"\n",
        );
        let found = &match_phases(&workflows, "/in/a")[0];
        assert_eq!(effect(found, "/in/a", &[]), Ok(FileEffect::Wait));
        assert_eq!(effect(found, "/in/b", &["/in/a"]), Ok(FileEffect::Wait));
        assert_eq!(effect(found, "/in/a", &["/in/a", "/in/b"]), Ok(FileEffect::Waits));
        let Ok(FileEffect::Start(task)) = effect(found, "/in/20240102T030405", &["/in/a,b", "/in/50%"]) else {
            panic!("nothing starts");
        };
        let meta = Query::parse(&task.meta).unwrap();
        assert_eq!(meta.first_value("files"), Some("/in/a%2Cb,/in/50%25,/in/20240102T030405"));
        assert_eq!((meta.first_value("count"), meta.first_value("filename")), (Some("3"), Some("20240102T030405")));
        assert!(task.info.starts_with("/in/20240102T030405?d=02 /in/a%2Cb,"), "{}", task.info);
    }

    #[test]
    fn phases_with_one_name_are_told_apart() {
        let phase = "[[phase]]\ntask = \"load:x\"\nrule = \"files=/in/*\"\n";
        let workflows =
            workflows(&format!("{phase}{phase}{phase}[[phase]]\ntask = \"load:x\"\nrule = \"files=/*/a\"\n"));
        let found: Vec<_> =
            match_phases(&workflows, "/in/a").into_iter().map(|found| (found.key.pattern, found.key.nth)).collect();
        assert_eq!(
            found,
            [("/in/*", 0), ("/in/*", 1), ("/in/*", 2), ("/*/a", 0)].map(|(files, nth)| (files.to_owned(), nth))
        );
        assert_eq!(match_phases(&workflows, "/in/a")[0].key.task, "load:x");
    }

    #[test]
    fn a_rule_that_cannot_be_read_starts_nothing_and_says_why() {
        let workflows = workflows(
            "[[phase]]\ntask = \"load\"\nrule = \"files=/in/*&x=%zz\"\n[[phase]]\ntask = \"\"\nrule = \"files=/in/*&cron=never\"\n\
             [[phase]]\ntask = \"slot\"\nrule = \"files=/in/*&cron=never&count=-3\"\n",
        );
        let found = match_phases(&workflows, "/in/a");
        let told = |n: usize| effect(&found[n], "/in/a", &[]).unwrap_err().to_string();
        assert!(told(0).contains("write a percent sign as %25"), "{}", told(0));
        assert!(told(1).contains("write task = \"topic\""), "{}", told(1));
        assert!(matches!(effect(&found[2], "/in/a", &[]), Ok(FileEffect::Start(_))));
    }

    #[test]
    fn a_task_lists_its_files_only_where_there_may_be_several() {
        let listed = |rule: &str, waiting: &[&str]| {
            let text = format!("[[phase]]\ntask = \"load\"\nrule = \"files=/in/*{rule}\"\n");
            let workflows = workflows(&text);
            let Ok(FileEffect::Start(task)) = effect(&match_phases(&workflows, "/in/c")[0], "/in/c", waiting) else {
                return None;
            };
            Some(Query::parse(&task.meta).unwrap().first_value("files").unwrap_or_default().to_owned())
        };
        assert_eq!(listed("", &[]).as_deref(), Some("/in/*"), "the key of the rule stays");
        assert_eq!(listed("&count=2", &[]), None, "it waits for another one");
        assert_eq!(listed("&count=2", &["/in/a"]).as_deref(), Some("/in/a,/in/c"));
        // It waited from when the rule took more of them.
        assert_eq!(listed("", &["/in/a"]).as_deref(), Some("/in/a,/in/c"));
    }
}

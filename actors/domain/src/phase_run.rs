//! A phase that a person has run now, beside its schedule.

use chrono::{DateTime, Utc};

use crate::batch::cut_to_hour;
use crate::ids::IdSource;
use crate::query::Query;
use crate::schedule::{CreateError, RowSource, StartingSlot};
use crate::task::NewTask;
use crate::template::{expand_meta, expand_meta_tokens};
use crate::workflow::Phase;

/// How many tasks one run may start.
pub const MAX_RUN_TASKS: usize = 1_000;

/// How large their infos and metas may be together.
const MAX_RUN_BYTES: usize = 8 * 1024 * 1024;

/// What the phase itself says of its tasks.
const OWN_KEYS: [&str; 3] = ["workflow", "cron", "job"];

/// A phase to run, and what the person chose.
#[derive(Debug, Clone, Copy)]
pub struct PhaseRun<'a> {
    /// The phase.
    pub phase: &'a Phase,
    /// The time that its tasks are about; none means that of a slot of this hour.
    pub time: Option<DateTime<Utc>>,
    /// Keys that go before those of its rows, and into the meta of each task.
    pub meta: &'a Query,
}

/// Why a phase can't run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhaseRunError {
    /// As in a slot.
    #[error("{0}")]
    Create(#[from] CreateError),
    /// A key that the phase itself sets.
    #[error("`meta` has the key `{0}`, which the phase sets: leave it out")]
    OwnKey(String),
    /// Nothing gives a value for a key of the template.
    #[error("the template names `{{meta:{0}}}`, and the phase has no value for it: give it in `meta`")]
    NoValue(String),
    /// Its meta file is empty.
    #[error("the phase has no rows: nothing would start")]
    NoRows,
    /// Too many for one transaction.
    #[error("{0} tasks would start, at most {MAX_RUN_TASKS} are allowed: use POST /api/v1/backload")]
    TooMany(usize),
    /// Too large for one transaction.
    #[error("the tasks have more than {MAX_RUN_BYTES} bytes together: use POST /api/v1/backload")]
    TooLarge,
}

impl PhaseRun<'_> {
    /// The tasks that start: those of a slot, with the rows of the phase.
    pub fn tasks(
        &self,
        now: DateTime<Utc>,
        host: &str,
        ids: &mut dyn IdSource,
        files: &dyn RowSource,
    ) -> Result<Vec<NewTask>, PhaseRunError> {
        let slot = self.starting_slot(now, files)?;
        let (mut tasks, mut bytes) = (Vec::with_capacity(slot.count()), 0);
        for task in (0..slot.count()).filter_map(|n| slot.nth_task(n, host, ids, now)) {
            let task = self.with_meta(task, slot.has_rows());
            bytes += task.info.len() + task.meta.len();
            // Checked at each task, before a thousand large ones are in memory.
            if bytes > MAX_RUN_BYTES {
                return Err(PhaseRunError::TooLarge);
            }
            tasks.push(task);
        }
        Ok(tasks)
    }

    fn starting_slot(&self, now: DateTime<Utc>, files: &dyn RowSource) -> Result<StartingSlot<'_>, PhaseRunError> {
        // Another workflow or time in the meta would mislead all that follows from the task.
        if let Some((key, _)) = self.meta.pairs().find(|(key, _)| OWN_KEYS.contains(key)) {
            return Err(PhaseRunError::OwnKey(key.to_owned()));
        }
        let is_given = |key: &str| self.meta.first_value(key).is_some();
        let mut slot = match self.time {
            Some(time) => StartingSlot::about(self.phase, time, files, is_given)?,
            // The offset of the rule applies to a slot, but not to a time that a person gave.
            None => StartingSlot::of_slot(self.phase, cut_to_hour(now), files, is_given)?,
        };
        match slot.count() {
            0 => return Err(PhaseRunError::NoRows),
            many if many > MAX_RUN_TASKS => return Err(PhaseRunError::TooMany(many)),
            _ => slot.override_rows(self.meta),
        }
        // A slot would start with a gap in its info; a person can be asked.
        match self.phase.template_keys().into_iter().find(|key| !is_given(key) && !slot.has_value(key)) {
            Some(key) => Err(PhaseRunError::NoValue(key)),
            None => Ok(slot),
        }
    }

    fn with_meta(&self, mut task: NewTask, has_rows: bool) -> NewTask {
        if self.meta.is_empty() {
            return task;
        }
        // Of rows they are filled in already, and a value that looks like a token stays as it is.
        if !has_rows {
            let given = |key: &str| self.meta.first_value(key).map(str::to_owned);
            task.info = match self.phase.is_join {
                true => expand_meta_tokens(&task.info, |key| given(key).unwrap_or_default()),
                false => expand_meta(&task.info, given).0,
            };
        }
        let mut meta = Query::parse_lenient(&task.meta);
        // Set, not added: readers take the first value of a key.
        for (key, value) in self.meta.pairs() {
            meta.set_value(key, value);
        }
        task.meta = meta.to_text();
        task
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;
    use crate::ids::fixed::FixedIds;
    use crate::schedule::NoFiles;
    use crate::template::MetaRow;
    use crate::workflow::WorkflowFile;

    fn run_with(
        rule: &str,
        time: Option<&str>,
        meta: &str,
        files: &dyn RowSource,
    ) -> Result<Vec<String>, PhaseRunError> {
        let text =
            format!("[[phase]]\ntask = \"a:j\"\nrule = \"{rule}\"\ntemplate = \"{{dd}}T{{hh}}:{{min}}?k={{meta:k}}\"");
        let file = WorkflowFile::parse("w.toml", &text, "", Tz::UTC).unwrap();
        let (time, meta) = (time.map(|time| time.parse().unwrap()), Query::parse_lenient(meta));
        let now = "2024-01-15T10:37:00Z".parse().unwrap();
        let run = PhaseRun { phase: &file.phases[0], time, meta: &meta };
        let tasks = run.tasks(now, "h", &mut FixedIds::default(), files)?;
        Ok(tasks.into_iter().map(|task| format!("{} {}", task.info, task.meta)).collect())
    }

    fn run(rule: &str, time: Option<&str>, meta: &str) -> Result<Vec<String>, PhaseRunError> {
        run_with(rule, time, meta, &NoFiles)
    }

    #[test]
    fn without_a_time_it_is_that_of_a_slot_of_this_hour() {
        let expected = "15T06:00?k=1 workflow=w.toml&cron=2024-01-15T06&job=j&k=1";
        assert_eq!(run("cron=5 3 * * *&offset=-4h", None, "k=1").unwrap(), [expected]);
        let expected = "11T05:30?k=1 workflow=w.toml&cron=2024-01-11T05&job=j&k=1";
        let about = run("cron=5 3 * * *&offset=-4h", Some("2024-01-11T05:30:00Z"), "k=1");
        assert_eq!(about.unwrap(), [expected], "the time that is given is the one that the tasks are about");
        assert_eq!(run("", None, "k=1").unwrap().len(), 1, "what starts by nothing runs by hand");
    }

    #[test]
    fn tasks_of_a_run_are_refused_that_are_too_large_together() {
        let rows = |count: usize, bytes: usize| {
            let row = MetaRow([("k".to_owned(), "v".repeat(bytes))].into());
            move |_: &str| Ok(vec![row.clone(); count])
        };
        let run_of =
            |count, bytes| run_with("meta-file=rows.csv", None, "", &rows(count, bytes)).map(|tasks| tasks.len());
        // A row is in the info of its task, and in the meta.
        assert_eq!(run_of(3, MAX_RUN_BYTES / 8), Ok(3));
        assert_eq!(run_of(4, MAX_RUN_BYTES / 8), Err(PhaseRunError::TooLarge));
    }

    #[test]
    fn a_join_runs_with_what_its_parents_would_have_left() {
        let text = "[[phase]]\ntask = \"c\"\ndependsOn = [\"a\", \"b\"]\ntemplate = \"{meta:a.file} {meta:files}\"";
        let file = WorkflowFile::parse("w.toml", text, "", Tz::UTC).unwrap();
        let run = |meta: &str| {
            let meta = Query::parse_lenient(meta);
            let run = PhaseRun { phase: &file.phases[0], time: None, meta: &meta };
            let tasks = run.tasks("2024-01-15T10:37:00Z".parse().unwrap(), "h", &mut FixedIds::default(), &NoFiles);
            tasks.map(|tasks| tasks[0].info.clone())
        };
        assert_eq!(run("a.file=x&files=x,y").unwrap(), "x x,y");
        assert_eq!(run("files=x,y"), Err(PhaseRunError::NoValue("a.file".to_owned())));
    }

    #[test]
    fn each_row_starts_one_and_what_is_given_goes_before_it() {
        let rule = "cron=@daily&meta=k:1,2|l:{meta:x},b";
        let own = run(rule, None, "").unwrap();
        assert_eq!(own.len(), 2);
        assert_eq!(own[1], "15T10:00?k=2 cron=2024-01-15T10&job=j&k=2&workflow=w.toml");
        let given = run(rule, None, "k={meta:y}&more=m").unwrap();
        assert_eq!(given[0], "15T10:00?k={meta:y} cron=2024-01-15T10&job=j&k={meta:y}&workflow=w.toml&more=m");
        assert_eq!(run("cron=@daily&for=-2h&by=hour", None, "k=1").unwrap().len(), 3, "its times, too");
        let rows = |_: &str| MetaRow::from_json_lines("{\"l\":1}\n{\"l\":2}").map_err(|err| err.to_string());
        assert_eq!(run_with("cron=@daily&meta-file=f.csv", None, "k=1", &rows).unwrap().len(), 2);
        assert!(run_with("cron=@daily&meta-file=f.csv", None, "", &rows).is_err(), "no row has it");
    }

    #[test]
    fn what_can_not_run_says_why() {
        let none = |_: &str| Ok(Vec::new());
        assert_eq!(run("cron=@daily", None, "").unwrap_err(), PhaseRunError::NoValue("k".to_owned()));
        assert_eq!(run("cron=@daily", None, "k=1&cron=x").unwrap_err(), PhaseRunError::OwnKey("cron".to_owned()));
        assert_eq!(run_with("meta-file=f", None, "k=1", &none).unwrap_err(), PhaseRunError::NoRows);
        let many = run("cron=@daily&for=-1000h&by=hour", None, "k=1").unwrap_err();
        assert_eq!(many, PhaseRunError::TooMany(1_001));
        let large = run("cron=@daily&for=-999h&by=hour", None, &format!("k={}", "x".repeat(10_000))).unwrap_err();
        assert_eq!(large, PhaseRunError::TooLarge);
        for rule in ["cron=nonsense", "cron=@daily&offset=x", "meta-file=f"] {
            assert!(matches!(run(rule, None, "k=1"), Err(PhaseRunError::Create(_))), "{rule}");
        }
    }
}

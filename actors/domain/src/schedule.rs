//! What a cron slot starts, and which of the slots that were missed.

use chrono::{DateTime, Utc};

use crate::batch::{MAX_TIMES, TaskBatch, cut_to_hour};
use crate::ids::IdSource;
use crate::query::Query;
use crate::row_keys::MissingKeys;
use crate::rows::zip_lists;
use crate::rule::{MissedSlotRule, Rule};
use crate::task::{NewTask, TaskLane};
use crate::task_time::cron_text;
use crate::template::{MetaRow, render_template_utc};
use crate::workflow::Phase;

/// Why a task can't be created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// The rule is wrong in a way that could start the wrong thing.
    #[error("{0}")]
    Rule(String),
    /// The rows of a meta file aren't there.
    #[error("meta-file `{path}`: {problem}")]
    MetaFile {
        /// The meta file, as the rule names it.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The rows of a meta file don't go with the template.
    #[error("meta-file `{path}`: {missing}")]
    MissingKeys {
        /// The meta file, as the rule names it.
        path: String,
        /// What the template asks for in vain.
        missing: MissingKeys,
    },
    /// The phase names no topic.
    #[error("the phase has no task: write task = \"topic\" or \"topic:job\"")]
    NoTopic,
}

/// Where the rows of meta files come from: the caller, who may read files.
pub trait RowSource {
    /// The rows of a file, or what is wrong with it.
    fn rows(&self, path: &str) -> Result<Vec<MetaRow>, String>;
}

/// A source without files.
#[derive(Debug, Clone, Copy)]
pub struct NoFiles;

impl RowSource for NoFiles {
    fn rows(&self, _: &str) -> Result<Vec<MetaRow>, String> {
        Err("files can't be read here: put the rows into meta=".to_owned())
    }
}

impl<F: Fn(&str) -> Result<Vec<MetaRow>, String>> RowSource for F {
    fn rows(&self, path: &str) -> Result<Vec<MetaRow>, String> {
        self(path)
    }
}

/// The rows of a phase's `meta` and `meta-file`; none when it has neither.
///
/// # Errors
/// Also where its template names a key that no row of the file has, nor `is_known` otherwise.
pub fn phase_rows(
    phase: &Phase,
    files: &dyn RowSource,
    is_known: impl Fn(&str) -> bool,
) -> Result<Option<Vec<MetaRow>>, CreateError> {
    let rows = rule_rows(&phase.rule, files)?;
    if let Some((path, read)) = phase.rule.meta_file.as_ref().zip(rows.as_ref())
        && let Some(missing) = MissingKeys::of(&phase.template, read, is_known)
    {
        return Err(CreateError::MissingKeys { path: path.clone(), missing });
    }
    Ok(rows)
}

fn rule_rows(rule: &Rule, files: &dyn RowSource) -> Result<Option<Vec<MetaRow>>, CreateError> {
    if let Some(problem) = rule.find_blocker(&["meta", "meta-file"]) {
        return Err(CreateError::Rule(problem.message.clone()));
    }
    if !rule.has_rows() {
        return Ok(None);
    }
    // The rows of lists come before those of the file.
    let mut rows = zip_lists(&rule.meta).map_err(|e| CreateError::Rule(e.to_string()))?;
    if let Some(path) = &rule.meta_file {
        let more = files.rows(path);
        rows.extend(more.map_err(|problem| CreateError::MetaFile { path: path.clone(), problem })?);
    }
    Ok(Some(rows))
}

/// The tasks of a slot.
pub fn slot_tasks_with(
    phase: &Phase,
    slot: DateTime<Utc>,
    host: &str,
    ids: &mut dyn IdSource,
    now: DateTime<Utc>,
    files: &dyn RowSource,
) -> Result<Vec<NewTask>, CreateError> {
    let slot = StartingSlot::new(phase, slot, files)?;
    Ok((0..slot.count_tasks).filter_map(|n| slot.nth_task(n, host, ids, now)).collect())
}

/// What starts in a slot, before its tasks are made: they may be many.
#[derive(Debug, Clone)]
pub struct StartingSlot<'a> {
    phase: &'a Phase,
    time: DateTime<Utc>,
    rows: Option<Vec<MetaRow>>,
    count_tasks: usize,
}

impl<'a> StartingSlot<'a> {
    /// Reads what it needs from files.
    pub fn new(phase: &'a Phase, slot: DateTime<Utc>, files: &dyn RowSource) -> Result<Self, CreateError> {
        // A slot has no parent whose meta could have the keys.
        Self::of_slot(phase, slot, files, |_| false)
    }

    /// The same; `is_known` tells which keys have a value besides.
    pub(crate) fn of_slot(
        phase: &'a Phase,
        slot: DateTime<Utc>,
        files: &dyn RowSource,
        is_known: impl Fn(&str) -> bool,
    ) -> Result<Self, CreateError> {
        // An offset beyond the end of time counts as none.
        let time = slot.checked_add_signed(phase.rule.offset).unwrap_or(slot);
        Self::about(phase, time, files, is_known)
    }

    /// What starts for the time that its tasks are about.
    pub(crate) fn about(
        phase: &'a Phase,
        time: DateTime<Utc>,
        files: &dyn RowSource,
        is_known: impl Fn(&str) -> bool,
    ) -> Result<Self, CreateError> {
        if let Some(problem) = phase.rule.first_blocker() {
            return Err(CreateError::Rule(problem.message.clone()));
        }
        if phase.task.topic.is_empty() {
            return Err(CreateError::NoTopic);
        }
        let rows = phase_rows(phase, files, is_known)?;
        let mut slot = Self { phase, time, rows, count_tasks: 1 };
        slot.count_tasks = slot.as_batch().map_or(1, |batch| batch.count_tasks());
        Ok(slot)
    }

    /// Whether its tasks are those of rows.
    pub(crate) fn has_rows(&self) -> bool {
        self.rows.is_some()
    }

    /// Whether some row has this key.
    pub(crate) fn has_value(&self, key: &str) -> bool {
        self.rows.iter().flatten().any(|row| row.value_of(key).is_some())
    }

    /// Puts the same values into every row.
    pub(crate) fn override_rows(&mut self, meta: &Query) {
        for row in self.rows.iter_mut().flatten() {
            row.0.extend(meta.pairs().map(|(key, value)| (key.to_owned(), value.to_owned())));
        }
    }

    /// How many tasks start.
    pub fn count(&self) -> usize {
        self.count_tasks
    }

    /// The task number `n`.
    pub fn nth_task(&self, n: usize, host: &str, ids: &mut dyn IdSource, now: DateTime<Utc>) -> Option<NewTask> {
        match self.as_batch().filter(|_| n < self.count_tasks) {
            Some(batch) => batch.nth_task(n, now, host, ids),
            None => (n < self.count_tasks).then(|| plain_task(self.phase, self.time, host, ids, now)),
        }
    }

    fn as_batch(&self) -> Option<TaskBatch<'_>> {
        let Phase { rule, task, workflow, template, .. } = self.phase;
        let from = cut_to_hour(self.time);
        rule.is_batch().then(|| TaskBatch {
            topic: &task.topic,
            job: &task.job,
            workflow,
            template,
            from,
            to: from.checked_add_signed(rule.span).unwrap_or(from),
            by: rule.by,
            rows: self.rows.as_deref(),
            lane: TaskLane::Live,
            limit: MAX_TIMES, // a slip in `for` must not fill the disk
        })
    }
}

fn plain_task(phase: &Phase, time: DateTime<Utc>, host: &str, ids: &mut dyn IdSource, now: DateTime<Utc>) -> NewTask {
    let Phase { task, workflow, template, .. } = phase;
    let new = NewTask::of_new_chain((&task.topic, &task.job), workflow, now, ids);
    NewTask {
        info: render_template_utc(template, Some(time), host, ids),
        meta: phase_meta(workflow, Some(&cron_text(time)), &task.job).to_text(),
        ..new
    }
}

/// The meta of a phase's task: where it comes from, what it is about.
pub(crate) fn phase_meta(workflow: &str, cron: Option<&str>, job: &str) -> Query {
    let mut meta = Query::default();
    meta.push_pair("workflow", workflow);
    if let Some(cron) = cron {
        meta.push_pair("cron", cron);
    }
    if !job.is_empty() {
        meta.push_pair("job", job);
    }
    meta
}

/// Which of the slots that fell into downtime start now, oldest first.
pub fn slots_to_catch_up(rule: &Rule, slots: &[DateTime<Utc>], now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let mut slots = slots.to_vec();
    slots.retain(|slot| rule.missed_window.is_none_or(|window| now - *slot <= window));
    slots.sort_unstable();
    match rule.missed {
        MissedSlotRule::None => Vec::new(),
        MissedSlotRule::Latest => slots.last().copied().into_iter().collect(),
        MissedSlotRule::All => slots,
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;
    use crate::ids::fixed::FixedIds;
    use crate::workflow::WorkflowFile;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn tasks(rule: &str) -> Result<Vec<String>, CreateError> {
        let text = format!(
            "[[phase]]\ntask = \"a:j\"\nrule = \"cron=0 0 * * *&{rule}\"\ntemplate = \"{{meta:k}}?h={{dd}}T{{hh}}:{{min}}\""
        );
        let file = WorkflowFile::parse("wf.toml", &text, "", Tz::UTC).unwrap();
        let slot = at("2024-01-15T10:30:00Z");
        let tasks = slot_tasks_with(&file.phases[0], slot, "h", &mut FixedIds::default(), slot, &NoFiles)?;
        Ok(tasks.into_iter().map(|task| format!("{} {}", task.info, task.meta)).collect())
    }

    #[test]
    fn a_plain_slot_keeps_its_minutes_and_a_batch_is_cut_to_the_hour() {
        let plain = tasks("offset=-4h").unwrap();
        assert_eq!(plain, ["{meta:k}?h=15T06:30 workflow=wf.toml&cron=2024-01-15T06&job=j"]);
        let batch = tasks("meta=k:1,2&for=-24h").unwrap();
        assert_eq!(batch.len(), 4);
        assert_eq!(batch[0], "2?h=15T10:00 cron=2024-01-15T10&job=j&k=2&workflow=wf.toml");
        assert_eq!(batch[3], "1?h=14T10:00 cron=2024-01-14T10&job=j&k=1&workflow=wf.toml");
    }

    #[test]
    fn nothing_starts_about_the_wrong_time_or_rows() {
        for rule in ["offset=x", "for=x", "meta=abc", "meta=a:1|b:1,2", "meta=a:1&meta-file=f", "meta-file=f", "x=%zz"]
        {
            assert!(tasks(rule).is_err(), "{rule}");
        }
    }

    #[test]
    fn a_slot_starts_nothing_when_no_row_has_a_key_of_the_template() {
        let started = |rows: &str| {
            let text =
                "[[phase]]\ntask = \"a\"\nrule = \"cron=@daily&meta-file=f.csv\"\ntemplate = \"{meta:k}/{meta:l}\"";
            let file = WorkflowFile::parse("wf.toml", text, "", Tz::UTC).unwrap();
            let rows = MetaRow::from_json_lines(rows).unwrap();
            let slot = at("2024-01-15T10:30:00Z");
            let ids = &mut FixedIds::default();
            slot_tasks_with(&file.phases[0], slot, "h", ids, slot, &|_: &str| Ok(rows.clone()))
                .map(|tasks| tasks.into_iter().map(|task| task.info).collect::<Vec<_>>())
        };
        let err = started("{\"K\":1,\"l\":2}").unwrap_err();
        assert_eq!(
            err.to_string(),
            "meta-file `f.csv`: no row has `k`, which the template names; the keys of its rows are `K`, `l`: did you \
             mean `K`?"
        );
        assert_eq!(started("{\"k\":1}\n{\"l\":2}").unwrap(), ["1/", "/2"], "some rows may lack one");
        assert!(started("").unwrap().is_empty());
    }

    #[test]
    fn slots_in_downtime_start_as_the_rule_says() {
        let slots = [at("2024-01-15T08:00:00Z"), at("2024-01-15T06:00:00Z"), at("2024-01-15T07:00:00Z")];
        let hours = |rule: &str| -> Vec<String> {
            let rule = Rule::parse(rule, Tz::UTC);
            let started = slots_to_catch_up(&rule, &slots, at("2024-01-15T09:00:00Z"));
            started.iter().map(|slot| slot.format("%H").to_string()).collect()
        };
        assert!(hours("cron=@hourly").is_empty());
        assert_eq!(hours("missed=latest"), ["08"]);
        assert_eq!(hours("missed=all"), ["06", "07", "08"]);
        assert_eq!(hours("missed=all&missed_window=2h"), ["07", "08"]);
    }

    #[test]
    fn rows_are_those_of_the_rule_and_then_those_of_its_file() {
        let rows = |rule: &str| {
            let text = format!("[[phase]]\ntask = \"a\"\nrule = \"{rule}\"\ntemplate = \"{{meta:k}}\"\n");
            let file = WorkflowFile::parse("wf.toml", &text, "", Tz::UTC).unwrap();
            let rows = MetaRow::from_json_lines("{\"k\":\"f\"}").unwrap();
            let read = phase_rows(&file.phases[0], &|_: &str| Ok(rows.clone()), |_| false)?;
            Ok::<_, CreateError>(read.map(|rows| rows.iter().map(|row| row.0["k"].clone()).collect::<Vec<_>>()))
        };
        assert_eq!(rows("cron=@daily"), Ok(None));
        assert_eq!(rows("meta=k:1,2"), Ok(Some(vec!["1".to_owned(), "2".to_owned()])));
        assert_eq!(rows("meta-file=f"), Ok(Some(vec!["f".to_owned()])));
        // Only what is wrong with rows keeps them from being read.
        assert_eq!(rows("offset=x&meta-file=f"), Ok(Some(vec!["f".to_owned()])));
        for wrong in ["meta=k", "meta=k:1|l:1,2", "meta=k:1&meta-file=f"] {
            assert!(matches!(rows(wrong), Err(CreateError::Rule(_))), "{wrong}");
        }
    }

    #[test]
    fn a_slot_has_no_task_beyond_its_last() {
        let text = "[[phase]]\ntask = \"a\"\nrule = \"cron=@daily\"\n[[phase]]\ntask = \"b\"\nrule = \"cron=@daily&meta=k:1,2\"\n";
        let file = WorkflowFile::parse("wf.toml", text, "", Tz::UTC).unwrap();
        for (phase, count) in file.phases.iter().zip([1, 2]) {
            let time = at("2024-01-15T10:30:00Z");
            let slot = StartingSlot::new(phase, time, &NoFiles).unwrap();
            assert_eq!(slot.count(), count);
            let made = |n: usize| slot.nth_task(n, "h", &mut FixedIds::default(), time).is_some();
            assert_eq!([made(count - 1), made(count), made(count + 1)], [true, false, false]);
        }
    }
}

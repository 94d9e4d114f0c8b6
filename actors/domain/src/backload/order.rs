//! A request with nothing left open.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::request::{BackloadRequest, KEYS, MetaLists, MetaValues, TaskSelection, parse_time};
use crate::batch::cut_to_hour;
use crate::creation_rate::CreationRate;
use crate::finding::{did_you_mean, what_to_write};
use crate::query::lost_plus;
use crate::rule::BatchStep;
use crate::workflow::{Phase, TaskName, Workflows};

/// How large the rows of a request's own lists may be.
const MAX_ROWS: usize = 16 * 1024 * 1024;

/// A request in which nothing is left to be looked up: what a phase says is written out, so that it stays the same
/// whatever happens to the workflow files meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackloadOrder {
    /// The topic, `type` on the wire.
    pub topic: String,
    /// The job; empty for none.
    pub job: String,
    /// The workflow file; empty for none.
    pub workflow: String,
    /// The template of the tasks' info.
    pub template: String,
    /// The first time, UTC.
    pub from: DateTime<Utc>,
    /// The last time; earlier than the first for backwards.
    pub to: DateTime<Utc>,
    /// The steps.
    pub by: BatchStep,
    /// Lists that are zipped into rows.
    #[serde(default, skip_serializing_if = "MetaLists::is_empty")]
    pub meta: MetaLists,
    /// A file with a row a line, instead of lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta_file: Option<String>,
    /// Which of the tasks.
    #[serde(default)]
    pub only: TaskSelection,
    /// How fast they are created; empty for no limit.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rate: String,
}

impl BackloadOrder {
    /// How fast its tasks are created; none for no limit.
    pub fn creation_rate(&self) -> Option<CreationRate> {
        CreationRate::parse(&self.rate)
    }
}

/// An order, and what its author should know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedRequest {
    /// The order.
    pub order: BackloadOrder,
    /// What was taken for what the request leaves open, in the reference's words.
    pub message: String,
}

/// A request that can't be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackloadRequestError {
    /// No topic.
    #[error("`task` is missing: write the topic, like \"load\" or \"load:daily\"")]
    NoTask,
    /// The request names two jobs.
    #[error("`task` names the job `{named}` and `job` says `{given}`: write one of them")]
    TwoJobs {
        /// The one of `task`.
        named: String,
        /// The one of `job`.
        given: String,
    },
    /// A time that can't be read.
    #[error(
        "`{field}` is `{text}`: write a day like 2026-01-15, an hour like 2026-01-15T03 or a time like \
         2026-01-15T03:00:00Z, of the years 1970 to 9999{hint}",
        hint = lost_plus(text)
    )]
    Time {
        /// The key whose time it is.
        field: &'static str,
        /// The beginning of what it says.
        text: String,
    },
    /// Rows from two places.
    #[error("`meta` and `meta-file` are both given: use one of them")]
    TwoMetas,
    /// The rows don't fit together, or are too many.
    #[error("`meta`: {0}")]
    Meta(String),
    /// The phase's rule can't be read.
    #[error("invalid rule found for {task}: {problem}; fix it in {workflow}, or give `template` and another `task`")]
    Rule {
        /// The phase.
        task: String,
        /// Its file.
        workflow: String,
        /// What is wrong with its rule.
        problem: String,
    },
    /// Nothing says what the tasks are.
    #[error("no template found for {task}{hint}; name a phase of the workflows, or give `template`")]
    NoTemplate {
        /// The task.
        task: String,
        /// What may have been meant.
        hint: String,
    },
    /// A key that means nothing.
    #[error("`{key}` is unknown{remedy}")]
    Unknown {
        /// The key.
        key: String,
        /// What to write instead, with a colon before it.
        remedy: String,
    },
    /// Steps that there aren't.
    #[error("`by` is `{0}`: write hour, day, week or month")]
    By(String),
    /// A rate that can't be.
    #[error("`rate` is `{0}`: write how many tasks in how long, like 100/1m, over 1s to 24h")]
    Rate(String),
    /// Two kinds of times.
    #[error("`at` and `from` or `to` are both given: write either one time or a range")]
    AtAndRange,
}

impl BackloadRequest {
    /// Refuses what the reference system passes over in silence, and what would run for other times than meant.
    pub fn refuse_doubtful(&self) -> Result<(), BackloadRequestError> {
        if let Some(key) = &self.unknown {
            return Err(BackloadRequestError::Unknown { key: key.clone(), remedy: what_to_write(key, &KEYS) });
        }
        if !self.by.is_empty() && BatchStep::parse(&self.by).is_none() {
            return Err(BackloadRequestError::By(self.by.clone()));
        }
        if !self.rate.is_empty() && CreationRate::parse(&self.rate).is_none() {
            // The answer repeats the text, which may be very long.
            return Err(BackloadRequestError::Rate(self.rate.chars().take(100).collect()));
        }
        let range = [&self.from, &self.to].iter().any(|time| !time.is_empty());
        // `at` would win, and the range would be ignored in silence.
        if range && !self.at.is_empty() {
            return Err(BackloadRequestError::AtAndRange);
        }
        Ok(())
    }

    /// Looks up what it leaves open.
    pub fn resolve_order(
        &self,
        workflows: &Workflows,
        now: DateTime<Utc>,
    ) -> Result<ResolvedRequest, BackloadRequestError> {
        let name = self.task_name()?;
        let mut told = Vec::new();
        let (from, to) = self.read_times(now, &mut told)?;
        if !self.meta.is_empty() && !self.meta_file.is_empty() {
            return Err(BackloadRequestError::TwoMetas);
        }
        let phase = workflows.phase_for(&self.workflow, &name.topic, &name.job);
        // Rows of the request go before those of the phase.
        let (mut meta, mut meta_file) =
            (self.meta.clone(), Some(self.meta_file.clone()).filter(|path| !path.is_empty()));
        let mut template = self.template.clone();
        if let Some(phase) = phase {
            told.push(format!("phase found in {}", phase.workflow));
            // Also over the request's: what the phase's tasks are isn't decided twice.
            if !phase.template.is_empty() {
                template.clone_from(&phase.template);
            }
            let own_rows = meta.is_empty() && meta_file.is_none();
            check_rule(phase, own_rows)?;
            if own_rows {
                let lists = phase.rule.meta.iter();
                meta = MetaLists(lists.map(|(key, list)| (key.clone(), MetaValues::Many(list.clone()))).collect());
                meta_file.clone_from(&phase.rule.meta_file);
            }
        }
        if template.is_empty() {
            return Err(no_template(&name, workflows));
        }
        check_rows(&meta)?;
        let by = BatchStep::parse(&self.by).unwrap_or_else(|| {
            told.push("using default day iterator".to_owned());
            BatchStep::Day
        });
        let workflow = phase.map_or_else(|| self.workflow.clone(), |phase| phase.workflow.clone());
        let TaskName { topic, job } = name;
        let order = BackloadOrder {
            topic,
            job,
            workflow,
            template,
            from,
            to,
            by,
            meta,
            meta_file,
            only: self.only,
            rate: self.rate.clone(),
        };
        Ok(ResolvedRequest { order, message: told.join(", ") })
    }

    /// The task's name; the job may stand with the topic.
    fn task_name(&self) -> Result<TaskName, BackloadRequestError> {
        let mut name = TaskName::parse(&self.task);
        if name.topic.is_empty() {
            return Err(BackloadRequestError::NoTask);
        }
        if name.job.is_empty() {
            name.job.clone_from(&self.job);
        } else if !self.job.is_empty() && self.job != name.job {
            return Err(BackloadRequestError::TwoJobs { named: name.job, given: self.job.clone() });
        }
        Ok(name)
    }

    fn read_times(
        &self,
        now: DateTime<Utc>,
        told: &mut Vec<String>,
    ) -> Result<(DateTime<Utc>, DateTime<Utc>), BackloadRequestError> {
        let at = read_time("at", &self.at)?;
        let (from, to) = (read_time("from", &self.from)?, read_time("to", &self.to)?);
        let range = from.or(to).map(|either| (from.unwrap_or(either), to.unwrap_or(either)));
        let missing = match (from, to) {
            (None, Some(_)) => Some("from value not set"),
            (Some(_), None) => Some("to value not set"),
            (None, None) if at.is_none() => Some("no time provided using today"),
            _ => None,
        };
        told.extend(missing.map(str::to_owned));
        let this_hour = cut_to_hour(now);
        Ok(at.map(|at| (at, at)).or(range).unwrap_or((this_hour, this_hour)))
    }
}

fn read_time(field: &'static str, text: &str) -> Result<Option<DateTime<Utc>>, BackloadRequestError> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = BackloadRequestError::Time { field, text: text.chars().take(100).collect() };
    parse_time(text).map(Some).ok_or(wrong)
}

/// What is wrong with a rule as a whole, or with the rows that it is to bring.
fn check_rule(phase: &Phase, own_rows: bool) -> Result<(), BackloadRequestError> {
    // What the rule says of times doesn't count: the request has its own.
    let keys: &[&str] = if own_rows { &["", "meta", "meta-file"] } else { &[""] };
    match phase.rule.find_blocker(keys) {
        None => Ok(()),
        Some(problem) => Err(BackloadRequestError::Rule {
            task: phase.task_name(),
            workflow: phase.workflow.clone(),
            problem: problem.message.clone(),
        }),
    }
}

fn check_rows(meta: &MetaLists) -> Result<(), BackloadRequestError> {
    let (bytes, rows) = meta.size_of_rows();
    if bytes > MAX_ROWS {
        return Err(BackloadRequestError::Meta(format!(
            "its {rows} rows would have {bytes} bytes, at most {MAX_ROWS} are allowed: put them into a meta-file"
        )));
    }
    meta.zip_rows().map(drop).map_err(|err| BackloadRequestError::Meta(err.to_string()))
}

fn no_template(name: &TaskName, workflows: &Workflows) -> BackloadRequestError {
    let task = name.to_string();
    // A phase of that name without a template is no hint.
    let names: Vec<String> = workflows.phases().map(Phase::task_name).filter(|known| *known != task).collect();
    let hint = did_you_mean(&task, names.iter().map(String::as_str));
    BackloadRequestError::NoTemplate { task, hint }
}

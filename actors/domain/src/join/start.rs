//! What a join starts: its template is filled in once all that it waits for is known.

use chrono::{DateTime, Utc};

use crate::ids::IdSource;
use crate::query::Query;
use crate::schedule::{RowSource, phase_meta, phase_rows};
use crate::task::{NewTask, Uid};
use crate::task_time::cron_text;
use crate::template::{MetaRow, expand_meta_tokens, render_template_utc};
use crate::workflow::Phase;

/// How large the info of a task may be that lists values of its parents.
const MAX_INFO_BYTES: usize = 1024 * 1024;

/// The tasks of a join, with everything but what its parents leave in their metas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinStart {
    base: NewTask,
    tasks: Vec<OpenTask>,
    /// Why there are none.
    problem: Option<String>,
}

/// A task whose `{meta:key}` are still to be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OpenTask {
    uid: Uid,
    text: String,
    row: Option<MetaRow>,
}

/// A complete task of a parent: what it is called, and what its worker left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JoinedTask {
    name: String,
    meta: Query,
}

impl JoinedTask {
    /// By the slot that it is, `FILE#task@hour`, and its meta.
    pub(super) fn new(slot: &str, meta: &str) -> Self {
        let named = slot.rsplit_once('@').map_or(slot, |(named, _)| named);
        let name = named.rsplit_once('#').map_or(named, |(_, name)| name);
        Self { name: name.to_owned(), meta: Query::parse_lenient(meta) }
    }

    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.name.split(':').next() == Some(name)
    }

    fn value_of(&self, key: &str) -> Option<&str> {
        self.meta.first_value(key).filter(|value| !value.is_empty())
    }
}

impl JoinStart {
    /// The tasks of a phase about a time. `base` has the chain that they belong to.
    pub(crate) fn new(
        phase: &Phase,
        about: DateTime<Utc>,
        base: NewTask,
        (now, host): (DateTime<Utc>, &str),
        ids: &mut dyn IdSource,
        files: &dyn RowSource,
    ) -> Self {
        let base = NewTask {
            topic: phase.task.topic.clone(),
            job: phase.task.job.clone(),
            meta: phase_meta(&phase.workflow, Some(&cron_text(about)), &phase.task.job).to_text(),
            workflow: phase.workflow.clone(),
            ..base
        };
        let mut start = Self { base, tasks: Vec::new(), problem: None };
        let mut task = |row| {
            let text = render_template_utc(&phase.template, Some(about), host, ids);
            OpenTask { uid: ids.next_uid(now), text, row }
        };
        // What a row lacks, a parent may have.
        match phase_rows(phase, files, |_| true) {
            Ok(None) => start.tasks.push(task(None)),
            Ok(Some(rows)) => start.tasks.extend(rows.into_iter().map(|row| task(Some(row)))),
            Err(err) => start.problem = Some(err.to_string()),
        }
        if phase.task.topic.is_empty() {
            start.problem = Some("the phase has no task: write task = \"topic\" or \"topic:job\"".to_owned());
        }
        start
    }

    /// Whether its tasks name what the parents left.
    pub fn needs_meta(&self) -> bool {
        self.tasks.iter().any(|task| task.text.contains("{meta:"))
    }

    /// The task that it begins with: what an alert about it names.
    pub fn base(&self) -> &NewTask {
        &self.base
    }

    pub(super) fn rename_parent(&mut self, uid: Uid) {
        self.base.parent = Some(uid);
    }

    /// The tasks that start after these, or why none can.
    pub(super) fn tasks(&self, joined: &[JoinedTask], keeps_unknown: bool) -> Result<Vec<NewTask>, String> {
        match &self.problem {
            Some(problem) => Err(problem.clone()),
            None => self.tasks.iter().map(|task| self.fill_in(task, joined, keeps_unknown)).collect(),
        }
    }

    fn fill_in(&self, task: &OpenTask, joined: &[JoinedTask], keeps_unknown: bool) -> Result<NewTask, String> {
        let mut meta = Query::parse_lenient(&self.base.meta);
        let row_value = |key: &str| task.row.as_ref().and_then(|row| row.value_of(key));
        let info = expand_meta_tokens(&task.text, |key| {
            let own = row_value(key);
            if let Some(own) = own {
                meta.set_value(key, own); // what tells its tasks apart goes with them
            }
            match own.map(str::to_owned).or_else(|| value_of(joined, key)) {
                Some(value) => value,
                None if keeps_unknown => format!("{{meta:{key}}}"),
                None => String::new(),
            }
        });
        if info.len() > MAX_INFO_BYTES {
            return Err(format!("its info would have {} bytes, at most {MAX_INFO_BYTES} are allowed", info.len()));
        }
        Ok(NewTask { uid: task.uid, info, meta: meta.to_text(), ..self.base.clone() })
    }
}

/// The value of `key`, or of `parent.key`: of several tasks the latest one; a list of all where the key is a plural.
fn value_of(joined: &[JoinedTask], key: &str) -> Option<String> {
    let (name, key) = key.rsplit_once('.').map_or((None, key), |(name, key)| (Some(name), key));
    let meant: Vec<&JoinedTask> = joined.iter().filter(|task| name.is_none_or(|name| task.is_called(name))).collect();
    let first = meant.iter().find(|task| task.value_of(key).is_some());
    if let Some(first) = first {
        let latest = meant.iter().rev().filter(|task| task.name == first.name).find_map(|task| task.value_of(key));
        return latest.map(str::to_owned);
    }
    let single = key.strip_suffix('s')?;
    let all: Vec<&str> = meant.iter().filter_map(|task| task.value_of(single)).collect();
    (!all.is_empty()).then(|| all.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined() -> Vec<JoinedTask> {
        [
            ("w.toml#extract:orders@2024-01-15T00", "file=a&rows=1"),
            ("w.toml#extract:orders@2024-01-15T01/00ff", "file=b"),
            ("etl/ref.toml#load:fx@2024-01-15T00", "file=c&rate=2"),
        ]
        .map(|(slot, meta)| JoinedTask::new(slot, meta))
        .to_vec()
    }

    #[test]
    fn values_come_by_key_by_parent_and_as_lists() {
        for (key, value) in [
            ("file", "b"),
            ("rate", "2"),
            ("rows", "1"),
            ("extract.file", "b"),
            ("load.file", "c"),
            ("load:fx.file", "c"),
            ("files", "a,b,c"),
            ("extract:orders.files", "a,b"),
            ("extract.rate", ""),
            ("nobody.file", ""),
            ("s", ""),
        ] {
            assert_eq!(value_of(&joined(), key).unwrap_or_default(), value, "{key}");
        }
    }
}

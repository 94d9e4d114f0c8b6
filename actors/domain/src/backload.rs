//! Backload: the tasks of a stretch of history, planned without making them.
//!
//! A [`BackloadRequest`] is what a client sends. With the workflows and the time it becomes an [`BackloadOrder`], in which nothing
//! is left to be looked up, and with the rows of its meta file that becomes a [`BackloadPlan`]: how many tasks there are,
//! and each of them by its number. However long the range is, nothing is made before it is asked for.

mod order;
mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::batch::TaskBatch;
use crate::ids::IdSource;
use crate::query::Query;
use crate::row_keys::MissingKeys;
use crate::rows::ListLengthError;
use crate::task::{NewTask, TaskLane};
use crate::template::{MetaRow, meta_keys};

pub use crate::creation_rate::CreationRate;
pub use order::{BackloadOrder, BackloadRequestError, ResolvedRequest};
pub use request::{BackloadRequest, MetaLists, MetaValues, TaskSelection, parse_time};

/// The largest info and meta of a task together.
pub const MAX_TASK_BYTES: usize = 1024 * 1024;

/// The tasks of an order.
#[derive(Debug, Clone)]
pub struct BackloadPlan {
    order: BackloadOrder,
    rows: Option<Arc<Vec<MetaRow>>>,
    /// The keys that the template names, each as often as it does.
    keys: Vec<String>,
    count_tasks: usize,
}

/// An order of which there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackloadPlanError {
    /// Its lists don't fit together.
    #[error("{0}")]
    Lengths(#[from] ListLengthError),
    /// The rows of its meta file don't go with its template.
    #[error("meta-file `{path}`: {missing}")]
    MissingKeys {
        /// The meta file, as the order names it.
        path: String,
        /// What the template asks for in vain.
        missing: MissingKeys,
    },
}

/// A task that can't be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmadeTask {
    /// The time that it is about.
    pub time: Option<DateTime<Utc>>,
    /// What keeps it from being made.
    pub why: String,
}

/// Some of a plan's tasks, by their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskChunk {
    /// Those that could be made.
    pub tasks: Vec<(usize, NewTask)>,
    /// Those that could not.
    pub unmade: Vec<(usize, UnmadeTask)>,
    /// Where the next chunk begins.
    pub next: usize,
}

impl BackloadPlan {
    /// Plans an order; `file` are the rows of its meta file.
    pub fn new(order: BackloadOrder, file: Option<Arc<Vec<MetaRow>>>) -> Result<Self, BackloadPlanError> {
        let rows = match order.meta_file.as_ref().zip(file) {
            Some((path, file)) => match MissingKeys::of(&order.template, &file, |_| false) {
                Some(missing) => return Err(BackloadPlanError::MissingKeys { path: path.clone(), missing }),
                None => Some(file),
            },
            None => Some(order.meta.zip_rows()?).filter(|rows| !rows.is_empty()).map(Arc::new),
        };
        let mut plan = Self { keys: meta_keys(&order.template), order, rows, count_tasks: 0 };
        plan.count_tasks = plan.as_batch().count_tasks();
        Ok(plan)
    }

    /// What it is made of.
    pub fn order(&self) -> &BackloadOrder {
        &self.order
    }

    /// How many tasks there are.
    pub fn count(&self) -> usize {
        self.count_tasks
    }

    /// Tells apart plans of the same order whose meta file changed in between.
    pub fn digest_of_rows(&self) -> u64 {
        let rows = self.rows.as_deref().into_iter().flatten();
        let texts = rows.flat_map(|row| row.0.iter().flat_map(|(key, value)| [key, value]));
        // FNV-1a: the same in every version of the program. No text has the byte that ends each.
        let bytes = texts.flat_map(|text| text.bytes().chain([0xff]));
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    }

    /// The task number `n`.
    pub fn make_task(
        &self,
        n: usize,
        now: DateTime<Utc>,
        host: &str,
        ids: &mut dyn IdSource,
    ) -> Result<NewTask, UnmadeTask> {
        let batch = self.as_batch();
        // Reckoned before it is made: a row may be long, and a template may name it often.
        let values = self.keys.iter().filter_map(|key| batch.nth_row(n)?.value_of(key));
        check_size("its info would have", self.order.template.len() + values.map(str::len).sum::<usize>())
            .and_then(|()| {
                let task = batch.nth_task(n, now, host, ids).ok_or("there is no such time")?;
                check_size("its info and meta have", task.info.len() + task.meta.len())?;
                Ok(task)
            })
            .map_err(|why| UnmadeTask { time: batch.nth_time(n), why })
    }

    /// The tasks from number `from` on: at most `most`, and fewer when they are large.
    pub fn make_chunk(
        &self,
        from: usize,
        most: usize,
        now: DateTime<Utc>,
        host: &str,
        ids: &mut dyn IdSource,
    ) -> TaskChunk {
        let mut chunk = TaskChunk { next: from, ..TaskChunk::default() };
        let (end, mut size) = (self.count_tasks.min(from.saturating_add(most)), 0);
        // A chunk is in memory as a whole, and one task may be as large as the limit.
        while chunk.next < end && size < 4 * MAX_TASK_BYTES {
            match self.make_task(chunk.next, now, host, ids) {
                Ok(task) => {
                    size += task.info.len() + task.meta.len();
                    chunk.tasks.push((chunk.next, task));
                }
                Err(unmade) => chunk.unmade.push((chunk.next, unmade)),
            }
            chunk.next += 1;
        }
        chunk
    }

    fn as_batch(&self) -> TaskBatch<'_> {
        let BackloadOrder { topic, job, workflow, template, from, to, by, .. } = &self.order;
        TaskBatch {
            topic,
            job,
            workflow,
            template,
            from: *from,
            to: *to,
            by: *by,
            rows: self.rows.as_deref().map(Vec::as_slice),
            lane: TaskLane::Backload,
            limit: usize::MAX, // chunks are bounded by those who ask for them
        }
    }
}

fn check_size(says: &str, bytes: usize) -> Result<(), String> {
    if bytes <= MAX_TASK_BYTES {
        return Ok(());
    }
    Err(format!("{says} {bytes} bytes, at most {MAX_TASK_BYTES} are allowed: pass what is long as a file"))
}

/// The time that a task of a batch is about, as its meta says it: what tells apart tasks of the same info.
pub fn slot_of_meta(meta: &str) -> Option<String> {
    // One pair that can't be read must not hide the time.
    Query::parse_with_error(meta).0.first_value("cron").map(str::to_owned)
}

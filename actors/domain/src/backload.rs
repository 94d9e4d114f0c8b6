//! Backload: the tasks of a stretch of history, planned without making them.
//!
//! A [`Request`] is what a client sends. With the workflows and the time it becomes an [`Order`], in which nothing
//! is left to be looked up, and with the rows of its meta file that becomes a [`Plan`]: how many tasks there are,
//! and each of them by its number. However long the range is, nothing is made before it is asked for.

mod order;
mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::batch::Batch;
use crate::ids::Ids;
use crate::query::Query;
use crate::row_keys::MissingKeys;
use crate::rows::LengthError;
use crate::task::{Lane, NewTask};
use crate::template::{Row, meta_keys};

pub use order::{Order, RequestError, ResolvedRequest};
pub use request::{Meta, Only, Request, Values, parse_time};

/// The largest info and meta of a task together.
pub const MAX_TEXT: usize = 1024 * 1024;

/// The tasks of an order.
#[derive(Debug, Clone)]
pub struct Plan {
    order: Order,
    rows: Option<Arc<Vec<Row>>>,
    /// The keys that the template names, each as often as it does.
    keys: Vec<String>,
    count: usize,
}

/// An order of which there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Its lists don't fit together.
    #[error("{0}")]
    Lengths(#[from] LengthError),
    /// The rows of its meta file don't go with its template.
    #[error("meta-file `{path}`: {missing}")]
    MissingKeys {
        /// The file.
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
pub struct Chunk {
    /// Those that could be made.
    pub tasks: Vec<(usize, NewTask)>,
    /// Those that could not.
    pub unmade: Vec<(usize, UnmadeTask)>,
    /// Where the next chunk begins.
    pub next: usize,
}

impl Plan {
    /// Plans an order; `file` are the rows of its meta file.
    pub fn new(order: Order, file: Option<Arc<Vec<Row>>>) -> Result<Self, PlanError> {
        let rows = match order.meta_file.as_ref().zip(file) {
            Some((path, file)) => match MissingKeys::of(&order.template, &file, |_| false) {
                Some(missing) => return Err(PlanError::MissingKeys { path: path.clone(), missing }),
                None => Some(file),
            },
            None => Some(order.meta.zip_rows()?).filter(|rows| !rows.is_empty()).map(Arc::new),
        };
        let mut plan = Self { keys: meta_keys(&order.template), order, rows, count: 0 };
        plan.count = plan.as_batch().count();
        Ok(plan)
    }

    /// What it is made of.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// How many tasks there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Tells apart plans of the same order whose meta file changed in between.
    pub fn digest(&self) -> u64 {
        let rows = self.rows.as_deref().into_iter().flatten();
        let texts = rows.flat_map(|row| row.0.iter().flat_map(|(key, value)| [key, value]));
        // FNV-1a: the same in every version of the program. No text has the byte that ends each.
        let bytes = texts.flat_map(|text| text.bytes().chain([0xff]));
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    /// The task number `n`.
    pub fn task(
        &self,
        n: usize,
        now: DateTime<Utc>,
        host: &str,
        ids: &mut dyn Ids,
    ) -> Result<NewTask, UnmadeTask> {
        let batch = self.as_batch();
        // Reckoned before it is made: a row may be long, and a template may name it often.
        let values = self.keys.iter().filter_map(|key| batch.row(n)?.get(key));
        check_size("its info would have", self.order.template.len() + values.map(str::len).sum::<usize>())
            .and_then(|()| {
                let task = batch.nth(n, now, host, ids).ok_or("there is no such time")?;
                check_size("its info and meta have", task.info.len() + task.meta.len())?;
                Ok(task)
            })
            .map_err(|why| UnmadeTask { time: batch.time(n), why })
    }

    /// The tasks from number `from` on: at most `most`, and fewer when they are large.
    pub fn chunk(
        &self,
        from: usize,
        most: usize,
        now: DateTime<Utc>,
        host: &str,
        ids: &mut dyn Ids,
    ) -> Chunk {
        let mut chunk = Chunk { next: from, ..Chunk::default() };
        let (end, mut size) = (self.count.min(from.saturating_add(most)), 0);
        // A chunk is in memory as a whole, and one task may be as large as the limit.
        while chunk.next < end && size < 4 * MAX_TEXT {
            match self.task(chunk.next, now, host, ids) {
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

    fn as_batch(&self) -> Batch<'_> {
        let Order { topic, job, workflow, template, from, to, by, .. } = &self.order;
        Batch {
            topic,
            job,
            workflow,
            template,
            from: *from,
            to: *to,
            by: *by,
            rows: self.rows.as_deref().map(Vec::as_slice),
            lane: Lane::Backload,
            limit: usize::MAX, // chunks are bounded by those who ask for them
        }
    }
}

fn check_size(says: &str, bytes: usize) -> Result<(), String> {
    if bytes <= MAX_TEXT {
        return Ok(());
    }
    Err(format!("{says} {bytes} bytes, at most {MAX_TEXT} are allowed: pass what is long as a file"))
}

/// The time that a task of a batch is about, as its meta says it: what tells apart tasks of the same info.
pub fn slot(meta: &str) -> Option<String> {
    // One pair that can't be read must not hide the time.
    Query::parse_with_error(meta).0.first("cron").map(str::to_owned)
}

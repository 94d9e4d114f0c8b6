//! The list of tasks: filtered, searched, sorted, page by page. Asked of the DB readers.
//!
//! However long the history is, one page reads a bounded number of rows and says where the next one goes on.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use actix::Message;
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::search::TaskSearch;
use flowlord_domain::{Attempt, TaskResult, TaskState, Uid, named_enum};

use flowlord_kernel::{PortTo, Result};

/// How much of the texts of tasks is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TextExtent {
    /// All of them, for what is worked with.
    #[default]
    Whole,
    /// What a list shows.
    Beginnings,
}

/// Which tasks a list shows. Empty lists don't restrict.
///
/// ```
/// use flowlord_domain::TaskResult;
/// use flowlord_messages::tasks::{FindTasks, TaskCursor, TaskFilter};
///
/// let failed = TaskFilter {
///     topics: vec!["load".to_owned()],
///     results: vec![TaskResult::Error, TaskResult::Alert],
///     ..TaskFilter::default()
/// };
/// let first_page = FindTasks::newest_first(failed, 50);
/// assert!(!first_page.ascending && first_page.after.is_none());
///
/// // Each answer says where the next page begins.
/// let cursor: TaskCursor = "0600b8a4c3d5e7".parse()?;
/// let next_page = FindTasks { after: Some(cursor), ..first_page };
/// # let _ = next_page;
/// # Ok::<(), flowlord_messages::tasks::InvalidTaskCursor>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskFilter {
    /// Created at or after.
    pub from: Option<DateTime<Utc>>,
    /// Created before; this instant is left out.
    pub to: Option<DateTime<Utc>>,
    /// Topics, `type` on the wire.
    pub topics: Vec<String>,
    /// Jobs; an empty one stands for none.
    pub jobs: Vec<String>,
    /// Results that they ended with.
    pub results: Vec<TaskResult>,
    /// Also, or only, those without a result.
    pub running: bool,
    /// States that they are in.
    pub states: Vec<TaskState>,
    /// Ids of chains.
    pub ids: Vec<String>,
    /// Only dead letters: failed, no retry left, and not run again since.
    pub given_up: bool,
}

/// How long before an incident opened a task may have been created that failed in it.
const BEFORE: TimeDelta = TimeDelta::days(1);

impl TaskFilter {
    /// What failed for good since shortly before an incident opened and wasn't run again, of the topics of its lines,
    /// `task:job`. Other jobs of these topics are among them.
    #[must_use]
    pub fn given_up_in(opened: DateTime<Utc>, lines: &BTreeSet<&str>) -> Self {
        let topics: BTreeSet<&str> =
            lines.iter().map(|line| line.split_once(':').map_or(*line, |(topic, _)| topic)).collect();
        Self {
            from: Some(opened - BEFORE),
            topics: topics.into_iter().map(str::to_owned).collect(),
            given_up: true,
            ..Self::default()
        }
    }
}

named_enum! {
    /// By what tasks are sorted.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub enum TaskSort {
        /// When they were created: over the whole range.
        #[default]
        Created = "created",
        /// When they were handed out.
        Started = "started",
        /// When they ended; running ones last.
        Ended = "ended",
        /// The topic, by its bytes.
        Type = "type",
        /// The job, by its bytes.
        Job = "job",
        /// How they ended: complete, warn, error, alert.
        Result = "result",
        /// The beginning of the info.
        Info = "info",
        /// The beginning of the meta.
        Meta = "meta",
        /// The beginning of the worker's message.
        Msg = "msg",
        /// How long they waited.
        Queue = "queue",
        /// How long they ran.
        Run = "run",
    }
}

/// What a task is sorted by. Tasks that have none come last, in either order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SortKey {
    /// It has none (yet).
    None,
    /// A time or a duration in microseconds, or a rank.
    Number(i64),
    /// The beginning of a text.
    Text(String),
}

/// Where a page goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskCursor {
    /// With what was created after this one, or before it where the newest come first; sorted ones with the piece
    /// that is older.
    After(Uid),
    /// Within a sorted piece.
    Within {
        /// The oldest that the piece holds.
        oldest: Uid,
        /// The newest that the piece holds.
        newest: Uid,
        /// The key of the last task that was shown.
        key: SortKey,
        /// The id of that task.
        uid: Uid,
    },
}

/// A text that is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of a list of tasks")]
pub struct InvalidTaskCursor;

impl fmt::Display for TaskCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(uid) => uid.fmt(f),
            Self::Within { oldest, newest, key, uid } => {
                write!(f, "{oldest}.{newest}.{uid}.")?;
                match key {
                    SortKey::None => f.write_str("n"),
                    SortKey::Number(number) => write!(f, "i{number}"),
                    // As hex: a text may have dots, which part the fields here, and signs that a URL can't have.
                    SortKey::Text(text) => {
                        f.write_str("t")?;
                        text.bytes().try_for_each(|byte| write!(f, "{byte:02x}"))
                    }
                }
            }
        }
    }
}

impl FromStr for TaskCursor {
    type Err = InvalidTaskCursor;

    fn from_str(text: &str) -> std::result::Result<Self, InvalidTaskCursor> {
        let parts: Vec<&str> = text.split('.').collect();
        match parts.as_slice() {
            [after] => parse_uid(after).map(Self::After),
            [oldest, newest, last, key] => Ok(Self::Within {
                oldest: parse_uid(oldest)?,
                newest: parse_uid(newest)?,
                uid: parse_uid(last)?,
                key: sort_key(key).ok_or(InvalidTaskCursor)?,
            }),
            _ => Err(InvalidTaskCursor),
        }
    }
}

fn parse_uid(text: &str) -> std::result::Result<Uid, InvalidTaskCursor> {
    text.parse().map_err(|_| InvalidTaskCursor)
}

fn sort_key(text: &str) -> Option<SortKey> {
    if text == "n" {
        return Some(SortKey::None);
    }
    if let Some(number) = text.strip_prefix('i') {
        return number.parse().ok().map(SortKey::Number);
    }
    let hex = text.strip_prefix('t')?.as_bytes();
    let (pairs, []) = hex.as_chunks::<2>() else { return None };
    let bytes: Option<Vec<u8>> = pairs.iter().map(hex_byte).collect();
    String::from_utf8(bytes?).ok().map(SortKey::Text)
}

fn hex_byte(digits: &[u8; 2]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// A page of tasks.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<TaskPage>")]
pub struct FindTasks {
    /// Which tasks, by their fields.
    pub filter: TaskFilter,
    /// And which of them.
    pub search: TaskSearch,
    /// In which order, within the range of creation.
    pub sort: TaskSort,
    /// Whether the least comes first.
    pub ascending: bool,
    /// Where an earlier page ended.
    pub after: Option<TaskCursor>,
    /// At most this many.
    pub limit: usize,
    /// How much of their texts. The search and the order go by all of them in any case.
    pub texts: TextExtent,
}

impl FindTasks {
    /// By creation, the newest first: the first page.
    #[must_use]
    pub fn newest_first(filter: TaskFilter, limit: usize) -> Self {
        let (search, sort) = (TaskSearch::default(), TaskSort::Created);
        Self { filter, search, sort, ascending: false, after: None, limit, texts: TextExtent::Whole }
    }

    /// For a list that people see: of long texts the beginning.
    #[must_use]
    pub fn for_list(self) -> Self {
        Self { texts: TextExtent::Beginnings, ..self }
    }

    /// By creation, the oldest first: the first page.
    #[must_use]
    pub fn oldest_first(filter: TaskFilter, limit: usize) -> Self {
        Self { ascending: true, ..Self::newest_first(filter, limit) }
    }

    /// The first tasks of all pages together, as many as the limit says.
    ///
    /// # Errors
    /// When a page can't be read.
    pub async fn find_all(mut self, reader: &impl PortTo<Self>) -> Result<Vec<Attempt>> {
        let mut found = Vec::new();
        loop {
            let page = reader.port().call(self.clone()).await?;
            found.extend(page.tasks);
            // A page may be short, or empty, although there are more.
            if page.next.is_none() || found.len() >= self.limit {
                found.truncate(self.limit);
                return Ok(found);
            }
            self.after = page.next;
        }
    }
}

/// What [`FindTasks`] answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskPage {
    /// The tasks. Fewer than asked for, even none, where much had to be looked at to find them.
    pub tasks: Vec<Attempt>,
    /// Where to go on; none when all was looked at.
    pub next: Option<TaskCursor>,
    /// Since when tasks were created that were looked at, where there are older ones still.
    pub looked_until: Option<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_they_are_written() {
        let within = |key| TaskCursor::Within { oldest: Uid(1), newest: Uid(9), key, uid: Uid(5) };
        for cursor in [
            TaskCursor::After(Uid(7)),
            within(SortKey::None),
            within(SortKey::Number(-3)),
            within(SortKey::Text(String::new())),
            within(SortKey::Text("a.b \u{fc}".to_owned())),
        ] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for text in ["", "x", "1.2.3.n", "00000000000001.00000000000009.00000000000005.t6", "00000000000001.n"] {
            assert_eq!(text.parse::<TaskCursor>(), Err(InvalidTaskCursor), "{text}");
        }
    }
}

//! Where tasks that may fit a filter are found: the index that holds the fewest others.

use std::collections::BTreeSet;

use flowlord_domain::search::SearchField;
use flowlord_domain::{TaskResult, TaskState};
use flowlord_messages::tasks::{FindTasks, TaskFilter};
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::column::EnumColumn as _;
use crate::search::scan::{MAX_ROWS_READ, is_listed};
use crate::sql::CachedSql as _;

/// More than this many runs of an index aren't walked side by side.
const MAX_SIDE_BY_SIDE: usize = 64;

/// Rows by age, within an index.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TaskSource {
    All,
    Queue(i64),
    /// That ended so; not for complete.
    Failed(i64),
    QueueFailed(i64, i64),
    GivenUp,
    Chain(String),
    /// These, sorted by age: all that aren't done.
    Few(Vec<i64>),
}

impl TaskSource {
    /// The condition beside the range of uids, ?1 to ?2; what it compares with is bound as ?3 and ?4.
    pub(crate) fn source_sql(&self) -> &'static str {
        match self {
            Self::All => "task WHERE",
            Self::Queue(_) => "task INDEXED BY task_queue WHERE queue = ?3 AND",
            Self::Failed(_) => "task INDEXED BY task_failed WHERE result = ?3 AND result > 0 AND",
            Self::QueueFailed(..) => {
                "task INDEXED BY task_queue_failed WHERE queue = ?3 AND result = ?4 AND result > 0 AND"
            }
            Self::GivenUp => "task INDEXED BY task_given_up WHERE",
            Self::Chain(_) => "task INDEXED BY task_chain WHERE chain = ?3 AND",
            Self::Few(_) => "task WHERE uid = ?3 AND",
        }
    }

    pub(super) fn bound_values(&self) -> Vec<Value> {
        match self {
            Self::All | Self::GivenUp | Self::Few(_) => Vec::new(),
            Self::Queue(id) | Self::Failed(id) => vec![Value::Integer(*id)],
            Self::QueueFailed(queue, result) => vec![Value::Integer(*queue), Value::Integer(*result)],
            Self::Chain(id) => vec![Value::Text(id.clone())],
        }
    }
}

/// What is to be walked side by side; nothing where nothing can fit.
pub(super) fn find_sources(connection: &Connection, query: &FindTasks) -> rusqlite::Result<Vec<TaskSource>> {
    let filter = &query.filter;
    // Each once: what is walked twice would be found twice.
    let ids: BTreeSet<&String> = filter.ids.iter().collect();
    if (1..=MAX_SIDE_BY_SIDE).contains(&ids.len()) {
        return Ok(ids.into_iter().cloned().map(TaskSource::Chain).collect());
    }
    if filter.given_up {
        return Ok(vec![TaskSource::GivenUp]);
    }
    if let Some(few) = few_unfinished(connection, filter)? {
        return Ok(vec![TaskSource::Few(few)]);
    }
    // Side by side only while there are few: each costs a walk of its own, and all are merged in memory.
    let queues = matching_queues(connection, query)?;
    let failed = failed_results(filter);
    Ok(match &queues {
        Some(queues) if queues.is_empty() => Vec::new(),
        Some(queues) if failed.is_empty() && queues.len() <= MAX_SIDE_BY_SIDE => {
            queues.iter().map(|queue| TaskSource::Queue(*queue)).collect()
        }
        Some(queues) if !failed.is_empty() && queues.len() * failed.len() <= MAX_SIDE_BY_SIDE => {
            let pairs = queues.iter().flat_map(|queue| failed.iter().map(move |result| (*queue, *result)));
            pairs.map(|(queue, result)| TaskSource::QueueFailed(queue, result)).collect()
        }
        _ if !failed.is_empty() => failed.into_iter().map(TaskSource::Failed).collect(),
        _ => vec![TaskSource::All],
    })
}

/// The results that the filter is for, when it is only for those that have an index.
fn failed_results(filter: &TaskFilter) -> BTreeSet<i64> {
    if filter.running || filter.results.contains(&TaskResult::Complete) {
        return BTreeSet::new();
    }
    filter.results.iter().map(|result| result.to_column()).collect()
}

/// All tasks that aren't done, oldest first, when the filter is for such ones and they are few.
fn few_unfinished(connection: &Connection, filter: &TaskFilter) -> rusqlite::Result<Option<Vec<i64>>> {
    let only_running = filter.running && filter.results.is_empty();
    let only_unfinished = !filter.states.is_empty() && !filter.states.contains(&TaskState::Done);
    if !only_running && !only_unfinished {
        return Ok(None);
    }
    let mut found = Vec::new();
    for sql in [
        "SELECT uid FROM task INDEXED BY task_ready WHERE state = 0 LIMIT ?1",
        "SELECT uid FROM task INDEXED BY task_delayed WHERE state = 1 LIMIT ?1",
        "SELECT uid FROM task INDEXED BY task_leased WHERE state = 2 LIMIT ?1",
    ] {
        found.extend(connection.read_rows(sql, [MAX_ROWS_READ], |row| row.get::<_, i64>(0))?);
        // A backlog this large is walked by age like everything else.
        if found.len() >= MAX_ROWS_READ {
            return Ok(None);
        }
    }
    found.sort_unstable();
    Ok(Some(found))
}

/// The topics and jobs that the filter or the search is for; none when they are for all.
fn matching_queues(connection: &Connection, query: &FindTasks) -> rusqlite::Result<Option<Vec<i64>>> {
    let filter = &query.filter;
    let (topic, job) = (query.search.whole_value(SearchField::Type), query.search.whole_value(SearchField::Job));
    if filter.topics.is_empty() && filter.jobs.is_empty() && topic.or(job).is_none() {
        return Ok(None);
    }
    let mut statement = connection.prepare_cached("SELECT id, topic, job FROM queue")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, name, work) = (row.get(0)?, row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?);
        let fits = is_listed(&filter.topics, name) && is_listed(&filter.jobs, work);
        if fits && is_whole(topic, name) && is_whole(job, work) {
            found.push(id);
        }
    }
    Ok(Some(found))
}

/// Whether a search for a whole word, in lower case, takes a name.
fn is_whole(wanted: Option<&str>, name: &str) -> bool {
    wanted.is_none_or(|wanted| name.to_lowercase() == wanted)
}

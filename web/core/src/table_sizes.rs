//! Rows and bytes of each table. Counting reads a little of every page, which takes a second for each gigabyte or so:
//! it is done beside, a table at a time, at most once an hour and only when somebody looks.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_messages::clients::DatabaseReader;
use flowlord_messages::database::{MeasureTable, TableSize};

use flowlord_kernel::Locked;

// A count takes a second for each gigabyte, and sizes change slowly.
const FRESH: TimeDelta = TimeDelta::hours(1);

// Of each table and index: 400 MB.
const MOST_PAGES: u64 = 100_000;

// Most databases are small: their first count is shown at once.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(300);

#[derive(Debug, Clone, Default)]
pub struct TableSizes(Arc<Locked<CountState>>);

#[derive(Debug, Default)]
struct CountState {
    counted: Option<CountedTables>,
    is_counting: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedTables {
    pub at: DateTime<Utc>,
    pub tables: Vec<TableSize>,
}

impl CountedTables {
    pub fn is_complete(&self) -> bool {
        self.tables.iter().all(|table| table.complete)
    }
}

impl TableSizes {
    /// What is known, and whether the caller is to count anew.
    fn known_or_due(&self, now: DateTime<Utc>) -> (Option<CountedTables>, bool) {
        let mut state = self.0.lock();
        let fresh = state.counted.as_ref().is_some_and(|counted| now - counted.at < FRESH);
        let begin = !fresh && !state.is_counting;
        state.is_counting |= begin;
        (state.counted.clone(), begin)
    }

    fn put_count(&self, counted: Option<CountedTables>) {
        let mut state = self.0.lock();
        // Also after a failure: else nobody would count again before a restart.
        state.is_counting = false;
        if counted.is_some() {
            state.counted = counted;
        }
    }

    /// What was counted last; a count is begun where that is old.
    pub async fn current(
        &self,
        reader: &DatabaseReader,
        tables: Vec<String>,
        now: DateTime<Utc>,
    ) -> Option<CountedTables> {
        let (known, begin) = self.known_or_due(now);
        if !begin {
            return known;
        }
        // In a task of its own: the count goes on when its patience or the request ends, and the next one finds it.
        let (sizes, reader) = (self.clone(), reader.clone());
        let count = actix_web::rt::spawn(async move {
            let counted = count_tables(&reader, tables, now).await;
            sizes.put_count(counted.clone());
            counted
        });
        let fresh = tokio::time::timeout(PATIENCE, count).await;
        fresh.ok().and_then(Result::ok).flatten().or(known)
    }
}

async fn count_tables(reader: &DatabaseReader, names: Vec<String>, now: DateTime<Utc>) -> Option<CountedTables> {
    let mut tables = Vec::with_capacity(names.len());
    for table in names {
        match reader.call(MeasureTable { table, most_pages: MOST_PAGES }).await {
            Ok(size) => tables.push(size),
            Err(err) => {
                // With one left out, the others would look like the whole database.
                log::warn!("event=table_not_measured error={err}");
                return None;
            }
        }
    }
    tables.sort_by_key(|table| std::cmp::Reverse(table.bytes + table.index_bytes));
    Some(CountedTables { at: now, tables })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_counts_at_a_time_and_once_an_hour() {
        let sizes = TableSizes::default();
        let now: DateTime<Utc> = "2026-03-02T12:00:00Z".parse().unwrap();
        assert_eq!(sizes.known_or_due(now), (None, true));
        assert_eq!(sizes.known_or_due(now), (None, false), "somebody counts");
        sizes.put_count(None);
        assert_eq!(sizes.known_or_due(now), (None, true), "they could not");
        let counted = CountedTables { at: now, tables: Vec::new() };
        sizes.put_count(Some(counted.clone()));
        assert_eq!(sizes.known_or_due(now + TimeDelta::minutes(59)), (Some(counted.clone()), false));
        assert_eq!(sizes.known_or_due(now + TimeDelta::minutes(60)), (Some(counted), true));
    }
}

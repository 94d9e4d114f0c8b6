//! How much there is to do, from the partial indexes: never more read than is waiting.

use flowlord_messages::read::{Backlog, ReadBacklog};
use rusqlite::Connection;

use crate::column::time;
use crate::reader::Query;

impl Query for ReadBacklog {
    type Answer = Backlog;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Backlog> {
        let by_topic = |waiting: &str| -> rusqlite::Result<Vec<(String, u64)>> {
            let sql = format!(
                "SELECT topic, sum(tasks) FROM queue JOIN
                     (SELECT queue, count(*) AS tasks FROM task {waiting} GROUP BY queue) ON queue = id
                 GROUP BY topic ORDER BY topic"
            );
            connection
                .prepare_cached(&sql)?
                .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?
                .collect()
        };
        let mut ready = connection.prepare_cached(
            "SELECT topic, sum(tasks), min(since) FROM queue JOIN
                 (SELECT queue, count(*) AS tasks, min(due) AS since FROM task INDEXED BY task_ready
                  WHERE state = 0 GROUP BY queue) ON queue = id
             GROUP BY topic ORDER BY topic",
        )?;
        let ready = ready
            .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs(), time(row.get(2)?))))?
            .collect::<rusqlite::Result<_>>()?;
        let unsent = "SELECT count(*) FROM outbox INDEXED BY outbox_route WHERE sent IS NULL";
        let messages: i64 = connection.prepare_cached(unsent)?.query_row([], |row| row.get(0))?;
        Ok(Backlog {
            ready,
            delayed: by_topic("INDEXED BY task_delayed WHERE state = 1")?,
            leased: by_topic("INDEXED BY task_leased WHERE state = 2")?,
            messages: messages.unsigned_abs(),
        })
    }
}

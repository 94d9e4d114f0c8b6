//! The readers: a few threads, each query on a read-only connection of the pool.

use std::panic::{AssertUnwindSafe, catch_unwind};

use actix::{Actor, Handler, SyncContext};
use flowlord_kernel::{Code, Error, Ping, Pong, Result};
use r2d2::Pool;
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::Connection;

use crate::answered::AnsweredMessage;
use crate::damage::DamageMonitor;
use crate::sql::CachedSql as _;

pub(crate) trait ReadQuery: AnsweredMessage + 'static {
    /// Reads the answer from one consistent state of the database.
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer>;
}

#[derive(Debug)]
pub struct QueryReader {
    pub(crate) pool: Pool<SqliteConnectionManager>,
    pub(crate) damage: DamageMonitor,
}

impl QueryReader {
    fn answer_query<Q: ReadQuery>(&self, query: &Q) -> Result<Q::Answer> {
        let connection = self.pool.get().map_err(|err| Error::new(Code::Storage, err.to_string()))?;
        // A panic would close the pool of threads for good.
        let read = catch_unwind(AssertUnwindSafe(|| {
            // One transaction, so that a query of several statements sees one state.
            query.read_from(&*connection.unchecked_transaction()?)
        }));
        match read {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(err)) => {
                log::error!("event=read_failed error={err:?}");
                self.damage.note_error("a read", &err);
                Err(Error::new(Code::Storage, format!("the database could not be read: {err}")))
            }
            Err(_) => Err(Error::new(Code::Internal, "the query failed inside; see the log")),
        }
    }
}

impl Actor for QueryReader {
    type Context = SyncContext<Self>;
}

impl<Q: ReadQuery> Handler<Q> for QueryReader {
    type Result = Q::Result;

    fn handle(&mut self, query: Q, _: &mut Self::Context) -> Self::Result {
        self.answer_query(&query)
    }
}

impl ReadQuery for Ping {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Pong> {
        connection.has_row("SELECT 1 FROM task LIMIT 1", [])?;
        Ok(Pong { restarts: 0 })
    }
}

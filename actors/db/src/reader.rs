//! The readers: a few threads, each query on a read-only connection of the pool.

use std::panic::{AssertUnwindSafe, catch_unwind};

use actix::{Actor, Handler, Message, SyncContext};
use flowlord_kernel::Pong;
use flowlord_kernel::{Code, Error, Ping, Result};
use flowlord_messages::alerts::{CountNotifications, ListIncidents, ListSilences};
use flowlord_messages::audit::ListChanges;
use flowlord_messages::backload::{CheckBackload, ReadBackload, ReadBackloads};
use flowlord_messages::database::{MeasureTable, ReadDatabase};
use flowlord_messages::files::{ListFiles, ReadSeen, ReadWaiting};
use flowlord_messages::find::FindTasks;
use flowlord_messages::grid::{ReadHours, ReadSlots};
use flowlord_messages::outbox::{PendingMessages, ReadMessage, ReadOutages, ReadThreads};
use flowlord_messages::read::{
    AlertsByRow, AttemptsById, Chain, ChainBeginning, DayStats, KnownTasks, LastSlots, LaterAttempts,
    ListAlerts, NextExpiry, ReadBacklog, ReadDays, ReadLadder, ReadPaused, ReadSchedule, ReadWorkflow,
    ReadWorkflows,
};
use flowlord_messages::token::ReadTokens;
use flowlord_messages::watch::{ReadSlotTasks, ReadWatch};
use r2d2::Pool;
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::Connection;

use crate::damage::Damage;

/// A query that a reader can answer.
pub(crate) trait Query {
    /// What it answers.
    type Answer;

    /// Reads the answer from one consistent state of the database.
    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer>;
}

/// One reading thread.
#[derive(Debug)]
pub struct Reader {
    pool: Pool<SqliteConnectionManager>,
    damage: Damage,
}

impl Reader {
    pub(crate) fn new(pool: Pool<SqliteConnectionManager>, damage: Damage) -> Self {
        Self { pool, damage }
    }

    fn answer<Q: Query>(&self, query: &Q) -> Result<Q::Answer> {
        let connection = self.pool.get().map_err(|err| Error::new(Code::Storage, err.to_string()))?;
        let read = || {
            // One transaction, so that a query of several statements sees one state.
            let transaction = connection.unchecked_transaction()?;
            query.read(&transaction)
        };
        // A panic would close the pool of threads for good.
        match catch_unwind(AssertUnwindSafe(read)) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(err)) => {
                log::error!("event=read_failed error={err:?}");
                self.damage.note("a read", &err);
                Err(Error::new(Code::Storage, format!("the database could not be read: {err}")))
            }
            Err(_) => Err(Error::new(Code::Internal, "the query failed inside; see the log")),
        }
    }
}

impl Actor for Reader {
    type Context = SyncContext<Self>;
}

impl Query for Ping {
    type Answer = Pong;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Pong> {
        connection.prepare_cached("SELECT 1 FROM task LIMIT 1")?.exists([])?;
        Ok(Pong { restarts: 0 })
    }
}

macro_rules! read {
    ($($query:ty),+ $(,)?) => {
        $(impl Handler<$query> for Reader {
            type Result = <$query as Message>::Result;

            fn handle(&mut self, query: $query, _: &mut Self::Context) -> Self::Result {
                self.answer(&query)
            }
        })+
    };
}

read!(
    AlertsByRow,
    AttemptsById,
    Chain,
    ChainBeginning,
    CheckBackload,
    CountNotifications,
    DayStats,
    FindTasks,
    KnownTasks,
    LaterAttempts,
    ListAlerts,
    ListChanges,
    ListFiles,
    ListIncidents,
    ListSilences,
    LastSlots,
    MeasureTable,
    NextExpiry,
    PendingMessages,
    Ping,
    ReadBacklog,
    ReadBackload,
    ReadBackloads,
    ReadDatabase,
    ReadDays,
    ReadHours,
    ReadLadder,
    ReadMessage,
    ReadOutages,
    ReadPaused,
    ReadSchedule,
    ReadSeen,
    ReadSlotTasks,
    ReadSlots,
    ReadThreads,
    ReadTokens,
    ReadWaiting,
    ReadWatch,
    ReadWorkflow,
    ReadWorkflows,
);

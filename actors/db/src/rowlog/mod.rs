//! The log of changed rows, from which the backup is kept up between snapshots.
//!
//! Triggers of the writer's own connection note the key of each row that changes, in the transaction that changes it:
//! so the log holds what is committed and nothing else, and a snapshot says by itself up to where it holds the log. A
//! *segment* is the present state of all rows noted since the last one, read in one transaction: applied to what was
//! there before, it gives the database of that moment.

mod apply;
mod read;
mod record;
mod segment;
#[cfg(test)]
mod tests;

use flowlord_kernel::{Code, Error, Result, guarded};
use flowlord_messages::rowlog::{ForgetChanges, LogPoint, ReadSegment, RestartLog, Tail};
use rusqlite::{Connection, OptionalExtension as _, params};

use actix::fut::{ActorFutureExt as _, ready, wrap_future};
use actix::{Context, Handler, ResponseActFuture};

use crate::column::{bits, unbits};
use crate::job::Command;
use crate::owner::Owner;
use crate::snapshot::read_only;
use crate::store::{Store, Trouble};

pub(crate) use apply::Replay;
pub use apply::SegmentError;
pub(crate) use record::{forget, record};

/// Up to where a database holds its log; none when nothing is recorded in it.
pub(crate) fn point(connection: &Connection) -> rusqlite::Result<Option<LogPoint>> {
    let point = "SELECT chain, max(taken, coalesce((SELECT max(seq) FROM row_change), 0)) FROM row_log";
    connection
        .prepare_cached(point)?
        .query_row([], |row| Ok(LogPoint { chain: unbits(row.get(0)?), position: row.get(1)? }))
        .optional()
}

/// Up to where the database in a file holds its log; none also where it can't be read.
#[must_use]
pub fn log_point(path: &std::path::Path) -> Option<LogPoint> {
    read_only(path).and_then(|connection| point(&connection)).ok().flatten()
}

impl Handler<ReadSegment> for Owner {
    type Result = ResponseActFuture<Self, Result<Tail>>;

    /// Beside the owner's thread, on a connection of its own, as a copy is made.
    fn handle(&mut self, command: ReadSegment, ctx: &mut Context<Self>) -> Self::Result {
        guarded(self, ctx, |owner, _| -> Self::Result {
            if let Some(damaged) = owner.damage.refusal() {
                return Box::pin(ready(Err(damaged)));
            }
            let (path, damage) = (owner.path.clone(), owner.damage.clone());
            let tail = actix_rt::task::spawn_blocking(move || {
                let tail = read_only(&path)
                    .and_then(|mut connection| read::tail(&mut connection, command.at, command.most));
                tail.inspect_err(|err| damage.note("a read of changed rows", err))
            });
            Box::pin(wrap_future::<_, Self>(tail).map(|tail, _, _| match tail {
                Ok(tail) => tail.map_err(|err| {
                    Error::new(Code::Storage, format!("the changed rows can't be read: {err}"))
                }),
                Err(err) => {
                    Err(Error::new(Code::Internal, format!("reading changed rows failed inside: {err}")))
                }
            }))
        })
    }
}

impl Command for RestartLog {
    type Answer = ();

    fn apply(&mut self, store: &mut Store<'_>) -> std::result::Result<(), Trouble> {
        record::restart(store.connection, self.chain)?;
        Ok(())
    }
}

impl Command for ForgetChanges {
    type Answer = bool;

    fn apply(&mut self, store: &mut Store<'_>) -> std::result::Result<bool, Trouble> {
        let taken = "UPDATE row_log SET taken = ?2, digest = ?3 WHERE chain = ?1 AND taken <= ?2";
        let known = store.connection.prepare_cached(taken)?.execute(params![
            bits(self.chain),
            self.upto,
            self.digest
        ])?;
        if known == 0 {
            return Err(Error::new(Code::Internal, "the log of changed rows began anew meanwhile").into());
        }
        // The newest stays, so that the next one's number is higher.
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let forget = "DELETE FROM row_change WHERE seq < min(?1, (SELECT min(seq) FROM row_change) + ?2)";
        let rows = store.connection.prepare_cached(forget)?.execute(params![self.upto, limit])?;
        Ok(rows >= self.limit)
    }
}

//! One transaction of many commands.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use flowlord_kernel::fault::FaultPoint;
use flowlord_kernel::{Code, Error};
use rusqlite::Connection;

use crate::connection::{is_damage, is_disk};
use crate::fault;
use crate::sql::CachedSql as _;
use crate::writer::command::QueuedCommand;
use crate::writer::context::{AfterCommit, CommandError, NameCache, WriteContext};
use crate::writer::totals::HourlyTotals;

#[derive(Debug)]
pub(crate) struct FailedTransaction {
    pub(crate) err: rusqlite::Error,
    /// Whether it may be on disk nevertheless: the commit itself failed.
    pub(crate) is_unknown: bool,
}

pub(crate) struct WriteTransaction<'a> {
    pub(crate) path: &'a Path,
    pub(crate) connection: &'a Connection,
    pub(crate) names: &'a mut NameCache,
}

impl WriteTransaction<'_> {
    /// Applies all commands, each in a savepoint of its own, and commits. Answers what follows the commit.
    pub(crate) fn write_all(
        mut self,
        commands: &mut [Box<dyn QueuedCommand>],
    ) -> Result<AfterCommit, FailedTransaction> {
        let applied = self.apply_all(commands).map_err(|err| FailedTransaction { err, is_unknown: false });
        let written = applied.and_then(|effects| {
            self.commit().map(|()| effects).map_err(|err| FailedTransaction { err, is_unknown: true })
        });
        if written.is_err() {
            self.names.forget_all();
            // SQLite may have rolled back by itself already, as on a full disk: that this fails then means nothing.
            let _the_first_error_counts = self.connection.run_sql("ROLLBACK", []);
        }
        written
    }

    fn apply_all(&mut self, commands: &mut [Box<dyn QueuedCommand>]) -> rusqlite::Result<AfterCommit> {
        fault::fail_at(FaultPoint::BeforeBegin, self.path)?;
        // The lock is taken now, so that no statement in between finds the database busy.
        self.connection.run_sql("BEGIN IMMEDIATE", [])?;
        let mut effects = AfterCommit::default();
        let mut totals = HourlyTotals::default();
        for command in commands {
            self.apply_one(command.as_mut(), &mut totals, &mut effects)?;
        }
        totals.write_to(self.connection)?;
        fault::fail_at(FaultPoint::BeforeCommit, self.path)?;
        Ok(effects)
    }

    fn commit(&self) -> rusqlite::Result<()> {
        self.connection.run_sql("COMMIT", [])?;
        fault::fail_at(FaultPoint::AfterCommit, self.path)
    }

    /// Applies one command in a savepoint of its own: what fails, fails alone.
    fn apply_one(
        &mut self,
        command: &mut dyn QueuedCommand,
        totals: &mut HourlyTotals,
        effects: &mut AfterCommit,
    ) -> rusqlite::Result<()> {
        // Its own, so that those of a command that is taken back are dropped with it.
        let mut own_totals = HourlyTotals::default();
        let mut own_effects = AfterCommit::default();
        self.connection.run_sql("SAVEPOINT command", [])?;
        fault::fail_at(FaultPoint::AfterSavepoint, self.path)?;
        let (connection, names) = (self.connection, &mut *self.names);
        let context =
            &mut WriteContext { connection, names, totals: &mut own_totals, effects: &mut own_effects };
        let applied = catch_unwind(AssertUnwindSafe(|| command.apply_to(context))).unwrap_or_else(|_| {
            let error = Error::new(Code::Internal, "the write failed inside; see the log");
            command.fail_with(error.clone());
            Err(CommandError::Refused(error))
        });
        match applied {
            Ok(()) => {
                totals.add_totals(own_totals);
                effects.add_effects(own_effects);
            }
            // A full or broken disk or a damaged file fails the whole transaction, not this command; it may be undone
            // already.
            Err(CommandError::Sqlite(err))
                if is_disk(&err) || is_damage(&err) || connection.is_autocommit() =>
            {
                return Err(err);
            }
            Err(_) => {
                // It may hold rows that the savepoint takes back.
                self.names.forget_all();
                connection.run_sql("ROLLBACK TO command", [])?;
            }
        }
        connection.run_sql("RELEASE command", [])
    }
}

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

/// What keeps the commands of a transaction apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CommandIsolation {
    Nothing,
    Savepoints,
}

impl WriteTransaction<'_> {
    /// Applies all commands, what fails fails alone, and commits. Answers what follows the commit.
    pub(crate) fn write_all(
        mut self,
        commands: &mut [Box<dyn QueuedCommand>],
    ) -> Result<AfterCommit, FailedTransaction> {
        let applied = self.apply_all(commands).map_err(|err| FailedTransaction { err, is_unknown: false });
        let written = applied.and_then(|effects| {
            self.commit().map(|()| effects).map_err(|err| FailedTransaction { err, is_unknown: true })
        });
        if written.is_err() {
            self.undo();
        }
        written
    }

    pub(crate) fn apply_all(&mut self, commands: &mut [Box<dyn QueuedCommand>]) -> rusqlite::Result<AfterCommit> {
        // A savepoint costs two statements, and a copy of each page that is written under it. So commands go without
        // until one fails after it wrote, which is rare: most that are refused are refused before they write.
        if let Some(effects) = self.apply_with(CommandIsolation::Nothing, commands)? {
            return Ok(effects);
        }
        self.undo();
        // It does again what it did: a command can't change itself while it is applied.
        Ok(self.apply_with(CommandIsolation::Savepoints, commands)?.unwrap_or_default())
    }

    /// None when a command failed after it wrote, with no savepoint to go back to.
    fn apply_with(
        &mut self,
        isolation: CommandIsolation,
        commands: &mut [Box<dyn QueuedCommand>],
    ) -> rusqlite::Result<Option<AfterCommit>> {
        fault::fail_at(FaultPoint::BeforeBegin, self.path)?;
        // The lock is taken now, so that no statement in between finds the database busy.
        self.connection.run_sql("BEGIN IMMEDIATE", [])?;
        let mut effects = AfterCommit::default();
        let mut totals = HourlyTotals::default();
        for command in commands {
            if !self.apply_one(isolation, command.as_mut(), &mut totals, &mut effects)? {
                return Ok(None);
            }
        }
        totals.write_to(self.connection)?;
        fault::fail_at(FaultPoint::BeforeCommit, self.path)?;
        Ok(Some(effects))
    }

    pub(crate) fn commit(&self) -> rusqlite::Result<()> {
        self.connection.run_sql("COMMIT", [])?;
        fault::fail_at(FaultPoint::AfterCommit, self.path)
    }

    pub(crate) fn undo(&mut self) {
        // They may be ids of rows that never were.
        self.names.forget_all();
        // SQLite may have rolled back by itself already, as on a full disk: that this fails then means nothing.
        let _the_first_error_counts = self.connection.run_sql("ROLLBACK", []);
    }

    /// False when it failed after it wrote, with no savepoint to go back to.
    fn apply_one(
        &mut self,
        isolation: CommandIsolation,
        command: &mut dyn QueuedCommand,
        totals: &mut HourlyTotals,
        effects: &mut AfterCommit,
    ) -> rusqlite::Result<bool> {
        // Its own, so that those of a command that is taken back are dropped with it.
        let mut own_totals = HourlyTotals::default();
        let mut own_effects = AfterCommit::default();
        let has_savepoint = isolation == CommandIsolation::Savepoints;
        if has_savepoint {
            self.connection.run_sql("SAVEPOINT command", [])?;
        }
        fault::fail_at(FaultPoint::BeforeCommand, self.path)?;
        let (connection, names) = (self.connection, &mut *self.names);
        let changes_before = connection.total_changes();
        let context = &mut WriteContext { connection, names, totals: &mut own_totals, effects: &mut own_effects };
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
            Err(CommandError::Sqlite(err)) if is_disk(&err) || is_damage(&err) || connection.is_autocommit() => {
                return Err(err);
            }
            Err(_) if connection.total_changes() == changes_before => {}
            Err(_) if !has_savepoint => return Ok(false),
            Err(_) => {
                // It may hold rows that the savepoint takes back.
                self.names.forget_all();
                connection.run_sql("ROLLBACK TO command", [])?;
            }
        }
        if has_savepoint {
            connection.run_sql("RELEASE command", [])?;
        }
        Ok(true)
    }
}

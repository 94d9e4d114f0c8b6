//! One transaction of many commands.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use flowlord_kernel::fault::Point;
use flowlord_kernel::{Code, Error};
use rusqlite::Connection;

use crate::fault;
use crate::job::Job;
use crate::outage::is_disk;
use crate::snapshot::is_damage;
use crate::store::{Followers, Names, Store, Trouble};
use crate::write::rollup::Deltas;

/// A transaction that failed as a whole.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Why.
    pub(crate) err: rusqlite::Error,
    /// Whether it may be on disk nevertheless: the commit itself failed.
    pub(crate) unknown: bool,
}

/// Where a transaction is written.
pub(crate) struct Transaction<'a> {
    /// The file.
    pub(crate) path: &'a Path,
    /// The one write connection.
    pub(crate) connection: &'a Connection,
    /// The ids known so far.
    pub(crate) names: &'a mut Names,
}

impl Transaction<'_> {
    /// Applies all commands, each in a savepoint of its own, and commits. Answers what is to be told of it.
    pub(crate) fn write(mut self, jobs: &mut [Box<dyn Job>]) -> Result<Followers, Failure> {
        let written = self.apply(jobs).map_err(|err| Failure { err, unknown: false });
        let written = written.and_then(|followers| match self.commit() {
            Ok(()) => Ok(followers),
            Err(err) => Err(Failure { err, unknown: true }),
        });
        if written.is_err() {
            self.names.clear();
            let _the_first_error_counts = self.run("ROLLBACK");
        }
        written
    }

    fn apply(&mut self, jobs: &mut [Box<dyn Job>]) -> rusqlite::Result<Followers> {
        fault::at(Point::BeforeBegin, self.path)?;
        self.run("BEGIN IMMEDIATE")?;
        let mut followers = Followers::default();
        let mut rollups = Deltas::default();
        for job in jobs {
            self.apply_one(job.as_mut(), &mut rollups, &mut followers)?;
        }
        rollups.write(self.connection)?;
        fault::at(Point::BeforeCommit, self.path)?;
        Ok(followers)
    }

    fn commit(&self) -> rusqlite::Result<()> {
        self.run("COMMIT")?;
        fault::at(Point::AfterCommit, self.path)
    }

    /// Applies one command in a savepoint of its own: what fails, fails alone.
    fn apply_one(
        &mut self,
        job: &mut dyn Job,
        rollups: &mut Deltas,
        followers: &mut Followers,
    ) -> rusqlite::Result<()> {
        let mut own_rollups = Deltas::default();
        let mut own_followers = Followers::default();
        self.run("SAVEPOINT command")?;
        fault::at(Point::AfterSavepoint, self.path)?;
        let (connection, names) = (self.connection, &mut *self.names);
        let store =
            &mut Store { connection, names, rollups: &mut own_rollups, followers: &mut own_followers };
        let applied = catch_unwind(AssertUnwindSafe(|| job.apply(store))).unwrap_or_else(|_| {
            let error = Error::new(Code::Internal, "the write failed inside; see the log");
            job.fail(error.clone());
            Err(Trouble::Refused(error))
        });
        match applied {
            Ok(()) => {
                rollups.add(own_rollups);
                followers.add(own_followers);
            }
            // A full or broken disk or a damaged file fails the whole transaction, not this command; it may be undone
            // already.
            Err(Trouble::Sqlite(err)) if is_disk(&err) || is_damage(&err) || connection.is_autocommit() => {
                return Err(err);
            }
            Err(_) => {
                self.names.clear();
                self.run("ROLLBACK TO command")?;
            }
        }
        self.run("RELEASE command")
    }

    fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}

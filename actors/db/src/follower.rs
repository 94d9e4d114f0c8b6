//! The database of a follower: it takes what the leader shipped, and nothing else.

use std::path::{Path, PathBuf};

use actix::{Addr, ArbiterHandle, Context, Supervisor};
use chrono::{DateTime, Utc};
use flowlord_kernel::{ActorKit, Code, Error, Result, actor, handlers, lower_priority};
use flowlord_messages::cluster::{ApplyMigration, ApplyRows, ApplySegment, SegmentOutcome};
use flowlord_messages::database::CloseDatabase;
use flowlord_messages::events::{DatabaseChanged, DatabaseChanges, TakeChanges};
use rusqlite::Connection;

use crate::changelog::apply::{FollowedDatabase, SegmentError};
use crate::changelog::migration::follow_migration;
use crate::connection::{OpenError, checkpoint_at_end, open_following};
use crate::damage::DamageMonitor;
use crate::folder_lock::FolderLock;
use crate::reader::QueryReader;
use crate::writer::changes::ChangeRecorder;
use crate::{CommitHints, DATABASE, mark_if_unopened, start_readers};

/// A database that follows another one, with its actors.
#[derive(Debug)]
pub struct FollowingDatabase {
    pub follower: Addr<DatabaseFollower>,
    pub readers: Addr<QueryReader>,
    pub view_readers: Addr<QueryReader>,
    pub damage: DamageMonitor,
    _lock: FolderLock,
}

impl FollowingDatabase {
    /// Opens the database in the folder of `lock` as it is.
    pub fn open(
        lock: FolderLock,
        arbiter: &ArbiterHandle,
        kit: ActorKit,
        hints: CommitHints,
    ) -> std::result::Result<Self, OpenError> {
        let path = lock.folder().join(DATABASE);
        let damage = DamageMonitor::none_yet(lock.folder(), kit.clock().clone());
        let connection = open_following(&path).inspect_err(|err| mark_if_unopened(&damage, err))?;
        let readers = start_readers(&path, &damage, || {})?;
        let view_readers = start_readers(&path, &damage, lower_priority)?;
        let follower = DatabaseFollower::start(arbiter, path, connection, damage.clone(), kit, hints);
        Ok(Self { follower, readers, view_readers, damage, _lock: lock })
    }
}

pub struct DatabaseFollower {
    path: PathBuf,
    database: Option<FollowedDatabase>,
    recorder: ChangeRecorder,
    kit: ActorKit,
    hints: CommitHints,
    damage: DamageMonitor,
    is_closed: bool,
}

impl DatabaseFollower {
    fn start(
        arbiter: &ArbiterHandle,
        path: PathBuf,
        connection: Connection,
        damage: DamageMonitor,
        kit: ActorKit,
        hints: CommitHints,
    ) -> Addr<Self> {
        let recorder = ChangeRecorder::default();
        recorder.watch_rows(&connection);
        let database = Some(FollowedDatabase::new(connection));
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            path,
            database,
            recorder,
            kit,
            hints,
            damage,
            is_closed: false,
        })
    }

    fn apply_segment(
        &mut self,
        ApplySegment { entry, digest, bytes }: ApplySegment,
        _: &mut Context<Self>,
    ) -> Result<SegmentOutcome> {
        self.apply_changes(|database| database.follow_segment(&bytes, &digest, entry))
    }

    fn apply_rows(
        &mut self,
        ApplyRows { entry, digest, bytes }: ApplyRows,
        _: &mut Context<Self>,
    ) -> Result<SegmentOutcome> {
        self.apply_changes(|database| database.follow_frame(&bytes, &digest, entry))
    }

    fn apply_migration(
        &mut self,
        ApplyMigration { entry, migration, has_frames, at }: ApplyMigration,
        _: &mut Context<Self>,
    ) -> Result<SegmentOutcome> {
        self.apply_changes(|database| {
            follow_migration(database.connection_to_migrate(), &migration, has_frames, entry).map(|()| at)
        })
    }

    fn apply_changes(
        &mut self,
        apply: impl FnOnce(&mut FollowedDatabase) -> std::result::Result<DateTime<Utc>, SegmentError>,
    ) -> Result<SegmentOutcome> {
        if let Some(damaged) = self.damage.refusal_if_seen() {
            return Err(damaged);
        }
        let outcome = match apply(self.open_database()?) {
            Ok(at) => SegmentOutcome::Applied { at },
            Err(SegmentError::Sqlite(err)) => {
                self.damage.note_error("a change of the leader", &err);
                return Err(Error::new(Code::Storage, format!("the leader's change can't be applied: {err}")));
            }
            Err(err @ SegmentError::Newer { .. }) => SegmentOutcome::Newer(err.to_string()),
            Err(err @ SegmentError::Differs { .. }) => SegmentOutcome::Differs(err.to_string()),
            Err(err) => SegmentOutcome::Diverged(err.to_string()),
        };
        if !self.recorder.lock_changes().is_empty() {
            self.hints.changed.hint(DatabaseChanged);
        }
        Ok(outcome)
    }

    fn open_database(&mut self) -> Result<&mut FollowedDatabase> {
        if self.is_closed {
            return Err(Error::new(Code::Stopping, "the database is closed; the service is stopping"));
        }
        match &mut self.database {
            Some(database) => Ok(database),
            // After a restart.
            closed => {
                let connection = reopen(&self.path)?;
                self.recorder.watch_rows(&connection);
                Ok(closed.insert(FollowedDatabase::new(connection)))
            }
        }
    }

    fn close_database(&mut self, _: CloseDatabase, _: &mut Context<Self>) -> Result<()> {
        // Also where it isn't open: else what comes later would open it again.
        self.is_closed = true;
        let Some(database) = self.database.take() else { return Ok(()) };
        checkpoint_at_end(database.connection())
    }

    fn take_changes(&mut self, _: TakeChanges, _: &mut Context<Self>) -> Result<DatabaseChanges> {
        Ok(std::mem::take(&mut *self.recorder.lock_changes()))
    }

    fn forget_transaction(&mut self) {
        // A panic may have left a transaction open.
        self.database = None;
    }
}

fn reopen(path: &Path) -> Result<Connection> {
    open_following(path).map_err(|err| Error::new(Code::Storage, format!("the database can't be opened: {err}")))
}

handlers!(DatabaseFollower {
    ApplyMigration => apply_migration,
    ApplyRows => apply_rows,
    ApplySegment => apply_segment,
    CloseDatabase => close_database,
    TakeChanges => take_changes,
});

actor!(DatabaseFollower { kit: kit, mailbox: 8192, restart: forget_transaction });

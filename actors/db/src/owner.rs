//! The DB owner: the one write connection, and group commit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Instant;

use actix::{
    Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, Message, Supervised, Supervisor,
};
use flowlord_messages::backload::{SaveBackload, SetBackloadState, StoreBackloadChunk};
use flowlord_messages::files::{KeepPlaces, RecordFile, SaveSeen};
use flowlord_messages::health::Pong;
use flowlord_messages::hint::{AlertRaised, Notify, TasksDelayed, TasksReady};
use flowlord_messages::outbox::MarkNotified;
use flowlord_messages::token::{AddToken, RemoveToken};
use flowlord_messages::write::{
    AdvanceLadder, ApplyOutcomes, Close, CreateTasks, EnqueueMessage, ExtendLease, GrantLeases, PromoteDue,
    RaiseAlerts, ReapLeases, RecordMissed, ReleaseLease, RemoveHistory, SaveCrons, SaveWorkflows,
};
use flowlord_messages::{Code, Error, Guarded, LatePort, Ping, Supervision, guarded};
use rusqlite::Connection;

use crate::job::{Command, Job, Queue, Queued};
use crate::meters::Meters;
use crate::schema;
use crate::store::{Followers, Names, Store, Trouble};
use crate::write::rollup::Deltas;

/// A flood is cut into transactions of this many commands, so that the first of it needn't wait for the last.
const BATCH: usize = 512;

/// Who hears what was committed.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// Tasks became ready.
    pub ready: LatePort<TasksReady>,
    /// Delayed tasks were stored.
    pub delayed: LatePort<TasksDelayed>,
    /// Alerts were stored.
    pub alert: LatePort<AlertRaised>,
    /// Messages were put into the outbox.
    pub notify: LatePort<Notify>,
}

/// The actor that owns the one write connection.
pub struct Owner {
    pub(crate) path: PathBuf,
    connection: Option<Connection>,
    names: Names,
    queue: Queue,
    flushing: bool,
    supervision: Supervision,
    hints: Hints,
    meters: Meters,
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owner").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Writes what is queued; sent by the owner to itself, so that it runs once the mailbox is empty.
#[derive(Message)]
#[rtype(result = "()")]
struct Flush;

impl Owner {
    pub(crate) fn start(
        arbiter: &ArbiterHandle,
        path: PathBuf,
        connection: Connection,
        supervision: Supervision,
        hints: Hints,
    ) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            path,
            connection: Some(connection),
            names: Names::default(),
            queue: Queue::default(),
            flushing: false,
            supervision,
            hints,
            meters: Meters::default(),
        })
    }

    pub(crate) fn queued<C: Command>(&mut self, command: C, ctx: &mut Context<Self>) -> Queued<C> {
        if self.queue.borrow().len() >= BATCH {
            guarded(self, ctx, |owner, _| owner.flush());
        }
        if !self.flushing {
            self.flushing = true;
            ctx.notify(Flush);
        }
        Queued { queue: self.queue.clone(), command }
    }

    /// One transaction of all that is queued: apply, commit, answer, then tell.
    pub(crate) fn flush(&mut self) {
        let mut jobs = std::mem::take(&mut *self.queue.borrow_mut());
        if jobs.is_empty() {
            return;
        }
        let mut followers = Followers::default();
        let begun = Instant::now();
        let committed = self.commit(&mut jobs, &mut followers);
        self.meters.commit(jobs.len(), begun.elapsed());
        if let Err(error) = committed {
            self.meters.failed.increment(1);
            for job in &mut jobs {
                job.fail(error.clone());
            }
            followers = Followers::default();
        }
        // Whoever is answered may be idle before the hints are out: between the two something is under way.
        let _until_told = self.hints.notify.begin();
        for job in jobs {
            job.answer();
        }
        self.tell(followers);
    }

    fn commit(&mut self, jobs: &mut [Box<dyn Job>], followers: &mut Followers) -> Result<(), Error> {
        let Some(connection) = &self.connection else {
            return Err(Error::new(Code::Stopping, "the database is closed; the service is stopping"));
        };
        let written = transaction(connection, &mut self.names, jobs, followers);
        written.map_err(|err| {
            log::error!("event=commit_failed commands={} error={err:?}", jobs.len());
            self.reopen();
            Error::new(Code::Storage, format!("the database could not be written: {err}"))
        })
    }

    /// After a commit that failed nobody knows what is on disk: start again from what is.
    fn reopen(&mut self) {
        self.names.clear();
        self.connection = None;
        match schema::open_writer(&self.path) {
            Ok(connection) => self.connection = Some(connection),
            Err(err) => {
                log::error!("event=reopen_failed error={err:?}");
                self.supervision.give_up();
            }
        }
    }

    fn tell(&self, followers: Followers) {
        if !followers.ready.is_empty() {
            self.hints.ready.hint(TasksReady { topics: followers.ready.into_iter().collect() });
        }
        if let Some(due) = followers.delayed {
            self.hints.delayed.hint(TasksDelayed { due });
        }
        if followers.alerted {
            self.hints.alert.hint(AlertRaised);
        }
        if followers.messages {
            self.hints.notify.hint(Notify);
        }
    }
}

fn transaction(
    connection: &Connection,
    names: &mut Names,
    jobs: &mut [Box<dyn Job>],
    followers: &mut Followers,
) -> rusqlite::Result<()> {
    let run = |sql| connection.prepare_cached(sql)?.execute([]).map(drop);
    run("BEGIN IMMEDIATE")?;
    let mut rollups = Deltas::default();
    let applied = jobs
        .iter_mut()
        .try_for_each(|job| apply_one(connection, names, job.as_mut(), &mut rollups, followers))
        .and_then(|()| rollups.write(connection))
        .and_then(|()| run("COMMIT"));
    if applied.is_err() {
        names.clear();
        let _the_first_error_counts = run("ROLLBACK");
    }
    applied
}

/// Applies one command in a savepoint of its own: what fails, fails alone.
fn apply_one(
    connection: &Connection,
    names: &mut Names,
    job: &mut dyn Job,
    rollups: &mut Deltas,
    followers: &mut Followers,
) -> rusqlite::Result<()> {
    let run = |sql| connection.prepare_cached(sql)?.execute([]).map(drop);
    let mut own_rollups = Deltas::default();
    let mut own_followers = Followers::default();
    run("SAVEPOINT command")?;
    let store = &mut Store { connection, names, rollups: &mut own_rollups, followers: &mut own_followers };
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
        Err(trouble) => {
            store.names.clear();
            run("ROLLBACK TO command")?;
            // A full or broken disk fails the whole transaction, not this command.
            if let Trouble::Sqlite(err) = trouble
                && connection.is_autocommit()
            {
                return Err(err);
            }
        }
    }
    run("RELEASE command")
}

impl Actor for Owner {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(8192);
        self.flushing = false;
        if self.connection.is_none() {
            self.reopen();
        }
    }
}

impl Supervised for Owner {
    fn restarting(&mut self, _ctx: &mut Self::Context) {
        // The panic may have left a transaction open; what it held was never answered.
        self.connection = None;
        self.queue.borrow_mut().clear();
    }
}

impl Guarded for Owner {
    fn supervision(&self) -> &Supervision {
        &self.supervision
    }
}

impl Handler<Flush> for Owner {
    type Result = ();

    fn handle(&mut self, _: Flush, ctx: &mut Self::Context) {
        self.flushing = false;
        guarded(self, ctx, |owner, _| owner.flush());
    }
}

macro_rules! queue {
    ($($command:ty),+ $(,)?) => {
        $(impl Handler<$command> for Owner {
            type Result = Queued<$command>;

            fn handle(&mut self, command: $command, ctx: &mut Self::Context) -> Self::Result {
                self.queued(command, ctx)
            }
        })+
    };
}

queue!(
    AddToken,
    AdvanceLadder,
    ApplyOutcomes,
    CreateTasks,
    EnqueueMessage,
    ExtendLease,
    GrantLeases,
    KeepPlaces,
    MarkNotified,
    Ping,
    PromoteDue,
    RaiseAlerts,
    ReapLeases,
    RecordFile,
    RecordMissed,
    ReleaseLease,
    RemoveHistory,
    RemoveToken,
    SaveBackload,
    SaveCrons,
    SaveSeen,
    SaveWorkflows,
    SetBackloadState,
    StoreBackloadChunk,
);

impl Command for Ping {
    type Answer = Pong;

    /// Answered after a commit, so that a database that can't be written doesn't look well.
    fn apply(&mut self, _store: &mut Store<'_>) -> Result<Pong, Trouble> {
        Ok(Pong { restarts: 0 })
    }
}

impl Handler<Close> for Owner {
    type Result = flowlord_messages::Result<()>;

    fn handle(&mut self, _: Close, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |owner, _| {
            owner.flush();
            let Some(connection) = owner.connection.take() else { return Ok(()) };
            let checkpoint = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            checkpoint.map_err(|err| Error::new(Code::Storage, format!("the checkpoint failed: {err}")))
        })
    }
}

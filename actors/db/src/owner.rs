//! The DB owner: the one write connection, and group commit.

use std::path::PathBuf;
use std::time::Instant;

use actix::{
    Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, Message, Supervised, Supervisor,
};
use chrono::{DateTime, Utc};
use flowlord_kernel::Pong;
use flowlord_kernel::{ActorKit, Code, Error, KernelActor, LatePort, Ping, Timer, Wakes, guarded};
use flowlord_messages::alerts::{AddSilence, RemoveSilence, SetRoutes};
use flowlord_messages::audit::RecordChange;
use flowlord_messages::backload::{SaveBackload, SetBackloadState, StoreBackloadChunk};
use flowlord_messages::changes::Changes;
use flowlord_messages::files::{KeepPlaces, RecordFile, SaveSeen};
use flowlord_messages::hint::{AlertRaised, Changed, Notify, TasksDelayed, TasksReady};
use flowlord_messages::outbox::MarkNotified;
use flowlord_messages::rowlog::{ForgetChanges, RestartLog};
use flowlord_messages::token::{AddToken, RemoveToken};
use flowlord_messages::watch::RaiseBreaches;
use flowlord_messages::write::{
    AdvanceLadder, ApplyOutcomes, CancelTask, Close, CreateTasks, EnqueueMessage, ExtendLease, GrantLeases,
    PromoteDue, RaiseAlerts, ReapLeases, RecordMissed, ReleaseLease, RemoveHistory, RerunTasks, SaveCrons,
    SaveWorkflows, SetPaused,
};
use rusqlite::Connection;

use crate::changes::Watch;
use crate::damage::Damage;
use crate::job::{self, Command, Job, Queue, Queued};
use crate::meters::Meters;
use crate::outage::{self, Outage};
use crate::schema::{self, OpenError, VERSION};
use crate::snapshot::is_damage;
use crate::store::{Followers, Names, Store, Trouble};
use crate::transaction::Transaction;

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
    /// Something changed that people may look at.
    pub changed: LatePort<Changed>,
}

/// The actor that owns the one write connection.
pub struct Owner {
    pub(crate) path: PathBuf,
    record: Option<u64>,
    connection: Option<Connection>,
    names: Names,
    queue: Queue,
    flushing: bool,
    kit: ActorKit,
    hints: Hints,
    meters: Meters,
    /// Once it was seen nothing is written any more.
    pub(crate) damage: Damage,
    /// While writing doesn't work; there is no connection then.
    outage: Option<Outage>,
    /// When the last outage was told.
    told: Option<DateTime<Utc>>,
    /// When writing is tried again.
    timer: Timer,
    closed: bool,
    watch: Watch,
    /// Nobody asked for the changes yet since they were last told of.
    changes_told: bool,
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
        record: Option<u64>,
        connection: Connection,
        damage: Damage,
        kit: ActorKit,
        hints: Hints,
    ) -> Addr<Self> {
        let watch = Watch::default();
        watch.on(&connection);
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            path,
            record,
            connection: Some(connection),
            watch,
            changes_told: false,
            names: Names::default(),
            queue: Queue::default(),
            flushing: false,
            timer: Timer::default(),
            kit,
            hints,
            meters: Meters::default(),
            damage,
            outage: None,
            told: None,
            closed: false,
        })
    }

    pub(crate) fn queued<C: Command>(&mut self, command: C, ctx: &mut Context<Self>) -> Queued<C> {
        if self.queue.borrow().len() >= BATCH {
            guarded(self, ctx, Self::flush);
        }
        if !self.flushing {
            self.flushing = true;
            ctx.notify(Flush);
        }
        Queued { queue: self.queue.clone(), command }
    }

    /// One transaction of all that is queued: apply, commit, answer, then tell.
    pub(crate) fn flush(&mut self, ctx: &mut Context<Self>) {
        let mut jobs = std::mem::take(&mut *self.queue.borrow_mut());
        if jobs.is_empty() {
            return;
        }
        let followers = self.commit(&mut jobs, ctx).unwrap_or_else(|error| {
            jobs.iter_mut().for_each(|job| job.fail(error.clone()));
            Followers::default()
        });
        // Whoever is answered may be idle before the hints are out: between the two something is under way.
        let _until_told = self.hints.notify.begin();
        for job in jobs {
            job.answer();
        }
        self.tell(followers);
    }

    fn commit(&mut self, jobs: &mut [Box<dyn Job>], ctx: &mut Context<Self>) -> Result<Followers, Error> {
        if let Some(damaged) = self.damage.refusal() {
            self.meters.writable.set(0);
            return Err(damaged);
        }
        if let Some(outage) = &mut self.outage {
            return Err(outage.refuse(jobs.len()));
        }
        let Some(connection) = &self.connection else {
            return Err(Error::new(Code::Stopping, "the database is closed; the service is stopping"));
        };
        let begun = Instant::now();
        let written = Transaction { path: &self.path, connection, names: &mut self.names }.write(jobs);
        self.meters.commit(jobs.len(), begun.elapsed());
        written.map_err(|failure| {
            log::error!("event=commit_failed commands={} failure={failure:?}", jobs.len());
            self.meters.failed.increment(1);
            self.damage.note("a write", &failure.err);
            // What is damaged is written no more; its connection stays for the checkpoint at the end.
            if self.damage.seen().is_none() {
                self.begin_outage(&failure.err, ctx);
            }
            outage::failed(&failure)
        })
    }

    /// After a transaction that failed nobody knows what is on disk: start again from what is.
    fn begin_outage(&mut self, err: &rusqlite::Error, ctx: &mut Context<Self>) {
        self.names.clear();
        self.connection = None;
        self.outage = Some(Outage::begin(err, self.kit.now()));
        self.meters.writable.set(0);
        self.try_again(ctx);
    }

    /// Opens the database anew and proves by a commit that it can be written; where it can't, tries again soon.
    fn try_again(&mut self, ctx: &mut Context<Self>) {
        if self.damage.seen().is_some() {
            return;
        }
        let Some(mut outage) = self.outage.take() else { return };
        let now = self.kit.now();
        match self.prove(&outage, now) {
            Ok((connection, followers)) => {
                self.connection = Some(connection);
                self.meters.writable.set(1);
                outage.end(now);
                self.tell(followers);
            }
            Err(OpenError::Sqlite { source, .. }) if !is_damage(&source) => {
                outage.goes_on(&source, now);
                self.outage = Some(outage);
                self.wake_at(Some(now + outage::TRY_AGAIN), ctx);
            }
            Err(err) => {
                self.outage = Some(outage);
                self.reopen_failed(&err);
            }
        }
    }

    /// Nothing that waiting helps against.
    fn reopen_failed(&self, err: &OpenError) {
        log::error!("event=reopen_failed error={err:?}");
        if err.is_damage() {
            self.damage.see(&format!("a reopening: {err}"));
        } else {
            self.kit.give_up();
        }
    }

    /// After a restart, which may come within an outage.
    fn start_again(&mut self, ctx: &mut Context<Self>) {
        if self.outage.is_some() {
            return self.try_again(ctx);
        }
        match schema::reopen_recording(&self.path, self.record) {
            Ok(connection) => {
                self.watch.on(&connection);
                self.connection = Some(connection);
            }
            Err(OpenError::Sqlite { source, .. }) if !is_damage(&source) => self.begin_outage(&source, ctx),
            Err(err) => self.reopen_failed(&err),
        }
    }

    /// The proof is a real write, and with it the one alert, so that it is told if and only if writing works.
    fn prove(&mut self, outage: &Outage, now: DateTime<Utc>) -> Result<(Connection, Followers), OpenError> {
        let connection = outage.reopen(&self.path, self.record)?;
        self.watch.on(&connection);
        let mut jobs = vec![job::own(Ping)];
        let news = self.told.is_none_or(|told| now - told >= outage::TOLD_FOR);
        if news {
            jobs.push(job::own(RaiseAlerts { alerts: vec![outage.alert(now)] }));
        }
        let written = Transaction { path: &self.path, connection: &connection, names: &mut self.names }
            .write(&mut jobs);
        let followers =
            written.map_err(|failure| OpenError::Sqlite { path: self.path.clone(), source: failure.err })?;
        if news {
            self.told = Some(now);
        }
        Ok((connection, followers))
    }

    pub(crate) fn take_changes(&mut self) -> Changes {
        self.changes_told = false;
        std::mem::take(&mut *self.watch.changes())
    }

    fn tell(&mut self, followers: Followers) {
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
        self.watch.changes().add(followers.changes);
        if !self.changes_told && !self.watch.changes().is_empty() {
            self.changes_told = self.hints.changed.hint(Changed);
        }
    }
}

impl Actor for Owner {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(8192);
        self.flushing = false;
        self.meters.writable.set(1);
        if self.connection.is_none() && !self.closed {
            self.start_again(ctx);
        }
    }
}

impl Supervised for Owner {
    fn restarting(&mut self, _ctx: &mut Self::Context) {
        // The panic may have left a transaction open; what it held was never answered.
        self.connection = None;
        self.queue.borrow_mut().clear();
        self.timer = Timer::default();
    }
}

impl Wakes for Owner {
    fn timer(&mut self) -> &mut Timer {
        &mut self.timer
    }

    fn wake(&mut self, _now: DateTime<Utc>, ctx: &mut Context<Self>) {
        self.try_again(ctx);
    }
}

impl KernelActor for Owner {
    fn kit(&self) -> &ActorKit {
        &self.kit
    }
}

impl Handler<Flush> for Owner {
    type Result = ();

    fn handle(&mut self, _: Flush, ctx: &mut Self::Context) {
        self.flushing = false;
        guarded(self, ctx, Self::flush);
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
    AddSilence,
    AddToken,
    AdvanceLadder,
    ApplyOutcomes,
    CancelTask,
    CreateTasks,
    EnqueueMessage,
    ExtendLease,
    ForgetChanges,
    GrantLeases,
    KeepPlaces,
    MarkNotified,
    Ping,
    PromoteDue,
    RaiseAlerts,
    RaiseBreaches,
    ReapLeases,
    RecordChange,
    RecordFile,
    RecordMissed,
    ReleaseLease,
    RemoveHistory,
    RemoveSilence,
    RemoveToken,
    RerunTasks,
    RestartLog,
    SaveBackload,
    SaveCrons,
    SaveSeen,
    SaveWorkflows,
    SetBackloadState,
    SetPaused,
    SetRoutes,
    StoreBackloadChunk,
);

impl Command for Ping {
    type Answer = Pong;

    /// Answered after a commit that writes, so that a database that can't be written doesn't look well.
    fn apply(&mut self, store: &mut Store<'_>) -> Result<Pong, Trouble> {
        store.connection.pragma_update(None, "user_version", VERSION)?;
        Ok(Pong { restarts: 0 })
    }
}

impl Handler<Close> for Owner {
    type Result = flowlord_kernel::Result<()>;

    fn handle(&mut self, _: Close, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |owner, ctx| {
            owner.flush(ctx);
            owner.closed = true;
            owner.wake_at(None, ctx);
            let Some(connection) = owner.connection.take() else { return Ok(()) };
            let checkpoint = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            checkpoint.map_err(|err| Error::new(Code::Storage, format!("the checkpoint failed: {err}")))
        })
    }
}

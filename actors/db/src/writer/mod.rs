//! The DB owner: the one write connection, and group commit.

mod background;
pub(crate) mod changes;
pub(crate) mod command;
pub(crate) mod context;
mod framed;
mod metrics;
mod outage;
pub(crate) mod totals;
pub(crate) mod transaction;

use std::path::PathBuf;
use std::time::Instant;

use actix::dev::{MessageResponse, OneshotSender};
use actix::{Addr, ArbiterHandle, AsyncContext as _, Context, Handler, Message, Supervisor};
use chrono::{DateTime, Utc};
use flowlord_kernel::{
    ActorKit, Code, Error, KernelActor as _, LatePort, Ping, Pong, Port, Reply, Result, Timer, WakeUp, actor, guarded,
};
use flowlord_messages::alerts::RaiseAlerts;
use flowlord_messages::cluster::{AppendRows, LeaderLease};
use flowlord_messages::database::CloseDatabase;
use flowlord_messages::events::{
    AlertsRaised, DatabaseChanged, DatabaseChanges, MessagesQueued, TakeChanges, TasksDelayed, TasksReady,
};
use rusqlite::Connection;

use self::changes::ChangeRecorder;
use self::command::{CommandQueue, QueuedCommand, QueuedResponse, WriteCommand, own_command, queued_command};
use self::context::{AfterCommit, CommandResult, NameCache, WriteContext};
use self::framed::{FrameLog, MAX_WAITING};
use self::metrics::WriterMetrics;
use self::outage::{ALERT_INTERVAL, DiskOutage, RETRY_DELAY};
use self::transaction::{FailedTransaction, WriteTransaction};
use crate::changelog::frame::FramePacker;
use crate::connection::{OpenError, checkpoint_at_end, is_damage, reopen_recording};
use crate::damage::DamageMonitor;
use crate::schema::VERSION;

/// A flood is cut into transactions of this many commands, so that the first of it needn't wait for the last.
const MAX_COMMANDS: usize = 512;

#[derive(Debug, Clone, Default)]
pub struct CommitHints {
    pub ready: LatePort<TasksReady>,
    pub delayed: LatePort<TasksDelayed>,
    pub alert: LatePort<AlertsRaised>,
    pub notify: LatePort<MessagesQueued>,
    /// Something changed that people may look at.
    pub changed: LatePort<DatabaseChanged>,
}

/// What a writer is opened with.
#[derive(Debug, Clone)]
pub(crate) struct WriterConfig {
    pub(crate) path: PathBuf,
    /// The number of a new change log; none where changes aren't noted.
    pub(crate) record: Option<u64>,
    pub(crate) lease: LeaderLease,
}

pub struct DatabaseOwner {
    config: WriterConfig,
    connection: Option<Connection>,
    /// Where the cluster's log holds each transaction before it is committed.
    frames: Option<FrameLog>,
    names: NameCache,
    queue: CommandQueue,
    is_flush_due: bool,
    kit: ActorKit,
    hints: CommitHints,
    metrics: WriterMetrics,
    damage: DamageMonitor,
    /// While writing doesn't work; there is no connection then.
    outage: Option<DiskOutage>,
    last_outage_alert: Option<DateTime<Utc>>,
    timer: Timer,
    is_closed: bool,
    recorder: ChangeRecorder,
    /// Nobody fetched the changes yet since the last hint.
    is_change_hinted: bool,
}

/// Writes what is queued; sent by the owner to itself, so that it runs once the mailbox is empty.
#[derive(Message)]
#[rtype(result = "()")]
struct FlushQueue;

impl DatabaseOwner {
    pub(crate) fn start(
        arbiter: &ArbiterHandle,
        config: WriterConfig,
        connection: Connection,
        frames: Option<(Port<AppendRows>, FramePacker)>,
        damage: DamageMonitor,
        kit: ActorKit,
        hints: CommitHints,
    ) -> Addr<Self> {
        let recorder = ChangeRecorder::default();
        recorder.watch_rows(&connection);
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            config,
            connection: Some(connection),
            frames: frames.map(|(log, packer)| FrameLog::new(log, packer)),
            recorder,
            is_change_hinted: false,
            names: NameCache::default(),
            queue: CommandQueue::default(),
            is_flush_due: false,
            timer: Timer::default(),
            kit,
            hints,
            metrics: WriterMetrics::default(),
            damage,
            outage: None,
            last_outage_alert: None,
            is_closed: false,
        })
    }

    /// One transaction of all that is queued: apply, commit, answer, then hint.
    fn flush_queue(&mut self, ctx: &mut Context<Self>) {
        match &self.frames {
            Some(frames) if frames.is_stuck() => return self.refuse_waiting(),
            Some(frames) if frames.is_busy() || frames.expects_more(self.queue.borrow().len()) => return,
            _ => {}
        }
        let mut commands = std::mem::take(&mut *self.queue.borrow_mut());
        if commands.is_empty() {
            return;
        }
        if self.frames.is_some() {
            return self.begin_commit(commands, ctx);
        }
        let effects = self.commit_group(&mut commands, ctx).unwrap_or_else(|error| {
            commands.iter_mut().for_each(|command| command.fail_with(error.clone()));
            AfterCommit::default()
        });
        self.answer_all(commands, effects);
    }

    fn answer_all(&mut self, commands: Vec<Box<dyn QueuedCommand>>, effects: AfterCommit) {
        // Whoever is answered may be idle before the hints are out: between the two something is under way.
        let _until_hinted = self.hints.notify.begin();
        for command in commands {
            command.send_answer();
        }
        self.send_hints(effects);
    }

    fn commit_group(
        &mut self,
        commands: &mut [Box<dyn QueuedCommand>],
        ctx: &mut Context<Self>,
    ) -> Result<AfterCommit> {
        if let Some(refusal) = self.refusal(commands.len()) {
            return Err(refusal);
        }
        let Some(connection) = &self.connection else { return Err(database_closed()) };
        let begun = Instant::now();
        let written =
            WriteTransaction { path: &self.config.path, connection, names: &mut self.names }.write_all(commands);
        self.metrics.record_commit(commands.len(), begun.elapsed());
        // Asked last: a process that stood still for long may have lost its lead meanwhile.
        if written.is_ok()
            && let Some(refusal) = self.config.lease.refusal_after_commit()
        {
            return Err(refusal);
        }
        written.map_err(|failure| self.fail_commit(commands.len(), &failure, ctx))
    }

    /// Why no transaction is begun.
    fn refusal(&mut self, commands: usize) -> Option<Error> {
        if let Some(damaged) = self.damage.refusal_if_seen() {
            self.metrics.writable.set(0);
            return Some(damaged);
        }
        if let Some(outage) = &mut self.outage {
            return Some(outage.refuse_commands(commands));
        }
        self.config.lease.refusal().or_else(|| self.connection.is_none().then(database_closed))
    }

    /// What the callers of a transaction that failed are answered.
    fn fail_commit(&mut self, commands: usize, failure: &FailedTransaction, ctx: &mut Context<Self>) -> Error {
        log::error!("event=commit_failed commands={commands} failure={failure:?}");
        self.metrics.failures.increment(1);
        self.damage.note_error("a write", &failure.err);
        // What is damaged is written no more; its connection stays for the checkpoint at the end.
        if self.damage.seen().is_none() {
            self.begin_outage(&failure.err, ctx);
        }
        outage::answer_for(failure)
    }

    fn begin_outage(&mut self, err: &rusqlite::Error, ctx: &mut Context<Self>) {
        // Nobody knows what of the transaction is on disk: start again from what is.
        self.names.forget_all();
        self.connection = None;
        self.outage = Some(DiskOutage::from_error(err, self.kit.now()));
        self.metrics.writable.set(0);
        self.retry_writing(ctx);
    }

    /// Opens the database anew and proves by a commit that it can be written; where it can't, tries again soon.
    fn retry_writing(&mut self, ctx: &mut Context<Self>) {
        if self.damage.seen().is_some() {
            return;
        }
        let Some(mut outage) = self.outage.take() else { return };
        let now = self.kit.now();
        match self.prove_writable(&outage, now) {
            Ok((connection, effects)) => {
                self.connection = Some(connection);
                self.metrics.writable.set(1);
                outage.log_end(now);
                self.send_hints(effects);
                // Alerts of an outage that others must hold, too.
                self.flush_queue(ctx);
            }
            // A disk may come back; a file that isn't a database, or is newer, doesn't change by waiting.
            Err(OpenError::Sqlite { source, .. }) if !is_damage(&source) => {
                outage.note_retry(&source, now);
                self.outage = Some(outage);
                self.wake_at(Some(now + RETRY_DELAY), ctx);
            }
            Err(err) => {
                self.outage = Some(outage);
                self.reopen_failed(&err);
            }
        }
    }

    fn reopen_failed(&self, err: &OpenError) {
        log::error!("event=reopen_failed error={err:?}");
        // Either ends in a restart, since waiting doesn't help.
        if err.is_damage() {
            self.damage.mark_seen(&format!("a reopening: {err}"));
        } else {
            self.kit.give_up();
        }
    }

    /// After a restart, which may come within an outage.
    fn reopen(&mut self, ctx: &mut Context<Self>) {
        if self.outage.is_some() {
            return self.retry_writing(ctx);
        }
        match reopen_recording(&self.config.path, self.config.record) {
            Ok(connection) => {
                self.recorder.watch_rows(&connection);
                if let Err(err) = self.reopen_frames(&connection) {
                    return self.begin_outage(&err, ctx);
                }
                self.connection = Some(connection);
            }
            Err(OpenError::Sqlite { source, .. }) if !is_damage(&source) => self.begin_outage(&source, ctx),
            Err(err) => self.reopen_failed(&err),
        }
    }

    /// The proof is a real write, and with it the one alert, so that it is stored if and only if writing works.
    fn prove_writable(
        &mut self,
        outage: &DiskOutage,
        now: DateTime<Utc>,
    ) -> std::result::Result<(Connection, AfterCommit), OpenError> {
        let connection = outage.reopen_database(&self.config.path, self.config.record)?;
        self.recorder.watch_rows(&connection);
        self.reopen_frames(&connection).map_err(OpenError::for_file(&self.config.path))?;
        let mut commands = vec![own_command(Ping)];
        let is_alert_due = self.last_outage_alert.is_none_or(|last| now - last >= ALERT_INTERVAL);
        if is_alert_due {
            let alert = own_command(RaiseAlerts { alerts: vec![outage.to_alert(now)] });
            // What the cluster's log must hold first is no proof of this disk alone.
            match &self.frames {
                Some(_) => self.queue.borrow_mut().push(alert),
                None => commands.push(alert),
            }
        }
        let transaction = WriteTransaction { path: &self.config.path, connection: &connection, names: &mut self.names };
        let effects = transaction
            .write_all(&mut commands)
            .map_err(|failure| OpenError::for_file(&self.config.path)(failure.err))?;
        if is_alert_due {
            self.last_outage_alert = Some(now);
        }
        Ok((connection, effects))
    }

    fn reopen_frames(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.frames.as_mut().map_or(Ok(()), |frames| frames.reopen(connection))
    }

    fn send_hints(&mut self, effects: AfterCommit) {
        if !effects.ready.is_empty() || effects.has_freed_limits {
            let topics = effects.ready.into_iter().collect();
            self.hints.ready.hint(TasksReady { topics, has_freed_limits: effects.has_freed_limits });
        }
        if let Some(due) = effects.delayed {
            self.hints.delayed.hint(TasksDelayed { due });
        }
        if effects.has_alerts {
            self.hints.alert.hint(AlertsRaised);
        }
        if effects.has_messages {
            self.hints.notify.hint(MessagesQueued);
        }
        self.recorder.lock_changes().add_changes(effects.changes);
        // One hint until they are fetched, however many commits: the web reads once for all.
        if !self.is_change_hinted && !self.recorder.lock_changes().is_empty() {
            self.is_change_hinted = self.hints.changed.hint(DatabaseChanged);
        }
    }

    fn start_writing(&mut self, ctx: &mut Context<Self>) {
        self.is_flush_due = false;
        self.metrics.writable.set(1);
        if self.connection.is_none() && !self.is_closed {
            self.reopen(ctx);
        }
    }

    fn close_connection(&mut self) -> Result<()> {
        let Some(connection) = self.connection.take() else { return Ok(()) };
        if !connection.is_autocommit() {
            // A transaction of which nobody knows whether the cluster's log holds it: the next start finds out.
            return Ok(());
        }
        checkpoint_at_end(&connection)
    }

    fn forget_transaction(&mut self) {
        // The panic may have left a transaction open; what it held was never answered.
        self.connection = None;
        if self.frames.as_ref().is_some_and(FrameLog::is_busy) {
            // The log may hold what this database then doesn't: only a start finds out.
            self.kit.give_up();
        }
        self.names.forget_all();
        self.queue.borrow_mut().clear();
    }
}

actor!(DatabaseOwner {
    kit: kit,
    mailbox: 8192,
    start: start_writing,
    restart: forget_transaction,
    wake: retry_writing,
});

impl Handler<FlushQueue> for DatabaseOwner {
    type Result = ();

    fn handle(&mut self, _: FlushQueue, ctx: &mut Self::Context) {
        self.is_flush_due = false;
        guarded(self, ctx, Self::flush_queue);
    }
}

impl<C: WriteCommand> Handler<C> for DatabaseOwner {
    type Result = QueuedResponse<C>;

    fn handle(&mut self, command: C, ctx: &mut Self::Context) -> Self::Result {
        // `FlushQueue` comes after all that is in the mailbox: a flood must not wait for it.
        if self.queue.borrow().len() >= MAX_COMMANDS {
            guarded(self, ctx, Self::flush_queue);
        }
        if self.queue.borrow().len() >= MAX_WAITING {
            self.refuse_waiting();
        }
        if !self.is_flush_due {
            self.is_flush_due = true;
            ctx.notify(FlushQueue);
        }
        QueuedResponse { queue: self.queue.clone(), command }
    }
}

impl<C: WriteCommand> MessageResponse<DatabaseOwner, C> for QueuedResponse<C> {
    fn handle(self, _ctx: &mut Context<DatabaseOwner>, back: Option<OneshotSender<C::Result>>) {
        self.queue.borrow_mut().push(queued_command(self.command, back));
    }
}

impl WriteCommand for Ping {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<Pong> {
        // A real write, so that a database that can't be written doesn't look well.
        context.connection.pragma_update(None, "user_version", VERSION)?;
        Ok(Pong { restarts: 0 })
    }
}

impl Handler<TakeChanges> for DatabaseOwner {
    type Result = Result<DatabaseChanges>;

    fn handle(&mut self, _: TakeChanges, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |owner, _| {
            // It runs between two transactions, so what is taken is committed.
            owner.is_change_hinted = false;
            Ok(std::mem::take(&mut *owner.recorder.lock_changes()))
        })
    }
}

impl Handler<CloseDatabase> for DatabaseOwner {
    type Result = Reply<Self, ()>;

    fn handle(&mut self, _: CloseDatabase, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |owner, ctx| -> Self::Result {
            owner.frames.iter_mut().for_each(FrameLog::expect_nothing);
            owner.flush_queue(ctx);
            // A restart of the actor after this must not open the database again.
            owner.is_closed = true;
            owner.wake_at(None, ctx);
            let settled = owner.frames.as_mut().and_then(FrameLog::when_closed);
            let settled = async move {
                if let Some(settled) = settled {
                    let _the_actor_restarts = settled.await;
                }
            };
            owner.reply_after(settled, |owner, (), _| owner.close_connection())
        })
    }
}

fn database_closed() -> Error {
    Error::new(Code::Stopping, "the database is closed; the service is stopping")
}

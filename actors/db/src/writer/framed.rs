//! Commits that the cluster's log holds first: the transaction stays open until the log has it, and what arrives meanwhile
//! is the next one.

use std::time::{Duration, Instant};

use actix::Context;
use chrono::{DateTime, Utc};
use flowlord_domain::{AlertKind, NewAlert};
use flowlord_kernel::{Code, Error, KernelActor as _, Port, Result};
use flowlord_messages::alerts::RaiseAlerts;
use flowlord_messages::cluster::AppendRows;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::DatabaseOwner;
use super::command::{QueuedCommand, own_command};
use super::context::AfterCommit;
use super::outage::ALERT_INTERVAL;
use super::transaction::{FailedTransaction, WriteTransaction};
use crate::changelog::frame::FramePacker;
use crate::utc_seconds;

/// How long callers wait for the log.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The next transaction waits for commands that are expected for so much of the time that the one before took.
const EXPECTED_WITHIN: u32 = 4;

/// And no longer than this.
const LONGEST_GATHERING: Duration = Duration::from_millis(10);

/// Commands that wait for the next transaction at most.
pub(super) const MAX_WAITING: usize = 8_192;

pub(super) struct FrameLog {
    log: Port<AppendRows>,
    packer: FramePacker,
    open: Option<OpenTransaction>,
    /// The service stops, and waits for the open transaction.
    closing: Option<oneshot::Sender<()>>,
    silence: Option<LogSilence>,
    gathering: Gathering,
}

/// For how many commands the next transaction waits.
#[derive(Default)]
struct Gathering {
    expected: usize,
    /// A timer ends the wait that it is of, and none that began later.
    number: u64,
}

impl Gathering {
    fn begin(&mut self, expected: usize) -> u64 {
        *self = Self { expected, number: self.number + 1 };
        self.number
    }

    fn end(&mut self, number: u64) {
        if self.number == number {
            self.expected = 0;
        }
    }
}

/// A time in which the log kept callers waiting for too long.
struct LogSilence {
    since: DateTime<Utc>,
    refused: usize,
}

impl LogSilence {
    fn to_alert(&self, now: DateTime<Utc>) -> NewAlert {
        let [from, to] = [self.since, now].map(utc_seconds);
        let msg = format!(
            "the cluster's log (cluster.log) acknowledged nothing from {from} to {to}; {} commands were answered 503",
            self.refused
        );
        NewAlert::without_task(AlertKind::Storage, "cluster", msg, now)
    }
}

/// A transaction that is applied and sent to the log, which hasn't answered.
struct OpenTransaction {
    commands: Vec<Box<dyn QueuedCommand>>,
    effects: AfterCommit,
    size: GroupSize,
    /// Its callers were told that nobody knows.
    is_answered: bool,
}

/// What is measured of a transaction, also where nobody waits for it any more.
#[derive(Clone, Copy)]
struct GroupSize {
    begun: Instant,
    commands: usize,
}

impl OpenTransaction {
    fn new(commands: Vec<Box<dyn QueuedCommand>>, effects: AfterCommit, size: GroupSize) -> Self {
        Self { commands, effects, size, is_answered: false }
    }
}

impl FrameLog {
    pub(super) fn new(log: Port<AppendRows>, packer: FramePacker) -> Self {
        Self { log, packer, open: None, closing: None, silence: None, gathering: Gathering::default() }
    }

    /// Whether a transaction is open, so that none can begin.
    pub(super) fn is_busy(&self) -> bool {
        self.open.is_some()
    }

    /// Whether more commands than these are expected at once.
    pub(super) fn expects_more(&self, waiting: usize) -> bool {
        waiting < self.gathering.expected
    }

    /// What waits is the next transaction, as it is.
    pub(super) fn expect_nothing(&mut self) {
        self.gathering.expected = 0;
    }

    /// Whether the log keeps callers waiting for longer than they wait.
    pub(super) fn is_stuck(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.is_answered)
    }

    /// For a connection that was opened anew.
    pub(super) fn reopen(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.packer = FramePacker::open(connection)?;
        Ok(())
    }

    /// Told once no transaction is open.
    pub(super) fn when_closed(&mut self) -> Option<oneshot::Receiver<()>> {
        self.open.as_ref().filter(|open| !open.is_answered)?;
        let (closing, closed) = oneshot::channel();
        self.closing = Some(closing);
        Some(closed)
    }

    fn end_closing(&mut self) {
        if let Some(closing) = self.closing.take() {
            let _nobody_waits_any_more = closing.send(());
        }
    }
}

/// While the log doesn't answer: nothing new is begun.
pub(super) fn log_silent() -> Error {
    let detail = "the cluster's log (cluster.log) doesn't answer; nothing of this was stored: send it again";
    Error::new(Code::Storage, detail)
}

fn fate_unknown() -> Error {
    let detail = "the cluster's log (cluster.log) doesn't answer: whether this was stored is not known: send it again, with \
                  the same lease or Idempotency-Key";
    Error::new(Code::Storage, detail)
}

impl DatabaseOwner {
    /// Applies the commands, and sends what they change to the log; what changes nothing is committed at once.
    pub(super) fn begin_commit(&mut self, mut commands: Vec<Box<dyn QueuedCommand>>, ctx: &mut Context<Self>) {
        let size = GroupSize { begun: Instant::now(), commands: commands.len() };
        let framed = match self.refusal(commands.len()) {
            Some(refusal) => Err(refusal),
            None => {
                self.apply_and_pack(&mut commands).map_err(|failure| self.fail_commit(commands.len(), &failure, ctx))
            }
        };
        match framed {
            Err(error) => self.refuse_all(commands, &error),
            Ok((effects, None)) => self.end_commit(OpenTransaction::new(commands, effects, size), None, ctx),
            Ok((effects, Some(frame))) => self.send_frame(OpenTransaction::new(commands, effects, size), frame, ctx),
        }
    }

    fn apply_and_pack(
        &mut self,
        commands: &mut [Box<dyn QueuedCommand>],
    ) -> std::result::Result<(AfterCommit, Option<AppendRows>), FailedTransaction> {
        let at = self.kit.now();
        let (Some(connection), Some(frames)) = (&self.connection, &mut self.frames) else {
            return Ok((AfterCommit::default(), None));
        };
        let mut transaction = WriteTransaction { path: &self.config.path, connection, names: &mut self.names };
        let framed = transaction
            .apply_all(commands)
            .and_then(|effects| Ok((effects, frames.packer.pack_changes(connection, at)?)));
        framed.map_err(|err| {
            transaction.undo();
            FailedTransaction { err, is_unknown: false }
        })
    }

    fn send_frame(&mut self, open: OpenTransaction, frame: AppendRows, ctx: &mut Context<Self>) {
        let Some(frames) = &mut self.frames else { return };
        frames.expect_nothing();
        frames.open = Some(open);
        let mut appended = Box::pin(frames.log.call(frame));
        // One wait for both: a timer of each transaction would outlive it, and all of them are polled with the actor.
        let soon = async move {
            let answered = tokio::time::timeout(ANSWER_WITHIN, &mut appended).await;
            answered.map_err(|_| appended)
        };
        self.ask(ctx, soon, |this, answered, ctx| match answered {
            Ok(answer) => this.settle_commit(answer, ctx),
            Err(appended) => {
                this.answer_unknown();
                this.ask(ctx, appended, Self::settle_commit);
            }
        });
    }

    /// The log has answered.
    fn settle_commit(&mut self, appended: Result<u64>, ctx: &mut Context<Self>) {
        match appended {
            Ok(entry) => {
                let Some(open) = self.frames.as_mut().and_then(|frames| frames.open.take()) else { return };
                let (answered, took) = (open.size.commands, open.size.begun.elapsed());
                self.end_commit(open, Some(entry), ctx);
                self.end_silence();
                self.expect_commands(answered, took, ctx);
            }
            // The log never holds it: this node leads no more, and restarts; or it was never sent.
            Err(error) if matches!(error.code, Code::NotLeader | Code::Busy) => {
                let Some(open) = self.frames.as_mut().and_then(|frames| frames.open.take()) else { return };
                self.undo_transaction();
                self.refuse_all(open.commands, &error);
            }
            // It may hold it, and nobody here will hear: only a start finds out.
            Err(error) => {
                log::error!("event=commit_unknown error={error:?}");
                self.answer_unknown();
                self.kit.give_up();
            }
        }
        self.go_on(ctx);
    }

    /// Commits what the log holds, or what it needn't hold.
    fn end_commit(&mut self, open: OpenTransaction, entry: Option<u64>, ctx: &mut Context<Self>) {
        let OpenTransaction { commands, effects, size, .. } = open;
        let committed = self.commit_entry(entry);
        self.metrics.record_commit(size.commands, size.begun.elapsed());
        if let Err(err) = committed {
            let failure = FailedTransaction { err, is_unknown: entry.is_some() };
            let error = self.fail_commit(commands.len(), &failure, ctx);
            if entry.is_some() {
                // The log holds it, and so will every node but this one: only a start applies it here.
                self.kit.give_up();
            }
            return self.refuse_all(commands, &error);
        }
        self.answer_all(commands, effects);
    }

    fn commit_entry(&mut self, entry: Option<u64>) -> rusqlite::Result<()> {
        let (Some(connection), Some(frames)) = (&self.connection, &mut self.frames) else { return Ok(()) };
        if let Some(entry) = entry {
            frames.packer.note_entry(connection, entry)?;
        }
        WriteTransaction { path: &self.config.path, connection, names: &mut self.names }.commit()
    }

    /// Whoever was answered sends the next command soon. It goes with those that wait already: else clients fall apart into
    /// two groups, and each waits for the other's transaction.
    fn expect_commands(&mut self, answered: usize, took: Duration, ctx: &mut Context<Self>) {
        let waiting = self.queue.borrow().len();
        let Some(frames) = self.frames.as_mut().filter(|_| answered > 1) else { return };
        let number = frames.gathering.begin(answered + waiting);
        self.ask(ctx, tokio::time::sleep((took / EXPECTED_WITHIN).min(LONGEST_GATHERING)), move |this, (), ctx| {
            this.frames.iter_mut().for_each(|frames| frames.gathering.end(number));
            this.go_on(ctx);
        });
    }

    fn undo_transaction(&mut self) {
        if let Some(connection) = &self.connection {
            WriteTransaction { path: &self.config.path, connection, names: &mut self.names }.undo();
        }
    }

    /// What came meanwhile is the next transaction.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        self.flush_queue(ctx);
        if let Some(frames) = self.frames.as_mut().filter(|frames| !frames.is_busy() || frames.is_stuck()) {
            frames.end_closing();
        }
    }

    /// Nobody waits for longer; the transaction stays open.
    fn answer_unknown(&mut self) {
        let Some(frames) = &mut self.frames else { return };
        let Some(open) = frames.open.as_mut().filter(|open| !open.is_answered) else { return };
        open.is_answered = true;
        let commands = std::mem::take(&mut open.commands);
        frames.silence = Some(LogSilence { since: self.kit.now() - ANSWER_WITHIN, refused: commands.len() });
        frames.end_closing();
        log::error!("event=log_silent commands={}", commands.len());
        self.refuse_all(commands, &fate_unknown());
        self.refuse_waiting();
    }

    /// Stores one alert of a silence, with what comes next.
    fn end_silence(&mut self) {
        let Some(silence) = self.frames.as_mut().and_then(|frames| frames.silence.take()) else { return };
        let now = self.kit.now();
        log::warn!("event=log_speaks since={} refused={}", utc_seconds(silence.since), silence.refused);
        if self.last_outage_alert.is_none_or(|last| now - last >= ALERT_INTERVAL) {
            self.last_outage_alert = Some(now);
            let alert = own_command(RaiseAlerts { alerts: vec![silence.to_alert(now)] });
            self.queue.borrow_mut().push(alert);
        }
    }

    /// What waits isn't begun while the log is silent.
    pub(super) fn refuse_waiting(&mut self) {
        let waiting = std::mem::take(&mut *self.queue.borrow_mut());
        if let Some(silence) = self.frames.as_mut().and_then(|frames| frames.silence.as_mut()) {
            silence.refused += waiting.len();
        }
        self.refuse_all(waiting, &log_silent());
    }

    fn refuse_all(&self, commands: Vec<Box<dyn QueuedCommand>>, error: &Error) {
        for mut command in commands {
            command.fail_with(error.clone());
            command.send_answer();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Gathering;

    #[test]
    fn a_late_timer_ends_no_later_wait() {
        let mut gathering = Gathering::default();
        let (first, second) = (gathering.begin(4), gathering.begin(5));
        gathering.end(first);
        assert_eq!(gathering.expected, 5);
        gathering.end(second);
        assert_eq!(gathering.expected, 0);
    }
}

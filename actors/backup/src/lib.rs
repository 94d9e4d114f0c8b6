//! The backup actor: takes snapshots when they are due, when asked, and at the stop; keeps the newest.
//!
//! The DB owner makes the copy and checks it; it counts once it was read back from its place. When the last one was
//! taken is told by the names of the files, so a restart neither skips nor doubles one.

mod place;
mod segments;
mod ship;
#[cfg(test)]
mod ship_tests;
mod tell;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::PathBuf;

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{
    Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, ResponseFuture, Supervised, Supervisor,
};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::Pong;
use flowlord_kernel::fault::{self, Point};
use flowlord_kernel::{
    Activity, Busy, Code, Error, Guarded, LatePort, Ping, Port, Result, SharedClock, Supervision, Tick,
    Timer, Wakes, guarded,
};
use flowlord_messages::AlertSender;
use flowlord_messages::hint::SnapshotsChanged;
use flowlord_messages::rowlog::LogPoint;
use flowlord_messages::snapshot::{
    BackUp, BackupState, CopyDatabase, ListSnapshots, ReadBackup, Snapshot, Snapshots, StopBackup,
    TakeSnapshot,
};
use tokio::sync::oneshot;

pub use crate::place::{Found, LogReceipt, Place, PlaceError, Receipt, taken_at};
pub use crate::segments::SegmentName;
pub use crate::ship::{ShipConfig, ShipDeps, Shipper};
use crate::tell::Told;

/// After a snapshot that failed, when to try again, unless the next one is due sooner.
const TRY_AGAIN: TimeDelta = TimeDelta::minutes(10);

/// How many snapshots may wait for their turn.
const MAX_WAITING: usize = 16;

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Config {
    /// A folder of this machine, for copies on their way to a place elsewhere.
    pub spool: PathBuf,
    /// How often one is taken; none for only when asked.
    pub every: Option<TimeDelta>,
    /// How many are kept.
    pub keep: usize,
    /// The log of changes that a snapshot is wanted for; none while none is kept.
    pub chain: Option<u64>,
}

/// What it works with.
#[derive(Debug, Clone)]
pub struct Deps {
    /// The clock.
    pub clock: SharedClock,
    /// Work under way.
    pub activity: Activity,
    /// Restarts.
    pub supervision: Supervision,
    /// To the DB owner; its patience is that of a large copy.
    pub copy: Port<CopyDatabase>,
    /// To the DB owner.
    pub raise: AlertSender,
    /// To the web, for those who look on.
    pub changed: LatePort<SnapshotsChanged>,
}

type Reply = oneshot::Sender<Result<Snapshot>>;

/// A snapshot that is being taken or waits for its turn, and who asked for it.
#[derive(Debug)]
struct Run {
    to: Option<PathBuf>,
    replies: Vec<Reply>,
    _busy: Busy,
}

/// The actor.
#[derive(Debug)]
pub struct Backup {
    config: Config,
    deps: Deps,
    place: Place,
    timer: Timer,
    /// The first one is being taken.
    runs: VecDeque<Run>,
    /// The newest one in the usual place that was verified.
    verified: Option<Snapshot>,
    /// Up to where that one holds the log of changes.
    log: Option<LogPoint>,
    /// Why the last one there failed.
    problem: Option<String>,
    told: Told,
}

impl Backup {
    /// Starts it in `arbiter`.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, config: Config, place: Place, deps: Deps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::new(deps.clock.clone()),
            place,
            config,
            deps,
            runs: VecDeque::new(),
            verified: None,
            log: None,
            problem: None,
            told: Told::default(),
        })
    }

    /// Reads when the last one was taken, and sets the timer to the next.
    fn plan(&mut self, busy: Busy, ctx: &mut Context<Self>) {
        let (place, spool) = (self.place.clone(), self.config.spool.clone());
        let found = async move {
            // What a copy that was cut off left there.
            let _none_is_fine = actix_rt::task::spawn_blocking(move || std::fs::remove_dir_all(spool)).await;
            newest_verified(&place).await.map_err(|err| storage(&err))
        };
        ctx.spawn(wrap_future::<_, Self>(found).map(move |found: Result<_>, this, ctx| {
            match found {
                Ok(Some((newest, log))) => (this.verified, this.log) = (Some(newest), log),
                Ok(None) => {}
                Err(err) => log::error!("event=snapshots_unread error={err:?}"),
            }
            if let Some(every) = this.config.every {
                let now = this.deps.clock.now();
                let last = this.verified.as_ref().map(|newest| newest.at);
                // One of another log is none that this one's segments go on from.
                let goes_on =
                    this.config.chain == this.log.map(|log| log.chain) || this.config.chain.is_none();
                // A snapshot of the future was taken before the clock was set back.
                let due = last.filter(|last| *last <= now && goes_on).map_or(now, |last| later(last, every));
                this.timer.set(Some(due), ctx, |this| &mut this.timer);
            }
            drop(busy);
        }));
    }

    fn take(
        &mut self,
        to: Option<PathBuf>,
        reply: Option<Reply>,
        busy: Option<Busy>,
        ctx: &mut Context<Self>,
    ) {
        if let Some(run) = self.runs.iter_mut().find(|run| run.to == to) {
            run.replies.extend(reply);
            return;
        }
        if self.runs.len() >= MAX_WAITING {
            let busy = Error::new(Code::Busy, "too many snapshots wait to be taken; try again later");
            return answer(reply, &Err(busy));
        }
        self.queue(to, reply, busy, ctx);
    }

    fn queue(
        &mut self,
        to: Option<PathBuf>,
        reply: Option<Reply>,
        busy: Option<Busy>,
        ctx: &mut Context<Self>,
    ) {
        let busy = busy.unwrap_or_else(|| self.deps.activity.begin());
        self.runs.push_back(Run { to, replies: reply.into_iter().collect(), _busy: busy });
        if self.runs.len() == 1 {
            self.run(ctx);
        }
    }

    /// Takes the first of those that wait.
    fn run(&mut self, ctx: &mut Context<Self>) {
        let Some(run) = self.runs.front() else { return };
        let (at, usual, to) = (self.deps.clock.now(), run.to.is_none(), run.to.clone());
        let (copy, place) = (self.deps.copy.clone(), self.place.clone());
        let (spool, keep) = (self.config.spool.clone(), self.config.keep);
        let taken = async move {
            let Some(to) = to else { return take_usual(&copy, &place, spool, at, keep).await };
            let copied = copy.call(CopyDatabase { to }).await?;
            let location = copied.path.display().to_string();
            Ok((Snapshot { location, at, bytes: copied.bytes, verified: true }, None))
        };
        ctx.spawn(wrap_future::<_, Self>(taken).map(move |taken, this, ctx| {
            let taken = taken.map(|(snapshot, kept): (Snapshot, Option<Kept>)| {
                this.log = kept.map_or(this.log, |kept| kept.log);
                this.forget_segments(kept.and_then(|kept| kept.oldest), ctx);
                snapshot
            });
            guarded(this, ctx, |this, ctx| this.taken(usual, &taken, at, ctx));
            let done = this.runs.pop_front();
            this.run(ctx);
            answer(done.into_iter().flat_map(|run| run.replies), &taken);
        }));
    }

    /// Segments that are older than every snapshot leave beside the next one.
    fn forget_segments(&self, oldest: Option<DateTime<Utc>>, ctx: &mut Context<Self>) {
        let (Some(oldest), Some(_)) = (oldest, self.config.chain) else { return };
        let (place, busy) = (self.place.clone(), self.deps.activity.begin());
        ctx.spawn(wrap_future::<_, Self>(async move {
            if let Err(err) = place.forget_segments(oldest).await {
                log::warn!("event=segments_not_removed error={err:?}");
            }
            drop(busy);
        }));
    }

    fn taken(&mut self, usual: bool, taken: &Result<Snapshot>, at: DateTime<Utc>, ctx: &mut Context<Self>) {
        match taken {
            Ok(Snapshot { location, bytes, .. }) => {
                log::info!("event=snapshot_taken location={location:?} bytes={bytes}");
            }
            Err(err) => log::error!("event=snapshot_failed error={err:?}"),
        }
        if !usual {
            return;
        }
        self.deps.changed.hint(SnapshotsChanged);
        if let Ok(snapshot) = taken {
            self.verified = Some(snapshot.clone());
        }
        let problem = taken.as_ref().err().map(|err| err.detail.clone());
        let newest = self.verified.as_ref().map(|newest| newest.at);
        let alerts = self.told.judge(problem.as_deref(), newest, self.config.every, self.deps.clock.now());
        alerts.into_iter().for_each(|alert| self.deps.raise.raise(alert));
        if let Some(every) = self.config.every {
            let pause = if problem.is_some() { every.min(TRY_AGAIN) } else { every };
            self.timer.set(Some(later(at, pause)), ctx, |this| &mut this.timer);
        }
        self.problem = problem;
    }
}

fn later(at: DateTime<Utc>, pause: TimeDelta) -> DateTime<Utc> {
    at.checked_add_signed(pause).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn answer(replies: impl IntoIterator<Item = Reply>, taken: &Result<Snapshot>) {
    for reply in replies {
        let _nobody_waits_any_more = reply.send(taken.clone());
    }
}

/// What is known of a snapshot in the usual place beside itself.
#[derive(Debug, Clone, Copy)]
struct Kept {
    log: Option<LogPoint>,
    /// When the oldest one was begun that stays.
    oldest: Option<DateTime<Utc>>,
}

fn storage(err: &PlaceError) -> Error {
    Error::new(Code::Storage, err.to_string())
}

async fn newest_verified(
    place: &Place,
) -> std::result::Result<Option<(Snapshot, Option<LogPoint>)>, PlaceError> {
    let listed = place.list().await?;
    let Some(newest) = listed.iter().find(|found| found.verified) else { return Ok(None) };
    let log = place.receipt(&newest.name).await?.and_then(|receipt| receipt.log);
    Ok(Some((place.told(newest), log.and_then(|log| log.point()))))
}

/// One more in the usual place, read back from there; then the oldest go.
async fn take_usual(
    copy: &Port<CopyDatabase>,
    place: &Place,
    spool: PathBuf,
    at: DateTime<Utc>,
    keep: usize,
) -> Result<(Snapshot, Option<Kept>)> {
    let name = Place::name(at);
    let there = place.local(&name);
    let spooled = there.is_none();
    let to = there.unwrap_or_else(|| spool.join(&name));
    let copied = copy.call(CopyDatabase { to }).await?;
    let sent = place.send(&name, at, &copied.path, copied.log).await;
    let kept = match sent {
        Ok(_) if fault::at(Point::DuringUpload, spool.parent().unwrap_or(&spool)).is_some() => {
            Err(PlaceError::Store(flowlord_store::Error::NotFound { at: name.clone() }))
        }
        Ok(receipt) => place.confirm(&name, &receipt).await,
        Err(err) => Err(err),
    };
    if spooled {
        let _removed_at_the_next_start =
            actix_rt::task::spawn_blocking(move || std::fs::remove_file(&copied.path)).await;
    }
    let found = kept.map_err(|err| storage(&err))?;
    let old = |err| Error::new(Code::Storage, format!("old snapshots can't be removed: {err}"));
    let oldest = place.keep(keep).await.map_err(old)?;
    Ok((place.told(&found), Some(Kept { log: copied.log, oldest })))
}

impl Actor for Backup {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(64);
        let busy = self.deps.activity.begin();
        self.plan(busy, ctx);
    }
}

impl Supervised for Backup {
    fn restarting(&mut self, _ctx: &mut Self::Context) {
        // Whoever waits hears that there is no answer; the copy itself is whole or not there.
        self.runs.clear();
        self.timer = Timer::new(self.deps.clock.clone());
    }
}

impl Guarded for Backup {
    fn supervision(&self) -> &Supervision {
        &self.deps.supervision
    }
}

impl Wakes for Backup {
    fn wake(&mut self, tick: Tick, ctx: &mut Context<Self>) {
        self.take(None, None, tick.busy, ctx);
    }
}

impl Handler<TakeSnapshot> for Backup {
    type Result = ResponseFuture<Result<Snapshot>>;

    fn handle(&mut self, take: TakeSnapshot, ctx: &mut Self::Context) -> Self::Result {
        let (reply, taken) = oneshot::channel();
        guarded(self, ctx, |this, ctx| this.take(take.to, Some(reply), None, ctx));
        let gone = |_| Error::new(Code::Internal, "the snapshot was given up; see the log");
        Box::pin(async move { taken.await.map_err(gone)? })
    }
}

impl Handler<BackUp> for Backup {
    type Result = ();

    fn handle(&mut self, _: BackUp, ctx: &mut Self::Context) {
        if self.config.every.is_some() {
            guarded(self, ctx, |this, ctx| this.take(None, None, None, ctx));
        }
    }
}

impl Handler<ListSnapshots> for Backup {
    type Result = ResponseFuture<Result<Snapshots>>;

    fn handle(&mut self, _: ListSnapshots, _: &mut Self::Context) -> Self::Result {
        let (place, next, problem) = (self.place.clone(), self.timer.at(), self.problem.clone());
        Box::pin(async move {
            let unread = |err| Error::new(Code::Storage, format!("the snapshots can't be listed: {err}"));
            let items = place.list().await.map_err(unread)?.iter().map(|found| place.told(found)).collect();
            Ok(Snapshots { items, next, problem })
        })
    }
}

impl Handler<ReadBackup> for Backup {
    type Result = Result<BackupState>;

    fn handle(&mut self, _: ReadBackup, _: &mut Self::Context) -> Self::Result {
        Ok(BackupState {
            place: self.config.every.map(|_| self.place.location("")),
            verified: self.verified.clone(),
            log: self.log,
            next: self.timer.at(),
            problem: self.problem.clone(),
        })
    }
}

impl Handler<StopBackup> for Backup {
    type Result = ResponseFuture<Result<()>>;

    fn handle(&mut self, _: StopBackup, ctx: &mut Self::Context) -> Self::Result {
        self.timer.set(None, ctx, |this| &mut this.timer);
        if self.config.every.is_none() {
            return Box::pin(async { Ok(()) });
        }
        // Not shared with one that runs: what was answered since it began belongs into the last one.
        let (reply, taken) = oneshot::channel();
        guarded(self, ctx, |this, ctx| {
            this.config.every = None;
            this.queue(None, Some(reply), None, ctx);
        });
        Box::pin(async move {
            let gone = |_| Error::new(Code::Internal, "the last snapshot was given up; see the log");
            taken.await.map_err(gone)?.map(drop)
        })
    }
}

impl Handler<Ping> for Backup {
    type Result = Result<Pong>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Result<Pong> {
        Ok(Pong { restarts: self.deps.supervision.restarts() })
    }
}

//! The backup actor: takes snapshots when they are due, when asked, and at the stop; keeps the newest.
//!
//! The DB owner makes the copy and checks it. When the last one was taken is told by the names of the files, so a
//! restart neither skips nor doubles one.

mod place;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{
    Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, ResponseFuture, Supervised, Supervisor,
};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::{AlertKind, NewAlert};
use flowlord_messages::health::Pong;
use flowlord_messages::hint::SnapshotsChanged;
use flowlord_messages::snapshot::{
    BackUp, CopyDatabase, ListSnapshots, Snapshot, Snapshots, StopBackup, TakeSnapshot,
};
use flowlord_messages::write::RaiseAlerts;
use flowlord_messages::{
    Activity, Busy, Code, Error, Guarded, LatePort, Ping, Port, Result, SharedClock, Supervision, Tick,
    Timer, Wakes, guarded,
};
use tokio::sync::oneshot;

pub use crate::place::Place;

/// After a snapshot that failed, when to try again, unless the next one is due sooner.
const TRY_AGAIN: TimeDelta = TimeDelta::minutes(10);

/// How many snapshots may wait for their turn.
const MAX_WAITING: usize = 16;

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder of the snapshots.
    pub folder: PathBuf,
    /// How often one is taken; none for only when asked.
    pub every: Option<TimeDelta>,
    /// How many are kept.
    pub keep: usize,
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
    pub raise: Port<RaiseAlerts>,
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
    /// Why the last one in the usual place failed.
    problem: Option<String>,
}

impl Backup {
    /// Starts it in `arbiter`.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: Deps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::new(deps.clock.clone()),
            place: Place(config.folder.clone()),
            config,
            deps,
            runs: VecDeque::new(),
            problem: None,
        })
    }

    /// Reads when the last one was taken, and sets the timer to the next.
    fn plan(&mut self, busy: Busy, ctx: &mut Context<Self>) {
        let Some(every) = self.config.every else { return };
        let place = self.place.clone();
        let list = actix_rt::task::spawn_blocking(move || place.list());
        ctx.spawn(wrap_future::<_, Self>(list).map(move |found, this, ctx| {
            let now = this.deps.clock.now();
            let last = found.ok().and_then(io::Result::ok).and_then(|found| Some(found.first()?.at));
            // A snapshot of the future was taken before the clock was set back.
            let due = last.filter(|last| *last <= now).map_or(now, |last| later(last, every));
            this.timer.set(Some(due), ctx, |this| &mut this.timer);
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
        let at = self.deps.clock.now();
        let (usual, to) = (run.to.is_none(), run.to.clone().unwrap_or_else(|| self.place.file(at)));
        let call = self.deps.copy.call(CopyDatabase { to });
        let (place, keep) = (self.place.clone(), self.config.keep);
        let taken = async move {
            let copied = call.await?;
            if usual {
                let kept = actix_rt::task::spawn_blocking(move || place.keep(keep)).await;
                kept.map_err(io::Error::other).and_then(|kept| kept).map_err(|err| {
                    Error::new(Code::Storage, format!("old snapshots can't be removed: {err}"))
                })?;
            }
            Ok(Snapshot { location: copied.path.display().to_string(), at, bytes: copied.bytes })
        };
        ctx.spawn(wrap_future::<_, Self>(taken).map(move |taken, this, ctx| {
            guarded(this, ctx, |this, ctx| this.taken(usual, &taken, at, ctx));
            let done = this.runs.pop_front();
            this.run(ctx);
            answer(done.into_iter().flat_map(|run| run.replies), &taken);
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
        let problem = taken.as_ref().err().map(|err| err.detail.clone());
        // A disk that stays full is one thing to tell, not one each time.
        if let Some(problem) = problem.as_ref().filter(|_| self.problem.is_none()) {
            self.deps.raise.hint(RaiseAlerts { alerts: vec![alert(problem, self.deps.clock.now())] });
        }
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

fn alert(problem: &str, now: DateTime<Utc>) -> NewAlert {
    NewAlert {
        kind: AlertKind::Snapshot,
        at: now,
        uid: None,
        id: String::new(),
        topic: "snapshot".to_owned(),
        job: String::new(),
        workflow: String::new(),
        msg: format!("no snapshot was taken: {problem}"),
        task_time: None,
        at_once: None,
    }
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
            let listed = actix_rt::task::spawn_blocking(move || place.list()).await;
            let unread = |err| Error::new(Code::Storage, format!("the snapshots can't be listed: {err}"));
            let items = listed.map_err(io::Error::other).and_then(|listed| listed).map_err(unread)?;
            Ok(Snapshots { items, next, problem })
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

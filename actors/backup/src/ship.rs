//! The shipper: what changed goes to the backup's place every few seconds, so that no more than that is lost with the
//! disk.
//!
//! It reads beside the writer and holds nobody up. While the place is away changes wait in the database, up to a bound;
//! past it the log begins anew, and counts again from the next snapshot on.

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{
    Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, ResponseFuture, Supervised, Supervisor,
};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::Ids as _;
use flowlord_kernel::Pong;
use flowlord_kernel::{
    Activity, Busy, Code, Error, Guarded, IdGenerator, Ping, Port, Result, SharedClock, Supervision, Tick,
    Timer, Wakes, guarded,
};
use flowlord_messages::AlertSender;
use flowlord_messages::rowlog::{
    ForgetChanges, ReadSegment, ReadShipping, RestartLog, Segment, Shipping, StopShipping,
};
use flowlord_messages::snapshot::{BackUp, ReadBackup};
use tokio::sync::oneshot;

use crate::place::Place;
use crate::tell::alert;

/// What a place that is away is given before it is told.
const PATIENCE: TimeDelta = TimeDelta::minutes(1);

/// A place that is away is asked no more often than this.
const AWAY: TimeDelta = TimeDelta::seconds(15);

/// How often a snapshot is asked for that the log can go on from.
const ASK_AGAIN: TimeDelta = TimeDelta::minutes(10);

/// How many notes are removed in one write: a few milliseconds of the writer's time.
const FORGET: usize = 10_000;

/// How the log is shipped.
#[derive(Debug, Clone)]
pub struct ShipConfig {
    /// How often; none for not at all.
    pub every: Option<TimeDelta>,
    /// So many changes may wait; 25 bytes of the database each.
    pub most: u64,
}

/// What it works with.
#[derive(Debug, Clone)]
pub struct ShipDeps {
    /// The clock.
    pub clock: SharedClock,
    /// Randomness.
    pub mint: IdGenerator,
    /// Work under way.
    pub activity: Activity,
    /// Restarts.
    pub supervision: Supervision,
    /// To the DB owner; its patience is that of a large segment.
    pub read: Port<ReadSegment>,
    /// To the DB owner.
    pub forget: Port<ForgetChanges>,
    /// To the DB owner.
    pub restart: Port<RestartLog>,
    /// To the DB owner.
    pub raise: AlertSender,
    /// To the backup actor.
    pub backup: Port<ReadBackup>,
    /// To the backup actor.
    pub back_up: Port<BackUp>,
}

/// What one try came to.
#[derive(Debug)]
enum Shipped {
    /// All is in the backup, in this log.
    All(u64),
    /// There was too much: the log began anew.
    Restarted,
}

/// The actor.
#[derive(Debug)]
pub struct Shipper {
    config: ShipConfig,
    deps: ShipDeps,
    place: Place,
    timer: Timer,
    state: Shipping,
    /// Since when it fails, and whether that was told.
    failing: Option<(DateTime<Utc>, bool)>,
    asked: DateTime<Utc>,
    running: bool,
    /// Who waits for the last one.
    last: Option<oneshot::Sender<Result<()>>>,
}

impl Shipper {
    /// Starts it in `arbiter`.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, config: ShipConfig, place: Place, deps: ShipDeps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::new(deps.clock.clone()),
            state: Shipping { on: config.every.is_some(), ..Shipping::default() },
            failing: None,
            // The backup actor looks by itself at the start whether one is needed.
            asked: deps.clock.now(),
            running: false,
            last: None,
            config,
            deps,
            place,
        })
    }

    fn ship(&mut self, busy: Option<Busy>, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.running, true) {
            return;
        }
        let busy = busy.unwrap_or_else(|| self.deps.activity.begin());
        let (deps, place, most) = (self.deps.clone(), self.place.clone(), self.config.most);
        let at = deps.clock.now();
        let shipping = async move {
            let tail = deps.read.call(ReadSegment { at, most }).await;
            let pending = tail.as_ref().map_or(0, |tail| tail.pending);
            let shipped = match tail {
                Ok(tail) => ship(&deps, &place, tail, most).await,
                Err(err) => Err(err),
            };
            (pending, shipped)
        };
        ctx.spawn(wrap_future::<_, Self>(shipping).map(move |(pending, shipped), this, ctx| {
            guarded(this, ctx, |this, ctx| this.shipped(at, pending, &shipped, ctx));
            let done = shipped.map(drop);
            if let Some(last) = this.last.take() {
                let _nobody_waits_any_more = last.send(done);
            }
            drop(busy);
        }));
    }

    fn shipped(
        &mut self,
        at: DateTime<Utc>,
        pending: u64,
        shipped: &Result<Shipped>,
        ctx: &mut Context<Self>,
    ) {
        self.running = false;
        self.state.problem = None;
        self.state.pending = pending;
        match shipped {
            Ok(Shipped::All(chain)) => {
                (self.failing, self.state.pending) = (None, 0);
                self.state.until = Some(at);
                if !self.state.based {
                    self.find_base(*chain, ctx);
                }
            }
            Ok(Shipped::Restarted) => {
                self.state.based = false;
                self.raise("more changed than may wait for it: the log begins anew with the next snapshot");
                self.ask(self.deps.clock.now());
            }
            Err(err) => self.failed(at, err),
        }
        if let Some(every) = self.config.every {
            let pause = if shipped.is_ok() { every } else { every.max(AWAY) };
            self.timer.set(Some(self.deps.clock.now() + pause), ctx, |this| &mut this.timer);
        }
    }

    fn failed(&mut self, at: DateTime<Utc>, err: &Error) {
        log::warn!("event=segment_not_shipped error={err:?}");
        self.state.problem = Some(err.detail.clone());
        let (since, told) = *self.failing.get_or_insert((at, false));
        if !told && self.deps.clock.now() - since >= PATIENCE {
            self.failing = Some((since, true));
            self.raise(&err.detail);
        }
    }

    /// One alert; what it is about ends by itself.
    fn raise(&self, problem: &str) {
        let since = self.state.until.map(|at| format!(" since {}", at.format("%Y-%m-%dT%H:%M:%SZ")));
        let msg = format!("changes{} aren't in the backup: {problem}", since.unwrap_or_default());
        self.deps.raise.raise(alert(msg, self.deps.clock.now()));
    }

    /// Looks whether there is a snapshot that this log goes on from; asks for one otherwise.
    fn find_base(&self, chain: u64, ctx: &mut Context<Self>) {
        let backup = self.deps.backup.call(ReadBackup);
        ctx.spawn(wrap_future::<_, Self>(backup).map(move |backup, this, _| {
            let base = backup.ok().and_then(|backup| backup.log);
            this.state.based = base.is_some_and(|base| base.chain == chain);
            let now = this.deps.clock.now();
            if !this.state.based && now - this.asked >= ASK_AGAIN {
                this.ask(now);
            }
        }));
    }

    fn ask(&mut self, now: DateTime<Utc>) {
        self.asked = now;
        self.deps.back_up.hint(BackUp);
    }
}

async fn ship(
    deps: &ShipDeps,
    place: &Place,
    tail: flowlord_messages::rowlog::Tail,
    most: u64,
) -> Result<Shipped> {
    let Some(chain) = tail.chain else {
        return Err(Error::new(Code::Internal, "nothing is recorded; restart the service"));
    };
    if tail.pending > most {
        let chain = deps.mint.clone().random();
        deps.restart.call(RestartLog { chain }).await?;
        return Ok(Shipped::Restarted);
    }
    let Some(segment) = tail.segment else { return Ok(Shipped::All(chain)) };
    let unkept = |err: crate::PlaceError| Error::new(Code::Storage, err.to_string());
    place.put_segment(&segment).await.map_err(unkept)?;
    let Segment { chain, upto, digest, .. } = segment;
    let forget = ForgetChanges { chain, upto, digest, limit: FORGET };
    while deps.forget.call(forget.clone()).await? {}
    Ok(Shipped::All(chain))
}

impl Actor for Shipper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(64);
        self.running = false;
        if self.config.every.is_some() {
            self.ship(None, ctx);
        }
    }
}

impl Supervised for Shipper {
    fn restarting(&mut self, _ctx: &mut Self::Context) {
        self.timer = Timer::new(self.deps.clock.clone());
    }
}

impl Guarded for Shipper {
    fn supervision(&self) -> &Supervision {
        &self.deps.supervision
    }
}

impl Wakes for Shipper {
    fn wake(&mut self, tick: Tick, ctx: &mut Context<Self>) {
        self.ship(tick.busy, ctx);
    }
}

impl Handler<ReadShipping> for Shipper {
    type Result = Result<Shipping>;

    fn handle(&mut self, _: ReadShipping, _: &mut Self::Context) -> Self::Result {
        Ok(self.state.clone())
    }
}

impl Handler<StopShipping> for Shipper {
    type Result = ResponseFuture<Result<()>>;

    fn handle(&mut self, _: StopShipping, ctx: &mut Self::Context) -> Self::Result {
        self.timer.set(None, ctx, |this| &mut this.timer);
        if self.config.every.take().is_none() {
            return Box::pin(async { Ok(()) });
        }
        // One that is under way is enough: what it leaves is in the last snapshot, or in the database.
        let (last, shipped) = oneshot::channel();
        self.last = Some(last);
        guarded(self, ctx, |this, ctx| this.ship(None, ctx));
        let gone = |_| Error::new(Code::Internal, "the last segment was given up; see the log");
        Box::pin(async move { shipped.await.map_err(gone)? })
    }
}

impl Handler<Ping> for Shipper {
    type Result = Result<Pong>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Result<Pong> {
        Ok(Pong { restarts: self.deps.supervision.restarts() })
    }
}

//! The dispatch actor: workers that wait, leases that run out.
//!
//! Which task goes to whom is decided by the DB owner, in one guarded statement. This actor only knows who
//! waits and when the next lease ends; both are gone with it and come back: workers ask again, and the earliest
//! expiry is read from the database.

mod waiting;

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{
    Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, ResponseActFuture, Supervised,
    Supervisor,
};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::decide::Outcome;
use flowlord_domain::{Ids as _, TaskResult};
use flowlord_messages::dispatch::{Heartbeat, Lease, Release, StopLeasing};
use flowlord_messages::health::Pong;
use flowlord_messages::hint::TasksReady;
use flowlord_messages::ingest::SubmitResults;
use flowlord_messages::read::NextExpiry;
use flowlord_messages::write::{
    Claim, ExtendLease, Extended, GrantLeases, Granted, ReapLeases, Reaped, ReleaseLease,
};
use flowlord_messages::{
    Activity, Busy, Code, Error, Guarded, LeaseToken, Mint, Ping, Port, Result, SharedClock, Supervision,
    Tick, Timer, Wakes, guarded,
};
use metrics::{Counter, Histogram, counter, histogram};

use crate::waiting::Waiting;

/// A task whose lease ran out this often is ended with an error.
pub const MAX_DELIVERIES: u32 = 5;

/// How many workers may wait.
const MAX_WAITING: usize = 10_000;

/// After a failed call to the database, when to try again.
const TRY_AGAIN: TimeDelta = TimeDelta::seconds(1);

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Config {
    /// The lease of a heartbeat for a task whose worker never asked for a length.
    pub lease: TimeDelta,
}

/// What it works with.
#[derive(Debug, Clone)]
pub struct Deps {
    /// The clock.
    pub clock: SharedClock,
    /// The source of secrets.
    pub mint: Mint,
    /// Work under way.
    pub activity: Activity,
    /// Restarts.
    pub supervision: Supervision,
    /// To the DB owner.
    pub grant: Port<GrantLeases>,
    /// To the DB owner.
    pub extend: Port<ExtendLease>,
    /// To the DB owner.
    pub release: Port<ReleaseLease>,
    /// To the DB owner.
    pub reap: Port<ReapLeases>,
    /// To the DB readers.
    pub next_expiry: Port<NextExpiry>,
    /// To ingest: attempts whose leases ran out too often end like any other.
    pub submit: Port<SubmitResults>,
}

/// The actor.
#[derive(Debug)]
pub struct Dispatch {
    config: Config,
    deps: Deps,
    waiting: Waiting,
    /// At the earlier of the next end of a wait and the next end of a lease.
    timer: Timer,
    next_expiry: Option<DateTime<Utc>>,
    reaping: bool,
    stopping: bool,
    /// How long workers waited that got a task.
    waits: Histogram,
    expired: Counter,
}

impl Dispatch {
    /// Starts it in `arbiter`.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: Deps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::new(deps.clock.clone()),
            config,
            deps,
            waiting: Waiting::default(),
            next_expiry: None,
            reaping: false,
            stopping: false,
            waits: histogram!("flowlord_lease_wait_seconds"),
            expired: counter!("flowlord_leases_expired_total"),
        })
    }

    fn read_next_expiry(&mut self, ctx: &mut Context<Self>, busy: Option<Busy>) {
        let read = wrap_future::<_, Self>(self.deps.next_expiry.call(NextExpiry));
        ctx.spawn(read.map(move |next, this, ctx| {
            let retry = this.deps.clock.now() + TRY_AGAIN;
            let next = next.unwrap_or_else(|err| {
                log::warn!("event=next_expiry_unread error={err:?}");
                Some(retry)
            });
            this.expire_no_later_than(next, ctx);
            drop(busy);
        }));
    }

    /// Asks the database for tasks for these waiting workers.
    fn grant(&mut self, ids: Vec<u64>, ctx: &mut Context<Self>) {
        let seed = || self.deps.mint.random();
        let (ids, wanted) = self.waiting.ask(ids, seed);
        if ids.is_empty() {
            return;
        }
        let busy = self.deps.activity.begin();
        let call = self.deps.grant.call(GrantLeases { now: self.deps.clock.now(), wanted });
        ctx.spawn(wrap_future::<_, Self>(call).map(move |granted, this, ctx| {
            guarded(this, ctx, |this, ctx| this.granted(&ids, granted, ctx));
            drop(busy);
        }));
    }

    fn granted(&mut self, ids: &[u64], granted: Result<Vec<Vec<Granted>>>, ctx: &mut Context<Self>) {
        match granted {
            Ok(granted) => {
                let all_got_some = granted.iter().all(|tasks| !tasks.is_empty());
                let mut topics = Vec::new();
                for (id, tasks) in ids.iter().zip(granted) {
                    topics.extend(self.hand_over(*id, tasks, ctx));
                }
                if all_got_some {
                    // There may be more for those who wait behind them.
                    let next =
                        topics.iter().flat_map(|(topic, job)| self.waiting.longest(topic, job)).collect();
                    self.grant(next, ctx);
                }
                let again = self.waiting.to_ask_again(ids);
                self.grant(again, ctx);
            }
            Err(err) => {
                for id in ids {
                    if let Some(waiter) = self.waiting.remove(*id) {
                        let _gone = waiter.reply.send(Err(err.clone()));
                    }
                }
            }
        }
        self.set_timer(ctx);
    }

    /// Gives a worker its tasks, and answers for which topics there were any.
    fn hand_over(&mut self, id: u64, tasks: Vec<Granted>, ctx: &mut Context<Self>) -> Vec<(String, String)> {
        if tasks.is_empty() {
            let now = self.deps.clock.now();
            if self.waiting.answered(id, now)
                && let Some(waiter) = self.waiting.remove(id)
            {
                let _gone = waiter.reply.send(Ok(tasks));
            }
            return Vec::new();
        }
        let topics =
            tasks.iter().map(|granted| (granted.task.topic.clone(), granted.task.job.clone())).collect();
        let expires = tasks.iter().map(|granted| granted.expires).min();
        self.expire_no_later_than(expires, ctx);
        let sent = match self.waiting.remove(id) {
            Some(waiter) => {
                let waited = self.deps.clock.now() - waiter.since;
                self.waits.record(waited.to_std().unwrap_or_default());
                waiter.reply.send(Ok(tasks))
            }
            None => Err(Ok(tasks)),
        };
        if let Err(Ok(tasks)) = sent {
            self.give_back(&tasks, ctx);
        }
        topics
    }

    /// The worker went away while its tasks were on their way.
    fn give_back(&self, tasks: &[Granted], ctx: &mut Context<Self>) {
        for granted in tasks {
            let release =
                ReleaseLease { now: self.deps.clock.now(), lease: granted.lease, delay: TimeDelta::zero() };
            let call = wrap_future::<_, Self>(self.deps.release.call(release));
            // If this fails the lease runs out, which does the same later.
            ctx.spawn(call.map(|_, _, _| ()));
        }
    }

    fn expire_no_later_than(&mut self, at: Option<DateTime<Utc>>, ctx: &mut Context<Self>) {
        self.next_expiry = self.next_expiry.into_iter().chain(at).min();
        self.set_timer(ctx);
    }

    fn set_timer(&mut self, ctx: &mut Context<Self>) {
        let expiry = if self.reaping { None } else { self.next_expiry };
        let at = self.waiting.next_deadline().into_iter().chain(expiry).min();
        self.timer.set(at, ctx, |this| &mut this.timer);
    }

    fn end_waits(&mut self, now: DateTime<Utc>) {
        for waiter in self.waiting.take_overdue(now) {
            let _gone = waiter.reply.send(Ok(Vec::new()));
        }
    }

    fn reap(&mut self, now: DateTime<Utc>, busy: Option<Busy>, ctx: &mut Context<Self>) {
        self.reaping = true;
        let call = self.deps.reap.call(ReapLeases { now, max_deliveries: MAX_DELIVERIES });
        ctx.spawn(wrap_future::<_, Self>(call).map(move |reaped, this, ctx| {
            guarded(this, ctx, |this, ctx| this.reaped(reaped, now, busy, ctx));
        }));
    }

    fn reaped(
        &mut self,
        reaped: Result<Reaped>,
        now: DateTime<Utc>,
        busy: Option<Busy>,
        ctx: &mut Context<Self>,
    ) {
        match reaped {
            Ok(Reaped { requeued, exhausted, next }) => {
                log::debug!("event=leases_expired requeued={requeued} exhausted={}", exhausted.len());
                self.expired.increment(u64::try_from(requeued + exhausted.len()).unwrap_or(u64::MAX));
                self.next_expiry = next;
                if exhausted.is_empty() {
                    self.done_reaping(ctx);
                } else {
                    self.end(exhausted, now, busy, ctx);
                }
            }
            Err(err) => {
                log::warn!("event=reap_failed error={err:?}");
                self.next_expiry = Some(now + TRY_AGAIN);
                self.done_reaping(ctx);
            }
        }
    }

    /// Ends attempts that were handed out too often, by the way of every other result.
    fn end(
        &mut self,
        exhausted: Vec<LeaseToken>,
        now: DateTime<Utc>,
        busy: Option<Busy>,
        ctx: &mut Context<Self>,
    ) {
        let outcome = Outcome {
            result: TaskResult::Error,
            msg: format!("lease expired {MAX_DELIVERIES} times"),
            meta: String::new(),
            started: None,
            ended: None,
        };
        let results = exhausted.into_iter().map(|lease| (Claim::Lease(lease), outcome.clone())).collect();
        let call = self.deps.submit.call(SubmitResults { results });
        ctx.spawn(wrap_future::<_, Self>(call).map(move |ended, this, ctx| {
            if let Err(err) = ended {
                log::warn!("event=expired_unended error={err:?}");
                this.next_expiry = Some(now + TRY_AGAIN);
                this.done_reaping(ctx);
            } else {
                this.reap(now, busy, ctx);
            }
        }));
    }

    fn done_reaping(&mut self, ctx: &mut Context<Self>) {
        self.reaping = false;
        self.set_timer(ctx);
    }
}

impl Actor for Dispatch {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(4096);
        let busy = self.deps.activity.begin();
        self.read_next_expiry(ctx, Some(busy));
    }
}

impl Supervised for Dispatch {
    fn restarting(&mut self, _ctx: &mut Self::Context) {
        // Workers that waited get an error and ask again.
        self.waiting = Waiting::default();
        self.timer = Timer::new(self.deps.clock.clone());
        self.next_expiry = None;
        self.reaping = false;
    }
}

impl Guarded for Dispatch {
    fn supervision(&self) -> &Supervision {
        &self.deps.supervision
    }
}

impl Wakes for Dispatch {
    fn wake(&mut self, tick: Tick, ctx: &mut Context<Self>) {
        self.end_waits(tick.now);
        if !self.reaping && self.next_expiry.is_some_and(|at| at <= tick.now) {
            self.reap(tick.now, tick.busy, ctx);
        }
        self.set_timer(ctx);
    }
}

impl Handler<Lease> for Dispatch {
    type Result = Result<()>;

    fn handle(&mut self, lease: Lease, ctx: &mut Self::Context) -> Result<()> {
        guarded(self, ctx, |this, ctx| {
            if this.stopping {
                return Err(Error::new(Code::Stopping, "the service is stopping and hands out nothing more"));
            }
            if this.waiting.len() >= MAX_WAITING {
                let detail = format!("{MAX_WAITING} workers wait already; ask again later");
                return Err(Error::new(Code::Busy, detail));
            }
            let id = this.waiting.add(lease, this.deps.clock.now());
            this.grant(vec![id], ctx);
            Ok(())
        })
    }
}

impl Handler<TasksReady> for Dispatch {
    type Result = ();

    fn handle(&mut self, hint: TasksReady, ctx: &mut Self::Context) {
        guarded(self, ctx, |this, ctx| {
            let ids = hint.topics.iter().flat_map(|(topic, job)| this.waiting.longest(topic, job)).collect();
            this.grant(ids, ctx);
        });
    }
}

impl Handler<Heartbeat> for Dispatch {
    type Result = ResponseActFuture<Self, Result<Extended>>;

    fn handle(&mut self, beat: Heartbeat, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |this, _| -> ResponseActFuture<Self, Result<Extended>> {
            let extend = ExtendLease {
                now: this.deps.clock.now(),
                lease: beat.lease,
                by: beat.by,
                default: this.config.lease,
                progress: beat.progress,
                msg: beat.msg,
            };
            let call = wrap_future::<_, Self>(this.deps.extend.call(extend));
            Box::pin(call.map(|extended, this, ctx| {
                // A lease may now end earlier than any other, or live again.
                this.expire_no_later_than(extended.as_ref().ok().map(|extended| extended.expires), ctx);
                extended
            }))
        })
    }
}

impl Handler<Release> for Dispatch {
    type Result = ResponseActFuture<Self, Result<()>>;

    fn handle(&mut self, release: Release, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |this, _| -> ResponseActFuture<Self, Result<()>> {
            let now = this.deps.clock.now();
            let release = ReleaseLease { now, lease: release.lease, delay: release.delay };
            Box::pin(wrap_future(this.deps.release.call(release)))
        })
    }
}

impl Handler<StopLeasing> for Dispatch {
    type Result = Result<()>;

    fn handle(&mut self, _: StopLeasing, ctx: &mut Self::Context) -> Result<()> {
        guarded(self, ctx, |this, ctx| {
            this.stopping = true;
            for waiter in this.waiting.take_idle() {
                let _gone = waiter.reply.send(Ok(Vec::new()));
            }
            this.set_timer(ctx);
            Ok(())
        })
    }
}

impl Handler<Ping> for Dispatch {
    type Result = Result<Pong>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Result<Pong> {
        Ok(Pong { restarts: self.deps.supervision.restarts() })
    }
}

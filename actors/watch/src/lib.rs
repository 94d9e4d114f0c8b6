//! The watch actor: what should have happened by now and didn't.
//!
//! Each minute it reads what came due since its last look, by the schedules and whatever became of them, and has what
//! is overdue raised together with how far it looked: a restart neither repeats nor forgets.

mod overdue;
#[cfg(test)]
mod tests;

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, Supervised, Supervisor};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::Pong;
use flowlord_kernel::{
    Activity, Busy, Guarded, Ping, Port, Result, SharedClock, Supervision, Tick, Timer, Wakes, guarded,
};
use flowlord_messages::library::CurrentWorkflows;
use flowlord_messages::watch::{RaiseBreaches, ReadSlotTasks, ReadWatch};

/// How often to look.
const EVERY: TimeDelta = TimeDelta::minutes(1);

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Config {
    /// A task unfinished this long after its creation raises an alert.
    pub ttl: TimeDelta,
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
    /// To the library.
    pub workflows: Port<CurrentWorkflows>,
    /// To the DB readers.
    pub read: Port<ReadWatch>,
    /// To the DB readers.
    pub slots: Port<ReadSlotTasks>,
    /// To the DB owner.
    pub raise: Port<RaiseBreaches>,
}

/// The actor.
#[derive(Debug)]
pub struct Watch {
    config: Config,
    deps: Deps,
    looking: bool,
    timer: Timer,
}

impl Watch {
    /// Starts it in `arbiter`.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: Deps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::new(deps.clock.clone()),
            config,
            deps,
            looking: false,
        })
    }

    fn look(&mut self, now: DateTime<Utc>, busy: Option<Busy>, ctx: &mut Context<Self>) {
        if self.looking {
            return;
        }
        self.looking = true;
        let (deps, ttl) = (self.deps.clone(), self.config.ttl);
        let look = async move {
            let raise = overdue::look(&deps, ttl, now).await?;
            deps.raise.call(raise).await
        };
        ctx.spawn(wrap_future::<_, Self>(look).map(move |raised, this, ctx| {
            guarded(this, ctx, |this, ctx| this.ended(raised, now, ctx));
            drop(busy);
        }));
    }

    fn ended(&mut self, raised: Result<()>, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        self.looking = false;
        if let Err(err) = raised {
            log::warn!("event=watch_not_kept error={err:?}");
        }
        self.timer.set(Some(now + EVERY), ctx, |this| &mut this.timer);
    }
}

impl Actor for Watch {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(64);
        let busy = self.deps.activity.begin();
        self.look(self.deps.clock.now(), Some(busy), ctx);
    }
}

impl Supervised for Watch {
    fn restarting(&mut self, _ctx: &mut Self::Context) {
        self.looking = false;
        self.timer = Timer::new(self.deps.clock.clone());
    }
}

impl Guarded for Watch {
    fn supervision(&self) -> &Supervision {
        &self.deps.supervision
    }
}

impl Wakes for Watch {
    fn wake(&mut self, tick: Tick, ctx: &mut Context<Self>) {
        self.look(tick.now, tick.busy, ctx);
    }
}

impl Handler<Ping> for Watch {
    type Result = Result<Pong>;

    fn handle(&mut self, _: Ping, ctx: &mut Self::Context) -> Result<Pong> {
        guarded(self, ctx, |this, ctx| {
            // After the clock was set back the timer may be far away.
            let now = this.deps.clock.now();
            if this.timer.at().is_some_and(|at| at > now + EVERY) {
                let busy = this.deps.activity.begin();
                this.look(now, Some(busy), ctx);
            }
            Ok(Pong { restarts: this.deps.supervision.restarts() })
        })
    }
}

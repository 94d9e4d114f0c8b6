//! The retention actor: what is older than it is kept leaves, a little at a time.
//!
//! It begins at the start, every day after midnight UTC, and when asked. Each step is one small command among those of
//! the others, with a pause after it, so that the writer is never held up.

#[cfg(test)]
mod tests;

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, Supervised, Supervisor};
use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use flowlord_kernel::Pong;
use flowlord_kernel::{
    Activity, Busy, Guarded, Ping, Port, Result, SharedClock, Supervision, Tick, Timer, Wakes, guarded,
};
use flowlord_messages::retention::RemoveOld;
use flowlord_messages::write::{RemoveHistory, Removed};

/// Rows of each kind in one step: some milliseconds of the writer's time.
const STEP: usize = 500;

/// Between two steps; so much of the writer's time stays for the others.
const PAUSE: TimeDelta = TimeDelta::milliseconds(50);

/// After a step that failed, when to go on.
const TRY_AGAIN: TimeDelta = TimeDelta::minutes(1);

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Config {
    /// Whole days of history are kept for this long.
    pub retention: TimeDelta,
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
    /// To the DB owner.
    pub remove: Port<RemoveHistory>,
}

/// The actor.
#[derive(Debug)]
pub struct Retention {
    config: Config,
    deps: Deps,
    timer: Timer,
    /// The next step, while there is something to remove.
    next: Option<RemoveHistory>,
    tasks: usize,
    others: usize,
}

impl Retention {
    /// Starts it in `arbiter`.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: Deps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::new(deps.clock.clone()),
            config,
            deps,
            next: None,
            tasks: 0,
            others: 0,
        })
    }

    fn begin(&mut self, now: DateTime<Utc>, busy: Option<Busy>, ctx: &mut Context<Self>) {
        if self.next.is_some() {
            return;
        }
        (self.tasks, self.others) = (0, 0);
        let before = oldest_kept(now, self.config.retention);
        self.step(RemoveHistory { before, after: None, limit: STEP }, now, busy, ctx);
    }

    fn step(&mut self, step: RemoveHistory, now: DateTime<Utc>, busy: Option<Busy>, ctx: &mut Context<Self>) {
        self.next = Some(step.clone());
        let call = self.deps.remove.call(step.clone());
        ctx.spawn(wrap_future::<_, Self>(call).map(move |removed, this, ctx| {
            guarded(this, ctx, |this, ctx| this.removed(&step, removed, now, ctx));
            drop(busy);
        }));
    }

    fn removed(
        &mut self,
        step: &RemoveHistory,
        removed: Result<Removed>,
        now: DateTime<Utc>,
        ctx: &mut Context<Self>,
    ) {
        let at = match removed {
            Ok(Removed { tasks, others, next, more }) => {
                self.tasks += tasks;
                self.others += others;
                if more {
                    self.next = Some(RemoveHistory { after: next.or(step.after), ..step.clone() });
                    now + PAUSE
                } else {
                    self.ended(step);
                    tomorrow(now)
                }
            }
            Err(err) => {
                log::warn!("event=history_not_removed error={err:?}");
                now + TRY_AGAIN
            }
        };
        self.timer.set(Some(at), ctx, |this| &mut this.timer);
    }

    fn ended(&mut self, step: &RemoveHistory) {
        self.next = None;
        if self.tasks + self.others > 0 {
            log::info!(
                "event=history_removed before={} tasks={} others={}",
                step.before.format("%Y-%m-%d"),
                self.tasks,
                self.others
            );
        }
    }
}

/// Midnight UTC of the first day that is kept.
fn oldest_kept(now: DateTime<Utc>, retention: TimeDelta) -> DateTime<Utc> {
    let kept = now.checked_sub_signed(retention).unwrap_or(DateTime::<Utc>::MIN_UTC);
    kept.date_naive().and_time(NaiveTime::MIN).and_utc()
}

fn tomorrow(now: DateTime<Utc>) -> DateTime<Utc> {
    let next = now.date_naive().checked_add_days(Days::new(1)).unwrap_or(now.date_naive());
    next.and_time(NaiveTime::MIN).and_utc()
}

impl Actor for Retention {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(64);
        let busy = self.deps.activity.begin();
        self.begin(self.deps.clock.now(), Some(busy), ctx);
    }
}

impl Supervised for Retention {
    fn restarting(&mut self, _ctx: &mut Self::Context) {
        self.next = None;
        self.timer = Timer::new(self.deps.clock.clone());
    }
}

impl Guarded for Retention {
    fn supervision(&self) -> &Supervision {
        &self.deps.supervision
    }
}

impl Wakes for Retention {
    fn wake(&mut self, tick: Tick, ctx: &mut Context<Self>) {
        match self.next.clone() {
            Some(step) => self.step(step, tick.now, tick.busy, ctx),
            None => self.begin(tick.now, tick.busy, ctx),
        }
    }
}

impl Handler<RemoveOld> for Retention {
    type Result = ();

    fn handle(&mut self, _: RemoveOld, ctx: &mut Self::Context) {
        guarded(self, ctx, |this, ctx| {
            let busy = this.deps.activity.begin();
            this.begin(this.deps.clock.now(), Some(busy), ctx);
        });
    }
}

impl Handler<Ping> for Retention {
    type Result = Result<Pong>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Result<Pong> {
        Ok(Pong { restarts: self.deps.supervision.restarts() })
    }
}

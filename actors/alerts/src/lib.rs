//! The alerts actor: what people are told, and how often.
//!
//! At each tick it reads what wasn't told yet, asks the ladder (a pure function), and has the ladder's new state
//! and the message stored in one command: a restart neither repeats nor forgets. The notifier sends.

mod tell;

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{
    Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, ResponseActFuture, Supervised,
    Supervisor,
};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::ladder::{LadderState, Policy};
use flowlord_messages::alerts::{LadderStates, LadderStatus, StopAlerting};
use flowlord_messages::health::Pong;
use flowlord_messages::hint::AlertRaised;
use flowlord_messages::read::{LadderInput, ReadLadder};
use flowlord_messages::write::AdvanceLadder;
use flowlord_messages::{
    Activity, Busy, Code, Guarded, Ping, Port, Result, SharedClock, Supervision, Tick, Timer, Wakes, guarded,
};

/// The one route until there are more.
const ROUTE: &str = "default";

/// After a failed call to the database, when to try again.
const TRY_AGAIN: TimeDelta = TimeDelta::seconds(1);

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Config {
    /// The shortest and the longest time between two looks.
    pub policy: Policy,
    /// A task unfinished this long after its creation raises an alert.
    pub ttl: TimeDelta,
    /// The address in links that people click.
    pub public_url: String,
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
    /// To the DB readers.
    pub read: Port<ReadLadder>,
    /// To the DB owner.
    pub advance: Port<AdvanceLadder>,
}

/// The actor.
#[derive(Debug)]
pub struct Alerts {
    config: Config,
    deps: Deps,
    /// As last stored or read; none before the first read.
    state: Option<LadderState>,
    /// A step of which nobody knows whether it was stored. It is stored again as it is: one decided anew could
    /// take the same key for other alerts, and those would never be told.
    unanswered: Option<(LadderState, AdvanceLadder)>,
    looking: bool,
    stopping: bool,
    timer: Timer,
}

impl Alerts {
    /// Starts it in `arbiter`.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: Deps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::new(deps.clock.clone()),
            config,
            deps,
            state: None,
            unanswered: None,
            looking: false,
            stopping: false,
        })
    }

    /// Reads what wasn't told, and moves the ladder on if its time has come.
    fn look(&mut self, now: DateTime<Utc>, busy: Option<Busy>, ctx: &mut Context<Self>) {
        if self.looking || self.stopping {
            return;
        }
        self.looking = true;
        if let Some((next, advance)) = self.unanswered.take() {
            return self.advance(next, advance, now, busy, ctx);
        }
        let unfinished_before = now - self.config.ttl;
        let call = self.deps.read.call(ReadLadder { route: ROUTE.to_owned(), unfinished_before });
        ctx.spawn(wrap_future::<_, Self>(call).map(move |input, this, ctx| {
            guarded(this, ctx, |this, ctx| match input {
                Ok(input) => this.step(&input, now, unfinished_before, busy, ctx),
                Err(err) => this.failed(&err, now, ctx),
            });
        }));
    }

    fn step(
        &mut self,
        input: &LadderInput,
        now: DateTime<Utc>,
        unfinished_until: DateTime<Utc>,
        busy: Option<Busy>,
        ctx: &mut Context<Self>,
    ) {
        let (next, advance) = tell::step(&self.config, stored(input), input, now, unfinished_until);
        let Some(advance) = advance else {
            // Nothing to tell and nothing to remember, but when to look again.
            return self.wait(next, ctx);
        };
        self.advance(next, advance, now, busy, ctx);
    }

    fn advance(
        &mut self,
        next: LadderState,
        advance: AdvanceLadder,
        now: DateTime<Utc>,
        busy: Option<Busy>,
        ctx: &mut Context<Self>,
    ) {
        let again = advance.clone();
        let call = self.deps.advance.call(advance);
        ctx.spawn(wrap_future::<_, Self>(call).map(move |advanced, this, ctx| {
            guarded(this, ctx, |this, ctx| match advanced {
                Ok(()) => this.wait(next, ctx),
                Err(err) => {
                    this.unanswered = (err.code == Code::Timeout).then_some((next, again));
                    this.failed(&err, now, ctx);
                }
            });
            drop(busy);
        }));
    }

    fn wait(&mut self, state: LadderState, ctx: &mut Context<Self>) {
        self.looking = false;
        let at = if self.stopping { None } else { Some(state.next_tick) };
        self.state = Some(state);
        self.timer.set(at, ctx, |this| &mut this.timer);
    }

    fn failed(&mut self, err: &flowlord_messages::Error, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        log::warn!("event=ladder_not_moved error={err:?}");
        self.looking = false;
        let at = if self.stopping { None } else { Some(now + TRY_AGAIN) };
        self.timer.set(at, ctx, |this| &mut this.timer);
    }
}

/// The ladder's state as last stored. One that can't be read counts as none: telling again is better than silence.
fn stored(input: &LadderInput) -> Option<LadderState> {
    serde_json::from_str(input.state.as_deref()?)
        .inspect_err(|err| log::error!("event=ladder_unreadable error={err:?}"))
        .ok()
}

impl Actor for Alerts {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(2048);
        let busy = self.deps.activity.begin();
        self.look(self.deps.clock.now(), Some(busy), ctx);
    }
}

impl Supervised for Alerts {
    fn restarting(&mut self, _ctx: &mut Self::Context) {
        self.looking = false;
        self.timer = Timer::new(self.deps.clock.clone());
    }
}

impl Guarded for Alerts {
    fn supervision(&self) -> &Supervision {
        &self.deps.supervision
    }
}

impl Wakes for Alerts {
    fn wake(&mut self, tick: Tick, ctx: &mut Context<Self>) {
        self.look(tick.now, tick.busy, ctx);
    }
}

impl Handler<AlertRaised> for Alerts {
    type Result = ();

    /// The ladder looks in its own time; what is told at once is in the outbox already. But a clock that was set
    /// back has made that time too late: then it looks now, and plans anew.
    fn handle(&mut self, _: AlertRaised, ctx: &mut Self::Context) {
        guarded(self, ctx, |this, ctx| {
            let now = this.deps.clock.now();
            if this.state.as_ref().is_some_and(|state| state.wait(now) > state.interval) {
                let busy = this.deps.activity.begin();
                this.look(now, Some(busy), ctx);
            }
        });
    }
}

impl Handler<LadderStates> for Alerts {
    type Result = Result<Vec<LadderStatus>>;

    fn handle(&mut self, _: LadderStates, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |this, _| {
            let status = |state: &LadderState| {
                let incident = state.incident.as_ref();
                LadderStatus {
                    route: ROUTE.to_owned(),
                    policy: this.config.policy,
                    interval: state.interval,
                    next: state.next_tick,
                    incident_since: incident.map(|incident| incident.opened),
                    alerts: incident.map_or(0, |incident| incident.alerts),
                    steps: incident.map_or(0, |incident| incident.steps),
                    tasks: tell::tasks(incident),
                    acknowledged_by: state.acknowledged_by(),
                }
            };
            Ok(this.state.iter().map(status).collect())
        })
    }
}

impl Handler<StopAlerting> for Alerts {
    type Result = ResponseActFuture<Self, Result<()>>;

    /// A step under way is one command: it happens wholly or not at all, so there is nothing to wait for.
    fn handle(&mut self, _: StopAlerting, ctx: &mut Self::Context) -> Self::Result {
        self.stopping = true;
        self.timer.set(None, ctx, |this| &mut this.timer);
        Box::pin(actix::fut::ready(Ok(())))
    }
}

impl Handler<Ping> for Alerts {
    type Result = Result<Pong>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Result<Pong> {
        Ok(Pong { restarts: self.deps.supervision.restarts() })
    }
}

#[cfg(test)]
mod tests;

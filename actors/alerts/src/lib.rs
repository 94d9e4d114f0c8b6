//! The alerts actor: what people are told, and how often.
//!
//! There is a ladder for each route. At each tick it reads what wasn't told yet, asks the ladder (a pure function),
//! and has the ladder's new state and the message stored in one command: a restart neither repeats nor forgets. The
//! notifier sends.

mod handlers;
mod tell;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Supervised, Supervisor};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::alert::Matcher;
use flowlord_domain::ladder::{LadderState, Policy, QuietHours};
use flowlord_kernel::{
    Activity, Busy, Code, Error, Guarded, Port, Result, SharedClock, Supervision, Tick, Timer, Wakes, guarded,
};
use flowlord_messages::alerts::{Acknowledge, Acknowledged, DEFAULT_ROUTE, RouteRule, SetRoutes};
use flowlord_messages::read::{LadderInput, ReadLadder};
use flowlord_messages::write::AdvanceLadder;
use tokio::sync::oneshot;

use crate::tell::Look;

/// After a failed call to the database, when to try again.
const TRY_AGAIN: TimeDelta = TimeDelta::seconds(1);

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Config {
    /// The routes in the order in which they are tried; the default one takes what no other takes.
    pub routes: Vec<Route>,
    /// The address in links that people click.
    pub public_url: String,
}

/// A route, as far as it decides when people are told.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// Which alerts it takes; no matter for the default one.
    pub matcher: Matcher,
    /// How often it may be told.
    pub policy: Policy,
    /// Hours in which it isn't told.
    pub quiet: Option<QuietHours>,
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
    /// To the DB owner, at the start.
    pub routes: Port<SetRoutes>,
    /// To the DB readers.
    pub read: Port<ReadLadder>,
    /// To the DB owner.
    pub advance: Port<AdvanceLadder>,
}

/// The actor.
#[derive(Debug)]
pub struct Alerts {
    public_url: String,
    deps: Deps,
    ladders: Vec<Ladder>,
    /// The database knows the routes; nothing is told before.
    routed: bool,
    stopping: bool,
    timer: Timer,
}

/// The ladder of one route.
#[derive(Debug)]
struct Ladder {
    route: Route,
    /// As last stored or read; none before the first read.
    state: Option<LadderState>,
    /// A step of which nobody knows whether it was stored. It is stored again as it is: one decided anew could
    /// take the same key for other alerts, and those would never be told.
    unanswered: Option<(LadderState, AdvanceLadder)>,
    looking: bool,
    /// When to look.
    next: Option<DateTime<Utc>>,
    asked: VecDeque<Asked>,
}

/// Somebody who says that they take care, and waits for the answer.
#[derive(Debug)]
struct Asked {
    said: Acknowledge,
    answer: oneshot::Sender<Result<Option<Acknowledged>>>,
}

/// What a step is answered with once it is stored.
type Waiting = Option<(Asked, Acknowledged)>;

impl Ladder {
    fn new(route: Route) -> Self {
        Self { route, state: None, unanswered: None, looking: false, next: None, asked: VecDeque::new() }
    }

    fn is_due(&self, now: DateTime<Utc>) -> bool {
        !self.asked.is_empty() || self.next.is_some_and(|next| next <= now)
    }
}

impl Alerts {
    /// Starts it in `arbiter`.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: Deps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::new(deps.clock.clone()),
            public_url: config.public_url,
            deps,
            ladders: config.routes.into_iter().map(Ladder::new).collect(),
            routed: false,
            stopping: false,
        })
    }

    /// Tells the database the routes, and then looks at each.
    fn begin(&mut self, now: DateTime<Utc>, busy: Option<Busy>, ctx: &mut Context<Self>) {
        let others =
            self.ladders.iter().map(|ladder| &ladder.route).filter(|route| route.name != DEFAULT_ROUTE);
        let rule = |route: &Route| RouteRule { name: route.name.clone(), matcher: route.matcher.clone() };
        let routes = others.map(rule).collect();
        let call = self.deps.routes.call(SetRoutes { now, routes });
        ctx.spawn(wrap_future::<_, Self>(call).map(move |set, this, ctx| {
            guarded(this, ctx, |this, ctx| match set {
                Ok(()) => {
                    this.routed = true;
                    this.ladders.iter_mut().for_each(|ladder| ladder.next = Some(now));
                    this.look(now, ctx);
                }
                Err(err) => {
                    log::warn!("event=routes_not_set error={err:?}");
                    this.timer.set(Some(now + TRY_AGAIN), ctx, |this| &mut this.timer);
                }
            });
            drop(busy);
        }));
    }

    /// Looks at each route whose time has come, or where somebody asks.
    fn look(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        if self.stopping || !self.routed {
            return;
        }
        for index in 0..self.ladders.len() {
            let ladder = &self.ladders[index];
            if !ladder.looking && ladder.is_due(now) {
                let busy = self.deps.activity.begin();
                self.look_at(index, now, busy, ctx);
            }
        }
        self.set_timer(ctx);
    }

    fn set_timer(&mut self, ctx: &mut Context<Self>) {
        let next =
            self.ladders.iter().filter(|ladder| !ladder.looking).filter_map(|ladder| ladder.next).min();
        self.timer.set(next.filter(|_| !self.stopping), ctx, |this| &mut this.timer);
    }

    /// Reads what wasn't told, and moves the ladder on if its time has come.
    fn look_at(&mut self, index: usize, now: DateTime<Utc>, busy: Busy, ctx: &mut Context<Self>) {
        let ladder = &mut self.ladders[index];
        ladder.looking = true;
        if let Some((next, advance)) = ladder.unanswered.take() {
            return self.advance(index, next, advance, None, busy, ctx);
        }
        let call = self.deps.read.call(ReadLadder { route: ladder.route.name.clone() });
        ctx.spawn(wrap_future::<_, Self>(call).map(move |input, this, ctx| {
            guarded(this, ctx, |this, ctx| match input {
                Ok(input) => this.step(index, &input, now, busy, ctx),
                Err(err) => this.failed(index, &err, ctx),
            });
        }));
    }

    fn step(
        &mut self,
        index: usize,
        input: &LadderInput,
        now: DateTime<Utc>,
        busy: Busy,
        ctx: &mut Context<Self>,
    ) {
        let ladder = &mut self.ladders[index];
        let stored = stored(input);
        let look =
            Look { route: &ladder.route, public_url: &self.public_url, input, stored: stored.as_ref(), now };
        if let Some(asked) = ladder.asked.pop_front() {
            let Some((next, advance, tasks)) = look.acknowledge(&asked.said) else {
                let _nobody_waits_any_more = asked.answer.send(Ok(None));
                return self.rest(index, ctx);
            };
            let opened = next.incident.as_ref().map(|incident| incident.opened);
            let answer = Acknowledged { route: ladder.route.name.clone(), opened, tasks };
            return self.advance(index, next, advance, Some((asked, answer)), busy, ctx);
        }
        let (next, advance) = look.step();
        match advance {
            Some(advance) => self.advance(index, next, advance, None, busy, ctx),
            // Nothing to tell and nothing to remember, but when to look again.
            None => self.moved(index, next, ctx),
        }
    }

    fn advance(
        &mut self,
        index: usize,
        next: LadderState,
        advance: AdvanceLadder,
        waiting: Waiting,
        busy: Busy,
        ctx: &mut Context<Self>,
    ) {
        let again = advance.clone();
        let call = self.deps.advance.call(advance);
        ctx.spawn(wrap_future::<_, Self>(call).map(move |advanced, this, ctx| {
            guarded(this, ctx, |this, ctx| {
                if let Some((asked, answer)) = waiting {
                    let answer = advanced.clone().map(|()| Some(answer));
                    let _nobody_waits_any_more = asked.answer.send(answer);
                }
                match advanced {
                    Ok(()) => this.moved(index, next, ctx),
                    Err(err) => {
                        let unknown = err.code == Code::Timeout;
                        this.ladders[index].unanswered = unknown.then_some((next, again));
                        this.failed(index, &err, ctx);
                    }
                }
            });
            drop(busy);
        }));
    }

    fn moved(&mut self, index: usize, state: LadderState, ctx: &mut Context<Self>) {
        let ladder = &mut self.ladders[index];
        ladder.next = Some(state.next_tick);
        ladder.state = Some(state);
        self.rest(index, ctx);
    }

    fn failed(&mut self, index: usize, err: &Error, ctx: &mut Context<Self>) {
        let ladder = &mut self.ladders[index];
        log::warn!("event=ladder_not_moved route={} error={err:?}", ladder.route.name);
        for asked in ladder.asked.drain(..) {
            let _nobody_waits_any_more = asked.answer.send(Err(err.clone()));
        }
        ladder.next = Some(self.deps.clock.now() + TRY_AGAIN);
        self.rest(index, ctx);
    }

    fn rest(&mut self, index: usize, ctx: &mut Context<Self>) {
        self.ladders[index].looking = false;
        self.look(self.deps.clock.now(), ctx);
        self.set_timer(ctx);
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
        self.begin(self.deps.clock.now(), Some(busy), ctx);
    }
}

impl Supervised for Alerts {
    fn restarting(&mut self, _ctx: &mut Self::Context) {
        for ladder in &mut self.ladders {
            // Whoever waits hears that there is no answer.
            (ladder.looking, ladder.next) = (false, None);
            ladder.asked.clear();
        }
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
        if self.routed {
            self.look(tick.now, ctx);
        } else {
            self.begin(tick.now, tick.busy, ctx);
        }
    }
}

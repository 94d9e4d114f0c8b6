//! The notifier actor: what is in the outbox goes to Slack, in order, one at a time.
//!
//! A message stays a row until Slack took it. What Slack refused comes again later; what nobody knows the fate of
//! comes again and says so. Nothing here holds up tasks.

mod buttons;
mod click;
mod delivery;
mod fate;
mod line;
pub mod message;
mod sender;
mod slack;
#[cfg(test)]
mod tests;
mod ways;

use std::collections::BTreeMap;
use std::time::Duration;

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{
    Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, ResponseActFuture, Supervised,
    Supervisor,
};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::Pong;
use flowlord_kernel::{
    Activity, Busy, Guarded, IdGenerator, Ping, Port, Result, SharedClock, Supervision, Tick, Timer, Wakes,
    guarded,
};
use flowlord_messages::hint::Notify;
use flowlord_messages::notifier::StopNotifying;
use flowlord_messages::outbox::{
    MarkNotified, OutboxRow, PendingMessages, ReadMessage, ReadOutages, ReadThreads, RouteWay,
};
use tokio::sync::oneshot;

pub use crate::buttons::{Buttons, ButtonsConfig, ButtonsDeps};
use crate::delivery::Lane;
use crate::fate::Waiters;
use crate::message::Style;
pub use crate::ways::Route;
use crate::ways::{Turn, Ways};

/// How long Slack may take to answer, in real time.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much longer those wait who want to know what became of a message, in real time.
const WAITING: Duration = Duration::from_secs(2);

/// After a failed call to the database, when to try again.
const TRY_AGAIN: TimeDelta = TimeDelta::seconds(1);

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where messages go, by route; nowhere but into the log where there is none.
    pub routes: Vec<Route>,
    /// The base of the Web API.
    pub api_url: String,
    /// Put before each headline, in brackets.
    pub prefix: String,
    /// The title of each message.
    pub title: String,
    /// How long a way must fail before the one of the fallback route is taken.
    pub fallback_after: TimeDelta,
    /// Whether clicks are heard: without, there are no buttons.
    pub buttons: bool,
}

/// What it works with.
#[derive(Debug, Clone)]
pub struct Deps {
    /// The clock.
    pub clock: SharedClock,
    /// The source of jitter.
    pub mint: IdGenerator,
    /// Work under way.
    pub activity: Activity,
    /// Restarts.
    pub supervision: Supervision,
    /// To the DB readers.
    pub pending: Port<PendingMessages>,
    /// To the DB readers.
    pub outages: Port<ReadOutages>,
    /// To the DB readers.
    pub threads: Port<ReadThreads>,
    /// To the DB readers.
    pub message: Port<ReadMessage>,
    /// To the DB owner.
    pub mark: Port<MarkNotified>,
}

/// The actor.
#[derive(Debug)]
pub struct Notifier {
    deps: Deps,
    ways: Ways,
    style: Style,
    buttons: bool,
    lanes: BTreeMap<String, Lane>,
    waiters: Waiters,
    /// How long those wait, in real time.
    waiting: Duration,
    /// The database told which ways fail.
    ready: bool,
    /// The outbox is being read.
    reading: bool,
    /// The outbox grew meanwhile, or a lane became free.
    again: bool,
    stopping: Option<Vec<oneshot::Sender<()>>>,
    timer: Timer,
}

impl Notifier {
    /// Starts it in `arbiter`.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: Deps) -> Addr<Self> {
        Self::start_with(arbiter, config, deps, PATIENCE)
    }

    fn start_with(arbiter: &ArbiterHandle, config: Config, deps: Deps, patience: Duration) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::new(deps.clock.clone()),
            ways: Ways::new(&config.routes, &config.api_url, patience, config.fallback_after),
            style: Style { channel: None, prefix: config.prefix, title: config.title },
            buttons: config.buttons,
            deps,
            lanes: BTreeMap::new(),
            waiters: Waiters::default(),
            waiting: patience.saturating_add(WAITING),
            ready: false,
            reading: false,
            again: false,
            stopping: None,
        })
    }

    /// Looks for the next message of each route.
    fn look(&mut self, busy: Option<Busy>, ctx: &mut Context<Self>) {
        if self.reading || self.stopping.is_some() {
            self.again = true;
            return;
        }
        let busy = busy.unwrap_or_else(|| self.deps.activity.begin());
        self.reading = true;
        self.again = false;
        if !self.ready {
            let call = self.deps.outages.call(ReadOutages);
            ctx.spawn(wrap_future::<_, Self>(call).map(move |ways, this, ctx| {
                guarded(this, ctx, |this, ctx| this.learn(ways, busy, ctx));
            }));
            return;
        }
        let now = self.deps.clock.now();
        self.mark_again(now, ctx);
        let call = self.deps.pending.call(PendingMessages { limit: 1 });
        ctx.spawn(wrap_future::<_, Self>(call).map(move |rows, this, ctx| {
            guarded(this, ctx, |this, ctx| this.found(rows, now, busy, ctx));
        }));
    }

    fn learn(&mut self, ways: Result<Vec<RouteWay>>, busy: Busy, ctx: &mut Context<Self>) {
        self.reading = false;
        match ways {
            Ok(ways) => {
                ways.iter().for_each(|way| self.ways.learn(way));
                self.ready = true;
                self.again = true;
                self.rest(Some(busy), ctx);
            }
            Err(err) => self.unread(&err, busy, ctx),
        }
    }

    fn unread(&mut self, err: &flowlord_kernel::Error, busy: Busy, ctx: &mut Context<Self>) {
        log::warn!("event=outbox_unread error={err:?}");
        let at = self.deps.clock.now() + TRY_AGAIN;
        self.timer.set(Some(at), ctx, |this| &mut this.timer);
        self.rest(Some(busy), ctx);
    }

    /// What a crash or the database left unmarked is marked before anything else of the route is sent.
    fn mark_again(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        let due = |lane: &Lane| !lane.sending && lane.rest_until.is_none_or(|until| until <= now);
        let unmarked = self.lanes.iter().filter(|(_, lane)| due(lane));
        let marks: Vec<_> =
            unmarked.filter_map(|(route, lane)| Some((route.clone(), lane.unmarked.clone()?))).collect();
        for (route, mark) in marks {
            let busy = self.deps.activity.begin();
            self.mark(route, mark, busy, ctx);
        }
    }

    fn found(
        &mut self,
        rows: Result<Vec<OutboxRow>>,
        now: DateTime<Utc>,
        busy: Busy,
        ctx: &mut Context<Self>,
    ) {
        self.reading = false;
        let rows = match rows {
            Ok(rows) => rows,
            Err(err) => return self.unread(&err, busy, ctx),
        };
        // A route without messages needs no memory.
        self.lanes.retain(|route, lane| !lane.is_idle() || rows.iter().any(|row| row.route == *route));
        let mut wake = self.lanes.values().filter_map(|lane| lane.rest_until.filter(|at| *at > now)).min();
        for row in rows {
            let lane = self.lanes.entry(row.route.clone()).or_default();
            if !lane.is_idle() || lane.rest_until.is_some_and(|until| until > now) {
                continue;
            }
            match self.ways.turn(&row, now) {
                Turn::Send { via, place } => self.plan(row, via, place, ctx),
                Turn::Wait(at) => wake = Some(wake.map_or(at, |wake| wake.min(at))),
                Turn::Queue => {}
            }
        }
        if self.stopping.is_none() {
            self.timer.set(wake, ctx, |this| &mut this.timer);
        }
        self.rest(Some(busy), ctx);
    }

    /// Nothing of a route is on its way any more; it rests until `at`.
    fn free(&mut self, route: &str, at: Option<DateTime<Utc>>, busy: Busy, ctx: &mut Context<Self>) {
        if let Some(lane) = self.lanes.get_mut(route) {
            lane.sending = false;
            lane.rest_until = at;
        }
        match at {
            Some(at) if self.stopping.is_none() => {
                self.timer.no_later_than(at, ctx, |this| &mut this.timer);
            }
            _ => self.again = true,
        }
        self.rest(Some(busy), ctx);
    }

    /// Looks again where there may be more; at a stop, says when nothing is on its way any more.
    fn rest(&mut self, busy: Option<Busy>, ctx: &mut Context<Self>) {
        if self.stopping.is_some() && !self.is_under_way() {
            for waiting in self.stopping.iter_mut().flat_map(|waiting| waiting.drain(..)) {
                let _nobody_waits_any_more = waiting.send(());
            }
        } else if self.again && self.stopping.is_none() && !self.reading {
            self.look(busy, ctx);
        }
    }

    fn is_under_way(&self) -> bool {
        self.reading || self.lanes.values().any(|lane| lane.sending)
    }
}

impl Actor for Notifier {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(2048);
        self.look(None, ctx);
    }
}

impl Supervised for Notifier {
    fn restarting(&mut self, _ctx: &mut Self::Context) {
        self.reading = false;
        self.ways.reset();
        for lane in self.lanes.values_mut() {
            (lane.sending, lane.rest_until) = (false, None);
        }
        self.timer = Timer::new(self.deps.clock.clone());
    }
}

impl Guarded for Notifier {
    fn supervision(&self) -> &Supervision {
        &self.deps.supervision
    }
}

impl Wakes for Notifier {
    fn wake(&mut self, tick: Tick, ctx: &mut Context<Self>) {
        self.look(tick.busy, ctx);
    }
}

impl Handler<Notify> for Notifier {
    type Result = ();

    fn handle(&mut self, _: Notify, ctx: &mut Self::Context) {
        guarded(self, ctx, |this, ctx| this.look(None, ctx));
    }
}

impl Handler<StopNotifying> for Notifier {
    type Result = ResponseActFuture<Self, Result<()>>;

    fn handle(&mut self, _: StopNotifying, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |this, ctx| -> ResponseActFuture<Self, Result<()>> {
            let (done, stopped) = oneshot::channel();
            let under_way = this.is_under_way();
            let waiting = this.stopping.get_or_insert_default();
            if under_way {
                waiting.push(done);
            }
            this.timer.set(None, ctx, |this| &mut this.timer);
            // A dropped sender means that there was nothing to wait for.
            Box::pin(wrap_future(async move {
                let _stopped = stopped.await;
                Ok(())
            }))
        })
    }
}

impl Handler<Ping> for Notifier {
    type Result = Result<Pong>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Result<Pong> {
        Ok(Pong { restarts: self.deps.supervision.restarts() })
    }
}

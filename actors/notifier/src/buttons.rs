//! The buttons actor: what people click in Slack, heard through Socket Mode or told by the web, and done.
//!
//! A click is acknowledged once it is stored: what Slack takes for done is done. Apart from the notifier, so that
//! neither waits for the other nor falls with it.

mod act;
mod heard;
pub(crate) mod signature;
mod socket;
#[cfg(test)]
mod tests;

use std::time::Duration;

use actix::fut::{ActorFutureExt as _, ready, wrap_future};
use actix::{
    Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, ResponseActFuture, Supervised,
    Supervisor,
};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::Ids as _;
use flowlord_kernel::Pong;
use flowlord_kernel::{
    Activity, Busy, Code, Error, Guarded, IdGenerator, Ping, Port, Result, SharedClock, Supervision, Tick,
    Timer, Wakes, guarded,
};
use flowlord_messages::alerts::{Acknowledge, AddSilence};
use flowlord_messages::audit::RecordChange;
use flowlord_messages::find::FindTasks;
use flowlord_messages::notifier::{SlackCall, StopButtons};
use flowlord_messages::outbox::ReadThreads;
use flowlord_messages::write::{EnqueueMessage, RerunTasks};
use tokio::task::AbortHandle;

use crate::buttons::act::Hands;
use crate::buttons::heard::Heard;
use crate::buttons::socket::{Ear, Ended, Interaction};
use crate::click::Click;
use crate::line::Line;

/// The first wait before a new connection; it doubles with each one that fails.
const FIRST_WAIT: TimeDelta = TimeDelta::seconds(1);

/// The longest.
const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(5);

/// How many clicks may be under way through the connection.
const CLICKS: usize = 16;

/// How long one may take, in real time: longer than Slack waits.
const CLICK: Duration = Duration::from_secs(10);

/// Slack waits three seconds, in real time, for an acknowledgement.
const HANDLING: Duration = Duration::from_millis(2_500);

/// What the operator chose.
#[derive(Clone, Default)]
pub struct ButtonsConfig {
    /// An app-level token, for Socket Mode. A secret.
    pub app_token: Option<String>,
    /// What Slack signs its requests with. A secret.
    pub signing_secret: Option<String>,
    /// The base of the Web API.
    pub api_url: String,
}

impl std::fmt::Debug for ButtonsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ButtonsConfig")
            .field("app_token", &self.app_token.as_ref().map(|_| "…"))
            .field("signing_secret", &self.signing_secret.as_ref().map(|_| "…"))
            .field("api_url", &self.api_url)
            .finish()
    }
}

/// What it works with.
#[derive(Debug, Clone)]
pub struct ButtonsDeps {
    /// The clock.
    pub clock: SharedClock,
    /// The source of jitter and of ids.
    pub mint: IdGenerator,
    /// Work under way.
    pub activity: Activity,
    /// Restarts.
    pub supervision: Supervision,
    /// To the DB readers.
    pub threads: Port<ReadThreads>,
    /// To the alerts actor.
    pub acknowledge: Port<Acknowledge>,
    /// To the DB owner.
    pub silence: Port<AddSilence>,
    /// To the DB readers.
    pub tasks: Port<FindTasks>,
    /// To the DB owner.
    pub rerun: Port<RerunTasks>,
    /// To the DB owner.
    pub enqueue: Port<EnqueueMessage>,
    /// To the DB owner.
    pub record_change: Port<RecordChange>,
}

/// The actor.
#[derive(Debug)]
pub struct Buttons {
    config: ButtonsConfig,
    deps: ButtonsDeps,
    /// None where no client can be made; the reason is in the log.
    line: Option<Line>,
    /// The connection of Socket Mode.
    connection: Option<AbortHandle>,
    /// Connections in a row that Slack didn't greet.
    failures: u32,
    /// How long a click through the connection may take.
    handling: Duration,
    stopping: bool,
    timer: Timer,
    /// Since when it hears.
    since: DateTime<Utc>,
    /// Signatures of requests.
    requests: Heard,
    /// Ids of clicks.
    clicks: Heard,
}

impl Buttons {
    /// Starts it in `arbiter`.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, config: ButtonsConfig, deps: ButtonsDeps) -> Addr<Self> {
        Self::start_with(arbiter, config, deps, HANDLING)
    }

    fn start_with(
        arbiter: &ArbiterHandle,
        config: ButtonsConfig,
        deps: ButtonsDeps,
        handling: Duration,
    ) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            line: Line::new(&config.api_url)
                .inspect_err(|err| log::error!("event=slack_unusable error={err:?}"))
                .ok(),
            timer: Timer::new(deps.clock.clone()),
            since: deps.clock.now(),
            config,
            deps,
            connection: None,
            failures: 0,
            handling,
            stopping: false,
            requests: Heard::default(),
            clicks: Heard::default(),
        })
    }

    fn connect(&mut self, busy: Option<Busy>, ctx: &mut Context<Self>) {
        let (Some(line), Some(token)) = (self.line.clone(), self.config.app_token.clone()) else { return };
        if self.connection.is_some() || self.stopping {
            return;
        }
        let busy = busy.unwrap_or_else(|| self.deps.activity.begin());
        let heard = Port::new("buttons", ctx.address().recipient(), CLICKS, CLICK, &self.deps.activity);
        // A task of its own: a panic within ends the connection, not the actor.
        let ear = Ear { heard, handling: self.handling };
        let task = actix::spawn(socket::listen(line, token, ear, busy));
        self.connection = Some(task.abort_handle());
        ctx.spawn(wrap_future::<_, Self>(task).map(|ended, this, ctx| {
            guarded(this, ctx, |this, ctx| match ended {
                Ok(ended) => this.ended(ended, ctx),
                Err(err) if err.is_cancelled() => {}
                Err(err) => this.ended(Ended::early(format!("{err}")), ctx),
            });
        }));
    }

    fn ended(&mut self, ended: Ended, ctx: &mut Context<Self>) {
        self.connection = None;
        self.failures = if ended.greeted { 0 } else { self.failures.saturating_add(1) };
        let wait = match ended.remedy {
            _ if ended.asked => TimeDelta::zero(),
            Some(_) => LONGEST_WAIT,
            None => self.wait(),
        };
        let (why, remedy) = (&ended.why, ended.remedy.unwrap_or("none needed: it is opened again"));
        if ended.greeted {
            log::info!("event=slack_connection_ended why={why:?} again_in={}s", wait.num_seconds());
        } else {
            let again_in = wait.num_seconds();
            log::warn!("event=slack_not_connected error={why:?} again_in={again_in}s remedy={remedy:?}");
        }
        let at = self.deps.clock.now() + wait;
        self.timer.set(Some(at), ctx, |this| &mut this.timer);
        // Not before the next attempt is planned: a clock that moved on meanwhile would pass it over.
        drop(ended.busy);
    }

    /// Doubles with each failure; a random half of it is taken off.
    fn wait(&mut self) -> TimeDelta {
        let grown =
            FIRST_WAIT.checked_mul(1 << self.failures.min(16)).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
        let percent = i32::try_from(50 + self.deps.mint.random() % 51).unwrap_or(100);
        (grown * percent / 100).max(FIRST_WAIT)
    }

    fn disconnect(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.abort();
        }
    }

    /// Does what a person clicked, once.
    fn act(&mut self, payload: &str) -> ResponseActFuture<Self, Result<()>> {
        let click = match self.new_click(payload) {
            Ok(Some(click)) => click,
            Ok(None) => return Box::pin(ready(Ok(()))),
            Err(err) => return Box::pin(ready(Err(err))),
        };
        let id = click.id.clone();
        let hands = Hands { deps: self.deps.clone(), line: self.line.clone() };
        Box::pin(wrap_future::<_, Self>(hands.act(click)).map(move |done, this, _| {
            if done.is_err() {
                this.clicks.forget(&id);
            }
            done
        }))
    }

    /// Reads a click; none where it is nothing of ours, or was done already.
    fn new_click(&mut self, payload: &str) -> Result<Option<Click>> {
        let click = Click::read(payload)
            .map_err(|err| Error::new(Code::InvalidRequest, format!("the click can't be read: {err}")))?;
        let Some(click) = click else { return Ok(None) };
        let new = self.clicks.note(&click.id, self.deps.clock.now())?;
        Ok(new.then_some(click))
    }

    /// What Slack posted, if it did, and for the first time.
    fn verified(&mut self, call: &SlackCall) -> Result<String> {
        let Some(secret) = self.config.signing_secret.as_deref().filter(|secret| !secret.is_empty()) else {
            return Err(Error::new(
                Code::NotFound,
                "clicks aren't heard here: set notify.signing_secret to the signing secret of the app",
            ));
        };
        let now = self.deps.clock.now();
        let at = signature::check(secret, &call.timestamp, &call.signature, &call.body, now)?;
        // What was heard before a restart isn't known any more: nothing that was signed before it counts. A
        // signature has whole seconds. A clock that was set back must not make all requests old.
        let early = at.timestamp() < self.since.timestamp() && now >= self.since;
        if early || !self.requests.note(&call.signature, now)? {
            let why = "the request may be one that somebody recorded: it came before, or was signed before \
                       this service started. Click again";
            return Err(Error::new(Code::Unauthorized, why));
        }
        let mut fields = url::form_urlencoded::parse(call.body.as_bytes());
        let payload = fields.find_map(|(name, value)| (name == "payload").then(|| value.into_owned()));
        payload.ok_or_else(|| Error::new(Code::InvalidRequest, "the form has no payload"))
    }
}

impl Actor for Buttons {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(2048);
        self.connect(None, ctx);
    }
}

impl Supervised for Buttons {
    fn restarting(&mut self, _ctx: &mut Self::Context) {
        self.disconnect();
        self.timer = Timer::new(self.deps.clock.clone());
    }
}

impl Guarded for Buttons {
    fn supervision(&self) -> &Supervision {
        &self.deps.supervision
    }
}

impl Wakes for Buttons {
    fn wake(&mut self, tick: Tick, ctx: &mut Context<Self>) {
        self.connect(tick.busy, ctx);
    }
}

impl Handler<Interaction> for Buttons {
    type Result = ResponseActFuture<Self, Result<()>>;

    fn handle(&mut self, Interaction(payload): Interaction, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |this, _| -> ResponseActFuture<Self, Result<()>> { this.act(&payload) })
    }
}

impl Handler<SlackCall> for Buttons {
    type Result = ResponseActFuture<Self, Result<()>>;

    fn handle(&mut self, call: SlackCall, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |this, _| -> ResponseActFuture<Self, Result<()>> {
            match this.verified(&call) {
                Ok(payload) => this.act(&payload),
                Err(err) => Box::pin(ready(Err(err))),
            }
        })
    }
}

impl Handler<StopButtons> for Buttons {
    type Result = Result<()>;

    /// A click under way is stored or not; Slack tells the person when it wasn't.
    fn handle(&mut self, _: StopButtons, ctx: &mut Self::Context) -> Result<()> {
        self.stopping = true;
        self.timer.set(None, ctx, |this| &mut this.timer);
        self.disconnect();
        Ok(())
    }
}

impl Handler<Ping> for Buttons {
    type Result = Result<Pong>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Result<Pong> {
        Ok(Pong { restarts: self.deps.supervision.restarts() })
    }
}

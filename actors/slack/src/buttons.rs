//! The buttons actor does what people click in Slack. Clicks come through Socket Mode, or from the web actor.
//!
//! A click is acknowledged once it is stored: what Slack takes for done is done. It is an actor beside the notifier, so
//! that neither waits for the other nor fails with it.

mod actions;
mod replay_guard;
pub(crate) mod signature;
mod socket;
#[cfg(test)]
mod tests;

use std::time::Duration;

use actix::{Addr, ArbiterHandle, AsyncContext as _, Context, Supervisor};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::Secret;
use flowlord_kernel::{ActorKit, Code, Error, KernelActor, PortLimits, Reply, Result, Timer, WakeUp, actor, handlers};
use flowlord_messages::clients::{AlertsClient, DatabaseReader, DatabaseWriter};
use flowlord_messages::outbox::{SlackInteraction, StopButtons};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::buttons::actions::ClickActions;
use crate::buttons::replay_guard::ReplayGuard;
use crate::buttons::socket::{ClickReceiver, ConnectionEnd, SocketInteraction};
use crate::click::ButtonClick;
use crate::connector::SlackConnector;
use crate::sender::{LONGEST_WAIT, growing_wait};

/// How many clicks through the connection are handled at once, and how long each may take: longer than Slack waits.
const CLICK_LIMITS: PortLimits = PortLimits { max_under_way: 16, timeout: Duration::from_secs(10) };

/// Slack waits three seconds, in real time, for an acknowledgement.
const CLICK_TIMEOUT: Duration = Duration::from_millis(2_500);

#[derive(Debug, Clone, Default)]
pub struct ButtonsConfig {
    /// An app-level token, for Socket Mode.
    pub app_token: Option<Secret>,
    /// What Slack signs its requests with.
    pub signing_secret: Option<Secret>,
    pub api_url: String,
}

#[derive(Debug, Clone)]
pub struct ButtonsDeps {
    pub kit: ActorKit,
    pub reader: DatabaseReader,
    pub writer: DatabaseWriter,
    pub alerts: AlertsClient,
}

#[derive(Debug)]
pub struct Buttons {
    config: ButtonsConfig,
    deps: ButtonsDeps,
    /// None where no client can be made; the reason is in the log.
    connector: Option<SlackConnector>,
    connection: Option<AbortHandle>,
    /// Connections in a row that Slack didn't greet.
    failures: u32,
    /// How long a click through the connection may take.
    click_timeout: Duration,
    is_stopping: bool,
    timer: Timer,
    started_at: DateTime<Utc>,
    seen_requests: ReplayGuard,
    seen_clicks: ReplayGuard,
}

impl Buttons {
    pub fn start(arbiter: &ArbiterHandle, config: ButtonsConfig, deps: ButtonsDeps) -> Addr<Self> {
        Self::start_with(arbiter, config, deps, CLICK_TIMEOUT)
    }

    fn start_with(
        arbiter: &ArbiterHandle,
        config: ButtonsConfig,
        deps: ButtonsDeps,
        click_timeout: Duration,
    ) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            connector: SlackConnector::new(&config.api_url)
                .inspect_err(|err| log::error!("event=slack_unusable error={err:?}"))
                .ok(),
            timer: Timer::default(),
            started_at: deps.kit.now(),
            config,
            deps,
            connection: None,
            failures: 0,
            click_timeout,
            is_stopping: false,
            seen_requests: ReplayGuard::default(),
            seen_clicks: ReplayGuard::default(),
        })
    }

    fn open_connection(&mut self, ctx: &mut Context<Self>) {
        let (Some(connector), Some(token)) = (self.connector.clone(), self.config.app_token.clone()) else {
            return;
        };
        if self.connection.is_some() || self.is_stopping {
            return;
        }
        // Under way until Slack greets, or until the next attempt is planned.
        let (greeting, greeted) = oneshot::channel();
        self.ask(ctx, greeted, |_, _, _| ());
        let clicks = self.deps.kit.port_to_self(&ctx.address(), CLICK_LIMITS);
        let receiver = ClickReceiver { clicks, timeout: self.click_timeout };
        // A task of its own: a panic within ends the connection, not the actor.
        let task = actix::spawn(socket::run_connection(connector, token.expose().to_owned(), receiver, greeting));
        self.connection = Some(task.abort_handle());
        self.follow(ctx, task, |this, ended, ctx| match ended {
            Ok(ended) => this.plan_reconnect(ended, ctx),
            Err(err) if err.is_cancelled() => {}
            Err(err) => this.plan_reconnect(ConnectionEnd::before_greeting(format!("{err}")), ctx),
        });
    }

    fn plan_reconnect(&mut self, ended: ConnectionEnd, ctx: &mut Context<Self>) {
        self.connection = None;
        self.failures = if ended.is_greeted { 0 } else { self.failures.saturating_add(1) };
        let wait = match ended.remedy {
            _ if ended.is_asked => TimeDelta::zero(),
            // Slack refuses the token: trying often changes nothing, and would fill the log.
            Some(_) => LONGEST_WAIT,
            None => growing_wait(self.failures, self.deps.kit.ids()),
        };
        let (why, remedy) = (&ended.why, ended.remedy.unwrap_or("none needed: the connection is reopened"));
        let again_in = wait.num_seconds();
        if ended.is_greeted {
            log::info!("event=slack_connection_ended why={why:?} again_in={again_in}s");
        } else {
            log::warn!("event=slack_not_connected error={why:?} again_in={again_in}s remedy={remedy:?}");
        }
        let at = self.now() + wait;
        self.wake_at(Some(at), ctx);
        // Not before the next attempt is planned: a clock that moved on meanwhile would pass it over.
        drop(ended.greeting);
    }

    fn close_connection(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.abort();
        }
    }

    fn handle_interaction(
        &mut self,
        SocketInteraction(payload): SocketInteraction,
        _: &mut Context<Self>,
    ) -> Reply<Self, ()> {
        let click = self.read_new_click(&payload);
        self.run_click(click)
    }

    fn handle_call(&mut self, call: SlackInteraction, _: &mut Context<Self>) -> Reply<Self, ()> {
        let click = self.verified_payload(call).and_then(|payload| self.read_new_click(&payload));
        self.run_click(click)
    }

    fn stop_buttons(&mut self, _: StopButtons, ctx: &mut Context<Self>) -> Result<()> {
        // A click under way is stored or not; Slack tells the person when it wasn't.
        self.is_stopping = true;
        self.wake_at(None, ctx);
        self.close_connection();
        Ok(())
    }

    fn run_click(&self, click: Result<Option<ButtonClick>>) -> Reply<Self, ()> {
        let id = click.as_ref().ok().and_then(|click| Some(click.as_ref()?.id.clone()));
        let actions = ClickActions { deps: self.deps.clone(), connector: self.connector.clone() };
        let done = async move {
            match click? {
                Some(click) => actions.run_click(click).await,
                None => Ok(()),
            }
        };
        self.reply_after(done, move |this, done, _| {
            // It wasn't done: when Slack or the person repeats it, it is new.
            if let (Err(_), Some(id)) = (&done, id) {
                this.seen_clicks.forget_key(&id);
            }
            done
        })
    }

    /// Reads a click; none where it is nothing of ours, or was done already.
    fn read_new_click(&mut self, payload: &str) -> Result<Option<ButtonClick>> {
        let click = ButtonClick::from_payload(payload)
            .map_err(|err| Error::new(Code::InvalidRequest, format!("the click can't be read: {err}")))?;
        let Some(click) = click else { return Ok(None) };
        let is_new = self.seen_clicks.add_key(&click.id, self.now())?;
        Ok(is_new.then_some(click))
    }

    /// The payload of a request, if Slack signed it and it comes for the first time.
    fn verified_payload(
        &mut self,
        SlackInteraction { timestamp, signature, body }: SlackInteraction,
    ) -> Result<String> {
        let Some(secret) = self.config.signing_secret.as_ref().map(Secret::expose).filter(|secret| !secret.is_empty())
        else {
            return Err(Error::new(
                Code::NotFound,
                "clicks are not accepted here: set notify.signing_secret to the signing secret of the app",
            ));
        };
        let now = self.now();
        let at = signature::check_signature(secret, &timestamp, &signature, &body, now)?;
        // What was seen before a restart isn't known any more: nothing that was signed before it counts. A
        // signature has whole seconds. A clock that was set back must not make all requests old.
        let is_early = at.timestamp() < self.started_at.timestamp() && now >= self.started_at;
        if is_early || !self.seen_requests.add_key(&signature, now)? {
            let why = "the request may be a replay: it was received before, or was signed before \
                       this service started. Click again";
            return Err(Error::new(Code::Unauthorized, why));
        }
        let mut fields = url::form_urlencoded::parse(body.as_bytes());
        let payload = fields.find_map(|(name, value)| (name == "payload").then(|| value.into_owned()));
        payload.ok_or_else(|| Error::new(Code::InvalidRequest, "the form has no payload"))
    }
}

handlers!(Buttons {
    async SocketInteraction => handle_interaction,
    async SlackInteraction => handle_call,
    StopButtons => stop_buttons,
});

actor!(Buttons {
    kit: deps.kit,
    mailbox: 2048,
    start: open_connection,
    restart: close_connection,
    wake: open_connection,
});

//! The notifier actor: what is in the outbox goes to Slack, in order, one at a time.
//!
//! A message stays a row until Slack took it. What Slack refused comes again later; what nobody knows the fate of
//! comes again and says so. Nothing here holds up tasks.

mod message;
mod slack;
#[cfg(test)]
mod tests;

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{
    Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, ResponseActFuture, Supervised,
    Supervisor,
};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::Ids as _;
use flowlord_messages::health::Pong;
use flowlord_messages::hint::Notify;
use flowlord_messages::notifier::{Payload, StopNotifying};
use flowlord_messages::read::{OutboxRow, PendingMessages};
use flowlord_messages::write::{Delivery, MarkNotified};
use flowlord_messages::{
    Activity, Busy, Guarded, Mint, Ping, Port, Result, SharedClock, Supervision, Tick, Timer, Wakes, guarded,
};
use tokio::sync::oneshot;

use crate::message::Style;
use crate::slack::{Sent, Slack};

/// Slack takes about one message a second and channel.
const PACE: TimeDelta = TimeDelta::seconds(1);

/// The first wait after a refusal; it doubles with each further one.
const FIRST_WAIT: TimeDelta = TimeDelta::seconds(1);

/// The longest wait after a refusal.
const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(5);

/// After a failed call to the database, when to try again.
const TRY_AGAIN: TimeDelta = TimeDelta::seconds(1);

/// What the operator chose.
#[derive(Clone)]
pub struct Config {
    /// An incoming webhook. A secret.
    pub webhook: Option<String>,
    /// A bot token, used where there is no webhook. A secret.
    pub token: Option<String>,
    /// The channel.
    pub channel: Option<String>,
    /// The base of the Web API.
    pub api_url: String,
    /// Put before each headline, in brackets.
    pub prefix: String,
    /// Who the messages are from.
    pub title: String,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("webhook", &self.webhook.as_ref().map(|_| "…"))
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

/// What it works with.
#[derive(Debug, Clone)]
pub struct Deps {
    /// The clock.
    pub clock: SharedClock,
    /// The source of jitter.
    pub mint: Mint,
    /// Work under way.
    pub activity: Activity,
    /// Restarts.
    pub supervision: Supervision,
    /// To the DB readers.
    pub pending: Port<PendingMessages>,
    /// To the DB owner.
    pub mark: Port<MarkNotified>,
}

/// The actor.
#[derive(Debug)]
pub struct Notifier {
    deps: Deps,
    slack: Slack,
    style: Style,
    /// A message is on its way, from reading its row to marking it.
    sending: bool,
    /// The outbox grew meanwhile.
    again: bool,
    /// Not before this, for the pace.
    free_at: Option<DateTime<Utc>>,
    stopping: Option<Vec<oneshot::Sender<()>>>,
    timer: Timer,
}

impl Notifier {
    /// Starts it in `arbiter`.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: Deps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::new(deps.clock.clone()),
            slack: Slack::new(&config),
            style: Style { channel: config.channel, prefix: config.prefix, title: config.title },
            deps,
            sending: false,
            again: false,
            free_at: None,
            stopping: None,
        })
    }

    /// Looks for the next message, unless one is on its way or it is too early.
    fn look(&mut self, busy: Option<Busy>, ctx: &mut Context<Self>) {
        if self.sending || self.stopping.is_some() {
            self.again = true;
            return;
        }
        let now = self.deps.clock.now();
        if let Some(free_at) = self.free_at.filter(|at| *at > now && *at - now <= PACE) {
            return self.timer.no_later_than(free_at, ctx, |this| &mut this.timer);
        }
        self.sending = true;
        self.again = false;
        let busy = busy.unwrap_or_else(|| self.deps.activity.begin());
        let call = self.deps.pending.call(PendingMessages { limit: 1 });
        ctx.spawn(wrap_future::<_, Self>(call).map(move |rows, this, ctx| {
            guarded(this, ctx, |this, ctx| this.found(rows, now, busy, ctx));
        }));
    }

    fn found(
        &mut self,
        rows: Result<Vec<OutboxRow>>,
        now: DateTime<Utc>,
        busy: Busy,
        ctx: &mut Context<Self>,
    ) {
        let row = match rows {
            Ok(rows) => rows.into_iter().next(),
            Err(err) => {
                log::warn!("event=outbox_unread error={err:?}");
                return self.rest(Some(now + TRY_AGAIN), ctx);
            }
        };
        match row {
            None => self.rest(None, ctx),
            // In order: what is behind a refused message waits with it.
            Some(OutboxRow { retry_at: Some(at), .. }) if at > now => self.rest(Some(at), ctx),
            Some(row) => self.send(row, busy, ctx),
        }
    }

    fn send(&mut self, row: OutboxRow, busy: Busy, ctx: &mut Context<Self>) {
        let payload: Payload = match serde_json::from_str(&row.payload) {
            Ok(payload) => payload,
            Err(err) => {
                // It can never be sent, and the others must not wait for it.
                log::error!("event=message_unreadable id={} error={err:?}", row.id);
                return self.mark(row.id, Delivery::Sent, busy, ctx);
            }
        };
        if matches!(self.slack, Slack::Nowhere) {
            log::info!(
                "event=notify kind={} headline={:?} lines={:?}",
                row.kind,
                payload.headline,
                payload.lines
            );
        }
        let message = message::write(&payload, &self.style, row.uncertain);
        let slack = self.slack.clone();
        let sent = wrap_future::<_, Self>(async move { slack.send(&message).await });
        ctx.spawn(sent.map(move |sent, this, ctx| {
            guarded(this, ctx, |this, ctx| this.sent(&row, sent, busy, ctx));
        }));
    }

    fn sent(&mut self, row: &OutboxRow, sent: Sent, busy: Busy, ctx: &mut Context<Self>) {
        let now = self.deps.clock.now();
        let delivery = match sent {
            Sent::Taken => {
                self.free_at = (!matches!(self.slack, Slack::Nowhere)).then(|| now + PACE);
                log::debug!("event=notified id={} kind={}", row.id, row.kind);
                Delivery::Sent
            }
            Sent::Refused { error, retry_after } => {
                let wait = retry_after.and_then(|wait| TimeDelta::from_std(wait).ok());
                let retry_at = now + wait.unwrap_or_else(|| self.wait(row.attempts));
                log::warn!("event=slack_refused id={} error={error:?} retry_at={retry_at}", row.id);
                Delivery::Refused { error, retry_at }
            }
            Sent::Unknown { error } => {
                let retry_at = now + self.wait(row.attempts);
                log::warn!("event=slack_unknown id={} error={error:?} retry_at={retry_at}", row.id);
                Delivery::Unknown { error, retry_at }
            }
        };
        self.mark(row.id, delivery, busy, ctx);
    }

    /// Doubles with each attempt, with a fifth of jitter either way.
    fn wait(&mut self, attempts: u32) -> TimeDelta {
        let grown = FIRST_WAIT.checked_mul(1 << attempts.min(16)).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
        let percent = i32::try_from(80 + self.deps.mint.random() % 41).unwrap_or(100);
        grown * percent / 100
    }

    fn mark(&mut self, id: i64, delivery: Delivery, busy: Busy, ctx: &mut Context<Self>) {
        let now = self.deps.clock.now();
        let call = self.deps.mark.call(MarkNotified { now, id, delivery });
        ctx.spawn(wrap_future::<_, Self>(call).map(move |marked, this, ctx| {
            guarded(this, ctx, |this, ctx| match marked {
                Ok(()) => {
                    this.again = true;
                    this.rest(None, ctx);
                }
                Err(err) => {
                    // Sent or not, the row says that it wasn't: it comes again.
                    log::warn!("event=message_not_marked id={id} error={err:?}");
                    this.rest(Some(this.deps.clock.now() + TRY_AGAIN), ctx);
                }
            });
            drop(busy);
        }));
    }

    /// Nothing is on its way any more: look again at `at`, or now where there may be more.
    fn rest(&mut self, at: Option<DateTime<Utc>>, ctx: &mut Context<Self>) {
        self.sending = false;
        for waiting in self.stopping.iter_mut().flat_map(|waiting| waiting.drain(..)) {
            let _nobody_waits_any_more = waiting.send(());
        }
        if self.stopping.is_some() {
            return self.timer.set(None, ctx, |this| &mut this.timer);
        }
        match at {
            Some(at) => self.timer.set(Some(at), ctx, |this| &mut this.timer),
            None if self.again => self.look(None, ctx),
            None => {}
        }
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
        self.sending = false;
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
            let waiting = this.stopping.get_or_insert_default();
            if this.sending {
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

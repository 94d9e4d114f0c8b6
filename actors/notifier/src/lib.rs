//! The notifier actor: what is in the outbox goes to Slack, in order, one at a time.
//!
//! A message stays a row until Slack took it. What Slack refused comes again later; what nobody knows the fate of
//! comes again and says so. Nothing here holds up tasks.

mod line;
pub mod message;
mod slack;
#[cfg(test)]
mod tests;

use std::time::Duration;

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{
    Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, ResponseActFuture, Supervised,
    Supervisor,
};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::Ids as _;
use flowlord_messages::health::Pong;
use flowlord_messages::hint::Notify;
use flowlord_messages::notifier::{Colour, Payload, StopNotifying};
use flowlord_messages::outbox::{Delivery, MarkNotified, OutboxRow, PendingMessages};
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

/// The longest that Slack is let say to wait. A message planned for later than this was planned by a clock that
/// has been set back since, and is due.
const LONGEST_ASKED: TimeDelta = TimeDelta::hours(1);

/// How long Slack may take to answer, in real time.
const PATIENCE: Duration = Duration::from_secs(10);

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
    /// The title of each message.
    pub title: String,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("webhook", &self.webhook.as_ref().map(|_| "…"))
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("channel", &self.channel)
            .field("api_url", &self.api_url)
            .field("prefix", &self.prefix)
            .field("title", &self.title)
            .finish()
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
    /// What became of a message, where the database doesn't know yet: nothing else is sent until it does. While
    /// one is on its way that is unknown, and stays so if the actor is restarted meanwhile.
    unmarked: Option<(i64, Delivery)>,
    /// The message that Slack can't read as blocks.
    plain: Option<i64>,
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
            slack: Slack::new(&config, patience),
            style: Style { channel: config.channel, prefix: config.prefix, title: config.title },
            deps,
            sending: false,
            again: false,
            free_at: None,
            unmarked: None,
            plain: None,
            stopping: None,
        })
    }

    /// Looks for the next message, unless one is on its way or it is too early.
    fn look(&mut self, busy: Option<Busy>, ctx: &mut Context<Self>) {
        if self.sending || self.stopping.is_some() {
            self.again = true;
            return;
        }
        if let Some((id, delivery)) = self.unmarked.clone() {
            let busy = busy.unwrap_or_else(|| self.deps.activity.begin());
            self.sending = true;
            return self.mark(id, delivery, busy, ctx);
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
            Some(OutboxRow { retry_at: Some(at), .. }) if at > now && at - now <= LONGEST_ASKED => {
                self.rest(Some(at), ctx);
            }
            Some(row) => self.send(row, busy, ctx),
        }
    }

    fn send(&mut self, row: OutboxRow, busy: Busy, ctx: &mut Context<Self>) {
        let payload = payload_of(&row);
        if self.slack.is_nowhere() {
            log::info!(
                "event=notify kind={} headline={:?} lines={:?}",
                row.kind,
                payload.headline,
                payload.lines
            );
        }
        let write = if self.plain == Some(row.id) { message::write_plain } else { message::write };
        let message = write(&payload, &self.style, row.uncertain);
        let unknown = Delivery::Unknown {
            error: "the notifier was restarted".to_owned(),
            retry_at: self.deps.clock.now() + FIRST_WAIT,
        };
        self.unmarked = Some((row.id, unknown));
        let slack = self.slack.clone();
        let sent = wrap_future::<_, Self>(async move { slack.send(&message).await });
        ctx.spawn(sent.map(move |sent, this, ctx| {
            guarded(this, ctx, |this, ctx| this.sent(&row, sent, busy, ctx));
        }));
    }

    fn sent(&mut self, row: &OutboxRow, sent: Sent, busy: Busy, ctx: &mut Context<Self>) {
        let now = self.deps.clock.now();
        // Each attempt counts, also one that was refused.
        self.free_at = (!self.slack.is_nowhere()).then(|| now + PACE);
        let delivery = match sent {
            Sent::Taken => {
                log::debug!("event=notified id={} kind={}", row.id, row.kind);
                Delivery::Sent
            }
            Sent::Refused { error, retry_after } => self.refused(row, error, retry_after, now),
            Sent::Unreadable { error } => {
                // It must not hold up all that is behind it: the next attempt is text alone.
                self.plain = Some(row.id);
                self.refused(row, error, None, now)
            }
            Sent::Unknown { error } => {
                let retry_at = now + self.wait(row.attempts);
                log::warn!("event=slack_unknown id={} error={error:?} retry_at={retry_at}", row.id);
                Delivery::Unknown { error, retry_at }
            }
        };
        self.mark(row.id, delivery, busy, ctx);
    }

    fn refused(
        &mut self,
        row: &OutboxRow,
        error: String,
        retry_after: Option<Duration>,
        now: DateTime<Utc>,
    ) -> Delivery {
        let asked = retry_after.map(|wait| TimeDelta::from_std(wait).unwrap_or(LONGEST_ASKED));
        let wait = asked.unwrap_or_else(|| self.wait(row.attempts)).clamp(FIRST_WAIT, LONGEST_ASKED);
        let retry_at = now + wait;
        log::warn!("event=slack_refused id={} error={error:?} retry_at={retry_at}", row.id);
        Delivery::Refused { error, retry_at }
    }

    /// Doubles with each attempt; a random half of it is taken off, so that many who wait don't come at once.
    fn wait(&mut self, attempts: u32) -> TimeDelta {
        let grown = FIRST_WAIT.checked_mul(1 << attempts.min(16)).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
        let percent = i32::try_from(50 + self.deps.mint.random() % 51).unwrap_or(100);
        (grown * percent / 100).max(FIRST_WAIT)
    }

    fn mark(&mut self, id: i64, delivery: Delivery, busy: Busy, ctx: &mut Context<Self>) {
        let now = self.deps.clock.now();
        self.unmarked = Some((id, delivery.clone()));
        let call = self.deps.mark.call(MarkNotified { now, id, delivery, way: None, thread: None });
        ctx.spawn(wrap_future::<_, Self>(call).map(move |marked, this, ctx| {
            guarded(this, ctx, |this, ctx| match marked {
                Ok(()) => {
                    this.unmarked = None;
                    this.again = true;
                    this.rest(None, ctx);
                }
                Err(err) => {
                    // Read again, the row would be sent again. Marking it twice does no harm.
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

/// What a row says; as it stands where that can't be read, so that nothing is lost and nothing waits behind it.
fn payload_of(row: &OutboxRow) -> Payload {
    serde_json::from_str(&row.payload).unwrap_or_else(|err| {
        log::error!("event=message_unreadable id={} error={err:?}", row.id);
        Payload {
            headline: row.kind.clone(),
            lines: row.payload.lines().map(str::to_owned).collect(),
            link: None,
            footer: String::new(),
            colour: Colour::Blue,
            incident: None,
        }
    })
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

//! The notifier actor sends the messages of the outbox to Slack, in order, one at a time for each route.
//!
//! A message stays a row until Slack took it. A message that Slack refused is sent again later; one that may have arrived
//! is sent again too, and says so. Nothing here holds up tasks.

mod buttons;
mod click;
mod connector;
mod delivery;
mod destinations;
pub mod message;
mod sender;
mod status;
#[cfg(test)]
mod tests;
mod transport;

use std::collections::BTreeMap;
use std::time::Duration;

use actix::{Addr, ArbiterHandle, Context, Supervisor};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::{Error, KernelActor, Reply, Result, Timer, WakeUp, actor, handlers};
use flowlord_messages::deps::DatabaseDeps;
use flowlord_messages::events::MessagesQueued;
use flowlord_messages::outbox::{AwaitDelivery, OutboxRow, ReadOutages, ReadPendingMessages, StopNotifying};
use tokio::sync::oneshot;

pub use crate::buttons::{Buttons, ButtonsConfig, ButtonsDeps};
use crate::delivery::RouteQueue;
pub use crate::destinations::SlackRoute;
use crate::destinations::{DestinationTable, NextAction};
use crate::message::MessageStyle;
use crate::status::StatusWaiters;

/// How long Slack may take to answer, in real time.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// How much longer a caller waits for the status of a message, in real time.
const STATUS_GRACE: Duration = Duration::from_secs(2);

const RETRY_DELAY: TimeDelta = TimeDelta::seconds(1);

#[derive(Debug, Clone)]
pub struct Config {
    /// Where messages go, by route; only into the log where there is no route.
    pub routes: Vec<SlackRoute>,
    pub api_url: String,
    pub prefix: String,
    pub title: String,
    /// The address of the service, for links.
    pub public_url: String,
    /// How long a destination must fail before the one of the fallback route is taken.
    pub fallback_after: TimeDelta,
    /// Whether clicks are handled: without, there are no buttons.
    pub buttons: bool,
}

#[derive(Debug)]
pub struct Notifier {
    deps: DatabaseDeps,
    destinations: DestinationTable,
    style: MessageStyle,
    has_buttons: bool,
    queues: BTreeMap<String, RouteQueue>,
    waiters: StatusWaiters,
    /// How long a caller waits for the status of a message, in real time.
    status_timeout: Duration,
    /// The database said which destinations fail.
    knows_outages: bool,
    is_reading: bool,
    /// The outbox grew meanwhile, or a route's message is done.
    is_check_needed: bool,
    /// Who waits for the stop, once it began.
    stopping: Option<Vec<oneshot::Sender<()>>>,
    timer: Timer,
}

impl Notifier {
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: DatabaseDeps) -> Addr<Self> {
        Self::start_with(arbiter, config, deps, SEND_TIMEOUT)
    }

    fn start_with(arbiter: &ArbiterHandle, config: Config, deps: DatabaseDeps, timeout: Duration) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::default(),
            destinations: DestinationTable::new(&config.routes, &config.api_url, timeout, config.fallback_after),
            style: MessageStyle {
                channel: None,
                prefix: config.prefix,
                title: config.title,
                public_url: config.public_url,
            },
            has_buttons: config.buttons,
            deps,
            queues: BTreeMap::new(),
            waiters: StatusWaiters::default(),
            status_timeout: timeout.saturating_add(STATUS_GRACE),
            knows_outages: false,
            is_reading: false,
            is_check_needed: false,
            stopping: None,
        })
    }

    fn check_outbox(&mut self, ctx: &mut Context<Self>) {
        if self.is_reading || self.stopping.is_some() {
            self.is_check_needed = true;
            return;
        }
        (self.is_reading, self.is_check_needed) = (true, false);
        let now = self.now();
        // Before anything else of a route is sent: read again, its row would be sent again.
        self.retry_marks(now, ctx);
        let (reader, knows_outages) = (self.deps.reader.clone(), self.knows_outages);
        let read = async move {
            let outages = if knows_outages { Vec::new() } else { reader.call(ReadOutages).await? };
            // One of each route: the next may be sent only after it, or an update would come before what it updates.
            Ok((outages, reader.call(ReadPendingMessages { limit: 1 }).await?))
        };
        self.ask(ctx, read, move |this, read: Result<_>, ctx| {
            this.is_reading = false;
            match read {
                Ok((outages, rows)) => {
                    outages.iter().for_each(|outage| this.destinations.note_outage(outage));
                    this.knows_outages = true;
                    this.start_due(rows, now, ctx);
                }
                Err(err) => this.read_later(&err, ctx),
            }
            this.check_again(ctx);
        });
    }

    fn read_later(&mut self, err: &Error, ctx: &mut Context<Self>) {
        log::warn!("event=outbox_unread error={err:?}");
        let at = self.now() + RETRY_DELAY;
        self.wake_at(Some(at), ctx);
    }

    /// Marks what a crash or the database left unmarked.
    fn retry_marks(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        let due = self.queues.iter().filter(|(_, queue)| !queue.is_sending && !queue.rests_at(now));
        let marks: Vec<_> = due.filter_map(|(route, queue)| Some((route.clone(), queue.unmarked.clone()?))).collect();
        for (route, mark) in marks {
            self.mark_message(route, mark, ctx);
        }
    }

    fn start_due(&mut self, rows: Vec<OutboxRow>, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        // A route without messages needs no memory.
        self.queues.retain(|route, queue| !queue.is_idle() || rows.iter().any(|row| row.route == *route));
        let rests = self.queues.values().filter_map(|queue| queue.rest_until.filter(|at| *at > now));
        let mut wake = rests.min();
        for row in rows {
            let queue = self.queues.entry(row.route.clone()).or_default();
            if !queue.is_idle() || queue.rests_at(now) {
                continue;
            }
            match self.destinations.next_action(&row, now) {
                NextAction::Send { via, destination } => self.start_delivery(row, via, destination, ctx),
                NextAction::WaitUntil(at) => wake = Some(wake.map_or(at, |wake| wake.min(at))),
                NextAction::WaitForDestination => {}
            }
        }
        if self.stopping.is_none() {
            self.wake_at(wake, ctx);
        }
    }

    /// Nothing of a route is on its way any more; it rests until `at`.
    fn end_delivery(&mut self, route: &str, at: Option<DateTime<Utc>>, ctx: &mut Context<Self>) {
        if let Some(queue) = self.queues.get_mut(route) {
            queue.is_sending = false;
            queue.rest_until = at;
        }
        match at {
            Some(at) if self.stopping.is_none() => self.wake_no_later_than(at, ctx),
            _ => self.is_check_needed = true,
        }
        self.check_again(ctx);
    }

    /// Checks the outbox again where that is needed; at a stop, answers once nothing is on its way any more.
    fn check_again(&mut self, ctx: &mut Context<Self>) {
        if self.stopping.is_some() && !self.is_under_way() {
            self.stopping.iter_mut().for_each(Vec::clear);
        } else if self.is_check_needed && self.stopping.is_none() && !self.is_reading {
            self.check_outbox(ctx);
        }
    }

    fn is_under_way(&self) -> bool {
        self.is_reading || self.queues.values().any(|queue| queue.is_sending)
    }

    fn note_added(&mut self, _: MessagesQueued, ctx: &mut Context<Self>) {
        self.check_outbox(ctx);
    }

    fn stop_notifying(&mut self, _: StopNotifying, ctx: &mut Context<Self>) -> Reply<Self, ()> {
        let (done, stopped) = oneshot::channel();
        let is_under_way = self.is_under_way();
        let waiting = self.stopping.get_or_insert_default();
        if is_under_way {
            waiting.push(done);
        }
        self.wake_at(None, ctx);
        // A dropped sender means that there is nothing to wait for.
        self.reply_after(stopped, |_, _, _| Ok(()))
    }

    fn forget_deliveries(&mut self) {
        self.is_reading = false;
        self.destinations.reset_all();
        for queue in self.queues.values_mut() {
            (queue.is_sending, queue.rest_until) = (false, None);
        }
        // Nothing is on its way any more.
        self.stopping.iter_mut().for_each(Vec::clear);
    }
}

handlers!(Notifier {
    MessagesQueued => note_added,
    async AwaitDelivery => await_message,
    async StopNotifying => stop_notifying,
});

actor!(Notifier { kit: deps.kit, mailbox: 2048, start: check_outbox, restart: forget_deliveries, wake: check_outbox });

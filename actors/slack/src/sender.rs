//! The delivery of one message: sent to Slack, judged, and marked in the database.

use std::time::Duration;

use actix::Context;
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::IdSource as _;
use flowlord_kernel::{IdGenerator, KernelActor as _};
use flowlord_messages::outbox::{
    DeliveryOutcome, OutboxRow, ReadThreads, RecordDelivery, RouteTransport, TransportOutage,
};

use crate::delivery::{DeliveryStep, MessageInFlight, RemainingPart, payload_of};
use crate::destinations::MAX_RETRY_AFTER;
use crate::message::{MessageRemarks, MessageStyle};
use crate::transport::{MessageLocation, SendOutcome};
use crate::{Notifier, RETRY_DELAY};

/// The first wait after a refusal; it doubles with each further one.
pub(crate) const FIRST_WAIT: TimeDelta = TimeDelta::seconds(1);

/// The longest wait after a refusal.
pub(crate) const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(5);

/// What became of a message, and how its destination stands after it, where that changed.
type DeliveryJudgement = (DeliveryOutcome, Option<Option<TransportOutage>>);

impl Notifier {
    pub(crate) fn start_delivery(&mut self, row: OutboxRow, via: String, destination: usize, ctx: &mut Context<Self>) {
        // `end_sending` takes it back, or a restart of the actor.
        self.destinations.begin_sending(destination);
        let message = MessageInFlight { payload: payload_of(&row), row, via, destination };
        let queue = self.queues.entry(message.row.route.clone()).or_default();
        queue.is_sending = true;
        let step = match (queue.remaining_part(&message), message.payload.incident.as_ref()) {
            (Some(RemainingPart::PostAnew), _) => DeliveryStep::Post,
            (Some(RemainingPart::ThreadReply(thread)), _) => DeliveryStep::Reply(thread.clone()),
            (None, Some(incident)) if self.destinations.all[destination].slack.is_bot() => {
                let read = ReadThreads { route: message.row.route.clone(), opened: incident.opened };
                return self.send_after_reading(message, read, ctx);
            }
            (None, _) => DeliveryStep::first_step(&message.row, None),
        };
        self.send_step(message, step, ctx);
    }

    fn send_after_reading(&mut self, message: MessageInFlight, read: ReadThreads, ctx: &mut Context<Self>) {
        self.ask(ctx, self.deps.reader.call(read), |this, threads, ctx| match threads {
            Ok(threads) => {
                let thread = threads.into_iter().find(|thread| thread.via == message.via);
                let step = DeliveryStep::first_step(&message.row, thread);
                this.send_step(message, step, ctx);
            }
            Err(err) => {
                log::warn!("event=thread_unread id={} error={err:?}", message.row.id);
                let now = this.now();
                this.destinations.end_sending(message.destination, now, false);
                this.end_delivery(&message.row.route, Some(now + RETRY_DELAY), ctx);
            }
        });
    }

    fn send_step(&mut self, message: MessageInFlight, step: DeliveryStep, ctx: &mut Context<Self>) {
        let now = self.now();
        let MessageInFlight { row, payload, via, destination } = &message;
        let destination = &self.destinations.all[*destination];
        if destination.slack.is_log_only() {
            let (headline, lines) = (&payload.headline, &payload.lines);
            log::info!("event=notify kind={} headline={headline:?} lines={lines:?}", row.kind);
        }
        let queue = self.queues.entry(row.route.clone()).or_default();
        if step == DeliveryStep::Skip {
            return self.note_sent(&message, &step, SendOutcome::Taken(MessageLocation::default()), ctx);
        }
        let style = MessageStyle { channel: destination.channel.clone(), ..self.style.clone() };
        let remarks = MessageRemarks {
            again: row.uncertain,
            instead_of: (*via != self.destinations.route_or_default(&row.route)).then_some(&row.route),
            buttons: (self.has_buttons && destination.slack.is_bot()).then_some(&row.route),
            plain: queue.plain == Some(row.id),
        };
        let slack_message = step.slack_message(payload, &style, remarks);
        // What the database is told should the actor be restarted before Slack answers.
        let (error, retry_at) = ("the notifier was restarted".to_owned(), now + FIRST_WAIT);
        let delivery = failed_outcome(!step.shows_twice(), error, retry_at);
        queue.unmarked = Some(RecordDelivery { now, id: row.id, delivery, way: None, thread: None });
        let (slack, method) = (destination.slack.clone(), step.api_method());
        let sent = async move { slack.send_message(method, &slack_message).await };
        self.ask(ctx, sent, move |this, sent, ctx| this.note_sent(&message, &step, sent, ctx));
    }

    fn note_sent(
        &mut self,
        message: &MessageInFlight,
        step: &DeliveryStep,
        sent: SendOutcome,
        ctx: &mut Context<Self>,
    ) {
        let now = self.now();
        let is_skipped = *step == DeliveryStep::Skip;
        self.destinations.end_sending(message.destination, now, !is_skipped);
        let MessageInFlight { row, payload, via, .. } = message;
        let queue = self.queues.entry(row.route.clone()).or_default();
        let mut thread = None;
        let (delivery, outage) = match sent {
            SendOutcome::Taken(location) => {
                let remaining = step.remaining_part(row, payload);
                if remaining.is_some() {
                    return self.continue_delivery(message, remaining, ctx);
                }
                thread = step.thread_after(row, payload, via, &location);
                self.note_taken(message, is_skipped)
            }
            // Somebody deleted it, or it is too old to be edited: people must see what is new.
            SendOutcome::Gone(error) if *step != DeliveryStep::Post => {
                log::info!("event=slack_message_gone id={} error={error:?}", row.id);
                return self.continue_delivery(message, Some(RemainingPart::PostAnew), ctx);
            }
            SendOutcome::Unreadable(error) if queue.plain != Some(row.id) => {
                // It must not hold up all that is behind it: the next attempt is text alone.
                queue.plain = Some(row.id);
                log::warn!("event=slack_unreadable id={} error={error:?}", row.id);
                (DeliveryOutcome::Refused { error, retry_at: now + FIRST_WAIT }, None)
            }
            SendOutcome::Refused { error, retry_after } => self.note_failure(message, (error, true), retry_after, now),
            SendOutcome::Gone(error) | SendOutcome::Unreadable(error) => {
                self.note_failure(message, (error, true), None, now)
            }
            SendOutcome::Unknown(error) => self.note_failure(message, (error, !step.shows_twice()), None, now),
        };
        let way = outage.map(|outage| RouteTransport { route: via.clone(), outage });
        let mark = RecordDelivery { now, id: row.id, delivery, way, thread };
        self.mark_message(row.route.clone(), mark, ctx);
    }

    /// A part of the message was sent, or must be sent in another way; nothing is to be marked yet.
    fn continue_delivery(
        &mut self,
        message: &MessageInFlight,
        remaining: Option<RemainingPart>,
        ctx: &mut Context<Self>,
    ) {
        let queue = self.queues.entry(message.row.route.clone()).or_default();
        queue.set_remaining(message, remaining);
        queue.unmarked = None;
        self.end_delivery(&message.row.route, None, ctx);
    }

    fn note_taken(&mut self, message: &MessageInFlight, is_skipped: bool) -> DeliveryJudgement {
        let MessageInFlight { row, via, .. } = message;
        log::debug!("event=notified id={} kind={} by={via}", row.id, row.kind);
        self.queues.entry(row.route.clone()).or_default().set_remaining(message, None);
        let is_recovered = self.destinations.outage_of(via).is_some() && !is_skipped;
        let is_for_nobody = is_skipped || self.destinations.all[message.destination].slack.is_log_only();
        let delivery = if is_for_nobody { DeliveryOutcome::Skipped } else { DeliveryOutcome::Sent };
        (delivery, is_recovered.then_some(None))
    }

    /// A destination failed; a message of which nothing `is_known` may have arrived.
    fn note_failure(
        &self,
        MessageInFlight { row, via, .. }: &MessageInFlight,
        (error, is_known): (String, bool),
        retry_after: Option<Duration>,
        now: DateTime<Utc>,
    ) -> DeliveryJudgement {
        let outage = self.next_outage(via, retry_after, now);
        let retry_at = outage.retry_at;
        let event = if is_known { "slack_refused" } else { "slack_unknown" };
        log::warn!("event={event} id={} by={via} error={error:?} retry_at={retry_at}", row.id);
        (failed_outcome(is_known, error, retry_at), Some(Some(outage)))
    }

    /// The outage of a route's destination that failed once more.
    fn next_outage(&self, via: &str, retry_after: Option<Duration>, now: DateTime<Utc>) -> TransportOutage {
        let before = self.destinations.outage_of(via);
        let failures = before.map_or(0, |outage| outage.failures);
        // Slack's own wish counts, within bounds: a wrong header must not silence a route for days.
        let asked = retry_after.map(|wait| TimeDelta::from_std(wait).unwrap_or(MAX_RETRY_AFTER));
        let wait = asked.unwrap_or_else(|| growing_wait(failures, self.deps.kit.ids()));
        let retry_at = now + wait.clamp(FIRST_WAIT, MAX_RETRY_AFTER);
        let since = before.map_or(now, |outage| outage.since);
        TransportOutage { since, failures: failures.saturating_add(1), retry_at }
    }

    pub(crate) fn mark_message(&mut self, route: String, mark: RecordDelivery, ctx: &mut Context<Self>) {
        let queue = self.queues.entry(route.clone()).or_default();
        queue.is_sending = true;
        queue.unmarked = Some(mark.clone());
        self.ask(ctx, self.deps.writer.call(mark.clone()), move |this, marked, ctx| match marked {
            Ok(()) => {
                mark.way.iter().for_each(|way| this.destinations.note_outage(way));
                this.waiters.answer_all(mark.id, &mark.delivery);
                if let Some(queue) = this.queues.get_mut(&route) {
                    queue.unmarked = None;
                }
                this.end_delivery(&route, None, ctx);
            }
            Err(err) => {
                // Read again, the row would be sent again. Marking it twice does no harm.
                log::warn!("event=message_not_marked id={} error={err:?}", mark.id);
                let at = this.now() + RETRY_DELAY;
                this.end_delivery(&route, Some(at), ctx);
            }
        });
    }
}

/// What a message that didn't go through is, where that is known.
fn failed_outcome(is_known: bool, error: String, retry_at: DateTime<Utc>) -> DeliveryOutcome {
    if is_known { DeliveryOutcome::Refused { error, retry_at } } else { DeliveryOutcome::Unknown { error, retry_at } }
}

/// Doubles with each failure.
pub(crate) fn growing_wait(failures: u32, mut ids: IdGenerator) -> TimeDelta {
    let grown = FIRST_WAIT.checked_mul(1 << failures.min(16)).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
    // A random half of it is taken off, so that many who wait don't come at once.
    let percent = i32::try_from(50 + ids.random_bits() % 51).unwrap_or(100);
    (grown * percent / 100).max(FIRST_WAIT)
}

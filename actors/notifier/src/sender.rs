//! One message: asked of Slack, judged, and marked in the database.

use std::time::Duration;

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{AsyncContext as _, Context};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::Ids as _;
use flowlord_kernel::{Busy, Result, guarded};
use flowlord_messages::outbox::{
    Delivery, MarkNotified, Outage, OutboxRow, ReadThreads, RouteWay, SlackThread,
};

use crate::delivery::{Part, Step, Travel, payload_of};
use crate::message::{Remarks, Style};
use crate::slack::{Sent, Spot};
use crate::ways::LONGEST_ASKED;
use crate::{Notifier, TRY_AGAIN};

/// The first wait after a refusal; it doubles with each further one.
const FIRST_WAIT: TimeDelta = TimeDelta::seconds(1);

/// The longest wait after a refusal.
const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(5);

impl Notifier {
    /// Finds out what is to be asked of Slack.
    pub(crate) fn plan(&mut self, row: OutboxRow, via: String, place: usize, ctx: &mut Context<Self>) {
        let busy = self.deps.activity.begin();
        self.ways.begin(place);
        let travel = Travel { payload: payload_of(&row), row, via, place };
        let lane = self.lanes.entry(travel.row.route.clone()).or_default();
        lane.sending = true;
        match (lane.part(&travel), travel.payload.incident.as_ref()) {
            (Some(Part::Anew), _) => self.send(travel, Step::Post, busy, ctx),
            (Some(Part::News(thread)), _) => {
                let step = Step::News(thread.clone());
                self.send(travel, step, busy, ctx);
            }
            (None, Some(incident)) if self.ways.places[place].slack.is_bot() => {
                let read = ReadThreads { route: travel.row.route.clone(), opened: incident.opened };
                let call = self.deps.threads.call(read);
                ctx.spawn(wrap_future::<_, Self>(call).map(move |threads, this, ctx| {
                    guarded(this, ctx, |this, ctx| this.planned(travel, threads, busy, ctx));
                }));
            }
            (None, _) => {
                let step = Step::first(&travel.row, None);
                self.send(travel, step, busy, ctx);
            }
        }
    }

    fn planned(
        &mut self,
        travel: Travel,
        threads: Result<Vec<SlackThread>>,
        busy: Busy,
        ctx: &mut Context<Self>,
    ) {
        let now = self.deps.clock.now();
        match threads {
            Ok(threads) => {
                let thread = threads.into_iter().find(|thread| thread.via == travel.via);
                let step = Step::first(&travel.row, thread);
                self.send(travel, step, busy, ctx);
            }
            Err(err) => {
                log::warn!("event=thread_unread id={} error={err:?}", travel.row.id);
                self.ways.end(travel.place, now, false);
                self.free(&travel.row.route, Some(now + TRY_AGAIN), busy, ctx);
            }
        }
    }

    fn send(&mut self, travel: Travel, step: Step, busy: Busy, ctx: &mut Context<Self>) {
        let now = self.deps.clock.now();
        let Travel { row, payload, via, place } = &travel;
        let place = &self.ways.places[*place];
        if place.slack.is_nowhere() {
            let (headline, lines) = (&payload.headline, &payload.lines);
            log::info!("event=notify kind={} headline={headline:?} lines={lines:?}", row.kind);
        }
        let lane = self.lanes.entry(row.route.clone()).or_default();
        if step == Step::Skip {
            return self.sent(&travel, &step, Sent::Taken(Spot::default()), busy, ctx);
        }
        let style = Style { channel: place.channel.clone(), ..self.style.clone() };
        let remarks = Remarks {
            again: row.uncertain,
            instead_of: (*via != self.ways.named(&row.route)).then_some(&row.route),
            buttons: (self.buttons && place.slack.is_bot()).then_some(&row.route),
            plain: lane.plain == Some(row.id),
        };
        let message = step.message(payload, &style, remarks);
        let (error, retry_at) = ("the notifier was restarted".to_owned(), now + FIRST_WAIT);
        let delivery = if step.shows_twice() {
            Delivery::Unknown { error, retry_at }
        } else {
            Delivery::Refused { error, retry_at }
        };
        lane.unmarked = Some(MarkNotified { now, id: row.id, delivery, way: None, thread: None });
        let (slack, method) = (place.slack.clone(), step.method());
        let sent = wrap_future::<_, Self>(async move { slack.send(method, &message).await });
        ctx.spawn(sent.map(move |sent, this, ctx| {
            guarded(this, ctx, |this, ctx| this.sent(&travel, &step, sent, busy, ctx));
        }));
    }

    fn sent(&mut self, travel: &Travel, step: &Step, sent: Sent, busy: Busy, ctx: &mut Context<Self>) {
        let now = self.deps.clock.now();
        self.ways.end(travel.place, now, *step != Step::Skip);
        let Travel { row, payload, via, .. } = travel;
        let lane = self.lanes.entry(row.route.clone()).or_default();
        let mut thread = None;
        let (delivery, way) = match sent {
            Sent::Taken(spot) => {
                let rest = step.rest(row, payload);
                let more = rest.is_some();
                lane.go_on(travel, rest);
                if more {
                    lane.unmarked = None;
                    return self.free(&row.route, None, busy, ctx);
                }
                log::debug!("event=notified id={} kind={} by={via}", row.id, row.kind);
                thread = step.thread(row, payload, via, &spot);
                let recovered = self.ways.outage(via).is_some() && *step != Step::Skip;
                let nobody = *step == Step::Skip || self.ways.places[travel.place].slack.is_nowhere();
                let delivery = if nobody { Delivery::Skipped } else { Delivery::Sent };
                (delivery, recovered.then_some(None))
            }
            Sent::Gone { error } if *step != Step::Post => {
                log::info!("event=slack_message_gone id={} error={error:?}", row.id);
                lane.go_on(travel, Some(Part::Anew));
                lane.unmarked = None;
                return self.free(&row.route, None, busy, ctx);
            }
            Sent::Refused { error, retry_after } => self.refused(travel, error, retry_after, now),
            Sent::Gone { error } => self.refused(travel, error, None, now),
            Sent::Unreadable { error } if lane.plain != Some(row.id) => {
                // It must not hold up all that is behind it: the next attempt is text alone.
                lane.plain = Some(row.id);
                log::warn!("event=slack_unreadable id={} error={error:?}", row.id);
                (Delivery::Refused { error, retry_at: now + FIRST_WAIT }, None)
            }
            Sent::Unreadable { error } => self.refused(travel, error, None, now),
            Sent::Unknown { error } if !step.shows_twice() => self.refused(travel, error, None, now),
            Sent::Unknown { error } => {
                let outage = self.failed(via, None, now);
                let retry_at = outage.retry_at;
                log::warn!("event=slack_unknown id={} by={via} error={error:?} retry_at={retry_at}", row.id);
                (Delivery::Unknown { error, retry_at }, Some(Some(outage)))
            }
        };
        let way = way.map(|outage| RouteWay { route: via.clone(), outage });
        let mark = MarkNotified { now, id: row.id, delivery, way, thread };
        self.mark(row.route.clone(), mark, busy, ctx);
    }

    fn refused(
        &mut self,
        Travel { row, via, .. }: &Travel,
        error: String,
        retry_after: Option<Duration>,
        now: DateTime<Utc>,
    ) -> (Delivery, Option<Option<Outage>>) {
        let outage = self.failed(via, retry_after, now);
        let retry_at = outage.retry_at;
        log::warn!("event=slack_refused id={} by={via} error={error:?} retry_at={retry_at}", row.id);
        (Delivery::Refused { error, retry_at }, Some(Some(outage)))
    }

    /// How a way stands that failed once more.
    fn failed(&mut self, via: &str, retry_after: Option<Duration>, now: DateTime<Utc>) -> Outage {
        let before = self.ways.outage(via);
        let failures = before.map_or(0, |outage| outage.failures);
        let asked = retry_after.map(|wait| TimeDelta::from_std(wait).unwrap_or(LONGEST_ASKED));
        let wait = asked.unwrap_or_else(|| self.wait(failures)).clamp(FIRST_WAIT, LONGEST_ASKED);
        let since = before.map_or(now, |outage| outage.since);
        Outage { since, failures: failures.saturating_add(1), retry_at: now + wait }
    }

    /// Doubles with each attempt; a random half of it is taken off, so that many who wait don't come at once.
    fn wait(&mut self, failures: u32) -> TimeDelta {
        let grown = FIRST_WAIT.checked_mul(1 << failures.min(16)).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
        let percent = i32::try_from(50 + self.deps.mint.random() % 51).unwrap_or(100);
        (grown * percent / 100).max(FIRST_WAIT)
    }

    pub(crate) fn mark(&mut self, route: String, mark: MarkNotified, busy: Busy, ctx: &mut Context<Self>) {
        let lane = self.lanes.entry(route.clone()).or_default();
        lane.sending = true;
        lane.unmarked = Some(mark.clone());
        let (id, way, delivery) = (mark.id, mark.way.clone(), mark.delivery.clone());
        let call = self.deps.mark.call(mark);
        ctx.spawn(wrap_future::<_, Self>(call).map(move |marked, this, ctx| {
            guarded(this, ctx, |this, ctx| match marked {
                Ok(()) => {
                    way.iter().for_each(|way| this.ways.learn(way));
                    this.waiters.tell(id, &delivery);
                    if let Some(lane) = this.lanes.get_mut(&route) {
                        lane.unmarked = None;
                    }
                    this.free(&route, None, busy, ctx);
                }
                Err(err) => {
                    // Read again, the row would be sent again. Marking it twice does no harm.
                    log::warn!("event=message_not_marked id={id} error={err:?}");
                    let at = this.deps.clock.now() + TRY_AGAIN;
                    this.free(&route, Some(at), busy, ctx);
                }
            });
        }));
    }
}

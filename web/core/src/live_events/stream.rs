//! One subscriber's events as they go over the wire.

use std::convert::Infallible;

use actix_web::web::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::broadcast::error::RecvError;

use super::{EventFrame, EventKind, Subscription};
use crate::params::QueryParams;
use crate::problem::Problem;

// A line at least this often, so that a proxy doesn't take the connection for dead, nor the service a client.
const HEARTBEAT: TimeDelta = TimeDelta::seconds(15);

// Then the client comes back by itself, and shows again that it may look: its token may be removed by now.
const LASTS: TimeDelta = TimeDelta::minutes(15);

const RETRY_MILLIS: u32 = 2_000;

/// Which events a subscriber wants; all unless it says so.
#[derive(Debug, Clone, Default)]
pub struct EventKinds(Vec<EventKind>);

impl EventKinds {
    pub fn of(params: &QueryParams) -> Result<Self, Problem> {
        params.named("kind").map(Self)
    }

    fn wants_event(&self, event: &EventFrame) -> bool {
        // Without a reset a subscriber would go on from a gap that it doesn't know of.
        self.0.is_empty() || event.kind == EventKind::Reset || self.0.contains(&event.kind)
    }
}

struct FeedReader {
    subscription: Subscription,
    kinds: EventKinds,
    has_begun: bool,
    until: DateTime<Utc>,
}

pub fn stream(subscription: Subscription, kinds: EventKinds) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let until = subscription.clock.now() + LASTS;
    unfold(FeedReader { subscription, kinds, has_begun: false, until }, |mut reading| async move {
        let text = reading.next_text().await?;
        Some((Ok(text), reading))
    })
}

impl FeedReader {
    /// None when it is over.
    async fn next_text(&mut self) -> Option<Bytes> {
        if !self.has_begun {
            self.has_begun = true;
            // An id without data is remembered by the client and tells it nothing.
            return Some(Bytes::from(format!("retry: {RETRY_MILLIS}\nid: {}\n\n", self.subscription.from)));
        }
        while let Some(event) = self.subscription.missed.pop_front() {
            if self.kinds.wants_event(&event) {
                return Some(event.text.clone());
            }
        }
        let mut heartbeat = self.subscription.clock.sleep_until(self.subscription.clock.now() + HEARTBEAT);
        loop {
            tokio::select! {
                event = self.subscription.events.recv() => match event {
                    Ok(event) if self.kinds.wants_event(&event) => return Some(event.text.clone()),
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => {
                        // To the end of the queue: what lies in between is read anew with the lists.
                        self.subscription.events = self.subscription.events.resubscribe();
                        return Some(self.subscription.hub.reset_text());
                    }
                    Err(RecvError::Closed) => return None,
                },
                tick = &mut heartbeat => {
                    return (tick.now < self.until).then(|| Bytes::from_static(b":\n\n"));
                }
            }
        }
    }
}

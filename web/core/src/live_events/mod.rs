//! What changes, told to all who look on: events with ids, the last of them kept for those who come back.
//!
//! Nothing is read and nothing is kept while nobody looks. A subscriber that is too slow, and one that comes back too
//! late, is told to begin anew: it can't hold up the others.

mod stream;

use std::collections::VecDeque;
use std::sync::Arc;

use actix_web::web::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::named_enum;
use flowlord_kernel::{Code, Locked, SharedClock};
use serde::Serialize;
use tokio::sync::broadcast;

use crate::problem::Problem;

pub use stream::{EventKinds, stream};

pub const MAX_SUBSCRIBERS: usize = 256;

/// How many events are kept for those who come back, and how far behind a subscriber may be.
const KEPT: usize = 512;

// With the number of those that are kept it bounds their memory: 8 MiB.
const MAX_BYTES: usize = 16 * 1024;

// When the last one went: a browser comes back within seconds.
const COMES_BACK: TimeDelta = TimeDelta::seconds(60);

named_enum! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum EventKind {
        Task = "task",
        Tasks = "tasks",
        Counts = "counts",
        Alert = "alert",
        Incident = "incident",
        Workflow = "workflow",
        Snapshot = "snapshot",
        Backload = "backload",
        File = "file",
        Reset = "reset",
    }
}

#[derive(Debug, PartialEq, Eq)]
pub struct LiveEvent {
    kind: EventKind,
    json: String,
}

impl LiveEvent {
    pub fn new(kind: EventKind, value: &impl Serialize) -> Self {
        // What the views hold can always be written.
        Self { kind, json: serde_json::to_string(value).unwrap_or_else(|_| "{}".to_owned()) }
    }
}

#[derive(Debug)]
pub struct EventFrame {
    number: u64,
    kind: EventKind,
    text: Bytes,
}

#[derive(Debug)]
pub struct EventHub {
    /// Tells ids of this process from those of an earlier one.
    epoch: String,
    state: Locked<HubState>,
}

#[derive(Debug, Default)]
struct HubState {
    /// None once the service stops.
    out: Option<broadcast::Sender<Arc<EventFrame>>>,
    kept: VecDeque<Arc<EventFrame>>,
    last: u64,
    /// Whoever knows all up to this number can go on from there.
    complete_since: u64,
    subscribers: usize,
    /// Until when somebody may still come back.
    watched_until: Option<DateTime<Utc>>,
}

/// A place among those who look on, until dropped.
#[derive(Debug)]
pub struct Subscription {
    hub: Arc<EventHub>,
    clock: SharedClock,
    missed: VecDeque<Arc<EventFrame>>,
    events: broadcast::Receiver<Arc<EventFrame>>,
    /// What the subscriber knows, for its first line.
    from: String,
}

impl EventHub {
    pub fn new(started_at: DateTime<Utc>) -> Self {
        let state = HubState { out: Some(broadcast::Sender::new(KEPT)), ..HubState::default() };
        Self { epoch: format!("{:x}", started_at.timestamp_micros()), state: Locked::new(state) }
    }

    fn event_id(&self, number: u64) -> String {
        format!("{}-{number}", self.epoch)
    }

    pub fn is_watched(&self, now: DateTime<Utc>) -> bool {
        let state = self.state.lock();
        state.subscribers > 0 || state.watched_until.is_some_and(|until| now < until)
    }

    pub fn tell(&self, news: Vec<LiveEvent>) {
        let mut state = self.state.lock();
        for LiveEvent { kind, json } in news {
            let number = state.last + 1;
            // Subscribers hear that something changed, and read it from the list.
            let (kind, json) = if json.len() > MAX_BYTES { (EventKind::Reset, "{}".to_owned()) } else { (kind, json) };
            state.push_frame(self.frame(number, kind, &json));
        }
    }

    fn frame(&self, number: u64, kind: EventKind, json: &str) -> Arc<EventFrame> {
        Arc::new(EventFrame { number, kind, text: self.event_text(number, kind, json) })
    }

    fn event_text(&self, number: u64, kind: EventKind, json: &str) -> Bytes {
        Bytes::from(format!("id: {}\nevent: {}\ndata: {json}\n\n", self.event_id(number), kind.as_str()))
    }

    /// Something was not told: all who look on begin anew.
    pub fn break_off(&self) {
        let mut state = self.state.lock();
        let number = state.last + 1;
        state.push_frame(self.frame(number, EventKind::Reset, "{}"));
        // Nobody can go on from before.
        state.kept.clear();
        state.complete_since = number;
    }

    /// Ends all that look on: the service stops.
    pub fn close(&self) {
        self.state.lock().out = None;
    }

    /// What a subscriber gets that fell behind.
    fn reset_text(&self) -> Bytes {
        let last = self.state.lock().last;
        self.event_text(last, EventKind::Reset, "{}")
    }
}

impl HubState {
    fn push_frame(&mut self, event: Arc<EventFrame>) {
        self.last = event.number;
        if self.kept.len() == KEPT
            && let Some(oldest) = self.kept.pop_front()
        {
            self.complete_since = oldest.number;
        }
        self.kept.push_back(Arc::clone(&event));
        if let Some(out) = &self.out {
            let _nobody_looks_on = out.send(event);
        }
    }

    /// What one missed that knows all up to `number`; none when it can't be told any more.
    fn events_since(&self, number: u64) -> Option<VecDeque<Arc<EventFrame>>> {
        let known = (self.complete_since..=self.last).contains(&number);
        known.then(|| self.kept.iter().filter(|event| event.number > number).cloned().collect())
    }
}

impl EventHub {
    /// Begins to gather.
    pub fn begin(&self, now: DateTime<Utc>) {
        // What changed before anybody looked was not told: an id from then must not go on from here.
        self.break_off();
        self.state.lock().watched_until = Some(now + COMES_BACK);
    }

    /// Gathers no more, unless somebody looks on.
    pub fn stop_watching(&self) {
        self.state.lock().watched_until = None;
    }

    /// The id from which somebody who reads a list now can go on: `after` of a later subscription. None while nobody
    /// looks on, and nothing is gathered.
    pub fn here(&self, now: DateTime<Utc>) -> Option<String> {
        if !self.is_watched(now) {
            return None;
        }
        let mut state = self.state.lock();
        state.watched_until = Some(now + COMES_BACK);
        Some(self.event_id(state.last))
    }

    /// Looks on from now, or from after the event that was seen last.
    pub fn subscribe(self: &Arc<Self>, clock: &SharedClock, after: Option<&str>) -> Result<Subscription, Problem> {
        let mut state = self.state.lock();
        let Some(out) = &state.out else {
            return Err(Problem::new(Code::Stopping, "the service is stopping: nothing more changes"));
        };
        if state.subscribers >= MAX_SUBSCRIBERS {
            let detail = format!("{MAX_SUBSCRIBERS} look on already: close some, or read the lists");
            return Err(Problem::new(Code::Busy, detail));
        }
        // Under the lock: each event is either among the missed ones or received, never both or neither.
        let events = out.subscribe();
        let (from, missed) = match after.map(|after| self.missed_events(&state, after)) {
            None => (state.last, VecDeque::new()),
            Some(Some(known)) => known,
            Some(None) => (state.last, VecDeque::from([self.frame(state.last, EventKind::Reset, "{}")])),
        };
        state.subscribers += 1;
        drop(state);
        Ok(Subscription { clock: clock.clone(), missed, events, from: self.event_id(from), hub: Arc::clone(self) })
    }

    /// What one missed that saw the event of this id last; none when it can't be told any more.
    fn missed_events(&self, state: &HubState, id: &str) -> Option<(u64, VecDeque<Arc<EventFrame>>)> {
        let (epoch, number) = id.split_once('-')?;
        let number = number.parse().ok().filter(|_| epoch == self.epoch)?;
        Some((number, state.events_since(number)?))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.hub.state.lock();
        state.subscribers = state.subscribers.saturating_sub(1);
        state.watched_until = Some(self.clock.now() + COMES_BACK);
    }
}

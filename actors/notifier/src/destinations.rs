//! The ways to Slack: which route's messages go where, which way fails, and how fast each place takes messages.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_messages::outbox::{Outage, OutboxRow, RouteWay};

use crate::slack::Slack;

/// Slack takes about one message a second and channel.
const PACE: TimeDelta = TimeDelta::seconds(1);

/// The longest that Slack is let say to wait. A message planned for later than this was planned by a clock that
/// has been set back since, and is due.
pub(crate) const LONGEST_ASKED: TimeDelta = TimeDelta::hours(1);

/// The route of all that no other is for.
const DEFAULT: &str = "default";

/// Where the messages of one route go.
#[derive(Clone, Default)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// An incoming webhook. A secret.
    pub webhook: Option<String>,
    /// A bot token, used where there is no webhook. A secret.
    pub token: Option<String>,
    /// The channel.
    pub channel: Option<String>,
    /// The route whose way is taken when this one's fails for long.
    pub fallback: Option<String>,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route")
            .field("name", &self.name)
            .field("webhook", &self.webhook.as_ref().map(|_| "…"))
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("channel", &self.channel)
            .field("fallback", &self.fallback)
            .finish()
    }
}

/// A channel, or a webhook's.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) slack: Slack,
    pub(crate) channel: Option<String>,
    /// Not before this, for the pace.
    free_at: Option<DateTime<Utc>>,
    /// A message is on its way there.
    pub(crate) sending: bool,
}

#[derive(Debug)]
struct Way {
    place: usize,
    fallback: Option<String>,
    outage: Option<Outage>,
}

/// What to do with a route's next message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Send it by the way of this route, to this place.
    Send { via: String, place: usize },
    /// Look again then.
    Wait(DateTime<Utc>),
    /// Look again when the place's message has been sent.
    Queue,
}

/// All ways.
#[derive(Debug)]
pub(crate) struct Ways {
    pub(crate) places: Vec<Place>,
    ways: BTreeMap<String, Way>,
    default: String,
    fallback_after: TimeDelta,
}

impl Ways {
    pub(crate) fn new(
        routes: &[Route],
        api_url: &str,
        patience: Duration,
        fallback_after: TimeDelta,
    ) -> Self {
        let mut places: Vec<Place> = Vec::new();
        let mut known: Vec<(Option<&String>, Option<&String>, Option<&String>)> = Vec::new();
        let mut ways = BTreeMap::new();
        let nowhere = [Route { name: DEFAULT.to_owned(), ..Route::default() }];
        let routes = if routes.is_empty() { &nowhere } else { routes };
        for route in routes {
            // Routes that share a channel share its pace.
            let address = match &route.webhook {
                Some(webhook) => (Some(webhook), None, None),
                None => (None, route.token.as_ref(), route.channel.as_ref()),
            };
            let place = known.iter().position(|other| *other == address).unwrap_or_else(|| {
                known.push(address);
                let slack = Slack::new(route, api_url, patience);
                places.push(Place { slack, channel: route.channel.clone(), free_at: None, sending: false });
                places.len() - 1
            });
            let fallback = route.fallback.clone().filter(|fallback| *fallback != route.name);
            ways.insert(route.name.clone(), Way { place, fallback, outage: None });
        }
        let default = if ways.contains_key(DEFAULT) {
            DEFAULT.to_owned()
        } else {
            routes.first().map_or_else(String::new, |route| route.name.clone())
        };
        Self { places, ways, default, fallback_after }
    }

    /// The route itself, or the default where there is none of that name any more.
    pub(crate) fn named<'a>(&'a self, route: &'a str) -> &'a str {
        if self.ways.contains_key(route) { route } else { &self.default }
    }

    /// Remembers how a way stands.
    pub(crate) fn learn(&mut self, way: &RouteWay) {
        if let Some(known) = self.ways.get_mut(&way.route) {
            known.outage = way.outage;
        }
    }

    pub(crate) fn outage(&self, route: &str) -> Option<Outage> {
        self.ways.get(route)?.outage
    }

    /// What to do with `row`, the next of its route.
    pub(crate) fn turn(&self, row: &OutboxRow, now: DateTime<Utc>) -> Turn {
        let (via, at) = self.choose(row, now);
        if at > now {
            return Turn::Wait(at);
        }
        let Some(way) = self.ways.get(via) else { return Turn::Queue };
        let place = &self.places[way.place];
        match place.free_at.filter(|at| *at > now && *at - now <= PACE) {
            _ if place.sending => Turn::Queue,
            Some(free_at) => Turn::Wait(free_at),
            None => Turn::Send { via: via.to_owned(), place: way.place },
        }
    }

    /// By which way, and from when on.
    fn choose<'a>(&'a self, row: &'a OutboxRow, now: DateTime<Utc>) -> (&'a str, DateTime<Utc>) {
        let own = self.named(&row.route);
        let Some(way) = self.ways.get(own) else { return (own, now) };
        let Some(outage) = way.outage else { return (own, due(row.retry_at, now)) };
        let own_at = due(Some(outage.retry_at), now);
        let other = way.fallback.as_deref().and_then(|other| Some((other, self.ways.get(other)?)));
        let Some((other, fallback)) = other.filter(|_| own_at > now) else { return (own, own_at) };
        // A clock set back makes an outage begin in the future: then it has lasted long enough.
        let long = if outage.since > now { now } else { outage.since + self.fallback_after };
        let other_at = long.max(due(fallback.outage.map(|outage| outage.retry_at), now));
        if other_at < own_at { (other, other_at) } else { (own, own_at) }
    }

    /// A place begins to send.
    pub(crate) fn begin(&mut self, place: usize) {
        self.places[place].sending = true;
    }

    /// A place has sent, or tried to: each attempt counts.
    pub(crate) fn end(&mut self, place: usize, now: DateTime<Utc>, tried: bool) {
        let place = &mut self.places[place];
        place.sending = false;
        if tried && !place.slack.is_nowhere() {
            place.free_at = Some(now + PACE);
        }
    }

    /// Nothing is on its way any more.
    pub(crate) fn reset(&mut self) {
        for place in &mut self.places {
            place.sending = false;
        }
    }
}

fn due(at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> DateTime<Utc> {
    at.filter(|at| *at > now && *at - now <= LONGEST_ASKED).unwrap_or(now)
}

//! The destinations of messages: which route's messages go where, which destination fails, and how fast each takes
//! messages.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::Secret;
use flowlord_messages::outbox::{OutboxRow, RouteTransport, TransportOutage};

use crate::transport::SlackTransport;

// Slack takes about one message a second and channel.
const SEND_INTERVAL: TimeDelta = TimeDelta::seconds(1);

/// The longest wait that Slack may ask for.
pub(crate) const MAX_RETRY_AFTER: TimeDelta = TimeDelta::hours(1);

const DEFAULT_ROUTE: &str = "default";

#[derive(Debug, Clone, Default)]
pub struct SlackRoute {
    pub name: String,
    /// An incoming webhook.
    pub webhook: Option<Secret>,
    /// A bot token, used where there is no webhook.
    pub token: Option<Secret>,
    pub channel: Option<String>,
    /// The route whose destination is taken when this one's fails for long.
    pub fallback: Option<String>,
}

/// A channel, or a webhook's.
#[derive(Debug)]
pub(crate) struct SlackDestination {
    pub(crate) slack: SlackTransport,
    pub(crate) channel: Option<String>,
    /// Nothing is sent before this, for the pace.
    free_at: Option<DateTime<Utc>>,
    is_sending: bool,
}

#[derive(Debug)]
struct RouteDestination {
    destination: usize,
    fallback: Option<String>,
    outage: Option<TransportOutage>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NextAction {
    /// Send it by this route, to this destination.
    Send {
        via: String,
        destination: usize,
    },
    WaitUntil(DateTime<Utc>),
    WaitForDestination,
}

#[derive(Debug)]
pub(crate) struct DestinationTable {
    pub(crate) all: Vec<SlackDestination>,
    routes: BTreeMap<String, RouteDestination>,
    default: String,
    fallback_after: TimeDelta,
}

impl DestinationTable {
    pub(crate) fn new(routes: &[SlackRoute], api_url: &str, timeout: Duration, fallback_after: TimeDelta) -> Self {
        let mut all: Vec<SlackDestination> = Vec::new();
        let mut addresses: Vec<(Option<&Secret>, Option<&Secret>, Option<&String>)> = Vec::new();
        let mut known = BTreeMap::new();
        let nowhere = [SlackRoute { name: DEFAULT_ROUTE.to_owned(), ..SlackRoute::default() }];
        let routes = if routes.is_empty() { &nowhere } else { routes };
        for route in routes {
            // Routes that share a channel share its pace.
            let address = match &route.webhook {
                Some(webhook) => (Some(webhook), None, None),
                None => (None, route.token.as_ref(), route.channel.as_ref()),
            };
            let destination = addresses.iter().position(|other| *other == address).unwrap_or_else(|| {
                addresses.push(address);
                let slack = SlackTransport::new(route, api_url, timeout);
                let channel = route.channel.clone();
                all.push(SlackDestination { slack, channel, free_at: None, is_sending: false });
                all.len() - 1
            });
            let fallback = route.fallback.clone().filter(|fallback| *fallback != route.name);
            known.insert(route.name.clone(), RouteDestination { destination, fallback, outage: None });
        }
        let default = if known.contains_key(DEFAULT_ROUTE) {
            DEFAULT_ROUTE.to_owned()
        } else {
            routes.first().map_or_else(String::new, |route| route.name.clone())
        };
        Self { all, routes: known, default, fallback_after }
    }

    /// The route itself, or the default where there is none of that name any more.
    pub(crate) fn route_or_default<'a>(&'a self, route: &'a str) -> &'a str {
        if self.routes.contains_key(route) { route } else { &self.default }
    }

    pub(crate) fn note_outage(&mut self, way: &RouteTransport) {
        if let Some(known) = self.routes.get_mut(&way.route) {
            known.outage = way.outage;
        }
    }

    pub(crate) fn outage_of(&self, route: &str) -> Option<TransportOutage> {
        self.routes.get(route)?.outage
    }

    /// What to do with `row`, the next of its route.
    pub(crate) fn next_action(&self, row: &OutboxRow, now: DateTime<Utc>) -> NextAction {
        let (via, at) = self.choose_route(row, now);
        if at > now {
            return NextAction::WaitUntil(at);
        }
        let Some(route) = self.routes.get(via) else { return NextAction::WaitForDestination };
        let destination = &self.all[route.destination];
        // Later than the interval allows is a clock that was set back: then it is free.
        match destination.free_at.filter(|at| *at > now && *at - now <= SEND_INTERVAL) {
            _ if destination.is_sending => NextAction::WaitForDestination,
            Some(free_at) => NextAction::WaitUntil(free_at),
            None => NextAction::Send { via: via.to_owned(), destination: route.destination },
        }
    }

    fn choose_route<'a>(&'a self, row: &'a OutboxRow, now: DateTime<Utc>) -> (&'a str, DateTime<Utc>) {
        let own = self.route_or_default(&row.route);
        let Some(route) = self.routes.get(own) else { return (own, now) };
        let Some(outage) = route.outage else { return (own, due_at(row.retry_at, now)) };
        let own_at = due_at(Some(outage.retry_at), now);
        let other = route.fallback.as_deref().and_then(|other| Some((other, self.routes.get(other)?)));
        let Some((other, fallback)) = other.filter(|_| own_at > now) else { return (own, own_at) };
        // A clock set back makes an outage begin in the future: then it has lasted long enough.
        let long = if outage.since > now { now } else { outage.since + self.fallback_after };
        let other_at = long.max(due_at(fallback.outage.map(|outage| outage.retry_at), now));
        if other_at < own_at { (other, other_at) } else { (own, own_at) }
    }

    pub(crate) fn begin_sending(&mut self, destination: usize) {
        self.all[destination].is_sending = true;
    }

    pub(crate) fn end_sending(&mut self, destination: usize, now: DateTime<Utc>, is_tried: bool) {
        let destination = &mut self.all[destination];
        destination.is_sending = false;
        // Each attempt counts for the pace, also one that Slack refused.
        if is_tried && !destination.slack.is_log_only() {
            destination.free_at = Some(now + SEND_INTERVAL);
        }
    }

    /// Nothing is being sent any more.
    pub(crate) fn reset_all(&mut self) {
        for destination in &mut self.all {
            destination.is_sending = false;
        }
    }
}

fn due_at(at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> DateTime<Utc> {
    // One planned for later than any wait was planned by a clock that has been set back since, and is due.
    at.filter(|at| *at > now && *at - now <= MAX_RETRY_AFTER).unwrap_or(now)
}

//! Who changed something by way of this node, a follower, until its database holds the change: nobody is shown what was
//! before their own change.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::Locked;
use flowlord_messages::tokens::TokenHash;

use crate::auth::{COOKIE, TrustedProxies, hash_of};

/// Callers remembered at most.
const MAX_CALLERS: usize = 10_000;

// A follower that is behind for longer says so by its lag: the leader doesn't have to serve its readers for good.
const REMEMBERED: TimeDelta = TimeDelta::seconds(60);

/// What tells one caller from another before anybody checks who it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CallerKey {
    /// The hash of a token or session that may be wrong.
    Proof(TokenHash),
    Address(Option<IpAddr>),
}

impl CallerKey {
    pub fn of(request: &HttpRequest, proxies: &TrustedProxies) -> Self {
        if let Some(token) = request.headers().get(AUTHORIZATION) {
            return Self::Proof(hash_of(&String::from_utf8_lossy(token.as_bytes())));
        }
        match request.cookie(COOKIE) {
            Some(session) => Self::Proof(hash_of(session.value())),
            None => Self::Address(proxies.client(request.peer_addr().map(|peer| peer.ip()), request.headers())),
        }
    }

    pub fn has_proof(&self) -> bool {
        matches!(self, Self::Proof(_))
    }
}

impl fmt::Display for CallerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Enough to tell it from others.
            Self::Proof([a, b, c, d, ..]) => write!(f, "the token {a:02x}{b:02x}{c:02x}{d:02x}"),
            Self::Address(Some(address)) => address.fmt(f),
            Self::Address(None) => f.write_str("one address"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct OwnWrite {
    /// The leader's clock when it had answered.
    done_at: DateTime<Utc>,
    noted_at: DateTime<Utc>,
}

impl OwnWrite {
    fn is_awaited(&self, through: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
        // A clock that was set back must not make it wait for longer.
        let is_recent = (now - self.noted_at).abs() < REMEMBERED;
        is_recent && through.is_none_or(|through| through <= self.done_at)
    }
}

#[derive(Debug, Default)]
pub struct OwnWrites(Locked<WritesByCaller>);

#[derive(Debug, Default)]
struct WritesByCaller {
    latest: HashMap<CallerKey, OwnWrite>,
    /// The latest of those that there was no room for; it counts for everyone.
    of_anyone: Option<OwnWrite>,
}

impl OwnWrites {
    /// The leader has answered a change of `caller` at `done_at` of its clock.
    pub fn note(&self, caller: CallerKey, done_at: DateTime<Utc>, through: Option<DateTime<Utc>>, now: DateTime<Utc>) {
        let mut writes = self.0.lock();
        if writes.latest.len() >= MAX_CALLERS {
            writes.latest.retain(|_, write| write.is_awaited(through, now));
        }
        if writes.latest.len() >= MAX_CALLERS {
            // The leader answers a few views more, rather than that somebody sees what was before.
            let latest = writes.latest.drain().map(|(_, write)| write).max();
            writes.of_anyone = writes.of_anyone.max(latest);
        }
        writes.latest.insert(caller, OwnWrite { done_at, noted_at: now });
    }

    /// Whether the database of this follower, which holds all `through`, lacks a change of `caller`.
    pub fn is_awaited_by(&self, caller: &CallerKey, through: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
        let mut writes = self.0.lock();
        let is_awaited = |write: Option<&OwnWrite>| write.is_some_and(|write| write.is_awaited(through, now));
        if is_awaited(writes.of_anyone.as_ref()) || is_awaited(writes.latest.get(caller)) {
            return true;
        }
        writes.latest.remove(caller);
        false
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn from(n: u32) -> CallerKey {
        CallerKey::Address(Some(IpAddr::from(n.to_be_bytes())))
    }

    fn second(n: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(n)
    }

    #[test]
    fn a_change_is_awaited_by_its_caller_until_the_database_holds_it() {
        let writes = OwnWrites::default();
        writes.note(from(1), second(5), Some(second(0)), second(100));
        let is_awaited = |caller, through| writes.is_awaited_by(&from(caller), through, second(101));
        assert!(is_awaited(1, Some(second(4))) && is_awaited(1, None));
        assert!(is_awaited(1, Some(second(5))), "the change may be of this very moment");
        assert!(!is_awaited(2, Some(second(4))), "another's");
        assert!(!is_awaited(1, Some(second(6))));
        assert!(writes.0.lock().latest.is_empty());
        writes.note(from(1), second(5), Some(second(0)), second(100));
        assert!(writes.is_awaited_by(&from(1), None, second(159)));
        assert!(!writes.is_awaited_by(&from(1), None, second(160)), "it stays behind");
    }

    #[test]
    fn more_callers_than_there_is_room_for_await_the_latest_change() {
        let writes = OwnWrites::default();
        for n in 0..=u32::try_from(MAX_CALLERS).unwrap() {
            writes.note(from(n), second(i64::from(n) % 7), Some(second(-1)), second(0));
        }
        assert_eq!(writes.0.lock().latest.len(), 1);
        assert!(writes.is_awaited_by(&from(77), Some(second(6)), second(1)));
        assert!(!writes.is_awaited_by(&from(77), Some(second(7)), second(1)));
        for n in 0..=u32::try_from(MAX_CALLERS).unwrap() {
            writes.note(from(n), second(1), Some(second(5)), second(0));
        }
        assert!(!writes.is_awaited_by(&from(77), Some(second(7)), second(1)), "those that are in are forgotten");
    }

    #[test]
    fn a_caller_is_told_by_token_session_or_address() {
        let peer = "10.0.0.1:9".parse().unwrap();
        let key = |request: TestRequest| {
            CallerKey::of(&request.peer_addr(peer).to_http_request(), &TrustedProxies::default())
        };
        let get = TestRequest::get;
        let token = || get().insert_header(("authorization", "Bearer a"));
        let cookie = |value: &str| get().insert_header(("cookie", format!("notice=x; {COOKIE}={value}")));
        let anyone = key(get());
        assert_eq!(anyone, CallerKey::Address(Some("10.0.0.1".parse().unwrap())));
        assert_eq!(key(token()), key(token().insert_header(("cookie", "x=y"))));
        assert_eq!(key(cookie("a")), key(cookie("a")));
        let keys = [anyone, key(token()), key(cookie("a")), key(cookie("b"))];
        for (at, one) in keys.iter().enumerate() {
            assert!(keys.iter().skip(at + 1).all(|other| one != other), "{one:?}");
        }
    }
}

//! Guessing is slow: so many wrong tokens a minute from one address, and no more.

use std::collections::HashMap;
use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::{Code, Locked};

use crate::problem::Problem;

/// Wrong tokens within [`WINDOW`] before an address has to wait.
const ALLOWED: u32 = 10;
const WINDOW: TimeDelta = TimeDelta::minutes(1);

/// Addresses remembered at most.
const MAX_ADDRESSES: usize = 10_000;

/// By address, when its first wrong token within `WINDOW` came, and how many did.
#[derive(Debug, Default)]
pub struct TokenFailures(Locked<HashMap<IpAddr, (DateTime<Utc>, u32)>>);

impl TokenFailures {
    pub fn check(&self, peer: Option<IpAddr>, now: DateTime<Utc>) -> Result<(), Problem> {
        let Some(peer) = peer else { return Ok(()) };
        match self.0.lock().get(&peer) {
            Some((begun, count)) if *count >= ALLOWED && is_recent(*begun, now) => Err(Problem::new(
                Code::TooManyAttempts,
                format!("{ALLOWED} wrong tokens came from {peer} within a minute: wait a minute"),
            )),
            _ => Ok(()),
        }
    }

    pub fn count(&self, peer: Option<IpAddr>, now: DateTime<Utc>) {
        let Some(peer) = peer else { return };
        let mut all = self.0.lock();
        if all.len() >= MAX_ADDRESSES {
            all.retain(|_, (begun, _)| is_recent(*begun, now));
        }
        if all.len() >= MAX_ADDRESSES {
            // A flood from more addresses lets each guess ten times more, rather than take all memory.
            all.clear();
        }
        let (begun, count) = all.entry(peer).or_insert((now, 0));
        if !is_recent(*begun, now) {
            (*begun, *count) = (now, 0);
        }
        *count += 1;
        // Once: guesses must not fill the log.
        if *count == ALLOWED {
            log::warn!("event=too_many_wrong_tokens address={peer}");
        }
    }
}

fn is_recent(begun: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    // A clock that was set back must not lock an address out until it has caught up.
    (now - begun).abs() < WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_a_minute_and_no_more_each_address_for_itself() {
        let failures = TokenFailures::default();
        let (one, other) = (Some("10.0.0.1".parse().unwrap()), Some("10.0.0.2".parse().unwrap()));
        let now: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
        for _ in 0..ALLOWED {
            failures.check(one, now).unwrap();
            failures.count(one, now);
        }
        assert_eq!(failures.check(one, now).unwrap_err().code(), Code::TooManyAttempts);
        failures.check(other, now).unwrap();
        failures.check(one, now + WINDOW).unwrap();
        failures.count(one, now + WINDOW);
        failures.check(one, now + WINDOW).unwrap();
    }

    #[test]
    fn a_flood_of_addresses_takes_no_more_than_its_share_of_memory() {
        let failures = TokenFailures::default();
        let now = DateTime::UNIX_EPOCH;
        for n in 0..(MAX_ADDRESSES as u32 * 2) {
            failures.count(Some(IpAddr::from(n.to_be_bytes())), now);
        }
        assert!(failures.0.lock().len() <= MAX_ADDRESSES);
    }
}

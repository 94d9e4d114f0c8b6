//! Guessing is slow: so many wrong tokens a minute from one address, and no more.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::Code;

use crate::problem::Problem;

/// Wrong tokens within [`WINDOW`] before an address has to wait.
const ALLOWED: u32 = 10;
const WINDOW: TimeDelta = TimeDelta::minutes(1);

/// Addresses remembered at most; a flood from more forgets all, which lets each guess ten times more.
const MAX_ADDRESSES: usize = 10_000;

/// Wrong tokens by address.
#[derive(Debug, Default)]
pub struct TokenFailures(Mutex<HashMap<IpAddr, (DateTime<Utc>, u32)>>);

impl TokenFailures {
    fn all(&self) -> MutexGuard<'_, HashMap<IpAddr, (DateTime<Utc>, u32)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses an address that guessed too often lately.
    pub fn check(&self, peer: Option<IpAddr>, now: DateTime<Utc>) -> Result<(), Problem> {
        let Some(peer) = peer else { return Ok(()) };
        match self.all().get(&peer) {
            Some((begun, count)) if *count >= ALLOWED && is_recent(*begun, now) => Err(Problem::new(
                Code::TooManyAttempts,
                format!("{ALLOWED} wrong tokens came from {peer} within a minute: wait a minute"),
            )),
            _ => Ok(()),
        }
    }

    /// One more wrong token.
    pub fn count(&self, peer: Option<IpAddr>, now: DateTime<Utc>) {
        let Some(peer) = peer else { return };
        let mut all = self.all();
        if all.len() >= MAX_ADDRESSES {
            all.retain(|_, (begun, _)| is_recent(*begun, now));
        }
        if all.len() >= MAX_ADDRESSES {
            all.clear();
        }
        let (begun, count) = all.entry(peer).or_insert((now, 0));
        if !is_recent(*begun, now) {
            (*begun, *count) = (now, 0);
        }
        *count += 1;
        if *count == ALLOWED {
            log::warn!("event=too_many_wrong_tokens address={peer}");
        }
    }
}

fn is_recent(begun: DateTime<Utc>, now: DateTime<Utc>) -> bool {
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
        assert!(failures.all().len() <= MAX_ADDRESSES);
    }
}

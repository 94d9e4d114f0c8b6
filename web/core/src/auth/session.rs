//! The browser's session: a cookie that names a token, until when, and is signed by that token's hash. Removing the
//! token ends its sessions; a restart doesn't.

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_messages::tokens::TokenHash;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

pub const COOKIE: &str = "flowlord_session";

pub const LASTS: TimeDelta = TimeDelta::hours(12);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub name: String,
    expires: i64,
    signature: Vec<u8>,
}

impl Session {
    pub fn new(name: &str, hash: &TokenHash, now: DateTime<Utc>) -> Self {
        let expires = (now + LASTS).timestamp();
        let signature = session_mac(hash, name, expires).finalize().into_bytes().to_vec();
        Self { name: name.to_owned(), expires, signature }
    }

    /// Reads a cookie; none for what isn't one of ours.
    pub fn read(text: &str) -> Option<Self> {
        // From its end: the name of a token may have dots in it.
        let mut parts = text.rsplitn(3, '.');
        let signature = from_hex(parts.next()?)?;
        let expires = parts.next()?.parse().ok()?;
        Some(Self { name: parts.next()?.to_owned(), expires, signature })
    }

    pub fn text(&self) -> String {
        format!("{}.{}.{}", self.name, self.expires, hex(&self.signature))
    }

    /// Whether it was signed for the token of this hash and hasn't ended.
    pub fn is_good(&self, hash: &TokenHash, now: DateTime<Utc>) -> bool {
        // Compares in constant time.
        now.timestamp() < self.expires
            && session_mac(hash, &self.name, self.expires).verify_slice(&self.signature).is_ok()
    }
}

fn session_mac(hash: &TokenHash, name: &str, expires: i64) -> Hmac<Sha256> {
    // A shorter key is filled up with zeroes: by HMAC's own rule.
    let mut key = [0; 64];
    key[..hash.len()].copy_from_slice(hash);
    let mut signing = Hmac::<Sha256>::new(&key.into());
    // The first word keeps a signature of anything else with this key from passing as a session.
    signing.update(format!("session.{name}.{expires}").as_bytes());
    signing
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    // Below, it is cut after every second byte, which must not be inside a character.
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_good_for_its_token_and_its_time_only() {
        let now: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
        let hash = [7; 32];
        let session = Session::new("ann.b", &hash, now);
        let read = Session::read(&session.text()).unwrap();
        assert_eq!(read, session);
        assert!(read.is_good(&hash, now) && read.is_good(&hash, now + LASTS - TimeDelta::seconds(1)));
        assert!(!read.is_good(&hash, now + LASTS), "it ended");
        assert!(!read.is_good(&[8; 32], now), "another token, or a new one of the same name");
        for text in [
            session.text().replace("ann", "eve"),
            session.text().replacen(&session.expires.to_string(), "9999999999", 1),
        ] {
            assert!(!Session::read(&text).unwrap().is_good(&hash, now), "{text}");
        }
        for text in ["", "a", "a.b.c", "a.1.zz", "a.1.é", "..", "a.1.0"] {
            assert!(Session::read(text).is_none_or(|session| !session.is_good(&hash, now)), "{text}");
        }
    }
}

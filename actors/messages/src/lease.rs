//! What a worker holds while it works on a task.

use std::fmt;
use std::str::FromStr;

use flowlord_domain::Uid;

/// A lease: the attempt and a secret of this hand-out. Written as `uid-secret`, 14 and 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken {
    /// The attempt.
    pub uid: Uid,
    /// 64 random bits, new at each hand-out.
    pub secret: u64,
}

impl fmt::Display for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.uid, self.secret)
    }
}

/// A text that was never a lease.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not a valid lease")]
pub struct InvalidLease;

impl FromStr for LeaseToken {
    type Err = InvalidLease;

    fn from_str(text: &str) -> Result<Self, InvalidLease> {
        let (uid, secret) = text.split_once('-').ok_or(InvalidLease)?;
        if secret.len() != 16 || !secret.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(InvalidLease);
        }
        let uid = uid.parse().map_err(|_| InvalidLease)?;
        u64::from_str_radix(secret, 16).map(|secret| Self { uid, secret }).map_err(|_| InvalidLease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses() {
        let lease = LeaseToken { uid: Uid(1_700_000_000_000_000), secret: 0xfeed_beef };
        assert_eq!(lease.to_string().parse(), Ok(lease));
    }

    #[test]
    fn refuses_what_was_never_given() {
        for text in ["", "-", "x-y", "060a24181e4000", "060a24181e4000-1", "060a24181e4000-+00000000000001a"]
        {
            assert_eq!(text.parse::<LeaseToken>(), Err(InvalidLease), "{text:?}");
        }
    }
}

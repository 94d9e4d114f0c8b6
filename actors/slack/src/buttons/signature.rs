//! Whether a request comes from Slack: signed with the secret that only Slack and the operator know, and fresh.

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::{Code, Error};
use flowlord_messages::outbox::slack_signature;
use subtle::ConstantTimeEq as _;

/// A request signed longer ago than this may be one that somebody recorded.
const MAX_AGE: TimeDelta = TimeDelta::minutes(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignatureProblem {
    /// Signed too long ago, or in the future.
    Stale,
    Forged,
}

impl From<SignatureProblem> for Error {
    fn from(problem: SignatureProblem) -> Self {
        let why = match problem {
            SignatureProblem::Stale => "the request was signed too long ago, or this machine's clock is wrong",
            SignatureProblem::Forged => "the request isn't signed with notify.signing_secret",
        };
        Self::new(Code::Unauthorized, why)
    }
}

/// Checks `signature` over the time and the body of a request. Answers when it was signed.
pub(super) fn check_signature(
    secret: &str,
    timestamp: &str,
    signature: &str,
    body: &str,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, SignatureProblem> {
    let signed = slack_signature(secret, timestamp, body).ok_or(SignatureProblem::Forged)?;
    // In constant time: how much of it is right must not be told by how long the answer takes.
    if !bool::from(signed.as_bytes().ct_eq(signature.as_bytes())) {
        return Err(SignatureProblem::Forged);
    }
    let at = timestamp.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    match at {
        Some(at) if (now - at).abs() <= MAX_AGE => Ok(at),
        _ => Err(SignatureProblem::Stale),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn signed(secret: &str, timestamp: &str, body: &str) -> String {
        slack_signature(secret, timestamp, body).unwrap()
    }

    /// The example of Slack's documentation.
    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
        &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
        &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
        &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    const AT: &str = "1531420618";
    const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_531_420_618 + seconds, 0).unwrap()
    }

    #[test]
    fn the_documented_example_holds() {
        for seconds in [-300, 0, 300] {
            assert_eq!(check_signature(SECRET, AT, SIGNATURE, BODY, at(seconds)), Ok(at(0)));
        }
        for seconds in [-301, 301, 1_000_000] {
            assert_eq!(check_signature(SECRET, AT, SIGNATURE, BODY, at(seconds)), Err(SignatureProblem::Stale));
        }
    }

    #[test]
    fn what_differs_anywhere_is_forged() {
        let body = BODY.replace("foobar", "foobaz");
        assert_eq!(check_signature(SECRET, AT, SIGNATURE, &body, at(0)), Err(SignatureProblem::Forged));
        assert_eq!(check_signature("other", AT, SIGNATURE, BODY, at(0)), Err(SignatureProblem::Forged));
        assert_eq!(check_signature(SECRET, "1531420619", SIGNATURE, BODY, at(0)), Err(SignatureProblem::Forged));
        for signature in ["", "v0=", &SIGNATURE[..60], &SIGNATURE.to_uppercase(), &format!("{SIGNATURE}0")] {
            assert_eq!(
                check_signature(SECRET, AT, signature, BODY, at(0)),
                Err(SignatureProblem::Forged),
                "{signature}"
            );
        }
        let unreadable = signed(SECRET, "soon", BODY);
        assert_eq!(check_signature(SECRET, "soon", &unreadable, BODY, at(0)), Err(SignatureProblem::Stale));
    }
}

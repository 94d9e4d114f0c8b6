//! The one error table: code, HTTP status, `Retry-After`.

use std::fmt;

/// What a call answers.
pub type Result<T> = std::result::Result<T, Error>;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal, $retry:expr, $title:literal;)+) => {
        /// Why a call failed; stable names that clients can match.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)+ }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The stable name, as in problem documents.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The HTTP status that it is answered with.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }

            /// Seconds after which the same request is worth trying again; none where it isn't.
            #[must_use]
            pub fn retry_after(self) -> Option<u32> {
                match self { $(Self::$name => $retry,)+ }
            }

            /// One line for people.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

codes! {
    /// The body is no JSON, or not of the form asked for.
    InvalidJson = "invalid_json", 400, None, "The body can't be read";
    /// A field or parameter has a value that can't be.
    InvalidRequest = "invalid_request", 400, None, "The request is invalid";
    /// A topic or job name has characters that it can't have.
    InvalidTopic = "invalid_topic", 400, None, "The topic name is invalid";
    /// No token, or one that isn't known.
    Unauthorized = "unauthorized", 401, None, "A token is needed";
    /// The token's role isn't enough.
    Forbidden = "forbidden", 403, None, "The role of the token is not sufficient";
    /// The host named in the request isn't one that this service answers to.
    ForbiddenOrigin = "forbidden_origin", 403, None, "The request comes from another site";
    /// No such page or path.
    NotFound = "not_found", 404, None, "Not found";
    /// No such attempt.
    TaskUnknown = "task_unknown", 404, None, "No such task";
    /// No such token.
    TokenUnknown = "token_unknown", 404, None, "No such token";
    /// The attempt has no log, or it is kept no longer.
    NoLog = "no_log", 404, None, "The task has no log";
    /// No such chain.
    ChainUnknown = "chain_unknown", 404, None, "No such chain";
    /// No such workflow file or phase.
    WorkflowUnknown = "workflow_unknown", 404, None, "No such workflow";
    /// No such backload.
    BackloadUnknown = "backload_unknown", 404, None, "No such backload";
    /// No such silence, or it is over.
    SilenceUnknown = "silence_unknown", 404, None, "No such silence";
    /// The lease was never given.
    LeaseUnknown = "lease_unknown", 404, None, "No such lease";
    /// The path doesn't take this method.
    MethodNotAllowed = "method_not_allowed", 405, None, "The path doesn't support this method";
    /// The client took too long to send its request.
    RequestTimeout = "request_timeout", 408, Some(1), "The request didn't arrive in time";
    /// The lease ran out and its task was handed out again, or was ended by someone else.
    LeaseLost = "lease_lost", 409, None, "The lease is lost";
    /// The piece of a log belongs elsewhere.
    LogOffset = "log_offset", 409, None, "The log continues elsewhere";
    /// The attempt already has another result.
    AlreadyFinished = "already_finished", 409, None, "The task already has another result";
    /// The attempt, or a later one of its task, has no result yet.
    TaskUnfinished = "task_unfinished", 409, None, "The task isn't finished";
    /// The slot was started before.
    SlotTaken = "slot_taken", 409, None, "The slot was already started";
    /// As many silences hold as can.
    TooManySilences = "too_many_silences", 409, None, "There are too many silences";
    /// The backload is finished, or isn't where its writer believes.
    BackloadState = "backload_state", 409, None, "The backload can't be changed in this state";
    /// The same `Idempotency-Key` came with another body.
    IdempotencyConflict = "idempotency_conflict", 409, None, "The key was used for another request";
    /// The body is larger than the limit.
    TooLarge = "body_too_large", 413, None, "The body is too large";
    /// The body has a type that isn't taken.
    UnsupportedMediaType = "unsupported_media_type", 415, None, "The body has the wrong type";
    /// The range asked for is beyond the end.
    RangeUnsatisfiable = "range_unsatisfiable", 416, None, "The range is beyond the end";
    /// Too many requests of one caller wait.
    TooManyRequests = "too_many_requests", 429, Some(1), "Too many waiting requests";
    /// Too many wrong tokens from one address.
    TooManyAttempts = "too_many_attempts", 429, Some(60), "Too many wrong tokens";
    /// Something went wrong that nobody foresaw; the log says what.
    Internal = "internal", 500, None, "Internal error";
    /// Slack refused a message, or can't be reached.
    SlackFailed = "slack_failed", 502, None, "Slack refused the message";
    /// Too much is under way.
    Busy = "busy", 503, Some(1), "Too many requests at once";
    /// No answer in time; a write may have happened or not.
    Timeout = "timeout", 503, Some(1), "No answer in time";
    /// The service is stopping or not yet up.
    Stopping = "stopping", 503, Some(5), "The service is stopping";
    /// Another node of the cluster writes, or none does now.
    NotLeader = "not_leader", 503, Some(2), "This node doesn't lead the cluster";
    /// Not everything that is needed answers.
    NotReady = "not_ready", 503, Some(1), "A component of the service doesn't answer";
    /// The database can't be written or read now.
    Storage = "storage", 503, Some(5), "The database is unavailable";
}

/// A failed call: a code for programs, a detail for people that says what to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What kind of failure it is.
    pub code: Code,
    /// What happened here, and what to do about it.
    pub detail: String,
}

impl Error {
    /// A failure with its detail.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_503_says_when_to_come_back_and_every_name_is_unique() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.status() != 503 || code.retry_after().is_some(), "{code:?}");
        }
    }
}

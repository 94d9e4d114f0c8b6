//! Logs of tasks: what their commands wrote, kept as files by the logs actor.

use actix::Message;
use flowlord_domain::Uid;

use flowlord_kernel::Result;

/// Appends a piece to the log of an attempt. Its answer means that it is written, not that it would outlive a power cut.
#[derive(Debug, Message)]
#[rtype(result = "Result<AppendedLog>")]
pub struct AppendLog {
    /// The attempt.
    pub uid: Uid,
    /// How many bytes of the log come before the piece.
    pub offset: u64,
    /// The piece, as the command wrote it.
    pub piece: Vec<u8>,
}

/// What [`AppendLog`] answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendedLog {
    /// Where the next piece goes.
    pub offset: u64,
    /// Whether the piece was taken; not where it belongs elsewhere.
    pub is_taken: bool,
}

/// Reads the log of an attempt; none where it has none.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Option<LogText>>")]
pub struct ReadLog {
    /// The attempt.
    pub uid: Uid,
    /// Only what comes after so many bytes.
    pub after: u64,
    /// Only whole lines: what is left of one is still being written.
    pub is_followed: bool,
}

/// A part of a log, as people may see it: its colours are there, all other escape sequences are not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogText {
    /// The text.
    pub text: String,
    /// How many bytes of the log come before it.
    pub start: u64,
    /// How many bytes of the log come before what follows it.
    pub end: u64,
}

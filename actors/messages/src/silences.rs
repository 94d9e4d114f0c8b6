//! Silences: alerts that are stored without a notification.

use actix::Message;
use chrono::{DateTime, Utc};
use flowlord_domain::alert::AlertMatcher;

use flowlord_kernel::Result;

/// How many silences can hold at the same time.
pub const MAX_SILENCES: usize = 1_000;

/// Alerts that match are stored but not told. Asked of the DB owner.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Silence>")]
pub struct AddSilence {
    /// The sender's time, UTC: SQL reads no clock.
    pub now: DateTime<Utc>,
    /// Which alerts it keeps from being told.
    pub matcher: AlertMatcher,
    /// When it ends by itself.
    pub until: DateTime<Utc>,
    /// The name of the person who asks for it.
    pub by: String,
    /// Why they aren't to be told, for other people.
    pub reason: String,
}

/// Ends a silence now. What it silenced isn't told afterwards. Asked of the DB owner; answers the silence.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Silence>")]
pub struct RemoveSilence {
    /// The sender's time, UTC: SQL reads no clock.
    pub now: DateTime<Utc>,
    /// The id of the silence.
    pub id: i64,
}

/// The silences, the newest first; asked of the DB readers.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<Silence>>")]
pub struct ListSilences {
    /// Only those that aren't over then; none means all.
    pub at: Option<DateTime<Utc>>,
    /// Only what comes after this one.
    pub after: Option<i64>,
    /// At most this many.
    pub limit: usize,
}

/// A silence as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// Its id; later ones are larger.
    pub id: i64,
    /// When it begins to hold.
    pub from: DateTime<Utc>,
    /// When it ends, or was ended.
    pub until: DateTime<Utc>,
    /// Which alerts it keeps from being told.
    pub matcher: AlertMatcher,
    /// The name of the person who asked for it.
    pub by: String,
    /// Why they aren't to be told, for other people.
    pub reason: String,
}

//! Silences: alerts that are stored without a notification.

use actix::Message;
use chrono::{DateTime, Utc};
use flowlord_domain::alert::Matcher;

use flowlord_kernel::Result;

/// How many silences can hold at the same time.
pub const MAX_SILENCES: usize = 1_000;

/// Alerts that match are stored but not told. Asked of the DB owner.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Silence>")]
pub struct AddSilence {
    /// When.
    pub now: DateTime<Utc>,
    /// Which alerts.
    pub matcher: Matcher,
    /// Until when.
    pub until: DateTime<Utc>,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Ends a silence now. What it silenced isn't told afterwards. Asked of the DB owner; answers the silence.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Silence>")]
pub struct RemoveSilence {
    /// When.
    pub now: DateTime<Utc>,
    /// Which.
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

/// A silence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// Its id, growing.
    pub id: i64,
    /// Since when.
    pub from: DateTime<Utc>,
    /// Until when.
    pub until: DateTime<Utc>,
    /// Which alerts.
    pub matcher: Matcher,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

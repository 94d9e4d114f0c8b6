//! Tokens: who may use the API. Only hashes are stored; the token itself is shown once.

use actix::Message;
use chrono::{DateTime, Utc};
use flowlord_domain::Role;

use flowlord_kernel::Result;

/// SHA-256 of a token. A token is 256 random bits, so a slow hash would guard nothing.
pub type TokenHash = [u8; 32];

/// Adds a token; refused with `invalid_request` when there is one of this name.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<()>")]
pub struct AddToken {
    /// The sender's time, UTC: SQL reads no clock.
    pub now: DateTime<Utc>,
    /// The name of its holder; no two tokens share one.
    pub name: String,
    /// What it is good for.
    pub role: Role,
    /// The hash of the token.
    pub hash: TokenHash,
}

/// Removes a token; refused with `token_unknown` when there is none of this name.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<()>")]
pub struct RemoveToken {
    /// The name of its holder.
    pub name: String,
}

/// All tokens, by name.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<StoredToken>>")]
pub struct ReadTokens;

/// A token as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredToken {
    /// The name of its holder.
    pub name: String,
    /// What it is good for.
    pub role: Role,
    /// The hash of the token.
    pub hash: TokenHash,
    /// When it was added.
    pub created: DateTime<Utc>,
}

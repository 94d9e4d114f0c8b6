//! The tokens as last read. They are rows; this copy is at most a few seconds old.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::{IdSource, Role};
use flowlord_kernel::{Locked, SharedClock};
use flowlord_messages::clients::DatabaseReader;
use flowlord_messages::tokens::{ReadTokens, StoredToken, TokenHash};
use sha2::{Digest as _, Sha256};

use super::caller::TokenHolder;
use super::session::hex;
use crate::problem::Problem;

// A removed token is refused after this long.
const FRESH: TimeDelta = TimeDelta::seconds(4);

// A token that the copy doesn't have may be new, and is to work at once.
const FRESH_FOR_UNKNOWN: TimeDelta = TimeDelta::seconds(1);

/// The name under which programs that can read the data folder act.
const LOCAL: &str = "local";

#[derive(Debug, Default)]
struct TokenCopy {
    read_at: Option<DateTime<Utc>>,
    /// How often tokens changed here.
    changes: u64,
    by_hash: HashMap<TokenHash, StoredToken>,
}

#[derive(Debug)]
pub struct TokenRegistry {
    clock: SharedClock,
    reader: DatabaseReader,
    /// The hash of the token of programs that can read the data folder.
    local: Option<TokenHash>,
    copy: Locked<TokenCopy>,
}

impl TokenRegistry {
    pub fn new(clock: SharedClock, reader: DatabaseReader, local: Option<TokenHash>) -> Self {
        Self { clock, reader, local, copy: Locked::default() }
    }

    /// Whose token it is.
    pub async fn by_hash(&self, hash: &TokenHash) -> Result<Option<TokenHolder>, Problem> {
        // Hashes are compared, not tokens: what an attacker can time says nothing about a token.
        if self.local.as_ref() == Some(hash) {
            return Ok(Some(TokenHolder { name: LOCAL.to_owned(), role: Role::Admin }));
        }
        self.find_in_copy(|copy| copy.by_hash.get(hash).map(TokenHolder::from)).await
    }

    pub async fn by_name(&self, name: &str) -> Result<Option<StoredToken>, Problem> {
        self.find_in_copy(|copy| copy.by_hash.values().find(|token| token.name == name).cloned()).await
    }

    pub fn changed(&self) {
        let mut copy = self.copy.lock();
        // The next request reads anew.
        copy.read_at = None;
        copy.changes += 1;
    }

    async fn find_in_copy<T>(&self, find: impl Fn(&TokenCopy) -> Option<T>) -> Result<Option<T>, Problem> {
        let now = self.clock.now();
        // The guard goes before the read below: no request waits for another's database.
        let (found, age, changes) = {
            let copy = self.copy.lock();
            (find(&copy), copy.read_at.map(|read_at| (now - read_at).abs()), copy.changes)
        };
        // Guesses with unknown tokens make it read about once a second.
        let bound = if found.is_some() { FRESH } else { FRESH_FOR_UNKNOWN };
        if age.is_some_and(|age| age < bound) {
            return Ok(found);
        }
        let tokens = self.reader.call(ReadTokens).await?;
        let by_hash = tokens.into_iter().map(|token| (token.hash, token)).collect();
        let read = TokenCopy { read_at: Some(now), changes, by_hash };
        let found = find(&read);
        let mut copy = self.copy.lock();
        // What was read may be older than a change that came meanwhile: then the next request reads anew.
        if copy.changes == changes {
            *copy = read;
        }
        Ok(found)
    }
}

pub fn hash_of(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// A new token, of 256 random bits, and its hash.
pub fn new_token(ids: &mut dyn IdSource) -> (String, TokenHash) {
    let bits: Vec<u8> = (0..4).flat_map(|_| ids.random_bits().to_be_bytes()).collect();
    let token = format!("flw_{}", hex(&bits));
    let hash = hash_of(&token);
    (token, hash)
}

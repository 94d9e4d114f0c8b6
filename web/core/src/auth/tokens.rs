//! The tokens as last read. They are rows; this copy is at most a few seconds old.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::{IdSource, Role};
use flowlord_kernel::SharedClock;
use flowlord_messages::clients::DatabaseReader;
use flowlord_messages::tokens::{ReadTokens, StoredToken, TokenHash};
use sha2::{Digest as _, Sha256};

use super::caller::TokenHolder;
use super::session::hex;
use crate::problem::Problem;

/// How old the copy may be: a removed token is refused after this long.
const FRESH: TimeDelta = TimeDelta::seconds(4);

/// For a token that the copy doesn't have, it may be no older than this: a new one works at once.
const FRESH_FOR_UNKNOWN: TimeDelta = TimeDelta::seconds(1);

/// The name under which programs that can read the data folder act.
const LOCAL: &str = "local";

#[derive(Debug, Clone)]
pub struct TokenOwner {
    name: String,
    role: Role,
    pub hash: TokenHash,
}

impl TokenOwner {
    pub fn who(&self) -> TokenHolder {
        TokenHolder { name: self.name.clone(), role: self.role }
    }
}

#[derive(Debug, Default)]
struct TokenCopy {
    read_at: Option<DateTime<Utc>>,
    by_hash: HashMap<TokenHash, TokenOwner>,
}

/// All tokens, as far as the copy knows them.
#[derive(Debug)]
pub struct TokenRegistry {
    clock: SharedClock,
    reader: DatabaseReader,
    /// The hash of the token of programs that can read the data folder.
    local: Option<TokenHash>,
    copy: Mutex<TokenCopy>,
}

impl TokenRegistry {
    pub fn new(clock: SharedClock, reader: DatabaseReader, local: Option<TokenHash>) -> Self {
        Self { clock, reader, local, copy: Mutex::default() }
    }

    fn copy(&self) -> MutexGuard<'_, TokenCopy> {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose token it is. Looked up by its hash, so what an attacker can time says nothing about a token.
    pub async fn by_hash(&self, hash: &TokenHash) -> Result<Option<TokenHolder>, Problem> {
        if self.local.as_ref() == Some(hash) {
            return Ok(Some(TokenHolder { name: LOCAL.to_owned(), role: Role::Admin }));
        }
        let find = |copy: &TokenCopy| copy.by_hash.get(hash).map(TokenOwner::who);
        self.find(find).await
    }

    /// The token of this name.
    pub async fn by_name(&self, name: &str) -> Result<Option<TokenOwner>, Problem> {
        let find = |copy: &TokenCopy| copy.by_hash.values().find(|owner| owner.name == name).cloned();
        self.find(find).await
    }

    /// The copy is out of date: the next request reads anew.
    pub fn changed(&self) {
        self.copy().read_at = None;
    }

    async fn find<T>(&self, find: impl Fn(&TokenCopy) -> Option<T>) -> Result<Option<T>, Problem> {
        let now = self.clock.now();
        let (found, age) = {
            let copy = self.copy();
            (find(&copy), copy.read_at.map(|read_at| (now - read_at).abs()))
        };
        let bound = if found.is_some() { FRESH } else { FRESH_FOR_UNKNOWN };
        if age.is_some_and(|age| age < bound) {
            return Ok(found);
        }
        self.replace(self.reader.call(ReadTokens).await?, now);
        Ok(find(&self.copy()))
    }

    fn replace(&self, tokens: Vec<StoredToken>, now: DateTime<Utc>) {
        let owner = |token: StoredToken| TokenOwner { name: token.name, role: token.role, hash: token.hash };
        let by_hash = tokens.into_iter().map(|token| (token.hash, owner(token))).collect();
        *self.copy() = TokenCopy { read_at: Some(now), by_hash };
    }
}

/// What is stored of a token.
pub fn hash_of(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// A new token, of 256 random bits, and its hash.
#[must_use]
pub fn new_token(ids: &mut dyn IdSource) -> (String, TokenHash) {
    let bits: Vec<u8> = (0..4).flat_map(|_| ids.random_bits().to_be_bytes()).collect();
    let token = format!("flw_{}", hex(&bits));
    let hash = hash_of(&token);
    (token, hash)
}

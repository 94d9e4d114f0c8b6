//! Who makes a request.

use std::net::IpAddr;

use actix_web::{HttpMessage as _, HttpRequest};
use flowlord_domain::Role;
use flowlord_messages::tokens::StoredToken;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenHolder {
    pub name: String,
    pub role: Role,
}

impl From<&StoredToken> for TokenHolder {
    fn from(token: &StoredToken) -> Self {
        Self { name: token.name.clone(), role: token.role }
    }
}

#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// None where nobody has to say who they are.
    pub who: Option<TokenHolder>,
    /// The address, as far as trusted proxies tell it.
    pub from: Option<IpAddr>,
}

impl Caller {
    /// The name of the token; empty without one.
    pub fn name(&self) -> &str {
        self.who.as_ref().map_or("", |who| &who.name)
    }
}

/// The name of the token that a request came with; empty without one.
pub fn caller_name(request: &HttpRequest) -> String {
    request.extensions().get::<Caller>().map(|caller| caller.name().to_owned()).unwrap_or_default()
}

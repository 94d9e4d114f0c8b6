//! What the operator chose about who is let in.

use flowlord_messages::tokens::TokenHash;

use super::proxies::TrustedProxies;

#[derive(Debug, Clone, Default)]
pub struct AccessRules {
    /// Requests without a token may do everything: this machine only, or the operator meant it.
    pub anonymous: bool,
    pub open_metrics: bool,
    /// The hash of the token that is good for programs that can read the data folder, while the service runs.
    pub local: Option<TokenHash>,
    /// Who is believed about the addresses that others come from.
    pub proxies: TrustedProxies,
}

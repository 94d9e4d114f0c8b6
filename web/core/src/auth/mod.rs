//! Who may do what: tokens, the browser's session, and what each request needs.

pub mod access;
mod admission;
pub mod caller;
pub mod failures;
pub mod hooks;
mod proxies;
mod session;
pub mod tokens;

pub use access::AccessRules;
pub use admission::{admit, may_change, role, wants_page};
pub use caller::{Caller, caller_name};
pub use proxies::TrustedProxies;
pub use session::{COOKIE, LASTS, Session};
pub use tokens::{hash_of, new_token};

//! Who may do what: tokens, the browser's session, and what each request needs.

pub(crate) mod access;
mod admission;
pub(crate) mod caller;
pub(crate) mod failures;
pub(crate) mod hooks;
mod proxies;
mod session;
pub(crate) mod tokens;

pub use access::Access;
pub(crate) use admission::{admit, may_change, role, wants_page};
pub(crate) use caller::{Caller, caller_name};
pub use proxies::Proxies;
pub(crate) use session::{COOKIE, LASTS, Session};
pub(crate) use tokens::hash_of;
pub use tokens::new_token;

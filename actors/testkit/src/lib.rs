//! What the tests share: time that they move, a Slack and an object store that they break, programs that may be missing.

mod attempt;
mod clock;
mod programs;
pub mod sample;
mod slack;
mod store;

pub use attempt::leased;
pub use clock::VirtualClock;
pub use programs::{can_run, not_run};
pub use slack::{FakeSlack, SignedClick, SlackMode, SlackPost, SlackRequest, problems};
pub use store::{ACCESS_KEY, FakeStore, StoreRequest};

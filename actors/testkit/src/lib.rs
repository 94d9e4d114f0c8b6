//! What the tests share: time that they move, a Slack and an object store that they break.

mod attempt;
mod clock;
mod slack;
mod store;

pub use attempt::leased;
pub use clock::VirtualClock;
pub use slack::{FakeSlack, SignedClick, SlackMode, SlackPost, SlackRequest, problems};
pub use store::{ACCESS_KEY, FakeStore, StoreRequest};

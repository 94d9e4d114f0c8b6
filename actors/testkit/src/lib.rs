//! What the tests share: time that they move, a Slack that they break.

mod clock;
mod slack;

pub use clock::VirtualClock;
pub use slack::{FakeSlack, SlackMode, SlackPost, SlackRequest, problems};

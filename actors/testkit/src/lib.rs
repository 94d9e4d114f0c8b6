//! What the tests share: time that they move, a Slack that they break.

mod clock;

pub use clock::VirtualClock;

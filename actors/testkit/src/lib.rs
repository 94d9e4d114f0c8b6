//! What the tests share: time that they move, a Slack, an object store and an nsqd that they break, NATS servers that
//! they kill, programs that may be missing.

mod attempt;
mod clock;
mod nats;
mod nsqd;
mod ports;
mod programs;
pub mod sample;
mod slack;
mod store;

pub use attempt::leased;
pub use clock::VirtualClock;
pub use nats::{NATS_SERVER, NatsServers};
pub use nsqd::{FakeLookupd, FakeNsqd, NsqdCounts, NsqdFault, NsqdStep};
pub use ports::{lasting_address, lasting_port};
pub use programs::{can_run, not_run};
pub use slack::{FakeSlack, SignedClick, SlackMode, SlackPost, SlackRequest, problems};
pub use store::{ACCESS_KEY, FakeStore, StoreRequest};

//! How flowlord's actors work. An actor declares its state and its handlers; everything that keeps the service alive,
//! bounded and testable around it is here.
//!
//! - A [`Port`] is the only way to send a message: bounded, and with a timeout. A client ([`clients!`]) is the ports to
//!   one actor.
//! - [`actor!`] makes a type an actor: the size of its mailbox, and what it does at its start, before a restart and when
//!   its timer comes due.
//! - [`handlers!`] lists what an actor answers, [`KernelActor::ask`] calls another actor. All three run the actor's code
//!   guarded: a panic is logged and answered, and the actor restarts with its mailbox kept.
//! - A [`Timer`] wakes an actor at the earliest time that it waits for, on the [`Clock`] that a test can move.
//! - [`WorkCounter`] counts the work under way. Ports, timers and `ask` keep it, so that no actor has to.
//!
//! ```
//! use actix::{Context, Message, Supervisor};
//! use flowlord_kernel::{ActorEnvironment, ActorKit, Result, actor, clients, handlers};
//!
//! #[derive(Message)]
//! #[rtype(result = "Result<u32>")]
//! pub struct Double(pub u32);
//!
//! clients! {
//!     /// Calls the calculator.
//!     pub struct CalculatorClient { double: Double }
//! }
//!
//! struct Calculator { kit: ActorKit }
//!
//! impl Calculator {
//!     fn double(&mut self, Double(number): Double, _: &mut Context<Self>) -> Result<u32> {
//!         Ok(number * 2)
//!     }
//! }
//!
//! handlers!(Calculator { Double => double });
//!
//! actor!(Calculator { kit: kit, mailbox: 64 });
//!
//! # actix::System::new().block_on(async {
//! let environment = ActorEnvironment::system(std::sync::Arc::new(|actor| panic!("{actor} can't be kept alive")));
//! let kit = environment.kit("calculator");
//! let address = Supervisor::start(|_| Calculator { kit });
//! let client = CalculatorClient::connect("calculator", &address, &environment);
//! assert_eq!(client.call(Double(21)).await, Ok(42));
//! # });
//! ```

#![warn(missing_docs)]

mod actor;
mod client;
pub mod clock;
mod declaration;
mod environment;
pub mod error;
pub mod fault;
mod handlers;
pub mod health;
mod ids;
mod locked;
mod port;
mod quiescence;
mod supervision;
mod thread_priority;
mod timer;

pub use actor::{KernelActor, Reply};
pub use client::PortTo;
pub use clock::{Clock, PendingWake, SharedClock, Sleep, SystemClock, time_since_boot};
pub use environment::{ActorEnvironment, ActorKit, GiveUp};
pub use error::{Code, Error, Result};
pub use health::{Ping, Pong};
pub use ids::IdGenerator;
pub use locked::Locked;
pub use port::{LatePort, Port, PortLimits, PortMessage};
pub use quiescence::{WorkCounter, WorkGuard};
pub use supervision::{AfterPanic, guarded, start_guarded};
pub use thread_priority::{LOWER_PRIORITY, lower_priority};
pub use timer::{Timer, WakeUp};

/// What the macros name; no part of the interface.
#[doc(hidden)]
pub mod macros {
    pub use {actix, chrono};
}

#[cfg(test)]
mod tests;

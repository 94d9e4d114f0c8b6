//! Whether every actor still answers.

use actix::Message;

use crate::error::Result;

/// Asks an actor whether it works off its mailbox. The DB owner answers after its next commit.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Pong>")]
pub struct Ping;

/// What an actor answers that works off its mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pong {
    /// Restarts within the last minute.
    pub restarts: usize,
}

//! What is asked of the retention actor.

use actix::Message;

/// Begins to remove what is older than it is kept; nothing happens while that is under way.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct RemoveOld;

//! What a message is answered with when it succeeds.

use actix::Message;
use flowlord_kernel::Result;

/// Spares every command and query from naming its answer a second time.
pub(crate) trait AnsweredMessage: Message<Result = Result<Self::Answer>> {
    type Answer;
}

impl<M: Message<Result = Result<T>>, T> AnsweredMessage for M {
    type Answer = T;
}

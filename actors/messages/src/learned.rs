//! What was learned from complete tasks.

use actix::Message;
use flowlord_domain::expect::{LearnedKey, LearnedValues};
use flowlord_kernel::Result;

/// The last values of these keys; asked of the DB readers.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<LearnedValues>")]
pub struct ReadLearned {
    /// What they are of.
    pub keys: Vec<LearnedKey>,
}

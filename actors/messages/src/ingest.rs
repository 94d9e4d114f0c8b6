//! What the ingest actor answers: results.

use actix::Message;
use flowlord_domain::decide::Outcome;

use crate::write::{Applied, Claim};
use flowlord_kernel::Result;

/// Results of tasks, each judged alone.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Result<Applied>>>")]
pub struct SubmitResults {
    /// By which right, and what.
    pub results: Vec<(Claim, Outcome)>,
}

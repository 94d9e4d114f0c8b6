//! What the dispatch actor answers: leases.

use actix::Message;
use chrono::TimeDelta;
use tokio::sync::oneshot;

use crate::lease::LeaseToken;
use crate::write::{Extended, Granted, TopicFilter};
use flowlord_kernel::Result;

/// Hands out tasks, waiting up to `wait` for the first one.
///
/// The answer comes by `reply`, so that a worker that went away isn't given a task: its end is closed.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct Lease {
    /// Topics.
    pub topics: Vec<TopicFilter>,
    /// At most this many.
    pub max: usize,
    /// The worker's name.
    pub worker: String,
    /// For how long each lease lasts.
    pub lease: TimeDelta,
    /// How long to wait for the first one.
    pub wait: TimeDelta,
    /// Where the tasks go; an empty list at the end of the wait.
    pub reply: oneshot::Sender<Result<Vec<Granted>>>,
}

/// Extends a lease.
#[derive(Debug, Message)]
#[rtype(result = "Result<Extended>")]
pub struct Heartbeat {
    /// Which.
    pub lease: LeaseToken,
    /// For how long; none means as long as was asked for last.
    pub by: Option<TimeDelta>,
    /// How far the worker is, 0 to 1.
    pub progress: Option<f64>,
    /// What the worker says.
    pub msg: Option<String>,
}

/// Gives a task back.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct Release {
    /// Which.
    pub lease: LeaseToken,
    /// Ready again after this long.
    pub delay: TimeDelta,
}

/// Hands out nothing more and answers all who wait: the service is stopping.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct StopLeasing;

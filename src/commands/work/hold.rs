//! Holding a task: heartbeats while it is worked on, then its result, until the service has it.

use std::time::Duration;

use flowlord_domain::duration;
use tokio::time::{Instant, sleep_until};

use super::backoff::until_answered;
use super::client::{ApiClient, ApiRefusal, GrantedTask, TaskOutcome};

/// Works on a task: drives `work` with heartbeats beside it, and posts what came out. When the lease is lost or the task
/// cancelled, `work` is dropped, which must end it.
pub(crate) async fn hold_task(
    client: &ApiClient,
    granted: &GrantedTask,
    extend_by: &str,
    work: impl Future<Output = TaskOutcome>,
) {
    let outcome = keep_lease(client, granted, extend_by, work).await.map_or_else(LeaseEnd::outcome, Some);
    if let Some(outcome) = outcome {
        post_result(client, granted, &outcome).await;
    }
}

/// Why a lease is kept no longer, although the work goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaseEnd {
    Lost,
    Cancelled,
}

impl LeaseEnd {
    /// What to post for work that ended because of it.
    pub(super) fn outcome(self) -> Option<TaskOutcome> {
        match self {
            Self::Lost => None,
            Self::Cancelled => Some(TaskOutcome::new("warn", "cancelled")),
        }
    }
}

/// Drives `work` with heartbeats beside it, until the work ends, or the task isn't this worker's any more.
pub(super) async fn keep_lease<T>(
    client: &ApiClient,
    granted: &GrantedTask,
    extend_by: &str,
    work: impl Future<Output = T>,
) -> Result<T, LeaseEnd> {
    tokio::select! {
        done = work => Ok(done),
        end = send_heartbeats(client, &granted.lease, extend_by) => Err(end),
    }
}

/// Sends heartbeats until the task isn't this worker's any more.
async fn send_heartbeats(client: &ApiClient, lease: &str, extend_by: &str) -> LeaseEnd {
    // One may get lost, and the lease still holds.
    let every = third_of(extend_by);
    let mut next = Instant::now() + every;
    loop {
        sleep_until(next).await;
        next = Instant::now() + every;
        match client.heartbeat(lease, extend_by, None).await {
            Ok(alive) if alive.cancel => {
                log::warn!("event=task_cancelled lease={lease}");
                return LeaseEnd::Cancelled;
            }
            Ok(_) => {}
            Err(ApiRefusal::Lost(detail)) => {
                log::warn!("event=lease_lost lease={lease} detail={detail:?}");
                return LeaseEnd::Lost;
            }
            Err(err @ (ApiRefusal::Later { .. } | ApiRefusal::Never(_))) => {
                // The work goes on: the service gives the task to nobody else without coming back first, and then it
                // says so.
                log::warn!("event=heartbeat_failed lease={lease} detail={:?}", err.to_string());
                next = next.min(Instant::now() + Duration::from_secs(5));
            }
        }
    }
}

fn third_of(lease: &str) -> Duration {
    let lease = duration::parse_duration(lease).ok().and_then(|lease| lease.to_std().ok());
    lease.unwrap_or(Duration::from_secs(60)) / 3
}

/// Extends a lease once, for as long as somebody else may take to post the result.
pub(super) async fn extend_lease(client: &ApiClient, granted: &GrantedTask, extend_by: &str) {
    let lease = granted.lease.as_str();
    let extend = async || client.heartbeat(lease, extend_by, None).await;
    match until_answered("heartbeat_failed", &format!("lease={lease}"), extend).await {
        Ok(_) => log::info!("event=task_handed_over lease={lease}"),
        Err(err) => log::warn!("event=lease_lost lease={lease} detail={:?}", err.to_string()),
    }
}

/// Posts a result until the service has it, or says that the lease is lost.
pub(super) async fn post_result(client: &ApiClient, granted: &GrantedTask, outcome: &TaskOutcome) {
    let lease = granted.lease.as_str();
    log::info!("event=task_ended lease={lease} result={} msg={:?}", outcome.result, outcome.msg);
    if let Some(detail) = post_outcome(client, lease, outcome).await {
        // A result that can't be taken (say, too large) must not make the task run again and again.
        post_outcome(client, lease, &TaskOutcome::new("error", format!("the result was refused: {detail}"))).await;
    }
}

/// Why the service will never take the outcome; none when it has it, or the lease is lost.
async fn post_outcome(client: &ApiClient, lease: &str, outcome: &TaskOutcome) -> Option<String> {
    let post = async || client.result(lease, outcome).await;
    // However long it takes: what was done must not be done again for a service that was away.
    match until_answered("result_waits", &format!("lease={lease}"), post).await {
        Ok(()) => None,
        Err(ApiRefusal::Never(detail)) => {
            log::error!("event=result_refused lease={lease} detail={detail:?}");
            Some(detail)
        }
        Err(ApiRefusal::Lost(detail) | ApiRefusal::Later { detail, .. }) => {
            log::warn!("event=lease_lost lease={lease} detail={detail:?}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_come_three_times_as_often_as_a_lease_ends() {
        assert_eq!(["30s", "1m", "1h"].map(third_of), [10, 20, 1_200].map(Duration::from_secs));
        assert_eq!(["x", "-3s"].map(third_of), [Duration::from_secs(20); 2], "as for the usual lease");
    }

    #[test]
    fn of_a_task_that_was_lost_nothing_is_sent_and_of_a_cancelled_one_that_it_was() {
        assert_eq!(LeaseEnd::Lost.outcome().map(|outcome| outcome.result), None);
        let cancelled = LeaseEnd::Cancelled.outcome().unwrap();
        assert_eq!((cancelled.result, cancelled.msg.as_str()), ("warn", "cancelled"));
    }
}

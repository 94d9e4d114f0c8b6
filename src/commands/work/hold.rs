//! Holding a task: heartbeats while it is worked on, then its result, until the service has it.

use std::time::Duration;

use flowlord_domain::duration;
use tokio::time::{Instant, sleep, sleep_until};

use super::backoff::Backoff;
use super::client::{Client, Granted, Outcome, Refusal};

/// Works on a task: drives `work` with heartbeats beside it, and posts what came out; of none, nothing. When the
/// lease is lost or the task cancelled, `work` is dropped, which must end it.
pub(crate) async fn hold(
    client: &Client,
    granted: &Granted,
    extend_by: &str,
    work: impl Future<Output = Option<Outcome>>,
) {
    let lease = granted.lease.as_str();
    let outcome = tokio::select! {
        outcome = work => outcome,
        ended = beat(client, lease, extend_by) => match ended {
            Ended::Lost => return,
            Ended::Cancelled => Some(Outcome::new("warn", "cancelled")),
        },
    };
    let Some(outcome) = outcome else { return };
    log::info!("event=task_ended lease={lease} result={} msg={:?}", outcome.result, outcome.msg);
    post(client, lease, &outcome).await;
}

enum Ended {
    Lost,
    Cancelled,
}

/// Heartbeats, three per lease, until the task isn't this worker's any more. While the service is away the work goes
/// on: it gives the task to nobody else without coming back first, and then it says so.
async fn beat(client: &Client, lease: &str, extend_by: &str) -> Ended {
    let every = third(extend_by);
    let mut next = Instant::now() + every;
    loop {
        sleep_until(next).await;
        next = Instant::now() + every;
        match client.heartbeat(lease, extend_by, None).await {
            Ok(alive) if alive.cancel => {
                log::warn!("event=task_cancelled lease={lease}");
                return Ended::Cancelled;
            }
            Ok(_) => {}
            Err(Refusal::Lost(detail)) => {
                log::warn!("event=lease_lost lease={lease} detail={detail:?}");
                return Ended::Lost;
            }
            Err(err @ (Refusal::Later { .. } | Refusal::Never(_))) => {
                log::warn!("event=heartbeat_failed lease={lease} detail={:?}", err.to_string());
                next = next.min(Instant::now() + Duration::from_secs(5));
            }
        }
    }
}

fn third(lease: &str) -> Duration {
    let lease = duration::parse(lease).ok().and_then(|lease| lease.to_std().ok());
    lease.unwrap_or(Duration::from_secs(60)) / 3
}

/// Posts a result until the service took it, or says that the lease is lost.
async fn post(client: &Client, lease: &str, outcome: &Outcome) {
    let mut backoff = Backoff::new();
    let mut outcome = outcome.clone();
    let mut refused = false;
    loop {
        match client.result(lease, &outcome).await {
            Ok(()) => return,
            Err(Refusal::Lost(detail)) => {
                log::warn!("event=lease_lost lease={lease} detail={detail:?}");
                return;
            }
            Err(Refusal::Later { detail, after }) => {
                let wait = backoff.wait(after);
                log::warn!("event=result_waits lease={lease} retry_in={wait:?} detail={detail:?}");
                sleep(wait).await;
            }
            Err(Refusal::Never(detail)) => {
                log::error!("event=result_refused lease={lease} detail={detail:?}");
                if std::mem::replace(&mut refused, true) {
                    return;
                }
                // A result that can't be taken (say, too large) must not make the task run again and again.
                outcome = Outcome::new("error", format!("the result was refused: {detail}"));
            }
        }
    }
}

//! How long to wait before a request is sent again.

use std::time::Duration;

use tokio::time::sleep;

use super::client::ApiRefusal;

const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST_WAIT }
    }

    /// The next wait; at least what the service asked for.
    pub(crate) fn wait(&mut self, asked: Option<Duration>) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(LONGEST_WAIT);
        // Shortened by up to half, so that workers don't come back all at once. What the service asks for is bounded: a
        // wrong header must not send a worker to sleep for hours.
        full.mul_f64(rand::random_range(0.5..=1.0)).max(asked.unwrap_or_default().min(LONGEST_WAIT * 4))
    }
}

/// Asks until the service is there: its answer, or a refusal that another try wouldn't change. Each wait is logged as
/// `event`, about `subject`.
pub(super) async fn until_answered<T>(
    event: &str,
    subject: &str,
    mut ask: impl AsyncFnMut() -> Result<T, ApiRefusal>,
) -> Result<T, ApiRefusal> {
    let mut backoff = Backoff::new();
    loop {
        match ask().await {
            Err(ApiRefusal::Later { detail, after }) => {
                let wait = backoff.wait(after);
                log::warn!("event={event} {subject} retry_in={wait:?} detail={detail:?}");
                sleep(wait).await;
            }
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_obey_the_service() {
        let mut backoff = Backoff::new();
        for full in [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000] {
            let wait = backoff.wait(None).as_millis();
            assert!((full / 2..=full).contains(&wait), "{wait} of {full}");
        }
        assert_eq!(Backoff::new().wait(Some(Duration::from_secs(5))), Duration::from_secs(5));
    }
}

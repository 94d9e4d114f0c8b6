//! Leases of published tasks: each is extended once, by the rest of `hold`, unless its result came before.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Bridge;
use crate::commands::work::client::ApiRefusal;

/// More leases than this don't wait: the oldest are extended early.
const MAX_WAITING: usize = 50_000;

/// So many requests to extend a lease are under way at the same time.
const AT_ONCE: usize = 16;

const RETRY_WAIT: Duration = Duration::from_secs(2);
// A lease that comes during the sleep may be due before the one that ends it.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// What names a task in its done message. Workers keep these fields as they came; others they may drop.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub(super) struct TaskKey {
    #[serde(rename = "type")]
    pub(super) topic: String,
    #[serde(default)]
    pub(super) job: String,
    pub(super) id: String,
    pub(super) created: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct HeldLease {
    key: TaskKey,
    lease: String,
    published_at: Instant,
    due_at: Instant,
}

/// Leases that aren't extended yet, in the order in which they are due.
#[derive(Debug, Default)]
pub(super) struct HeldLeases {
    by_due: BTreeMap<(Instant, u64), HeldLease>,
    by_task: HashMap<TaskKey, (Instant, u64)>,
    next: u64,
}

impl HeldLeases {
    /// Holds the lease of a task that was published now.
    pub(super) fn insert(&mut self, key: TaskKey, lease: String, now: Instant, wait: Duration) {
        self.put(HeldLease { key, lease, published_at: now, due_at: now + wait });
    }

    fn put(&mut self, held: HeldLease) {
        // Published again: only the last lease counts.
        self.remove(&held.key);
        // Several leases may be due at the same instant: the number keeps them apart.
        let place = (held.due_at, self.next);
        self.next += 1;
        self.by_task.insert(held.key.clone(), place);
        self.by_due.insert(place, held);
    }

    /// Forgets a task that ended.
    pub(super) fn remove(&mut self, key: &TaskKey) {
        if let Some(place) = self.by_task.remove(key) {
            self.by_due.remove(&place);
        }
    }

    /// Takes those that are due, and the oldest of too many; all of them where the end is near.
    fn take_due(&mut self, now: Instant, is_last: bool) -> Vec<HeldLease> {
        let mut due = Vec::new();
        while let Some(first) = self.by_due.first_entry() {
            if !is_last && first.get().due_at > now && self.by_task.len() <= MAX_WAITING {
                break;
            }
            let held = first.remove();
            self.by_task.remove(&held.key);
            due.push(held);
        }
        due
    }

    pub(super) fn len(&self) -> usize {
        self.by_due.len()
    }

    fn next_due(&self) -> Option<Instant> {
        self.by_due.first_key_value().map(|((due_at, _), _)| *due_at)
    }
}

/// Extends leases until the last task is published; then all that are left at once, so that none is published again
/// because a bridge was restarted.
pub(super) async fn extend_leases(bridge: &Bridge, mut finished: watch::Receiver<bool>) {
    loop {
        let is_last = *finished.borrow();
        let due = bridge.held.borrow_mut().take_due(Instant::now(), is_last);
        let extended: Vec<_> = futures_util::stream::iter(due)
            .map(|held| extend_one(bridge, held))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let failed: Vec<_> = extended.into_iter().flatten().collect();
        if let Some((_, detail)) = failed.first() {
            log::warn!("event=extend_failed leases={} retry_in={RETRY_WAIT:?} detail={detail:?}", failed.len());
        }
        // The process ends: leases that could not be extended expire, and their tasks are published again.
        if is_last {
            return;
        }
        // A lease that ran out meanwhile may still be extended, until its task is handed out again.
        let retry_at = Instant::now() + RETRY_WAIT;
        failed.into_iter().for_each(|(held, _)| bridge.held.borrow_mut().put(HeldLease { due_at: retry_at, ..held }));
        let latest = Instant::now() + LONGEST_SLEEP;
        let wake_at = bridge.held.borrow().next_due().unwrap_or(latest).min(latest);
        tokio::select! {
            () = sleep_until(wake_at) => {}
            _ = finished.wait_for(|is_finished| *is_finished) => {}
        }
    }
}

/// Extends one; it comes back with the reason where that is worth another try.
async fn extend_one(bridge: &Bridge, held: HeldLease) -> Option<(HeldLease, String)> {
    // Counted from the publication: a late heartbeat must not make `hold` longer.
    let rest = bridge.config.hold.saturating_sub(held.published_at.elapsed()).max(bridge.config.lease);
    match bridge.client.heartbeat(&held.lease, &format!("{}s", rest.as_secs()), None).await {
        // Nobody can tell its worker. Without the lease the task is over, and a late result is a duplicate.
        Ok(renewal) if renewal.cancel => {
            bridge.release(&held.lease, Duration::ZERO).await;
            None
        }
        Ok(_) => None,
        // Its result came through another bridge, or it is published again.
        Err(ApiRefusal::Lost(_)) => None,
        Err(err @ (ApiRefusal::Later { .. } | ApiRefusal::Never(_))) => Some((held, err.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(30);

    fn key(n: usize) -> TaskKey {
        TaskKey { topic: "load".into(), job: String::new(), id: "chain".into(), created: n.to_string() }
    }

    fn leases(taken: &[HeldLease]) -> Vec<&str> {
        taken.iter().map(|held| held.lease.as_str()).collect()
    }

    #[test]
    fn leases_are_due_in_order_unless_their_result_came() {
        let (mut held, now) = (HeldLeases::default(), Instant::now());
        for n in 0..4 {
            held.insert(key(n), n.to_string(), now + Duration::from_secs(n as u64), WAIT);
        }
        held.remove(&key(1));
        held.remove(&key(9));
        assert_eq!(held.next_due(), Some(now + WAIT));
        assert!(held.take_due(now + WAIT - Duration::from_millis(1), false).is_empty());
        assert_eq!(leases(&held.take_due(now + WAIT + Duration::from_secs(2), false)), ["0", "2"]);
        assert_eq!(leases(&held.take_due(now, true)), ["3"], "the rest at the end");
        assert_eq!((held.next_due(), held.by_task.len()), (None, 0));
    }

    #[test]
    fn of_a_task_that_was_published_again_the_last_lease_counts() {
        let (mut held, now) = (HeldLeases::default(), Instant::now());
        held.insert(key(0), "first".into(), now, WAIT);
        held.insert(key(0), "second".into(), now, WAIT);
        assert_eq!(leases(&held.take_due(now, true)), ["second"]);
    }

    #[test]
    fn no_more_wait_than_may() {
        let (mut held, now) = (HeldLeases::default(), Instant::now());
        for n in 0..MAX_WAITING + 2 {
            held.insert(key(n), n.to_string(), now, WAIT);
        }
        assert_eq!(leases(&held.take_due(now, false)), ["0", "1"]);
        assert_eq!(held.by_due.len(), MAX_WAITING);
    }

    #[test]
    fn a_done_message_names_its_task_as_the_task_did() {
        let task = r#"{"type":"load","job":"a","info":"i","id":"c","uid":"1","created":"2026-03-02T12:00:00.000001Z"}"#;
        let done = r#"{"type":"load","job":"a","info":"i","id":"c","created":"2026-03-02T12:00:00.000001Z",
            "result":"complete","msg":"ok","started":"2026-03-02T12:00:01Z"}"#;
        let read = |text| serde_json::from_str::<TaskKey>(text).unwrap();
        assert_eq!(read(task), read(done));
        assert!(serde_json::from_str::<TaskKey>(r#"{"type":"load"}"#).is_err());
    }
}

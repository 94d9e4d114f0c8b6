//! One topic from the service to NSQ: lease as many tasks as there is room for, publish them, hold their leases.

use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::OptionFuture;
use serde::Deserialize;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::Bridge;
use super::nsq::producer::{ProducerPool, PublishFailure};
use super::summary::add;
use crate::commands::work::backoff::Backoff;
use crate::commands::work::client::{ApiRefusal, GrantedTask, TaskOutcome, WantedTasks};

/// What one request may lease.
const MAX_LEASED: u64 = 100;

/// As many bytes are published at once; nsqd takes 5 MiB unless it is set otherwise.
const PUBLISHED_BYTES: usize = 1024 * 1024;

/// When a task that couldn't be published is leased again.
const RELEASE_DELAY: Duration = Duration::from_secs(5);

/// How often a full topic is looked at, where other bridges or workers may end its tasks.
const ROOM_INTERVAL: Duration = Duration::from_secs(1);

/// How long a bridge that stops waits for the answer to a request for tasks: some may be on their way.
const LAST_ANSWER: Duration = Duration::from_secs(1);

const PATIENCE: Duration = Duration::from_secs(15);
const RELEASED_AT_ONCE: usize = 16;

struct TopicPublisher {
    bridge: Rc<Bridge>,
    topic: String,
    producers: ProducerPool,
    /// How many tasks may be leased before the service is asked again.
    room: u64,
    stop: watch::Receiver<bool>,
}

#[derive(Debug, thiserror::Error)]
enum RoundFailure {
    #[error("{0}")]
    Service(#[from] ApiRefusal),
    #[error("{0}")]
    Nsqd(#[from] PublishFailure),
}

#[derive(Deserialize)]
struct LeasedCount {
    leased: u64,
}

/// Publishes tasks of a topic until the bridge stops.
pub(super) async fn publish_topic(bridge: Rc<Bridge>, topic: String, offset: usize) -> anyhow::Result<()> {
    let mut publisher = TopicPublisher {
        producers: ProducerPool::new(&bridge.config.nsqd, offset),
        stop: bridge.stop.clone(),
        room: 0,
        bridge,
        topic,
    };
    let mut backoff = Backoff::new();
    while !*publisher.stop.borrow() {
        let wait = match publisher.run_round().await {
            Ok(()) => {
                backoff = Backoff::new();
                continue;
            }
            Err(RoundFailure::Service(ApiRefusal::Later { detail, after })) => {
                let wait = backoff.wait(after);
                log::warn!("event=service_away topic={:?} retry_in={wait:?} detail={detail:?}", publisher.topic);
                wait
            }
            Err(RoundFailure::Service(err)) => anyhow::bail!("the service refuses to lease tasks: {err}"),
            Err(RoundFailure::Nsqd(err)) => {
                let wait = backoff.wait(None);
                let topic = &publisher.topic;
                log::warn!("event=publish_failed topic={topic:?} retry_in={wait:?} detail={:?}", err.to_string());
                wait
            }
        };
        tokio::select! {
            _ = publisher.stop.wait_for(|is_stopping| *is_stopping) => {}
            () = sleep(wait) => {}
        }
    }
    Ok(())
}

impl TopicPublisher {
    async fn run_round(&mut self) -> Result<(), RoundFailure> {
        // First, so that no task is leased that can't be published.
        self.producers.connect().await?;
        let max = self.find_room().await?;
        if max == 0 {
            return Ok(());
        }
        let tasks = self.lease(max).await?;
        // The service counts them as leased from now on, published or not.
        self.room = self.room.saturating_sub(tasks.len() as u64);
        self.publish(tasks).await?;
        Ok(())
    }

    /// How many tasks may be leased now: waits until there is room, or for a little while.
    async fn find_room(&mut self) -> Result<u64, ApiRefusal> {
        let in_flight = self.bridge.config.in_flight;
        // The own count is enough as long as there is room for a full batch.
        if self.room < MAX_LEASED.min(in_flight) {
            let path = format!("/topics/{}/load", self.topic);
            let load: LeasedCount = self.bridge.client.get(&path, PATIENCE).await?;
            self.room = in_flight.saturating_sub(load.leased);
        }
        if self.room == 0 {
            let ended = self.bridge.ended.get(&self.topic);
            tokio::select! {
                Some(()) = OptionFuture::from(ended.map(Notify::notified)) => {}
                _ = self.stop.wait_for(|is_stopping| *is_stopping) => {}
                () = sleep(ROOM_INTERVAL) => {}
            }
        }
        Ok(self.room.min(MAX_LEASED))
    }

    async fn lease(&self, max: u64) -> Result<Vec<GrantedTask>, ApiRefusal> {
        let bridge = Rc::clone(&self.bridge);
        let wanted = WantedTasks {
            topics: vec![self.topic.clone()],
            worker: bridge.worker.clone(),
            lease: format!("{}s", bridge.config.lease.as_secs()),
        };
        let mut request = std::pin::pin!(bridge.client.lease_many(&wanted, max));
        let mut stop = self.stop.clone();
        tokio::select! {
            // The stop goes first, or tasks that arrive with it would be published.
            biased;
            _ = stop.wait_for(|is_stopping| *is_stopping) => {
                // Without this, tasks on their way would wait until their leases expire.
                let late = timeout(LAST_ANSWER, request).await;
                self.release_all(&late.unwrap_or_else(|_| Ok(Vec::new()))?, Duration::ZERO).await;
                Ok(Vec::new())
            }
            leased = &mut request => leased,
        }
    }

    async fn publish(&mut self, mut tasks: Vec<GrantedTask>) -> Result<(), PublishFailure> {
        while !tasks.is_empty() {
            let bodies = next_bodies(&tasks);
            let rest = tasks.split_off(bodies.len());
            let published = timeout(self.publish_time(), self.producers.publish_all(&self.topic, &bodies)).await;
            if matches!(published, Ok(Ok(()))) {
                tasks.iter().for_each(|task| self.hold(task));
            } else if let Err(err) = self.publish_each(&tasks, &bodies).await {
                // These were not tried yet; the failed ones are released already.
                self.release_all(&rest, RELEASE_DELAY).await;
                return Err(err);
            }
            tasks = rest;
        }
        Ok(())
    }

    /// Publishes one after the other, after all of them together failed: one may be too large. When nsqd is away, the
    /// rest is released.
    async fn publish_each(&mut self, tasks: &[GrantedTask], bodies: &[Vec<u8>]) -> Result<(), PublishFailure> {
        for (n, (task, body)) in tasks.iter().zip(bodies).enumerate() {
            let published = timeout(self.publish_time(), self.producers.publish_one(&self.topic, body)).await;
            match published.unwrap_or_else(|_| Err(PublishFailure::slow(&self.topic))) {
                Ok(()) => self.hold(task),
                Err(PublishFailure::Refused(detail)) => self.alert(task, body.len(), &detail).await,
                Err(err @ PublishFailure::Away { .. }) => {
                    self.release_all(&tasks[n..], RELEASE_DELAY).await;
                    return Err(err);
                }
            }
        }
        Ok(())
    }

    /// How long a publication may take, so that the lease can still be extended.
    fn publish_time(&self) -> Duration {
        self.bridge.config.lease / 2
    }

    fn hold(&self, granted: &GrantedTask) {
        add(&self.bridge.counts.published, 1);
        match serde_json::from_value(granted.task.clone()) {
            Ok(key) => {
                let wait = self.bridge.config.lease / 2;
                self.bridge.held.borrow_mut().insert(key, granted.lease.clone(), Instant::now(), wait);
            }
            // It expires, and the task is published again.
            Err(err) => log::error!("event=task_unreadable lease={} detail={:?}", granted.lease, err.to_string()),
        }
    }

    /// Ends a task that no nsqd takes: it would else be leased again and again.
    async fn alert(&self, task: &GrantedTask, bytes: usize, detail: &str) {
        let msg =
            format!("nsqd refuses this task of {bytes} bytes ({detail}): raise its -max-msg-size, or shorten info");
        log::error!("event=task_refused lease={} detail={msg:?}", task.lease);
        if let Err(err) = self.bridge.client.result(&task.lease, &TaskOutcome::new("alert", msg)).await {
            log::warn!("event=alert_failed lease={} detail={:?}", task.lease, err.to_string());
        }
    }

    async fn release_all(&self, tasks: &[GrantedTask], delay: Duration) {
        let released = tasks.iter().map(|task| self.bridge.release(&task.lease, delay));
        futures_util::stream::iter(released).buffer_unordered(RELEASED_AT_ONCE).collect::<()>().await;
    }
}

/// What is published of the first tasks: as many as fit into one command, and at least one.
fn next_bodies(tasks: &[GrantedTask]) -> Vec<Vec<u8>> {
    let mut bytes = 0;
    let bodies = tasks.iter().map(|granted| granted.task.to_string().into_bytes());
    let fitting = bodies.enumerate().take_while(|(n, body)| {
        bytes += body.len();
        // A task that is too large is sent alone: only nsqd can say whether it takes it.
        *n == 0 || bytes <= PUBLISHED_BYTES
    });
    fitting.map(|(_, body)| body).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_command_has_as_many_tasks_as_fit_and_at_least_one() {
        let task = |bytes: usize| GrantedTask { lease: String::new(), attempt: 1, task: json!("x".repeat(bytes)) };
        let third = PUBLISHED_BYTES / 3 - 2;
        for (sizes, expected) in [
            (&[10, 10][..], 2),
            (&[third, third, third, 1], 3),
            (&[2 * PUBLISHED_BYTES, 10], 1),
            (&[10, 2 * PUBLISHED_BYTES], 1),
            (&[10], 1),
        ] {
            let tasks: Vec<_> = sizes.iter().map(|bytes| task(*bytes)).collect();
            assert_eq!(next_bodies(&tasks).len(), expected, "{sizes:?}");
        }
    }
}

//! The delivery status of a message, for callers that ask right after it was put into the outbox.

use std::time::Duration;

use actix::Context;
use flowlord_kernel::{Code, Error, KernelActor as _, Reply, Result};
use flowlord_messages::clients::DatabaseReader;
use flowlord_messages::outbox::{AwaitDelivery, DeliveryOutcome, DeliveryRecord, DeliveryStatus, ReadMessage};
use tokio::sync::oneshot;

use crate::Notifier;

const MAX_WAITERS: usize = 64;

/// Callers that wait for the status of a message.
#[derive(Debug, Default)]
pub(crate) struct StatusWaiters(Vec<(i64, oneshot::Sender<DeliveryStatus>)>);

impl StatusWaiters {
    pub(crate) fn answer_all(&mut self, id: i64, delivery: &DeliveryOutcome) {
        for (_, waiter) in self.0.extract_if(.., |(wanted, _)| *wanted == id) {
            let _gone = waiter.send(status_after(delivery));
        }
    }

    fn add_waiter(&mut self, id: i64) -> Result<oneshot::Receiver<DeliveryStatus>> {
        self.0.retain(|(_, waiter)| !waiter.is_closed());
        if self.0.len() >= MAX_WAITERS {
            return Err(Error::new(Code::Busy, "too many requests wait for a message already; try again"));
        }
        let (answer, status) = oneshot::channel();
        self.0.push((id, answer));
        Ok(status)
    }
}

fn status_after(delivery: &DeliveryOutcome) -> DeliveryStatus {
    match delivery.clone() {
        DeliveryOutcome::Sent | DeliveryOutcome::Skipped => DeliveryStatus::Arrived,
        DeliveryOutcome::Refused { error, retry_at } => DeliveryStatus::Refused { error, retry_at },
        DeliveryOutcome::Unknown { error, retry_at } => DeliveryStatus::Unknown { error, retry_at },
    }
}

impl Notifier {
    pub(crate) fn await_message(
        &mut self,
        AwaitDelivery { id }: AwaitDelivery,
        _: &mut Context<Self>,
    ) -> Reply<Self, DeliveryStatus> {
        // The waiter is noted before the row is read: it may be marked in between.
        let status = self.waiters.add_waiter(id);
        let (reader, timeout) = (self.deps.reader.clone(), self.status_timeout);
        let known = async move { wait_for_status(id, status?, &reader, timeout).await };
        self.reply_after(known, |_, known, _| known)
    }
}

async fn wait_for_status(
    id: i64,
    status: oneshot::Receiver<DeliveryStatus>,
    reader: &DatabaseReader,
    timeout: Duration,
) -> Result<DeliveryStatus> {
    match stored_status(reader.call(ReadMessage { id }).await?)? {
        // Those before it wait for long already, and it with them.
        DeliveryStatus::Waits { ahead, error: Some(error) } if ahead > 0 => {
            Ok(DeliveryStatus::Waits { ahead, error: Some(error) })
        }
        DeliveryStatus::Waits { .. } => match tokio::time::timeout(timeout, status).await {
            Ok(Ok(status)) => Ok(status),
            // Not answered in time, or a restart dropped the waiter: the row knows.
            _ => stored_status(reader.call(ReadMessage { id }).await?),
        },
        known => Ok(known),
    }
}

fn stored_status(row: Option<DeliveryRecord>) -> Result<DeliveryStatus> {
    let row = row.ok_or_else(|| Error::new(Code::NotFound, "there is no such message"))?;
    Ok(match (row.sent, row.error, row.retry_at) {
        (Some(_), _, _) => DeliveryStatus::Arrived,
        (None, Some(error), Some(retry_at)) if row.uncertain => DeliveryStatus::Unknown { error, retry_at },
        (None, Some(error), Some(retry_at)) => DeliveryStatus::Refused { error, retry_at },
        _ => DeliveryStatus::Waits { ahead: row.ahead, error: row.first_error },
    })
}

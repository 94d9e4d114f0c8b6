//! The delivery status of a message, for callers that ask right after it was put into the outbox.

use std::time::Duration;

use actix::Context;
use flowlord_kernel::{Code, Error, KernelActor as _, Reply, Result};
use flowlord_messages::clients::DatabaseReader;
use flowlord_messages::outbox::{AwaitMessage, Delivery, Fate, MessageFate, ReadMessage};
use tokio::sync::oneshot;

use crate::Notifier;

const MAX_WAITERS: usize = 64;

/// Callers that wait for the status of a message.
#[derive(Debug, Default)]
pub(crate) struct StatusWaiters(Vec<(i64, oneshot::Sender<Fate>)>);

impl StatusWaiters {
    pub(crate) fn answer_all(&mut self, id: i64, delivery: &Delivery) {
        for (_, waiter) in self.0.extract_if(.., |(wanted, _)| *wanted == id) {
            let _gone = waiter.send(status_after(delivery));
        }
    }

    fn add_waiter(&mut self, id: i64) -> Result<oneshot::Receiver<Fate>> {
        self.0.retain(|(_, waiter)| !waiter.is_closed());
        if self.0.len() >= MAX_WAITERS {
            return Err(Error::new(Code::Busy, "too many requests wait for a message already; try again"));
        }
        let (answer, status) = oneshot::channel();
        self.0.push((id, answer));
        Ok(status)
    }
}

fn status_after(delivery: &Delivery) -> Fate {
    match delivery.clone() {
        Delivery::Sent | Delivery::Skipped => Fate::Arrived,
        Delivery::Refused { error, retry_at } => Fate::Refused { error, retry_at },
        Delivery::Unknown { error, retry_at } => Fate::Unknown { error, retry_at },
    }
}

impl Notifier {
    pub(crate) fn await_message(
        &mut self,
        AwaitMessage { id }: AwaitMessage,
        _: &mut Context<Self>,
    ) -> Reply<Self, Fate> {
        // The waiter is noted before the row is read: it may be marked in between.
        let status = self.waiters.add_waiter(id);
        let (reader, timeout) = (self.deps.reader.clone(), self.status_timeout);
        let known = async move { wait_for_status(id, status?, &reader, timeout).await };
        self.reply_after(known, |_, known, _| known)
    }
}

async fn wait_for_status(
    id: i64,
    status: oneshot::Receiver<Fate>,
    reader: &DatabaseReader,
    timeout: Duration,
) -> Result<Fate> {
    match stored_status(reader.call(ReadMessage { id }).await?)? {
        // Those before it wait for long already, and it with them.
        Fate::Waits { ahead, error: Some(error) } if ahead > 0 => {
            Ok(Fate::Waits { ahead, error: Some(error) })
        }
        Fate::Waits { .. } => match tokio::time::timeout(timeout, status).await {
            Ok(Ok(status)) => Ok(status),
            // Not answered in time, or a restart dropped the waiter: the row knows.
            _ => stored_status(reader.call(ReadMessage { id }).await?),
        },
        known => Ok(known),
    }
}

fn stored_status(row: Option<MessageFate>) -> Result<Fate> {
    let row = row.ok_or_else(|| Error::new(Code::NotFound, "there is no such message"))?;
    Ok(match (row.sent, row.error, row.retry_at) {
        (Some(_), _, _) => Fate::Arrived,
        (None, Some(error), Some(retry_at)) if row.uncertain => Fate::Unknown { error, retry_at },
        (None, Some(error), Some(retry_at)) => Fate::Refused { error, retry_at },
        _ => Fate::Waits { ahead: row.ahead, error: row.first_error },
    })
}

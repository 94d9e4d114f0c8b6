//! Whether a message arrived, for whoever asks right after it was put into the outbox.

use std::time::Duration;

use actix::fut::wrap_future;
use actix::{Context, Handler, ResponseActFuture};
use flowlord_kernel::{Code, Error, Port, Result, guarded};
use flowlord_messages::notifier::{AwaitMessage, Fate};
use flowlord_messages::outbox::{Delivery, MessageFate, ReadMessage};
use tokio::sync::oneshot;

use crate::Notifier;

/// How many may wait at the same time.
const WAITERS: usize = 64;

/// Those who wait for what becomes of a message.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Vec<(i64, oneshot::Sender<Fate>)>);

impl Waiters {
    /// Tells those who wait for this message what became of it.
    pub(crate) fn tell(&mut self, id: i64, delivery: &Delivery) {
        let (told, waiting) = std::mem::take(&mut self.0).into_iter().partition(|(wanted, _)| *wanted == id);
        self.0 = waiting;
        let told: Vec<(i64, oneshot::Sender<Fate>)> = told;
        for (_, waiter) in told {
            let _gone = waiter.send(fate(delivery));
        }
    }

    fn add(&mut self, id: i64) -> Result<oneshot::Receiver<Fate>> {
        self.0.retain(|(_, waiter)| !waiter.is_closed());
        if self.0.len() >= WAITERS {
            return Err(Error::new(Code::Busy, "too many wait for a message already; try again"));
        }
        let (tell, told) = oneshot::channel();
        self.0.push((id, tell));
        Ok(told)
    }
}

fn fate(delivery: &Delivery) -> Fate {
    match delivery.clone() {
        Delivery::Sent | Delivery::Skipped => Fate::Arrived,
        Delivery::Refused { error, retry_at } => Fate::Refused { error, retry_at },
        Delivery::Unknown { error, retry_at } => Fate::Unknown { error, retry_at },
    }
}

impl Handler<AwaitMessage> for Notifier {
    type Result = ResponseActFuture<Self, Result<Fate>>;

    fn handle(&mut self, AwaitMessage { id }: AwaitMessage, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |this, _: &mut Context<Self>| -> ResponseActFuture<Self, Result<Fate>> {
            // Whoever waits is noted before the row is read: it may be marked in between.
            let told = this.waiters.add(id);
            let (read, patience) = (this.deps.message.clone(), this.waiting);
            Box::pin(wrap_future(async move { wait(id, told?, read, patience).await }))
        })
    }
}

async fn wait(
    id: i64,
    told: oneshot::Receiver<Fate>,
    read: Port<ReadMessage>,
    patience: Duration,
) -> Result<Fate> {
    match as_read(read.call(ReadMessage { id }).await?)? {
        // Those before it wait for long already, and it with them.
        Fate::Waits { ahead, error: Some(error) } if ahead > 0 => {
            Ok(Fate::Waits { ahead, error: Some(error) })
        }
        Fate::Waits { .. } => match tokio::time::timeout(patience, told).await {
            Ok(Ok(fate)) => Ok(fate),
            _ => as_read(read.call(ReadMessage { id }).await?),
        },
        known => Ok(known),
    }
}

fn as_read(row: Option<MessageFate>) -> Result<Fate> {
    let row = row.ok_or_else(|| Error::new(Code::NotFound, "there is no such message"))?;
    Ok(match (row.sent, row.error, row.retry_at) {
        (Some(_), _, _) => Fate::Arrived,
        (None, Some(error), Some(retry_at)) if row.uncertain => Fate::Unknown { error, retry_at },
        (None, Some(error), Some(retry_at)) => Fate::Refused { error, retry_at },
        _ => Fate::Waits { ahead: row.ahead, error: row.first_error },
    })
}

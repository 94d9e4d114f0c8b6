//! Publishing: one nsqd after the other, and the next one where one fails.

use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout};

use super::connection::{NsqConnection, PATIENCE, within};
use super::wire::{publish_head, publish_many};

/// A body above this doesn't fit into nsqd's own buffer. It closes a connection on which it refused one before it read
/// all of it, and its words may get lost with the rest.
const LONG_BODY_BYTES: usize = 8 * 1024;

/// How long nsqd has to refuse a long body by its length.
const REFUSAL_WAIT: Duration = Duration::from_millis(100);

/// How long an nsqd that failed comes last.
const AVOIDED_FOR: Duration = Duration::from_secs(15);

#[derive(Debug, thiserror::Error)]
pub(in super::super) enum PublishFailure {
    /// Never, however often it is sent: it is too large.
    #[error("{0}")]
    Refused(String),
    /// It may be published or not.
    #[error("{address}: {detail}")]
    Away { address: String, detail: String },
}

impl PublishFailure {
    /// None of them answered in time.
    pub(in super::super) fn slow(topic: &str) -> Self {
        Self::Away { address: format!("topic {topic}"), detail: "no nsqd answered in time".to_owned() }
    }
}

/// Connections to all nsqd, each opened when it is needed. They are without heartbeats: nobody would answer them between
/// two publications, and a connection that died is noticed by the next one.
#[derive(Debug)]
pub(in super::super) struct ProducerPool {
    nsqds: Vec<ProducerSlot>,
    last: usize,
}

#[derive(Debug)]
struct ProducerSlot {
    address: String,
    connection: Option<NsqConnection>,
    failed_at: Option<Instant>,
}

impl ProducerPool {
    /// Begins with another nsqd for each `offset`.
    pub(in super::super) fn new(addresses: &[String], offset: usize) -> Self {
        let slots = addresses.iter().cloned();
        let nsqds = slots.map(|address| ProducerSlot { address, connection: None, failed_at: None }).collect();
        Self { nsqds, last: offset }
    }

    /// Connects to at least one.
    pub(in super::super) async fn connect(&mut self) -> Result<(), PublishFailure> {
        self.on_any(async |_| Ok(())).await?;
        // The next publication uses the connection that was found to be open.
        self.last = (self.last + self.nsqds.len() - 1) % self.nsqds.len();
        Ok(())
    }

    /// Publishes all of them in one command.
    pub(in super::super) async fn publish_all(
        &mut self,
        topic: &str,
        bodies: &[Vec<u8>],
    ) -> Result<(), PublishFailure> {
        let command = publish_many(topic, bodies);
        self.on_any(async |connection| connection.request(&command).await.map(drop)).await
    }

    /// Publishes one by itself, so that it is known to be what is refused.
    pub(in super::super) async fn publish_one(&mut self, topic: &str, body: &[u8]) -> Result<(), PublishFailure> {
        let head = publish_head(topic, body);
        self.on_any(async |connection| send_one(connection, &head, body).await).await
    }

    /// Tries one nsqd after the other. The last failure counts, but a refusal ends the search: all of them are set up
    /// alike.
    async fn on_any(&mut self, work: impl AsyncFn(&mut NsqConnection) -> io::Result<()>) -> Result<(), PublishFailure> {
        let mut failure = PublishFailure::Away { address: "nsqd".to_owned(), detail: "there is none".to_owned() };
        for nth in self.order(Instant::now()) {
            self.last = nth;
            let slot = &mut self.nsqds[nth];
            match slot.run(&work).await {
                Ok(()) => return Ok(()),
                Err(err) if is_too_large(&err) => return Err(PublishFailure::Refused(err.to_string())),
                Err(err) => failure = PublishFailure::Away { address: slot.address.clone(), detail: err.to_string() },
            }
        }
        Err(failure)
    }

    /// Each in turn. Those that failed lately come last: each might take its time to fail again.
    fn order(&self, now: Instant) -> Vec<usize> {
        let count = self.nsqds.len();
        let mut order: Vec<usize> = (1..=count).map(|n| (self.last + n) % count).collect();
        // A stable sort keeps the order in turn among the others.
        order.sort_by_key(|nth| self.nsqds[*nth].failed_at.is_some_and(|at| now < at + AVOIDED_FOR));
        order
    }
}

impl ProducerSlot {
    async fn run(&mut self, work: impl AsyncFn(&mut NsqConnection) -> io::Result<()>) -> io::Result<()> {
        // Set first: what is given up half way has failed, too.
        self.failed_at = Some(Instant::now());
        // Taken out, so that a connection with half an answer is never used again.
        let mut connection = match self.connection.take() {
            Some(connection) if !is_closed(&connection) => connection,
            _ => NsqConnection::open(&self.address, None).await?,
        };
        let done = within(PATIENCE, work(&mut connection)).await;
        match &done {
            Ok(()) => (self.connection, self.failed_at) = (Some(connection), None),
            // It is the message's fault.
            Err(err) if is_too_large(err) => self.failed_at = None,
            Err(_) => {}
        }
        done
    }
}

fn is_closed(connection: &NsqConnection) -> bool {
    let unread = connection.reader.get_ref().try_read(&mut [0; 1]);
    // Nobody is asked anything, so there is nothing to read either.
    !matches!(unread, Err(err) if err.kind() == ErrorKind::WouldBlock)
}

async fn send_one(connection: &mut NsqConnection, head: &[u8], body: &[u8]) -> io::Result<()> {
    connection.writer.write_all(head).await?;
    // The pause lets the refusal arrive before the body is written.
    if body.len() > LONG_BODY_BYTES
        && let Ok(refused) = timeout(REFUSAL_WAIT, connection.read_answer()).await
    {
        return refused.map(drop);
    }
    connection.request(body).await.map(drop)
}

fn is_too_large(err: &io::Error) -> bool {
    let text = err.to_string();
    // `E_BAD_BODY` answers an MPUB that is too large as a whole.
    ["E_BAD_MESSAGE", "E_BAD_BODY"].iter().any(|code| text.starts_with(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_nsqd_comes_in_turn_and_last_when_it_failed_lately() {
        let addresses = ["a", "b", "c"].map(str::to_owned);
        let mut pool = ProducerPool::new(&addresses, 3);
        let now = Instant::now();
        assert_eq!(pool.order(now), [1, 2, 0]);
        pool.nsqds[1].failed_at = Some(now);
        assert_eq!(pool.order(now), [2, 0, 1]);
        assert_eq!(pool.order(now + AVOIDED_FOR), [1, 2, 0]);
        pool.nsqds.iter_mut().for_each(|slot| slot.failed_at = Some(now));
        assert_eq!(pool.order(now), [1, 2, 0], "better than none");
        assert_eq!(ProducerPool::new(&[], 0).order(now), [0; 0]);
    }

    #[test]
    fn only_what_is_too_large_is_refused_for_good() {
        for (text, expected) in [
            ("E_BAD_MESSAGE PUB message too big 9 > 3", true),
            ("E_BAD_BODY MPUB body too big", true),
            ("E_BAD_TOPIC", false),
            ("E_PUB_FAILED exiting", false),
            ("unexpected end of file", false),
        ] {
            assert_eq!(is_too_large(&io::Error::other(text)), expected, "{text}");
        }
    }
}

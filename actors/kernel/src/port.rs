//! The only way to send a message: bounded, and with a timeout.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use actix::dev::RecipientRequest;
use actix::{MailboxError, Message, Recipient};
use metrics::{Gauge, gauge};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Code, Error, Result};
use crate::quiescence::{WorkCounter, WorkGuard};

/// How much may be under way on a port, and how long its callers wait.
#[derive(Debug, Clone, Copy)]
pub struct PortLimits {
    /// How many messages may be under way.
    pub max_under_way: usize,
    /// How long a caller waits for an answer.
    pub timeout: Duration,
}

impl PortLimits {
    /// A group commit takes milliseconds: after these 20 s something is wrong, and an error that says so is worth more
    /// than a longer wait.
    pub const USUAL: Self = Self { max_under_way: 2_048, timeout: Duration::from_secs(20) };

    /// For messages that hold a lot.
    pub const BULKY: Self = Self { max_under_way: 64, ..Self::USUAL };

    /// For what takes as long as the database is large; a few at a time.
    pub const PATIENT: Self = Self { max_under_way: 32, timeout: Duration::from_secs(6 * 3600) };
}

/// A message that may go to an actor of another thread, and whose answer may come back. Every such message is one.
pub trait PortMessage: Message<Result: Send> + Send + 'static {}

impl<M: Message<Result: Send> + Send + 'static> PortMessage for M {}

/// One message under way, while it lives.
struct CountedMessage(Gauge);

impl CountedMessage {
    fn begin(depth: &Gauge) -> Self {
        depth.increment(1.0);
        Self(depth.clone())
    }
}

impl Drop for CountedMessage {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// What a message takes until the actor handled or dropped it, however long its caller waits.
type MessageClaims = (OwnedSemaphorePermit, WorkGuard, CountedMessage);

/// A message that was sent. It is waited for to its end also where its caller stops waiting: else callers that gave up
/// would leave more messages in the mailbox than the port lets through.
struct SentMessage<M: PortMessage>(Option<(Pin<Box<RecipientRequest<M>>>, MessageClaims)>);

impl<M: PortMessage> Future for SentMessage<M> {
    type Output = std::result::Result<M::Result, MailboxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((answer, _)) = &mut self.0 else { return Poll::Ready(Err(MailboxError::Closed)) };
        let answered = answer.as_mut().poll(cx);
        if answered.is_ready() {
            self.0 = None;
        }
        answered
    }
}

impl<M: PortMessage> Drop for SentMessage<M> {
    fn drop(&mut self) {
        let Some((answer, claims)) = self.0.take() else { return };
        // At the end of a thread there is nothing left that could go beyond a bound.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(wait_to_the_end(answer, claims));
        }
    }
}

async fn wait_to_the_end(answer: impl Future, claims: MessageClaims) {
    let _nobody_waits_for_it = answer.await;
    drop(claims);
}

/// A bounded way to one actor for one kind of message. Clones share the bound.
///
/// Mailboxes of actix don't bound by themselves: each cloned address may always add one more message. So the
/// mailbox is as large as its ports allow together, and the port refuses what is too much.
pub struct Port<M: PortMessage>(Arc<SharedPort<M>>);

/// What the clones of a port share: a client of forty ports is cloned by counting.
struct SharedPort<M: PortMessage> {
    name: &'static str,
    /// None: nobody is there, and calls fail.
    to: Option<Recipient<M>>,
    permits: Arc<Semaphore>,
    timeout: Duration,
    activity: WorkCounter,
    depth: Gauge,
}

impl<M: PortMessage> Clone for Port<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: PortMessage> std::fmt::Debug for Port<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Port").field("name", &self.0.name).field("free", &self.0.permits.available_permits()).finish()
    }
}

impl<M: PortMessage> Port<M> {
    /// A port to an actor, which is called `name` in errors and metrics.
    #[must_use]
    pub fn new(name: &'static str, to: Recipient<M>, limits: PortLimits, activity: &WorkCounter) -> Self {
        Self::with_recipient(name, Some(to), limits, activity.clone())
    }

    /// A port that leads nowhere: hints are dropped, calls fail.
    #[must_use]
    pub fn unconnected(name: &'static str) -> Self {
        Self::with_recipient(name, None, PortLimits::USUAL, WorkCounter::default())
    }

    fn with_recipient(name: &'static str, to: Option<Recipient<M>>, limits: PortLimits, activity: WorkCounter) -> Self {
        Self(Arc::new(SharedPort {
            name,
            to,
            permits: Arc::new(Semaphore::new(limits.max_under_way)),
            timeout: limits.timeout,
            activity,
            depth: gauge!("flowlord_messages_under_way", "actor" => name),
        }))
    }

    /// The name of the actor behind it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// Sends a hint: nobody waits for it, and it is dropped where the actor has too much to do. Answers whether
    /// it was sent.
    #[expect(clippy::disallowed_methods, reason = "the one place that bounds what is sent")]
    pub fn hint(&self, message: M) -> bool
    where
        M::Result: 'static,
    {
        let permit = Arc::clone(&self.0.permits).try_acquire_owned();
        let (Ok(permit), Some(to)) = (permit, &self.0.to) else {
            log::debug!("event=hint_dropped actor={}", self.0.name);
            return false;
        };
        let claims = self.claims(permit);
        // The permit comes back when the actor is through, not when its mailbox has the message: so hints can't pile up.
        actix::spawn(wait_to_the_end(to.send(message), claims));
        true
    }

    fn claims(&self, permit: OwnedSemaphorePermit) -> MessageClaims {
        (permit, self.0.activity.begin(), CountedMessage::begin(&self.0.depth))
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that bounds what is sent")]
    fn send(&self, message: M) -> impl Future<Output = Result<M::Result>> + use<M> {
        let (name, timeout) = (self.0.name, self.0.timeout);
        // Sent before the future is polled: messages arrive in the order of the calls, and a dropped future recalls none.
        let permit = Arc::clone(&self.0.permits).try_acquire_owned();
        let sent = permit.map(|permit| {
            let to = self.0.to.as_ref()?;
            let claims = self.claims(permit);
            Some(SentMessage(Some((Box::pin(to.send(message)), claims))))
        });
        async move {
            let Ok(sent) = sent else {
                return Err(Error::new(Code::Busy, format!("{name} is overloaded; try again")));
            };
            let Some(answer) = sent else {
                return Err(Error::new(Code::Internal, format!("{name} isn't connected")));
            };
            match tokio::time::timeout(timeout, answer).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(_)) => Err(Error::new(Code::Stopping, format!("{name} is stopping or restarting"))),
                // The message is still in the mailbox, or at work: nothing takes it back.
                Err(_) => Err(Error::new(
                    Code::Timeout,
                    format!("{name} did not answer in time; the request may still take effect"),
                )),
            }
        }
    }
}

impl<M, T> Port<M>
where
    M: Message<Result = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    /// Sends a message and waits for its answer.
    ///
    /// The message is under way from this call on, not only once the future is polled.
    ///
    /// # Errors
    /// `busy` when the bound is reached, `timeout` when no answer came, `stopping` when the actor is gone, and
    /// whatever the actor answers.
    pub fn call(&self, message: M) -> impl Future<Output = Result<T>> + use<M, T> {
        let answer = self.send(message);
        async move { answer.await? }
    }
}

/// A port that is set after its holder was built: hints go upwards, to actors that start later. Until it is set, hints
/// are dropped.
#[derive(Debug)]
pub struct LatePort<M: PortMessage>(Arc<OnceLock<Port<M>>>);

impl<M: PortMessage> Default for LatePort<M> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<M: PortMessage> Clone for LatePort<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: PortMessage> LatePort<M> {
    /// Sets the port; the first one counts.
    pub fn set(&self, port: Port<M>) {
        let _already_set = self.0.set(port);
    }

    /// Begins a piece of work that ends with a hint; none until the port is set.
    #[must_use]
    pub fn begin(&self) -> Option<WorkGuard> {
        self.0.get().map(|port| port.0.activity.begin())
    }

    /// Sends a hint, if the port is set.
    pub fn hint(&self, message: M) -> bool
    where
        M::Result: 'static,
    {
        self.0.get().is_some_and(|port| port.hint(message))
    }
}

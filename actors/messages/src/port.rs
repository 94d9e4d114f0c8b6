//! The only way to send a message: bounded, and with a timeout.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::{Message, Recipient};
use metrics::{Gauge, gauge};
use tokio::sync::Semaphore;

use crate::activity::{Activity, Busy};
use crate::error::{Code, Error, Result};

/// One message under way, while it lives.
struct Counted(Gauge);

impl Counted {
    fn begin(depth: &Gauge) -> Self {
        depth.increment(1.0);
        Self(depth.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// A bounded way to one actor for one kind of message. Clones share the bound.
///
/// Mailboxes of actix don't bound by themselves: each cloned address may always add one more message. So the
/// mailbox is as large as its ports allow together, and the port refuses what is too much.
pub struct Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    name: &'static str,
    to: Recipient<M>,
    permits: Arc<Semaphore>,
    timeout: Duration,
    activity: Activity,
    depth: Gauge,
}

impl<M> Clone for Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            to: self.to.clone(),
            permits: Arc::clone(&self.permits),
            timeout: self.timeout,
            activity: self.activity.clone(),
            depth: self.depth.clone(),
        }
    }
}

impl<M> std::fmt::Debug for Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Port")
            .field("name", &self.name)
            .field("free", &self.permits.available_permits())
            .finish()
    }
}

impl<M> Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    /// A port to `to` that lets `bound` messages be under way and waits `timeout` for each answer.
    #[must_use]
    pub fn new(
        name: &'static str,
        to: Recipient<M>,
        bound: usize,
        timeout: Duration,
        activity: &Activity,
    ) -> Self {
        let depth = gauge!("flowlord_messages_under_way", "actor" => name);
        Self {
            name,
            to,
            permits: Arc::new(Semaphore::new(bound)),
            timeout,
            activity: activity.clone(),
            depth,
        }
    }

    /// The actor behind it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Sends a hint: nobody waits for it, and it is dropped where the actor has too much to do. Answers whether
    /// it was sent.
    #[expect(clippy::disallowed_methods, reason = "the one place that bounds what is sent")]
    pub fn hint(&self, message: M) -> bool
    where
        M::Result: 'static,
    {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            log::debug!("event=hint_dropped actor={}", self.name);
            return false;
        };
        let (busy, counted) = (self.activity.begin(), Counted::begin(&self.depth));
        let answer = self.to.send(message);
        actix::spawn(async move {
            let _closed_is_fine = answer.await;
            drop((permit, busy, counted));
        });
        true
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that bounds what is sent")]
    fn send(&self, message: M) -> impl Future<Output = Result<M::Result>> + use<M> {
        let name = self.name;
        let sent = Arc::clone(&self.permits).try_acquire_owned().map(|permit| {
            let busy = (self.activity.begin(), Counted::begin(&self.depth));
            (permit, busy, self.to.send(message))
        });
        let timeout = self.timeout;
        async move {
            let Ok((_permit, _busy, answer)) = sent else {
                return Err(Error::new(Code::Busy, format!("{name} has too much to do; try again")));
            };
            match tokio::time::timeout(timeout, answer).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(_)) => Err(Error::new(Code::Stopping, format!("{name} is stopping or restarting"))),
                Err(_) => Err(Error::new(
                    Code::Timeout,
                    format!("{name} did not answer in time; what was asked may still happen"),
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

/// A port that is set after its holder was built: the way of hints upwards, where the one who hears is started
/// later. Until it is set, hints are dropped.
#[derive(Debug)]
pub struct LatePort<M>(Arc<OnceLock<Port<M>>>)
where
    M: Message + Send + 'static,
    M::Result: Send;

impl<M> Default for LatePort<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<M> Clone for LatePort<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> LatePort<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    /// Sets who hears; the first one counts.
    pub fn set(&self, port: Port<M>) {
        let _already_set = self.0.set(port);
    }

    /// Begins a piece of work that ends with a hint; none where nobody hears yet.
    #[must_use]
    pub fn begin(&self) -> Option<Busy> {
        self.0.get().map(|port| port.activity.begin())
    }

    /// Sends a hint, if anybody hears.
    pub fn hint(&self, message: M) -> bool
    where
        M::Result: 'static,
    {
        self.0.get().is_some_and(|port| port.hint(message))
    }
}

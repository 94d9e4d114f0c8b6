//! An nsqd that tests break: it speaks NSQ V2 in memory, sends messages again, and freezes or cuts connections at any step.

mod connection;
mod lookupd;
mod state;
#[cfg(test)]
mod tests;

pub use lookupd::FakeLookupd;
pub use state::NsqdCounts;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use state::NsqdState;

/// A moment in the life of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NsqdStep {
    /// A publication came, and isn't stored.
    PublishArrived,
    /// It is stored, and not answered.
    PublishStored,
    /// It is answered.
    PublishAnswered,
    /// A message was sent.
    MessageSent,
    /// A message was answered by FIN, which doesn't count yet.
    FinishArrived,
}

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NsqdFault {
    /// The connection is closed.
    Cut,
    /// Nothing happens any more, until [`FakeNsqd::thaw`]; then the connection is closed.
    Freeze,
}

/// An nsqd in memory, on a thread of its own. It ends when it is dropped. Each topic has one channel.
#[derive(Debug)]
pub struct FakeNsqd {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<NsqdState>,
    /// Something happened that connections wait for.
    changed: Notify,
}

impl Shared {
    fn with<T>(&self, work: impl FnOnce(&mut NsqdState) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, work: impl FnOnce(&mut NsqdState) -> T) -> T {
        let done = self.with(work);
        self.changed.notify_waiters();
        done
    }
}

impl FakeNsqd {
    /// Starts one that is well and empty.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without a port can't go on")]
    pub fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = connection::accept_all(listener, served) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Its address for clients.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Publishes a message, as another client would.
    pub fn publish(&self, topic: &str, body: impl Into<Vec<u8>>) {
        self.shared.change(|state| state.store(topic, body.into()));
    }

    /// Takes the oldest message of a topic that nobody consumes, as a worker would.
    #[must_use]
    pub fn take(&self, topic: &str) -> Option<Vec<u8>> {
        self.shared.with(|state| state.take(topic))
    }

    /// How many messages of a topic aren't finished.
    #[must_use]
    pub fn depth(&self, topic: &str) -> usize {
        self.shared.with(|state| state.depth(topic))
    }

    /// The channels that were subscribed to, as `topic/channel`, in order.
    #[must_use]
    pub fn channels(&self) -> Vec<String> {
        self.shared.with(|state| state.channels.iter().cloned().collect())
    }

    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> NsqdCounts {
        self.shared.with(|state| state.counts)
    }

    /// Does this at the next such step, once.
    pub fn break_at(&self, step: NsqdStep, fault: NsqdFault) {
        self.shared.with(|state| state.fault = Some((step, fault)));
    }

    /// Whether the step of [`FakeNsqd::break_at`] isn't reached yet.
    #[must_use]
    pub fn has_fault(&self) -> bool {
        self.shared.with(|state| state.fault.is_some())
    }

    /// Whether a step was reached at which everything froze.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.shared.with(|state| state.is_frozen)
    }

    /// Goes on after a freeze.
    pub fn thaw(&self) {
        self.shared.change(|state| (state.is_frozen, state.fault) = (false, None));
    }

    /// Whether it hangs up on everybody from now on, as when it is down. Messages stay.
    pub fn set_down(&self, is_down: bool) {
        self.shared.change(|state| state.is_down = is_down);
    }

    /// How large a message may be.
    pub fn set_max_message_bytes(&self, bytes: usize) {
        self.shared.with(|state| state.max_message_bytes = bytes);
    }

    /// After how long a message without an answer is sent again.
    pub fn set_message_timeout(&self, after: Duration) {
        self.shared.with(|state| state.message_timeout = after);
    }

    /// Every publication is answered later by this.
    pub fn set_publish_delay(&self, delay: Duration) {
        self.shared.with(|state| state.publish_delay = delay);
    }
}

impl Drop for FakeNsqd {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _a_panic_was_seen_already = thread.join();
        }
    }
}

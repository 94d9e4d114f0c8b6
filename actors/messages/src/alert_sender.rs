//! Alerts that come with no other command, on their way to the database.
//!
//! What goes wrong beside the database often goes wrong with it: a full disk takes the snapshot and the writes. So an
//! alert that isn't stored is kept and tried again until it is.

use std::collections::VecDeque;
use std::sync::Arc;

use chrono::TimeDelta;
use flowlord_domain::NewAlert;
use flowlord_kernel::{ActorEnvironment, Locked, Port, WorkGuard};

use crate::alerts::RaiseAlerts;

/// How many alerts may wait. The first ones are kept: they tell how it began.
const MAX_WAITING_ALERTS: usize = 100;

/// After an alert that wasn't stored, when to try again.
const RETRY_DELAY: TimeDelta = TimeDelta::seconds(10);

/// Keeps the alerts of one actor, in their order, until they are stored. It outlives that actor's restarts, not the
/// process.
///
/// ```
/// use actix::{Actor, Context, Handler};
/// use flowlord_domain::{AlertKind, NewAlert};
/// use flowlord_kernel::{ActorEnvironment, Result};
/// use flowlord_messages::AlertSender;
/// use flowlord_messages::alerts::RaiseAlerts;
/// use tokio::sync::mpsc::UnboundedSender;
///
/// /// Stands for the database.
/// struct Stub(UnboundedSender<NewAlert>);
///
/// impl Actor for Stub {
///     type Context = Context<Self>;
/// }
///
/// impl Handler<RaiseAlerts> for Stub {
///     type Result = Result<()>;
///
///     fn handle(&mut self, raised: RaiseAlerts, _: &mut Self::Context) -> Result<()> {
///         raised.alerts.into_iter().try_for_each(|alert| self.0.send(alert)).expect("somebody listens");
///         Ok(())
///     }
/// }
///
/// # actix::System::new().block_on(async {
/// let environment = ActorEnvironment::system(std::sync::Arc::new(|actor| panic!("{actor} can't be kept alive")));
/// let (stored, mut alerts) = tokio::sync::mpsc::unbounded_channel();
/// let port = environment.port("writer", &Stub(stored).start());
/// let sender = AlertSender::new(port, &environment);
/// let msg = "the backup place is full".to_owned();
/// sender.raise(NewAlert::without_task(AlertKind::Snapshot, "snapshot", msg, environment.clock.now()));
/// assert_eq!(alerts.recv().await.expect("it is stored").msg, "the backup place is full");
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct AlertSender {
    port: Port<RaiseAlerts>,
    environment: ActorEnvironment,
    /// While there are any, they are being sent.
    waiting: Arc<Locked<VecDeque<NewAlert>>>,
}

impl AlertSender {
    /// One that has nothing to raise yet.
    #[must_use]
    pub fn new(port: Port<RaiseAlerts>, environment: &ActorEnvironment) -> Self {
        Self { port, environment: environment.clone(), waiting: Arc::default() }
    }

    /// Has an alert stored: now, or as soon as that works.
    pub fn raise(&self, alert: NewAlert) {
        let mut waiting = self.waiting.lock();
        if waiting.len() == MAX_WAITING_ALERTS {
            log::error!("event=alert_dropped reason=too_many_wait msg={:?}", alert.msg);
            return;
        }
        waiting.push_back(alert);
        // With others it is sent by the task that sends those.
        let first = waiting.len() == 1;
        drop(waiting);
        if first {
            let busy = self.environment.activity.begin();
            let this = self.clone();
            actix::spawn(async move { this.send_all(Some(busy)).await });
        }
    }

    async fn send_all(&self, mut busy: Option<WorkGuard>) {
        loop {
            let alerts: Vec<_> = self.waiting.lock().iter().cloned().collect();
            let count = alerts.len();
            match self.port.call(RaiseAlerts { alerts }).await {
                Ok(()) => {
                    let mut waiting = self.waiting.lock();
                    // Only those that were sent: others may have come meanwhile.
                    waiting.drain(..count);
                    if waiting.is_empty() {
                        return;
                    }
                }
                Err(err) => {
                    log::warn!("event=alert_not_raised waiting={count} error={err:?}");
                    let clock = &self.environment.clock;
                    let later = clock.sleep_until(clock.now() + RETRY_DELAY);
                    // A wait is no work: it must hold up neither a stop nor a test's clock.
                    drop(busy.take());
                    busy = later.await.busy;
                }
            }
        }
    }
}

//! Alerts that come with no other command, on their way to the database.
//!
//! What goes wrong beside the database often goes wrong with it: a full disk takes the snapshot and the writes. So an
//! alert that isn't stored is kept and tried again until it is.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use flowlord_domain::NewAlert;

use crate::activity::Activity;
use crate::clock::SharedClock;
use crate::port::Port;
use crate::write::RaiseAlerts;

/// How many alerts wait at most; of more, the first ones.
const MOST: usize = 100;

/// After one that wasn't stored, when to try again.
const TRY_AGAIN: TimeDelta = TimeDelta::seconds(10);

/// Raises alerts, in their order, for one actor. It outlives that actor's restarts, not the process.
#[derive(Debug, Clone)]
pub struct Raiser {
    port: Port<RaiseAlerts>,
    clock: SharedClock,
    activity: Activity,
    /// While there are any, they are being sent.
    waiting: Arc<Mutex<VecDeque<NewAlert>>>,
}

impl Raiser {
    /// One that has nothing to raise yet.
    #[must_use]
    pub fn new(port: Port<RaiseAlerts>, clock: SharedClock, activity: Activity) -> Self {
        Self { port, clock, activity, waiting: Arc::default() }
    }

    /// Has an alert stored: now, or as soon as that works.
    pub fn raise(&self, alert: NewAlert) {
        let mut waiting = self.waiting();
        if waiting.len() == MOST {
            log::error!("event=alert_dropped reason=too_many_wait msg={:?}", alert.msg);
            return;
        }
        waiting.push_back(alert);
        let first = waiting.len() == 1;
        drop(waiting);
        if first {
            let busy = self.activity.begin();
            let this = self.clone();
            actix::spawn(async move { this.send_all(Some(busy)).await });
        }
    }

    async fn send_all(&self, mut busy: Option<crate::Busy>) {
        loop {
            let alerts: Vec<_> = self.waiting().iter().cloned().collect();
            let count = alerts.len();
            match self.port.call(RaiseAlerts { alerts }).await {
                Ok(()) => {
                    let mut waiting = self.waiting();
                    waiting.drain(..count);
                    if waiting.is_empty() {
                        return;
                    }
                }
                Err(err) => {
                    log::warn!("event=alert_not_raised waiting={count} error={err:?}");
                    let later = self.clock.sleep_until(self.clock.now() + TRY_AGAIN);
                    drop(busy.take());
                    busy = later.await.busy;
                }
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<NewAlert>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

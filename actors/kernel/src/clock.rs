//! The injected clock. Tests run on a virtual one that moves timers and wall time together.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};

use crate::quiescence::WorkGuard;

/// The longest that the system clock sleeps before it reads the wall clock again.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// A timer that came due.
#[derive(Debug)]
pub struct PendingWake {
    /// The time that counts for everything done because of it.
    pub now: DateTime<Utc>,
    /// Keeps a virtual clock from moving on until the tick was worked off.
    pub busy: Option<WorkGuard>,
}

/// A future that resolves when its time has come.
pub type Sleep = Pin<Box<dyn Future<Output = PendingWake> + Send>>;

/// Where time comes from.
pub trait Clock: std::fmt::Debug + Send + Sync + 'static {
    /// The wall clock, UTC.
    fn now(&self) -> DateTime<Utc>;

    /// Waits until the wall clock shows `at` or later.
    fn sleep_until(&self, at: DateTime<Utc>) -> Sleep;
}

/// How long the machine has been up, the time that it was suspended included: a clock that nobody sets.
#[must_use]
pub fn time_since_boot() -> Duration {
    // The usual monotonic clock stands still while a machine is suspended, and so can't tell that a lease is over.
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(clock);
    Duration::new(now.tv_sec.try_into().unwrap_or_default(), now.tv_nsec.try_into().unwrap_or_default())
}

/// A clock that everything shares.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is given")]
    fn now(&self) -> DateTime<Utc> {
        // As finely as a time is stored: what is answered equals what is read back.
        Utc::now().trunc_subsecs(6)
    }

    fn sleep_until(&self, at: DateTime<Utc>) -> Sleep {
        let clock = *self;
        Box::pin(async move {
            // In pieces: the runtime's timer follows neither a step of the wall clock nor the sleep of a suspended machine, and
            // a timer must not be late by more than one of them.
            loop {
                let now = clock.now();
                match (at - now).to_std() {
                    Ok(left) if !left.is_zero() => tokio::time::sleep(left.min(LONGEST_SLEEP)).await,
                    _ => return PendingWake { now, busy: None },
                }
            }
        })
    }
}

//! Time that a test moves: the wall clock and all timers together.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::{ActorEnvironment, Clock, IdGenerator, PendingWake, Sleep, WorkCounter, WorkGuard};
use tokio::sync::oneshot;

/// How long the program may be busy, in real time, before the test is told that it never ends.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often to look without pause: most of what a timer causes is done within microseconds. Then the test looks
/// away for a millisecond at a time.
const GLANCES: u32 = 2_000;

/// How often in a row the program must be seen idle. Work is handed from thread to thread under a guard, so once
/// would do; HTTP answers on their way to the test are not guarded.
const SEEN_IDLE: u32 = 3;

/// A clock that stands still until a test moves it. Clones share it.
#[derive(Debug, Clone)]
pub struct VirtualClock {
    state: Arc<Mutex<State>>,
    activity: WorkCounter,
}

/// How a sleeper is woken: the time, and the guard of what it does then.
type Wake = oneshot::Sender<(DateTime<Utc>, WorkGuard)>;

#[derive(Debug)]
struct State {
    now: DateTime<Utc>,
    next: u64,
    sleepers: BTreeMap<(DateTime<Utc>, u64), Wake>,
}

impl State {
    /// Forgets those who no longer wait.
    fn prune(&mut self) {
        self.sleepers.retain(|_, sleeper| !sleeper.is_closed());
    }
}

impl VirtualClock {
    /// A clock that shows `now`; `activity` tells whether the program is busy.
    #[must_use]
    pub fn new(now: DateTime<Utc>, activity: WorkCounter) -> Self {
        let state = State { now, next: 0, sleepers: BTreeMap::new() };
        Self { state: Arc::new(Mutex::new(state)), activity }
    }

    /// An environment with this clock, ids that are the same each time, and a panic where an actor can't be kept alive.
    #[must_use]
    pub fn environment(&self) -> ActorEnvironment {
        ActorEnvironment {
            clock: Arc::new(self.clone()),
            ids: IdGenerator::seeded(1),
            activity: self.activity.clone(),
            give_up: Arc::new(|name| panic!("{name} gave up")),
        }
    }

    /// Waits until nothing is under way.
    ///
    /// # Panics
    /// When something stays under way for 30 s of real time.
    pub async fn settle(&self) {
        let settled = async {
            let (mut seen, mut before, mut glances) = (0, 0, 0);
            while seen < SEEN_IDLE {
                let (idle, begun) = self.activity.idle();
                seen = if idle && begun == before { seen + 1 } else { 0 };
                before = begun;
                look_away(&mut glances).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, settled).await.is_ok(), "this stays under way: {}", self.stuck());
    }

    /// Moves on by `time`, stopping at each timer on the way until what it caused is done.
    pub async fn advance(&self, time: TimeDelta) {
        let to = self.with(|state| state.now) + time;
        self.advance_to(to).await;
    }

    /// Moves on to `to`, stopping at each timer on the way until what it caused is done.
    pub async fn advance_to(&self, to: DateTime<Utc>) {
        loop {
            self.settle().await;
            if !self.wake_first(to) {
                break;
            }
        }
        self.with(|state| state.now = state.now.max(to));
    }

    /// Sets the wall clock, as an operator would: timers that are due then come due.
    pub async fn set(&self, now: DateTime<Utc>) {
        self.settle().await;
        self.with(|state| state.now = now);
        while self.wake_first(now) {
            self.settle().await;
        }
    }

    /// Steps the wall clock by `time`, forwards or backwards, as [`Self::set`] does.
    pub async fn step(&self, time: TimeDelta) {
        let to = self.with(|state| state.now) + time;
        self.set(to).await;
    }

    /// Waits until some timer is set for `at`.
    ///
    /// # Panics
    /// When none is within 30 s of real time.
    pub async fn wait_for_sleeper_at(&self, at: DateTime<Utc>) {
        let found = async {
            let mut glances = 0;
            while !self.with(|state| {
                state.prune();
                state.sleepers.keys().any(|(sleeps_until, _)| *sleeps_until == at)
            }) {
                look_away(&mut glances).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, found).await.is_ok(), "no timer is set for {at}");
    }

    /// Wakes the first sleeper due by `to`, at its time. Answers whether there was one.
    fn wake_first(&self, to: DateTime<Utc>) -> bool {
        self.with(|state| {
            state.prune();
            let Some(key) = state.sleepers.keys().next().copied().filter(|(at, _)| *at <= to) else {
                return false;
            };
            state.now = state.now.max(key.0);
            if let Some(sleeper) = state.sleepers.remove(&key) {
                let _gone = sleeper.send((state.now, self.activity.begin()));
            }
            true
        })
    }

    /// How much is under way, and for when timers are set.
    fn stuck(&self) -> String {
        let timers = self.with(|state| {
            state.prune();
            state.sleepers.keys().map(|(at, _)| at.to_rfc3339()).collect::<Vec<_>>()
        });
        format!("{:?}; it is {}, timers are set for {timers:?}", self.activity, self.now())
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn look_away(glances: &mut u32) {
    *glances += 1;
    if *glances < GLANCES {
        // The actors are on threads of their own.
        std::thread::yield_now();
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> DateTime<Utc> {
        self.with(|state| state.now)
    }

    fn sleep_until(&self, at: DateTime<Utc>) -> Sleep {
        let (wake, woken) = oneshot::channel();
        let due = self.with(|state| {
            let key = (at, state.next);
            state.next += 1;
            if at <= state.now {
                return Some((wake, state.now));
            }
            state.sleepers.insert(key, wake);
            None
        });
        if let Some((wake, now)) = due {
            let _still_here = wake.send((now, self.activity.begin()));
        }
        Box::pin(async move {
            match woken.await {
                Ok((now, busy)) => PendingWake { now, busy: Some(busy) },
                // The clock is gone, and with it the test.
                Err(_) => std::future::pending().await,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> VirtualClock {
        VirtualClock::new(DateTime::from_timestamp(1_700_000_000, 0).unwrap(), WorkCounter::default())
    }

    #[tokio::test]
    async fn timers_come_due_in_order_and_see_their_own_time() {
        let clock = clock();
        let begun = clock.now();
        let (first, second) = (begun + TimeDelta::hours(1), begun + TimeDelta::hours(2));
        let (later, sooner) = (clock.sleep_until(second), clock.sleep_until(first));
        let later = tokio::spawn(async move { later.await.now });
        let sooner = tokio::spawn(async move { sooner.await.now });
        clock.advance(TimeDelta::days(1)).await;
        assert_eq!((sooner.await.unwrap(), later.await.unwrap()), (first, second));
        assert_eq!(clock.now(), begun + TimeDelta::days(1));
    }

    #[tokio::test]
    async fn the_clock_waits_for_what_a_timer_caused() {
        let clock = clock();
        let end = clock.now() + TimeDelta::hours(1);
        let sleep = clock.sleep_until(end);
        let again = clock.clone();
        let worked = tokio::spawn(async move {
            let tick = sleep.await;
            tokio::task::yield_now().await;
            let next = again.sleep_until(tick.now + TimeDelta::minutes(1));
            drop(tick);
            next.await.now
        });
        clock.advance(TimeDelta::hours(2)).await;
        assert_eq!(worked.await.unwrap(), end + TimeDelta::minutes(1), "the second timer was set in time");
    }

    #[tokio::test]
    async fn a_clock_set_back_keeps_its_timers() {
        let clock = clock();
        let at = clock.now() + TimeDelta::hours(1);
        let sleep = clock.sleep_until(at);
        let woken = tokio::spawn(async move { sleep.await.now });
        clock.step(-TimeDelta::hours(23)).await;
        clock.step(-TimeDelta::hours(1)).await;
        assert_eq!(clock.now(), at - TimeDelta::hours(25));
        clock.advance_to(at).await;
        assert_eq!(woken.await.unwrap(), at);
    }

    /// A thread that sets its next timer as soon as one came due.
    fn works_every(clock: &VirtualClock, pause: TimeDelta) -> std::thread::JoinHandle<Vec<DateTime<Utc>>> {
        let (clock, mut next) = (clock.clone(), clock.sleep_until(clock.now() + pause));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async move {
                let mut seen = Vec::new();
                while seen.len() < 1_000 {
                    let tick = next.await;
                    next = clock.sleep_until(tick.now + pause);
                    seen.push(tick.now);
                }
                seen
            })
        })
    }

    #[tokio::test]
    async fn no_timer_of_many_threads_is_passed_over() {
        let clock = clock();
        let begun = clock.now();
        let pauses = [TimeDelta::seconds(60), TimeDelta::seconds(61)];
        let workers = pauses.map(|pause| works_every(&clock, pause));
        clock.advance(TimeDelta::days(1)).await;
        for (worker, pause) in workers.into_iter().zip(pauses) {
            let expected: Vec<_> = (1..=1_000).map(|nth| begun + pause * nth).collect();
            assert_eq!(worker.join().unwrap(), expected);
        }
    }

    #[test]
    fn what_never_ends_is_named() {
        let clock = clock();
        let _stuck = clock.activity.begin();
        let _sleep = clock.sleep_until(clock.now() + TimeDelta::hours(1));
        let said = clock.stuck();
        assert!(said.contains("busy: 1") && said.contains("2023-11-14T23:13:20"), "{said}");
    }
}

//! Where time, ids and the last resort come from, and what each actor is given of it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler};
use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::{SharedClock, SystemClock};
use crate::health::Pong;
use crate::ids::IdGenerator;
use crate::locked::Locked;
use crate::port::{Port, PortLimits, PortMessage};
use crate::quiescence::WorkCounter;

/// How many restarts a minute are tolerated before the process ends.
const MAX_RESTARTS_A_MINUTE: usize = 3;

/// Called with an actor's name when restarting it no longer helps: the process should end.
pub type GiveUp = Arc<dyn Fn(&str) + Send + Sync>;

/// Where time, ids and the last resort come from: the machine's in production, a test's in tests.
#[derive(Clone)]
pub struct ActorEnvironment {
    /// The clock of all actors.
    pub clock: SharedClock,
    /// The source of ids, secrets and jitter.
    pub ids: IdGenerator,
    /// The work under way in the whole process.
    pub activity: WorkCounter,
    /// Called when an actor can't be kept alive.
    pub give_up: GiveUp,
}

impl ActorEnvironment {
    /// The machine's clock and randomness.
    #[must_use]
    pub fn system(give_up: GiveUp) -> Self {
        Self { clock: Arc::new(SystemClock), ids: IdGenerator::new(), activity: WorkCounter::default(), give_up }
    }

    /// What the actor `name` is given.
    #[must_use]
    pub fn kit(&self, name: &'static str) -> ActorKit {
        ActorKit { name, environment: self.clone(), recent_restarts: Arc::default(), is_restarting: Arc::default() }
    }

    /// A port to an actor with the usual limits.
    #[must_use]
    pub fn port<A, M>(&self, name: &'static str, actor: &Addr<A>) -> Port<M>
    where
        A: Actor + Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: PortMessage,
    {
        Port::new(name, actor.clone().recipient(), PortLimits::USUAL, &self.activity)
    }
}

impl fmt::Debug for ActorEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorEnvironment").field("clock", &self.clock).finish_non_exhaustive()
    }
}

/// What every actor is given: its name, its clock, its ids, and a count of its restarts. Clones share all of it, so
/// that it outlives a restart.
#[derive(Debug, Clone)]
pub struct ActorKit {
    name: &'static str,
    environment: ActorEnvironment,
    recent_restarts: Arc<Locked<VecDeque<DateTime<Utc>>>>,
    is_restarting: Arc<AtomicBool>,
}

impl ActorKit {
    /// The actor's name in logs, metrics and errors.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The clock, for work outside the actor.
    #[must_use]
    pub fn clock(&self) -> &SharedClock {
        &self.environment.clock
    }

    /// The wall clock, UTC.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.environment.clock.now()
    }

    /// The source of ids, secrets and jitter. Clones share one sequence.
    #[must_use]
    pub fn ids(&self) -> IdGenerator {
        self.environment.ids.clone()
    }

    /// A port of the actor to itself, for what it runs beside itself.
    #[must_use]
    pub fn port_to_self<A, M>(&self, actor: &Addr<A>, limits: PortLimits) -> Port<M>
    where
        A: Actor + Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: PortMessage,
    {
        Port::new(self.name, actor.clone().recipient(), limits, self.activity())
    }

    /// Answers a ping.
    #[must_use]
    pub fn pong(&self) -> Pong {
        Pong { restarts: self.recent_restarts.lock().len() }
    }

    /// The actor can't go on: the process ends, and its supervisor starts it again.
    pub fn give_up(&self) {
        log::error!("event=gave_up actor={}", self.name);
        (self.environment.give_up)(self.name);
    }

    pub(crate) fn activity(&self) -> &WorkCounter {
        &self.environment.activity
    }

    /// The next start is a restart; what [`actor!`](crate::actor!) calls.
    #[doc(hidden)]
    pub fn begin_restart(&self) {
        self.is_restarting.store(true, Ordering::Relaxed);
    }

    /// Whether the start that begins now is a restart.
    pub(crate) fn take_restart(&self) -> bool {
        self.is_restarting.swap(false, Ordering::Relaxed)
    }

    /// Counts a restart, and gives up when restarting no longer helps.
    pub(crate) fn count_restart(&self) {
        let now = self.now();
        // A panic while this was locked leaves times, and those are right.
        let mut recent = self.recent_restarts.lock();
        recent.retain(|at| now - *at < TimeDelta::minutes(1));
        recent.push_back(now);
        if recent.len() > MAX_RESTARTS_A_MINUTE {
            self.give_up();
        }
    }
}

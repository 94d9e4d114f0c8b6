//! Panics caught, actors restarted, and the end when that doesn't help.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use actix::{Actor, ActorContext};
use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::SharedClock;
use crate::error::{Code, Error};

/// How many restarts a minute are tolerated before the process gives up.
const RESTARTS_A_MINUTE: usize = 3;

/// Called once when an actor can't be kept alive.
type GiveUp = Arc<dyn Fn(&str) + Send + Sync>;

/// Counts an actor's restarts and decides when restarting no longer helps.
#[derive(Clone)]
pub struct Supervision {
    name: &'static str,
    clock: SharedClock,
    recent: Arc<Mutex<VecDeque<DateTime<Utc>>>>,
    give_up: GiveUp,
}

impl std::fmt::Debug for Supervision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervision").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Supervision {
    /// Supervises the actor `name`; `give_up` is called when it was restarted too often.
    #[must_use]
    pub fn new(name: &'static str, clock: SharedClock, give_up: GiveUp) -> Self {
        Self { name, clock, recent: Arc::default(), give_up }
    }

    /// The actor's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The clock of the actor.
    #[must_use]
    pub fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// Restarts within the last minute.
    #[must_use]
    pub fn restarts(&self) -> usize {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// A handler of the actor panicked.
    pub fn panicked(&self, panic: &(dyn Any + Send)) {
        let why = panic_text(panic);
        log::error!("event=actor_panicked actor={} why={why:?}", self.name);
        let now = self.clock.now();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|at| now - *at < TimeDelta::minutes(1));
        recent.push_back(now);
        if recent.len() > RESTARTS_A_MINUTE {
            self.give_up();
        }
    }

    /// The actor can't go on: the process ends, and whoever runs it starts it again.
    pub fn give_up(&self) {
        log::error!("event=gave_up actor={}", self.name);
        (self.give_up)(self.name);
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// An actor whose handlers are guarded.
pub trait Guarded: Actor<Context = actix::Context<Self>> {
    /// Its supervision.
    fn supervision(&self) -> &Supervision;
}

/// What a handler answers after it panicked.
pub trait AfterPanic {
    /// The answer.
    fn after_panic(actor: &str) -> Self;
}

impl AfterPanic for () {
    fn after_panic(_actor: &str) -> Self {}
}

impl<T> AfterPanic for Result<T, Error> {
    fn after_panic(actor: &str) -> Self {
        Err(Error::new(Code::Internal, format!("{actor} failed and was restarted; see the log")))
    }
}

impl<T: 'static, A: Actor> AfterPanic for actix::ResponseActFuture<A, Result<T, Error>> {
    fn after_panic(actor: &str) -> Self {
        Box::pin(actix::fut::ready(AfterPanic::after_panic(actor)))
    }
}

/// Runs a handler. A panic in it is logged and stops the actor, which its supervisor then restarts with the
/// mailbox kept: actix itself would close the mailbox for ever.
pub fn guarded<A, R>(
    actor: &mut A,
    ctx: &mut A::Context,
    handler: impl FnOnce(&mut A, &mut A::Context) -> R,
) -> R
where
    A: Guarded,
    R: AfterPanic,
{
    match catch_unwind(AssertUnwindSafe(|| handler(actor, ctx))) {
        Ok(answer) => answer,
        Err(panic) => {
            let supervision = actor.supervision();
            supervision.panicked(panic.as_ref());
            let answer = R::after_panic(supervision.name());
            ctx.stop();
            answer
        }
    }
}

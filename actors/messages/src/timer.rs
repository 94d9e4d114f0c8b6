//! One timer of an actor, at the earliest thing that it waits for.

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{AsyncContext, Context, SpawnHandle};
use chrono::{DateTime, Utc};

use crate::clock::{SharedClock, Tick};
use crate::guarded::{Guarded, guarded};

/// An actor that a timer wakes.
pub trait Wakes: Guarded {
    /// The timer came due.
    fn wake(&mut self, tick: Tick, ctx: &mut Context<Self>);
}

/// A timer that is set to one time and moved as that changes.
#[derive(Debug)]
pub struct Timer {
    clock: SharedClock,
    set: Option<(DateTime<Utc>, SpawnHandle)>,
}

impl Timer {
    /// A timer that isn't set.
    #[must_use]
    pub fn new(clock: SharedClock) -> Self {
        Self { clock, set: None }
    }

    /// When it is set to.
    #[must_use]
    pub fn at(&self) -> Option<DateTime<Utc>> {
        self.set.map(|(at, _)| at)
    }

    /// Moves it to `at`, or clears it.
    pub fn set<A: Wakes>(
        &mut self,
        at: Option<DateTime<Utc>>,
        ctx: &mut Context<A>,
        of: fn(&mut A) -> &mut Self,
    ) {
        if self.at() == at {
            return;
        }
        if let Some((_, handle)) = self.set.take() {
            ctx.cancel_future(handle);
        }
        self.set = at.map(|at| {
            let wake = wrap_future::<_, A>(self.clock.sleep_until(at)).map(move |tick, actor, ctx| {
                of(actor).set = None;
                guarded(actor, ctx, |actor, ctx| actor.wake(tick, ctx));
            });
            (at, ctx.spawn(wake))
        });
    }

    /// Moves it to `at` when that is earlier than what it is set to.
    pub fn no_later_than<A: Wakes>(
        &mut self,
        at: DateTime<Utc>,
        ctx: &mut Context<A>,
        of: fn(&mut A) -> &mut Self,
    ) {
        if self.at().is_none_or(|set| at < set) {
            self.set(Some(at), ctx, of);
        }
    }
}

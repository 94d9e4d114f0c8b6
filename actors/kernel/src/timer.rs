//! One timer of an actor, at the earliest thing that it waits for.

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{AsyncContext as _, Context, SpawnHandle};
use chrono::{DateTime, Utc};

use crate::actor::KernelActor;
use crate::fault::ActorCode;
use crate::supervision::run_guarded;

/// A timer that is set to one time and moved as that changes. An actor that restarts begins with a new one.
#[derive(Debug, Default)]
pub struct Timer {
    set: Option<(DateTime<Utc>, SpawnHandle)>,
}

impl Timer {
    /// When it is set to.
    #[must_use]
    pub fn at(&self) -> Option<DateTime<Utc>> {
        self.set.map(|(at, _)| at)
    }
}

/// An actor that a timer wakes.
pub trait WakeUp: KernelActor {
    /// Its one timer.
    fn timer(&mut self) -> &mut Timer;

    /// The timer came due. `now` is the time that counts for everything done because of it.
    fn wake(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>);

    /// Moves the timer to `at`, or clears it.
    #[expect(clippy::disallowed_methods, reason = "what it spawns is guarded")]
    fn wake_at(&mut self, at: Option<DateTime<Utc>>, ctx: &mut Context<Self>) {
        // Actors move it after every message, mostly to where it is.
        if self.timer().at() == at {
            return;
        }
        if let Some((_, handle)) = self.timer().set.take() {
            ctx.cancel_future(handle);
        }
        let Some(at) = at else { return };
        let sleep = self.kit().clock().sleep_until(at);
        let wake = wrap_future::<_, Self>(sleep).map(|tick, actor, ctx| {
            // First, since `wake` may set it anew.
            actor.timer().set = None;
            run_guarded(ActorCode::Continuation, actor, ctx, |actor, ctx| actor.wake(tick.now, ctx));
            // What it began counts as work under way by now.
            drop(tick);
        });
        self.timer().set = Some((at, ctx.spawn(wake)));
    }

    /// Moves the timer to `at` when that is earlier than what it is set to.
    fn wake_no_later_than(&mut self, at: DateTime<Utc>, ctx: &mut Context<Self>) {
        if self.timer().at().is_none_or(|set| at < set) {
            self.wake_at(Some(at), ctx);
        }
    }
}

//! What makes a type an actor.

/// Implements actix's `Actor` and `Supervised`, [`KernelActor`](crate::KernelActor) and, for an actor with a field
/// `timer`, [`WakeUp`](crate::WakeUp). The keys stand in this order, all but the first two are optional:
///
/// - `kit`: the field with the [`ActorKit`](crate::ActorKit), as `deps.kit`;
/// - `mailbox`: how many messages may wait;
/// - `start`: the method that begins work, also after a restart;
/// - `restart`: the method, without arguments, that forgets before a restart what the actor reads or does again;
/// - `wake`: the method for which the timer is set; a restart clears the timer;
/// - `before_pong`: the method that a ping makes sure of.
///
/// All of them run guarded: after a panic the actor restarts with its mailbox kept.
///
/// A method is `fn(&mut self, ctx: &mut Context<Self>)`, or `fn(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>)`
/// where it is given as `method(now)`.
#[macro_export]
macro_rules! actor {
    ($actor:ty {
        kit: $($kit:ident).+,
        mailbox: $mailbox:expr
        $(, start: $start:ident $(($start_now:ident))?)?
        $(, restart: $restart:ident)?
        $(, wake: $wake:ident $(($wake_now:ident))?)?
        $(, before_pong: $before_pong:ident $(($pong_now:ident))?)?
        $(,)?
    }) => {
        impl $crate::macros::actix::Actor for $actor {
            type Context = $crate::macros::actix::Context<Self>;

            fn started(&mut self, ctx: &mut Self::Context) {
                // 16 unless set, and what the ports let through must fit in.
                ctx.set_mailbox_capacity($mailbox);
                $crate::start_guarded(self, ctx, |_actor, _ctx, _is_restart| {
                    if _is_restart {
                        $($crate::actor!(@clear_timer _actor $wake);)?
                        $(_actor.$restart();)?
                    }
                    $(
                        $(let $start_now = $crate::KernelActor::now(_actor);)?
                        _actor.$start($($start_now,)? _ctx);
                    )?
                });
            }
        }

        impl $crate::macros::actix::Supervised for $actor {
            fn restarting(&mut self, _: &mut Self::Context) {
                // No more: `started` comes next, and a panic here can't keep it from coming.
                $crate::KernelActor::kit(self).begin_restart();
            }
        }

        impl $crate::KernelActor for $actor {
            fn kit(&self) -> &$crate::ActorKit {
                &self.$($kit).+
            }

            $(fn before_pong(&mut self, ctx: &mut Self::Context) {
                $(let $pong_now = $crate::KernelActor::now(self);)?
                self.$before_pong($($pong_now,)? ctx);
            })?
        }

        $(impl $crate::WakeUp for $actor {
            fn timer(&mut self) -> &mut $crate::Timer {
                &mut self.timer
            }

            fn wake(
                &mut self,
                _at: $crate::macros::chrono::DateTime<$crate::macros::chrono::Utc>,
                ctx: &mut Self::Context,
            ) {
                $(let $wake_now = _at;)?
                self.$wake($($wake_now,)? ctx);
            }
        })?
    };
    (@clear_timer $self:ident $wake:ident) => {
        // Its future is gone with the old context: what it says of being set is no longer true.
        $self.timer = $crate::Timer::default();
    };
}

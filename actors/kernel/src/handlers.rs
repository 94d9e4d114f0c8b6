//! The list of what an actor answers.

/// Implements the handlers of an actor: `Message => method`, and `async Message => method` where the method returns a
/// [`Reply`](crate::Reply). `Message => method: Answer` is for an answer with a response type of its own.
///
/// Each method is `fn(&mut self, message, ctx: &mut Context<Self>) -> answer` and runs [guarded](crate::guarded).
/// [`Ping`](crate::Ping) is answered by itself. One list per actor.
#[macro_export]
macro_rules! handlers {
    ($actor:ty { $($list:tt)* }) => {
        $crate::handlers!(@each $actor; $($list)*);

        // In the same mailbox as all else: an actor that hangs must not answer.
        impl $crate::macros::actix::Handler<$crate::Ping> for $actor {
            type Result = $crate::Result<$crate::Pong>;

            fn handle(&mut self, _: $crate::Ping, ctx: &mut Self::Context) -> Self::Result {
                $crate::guarded(self, ctx, |actor, ctx| {
                    $crate::KernelActor::before_pong(actor, ctx);
                    Ok($crate::KernelActor::kit(actor).pong())
                })
            }
        }
    };
    (@each $actor:ty; ) => {};
    (@each $actor:ty; async $message:ty => $method:ident $(, $($rest:tt)*)?) => {
        $crate::handlers!(@one $actor, $message, $method,
            $crate::macros::actix::ResponseActFuture<$actor, <$message as $crate::macros::actix::Message>::Result>);
        $crate::handlers!(@each $actor; $($($rest)*)?);
    };
    (@each $actor:ty; $message:ty => $method:ident : $answer:ty $(, $($rest:tt)*)?) => {
        $crate::handlers!(@one $actor, $message, $method, $answer);
        $crate::handlers!(@each $actor; $($($rest)*)?);
    };
    (@each $actor:ty; $message:ty => $method:ident $(, $($rest:tt)*)?) => {
        $crate::handlers!(@one $actor, $message, $method,
            <$message as $crate::macros::actix::Message>::Result);
        $crate::handlers!(@each $actor; $($($rest)*)?);
    };
    (@one $actor:ty, $message:ty, $method:ident, $answer:ty) => {
        impl $crate::macros::actix::Handler<$message> for $actor {
            type Result = $answer;

            fn handle(&mut self, message: $message, ctx: &mut Self::Context) -> $answer {
                $crate::guarded(self, ctx, |actor, ctx| actor.$method(message, ctx))
            }
        }
    };
}

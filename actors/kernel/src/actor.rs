//! The one shape of an actor: what it is given, and how it calls others.

use std::panic::{AssertUnwindSafe, resume_unwind};

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{Actor, AsyncContext as _, Context, ResponseActFuture};
use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;

use crate::environment::ActorKit;
use crate::error::Result;
use crate::fault::ActorCode;
use crate::supervision::{AfterPanic, run_guarded};

/// What an asynchronous handler returns: the answer comes when a future of the actor has ended.
pub type Reply<A, T> = ResponseActFuture<A, Result<T>>;

/// An actor of flowlord, made one by [`actor!`](crate::actor!). Its handlers are listed by
/// [`handlers!`](crate::handlers), and it calls others by [`ask`](Self::ask); so no code of it runs unguarded.
pub trait KernelActor: Actor<Context = Context<Self>> {
    /// What it was given at its start.
    fn kit(&self) -> &ActorKit;

    /// The wall clock, UTC.
    fn now(&self) -> DateTime<Utc> {
        self.kit().now()
    }

    /// Does what a ping should make sure of, before it is answered.
    fn before_pong(&mut self, _ctx: &mut Context<Self>) {}

    /// Waits for `asked`, then goes on with its answer. The actor handles other messages meanwhile; what was asked is
    /// forgotten when the actor restarts.
    ///
    /// It counts as work under way until `go_on` has returned.
    fn ask<T: 'static>(
        &self,
        ctx: &mut Context<Self>,
        asked: impl Future<Output = T> + 'static,
        go_on: impl FnOnce(&mut Self, T, &mut Context<Self>) + 'static,
    ) {
        // Begun now, not when the future is polled first: nothing may look idle in between.
        let busy = self.kit().activity().begin();
        self.follow(ctx, asked, move |actor, answer, ctx| {
            go_on(actor, answer, ctx);
            // What `go_on` began counts by itself now.
            drop(busy);
        });
    }

    /// Like [`ask`](Self::ask) for what may last for days, as a connection does: it doesn't count as work under way.
    #[expect(clippy::disallowed_methods, reason = "the one place that guards what a future goes on with")]
    fn follow<T: 'static>(
        &self,
        ctx: &mut Context<Self>,
        followed: impl Future<Output = T> + 'static,
        go_on: impl FnOnce(&mut Self, T, &mut Context<Self>) + 'static,
    ) {
        ctx.spawn(wrap_future::<_, Self>(catch_panic(followed)).map(move |answer, actor, ctx| {
            run_guarded(ActorCode::Continuation, actor, ctx, |actor, ctx| go_on(actor, answer(), ctx));
        }));
    }

    /// The reply of an asynchronous handler: waits for `asked`, and makes the answer of it. After a panic the caller is
    /// answered by an error.
    fn reply_after<T: 'static, R: 'static>(
        &self,
        asked: impl Future<Output = T> + 'static,
        answer: impl FnOnce(&mut Self, T, &mut Context<Self>) -> Result<R> + 'static,
    ) -> Reply<Self, R>
    where
        Result<R>: AfterPanic,
    {
        Box::pin(wrap_future::<_, Self>(catch_panic(asked)).map(move |asked, actor, ctx| {
            run_guarded(ActorCode::Continuation, actor, ctx, |actor, ctx| answer(actor, asked(), ctx))
        }))
    }
}

/// What a future of an actor leaves: its answer, or the panic that ended it, which goes on where the answer is taken.
async fn catch_panic<T>(future: impl Future<Output = T>) -> impl FnOnce() -> T {
    // Caught here, since a panic that unwinds through actix closes the mailbox for ever; where it goes on it is guarded.
    let left = AssertUnwindSafe(future).catch_unwind().await;
    move || left.unwrap_or_else(|panic| resume_unwind(panic))
}

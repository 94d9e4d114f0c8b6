//! Panics caught, actors restarted, and the end when that doesn't help.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{Actor, ActorContext as _, AsyncContext as _, Context, ResponseActFuture};

use crate::actor::KernelActor;
use crate::environment::ActorKit;
use crate::error::{Code, Error};
use crate::fault::{ActorCode, panic_if_planned};

/// How long an actor rests whose start panicked. Its supervisor starts it again at once, and a start that panics each
/// time would keep the thread, which other actors share.
const PAUSE_AFTER_START: Duration = Duration::from_millis(250);

/// What a caller is answered by a handler that panicked.
pub trait AfterPanic {
    /// The answer in the name of `actor`.
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

impl<T: 'static, A: Actor> AfterPanic for ResponseActFuture<A, Result<T, Error>> {
    fn after_panic(actor: &str) -> Self {
        Box::pin(actix::fut::ready(AfterPanic::after_panic(actor)))
    }
}

/// Runs code of an actor. A panic in it is logged and stops the actor, which its supervisor then restarts with the
/// mailbox kept: actix itself would close the mailbox for ever.
///
/// Handlers and continuations are guarded already; see [`handlers!`](crate::handlers) and [`KernelActor::ask`].
pub fn guarded<A, R>(actor: &mut A, ctx: &mut Context<A>, code: impl FnOnce(&mut A, &mut Context<A>) -> R) -> R
where
    A: KernelActor,
    R: AfterPanic,
{
    run_guarded(ActorCode::Handler, actor, ctx, code)
}

/// Like [`guarded`], for code of either kind.
pub(crate) fn run_guarded<A, R>(
    kind: ActorCode,
    actor: &mut A,
    ctx: &mut Context<A>,
    code: impl FnOnce(&mut A, &mut Context<A>) -> R,
) -> R
where
    A: KernelActor,
    R: AfterPanic,
{
    // The state may be half changed after a panic; that is why the actor restarts, and forgets it.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        panic_if_planned(actor.kit(), kind);
        code(actor, ctx)
    }));
    match outcome {
        Ok(answer) => answer,
        Err(panic) => {
            note_panic(actor.kit(), panic.as_ref());
            let answer = R::after_panic(actor.kit().name());
            // Its supervisor starts it again with the mailbox that it had: what waits there isn't lost.
            ctx.stop();
            answer
        }
    }
}

/// Runs what begins the work of an actor; `start` is also given whether it is a restart. After a panic the mailbox
/// waits for a moment, then the actor restarts like after any other panic.
///
/// [`actor!`](crate::actor!) calls it.
#[expect(clippy::disallowed_methods, reason = "what waits ends the actor and runs no code of it")]
pub fn start_guarded<A: KernelActor>(
    actor: &mut A,
    ctx: &mut Context<A>,
    start: impl FnOnce(&mut A, &mut Context<A>, bool),
) {
    let is_restart = actor.kit().take_restart();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        panic_if_planned(actor.kit(), ActorCode::Start);
        start(actor, ctx, is_restart);
    }));
    if let Err(panic) = outcome {
        note_panic(actor.kit(), panic.as_ref());
        let busy = actor.kit().activity().begin();
        // By the machine's clock: no message is handled meanwhile, and a test's clock waits until all are.
        let pause = wrap_future::<_, A>(tokio::time::sleep(PAUSE_AFTER_START));
        ctx.wait(pause.map(move |(), _, ctx| {
            ctx.stop();
            drop(busy);
        }));
    }
}

fn note_panic(kit: &ActorKit, panic: &(dyn Any + Send)) {
    log::error!("event=actor_panicked actor={} why={:?}", kit.name(), panic_text(panic));
    kit.count_restart();
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    // A `panic!` with arguments carries a `String`, one without a `&str`.
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

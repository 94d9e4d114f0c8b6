//! On a follower, one actor stands in for all that only the leader runs.

use actix::{Addr, ArbiterHandle, Handler, Message, Supervisor};
use flowlord_kernel::{ActorKit, Code, Error, Result, actor, guarded};

/// Answers every call with `not_leader`.
pub struct StandIn {
    kit: ActorKit,
}

impl StandIn {
    pub fn start(arbiter: &ArbiterHandle, kit: ActorKit) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self { kit })
    }
}

impl<M, T> Handler<M> for StandIn
where
    M: Message<Result = Result<T>>,
    T: 'static,
{
    type Result = Result<T>;

    fn handle(&mut self, _: M, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |_, _| {
            Err(Error::new(Code::NotLeader, "this node follows: ask the leader; nothing of this was stored"))
        })
    }
}

actor!(StandIn { kit: kit, mailbox: 8192 });

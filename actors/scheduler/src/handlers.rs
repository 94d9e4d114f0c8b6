//! What the scheduler answers and hears.

use std::sync::Arc;

use actix::fut::wrap_future;
use actix::{Handler, ResponseActFuture};
use flowlord_messages::health::Pong;
use flowlord_messages::hint::TasksDelayed;
use flowlord_messages::library::WorkflowsChanged;
use flowlord_messages::scheduler::{NextRuns, PhaseTimes, StopScheduling};
use flowlord_messages::{Ping, Result, guarded};
use tokio::sync::oneshot;

use crate::Scheduler;

impl Handler<WorkflowsChanged> for Scheduler {
    type Result = ();

    fn handle(&mut self, WorkflowsChanged { workflows }: WorkflowsChanged, ctx: &mut Self::Context) {
        guarded(self, ctx, |this, ctx| {
            let now = this.deps.clock.now();
            let same = this.workflows.as_ref().is_some_and(|known| Arc::ptr_eq(known, &workflows));
            if this.ready && !same {
                // What is due by the old plan is due.
                this.run(now, ctx);
                this.plan.replace(&workflows, now);
                this.save_crons(ctx);
            }
            this.workflows = Some(workflows);
            this.run(now, ctx);
        });
    }
}

impl Handler<TasksDelayed> for Scheduler {
    type Result = ();

    fn handle(&mut self, hint: TasksDelayed, ctx: &mut Self::Context) {
        guarded(self, ctx, |this, ctx| {
            this.delayed.no_later_than(Some(hint.due));
            this.run(this.deps.clock.now(), ctx);
        });
    }
}

impl Handler<NextRuns> for Scheduler {
    type Result = Result<Vec<PhaseTimes>>;

    fn handle(&mut self, _: NextRuns, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |this, _| Ok(this.plan.times()))
    }
}

impl Handler<StopScheduling> for Scheduler {
    type Result = ResponseActFuture<Self, Result<()>>;

    fn handle(&mut self, _: StopScheduling, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |this, ctx| -> ResponseActFuture<Self, Result<()>> {
            let now = this.deps.clock.now();
            let (done, stopped) = oneshot::channel();
            if this.stopping.is_none() {
                // What came due before the end still starts, and what failed has one more try.
                this.run(now, ctx);
                this.lines.wake();
            }
            this.stopping.get_or_insert_default().push(done);
            this.run(now, ctx);
            // A dropped sender is a restart: nothing is under way then.
            Box::pin(wrap_future(async move {
                let _stopped = stopped.await;
                Ok(())
            }))
        })
    }
}

impl Handler<Ping> for Scheduler {
    type Result = Result<Pong>;

    fn handle(&mut self, _: Ping, ctx: &mut Self::Context) -> Result<Pong> {
        guarded(self, ctx, |this, ctx| {
            // After the clock was set back the timer may be far away.
            this.run(this.deps.clock.now(), ctx);
            Ok(Pong { restarts: this.deps.supervision.restarts() })
        })
    }
}

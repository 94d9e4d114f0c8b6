//! What the scheduler answers and hears.

use std::sync::Arc;

use actix::fut::{ActorFutureExt as _, ready, wrap_future};
use actix::{Context, Handler, ResponseActFuture};
use chrono::{DateTime, Utc};
use flowlord_kernel::Pong;
use flowlord_kernel::{Code, Error, Ping, Result, guarded};
use flowlord_messages::hint::TasksDelayed;
use flowlord_messages::library::WorkflowsChanged;
use flowlord_messages::scheduler::{NextRuns, PausePhase, PhaseTimes, StopScheduling};
use flowlord_messages::write::SetPaused;
use tokio::sync::oneshot;

use crate::Scheduler;
use crate::plan::{Due, Name};

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

impl Handler<PausePhase> for Scheduler {
    type Result = ResponseActFuture<Self, Result<Option<DateTime<Utc>>>>;

    fn handle(&mut self, ask: PausePhase, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |this, ctx| -> Self::Result {
            let PausePhase { workflow, task, paused } = ask;
            let name = Name { workflow, task };
            if let Err(err) = this.may_pause(&name) {
                return Box::pin(ready(Err(err)));
            }
            let now = this.deps.clock.now();
            // What came due before it is no part of a pause.
            this.run(now, ctx);
            let (workflow, task) = (name.workflow.clone(), name.task.clone());
            let set = this.deps.pause.call(SetPaused { now, workflow, task, paused });
            Box::pin(wrap_future::<_, Self>(set).map(move |set, this, ctx| {
                guarded(this, ctx, |this, ctx| {
                    let since = set?;
                    this.paused(name, since, ctx);
                    Ok(since)
                })
            }))
        })
    }
}

impl Scheduler {
    fn may_pause(&self, name: &Name) -> Result<()> {
        let Some(workflows) = self.workflows.as_ref().filter(|_| self.ready) else {
            return Err(Error::new(Code::Busy, "the scheduler is starting; ask again"));
        };
        // One that left while it was paused can still go on.
        if workflows.phase(&name.workflow, &name.task).is_some() || self.plan.is_paused(name) {
            return Ok(());
        }
        let detail = match workflows.file(&name.workflow) {
            Some(_) => format!("`{}` has no phase `{}`", name.workflow, name.task),
            None => format!("there is no workflow file `{}`", name.workflow),
        };
        Err(Error::new(Code::WorkflowUnknown, format!("{detail}; GET /api/v1/workflows lists them")))
    }

    fn paused(&mut self, name: Name, since: Option<DateTime<Utc>>, ctx: &mut Context<Self>) {
        let now = self.deps.clock.now();
        let (workflow, task) = (&name.workflow, &name.task);
        match since {
            Some(_) => {
                log::info!("event=phase_paused workflow={workflow:?} task={task:?}");
                self.plan.pause(name);
            }
            None => {
                log::info!("event=phase_resumed workflow={workflow:?} task={task:?}");
                if let Some(gap) = self.plan.go_on_with(&name, now) {
                    self.lines.add(Due::Gap(gap));
                }
            }
        }
        self.run(now, ctx);
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

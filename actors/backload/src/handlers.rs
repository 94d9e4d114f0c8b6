//! What others ask of it.

use std::sync::Arc;

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{Context, Handler, ResponseActFuture, ResponseFuture};
use flowlord_kernel::Pong;
use flowlord_kernel::{Code, Error, Ping, Result, guarded};
use flowlord_messages::backload::{
    BackloadState, ChangeBackload, ExecuteBackload, Finished, MAX_WAITED, PlanBackload, Planned,
    SaveBackload, SetBackloadState, Started, StopBackload, StoredBackload,
};
use tokio::sync::oneshot;

use crate::{Backload, Run, Waiter, plan};

/// How many tasks one backload may have.
const MAX_TASKS: usize = 10_000_000;

impl Handler<PlanBackload> for Backload {
    type Result = ResponseFuture<Result<Arc<Planned>>>;

    fn handle(&mut self, ask: PlanBackload, _: &mut Self::Context) -> Self::Result {
        let deps = self.deps.clone();
        Box::pin(async move { plan::plan(&deps, &ask.request).await })
    }
}

impl Handler<ExecuteBackload> for Backload {
    type Result = ResponseActFuture<Self, Result<Started>>;

    fn handle(&mut self, ask: ExecuteBackload, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |this, _| -> ResponseActFuture<Self, Result<Started>> {
            let save = match this.to_save(&ask.planned) {
                Ok(save) => this.deps.save.call(save),
                Err(err) => return Box::pin(actix::fut::ready(Err(err))),
            };
            Box::pin(wrap_future::<_, Self>(save).map(move |saved, this, ctx| {
                guarded(this, ctx, |this, ctx| saved.map(|id| this.begin(id, &ask, ctx)))
            }))
        })
    }
}

impl Backload {
    fn to_save(&self, planned: &Planned) -> Result<SaveBackload> {
        let (plan, total) = (&planned.plan, planned.plan.count());
        if self.stopping.is_some() {
            return Err(Error::new(Code::Stopping, "the service is stopping and begins nothing more"));
        }
        if total > MAX_TASKS {
            let detail =
                format!("these are {total} tasks, at most {MAX_TASKS} go at once: ask for a shorter range");
            return Err(Error::new(Code::InvalidRequest, detail));
        }
        let order = serde_json::to_string(plan.order())
            .map_err(|err| Error::new(Code::Internal, format!("the order can't be written: {err}")))?;
        let (message, digest) = (planned.message.clone(), plan.digest());
        Ok(SaveBackload { now: self.deps.clock.now(), order, message, digest, total })
    }

    fn begin(&mut self, id: i64, ask: &ExecuteBackload, ctx: &mut Context<Self>) -> Started {
        let plan = Arc::new(ask.planned.plan.clone());
        log::info!("event=backload_started id={id} total={}", plan.count());
        let (reply, done) = oneshot::channel();
        let done = (ask.wait && plan.count() <= MAX_WAITED).then_some(done);
        let mut run = Run::new(id, plan, 0);
        run.waiter = done.is_some().then(|| Waiter { reply, finished: Finished::default(), size: 0 });
        match run.waiter.take_if(|_| run.plan.count() == 0) {
            Some(waiter) => waiter.answer(None),
            None if run.plan.count() == 0 => {}
            None => self.add(run, ctx),
        }
        Started { id, done }
    }
}

impl Handler<ChangeBackload> for Backload {
    type Result = ResponseActFuture<Self, Result<StoredBackload>>;

    fn handle(&mut self, ChangeBackload { id, to }: ChangeBackload, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |this, _| -> ResponseActFuture<Self, Result<StoredBackload>> {
            let now = this.deps.clock.now();
            let set = this.deps.set.call(SetBackloadState { now, id, state: to, problem: String::new() });
            Box::pin(wrap_future::<_, Self>(set).map(move |set, this, ctx| {
                guarded(this, ctx, |this, ctx| {
                    let stored = set?;
                    log::info!("event=backload_changed id={id} state={}", stored.state.as_str());
                    if stored.state == BackloadState::Running {
                        this.load(stored.clone(), ctx);
                    } else {
                        // One whose chunk is being stored finds out by the next one.
                        this.drop_run(id);
                    }
                    Ok(stored)
                })
            }))
        })
    }
}

impl Backload {
    fn drop_run(&mut self, id: i64) {
        let Some(at) = self.runs.iter().position(|run| run.id == id) else { return };
        if let Some(mut run) = self.runs.remove(at) {
            run.let_go("it was paused or cancelled meanwhile");
        }
    }
}

impl Handler<StopBackload> for Backload {
    type Result = ResponseFuture<Result<()>>;

    fn handle(&mut self, _: StopBackload, ctx: &mut Self::Context) -> Self::Result {
        let (reply, idle) = oneshot::channel();
        guarded(self, ctx, |this, ctx| {
            this.timer.set(None, ctx, |this| &mut this.timer);
            let waiting = this.stopping.get_or_insert_default();
            // Answered once the chunk under way is stored; at once, by being dropped, when there is none.
            if this.storing {
                waiting.push(reply);
            }
        });
        Box::pin(async move {
            let _dropped_is_idle = idle.await;
            Ok(())
        })
    }
}

impl Handler<Ping> for Backload {
    type Result = Result<Pong>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Result<Pong> {
        Ok(Pong { restarts: self.deps.supervision.restarts() })
    }
}

//! The backload actor: fills stretches of history, a chunk of tasks after the other, at lower priority than the
//! tasks of the day.
//!
//! How far each backload got is a row that moves on together with the tasks of a chunk, so that a restart goes on
//! where the last chunk ended. Chunks of several backloads take turns; those that somebody waits for come first.

mod chunk;
mod plan;
mod run;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use actix::{Addr, ArbiterHandle, Context, Supervisor};
use chrono::TimeDelta;
use flowlord_kernel::{Code, Error, KernelActor, Reply, Result, Timer, WakeUp, actor, handlers};
use flowlord_messages::backloads::{
    BackloadState, ChangeBackload, EndBackloadTasks, ExecuteBackload, MAX_AWAITED_TASKS, MAX_UNFINISHED_BACKLOADS,
    PlanBackload, PlannedBackload, ReadBackload, ReadBackloads, SaveBackload, SetBackloadState, StartedBackload,
    StopBackloads, StoredBackload,
};
use flowlord_messages::deps::WorkflowDeps;
use tokio::sync::oneshot;

use crate::chunk::{ChunkOutcome, store_chunk};
use crate::run::{BackloadRun, BackloadWaiter};

const MAX_TASKS: usize = 10_000_000;

/// How many tasks of a cancelled backload end in one command.
const ENDED_AT_ONCE: usize = 500;

/// When to check again whether the queue of a backload has room, and to read again what couldn't be read.
const RETRY_DELAY: TimeDelta = TimeDelta::seconds(5);

/// The longest pause after a chunk that could not be stored.
const MAX_FAILURE_PAUSE: TimeDelta = TimeDelta::seconds(60);

#[derive(Debug, Clone)]
pub struct Config {
    pub host: String,
}

#[derive(Debug)]
pub struct Backload {
    config: Config,
    deps: WorkflowDeps,
    timer: Timer,
    /// Those that wait for their turn; one whose chunk is being stored isn't in here.
    runs: VecDeque<BackloadRun>,
    /// A chunk is being stored.
    is_storing: bool,
    /// What ran before the start is still to be read.
    is_unread: bool,
    /// Nothing more is to begin; who is answered once nothing is under way.
    stopping: Option<Vec<oneshot::Sender<()>>>,
}

impl Backload {
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: WorkflowDeps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::default(),
            config,
            deps,
            runs: VecDeque::new(),
            is_storing: false,
            is_unread: true,
            stopping: None,
        })
    }

    /// Reads what ran before the start.
    fn read_running(&mut self, ctx: &mut Context<Self>) {
        let list = ReadBackloads { running: true, after: None, limit: MAX_UNFINISHED_BACKLOADS };
        self.ask(ctx, self.deps.reader.call(list), |this, read, ctx| match read {
            Ok(stored) => {
                this.is_unread = false;
                // Oldest first, as they were asked for.
                stored.into_iter().rev().for_each(|stored| this.load_stored(stored, ctx));
            }
            Err(err) => {
                log::error!("event=backloads_not_read error={err:?}");
                this.read_again_later(ctx);
            }
        });
    }

    fn read_again_later(&mut self, ctx: &mut Context<Self>) {
        self.is_unread = true;
        let again = self.now() + RETRY_DELAY;
        self.wake_no_later_than(again, ctx);
    }

    /// Plans a stored backload anew, and goes on with it.
    fn load_stored(&mut self, stored: StoredBackload, ctx: &mut Context<Self>) {
        let deps = self.deps.clone();
        let load = async move {
            let loaded = plan::plan_stored(&deps, &stored).await;
            (stored, loaded)
        };
        self.ask(ctx, load, |this, (stored, loaded), ctx| match loaded {
            Ok(plan) => this.add_run(BackloadRun::new(stored.id, Arc::new(plan), stored.next), ctx),
            Err(err) if err.code == Code::InvalidRequest => this.pause_broken(stored.id, err.detail, ctx),
            Err(err) => {
                // The library or the database don't answer now: all is read again.
                log::warn!("event=backload_not_loaded id={} error={err:?}", stored.id);
                this.read_again_later(ctx);
            }
        });
    }

    fn pause_broken(&mut self, id: i64, problem: String, ctx: &mut Context<Self>) {
        // Paused, not cancelled: a person decides what becomes of it.
        log::error!("event=backload_paused id={id} problem={problem:?}");
        let pause = SetBackloadState { now: self.now(), id, state: BackloadState::Paused, problem };
        self.ask(ctx, self.deps.writer.call(pause), move |_, paused, _| {
            if let Err(err) = paused {
                log::error!("event=backload_not_paused id={id} error={err:?}");
            }
        });
    }

    fn add_run(&mut self, run: BackloadRun, ctx: &mut Context<Self>) {
        match self.runs.iter_mut().find(|known| known.id == run.id) {
            // Loaded twice, as when it is resumed while all are read again: the one that got further counts.
            Some(known) if known.next >= run.next => {}
            Some(known) => *known = run,
            None => self.runs.push_back(run),
        }
        self.start_chunk(ctx);
    }

    /// Begins the next chunk, unless one is under way or all have to wait.
    fn start_chunk(&mut self, ctx: &mut Context<Self>) {
        if self.is_storing || self.stopping.is_some() {
            return;
        }
        let now = self.now();
        // Somebody waits for the answer of an HTTP request: the others may take longer.
        let awaited = self.runs.iter().position(|run| run.waiter.is_some() && run.is_due(now));
        let due = awaited.or_else(|| self.runs.iter().position(|run| run.is_due(now)));
        let Some(run) = due.and_then(|at| self.runs.remove(at)) else {
            if let Some(at) = self.runs.iter().filter_map(|run| run.not_before).min() {
                self.wake_no_later_than(at, ctx);
            }
            return;
        };
        self.is_storing = true;
        let (deps, host) = (self.deps.clone(), self.config.host.clone());
        let chunk = async move {
            let is_awaited = run.waiter.is_some();
            let outcome = store_chunk(&deps, &host, &run.plan, run.id, run.next, is_awaited).await;
            (run, outcome)
        };
        self.ask(ctx, chunk, |this, (run, outcome), ctx| {
            this.is_storing = false;
            this.end_chunk(run, outcome, ctx);
        });
    }

    fn end_chunk(&mut self, mut run: BackloadRun, outcome: Result<ChunkOutcome>, ctx: &mut Context<Self>) {
        // A stop waits for this chunk only: the next one doesn't begin any more.
        self.stopping.iter_mut().for_each(Vec::clear);
        let now = self.now();
        run.not_before = None;
        match outcome {
            Ok(ChunkOutcome::Stored(stored)) => {
                let rate = run.plan.order().creation_rate();
                run.not_before = rate.map(|rate| now + rate.pause_after(stored.tasks.len()));
                run.advance(stored);
                if run.next >= run.plan.count() {
                    log::info!("event=backload_done id={} total={}", run.id, run.plan.count());
                    if let Some(waiter) = run.waiter {
                        waiter.answer(None);
                    }
                    return self.start_chunk(ctx);
                }
            }
            Ok(ChunkOutcome::NoRoom) => run.not_before = Some(now + RETRY_DELAY),
            // The chunk was refused: the row moved on without this run.
            Err(err) if err.code == Code::BackloadState => {
                run.dismiss_waiter("it was paused or cancelled meanwhile");
                return self.reload_run(run.id, ctx);
            }
            Err(err) => {
                log::warn!("event=backload_chunk_not_stored id={} next={} error={err:?}", run.id, run.next);
                run.dismiss_waiter(&err.detail);
                run.failures = run.failures.saturating_add(1);
                // Ten doublings are far beyond the longest pause; many more would overflow.
                let pause = TimeDelta::seconds(1 << run.failures.min(10)).min(MAX_FAILURE_PAUSE);
                run.not_before = Some(now + pause);
            }
        }
        self.add_run(run, ctx);
    }

    /// Reads how far a backload got that isn't where it was expected, and goes on from there if it runs.
    fn reload_run(&mut self, id: i64, ctx: &mut Context<Self>) {
        self.ask(ctx, self.deps.reader.call(ReadBackload { id }), move |this, read, ctx| match read {
            Ok(Some((stored, _))) if stored.state == BackloadState::Running => this.load_stored(stored, ctx),
            Ok(_) => {}
            Err(err) => {
                log::error!("event=backload_not_read id={id} error={err:?}");
                this.read_again_later(ctx);
            }
        });
        self.start_chunk(ctx);
    }

    fn plan_request(&mut self, ask: PlanBackload, _: &mut Context<Self>) -> Reply<Self, Arc<PlannedBackload>> {
        let deps = self.deps.clone();
        let plan = async move { plan::plan_request(&deps, &ask.request).await };
        self.reply_after(plan, |_, planned, _| planned)
    }

    fn execute_plan(&mut self, ask: ExecuteBackload, _: &mut Context<Self>) -> Reply<Self, StartedBackload> {
        match self.make_save(&ask.planned) {
            Ok(save) => self.reply_after(self.deps.writer.call(save), move |this, saved, ctx| {
                saved.map(|id| this.begin_run(id, &ask, ctx))
            }),
            Err(err) => Box::pin(actix::fut::ready(Err(err))),
        }
    }

    fn make_save(&self, planned: &PlannedBackload) -> Result<SaveBackload> {
        let (plan, total) = (&planned.plan, planned.plan.count());
        if self.stopping.is_some() {
            return Err(Error::new(Code::Stopping, "the service is stopping and starts no more backloads"));
        }
        if total > MAX_TASKS {
            let detail =
                format!("these are {total} tasks, and at most {MAX_TASKS} are allowed: choose a shorter range");
            return Err(Error::new(Code::InvalidRequest, detail));
        }
        let order = serde_json::to_string(plan.order())
            .map_err(|err| Error::new(Code::Internal, format!("the request can't be stored: {err}")))?;
        let (message, digest) = (planned.message.clone(), plan.digest_of_rows());
        Ok(SaveBackload { now: self.now(), order, message, digest, total })
    }

    fn begin_run(&mut self, id: i64, ask: &ExecuteBackload, ctx: &mut Context<Self>) -> StartedBackload {
        let plan = Arc::new(ask.planned.plan.clone());
        let total = plan.count();
        log::info!("event=backload_started id={id} total={total}");
        let (reply, done) = oneshot::channel();
        let waiter = (ask.wait && total <= MAX_AWAITED_TASKS).then(|| BackloadWaiter::new(reply));
        let done = waiter.is_some().then_some(done);
        match waiter {
            waiter if total > 0 => self.add_run(BackloadRun { waiter, ..BackloadRun::new(id, plan, 0) }, ctx),
            Some(waiter) => waiter.answer(None),
            None => {}
        }
        StartedBackload { id, done }
    }

    fn change_state(&mut self, change: ChangeBackload, _: &mut Context<Self>) -> Reply<Self, StoredBackload> {
        let ChangeBackload { id, to, end_tasks } = change;
        let set = SetBackloadState { now: self.now(), id, state: to, problem: String::new() };
        let set = set_state(self.deps.clone(), set, end_tasks && to == BackloadState::Cancelled);
        self.reply_after(set, move |this, set, ctx| {
            let stored = set?;
            log::info!("event=backload_changed id={id} state={}", stored.state.as_str());
            if stored.state == BackloadState::Running {
                this.load_stored(stored.clone(), ctx);
            } else {
                // One whose chunk is being stored finds out when the writer refuses it or the next one.
                this.drop_run(id);
            }
            Ok(stored)
        })
    }

    fn drop_run(&mut self, id: i64) {
        let at = self.runs.iter().position(|run| run.id == id);
        if let Some(mut run) = at.and_then(|at| self.runs.remove(at)) {
            run.dismiss_waiter("it was paused or cancelled meanwhile");
        }
    }

    fn stop_backloads(&mut self, _: StopBackloads, ctx: &mut Context<Self>) -> Reply<Self, ()> {
        let (caller, idle) = oneshot::channel();
        self.wake_at(None, ctx);
        let callers = self.stopping.get_or_insert_default();
        // Answered once the chunk under way is stored; at once, by being dropped, when there is none.
        if self.is_storing {
            callers.push(caller);
        }
        self.reply_after(idle, |_, _, _| Ok(()))
    }

    fn forget_runs(&mut self) {
        // All is read again. Who waits gets no answer; the backloads go on.
        self.runs.clear();
        self.is_storing = false;
        self.is_unread = true;
    }

    fn continue_runs(&mut self, ctx: &mut Context<Self>) {
        if self.is_unread && self.stopping.is_none() {
            self.read_running(ctx);
        } else {
            self.start_chunk(ctx);
        }
    }
}

/// Changes the state first: afterwards no chunk adds tasks to those that are to end.
async fn set_state(deps: WorkflowDeps, set: SetBackloadState, end_tasks: bool) -> Result<StoredBackload> {
    let stored = deps.writer.call(set.clone()).await?;
    if !end_tasks {
        return Ok(stored);
    }
    let (now, id) = (set.now, set.id);
    // In steps: the writer carries out a command as a whole, and workers wait for it.
    while deps.writer.call(EndBackloadTasks { now, id, limit: ENDED_AT_ONCE }).await? == ENDED_AT_ONCE {}
    // The same again changes nothing, and answers what is counted now.
    deps.writer.call(set).await
}

handlers!(Backload {
    async PlanBackload => plan_request,
    async ExecuteBackload => execute_plan,
    async ChangeBackload => change_state,
    async StopBackloads => stop_backloads,
});

actor!(Backload { kit: deps.kit, mailbox: 64, start: read_running, restart: forget_runs, wake: continue_runs });

//! The backload actor: fills stretches of history, a chunk of tasks after the other, at lower priority than the
//! tasks of the day.
//!
//! How far each backload got is a row that moves on together with the tasks of a chunk, so that a restart goes on
//! where the last chunk ended. Chunks of several backloads take turns; those that somebody waits for come first.

mod handlers;
mod plan;
mod step;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Supervised, Supervisor};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::backload::Plan;
use flowlord_kernel::{
    Activity, Busy, Code, Guarded, IdGenerator, Port, Result, SharedClock, Supervision, Tick, Timer, Wakes,
    guarded,
};
use flowlord_messages::backload::{
    BackloadState, CheckBackload, Finished, MAX_UNFINISHED, ReadBackload, ReadBackloads, SaveBackload,
    SetBackloadState, StoreBackloadChunk, StoredBackload,
};
use flowlord_messages::library::{CurrentWorkflows, MetaRows};
use tokio::sync::oneshot;

use crate::step::{Step, Stored};

/// After how long to look again whether the queue of a backload has room.
const LOOK_AGAIN: TimeDelta = TimeDelta::seconds(5);

/// The longest pause after a chunk that could not be stored.
const LONGEST_PAUSE: TimeDelta = TimeDelta::seconds(60);

/// How many bytes of tasks are kept for somebody who waits.
const MAX_KEPT: usize = 16 * 1024 * 1024;

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Config {
    /// The name of the machine, for templates.
    pub host: String,
}

/// What it works with.
#[derive(Debug, Clone)]
pub struct Deps {
    /// The clock.
    pub clock: SharedClock,
    /// The source of ids.
    pub mint: IdGenerator,
    /// Work under way.
    pub activity: Activity,
    /// Restarts.
    pub supervision: Supervision,
    /// To the library.
    pub workflows: Port<CurrentWorkflows>,
    /// To the library.
    pub rows: Port<MetaRows>,
    /// To the DB owner.
    pub save: Port<SaveBackload>,
    /// To the DB owner.
    pub store: Port<StoreBackloadChunk>,
    /// To the DB owner.
    pub set: Port<SetBackloadState>,
    /// To the DB readers.
    pub check: Port<CheckBackload>,
    /// To the DB readers.
    pub one: Port<ReadBackload>,
    /// To the DB readers.
    pub list: Port<ReadBackloads>,
}

/// A backload that runs.
#[derive(Debug)]
struct Run {
    id: i64,
    plan: Arc<Plan>,
    next: usize,
    /// Nothing is done for it before.
    not_before: Option<DateTime<Utc>>,
    /// How often in a row its chunk could not be stored.
    tries: u32,
    waiter: Option<Waiter>,
}

/// Somebody who waits for the tasks of a backload.
#[derive(Debug)]
struct Waiter {
    reply: oneshot::Sender<Finished>,
    finished: Finished,
    size: usize,
}

impl Waiter {
    fn add(&mut self, stored: Stored) {
        self.size += stored.tasks.iter().map(|task| task.info.len() + task.meta.len()).sum::<usize>();
        self.finished.created.extend(stored.tasks);
        self.finished.failed.extend(stored.failed);
        self.finished.skipped += stored.skipped;
    }

    fn answer(self, problem: Option<String>) {
        let _nobody_waits_any_more = self.reply.send(Finished { problem, ..self.finished });
    }
}

impl Run {
    fn new(id: i64, plan: Arc<Plan>, next: usize) -> Self {
        Self { id, plan, next, not_before: None, tries: 0, waiter: None }
    }

    /// Answers who waits for it that the rest comes later.
    fn let_go(&mut self, problem: &str) {
        if let Some(waiter) = self.waiter.take() {
            waiter.answer(Some(problem.to_owned()));
        }
    }
}

/// The actor.
#[derive(Debug)]
pub struct Backload {
    config: Config,
    deps: Deps,
    timer: Timer,
    /// Those that wait for their turn.
    runs: VecDeque<Run>,
    /// A chunk is being stored.
    storing: bool,
    /// What ran before the start is still to be read.
    unread: bool,
    /// Nothing more is to begin; who is told once nothing is under way.
    stopping: Option<Vec<oneshot::Sender<()>>>,
}

impl Backload {
    /// Starts it in `arbiter`.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: Deps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::new(deps.clock.clone()),
            config,
            deps,
            runs: VecDeque::new(),
            storing: false,
            unread: true,
            stopping: None,
        })
    }

    /// Reads what ran before the start.
    fn read(&mut self, busy: Busy, ctx: &mut Context<Self>) {
        let read = self.deps.list.call(ReadBackloads { running: true, after: None, limit: MAX_UNFINISHED });
        ctx.spawn(wrap_future::<_, Self>(read).map(move |read, this, ctx| {
            guarded(this, ctx, |this, ctx| match read {
                Ok(stored) => {
                    this.unread = false;
                    // Oldest first, as they were asked for.
                    stored.into_iter().rev().for_each(|stored| this.load(stored, ctx));
                }
                Err(err) => {
                    log::error!("event=backloads_not_read error={err:?}");
                    let again = this.deps.clock.now() + LOOK_AGAIN;
                    this.timer.no_later_than(again, ctx, |this| &mut this.timer);
                }
            });
            drop(busy);
        }));
    }

    /// Plans a stored backload anew, and goes on with it.
    fn load(&mut self, stored: StoredBackload, ctx: &mut Context<Self>) {
        let (deps, busy) = (self.deps.clone(), self.deps.activity.begin());
        let load = async move {
            let loaded = plan::load(&deps, &stored).await;
            (stored, loaded)
        };
        ctx.spawn(wrap_future::<_, Self>(load).map(move |(stored, loaded), this, ctx| {
            guarded(this, ctx, |this, ctx| match loaded {
                Ok(plan) => this.add(Run::new(stored.id, Arc::new(plan), stored.next), ctx),
                Err(err) if err.code == Code::InvalidRequest => this.give_up(&stored, err.detail, ctx),
                Err(err) => {
                    // The library or the database don't answer now: all is read again.
                    log::warn!("event=backload_not_loaded id={} error={err:?}", stored.id);
                    this.unread = true;
                    let again = this.deps.clock.now() + LOOK_AGAIN;
                    this.timer.no_later_than(again, ctx, |this| &mut this.timer);
                }
            });
            drop(busy);
        }));
    }

    /// Pauses a backload that can't go on by itself.
    fn give_up(&mut self, stored: &StoredBackload, problem: String, ctx: &mut Context<Self>) {
        let id = stored.id;
        log::error!("event=backload_paused id={id} problem={problem:?}");
        let state = BackloadState::Paused;
        let set = self.deps.set.call(SetBackloadState { now: self.deps.clock.now(), id, state, problem });
        ctx.spawn(wrap_future::<_, Self>(set).map(move |set, _, _| {
            if let Err(err) = set {
                log::error!("event=backload_not_paused id={id} error={err:?}");
            }
        }));
    }

    /// Gives a backload its turns. Of two that are the same the one that got further counts.
    fn add(&mut self, run: Run, ctx: &mut Context<Self>) {
        match self.runs.iter_mut().find(|known| known.id == run.id) {
            Some(known) if known.next >= run.next => {}
            Some(known) => *known = run,
            None => self.runs.push_back(run),
        }
        self.go_on(ctx);
    }

    /// Begins the next chunk, unless one is under way or all have to wait.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        if self.storing || self.stopping.is_some() {
            return;
        }
        let now = self.deps.clock.now();
        let due = |run: &Run| run.not_before.is_none_or(|at| at <= now);
        let waited = self.runs.iter().position(|run| run.waiter.is_some() && due(run));
        let Some(at) = waited.or_else(|| self.runs.iter().position(due)) else {
            if let Some(at) = self.runs.iter().filter_map(|run| run.not_before).min() {
                self.timer.no_later_than(at, ctx, |this| &mut this.timer);
            }
            return;
        };
        let Some(run) = self.runs.remove(at) else { return };
        self.storing = true;
        let busy = self.deps.activity.begin();
        let (deps, host) = (self.deps.clone(), self.config.host.clone());
        let step = async move {
            let done = step::step(&deps, &host, &run.plan, run.id, run.next, run.waiter.is_some()).await;
            (run, done)
        };
        ctx.spawn(wrap_future::<_, Self>(step).map(move |(run, done), this, ctx| {
            this.storing = false;
            guarded(this, ctx, |this, ctx| this.stepped(run, done, ctx));
            drop(busy);
        }));
    }

    /// Takes note of what became of a chunk.
    fn stepped(&mut self, mut run: Run, done: Result<Step>, ctx: &mut Context<Self>) {
        for waits in self.stopping.iter_mut().flat_map(|waiting| waiting.drain(..)) {
            let _nobody_waits_any_more = waits.send(());
        }
        let now = self.deps.clock.now();
        run.not_before = None;
        match done {
            Ok(Step::Stored(stored)) => self.stored(run, stored, ctx),
            Ok(Step::NoRoom) => {
                run.not_before = Some(now + LOOK_AGAIN);
                self.add(run, ctx);
            }
            Err(err) if err.code == Code::BackloadState => {
                run.let_go("it was paused or cancelled meanwhile");
                self.reload(run.id, ctx);
            }
            Err(err) => {
                log::warn!("event=backload_chunk_not_stored id={} next={} error={err:?}", run.id, run.next);
                run.let_go(&err.detail);
                run.tries = run.tries.saturating_add(1);
                let pause = TimeDelta::seconds(1 << run.tries.min(10)).min(LONGEST_PAUSE);
                run.not_before = Some(now + pause);
                self.add(run, ctx);
            }
        }
    }

    fn stored(&mut self, mut run: Run, stored: Stored, ctx: &mut Context<Self>) {
        (run.next, run.tries) = (stored.next, 0);
        if let Some(waiter) = &mut run.waiter {
            waiter.add(stored);
            if waiter.size > MAX_KEPT {
                run.let_go("the answer would be too large");
            }
        }
        if run.next < run.plan.count() {
            return self.add(run, ctx);
        }
        log::info!("event=backload_done id={} total={}", run.id, run.plan.count());
        if let Some(waiter) = run.waiter {
            waiter.answer(None);
        }
        self.go_on(ctx);
    }

    /// Looks how a backload stands that isn't where it was thought to be, and goes on from there if it runs.
    fn reload(&mut self, id: i64, ctx: &mut Context<Self>) {
        let (read, busy) = (self.deps.one.call(ReadBackload { id }), self.deps.activity.begin());
        ctx.spawn(wrap_future::<_, Self>(read).map(move |read, this, ctx| {
            guarded(this, ctx, |this, ctx| match read {
                Ok(Some((stored, _))) if stored.state == BackloadState::Running => {
                    this.load(stored, ctx);
                }
                Ok(_) => {}
                Err(err) => {
                    log::error!("event=backload_not_read id={id} error={err:?}");
                    this.unread = true;
                    let again = this.deps.clock.now() + LOOK_AGAIN;
                    this.timer.no_later_than(again, ctx, |this| &mut this.timer);
                }
            });
            drop(busy);
        }));
        self.go_on(ctx);
    }
}

impl Actor for Backload {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(64);
        let busy = self.deps.activity.begin();
        self.read(busy, ctx);
    }
}

impl Supervised for Backload {
    fn restarting(&mut self, _ctx: &mut Self::Context) {
        // All is read again. Who waits hears that there is no answer; the backloads go on.
        self.runs.clear();
        self.storing = false;
        self.unread = true;
        self.timer = Timer::new(self.deps.clock.clone());
    }
}

impl Guarded for Backload {
    fn supervision(&self) -> &Supervision {
        &self.deps.supervision
    }
}

impl Wakes for Backload {
    fn wake(&mut self, tick: Tick, ctx: &mut Context<Self>) {
        let busy = tick.busy.unwrap_or_else(|| self.deps.activity.begin());
        if self.unread && self.stopping.is_none() {
            return self.read(busy, ctx);
        }
        self.go_on(ctx);
    }
}

//! The library actor: which workflows count.
//!
//! It looks at the files at its start, every `refresh`, when asked, and soon after a local one changed. A file that
//! doesn't load keeps its last good version, also over a restart: both are rows. So do all while a store is away.

pub mod files;
mod findings;
mod look;
pub mod metafiles;
mod row_problems;
mod shelf;
pub mod source;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{
    Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, ResponseActFuture, Supervised,
    Supervisor,
};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use flowlord_domain::template::Row;
use flowlord_domain::workflow::Workflows;
use flowlord_kernel::Pong;
use flowlord_kernel::{
    Activity, Busy, Code, Error, Guarded, LatePort, Ping, Port, Result, SharedClock, Supervision, Tick,
    Timer, Wakes, guarded,
};
use flowlord_messages::library::{Current, CurrentWorkflows, MetaRows, Reload, Reloaded, WorkflowsChanged};
use flowlord_messages::read::ReadWorkflows;
use flowlord_messages::write::SaveWorkflows;
use flowlord_store::Watch;
use tokio::sync::{Notify, Semaphore, oneshot};

use crate::look::{Outcome, look};
use crate::metafiles::MetaFiles;
use crate::row_problems::RowProblems;
use crate::shelf::Shelf;

/// After a failed look, when to try again.
const TRY_AGAIN: TimeDelta = TimeDelta::seconds(1);

/// When to ask again for a place that couldn't be read.
const ASK_AGAIN: TimeDelta = TimeDelta::seconds(30);

/// How long it is quiet after a change before the files are read: a save is many changes, and is read whole.
const QUIET: TimeDelta = TimeDelta::milliseconds(200);

/// How long changes may go on before the files are read all the same.
const LONGEST: TimeDelta = TimeDelta::seconds(2);

/// As many meta files are read at the same time.
const META_FILES: usize = 2;

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Config {
    /// The workflow files, a file or a folder, and where meta files may be.
    pub files: MetaFiles,
    /// How often to look.
    pub refresh: TimeDelta,
    /// Look as well when a local file changes.
    pub watch: bool,
    /// The zone of cron expressions that name none.
    pub zone: Tz,
}

/// What it works with.
#[derive(Debug, Clone)]
pub struct Deps {
    /// The clock.
    pub clock: SharedClock,
    /// Work under way.
    pub activity: Activity,
    /// Restarts.
    pub supervision: Supervision,
    /// To the DB owner.
    pub save: Port<SaveWorkflows>,
    /// To the DB readers, at the start.
    pub stored: Port<ReadWorkflows>,
    /// Who hears of it.
    pub changed: Vec<LatePort<WorkflowsChanged>>,
}

/// The actor.
#[derive(Debug)]
pub struct Library {
    config: Config,
    deps: Deps,
    /// None until the first look is done; who asks until then waits.
    current: Option<Current>,
    shelf: Option<Shelf>,
    row_problems: RowProblems,
    looking: bool,
    /// Who asked for a look while one was under way: the next one is theirs.
    next: Vec<oneshot::Sender<Result<Reloaded>>>,
    first: Vec<oneshot::Sender<Result<Current>>>,
    timer: Timer,
    next_look: Option<DateTime<Utc>>,
    watch: Option<Watch>,
    /// Told by the watch, from its own thread.
    changes: Arc<Notify>,
    /// The first change that no look has seen yet, and when that look is due.
    changed: Option<(DateTime<Utc>, DateTime<Utc>)>,
    meta_files: Arc<Semaphore>,
}

impl Library {
    /// Starts it in `arbiter`.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: Deps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::new(deps.clock.clone()),
            config,
            deps,
            current: None,
            shelf: None,
            row_problems: RowProblems::new(),
            looking: false,
            next: Vec::new(),
            first: Vec::new(),
            next_look: None,
            watch: None,
            changes: Arc::default(),
            changed: None,
            meta_files: Arc::new(Semaphore::new(META_FILES)),
        })
    }

    fn look(
        &mut self,
        asked: Vec<oneshot::Sender<Result<Reloaded>>>,
        busy: Option<Busy>,
        ctx: &mut Context<Self>,
    ) {
        self.looking = true;
        self.changed = None;
        let (watch, changes) = (self.watch.take(), Arc::clone(&self.changes));
        let look = look(self.config.clone(), self.deps.clone(), self.shelf.clone(), watch, changes);
        ctx.spawn(wrap_future::<_, Self>(look).map(move |looked, this, ctx| {
            guarded(this, ctx, |this, ctx| this.looked(looked, asked, ctx));
            drop(busy);
        }));
    }

    fn looked(
        &mut self,
        looked: Result<Outcome>,
        asked: Vec<oneshot::Sender<Result<Reloaded>>>,
        ctx: &mut Context<Self>,
    ) {
        self.looking = false;
        let now = self.deps.clock.now();
        let (answer, next_look) = match looked {
            Ok(Outcome { shelf, reloaded, row_problems, away, watch }) => {
                let refresh = self.config.refresh;
                let next_look = now + if away { refresh.min(ASK_AGAIN) } else { refresh };
                self.watch = watch;
                self.take(shelf, row_problems, &reloaded, now, next_look);
                (Ok(reloaded), next_look)
            }
            Err(err) => {
                log::error!("event=workflows_not_loaded error={err:?}");
                // Nobody knows what was saved: the next look compares with what was.
                self.shelf = None;
                (Err(err), now + TRY_AGAIN)
            }
        };
        self.next_look = Some(next_look);
        self.set_timer(ctx);
        for asked in asked {
            let _nobody_waits_any_more = asked.send(answer.clone());
        }
        if !self.next.is_empty() {
            let next = std::mem::take(&mut self.next);
            let busy = self.deps.activity.begin();
            self.look(next, Some(busy), ctx);
        }
    }

    fn take(
        &mut self,
        shelf: Shelf,
        row_problems: RowProblems,
        reloaded: &Reloaded,
        now: DateTime<Utc>,
        next_look: DateTime<Utc>,
    ) {
        let Reloaded { added, changed, removed, broken } = reloaded;
        let same_files = added.is_empty() && changed.is_empty() && removed.is_empty();
        let same = same_files && self.row_problems == row_problems;
        // Whoever holds the same workflows may keep what it made of them. After a look that failed, or a restart,
        // what was loaded isn't what was compared with.
        let unchanged = self.current.take().filter(|_| same && self.shelf.is_some());
        let first = unchanged.is_none();
        let anew = || Arc::new(row_problems::applied(shelf.workflows(), &row_problems));
        let workflows = unchanged.map_or_else(anew, |current| current.workflows);
        if first {
            let (files, phases) = (workflows.files().len(), workflows.phases().count());
            log::info!(
                "event=workflows_loaded files={files} phases={phases} added={} changed={changed:?} \
                 removed={removed:?} broken={}",
                added.len(),
                broken.len()
            );
        }
        if workflows.files().is_empty() {
            log::error!("event=no_workflows path={:?}", self.config.files.root.to_string());
        }
        let current = Current { workflows, looked_at: now, next_look, broken: Arc::new(broken.clone()) };
        for first in self.first.drain(..) {
            let _nobody_waits_any_more = first.send(Ok(current.clone()));
        }
        self.tell(&current.workflows);
        self.current = Some(current);
        self.shelf = Some(shelf);
        self.row_problems = row_problems;
    }

    /// At the next look by itself, or sooner where something changed.
    fn set_timer(&mut self, ctx: &mut Context<Self>) {
        let due = self.changed.map(|(_, due)| due);
        let at = self.next_look.into_iter().chain(due).min();
        self.timer.set(at, ctx, |this| &mut this.timer);
    }

    /// Waits for the watch to tell of the next change, however many it tells of meanwhile.
    fn listen(&self, ctx: &mut Context<Self>) {
        let changes = Arc::clone(&self.changes);
        let told = async move { changes.notified().await };
        ctx.spawn(wrap_future::<_, Self>(told).map(|(), this, ctx| {
            guarded(this, ctx, |this, ctx| {
                this.listen(ctx);
                this.file_changed(ctx);
            });
        }));
    }

    fn file_changed(&mut self, ctx: &mut Context<Self>) {
        let now = self.deps.clock.now();
        let first = self.changed.map_or(now, |(first, _)| first);
        self.changed = Some((first, (now + QUIET).min(first + LONGEST)));
        if !self.looking {
            self.set_timer(ctx);
        }
    }

    fn tell(&self, workflows: &Arc<Workflows>) {
        for changed in &self.deps.changed {
            changed.hint(WorkflowsChanged { workflows: Arc::clone(workflows) });
        }
    }
}

impl Actor for Library {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(2048);
        self.listen(ctx);
        let busy = self.deps.activity.begin();
        self.look(Vec::new(), Some(busy), ctx);
    }
}

impl Supervised for Library {
    fn restarting(&mut self, _ctx: &mut Self::Context) {
        self.shelf = None;
        self.looking = false;
        self.timer = Timer::new(self.deps.clock.clone());
    }
}

impl Guarded for Library {
    fn supervision(&self) -> &Supervision {
        &self.deps.supervision
    }
}

impl Wakes for Library {
    fn wake(&mut self, tick: Tick, ctx: &mut Context<Self>) {
        if !self.looking {
            self.look(Vec::new(), tick.busy, ctx);
        }
    }
}

impl Handler<Reload> for Library {
    type Result = ResponseActFuture<Self, Result<Reloaded>>;

    fn handle(&mut self, _: Reload, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |this, ctx| -> ResponseActFuture<Self, Result<Reloaded>> {
            let (asked, answer) = oneshot::channel();
            if this.looking {
                this.next.push(asked);
            } else {
                let busy = this.deps.activity.begin();
                this.look(vec![asked], Some(busy), ctx);
            }
            Box::pin(wrap_future(answered(answer)))
        })
    }
}

impl Handler<CurrentWorkflows> for Library {
    type Result = ResponseActFuture<Self, Result<Current>>;

    fn handle(&mut self, _: CurrentWorkflows, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |this, _| -> ResponseActFuture<Self, Result<Current>> {
            if let Some(current) = this.current.clone() {
                return Box::pin(actix::fut::ready(Ok(current)));
            }
            let (asked, answer) = oneshot::channel();
            this.first.push(asked);
            Box::pin(wrap_future(answered(answer)))
        })
    }
}

async fn answered<T>(answer: oneshot::Receiver<Result<T>>) -> Result<T> {
    answer.await.unwrap_or_else(|_| Err(Error::new(Code::Stopping, "the library is stopping or restarting")))
}

impl Handler<MetaRows> for Library {
    type Result = ResponseActFuture<Self, Result<Arc<Vec<Row>>>>;

    fn handle(&mut self, MetaRows { path }: MetaRows, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |this, _| -> ResponseActFuture<Self, Result<Arc<Vec<Row>>>> {
            let (files, turns) = (this.config.files.clone(), Arc::clone(&this.meta_files));
            Box::pin(wrap_future(async move {
                let _turn = turns.acquire().await;
                files.rows(&path).await
            }))
        })
    }
}

impl Handler<Ping> for Library {
    type Result = Result<Pong>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Result<Pong> {
        Ok(Pong { restarts: self.deps.supervision.restarts() })
    }
}

//! The library actor: which workflows count.
//!
//! It looks at the files at its start, every `refresh`, and when asked. A file that doesn't load keeps its last
//! good version, also over a restart: both are rows.

pub mod files;
mod shelf;

use std::path::PathBuf;
use std::sync::Arc;

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{
    Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, ResponseActFuture, Supervised,
    Supervisor,
};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use flowlord_domain::workflow::Workflows;
use flowlord_messages::health::Pong;
use flowlord_messages::library::{Current, CurrentWorkflows, Reload, Reloaded, WorkflowsChanged};
use flowlord_messages::read::ReadWorkflows;
use flowlord_messages::write::SaveWorkflows;
use flowlord_messages::{
    Activity, Busy, Code, Error, Guarded, LatePort, Ping, Port, Result, SharedClock, Supervision, Tick,
    Timer, Wakes, guarded,
};
use tokio::sync::oneshot;

use crate::shelf::{Looked, Shelf};

/// After a failed look, when to try again.
const TRY_AGAIN: TimeDelta = TimeDelta::seconds(1);

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Config {
    /// A file, or a folder of files.
    pub root: PathBuf,
    /// How often to look.
    pub refresh: TimeDelta,
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
    looking: bool,
    /// Who asked for a look while one was under way: the next one is theirs.
    next: Vec<oneshot::Sender<Result<Reloaded>>>,
    first: Vec<oneshot::Sender<Result<Current>>>,
    timer: Timer,
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
            looking: false,
            next: Vec::new(),
            first: Vec::new(),
        })
    }

    fn look(
        &mut self,
        asked: Vec<oneshot::Sender<Result<Reloaded>>>,
        busy: Option<Busy>,
        ctx: &mut Context<Self>,
    ) {
        self.looking = true;
        let look = look(self.config.clone(), self.deps.clone(), self.shelf.clone());
        ctx.spawn(wrap_future::<_, Self>(look).map(move |looked, this, ctx| {
            guarded(this, ctx, |this, ctx| this.looked(looked, asked, ctx));
            drop(busy);
        }));
    }

    fn looked(
        &mut self,
        looked: Result<(Shelf, Reloaded)>,
        asked: Vec<oneshot::Sender<Result<Reloaded>>>,
        ctx: &mut Context<Self>,
    ) {
        self.looking = false;
        let now = self.deps.clock.now();
        let answer = match looked {
            Ok((shelf, reloaded)) => {
                self.timer.set(Some(now + self.config.refresh), ctx, |this| &mut this.timer);
                self.take(shelf, &reloaded, now);
                Ok(reloaded)
            }
            Err(err) => {
                log::error!("event=workflows_unreadable error={err:?}");
                let retry = if self.current.is_some() { self.config.refresh } else { TRY_AGAIN };
                self.timer.set(Some(now + retry), ctx, |this| &mut this.timer);
                Err(err)
            }
        };
        for asked in asked {
            let _nobody_waits_any_more = asked.send(answer.clone());
        }
        if !self.next.is_empty() {
            let next = std::mem::take(&mut self.next);
            let busy = self.deps.activity.begin();
            self.look(next, Some(busy), ctx);
        }
    }

    fn take(&mut self, shelf: Shelf, reloaded: &Reloaded, now: DateTime<Utc>) {
        let Reloaded { added, changed, removed, broken } = reloaded;
        if !added.is_empty() || !changed.is_empty() || !removed.is_empty() {
            log::info!("event=workflows_changed added={added:?} changed={changed:?} removed={removed:?}");
        }
        for finding in broken {
            log::warn!("event=workflow_broken finding={:?}", finding.to_string());
        }
        let unchanged =
            self.current.take().filter(|_| added.is_empty() && changed.is_empty() && removed.is_empty());
        let workflows = unchanged.map_or_else(|| Arc::new(shelf.workflows()), |current| current.workflows);
        if workflows.files().is_empty() {
            log::warn!("event=no_workflows path={}", self.config.root.display());
        }
        let next_look = now + self.config.refresh;
        let current = Current { workflows, looked_at: now, next_look, broken: Arc::new(shelf.broken()) };
        for first in self.first.drain(..) {
            let _nobody_waits_any_more = first.send(Ok(current.clone()));
        }
        self.tell(&current.workflows);
        self.current = Some(current);
        self.shelf = Some(shelf);
    }

    fn tell(&self, workflows: &Arc<Workflows>) {
        for changed in &self.deps.changed {
            changed.hint(WorkflowsChanged { workflows: Arc::clone(workflows) });
        }
    }
}

/// Reads the files, compares, and has what changed remembered before it counts.
async fn look(config: Config, deps: Deps, shelf: Option<Shelf>) -> Result<(Shelf, Reloaded)> {
    let shelf = match shelf {
        Some(shelf) => shelf,
        None => Shelf::remembered(deps.stored.call(ReadWorkflows).await?, config.zone),
    };
    let now = deps.clock.now();
    let read = tokio::task::spawn_blocking(move || {
        let contents = files::read(&config.root)?;
        Ok::<_, std::io::Error>(shelf.look(contents, config.zone, now))
    });
    let Looked { shelf, reloaded, save } = match read.await {
        Ok(Ok(looked)) => looked,
        Ok(Err(err)) => {
            let detail = format!("the workflow files can't be read: {err}; name a file or folder that can");
            return Err(Error::new(Code::WorkflowUnknown, detail));
        }
        Err(err) => {
            return Err(Error::new(Code::Internal, format!("reading the workflow files failed: {err}")));
        }
    };
    if let Some(save) = save {
        deps.save.call(save).await?;
    }
    Ok((shelf, reloaded))
}

impl Actor for Library {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(2048);
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

impl Handler<Ping> for Library {
    type Result = Result<Pong>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Result<Pong> {
        Ok(Pong { restarts: self.deps.supervision.restarts() })
    }
}

//! The library actor: which workflows count.
//!
//! It looks at the files at its start, every `refresh`, and when asked. A file that doesn't load keeps its last
//! good version, also over a restart: both are rows.

pub mod files;
mod rows;
mod shelf;
#[cfg(test)]
mod tests;

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
        let (answer, next_look) = match looked {
            Ok((shelf, reloaded)) => {
                let next_look = now + self.config.refresh;
                self.take(shelf, &reloaded, now, next_look);
                (Ok(reloaded), next_look)
            }
            Err(err) => {
                log::error!("event=workflows_not_loaded error={err:?}");
                // Nobody knows what was saved: the next look compares with what was.
                self.shelf = None;
                (Err(err), now + TRY_AGAIN)
            }
        };
        self.timer.set(Some(next_look), ctx, |this| &mut this.timer);
        for asked in asked {
            let _nobody_waits_any_more = asked.send(answer.clone());
        }
        if !self.next.is_empty() {
            let next = std::mem::take(&mut self.next);
            let busy = self.deps.activity.begin();
            self.look(next, Some(busy), ctx);
        }
    }

    fn take(&mut self, shelf: Shelf, reloaded: &Reloaded, now: DateTime<Utc>, next_look: DateTime<Utc>) {
        let Reloaded { added, changed, removed, broken } = reloaded;
        let same = added.is_empty() && changed.is_empty() && removed.is_empty();
        // Whoever holds the same workflows may keep what it made of them. After a look that failed, or a restart,
        // what was loaded isn't what was compared with.
        let unchanged = self.current.take().filter(|_| same && self.shelf.is_some());
        let first = unchanged.is_none();
        let workflows = unchanged.map_or_else(|| Arc::new(shelf.workflows()), |current| current.workflows);
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
            log::error!("event=no_workflows path={:?}", self.config.root.display());
        }
        let current = Current { workflows, looked_at: now, next_look, broken: Arc::new(broken.clone()) };
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
    let looked = tokio::task::spawn_blocking(move || match files::read(&config.root) {
        Ok(contents) => shelf.look(contents, now),
        Err(err) => shelf.keep(&format!("{}: {err}", config.root.display()), now),
    });
    let Looked { shelf, reloaded, save } = looked
        .await
        .map_err(|err| Error::new(Code::Internal, format!("reading the workflow files failed: {err}")))?;
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

//! The files actor: says which phases a file starts, and has it recorded with the tasks that it becomes. It also
//! looks at watched folders, here and in object stores, for files that nobody tells of.

mod handlers;
mod known;
mod look;
mod record;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use actix::{Actor, Addr, ArbiterHandle, Context, Supervised, Supervisor};
use chrono::TimeDelta;
use flowlord_kernel::{Activity, Guarded, IdGenerator, Port, SharedClock, Supervision, Tick, Timer, Wakes};
use flowlord_messages::AlertSender;
use flowlord_messages::files::{KeepPlaces, ReadSeen, ReadWaiting, RecordFile, SaveSeen};
use flowlord_messages::library::CurrentWorkflows;
use flowlord_store::{Location, Stores};
use tokio::sync::{Mutex, oneshot};

use crate::look::Looker;
use crate::watch::Watched;

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Config {
    /// The name of the machine, for templates.
    pub host: String,
    /// The places that are watched.
    pub places: Vec<Location>,
    /// How often they are looked at.
    pub every: TimeDelta,
    /// How stores are reached.
    pub stores: Stores,
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
    /// To the DB readers.
    pub waiting: Port<ReadWaiting>,
    /// To the DB owner.
    pub record: Port<RecordFile>,
    /// To the DB readers.
    pub seen: Port<ReadSeen>,
    /// To the DB owner.
    pub save: Port<SaveSeen>,
    /// To the DB owner.
    pub keep: Port<KeepPlaces>,
    /// To the DB owner.
    pub raise: AlertSender,
}

/// What each file needs to become tasks.
#[derive(Debug, Clone)]
struct Recorder {
    host: String,
    deps: Deps,
    /// Files that are counted are decided on one after the other: each needs to know which wait.
    turn: Arc<Mutex<()>>,
}

/// The actor.
#[derive(Debug)]
pub struct Files {
    recorder: Recorder,
    stores: Stores,
    every: TimeDelta,
    places: Vec<Watched>,
    timer: Timer,
    /// Nothing more is to begin; seen by looks under way.
    stopping: Arc<AtomicBool>,
    /// Who waits for the end.
    waiting: Vec<oneshot::Sender<()>>,
}

impl Files {
    /// Starts it in `arbiter`.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: Deps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| {
            let now = deps.clock.now();
            Self {
                timer: Timer::new(deps.clock.clone()),
                places: config.places.iter().map(|place| Watched::new(place, now)).collect(),
                recorder: Recorder { host: config.host, deps, turn: Arc::default() },
                stores: config.stores,
                every: config.every,
                stopping: Arc::default(),
                waiting: Vec::new(),
            }
        })
    }

    fn looker(&self) -> Looker {
        let deps = &self.recorder.deps;
        Looker {
            recorder: self.recorder.clone(),
            stores: self.stores.clone(),
            clock: deps.clock.clone(),
            read: deps.seen.clone(),
            save: deps.save.clone(),
            stopping: Arc::clone(&self.stopping),
        }
    }
}

impl Actor for Files {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(4096);
        self.watch(ctx);
    }
}

impl Supervised for Files {
    fn restarting(&mut self, _ctx: &mut Self::Context) {
        let now = self.recorder.deps.clock.now();
        self.places.iter_mut().for_each(|place| place.restart(now));
        self.timer = Timer::new(self.recorder.deps.clock.clone());
        self.waiting.clear();
    }
}

impl Guarded for Files {
    fn supervision(&self) -> &Supervision {
        &self.recorder.deps.supervision
    }
}

impl Wakes for Files {
    fn wake(&mut self, tick: Tick, ctx: &mut Context<Self>) {
        self.look(ctx);
        drop(tick.busy);
    }
}

//! The files actor: says which phases a file starts, and has it recorded with the tasks that it becomes.

mod handlers;
mod record;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use actix::{Actor, Addr, ArbiterHandle, Context, Supervised, Supervisor};
use flowlord_messages::files::{ReadWaiting, RecordFile};
use flowlord_messages::library::CurrentWorkflows;
use flowlord_messages::{Guarded, Mint, Port, SharedClock, Supervision};
use tokio::sync::Mutex;

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
    pub mint: Mint,
    /// Restarts.
    pub supervision: Supervision,
    /// To the library.
    pub workflows: Port<CurrentWorkflows>,
    /// To the DB readers.
    pub waiting: Port<ReadWaiting>,
    /// To the DB owner.
    pub record: Port<RecordFile>,
}

/// What each file needs to become tasks.
#[derive(Debug, Clone)]
struct Recorder {
    config: Config,
    deps: Deps,
    /// Files that are counted are decided on one after the other: each needs to know which wait.
    turn: Arc<Mutex<()>>,
}

/// The actor.
#[derive(Debug)]
pub struct Files {
    recorder: Recorder,
}

impl Files {
    /// Starts it in `arbiter`.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: Deps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            recorder: Recorder { config, deps, turn: Arc::default() },
        })
    }
}

impl Actor for Files {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(4096);
    }
}

impl Supervised for Files {}

impl Guarded for Files {
    fn supervision(&self) -> &Supervision {
        &self.recorder.deps.supervision
    }
}

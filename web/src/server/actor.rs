//! The web actor: owns the HTTP server from its first connection to its last.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fmt, io};

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{
    Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, Message, ResponseActFuture, Supervised,
    Supervisor,
};
use actix_web::dev::{Server, ServerHandle};
use actix_web::rt::task::JoinHandle;
use actix_web::web;
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::Pong;
use flowlord_kernel::{
    Activity, Guarded, IdGenerator, Ping, Port, Result, SharedClock, Supervision, Tick, Timer, Wakes, guarded,
};
use flowlord_messages::alerts::{
    Acknowledge, AddSilence, CountNotifications, LadderStates, ListIncidents, ListSilences, RemoveSilence,
};
use flowlord_messages::audit::{ListChanges, RecordChange};
use flowlord_messages::backload::{
    ChangeBackload, CheckBackload, ExecuteBackload, PlanBackload, ReadBackload, ReadBackloads,
};
use flowlord_messages::changes::TakeChanges;
use flowlord_messages::database::{MeasureTable, ReadDatabase};
use flowlord_messages::dispatch::{Heartbeat, Lease, Release};
use flowlord_messages::files::{FileArrived, ListFiles, WatchedPlaces};
use flowlord_messages::find::FindTasks;
use flowlord_messages::grid::{ReadHours, ReadSlots};
use flowlord_messages::hint::{Changed, SnapshotsChanged};
use flowlord_messages::ingest::SubmitResults;
use flowlord_messages::library::{CurrentWorkflows, Reload};
use flowlord_messages::notifier::{AwaitMessage, SlackCall};
use flowlord_messages::read::{
    AlertsByRow, AttemptsById, Chain, ChainBeginning, DayStats, KnownTasks, LastSlots, LaterAttempts,
    ListAlerts, ReadBacklog, ReadDays, ReadPaused, ReadWorkflow,
};
use flowlord_messages::retention::RemoveOld;
use flowlord_messages::rowlog::ReadShipping;
use flowlord_messages::scheduler::{NextRuns, PausePhase};
use flowlord_messages::snapshot::{BackUp, ListSnapshots, ReadBackup, TakeSnapshot};
use flowlord_messages::token::{AddToken, ReadTokens, RemoveToken};
use flowlord_messages::write::{CancelTask, CreateTasks, EnqueueMessage, RerunTasks};

use crate::core::auth::Access;
use crate::core::context::{Api, ApiRef};
use crate::core::live;
use crate::server::http_server::{self, Connections};
use crate::server::middleware::view_pool::Lookers;
use crate::server::routes;
use crate::server::tls::{self, TlsError, TlsFiles};

/// Changes are told no more often than this.
const PACE: TimeDelta = TimeDelta::milliseconds(500);

/// Writes what was counted so far.
#[derive(Clone)]
pub struct Metrics(pub Arc<dyn Fn() -> String + Send + Sync>);

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// What the operator chose about the history, for people to see.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// How long it is kept.
    pub history: TimeDelta,
    /// A task without a result raises an alert after this time.
    pub unfinished: TimeDelta,
    /// Where snapshots go; empty for nowhere.
    pub backup: String,
}

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Threads that answer requests; 0 means one per core.
    pub workers: usize,
    /// How long a lease lasts unless its worker asks for something else.
    pub lease: TimeDelta,
    /// The address in links that people click, if one was given.
    pub public_url: Option<String>,
    /// The name of the machine.
    pub host: String,
    /// The program's version.
    pub version: String,
    /// Whether messages go to Slack.
    pub slack: bool,
    /// When the service was started.
    pub started_at: DateTime<Utc>,
    /// What is kept for how long, and where.
    pub kept: Kept,
    /// How requests are let in.
    pub access: Access,
    /// How much at once.
    pub limits: Limits,
    /// The certificate; none for plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Everything counted so far, as Prometheus reads it.
    pub metrics: Metrics,
}

/// How much at once.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections; requests of more are answered 503.
    pub connections: usize,
    /// Requests of one token, or of one address without one, that wait for tasks.
    pub long_polls: usize,
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
    /// To the DB owner.
    pub create: Port<CreateTasks>,
    /// To dispatch.
    pub lease: Port<Lease>,
    /// To dispatch.
    pub heartbeat: Port<Heartbeat>,
    /// To dispatch.
    pub release: Port<Release>,
    /// To ingest.
    pub submit: Port<SubmitResults>,
    /// To the library.
    pub workflows: Port<CurrentWorkflows>,
    /// To the library.
    pub reload: Port<Reload>,
    /// To the scheduler.
    pub next_runs: Port<NextRuns>,
    /// To the scheduler.
    pub pause: Port<PausePhase>,
    /// To the DB readers.
    pub paused: Port<ReadPaused>,
    /// To the DB owner.
    pub rerun: Port<RerunTasks>,
    /// To the DB owner.
    pub cancel: Port<CancelTask>,
    /// To the DB readers.
    pub known_tasks: Port<KnownTasks>,
    /// To the DB readers.
    pub later: Port<LaterAttempts>,
    /// To the DB owner.
    pub add_token: Port<AddToken>,
    /// To the DB owner.
    pub remove_token: Port<RemoveToken>,
    /// To the DB readers.
    pub tokens_read: Port<ReadTokens>,
    /// To the DB readers.
    pub backlog: Port<ReadBacklog>,
    /// To the retention actor.
    pub remove_old: Port<RemoveOld>,
    /// To the backup actor.
    pub back_up: Port<BackUp>,
    /// To the backup actor.
    pub snapshot: Port<TakeSnapshot>,
    /// To the backup actor.
    pub snapshots: Port<ListSnapshots>,
    /// To the backup actor.
    pub backup: Port<ReadBackup>,
    /// To the shipper.
    pub shipping: Port<ReadShipping>,
    /// To the backload actor.
    pub plan_backload: Port<PlanBackload>,
    /// To the backload actor.
    pub execute_backload: Port<ExecuteBackload>,
    /// To the backload actor.
    pub change_backload: Port<ChangeBackload>,
    /// To the DB readers.
    pub check_backload: Port<CheckBackload>,
    /// To the DB readers.
    pub backload: Port<ReadBackload>,
    /// To the DB readers.
    pub backloads: Port<ReadBackloads>,
    /// To the files actor.
    pub arrived: Port<FileArrived>,
    /// To the DB readers.
    pub files: Port<ListFiles>,
    /// To the files actor.
    pub places: Port<WatchedPlaces>,
    /// To the alerts actor.
    pub ladders: Port<LadderStates>,
    /// To the alerts actor.
    pub acknowledge: Port<Acknowledge>,
    /// To the DB owner.
    pub add_silence: Port<AddSilence>,
    /// To the DB owner.
    pub remove_silence: Port<RemoveSilence>,
    /// To the DB readers.
    pub silences: Port<ListSilences>,
    /// To the DB readers.
    pub incidents: Port<ListIncidents>,
    /// To the DB readers.
    pub notifications: Port<CountNotifications>,
    /// To the DB readers.
    pub attempts: Port<AttemptsById>,
    /// To the DB readers.
    pub chain: Port<Chain>,
    /// To the DB readers.
    pub chain_beginning: Port<ChainBeginning>,
    /// To the DB readers.
    pub find_tasks: Port<FindTasks>,
    /// To the DB readers.
    pub stats: Port<DayStats>,
    /// To the DB readers.
    pub days: Port<ReadDays>,
    /// To the DB readers.
    pub alerts: Port<ListAlerts>,
    /// To the DB readers.
    pub alerts_by_row: Port<AlertsByRow>,
    /// To the DB owner.
    pub take_changes: Port<TakeChanges>,
    /// To the DB readers.
    pub slots: Port<LastSlots>,
    /// To the DB readers.
    pub grid: Port<ReadSlots>,
    /// To the DB readers.
    pub hours: Port<ReadHours>,
    /// To the DB readers.
    pub database: Port<ReadDatabase>,
    /// To the DB readers.
    pub measure: Port<MeasureTable>,
    /// To the DB readers.
    pub content: Port<ReadWorkflow>,
    /// To the DB owner.
    pub enqueue: Port<EnqueueMessage>,
    /// To the notifier.
    pub fate: Port<AwaitMessage>,
    /// To the DB owner.
    pub record_change: Port<RecordChange>,
    /// To the DB readers.
    pub changes: Port<ListChanges>,
    /// To the buttons.
    pub click: Port<SlackCall>,
    /// To every actor that the service needs, by name.
    pub pings: Vec<(&'static str, Port<Ping>)>,
}

/// Why it doesn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address can't be used.
    #[error("can't listen on {address}: {source}; choose another address with --listen")]
    Address {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificate can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Takes an address, within an actix system. Connections wait until a server is started on it.
///
/// # Errors
/// When the address can't be used.
pub fn bind(address: SocketAddr) -> std::result::Result<TcpListener, StartError> {
    http_server::listen(address).map_err(|source| StartError::Address { address, source })
}

/// Answers `/readyz` with 503 and hands out no more leases; everything else goes on. The first step of a stop.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<()>")]
pub struct Unready;

/// Takes no more connections, and answers when the requests under way are answered.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<()>")]
pub struct StopWeb {
    /// Requests that take longer are cut off.
    pub timeout: Duration,
}

/// The actor.
pub struct Web {
    supervision: Supervision,
    stopping: Arc<AtomicBool>,
    connections: Connections,
    /// Until the actor's own thread runs it.
    bound: Option<Server>,
    running: Option<Running>,
    lookers: Lookers,
    api: ApiRef,
    /// When changes are told next.
    timer: Timer,
    /// When they were told last.
    told: Option<DateTime<Utc>>,
    /// They are being read.
    telling: bool,
    snapshots_changed: bool,
}

/// The HTTP server at work. It lives beside the actor, so that a restart of the actor cuts no connection.
struct Running {
    handle: ServerHandle,
    task: JoinHandle<()>,
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").field("connections", &self.connections).finish_non_exhaustive()
    }
}

impl Web {
    /// Listens, and serves in `arbiter`. Answers the address, which tells the port that was free.
    ///
    /// # Errors
    /// When the address can't be used.
    pub fn start(
        arbiter: &ArbiterHandle,
        config: Config,
        deps: Deps,
    ) -> std::result::Result<(Addr<Self>, SocketAddr), StartError> {
        let listener = bind(config.listen)?;
        let address = listener.local_addr().unwrap_or(config.listen);
        Ok((Self::start_on(arbiter, listener, config, deps)?, address))
    }

    /// Serves in `arbiter` what comes to a listener of [`bind`], for those who must know the address before.
    ///
    /// # Errors
    /// When the listener can't be used.
    pub fn start_on(
        arbiter: &ArbiterHandle,
        listener: TcpListener,
        config: Config,
        deps: Deps,
    ) -> std::result::Result<Addr<Self>, StartError> {
        let supervision = deps.supervision.clone();
        let stopping = Arc::new(AtomicBool::new(false));
        let address = config.listen;
        let tls = config.tls.as_ref().map(tls::config).transpose()?;
        let api = web::Data::new(Api::new(config, deps, routes::table(), Arc::clone(&stopping)));
        let connections = api.connections.clone();
        let (server, lookers) = http_server::serve(listener, &api, tls)
            .map_err(|source| StartError::Address { address, source })?;
        Ok(Supervisor::start_in_arbiter(arbiter, move |_| Self {
            supervision,
            stopping,
            connections,
            bound: Some(server),
            lookers,
            running: None,
            timer: Timer::new(api.deps.kit.clock().clone()),
            api,
            told: None,
            telling: false,
            snapshots_changed: false,
        }))
    }

    fn run(&mut self, server: Server) {
        let handle = server.handle();
        let (stopping, supervision) = (Arc::clone(&self.stopping), self.supervision.clone());
        let task = actix::spawn(async move {
            let end = server.await;
            if !stopping.load(Ordering::Relaxed) {
                log::error!("event=http_ended result={end:?}");
                supervision.give_up();
            }
        });
        self.running = Some(Running { handle, task });
    }
}

impl Web {
    /// Something changed: it is told soon, and not more often than people can follow.
    fn tell_soon(&mut self, ctx: &mut Context<Self>) {
        let now = self.api.deps.kit.now();
        if self.api.hub.is_watched(now) {
            let due = self.told.map_or(now, |told| (told + PACE).max(now));
            self.timer.no_later_than(due, ctx, |this| &mut this.timer);
        }
    }
}

impl Wakes for Web {
    fn wake(&mut self, tick: Tick, ctx: &mut Context<Self>) {
        self.told = Some(tick.now);
        if self.telling {
            return self.tell_soon(ctx);
        }
        self.telling = true;
        let (api, snapshots) = (self.api.clone(), std::mem::take(&mut self.snapshots_changed));
        let telling = async move { live::feed(&api, snapshots).await };
        ctx.spawn(wrap_future::<_, Self>(telling).map(move |(), this, _| {
            this.telling = false;
            drop(tick);
        }));
    }
}

impl Running {
    async fn stop(self, connections: Connections, timeout: Duration) {
        let stopped = self.handle.stop(true);
        let drained = async {
            // The server looks only every second whether its connections are gone.
            tokio::select! {
                () = stopped => {}
                () = connections.none() => {}
            }
        };
        if tokio::time::timeout(timeout, drained).await.is_err() {
            log::warn!("event=requests_cut_off connections={}", connections.open());
        }
        self.task.abort();
        let _aborted = self.task.await;
    }
}

impl Actor for Web {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(64);
        match self.bound.take() {
            Some(server) => self.run(server),
            // A restart: a hint may have been lost with what was under way.
            None => {
                self.telling = false;
                self.timer = Timer::new(self.api.deps.kit.clock().clone());
                self.tell_soon(ctx);
            }
        }
    }
}

impl Supervised for Web {}

impl Guarded for Web {
    fn supervision(&self) -> &Supervision {
        &self.supervision
    }
}

impl Handler<Unready> for Web {
    type Result = Result<()>;

    fn handle(&mut self, _: Unready, ctx: &mut Self::Context) -> Result<()> {
        guarded(self, ctx, |this, _| {
            this.stopping.store(true, Ordering::Relaxed);
            Ok(())
        })
    }
}

impl Handler<StopWeb> for Web {
    type Result = ResponseActFuture<Self, Result<()>>;

    fn handle(&mut self, stop: StopWeb, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |this, _| -> ResponseActFuture<Self, Result<()>> {
            this.stopping.store(true, Ordering::Relaxed);
            this.api.hub.close();
            let (running, connections) = (this.running.take(), this.connections.clone());
            let lookers = this.lookers.clone();
            Box::pin(wrap_future(async move {
                if let Some(running) = running {
                    running.stop(connections, stop.timeout).await;
                }
                lookers.stop();
                Ok(())
            }))
        })
    }
}

impl Handler<Changed> for Web {
    type Result = ();

    fn handle(&mut self, _: Changed, ctx: &mut Self::Context) {
        guarded(self, ctx, Self::tell_soon);
    }
}

impl Handler<SnapshotsChanged> for Web {
    type Result = ();

    fn handle(&mut self, _: SnapshotsChanged, ctx: &mut Self::Context) {
        guarded(self, ctx, |this, ctx| {
            this.snapshots_changed = true;
            this.tell_soon(ctx);
        });
    }
}

impl Handler<Ping> for Web {
    type Result = Result<Pong>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Result<Pong> {
        Ok(Pong { restarts: self.supervision.restarts() })
    }
}

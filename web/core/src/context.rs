//! What requests are answered with: what the operator chose, the ports to the other actors, and what requests share.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};

use actix_web::{HttpRequest, web};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::task_link::TaskLink;
use flowlord_kernel::{ActorKit, Code, Locked, Ping, Port};
use flowlord_messages::clients::{
    AlertsClient, BackloadClient, BackupClient, ButtonsClient, ClusterClient, DatabaseReader, DatabaseWriter,
    DispatchClient, FilesClient, IngestClient, LibraryClient, LogsClient, NotifierClient, RetentionClient,
    SchedulerClient, ShipperClient,
};
use flowlord_messages::cluster::ClusterState;

use crate::auth::access::AccessRules;
use crate::auth::failures::TokenFailures;
use crate::auth::tokens::TokenRegistry;
use crate::base_path::BasePath;
use crate::cluster::ClusterStatus;
use crate::connections::ConnectionCount;
use crate::demo_slack::{DEMO_SLACK, DemoSlack};
use crate::hosts::OwnHosts;
use crate::live_events::EventHub;
use crate::log_stream::LogFollowers;
use crate::long_poll_limit::LongPolls;
use crate::own_writes::OwnWrites;
use crate::problem::Problem;
use crate::request_id::RequestIds;
use crate::route::RouteTable;
use crate::table_sizes::TableSizes;

/// Writes what was counted so far.
#[derive(Clone)]
pub struct MetricsWriter(pub Arc<dyn Fn() -> String + Send + Sync>);

/// What the operator chose about the history, for people to see.
#[derive(Debug, Clone, Default)]
pub struct HistoryPolicy {
    pub history: TimeDelta,
    /// A task without a result raises an alert after this time.
    pub unfinished: TimeDelta,
    /// Where snapshots go; empty for nowhere.
    pub backup: String,
}

#[derive(Clone)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Threads that answer requests; 0 means one per core.
    pub workers: usize,
    /// How long a lease lasts unless its worker asks for something else.
    pub lease: TimeDelta,
    /// The address in links that people click, if one was given.
    pub public_url: Option<String>,
    pub host: String,
    pub version: String,
    pub slack: bool,
    /// Where the demo's messages go.
    pub demo_slack: Option<Arc<DemoSlack>>,
    pub started_at: DateTime<Utc>,
    pub kept: HistoryPolicy,
    pub access: AccessRules,
    pub limits: WebLimits,
    /// The certificate; none for plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Everything counted so far, as Prometheus reads it.
    pub metrics: MetricsWriter,
    /// Where the page of each task leads.
    pub links: Vec<TaskLink>,
    /// How the cluster is at the start.
    pub cluster: ClusterState,
}

#[derive(Debug, Clone, Copy)]
pub struct WebLimits {
    /// Connections; requests of more are answered 503.
    pub connections: usize,
    /// Requests of one token, or of one address without one, that wait for tasks.
    pub long_polls: usize,
}

/// What it works with: a client of each actor below.
#[derive(Debug, Clone)]
pub struct Deps {
    pub kit: ActorKit,
    pub writer: DatabaseWriter,
    /// Reads for workers and logins.
    pub reader: DatabaseReader,
    /// Reads what people look at, with lower priority.
    pub view_reader: DatabaseReader,
    pub library: LibraryClient,
    pub scheduler: SchedulerClient,
    pub dispatch: DispatchClient,
    pub ingest: IngestClient,
    pub alerts: AlertsClient,
    pub notifier: NotifierClient,
    pub buttons: ButtonsClient,
    pub backup: BackupClient,
    pub shipper: ShipperClient,
    pub retention: RetentionClient,
    pub backload: BackloadClient,
    pub files: FilesClient,
    pub logs: LogsClient,
    pub cluster: ClusterClient,
    /// Every actor that the service needs, by name.
    pub pings: Vec<(&'static str, Port<Ping>)>,
}

/// Where the certificate and its key are, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those that vouch for it.
    pub cert: PathBuf,
    pub key: PathBuf,
}

pub struct WebContext {
    pub config: Config,
    pub deps: Deps,
    pub routes: Arc<RouteTable>,
    pub hosts: OwnHosts,
    pub base: BasePath,
    pub tokens: TokenRegistry,
    pub failures: TokenFailures,
    pub hub: Arc<EventHub>,
    pub request_ids: RequestIds,
    pub connections: ConnectionCount,
    pub long_polls: LongPolls,
    pub log_followers: LogFollowers,
    pub sizes: TableSizes,
    pub cluster: ClusterStatus,
    pub own_writes: OwnWrites,
    stopping: AtomicBool,
    /// Topics that `/metrics` ever showed.
    topics: Locked<BTreeSet<String>>,
    /// What it ever showed of limits.
    limits: Locked<BTreeSet<Series>>,
}

/// A figure of `/metrics`, and its labels.
pub type Series = (&'static str, Vec<(&'static str, String)>);

pub type ContextRef = web::Data<WebContext>;

impl WebContext {
    pub fn new(config: Config, deps: Deps, routes: RouteTable) -> Self {
        Self {
            hosts: OwnHosts::new(config.listen, config.public_url.as_deref()),
            base: BasePath::of(config.public_url.as_deref()),
            tokens: TokenRegistry::new(deps.kit.clock().clone(), deps.reader.clone(), config.access.local),
            failures: TokenFailures::default(),
            hub: Arc::new(EventHub::new(config.started_at)),
            request_ids: RequestIds::new(config.started_at),
            connections: ConnectionCount::default(),
            long_polls: LongPolls::default(),
            log_followers: LogFollowers::default(),
            sizes: TableSizes::default(),
            cluster: ClusterStatus::new(config.cluster.clone()),
            own_writes: OwnWrites::default(),
            stopping: AtomicBool::default(),
            topics: Locked::default(),
            limits: Locked::default(),
            config,
            deps,
            routes: Arc::new(routes),
        }
    }

    /// What stands in for Slack in the demo; other services have none.
    pub fn demo_slack(&self) -> Result<&DemoSlack, Problem> {
        let absent = || Problem::new(Code::NotFound, format!("there is nothing at {DEMO_SLACK}: only the demo has it"));
        self.config.demo_slack.as_deref().ok_or_else(absent)
    }

    pub fn topics_shown(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.topics.lock()
    }

    pub fn limits_shown(&self) -> MutexGuard<'_, BTreeSet<Series>> {
        self.limits.lock()
    }

    /// `/readyz` answers 503 from now on, and no new work begins.
    pub fn turn_unready(&self) {
        // Nothing else is published with it: a request that sees it late could as well have come a moment earlier.
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Who asks: the address of the peer, or the one that a trusted proxy names.
    pub fn client(&self, request: &HttpRequest) -> Option<IpAddr> {
        let peer = request.peer_addr().map(|peer| peer.ip());
        self.config.access.proxies.client(peer, request.headers())
    }

    /// Whether the browser came by HTTPS.
    pub fn is_https(&self, request: &HttpRequest) -> bool {
        // Its cookie must not go another way then, so one sign of it is enough.
        let peer = request.peer_addr().map(|peer| peer.ip());
        self.config.tls.is_some()
            || self.config.public_url.as_ref().is_some_and(|url| url.starts_with("https://"))
            || self.config.access.proxies.is_https(peer, request.headers())
    }

    pub fn check_connections(&self) -> Result<(), Problem> {
        let (open, most) = (self.connections.open(), self.config.limits.connections);
        // The connection that asks is counted already.
        if open <= most {
            return Ok(());
        }
        let detail = format!("{open} connections are open, {most} may be: close some, or raise limits.connections");
        // Left open, this connection would stay one of too many.
        Err(Problem::new(Code::Busy, detail).hanging_up())
    }

    pub fn refuse_when_stopping(&self) -> Result<(), Problem> {
        if self.is_stopping() {
            return Err(Problem::new(Code::Stopping, "the service is stopping and leases no more tasks"));
        }
        Ok(())
    }
}

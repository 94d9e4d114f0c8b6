//! A running flowlord: every actor, started from the bottom up and stopped from the top down.

mod actors;
mod cluster;
mod follower;
mod start;
mod web;
mod wiring;

use std::net::SocketAddr;
use std::time::Duration;

use actix::Arbiter;
use anyhow::Context as _;
use flowlord_db::{DamageMonitor, Database, FolderLock, FollowingDatabase, SeenDamage};
use flowlord_kernel::{ActorEnvironment, Port};
use flowlord_messages::alerts::StopAlerting;
use flowlord_messages::backloads::StopBackloads;
use flowlord_messages::changelog::StopShipping;
use flowlord_messages::clients::LibraryClient;
use flowlord_messages::cluster::{ResignLead, StopFollowing};
use flowlord_messages::database::CloseDatabase;
use flowlord_messages::files::StopFiles;
use flowlord_messages::leases::StopLeasing;
use flowlord_messages::outbox::{StopButtons, StopNotifying};
use flowlord_messages::schedule::StopScheduling;
use flowlord_messages::snapshots::StopBackup;
use flowlord_messages::workflows::{ReloadReport, ReloadWorkflows};
pub use flowlord_replica::RoleChange;
use flowlord_replica::RoleSwitch;
use flowlord_storage::StorageConnections;
use flowlord_web_server::{StopWeb, TurnUnready};

use crate::config::{Config, Secret};
use crate::running::{Running, ServiceFile};

use wiring::{AppWiring, WiredService};

/// How long requests under way may take at a stop.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

/// The same where the node's role has changed: what is under way can't succeed any more.
const REQUESTS_OF_LOST_ROLE: Duration = Duration::from_millis(250);

/// A running flowlord. Start it within an actix system.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    scheme: &'static str,
    stops: StopPorts,
    database: OpenDatabase,
    arbiters: Vec<Arbiter>,
    announced: ServiceFile,
    first_token: Option<Secret>,
    /// None while another node leads.
    library: Option<LibraryClient>,
    role: RoleSwitch,
}

/// The database, with the folder's lock.
#[derive(Debug)]
enum OpenDatabase {
    Written(Database),
    Followed(FollowingDatabase),
}

impl OpenDatabase {
    fn damage(&self) -> &DamageMonitor {
        match self {
            Self::Written(database) => &database.damage,
            Self::Followed(database) => &database.damage,
        }
    }
}

/// The last messages to those that answer requests, and to the database.
#[derive(Debug)]
struct StopPorts {
    unready: Port<TurnUnready>,
    web: Port<StopWeb>,
    /// Ends what makes work and what stores it elsewhere.
    work: WorkStops,
    database: Port<CloseDatabase>,
}

#[derive(Debug)]
enum WorkStops {
    Leader(Box<LeaderStops>),
    Follower(Port<StopFollowing>),
}

#[derive(Debug)]
struct LeaderStops {
    leasing: Port<StopLeasing>,
    scheduling: Port<StopScheduling>,
    files: Port<StopFiles>,
    backload: Port<StopBackloads>,
    clicks: Port<StopButtons>,
    alerting: Port<StopAlerting>,
    notifying: Port<StopNotifying>,
    shipping: Port<StopShipping>,
    last: LastStop,
}

/// What is done once all is shipped.
#[derive(Debug)]
enum LastStop {
    /// A last snapshot.
    Backup(Port<StopBackup>),
    /// Another node may lead; snapshots are its affair from then on.
    Resign(Port<ResignLead>),
}

impl App {
    /// Opens the data, loads the workflows, and serves. After an error nothing is left running.
    pub async fn start(config: &Config, environment: ActorEnvironment) -> anyhow::Result<Self> {
        let stores = StorageConnections::new(config.store.clone());
        match config.workflow.as_local() {
            Some(path) => anyhow::ensure!(
                path.exists(),
                "the workflow path {} doesn't exist: name a file or folder with --workflow",
                path.display()
            ),
            // A store that is away keeps nobody from starting: what was loaded before counts.
            None => drop(stores.open(&config.workflow)?),
        }
        // Bound first: a taken address must not cost a started service, and links need the port.
        let listener = flowlord_web_server::bind(config.listen)?;
        let address = listener.local_addr()?;
        let lock = FolderLock::take(&config.data)?;
        let node = cluster::start_node(config, &stores, &lock, &environment).await?;
        let mut arbiters = Vec::new();
        let local = flowlord_web_core::auth::new_token(&mut environment.ids.clone());
        let role = RoleSwitch::default();
        let wiring = AppWiring {
            metrics: crate::metrics::start(),
            local: local.1,
            config,
            stores,
            environment: &environment,
            role: role.clone(),
        };
        match wiring.start(node, lock, listener, address, &mut arbiters).await {
            Ok(WiredService { database, stops, first_token, library }) => {
                let announced = Running::announce(&config.data, address, config.scheme(), &local.0)
                    .with_context(|| format!("{} can't be written", config.data.display()))?;
                log::info!("event=started address={address} version={}", env!("CARGO_PKG_VERSION"));
                let scheme = config.scheme();
                Ok(Self { address, scheme, stops, database, arbiters, announced, first_token, library, role })
            }
            Err(err) => {
                end_threads(arbiters);
                Err(err)
            }
        }
    }

    /// The token of the first start, where nobody could get in without one. Show it once: it isn't stored.
    pub fn first_token(&self) -> Option<&Secret> {
        self.first_token.as_ref()
    }
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it is reached: `http://ADDRESS` or `https://ADDRESS`.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Waits until damage was seen in the database and the service should restart for it: the next start checks the
    /// whole file, and restores the newest sound snapshot where it is damaged. Answers what was seen.
    pub async fn damaged(&self) -> SeenDamage {
        self.database.damage().until_restart().await
    }

    /// Waits until the node's role in its cluster has changed and the service should restart for it; for ever without
    /// a cluster.
    pub async fn role_changed(&self) -> RoleChange {
        self.role.changed().await
    }

    /// Reads the workflow files again; none while another node leads, which reads them itself.
    pub fn reload(&self) -> Option<impl Future<Output = flowlord_kernel::Result<ReloadReport>> + use<>> {
        self.library.as_ref().map(|library| library.call(ReloadWorkflows))
    }

    /// Stops in order: no new leases, HTTP answers what it has, nothing new starts, nothing more is told, and the
    /// database is closed. What an actor fails to do in its last message is logged; the others go on.
    pub async fn stop(self) {
        let Self { stops, database, arbiters, announced, .. } = self;
        // Commands that would ask this service find no address from here on.
        drop(announced);
        // In this order: what makes work stops before what stores it. Each call waits for its answer.
        log_failure("web", stops.unready.call(TurnUnready).await);
        if let WorkStops::Leader(work) = &stops.work {
            log_failure("dispatch", work.leasing.call(StopLeasing).await);
        }
        log_failure("web", stops.web.call(StopWeb { timeout: LAST_REQUESTS }).await);
        match &stops.work {
            WorkStops::Leader(work) => work.stop().await,
            WorkStops::Follower(following) => log_failure("replica", following.call(StopFollowing).await),
        }
        log_failure("db", stops.database.call(CloseDatabase).await);
        end_threads(arbiters);
        // With the folder's lock, which nobody else may have before the threads are gone.
        drop(database);
    }

    /// Stops at once what a node does that leads no more, or that follows no more: nothing may be acknowledged or
    /// stored elsewhere, and others wait for it in its new role.
    pub async fn leave_role(self) {
        let Self { stops, database, arbiters, announced, .. } = self;
        drop(announced);
        log_failure("web", stops.web.call(StopWeb { timeout: REQUESTS_OF_LOST_ROLE }).await);
        log_failure("db", stops.database.call(CloseDatabase).await);
        end_threads(arbiters);
        drop(database);
    }
}

impl LeaderStops {
    async fn stop(&self) {
        log_failure("scheduler", self.scheduling.call(StopScheduling).await);
        log_failure("files", self.files.call(StopFiles).await);
        log_failure("backload", self.backload.call(StopBackloads).await);
        log_failure("buttons", self.clicks.call(StopButtons).await);
        log_failure("alerts", self.alerting.call(StopAlerting).await);
        log_failure("notifier", self.notifying.call(StopNotifying).await);
        let shipped = self.shipping.call(StopShipping).await;
        match &self.last {
            LastStop::Backup(backup) => log_failure("backup", backup.call(StopBackup).await),
            // Only then: it says that nothing is missing. Else another node takes over as after a kill, and tells.
            LastStop::Resign(replica) if shipped.is_ok() => log_failure("replica", replica.call(ResignLead).await),
            LastStop::Resign(_) => {}
        }
        log_failure("shipper", shipped);
    }
}

fn log_failure(actor: &str, answer: flowlord_kernel::Result<()>) {
    if let Err(err) = answer {
        log::error!("event=not_stopped_cleanly actor={actor} error={err:?}");
    }
}

/// Does what must be done between the stop of a service in one role and its start in the other.
pub fn prepare_role(config: &Config, environment: &ActorEnvironment, change: &RoleChange) -> anyhow::Result<()> {
    match change {
        RoleChange::Reseeds { entry, why, is_different } => {
            let what = is_different.then_some(why.as_str());
            cluster::prepare_reseed(config, environment, *entry, what)
        }
        RoleChange::Leads | RoleChange::Deposed { .. } | RoleChange::HandsOver => Ok(()),
    }
}

fn end_threads(arbiters: Vec<Arbiter>) {
    // All are asked before the first is waited for, or their ends would add up.
    for arbiter in &arbiters {
        arbiter.stop();
    }
    for arbiter in arbiters {
        let _panicked_and_logged = arbiter.join();
    }
}

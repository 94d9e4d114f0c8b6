//! A running flowlord: every actor, started from the bottom up and stopped from the top down.

mod actors;
mod start;
mod web;
mod wiring;

use std::net::SocketAddr;
use std::time::Duration;

use actix::Arbiter;
use anyhow::Context as _;
use flowlord_db::{Database, SeenDamage};
use flowlord_kernel::{ActorEnvironment, Port};
use flowlord_messages::alerts::StopAlerting;
use flowlord_messages::backloads::StopBackloads;
use flowlord_messages::changelog::StopShipping;
use flowlord_messages::clients::LibraryClient;
use flowlord_messages::database::CloseDatabase;
use flowlord_messages::files::StopFiles;
use flowlord_messages::leases::StopLeasing;
use flowlord_messages::outbox::{StopButtons, StopNotifying};
use flowlord_messages::schedule::StopScheduling;
use flowlord_messages::snapshots::StopBackup;
use flowlord_messages::workflows::{ReloadReport, ReloadWorkflows};
use flowlord_storage::StorageConnections;
use flowlord_web_server::{StopWeb, TurnUnready};

use crate::config::{Config, Secret};
use crate::running::{Running, ServiceFile};

use wiring::{AppWiring, WiredService};

/// How long requests under way may take at a stop.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

/// A running flowlord. Start it within an actix system.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    scheme: &'static str,
    stops: StopPorts,
    database: Database,
    arbiters: Vec<Arbiter>,
    announced: ServiceFile,
    first_token: Option<Secret>,
    library: LibraryClient,
}

#[derive(Debug)]
struct StopPorts {
    unready: Port<TurnUnready>,
    leasing: Port<StopLeasing>,
    web: Port<StopWeb>,
    scheduling: Port<StopScheduling>,
    files: Port<StopFiles>,
    backload: Port<StopBackloads>,
    clicks: Port<StopButtons>,
    alerting: Port<StopAlerting>,
    notifying: Port<StopNotifying>,
    shipping: Port<StopShipping>,
    backup: Port<StopBackup>,
    database: Port<CloseDatabase>,
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
        let mut arbiters = Vec::new();
        let local = flowlord_web_core::auth::new_token(&mut environment.ids.clone());
        let started =
            AppWiring { metrics: crate::metrics::start(), local: local.1, config, stores, environment: &environment }
                .start(listener, address, &mut arbiters)
                .await;
        match started {
            Ok(WiredService { database, stops, first_token, library }) => {
                let announced = Running::announce(&config.data, address, config.scheme(), &local.0)
                    .with_context(|| format!("{} can't be written", config.data.display()))?;
                log::info!("event=started address={address} version={}", env!("CARGO_PKG_VERSION"));
                let scheme = config.scheme();
                Ok(Self { address, scheme, stops, database, arbiters, announced, first_token, library })
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
        self.database.damage.until_restart().await
    }

    pub fn reload(&self) -> impl Future<Output = flowlord_kernel::Result<ReloadReport>> + use<> {
        self.library.call(ReloadWorkflows)
    }

    /// Stops in order: no new leases, HTTP answers what it has, nothing new starts, nothing more is told, and the
    /// database is closed. What an actor fails to do in its last message is logged; the others go on.
    pub async fn stop(self) {
        let Self { stops, database, arbiters, announced, .. } = self;
        // Commands that would ask this service find no address from here on.
        drop(announced);
        // In this order: what makes work stops before what stores it. Each call waits for its answer.
        let said = [
            ("web", stops.unready.call(TurnUnready).await),
            ("dispatch", stops.leasing.call(StopLeasing).await),
            ("web", stops.web.call(StopWeb { timeout: LAST_REQUESTS }).await),
            ("scheduler", stops.scheduling.call(StopScheduling).await),
            ("files", stops.files.call(StopFiles).await),
            ("backload", stops.backload.call(StopBackloads).await),
            ("buttons", stops.clicks.call(StopButtons).await),
            ("alerts", stops.alerting.call(StopAlerting).await),
            ("notifier", stops.notifying.call(StopNotifying).await),
            ("shipper", stops.shipping.call(StopShipping).await),
            ("backup", stops.backup.call(StopBackup).await),
            ("db", stops.database.call(CloseDatabase).await),
        ];
        for (actor, answer) in said {
            if let Err(err) = answer {
                log::error!("event=not_stopped_cleanly actor={actor} error={err:?}");
            }
        }
        end_threads(arbiters);
        // With the folder's lock, which nobody else may have before the threads are gone.
        drop(database);
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

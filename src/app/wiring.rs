//! What leads where: the actors in the order of their start, the ports between them, and the last messages.

use std::net::{SocketAddr, TcpListener};

use actix::{Addr, Arbiter, ArbiterHandle};
use anyhow::Context as _;
use flowlord_alerts::Alerts;
use flowlord_alerts::deadlines::DeadlineChecker;
use flowlord_backload::Backload;
use flowlord_backup::{Backup, Shipper};
use flowlord_db::{CommitHints, Database, FolderLock};
use flowlord_dispatch::Dispatch;
use flowlord_domain::IdSource as _;
use flowlord_files::Files;
use flowlord_ingest::Ingest;
use flowlord_janitor::retention::HistoryRemover;
use flowlord_kernel::{ActorEnvironment, LatePort, Ping, Port, PortLimits, lower_priority};
use flowlord_library::Library;
use flowlord_messages::AlertSender;
use flowlord_messages::clients::{DatabaseCopier, DatabaseReader, DatabaseWriter, LibraryClient};
use flowlord_messages::events::SnapshotsChanged;
use flowlord_messages::tokens::TokenHash;
use flowlord_messages::workflows::WorkflowsChanged;
use flowlord_scheduler::Scheduler;
use flowlord_slack::{Buttons, Notifier};
use flowlord_storage::StorageConnections;
use flowlord_web_core::context::MetricsWriter;
use flowlord_web_server::WebActor;

use crate::config::{Config, Secret};
use crate::recovery;

use super::StopPorts;

pub(super) struct AppWiring<'a> {
    pub(super) local: TokenHash,
    pub(super) metrics: MetricsWriter,
    pub(super) config: &'a Config,
    pub(super) stores: StorageConnections,
    pub(super) environment: &'a ActorEnvironment,
}

pub(super) struct WiredService {
    pub(super) database: Database,
    pub(super) stops: StopPorts,
    pub(super) first_token: Option<Secret>,
    pub(super) library: LibraryClient,
}

/// The hints upwards, set once their hearers are there.
#[derive(Default)]
pub(super) struct HintPorts {
    pub(super) database: CommitHints,
    pub(super) ingest: LatePort<WorkflowsChanged>,
    pub(super) scheduler: LatePort<WorkflowsChanged>,
    pub(super) snapshots: LatePort<SnapshotsChanged>,
}

/// Every actor but the web and the one that pings a monitor.
pub(super) struct ActorAddresses {
    pub(super) database: Database,
    pub(super) library: Addr<Library>,
    pub(super) scheduler: Addr<Scheduler>,
    pub(super) dispatch: Addr<Dispatch>,
    pub(super) ingest: Addr<Ingest>,
    pub(super) alerts: Addr<Alerts>,
    watch: Addr<DeadlineChecker>,
    pub(super) notifier: Addr<Notifier>,
    pub(super) buttons: Addr<Buttons>,
    pub(super) backup: Addr<Backup>,
    pub(super) shipper: Addr<Shipper>,
    pub(super) retention: Addr<HistoryRemover>,
    pub(super) backload: Addr<Backload>,
    pub(super) files: Addr<Files>,
}

/// The writer has a thread, results and leases have one, and the calm actors share one.
struct ActorThreads {
    database: ArbiterHandle,
    hot: ArbiterHandle,
    calm: ArbiterHandle,
    behind: ArbiterHandle,
}

impl ActorThreads {
    fn start(arbiters: &mut Vec<Arbiter>) -> Self {
        let [database, hot, calm, behind] = [(); 4].map(|()| {
            let arbiter = Arbiter::new();
            let handle = arbiter.handle();
            arbiters.push(arbiter);
            handle
        });
        // What copies and hashes whole databases yields to all others, with the threads that it begins.
        behind.spawn_fn(lower_priority);
        Self { database, hot, calm, behind }
    }
}

impl AppWiring<'_> {
    pub(super) async fn start(
        &self,
        listener: TcpListener,
        address: SocketAddr,
        arbiters: &mut Vec<Arbiter>,
    ) -> anyhow::Result<WiredService> {
        let threads = ActorThreads::start(arbiters);
        let hints = HintPorts::default();
        let lock = FolderLock::take(&self.config.data)?;
        let now = self.environment.clock.now();
        let handled = recovery::at_start(self.config, &self.stores, &lock, now).await?;
        let actors = self.start_actors(lock, address, &threads, &hints)?;
        self.connect_hints(&hints, &actors);
        let mut pings = self.list_pings(&actors);
        // An actor that answers has started: what it reads at its start is under way.
        for ping in &pings {
            ping.call(Ping).await.with_context(|| format!("{} doesn't start", ping.name()))?;
        }
        let deadman = self.deadman(&threads.calm, &pings)?;
        pings.extend(deadman.map(|deadman| self.environment.port("deadman", &deadman)));
        if let Some(handled) = handled {
            self.tell_recovery(&actors.database, handled).await?;
        }
        let first_token = self.first_token(&actors.database).await?;
        // Last, since it calls all others, and a request that it takes must find them.
        let web = self.web(&threads.calm, listener, &actors, pings)?;
        hints.database.changed.set(self.environment.port("web", &web));
        hints.snapshots.set(self.environment.port("web", &web));
        let stops = self.stop_ports(&web, &actors);
        let library = self.library_client(&actors.library);
        Ok(WiredService { database: actors.database, stops, first_token, library })
    }

    fn start_actors(
        &self,
        lock: FolderLock,
        address: SocketAddr,
        threads: &ActorThreads,
        hints: &HintPorts,
    ) -> anyhow::Result<ActorAddresses> {
        let ActorThreads { database: db_thread, hot, calm, behind } = threads;
        let record = self.config.backup.shipping().map(|_| self.environment.ids.clone().random_bits());
        let database = Database::open(lock, record, db_thread, self.environment.kit("db"), hints.database.clone())?;
        let library = self.library(calm, &database, hints);
        let ingest = self.ingest(hot, &database, &library);
        let dispatch = self.dispatch(hot, &database, &ingest);
        let scheduler = self.scheduler(calm, &database, &library);
        let alerts = self.alerts(calm, &database, address);
        let watch = self.watch(calm, &database, &library);
        let notifier = self.notifier(calm, &database);
        let buttons = self.buttons(calm, &database, &alerts);
        let backup = self.backup(behind, &database, hints)?;
        let shipper = self.shipper(behind, &database, &backup)?;
        Ok(ActorAddresses {
            retention: self.retention(calm, &database),
            backload: self.backload(calm, &database, &library),
            files: self.files(calm, &database, &library),
            database,
            library,
            scheduler,
            dispatch,
            ingest,
            alerts,
            watch,
            notifier,
            buttons,
            backup,
            shipper,
        })
    }

    fn connect_hints(&self, hints: &HintPorts, actors: &ActorAddresses) {
        hints.ingest.set(self.environment.port("ingest", &actors.ingest));
        hints.scheduler.set(self.environment.port("scheduler", &actors.scheduler));
        hints.database.ready.set(self.environment.port("dispatch", &actors.dispatch));
        hints.database.delayed.set(self.environment.port("scheduler", &actors.scheduler));
        hints.database.alert.set(self.environment.port("alerts", &actors.alerts));
        hints.database.notify.set(self.environment.port("notifier", &actors.notifier));
    }

    fn list_pings(&self, actors: &ActorAddresses) -> Vec<Port<Ping>> {
        vec![
            self.environment.port("db", &actors.database.owner),
            self.environment.port("readers", &actors.database.readers),
            self.environment.port("view_readers", &actors.database.view_readers),
            self.environment.port("library", &actors.library),
            self.environment.port("scheduler", &actors.scheduler),
            self.environment.port("dispatch", &actors.dispatch),
            self.environment.port("ingest", &actors.ingest),
            self.environment.port("alerts", &actors.alerts),
            self.environment.port("watch", &actors.watch),
            self.environment.port("notifier", &actors.notifier),
            self.environment.port("buttons", &actors.buttons),
            self.environment.port("backup", &actors.backup),
            self.environment.port("shipper", &actors.shipper),
            self.environment.port("retention", &actors.retention),
            self.environment.port("backload", &actors.backload),
            self.environment.port("files", &actors.files),
        ]
    }

    fn stop_ports(&self, web: &Addr<WebActor>, actors: &ActorAddresses) -> StopPorts {
        let backup = actors.backup.clone().recipient();
        StopPorts {
            unready: self.environment.port("web", web),
            leasing: self.environment.port("dispatch", &actors.dispatch),
            web: self.environment.port("web", web),
            scheduling: self.environment.port("scheduler", &actors.scheduler),
            files: self.environment.port("files", &actors.files),
            backload: self.environment.port("backload", &actors.backload),
            alerting: self.environment.port("alerts", &actors.alerts),
            clicks: self.environment.port("buttons", &actors.buttons),
            notifying: self.environment.port("notifier", &actors.notifier),
            shipping: self.environment.port("shipper", &actors.shipper),
            // A last snapshot takes as long as the database is large.
            backup: Port::new("backup", backup, PortLimits::PATIENT, &self.environment.activity),
            database: self.environment.port("db", &actors.database.owner),
        }
    }

    pub(super) fn reader(&self, database: &Database) -> DatabaseReader {
        DatabaseReader::connect("readers", &database.readers, self.environment)
    }

    /// Reads what people look at, with lower priority.
    pub(super) fn view_reader(&self, database: &Database) -> DatabaseReader {
        DatabaseReader::connect("view_readers", &database.view_readers, self.environment)
    }

    pub(super) fn writer(&self, database: &Database) -> DatabaseWriter {
        DatabaseWriter::connect("db", &database.owner, self.environment)
    }

    pub(super) fn copier(&self, database: &Database) -> DatabaseCopier {
        DatabaseCopier::connect("db", &database.owner, self.environment)
    }

    pub(super) fn library_client(&self, library: &Addr<Library>) -> LibraryClient {
        LibraryClient::connect("library", library, self.environment)
    }

    pub(super) fn alert_sender(&self, database: &Database) -> AlertSender {
        AlertSender::new(self.environment.port("db", &database.owner), self.environment)
    }
}

//! What leads where: the actors in the order of their start, the ports between them, and the last messages.

use std::net::{SocketAddr, TcpListener};

use actix::{Addr, Arbiter, ArbiterHandle};
use anyhow::Context as _;
use flowlord_alerts::Alerts;
use flowlord_alerts::deadlines::DeadlineChecker;
use flowlord_backload::Backload;
use flowlord_backup::{Backup, Shipper};
use flowlord_db::{CommitHints, Database, FolderLock, QueryReader};
use flowlord_dispatch::Dispatch;
use flowlord_domain::IdSource as _;
use flowlord_files::Files;
use flowlord_ingest::Ingest;
use flowlord_janitor::retention::HistoryRemover;
use flowlord_kernel::{ActorEnvironment, LatePort, Ping, Port, PortLimits, lower_priority};
use flowlord_library::Library;
use flowlord_logs::TaskLogs;
use flowlord_messages::AlertSender;
use flowlord_messages::alerts::RaiseAlerts;
use flowlord_messages::clients::{ClusterClient, DatabaseCopier, DatabaseReader, DatabaseWriter, LibraryClient};
use flowlord_messages::cluster::{AppendRecord, AppendRows, ClusterChanged, ClusterState, ReadCluster, SharedRecord};
use flowlord_messages::events::SnapshotsChanged;
use flowlord_messages::snapshots::TakeBackup;
use flowlord_messages::tokens::TokenHash;
use flowlord_messages::workflows::WorkflowsChanged;
use flowlord_replica::{Leader, RoleSwitch};
use flowlord_scheduler::Scheduler;
use flowlord_slack::{Buttons, Notifier};
use flowlord_storage::StorageConnections;
use flowlord_web_core::context::MetricsWriter;
use flowlord_web_server::WebActor;

use crate::config::{Config, Secret};
use crate::recovery;

use super::cluster::NodeStart;
use super::{LastStop, LeaderStops, OpenDatabase, StopPorts, WorkStops};

pub(super) struct AppWiring<'a> {
    pub(super) local: TokenHash,
    pub(super) metrics: MetricsWriter,
    pub(super) config: &'a Config,
    pub(super) stores: StorageConnections,
    pub(super) environment: &'a ActorEnvironment,
    pub(super) role: RoleSwitch,
}

pub(super) struct WiredService {
    pub(super) database: OpenDatabase,
    pub(super) stops: StopPorts,
    pub(super) first_token: Option<Secret>,
    pub(super) library: Option<LibraryClient>,
}

/// The hints upwards, set once their hearers are there.
#[derive(Default)]
pub(super) struct HintPorts {
    pub(super) database: CommitHints,
    pub(super) ingest: LatePort<WorkflowsChanged>,
    pub(super) dispatch: LatePort<WorkflowsChanged>,
    pub(super) scheduler: LatePort<WorkflowsChanged>,
    pub(super) snapshots: LatePort<SnapshotsChanged>,
    pub(super) cluster: LatePort<ClusterChanged>,
    /// Snapshots that followers need.
    pub(super) needed_snapshots: LatePort<TakeBackup>,
    /// What the leader finds out about followers.
    pub(super) cluster_alerts: LatePort<RaiseAlerts>,
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
    pub(super) logs: Addr<TaskLogs>,
    /// None without a cluster.
    pub(super) replica: Option<Addr<Leader>>,
}

/// The writer has a thread, results and leases have one, logs have one, and the calm actors share one.
pub(super) struct ActorThreads {
    pub(super) database: ArbiterHandle,
    hot: ArbiterHandle,
    pub(super) calm: ArbiterHandle,
    behind: ArbiterHandle,
    logs: ArbiterHandle,
}

impl ActorThreads {
    fn start(arbiters: &mut Vec<Arbiter>) -> Self {
        let [database, hot, calm, behind, logs] = [(); 5].map(|()| {
            let arbiter = Arbiter::new();
            let handle = arbiter.handle();
            arbiters.push(arbiter);
            handle
        });
        // What copies and hashes whole databases yields to all others, with the threads that it begins.
        behind.spawn_fn(lower_priority);
        Self { database, hot, calm, behind, logs }
    }
}

impl AppWiring<'_> {
    pub(super) async fn start(
        &self,
        node: NodeStart,
        lock: FolderLock,
        listener: TcpListener,
        address: SocketAddr,
        arbiters: &mut Vec<Arbiter>,
    ) -> anyhow::Result<WiredService> {
        let threads = ActorThreads::start(arbiters);
        match node {
            NodeStart::Follower(node) => self.start_follower(node, lock, listener, &threads).await,
            node => self.start_writing(node, lock, listener, address, &threads).await,
        }
    }

    async fn start_writing(
        &self,
        node: NodeStart,
        lock: FolderLock,
        listener: TcpListener,
        address: SocketAddr,
        threads: &ActorThreads,
    ) -> anyhow::Result<WiredService> {
        let hints = HintPorts::default();
        let now = self.environment.clock.now();
        // First: it keeps the lead, however long the database takes to be restored or upgraded.
        let replica = self.leader(&threads.calm, &node, &hints);
        let handled = recovery::at_start(self.config, &self.stores, &lock, now).await?;
        self.migrate_cluster(&node, replica.as_ref(), &lock).await?;
        let actors = self.start_actors(&node, replica, lock, address, threads, &hints)?;
        self.connect_hints(&hints, &actors);
        let mut pings = self.list_pings(&actors);
        ping_all(&pings).await?;
        let deadman = self.deadman(&threads.calm, &pings)?;
        pings.extend(deadman.map(|deadman| self.environment.port("deadman", &deadman)));
        if let Some(handled) = handled {
            self.tell_recovery(&actors.database, handled).await?;
        }
        self.tell_takeover(&actors.database, &node).await?;
        let first_token = self.first_token(&actors.database).await?;
        // Last, since it calls all others, and a request that it takes must find them.
        let web = self.web(&threads.calm, listener, &actors, pings, self.cluster_state(&actors).await?)?;
        hints.database.changed.set(self.environment.port("web", &web));
        hints.snapshots.set(self.environment.port("web", &web));
        hints.cluster.set(self.environment.port("web", &web));
        let stops = self.stop_ports(&web, &actors);
        let library = Some(self.library_client(&actors.library));
        Ok(WiredService { database: OpenDatabase::Written(actors.database), stops, first_token, library })
    }

    /// A newer program's tables are made at an entry of the log, at which the others make them, too.
    async fn migrate_cluster(
        &self,
        node: &NodeStart,
        replica: Option<&Addr<Leader>>,
        lock: &FolderLock,
    ) -> anyhow::Result<()> {
        let (NodeStart::Leader(start), Some(replica)) = (node, replica) else { return Ok(()) };
        let (data, chain) = (lock.folder(), self.environment.ids.clone().random_bits());
        let Some(migration) = start.plan_migration(data, chain) else { return Ok(()) };
        let record = SharedRecord::Migration(migration.clone());
        let entry = self.cluster_client(replica).call(AppendRecord(record)).await?;
        Ok(flowlord_db::make_migration(data, &migration, start.log.holds_transactions(), entry)?)
    }

    async fn cluster_state(&self, actors: &ActorAddresses) -> anyhow::Result<ClusterState> {
        let Some(replica) = &actors.replica else { return Ok(ClusterState::default()) };
        Ok(self.cluster_client(replica).call(ReadCluster).await?)
    }

    fn start_actors(
        &self,
        node: &NodeStart,
        replica: Option<Addr<Leader>>,
        lock: FolderLock,
        address: SocketAddr,
        threads: &ActorThreads,
        hints: &HintPorts,
    ) -> anyhow::Result<ActorAddresses> {
        let ActorThreads { database: db_thread, hot, calm, behind, logs } = threads;
        let record = self.config.backup.shipping().map(|_| self.environment.ids.clone().random_bits());
        let kit = self.environment.kit("db");
        let append = replica.as_ref().map(|replica| self.append_port(replica));
        let database = Database::open(lock, record, node.own_lead(append), db_thread, kit, hints.database.clone())?;
        let cluster = replica.as_ref().map(|replica| self.cluster_client(replica));
        let library = self.library(calm, &database, hints);
        let ingest = self.ingest(hot, &database, &library);
        let dispatch = self.dispatch(hot, &database, &library, &ingest);
        let scheduler = self.scheduler(calm, &database, &library);
        let alerts = self.alerts(calm, &database, address);
        let watch = self.watch(calm, &database, &library, &dispatch);
        let notifier = self.notifier(calm, &database, address);
        let buttons = self.buttons(calm, &database, &alerts, address);
        let backup = self.backup(behind, &database, node, hints, cluster.clone())?;
        let shipper = self.shipper(behind, &database, &backup, cluster)?;
        Ok(ActorAddresses {
            retention: self.retention(calm, &database),
            backload: self.backload(calm, &database, &library),
            files: self.files(calm, &database, &library),
            logs: self.task_logs(logs),
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
            replica,
        })
    }

    fn connect_hints(&self, hints: &HintPorts, actors: &ActorAddresses) {
        hints.ingest.set(self.environment.port("ingest", &actors.ingest));
        hints.dispatch.set(self.environment.port("dispatch", &actors.dispatch));
        hints.scheduler.set(self.environment.port("scheduler", &actors.scheduler));
        hints.database.ready.set(self.environment.port("dispatch", &actors.dispatch));
        hints.database.delayed.set(self.environment.port("scheduler", &actors.scheduler));
        hints.database.alert.set(self.environment.port("alerts", &actors.alerts));
        hints.database.notify.set(self.environment.port("notifier", &actors.notifier));
        hints.needed_snapshots.set(self.environment.port("backup", &actors.backup));
        hints.cluster_alerts.set(self.environment.port("db", &actors.database.owner));
    }

    fn list_pings(&self, actors: &ActorAddresses) -> Vec<Port<Ping>> {
        let mut pings = vec![
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
            self.environment.port("logs", &actors.logs),
        ];
        pings.extend(actors.replica.iter().map(|replica| self.environment.port("replica", replica)));
        pings
    }

    fn stop_ports(&self, web: &Addr<WebActor>, actors: &ActorAddresses) -> StopPorts {
        let backup = actors.backup.clone().recipient();
        let last = match &actors.replica {
            Some(replica) => LastStop::Resign(self.environment.port("replica", replica)),
            // A last snapshot takes as long as the database is large.
            None => LastStop::Backup(Port::new("backup", backup, PortLimits::PATIENT, &self.environment.activity)),
        };
        let work = LeaderStops {
            leasing: self.environment.port("dispatch", &actors.dispatch),
            scheduling: self.environment.port("scheduler", &actors.scheduler),
            files: self.environment.port("files", &actors.files),
            backload: self.environment.port("backload", &actors.backload),
            alerting: self.environment.port("alerts", &actors.alerts),
            clicks: self.environment.port("buttons", &actors.buttons),
            notifying: self.environment.port("notifier", &actors.notifier),
            shipping: self.environment.port("shipper", &actors.shipper),
            last,
        };
        StopPorts {
            unready: self.environment.port("web", web),
            web: self.environment.port("web", web),
            work: WorkStops::Leader(Box::new(work)),
            database: self.environment.port("db", &actors.database.owner),
        }
    }

    pub(super) fn reader(&self, readers: &Addr<QueryReader>) -> DatabaseReader {
        DatabaseReader::connect("readers", readers, self.environment)
    }

    /// Reads what people look at, with lower priority.
    pub(super) fn view_reader(&self, readers: &Addr<QueryReader>) -> DatabaseReader {
        DatabaseReader::connect("view_readers", readers, self.environment)
    }

    pub(super) fn writer(&self, database: &Database) -> DatabaseWriter {
        DatabaseWriter::connect("db", &database.owner, self.environment)
    }

    pub(super) fn copier(&self, database: &Database) -> DatabaseCopier {
        DatabaseCopier::connect("db", &database.owner, self.environment)
    }

    /// Without a limit of time: who gave up on an append wouldn't know what became of it.
    fn append_port(&self, replica: &Addr<Leader>) -> Port<AppendRows> {
        Port::new("replica", replica.clone().recipient(), PortLimits::PATIENT, &self.environment.activity)
    }

    pub(super) fn cluster_client(&self, replica: &Addr<Leader>) -> ClusterClient {
        ClusterClient::connect("replica", replica, self.environment)
    }

    pub(super) fn library_client(&self, library: &Addr<Library>) -> LibraryClient {
        LibraryClient::connect("library", library, self.environment)
    }

    pub(super) fn alert_sender(&self, database: &Database) -> AlertSender {
        AlertSender::new(self.environment.port("db", &database.owner), self.environment)
    }
}

/// An actor that answers has started: what it reads at its start is under way.
pub(super) async fn ping_all(pings: &[Port<Ping>]) -> anyhow::Result<()> {
    for ping in pings {
        ping.call(Ping).await.with_context(|| format!("{} doesn't start", ping.name()))?;
    }
    Ok(())
}

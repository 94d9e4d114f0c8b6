//! What leads where: the actors in the order of their start, the ports between them, and the last messages.

use std::net::{SocketAddr, TcpListener};

use actix::{Addr, Arbiter};
use anyhow::Context as _;
use flowlord_alerts::Alerts;
use flowlord_backload::Backload;
use flowlord_backup::{Backup, Shipper};
use flowlord_db::{Database, FolderLock, Hints};
use flowlord_dispatch::Dispatch;
use flowlord_domain::Ids as _;
use flowlord_files::Files;
use flowlord_ingest::Ingest;
use flowlord_janitor::retention::HistoryRemover;
use flowlord_kernel::{Environment, LatePort, Ping, Port, PortLimits, lower_priority};
use flowlord_library::Library;
use flowlord_messages::AlertSender;
use flowlord_messages::clients::{DatabaseCopier, DatabaseReader, DatabaseWriter, LibraryClient};
use flowlord_messages::events::SnapshotsChanged;
use flowlord_messages::tokens::TokenHash;
use flowlord_messages::workflows::WorkflowsChanged;
use flowlord_scheduler::Scheduler;
use flowlord_slack::{Buttons, Notifier};
use flowlord_storage::Stores;
use flowlord_web_core::context::Metrics;

use crate::config::{Config, Secret};
use crate::recovery;

use super::Stops;

pub(super) struct Wiring<'a> {
    pub(super) local: TokenHash,
    pub(super) metrics: Metrics,
    pub(super) config: &'a Config,
    pub(super) stores: Stores,
    pub(super) environment: &'a Environment,
}

/// What a start leaves behind.
pub(super) struct Wired {
    pub(super) database: Database,
    pub(super) stops: Stops,
    /// The first admin's, where one was made.
    pub(super) first_token: Option<Secret>,
    pub(super) library: LibraryClient,
}

/// The hints upwards, set once their hearers are there.
#[derive(Default)]
pub(super) struct Ears {
    pub(super) database: Hints,
    pub(super) ingest: LatePort<WorkflowsChanged>,
    pub(super) scheduler: LatePort<WorkflowsChanged>,
    pub(super) snapshots: LatePort<SnapshotsChanged>,
}

/// What the web calls.
pub(super) struct Below {
    pub(super) database: Database,
    pub(super) library: Addr<Library>,
    pub(super) scheduler: Addr<Scheduler>,
    pub(super) dispatch: Addr<Dispatch>,
    pub(super) ingest: Addr<Ingest>,
    pub(super) alerts: Addr<Alerts>,
    pub(super) notifier: Addr<Notifier>,
    pub(super) buttons: Addr<Buttons>,
    pub(super) backup: Addr<Backup>,
    pub(super) shipper: Addr<Shipper>,
    pub(super) retention: Addr<HistoryRemover>,
    pub(super) backload: Addr<Backload>,
    pub(super) files: Addr<Files>,
}

impl Wiring<'_> {
    pub(super) async fn start(
        &self,
        listener: TcpListener,
        address: SocketAddr,
        arbiters: &mut Vec<Arbiter>,
    ) -> anyhow::Result<Wired> {
        // The hot actors have a thread each; the calm ones share one. What copies and hashes whole databases has lower
        // priority than all of them, with the threads that it begins.
        let mut thread = || {
            let arbiter = Arbiter::new();
            let handle = arbiter.handle();
            arbiters.push(arbiter);
            handle
        };
        let (db_thread, hot, calm, behind) = (thread(), thread(), thread(), thread());
        behind.spawn_fn(lower_priority);
        let ears = Ears::default();
        let lock = FolderLock::take(&self.config.data)?;
        let now = self.environment.clock.now();
        let handled = recovery::at_start(self.config, &self.stores, &lock, now).await?;
        let record = self.config.backup.shipping().map(|_| self.environment.ids.clone().random());
        let database =
            Database::open(lock, record, &db_thread, self.environment.kit("db"), ears.database.clone())?;
        let library = self.library(&calm, &database, &ears);
        let ingest = self.ingest(&hot, &database, &library);
        let dispatch = self.dispatch(&hot, &database, &ingest);
        let scheduler = self.scheduler(&calm, &database, &library);
        let alerts = self.alerts(&calm, &database, address);
        let watch = self.watch(&calm, &database, &library);
        let notifier = self.notifier(&calm, &database);
        let buttons = self.buttons(&calm, &database, &alerts);
        let backup = self.backup(&behind, &database, &ears)?;
        let shipper = self.shipper(&behind, &database, &backup)?;
        let retention = self.retention(&calm, &database);
        let backload = self.backload(&calm, &database, &library);
        let files = self.files(&calm, &database, &library);

        ears.ingest.set(self.environment.port("ingest", &ingest));
        ears.scheduler.set(self.environment.port("scheduler", &scheduler));
        ears.database.ready.set(self.environment.port("dispatch", &dispatch));
        ears.database.delayed.set(self.environment.port("scheduler", &scheduler));
        ears.database.alert.set(self.environment.port("alerts", &alerts));
        ears.database.notify.set(self.environment.port("notifier", &notifier));

        let mut pings: Vec<Port<Ping>> = vec![
            self.environment.port("db", &database.owner),
            self.environment.port("readers", &database.readers),
            self.environment.port("view_readers", &database.view_readers),
            self.environment.port("library", &library),
            self.environment.port("scheduler", &scheduler),
            self.environment.port("dispatch", &dispatch),
            self.environment.port("ingest", &ingest),
            self.environment.port("alerts", &alerts),
            self.environment.port("watch", &watch),
            self.environment.port("notifier", &notifier),
            self.environment.port("buttons", &buttons),
            self.environment.port("backup", &backup),
            self.environment.port("shipper", &shipper),
            self.environment.port("retention", &retention),
            self.environment.port("backload", &backload),
            self.environment.port("files", &files),
        ];
        // An actor that answers has started: what it reads at its start is under way.
        for ping in &pings {
            ping.call(Ping).await.with_context(|| format!("{} doesn't start", ping.name()))?;
        }
        let deadman = self.deadman(&calm, &pings)?;
        pings.extend(deadman.map(|deadman| self.environment.port("deadman", &deadman)));
        if let Some(handled) = handled {
            self.tell_recovery(&database, handled).await?;
        }
        let first_token = self.first_token(&database).await?;
        let below = Below {
            database,
            library,
            scheduler,
            dispatch,
            ingest,
            alerts,
            notifier,
            buttons,
            backup,
            shipper,
            retention,
            backload,
            files,
        };
        let web = self.web(&calm, listener, &below, pings)?;
        ears.database.changed.set(self.environment.port("web", &web));
        ears.snapshots.set(self.environment.port("web", &web));
        let library = self.library_client(&below.library);
        let Below {
            database,
            scheduler,
            dispatch,
            alerts,
            notifier,
            buttons,
            backup,
            shipper,
            backload,
            files,
            ..
        } = below;
        let stops = Stops {
            unready: self.environment.port("web", &web),
            leasing: self.environment.port("dispatch", &dispatch),
            web: self.environment.port("web", &web),
            scheduling: self.environment.port("scheduler", &scheduler),
            files: self.environment.port("files", &files),
            backload: self.environment.port("backload", &backload),
            alerting: self.environment.port("alerts", &alerts),
            clicks: self.environment.port("buttons", &buttons),
            notifying: self.environment.port("notifier", &notifier),
            shipping: self.environment.port("shipper", &shipper),
            backup: Port::new("backup", backup.recipient(), PortLimits::PATIENT, &self.environment.activity),
            database: self.environment.port("db", &database.owner),
        };
        Ok(Wired { database, stops, first_token, library })
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

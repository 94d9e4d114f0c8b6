//! What leads where: the actors in the order of their start, the ports between them, and the last messages.

use std::net::{SocketAddr, TcpListener};

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Arbiter, Handler, Message};
use anyhow::Context as _;
use flowlord_alerts::Alerts;
use flowlord_backload::Backload;
use flowlord_backup::{Backup, Shipper};
use flowlord_db::{Database, FolderLock, Hints, Owner, Reader};
use flowlord_dispatch::Dispatch;
use flowlord_domain::Ids as _;
use flowlord_files::Files;
use flowlord_ingest::Ingest;
use flowlord_library::Library;
use flowlord_messages::hint::SnapshotsChanged;
use flowlord_messages::library::{Reload, WorkflowsChanged};
use flowlord_messages::token::TokenHash;
use flowlord_messages::{LatePort, Ping, Port, Raiser, stand_back};
use flowlord_notifier::{Buttons, Notifier};
use flowlord_retention::Retention;
use flowlord_scheduler::Scheduler;
use flowlord_store::Stores;
use flowlord_web::Metrics;

use crate::config::{Config, Secret};
use crate::ports::Ports;
use crate::recovery;

use super::{Environment, Stops};

/// What starting needs.
pub(super) struct Wiring<'a> {
    pub(super) local: TokenHash,
    pub(super) metrics: Metrics,
    pub(super) config: &'a Config,
    pub(super) stores: Stores,
    pub(super) environment: &'a Environment,
    pub(super) ports: Ports,
}

/// What a start leaves behind.
pub(super) struct Wired {
    pub(super) database: Database,
    pub(super) stops: Stops,
    /// The first admin's, where one was made.
    pub(super) first_token: Option<Secret>,
    pub(super) reload: Port<Reload>,
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
    pub(super) retention: Addr<Retention>,
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
        // The hot actors have a thread each; the calm ones share one. What copies and hashes whole databases stands
        // back for all of them, with the threads that it begins.
        let mut thread = || {
            let arbiter = Arbiter::new();
            let handle = arbiter.handle();
            arbiters.push(arbiter);
            handle
        };
        let (db_thread, hot, calm, behind) = (thread(), thread(), thread(), thread());
        behind.spawn_fn(stand_back);
        let ears = Ears::default();
        let supervision = self.environment.supervision("db");
        let lock = FolderLock::take(&self.config.data)?;
        let now = self.environment.clock.now();
        let handled = recovery::at_start(self.config, &self.stores, &lock, now).await?;
        let record = self.config.backup.shipping().map(|_| self.environment.mint.clone().random());
        let database = Database::open(lock, record, &db_thread, supervision, ears.database.clone())?;
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

        self.ports.hear(&ears.ingest, "ingest", &ingest);
        self.ports.hear(&ears.scheduler, "scheduler", &scheduler);
        self.ports.hear(&ears.database.ready, "dispatch", &dispatch);
        self.ports.hear(&ears.database.delayed, "scheduler", &scheduler);
        self.ports.hear(&ears.database.alert, "alerts", &alerts);
        self.ports.hear(&ears.database.notify, "notifier", &notifier);

        let mut pings = vec![
            self.ping("db", &database.owner),
            self.read(&database),
            self.look(&database),
            self.ping("library", &library),
            self.ping("scheduler", &scheduler),
            self.ping("dispatch", &dispatch),
            self.ping("ingest", &ingest),
            self.ping("alerts", &alerts),
            self.ping("watch", &watch),
            self.ping("notifier", &notifier),
            self.ping("buttons", &buttons),
            self.ping("backup", &backup),
            self.ping("shipper", &shipper),
            self.ping("retention", &retention),
            self.ping("backload", &backload),
            self.ping("files", &files),
        ];
        // An actor that answers has started: what it reads at its start is under way.
        for ping in &pings {
            ping.call(Ping).await.with_context(|| format!("{} doesn't start", ping.name()))?;
        }
        let deadman = self.deadman(&calm, &pings)?;
        pings.extend(deadman.map(|deadman| self.ping("deadman", &deadman)));
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
        self.ports.hear(&ears.database.changed, "web", &web);
        self.ports.hear(&ears.snapshots, "web", &web);
        let reload = self.ports.to("library", &below.library);
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
            unready: self.ports.to("web", &web),
            leasing: self.ports.to("dispatch", &dispatch),
            web: self.ports.to("web", &web),
            scheduling: self.ports.to("scheduler", &scheduler),
            files: self.ports.to("files", &files),
            backload: self.ports.to("backload", &backload),
            alerting: self.ports.to("alerts", &alerts),
            clicks: self.ports.to("buttons", &buttons),
            notifying: self.ports.to("notifier", &notifier),
            shipping: self.ports.to("shipper", &shipper),
            backup: self.ports.patient_to("backup", &backup),
            database: self.ports.to("db", &database.owner),
        };
        Ok(Wired { database, stops, first_token, reload })
    }

    fn ping<A>(&self, name: &'static str, actor: &Addr<A>) -> Port<Ping>
    where
        A: Actor + Handler<Ping>,
        A::Context: ToEnvelope<A, Ping>,
    {
        self.ports.to(name, actor)
    }

    pub(super) fn read<M>(&self, database: &Database) -> Port<M>
    where
        Reader: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        self.ports.to("readers", &database.readers)
    }

    /// For what people look at.
    pub(super) fn look<M>(&self, database: &Database) -> Port<M>
    where
        Reader: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        self.ports.to("lookers", &database.lookers)
    }

    pub(super) fn write<M>(&self, database: &Database) -> Port<M>
    where
        Owner: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        self.ports.to("db", &database.owner)
    }

    pub(super) fn raiser(&self, database: &Database) -> Raiser {
        let Environment { clock, activity, .. } = &self.environment;
        Raiser::new(self.write(database), clock.clone(), activity.clone())
    }
}

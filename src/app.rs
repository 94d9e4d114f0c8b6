//! Wiring: every actor, started from the bottom up and stopped from the top down.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Arbiter, ArbiterHandle, Handler, Message};
use anyhow::Context as _;
use flowlord_alerts::Alerts;
use flowlord_backload::Backload;
use flowlord_backup::{Backup, Place};
use flowlord_db::{Database, Hints, Owner, Reader};
use flowlord_dispatch::Dispatch;
use flowlord_domain::ladder::Policy;
use flowlord_domain::{AlertKind, NewAlert, Role};
use flowlord_files::Files;
use flowlord_ingest::Ingest;
use flowlord_library::Library;
use flowlord_library::metafiles::MetaFiles;
use flowlord_messages::alerts::StopAlerting;
use flowlord_messages::backload::StopBackload;
use flowlord_messages::dispatch::StopLeasing;
use flowlord_messages::library::WorkflowsChanged;
use flowlord_messages::notifier::StopNotifying;
use flowlord_messages::scheduler::StopScheduling;
use flowlord_messages::snapshot::StopBackup;
use flowlord_messages::token::{AddToken, ReadTokens, TokenHash};
use flowlord_messages::write::{Close, RaiseAlerts};
use flowlord_messages::{Activity, LatePort, Mint, Ping, Port, SharedClock, Supervision, SystemClock};
use flowlord_notifier::Notifier;
use flowlord_retention::Retention;
use flowlord_scheduler::Scheduler;
use flowlord_store::Stores;
use flowlord_web::{Access, Metrics, StopWeb, Unready, Web};

use crate::config::{Config, Secret};
use crate::ports::{BOUND, PATIENCE, Ports};
use crate::recovery;
use crate::running::{Announcement, Running};

/// Where time, ids and the last resort come from.
#[derive(Clone)]
pub struct Environment {
    /// The clock of all actors.
    pub clock: SharedClock,
    /// The source of ids, secrets and jitter.
    pub mint: Mint,
    /// The work under way.
    pub activity: Activity,
    /// Called with an actor's name when restarting it no longer helps: the process should end.
    pub give_up: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Environment {
    /// The machine's clock and randomness.
    #[must_use]
    pub fn system(give_up: Arc<dyn Fn(&str) + Send + Sync>) -> Self {
        Self { clock: Arc::new(SystemClock), mint: Mint::new(), activity: Activity::default(), give_up }
    }

    fn supervision(&self, name: &'static str) -> Supervision {
        Supervision::new(name, Arc::clone(&self.clock), Arc::clone(&self.give_up))
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("clock", &self.clock).finish_non_exhaustive()
    }
}

/// How long requests under way may take at a stop.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

/// A running flowlord. Start it within an actix system.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    stops: Stops,
    database: Database,
    arbiters: Vec<Arbiter>,
    announced: Announcement,
    first_token: Option<Secret>,
}

/// The last messages, in the order in which they are sent.
#[derive(Debug)]
struct Stops {
    unready: Port<Unready>,
    leasing: Port<StopLeasing>,
    web: Port<StopWeb>,
    scheduling: Port<StopScheduling>,
    backload: Port<StopBackload>,
    alerting: Port<StopAlerting>,
    notifying: Port<StopNotifying>,
    backup: Port<StopBackup>,
    database: Port<Close>,
}

impl App {
    /// Opens the data, loads the workflows, and serves.
    ///
    /// # Errors
    /// When the data folder, the workflow path or the address can't be used; nothing is left running then.
    pub async fn start(config: &Config, environment: Environment) -> anyhow::Result<Self> {
        let stores = Stores::new(config.store.clone());
        match config.workflow.as_local() {
            Some(path) => anyhow::ensure!(
                path.exists(),
                "the workflow path {} isn't there: name a file or folder with --workflow",
                path.display()
            ),
            // A store that is away keeps nobody from starting: what was loaded before counts.
            None => drop(stores.open(&config.workflow)?),
        }
        // Bound first: a taken address must not cost a started service, and links need the port.
        let listener = flowlord_web::bind(config.listen)?;
        let address = listener.local_addr()?;
        let mut arbiters = Vec::new();
        let local = flowlord_web::new_token(&mut environment.mint.clone());
        let started = Wiring {
            metrics: crate::metrics::start(),
            local: local.1,
            config,
            stores,
            environment: &environment,
            ports: Ports(environment.activity.clone()),
        }
        .start(listener, address, &mut arbiters)
        .await;
        match started {
            Ok((database, stops, first_token)) => {
                let announced = Running::announce(&config.data, address, &local.0)
                    .with_context(|| format!("{} can't be written", config.data.display()))?;
                log::info!("event=started address={address} version={}", env!("CARGO_PKG_VERSION"));
                Ok(Self { address, stops, database, arbiters, announced, first_token })
            }
            Err(err) => {
                end(arbiters);
                Err(err)
            }
        }
    }

    /// The token of the first start, where nobody could get in without one. Show it once: it isn't stored.
    #[must_use]
    pub fn first_token(&self) -> Option<&Secret> {
        self.first_token.as_ref()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops in order: no new leases, HTTP answers what it has, nothing new starts, nothing more is told, and the
    /// database is closed. What an actor fails to do in its last message is logged; the others go on.
    pub async fn stop(self) {
        let Self { stops, database, arbiters, announced, .. } = self;
        drop(announced);
        let said = [
            ("web", stops.unready.call(Unready).await),
            ("dispatch", stops.leasing.call(StopLeasing).await),
            ("web", stops.web.call(StopWeb { timeout: LAST_REQUESTS }).await),
            ("scheduler", stops.scheduling.call(StopScheduling).await),
            ("backload", stops.backload.call(StopBackload).await),
            ("alerts", stops.alerting.call(StopAlerting).await),
            ("notifier", stops.notifying.call(StopNotifying).await),
            ("backup", stops.backup.call(StopBackup).await),
            ("db", stops.database.call(Close).await),
        ];
        for (actor, answer) in said {
            if let Err(err) = answer {
                log::error!("event=not_stopped_cleanly actor={actor} error={err:?}");
            }
        }
        end(arbiters);
        drop(database);
    }
}

fn end(arbiters: Vec<Arbiter>) {
    for arbiter in &arbiters {
        arbiter.stop();
    }
    for arbiter in arbiters {
        let _panicked_and_logged = arbiter.join();
    }
}

/// What starting needs.
struct Wiring<'a> {
    local: TokenHash,
    metrics: Metrics,
    config: &'a Config,
    stores: Stores,
    environment: &'a Environment,
    ports: Ports,
}

/// The hints upwards, set once their hearers are there.
#[derive(Default)]
struct Ears {
    database: Hints,
    ingest: LatePort<WorkflowsChanged>,
    scheduler: LatePort<WorkflowsChanged>,
}

/// What the web calls.
struct Below {
    database: Database,
    library: Addr<Library>,
    scheduler: Addr<Scheduler>,
    dispatch: Addr<Dispatch>,
    ingest: Addr<Ingest>,
    alerts: Addr<Alerts>,
    notifier: Addr<Notifier>,
    backup: Addr<Backup>,
    retention: Addr<Retention>,
    backload: Addr<Backload>,
    files: Addr<Files>,
}

impl Wiring<'_> {
    async fn start(
        &self,
        listener: TcpListener,
        address: SocketAddr,
        arbiters: &mut Vec<Arbiter>,
    ) -> anyhow::Result<(Database, Stops, Option<Secret>)> {
        // The hot actors have a thread each; the calm ones share one.
        let mut thread = || {
            let arbiter = Arbiter::new();
            let handle = arbiter.handle();
            arbiters.push(arbiter);
            handle
        };
        let (db_thread, hot, calm) = (thread(), thread(), thread());
        let ears = Ears::default();
        let supervision = self.environment.supervision("db");
        let database = Database::open(
            &self.config.data,
            &self.snapshots()?,
            self.environment.clock.now(),
            &db_thread,
            supervision,
            ears.database.clone(),
        )?;
        let library = self.library(&calm, &database, &ears);
        let ingest = self.ingest(&hot, &database, &library);
        let dispatch = self.dispatch(&hot, &database, &ingest);
        let scheduler = self.scheduler(&calm, &database, &library);
        let alerts = self.alerts(&calm, &database, address);
        let notifier = self.notifier(&calm, &database);
        let backup = self.backup(&calm, &database);
        let retention = self.retention(&calm, &database);
        let backload = self.backload(&calm, &database, &library);
        let files = self.files(&calm, &database, &library);

        self.ports.hear(&ears.ingest, "ingest", &ingest);
        self.ports.hear(&ears.scheduler, "scheduler", &scheduler);
        self.ports.hear(&ears.database.ready, "dispatch", &dispatch);
        self.ports.hear(&ears.database.delayed, "scheduler", &scheduler);
        self.ports.hear(&ears.database.alert, "alerts", &alerts);
        self.ports.hear(&ears.database.notify, "notifier", &notifier);

        let pings = vec![
            self.ping("db", &database.owner),
            Port::new("readers", database.readers.clone().recipient(), BOUND, PATIENCE, &self.ports.0),
            self.ping("library", &library),
            self.ping("scheduler", &scheduler),
            self.ping("dispatch", &dispatch),
            self.ping("ingest", &ingest),
            self.ping("alerts", &alerts),
            self.ping("notifier", &notifier),
            self.ping("backup", &backup),
            self.ping("retention", &retention),
            self.ping("backload", &backload),
            self.ping("files", &files),
        ];
        // An actor that answers has started: what it reads at its start is under way.
        for ping in &pings {
            ping.call(Ping).await.with_context(|| format!("{} doesn't start", ping.name()))?;
        }
        self.tell_recovery(&database).await?;
        let first_token = self.first_token(&database).await?;
        let below = Below {
            database,
            library,
            scheduler,
            dispatch,
            ingest,
            alerts,
            notifier,
            backup,
            retention,
            backload,
            files,
        };
        let web = self.web(&calm, listener, &below, pings)?;
        let Below { database, scheduler, dispatch, alerts, notifier, backup, backload, .. } = below;
        let stops = Stops {
            unready: self.ports.to("web", &web),
            leasing: self.ports.to("dispatch", &dispatch),
            web: self.ports.to("web", &web),
            scheduling: self.ports.to("scheduler", &scheduler),
            backload: self.ports.to("backload", &backload),
            alerting: self.ports.to("alerts", &alerts),
            notifying: self.ports.to("notifier", &notifier),
            backup: self.ports.patient_to("backup", &backup),
            database: self.ports.to("db", &database.owner),
        };
        Ok((database, stops, first_token))
    }

    fn ping<A>(&self, name: &'static str, actor: &Addr<A>) -> Port<Ping>
    where
        A: Actor + Handler<Ping>,
        A::Context: ToEnvelope<A, Ping>,
    {
        self.ports.to(name, actor)
    }

    fn read<M>(&self, database: &Database) -> Port<M>
    where
        Reader: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        self.ports.to("readers", &database.readers)
    }

    fn write<M>(&self, database: &Database) -> Port<M>
    where
        Owner: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        self.ports.to("db", &database.owner)
    }

    fn library(&self, on: &ArbiterHandle, database: &Database, ears: &Ears) -> Addr<Library> {
        let config = flowlord_library::Config {
            files: MetaFiles {
                root: self.config.workflow.clone(),
                allowed: self.config.files.allow.clone(),
                stores: self.stores.clone(),
            },
            watch: true,
            refresh: self.config.refresh,
            zone: self.config.timezone,
        };
        let deps = flowlord_library::Deps {
            clock: self.environment.clock.clone(),
            activity: self.environment.activity.clone(),
            supervision: self.environment.supervision("library"),
            save: self.write(database),
            stored: self.read(database),
            changed: vec![ears.ingest.clone(), ears.scheduler.clone()],
        };
        Library::start(on, config, deps)
    }

    fn ingest(&self, on: &ArbiterHandle, database: &Database, library: &Addr<Library>) -> Addr<Ingest> {
        let deps = flowlord_ingest::Deps {
            clock: self.environment.clock.clone(),
            mint: self.environment.mint.clone(),
            activity: self.environment.activity.clone(),
            supervision: self.environment.supervision("ingest"),
            attempts: self.read(database),
            apply: self.write(database),
            workflows: self.ports.to("library", library),
        };
        Ingest::start(on, flowlord_ingest::Config { host: host() }, deps)
    }

    fn dispatch(&self, on: &ArbiterHandle, database: &Database, ingest: &Addr<Ingest>) -> Addr<Dispatch> {
        let deps = flowlord_dispatch::Deps {
            clock: self.environment.clock.clone(),
            mint: self.environment.mint.clone(),
            activity: self.environment.activity.clone(),
            supervision: self.environment.supervision("dispatch"),
            grant: self.write(database),
            extend: self.write(database),
            release: self.write(database),
            reap: self.write(database),
            next_expiry: self.read(database),
            submit: self.ports.to("ingest", ingest),
        };
        Dispatch::start(on, flowlord_dispatch::Config { lease: self.config.tasks.lease }, deps)
    }

    fn scheduler(&self, on: &ArbiterHandle, database: &Database, library: &Addr<Library>) -> Addr<Scheduler> {
        let deps = flowlord_scheduler::Deps {
            clock: self.environment.clock.clone(),
            mint: self.environment.mint.clone(),
            activity: self.environment.activity.clone(),
            supervision: self.environment.supervision("scheduler"),
            create: self.write(database),
            missed: self.write(database),
            crons: self.write(database),
            promote: self.write(database),
            schedule: self.read(database),
            workflows: self.ports.to("library", library),
        };
        Scheduler::start(on, flowlord_scheduler::Config { host: host() }, deps)
    }

    fn alerts(&self, on: &ArbiterHandle, database: &Database, address: SocketAddr) -> Addr<Alerts> {
        let notify = &self.config.notify;
        let config = flowlord_alerts::Config {
            policy: Policy::new(notify.min_frequency, notify.max_frequency),
            ttl: self.config.tasks.ttl,
            public_url: self.config.public_url_at(address),
        };
        let deps = flowlord_alerts::Deps {
            clock: self.environment.clock.clone(),
            activity: self.environment.activity.clone(),
            supervision: self.environment.supervision("alerts"),
            read: self.read(database),
            advance: self.write(database),
        };
        Alerts::start(on, config, deps)
    }

    fn notifier(&self, on: &ArbiterHandle, database: &Database) -> Addr<Notifier> {
        let notify = &self.config.notify;
        let exposed = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
        let config = flowlord_notifier::Config {
            routes: vec![flowlord_notifier::Route {
                name: "default".to_owned(),
                webhook: exposed(&notify.url),
                token: exposed(&notify.token),
                channel: notify.channel.clone(),
                fallback: None,
            }],
            api_url: notify.api_url.clone(),
            prefix: notify.prefix.clone(),
            title: notify.title.clone(),
            fallback_after: notify.fallback_after,
            // Until clicks are answered.
            buttons: false,
        };
        let deps = flowlord_notifier::Deps {
            clock: self.environment.clock.clone(),
            mint: self.environment.mint.clone(),
            activity: self.environment.activity.clone(),
            supervision: self.environment.supervision("notifier"),
            pending: self.read(database),
            outages: self.read(database),
            threads: self.read(database),
            message: self.read(database),
            mark: self.write(database),
        };
        Notifier::start(on, config, deps)
    }

    /// Where snapshots are, newest first.
    fn snapshots(&self) -> anyhow::Result<Vec<PathBuf>> {
        let folder = self.config.snapshots();
        let listed = Place(folder.clone()).list();
        let listed = listed.with_context(|| format!("backup.path {} can't be read", folder.display()))?;
        Ok(listed.into_iter().map(|snapshot| snapshot.location.into()).collect())
    }

    /// What was restored is said where people look: in the log, and by one alert.
    async fn tell_recovery(&self, database: &Database) -> anyhow::Result<()> {
        let Some(recovered) = &database.recovered else { return Ok(()) };
        let now = self.environment.clock.now();
        let msg = recovery::text(recovered, now);
        log::warn!("event=restored detail={msg:?}");
        let alert = NewAlert {
            kind: AlertKind::Snapshot,
            at: now,
            uid: None,
            id: String::new(),
            topic: "restore".to_owned(),
            job: String::new(),
            workflow: String::new(),
            msg,
            task_time: None,
            at_once: None,
        };
        self.write(database).call(RaiseAlerts { alerts: vec![alert] }).await?;
        Ok(())
    }

    /// Where a token is needed and there is none, the first start makes one.
    async fn first_token(&self, database: &Database) -> anyhow::Result<Option<Secret>> {
        let tokens: Port<ReadTokens> = self.read(database);
        if self.config.is_open() || !tokens.call(ReadTokens).await?.is_empty() {
            return Ok(None);
        }
        let (token, hash) = flowlord_web::new_token(&mut self.environment.mint.clone());
        let (now, name) = (self.environment.clock.now(), "admin".to_owned());
        self.write(database).call(AddToken { now, name, role: Role::Admin, hash }).await?;
        log::info!("event=token_added name=admin role=admin reason=\"first start\"");
        Ok(Some(Secret::new(token)))
    }

    fn backup(&self, on: &ArbiterHandle, database: &Database) -> Addr<Backup> {
        let backup = &self.config.backup;
        let config = flowlord_backup::Config {
            folder: self.config.snapshots(),
            every: backup.path.is_some().then_some(backup.every),
            keep: usize::try_from(backup.keep).unwrap_or(usize::MAX),
        };
        let deps = flowlord_backup::Deps {
            clock: self.environment.clock.clone(),
            activity: self.environment.activity.clone(),
            supervision: self.environment.supervision("backup"),
            copy: self.ports.patient_to("db", &database.owner),
            raise: self.write(database),
        };
        Backup::start(on, config, deps)
    }

    fn retention(&self, on: &ArbiterHandle, database: &Database) -> Addr<Retention> {
        let deps = flowlord_retention::Deps {
            clock: self.environment.clock.clone(),
            activity: self.environment.activity.clone(),
            supervision: self.environment.supervision("retention"),
            remove: self.write(database),
        };
        let config = flowlord_retention::Config { retention: self.config.history.retention };
        Retention::start(on, config, deps)
    }

    fn backload(&self, on: &ArbiterHandle, database: &Database, library: &Addr<Library>) -> Addr<Backload> {
        let deps = flowlord_backload::Deps {
            clock: self.environment.clock.clone(),
            mint: self.environment.mint.clone(),
            activity: self.environment.activity.clone(),
            supervision: self.environment.supervision("backload"),
            workflows: self.ports.to("library", library),
            rows: self.ports.to("library", library),
            save: self.write(database),
            store: self.write(database),
            set: self.write(database),
            check: self.read(database),
            one: self.read(database),
            list: self.read(database),
        };
        Backload::start(on, flowlord_backload::Config { host: host() }, deps)
    }

    fn files(&self, on: &ArbiterHandle, database: &Database, library: &Addr<Library>) -> Addr<Files> {
        let deps = flowlord_files::Deps {
            clock: self.environment.clock.clone(),
            mint: self.environment.mint.clone(),
            supervision: self.environment.supervision("files"),
            workflows: self.ports.to("library", library),
            waiting: self.read(database),
            record: self.write(database),
        };
        Files::start(on, flowlord_files::Config { host: host() }, deps)
    }

    fn web(
        &self,
        on: &ArbiterHandle,
        listener: TcpListener,
        below: &Below,
        pings: Vec<Port<Ping>>,
    ) -> anyhow::Result<Addr<Web>> {
        let config = flowlord_web::Config {
            listen: listener.local_addr()?,
            workers: 0,
            lease: self.config.tasks.lease,
            public_url: self.config.public_url.clone(),
            host: host(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            slack: self.config.notify.url.is_some() || self.config.notify.token.is_some(),
            started_at: self.environment.clock.now(),
            access: Access {
                anonymous: self.config.is_open(),
                open_metrics: self.config.auth.open_metrics,
                local: Some(self.local),
            },
            metrics: self.metrics.clone(),
        };
        let deps = flowlord_web::Deps {
            clock: self.environment.clock.clone(),
            mint: self.environment.mint.clone(),
            activity: self.environment.activity.clone(),
            supervision: self.environment.supervision("web"),
            create: self.write(&below.database),
            lease: self.ports.to("dispatch", &below.dispatch),
            heartbeat: self.ports.to("dispatch", &below.dispatch),
            release: self.ports.to("dispatch", &below.dispatch),
            submit: self.ports.to("ingest", &below.ingest),
            workflows: self.ports.to("library", &below.library),
            reload: self.ports.to("library", &below.library),
            next_runs: self.ports.to("scheduler", &below.scheduler),
            add_token: self.write(&below.database),
            remove_token: self.write(&below.database),
            tokens_read: self.read(&below.database),
            backlog: self.read(&below.database),
            remove_old: self.ports.to("retention", &below.retention),
            back_up: self.ports.to("backup", &below.backup),
            snapshot: self.ports.patient_to("backup", &below.backup),
            snapshots: self.ports.to("backup", &below.backup),
            plan_backload: self.ports.to("backload", &below.backload),
            execute_backload: self.ports.to("backload", &below.backload),
            change_backload: self.ports.to("backload", &below.backload),
            check_backload: self.read(&below.database),
            backload: self.read(&below.database),
            backloads: self.read(&below.database),
            arrived: self.ports.to("files", &below.files),
            files: self.read(&below.database),
            ladders: self.ports.to("alerts", &below.alerts),
            attempts: self.read(&below.database),
            chain: self.read(&below.database),
            tasks: self.read(&below.database),
            stats: self.read(&below.database),
            alerts: self.read(&below.database),
            slots: self.read(&below.database),
            content: self.read(&below.database),
            enqueue: self.write(&below.database),
            fate: self.ports.to("notifier", &below.notifier),
            pings: pings.into_iter().map(|ping| (ping.name(), ping)).collect(),
        };
        Ok(Web::start_on(on, listener, config, deps)?)
    }
}

/// The host's name, for templates.
fn host() -> String {
    let named = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let read = || std::fs::read_to_string("/etc/hostname").ok().map(|name| name.trim().to_owned());
    named.or_else(read).unwrap_or_default()
}

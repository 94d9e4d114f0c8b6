//! Each actor: what the operator chose for it, and what it works with.

use std::net::SocketAddr;

use actix::{Addr, ArbiterHandle};
use flowlord_alerts::Alerts;
use flowlord_alerts::deadlines::{self, DeadlineChecker};
use flowlord_backload::Backload;
use flowlord_backup::{Backup, BackupPlace, ShipConfig, ShipDeps, Shipper};
use flowlord_db::Database;
use flowlord_dispatch::Dispatch;
use flowlord_files::Files;
use flowlord_ingest::Ingest;
use flowlord_janitor::heartbeat::{self, HeartbeatSender};
use flowlord_janitor::retention::{self, HistoryRemover};
use flowlord_kernel::{Ping, Port};
use flowlord_library::Library;
use flowlord_library::metafiles::MetaFiles;
use flowlord_library::source::hash_workflow_files;
use flowlord_logs::TaskLogs;
use flowlord_messages::alerts::DEFAULT_ROUTE;
use flowlord_messages::changelog::LogPoint;
use flowlord_messages::clients::{AlertsClient, BackupClient, ClusterClient, DispatchClient, IngestClient};
use flowlord_messages::deps::{DatabaseDeps, WorkflowDeps};
use flowlord_replica::{Leader, LeaderConfig, LeaderDeps, WorkflowSource};
use flowlord_scheduler::Scheduler;
use flowlord_slack::{Buttons, ButtonsConfig, ButtonsDeps, Notifier, SlackRoute};
use flowlord_web_core::demo_slack::DEMO_SLACK;

use crate::config::{LogConfig, NotifyConfig};
use crate::running::local_address;

use super::cluster::NodeStart;
use super::wiring::{AppWiring, HintPorts};

// A backup that is away must not fill the disk: this is about 100 MB of the database.
const MAX_WAITING_CHANGES: u64 = 4_000_000;

impl AppWiring<'_> {
    pub(super) fn library(&self, on: &ArbiterHandle, database: &Database, hints: &HintPorts) -> Addr<Library> {
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
            kit: self.environment.kit("library"),
            writer: self.writer(database),
            reader: self.reader(&database.readers),
            changed: vec![hints.ingest.clone(), hints.dispatch.clone(), hints.scheduler.clone()],
        };
        Library::start(on, config, deps)
    }

    pub(super) fn ingest(&self, on: &ArbiterHandle, database: &Database, library: &Addr<Library>) -> Addr<Ingest> {
        let deps = flowlord_ingest::Deps {
            kit: self.environment.kit("ingest"),
            writer: self.writer(database),
            reader: self.reader(&database.readers),
            library: self.library_client(library),
        };
        Ingest::start(on, flowlord_ingest::Config { host: host_name() }, deps)
    }

    pub(super) fn dispatch(
        &self,
        on: &ArbiterHandle,
        database: &Database,
        library: &Addr<Library>,
        ingest: &Addr<Ingest>,
    ) -> Addr<Dispatch> {
        let deps = flowlord_dispatch::Deps {
            kit: self.environment.kit("dispatch"),
            writer: self.writer(database),
            reader: self.reader(&database.readers),
            ingest: IngestClient::connect("ingest", ingest, self.environment),
            library: self.library_client(library),
        };
        Dispatch::start(
            on,
            flowlord_dispatch::Config { lease: self.config.tasks.lease, groups: self.config.groups.clone() },
            deps,
        )
    }

    pub(super) fn scheduler(
        &self,
        on: &ArbiterHandle,
        database: &Database,
        library: &Addr<Library>,
    ) -> Addr<Scheduler> {
        let deps = self.workflow_deps("scheduler", database, library);
        Scheduler::start(on, flowlord_scheduler::Config { host: host_name() }, deps)
    }

    pub(super) fn alerts(&self, on: &ArbiterHandle, database: &Database, address: SocketAddr) -> Addr<Alerts> {
        let notify = &self.config.notify;
        let config =
            flowlord_alerts::Config { routes: notify.ladders(), public_url: self.config.public_url_at(address) };
        let deps = self.database_deps("alerts", database);
        Alerts::start(on, config, deps)
    }

    pub(super) fn watch(
        &self,
        on: &ArbiterHandle,
        database: &Database,
        library: &Addr<Library>,
        dispatch: &Addr<Dispatch>,
    ) -> Addr<DeadlineChecker> {
        let deps = self.workflow_deps("watch", database, library);
        let dispatch = DispatchClient::connect("dispatch", dispatch, self.environment);
        let tasks = &self.config.tasks;
        let config = deadlines::Config { ttl: tasks.ttl, no_workers: tasks.no_workers, host: host_name() };
        DeadlineChecker::start(on, config, deps, dispatch)
    }

    pub(super) fn notifier(&self, on: &ArbiterHandle, database: &Database, address: SocketAddr) -> Addr<Notifier> {
        let notify = &self.config.notify;
        let config = flowlord_slack::Config {
            routes: slack_routes(notify),
            api_url: self.slack_url(address),
            prefix: notify.prefix.clone(),
            title: notify.title.clone(),
            public_url: self.config.public_url_at(address),
            fallback_after: notify.fallback_after,
            buttons: notify.hears_clicks(),
        };
        let deps = self.database_deps("notifier", database);
        Notifier::start(on, config, deps)
    }

    /// Where Slack's Web API is: in the demo it is this service itself.
    pub(super) fn slack_url(&self, address: SocketAddr) -> String {
        match self.config.notify.is_simulated {
            true => format!("http://{}{DEMO_SLACK}/api/", local_address(address)),
            false => self.config.notify.api_url.clone(),
        }
    }

    pub(super) fn buttons(
        &self,
        on: &ArbiterHandle,
        database: &Database,
        alerts: &Addr<Alerts>,
        address: SocketAddr,
    ) -> Addr<Buttons> {
        let notify = &self.config.notify;
        let config = ButtonsConfig {
            // There are no buttons without a bot.
            app_token: notify.app_token.clone().filter(|_| notify.hears_clicks()),
            signing_secret: notify.signing_secret.clone().filter(|_| notify.hears_clicks()),
            api_url: self.slack_url(address),
        };
        let deps = ButtonsDeps {
            kit: self.environment.kit("buttons"),
            writer: self.writer(database),
            reader: self.reader(&database.readers),
            alerts: AlertsClient::connect("alerts", alerts, self.environment),
        };
        Buttons::start(on, config, deps)
    }

    pub(super) fn backup(
        &self,
        on: &ArbiterHandle,
        database: &Database,
        node: &NodeStart,
        hints: &HintPorts,
        cluster: Option<ClusterClient>,
    ) -> anyhow::Result<Addr<Backup>> {
        let backup = &self.config.backup;
        let config = flowlord_backup::Config {
            spool: self.config.spool(),
            // Without a place for them, snapshots are taken only when somebody asks.
            every: backup.path.is_some().then_some(backup.every),
            keep: usize::try_from(backup.keep).unwrap_or(usize::MAX),
            chain: database.chain,
            is_due_at_start: node.begins_log(),
        };
        let deps = flowlord_backup::Deps {
            kit: self.environment.kit("backup"),
            copier: self.copier(database),
            alert_sender: self.alert_sender(database),
            changed: hints.snapshots.clone(),
            cluster,
        };
        let place = BackupPlace::open(&self.config.snapshots(), &self.stores)?;
        Ok(Backup::start(on, config, place, deps))
    }

    pub(super) fn shipper(
        &self,
        on: &ArbiterHandle,
        database: &Database,
        backup: &Addr<Backup>,
        cluster: Option<ClusterClient>,
    ) -> anyhow::Result<Addr<Shipper>> {
        let config = ShipConfig { every: self.config.backup.shipping(), most: MAX_WAITING_CHANGES };
        let deps = ShipDeps {
            kit: self.environment.kit("shipper"),
            copier: self.copier(database),
            writer: self.writer(database),
            alert_sender: self.alert_sender(database),
            backup: BackupClient::connect("backup", backup, self.environment),
            cluster,
        };
        let place = BackupPlace::open(&self.config.snapshots(), &self.stores)?;
        Ok(Shipper::start(on, config, place, deps))
    }

    /// The replica of a leader; none without a cluster.
    pub(super) fn leader(&self, on: &ArbiterHandle, node: &NodeStart, hints: &HintPorts) -> Option<Addr<Leader>> {
        let NodeStart::Leader(node) = node else { return None };
        let state = node.state.as_ref().map(|state| LogPoint { chain: state.point.chain, position: state.taken });
        let ship_every = self.config.backup.ship_every;
        let config = LeaderConfig {
            own: node.own.clone(),
            lead: node.lead.clone(),
            takeover: node.takeover.clone(),
            sent: state,
            ship_every,
            warnings: node.warnings.clone(),
        };
        let deps = LeaderDeps {
            kit: self.environment.kit("replica"),
            lease: node.lease.clone(),
            role: self.role.clone(),
            changed: hints.cluster.clone(),
            snapshot: hints.needed_snapshots.clone(),
            alert: hints.cluster_alerts.clone(),
            workflows: self.workflow_source(),
        };
        Some(Leader::start(on, config, node.log.clone(), deps))
    }

    /// The workflow files of this node, which others compare with theirs.
    pub(super) fn workflow_source(&self) -> WorkflowSource {
        let (root, stores) = (self.config.workflow.clone(), self.stores.clone());
        WorkflowSource::new(move || {
            let (root, stores) = (root.clone(), stores.clone());
            async move {
                let hash = hash_workflow_files(&root, &stores).await;
                hash.inspect_err(|err| log::warn!("event=workflows_not_compared error={err:?}")).ok()
            }
        })
    }

    pub(super) fn retention(&self, on: &ArbiterHandle, database: &Database) -> Addr<HistoryRemover> {
        let deps = retention::Deps { kit: self.environment.kit("retention"), writer: self.writer(database) };
        let config = retention::Config { retention: self.config.history.retention };
        HistoryRemover::start(on, config, deps)
    }

    pub(super) fn task_logs(&self, on: &ArbiterHandle) -> Addr<TaskLogs> {
        let LogConfig { keep, max_task, max_total } = self.config.logs;
        let config = flowlord_logs::Config { folder: self.config.data.join("logs"), keep, max_task, max_total };
        TaskLogs::start(on, config, self.environment.kit("logs"))
    }

    pub(super) fn backload(&self, on: &ArbiterHandle, database: &Database, library: &Addr<Library>) -> Addr<Backload> {
        let deps = self.workflow_deps("backload", database, library);
        Backload::start(on, flowlord_backload::Config { host: host_name() }, deps)
    }

    pub(super) fn deadman(
        &self,
        on: &ArbiterHandle,
        pings: &[Port<Ping>],
    ) -> anyhow::Result<Option<Addr<HeartbeatSender>>> {
        let deadman = &self.config.deadman;
        let Some(url) = &deadman.url else { return Ok(None) };
        let config = heartbeat::Config { url: url.expose().to_owned(), every: deadman.every };
        let deps = heartbeat::Deps { kit: self.environment.kit("deadman"), pings: pings.to_vec() };
        Ok(Some(HeartbeatSender::start(on, config, deps)?))
    }

    pub(super) fn files(&self, on: &ArbiterHandle, database: &Database, library: &Addr<Library>) -> Addr<Files> {
        let deps = flowlord_files::Deps {
            kit: self.environment.kit("files"),
            writer: self.writer(database),
            reader: self.reader(&database.readers),
            library: self.library_client(library),
            alert_sender: self.alert_sender(database),
        };
        let config = flowlord_files::Config {
            host: host_name(),
            places: self.config.files.folders.clone(),
            every: self.config.files.every,
            stores: self.stores.clone(),
        };
        Files::start(on, config, deps)
    }

    fn database_deps(&self, name: &'static str, database: &Database) -> DatabaseDeps {
        let (writer, reader) = (self.writer(database), self.reader(&database.readers));
        DatabaseDeps { kit: self.environment.kit(name), writer, reader }
    }

    fn workflow_deps(&self, name: &'static str, database: &Database, library: &Addr<Library>) -> WorkflowDeps {
        let DatabaseDeps { kit, writer, reader } = self.database_deps(name, database);
        WorkflowDeps { kit, writer, reader, library: self.library_client(library) }
    }
}

fn slack_routes(notify: &NotifyConfig) -> Vec<SlackRoute> {
    let mut routes = vec![SlackRoute {
        name: DEFAULT_ROUTE.to_owned(),
        webhook: notify.url.clone(),
        token: notify.token.clone(),
        channel: notify.channel.clone(),
        fallback: notify.fallback.clone(),
    }];
    routes.extend(notify.routes.iter().map(|route| SlackRoute {
        name: route.name.clone(),
        webhook: route.url.clone(),
        // The bot has a token, and each route with a channel is the bot's.
        token: route.channel.as_ref().and_then(|_| notify.token.clone()),
        channel: route.channel.clone(),
        fallback: Some(route.fallback.clone()),
    }));
    routes
}

/// The host's name, for templates.
pub(super) fn host_name() -> String {
    match std::env::var("HOSTNAME") {
        Ok(name) if !name.is_empty() => name,
        // A shell's variable: a service manager doesn't set it.
        _ => std::fs::read_to_string("/etc/hostname").unwrap_or_default().trim().to_owned(),
    }
}

//! Each actor: what the operator chose for it, and what it works with.

use std::net::SocketAddr;

use actix::{Addr, ArbiterHandle};
use flowlord_alerts::Alerts;
use flowlord_alerts::deadlines::{self, DeadlineChecker};
use flowlord_backload::Backload;
use flowlord_backup::{Backup, Place, ShipConfig, ShipDeps, Shipper};
use flowlord_db::Database;
use flowlord_dispatch::Dispatch;
use flowlord_domain::alert::Matcher;
use flowlord_files::Files;
use flowlord_ingest::Ingest;
use flowlord_janitor::heartbeat::{self, HeartbeatSender};
use flowlord_janitor::retention::{self, HistoryRemover};
use flowlord_kernel::{Ping, Port};
use flowlord_library::Library;
use flowlord_library::metafiles::MetaFiles;
use flowlord_messages::alerts::DEFAULT_ROUTE;
use flowlord_messages::clients::{AlertsClient, BackupClient, IngestClient};
use flowlord_scheduler::Scheduler;
use flowlord_slack::{Buttons, ButtonsConfig, ButtonsDeps, Notifier};

use crate::config::{Route, Secret};

use super::wiring::{Ears, Wiring};

/// So many changes may wait for a backup that is away: about 100 MB of the database.
const MOST_CHANGES: u64 = 4_000_000;

impl Wiring<'_> {
    pub(super) fn library(&self, on: &ArbiterHandle, database: &Database, ears: &Ears) -> Addr<Library> {
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
            reader: self.reader(database),
            changed: vec![ears.ingest.clone(), ears.scheduler.clone()],
        };
        Library::start(on, config, deps)
    }

    pub(super) fn ingest(
        &self,
        on: &ArbiterHandle,
        database: &Database,
        library: &Addr<Library>,
    ) -> Addr<Ingest> {
        let deps = flowlord_ingest::Deps {
            kit: self.environment.kit("ingest"),
            writer: self.writer(database),
            reader: self.reader(database),
            library: self.library_client(library),
        };
        Ingest::start(on, flowlord_ingest::Config { host: host() }, deps)
    }

    pub(super) fn dispatch(
        &self,
        on: &ArbiterHandle,
        database: &Database,
        ingest: &Addr<Ingest>,
    ) -> Addr<Dispatch> {
        let deps = flowlord_dispatch::Deps {
            kit: self.environment.kit("dispatch"),
            writer: self.writer(database),
            reader: self.reader(database),
            ingest: IngestClient::connect("ingest", ingest, self.environment),
        };
        Dispatch::start(on, flowlord_dispatch::Config { lease: self.config.tasks.lease }, deps)
    }

    pub(super) fn scheduler(
        &self,
        on: &ArbiterHandle,
        database: &Database,
        library: &Addr<Library>,
    ) -> Addr<Scheduler> {
        let deps = flowlord_scheduler::Deps {
            kit: self.environment.kit("scheduler"),
            writer: self.writer(database),
            reader: self.reader(database),
            library: self.library_client(library),
        };
        Scheduler::start(on, flowlord_scheduler::Config { host: host() }, deps)
    }

    pub(super) fn alerts(
        &self,
        on: &ArbiterHandle,
        database: &Database,
        address: SocketAddr,
    ) -> Addr<Alerts> {
        let notify = &self.config.notify;
        let route = |route: &Route| flowlord_alerts::EscalationRoute {
            name: route.name.clone(),
            matcher: route.matcher.clone(),
            policy: route.ladder,
            quiet: route.quiet,
        };
        let default = flowlord_alerts::EscalationRoute {
            name: DEFAULT_ROUTE.to_owned(),
            matcher: Matcher::default(),
            policy: notify.ladder,
            quiet: notify.quiet,
        };
        let config = flowlord_alerts::Config {
            routes: notify.routes.iter().map(route).chain([default]).collect(),
            public_url: self.config.public_url_at(address),
        };
        let deps = flowlord_alerts::Deps {
            kit: self.environment.kit("alerts"),
            writer: self.writer(database),
            reader: self.reader(database),
        };
        Alerts::start(on, config, deps)
    }

    pub(super) fn watch(
        &self,
        on: &ArbiterHandle,
        database: &Database,
        library: &Addr<Library>,
    ) -> Addr<DeadlineChecker> {
        let deps = deadlines::Deps {
            kit: self.environment.kit("watch"),
            writer: self.writer(database),
            reader: self.reader(database),
            library: self.library_client(library),
        };
        DeadlineChecker::start(on, deadlines::Config { ttl: self.config.tasks.ttl }, deps)
    }

    pub(super) fn notifier(&self, on: &ArbiterHandle, database: &Database) -> Addr<Notifier> {
        let notify = &self.config.notify;
        let exposed = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
        let default = flowlord_slack::SlackRoute {
            name: DEFAULT_ROUTE.to_owned(),
            webhook: exposed(&notify.url),
            token: exposed(&notify.token),
            channel: notify.channel.clone(),
            fallback: notify.fallback.clone(),
        };
        let route = |route: &Route| flowlord_slack::SlackRoute {
            name: route.name.clone(),
            webhook: exposed(&route.url),
            token: route.channel.as_ref().and_then(|_| exposed(&notify.token)),
            channel: route.channel.clone(),
            fallback: Some(route.fallback.clone()),
        };
        let config = flowlord_slack::Config {
            routes: std::iter::once(default).chain(notify.routes.iter().map(route)).collect(),
            api_url: notify.api_url.clone(),
            prefix: notify.prefix.clone(),
            title: notify.title.clone(),
            fallback_after: notify.fallback_after,
            buttons: notify.hears_clicks(),
        };
        let deps = flowlord_slack::Deps {
            kit: self.environment.kit("notifier"),
            writer: self.writer(database),
            reader: self.reader(database),
        };
        Notifier::start(on, config, deps)
    }

    pub(super) fn buttons(
        &self,
        on: &ArbiterHandle,
        database: &Database,
        alerts: &Addr<Alerts>,
    ) -> Addr<Buttons> {
        let notify = &self.config.notify;
        let exposed = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
        let config = ButtonsConfig {
            // There are no buttons without a bot.
            app_token: exposed(&notify.app_token).filter(|_| notify.hears_clicks()),
            signing_secret: exposed(&notify.signing_secret).filter(|_| notify.hears_clicks()),
            api_url: notify.api_url.clone(),
        };
        let deps = ButtonsDeps {
            kit: self.environment.kit("buttons"),
            writer: self.writer(database),
            reader: self.reader(database),
            alerts: AlertsClient::connect("alerts", alerts, self.environment),
        };
        Buttons::start(on, config, deps)
    }

    pub(super) fn backup(
        &self,
        on: &ArbiterHandle,
        database: &Database,
        ears: &Ears,
    ) -> anyhow::Result<Addr<Backup>> {
        let backup = &self.config.backup;
        let config = flowlord_backup::Config {
            spool: self.config.spool(),
            every: backup.path.is_some().then_some(backup.every),
            keep: usize::try_from(backup.keep).unwrap_or(usize::MAX),
            chain: database.chain,
        };
        let deps = flowlord_backup::Deps {
            kit: self.environment.kit("backup"),
            copier: self.copier(database),
            alert_sender: self.alert_sender(database),
            changed: ears.snapshots.clone(),
        };
        let place = Place::open(&self.config.snapshots(), &self.stores)?;
        Ok(Backup::start(on, config, place, deps))
    }

    pub(super) fn shipper(
        &self,
        on: &ArbiterHandle,
        database: &Database,
        backup: &Addr<Backup>,
    ) -> anyhow::Result<Addr<Shipper>> {
        let config = ShipConfig { every: self.config.backup.shipping(), most: MOST_CHANGES };
        let deps = ShipDeps {
            kit: self.environment.kit("shipper"),
            copier: self.copier(database),
            writer: self.writer(database),
            alert_sender: self.alert_sender(database),
            backup: BackupClient::connect("backup", backup, self.environment),
        };
        let place = Place::open(&self.config.snapshots(), &self.stores)?;
        Ok(Shipper::start(on, config, place, deps))
    }

    pub(super) fn retention(&self, on: &ArbiterHandle, database: &Database) -> Addr<HistoryRemover> {
        let deps = retention::Deps { kit: self.environment.kit("retention"), writer: self.writer(database) };
        let config = retention::Config { retention: self.config.history.retention };
        HistoryRemover::start(on, config, deps)
    }

    pub(super) fn backload(
        &self,
        on: &ArbiterHandle,
        database: &Database,
        library: &Addr<Library>,
    ) -> Addr<Backload> {
        let deps = flowlord_backload::Deps {
            kit: self.environment.kit("backload"),
            writer: self.writer(database),
            reader: self.reader(database),
            library: self.library_client(library),
        };
        Backload::start(on, flowlord_backload::Config { host: host() }, deps)
    }

    /// Where a watcher elsewhere is to be told.
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

    pub(super) fn files(
        &self,
        on: &ArbiterHandle,
        database: &Database,
        library: &Addr<Library>,
    ) -> Addr<Files> {
        let deps = flowlord_files::Deps {
            kit: self.environment.kit("files"),
            writer: self.writer(database),
            reader: self.reader(database),
            library: self.library_client(library),
            alert_sender: self.alert_sender(database),
        };
        let config = flowlord_files::Config {
            host: host(),
            places: self.config.files.folders.clone(),
            every: self.config.files.every,
            stores: self.stores.clone(),
        };
        Files::start(on, config, deps)
    }
}

/// The host's name, for templates.
pub(super) fn host() -> String {
    let named = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let read = || std::fs::read_to_string("/etc/hostname").ok().map(|name| name.trim().to_owned());
    named.or_else(read).unwrap_or_default()
}

//! The web actor, which calls most of the others.

use std::net::TcpListener;

use actix::{Addr, ArbiterHandle};
use flowlord_kernel::{Ping, Port};
use flowlord_messages::clients::{
    AlertsClient, BackloadClient, BackupClient, ButtonsClient, ClusterClient, DispatchClient, FilesClient,
    IngestClient, NotifierClient, RetentionClient, SchedulerClient, ShipperClient,
};
use flowlord_messages::cluster::ClusterState;
use flowlord_web_core::auth::AccessRules;
use flowlord_web_core::context::{Config, Deps, HistoryPolicy, WebLimits};
use flowlord_web_server::WebActor;

use crate::config::LimitConfig;

use super::actors::host_name;
use super::wiring::{ActorAddresses, AppWiring};

impl AppWiring<'_> {
    pub(super) fn web(
        &self,
        on: &ArbiterHandle,
        listener: TcpListener,
        below: &ActorAddresses,
        pings: Vec<Port<Ping>>,
    ) -> anyhow::Result<Addr<WebActor>> {
        let config = Config {
            listen: listener.local_addr()?,
            workers: 0,
            lease: self.config.tasks.lease,
            public_url: self.config.public_url.clone(),
            host: host_name(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            slack: self.config.notify.leads_somewhere(),
            started_at: self.environment.clock.now(),
            kept: HistoryPolicy {
                history: self.config.history.retention,
                unfinished: self.config.tasks.ttl,
                backup: self.config.backup.path.as_ref().map(ToString::to_string).unwrap_or_default(),
            },
            limits: allowed_limits(&self.config.limits),
            tls: self.config.tls.clone(),
            access: AccessRules {
                anonymous: self.config.is_open(),
                open_metrics: self.config.auth.open_metrics,
                local: Some(self.local),
                proxies: self.config.auth.trusted_proxies.clone(),
            },
            metrics: self.metrics.clone(),
            cluster: ClusterState::default(),
        };
        let environment = self.environment;
        let deps = Deps {
            kit: environment.kit("web"),
            writer: self.writer(&below.database),
            reader: self.reader(&below.database),
            view_reader: self.view_reader(&below.database),
            library: self.library_client(&below.library),
            scheduler: SchedulerClient::connect("scheduler", &below.scheduler, environment),
            dispatch: DispatchClient::connect("dispatch", &below.dispatch, environment),
            ingest: IngestClient::connect("ingest", &below.ingest, environment),
            alerts: AlertsClient::connect("alerts", &below.alerts, environment),
            notifier: NotifierClient::connect("notifier", &below.notifier, environment),
            buttons: ButtonsClient::connect("buttons", &below.buttons, environment),
            backup: BackupClient::connect("backup", &below.backup, environment),
            shipper: ShipperClient::connect("shipper", &below.shipper, environment),
            retention: RetentionClient::connect("retention", &below.retention, environment),
            backload: BackloadClient::connect("backload", &below.backload, environment),
            files: FilesClient::connect("files", &below.files, environment),
            cluster: ClusterClient::unconnected(),
            pings: pings.into_iter().map(|ping| (ping.name(), ping)).collect(),
        };
        Ok(WebActor::start_on(on, listener, config, deps)?)
    }
}

// For everything but connections: the database, files, what is sent elsewhere.
const OTHER_FILES: usize = 256;

/// As the operator chose, but no more than the system lets this process have.
fn allowed_limits(chosen: &LimitConfig) -> WebLimits {
    let [connections, long_polls] =
        [chosen.connections, chosen.long_polls].map(|chosen| usize::try_from(chosen).unwrap_or(usize::MAX));
    // Also where the system allows less: some connections are better than none.
    let files = crate::limits::open_files().map_or(usize::MAX, |files| files.saturating_sub(OTHER_FILES).max(64));
    if files < connections {
        log::warn!(
            "event=fewer_connections connections={files} reason=\"the limit of open files (ulimit -n) allows no more\""
        );
    }
    WebLimits { connections: connections.min(files), long_polls }
}

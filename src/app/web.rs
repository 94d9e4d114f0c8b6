//! The web actor, which calls most of the others.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix::{Addr, ArbiterHandle};
use flowlord_kernel::{Ping, Port};
use flowlord_messages::clients::{
    AlertsClient, BackloadClient, BackupClient, ButtonsClient, ClusterClient, DatabaseWriter, DispatchClient,
    FilesClient, IngestClient, LibraryClient, LogsClient, NotifierClient, RetentionClient, SchedulerClient,
    ShipperClient,
};
use flowlord_messages::cluster::{ClusterState, ListNodes, ReadCluster};
use flowlord_messages::events::TakeChanges;
use flowlord_messages::results::SubmitResults;
use flowlord_messages::snapshots::{ListSnapshots, ReadBackup, TakeSnapshot};
use flowlord_web_core::auth::AccessRules;
use flowlord_web_core::context::{Config, Deps, HistoryPolicy, WebLimits};
use flowlord_web_core::demo_slack::DemoSlack;
use flowlord_web_server::WebActor;

use crate::config::LimitConfig;

use super::actors::host_name;
use super::follower::FollowerAddresses;
use super::wiring::{ActorAddresses, AppWiring};

impl AppWiring<'_> {
    pub(super) fn web(
        &self,
        on: &ArbiterHandle,
        listener: TcpListener,
        below: &ActorAddresses,
        pings: Vec<Port<Ping>>,
        cluster: ClusterState,
    ) -> anyhow::Result<Addr<WebActor>> {
        let environment = self.environment;
        let deps = Deps {
            kit: environment.kit("web"),
            writer: self.writer(&below.database),
            reader: self.reader(&below.database.readers),
            view_reader: self.view_reader(&below.database.view_readers),
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
            logs: LogsClient::connect("logs", &below.logs, environment),
            cluster: match &below.replica {
                Some(replica) => self.cluster_client(replica),
                None => ClusterClient::unconnected(),
            },
            pings: named_pings(pings),
        };
        self.start_web(on, listener, deps, cluster)
    }

    /// The web of a follower: it reads its own database, and everything else is the leader's.
    pub(super) fn follower_web(
        &self,
        on: &ArbiterHandle,
        listener: TcpListener,
        below: &FollowerAddresses,
        pings: Vec<Port<Ping>>,
        cluster: ClusterState,
    ) -> anyhow::Result<Addr<WebActor>> {
        let (environment, absent) = (self.environment, &below.stand_in);
        let (follower, replica) = (&below.database.follower, &below.replica);
        let deps = Deps {
            kit: environment.kit("web"),
            writer: DatabaseWriter::connect("db", absent, environment)
                .with::<TakeChanges>(environment.port("db", follower)),
            reader: self.reader(&below.database.readers),
            view_reader: self.view_reader(&below.database.view_readers),
            library: LibraryClient::connect("library", absent, environment),
            scheduler: SchedulerClient::connect("scheduler", absent, environment),
            dispatch: DispatchClient::connect("dispatch", absent, environment),
            ingest: IngestClient::unconnected().with::<SubmitResults>(environment.port("ingest", absent)),
            alerts: AlertsClient::connect("alerts", absent, environment),
            notifier: NotifierClient::connect("notifier", absent, environment),
            buttons: ButtonsClient::connect("buttons", absent, environment),
            backup: BackupClient::unconnected()
                .with::<ListSnapshots>(environment.port("backup", absent))
                .with::<ReadBackup>(environment.port("backup", absent))
                .with::<TakeSnapshot>(environment.port("backup", absent)),
            shipper: ShipperClient::connect("shipper", absent, environment),
            // It takes hints only.
            retention: RetentionClient::unconnected(),
            backload: BackloadClient::connect("backload", absent, environment),
            files: FilesClient::connect("files", absent, environment),
            logs: LogsClient::connect("logs", absent, environment),
            cluster: ClusterClient::connect("replica", absent, environment)
                .with::<ListNodes>(environment.port("replica", replica))
                .with::<ReadCluster>(environment.port("replica", replica)),
            pings: named_pings(pings),
        };
        self.start_web(on, listener, deps, cluster)
    }

    fn start_web(
        &self,
        on: &ArbiterHandle,
        listener: TcpListener,
        deps: Deps,
        cluster: ClusterState,
    ) -> anyhow::Result<Addr<WebActor>> {
        let config = Config {
            listen: listener.local_addr()?,
            workers: 0,
            lease: self.config.tasks.lease,
            public_url: self.config.public_url.clone(),
            host: host_name(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            slack: self.config.notify.leads_somewhere(),
            demo_slack: self.demo_slack(listener.local_addr()?),
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
            links: self.config.links.clone(),
            cluster,
        };
        Ok(WebActor::start_on(on, listener, config, deps)?)
    }

    /// What stands in for Slack: it takes what has the bot's token, and signs as Slack.
    fn demo_slack(&self, listen: SocketAddr) -> Option<Arc<DemoSlack>> {
        let notify = &self.config.notify;
        let secrets = notify.token.clone().zip(notify.signing_secret.clone());
        let (token, signing_secret) = secrets.filter(|_| notify.is_simulated)?;
        Some(Arc::new(DemoSlack::new(token, signing_secret, self.slack_url(listen))))
    }
}

fn named_pings(pings: Vec<Port<Ping>>) -> Vec<(&'static str, Port<Ping>)> {
    pings.into_iter().map(|ping| (ping.name(), ping)).collect()
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

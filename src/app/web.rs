//! The web actor, which calls most of the others.

use std::net::TcpListener;

use actix::{Addr, ArbiterHandle};
use flowlord_messages::{Ping, Port};
use flowlord_web::{Access, Kept, Limits, Web};

use super::actors::host;
use super::wiring::{Below, Wiring};

impl Wiring<'_> {
    pub(super) fn web(
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
            slack: self.config.notify.leads_somewhere(),
            started_at: self.environment.clock.now(),
            kept: Kept {
                history: self.config.history.retention,
                unfinished: self.config.tasks.ttl,
                backup: self.config.backup.path.as_ref().map(ToString::to_string).unwrap_or_default(),
            },
            limits: limits(&self.config.limits),
            tls: self.config.tls.clone(),
            access: Access {
                anonymous: self.config.is_open(),
                open_metrics: self.config.auth.open_metrics,
                local: Some(self.local),
                proxies: self.config.auth.trusted_proxies.clone(),
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
            pause: self.ports.to("scheduler", &below.scheduler),
            paused: self.look(&below.database),
            rerun: self.write(&below.database),
            cancel: self.write(&below.database),
            known_tasks: self.read(&below.database),
            later: self.look(&below.database),
            add_token: self.write(&below.database),
            remove_token: self.write(&below.database),
            tokens_read: self.read(&below.database),
            backlog: self.look(&below.database),
            remove_old: self.ports.to("retention", &below.retention),
            back_up: self.ports.to("backup", &below.backup),
            snapshot: self.ports.patient_to("backup", &below.backup),
            snapshots: self.ports.to("backup", &below.backup),
            backup: self.ports.to("backup", &below.backup),
            shipping: self.ports.to("shipper", &below.shipper),
            plan_backload: self.ports.to("backload", &below.backload),
            execute_backload: self.ports.to("backload", &below.backload),
            change_backload: self.ports.to("backload", &below.backload),
            check_backload: self.look(&below.database),
            backload: self.look(&below.database),
            backloads: self.look(&below.database),
            arrived: self.ports.to("files", &below.files),
            files: self.look(&below.database),
            places: self.ports.to("files", &below.files),
            ladders: self.ports.to("alerts", &below.alerts),
            acknowledge: self.ports.to("alerts", &below.alerts),
            add_silence: self.write(&below.database),
            remove_silence: self.write(&below.database),
            silences: self.look(&below.database),
            incidents: self.look(&below.database),
            notifications: self.look(&below.database),
            attempts: self.look(&below.database),
            chain: self.look(&below.database),
            chain_beginning: self.look(&below.database),
            find_tasks: self.look(&below.database),
            stats: self.look(&below.database),
            days: self.look(&below.database),
            alerts: self.look(&below.database),
            alerts_by_row: self.look(&below.database),
            take_changes: self.write(&below.database),
            slots: self.look(&below.database),
            grid: self.look(&below.database),
            hours: self.look(&below.database),
            database: self.look(&below.database),
            measure: self.look(&below.database),
            content: self.look(&below.database),
            enqueue: self.write(&below.database),
            fate: self.ports.to("notifier", &below.notifier),
            record_change: self.write(&below.database),
            changes: self.look(&below.database),
            click: self.ports.to("buttons", &below.buttons),
            pings: pings.into_iter().map(|ping| (ping.name(), ping)).collect(),
        };
        Ok(Web::start_on(on, listener, config, deps)?)
    }
}

/// Descriptors for everything but connections: the database, files, what is sent elsewhere.
const OTHER_FILES: usize = 256;

/// As the operator chose, but no more than the system lets this process have.
fn limits(chosen: &crate::config::Limits) -> Limits {
    let number = |chosen: u32| usize::try_from(chosen).unwrap_or(usize::MAX);
    let files =
        crate::limits::open_files().map_or(usize::MAX, |files| files.saturating_sub(OTHER_FILES).max(64));
    if files < number(chosen.connections) {
        log::warn!(
            "event=fewer_connections connections={files} reason=\"the limit of open files (ulimit -n) allows no more\""
        );
    }
    Limits { connections: number(chosen.connections).min(files), long_polls: number(chosen.long_polls) }
}

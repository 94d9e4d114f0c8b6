//! The web actor, which calls most of the others.

use std::net::TcpListener;

use actix::{Addr, ArbiterHandle};
use flowlord_messages::{Ping, Port};
use flowlord_web::{Access, Web};

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
            acknowledge: self.ports.to("alerts", &below.alerts),
            add_silence: self.write(&below.database),
            remove_silence: self.write(&below.database),
            silences: self.read(&below.database),
            incidents: self.read(&below.database),
            attempts: self.read(&below.database),
            chain: self.read(&below.database),
            tasks: self.read(&below.database),
            find_tasks: self.read(&below.database),
            stats: self.read(&below.database),
            days: self.read(&below.database),
            alerts: self.read(&below.database),
            alerts_by_row: self.read(&below.database),
            take_changes: self.write(&below.database),
            slots: self.read(&below.database),
            content: self.read(&below.database),
            enqueue: self.write(&below.database),
            fate: self.ports.to("notifier", &below.notifier),
            pings: pings.into_iter().map(|ping| (ping.name(), ping)).collect(),
        };
        Ok(Web::start_on(on, listener, config, deps)?)
    }
}

//! The service of a follower: its database, the replica that keeps it up, and the web.

use std::net::TcpListener;

use actix::Addr;
use flowlord_db::{FolderLock, FollowingDatabase, VERSION};
use flowlord_kernel::{Ping, Port};
use flowlord_messages::clients::FollowedDatabase;
use flowlord_messages::cluster::{ReadCluster, TAKEOVER_SILENCE};
use flowlord_replica::{Follower, FollowerConfig, FollowerDeps, StandIn};
use flowlord_web_server::WebActor;

use super::cluster::FollowerStart;
use super::wiring::{ActorThreads, AppWiring, HintPorts, WiredService, ping_all};
use super::{OpenDatabase, StopPorts, WorkStops};

pub(super) struct FollowerAddresses {
    pub(super) database: FollowingDatabase,
    pub(super) replica: Addr<Follower>,
    /// For all actors that only a leader runs.
    pub(super) stand_in: Addr<StandIn>,
}

impl AppWiring<'_> {
    pub(super) async fn start_follower(
        &self,
        node: FollowerStart,
        lock: FolderLock,
        listener: TcpListener,
        threads: &ActorThreads,
    ) -> anyhow::Result<WiredService> {
        let hints = HintPorts::default();
        let actors = self.follower_actors(node, lock, threads, &hints)?;
        let pings = self.follower_pings(&actors);
        // Before the web: what a follower answers itself must be there when the first request comes.
        ping_all(&pings).await?;
        let state = self.environment.port::<_, ReadCluster>("replica", &actors.replica).call(ReadCluster).await?;
        let web = self.follower_web(&threads.calm, listener, &actors, pings, state)?;
        // Only now: the web is the last to start, and what sends these hints the first. Those before are dropped.
        hints.database.changed.set(self.environment.port("web", &web));
        hints.cluster.set(self.environment.port("web", &web));
        let stops = self.follower_stops(&web, &actors);
        let database = OpenDatabase::Followed(actors.database);
        Ok(WiredService { database, stops, first_token: None, library: None })
    }

    fn follower_actors(
        &self,
        node: FollowerStart,
        lock: FolderLock,
        threads: &ActorThreads,
        hints: &HintPorts,
    ) -> anyhow::Result<FollowerAddresses> {
        let environment = self.environment;
        let database = FollowingDatabase::open(lock, &threads.database, environment.kit("db"), hints.database.clone())?;
        let FollowerStart { own, log, warnings, applied, schema, reseeded_for, difference, through, last } = node;
        let (silence, own_schema) = (TAKEOVER_SILENCE, VERSION);
        let config = FollowerConfig {
            own,
            applied,
            schema,
            own_schema,
            reseeded_for,
            difference,
            through,
            silence,
            last,
            warnings,
        };
        let deps = FollowerDeps {
            kit: environment.kit("replica"),
            database: FollowedDatabase::connect("db", &database.follower, environment),
            role: self.role.clone(),
            changed: hints.cluster.clone(),
            workflows: self.workflow_source(),
        };
        let replica = Follower::start(&threads.calm, config, log, deps);
        let stand_in = StandIn::start(&threads.calm, environment.kit("stand_in"));
        Ok(FollowerAddresses { database, replica, stand_in })
    }

    fn follower_pings(&self, actors: &FollowerAddresses) -> Vec<Port<Ping>> {
        let FollowerAddresses { database, replica, .. } = actors;
        vec![
            self.environment.port("db", &database.follower),
            self.environment.port("readers", &database.readers),
            self.environment.port("view_readers", &database.view_readers),
            self.environment.port("replica", replica),
        ]
    }

    fn follower_stops(&self, web: &Addr<WebActor>, actors: &FollowerAddresses) -> StopPorts {
        StopPorts {
            unready: self.environment.port("web", web),
            web: self.environment.port("web", web),
            work: WorkStops::Follower(self.environment.port("replica", &actors.replica)),
            database: self.environment.port("db", &actors.database.follower),
        }
    }
}

//! The web actor: owns the HTTP server from its first connection to its last.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix::{Addr, ArbiterHandle, Context, Message, Supervisor};
use actix_web::dev::{Server, ServerHandle};
use actix_web::rt::task::JoinHandle;
use actix_web::web;
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::{KernelActor, Reply, Result, Timer, WakeUp, actor, handlers};
use flowlord_messages::cluster::{ClusterChanged, NodeRole};
use flowlord_messages::events::{DatabaseChanged, SnapshotsChanged};
use flowlord_web_core::connections::ConnectionCount;
use flowlord_web_core::context::{Config, ContextRef, Deps, WebContext};

use crate::http_server;
use crate::live_feed::tell_changes;
use crate::middleware::view_pool::ViewPool;
use crate::routes;
use crate::tls::{self, TlsError};

// People can't follow more.
const PACE: TimeDelta = TimeDelta::milliseconds(500);

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("can't listen on {address}: {source}; choose another address with --listen")]
    Address { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Takes an address, within an actix system. Connections wait until a server is started on it.
pub fn bind(address: SocketAddr) -> std::result::Result<TcpListener, StartError> {
    http_server::listen(address).map_err(|source| StartError::Address { address, source })
}

/// Answers `/readyz` with 503 and hands out no more leases; everything else goes on. The first step of a stop.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<()>")]
pub struct TurnUnready;

/// Takes no more connections, and answers when the requests under way are answered.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<()>")]
pub struct StopWeb {
    /// Requests that take longer are cut off.
    pub timeout: Duration,
}

pub struct WebActor {
    /// Until the actor's own thread runs it.
    bound: Option<Server>,
    running: Option<RunningServer>,
    view_pool: ViewPool,
    context: ContextRef,
    timer: Timer,
    told: Option<DateTime<Utc>>,
    is_telling: bool,
    snapshots_changed: bool,
}

/// The HTTP server at work. It lives beside the actor, so that a restart of the actor cuts no connection.
struct RunningServer {
    handle: ServerHandle,
    task: JoinHandle<()>,
}

impl WebActor {
    /// Serves in `arbiter` what comes to a listener of [`bind`], for those who must know the address before.
    pub fn start_on(
        arbiter: &ArbiterHandle,
        listener: TcpListener,
        config: Config,
        deps: Deps,
    ) -> std::result::Result<Addr<Self>, StartError> {
        let address = config.listen;
        let tls = config.tls.as_ref().map(tls::config).transpose()?;
        let context = web::Data::new(WebContext::new(config, deps, routes::table()));
        let (server, view_pool) =
            http_server::serve(listener, &context, tls).map_err(|source| StartError::Address { address, source })?;
        Ok(Supervisor::start_in_arbiter(arbiter, move |_| Self {
            bound: Some(server),
            view_pool,
            running: None,
            timer: Timer::default(),
            context,
            told: None,
            is_telling: false,
            snapshots_changed: false,
        }))
    }

    fn run_server(&mut self, server: Server) {
        let handle = server.handle();
        let context = self.context.clone();
        let task = actix::spawn(async move {
            let end = server.await;
            // The server ended by itself: a service that nobody reaches is no service.
            if !context.is_stopping() {
                log::error!("event=http_ended result={end:?}");
                context.deps.kit.give_up();
            }
        });
        self.running = Some(RunningServer { handle, task });
    }

    /// Something changed: it is told soon.
    fn tell_soon(&mut self, ctx: &mut Context<Self>) {
        let now = self.now();
        if self.context.hub.is_watched(now) {
            let due = self.told.map_or(now, |told| (told + PACE).max(now));
            self.wake_no_later_than(due, ctx);
        }
    }
}

impl RunningServer {
    async fn stop_within(self, connections: ConnectionCount, timeout: Duration) {
        let stopped = self.handle.stop(true);
        let drained = async {
            // The server looks only every second whether its connections are gone.
            tokio::select! {
                () = stopped => {}
                () = connections.none() => {}
            }
        };
        if tokio::time::timeout(timeout, drained).await.is_err() {
            log::warn!("event=requests_cut_off connections={}", connections.open());
        }
        self.task.abort();
        let _aborted = self.task.await;
    }
}

impl WebActor {
    fn become_unready(&mut self, _: TurnUnready, _: &mut Context<Self>) -> Result<()> {
        self.context.turn_unready();
        Ok(())
    }

    fn stop_serving(&mut self, stop: StopWeb, _: &mut Context<Self>) -> Reply<Self, ()> {
        self.context.turn_unready();
        self.context.hub.close();
        let (running, view_pool) = (self.running.take(), self.view_pool.clone());
        let connections = self.context.connections.clone();
        let stopped = async move {
            if let Some(running) = running {
                running.stop_within(connections, stop.timeout).await;
            }
            view_pool.stop();
        };
        self.reply_after(stopped, |_, (), _| Ok(()))
    }

    fn note_change(&mut self, _: DatabaseChanged, ctx: &mut Context<Self>) {
        self.tell_soon(ctx);
    }

    fn note_snapshots(&mut self, _: SnapshotsChanged, ctx: &mut Context<Self>) {
        self.snapshots_changed = true;
        self.tell_soon(ctx);
    }

    fn note_cluster(&mut self, ClusterChanged(state): ClusterChanged, ctx: &mut Context<Self>) {
        let (role, applied) = (state.role, state.applied);
        let before = self.context.cluster.replace(state);
        if before.role != role {
            // Changes are told in another way from now on: those who look on begin anew.
            self.context.hub.break_off();
        } else if role == NodeRole::Follower && before.applied != applied {
            self.tell_soon(ctx);
        }
    }

    fn start_serving(&mut self, ctx: &mut Context<Self>) {
        match self.bound.take() {
            Some(server) => self.run_server(server),
            // A restart: a hint may have been lost with what was under way.
            None => {
                self.is_telling = false;
                self.tell_soon(ctx);
            }
        }
    }

    fn tell_now(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        self.told = Some(now);
        if self.is_telling {
            // One read at a time: the next one takes what changed meanwhile, too.
            return self.tell_soon(ctx);
        }
        self.is_telling = true;
        let (context, snapshots) = (self.context.clone(), std::mem::take(&mut self.snapshots_changed));
        let telling = async move { tell_changes(&context, snapshots).await };
        self.ask(ctx, telling, |this, (), _| this.is_telling = false);
    }
}

handlers!(WebActor {
    TurnUnready => become_unready,
    async StopWeb => stop_serving,
    DatabaseChanged => note_change,
    SnapshotsChanged => note_snapshots,
    ClusterChanged => note_cluster,
});

actor!(WebActor { kit: context.deps.kit, mailbox: 64, start: start_serving, wake: tell_now(now) });

//! What the handlers work with: the ports to the other actors, and what was configured.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_web::{HttpRequest, web};
use flowlord_kernel::Code;

use crate::core::auth::{Failures, Tokens};
use crate::core::base_path::Base;
use crate::core::hosts::Hosts;
use crate::core::live::Hub;
use crate::core::long_poll_limit::Polls;
use crate::core::problem::Problem;
use crate::core::request_id::RequestIds;
use crate::core::route::RouteTable;
use crate::pages::about::Sizes;
use crate::server::actor::{Config, Deps};
use crate::server::http_server::Connections;

/// Shared by all requests.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) config: Config,
    pub(crate) deps: Deps,
    pub(crate) routes: RouteTable,
    pub(crate) hosts: Hosts,
    pub(crate) base: Base,
    pub(crate) tokens: Tokens,
    pub(crate) failures: Failures,
    pub(crate) hub: Arc<Hub>,
    pub(crate) request_ids: RequestIds,
    pub(crate) connections: Connections,
    pub(crate) polls: Polls,
    pub(crate) sizes: Sizes,
    stopping: Arc<AtomicBool>,
    /// Topics that `/metrics` ever showed.
    topics: Mutex<BTreeSet<String>>,
}

/// As handlers get it.
pub(crate) type ApiRef = web::Data<Api>;

impl Api {
    pub(crate) fn new(config: Config, deps: Deps, routes: RouteTable, stopping: Arc<AtomicBool>) -> Self {
        let request_ids = RequestIds::new(config.started_at);
        let hub = Arc::new(Hub::new(config.started_at));
        let hosts = Hosts::new(config.listen, config.public_url.as_deref());
        let base = Base::of(config.public_url.as_deref());
        Self {
            config,
            deps,
            routes,
            hosts,
            base,
            tokens: Tokens::default(),
            failures: Failures::default(),
            hub,
            request_ids,
            connections: Connections::default(),
            polls: Polls::default(),
            sizes: Sizes::default(),
            stopping,
            topics: Mutex::default(),
        }
    }

    pub(crate) fn topics_shown(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Who asks: the address of the peer, or the one that a trusted proxy names.
    pub(crate) fn client(&self, request: &HttpRequest) -> Option<IpAddr> {
        let peer = request.peer_addr().map(|peer| peer.ip());
        self.config.access.proxies.client(peer, request.headers())
    }

    /// Whether the browser came by HTTPS, so that its cookie must not go another way.
    pub(crate) fn is_https(&self, request: &HttpRequest) -> bool {
        let peer = request.peer_addr().map(|peer| peer.ip());
        self.config.tls.is_some()
            || self.config.public_url.as_ref().is_some_and(|url| url.starts_with("https://"))
            || self.config.access.proxies.is_https(peer, request.headers())
    }

    /// Refuses a request when there are too many connections.
    pub(crate) fn check_connections(&self) -> Result<(), Problem> {
        let (open, most) = (self.connections.open(), self.config.limits.connections);
        if open <= most {
            return Ok(());
        }
        let detail = format!(
            "{open} connections are open, at most {most} may be: close some, or raise limits.connections"
        );
        Err(Problem::new(Code::Busy, detail).hanging_up())
    }

    /// Refuses what would begin new work.
    pub(crate) fn refuse_when_stopping(&self) -> Result<(), Problem> {
        if self.is_stopping() {
            return Err(Problem::new(Code::Stopping, "the service is stopping and leases no more tasks"));
        }
        Ok(())
    }
}

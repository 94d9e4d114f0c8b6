//! What the handlers work with: the ports to the other actors, and what was configured.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_web::web;
use flowlord_messages::Code;

use crate::actor::{Config, Deps};
use crate::auth::{Failures, Tokens};
use crate::hosts::Hosts;
use crate::live::Hub;
use crate::problem::Problem;
use crate::request_id::RequestIds;

/// Shared by all requests.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) config: Config,
    pub(crate) deps: Deps,
    pub(crate) hosts: Hosts,
    pub(crate) tokens: Tokens,
    pub(crate) failures: Failures,
    pub(crate) hub: Arc<Hub>,
    pub(crate) request_ids: RequestIds,
    stopping: Arc<AtomicBool>,
    /// Topics that `/metrics` ever showed.
    topics: Mutex<BTreeSet<String>>,
}

/// As handlers get it.
pub(crate) type ApiRef = web::Data<Api>;

impl Api {
    pub(crate) fn new(config: Config, deps: Deps, stopping: Arc<AtomicBool>) -> Self {
        let request_ids = RequestIds::new(config.started_at);
        let hub = Arc::new(Hub::new(config.started_at));
        let hosts = Hosts::new(config.listen, config.public_url.as_deref());
        Self {
            config,
            deps,
            hosts,
            tokens: Tokens::default(),
            failures: Failures::default(),
            hub,
            request_ids,
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

    /// Refuses what would begin new work.
    pub(crate) fn refuse_when_stopping(&self) -> Result<(), Problem> {
        if self.is_stopping() {
            return Err(Problem::new(Code::Stopping, "the service is stopping and hands out nothing more"));
        }
        Ok(())
    }
}

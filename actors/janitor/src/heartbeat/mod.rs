//! The deadman actor asks for a URL of a watcher elsewhere while every actor answers. A watcher that is no longer asked
//! alerts people, even when this machine is gone.

#[cfg(test)]
mod tests;

use std::time::Duration;

use actix::{Addr, ArbiterHandle, Context, Supervisor};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::{ActorKit, KernelActor, Ping, Port, Timer, Wakes, actor, handlers};
use futures_util::future::join_all;
use metrics::counter;
use reqwest::Client;

/// How long an actor may take to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the watcher may take to answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What the operator chose.
#[derive(Clone)]
pub struct Config {
    /// The watcher's URL, which is often a secret.
    pub url: String,
    /// How often it is asked for.
    pub every: TimeDelta,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("every", &self.every).finish_non_exhaustive()
    }
}

/// What it works with.
#[derive(Debug, Clone)]
pub struct Deps {
    /// Clock, ids and supervision.
    pub kit: ActorKit,
    /// Ports to all actors that must be well.
    pub pings: Vec<Port<Ping>>,
}

/// Sends heartbeats to the watcher.
#[derive(Debug)]
pub struct HeartbeatSender {
    config: Config,
    deps: Deps,
    client: Client,
    timer: Timer,
}

impl HeartbeatSender {
    /// Starts it in `arbiter`.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: Deps) -> reqwest::Result<Addr<Self>> {
        let client = Client::builder().timeout(REQUEST_TIMEOUT).build()?;
        Ok(Supervisor::start_in_arbiter(arbiter, move |_| Self {
            config,
            deps,
            client,
            timer: Timer::default(),
        }))
    }

    fn send_heartbeat(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        let (client, url) = (self.client.clone(), self.config.url.clone());
        self.ask(ctx, send_if_well(self.deps.pings.clone(), client, url), move |this, outcome, ctx| {
            counter!("flowlord_deadman_pings_total", "outcome" => outcome).increment(1);
            this.wake_at(now.checked_add_signed(this.config.every), ctx);
        });
    }
}

handlers!(HeartbeatSender {});

actor!(HeartbeatSender { kit: deps.kit, mailbox: 64, start: send_heartbeat(now), wake: send_heartbeat(now) });

/// Asks for the watcher's URL if every actor answers. Returns the outcome for the metric.
async fn send_if_well(pings: Vec<Port<Ping>>, client: Client, url: String) -> &'static str {
    let answers = pings.iter().map(|port| async {
        let answer = tokio::time::timeout(PING_TIMEOUT, port.call(Ping)).await;
        matches!(answer, Ok(Ok(_))).then_some(()).ok_or(port.name())
    });
    if let Some(silent) = join_all(answers).await.into_iter().find_map(Result::err) {
        log::warn!("event=deadman_not_told reason=\"{silent} doesn't answer\"");
        return "unwell";
    }
    match client.get(url).send().await.and_then(reqwest::Response::error_for_status) {
        Ok(_) => "told",
        Err(err) => {
            // Without the address, which is a secret.
            log::warn!("event=deadman_not_told error=\"{}\"", err.without_url());
            "failed"
        }
    }
}

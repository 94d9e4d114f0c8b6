//! The deadman actor asks for a URL of a watcher elsewhere while every actor answers. A watcher that is no longer asked
//! alerts people, even when this machine is gone.

#[cfg(test)]
mod tests;

use std::time::Duration;

use actix::{Addr, ArbiterHandle, Context, Supervisor};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::{ActorKit, KernelActor, Ping, Port, Timer, WakeUp, actor, handlers};
use futures_util::future::join_all;
use metrics::counter;
use reqwest::Client;

const PING_TIMEOUT: Duration = Duration::from_secs(10);

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub struct Config {
    // Often a secret, in its path: so this type has a Debug of its own.
    pub url: String,
    pub every: TimeDelta,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("every", &self.every).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
pub struct Deps {
    pub kit: ActorKit,
    pub pings: Vec<Port<Ping>>,
}

#[derive(Debug)]
pub struct HeartbeatSender {
    config: Config,
    deps: Deps,
    client: Client,
    timer: Timer,
}

impl HeartbeatSender {
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: Deps) -> reqwest::Result<Addr<Self>> {
        let client = Client::builder().timeout(REQUEST_TIMEOUT).build()?;
        Ok(Supervisor::start_in_arbiter(arbiter, move |_| Self { config, deps, client, timer: Timer::default() }))
    }

    fn send_heartbeat(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        let (client, url) = (self.client.clone(), self.config.url.clone());
        self.ask(ctx, send_if_well(self.deps.pings.clone(), client, url), move |this, outcome, ctx| {
            counter!("flowlord_deadman_pings_total", "outcome" => outcome).increment(1);
            // From the beginning of this one, so that slow answers don't lengthen the interval.
            this.wake_at(now.checked_add_signed(this.config.every), ctx);
        });
    }
}

handlers!(HeartbeatSender {});

actor!(HeartbeatSender { kit: deps.kit, mailbox: 64, start: send_heartbeat(now), wake: send_heartbeat(now) });

/// Asks for the watcher's URL if every actor answers. Returns the outcome for the metric.
async fn send_if_well(pings: Vec<Port<Ping>>, client: Client, url: String) -> &'static str {
    // At the same time, so that the check takes as long as the slowest actor, not as all together.
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

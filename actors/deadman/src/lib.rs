//! The deadman actor: while every actor answers, it asks for a URL of a watcher elsewhere. A watcher that isn't asked any
//! more tells people, also when this machine is gone and can't.

#[cfg(test)]
mod tests;

use std::time::Duration;

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, Supervised, Supervisor};
use chrono::TimeDelta;
use flowlord_kernel::Pong;
use flowlord_kernel::{
    Activity, Busy, Guarded, Ping, Port, Result, SharedClock, Supervision, Tick, Timer, Wakes, guarded,
};
use futures_util::future::join_all;
use metrics::counter;
use reqwest::Client;

/// How long an actor may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How long the watcher may take.
const PATIENCE: Duration = Duration::from_secs(10);

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
    /// The clock.
    pub clock: SharedClock,
    /// Work under way.
    pub activity: Activity,
    /// Restarts.
    pub supervision: Supervision,
    /// To every actor that must be well.
    pub pings: Vec<Port<Ping>>,
}

/// The actor.
#[derive(Debug)]
pub struct Deadman {
    config: Config,
    deps: Deps,
    client: Client,
    timer: Timer,
}

impl Deadman {
    /// Starts it in `arbiter`.
    ///
    /// # Errors
    /// When there is no HTTP client to be had.
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: Deps) -> reqwest::Result<Addr<Self>> {
        let client = Client::builder().timeout(PATIENCE).build()?;
        let timer = Timer::new(deps.clock.clone());
        Ok(Supervisor::start_in_arbiter(arbiter, move |_| Self { config, deps, client, timer }))
    }

    fn tell(&mut self, now: chrono::DateTime<chrono::Utc>, busy: Option<Busy>, ctx: &mut Context<Self>) {
        let (client, url) = (self.client.clone(), self.config.url.clone());
        let said = said(self.deps.pings.clone(), client, url);
        ctx.spawn(wrap_future::<_, Self>(said).map(move |outcome, this, ctx| {
            guarded(this, ctx, |this, ctx| {
                counter!("flowlord_deadman_pings_total", "outcome" => outcome).increment(1);
                let at = now.checked_add_signed(this.config.every);
                this.timer.set(at, ctx, |this| &mut this.timer);
            });
            drop(busy);
        }));
    }
}

/// Tells the watcher if all is well; answers what became of it.
async fn said(pings: Vec<Port<Ping>>, client: Client, url: String) -> &'static str {
    let answers = pings.iter().map(|port| async {
        let answer = tokio::time::timeout(ANSWER_WITHIN, port.call(Ping)).await;
        matches!(answer, Ok(Ok(_))).then_some(()).ok_or(port.name())
    });
    if let Some(silent) = join_all(answers).await.into_iter().find_map(std::result::Result::err) {
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

impl Actor for Deadman {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(64);
        let busy = self.deps.activity.begin();
        self.tell(self.deps.clock.now(), Some(busy), ctx);
    }
}

impl Supervised for Deadman {
    fn restarting(&mut self, _ctx: &mut Self::Context) {
        self.timer = Timer::new(self.deps.clock.clone());
    }
}

impl Guarded for Deadman {
    fn supervision(&self) -> &Supervision {
        &self.deps.supervision
    }
}

impl Wakes for Deadman {
    fn wake(&mut self, tick: Tick, ctx: &mut Context<Self>) {
        self.tell(tick.now, tick.busy, ctx);
    }
}

impl Handler<Ping> for Deadman {
    type Result = Result<Pong>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Result<Pong> {
        Ok(Pong { restarts: self.deps.supervision.restarts() })
    }
}

//! The deadline checker, the actor `watch`: it raises alerts about what should have happened by now and didn't.
//!
//! Each minute it reads the deadlines that passed since its last check and what became of their tasks. Alerts are
//! stored together with how far it checked: a restart neither repeats nor forgets any.

mod breaches;
mod joins;
mod missing;
#[cfg(test)]
mod tests;

use actix::{Addr, ArbiterHandle, Context, Supervisor};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::{KernelActor, Result, Timer, WakeUp, actor, handlers};
use flowlord_messages::clients::DispatchClient;
use flowlord_messages::deps::WorkflowDeps;

const CHECK_INTERVAL: TimeDelta = TimeDelta::minutes(1);

#[derive(Debug, Clone)]
pub struct Config {
    /// A task unfinished this long after its creation raises an alert.
    pub ttl: TimeDelta,
    /// Ready tasks for which no worker asked for so long raise an alert; zero for never.
    pub no_workers: TimeDelta,
    /// The host name that templates of joins may use.
    pub host: String,
}

#[derive(Debug)]
pub struct DeadlineChecker {
    config: Config,
    deps: WorkflowDeps,
    dispatch: DispatchClient,
    is_checking: bool,
    timer: Timer,
}

impl DeadlineChecker {
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: WorkflowDeps, dispatch: DispatchClient) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::default(),
            config,
            deps,
            dispatch,
            is_checking: false,
        })
    }

    fn check_deadlines(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        if self.is_checking {
            return;
        }
        self.is_checking = true;
        let (deps, dispatch, config) = (self.deps.clone(), self.dispatch.clone(), self.config.clone());
        let checked = async move {
            let mut found = breaches::find_breaches(&deps, &config, now).await?;
            found.breaches.extend(missing::find_missing_workers(&deps, &dispatch, config.no_workers, now).await);
            deps.writer.call(found).await
        };
        self.ask(ctx, checked, move |this, checked: Result<()>, ctx| {
            this.is_checking = false;
            if let Err(err) = checked {
                log::warn!("event=watch_not_kept error={err:?}");
            }
            this.wake_at(Some(now + CHECK_INTERVAL), ctx);
        });
    }

    fn forget_check(&mut self) {
        self.is_checking = false;
    }

    fn check_after_set_back(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        // After the clock was set back the timer may be far away.
        if self.timer.at().is_some_and(|at| at > now + CHECK_INTERVAL) {
            self.check_deadlines(now, ctx);
        }
    }
}

handlers!(DeadlineChecker {});

actor!(DeadlineChecker {
    kit: deps.kit,
    mailbox: 64,
    start: check_deadlines(now),
    restart: forget_check,
    wake: check_deadlines(now),
    before_pong: check_after_set_back(now),
});

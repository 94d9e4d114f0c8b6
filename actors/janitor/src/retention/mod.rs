//! The retention actor removes history that is older than the retention, a little at a time.
//!
//! It begins at the start, every day at midnight UTC, and when asked. Each step is one small command with a pause after
//! it, so that the writer is never held up.

#[cfg(test)]
mod tests;

use actix::{Addr, ArbiterHandle, Context, Supervisor};
use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use flowlord_kernel::{ActorKit, KernelActor, Result, Timer, WakeUp, actor, handlers};
use flowlord_messages::clients::DatabaseWriter;
use flowlord_messages::history::{HistoryPosition, RemoveHistory, RemoveOldHistory, RemovedHistory};

// Of each kind in one step: some milliseconds of the writer's time.
const ROWS_PER_STEP: usize = 500;

// Between two steps the writer works for others.
const STEP_PAUSE: TimeDelta = TimeDelta::milliseconds(50);

const RETRY_DELAY: TimeDelta = TimeDelta::minutes(1);

#[derive(Debug, Clone)]
pub struct Config {
    pub retention: TimeDelta,
}

#[derive(Debug, Clone)]
pub struct Deps {
    pub kit: ActorKit,
    pub writer: DatabaseWriter,
}

#[derive(Debug)]
pub struct HistoryRemover {
    config: Config,
    deps: Deps,
    timer: Timer,
    /// The next step, while there is something to remove.
    next_step: Option<RemoveHistory>,
    removed_tasks: usize,
    removed_others: usize,
}

impl HistoryRemover {
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: Deps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::default(),
            config,
            deps,
            next_step: None,
            removed_tasks: 0,
            removed_others: 0,
        })
    }

    fn remove_old(&mut self, _: RemoveOldHistory, ctx: &mut Context<Self>) {
        // One run at a time: a second one would ask for the same rows.
        if self.next_step.is_none() {
            self.begin_run(self.now(), ctx);
        }
    }

    fn begin_run(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        (self.removed_tasks, self.removed_others) = (0, 0);
        let before = oldest_kept(now, self.config.retention);
        self.run_step(RemoveHistory { before, after: HistoryPosition::default(), limit: ROWS_PER_STEP }, now, ctx);
    }

    fn run_step(&mut self, step: RemoveHistory, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        self.next_step = Some(step.clone());
        self.ask(ctx, self.deps.writer.call(step.clone()), move |this, removed, ctx| {
            let at = this.finish_step(&step, removed, now);
            this.wake_at(Some(at), ctx);
        });
    }

    /// Notes what a step removed. Returns when to go on.
    fn finish_step(
        &mut self,
        step: &RemoveHistory,
        removed: Result<RemovedHistory>,
        now: DateTime<Utc>,
    ) -> DateTime<Utc> {
        match removed {
            Ok(RemovedHistory { tasks, others, next, more }) => {
                self.removed_tasks += tasks;
                self.removed_others += others;
                if more {
                    self.next_step = Some(RemoveHistory { after: next, ..*step });
                    return now + STEP_PAUSE;
                }
                self.end_run(step.before);
                next_midnight(now)
            }
            Err(err) => {
                log::warn!("event=history_not_removed error={err:?}");
                now + RETRY_DELAY
            }
        }
    }

    fn end_run(&mut self, before: DateTime<Utc>) {
        self.next_step = None;
        let (tasks, others) = (self.removed_tasks, self.removed_others);
        if tasks + others > 0 {
            let before = before.format("%Y-%m-%d");
            log::info!("event=history_removed before={before} tasks={tasks} others={others}");
        }
    }

    fn forget_step(&mut self) {
        self.next_step = None;
    }

    fn continue_run(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        match self.next_step.clone() {
            Some(step) => self.run_step(step, now, ctx),
            None => self.begin_run(now, ctx),
        }
    }
}

/// Midnight UTC of the first day that is kept.
fn oldest_kept(now: DateTime<Utc>, retention: TimeDelta) -> DateTime<Utc> {
    let kept = now.checked_sub_signed(retention).unwrap_or(DateTime::<Utc>::MIN_UTC);
    kept.date_naive().and_time(NaiveTime::MIN).and_utc()
}

fn next_midnight(now: DateTime<Utc>) -> DateTime<Utc> {
    let next = now.date_naive().checked_add_days(Days::new(1)).unwrap_or(now.date_naive());
    next.and_time(NaiveTime::MIN).and_utc()
}

handlers!(HistoryRemover { RemoveOldHistory => remove_old });

actor!(HistoryRemover {
    kit: deps.kit,
    mailbox: 64,
    start: begin_run(now),
    restart: forget_step,
    wake: continue_run(now),
});

//! The scheduler actor: cron slots and delayed tasks, by one timer at the earliest of them.
//!
//! A slot is stored together with its tasks, and starts at most once: the database refuses it a second time, so
//! this actor may forget, restart, or ask again. `plan` knows when something is due, `gap` what becomes of
//! slots that fell into downtime or a pause, `queues` in which order all of it is stored, `writer` how.

mod alert;
mod gap;
mod plan;
mod queues;
mod slot;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::HashMap;
use std::sync::Arc;

use actix::{Addr, ArbiterHandle, Context, Supervisor};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::workflow::Workflows;
use flowlord_kernel::{Code, Error, KernelActor, Reply, Result, Timer, WakeUp, actor, handlers};
use flowlord_messages::deps::WorkflowDeps;
use flowlord_messages::events::TasksDelayed;
use flowlord_messages::schedule::{
    CronKey, PausePhase, PhaseTimes, PromoteDue, PromotedTasks, ReadNextRuns, ReadSchedule, SaveCrons, ScheduleInput,
    SetPaused, StopScheduling,
};
use flowlord_messages::workflows::{ReadLoadedWorkflows, WorkflowsChanged};
use tokio::sync::oneshot;

use crate::alert::slot_time;
use crate::gap::SlotWrite;
use crate::plan::{DueWork, MAX_LATENESS, SchedulePlan};
use crate::queues::WriteQueues;
use crate::slot::SlotName;
use crate::writer::SlotWriter;

const RETRY_DELAY: TimeDelta = TimeDelta::seconds(1);

/// How often to check the clock even when nothing is planned: it may be set back, and a hint may be lost.
const CHECK_INTERVAL: TimeDelta = TimeDelta::minutes(5);

#[derive(Debug, Clone)]
pub struct Config {
    pub host: String,
}

#[derive(Debug)]
pub struct Scheduler {
    config: Config,
    deps: WorkflowDeps,
    /// Nothing starts before what was stored is known.
    is_ready: bool,
    /// The process goes on where this actor was a moment ago: what came due meanwhile is late, not missed.
    is_restarted: bool,
    /// The workflows that the plan was made of.
    workflows: Option<Arc<Workflows>>,
    plan: SchedulePlan,
    queues: WriteQueues,
    delayed: DelayedTasks,
    crons: SavedCrons,
    timer: Timer,
    /// When to read again, or to let what failed try again.
    retry_at: Option<DateTime<Utc>>,
    next_check: DateTime<Utc>,
    /// The latest time that was seen: a clock set back shows against it.
    latest_time: DateTime<Utc>,
    /// Who waits for the end, once it is asked for.
    stopping: Option<Vec<oneshot::Sender<()>>>,
}

#[derive(Debug, Default)]
struct DelayedTasks {
    next: Option<DateTime<Utc>>,
    /// A step that makes them ready is under way.
    is_promoting: bool,
}

impl DelayedTasks {
    fn expect_by(&mut self, at: Option<DateTime<Utc>>) {
        self.next = self.next.into_iter().chain(at).min();
    }
}

/// The crons that are stored, and since when each counts.
#[derive(Debug, Default)]
struct SavedCrons {
    saved: HashMap<CronKey, DateTime<Utc>>,
    is_saving: bool,
}

impl SavedCrons {
    /// What is to be stored for these to be remembered; none when they are.
    fn difference(&self, crons: &HashMap<CronKey, DateTime<Utc>>) -> Option<SaveCrons> {
        let unsaved = crons.iter().filter(|(cron, since)| self.saved.get(cron) != Some(since));
        let added: Vec<_> = unsaved.map(|(cron, since)| (cron.clone(), *since)).collect();
        let removed: Vec<_> = self.saved.keys().filter(|cron| !crons.contains_key(cron)).cloned().collect();
        (!added.is_empty() || !removed.is_empty()).then_some(SaveCrons { added, removed })
    }
}

impl Scheduler {
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: WorkflowDeps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::default(),
            next_check: deps.kit.now(),
            latest_time: deps.kit.now(),
            config,
            deps,
            is_ready: false,
            is_restarted: false,
            workflows: None,
            plan: SchedulePlan::default(),
            queues: WriteQueues::default(),
            delayed: DelayedTasks::default(),
            crons: SavedCrons::default(),
            retry_at: None,
            stopping: None,
        })
    }

    fn read_schedule(&mut self, ctx: &mut Context<Self>) {
        let (library, reader) = (self.deps.library.clone(), self.deps.reader.clone());
        let read = async move {
            let current = library.call(ReadLoadedWorkflows).await?;
            Ok::<_, Error>((current.workflows, reader.call(ReadSchedule).await?))
        };
        self.ask(ctx, read, |this, read, ctx| match read {
            Ok((workflows, schedule)) => this.begin_schedule(workflows, &schedule, ctx),
            Err(err) => {
                log::warn!("event=schedule_unread error={err:?}");
                this.retry_at = Some(this.now() + RETRY_DELAY);
                this.set_timer(ctx);
            }
        });
    }

    fn begin_schedule(&mut self, read: Arc<Workflows>, stored: &ScheduleInput, ctx: &mut Context<Self>) {
        if self.stopping.is_some() {
            return;
        }
        let now = self.now();
        // A hint that came while this was read is newer, or the same.
        let workflows = self.workflows.take().unwrap_or(read);
        self.plan.replace_workflows(&workflows, now);
        self.workflows = Some(workflows);
        // After a restart of the actor alone, what came due in between still starts.
        let missed_until = if self.is_restarted { now - MAX_LATENESS } else { now };
        for gap in self.plan.resume_stored(stored, now, missed_until) {
            self.queues.add_due(DueWork::Gap(gap));
        }
        self.delayed.expect_by(stored.next_due);
        self.crons.saved = stored.crons.iter().cloned().collect();
        self.save_crons(ctx);
        self.is_ready = true;
        self.next_check = now + CHECK_INTERVAL;
        let phases = self.plan.phase_times().len();
        log::info!("event=scheduling phases={phases} next={:?}", self.plan.next_due());
        self.start_due(now, ctx);
    }

    fn start_due(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        if self.is_ready && self.stopping.is_none() {
            self.check_clock(now);
            if self.retry_at.is_some_and(|at| at <= now) {
                self.retry_at = None;
                self.queues.retry_failed();
                self.save_crons(ctx);
            }
            for due in self.plan.take_due(now) {
                self.queues.add_due(due);
            }
            self.promote_delayed(now, ctx);
        }
        self.send_writes(now, ctx);
        self.set_timer(ctx);
    }

    fn check_clock(&mut self, now: DateTime<Utc>) {
        if now + MAX_LATENESS < self.latest_time {
            log::warn!("event=clock_set_back from={} to={now}", self.latest_time);
            self.plan.follow_clock_back(now);
            self.latest_time = now;
            self.next_check = now;
        }
        self.latest_time = self.latest_time.max(now);
        if self.next_check <= now {
            self.next_check = now + CHECK_INTERVAL;
            // The hint of a delayed task may have been lost.
            self.delayed.expect_by(Some(now));
        }
    }

    fn set_timer(&mut self, ctx: &mut Context<Self>) {
        let delayed = self.delayed.next.filter(|_| !self.delayed.is_promoting);
        let planned = self.plan.next_due().into_iter().chain(delayed).chain([self.next_check]).min();
        let at = planned.filter(|_| self.is_ready).into_iter().chain(self.retry_at).min();
        self.wake_at(at.filter(|_| self.stopping.is_none()), ctx);
    }

    fn send_writes(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        while let Some(write) = self.queues.next_write(now) {
            let writer = SlotWriter {
                host: self.config.host.clone(),
                ids: self.deps.kit.ids(),
                library: self.deps.library.clone(),
                writer: self.deps.writer.clone(),
            };
            let stored = async move {
                let stored = writer.store_write(&write, now).await;
                (write, stored)
            };
            self.ask(ctx, stored, |this, (write, stored), ctx| this.end_write(write, stored, ctx));
        }
        self.answer_stops();
    }

    fn end_write(&mut self, write: SlotWrite, stored: Result<usize>, ctx: &mut Context<Self>) {
        let now = self.now();
        match stored {
            Err(err) if err.code != Code::SlotTaken => {
                // Whether it was stored or not: the slot's key makes it safe to ask again.
                log::warn!("event=slot_not_stored {} error={err:?}", log_text(&write));
                self.queues.hold_failed(write);
                self.retry_at.get_or_insert(now + RETRY_DELAY);
            }
            stored => {
                match (stored, &write) {
                    (Ok(tasks), SlotWrite::Start(_)) => {
                        log::info!("event=slot_started {} tasks={tasks}", log_text(&write));
                    }
                    (Ok(_), SlotWrite::Missed(_)) => log::warn!("event=slots_missed {}", log_text(&write)),
                    // An earlier life of this actor stored it.
                    (Err(_), _) => log::debug!("event=slot_taken {}", log_text(&write)),
                }
                self.queues.end_write(write.slot_name());
            }
        }
        self.send_writes(now, ctx);
        self.set_timer(ctx);
    }

    fn save_crons(&mut self, ctx: &mut Context<Self>) {
        // One save at a time: the next difference is that from what this one stores.
        let crons = self.plan.cron_starts();
        let Some(change) = self.crons.difference(&crons).filter(|_| !self.crons.is_saving) else { return };
        self.crons.is_saving = true;
        self.ask(ctx, self.deps.writer.call(change), move |this, saved, ctx| {
            this.crons.is_saving = false;
            match saved {
                Ok(()) => {
                    this.crons.saved = crons;
                    // They may have changed meanwhile.
                    this.save_crons(ctx);
                }
                Err(err) => {
                    log::warn!("event=crons_not_saved error={err:?}");
                    this.retry_at.get_or_insert(this.deps.kit.now() + RETRY_DELAY);
                    this.set_timer(ctx);
                }
            }
            this.answer_stops();
        });
    }

    fn promote_delayed(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        if self.delayed.is_promoting || self.delayed.next.is_none_or(|at| at > now) {
            return;
        }
        // What is hinted at from here on may not be in the answer.
        self.delayed = DelayedTasks { next: None, is_promoting: true };
        self.ask(ctx, self.deps.writer.call(PromoteDue { now }), |this, promoted, ctx| {
            let now = this.now();
            let next = promoted.map(|PromotedTasks { next, .. }| next).unwrap_or_else(|err| {
                log::warn!("event=delayed_tasks_not_promoted error={err:?}");
                Some(now + RETRY_DELAY)
            });
            this.delayed.is_promoting = false;
            this.delayed.expect_by(next);
            this.start_due(now, ctx);
        });
    }

    fn answer_stops(&mut self) {
        if self.queues.is_idle() && !self.delayed.is_promoting && !self.crons.is_saving {
            self.stopping.iter_mut().for_each(Vec::clear);
        }
    }

    fn replace_workflows(&mut self, changed: WorkflowsChanged, ctx: &mut Context<Self>) {
        let (workflows, now) = (changed.workflows, self.now());
        // The library's hint and this actor's own question may bring the same ones.
        let is_same = self.workflows.as_ref().is_some_and(|known| Arc::ptr_eq(known, &workflows));
        if self.is_ready && !is_same {
            // What is due by the old plan is due.
            self.start_due(now, ctx);
            self.plan.replace_workflows(&workflows, now);
            self.save_crons(ctx);
        }
        self.workflows = Some(workflows);
        self.start_due(now, ctx);
    }

    fn expect_delayed(&mut self, hint: TasksDelayed, ctx: &mut Context<Self>) {
        self.delayed.expect_by(Some(hint.due));
        self.start_due(self.now(), ctx);
    }

    fn list_next_runs(&mut self, _: ReadNextRuns, _: &mut Context<Self>) -> Result<Vec<PhaseTimes>> {
        Ok(self.plan.phase_times())
    }

    fn pause_phase(&mut self, ask: PausePhase, ctx: &mut Context<Self>) -> Reply<Self, Option<DateTime<Utc>>> {
        let PausePhase { workflow, task, paused } = ask;
        let name = SlotName { workflow: workflow.clone(), task: task.clone() };
        if let Err(err) = self.check_pausable(&name) {
            return Box::pin(actix::fut::ready(Err(err)));
        }
        let now = self.now();
        // What came due before it is no part of a pause.
        self.start_due(now, ctx);
        let set = self.deps.writer.call(SetPaused { now, workflow, task, paused });
        self.reply_after(set, move |this, set, ctx| {
            // Only what is stored is planned by: a pause that is lost at a restart is none.
            let since = set?;
            this.apply_pause(name, since.is_some(), ctx);
            Ok(since)
        })
    }

    fn check_pausable(&self, name: &SlotName) -> Result<()> {
        let Some(workflows) = self.workflows.as_ref().filter(|_| self.is_ready) else {
            return Err(Error::new(Code::Busy, "the scheduler is starting; try again"));
        };
        // A phase that left while it was paused can still be resumed.
        if workflows.phase_named(&name.workflow, &name.task).is_some() || self.plan.is_paused(name) {
            return Ok(());
        }
        let detail = match workflows.file_at(&name.workflow) {
            Some(_) => format!("`{}` has no phase `{}`", name.workflow, name.task),
            None => format!("there is no workflow file `{}`", name.workflow),
        };
        Err(Error::new(Code::WorkflowUnknown, format!("{detail}; GET /api/v1/workflows lists them")))
    }

    fn apply_pause(&mut self, name: SlotName, is_paused: bool, ctx: &mut Context<Self>) {
        let now = self.now();
        let (workflow, task) = (&name.workflow, &name.task);
        if is_paused {
            log::info!("event=phase_paused workflow={workflow:?} task={task:?}");
            self.plan.pause_phase(name);
        } else {
            log::info!("event=phase_resumed workflow={workflow:?} task={task:?}");
            if let Some(gap) = self.plan.resume_phase(&name, now) {
                self.queues.add_due(DueWork::Gap(gap));
            }
        }
        self.start_due(now, ctx);
    }

    fn stop_scheduling(&mut self, _: StopScheduling, ctx: &mut Context<Self>) -> Reply<Self, ()> {
        let now = self.now();
        let (done, stopped) = oneshot::channel();
        if self.stopping.is_none() {
            // What came due before the end still starts, and what failed has one more try.
            self.start_due(now, ctx);
            self.queues.retry_failed();
        }
        self.stopping.get_or_insert_default().push(done);
        self.start_due(now, ctx);
        // Answered by dropping the sender: nothing is under way then, be it by the end or by a restart.
        self.reply_after(stopped, |_, _, _| Ok(()))
    }

    fn forget_plan(&mut self) {
        // What was planned is planned again from what is stored. Nothing is under way any more: all futures of
        // the actor are gone.
        self.is_ready = false;
        self.is_restarted = true;
        self.workflows = None;
        self.plan = SchedulePlan::default();
        self.queues = WriteQueues::default();
        self.delayed = DelayedTasks::default();
        self.crons = SavedCrons::default();
        self.retry_at = None;
    }

    fn continue_plan(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        if self.is_ready {
            self.start_due(now, ctx);
        } else if self.stopping.is_none() {
            self.retry_at = None;
            self.read_schedule(ctx);
        }
    }
}

fn log_text(write: &SlotWrite) -> String {
    let name = write.slot_name();
    let what = match write {
        SlotWrite::Start(slot) => format!("slot={}", slot_time(slot.at)),
        SlotWrite::Missed(missed) => format!("count={}", missed.slots.len()),
    };
    format!("workflow={:?} task={:?} {what}", name.workflow, name.task)
}

handlers!(Scheduler {
    WorkflowsChanged => replace_workflows,
    TasksDelayed => expect_delayed,
    ReadNextRuns => list_next_runs,
    async PausePhase => pause_phase,
    async StopScheduling => stop_scheduling,
});

actor!(Scheduler {
    kit: deps.kit,
    mailbox: 2048,
    start: read_schedule,
    restart: forget_plan,
    wake: continue_plan(now),
    // After the clock was set back the timer may be far away.
    before_pong: start_due(now),
});

//! The scheduler actor: cron slots and delayed tasks, by one timer at the earliest of them.
//!
//! A slot is stored together with its tasks, and starts at most once: the database refuses it a second time, so
//! this actor may forget, restart, or ask again. `plan` knows when something is due, `gap` what becomes of
//! slots that nobody was there for, `lines` in which order all of it is stored.

mod alert;
mod gap;
mod handlers;
mod lines;
mod plan;
mod start;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Supervised, Supervisor};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::workflow::Workflows;
use flowlord_kernel::{
    Activity, Busy, Code, Error, Guarded, IdGenerator, Port, Result, SharedClock, Supervision, Tick, Timer,
    Wakes, guarded,
};
use flowlord_messages::library::{Current, CurrentWorkflows, MetaRows};
use flowlord_messages::read::{ReadSchedule, ScheduleInput};
use flowlord_messages::write::{
    CreateTasks, CronKey, PromoteDue, Promoted, RecordMissed, SaveCrons, SetPaused,
};
use tokio::sync::oneshot;

use crate::gap::{Missed, Write};
use crate::lines::Lines;
use crate::plan::{Due, LATE, Plan, Slot};
use crate::start::Starter;

/// After a failed call to the database, when to try again.
const TRY_AGAIN: TimeDelta = TimeDelta::seconds(1);

/// How often to look even when nothing is planned: for a clock that was set back, and for a lost hint.
const LOOK_AGAIN: TimeDelta = TimeDelta::minutes(5);

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Config {
    /// The host name that templates may use.
    pub host: String,
}

/// What it works with.
#[derive(Debug, Clone)]
pub struct Deps {
    /// The clock.
    pub clock: SharedClock,
    /// The source of ids.
    pub mint: IdGenerator,
    /// Work under way.
    pub activity: Activity,
    /// Restarts.
    pub supervision: Supervision,
    /// To the DB owner.
    pub create: Port<CreateTasks>,
    /// To the DB owner.
    pub missed: Port<RecordMissed>,
    /// To the DB owner.
    pub crons: Port<SaveCrons>,
    /// To the DB owner.
    pub promote: Port<PromoteDue>,
    /// To the DB owner.
    pub pause: Port<SetPaused>,
    /// To the DB readers, at the start.
    pub schedule: Port<ReadSchedule>,
    /// To the library, at the start.
    pub workflows: Port<CurrentWorkflows>,
    /// To the library.
    pub rows: Port<MetaRows>,
}

/// The actor.
#[derive(Debug)]
pub struct Scheduler {
    config: Config,
    deps: Deps,
    /// Nothing starts before what was stored is known.
    ready: bool,
    /// The process goes on where this actor was a moment ago: what came due meanwhile is late, not missed.
    restarted: bool,
    /// The workflows that the plan was made of.
    workflows: Option<Arc<Workflows>>,
    plan: Plan,
    lines: Lines,
    delayed: Delayed,
    crons: Crons,
    timer: Timer,
    /// When to read again, or to let what failed try again.
    try_again: Option<DateTime<Utc>>,
    look_again: DateTime<Utc>,
    /// The latest time that was seen.
    seen: DateTime<Utc>,
    /// Who waits for the end, once it is asked for.
    stopping: Option<Vec<oneshot::Sender<()>>>,
}

/// Tasks whose time will come.
#[derive(Debug, Default)]
struct Delayed {
    next: Option<DateTime<Utc>>,
    /// A step that makes them ready is under way.
    promoting: bool,
}

impl Delayed {
    fn no_later_than(&mut self, at: Option<DateTime<Utc>>) {
        self.next = self.next.into_iter().chain(at).min();
    }
}

/// The crons that are remembered.
#[derive(Debug, Default)]
struct Crons {
    saved: HashMap<CronKey, DateTime<Utc>>,
    saving: bool,
}

impl Crons {
    /// What is to be saved for these to be remembered; none when they are.
    fn change(&self, crons: &HashMap<CronKey, DateTime<Utc>>) -> Option<SaveCrons> {
        let unsaved = crons.iter().filter(|(cron, since)| self.saved.get(cron) != Some(since));
        let added: Vec<_> = unsaved.map(|(cron, since)| (cron.clone(), *since)).collect();
        let removed: Vec<_> = self.saved.keys().filter(|cron| !crons.contains_key(cron)).cloned().collect();
        (!added.is_empty() || !removed.is_empty()).then_some(SaveCrons { added, removed })
    }
}

impl Scheduler {
    /// Starts it in `arbiter`.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: Deps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::new(deps.clock.clone()),
            look_again: deps.clock.now(),
            seen: deps.clock.now(),
            config,
            deps,
            ready: false,
            restarted: false,
            workflows: None,
            plan: Plan::default(),
            lines: Lines::default(),
            delayed: Delayed::default(),
            crons: Crons::default(),
            try_again: None,
            stopping: None,
        })
    }

    /// Reads what counts now, and what was stored.
    fn read(&mut self, busy: Option<Busy>, ctx: &mut Context<Self>) {
        let (workflows, schedule) = (self.deps.workflows.clone(), self.deps.schedule.clone());
        let read = async move {
            let Current { workflows, .. } = workflows.call(CurrentWorkflows).await?;
            let schedule = schedule.call(ReadSchedule).await?;
            Ok::<_, Error>((workflows, schedule))
        };
        ctx.spawn(wrap_future::<_, Self>(read).map(move |read, this, ctx| {
            guarded(this, ctx, |this, ctx| {
                let now = this.deps.clock.now();
                match read {
                    Ok((workflows, schedule)) => this.begin(workflows, &schedule, now, ctx),
                    Err(err) => {
                        log::warn!("event=schedule_unread error={err:?}");
                        this.try_again = Some(now + TRY_AGAIN);
                        this.set_timer(ctx);
                    }
                }
            });
            drop(busy);
        }));
    }

    fn begin(
        &mut self,
        workflows: Arc<Workflows>,
        stored: &ScheduleInput,
        now: DateTime<Utc>,
        ctx: &mut Context<Self>,
    ) {
        if self.stopping.is_some() {
            return;
        }
        // A hint that came while this was read is newer, or the same.
        let workflows = self.workflows.take().unwrap_or(workflows);
        self.plan.replace(&workflows, now);
        self.workflows = Some(workflows);
        let missed_until = if self.restarted { now - LATE } else { now };
        for gap in self.plan.go_on(stored, now, missed_until) {
            self.lines.add(Due::Gap(gap));
        }
        self.delayed.no_later_than(stored.next_due);
        self.crons.saved = stored.crons.iter().cloned().collect();
        self.save_crons(ctx);
        self.ready = true;
        self.look_again = now + LOOK_AGAIN;
        log::info!("event=scheduling phases={} next={:?}", self.plan.times().len(), self.plan.next());
        self.run(now, ctx);
    }

    /// Does all that is due.
    fn run(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        if self.ready && self.stopping.is_none() {
            self.look_at_the_clock(now);
            if self.try_again.is_some_and(|at| at <= now) {
                self.try_again = None;
                self.lines.wake();
                self.save_crons(ctx);
            }
            for due in self.plan.due(now) {
                self.lines.add(due);
            }
            self.promote(now, ctx);
        }
        self.send(now, ctx);
        self.set_timer(ctx);
    }

    fn look_at_the_clock(&mut self, now: DateTime<Utc>) {
        if now + LATE < self.seen {
            log::warn!("event=clock_set_back from={} to={now}", self.seen);
            self.plan.set_back(now);
            self.seen = now;
            self.look_again = now;
        }
        self.seen = self.seen.max(now);
        if self.look_again <= now {
            self.look_again = now + LOOK_AGAIN;
            // The hint of a delayed task may have been lost.
            self.delayed.no_later_than(Some(now));
        }
    }

    fn set_timer(&mut self, ctx: &mut Context<Self>) {
        let delayed = self.delayed.next.filter(|_| !self.delayed.promoting);
        let planned = self.plan.next().into_iter().chain(delayed).chain([self.look_again]).min();
        let at = planned.filter(|_| self.ready).into_iter().chain(self.try_again).min();
        self.timer.set(at.filter(|_| self.stopping.is_none()), ctx, |this| &mut this.timer);
    }

    /// Sends as much of what waits as may be under way.
    fn send(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        while let Some(write) = self.lines.next(now) {
            let busy = self.deps.activity.begin();
            let stored = match &write {
                Write::Start(slot) => self.start_slot(slot, now),
                Write::Missed(missed) => self.record(missed, now),
            };
            ctx.spawn(wrap_future::<_, Self>(stored).map(move |stored, this, ctx| {
                guarded(this, ctx, |this, ctx| this.stored(write, stored, ctx));
                drop(busy);
            }));
        }
        self.answer_stops();
    }

    /// Stores a slot and its tasks.
    fn start_slot(&mut self, slot: &Slot, now: DateTime<Utc>) -> Stored {
        let starter = Starter {
            host: self.config.host.clone(),
            mint: self.deps.mint.clone(),
            rows: self.deps.rows.clone(),
            create: self.deps.create.clone(),
        };
        let slot = slot.clone();
        Box::pin(async move { starter.start(&slot, now).await })
    }

    fn record(&self, missed: &Missed, now: DateTime<Utc>) -> Stored {
        let alerts = missed.alert.clone().into_iter().collect();
        let call = self.deps.missed.call(RecordMissed { slots: missed.slots.clone(), alerts, now });
        Box::pin(async move { call.await.map(|()| 0) })
    }

    fn stored(&mut self, write: Write, stored: Result<usize>, ctx: &mut Context<Self>) {
        let now = self.deps.clock.now();
        match stored {
            Err(err) if err.code != Code::SlotTaken => {
                // Whether it was stored or not: the slot's key makes it safe to ask again.
                log::warn!("event=slot_not_stored {} error={err:?}", text(&write));
                self.lines.rest(write);
                self.try_again.get_or_insert(now + TRY_AGAIN);
            }
            stored => {
                match (stored, &write) {
                    (Ok(tasks), Write::Start(_)) => {
                        log::info!("event=slot_started {} tasks={tasks}", text(&write));
                    }
                    (Ok(_), Write::Missed(_)) => log::warn!("event=slots_missed {}", text(&write)),
                    (Err(_), _) => log::debug!("event=slot_taken {}", text(&write)),
                }
                self.lines.done(write.name());
            }
        }
        self.send(now, ctx);
        self.set_timer(ctx);
    }

    /// Remembers the crons that count, where that changed.
    fn save_crons(&mut self, ctx: &mut Context<Self>) {
        let crons = self.plan.crons();
        let Some(change) = self.crons.change(&crons).filter(|_| !self.crons.saving) else { return };
        self.crons.saving = true;
        let busy = self.deps.activity.begin();
        ctx.spawn(wrap_future::<_, Self>(self.deps.crons.call(change)).map(move |saved, this, ctx| {
            guarded(this, ctx, |this, ctx| this.crons_saved(saved, crons, ctx));
            drop(busy);
        }));
    }

    fn crons_saved(
        &mut self,
        saved: Result<()>,
        crons: HashMap<CronKey, DateTime<Utc>>,
        ctx: &mut Context<Self>,
    ) {
        self.crons.saving = false;
        match saved {
            Ok(()) => {
                self.crons.saved = crons;
                // They may have changed meanwhile.
                self.save_crons(ctx);
            }
            Err(err) => {
                log::warn!("event=crons_not_saved error={err:?}");
                self.try_again.get_or_insert(self.deps.clock.now() + TRY_AGAIN);
                self.set_timer(ctx);
            }
        }
        self.answer_stops();
    }

    /// Makes tasks ready whose time has come.
    fn promote(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        if self.delayed.promoting || self.delayed.next.is_none_or(|at| at > now) {
            return;
        }
        // What is hinted at from here on may not be in the answer.
        self.delayed = Delayed { next: None, promoting: true };
        let busy = self.deps.activity.begin();
        let call = self.deps.promote.call(PromoteDue { now });
        ctx.spawn(wrap_future::<_, Self>(call).map(move |promoted, this, ctx| {
            guarded(this, ctx, |this, ctx| this.promoted(promoted, ctx));
            drop(busy);
        }));
    }

    fn promoted(&mut self, promoted: Result<Promoted>, ctx: &mut Context<Self>) {
        let now = self.deps.clock.now();
        let next = match promoted {
            Ok(Promoted { next, .. }) => next,
            Err(err) => {
                log::warn!("event=delayed_tasks_not_promoted error={err:?}");
                Some(now + TRY_AGAIN)
            }
        };
        self.delayed.promoting = false;
        self.delayed.no_later_than(next);
        self.run(now, ctx);
    }

    fn answer_stops(&mut self) {
        if self.lines.is_idle() && !self.delayed.promoting && !self.crons.saving {
            for waiting in self.stopping.iter_mut().flat_map(|waiting| waiting.drain(..)) {
                let _nobody_waits_any_more = waiting.send(());
            }
        }
    }
}

/// How many tasks a write stored.
type Stored = std::pin::Pin<Box<dyn Future<Output = Result<usize>>>>;

fn text(write: &Write) -> String {
    let name = write.name();
    let what = match write {
        Write::Start(slot) => format!("slot={}", slot.at.format("%Y-%m-%dT%H:%M:%SZ")),
        Write::Missed(missed) => format!("count={}", missed.slots.len()),
    };
    format!("workflow={:?} task={:?} {what}", name.workflow, name.task)
}

impl Actor for Scheduler {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(2048);
        let busy = self.deps.activity.begin();
        self.read(Some(busy), ctx);
    }
}

impl Supervised for Scheduler {
    fn restarting(&mut self, _ctx: &mut Self::Context) {
        // What was planned is planned again from what is stored. Nothing is under way any more: all futures of
        // the actor are gone.
        self.ready = false;
        self.restarted = true;
        self.workflows = None;
        self.plan = Plan::default();
        self.lines = Lines::default();
        self.delayed = Delayed::default();
        self.crons = Crons::default();
        self.try_again = None;
        self.timer = Timer::new(self.deps.clock.clone());
    }
}

impl Guarded for Scheduler {
    fn supervision(&self) -> &Supervision {
        &self.deps.supervision
    }
}

impl Wakes for Scheduler {
    fn wake(&mut self, tick: Tick, ctx: &mut Context<Self>) {
        if self.ready {
            self.run(tick.now, ctx);
        } else if self.stopping.is_none() {
            self.try_again = None;
            self.read(tick.busy, ctx);
        }
    }
}

//! The scheduler actor: cron slots and delayed tasks, by one timer at the earliest of them.
//!
//! A slot is stored together with its tasks, and starts at most once: the database refuses it a second time, so
//! this actor may forget, restart, or ask again.

mod plan;

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{
    Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, ResponseActFuture, Supervised,
    Supervisor,
};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::schedule::{CreateError, missed, slot_tasks};
use flowlord_domain::workflow::Phase;
use flowlord_domain::{AlertKind, NewAlert};
use flowlord_messages::health::Pong;
use flowlord_messages::hint::TasksDelayed;
use flowlord_messages::library::{Current, CurrentWorkflows, WorkflowsChanged};
use flowlord_messages::read::{ReadSchedule, ScheduleInput};
use flowlord_messages::scheduler::{NextRuns, PhaseTimes, StopScheduling};
use flowlord_messages::write::{CreateTasks, Created, PromoteDue, Promoted, RecordMissed, SlotKey};
use flowlord_messages::{
    Activity, Busy, Code, Error, Guarded, Mint, Ping, Port, Result, SharedClock, Supervision, Tick, Timer,
    Wakes, guarded,
};
use tokio::sync::oneshot;

use crate::plan::{Gap, Plan, Slot};

/// After a failed call to the database, when to try again.
const TRY_AGAIN: TimeDelta = TimeDelta::seconds(1);

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
    pub mint: Mint,
    /// Work under way.
    pub activity: Activity,
    /// Restarts.
    pub supervision: Supervision,
    /// To the DB owner.
    pub create: Port<CreateTasks>,
    /// To the DB owner.
    pub missed: Port<RecordMissed>,
    /// To the DB owner.
    pub promote: Port<PromoteDue>,
    /// To the DB readers, at the start.
    pub schedule: Port<ReadSchedule>,
    /// To the library, at the start.
    pub workflows: Port<CurrentWorkflows>,
}

/// The actor.
#[derive(Debug)]
pub struct Scheduler {
    config: Config,
    deps: Deps,
    plan: Plan,
    /// Nothing starts before what was stored is known.
    ready: bool,
    next_due: Option<DateTime<Utc>>,
    promoting: bool,
    /// Slots that could not be stored yet, and when to try again.
    again: Vec<Slot>,
    try_again_at: Option<DateTime<Utc>>,
    under_way: usize,
    stopping: Option<Vec<oneshot::Sender<()>>>,
    timer: Timer,
}

impl Scheduler {
    /// Starts it in `arbiter`.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: Deps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::new(deps.clock.clone()),
            config,
            deps,
            plan: Plan::default(),
            ready: false,
            next_due: None,
            promoting: false,
            again: Vec::new(),
            try_again_at: None,
            under_way: 0,
            stopping: None,
        })
    }

    /// Reads what was stored, and what counts now.
    fn read(&mut self, busy: Option<Busy>, ctx: &mut Context<Self>) {
        let (workflows, schedule) = (self.deps.workflows.clone(), self.deps.schedule.clone());
        let read = async move {
            // The workflows last: a change after this answer is told.
            let schedule = schedule.call(ReadSchedule).await?;
            let Current { workflows, .. } = workflows.call(CurrentWorkflows).await?;
            Ok::<_, Error>((workflows, schedule))
        };
        ctx.spawn(wrap_future::<_, Self>(read).map(move |read, this, ctx| {
            guarded(this, ctx, |this, ctx| {
                let now = this.deps.clock.now();
                match read {
                    Ok((workflows, schedule)) => {
                        this.plan.replace(&workflows, now);
                        this.begin(&schedule, now, ctx);
                    }
                    Err(err) => {
                        log::warn!("event=schedule_unread error={err:?}");
                        this.try_again_at = Some(now + TRY_AGAIN);
                        this.set_timer(ctx);
                    }
                }
            });
            drop(busy);
        }));
    }

    fn begin(&mut self, stored: &ScheduleInput, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        self.ready = true;
        self.next_due = self.next_due.into_iter().chain(stored.next_due).min();
        for gap in self.plan.gaps(&stored.last_slots, now) {
            self.make_up(&gap, now, ctx);
        }
        self.run(now, ctx);
    }

    /// Does all that is due.
    fn run(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        if self.ready && self.stopping.is_none() {
            if self.try_again_at.is_some_and(|at| at <= now) {
                self.try_again_at = None;
                for slot in std::mem::take(&mut self.again) {
                    self.fire(slot, now, ctx);
                }
            }
            let due = self.plan.due(now);
            for gap in &due.gaps {
                self.make_up(gap, now, ctx);
            }
            for slot in due.slots {
                self.fire(slot, now, ctx);
            }
            if !self.promoting && self.next_due.is_some_and(|at| at <= now) {
                self.promote(now, ctx);
            }
        }
        self.set_timer(ctx);
    }

    fn set_timer(&mut self, ctx: &mut Context<Self>) {
        let due = if self.promoting { None } else { self.next_due };
        let planned = if self.ready { self.plan.next().into_iter().chain(due).min() } else { None };
        let at = planned.into_iter().chain(self.try_again_at).min();
        let at = if self.stopping.is_some() { None } else { at };
        self.timer.set(at, ctx, |this| &mut this.timer);
    }

    /// Stores a slot and its tasks. A slot whose tasks can't be made is stored too, with an alert.
    fn fire(&mut self, slot: Slot, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        let (tasks, alerts) =
            match slot_tasks(&slot.phase, slot.at, &self.config.host, &mut self.deps.mint, now) {
                Ok(tasks) => (tasks, Vec::new()),
                Err(err) => (Vec::new(), vec![create_failed(&slot, &err, now)]),
            };
        let create = CreateTasks { now, tasks, slot: Some(slot.key()), idempotency: None, alerts };
        let busy = self.deps.activity.begin();
        self.under_way += 1;
        let call = self.deps.create.call(create);
        ctx.spawn(wrap_future::<_, Self>(call).map(move |created, this, ctx| {
            this.fired(slot, created, ctx);
            drop(busy);
        }));
    }

    fn fired(&mut self, slot: Slot, created: Result<Created>, ctx: &mut Context<Self>) {
        match created {
            Ok(_) => log::debug!("event=slot_started slot={:?}", slot.key()),
            Err(Error { code: Code::SlotTaken, .. }) => log::debug!("event=slot_taken slot={:?}", slot.key()),
            Err(err) => {
                // Whether it was stored or not: asking again is safe.
                log::warn!("event=slot_not_stored slot={:?} error={err:?}", slot.key());
                self.again.push(slot);
                self.try_again_at.get_or_insert(self.deps.clock.now() + TRY_AGAIN);
                self.set_timer(ctx);
            }
        }
        self.done();
    }

    fn done(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
        if self.under_way == 0 {
            for waiting in self.stopping.iter_mut().flat_map(|waiting| waiting.drain(..)) {
                let _nobody_waits_any_more = waiting.send(());
            }
        }
    }

    /// Slots in downtime: some start, as the phase's rule says; the others are recorded and told.
    fn make_up(&mut self, gap: &Gap, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        let starting = missed(&gap.phase.rule, &gap.slots, now);
        let slot = |at: &DateTime<Utc>| Slot { phase: gap.phase.clone(), at: *at };
        let left: Vec<SlotKey> =
            gap.slots.iter().filter(|at| !starting.contains(at)).map(|at| slot(at).key()).collect();
        if !left.is_empty() {
            let alerts = if starting.is_empty() { vec![missed_slot(gap, now)] } else { Vec::new() };
            let busy = self.deps.activity.begin();
            self.under_way += 1;
            let call = self.deps.missed.call(RecordMissed { slots: left, alerts, now });
            ctx.spawn(wrap_future::<_, Self>(call).map(move |recorded, this, _| {
                if let Err(err) = recorded {
                    log::warn!("event=missed_slots_not_recorded error={err:?}");
                }
                this.done();
                drop(busy);
            }));
        }
        for at in &starting {
            self.fire(slot(at), now, ctx);
        }
    }

    fn promote(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        self.promoting = true;
        let busy = self.deps.activity.begin();
        let call = self.deps.promote.call(PromoteDue { now });
        ctx.spawn(wrap_future::<_, Self>(call).map(move |promoted, this, ctx| {
            this.promoting = false;
            this.next_due = match promoted {
                Ok(Promoted { next, .. }) => next,
                Err(err) => {
                    log::warn!("event=delayed_tasks_not_promoted error={err:?}");
                    Some(now + TRY_AGAIN)
                }
            };
            guarded(this, ctx, |this, ctx| this.run(now, ctx));
            drop(busy);
        }));
    }
}

fn create_failed(slot: &Slot, err: &CreateError, now: DateTime<Utc>) -> NewAlert {
    let msg = format!("the slot of {} started nothing: {err}", slot.at.format("%Y-%m-%dT%H:%M:%SZ"));
    alert(&slot.phase, AlertKind::CreateFailed, msg, slot.at, now)
}

fn missed_slot(gap: &Gap, now: DateTime<Utc>) -> NewAlert {
    let time = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let last = gap.slots.last().copied().unwrap_or(gap.first);
    let msg = match gap.count {
        1 => format!("the slot of {} fell into downtime and was not started", time(gap.first)),
        count => format!(
            "{count} slots from {} to {} fell into downtime and were not started",
            time(gap.first),
            time(last)
        ),
    };
    alert(&gap.phase, AlertKind::MissedSlot, msg, last, now)
}

fn alert(phase: &Phase, kind: AlertKind, msg: String, slot: DateTime<Utc>, now: DateTime<Utc>) -> NewAlert {
    NewAlert {
        kind,
        at: now,
        uid: None,
        id: String::new(),
        topic: phase.task.topic.clone(),
        job: phase.task.job.clone(),
        workflow: phase.workflow.clone(),
        msg,
        task_time: Some(slot + phase.rule.offset),
        at_once: None,
    }
}

impl Actor for Scheduler {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(2048);
        self.ready = false;
        let busy = self.deps.activity.begin();
        self.read(Some(busy), ctx);
    }
}

impl Supervised for Scheduler {
    fn restarting(&mut self, _ctx: &mut Self::Context) {
        // What was planned is planned again from what is stored; slots since then count as downtime of a moment.
        self.plan = Plan::default();
        self.again.clear();
        self.promoting = false;
        self.under_way = 0;
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
            self.try_again_at = None;
            self.read(tick.busy, ctx);
        }
    }
}

impl Handler<WorkflowsChanged> for Scheduler {
    type Result = ();

    fn handle(&mut self, changed: WorkflowsChanged, ctx: &mut Self::Context) {
        guarded(self, ctx, |this, ctx| {
            if this.ready {
                let now = this.deps.clock.now();
                this.plan.replace(&changed.workflows, now);
                this.run(now, ctx);
            }
        });
    }
}

impl Handler<TasksDelayed> for Scheduler {
    type Result = ();

    fn handle(&mut self, hint: TasksDelayed, ctx: &mut Self::Context) {
        guarded(self, ctx, |this, ctx| {
            this.next_due = this.next_due.into_iter().chain([hint.due]).min();
            this.set_timer(ctx);
        });
    }
}

impl Handler<NextRuns> for Scheduler {
    type Result = Result<Vec<PhaseTimes>>;

    fn handle(&mut self, _: NextRuns, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |this, _| Ok(this.plan.times()))
    }
}

impl Handler<StopScheduling> for Scheduler {
    type Result = ResponseActFuture<Self, Result<()>>;

    fn handle(&mut self, _: StopScheduling, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |this, ctx| -> ResponseActFuture<Self, Result<()>> {
            let (done, stopped) = oneshot::channel();
            let waiting = this.stopping.get_or_insert_default();
            if this.under_way > 0 {
                waiting.push(done);
            }
            this.set_timer(ctx);
            // A dropped sender means that there was nothing to wait for.
            Box::pin(wrap_future(async move {
                let _stopped = stopped.await;
                Ok(())
            }))
        })
    }
}

impl Handler<Ping> for Scheduler {
    type Result = Result<Pong>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Result<Pong> {
        Ok(Pong { restarts: self.deps.supervision.restarts() })
    }
}

//! The dispatch actor: workers that wait, leases that run out.
//!
//! Which task goes to whom is decided by the DB owner, in one guarded statement. This actor only knows who
//! waits and when the next lease ends; both are gone with it and come back: workers ask again, and the earliest
//! expiry is read from the database.

mod blocks;
mod roster;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{Addr, ArbiterHandle, AsyncContext as _, Context, Message, Supervisor};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::decide::WorkerOutcome;
use flowlord_domain::limits::{LimitTable, groups_without_limit, timeout_text};
use flowlord_domain::workflow::Workflows;
use flowlord_domain::{IdSource as _, TaskResult};
use flowlord_kernel::{ActorKit, Code, Error, KernelActor, Reply, Result, Timer, WakeUp, actor, handlers};
use flowlord_messages::clients::{DatabaseReader, DatabaseWriter, IngestClient, LibraryClient};
use flowlord_messages::events::TasksReady;
use flowlord_messages::leases::{
    ExtendLease, GrantLeases, GrantedLeases, KeepLimits, LastAsked, LeaseExtension, LeaseGrant, ReadLastAsked,
    ReadLimits, ReadNextExpiry, ReadWorkers, ReapLeases, ReapedLeases, ReleaseLease, ReleaseTask, RequestLeases,
    SeenWorker, SendHeartbeat, StopLeasing,
};
use flowlord_messages::results::{RememberGrants, ResultClaim, SubmitResults};
use flowlord_messages::workflows::{ReadLoadedWorkflows, WorkflowsChanged};
use metrics::{Counter, Histogram, counter, histogram};

use crate::blocks::LimitBlocks;
use crate::roster::WorkerRoster;
use crate::waiting::{ASKED_AT_ONCE, WaitingWorkers};

/// A task whose lease ran out this often is ended with an error.
pub const MAX_DELIVERIES: u32 = 5;

const MAX_WAITING: usize = 10_000;

/// After a failed call to the database, when to try again.
const RETRY_DELAY: TimeDelta = TimeDelta::seconds(1);

#[derive(Debug, Clone)]
pub struct Config {
    /// The lease of a heartbeat for a task whose worker never asked for a length.
    pub lease: TimeDelta,
    /// As many tasks of each group of phases may be at work at a time.
    pub groups: BTreeMap<String, u32>,
}

#[derive(Debug, Clone)]
pub struct Deps {
    pub kit: ActorKit,
    pub writer: DatabaseWriter,
    pub reader: DatabaseReader,
    pub ingest: IngestClient,
    pub library: LibraryClient,
}

#[derive(Debug)]
pub struct Dispatch {
    config: Config,
    deps: Deps,
    waiting: WaitingWorkers,
    roster: WorkerRoster,
    blocks: LimitBlocks,
    /// None until the library answered: workers wait so long, or tasks would be leased that must wait.
    limits: Option<Arc<LimitTable>>,
    /// The workflows that they are of.
    workflows: Option<Arc<Workflows>>,
    /// Workers for whom the database wasn't asked yet.
    new: Vec<u64>,
    /// At the earlier of the next end of a wait and the next end of a lease.
    timer: Timer,
    next_expiry: Option<DateTime<Utc>>,
    /// When the library is asked again.
    limits_due: Option<DateTime<Utc>>,
    reaping: bool,
    stopping: bool,
    /// How long workers waited that got a task.
    waits: Histogram,
    expired: Counter,
}

/// Asks the database for the workers that came; sent by the actor to itself, so that it runs once the mailbox is empty.
#[derive(Message)]
#[rtype(result = "()")]
struct AskForNew;

impl Dispatch {
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: Deps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::default(),
            config,
            roster: WorkerRoster::new(deps.kit.now()),
            deps,
            waiting: WaitingWorkers::default(),
            blocks: LimitBlocks::default(),
            limits: None,
            workflows: None,
            new: Vec::new(),
            next_expiry: None,
            limits_due: None,
            reaping: false,
            stopping: false,
            waits: histogram!("flowlord_lease_wait_seconds"),
            expired: counter!("flowlord_leases_expired_total"),
        })
    }

    fn read_stored(&mut self, ctx: &mut Context<Self>) {
        self.read_workflows(ctx);
        self.read_next_expiry(ctx);
    }

    fn read_next_expiry(&mut self, ctx: &mut Context<Self>) {
        self.ask(ctx, self.deps.reader.call(ReadNextExpiry), |this, next, ctx| {
            let next = next.unwrap_or_else(|err| {
                log::warn!("event=next_expiry_unread error={err:?}");
                Some(this.now() + RETRY_DELAY)
            });
            this.expire_no_later_than(next, ctx);
        });
    }

    fn read_workflows(&mut self, ctx: &mut Context<Self>) {
        self.ask(ctx, self.deps.library.call(ReadLoadedWorkflows), |this, read, ctx| match read {
            // Those of a hint that came meanwhile are newer.
            Ok(read) if this.workflows.is_none() => this.set_limits(read.workflows, ctx),
            Ok(_) => {}
            Err(err) => {
                log::warn!("event=workflows_unread actor=dispatch error={err:?}");
                this.limits_due = Some(this.now() + RETRY_DELAY);
                this.set_timer(ctx);
            }
        });
    }

    fn replace_workflows(&mut self, changed: WorkflowsChanged, ctx: &mut Context<Self>) {
        self.set_limits(changed.workflows, ctx);
    }

    fn set_limits(&mut self, workflows: Arc<Workflows>, ctx: &mut Context<Self>) {
        // Told after each scan, also when nothing changed.
        if self.workflows.as_ref().is_some_and(|known| Arc::ptr_eq(known, &workflows)) {
            return;
        }
        self.limits_due = None;
        for finding in groups_without_limit(&workflows, &self.config.groups) {
            log::warn!("event=group_without_limit finding={:?}", finding.to_string());
        }
        let limits = Arc::new(LimitTable::new(&workflows, &self.config.groups));
        self.workflows = Some(workflows);
        self.keep_limits(&limits, ctx);
        let is_first = self.limits.replace(limits).is_none();
        if is_first {
            self.request_tasks(self.waiting.ids(), ctx);
        }
    }

    /// Has tasks that are at work counted by new limits, ahead of any lease by them.
    fn keep_limits(&self, limits: &Arc<LimitTable>, ctx: &mut Context<Self>) {
        if !limits.has_limited() || self.limits.as_ref() == Some(limits) {
            return;
        }
        let kept = self.deps.writer.call(KeepLimits { limits: Arc::clone(limits) });
        self.ask(ctx, kept, |this, kept, ctx| {
            if let Err(err) = kept {
                log::warn!("event=limits_not_kept error={err:?}");
                (this.limits, this.workflows) = (None, None);
                this.limits_due = Some(this.now() + RETRY_DELAY);
                this.set_timer(ctx);
            }
        });
    }

    fn request_tasks(&mut self, ids: Vec<u64>, ctx: &mut Context<Self>) {
        // Asked again for all once they are there.
        let Some(limits) = &self.limits else { return };
        let mut secrets = self.deps.kit.ids();
        let (ids, wanted) = self.waiting.begin_asking(ids, || secrets.random_bits());
        if ids.is_empty() {
            return;
        }
        let granted = self.deps.writer.call(GrantLeases { now: self.now(), wanted, limits: Arc::clone(limits) });
        self.ask(ctx, granted, move |this, granted, ctx| this.note_granted(&ids, granted, ctx));
    }

    fn note_granted(&mut self, ids: &[u64], granted: Result<GrantedLeases>, ctx: &mut Context<Self>) {
        match granted {
            Ok(GrantedLeases { granted, blocked }) => {
                self.blocks.note_grants(&granted, blocked, self.now());
                self.remember_grants(&granted);
                let all_got_some = granted.iter().all(|tasks| !tasks.is_empty());
                let mut topics = Vec::new();
                for (id, tasks) in ids.iter().zip(granted) {
                    topics.extend(self.hand_over(*id, tasks, ctx));
                }
                if all_got_some {
                    // There may be more for those who wait behind them.
                    let next =
                        topics.iter().flat_map(|(topic, job)| self.waiting.longest_waiting(topic, job)).collect();
                    self.request_tasks(next, ctx);
                }
                // Tasks became ready while the database was asked: a hint that would otherwise be lost.
                let again = self.waiting.to_ask_again(ids);
                self.request_tasks(again, ctx);
            }
            Err(err) => {
                for id in ids {
                    if let Some(waiter) = self.waiting.remove_worker(*id) {
                        let _gone = waiter.reply.send(Err(err.clone()));
                    }
                }
            }
        }
        self.set_timer(ctx);
    }

    /// Tells ingest before the workers, so that it knows of a lease before its result comes.
    fn remember_grants(&self, granted: &[Vec<LeaseGrant>]) {
        let grants: Vec<_> = granted.iter().flatten().map(|grant| (grant.lease, Arc::clone(&grant.task))).collect();
        if !grants.is_empty() {
            self.deps.ingest.hint(RememberGrants { grants });
        }
    }

    /// Gives a worker its tasks. Returns their topics and jobs.
    fn hand_over(&mut self, id: u64, tasks: Vec<LeaseGrant>, ctx: &mut Context<Self>) -> Vec<(String, String)> {
        if tasks.is_empty() {
            let now = self.now();
            if self.waiting.end_asking(id, now)
                && let Some(waiter) = self.waiting.remove_worker(id)
            {
                let _gone = waiter.reply.send(Ok(tasks));
            }
            return Vec::new();
        }
        let topics = tasks.iter().map(|granted| (granted.task.topic.clone(), granted.task.job.clone())).collect();
        let expires = tasks.iter().map(|granted| granted.expires).min();
        self.expire_no_later_than(expires, ctx);
        let sent = match self.waiting.remove_worker(id) {
            Some(waiter) => {
                let waited = self.now() - waiter.since;
                self.waits.record(waited.to_std().unwrap_or_default());
                waiter.reply.send(Ok(tasks))
            }
            None => Err(Ok(tasks)),
        };
        // The worker went away while its tasks were on their way.
        if let Err(Ok(tasks)) = sent {
            self.release_tasks(&tasks, ctx);
        }
        topics
    }

    fn release_tasks(&self, tasks: &[LeaseGrant], ctx: &mut Context<Self>) {
        for granted in tasks {
            let release = ReleaseLease { now: self.now(), lease: granted.lease, delay: TimeDelta::zero() };
            // If this fails the lease runs out, which does the same later.
            self.ask(ctx, self.deps.writer.call(release), |_, _, _| ());
        }
    }

    fn expire_no_later_than(&mut self, at: Option<DateTime<Utc>>, ctx: &mut Context<Self>) {
        self.next_expiry = self.next_expiry.into_iter().chain(at).min();
        self.set_timer(ctx);
    }

    fn set_timer(&mut self, ctx: &mut Context<Self>) {
        // Those that are being ended stay due until the answer says what is next: no second round for them.
        let expiry = if self.reaping { None } else { self.next_expiry };
        let own = [expiry, self.limits_due, self.blocks.next_start()].into_iter().flatten();
        let at = self.waiting.next_deadline().into_iter().chain(own).min();
        self.wake_at(at, ctx);
    }

    fn end_waits(&mut self, now: DateTime<Utc>) {
        for waiter in self.waiting.take_overdue(now) {
            let _gone = waiter.reply.send(Ok(Vec::new()));
        }
    }

    fn reap_leases(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        self.reaping = true;
        let reaped = self.deps.writer.call(ReapLeases { now, max_deliveries: MAX_DELIVERIES });
        self.ask(ctx, reaped, move |this, reaped, ctx| this.note_reaped(reaped, now, ctx));
    }

    fn note_reaped(&mut self, reaped: Result<ReapedLeases>, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        match reaped {
            Ok(ReapedLeases { requeued, exhausted, timed_out, next }) => {
                let ended = exhausted.len() + timed_out.len();
                log::debug!("event=leases_expired requeued={requeued} ended={ended}");
                self.expired.increment(u64::try_from(requeued + ended).unwrap_or(u64::MAX));
                self.next_expiry = next;
                let exhausted = exhausted.into_iter().map(|lease| {
                    (ResultClaim::Lease(lease), error_of(format!("lease expired {MAX_DELIVERIES} times")))
                });
                let timed_out = timed_out
                    .into_iter()
                    .map(|(lease, after)| (ResultClaim::TimedOut(lease), error_of(timeout_text(after))));
                let results: Vec<_> = exhausted.chain(timed_out).collect();
                if results.is_empty() {
                    self.end_reaping(ctx);
                } else {
                    self.end_tasks(results, now, ctx);
                }
            }
            Err(err) => {
                log::warn!("event=reap_failed error={err:?}");
                self.next_expiry = Some(now + RETRY_DELAY);
                self.end_reaping(ctx);
            }
        }
    }

    fn end_tasks(&mut self, results: Vec<(ResultClaim, WorkerOutcome)>, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        // Like every other result: retries and alerts follow from it in the same way.
        let submitted = self.deps.ingest.call(SubmitResults { results });
        self.ask(ctx, submitted, move |this, submitted, ctx| {
            if let Err(err) = submitted {
                log::warn!("event=expired_unended error={err:?}");
                this.next_expiry = Some(now + RETRY_DELAY);
                this.end_reaping(ctx);
            } else {
                this.reap_leases(now, ctx);
            }
        });
    }

    fn end_reaping(&mut self, ctx: &mut Context<Self>) {
        self.reaping = false;
        self.set_timer(ctx);
    }

    fn add_waiting(&mut self, lease: RequestLeases, ctx: &mut Context<Self>) -> Result<()> {
        if self.stopping {
            return Err(Error::new(Code::Stopping, "the service is stopping and leases no more tasks"));
        }
        if self.waiting.len() >= MAX_WAITING {
            let detail = format!("{MAX_WAITING} workers are waiting already; try again later");
            return Err(Error::new(Code::Busy, detail));
        }
        if self.new.is_empty() {
            ctx.notify(AskForNew);
        }
        self.roster.note_request(&lease, self.now());
        self.new.push(self.waiting.add_worker(lease, self.now()));
        Ok(())
    }

    fn ask_for_new(&mut self, _: AskForNew, ctx: &mut Context<Self>) {
        // One question for many costs the database, and both threads, less than many questions.
        let mut new = std::mem::take(&mut self.new);
        while !new.is_empty() {
            let later = new.split_off(new.len().min(ASKED_AT_ONCE));
            self.request_tasks(std::mem::replace(&mut new, later), ctx);
        }
    }

    fn offer_ready(&mut self, hint: TasksReady, ctx: &mut Context<Self>) {
        let TasksReady { mut topics, has_freed_limits } = hint;
        if has_freed_limits {
            topics.extend(self.blocks.take_all());
        }
        let ids = topics.iter().flat_map(|(topic, job)| self.waiting.longest_waiting(topic, job)).collect();
        self.request_tasks(ids, ctx);
    }

    fn extend_lease(&mut self, heartbeat: SendHeartbeat, _: &mut Context<Self>) -> Reply<Self, LeaseExtension> {
        let SendHeartbeat { lease, by, progress, msg } = heartbeat;
        let (default, limits) = (self.config.lease, self.limits.clone().unwrap_or_default());
        let extend = ExtendLease { now: self.now(), lease, by, default, limits, progress, msg };
        self.reply_after(self.deps.writer.call(extend), |this, extended, ctx| {
            // A lease may now end earlier than any other, or live again.
            this.expire_no_later_than(extended.as_ref().ok().map(|extended| extended.expires), ctx);
            extended
        })
    }

    fn release_lease(&mut self, ReleaseTask { lease, delay }: ReleaseTask, _: &mut Context<Self>) -> Reply<Self, ()> {
        let release = ReleaseLease { now: self.now(), lease, delay };
        self.reply_after(self.deps.writer.call(release), |this, released, ctx| {
            // One that came past the deadline of the task ends it: that isn't waited for.
            if released.as_ref().is_ok_and(|released| released.is_timed_out) {
                this.expire_no_later_than(Some(this.now()), ctx);
            }
            released.map(|_| ())
        })
    }

    fn list_workers(&mut self, _: ReadWorkers, _: &mut Context<Self>) -> Result<Vec<SeenWorker>> {
        Ok(self.roster.workers(self.waiting.names(), self.now()))
    }

    fn tell_last_asked(&mut self, ReadLastAsked { queues }: ReadLastAsked, _: &mut Context<Self>) -> Result<LastAsked> {
        let now = self.now();
        let blocks = queues.iter().map(|queue| self.blocks.find_block(queue)).collect();
        let last_asked = |(topic, job): &(String, String)| match self.waiting.has_worker_for(topic, job) {
            true => Some(now),
            false => self.roster.last_asked(topic, job),
        };
        Ok(LastAsked { known_since: self.roster.known_since, asked: queues.iter().map(last_asked).collect(), blocks })
    }

    fn tell_limits(&mut self, _: ReadLimits, _: &mut Context<Self>) -> Result<Option<Arc<LimitTable>>> {
        Ok(self.limits.clone())
    }

    fn stop_leasing(&mut self, _: StopLeasing, ctx: &mut Context<Self>) -> Result<()> {
        self.stopping = true;
        // As if their waits were over: no worker takes a stop for an error.
        for waiter in self.waiting.take_idle() {
            let _gone = waiter.reply.send(Ok(Vec::new()));
        }
        self.set_timer(ctx);
        Ok(())
    }

    fn forget_waiting(&mut self) {
        // Workers that waited get an error and ask again.
        self.waiting = WaitingWorkers::default();
        self.new.clear();
        self.blocks = LimitBlocks::default();
        self.next_expiry = None;
        self.reaping = false;
    }

    fn end_due(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        self.end_waits(now);
        if self.limits_due.take_if(|at| *at <= now).is_some() {
            self.read_workflows(ctx);
        }
        let startable = self.blocks.take_startable(now);
        if !startable.is_empty() {
            self.offer_ready(TasksReady { topics: startable, has_freed_limits: false }, ctx);
        }
        if !self.reaping && self.next_expiry.is_some_and(|at| at <= now) {
            self.reap_leases(now, ctx);
        }
        self.set_timer(ctx);
    }
}

/// The result of a task whose worker can't be waited for.
fn error_of(msg: String) -> WorkerOutcome {
    WorkerOutcome { result: TaskResult::Error, msg, meta: String::new(), started: None, ended: None }
}

handlers!(Dispatch {
    WorkflowsChanged => replace_workflows,
    RequestLeases => add_waiting,
    AskForNew => ask_for_new,
    TasksReady => offer_ready,
    async SendHeartbeat => extend_lease,
    async ReleaseTask => release_lease,
    StopLeasing => stop_leasing,
    ReadWorkers => list_workers,
    ReadLastAsked => tell_last_asked,
    ReadLimits => tell_limits,
});

actor!(Dispatch { kit: deps.kit, mailbox: 4096, start: read_stored, restart: forget_waiting, wake: end_due(now) });

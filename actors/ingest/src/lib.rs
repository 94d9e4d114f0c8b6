//! The ingest actor: reads the attempts that results are for, decides what follows, and has all of it stored in
//! one transaction. It owns nothing but a copy of the workflows.

mod inbox;
mod round;
mod rows;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{
    Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, Message, Supervised, Supervisor,
};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::decide::{Outcome, decide_with};
use flowlord_domain::workflow::Workflows;
use flowlord_domain::{Attempt, Decision};
use flowlord_kernel::Pong;
use flowlord_kernel::{
    Activity, Busy, Code, Error, Guarded, IdGenerator, Ping, Port, Result, SharedClock, Supervision, Tick,
    Timer, Wakes, guarded,
};
use flowlord_messages::ingest::SubmitResults;
use flowlord_messages::library::{Current, CurrentWorkflows, MetaRows, WorkflowsChanged};
use flowlord_messages::read::AttemptsById;
use flowlord_messages::write::{Applied, ApplyOutcomes, Claim};

use crate::inbox::{Collected, Inbox, Submitted};
use crate::round::Round;
use crate::rows::Rows;

/// How many rounds of read, decide and store may be under way; what arrives meanwhile is the next one.
const ROUNDS: usize = 8;

/// How many rounds may wait for meta files besides.
const WAITING: usize = 64;

/// Results per round, so that one of them needn't wait for thousands.
const ROUND_SIZE: usize = 256;

/// After a failed look at the workflows, when to try again.
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
    /// The source of ids and jitter.
    pub mint: IdGenerator,
    /// Work under way.
    pub activity: Activity,
    /// Restarts.
    pub supervision: Supervision,
    /// To the DB readers.
    pub attempts: Port<AttemptsById>,
    /// To the DB owner.
    pub apply: Port<ApplyOutcomes>,
    /// To the library, at the start.
    pub workflows: Port<CurrentWorkflows>,
    /// To the library.
    pub rows: Port<MetaRows>,
}

/// The actor.
#[derive(Debug)]
pub struct Ingest {
    config: Config,
    deps: Deps,
    /// None until the library answered: results wait so long.
    workflows: Option<Arc<Workflows>>,
    inbox: Inbox,
    rounds: usize,
    waiting: usize,
    timer: Timer,
}

/// Starts rounds; sent by the actor to itself, so that it runs once the mailbox is empty.
#[derive(Message)]
#[rtype(result = "()")]
struct Work;

impl Ingest {
    /// Starts it in `arbiter`.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: Deps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::new(deps.clock.clone()),
            config,
            deps,
            workflows: None,
            inbox: Inbox::default(),
            rounds: 0,
            waiting: 0,
        })
    }

    fn read_workflows(&mut self, busy: Option<Busy>, ctx: &mut Context<Self>) {
        let call = wrap_future::<_, Self>(self.deps.workflows.call(CurrentWorkflows));
        ctx.spawn(call.map(move |current, this, ctx| {
            match current {
                Ok(Current { workflows, .. }) => {
                    this.workflows.get_or_insert(workflows);
                    this.work(ctx);
                }
                Err(err) => {
                    log::warn!("event=workflows_unread actor=ingest error={err:?}");
                    let retry = this.deps.clock.now() + TRY_AGAIN;
                    this.timer.set(Some(retry), ctx, |this| &mut this.timer);
                }
            }
            drop(busy);
        }));
    }

    fn work(&mut self, ctx: &mut Context<Self>) {
        while self.workflows.is_some() && self.rounds < ROUNDS {
            let submitted = self.inbox.take(ROUND_SIZE);
            if submitted.is_empty() {
                break;
            }
            self.rounds += 1;
            self.read(submitted, ctx);
        }
    }

    fn read(&mut self, submitted: Vec<Submitted>, ctx: &mut Context<Self>) {
        let busy = self.deps.activity.begin();
        let round = Round { submitted, ..Round::default() };
        let call =
            wrap_future::<_, Self>(self.deps.attempts.call(AttemptsById { uids: round.stored_uids() }));
        ctx.spawn(call.map(move |stored, this, ctx| {
            guarded(this, ctx, |this, ctx| match stored {
                Ok(stored) => this.go_on(round.with_attempts(stored), busy, ctx),
                Err(err) => this.end_round(round, Err(err), ctx),
            });
        }));
    }

    /// Decides all but what has to wait for a meta file: a store that is slow holds up nobody else.
    fn go_on(&mut self, round: Round, busy: Busy, ctx: &mut Context<Self>) {
        let workflows = self.workflows.clone().unwrap_or_default();
        let (round, waiting) = round.split(&workflows);
        if !waiting.submitted.is_empty() {
            self.read_rows(waiting, ctx);
        }
        if round.submitted.is_empty() {
            self.end_round(round, Ok(Vec::new()), ctx);
        } else {
            self.decide(round, busy, ctx);
        }
    }

    fn read_rows(&mut self, mut round: Round, ctx: &mut Context<Self>) {
        self.waiting += 1;
        if self.waiting > WAITING {
            let busy = Error::new(Code::Busy, "many results wait for meta files already; send it again");
            return self.end_round(round, Err(busy), ctx);
        }
        let busy = self.deps.activity.begin();
        let read = rows::read(self.deps.rows.clone(), round.needs.clone());
        ctx.spawn(wrap_future::<_, Self>(read).map(move |rows, this, ctx| {
            round.rows = rows;
            guarded(this, ctx, |this, ctx| this.decide(round, busy, ctx));
        }));
    }

    fn decide(&mut self, round: Round, busy: Busy, ctx: &mut Context<Self>) {
        let now = self.deps.clock.now();
        let mut known = Vec::with_capacity(round.attempts.len());
        let mut outcomes = Vec::with_capacity(round.attempts.len());
        for ((claim, outcome), attempt) in round.results().zip(&round.attempts) {
            let decision = match attempt {
                Some(attempt) => self.decide_one(attempt, outcome, &round.rows, now),
                None => Err(unknown(claim)),
            };
            known.push(decision.as_ref().map(drop).map_err(Clone::clone));
            outcomes.extend(decision.ok().map(|decision| (claim.clone(), decision)));
        }
        self.apply(round, known, ApplyOutcomes { now, outcomes }, busy, ctx);
    }

    fn decide_one(
        &mut self,
        attempt: &Attempt,
        outcome: &Outcome,
        rows: &Rows,
        now: DateTime<Utc>,
    ) -> Result<Decision> {
        let none = Workflows::default();
        let workflows = self.workflows.as_deref().unwrap_or(&none);
        rows.are_there(workflows, attempt, outcome)?;
        let (host, ids) = (&self.config.host, &mut self.deps.mint);
        Ok(decide_with(workflows, attempt, outcome, now, host, ids, rows))
    }

    fn apply(
        &mut self,
        round: Round,
        known: Vec<Result<()>>,
        outcomes: ApplyOutcomes,
        busy: Busy,
        ctx: &mut Context<Self>,
    ) {
        let call = wrap_future::<_, Self>(self.deps.apply.call(outcomes));
        ctx.spawn(call.map(move |applied, this, ctx| {
            let answers = applied.map(|applied| {
                let mut applied = applied.into_iter();
                let missing = || Err(Error::new(Code::Internal, "a result got no answer"));
                let answer = |known: Result<()>| known.and_then(|()| applied.next().unwrap_or_else(missing));
                known.into_iter().map(answer).collect()
            });
            this.end_round(round, answers, ctx);
            drop(busy);
        }));
    }

    fn end_round(&mut self, round: Round, answers: Result<Vec<Result<Applied>>>, ctx: &mut Context<Self>) {
        let under_way = if round.needs.is_empty() { &mut self.rounds } else { &mut self.waiting };
        *under_way = under_way.saturating_sub(1);
        match answers {
            Ok(mut answers) => {
                for submitted in round.submitted {
                    let rest = answers.split_off(submitted.results.len());
                    submitted.answer(Ok(std::mem::replace(&mut answers, rest)));
                }
            }
            Err(err) => round.submitted.into_iter().for_each(|submitted| submitted.answer(Err(err.clone()))),
        }
        self.work(ctx);
    }
}

fn unknown(claim: &Claim) -> Error {
    match claim {
        Claim::Lease(_) => Error::new(Code::LeaseUnknown, "no task was ever given under this lease"),
        Claim::Task(_) | Claim::Foreign(_) => {
            let detail = format!("there is no task {}; create it first", claim.uid());
            Error::new(Code::TaskUnknown, detail)
        }
    }
}

impl Actor for Ingest {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(4096);
        (self.rounds, self.waiting) = (0, 0);
        let busy = self.deps.activity.begin();
        self.read_workflows(Some(busy), ctx);
    }
}

impl Supervised for Ingest {
    fn restarting(&mut self, _ctx: &mut Self::Context) {
        // Whoever waits for an answer hears that there is none, and asks again: results are idempotent.
        self.inbox = Inbox::default();
        self.timer = Timer::new(self.deps.clock.clone());
    }
}

impl Guarded for Ingest {
    fn supervision(&self) -> &Supervision {
        &self.deps.supervision
    }
}

impl Wakes for Ingest {
    fn wake(&mut self, tick: Tick, ctx: &mut Context<Self>) {
        self.read_workflows(tick.busy, ctx);
    }
}

impl Handler<SubmitResults> for Ingest {
    type Result = Collected;

    fn handle(&mut self, message: SubmitResults, ctx: &mut Self::Context) -> Collected {
        ctx.notify(Work);
        self.inbox.collect(message)
    }
}

impl Handler<Work> for Ingest {
    type Result = ();

    fn handle(&mut self, _: Work, ctx: &mut Self::Context) {
        guarded(self, ctx, Self::work);
    }
}

impl Handler<WorkflowsChanged> for Ingest {
    type Result = ();

    fn handle(&mut self, changed: WorkflowsChanged, _: &mut Self::Context) {
        self.workflows = Some(changed.workflows);
    }
}

impl Handler<Ping> for Ingest {
    type Result = Result<Pong>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Result<Pong> {
        Ok(Pong { restarts: self.deps.supervision.restarts() })
    }
}

//! The ingest actor: looks up the attempts that results are for, decides what follows, and has all of it stored in
//! one transaction. It owns nothing but copies: of the workflows, and of attempts that were handed out lately.

mod grants;
mod inbox;
mod round;
mod rows;
#[cfg(test)]
mod tests;
mod worker_counts;

use std::sync::Arc;

use actix::{Addr, ArbiterHandle, AsyncContext as _, Context, Message, Supervisor};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::decide::{WorkerOutcome, decide_result_with};
use flowlord_domain::expect::JudgedResult;
use flowlord_domain::limits::late_outcome;
use flowlord_domain::workflow::Workflows;
use flowlord_domain::{Attempt, TaskDecision, TaskState, Uid};
use flowlord_kernel::{ActorKit, Code, Error, KernelActor, Result, Timer, WakeUp, actor, handlers};
use flowlord_messages::clients::{DatabaseReader, DatabaseWriter, LibraryClient};
use flowlord_messages::learned::ReadLearned;
use flowlord_messages::results::{
    ApplyOutcomes, ReadWorkerResults, RememberGrants, ResultClaim, SubmitResults, WorkerResults,
};
use flowlord_messages::tasks::ReadAttempts;
use flowlord_messages::workflows::{LoadedWorkflows, ReadLoadedWorkflows, WorkflowsChanged};

use crate::grants::RecentGrants;
use crate::inbox::{CollectedResults, ResultInbox};
use crate::round::ResultRound;
use crate::rows::MetaFileRows;
use crate::worker_counts::WorkerCounts;

// Rounds of read, decide and store that may be under way: what arrives meanwhile becomes one larger round, which costs
// less than many small ones.
const MAX_ROUNDS: usize = 8;

/// How many rounds may wait for meta files besides: each holds its results in memory.
const MAX_WAITING_ROUNDS: usize = 64;

// Bounded, so that one result needn't wait for thousands.
const RESULTS_PER_ROUND: usize = 256;

const RETRY_DELAY: TimeDelta = TimeDelta::seconds(1);

#[derive(Debug, Clone)]
pub struct Config {
    /// The host name that templates may use.
    pub host: String,
}

#[derive(Debug, Clone)]
pub struct Deps {
    pub kit: ActorKit,
    pub writer: DatabaseWriter,
    pub reader: DatabaseReader,
    pub library: LibraryClient,
}

#[derive(Debug)]
pub struct Ingest {
    config: Config,
    deps: Deps,
    /// None until the library answered: results wait so long.
    workflows: Option<Arc<Workflows>>,
    grants: RecentGrants,
    inbox: ResultInbox,
    worker_counts: WorkerCounts,
    rounds: usize,
    waiting_rounds: usize,
    timer: Timer,
}

/// Starts rounds; sent by the actor to itself, so that it runs once the mailbox is empty.
#[derive(Message)]
#[rtype(result = "()")]
struct StartRounds;

impl Ingest {
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: Deps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::default(),
            config,
            deps,
            workflows: None,
            grants: RecentGrants::default(),
            inbox: ResultInbox::default(),
            worker_counts: WorkerCounts::default(),
            rounds: 0,
            waiting_rounds: 0,
        })
    }

    fn read_workflows(&mut self, ctx: &mut Context<Self>) {
        self.ask(ctx, self.deps.library.call(ReadLoadedWorkflows), |this, current, ctx| match current {
            Ok(LoadedWorkflows { workflows, .. }) => {
                // Those of a hint that came while this was asked for are newer.
                this.workflows.get_or_insert(workflows);
                this.start_rounds(StartRounds, ctx);
            }
            Err(err) => {
                log::warn!("event=workflows_unread actor=ingest error={err:?}");
                let retry = this.now() + RETRY_DELAY;
                this.wake_at(Some(retry), ctx);
            }
        });
    }

    fn collect_results(&mut self, message: SubmitResults, ctx: &mut Context<Self>) -> CollectedResults {
        // Once the mailbox is empty: what is in it joins the round.
        ctx.notify(StartRounds);
        self.inbox.collect(message)
    }

    fn remember_grants(&mut self, grants: RememberGrants, _: &mut Context<Self>) {
        self.grants.remember(grants);
    }

    fn replace_workflows(&mut self, changed: WorkflowsChanged, _: &mut Context<Self>) {
        self.workflows = Some(changed.workflows);
    }

    fn start_rounds(&mut self, _: StartRounds, ctx: &mut Context<Self>) {
        while self.workflows.is_some() && self.rounds < MAX_ROUNDS {
            let submitted = self.inbox.take_results(RESULTS_PER_ROUND);
            if submitted.is_empty() {
                break;
            }
            self.rounds += 1;
            let round = ResultRound::with_known_attempts(submitted, &mut self.grants);
            let uids = round.unread_uids();
            if uids.is_empty() {
                self.judge_or_read(round, ctx);
            } else {
                self.read_attempts(round, uids, ctx);
            }
        }
    }

    fn read_attempts(&self, round: ResultRound, uids: Vec<Uid>, ctx: &mut Context<Self>) {
        self.ask(ctx, self.deps.reader.call(ReadAttempts { uids }), |this, read, ctx| match read {
            Ok(read) => this.judge_or_read(round.with_read_attempts(read), ctx),
            Err(err) => this.fail_round(round, &err, ctx),
        });
    }

    /// Reads what expectations compare with, where a phase has such.
    fn judge_or_read(&mut self, mut round: ResultRound, ctx: &mut Context<Self>) {
        let keys = round.learned_keys(self.workflows.as_deref().unwrap_or(&Workflows::default()));
        if keys.is_empty() {
            return self.decide_or_wait(round, ctx);
        }
        self.ask(ctx, self.deps.reader.call(ReadLearned { keys }), move |this, read, ctx| match read {
            Ok(learned) => {
                round.learned = Arc::new(learned);
                this.decide_or_wait(round, ctx);
            }
            Err(err) => this.fail_round(round, &err, ctx),
        });
    }

    fn decide_or_wait(&mut self, round: ResultRound, ctx: &mut Context<Self>) {
        let workflows = self.workflows.clone().unwrap_or_default();
        // What has to wait for a meta file goes apart: a storage that is slow holds up nobody else.
        let (round, waiting) = round.split_by_meta_files(&workflows);
        if !waiting.submitted.is_empty() {
            self.read_rows(waiting, ctx);
        }
        if round.submitted.is_empty() {
            self.end_round(&round, ctx);
        } else {
            self.decide_round(round, ctx);
        }
    }

    fn read_rows(&mut self, mut round: ResultRound, ctx: &mut Context<Self>) {
        self.waiting_rounds += 1;
        if self.waiting_rounds > MAX_WAITING_ROUNDS {
            let busy = Error::new(Code::Busy, "too many results wait for meta files already; send this one again");
            return self.fail_round(round, &busy, ctx);
        }
        let rows = MetaFileRows::read_all(self.deps.library.clone(), round.meta_files.clone());
        self.ask(ctx, rows, move |this, rows, ctx| {
            round.rows = rows;
            this.decide_round(round, ctx);
        });
    }

    fn decide_round(&mut self, mut round: ResultRound, ctx: &mut Context<Self>) {
        let now = self.now();
        let mut decided = Vec::with_capacity(round.attempts.len());
        let mut outcomes = Vec::with_capacity(round.attempts.len());
        for ((claim, outcome), attempt) in round.results().zip(&round.attempts) {
            let decision = match attempt {
                Some(attempt) => self.decide_claim(claim, attempt, outcome, &round, now),
                None => Err(unknown_claim(claim)),
            };
            // Kept for the answers: only what could be decided is stored, and answered by the writer.
            decided.push(decision.as_ref().map(drop).map_err(Clone::clone));
            outcomes.extend(decision.ok().map(|decision| (claim.clone(), decision)));
        }
        let applied = self.deps.writer.call(ApplyOutcomes { now, outcomes });
        self.ask(ctx, applied, move |this, applied, ctx| {
            if applied.is_ok() {
                this.count_results(&round, now);
            }
            round.send_answers(decided, applied);
            this.end_round(&round, ctx);
        });
    }

    fn decide_claim(
        &self,
        claim: &ResultClaim,
        attempt: &Attempt,
        outcome: &WorkerOutcome,
        round: &ResultRound,
        now: DateTime<Utc>,
    ) -> Result<TaskDecision> {
        let late = match claim {
            ResultClaim::Lease(_) => late_outcome(attempt, outcome, now),
            _ => None,
        };
        let decision = self.decide_one(attempt, claim, late.as_ref().unwrap_or(outcome), round, now)?;
        let is_timed_out = late.is_some() || matches!(claim, ResultClaim::TimedOut(_));
        Ok(if is_timed_out { decision.as_timed_out() } else { decision })
    }

    fn decide_one(
        &self,
        attempt: &Attempt,
        claim: &ResultClaim,
        outcome: &WorkerOutcome,
        round: &ResultRound,
        now: DateTime<Utc>,
    ) -> Result<TaskDecision> {
        let none = Workflows::default();
        let workflows = self.workflows.as_deref().unwrap_or(&none);
        round.rows.check_complete(workflows, attempt, outcome)?;
        let judged = match claim {
            ResultClaim::Person { .. } => JudgedResult::of_person(workflows, attempt, outcome),
            _ => JudgedResult::of_worker(workflows, attempt, outcome, &round.learned, now),
        };
        let (host, ids) = (&self.config.host, &mut self.deps.kit.ids());
        let mut decision = decide_result_with(workflows, attempt, &judged.outcome, now, host, ids, &round.rows);
        judged.complete_decision(&mut decision);
        Ok(decision)
    }

    fn count_results(&mut self, round: &ResultRound, now: DateTime<Utc>) {
        for ((_, outcome), attempt) in round.results().zip(&round.attempts) {
            // One that was done already is a duplicate.
            if let Some(attempt) = attempt.as_ref().filter(|attempt| attempt.state == TaskState::Leased) {
                self.worker_counts.note_result(&attempt.worker, outcome.result, now);
            }
        }
    }

    fn tell_worker_results(&mut self, _: ReadWorkerResults, _: &mut Context<Self>) -> Result<Vec<WorkerResults>> {
        let now = self.now();
        Ok(self.worker_counts.last_hour(now))
    }

    fn fail_round(&mut self, mut round: ResultRound, err: &Error, ctx: &mut Context<Self>) {
        round.send_error(err);
        self.end_round(&round, ctx);
    }

    fn end_round(&mut self, round: &ResultRound, ctx: &mut Context<Self>) {
        let under_way = if round.meta_files.is_empty() { &mut self.rounds } else { &mut self.waiting_rounds };
        *under_way = under_way.saturating_sub(1);
        self.start_rounds(StartRounds, ctx);
    }

    fn forget_rounds(&mut self) {
        // Callers get an error and send their results again: results are idempotent.
        self.inbox = ResultInbox::default();
        self.grants = RecentGrants::default();
        (self.rounds, self.waiting_rounds) = (0, 0);
    }
}

fn unknown_claim(claim: &ResultClaim) -> Error {
    match claim {
        ResultClaim::Lease(_) | ResultClaim::TimedOut(_) => {
            Error::new(Code::LeaseUnknown, "there was never such a lease")
        }
        ResultClaim::Task(_) | ResultClaim::Foreign(_) | ResultClaim::Person { .. } => {
            let detail = format!("there is no task {}; create it first", claim.uid());
            Error::new(Code::TaskUnknown, detail)
        }
    }
}

handlers!(Ingest {
    SubmitResults => collect_results: CollectedResults,
    RememberGrants => remember_grants,
    ReadWorkerResults => tell_worker_results,
    StartRounds => start_rounds,
    WorkflowsChanged => replace_workflows,
});

actor!(Ingest { kit: deps.kit, mailbox: 4096, start: read_workflows, restart: forget_rounds, wake: read_workflows });

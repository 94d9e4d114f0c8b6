//! Results that are read, decided and stored together.

use std::collections::BTreeSet;
use std::sync::Arc;

use flowlord_domain::decide::WorkerOutcome;
use flowlord_domain::expect::{LearnedKey, LearnedValues, learned_keys};
use flowlord_domain::mark_complete::markable_attempt;
use flowlord_domain::workflow::Workflows;
use flowlord_domain::{Attempt, Uid};
use flowlord_kernel::{Code, Error, Result};
use flowlord_messages::results::{AppliedResult, ResultClaim};

use crate::grants::RecentGrants;
use crate::inbox::SubmittedResults;
use crate::rows::{MetaFileRows, list_meta_files};

/// Some messages, the attempts of all their results one after the other, and the meta files of their children.
#[derive(Debug, Default)]
pub(crate) struct ResultRound {
    pub(crate) submitted: Vec<SubmittedResults>,
    pub(crate) attempts: Vec<Option<Arc<Attempt>>>,
    pub(crate) rows: MetaFileRows,
    /// By which expectations are judged.
    pub(crate) learned: Arc<LearnedValues>,
    // Also the mark of a round that counts as waiting.
    pub(crate) meta_files: BTreeSet<String>,
}

impl ResultRound {
    /// A round with those attempts that need no read.
    pub(crate) fn with_known_attempts(submitted: Vec<SubmittedResults>, grants: &mut RecentGrants) -> Self {
        let mut round = Self { submitted, ..Self::default() };
        let attempts = round.results().map(|(claim, _)| match claim {
            ResultClaim::Lease(lease) | ResultClaim::TimedOut(lease) => grants.take(*lease),
            ResultClaim::Task(_) | ResultClaim::Person { .. } => None,
            ResultClaim::Foreign(task) => Some(Arc::new(task.to_attempt())),
        });
        round.attempts = attempts.collect();
        round
    }

    pub(crate) fn results(&self) -> impl Iterator<Item = &(ResultClaim, WorkerOutcome)> {
        self.submitted.iter().flat_map(|submitted| &submitted.results)
    }

    pub(crate) fn unread_uids(&self) -> Vec<Uid> {
        let unread = self.results().zip(&self.attempts).filter(|(_, attempt)| attempt.is_none());
        unread.map(|((claim, _), _)| claim.uid()).collect()
    }

    /// Adds the attempts that were read, which are those of [`unread_uids`](Self::unread_uids).
    pub(crate) fn with_read_attempts(mut self, read: Vec<Option<Attempt>>) -> Self {
        let claims = self.submitted.iter().flat_map(|submitted| &submitted.results).map(|(claim, _)| claim);
        let unread = claims.zip(&mut self.attempts).filter(|(_, attempt)| attempt.is_none());
        for ((claim, attempt), read) in unread.zip(read) {
            *attempt = match claim {
                ResultClaim::Person { .. } => read.map(markable_attempt),
                _ => read,
            }
            .map(Arc::new);
        }
        self
    }

    /// What must be read to judge its results.
    pub(crate) fn learned_keys(&self, workflows: &Workflows) -> Vec<LearnedKey> {
        let known = self.results().zip(&self.attempts);
        // What a person says isn't judged.
        let judged = known.filter(|((claim, _), _)| !matches!(claim, ResultClaim::Person { .. }));
        let known = judged.filter_map(|((_, outcome), attempt)| Some((attempt.as_ref()?, outcome)));
        let keys: BTreeSet<_> =
            known.flat_map(|(attempt, outcome)| learned_keys(workflows, attempt, outcome)).collect();
        keys.into_iter().collect()
    }

    /// Divides it into the messages that need no meta file, and those that do.
    pub(crate) fn split_by_meta_files(self, workflows: &Workflows) -> (Self, Self) {
        let meta_files = list_meta_files(workflows, self.results(), &self.attempts);
        if meta_files.is_empty() {
            return (self, Self::default());
        }
        let learned = self.learned;
        let mut at_once = Self { learned: Arc::clone(&learned), ..Self::default() };
        let mut waiting = Self { meta_files, learned, ..Self::default() };
        let mut attempts = self.attempts.into_iter();
        for submitted in self.submitted {
            let its_attempts: Vec<_> = attempts.by_ref().take(submitted.results.len()).collect();
            let waits = !list_meta_files(workflows, submitted.results.iter(), &its_attempts).is_empty();
            let round = if waits { &mut waiting } else { &mut at_once };
            round.submitted.push(submitted);
            round.attempts.extend(its_attempts);
        }
        (at_once, waiting)
    }

    /// Answers each message: `decided` has one entry for each result, `applied` one for each that could be decided.
    pub(crate) fn send_answers(&mut self, decided: Vec<Result<()>>, applied: Result<Vec<Result<AppliedResult>>>) {
        let mut applied = match applied {
            Ok(applied) => applied.into_iter(),
            Err(err) => return self.send_error(&err),
        };
        let mut answers = decided.into_iter().map(|decided| {
            decided?;
            applied.next().unwrap_or_else(|| Err(Error::new(Code::Internal, "a result got no answer")))
        });
        for submitted in self.submitted.drain(..) {
            let its_answers = answers.by_ref().take(submitted.results.len()).collect();
            submitted.send_answers(Ok(its_answers));
        }
    }

    pub(crate) fn send_error(&mut self, err: &Error) {
        for submitted in self.submitted.drain(..) {
            submitted.send_answers(Err(err.clone()));
        }
    }
}

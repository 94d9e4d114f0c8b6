//! Results that are read, decided and stored together.

use std::collections::BTreeSet;

use flowlord_domain::decide::Outcome;
use flowlord_domain::workflow::Workflows;
use flowlord_domain::{Attempt, Uid};
use flowlord_messages::write::Claim;

use crate::inbox::Submitted;
use crate::rows::{self, Rows};

/// Some messages, the attempts of all their results in one row, and what their children need.
#[derive(Debug, Default)]
pub(crate) struct Round {
    pub(crate) submitted: Vec<Submitted>,
    pub(crate) attempts: Vec<Option<Attempt>>,
    pub(crate) rows: Rows,
    /// The meta files that it waits, or waited, for.
    pub(crate) needs: BTreeSet<String>,
}

impl Round {
    pub(crate) fn results(&self) -> impl Iterator<Item = &(Claim, Outcome)> {
        self.submitted.iter().flat_map(|submitted| &submitted.results)
    }

    /// The attempts to be read: tasks that nobody created here have none.
    pub(crate) fn stored_uids(&self) -> Vec<Uid> {
        self.results().map(|(claim, _)| claim).filter(|claim| !is_foreign(claim)).map(Claim::uid).collect()
    }

    /// With those that were read, and those that tasks created elsewhere become.
    pub(crate) fn with_attempts(mut self, stored: Vec<Option<Attempt>>) -> Self {
        let mut stored = stored.into_iter();
        let attempt = |(claim, _): &(Claim, Outcome)| match claim {
            Claim::Foreign(task) => Some(task.attempt()),
            Claim::Lease(_) | Claim::Task(_) => stored.next().flatten(),
        };
        self.attempts = self.submitted.iter().flat_map(|submitted| &submitted.results).map(attempt).collect();
        self
    }

    /// What needs no meta file, and what does.
    pub(crate) fn split(self, workflows: &Workflows) -> (Self, Self) {
        let needs = rows::needed(workflows, self.results(), &self.attempts);
        if needs.is_empty() {
            return (self, Self::default());
        }
        let (mut at_once, mut waiting) = (Self::default(), Self { needs, ..Self::default() });
        let mut attempts = self.attempts.into_iter();
        for submitted in self.submitted {
            let of_it: Vec<_> = attempts.by_ref().take(submitted.results.len()).collect();
            let waits = !rows::needed(workflows, submitted.results.iter(), &of_it).is_empty();
            let round = if waits { &mut waiting } else { &mut at_once };
            round.submitted.push(submitted);
            round.attempts.extend(of_it);
        }
        (at_once, waiting)
    }
}

fn is_foreign(claim: &Claim) -> bool {
    matches!(claim, Claim::Foreign(_))
}

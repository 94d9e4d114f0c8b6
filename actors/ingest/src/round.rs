//! Results that are read, decided and stored together.

use std::collections::BTreeSet;

use flowlord_domain::Attempt;
use flowlord_domain::decide::Outcome;
use flowlord_domain::workflow::Workflows;
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

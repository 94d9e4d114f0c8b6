//! How a join stands: what is there, and what it started.

use std::collections::HashMap;

use crate::deadlines::is_of;
use crate::task::{Attempt, Uid};
use crate::workflow::TaskName;

/// How a join stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JoinStanding {
    /// What is there of all that it waits for.
    pub arrived: Vec<String>,
    /// Whether it started.
    pub has_started: bool,
    /// The attempts of what it started, and others of their chain, by their ids; empty where they have left the history.
    pub attempts: Vec<Attempt>,
}

impl JoinStanding {
    /// The attempts of each task that the join started, with all that followed from it.
    pub(crate) fn into_chains(self, join: &TaskName) -> Vec<Vec<Attempt>> {
        let mut chains: Vec<Vec<Attempt>> = Vec::new();
        let mut chain_of: HashMap<Uid, usize> = HashMap::new();
        // What an attempt follows from has a smaller id.
        for attempt in self.attempts {
            let above = attempt.parent.and_then(|parent| chain_of.get(&parent).copied());
            let Some(number) = above.or_else(|| is_of(join, &attempt).then_some(chains.len())) else { continue };
            if number == chains.len() {
                chains.push(Vec::new());
            }
            chain_of.insert(attempt.uid, number);
            chains[number].push(attempt);
        }
        chains
    }
}

//! Topics and jobs whose ready tasks a limit holds back, as the database said when a worker last asked.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use flowlord_domain::limits::LimitBlock;
use flowlord_messages::leases::{BlockedQueue, LeaseGrant};

type QueueName = (String, String);

/// No more than there are topics and jobs with a limit.
#[derive(Debug, Default)]
pub(crate) struct LimitBlocks(HashMap<QueueName, (DateTime<Utc>, LimitBlock)>);

impl LimitBlocks {
    pub(crate) fn note_grants(&mut self, granted: &[Vec<LeaseGrant>], blocked: Vec<BlockedQueue>, now: DateTime<Utc>) {
        if self.0.is_empty() && blocked.is_empty() {
            return;
        }
        for grant in granted.iter().flatten() {
            self.0.remove(&(grant.task.topic.clone(), grant.task.job.clone()));
        }
        for BlockedQueue { topic, job, block } in blocked {
            let (_, known) = self.0.entry((topic, job)).or_insert_with(|| (now, block.clone()));
            *known = block;
        }
    }

    /// The limit, and since when.
    pub(crate) fn find_block(&self, queue: &QueueName) -> Option<(DateTime<Utc>, LimitBlock)> {
        self.0.get(queue).cloned()
    }

    /// When the next task may start that waits for a rate.
    pub(crate) fn next_start(&self) -> Option<DateTime<Utc>> {
        self.0.values().filter_map(|(_, block)| start_of(block)).min()
    }

    /// What may start now by its rate; whether it does the database says.
    pub(crate) fn take_startable(&mut self, now: DateTime<Utc>) -> Vec<QueueName> {
        self.take_where(|block| start_of(block).is_some_and(|next| next <= now))
    }

    /// All that waits for others to end.
    pub(crate) fn take_all(&mut self) -> Vec<QueueName> {
        self.take_where(|block| start_of(block).is_none())
    }

    fn take_where(&mut self, is_taken: impl Fn(&LimitBlock) -> bool) -> Vec<QueueName> {
        self.0.extract_if(|_, (_, block)| is_taken(block)).map(|(queue, _)| queue).collect()
    }
}

fn start_of(block: &LimitBlock) -> Option<DateTime<Utc>> {
    match block {
        LimitBlock::Rate { next } => Some(*next),
        LimitBlock::Active { .. } | LimitBlock::Group { .. } => None,
    }
}

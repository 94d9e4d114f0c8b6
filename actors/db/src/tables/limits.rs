//! How many tasks may be at work, and how many may start: asked before each lease of a task that has such a limit, and of no
//! other.
//!
//! Nothing is counted up and down. What is at work is counted by an index that only tasks with a limit are in, no further than
//! the limit and once in a command, so a lease that ends in whatever way frees its place.

use std::collections::HashMap;

use flowlord_domain::backload::CreationRate;
use flowlord_domain::limits::{LimitBlock, LimitTable, QueueLimits, take_token};
use flowlord_messages::leases::{BlockedQueue, GrantedLeases, KeepLimits, LeaseGrant, ReadStartBuckets, StartBucket};

use crate::tables::prelude::*;

/// A topic and job that a worker takes, and what is allowed of it.
#[derive(Debug, Clone)]
pub(super) struct WantedQueue<'a> {
    pub(super) id: i64,
    pub(super) topic: String,
    pub(super) job: String,
    limits: Option<&'a QueueLimits>,
}

/// The columns `limited` and `active_group`.
pub(super) type ActiveMarks = (Option<i64>, Option<i64>);

/// The grants of one command, and what they know of the limits.
pub(super) struct GrantRound<'a> {
    pub(super) limits: &'a LimitTable,
    pub(super) now: DateTime<Utc>,
    /// How many are at work of each topic and job that has a limit.
    active: HashMap<i64, u32>,
    active_groups: HashMap<String, u32>,
    /// What had ready tasks and may start none.
    blocked: HashMap<i64, BlockedQueue>,
}

impl<'a> GrantRound<'a> {
    pub(super) fn new(limits: &'a LimitTable, now: DateTime<Utc>) -> Self {
        let (active, active_groups, blocked) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { limits, now, active, active_groups, blocked }
    }

    pub(super) fn wanted_queue(&self, id: i64, topic: &str, job: String) -> WantedQueue<'a> {
        let limits = self.limits.limits_of(topic, &job);
        WantedQueue { id, topic: topic.to_owned(), job, limits }
    }

    pub(super) fn end(self, granted: Vec<Vec<LeaseGrant>>) -> GrantedLeases {
        GrantedLeases { granted, blocked: self.blocked.into_values().collect() }
    }

    /// Whether a ready task of it may start; where not, the answer of the command says why.
    pub(super) fn may_start(&mut self, context: &WriteContext<'_>, queue: &WantedQueue<'_>) -> rusqlite::Result<bool> {
        let Some(limits) = queue.limits else { return Ok(true) };
        let Some(block) = self.find_block(context, queue.id, limits)? else { return Ok(true) };
        let (topic, job) = (queue.topic.clone(), queue.job.clone());
        self.blocked.insert(queue.id, BlockedQueue { topic, job, block });
        Ok(false)
    }

    fn find_block(
        &mut self,
        context: &WriteContext<'_>,
        queue: i64,
        limits: &QueueLimits,
    ) -> rusqlite::Result<Option<LimitBlock>> {
        if let Some(max) = limits.max_active
            && *count_once(&mut self.active, queue, || context.count_active(queue, max))? >= max
        {
            return Ok(Some(LimitBlock::Active { max }));
        }
        if let Some((name, max)) = &limits.group
            && *count_once(&mut self.active_groups, name.clone(), || context.count_group(name, *max))? >= *max
        {
            return Ok(Some(LimitBlock::Group { name: name.clone(), max: *max }));
        }
        let Some(rate) = limits.rate else { return Ok(None) };
        let next = take_token(rate, context.bucket_full_at(queue)?, self.now);
        Ok(next.err().map(|next| LimitBlock::Rate { next }))
    }

    /// A task of it starts: it takes a place and a token. Answers for which limits it counts.
    pub(super) fn note_start(
        &mut self,
        context: &mut WriteContext<'_>,
        queue: &WantedQueue<'_>,
    ) -> rusqlite::Result<ActiveMarks> {
        let Some(limits) = queue.limits else { return Ok((None, None)) };
        if limits.max_active.is_some() {
            *self.active.entry(queue.id).or_default() += 1;
        }
        if let Some((name, _)) = &limits.group {
            *self.active_groups.entry(name.clone()).or_default() += 1;
        }
        if let Some(rate) = limits.rate {
            context.take_start(queue.id, rate, self.now)?;
        }
        context.active_marks(Some(limits))
    }
}

/// The count of a key, read where it isn't known yet.
fn count_once<K: Eq + std::hash::Hash>(
    counts: &mut HashMap<K, u32>,
    key: K,
    read: impl FnOnce() -> rusqlite::Result<u32>,
) -> rusqlite::Result<&mut u32> {
    use std::collections::hash_map::Entry;
    match counts.entry(key) {
        Entry::Occupied(known) => Ok(known.into_mut()),
        Entry::Vacant(unknown) => Ok(unknown.insert(read()?)),
    }
}

impl WriteContext<'_> {
    fn count_active(&self, queue: i64, max: u32) -> rusqlite::Result<u32> {
        self.read_value(
            "SELECT count(*) FROM (SELECT 1 FROM task INDEXED BY task_active
                 WHERE queue = ?1 AND limited IS NOT NULL AND state = 2 LIMIT ?2)",
            params![queue, max],
        )
    }

    fn count_group(&self, group: &str, max: u32) -> rusqlite::Result<u32> {
        self.read_value(
            "SELECT count(*) FROM (SELECT 1 FROM task INDEXED BY task_active_group
                 WHERE active_group = (SELECT id FROM name WHERE text = ?1) AND state = 2 LIMIT ?2)",
            params![group, max],
        )
    }

    /// Notes for which limits a leased task counts.
    fn mark_active(&self, uid: Uid, (limited, group): ActiveMarks) -> rusqlite::Result<()> {
        self.run_sql("UPDATE task SET limited = ?2, active_group = ?3 WHERE uid = ?1", params![uid.0, limited, group])
    }

    fn active_marks(&mut self, limits: Option<&QueueLimits>) -> rusqlite::Result<ActiveMarks> {
        let group = limits.and_then(|limits| limits.group.as_ref()).map_or("", |(name, _)| name);
        // Also for a group alone: its lease is one under a limit.
        Ok((limits.is_some_and(QueueLimits::is_limited).then_some(1), self.name_id(group)?))
    }

    fn bucket_full_at(&self, queue: i64) -> rusqlite::Result<Option<DateTime<Utc>>> {
        self.find_row("SELECT full_at FROM start_rate WHERE queue = ?1", [queue], |row| row.time(0))
    }

    fn take_start(&self, queue: i64, rate: CreationRate, now: DateTime<Utc>) -> rusqlite::Result<()> {
        // It was asked for before.
        let Ok(full_at) = take_token(rate, self.bucket_full_at(queue)?, now) else { return Ok(()) };
        self.run_sql("INSERT OR REPLACE INTO start_rate (queue, full_at) VALUES (?1, ?2)", [queue, micros(full_at)])
    }
}

impl ReadQuery for ReadStartBuckets {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let sql = "SELECT topic, job, full_at FROM start_rate JOIN queue ON queue.id = start_rate.queue";
        connection
            .read_rows(sql, [], |row| Ok(StartBucket { topic: row.get(0)?, job: row.get(1)?, full_at: row.time(2)? }))
    }
}

impl WriteCommand for KeepLimits {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<()> {
        let leased: Vec<(i64, String, String, ActiveMarks)> = context.read_rows(
            "SELECT task.uid, topic, job, limited, active_group FROM task INDEXED BY task_leased
             JOIN queue ON queue.id = task.queue WHERE state = 2",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, (row.get(3)?, row.get(4)?))),
        )?;
        for (uid, topic, job, known) in leased {
            let marks = context.active_marks(self.limits.limits_of(&topic, &job))?;
            // A row that is written goes to the backup and to all nodes, and most have their marks already.
            if marks != known {
                context.mark_active(Uid(uid), marks)?;
            }
        }
        Ok(())
    }
}

//! Leases: granted, extended, released, and taken back. Every change names the state that it expects.

use std::sync::Arc;

use chrono::TimeDelta;
use flowlord_domain::Attempt;
use flowlord_domain::limits::{LimitTable, QueueLimits, lease_end};
use flowlord_messages::LeaseToken;
use flowlord_messages::leases::{
    ExtendLease, GrantLeases, LeaseExtension, LeaseGrant, LeaseRequest, LeaseStanding, ReadLeaseStanding,
    ReadNextExpiry, ReadWorkerLeases, ReapLeases, ReapedLeases, ReleaseLease, ReleasedLease, TopicFilter, WorkerLeases,
};
use rusqlite::OptionalExtension as _;

use crate::column::{DELAYED, DONE, LEASED, READY};
use crate::tables::limits::{ActiveMarks, GrantRound, WantedQueue};
use crate::tables::overlap::TaskOrigin;
use crate::tables::prelude::*;
use crate::tables::tasks::row::{ATTEMPT_COLUMNS, read_attempt};

const REAPED_AT_ONCE: usize = 500;

impl WriteCommand for GrantLeases {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<Self::Answer> {
        let mut round = GrantRound::new(&self.limits, self.now);
        let granted = self.wanted.iter().map(|wanted| context.grant_leases(wanted, &mut round));
        let granted = granted.collect::<CommandResult<_>>()?;
        Ok(round.end(granted))
    }
}

impl WriteContext<'_> {
    /// Takes one task of each topic in turn, live ones first, until there are enough or none is left.
    fn grant_leases(&mut self, wanted: &LeaseRequest, round: &mut GrantRound<'_>) -> CommandResult<Vec<LeaseGrant>> {
        let mut granted = Vec::new();
        let queues: Vec<_> =
            wanted.topics.iter().map(|topic| self.queues_of(topic, round)).collect::<rusqlite::Result<_>>()?;
        // All live tasks before any of a backload: history must not hold up what is due now.
        for lane in [0, 1] {
            let mut topics: Vec<_> = (0..queues.len()).collect();
            while !topics.is_empty() && granted.len() < wanted.max {
                let mut left = Vec::with_capacity(topics.len());
                for topic in topics {
                    if granted.len() == wanted.max {
                        break;
                    }
                    let Some((uid, queue)) = self.oldest_ready(&queues[topic], lane, round)? else { continue };
                    let marks = round.note_start(self, queue)?;
                    let grant = self.grant_lease(uid, (wanted, granted.len()), marks, round.now)?;
                    granted.push(self.limit_lease(grant, wanted.lease, round)?);
                    left.push(topic);
                }
                topics = left;
            }
        }
        Ok(granted)
    }

    fn queues_of<'a>(
        &mut self,
        filter: &TopicFilter,
        round: &GrantRound<'a>,
    ) -> rusqlite::Result<Vec<WantedQueue<'a>>> {
        let topic = &filter.topic;
        match &filter.job {
            // Looked up, not made: workers may ask for topics that never come.
            Some(job) => {
                let known = self.known_queue(topic, job)?;
                Ok(known.map(|id| round.wanted_queue(id, topic, job.clone())).into_iter().collect())
            }
            None => self.read_rows("SELECT id, job FROM queue WHERE topic = ?1", [topic], |row| {
                Ok(round.wanted_queue(row.get(0)?, topic, row.get(1)?))
            }),
        }
    }

    /// The oldest ready task of those that may start, and what it is of.
    fn oldest_ready<'a, 'b>(
        &self,
        queues: &'a [WantedQueue<'b>],
        lane: i64,
        round: &mut GrantRound<'_>,
    ) -> rusqlite::Result<Option<(i64, &'a WantedQueue<'b>)>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT due, uid FROM task WHERE state = 0 AND queue = ?1 AND lane = ?2 ORDER BY due LIMIT 1",
        )?;
        // One look into the index for each queue: over several at once SQLite would sort all that is ready.
        let mut oldest: Option<((i64, i64), &WantedQueue<'_>)> = None;
        for queue in queues {
            let first: Option<(i64, i64)> =
                statement.query_row(params![queue.id, lane], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            let Some(first) = first.filter(|first| oldest.is_none_or(|(known, _)| *first < known)) else { continue };
            // Asked last: of what has no task ready, nothing is blocked.
            if round.may_start(self, queue)? {
                oldest = Some((first, queue));
            }
        }
        Ok(oldest.map(|((_, uid), queue)| (uid, queue)))
    }

    fn grant_lease(
        &mut self,
        uid: i64,
        (wanted, index): (&LeaseRequest, usize),
        (limited, group): ActiveMarks,
        now: DateTime<Utc>,
    ) -> rusqlite::Result<LeaseGrant> {
        let worker = self.name_id(&wanted.worker)?;
        let expires = now + wanted.lease;
        // SQL calls no random: the seed came with the command, so that it stays complete.
        let secret = split_mix64(wanted.seed.wrapping_add(index as u64));
        self.run_sql(
            "UPDATE task SET state = 2, due = ?2, lease = ?3, delivery = delivery + 1, worker = ?4,
                 progress = NULL, started = ?5, lease_micros = ?6, deadline = NULL,
                 limited = ?7, active_group = ?8 WHERE uid = ?1 AND state = 0",
            params![
                uid,
                micros(expires),
                to_signed(secret),
                worker,
                micros(now),
                wanted.lease.num_microseconds(),
                limited,
                group
            ],
        )?;
        let task = self.read_row(concat!(ATTEMPT_COLUMNS!(), " WHERE task.uid = ?1"), [uid], read_attempt)?;
        Ok(LeaseGrant { lease: LeaseToken { uid: Uid(uid), secret }, expires, task: Arc::new(task) })
    }

    /// Gives a lease its deadline, where the phase of its task has a time-out.
    fn limit_lease(
        &mut self,
        grant: LeaseGrant,
        length: TimeDelta,
        round: &GrantRound<'_>,
    ) -> rusqlite::Result<LeaseGrant> {
        let Attempt { topic, job, workflow, .. } = &*grant.task;
        let Some(timeout) = round.limits.timeout_of(topic, job, workflow) else { return Ok(grant) };
        let task = Attempt::clone(&grant.task).with_timeout(timeout, length, round.now);
        let expires = task.lease_expires.unwrap_or(grant.expires);
        self.run_sql(
            "UPDATE task SET deadline = ?2, due = ?3 WHERE uid = ?1",
            params![task.uid.0, task.times_out.map(micros), micros(expires)],
        )?;
        Ok(LeaseGrant { task: Arc::new(task), expires, ..grant })
    }

    /// The task whose lease is still `lease`, or why it isn't.
    pub(crate) fn require_lease(&self, lease: LeaseToken) -> CommandResult<HeldTask> {
        match self.find_task(lease.uid)? {
            Some(task) if task.lease == Some(lease.secret) => Ok(task),
            // An earlier lease of this task can only have been if the task was handed out before: a first lease
            // that doesn't match was never given.
            Some(task) if task.delivery > i64::from(task.lease.is_some()) => {
                let detail = "the lease expired and its task went to another worker, it was released, or somebody \
                              marked the task complete; drop the work and lease again";
                Err(CommandError::refused(Code::LeaseLost, detail))
            }
            _ => Err(CommandError::refused(Code::LeaseUnknown, "there was never such a lease")),
        }
    }

    /// What decides about a task's next step; none when there is no such task.
    pub(crate) fn find_task(&self, uid: Uid) -> rusqlite::Result<Option<HeldTask>> {
        self.find_row(
            "SELECT state, queue, lease, delivery, started, cancelled, lease_micros, backload, deadline,
                 slot_phase, slot_at, limited
             FROM task WHERE uid = ?1",
            [uid.0],
            |row| {
                Ok(HeldTask {
                    state: row.get(0)?,
                    queue: row.get(1)?,
                    lease: row.get::<_, Option<i64>>(2)?.map(to_unsigned),
                    delivery: row.get(3)?,
                    started: row.get(4)?,
                    cancelled: row.get(5)?,
                    length: row.get::<_, Option<i64>>(6)?.map(TimeDelta::microseconds),
                    origin: TaskOrigin { backload: row.get(7)?, slot: row.get::<_, Option<i64>>(9)?.zip(row.get(10)?) },
                    deadline: row.optional_time(8)?,
                    is_limited: row.get::<_, Option<i64>>(11)?.is_some(),
                })
            },
        )
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct HeldTask {
    pub(crate) state: i64,
    pub(crate) queue: i64,
    pub(crate) started: Option<i64>,
    pub(crate) cancelled: bool,
    pub(crate) origin: TaskOrigin,
    lease: Option<u64>,
    /// How long the lease lasts that was asked for last.
    length: Option<TimeDelta>,
    /// When its worker has had it for too long.
    deadline: Option<DateTime<Utc>>,
    /// Its last lease counted for a limit.
    is_limited: bool,
    delivery: i64,
}

impl HeldTask {
    fn is_overdue(&self, now: DateTime<Utc>) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Refuses what can only be done to a task that isn't finished.
    fn require_unfinished(self) -> CommandResult<Self> {
        if self.state == DONE {
            let detail = "the task already has a result; stop the work and lease again";
            return Err(CommandError::refused(Code::LeaseLost, detail));
        }
        Ok(self)
    }
}

impl WriteCommand for ExtendLease {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<LeaseExtension> {
        // Also a lease that ran out, while its task wasn't handed out again: its worker is still at work.
        let held = context.require_lease(self.lease)?.require_unfinished()?;
        if held.state != LEASED && (held.is_limited || context.is_limited(held.queue, &self.limits)?) {
            let detail =
                "the lease expired, and its place under a limit is free for others; drop the work and lease again";
            return Err(CommandError::refused(Code::LeaseLost, detail));
        }
        let length = self.by.or(held.length).unwrap_or(self.default);
        let expires = lease_end(self.now, length, held.deadline);
        context.run_sql(
            "UPDATE task SET state = 2, due = ?2, progress = coalesce(?3, progress), msg = coalesce(?4, msg),
                 lease_micros = ?5 WHERE uid = ?1",
            params![self.lease.uid.0, micros(expires), self.progress, self.msg, length.num_microseconds()],
        )?;
        Ok(LeaseExtension { expires, cancel: held.cancelled || held.is_overdue(self.now) })
    }
}

impl WriteCommand for ReleaseLease {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<ReleasedLease> {
        let held = context.require_lease(self.lease)?.require_unfinished()?;
        if held.cancelled {
            context.end_cancelled(self.lease.uid, &held, None, self.now)?;
            return Ok(ReleasedLease::default());
        }
        // Or a worker that stops as it is told would have the task again and again, and no retry would be used.
        if held.state == LEASED && held.is_overdue(self.now) {
            context.run_sql("UPDATE task SET due = ?2 WHERE uid = ?1", [self.lease.uid.0, micros(self.now)])?;
            return Ok(ReleasedLease { is_timed_out: true });
        }
        let due = self.now + self.delay;
        let delayed = self.delay > TimeDelta::zero();
        context.run_sql(
            "UPDATE task SET state = ?2, due = ?3, lease = NULL, progress = NULL, worker = NULL,
                 started = NULL WHERE uid = ?1",
            params![self.lease.uid.0, if delayed { DELAYED } else { READY }, micros(due)],
        )?;
        context.note_freed(&held);
        if delayed {
            context.effects.note_delayed(due);
        } else {
            context.note_requeued(self.lease.uid.0)?;
        }
        Ok(ReleasedLease::default())
    }
}

impl WriteContext<'_> {
    /// A task is at work no more: where it counted for a limit, others may start.
    pub(crate) fn note_freed(&mut self, task: &HeldTask) {
        self.effects.has_freed_limits |= task.state == LEASED && task.is_limited;
    }

    /// Whether a lease counts for a limit. One of a limit that came after it expired doesn't.
    fn is_limited(&self, queue: i64, limits: &LimitTable) -> rusqlite::Result<bool> {
        let (topic, job): (String, String) =
            self.read_row("SELECT topic, job FROM queue WHERE id = ?1", [queue], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(limits.limits_of(&topic, &job).is_some_and(QueueLimits::is_limited))
    }

    fn note_requeued(&mut self, uid: i64) -> rusqlite::Result<()> {
        let (topic, job): (String, String) = self.read_row(
            "SELECT topic, job FROM task JOIN queue ON queue.id = task.queue WHERE task.uid = ?1",
            [uid],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        self.effects.note_ready(&topic, &job);
        Ok(())
    }
}

impl WriteCommand for ReapLeases {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<ReapedLeases> {
        let mut reaped = ReapedLeases::default();
        for ExpiredLease { uid, secret, before, cancelled, timeout, is_limited } in context.expired_leases(self.now)? {
            if cancelled && let Some(held) = context.find_task(Uid(uid))? {
                context.end_cancelled(Uid(uid), &held, None, self.now)?;
                continue;
            }
            // Left leased: ingest ends it with a result, in one transaction with its retry and its alert.
            if let Some(timeout) = timeout {
                reaped.timed_out.push((LeaseToken { uid: Uid(uid), secret: to_unsigned(secret) }, timeout));
                continue;
            }
            if before + 1 >= self.max_deliveries {
                reaped.exhausted.push(LeaseToken { uid: Uid(uid), secret: to_unsigned(secret) });
                continue;
            }
            // The lease stays on the row: its worker may still answer while nobody else has the task.
            context.run_sql(
                "UPDATE task SET state = 0, due = ?2, expired = expired + 1, progress = NULL WHERE uid = ?1",
                params![uid, micros(self.now)],
            )?;
            context.effects.has_freed_limits |= is_limited;
            context.note_requeued(uid)?;
            reaped.requeued += 1;
        }
        reaped.next = next_expiry(context.connection)?;
        Ok(reaped)
    }
}

/// A lease that ran out.
struct ExpiredLease {
    uid: i64,
    secret: i64,
    /// How often one of its task did before.
    before: u32,
    cancelled: bool,
    /// How long its worker might have had the task, where that is why.
    timeout: Option<TimeDelta>,
    is_limited: bool,
}

impl WriteContext<'_> {
    fn expired_leases(&self, now: DateTime<Utc>) -> rusqlite::Result<Vec<ExpiredLease>> {
        self.read_rows(
            // A lease that ended before its deadline just ran out, however late that is seen.
            "SELECT uid, coalesce(lease, 0), expired, cancelled, iif(deadline <= due, deadline - started, NULL),
                 limited IS NOT NULL
             FROM task WHERE state = 2 AND due <= ?1 ORDER BY due LIMIT ?2",
            params![micros(now), REAPED_AT_ONCE],
            |row| {
                Ok(ExpiredLease {
                    uid: row.get(0)?,
                    secret: row.get(1)?,
                    before: row.get(2)?,
                    cancelled: row.get(3)?,
                    timeout: row.get::<_, Option<i64>>(4)?.map(TimeDelta::microseconds),
                    is_limited: row.get(5)?,
                })
            },
        )
    }
}

/// One step of SplitMix64: as many unrelated secrets from one seed as a hand-out needs.
fn split_mix64(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl ReadQuery for ReadWorkerLeases {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Vec<WorkerLeases>> {
        connection.read_rows(
            "SELECT text, topic, job, leased, beat FROM
                 (SELECT worker, queue, count(*) AS leased, max(due - lease_micros) AS beat
                  FROM task INDEXED BY task_leased WHERE state = 2 GROUP BY worker, queue)
             JOIN name ON name.id = worker JOIN queue ON queue.id = queue ORDER BY text, topic, job",
            [],
            |row| {
                let (worker, topic, job) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(WorkerLeases { worker, topic, job, leased: row.count(3)?, last_beat: row.optional_time(4)? })
            },
        )
    }
}

impl ReadQuery for ReadLeaseStanding {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<LeaseStanding> {
        let task = connection.find_row(
            "SELECT state, lease, delivery FROM task WHERE uid = ?1",
            [self.lease.uid.0],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?.map(to_unsigned), row.get::<_, i64>(2)?)),
        )?;
        // As `require_lease` has it.
        Ok(match task {
            Some((state, lease, _)) if lease == Some(self.lease.secret) && state != DONE => LeaseStanding::Held,
            Some((_, lease, delivery)) if lease == Some(self.lease.secret) || delivery > i64::from(lease.is_some()) => {
                LeaseStanding::Lost
            }
            _ => LeaseStanding::Unknown,
        })
    }
}

impl ReadQuery for ReadNextExpiry {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        next_expiry(connection)
    }
}

fn next_expiry(connection: &Connection) -> rusqlite::Result<Option<DateTime<Utc>>> {
    connection.read_row("SELECT min(due) FROM task WHERE state = 2", [], |row| row.optional_time(0))
}

//! Tasks are handed out, kept, given back and taken back. Every change names the state that it expects.

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::Uid;
use flowlord_kernel::{Code, Error};
use flowlord_messages::LeaseToken;
use flowlord_messages::write::{
    ExtendLease, Extended, GrantLeases, Granted, ReapLeases, Reaped, ReleaseLease, TopicFilter, WantedLease,
};
use rusqlite::{OptionalExtension as _, params};

use crate::column::{self, DELAYED, READY, bits, micros, time, unbits};
use crate::job::Command;
use crate::row::{ATTEMPT_COLUMNS, attempt};
use crate::store::{Store, Trouble};

/// How many leases one command takes back.
const REAPED_AT_ONCE: usize = 500;

impl Command for GrantLeases {
    type Answer = Vec<Vec<Granted>>;

    fn apply(&mut self, store: &mut Store<'_>) -> Result<Self::Answer, Trouble> {
        self.wanted.iter().map(|wanted| store.grant(wanted, self.now).map_err(Trouble::from)).collect()
    }
}

impl Store<'_> {
    /// Takes one task of each topic in turn, live ones first, until there are enough or none is left.
    fn grant(&mut self, wanted: &WantedLease, now: DateTime<Utc>) -> rusqlite::Result<Vec<Granted>> {
        let mut granted = Vec::new();
        let queues = wanted.topics.iter().map(|topic| self.queues(topic)).collect::<Result<Vec<_>, _>>()?;
        for lane in [0, 1] {
            let mut topics: Vec<_> = (0..queues.len()).collect();
            while !topics.is_empty() && granted.len() < wanted.max {
                let mut left = Vec::with_capacity(topics.len());
                for topic in topics {
                    if granted.len() == wanted.max {
                        break;
                    }
                    let Some(uid) = self.oldest_ready(&queues[topic], lane)? else { continue };
                    granted.push(self.hand_out(uid, wanted, granted.len(), now)?);
                    left.push(topic);
                }
                topics = left;
            }
        }
        Ok(granted)
    }

    fn queues(&mut self, filter: &TopicFilter) -> rusqlite::Result<Vec<i64>> {
        let mut ids = Vec::new();
        match &filter.job {
            // Looked up, not made: workers may ask for topics that never come.
            Some(job) => ids.extend(self.known_queue(&filter.topic, job)?),
            None => self.queues_of(&filter.topic, &mut ids)?,
        }
        Ok(ids)
    }

    fn oldest_ready(&self, queues: &[i64], lane: i64) -> rusqlite::Result<Option<i64>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT due, uid FROM task WHERE state = 0 AND queue = ?1 AND lane = ?2 ORDER BY due LIMIT 1",
        )?;
        let mut oldest: Option<(i64, i64)> = None;
        for queue in queues {
            let first =
                statement.query_row(params![queue, lane], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            oldest = oldest.into_iter().chain(first).min();
        }
        Ok(oldest.map(|(_, uid)| uid))
    }

    fn hand_out(
        &mut self,
        uid: i64,
        wanted: &WantedLease,
        index: usize,
        now: DateTime<Utc>,
    ) -> rusqlite::Result<Granted> {
        let worker = self.name(&wanted.worker)?;
        let expires = now + wanted.lease;
        let secret = split_mix(wanted.seed.wrapping_add(index as u64));
        self.connection
            .prepare_cached(
                "UPDATE task SET state = 2, due = ?2, lease = ?3, delivery = delivery + 1, worker = ?4,
                     progress = NULL, started = ?5, lease_micros = ?6 WHERE uid = ?1 AND state = 0",
            )?
            .execute(params![
                uid,
                micros(expires),
                bits(secret),
                worker,
                micros(now),
                wanted.lease.num_microseconds()
            ])?;
        let task = self
            .connection
            .prepare_cached(concat!(ATTEMPT_COLUMNS!(), " WHERE task.uid = ?1"))?
            .query_row([uid], attempt)?;
        Ok(Granted { lease: LeaseToken { uid: Uid(uid), secret }, expires, task })
    }

    /// The task whose lease is still `lease`, or why it isn't.
    pub(crate) fn held(&self, lease: LeaseToken) -> Result<Held, Trouble> {
        match self.task(lease.uid)? {
            Some(task) if task.lease == Some(lease.secret) => Ok(task),
            // An earlier lease of this task can only have been if the task was handed out before: a first lease
            // that doesn't match was never given.
            Some(task) if task.delivery > i64::from(task.lease.is_some()) => {
                let detail = "the lease ran out and its task went to another worker, or it was released; \
                              drop the work and lease again";
                Err(Error::new(Code::LeaseLost, detail).into())
            }
            _ => Err(Error::new(Code::LeaseUnknown, "no task was ever given under this lease").into()),
        }
    }

    /// What decides about a task's next step; none when there is no such task.
    pub(crate) fn task(&self, uid: Uid) -> rusqlite::Result<Option<Held>> {
        self.connection
            .prepare_cached(
                "SELECT state, queue, lease, delivery, started, cancelled, lease_micros FROM task WHERE uid = ?1",
            )?
            .query_row([uid.0], |row| {
                Ok(Held {
                    state: row.get(0)?,
                    queue: row.get(1)?,
                    lease: row.get::<_, Option<i64>>(2)?.map(unbits),
                    delivery: row.get(3)?,
                    started: row.get(4)?,
                    cancelled: row.get(5)?,
                    length: row.get::<_, Option<i64>>(6)?.map(TimeDelta::microseconds),
                })
            })
            .optional()
    }
}

/// A task as it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) state: i64,
    pub(crate) queue: i64,
    pub(crate) started: Option<i64>,
    pub(crate) cancelled: bool,
    lease: Option<u64>,
    /// How long the lease lasts that was asked for last.
    length: Option<TimeDelta>,
    delivery: i64,
}

impl Held {
    /// Refuses what can only be done to a task that isn't finished.
    fn unfinished(self) -> Result<Self, Trouble> {
        if self.state == column::DONE {
            let detail = "the task has its result already; drop the work and lease again";
            return Err(Error::new(Code::LeaseLost, detail).into());
        }
        Ok(self)
    }
}

impl Command for ExtendLease {
    type Answer = Extended;

    /// Also a lease that ran out but whose task wasn't handed out again: its worker is still at work.
    fn apply(&mut self, store: &mut Store<'_>) -> Result<Extended, Trouble> {
        let held = store.held(self.lease)?.unfinished()?;
        let length = self.by.or(held.length).unwrap_or(self.default);
        let expires = self.now + length;
        store
            .connection
            .prepare_cached(
                "UPDATE task SET state = 2, due = ?2, progress = coalesce(?3, progress), msg = coalesce(?4, msg),
                     lease_micros = ?5 WHERE uid = ?1",
            )?
            .execute(params![
                self.lease.uid.0,
                micros(expires),
                self.progress,
                self.msg,
                length.num_microseconds()
            ])?;
        Ok(Extended { expires, cancel: held.cancelled })
    }
}

impl Command for ReleaseLease {
    type Answer = ();

    fn apply(&mut self, store: &mut Store<'_>) -> Result<(), Trouble> {
        let held = store.held(self.lease)?.unfinished()?;
        if held.cancelled {
            store.end_cancelled(self.lease.uid, &held, None, self.now)?;
            return Ok(());
        }
        let due = self.now + self.delay;
        let delayed = self.delay > TimeDelta::zero();
        store
            .connection
            .prepare_cached(
                "UPDATE task SET state = ?2, due = ?3, lease = NULL, progress = NULL, worker = NULL,
                     started = NULL WHERE uid = ?1",
            )?
            .execute(params![self.lease.uid.0, if delayed { DELAYED } else { READY }, micros(due)])?;
        if delayed {
            store.followers.delayed = Some(due);
        } else {
            store.requeued(self.lease.uid.0)?;
        }
        Ok(())
    }
}

impl Store<'_> {
    fn requeued(&mut self, uid: i64) -> rusqlite::Result<()> {
        let (topic, job): (String, String) = self
            .connection
            .prepare_cached(
                "SELECT topic, job FROM task JOIN queue ON queue.id = task.queue WHERE task.uid = ?1",
            )?
            .query_row([uid], |row| Ok((row.get(0)?, row.get(1)?)))?;
        self.now_ready(&topic, &job);
        Ok(())
    }
}

impl Command for ReapLeases {
    type Answer = Reaped;

    fn apply(&mut self, store: &mut Store<'_>) -> Result<Reaped, Trouble> {
        let expired = {
            let mut statement = store.connection.prepare_cached(
                "SELECT uid, lease, expired, cancelled FROM task WHERE state = 2 AND due <= ?1
                 ORDER BY due LIMIT ?2",
            )?;
            let rows = statement.query_map(params![micros(self.now), REAPED_AT_ONCE], |row| {
                Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?.unwrap_or(0), row.get(2)?, row.get(3)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<(i64, i64, u32, bool)>>>()?
        };
        let mut reaped = Reaped { requeued: 0, exhausted: Vec::new(), next: None };
        for (uid, secret, before, cancelled) in expired {
            if cancelled && let Some(held) = store.task(Uid(uid))? {
                store.end_cancelled(Uid(uid), &held, None, self.now)?;
                continue;
            }
            if before + 1 >= self.max_deliveries {
                reaped.exhausted.push(LeaseToken { uid: Uid(uid), secret: unbits(secret) });
                continue;
            }
            // The lease stays on the row: its worker may still answer while nobody else has the task.
            store
                .connection
                .prepare_cached("UPDATE task SET state = 0, due = ?2, expired = expired + 1, progress = NULL WHERE uid = ?1")?
                .execute(params![uid, micros(self.now)])?;
            store.requeued(uid)?;
            reaped.requeued += 1;
        }
        let next: Option<i64> = store
            .connection
            .prepare_cached("SELECT min(due) FROM task WHERE state = 2")?
            .query_row([], |row| row.get(0))?;
        reaped.next = next.map(time);
        Ok(reaped)
    }
}

/// One step of SplitMix64: as many unrelated secrets from one seed as a hand-out needs.
fn split_mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

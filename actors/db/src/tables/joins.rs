//! Joins: counted in the transactions in which tasks complete, and started by the one that completes them.

use flowlord_domain::join::{JoinArrival, JoinCount, JoinKey, JoinStanding, JoinStart, LateJoin};
use flowlord_domain::rule::BatchStep;
use flowlord_domain::{AlertKind, Attempt, NewAlert, NewTask};
use flowlord_messages::joins::{ReadJoins, ReadWaitingJoins, WaitingJoin};

use crate::tables::prelude::*;
use crate::tables::tasks::row::{ATTEMPT_COLUMNS, read_attempt};

/// How many attempts of a chain are read to see how a join stands.
const MAX_ATTEMPTS: usize = 1_000;

/// The key of a join's row.
#[derive(Debug, Clone, Copy)]
struct JoinId {
    phase: i64,
    over: i64,
    period: i64,
}

impl JoinId {
    fn values(self) -> [i64; 3] {
        [self.phase, self.over, self.period]
    }
}

/// What is there: slots, and the tasks that completed them.
type ArrivedSlots = Vec<(String, Uid)>;

fn read_arrived(connection: &Connection, join: JoinId) -> rusqlite::Result<ArrivedSlots> {
    let sql = "SELECT slot, uid FROM join_slot WHERE phase = ?1 AND over = ?2 AND period = ?3";
    connection.read_rows(sql, join.values(), |row| Ok((row.get(0)?, Uid(row.get(1)?))))
}

fn find_join(connection: &Connection, key: &JoinKey) -> rusqlite::Result<Option<JoinId>> {
    let phase = "SELECT id FROM phase WHERE workflow = ?1 AND task = ?2";
    let phase: Option<i64> = connection.find_value(phase, [&key.workflow, &key.task])?;
    Ok(phase.map(|phase| JoinId { phase, over: key.over.to_column(), period: key.period }))
}

impl WriteContext<'_> {
    /// Counts a complete task for a join that waits for it, and starts the join when it has all.
    pub(crate) fn count_arrival(&mut self, arrival: &JoinArrival, uid: Uid, now: DateTime<Utc>) -> CommandResult<()> {
        let join = self.join_id(&arrival.key)?;
        // Of what started only a range is left: a rerun of a task from then must not start it once more.
        if self.is_past(join)? {
            return Ok(());
        }
        let [phase, over, period] = join.values();
        self.run_sql(
            "INSERT INTO joins (phase, over, period, changed) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (phase, over, period) DO UPDATE SET changed = max(changed, ?4)",
            [phase, over, period, micros(now)],
        )?;
        for slot in &arrival.slots {
            self.run_sql(
                // A rerun takes the place of the task before it: the join gets what its worker left.
                "INSERT OR REPLACE INTO join_slot (phase, over, period, slot, uid) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![phase, over, period, slot, uid.0],
            )?;
        }
        if self.has_started(join)? && !arrival.again {
            return Ok(());
        }
        let arrived = read_arrived(self.connection, join)?;
        if arrival.count.is_complete(arrived.iter().map(|(slot, _)| slot.as_str())) {
            self.start_join(join, (&*arrival.count, &arrival.start), arrived, now)?;
        }
        Ok(())
    }

    /// Ends the waiting of a join that is late: it starts with what is there, or an alert says what is missing.
    pub(crate) fn end_late_join(&mut self, late: &LateJoin, now: DateTime<Utc>) -> CommandResult<()> {
        let join = self.join_id(&late.key)?;
        if self.has_started(join)? || self.is_past(join)? {
            return Ok(());
        }
        let arrived = read_arrived(self.connection, join)?;
        // A period that began before its schedules counted was nobody's.
        if arrived.is_empty() && !self.counted_since(late)? {
            return Ok(());
        }
        let progress = late.count.progress(arrived.iter().map(|(slot, _)| slot.as_str()));
        if progress.is_complete() || late.starts && !arrived.is_empty() {
            self.insert_period(join, now)?;
            return self.start_join(join, (&*late.count, &late.start), arrived, now);
        }
        let JoinKey { workflow, task, .. } = &late.key;
        let key = format!("join_by/{workflow}/{task}/{}/{}", join.over, join.period);
        let sql = "INSERT OR IGNORE INTO breach (key, at) VALUES (?1, ?2)";
        // Later checks may find it late, too: one alert is enough.
        if self.change_rows(sql, params![key, micros(now)])? > 0 {
            self.insert_alerts(&[late.alert(&progress, now)])?;
        }
        Ok(())
    }

    fn join_id(&mut self, key: &JoinKey) -> rusqlite::Result<JoinId> {
        let phase = self.phase_id(&key.workflow, &key.task)?;
        Ok(JoinId { phase, over: key.over.to_column(), period: key.period })
    }

    fn insert_period(&self, join: JoinId, now: DateTime<Utc>) -> rusqlite::Result<()> {
        let [phase, over, period] = join.values();
        let sql = "INSERT OR IGNORE INTO joins (phase, over, period, changed) VALUES (?1, ?2, ?3, ?4)";
        self.run_sql(sql, [phase, over, period, micros(now)])
    }

    fn has_started(&self, join: JoinId) -> rusqlite::Result<bool> {
        let sql = "SELECT 1 FROM joins WHERE phase = ?1 AND over = ?2 AND period = ?3 AND started IS NOT NULL";
        self.has_row(sql, join.values())
    }

    /// Whether it started, and retention took its row.
    fn is_past(&self, join: JoinId) -> rusqlite::Result<bool> {
        Ok(find_range(self.connection, join)?.is_some_and(|(_, last)| last >= join.period))
    }

    fn counted_since(&self, late: &LateJoin) -> rusqlite::Result<bool> {
        for (workflow, task) in &late.starters {
            let is_older = self.has_row(
                "SELECT 1 FROM cron JOIN phase ON phase.id = cron.phase
                 WHERE workflow = ?1 AND task = ?2 AND since <= ?3",
                params![workflow, task, micros(late.begins)],
            )?;
            if !is_older {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn start_join(
        &mut self,
        join: JoinId,
        (count, start): (&JoinCount, &JoinStart),
        arrived: ArrivedSlots,
        now: DateTime<Utc>,
    ) -> CommandResult<()> {
        let newest = arrived.iter().map(|(_, uid)| *uid).max();
        let joined = self.with_metas(start, arrived)?;
        let tasks = match count.start_tasks(start, joined) {
            Ok(tasks) => tasks,
            // It stays open: when the next one arrives, it is tried again.
            Err(problem) => return self.insert_alerts(&[not_created_alert(start, &problem, now)]),
        };
        let mut first = newest;
        for (nth, task) in tasks.iter().enumerate() {
            let (uid, _) = self.start_task(&self.below_newest(task, newest)?, now)?;
            if nth == 0 {
                first = Some(uid);
            }
        }
        let [phase, over, period] = join.values();
        self.run_sql(
            // It may start again: how it stands is read from its first start on.
            "UPDATE joins SET started = coalesce(started, ?4) WHERE phase = ?1 AND over = ?2 AND period = ?3",
            params![phase, over, period, first.map(|uid| uid.0)],
        )?;
        Ok(())
    }

    /// What a late join starts belongs to the chain of what arrived last.
    fn below_newest(&self, task: &NewTask, newest: Option<Uid>) -> rusqlite::Result<NewTask> {
        let parent = newest.filter(|_| task.parent.is_none());
        let chain: Option<String> = match parent {
            Some(uid) => self.find_value("SELECT chain FROM task WHERE uid = ?1", [uid.0])?,
            None => None,
        };
        Ok(match chain {
            Some(id) => NewTask { id, parent, ..task.clone() },
            None => task.clone(), // the history is shorter than the period
        })
    }

    /// What the workers of the tasks left, where it is asked for; of those that left the history nothing is known.
    fn with_metas(&self, start: &JoinStart, arrived: ArrivedSlots) -> rusqlite::Result<Vec<(String, String)>> {
        let needs_meta = start.needs_meta();
        let metas = arrived.into_iter().map(|(slot, uid)| {
            let meta = "SELECT meta FROM task WHERE uid = ?1";
            let meta = if needs_meta { self.find_value(meta, [uid.0])? } else { None };
            Ok((slot, meta.unwrap_or_default()))
        });
        metas.collect()
    }
}

fn not_created_alert(start: &JoinStart, problem: &str, now: DateTime<Utc>) -> NewAlert {
    let NewTask { topic, job, workflow, parent, id, .. } = start.base();
    let msg = format!("{topic} was not created: {problem}");
    NewAlert {
        uid: *parent,
        id: id.clone(),
        job: job.clone(),
        workflow: workflow.clone(),
        ..NewAlert::without_task(AlertKind::CreateFailed, topic, msg, now)
    }
}

/// The last range of past periods that begins at or before one.
fn find_range(connection: &Connection, join: JoinId) -> rusqlite::Result<Option<(i64, i64)>> {
    let sql = "SELECT first, last FROM join_past WHERE phase = ?1 AND over = ?2 AND first <= ?3
         ORDER BY first DESC LIMIT 1";
    connection.find_row(sql, join.values(), |row| row.try_into())
}

/// Removes joins of which nothing was heard since; those that started are remembered. Answers how many rows went: about as
/// many as the limit, where there are more.
pub(super) fn remove_joins(connection: &Connection, before: i64, limit: usize) -> rusqlite::Result<usize> {
    let old: Vec<(JoinId, bool)> = connection.read_rows(
        "SELECT phase, over, period, started IS NOT NULL FROM joins WHERE changed < ?1 ORDER BY changed LIMIT ?2",
        params![before, limit],
        |row| Ok((JoinId { phase: row.get(0)?, over: row.get(1)?, period: row.get(2)? }, row.get(3)?)),
    )?;
    let mut removed = 0;
    for (join, has_started) in &old {
        if removed >= limit {
            break;
        }
        if *has_started {
            remember_past(connection, *join)?;
        }
        for sql in [
            "DELETE FROM join_slot WHERE phase = ?1 AND over = ?2 AND period = ?3",
            "DELETE FROM joins WHERE phase = ?1 AND over = ?2 AND period = ?3",
        ] {
            removed += connection.change_rows(sql, join.values())?;
        }
    }
    Ok(removed)
}

/// Adds a period to the ranges, which grow together: years of daily joins are one row.
fn remember_past(connection: &Connection, join: JoinId) -> rusqlite::Result<()> {
    let JoinId { phase, over, period } = join;
    let next = "SELECT last FROM join_past WHERE phase = ?1 AND over = ?2 AND first = ?3";
    let next: Option<i64> = connection.find_value(next, [phase, over, period + 1])?;
    connection
        .run_sql("DELETE FROM join_past WHERE phase = ?1 AND over = ?2 AND first = ?3", [phase, over, period + 1])?;
    let before = find_range(connection, join)?.filter(|(_, last)| *last >= period - 1);
    let (first, last) = before.unwrap_or((period, period));
    connection.run_sql(
        "INSERT OR REPLACE INTO join_past (phase, over, first, last) VALUES (?1, ?2, ?3, ?4)",
        [phase, over, first, last.max(period).max(next.unwrap_or(period))],
    )
}

impl ReadQuery for ReadJoins {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        self.joins.iter().map(|key| read_standing(connection, key)).collect()
    }
}

fn read_standing(connection: &Connection, key: &JoinKey) -> rusqlite::Result<JoinStanding> {
    let Some(join) = find_join(connection, key)? else { return Ok(JoinStanding::default()) };
    let started = "SELECT started FROM joins WHERE phase = ?1 AND over = ?2 AND period = ?3 AND started IS NOT NULL";
    let started: Option<i64> = connection.find_value(started, join.values())?;
    let of_past = find_range(connection, join)?.is_some_and(|(_, last)| last >= join.period);
    let attempts: Vec<Attempt> = match started {
        Some(uid) => {
            let sql = concat!(
                ATTEMPT_COLUMNS!(),
                " WHERE chain = (SELECT chain FROM task WHERE uid = ?1) AND task.uid >= ?1 ORDER BY task.uid LIMIT ?2"
            );
            connection.read_rows(sql, params![uid, MAX_ATTEMPTS], read_attempt)?
        }
        None => Vec::new(),
    };
    let arrived = read_arrived(connection, join)?.into_iter().map(|(slot, _)| slot).collect();
    Ok(JoinStanding { arrived, has_started: started.is_some() || of_past, attempts })
}

impl ReadQuery for ReadWaitingJoins {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let waiting: Vec<(JoinId, String)> = connection.read_rows(
            "SELECT joins.phase, over, period, task FROM phase JOIN joins ON joins.phase = phase.id
             WHERE workflow = ?1 AND started IS NULL ORDER BY changed DESC, period DESC LIMIT ?2",
            params![self.workflow, self.limit],
            |row| Ok((JoinId { phase: row.get(0)?, over: row.get(1)?, period: row.get(2)? }, row.get(3)?)),
        )?;
        let joins = waiting.into_iter().map(|(join, task)| {
            let arrived = read_arrived(connection, join)?.into_iter().map(|(slot, _)| slot).collect();
            let over = BatchStep::from_column(join.over);
            let key = JoinKey { workflow: self.workflow.clone(), task, over, period: join.period };
            Ok(WaitingJoin { key, arrived })
        });
        joins.collect()
    }
}

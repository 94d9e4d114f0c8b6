//! What should be finished by now, what slots led to, and what was found overdue.

use flowlord_domain::Attempt;
use flowlord_domain::deadlines::PhasePause;
use flowlord_domain::workflow::TaskName;
use flowlord_messages::deadlines::{DeadlineInput, RaiseBreaches, ReadDeadlineInput, ReadSlotTasks, SlotTasks};
use flowlord_messages::schedule::SlotKey;

use crate::column::HELD;
use crate::tables::prelude::*;
use crate::tables::tasks::row::{ATTEMPT_COLUMNS, read_attempt};

const UNFINISHED_AT_ONCE: usize = 1_000;

/// A look that goes further back than this, in microseconds, finds them by their states: one day's tasks may be many
/// more than those that are unfinished.
const FAR_MICROS: i64 = 3_600_000_000;

/// How many pauses one look takes, those first that ended last.
const PAUSES_AT_ONCE: usize = 1_000;

/// How many tasks at work one look takes, those first that are so for longest.
const RUNNING_AT_ONCE: usize = 1_000;

/// How many tasks of a slot are looked at: of a larger batch the first ones.
const TASKS_OF_A_SLOT: usize = 1_000;

/// The tasks of a slot have ids that follow each other, but for those of others in between: within ten seconds.
const NEAR_MICROS: i64 = 10_000_000;

impl ReadQuery for ReadDeadlineInput {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<DeadlineInput> {
        let stored: Option<(i64, i64)> =
            connection.find_row("SELECT looked_until, unfinished_until FROM watch WHERE id = 1", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let (looked_until, after) = stored.unwrap_or_default();
        let before = micros(self.unfinished_before);
        let mut unfinished = read_unfinished(connection, after, before)?;
        // Where there are more, the next look goes on behind the last one.
        let last = unfinished.last().filter(|_| unfinished.len() == UNFINISHED_AT_ONCE);
        let until = last.map_or(before, |last| last.uid.0);
        let (kept, until) = read_released(connection, after, until)?;
        unfinished.extend(kept);
        let looked_until = (looked_until > 0).then(|| from_micros(looked_until));
        let running = match self.running_since {
            Some(since) => read_running(connection, since)?,
            None => Vec::new(),
        };
        let pauses = read_pauses(connection, micros(self.paused_after))?;
        Ok(DeadlineInput { looked_until, unfinished, unfinished_until: from_micros(until), running, pauses })
    }
}

/// Each task is looked at once, as it passes the age: a range of ids, whatever the history holds. What a pause keeps
/// doesn't age.
const UNFINISHED: &str = concat!(
    ATTEMPT_COLUMNS!(),
    " WHERE task.uid > ?1 AND task.uid <= ?2 AND state <> 3 AND NOT (state = 1 AND due = ?4)
     ORDER BY task.uid LIMIT ?3"
);

/// The same where the range is a large part of the history, as at the first look of all.
const UNFINISHED_BY_STATE: &str = concat!(
    ATTEMPT_COLUMNS!(),
    " WHERE task.uid IN (
         SELECT uid FROM task INDEXED BY task_ready WHERE state = 0 AND uid > ?1 AND uid <= ?2
         UNION ALL SELECT uid FROM task INDEXED BY task_delayed
             WHERE state = 1 AND due < ?4 AND uid > ?1 AND uid <= ?2
         UNION ALL SELECT uid FROM task INDEXED BY task_leased WHERE state = 2 AND uid > ?1 AND uid <= ?2
         ORDER BY 1 LIMIT ?3)
     ORDER BY task.uid"
);

fn read_unfinished(connection: &Connection, after: i64, until: i64) -> rusqlite::Result<Vec<Attempt>> {
    let sql = if until.saturating_sub(after) > FAR_MICROS { UNFINISHED_BY_STATE } else { UNFINISHED };
    connection.read_rows(sql, params![after, until, UNFINISHED_AT_ONCE, HELD], read_attempt)
}

/// Pauses that ended in a range of time, first those that ended first.
const ENDED_PAUSES: &str = "SELECT workflow, task, since, until FROM pause_ended
     WHERE until > ?1 AND until <= ?2 ORDER BY until LIMIT ?3";

/// What a pause kept and is unfinished; without those that were told, so that the next look finds the rest.
const KEPT_BY_PAUSE: &str = concat!(
    ATTEMPT_COLUMNS!(),
    " WHERE task.queue = (SELECT id FROM queue WHERE topic = ?1 AND job = ?2)
         AND task.uid >= ?4 AND task.uid < ?5 AND state <> 3 AND retry = 0
         AND task.workflow = (SELECT id FROM name WHERE text = ?3)
         AND NOT EXISTS (SELECT 1 FROM breach WHERE key = 'unfinished/' || printf('%014x', task.uid))
     ORDER BY task.uid LIMIT ?6"
);

/// What pauses kept that ended in a range of time is as old as their end. Answers how far this goes, too.
fn read_released(connection: &Connection, after: i64, until: i64) -> rusqlite::Result<(Vec<Attempt>, i64)> {
    let mut kept = Vec::new();
    let ended: Vec<PhasePause> =
        connection.read_rows(ENDED_PAUSES, params![after, until, PAUSES_AT_ONCE], read_pause)?;
    for PhasePause { workflow, task, since, until } in &ended {
        let (TaskName { topic, job }, end) = (TaskName::parse(task), until.map_or(0, micros));
        let left = UNFINISHED_AT_ONCE - kept.len();
        let values = params![topic, job, workflow, micros(*since), end, left];
        kept.extend(connection.read_rows(KEPT_BY_PAUSE, values, read_attempt)?);
        if kept.len() == UNFINISHED_AT_ONCE {
            // The same pause again next time: what was told of it by then is left out.
            return Ok((kept, end - 1));
        }
    }
    let last = ended.last().filter(|_| ended.len() == PAUSES_AT_ONCE);
    Ok((kept, last.and_then(|last| last.until).map_or(until, micros)))
}

/// Pauses that go on, and the last ones that ended after an instant.
const PAUSES: &str = "SELECT workflow, task, since, NULL FROM pause UNION ALL
     SELECT * FROM (SELECT workflow, task, since, until FROM pause_ended WHERE until > ?1
                    ORDER BY until DESC LIMIT ?2)";

fn read_pauses(connection: &Connection, after: i64) -> rusqlite::Result<Vec<PhasePause>> {
    connection.read_rows(PAUSES, params![after, PAUSES_AT_ONCE], read_pause)
}

fn read_pause(row: &Row<'_>) -> rusqlite::Result<PhasePause> {
    Ok(PhasePause { workflow: row.get(0)?, task: row.get(1)?, since: row.time(2)?, until: row.optional_time(3)? })
}

/// Of the tasks that workers have, which there are only so many of.
fn read_running(connection: &Connection, since: DateTime<Utc>) -> rusqlite::Result<Vec<Attempt>> {
    let sql = concat!(ATTEMPT_COLUMNS!(), " WHERE state = 2 AND started <= ?1 ORDER BY started LIMIT ?2");
    connection.read_rows(sql, params![micros(since), RUNNING_AT_ONCE], read_attempt)
}

impl ReadQuery for ReadSlotTasks {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        self.slots.iter().map(|(slot, cron)| read_slot_tasks(connection, slot, cron)).collect()
    }
}

fn read_slot_tasks(connection: &Connection, slot: &SlotKey, cron: &str) -> rusqlite::Result<SlotTasks> {
    let since: Option<i64> = connection.find_value(
        "SELECT since FROM cron JOIN phase ON phase.id = cron.phase
         WHERE workflow = ?1 AND task = ?2 AND text = ?3",
        params![slot.workflow, slot.task, cron],
    )?;
    let started: Option<(Option<i64>, usize)> = connection.find_row(
        "SELECT started, coalesce(tasks, 1) FROM slot JOIN phase ON phase.id = slot.phase
         WHERE workflow = ?1 AND task = ?2 AND at = ?3 AND (started IS NOT NULL OR skipped)",
        params![slot.workflow, slot.task, micros(slot.at)],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let chains = match started {
        Some((Some(started), tasks)) => read_chains(connection, &slot.task, (started, tasks))?,
        // Skipped on purpose: nothing of it can be late.
        Some((None, _)) => None,
        None => Some(Vec::new()),
    };
    Ok(SlotTasks { since: since.map(from_micros), chains })
}

/// The chains of the tasks that were stored together from one on; none where that one is gone.
fn read_chains(
    connection: &Connection,
    task: &str,
    (first, count): (i64, usize),
) -> rusqlite::Result<Option<Vec<Vec<Attempt>>>> {
    let (topic, job) = task.split_once(':').unwrap_or((task, ""));
    let roots: Vec<(i64, String)> = connection.read_rows(
        "SELECT uid, chain FROM task WHERE uid BETWEEN ?1 AND ?1 + ?5 AND retry = 0
             AND queue = (SELECT id FROM queue WHERE topic = ?2 AND job = ?3)
         ORDER BY uid LIMIT ?4",
        params![first, topic, job, count.min(TASKS_OF_A_SLOT), NEAR_MICROS],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    // Retention took it: what became of its chain isn't known, which is not the same as unfinished.
    if roots.first().is_none_or(|(uid, _)| *uid != first) {
        return Ok(None);
    }
    let of_chain = concat!(ATTEMPT_COLUMNS!(), " WHERE chain = ?1 ORDER BY task.uid");
    let chains = roots.iter().map(|(_, id)| connection.read_rows(of_chain, [id], read_attempt));
    chains.collect::<rusqlite::Result<_>>().map(Some)
}

impl WriteCommand for RaiseBreaches {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<()> {
        // After a clock was set back, looking goes on from there: what was found before is known by its key.
        context.run_sql(
            "INSERT OR REPLACE INTO watch (id, looked_until, unfinished_until) VALUES (1, ?1, ?2)",
            params![micros(self.looked_until), micros(self.unfinished_until)],
        )?;
        for breach in &self.breaches {
            // Its key was stored with the alert: the same breach, found again after a restart, raises none.
            let new = context.change_rows(
                "INSERT OR IGNORE INTO breach (key, at) VALUES (?1, ?2)",
                params![breach.key, micros(self.looked_until)],
            )?;
            if new > 0 {
                context.insert_alerts(breach.alert.as_slice())?;
            }
        }
        for late in &self.late_joins {
            context.end_late_join(late, self.looked_until)?;
        }
        Ok(())
    }
}

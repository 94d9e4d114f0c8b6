//! What scheduling, leasing and the library start from, and the slots that people look at.

use chrono::{DateTime, Utc};
use flowlord_messages::read::{
    LastSlot, LastSlots, NextExpiry, PausedPhase, ReadPaused, ReadSchedule, ReadWorkflow, ReadWorkflows,
    ScheduleInput,
};
use flowlord_messages::write::{CronKey, SlotKey, WorkflowRecord};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::column::{DELAYED, HELD, LEASED, micros, time};
use crate::reader::Query;

fn earliest(connection: &Connection, state: i64) -> rusqlite::Result<Option<DateTime<Utc>>> {
    // The states are written out: a partial index is used only where its condition is seen to hold.
    let sql = match state {
        DELAYED => "SELECT min(due) FROM task WHERE state = 1 AND due < ?1",
        _ => "SELECT min(due) FROM task WHERE state = 2 AND due < ?1",
    };
    connection.prepare_cached(sql)?.query_row([HELD], |row| Ok(row.get::<_, Option<i64>>(0)?.map(time)))
}

impl Query for NextExpiry {
    type Answer = Option<DateTime<Utc>>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        earliest(connection, LEASED)
    }
}

impl Query for ReadSchedule {
    type Answer = ScheduleInput;

    fn read(&self, connection: &Connection) -> rusqlite::Result<ScheduleInput> {
        let last_slots = connection
            .prepare_cached(
                "SELECT workflow, task, (SELECT max(at) FROM slot WHERE phase = phase.id) AS last FROM phase
                 WHERE last IS NOT NULL",
            )?
            .query_map([], |row| {
                Ok(SlotKey { workflow: row.get(0)?, task: row.get(1)?, at: time(row.get(2)?) })
            })?
            .collect::<rusqlite::Result<_>>()?;
        let crons = connection
            .prepare_cached(
                "SELECT workflow, task, text, since FROM cron JOIN phase ON phase.id = cron.phase",
            )?
            .query_map([], |row| {
                let key = CronKey { workflow: row.get(0)?, task: row.get(1)?, cron: row.get(2)? };
                Ok((key, time(row.get(3)?)))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let (next_due, paused) = (earliest(connection, DELAYED)?, ReadPaused.read(connection)?);
        Ok(ScheduleInput { last_slots, crons, next_due, paused })
    }
}

impl Query for ReadPaused {
    type Answer = Vec<PausedPhase>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        connection
            .prepare_cached("SELECT workflow, task, since FROM pause ORDER BY workflow, task")?
            .query_map([], |row| {
                Ok(PausedPhase { workflow: row.get(0)?, task: row.get(1)?, since: time(row.get(2)?) })
            })?
            .collect()
    }
}

impl Query for ReadWorkflows {
    type Answer = Vec<WorkflowRecord>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        connection
            .prepare_cached("SELECT path, hash, problem, content FROM workflow ORDER BY path")?
            .query_map([], workflow)?
            .collect()
    }
}

impl Query for ReadWorkflow {
    type Answer = Option<WorkflowRecord>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        connection
            .prepare_cached("SELECT path, hash, problem, content FROM workflow WHERE path = ?1")?
            .query_row([&self.path], workflow)
            .optional()
    }
}

fn workflow(row: &Row<'_>) -> rusqlite::Result<WorkflowRecord> {
    Ok(WorkflowRecord { path: row.get(0)?, hash: row.get(1)?, problem: row.get(2)?, content: row.get(3)? })
}

impl Query for LastSlots {
    type Answer = Vec<LastSlot>;

    /// From the end of each phase's slots, so that none costs more than the slots that it missed since it started.
    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        connection
            .prepare_cached(
                "SELECT workflow, task,
                     (SELECT at FROM slot WHERE phase = phase.id AND at >= ?1 AND at < ?2
                      ORDER BY at DESC LIMIT 1) AS last,
                     (SELECT at FROM slot WHERE phase = phase.id AND at >= ?1 AND at < ?2 AND started IS NOT NULL
                      ORDER BY at DESC LIMIT 1)
                 FROM phase WHERE last IS NOT NULL",
            )?
            .query_map(params![micros(self.from), micros(self.to)], |row| {
                Ok(LastSlot {
                    key: SlotKey { workflow: row.get(0)?, task: row.get(1)?, at: time(row.get(2)?) },
                    started: row.get::<_, Option<i64>>(3)?.map(time),
                })
            })?
            .collect()
    }
}

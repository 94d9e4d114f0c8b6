//! The workflow files as last seen.

use flowlord_messages::workflows::{ReadWorkflow, ReadWorkflows, SaveWorkflows, WorkflowRecord};

use crate::tables::prelude::*;

impl WriteCommand for SaveWorkflows {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<()> {
        for file in &self.changed {
            // The table has no row ids, so SQLite's hook doesn't report it.
            context.effects.changes.note_workflow(&file.path);
            context.run_sql(
                "INSERT INTO workflow (path, changed, hash, problem, content) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET changed = ?2, hash = ?3, problem = ?4, content = ?5",
                params![file.path, micros(self.now), file.hash, file.problem, file.content],
            )?;
        }
        for path in &self.removed {
            context.effects.changes.note_workflow(path);
            context.run_sql("DELETE FROM workflow WHERE path = ?1", [path])?;
        }
        context.insert_alerts(&self.alerts)
    }
}

impl ReadQuery for ReadWorkflows {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        connection.read_rows("SELECT path, hash, problem, content FROM workflow ORDER BY path", [], read_record)
    }
}

impl ReadQuery for ReadWorkflow {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        connection.find_row(
            "SELECT path, hash, problem, content FROM workflow WHERE path = ?1",
            [&self.path],
            read_record,
        )
    }
}

fn read_record(row: &Row<'_>) -> rusqlite::Result<WorkflowRecord> {
    Ok(WorkflowRecord { path: row.get(0)?, hash: row.get(1)?, problem: row.get(2)?, content: row.get(3)? })
}

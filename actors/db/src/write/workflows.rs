//! The workflow files as last seen.

use flowlord_messages::write::SaveWorkflows;
use rusqlite::params;

use crate::column::micros;
use crate::job::Command;
use crate::store::{Store, Trouble};

impl Command for SaveWorkflows {
    type Answer = ();

    fn apply(&mut self, store: &mut Store<'_>) -> Result<(), Trouble> {
        for file in &self.changed {
            store.followers.changes.workflow(&file.path);
            store
                .connection
                .prepare_cached(
                    "INSERT INTO workflow (path, changed, hash, problem, content) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT DO UPDATE SET changed = ?2, hash = ?3, problem = ?4, content = ?5",
                )?
                .execute(params![file.path, micros(self.now), file.hash, file.problem, file.content])?;
        }
        for path in &self.removed {
            store.followers.changes.workflow(path);
            store.connection.prepare_cached("DELETE FROM workflow WHERE path = ?1")?.execute([path])?;
        }
        store.insert_alerts(&self.alerts)
    }
}

//! What changed since the web asked last. SQLite itself tells which rows: no command can forget to.

use std::sync::{Arc, MutexGuard};

use flowlord_domain::Uid;
use flowlord_kernel::Locked;
use flowlord_messages::events::DatabaseChanges;
use rusqlite::Connection;
use rusqlite::hooks::Action;

/// Notes every row that is written. What is rolled back stays noted: a reader then finds nothing new.
#[derive(Debug, Clone, Default)]
pub(crate) struct ChangeRecorder(Arc<Locked<DatabaseChanges>>);

impl ChangeRecorder {
    pub(crate) fn watch_rows(&self, connection: &Connection) {
        let recorder = self.clone();
        let hooked = connection.update_hook(Some(move |action, _: &str, table: &str, row| {
            if action != Action::SQLITE_DELETE {
                note_row(&mut recorder.lock_changes(), table, row, action == Action::SQLITE_INSERT);
            }
        }));
        if let Err(err) = hooked {
            log::error!("event=changes_not_heard error={err:?}");
        }
    }

    pub(crate) fn lock_changes(&self) -> MutexGuard<'_, DatabaseChanges> {
        self.0.lock()
    }
}

/// SQLite doesn't tell of tables without row ids: their commands say what they change.
fn note_row(changes: &mut DatabaseChanges, table: &str, row: i64, is_new: bool) {
    match table {
        "task" => changes.note_task(Uid(row)),
        "alert" if is_new => changes.note_alert(row),
        // Told, or kept from being told.
        "alert" | "silence" => changes.incidents = true,
        "backload" => changes.note_backload(row),
        "file_event" => changes.note_file(row),
        _ => {}
    }
}

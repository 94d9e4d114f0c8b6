//! Changes that people made.

use flowlord_messages::audit::RecordChange;
use rusqlite::params;

use crate::column::micros;
use crate::job::Command;
use crate::store::{Store, Trouble};

impl Command for RecordChange {
    type Answer = ();

    fn apply(&mut self, store: &mut Store<'_>) -> Result<(), Trouble> {
        let change = &self.change;
        store
            .connection
            .prepare_cached(
                "INSERT INTO change (at, who, source, action, what, detail, status)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                micros(change.at),
                change.who,
                change.from,
                change.action.as_str(),
                change.what,
                change.detail,
                change.status
            ])?;
        Ok(())
    }
}

//! What is overdue is told once.

use flowlord_messages::watch::RaiseBreaches;
use rusqlite::params;

use crate::column::micros;
use crate::job::Command;
use crate::store::{Store, Trouble};

impl Command for RaiseBreaches {
    type Answer = ();

    /// After a clock was set back, looking goes on from there: what was found before is known by its key.
    fn apply(&mut self, store: &mut Store<'_>) -> Result<(), Trouble> {
        store
            .connection
            .prepare_cached(
                "INSERT OR REPLACE INTO watch (id, looked_until, unfinished_until) VALUES (1, ?1, ?2)",
            )?
            .execute(params![micros(self.looked_until), micros(self.unfinished_until)])?;
        for breach in &self.breaches {
            let new = store
                .connection
                .prepare_cached("INSERT OR IGNORE INTO breach (key, at) VALUES (?1, ?2)")?
                .execute(params![breach.key, micros(self.looked_until)])?;
            if new > 0 {
                store.insert_alerts(breach.alert.as_slice())?;
            }
        }
        Ok(())
    }
}

//! What was learned from complete tasks: the last values of each key, which outlive their tasks.

use flowlord_domain::expect::{Figure, LearnedKey, LearnedValue, LearnedValues, MAX_LEARNED};
use flowlord_messages::learned::ReadLearned;

use crate::tables::prelude::*;

impl ReadQuery for ReadLearned {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<LearnedValues> {
        self.keys.iter().map(|key| Ok((key.clone(), read_values(connection, key)?))).collect()
    }
}

fn read_values(connection: &Connection, key: &LearnedKey) -> rusqlite::Result<Vec<Figure>> {
    let LearnedKey { workflow, task, key, hour } = key;
    let values: Vec<f64> = connection.read_rows(
        "SELECT value FROM learned_value WHERE phase = (SELECT id FROM phase WHERE workflow = ?1 AND task = ?2)
             AND key = ?3 AND hour = ?4 ORDER BY uid DESC LIMIT ?5",
        params![workflow, task, key, hour, MAX_LEARNED],
        |row| row.get(0),
    )?;
    Ok(values.into_iter().filter_map(Figure::new).collect())
}

impl WriteContext<'_> {
    /// Keeps what a task taught, and of each key no more than the last values.
    pub(crate) fn learn_values(&mut self, uid: Uid, learned: &[LearnedValue]) -> rusqlite::Result<()> {
        for LearnedValue { of: LearnedKey { workflow, task, key, hour }, value } in learned {
            let phase = self.phase_id(workflow, task)?;
            self.run_sql(
                "INSERT OR REPLACE INTO learned_value (phase, key, hour, uid, value) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![phase, key, hour, uid.0, value.to_f64()],
            )?;
            self.run_sql(
                "DELETE FROM learned_value WHERE phase = ?1 AND key = ?2 AND hour = ?3 AND uid <=
                     (SELECT uid FROM learned_value WHERE phase = ?1 AND key = ?2 AND hour = ?3
                      ORDER BY uid DESC LIMIT 1 OFFSET ?4)",
                params![phase, key, hour, MAX_LEARNED],
            )?;
        }
        Ok(())
    }
}

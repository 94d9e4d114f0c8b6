//! Silences: which alerts are stored without being told.

use flowlord_domain::NewAlert;
use flowlord_domain::alert::Matcher;
use flowlord_kernel::{Code, Error};
use flowlord_messages::alerts::{AddSilence, MAX_SILENCES, RemoveSilence, Silence};
use rusqlite::{OptionalExtension as _, params};

use crate::column::micros;
use crate::job::Command;
use crate::row::{matcher, silence};
use crate::store::{Store, Trouble};

impl Command for AddSilence {
    type Answer = Silence;

    fn apply(&mut self, store: &mut Store<'_>) -> Result<Silence, Trouble> {
        let holding: i64 = store
            .connection
            .prepare_cached("SELECT count(*) FROM silence WHERE until > ?1")?
            .query_row([micros(self.now)], |row| row.get(0))?;
        if usize::try_from(holding).is_ok_and(|holding| holding >= MAX_SILENCES) {
            let detail =
                format!("{holding} silences hold, and more can't: end some, or make one that matches more");
            return Err(Error::new(Code::TooManySilences, detail).into());
        }
        let Matcher { topic, job, workflow } = &self.matcher;
        let id = store
            .connection
            .prepare_cached(
                "INSERT INTO silence (since, until, topic, job, workflow, by, reason)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .insert(params![
                micros(self.now),
                micros(self.until),
                topic,
                job,
                workflow,
                self.by,
                self.reason
            ])?;
        store.silence_untold(id, &self.matcher)?;
        Ok(Silence {
            id,
            from: self.now,
            until: self.until,
            matcher: self.matcher.clone(),
            by: self.by.clone(),
            reason: self.reason.clone(),
        })
    }
}

impl Command for RemoveSilence {
    type Answer = Silence;

    fn apply(&mut self, store: &mut Store<'_>) -> Result<Silence, Trouble> {
        let ended = store
            .connection
            .prepare_cached(
                "UPDATE silence SET until = ?2 WHERE id = ?1 AND until > ?2
                 RETURNING id, since, until, topic, job, workflow, by, reason",
            )?
            .query_row(params![self.id, micros(self.now)], silence)
            .optional()?;
        ended.ok_or_else(|| {
            let detail = format!("no silence {} holds: it is over, or never was", self.id);
            Error::new(Code::SilenceUnknown, detail).into()
        })
    }
}

impl Store<'_> {
    /// The silence that holds for an alert.
    pub(super) fn silence_for(&self, alert: &NewAlert) -> rusqlite::Result<Option<i64>> {
        let mut read = self.connection.prepare_cached(
            "SELECT topic, job, workflow, id FROM silence INDEXED BY silence_until
                 WHERE until > ?1 ORDER BY id",
        )?;
        let mut rows = read.query([micros(alert.at)])?;
        while let Some(row) = rows.next()? {
            if matcher(row, 0)?.matches(&alert.topic, &alert.job, &alert.workflow) {
                return row.get(3).map(Some);
            }
        }
        Ok(None)
    }

    /// What was raised and isn't told yet is silenced, too: whoever makes a silence knows of it.
    fn silence_untold(&self, id: i64, matcher: &Matcher) -> rusqlite::Result<()> {
        let mut mark =
            self.connection.prepare_cached("UPDATE alert SET told = 1, silence = ?2 WHERE id = ?1")?;
        for (alert, topic, job, workflow) in self.untold()? {
            if matcher.matches(&topic, &job, &workflow) {
                mark.execute([alert, id])?;
            }
        }
        Ok(())
    }

    /// All alerts that are still to be told: id, topic, job, workflow file.
    pub(super) fn untold(&self) -> rusqlite::Result<Vec<(i64, String, String, String)>> {
        self.connection
            .prepare_cached(
                "SELECT alert.id, topic, job, coalesce(name.text, '') FROM alert INDEXED BY alert_untold
                 JOIN queue ON queue.id = alert.queue LEFT JOIN name ON name.id = alert.workflow
                 WHERE told = 0",
            )?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .collect()
    }
}

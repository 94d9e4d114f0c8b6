//! Silences: which alerts are stored without a notification.

use flowlord_domain::NewAlert;
use flowlord_domain::alert::AlertMatcher;
use flowlord_messages::silences::{AddSilence, ListSilences, MAX_SILENCES, RemoveSilence, Silence};

use crate::tables::alerts::routes::{find_match, read_matcher};
use crate::tables::prelude::*;

impl WriteCommand for AddSilence {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<Silence> {
        let holding: i64 = context.read_value("SELECT count(*) FROM silence WHERE until > ?1", [micros(self.now)])?;
        if usize::try_from(holding).is_ok_and(|holding| holding >= MAX_SILENCES) {
            let detail = format!(
                "{holding} silences are active, and more are not allowed: end some, or create one that matches more"
            );
            return Err(CommandError::refused(Code::TooManySilences, detail));
        }
        let AlertMatcher { topic, job, workflow, owner } = &self.matcher;
        let id = context.insert_row(
            "INSERT INTO silence (since, until, topic, job, workflow, by, reason, owner)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![micros(self.now), micros(self.until), topic, job, workflow, self.by, self.reason, owner],
        )?;
        context.silence_untold(id, &self.matcher)?;
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

impl WriteCommand for RemoveSilence {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<Silence> {
        let ended = context.find_row(
            "UPDATE silence SET until = ?2 WHERE id = ?1 AND until > ?2
             RETURNING id, since, until, topic, job, workflow, owner, by, reason",
            params![self.id, micros(self.now)],
            read_silence,
        )?;
        ended.ok_or_else(|| {
            let detail = format!("there is no active silence {}: it has ended, or never existed", self.id);
            CommandError::refused(Code::SilenceUnknown, detail)
        })
    }
}

impl WriteContext<'_> {
    pub(super) fn find_silence(&self, alert: &NewAlert) -> rusqlite::Result<Option<i64>> {
        let holding = "SELECT topic, job, workflow, owner, id FROM silence INDEXED BY silence_until
             WHERE until > ?1 ORDER BY id";
        find_match(self.connection, holding, [micros(alert.at)], alert)
    }

    fn silence_untold(&self, id: i64, matcher: &AlertMatcher) -> rusqlite::Result<()> {
        // Those without a notification so far, too: who makes a silence knows of them.
        for (alert, texts) in self.untold_alerts()? {
            if matcher.matches(texts.each_ref().map(String::as_str)) {
                self.run_sql("UPDATE alert SET told = 1, silence = ?2 WHERE id = ?1", [alert, id])?;
            }
        }
        Ok(())
    }

    /// All alerts that are still to be told: id; topic, job, workflow file, owner.
    pub(super) fn untold_alerts(&self) -> rusqlite::Result<Vec<(i64, [String; 4])>> {
        self.read_rows(
            "SELECT alert.id, topic, job, coalesce(name.text, ''), coalesce(owner.text, '') FROM alert INDEXED BY alert_untold
             JOIN queue ON queue.id = alert.queue LEFT JOIN name ON name.id = alert.workflow
             LEFT JOIN name AS owner ON owner.id = alert.owner
             WHERE told = 0",
            [],
            |row| Ok((row.get(0)?, [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?])),
        )
    }
}

impl ReadQuery for ListSilences {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let after = self.after.unwrap_or(i64::MAX);
        match self.at {
            // There are only so many that hold.
            Some(at) => connection.read_rows(
                "SELECT id, since, until, topic, job, workflow, owner, by, reason
                 FROM silence INDEXED BY silence_until
                 WHERE until > ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3",
                params![micros(at), after, self.limit],
                read_silence,
            ),
            None => connection.read_rows(
                "SELECT id, since, until, topic, job, workflow, owner, by, reason FROM silence
                 WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
                params![after, self.limit],
                read_silence,
            ),
        }
    }
}

fn read_silence(row: &Row<'_>) -> rusqlite::Result<Silence> {
    Ok(Silence {
        id: row.get(0)?,
        from: row.time(1)?,
        until: row.time(2)?,
        matcher: read_matcher(row, 3)?,
        by: row.get(7)?,
        reason: row.get(8)?,
    })
}

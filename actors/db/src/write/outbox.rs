//! What Slack is to be told, and what became of it.

use chrono::{DateTime, Utc};
use flowlord_messages::outbox::{Delivery, MarkNotified, RouteWay, SlackThread};
use flowlord_messages::write::{EnqueueMessage, NewMessage};
use rusqlite::params;

use crate::column::micros;
use crate::job::Command;
use crate::store::{Store, Trouble};

impl Command for EnqueueMessage {
    type Answer = i64;

    fn apply(&mut self, store: &mut Store<'_>) -> Result<i64, Trouble> {
        store.enqueue(&self.message, self.now)?;
        let id = store
            .connection
            .prepare_cached("SELECT id FROM outbox WHERE key = ?1")?
            .query_row([&self.message.key], |row| row.get(0))?;
        Ok(id)
    }
}

impl Command for MarkNotified {
    type Answer = ();

    fn apply(&mut self, store: &mut Store<'_>) -> Result<(), Trouble> {
        let (sent, uncertain, error, retry_at) = match &self.delivery {
            Delivery::Sent | Delivery::Skipped => (Some(micros(self.now)), false, None, None),
            Delivery::Refused { error, retry_at } => (None, false, Some(error), Some(micros(*retry_at))),
            Delivery::Unknown { error, retry_at } => (None, true, Some(error), Some(micros(*retry_at))),
        };
        store
            .connection
            .prepare_cached(
                "UPDATE outbox SET attempts = attempts + 1, sent = ?2, uncertain = max(uncertain, ?3),
                     error = ?4, retry_at = ?5, skipped = ?6 WHERE id = ?1 AND sent IS NULL",
            )?
            .execute(params![
                self.id,
                sent,
                uncertain,
                error,
                retry_at,
                self.delivery == Delivery::Skipped
            ])?;
        if let Some(way) = &self.way {
            store.mark_way(way)?;
        }
        if let Some(thread) = &self.thread {
            store.mark_thread(thread)?;
        }
        Ok(())
    }
}

impl Store<'_> {
    /// Puts a message into the outbox, unless one with its key is or was there.
    pub(crate) fn enqueue(&mut self, message: &NewMessage, now: DateTime<Utc>) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT OR IGNORE INTO outbox (at, route, kind, key, payload) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![micros(now), message.route, message.kind, message.key, message.payload])?;
        self.followers.messages = true;
        Ok(())
    }

    fn mark_way(&self, way: &RouteWay) -> rusqlite::Result<()> {
        match &way.outage {
            Some(outage) => self
                .connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO slack_outage (route, since, failures, retry_at)
                     VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![
                    way.route,
                    micros(outage.since),
                    outage.failures,
                    micros(outage.retry_at)
                ])?,
            None => self
                .connection
                .prepare_cached("DELETE FROM slack_outage WHERE route = ?1")?
                .execute([&way.route])?,
        };
        Ok(())
    }

    fn mark_thread(&self, thread: &SlackThread) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO slack_thread (route, opened, via, channel, ts, payload)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                thread.route,
                micros(thread.opened),
                thread.via,
                thread.channel,
                thread.ts,
                thread.payload
            ])?;
        Ok(())
    }
}

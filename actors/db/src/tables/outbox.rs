//! The outbox: messages for Slack, and what became of them.

use flowlord_messages::outbox::{
    DeliveryOutcome, DeliveryRecord, EnqueueMessage, NewMessage, OutboxRow, ReadMessage, ReadOutages,
    ReadPendingMessages, ReadThreads, RecordDelivery, RouteTransport, SlackThread, TransportOutage,
};

use crate::tables::prelude::*;

impl WriteCommand for EnqueueMessage {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<i64> {
        context.enqueue_message(&self.message, self.now)?;
        // By its key: it may have been there before, and keeps its number.
        Ok(context.read_value("SELECT id FROM outbox WHERE key = ?1", [&self.message.key])?)
    }
}

impl WriteCommand for RecordDelivery {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<()> {
        let (sent, uncertain, error, retry_at) = match &self.delivery {
            DeliveryOutcome::Sent | DeliveryOutcome::Skipped => (Some(micros(self.now)), false, None, None),
            DeliveryOutcome::Refused { error, retry_at } => (None, false, Some(error), Some(micros(*retry_at))),
            DeliveryOutcome::Unknown { error, retry_at } => (None, true, Some(error), Some(micros(*retry_at))),
        };
        context.run_sql(
            // What may have arrived once stays uncertain, whatever later tries come to.
            "UPDATE outbox SET attempts = attempts + 1, sent = ?2, uncertain = max(uncertain, ?3),
                 error = ?4, retry_at = ?5, skipped = ?6 WHERE id = ?1 AND sent IS NULL",
            params![self.id, sent, uncertain, error, retry_at, self.delivery == DeliveryOutcome::Skipped],
        )?;
        if let Some(way) = &self.way {
            context.store_outage(way)?;
        }
        if let Some(thread) = &self.thread {
            context.store_thread(thread)?;
        }
        Ok(())
    }
}

impl WriteContext<'_> {
    /// Puts a message into the outbox, unless one with its key is or was there.
    pub(crate) fn enqueue_message(&mut self, message: &NewMessage, now: DateTime<Utc>) -> rusqlite::Result<()> {
        self.run_sql(
            "INSERT OR IGNORE INTO outbox (at, route, kind, key, payload) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![micros(now), message.route, message.kind, message.key, message.payload],
        )?;
        self.effects.has_messages = true;
        Ok(())
    }

    fn store_outage(&self, way: &RouteTransport) -> rusqlite::Result<()> {
        match &way.outage {
            Some(outage) => self.run_sql(
                "INSERT OR REPLACE INTO slack_outage (route, since, failures, retry_at)
                 VALUES (?1, ?2, ?3, ?4)",
                params![way.route, micros(outage.since), outage.failures, micros(outage.retry_at)],
            ),
            None => self.run_sql("DELETE FROM slack_outage WHERE route = ?1", [&way.route]),
        }
    }

    fn store_thread(&self, thread: &SlackThread) -> rusqlite::Result<()> {
        self.run_sql(
            "INSERT OR REPLACE INTO slack_thread (route, opened, via, channel, ts, payload)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![thread.route, micros(thread.opened), thread.via, thread.channel, thread.ts, thread.payload],
        )
    }
}

impl ReadQuery for ReadPendingMessages {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        // Steps from route to route along the index, however many messages wait behind the first.
        connection.read_rows(
            "WITH RECURSIVE waiting (name) AS (
                 SELECT min(route) FROM outbox WHERE sent IS NULL
                 UNION ALL
                 SELECT (SELECT min(route) FROM outbox WHERE sent IS NULL AND route > name)
                 FROM waiting WHERE name IS NOT NULL
             )
             SELECT id, at, route, kind, payload, attempts, retry_at, uncertain FROM waiting
             JOIN outbox ON id IN (SELECT id FROM outbox WHERE sent IS NULL AND route = name
                                   ORDER BY id LIMIT ?1)
             ORDER BY id",
            [self.limit],
            |row| {
                Ok(OutboxRow {
                    id: row.get(0)?,
                    at: row.time(1)?,
                    route: row.get(2)?,
                    kind: row.get(3)?,
                    payload: row.get(4)?,
                    attempts: row.get(5)?,
                    retry_at: row.optional_time(6)?,
                    uncertain: row.get(7)?,
                })
            },
        )
    }
}

impl ReadQuery for ReadOutages {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        connection.read_rows("SELECT route, since, failures, retry_at FROM slack_outage ORDER BY route", [], |row| {
            let outage = TransportOutage { since: row.time(1)?, failures: row.get(2)?, retry_at: row.time(3)? };
            Ok(RouteTransport { route: row.get(0)?, outage: Some(outage) })
        })
    }
}

impl ReadQuery for ReadThreads {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        connection.read_rows(
            // The route's own transport first.
            "SELECT route, opened, via, channel, ts, payload FROM slack_thread
             WHERE route = ?1 AND opened = ?2 ORDER BY via <> route, via",
            params![self.route, micros(self.opened)],
            |row| {
                Ok(SlackThread {
                    route: row.get(0)?,
                    opened: row.time(1)?,
                    via: row.get(2)?,
                    channel: row.get(3)?,
                    ts: row.get(4)?,
                    payload: row.get(5)?,
                })
            },
        )
    }
}

impl ReadQuery for ReadMessage {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        connection.find_row(
            "SELECT sent, attempts, error, retry_at, uncertain,
                 (SELECT count(*) FROM outbox AS first
                  WHERE first.sent IS NULL AND first.route = outbox.route AND first.id < outbox.id),
                 (SELECT first.error FROM outbox AS first
                  WHERE first.sent IS NULL AND first.route = outbox.route AND first.id < outbox.id
                  ORDER BY first.id LIMIT 1)
             FROM outbox WHERE id = ?1",
            [self.id],
            |row| {
                Ok(DeliveryRecord {
                    sent: row.optional_time(0)?,
                    attempts: row.get(1)?,
                    error: row.get(2)?,
                    retry_at: row.optional_time(3)?,
                    uncertain: row.get(4)?,
                    ahead: row.get(5)?,
                    first_error: row.get(6)?,
                })
            },
        )
    }
}

//! What only a start does: what was restored is told, the first token is made.

use flowlord_db::{Database, HandledDamage};
use flowlord_domain::{AlertKind, NewAlert, Role};
use flowlord_kernel::Code;
use flowlord_messages::alerts::RaiseAlerts;
use flowlord_messages::cluster::Takeover;
use flowlord_messages::tokens::{AddToken, ReadTokens};
use flowlord_replica::Lead;

use crate::config::Secret;
use crate::recovery;

use super::cluster::{LeaderStart, NodeStart, takeover_text};
use super::wiring::AppWiring;

impl AppWiring<'_> {
    pub(super) async fn tell_recovery(&self, database: &Database, handled: HandledDamage) -> anyhow::Result<()> {
        let HandledDamage { is_restored, text, .. } = &handled;
        let (kind, topic, event) = match is_restored {
            true => (AlertKind::Snapshot, "restore", "restored"),
            false => (AlertKind::Storage, "storage", "database_checked"),
        };
        log::warn!("event={event} detail={text:?}");
        let alert = NewAlert::without_task(kind, topic, text.clone(), self.environment.clock.now());
        // Stored before it is noted as told: a crash in between tells it twice, not never.
        self.writer(database).call(RaiseAlerts { alerts: vec![alert] }).await?;
        recovery::note_told(&self.config.data, handled)?;
        Ok(())
    }

    /// A handover is no reason to wake anybody.
    pub(super) async fn tell_takeover(&self, database: &Database, node: &NodeStart) -> anyhow::Result<()> {
        let NodeStart::Leader(LeaderStart { lead: Lead { takeover: Some(takeover), .. }, .. }) = node else {
            return Ok(());
        };
        let Takeover { from, to, .. } = takeover;
        log::warn!("event=took_over from={from:?} to={to:?} is_handover={}", takeover.is_handover);
        if takeover.is_handover {
            return Ok(());
        }
        let now = self.environment.clock.now();
        let alert = NewAlert::without_task(AlertKind::Takeover, "cluster", takeover_text(takeover), now);
        match self.writer(database).call(RaiseAlerts { alerts: vec![alert.clone()] }).await {
            // A log that fails with the former leader: this one goes on. Where nobody knows, it is told twice, not never.
            Err(err) if err.code == Code::Storage => self.alert_sender(database).raise(alert),
            stored => stored?,
        }
        Ok(())
    }

    /// Where a token is needed and there is none, the first start makes one.
    pub(super) async fn first_token(&self, database: &Database) -> anyhow::Result<Option<Secret>> {
        if self.config.is_open() || !self.reader(&database.readers).call(ReadTokens).await?.is_empty() {
            return Ok(None);
        }
        let (token, hash) = flowlord_web_core::auth::new_token(&mut self.environment.ids.clone());
        let (now, name) = (self.environment.clock.now(), "admin".to_owned());
        self.writer(database).call(AddToken { now, name, role: Role::Admin, hash }).await?;
        log::info!("event=token_added name=admin role=admin reason=\"first start\"");
        Ok(Some(Secret::new(token)))
    }
}

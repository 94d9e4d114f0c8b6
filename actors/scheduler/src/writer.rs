//! How a slot is stored: with the tasks that it starts, or as missed.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use flowlord_domain::schedule::{RowSource, slot_tasks_with};
use flowlord_domain::template::MetaRow;
use flowlord_kernel::{Code, IdGenerator, Result};
use flowlord_messages::clients::{DatabaseWriter, LibraryClient};
use flowlord_messages::schedule::RecordMissed;
use flowlord_messages::tasks::CreateTasks;
use flowlord_messages::workflows::ReadMetaRows;

use crate::alert::create_failed_alert;
use crate::gap::SlotWrite;
use crate::slot::DueSlot;

/// The rows of each meta file of a slot, or what is wrong with it.
struct SlotRows(HashMap<String, std::result::Result<Arc<Vec<MetaRow>>, String>>);

impl RowSource for SlotRows {
    fn rows(&self, path: &str) -> std::result::Result<Vec<MetaRow>, String> {
        match self.0.get(path) {
            Some(rows) => rows.clone().map(|rows| rows.to_vec()),
            None => Err("it wasn't read".to_owned()),
        }
    }
}

pub(crate) struct SlotWriter {
    pub(crate) host: String,
    pub(crate) ids: IdGenerator,
    pub(crate) library: LibraryClient,
    pub(crate) writer: DatabaseWriter,
}

impl SlotWriter {
    /// Stores what is to be stored of a slot, and returns how many tasks started.
    pub(crate) async fn store_write(self, write: &SlotWrite, now: DateTime<Utc>) -> Result<usize> {
        match write {
            SlotWrite::Start(slot) => self.start_slot(slot, now).await,
            SlotWrite::Missed(missed) => {
                let alerts = missed.alert.as_deref().cloned().into_iter().collect();
                let record = RecordMissed { slots: missed.slots.clone(), alerts, now };
                self.writer.call(record).await.map(|()| 0)
            }
        }
    }

    async fn start_slot(mut self, slot: &DueSlot, now: DateTime<Utc>) -> Result<usize> {
        // A slot whose rows can't be had at the moment isn't stored: it comes again.
        let rows = self.read_rows(slot).await?;
        let (mut tasks, mut alerts) = (Vec::new(), Vec::new());
        for phase in &slot.phases {
            match slot_tasks_with(phase, slot.at, &self.host, &mut self.ids, now, &rows) {
                Ok(more) => tasks.extend(more),
                // The slot is stored, too: made again it would fail again.
                Err(err) => alerts.push(create_failed_alert(phase, slot.at, &err, now)),
            }
        }
        let key = slot.name.slot_key(slot.at);
        // All phases of a name share its slots: the first one says what becomes of them.
        let overlap = slot.phases.first().map(|phase| phase.rule.limits.overlap).unwrap_or_default();
        let create = CreateTasks { now, tasks, slot: Some(key), overlap, idempotency: None, alerts };
        self.writer.call(create).await.map(|created| created.uids.len())
    }

    async fn read_rows(&self, slot: &DueSlot) -> Result<SlotRows> {
        let mut read = HashMap::new();
        for path in slot.phases.iter().filter_map(|phase| phase.rule.meta_file.as_ref()) {
            if read.contains_key(path) {
                continue;
            }
            let rows = match self.library.call(ReadMetaRows { path: path.clone() }).await {
                Ok(rows) => Ok(rows),
                Err(err) if err.code == Code::InvalidRequest => Err(err.detail),
                Err(err) => return Err(err),
            };
            read.insert(path.clone(), rows);
        }
        Ok(SlotRows(read))
    }
}

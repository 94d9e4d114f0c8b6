//! A slot that starts: its tasks are made and stored.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use flowlord_domain::schedule::slot_tasks_with;
use flowlord_domain::template::Row;
use flowlord_kernel::{Code, IdGenerator, Port, Result};
use flowlord_messages::library::MetaRows;
use flowlord_messages::write::CreateTasks;

use crate::alert;
use crate::plan::Slot;

/// The rows of a meta file, or what is wrong with it.
type Rows = std::result::Result<Arc<Vec<Row>>, String>;

/// What starting a slot needs.
pub(crate) struct Starter {
    pub(crate) host: String,
    pub(crate) mint: IdGenerator,
    pub(crate) rows: Port<MetaRows>,
    pub(crate) create: Port<CreateTasks>,
}

impl Starter {
    /// Stores a slot with its tasks, and answers how many. One whose tasks can't be made is stored, too, with an
    /// alert; one whose rows can't be had at the moment isn't: it comes again.
    pub(crate) async fn start(mut self, slot: &Slot, now: DateTime<Utc>) -> Result<usize> {
        let read = self.read(slot).await?;
        let rows = |path: &str| {
            let rows = read.get(path).cloned().unwrap_or_else(|| Err("it wasn't read".to_owned()));
            rows.map(|rows| rows.to_vec())
        };
        let (mut tasks, mut alerts) = (Vec::new(), Vec::new());
        for phase in &slot.phases {
            match slot_tasks_with(phase, slot.at, &self.host, &mut self.mint, now, &rows) {
                Ok(more) => tasks.extend(more),
                Err(err) => alerts.push(alert::create_failed(phase, slot.at, &err, now)),
            }
        }
        let key = slot.name.slot(slot.at);
        let create = CreateTasks { now, tasks, slot: Some(key), idempotency: None, alerts };
        self.create.call(create).await.map(|created| created.uids.len())
    }

    /// The meta files of its phases.
    async fn read(&self, slot: &Slot) -> Result<HashMap<String, Rows>> {
        let mut read = HashMap::new();
        for path in slot.phases.iter().filter_map(|phase| phase.rule.meta_file.as_ref()) {
            if read.contains_key(path) {
                continue;
            }
            let rows = match self.rows.call(MetaRows { path: path.clone() }).await {
                Ok(rows) => Ok(rows),
                Err(err) if err.code == Code::InvalidRequest => Err(err.detail),
                Err(err) => return Err(err),
            };
            read.insert(path.clone(), rows);
        }
        Ok(read)
    }
}

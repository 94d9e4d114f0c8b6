//! Joins that are late.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::join::{JoinKey, LateJoin, late_join, meta_file_of, passed_joins};
use flowlord_domain::schedule::RowSource;
use flowlord_domain::template::MetaRow;
use flowlord_domain::workflow::Workflows;
use flowlord_kernel::{Code, Result};
use flowlord_messages::deps::WorkflowDeps;
use flowlord_messages::workflows::ReadMetaRows;

/// A join is started also after a long downtime.
const LOOK_BACK: TimeDelta = TimeDelta::days(31);

/// The joins whose `join_by` passed since the last check: the database knows which of them still wait.
pub(crate) async fn end_waiting_joins(
    deps: &WorkflowDeps,
    workflows: &Workflows,
    host: &str,
    (looked_until, now): (Option<DateTime<Utc>>, DateTime<Utc>),
) -> Result<Vec<LateJoin>> {
    let after = looked_until.unwrap_or(now).clamp(now - LOOK_BACK, now);
    let keys = passed_joins(workflows, after, now);
    let rows = JoinRows::read_all(deps, workflows, &keys).await?;
    let mut ids = deps.kit.ids();
    Ok(keys.iter().filter_map(|key| late_join(workflows, key, (now, host), &mut ids, &rows)).collect())
}

/// The rows of the joins' meta files, or what is wrong with them.
struct JoinRows(HashMap<String, std::result::Result<Arc<Vec<MetaRow>>, String>>);

impl JoinRows {
    async fn read_all(deps: &WorkflowDeps, workflows: &Workflows, keys: &[JoinKey]) -> Result<Self> {
        let paths: BTreeSet<String> = keys.iter().filter_map(|key| meta_file_of(workflows, key)).collect();
        let mut rows = HashMap::new();
        for path in paths {
            let read = match deps.library.call(ReadMetaRows { path: path.clone() }).await {
                Ok(rows) => Ok(rows),
                Err(err) if err.code == Code::InvalidRequest => Err(err.detail),
                // It can't be had at the moment: the next check tries again.
                Err(err) => return Err(err),
            };
            rows.insert(path, read);
        }
        Ok(Self(rows))
    }
}

impl RowSource for JoinRows {
    fn rows(&self, path: &str) -> std::result::Result<Vec<MetaRow>, String> {
        match self.0.get(path) {
            Some(rows) => rows.clone().map(|rows| rows.to_vec()),
            None => Err("it wasn't read".to_owned()),
        }
    }
}

//! A finished task, once more.

use chrono::{DateTime, Utc};

use crate::ids::IdSource;
use crate::query::Query;
use crate::task::{Attempt, NewTask};

/// What the retries of the first time left in the meta.
const OF_RETRIES: [&str; 3] = ["retry", "retried", "delayed"];

/// The key of the meta that says why a task runs again, and which children start then.
pub(crate) const RERUN_KEY: &str = "rerun";

/// Which children start when a task that runs again completes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Downstream {
    /// All, again.
    #[default]
    All,
    /// None.
    None,
    /// Those that failed, and those that never started; the same of their own children.
    Failed,
}

impl Downstream {
    /// As people and programs write it: `true`, `false` or `failed`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "true" => Some(Self::All),
            "false" => Some(Self::None),
            "failed" => Some(Self::Failed),
            _ => None,
        }
    }

    /// What the meta says of it: so it survives restarts, and goes on to retries.
    pub(crate) fn meta_value(self) -> &'static str {
        match self {
            Self::All => "manual",
            Self::None => "alone",
            Self::Failed => "failed",
        }
    }

    /// What the meta of an attempt says.
    pub(crate) fn of_meta(meta: &str) -> Self {
        // Most metas don't have it.
        if !meta.contains(RERUN_KEY) {
            return Self::All;
        }
        let meta = Query::parse_lenient(meta);
        let said = meta.first_value(RERUN_KEY);
        [Self::None, Self::Failed].into_iter().find(|this| said == Some(this.meta_value())).unwrap_or_default()
    }
}

/// The same task of the same chain, with all its retries before it; `rerun` in its meta says why it is there.
pub fn rerun_task(task: &Attempt, downstream: Downstream, ids: &mut dyn IdSource, now: DateTime<Utc>) -> NewTask {
    let mut meta = Query::parse_lenient(&task.meta);
    // It begins anew, with all its retries before it.
    for key in OF_RETRIES {
        meta.remove_key(key);
    }
    meta.set_value(RERUN_KEY, downstream.meta_value());
    NewTask { meta: meta.sorted().to_text(), ..NewTask::following(task, now, ids) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::fixed::FixedIds;
    use crate::task::{TaskLane, Uid};

    #[test]
    fn a_rerun_keeps_its_chain_and_forgets_its_retries() {
        let now = DateTime::from_timestamp(1_600_000_000, 0).unwrap();
        let failed = NewTask {
            uid: Uid(7),
            topic: "load".to_owned(),
            job: "hourly".to_owned(),
            id: "chain".to_owned(),
            info: "?d=1".to_owned(),
            meta: "workflow=w.toml&retry=failed&retried=2&delayed=3s&cron=2024-01-14T05".to_owned(),
            workflow: "w.toml".to_owned(),
            parent: None,
            retry: 2,
            not_before: Some(now),
            lane: TaskLane::Backload,
        };
        let expected = NewTask {
            uid: Uid(now.timestamp_micros() + 1),
            meta: "cron=2024-01-14T05&rerun=manual&workflow=w.toml".to_owned(),
            parent: Some(Uid(7)),
            retry: 0,
            not_before: None,
            ..failed.clone()
        };
        let failed = failed.into_attempt();
        assert_eq!(rerun_task(&failed, Downstream::All, &mut FixedIds::default(), now), expected);
        for downstream in [Downstream::All, Downstream::None, Downstream::Failed] {
            let new = rerun_task(&failed, downstream, &mut FixedIds::default(), now);
            assert_eq!(Downstream::of_meta(&new.meta), downstream, "{}", new.meta);
        }
        assert_eq!(Downstream::of_meta("rerun=by ann&x=failed"), Downstream::All);
    }
}

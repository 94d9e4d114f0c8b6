//! A finished task, once more.

use chrono::{DateTime, Utc};

use crate::ids::IdSource;
use crate::query::Query;
use crate::task::{Attempt, NewTask};

/// What the retries of the first time left in the meta.
const OF_RETRIES: [&str; 3] = ["retry", "retried", "delayed"];

/// The same task of the same chain, with all its retries before it; `rerun=manual` in its meta says why it is there.
pub fn rerun_task(task: &Attempt, ids: &mut dyn IdSource, now: DateTime<Utc>) -> NewTask {
    let mut meta = Query::parse_lenient(&task.meta);
    // It begins anew, with all its retries before it.
    for key in OF_RETRIES {
        meta.remove_key(key);
    }
    meta.set_value("rerun", "manual");
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
        assert_eq!(rerun_task(&failed.into_attempt(), &mut FixedIds::default(), now), expected);
    }
}

//! What was acknowledged, and what of it is missing or there twice.

use std::collections::{HashMap, HashSet};

use crate::crash::ListedTask;
use chrono::{DateTime, Utc};

#[derive(Debug, Clone, PartialEq, Eq)]
enum WorkKind {
    Task {
        info: String,
    },
    /// Complete, with this message.
    Result {
        msg: String,
    },
}

/// Something that a client was answered for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AcknowledgedWork {
    /// When the answer was heard.
    pub(super) at: DateTime<Utc>,
    uid: String,
    kind: WorkKind,
}

impl AcknowledgedWork {
    pub(super) fn task(uid: String, info: String, at: DateTime<Utc>) -> Self {
        Self { at, uid, kind: WorkKind::Task { info } }
    }

    pub(super) fn result(uid: String, msg: String, at: DateTime<Utc>) -> Self {
        Self { at, uid, kind: WorkKind::Result { msg } }
    }

    fn is_in(&self, tasks: &HashMap<&str, &ListedTask>) -> bool {
        tasks.get(self.uid.as_str()).is_some_and(|task| match &self.kind {
            WorkKind::Task { info } => task.info == *info,
            // Each message is sent once, so that it tells by whom the task was completed.
            WorkKind::Result { msg } => task.msg == *msg,
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct AcknowledgedLog {
    all: Vec<AcknowledgedWork>,
    count: usize,
}

impl AcknowledgedLog {
    pub(super) fn add(&mut self, acknowledged: AcknowledgedWork) {
        self.count += 1;
        self.all.push(acknowledged);
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Takes out what isn't there: it can't come back, and is judged once.
    pub(super) fn take_missing(&mut self, tasks: &[ListedTask]) -> Vec<AcknowledgedWork> {
        let tasks: HashMap<_, _> = tasks.iter().map(|task| (task.uid.as_str(), task)).collect();
        self.all.extract_if(.., |acknowledged| !acknowledged.is_in(&tasks)).collect()
    }
}

pub(super) fn count_slots(tasks: &[ListedTask]) -> usize {
    tasks.iter().filter(|task| task.topic == "tick").count()
}

/// Slots that started twice, and results that started a child twice.
pub(super) fn find_doubled(tasks: &[ListedTask]) -> Vec<String> {
    // Clients and slots number what they create, and a chain has one child: each of these keys may be there once.
    let mut seen = HashSet::new();
    let key = |task: &ListedTask| match task.topic.as_str() {
        "tick" => Some(format!("slot {}", task.info)),
        "second" => Some(format!("child of {}", task.id)),
        _ => None,
    };
    tasks
        .iter()
        .filter_map(key)
        .filter(|key| !seen.insert(key.clone()))
        .map(|key| format!("{key} is there twice"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(uid: &str, topic: &str, info: &str, msg: &str) -> ListedTask {
        let task = serde_json::json!({
            "uid": uid, "type": topic, "id": format!("chain {}", uid.len()), "info": info, "attempt": 1, "state": "done",
            "msg": msg,
        });
        serde_json::from_value(task).unwrap()
    }

    #[test]
    fn what_is_missing_changed_or_doubled_is_found() {
        let at: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
        let mut log = AcknowledgedLog::default();
        log.add(AcknowledgedWork::task("1".into(), "a".into(), at));
        log.add(AcknowledgedWork::result("1".into(), "said".into(), at));
        log.add(AcknowledgedWork::task("2".into(), "b".into(), at));
        let tasks =
            [found("1", "first", "a", "said by another"), found("22", "second", "", ""), found("33", "second", "", "")];
        let missing = log.take_missing(&tasks);
        assert_eq!(missing.len(), 2, "{missing:?}");
        assert!(log.take_missing(&tasks).is_empty() && log.count() == 3, "each is judged once");
        assert_eq!(find_doubled(&tasks), ["child of chain 2 is there twice"]);
        let slots = [found("1", "tick", "12:00", ""), found("2", "tick", "12:00", ""), found("3", "tick", "12:01", "")];
        assert_eq!(find_doubled(&slots), ["slot 12:00 is there twice"]);
        assert_eq!(count_slots(&slots), 3);
    }
}

//! Tasks that were created elsewhere: by hand, by a program that filled a message bus, by another orchestrator.

use chrono::{DateTime, Utc};

use crate::query::Query;
use crate::task::{Attempt, NewTask, TaskLane, TaskState, Uid};

/// A task that nobody created here, as its maker wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignTask {
    /// The topic; `type` on the wire.
    pub topic: String,
    /// The job within the topic; empty for none.
    pub job: String,
    /// The chain's id as its maker wrote it; empty where there is none.
    pub id: String,
    /// The chain's id: its maker's, or one that was made for it.
    pub chain: String,
    /// What the worker had to do.
    pub info: String,
    /// A URL query, as its maker wrote it.
    pub meta: String,
    /// When its maker created it; often in whole seconds.
    pub created: DateTime<Utc>,
}

impl ForeignTask {
    /// The instant of its creation as an id; others may have that already.
    pub fn first_uid(&self) -> Uid {
        Uid::at(self.created)
    }

    /// How often it was tried before, as its meta says.
    pub fn retries_before(&self) -> u32 {
        retries_in_meta(&Query::parse_lenient(&self.meta))
    }

    /// What tells it from every other task: type, job, id and created. Programs that write whole seconds may create
    /// several tasks of one chain and job in one second, so there the info and the number of the retry count, too.
    pub fn identity_parts(&self) -> [String; 6] {
        let micros = self.created.timestamp_micros();
        let is_whole = micros % 1_000_000 == 0; // finer times tell tasks apart by themselves
        let (info, retry) =
            if is_whole { (self.info.clone(), self.retries_before().to_string()) } else { Default::default() };
        [self.topic.clone(), self.job.clone(), self.id.clone(), micros.to_string(), info, retry]
    }

    /// The attempt that it becomes, before it has its result.
    #[must_use]
    pub fn to_attempt(&self) -> Attempt {
        let meta = Query::parse_lenient(&self.meta);
        let task = NewTask {
            uid: self.first_uid(),
            topic: self.topic.clone(),
            job: self.job.clone(),
            id: self.chain.clone(),
            info: self.info.clone(),
            meta: self.meta.clone(),
            workflow: meta.first_value("workflow").unwrap_or_default().to_owned(),
            parent: None,
            retry: retries_in_meta(&meta),
            not_before: None,
            lane: TaskLane::Live,
        };
        // Its result comes with it: it was at work elsewhere.
        Attempt { state: TaskState::Leased, ..task.into_attempt() }
    }
}

/// How often a task was tried before, as the reference system writes it into the meta.
pub fn retries_in_meta(meta: &Query) -> u32 {
    // One given up has `retry=failed`, and its number in the other.
    ["retry", "retried"].iter().find_map(|key| meta.first_value(key)?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(created: &str) -> ForeignTask {
        ForeignTask {
            topic: "load".to_owned(),
            job: "daily".to_owned(),
            id: "chain".to_owned(),
            chain: "chain".to_owned(),
            info: "?i=1".to_owned(),
            meta: "workflow=w.toml&retry=2".to_owned(),
            created: created.parse().unwrap(),
        }
    }

    #[test]
    fn each_part_of_its_name_tells_it_apart() {
        let one = task("2026-03-02T12:00:00.5Z");
        for other in [
            ForeignTask { topic: "other".to_owned(), ..one.clone() },
            ForeignTask { job: String::new(), ..one.clone() },
            ForeignTask { id: "other".to_owned(), ..one.clone() },
            ForeignTask { created: "2026-03-02T12:00:00.500001Z".parse().unwrap(), ..one.clone() },
        ] {
            assert_ne!(one.identity_parts(), other.identity_parts(), "{other:?}");
        }
        let told_otherwise = ForeignTask { info: "?i=2".to_owned(), meta: "retry=3".to_owned(), ..one.clone() };
        assert_eq!(one.identity_parts(), told_otherwise.identity_parts());
    }

    #[test]
    fn tasks_of_one_whole_second_are_told_apart_by_info_and_retry() {
        let one = task("2026-03-02T12:00:00Z");
        assert_ne!(one.identity_parts(), ForeignTask { info: "?i=2".to_owned(), ..one.clone() }.identity_parts());
        assert_ne!(one.identity_parts(), ForeignTask { meta: "retry=3".to_owned(), ..one.clone() }.identity_parts());
        let more_meta = ForeignTask { meta: "retry=2&rows=5".to_owned(), ..one.clone() };
        assert_eq!(one.identity_parts(), more_meta.identity_parts());
    }

    #[test]
    fn it_becomes_an_attempt_of_its_workflow_and_chain() {
        let one = task("2026-03-02T12:00:00Z");
        let attempt = one.to_attempt();
        assert_eq!(
            (attempt.workflow.as_str(), attempt.id.as_str(), attempt.retry, attempt.uid),
            ("w.toml", "chain", 2, Uid::at(one.created))
        );
        let failed = ForeignTask { id: String::new(), meta: "retry=failed&retried=4".to_owned(), ..one };
        assert_eq!((failed.to_attempt().retry, failed.to_attempt().id.as_str()), (4, "chain"));
    }

    #[test]
    fn retries_are_those_that_can_be_read_and_a_workflow_is_what_the_meta_says() {
        for (meta, retries, workflow) in [
            ("", 0, ""),
            ("retry=3&retried=7", 3, ""),
            ("retry=failed", 0, ""),
            ("retry=-1&retried=x", 0, ""),
            ("retried=2&workflow=a/b.toml&workflow=c.toml", 2, "a/b.toml"),
        ] {
            let foreign = ForeignTask { meta: meta.to_owned(), ..task("2026-03-02T12:00:00Z") };
            let attempt = foreign.to_attempt();
            assert_eq!((foreign.retries_before(), attempt.retry), (retries, retries), "{meta}");
            assert_eq!((attempt.workflow.as_str(), attempt.meta.as_str()), (workflow, meta));
            assert_eq!((attempt.state, attempt.lane, attempt.not_before), (TaskState::Leased, TaskLane::Live, None));
        }
    }
}

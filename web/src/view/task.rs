//! Tasks as JSON, written from what is stored without a copy.

use chrono::{DateTime, Utc};
use flowlord_domain::{Attempt, NewTask, TaskResult, TaskState, Uid};
use flowlord_messages::write::Granted;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::time::{Created, Stamp};

/// Task JSON, as workers get it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TaskJson<'a>(pub(crate) &'a Attempt);

/// A task in a list or on its own: Task JSON, and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct TaskView<'a> {
    doc: Fields<'a>,
    state: TaskState,
    attempt: u32,
    delivery: u32,
    not_before: Option<DateTime<Utc>>,
    worker: &'a str,
    lease_expires: Option<DateTime<Utc>>,
    progress: Option<f64>,
    parent: Option<Uid>,
}

/// A task handed out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GrantedView<'a>(pub(crate) &'a Granted);

/// The fields of Task JSON, in their order.
#[derive(Debug, Clone, Copy)]
struct Fields<'a> {
    topic: &'a str,
    job: &'a str,
    info: &'a str,
    uid: Uid,
    id: &'a str,
    meta: &'a str,
    result: Option<TaskResult>,
    msg: &'a str,
    started: Option<DateTime<Utc>>,
    ended: Option<DateTime<Utc>>,
}

impl<'a> Fields<'a> {
    fn of(task: &'a Attempt) -> Self {
        Self {
            topic: &task.topic,
            job: &task.job,
            info: &task.info,
            uid: task.uid,
            id: &task.id,
            meta: &task.meta,
            result: task.result,
            msg: &task.msg,
            started: task.started,
            ended: task.ended,
        }
    }

    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("type", self.topic)?;
        text(map, "job", self.job)?;
        map.serialize_entry("info", self.info)?;
        map.serialize_entry("created", &Created(self.uid.created()))?;
        text(map, "id", self.id)?;
        map.serialize_entry("uid", &self.uid)?;
        text(map, "meta", self.meta)?;
        text(map, "result", self.result.map_or("", TaskResult::as_str))?;
        text(map, "msg", self.msg)?;
        some(map, "started", self.started.map(Stamp).as_ref())?;
        some(map, "ended", self.ended.map(Stamp).as_ref())
    }
}

impl<'a> TaskView<'a> {
    /// Of a stored attempt.
    pub(crate) fn of(task: &'a Attempt) -> Self {
        Self {
            doc: Fields::of(task),
            state: task.state,
            attempt: task.retry.saturating_add(1),
            delivery: task.delivery,
            not_before: task.not_before,
            worker: &task.worker,
            lease_expires: task.lease_expires,
            progress: task.progress,
            parent: task.parent,
        }
    }

    /// Of one that is about to be stored.
    pub(crate) fn of_new(task: &'a NewTask) -> Self {
        Self {
            doc: Fields {
                topic: &task.topic,
                job: &task.job,
                info: &task.info,
                uid: task.uid,
                id: &task.id,
                meta: &task.meta,
                result: None,
                msg: "",
                started: None,
                ended: None,
            },
            state: if task.not_before.is_some() { TaskState::Delayed } else { TaskState::Ready },
            attempt: task.retry.saturating_add(1),
            delivery: 0,
            not_before: task.not_before,
            worker: "",
            lease_expires: None,
            progress: None,
            parent: task.parent,
        }
    }
}

impl Serialize for TaskJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        Fields::of(self.0).write(&mut map)?;
        map.end()
    }
}

impl Serialize for TaskView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.doc.write(&mut map)?;
        map.serialize_entry("state", self.state.as_str())?;
        map.serialize_entry("attempt", &self.attempt)?;
        map.serialize_entry("delivery", &self.delivery)?;
        some(&mut map, "not_before", self.not_before.map(Stamp).as_ref())?;
        text(&mut map, "worker", self.worker)?;
        some(&mut map, "lease_expires", self.lease_expires.map(Stamp).as_ref())?;
        some(&mut map, "progress", self.progress.as_ref())?;
        some(&mut map, "parent", self.parent.as_ref())?;
        map.end()
    }
}

impl Serialize for GrantedView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(Granted { lease, expires, task }) = self;
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("lease", &format_args!("{lease}"))?;
        map.serialize_entry("expires", &Stamp(*expires))?;
        map.serialize_entry("attempt", &task.retry.saturating_add(1))?;
        map.serialize_entry("task", &TaskJson(task))?;
        map.end()
    }
}

fn text<M: SerializeMap>(map: &mut M, name: &'static str, value: &str) -> Result<(), M::Error> {
    if value.is_empty() { Ok(()) } else { map.serialize_entry(name, value) }
}

fn some<M: SerializeMap, T: Serialize>(
    map: &mut M,
    name: &'static str,
    value: Option<&T>,
) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(name, value))
}

#[cfg(test)]
mod tests {
    use flowlord_domain::task_doc::TaskDoc;

    use super::*;
    use crate::tests::stub::{attempt, finished};

    #[test]
    fn task_json_is_what_the_domain_says_it_is() {
        for task in [attempt(1), finished(2)] {
            let json = serde_json::to_string(&TaskJson(&task)).unwrap();
            assert_eq!(TaskDoc::parse(&json).unwrap(), TaskDoc::from_attempt(&task));
            assert_eq!(json, TaskDoc::from_attempt(&task).to_json());
        }
    }
}

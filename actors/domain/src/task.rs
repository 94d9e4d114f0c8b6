//! A task and its attempts. One row of history is one attempt; retries and children keep the chain's `id`.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeZone, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::IdSource;

/// The id of one attempt: its creation instant in microseconds since 1970, moved on by one while taken.
///
/// So `created` of two attempts always differs, a day is a range of ids, and no second index is needed.
/// Written as 14 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub i64);

impl Uid {
    /// The first id of the instant `at`.
    pub fn at(at: DateTime<Utc>) -> Self {
        Self(at.timestamp_micros())
    }

    /// Whether it has the 14 digits of an id: those of 1970 to 4253.
    pub fn is_writable(self) -> bool {
        (0..1 << 56).contains(&self.0)
    }

    /// When the attempt was created.
    pub fn created_at(self) -> DateTime<Utc> {
        // Beyond the years that there are 1970 says as much.
        Utc.timestamp_micros(self.0).single().unwrap_or_default()
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:014x}", self.0)
    }
}

/// A text that is no attempt id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a uid is 14 hexadecimal digits")]
pub struct InvalidUid;

impl FromStr for Uid {
    type Err = InvalidUid;

    fn from_str(text: &str) -> Result<Self, InvalidUid> {
        // Also a sign, which `from_str_radix` would take.
        if text.len() != 14 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(InvalidUid);
        }
        i64::from_str_radix(text, 16).map(Self).map_err(|_| InvalidUid)
    }
}

impl Serialize for Uid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Uid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

named_enum! {
    /// How an attempt ended, in the order in which people read it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum TaskResult {
        /// Done; children start.
        Complete = "complete",
        /// Failed; retried while retries are left, then an alert.
        Error = "error",
        /// Failed for good: an alert is sent at once.
        Alert = "alert",
        /// Failed for good as its worker expected: neither retry nor alert.
        Warn = "warn",
    }
}

impl fmt::Display for TaskResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("result is one of complete, error, warn, alert")]
pub struct InvalidResult;

impl FromStr for TaskResult {
    type Err = InvalidResult;

    fn from_str(text: &str) -> Result<Self, InvalidResult> {
        Self::from_name(text).ok_or(InvalidResult)
    }
}

named_enum! {
    /// Where an attempt stands.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum TaskState {
        // A row has the place of one in here: new ones go to the end.
        /// May be handed out now.
        Ready = "ready",
        /// May be handed out at its `not_before`.
        Delayed = "delayed",
        /// With a worker until its lease expires.
        Leased = "leased",
        /// Has a result, and changes no more.
        Done = "done",
    }
}

/// Which tasks go first within a topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskLane {
    /// Work of the day.
    #[default]
    Live,
    /// History being filled: waits while live work is ready.
    Backload,
}

/// An attempt to be stored, complete: the DB owner adds nothing but a free `uid` when this one is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// The proposed id: the next free one counts.
    pub uid: Uid,
    /// The topic; `type` on the wire.
    pub topic: String,
    /// The job within the topic; empty for none.
    pub job: String,
    /// The chain's id, the same for retries and children.
    pub id: String,
    /// What the worker is to do: the rendered template.
    pub info: String,
    /// A URL query: where it comes from, and what its phase passes on.
    pub meta: String,
    /// The workflow file whose phase made it, relative to the workflow root; empty for none.
    pub workflow: String,
    /// The attempt that led to this one.
    pub parent: Option<Uid>,
    /// Retries before this attempt.
    pub retry: u32,
    /// When it may be handed out first; none means now.
    pub not_before: Option<DateTime<Utc>>,
    /// Live or backload.
    pub lane: TaskLane,
}

impl NewTask {
    /// The first task of a chain, ready now; what its worker is to do is left open.
    pub(crate) fn of_new_chain(
        (topic, job): (&str, &str),
        workflow: &str,
        now: DateTime<Utc>,
        ids: &mut dyn IdSource,
    ) -> Self {
        Self {
            uid: ids.next_uid(now),
            topic: topic.to_owned(),
            job: job.to_owned(),
            id: ids.next_chain_id(now),
            info: String::new(),
            meta: String::new(),
            workflow: workflow.to_owned(),
            parent: None,
            retry: 0,
            not_before: None,
            lane: TaskLane::Live,
        }
    }

    /// A task of the same chain that an attempt leads to, with the same info; its meta is left open.
    pub(crate) fn following(task: &Attempt, now: DateTime<Utc>, ids: &mut dyn IdSource) -> Self {
        Self {
            uid: ids.next_uid(now),
            topic: task.topic.clone(),
            job: task.job.clone(),
            id: task.id.clone(),
            info: task.info.clone(),
            meta: String::new(),
            workflow: task.workflow.clone(),
            parent: Some(task.uid),
            retry: 0,
            not_before: None,
            lane: task.lane,
        }
    }

    /// The attempt that it is once it is stored: not handed out yet, without a result.
    #[must_use]
    pub fn into_attempt(self) -> Attempt {
        Attempt {
            uid: self.uid,
            topic: self.topic,
            job: self.job,
            id: self.id,
            info: self.info,
            meta: self.meta,
            workflow: self.workflow,
            parent: self.parent,
            retry: self.retry,
            lane: self.lane,
            // Also when that time is over: the scheduler makes it ready.
            state: if self.not_before.is_some() { TaskState::Delayed } else { TaskState::Ready },
            delivery: 0,
            not_before: self.not_before,
            worker: String::new(),
            cancelled: false,
            lease_expires: None,
            times_out: None,
            waits_for_slot: false,
            progress: None,
            result: None,
            msg: String::new(),
            started: None,
            ended: None,
            cut: CutTexts::default(),
        }
    }
}

/// An attempt as the database has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Its id, which is also its creation instant.
    pub uid: Uid,
    /// The topic; `type` on the wire.
    pub topic: String,
    /// The job within the topic; empty for none.
    pub job: String,
    /// The chain's id, the same for retries and children.
    pub id: String,
    /// What the worker is to do.
    pub info: String,
    /// A URL query: the task's own, and after a result the worker's merged over it.
    pub meta: String,
    /// The workflow file whose phase made it; empty for none.
    pub workflow: String,
    /// The attempt that led to this one.
    pub parent: Option<Uid>,
    /// Retries before this attempt.
    pub retry: u32,
    /// Live or backload.
    pub lane: TaskLane,
    /// Where it stands.
    pub state: TaskState,
    /// How often it was handed out.
    pub delivery: u32,
    /// When it may be handed out, while delayed.
    pub not_before: Option<DateTime<Utc>>,
    /// Whether it waits until the slots before its own ended, while delayed.
    pub waits_for_slot: bool,
    /// Who holds or held it.
    pub worker: String,
    /// Whether somebody cancelled it: nothing follows from it.
    pub cancelled: bool,
    /// When its lease ends, while leased.
    pub lease_expires: Option<DateTime<Utc>>,
    /// When its worker has had it for too long, while leased: the `timeout` of its phase.
    pub times_out: Option<DateTime<Utc>>,
    /// What the last heartbeat said, 0 to 1.
    pub progress: Option<f64>,
    /// How it ended; none until it is done.
    pub result: Option<TaskResult>,
    /// What the worker said.
    pub msg: String,
    /// When it was handed out, or as the worker reported.
    pub started: Option<DateTime<Utc>>,
    /// When it ended; none until it is done.
    pub ended: Option<DateTime<Utc>>,
    /// Which of its texts are here only in part.
    pub cut: CutTexts,
}

/// The most bytes of a text that a list carries; one task on its own has all of it.
pub const LISTED_BYTES: usize = 2_048;

/// Which texts of an attempt are only their beginnings: nothing may be read out of those.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CutTexts {
    /// Only the beginning of the info is here.
    pub info: bool,
    /// Only the beginning of the meta is here.
    pub meta: bool,
    /// Only the beginning of the message is here.
    pub msg: bool,
}

impl Attempt {
    /// The same as a list carries it: of long texts the beginning.
    #[must_use]
    pub fn cut_for_list(mut self) -> Self {
        self.cut.info |= cut_to_listed(&mut self.info);
        self.cut.meta |= cut_to_listed(&mut self.meta);
        self.cut.msg |= cut_to_listed(&mut self.msg);
        self
    }
}

/// Leaves what a list carries of a text; answers whether that is less.
fn cut_to_listed(text: &mut String) -> bool {
    if text.len() <= LISTED_BYTES {
        return false;
    }
    text.truncate(text.floor_char_boundary(LISTED_BYTES)); // half a character would be no text
    text.shrink_to_fit(); // a list has thousands of these, and the rest may be megabytes
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_task(not_before: Option<DateTime<Utc>>) -> NewTask {
        NewTask {
            uid: Uid(7),
            topic: "load".to_owned(),
            job: "hourly".to_owned(),
            id: "chain".to_owned(),
            info: "?d=1".to_owned(),
            meta: "a=1".to_owned(),
            workflow: "w.toml".to_owned(),
            parent: Some(Uid(6)),
            retry: 2,
            not_before,
            lane: TaskLane::Backload,
        }
    }

    #[test]
    fn a_uid_is_an_instant_in_fourteen_digits() {
        let at: DateTime<Utc> = "2026-03-01T12:00:00.000123Z".parse().unwrap();
        let uid = Uid::at(at);
        assert_eq!((uid.to_string().as_str(), uid.created_at()), ("064bf535af107b", at));
        assert_eq!("064BF535af107b".parse(), Ok(uid));
        assert_eq!(serde_json::to_string(&uid).unwrap(), "\"064bf535af107b\"");
        assert_eq!(serde_json::from_str::<Uid>("\"064bf535af107b\"").unwrap(), uid);
        for text in ["", "64bf54ab3807b", "0064bf535af107b", "064bf54ab3807g", "+64bf54ab3807b"] {
            assert_eq!(text.parse::<Uid>(), Err(InvalidUid), "{text}");
        }
        for (micros, is_writable) in [(-1, false), (0, true), ((1 << 56) - 1, true), (1 << 56, false)] {
            assert_eq!(Uid(micros).is_writable(), is_writable, "{micros}");
            assert_eq!(Uid(micros).to_string().parse() == Ok(Uid(micros)), is_writable, "{micros}");
        }
    }

    #[test]
    fn results_and_states_have_the_names_of_the_wire() {
        for (result, name) in TaskResult::ALL.into_iter().zip(["complete", "error", "alert", "warn"]) {
            assert_eq!((result.as_str(), result.to_string().as_str()), (name, name));
            assert_eq!(name.parse(), Ok(result));
            assert_eq!(serde_json::to_string(&result).unwrap(), format!("\"{name}\""));
        }
        assert_eq!("Complete".parse::<TaskResult>(), Err(InvalidResult));
        use TaskState::{Delayed, Done, Leased, Ready};
        for (state, name) in [(Ready, "ready"), (Delayed, "delayed"), (Leased, "leased"), (Done, "done")] {
            assert_eq!(state.as_str(), name);
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{name}\""));
        }
    }

    #[test]
    fn a_new_task_is_ready_unless_it_waits_for_a_time() {
        let ready = new_task(None).into_attempt();
        assert_eq!((ready.state, ready.delivery, ready.result), (TaskState::Ready, 0, None));
        let names = [&ready.topic, &ready.job, &ready.id, &ready.info, &ready.meta, &ready.workflow];
        assert_eq!(names, ["load", "hourly", "chain", "?d=1", "a=1", "w.toml"]);
        assert_eq!((ready.parent, ready.retry, ready.lane), (Some(Uid(6)), 2, TaskLane::Backload));
        let later = DateTime::from_timestamp(9, 0);
        let delayed = new_task(later).into_attempt();
        assert_eq!((delayed.state, delayed.not_before), (TaskState::Delayed, later));
    }

    #[test]
    fn a_list_carries_the_beginning_of_long_texts_in_whole_characters() {
        let short = "x".repeat(LISTED_BYTES);
        let task = Attempt {
            info: short.clone(),
            meta: short.clone() + "y",
            msg: "y".to_owned() + &"é".repeat(LISTED_BYTES),
            ..new_task(None).into_attempt()
        };
        let listed = task.cut_for_list();
        assert_eq!(listed.cut, CutTexts { info: false, meta: true, msg: true });
        assert_eq!((listed.info.as_str(), listed.meta.as_str()), (short.as_str(), short.as_str()));
        assert_eq!(listed.msg.len(), LISTED_BYTES - 1, "half a character is none");
        let again = listed.clone().cut_for_list();
        assert_eq!(again, listed, "what was cut stays marked");
    }

    #[test]
    fn each_text_of_a_list_is_marked_on_its_own() {
        let long = "x".repeat(LISTED_BYTES + 1);
        let task = Attempt { info: long.clone(), ..new_task(None).into_attempt() };
        assert_eq!(task.cut_for_list().cut, CutTexts { info: true, meta: false, msg: false });
        let task = Attempt { msg: long, ..new_task(None).into_attempt() };
        assert_eq!(task.cut_for_list().cut, CutTexts { info: false, meta: false, msg: true });
    }
}

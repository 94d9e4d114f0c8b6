//! Task JSON: a task as workers know it, read and written as the reference system does, plus `uid`.

mod read;
mod stamp;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::task::{Attempt, InvalidResult, TaskResult, Uid};

pub use read::read_json;
pub use stamp::{InvalidTime, created_text, parse_time, time_text};

use stamp::{TimeText, UidText};

/// A task on the wire. Empty fields aren't written, but for `type` and `info`; times stay the texts they were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskDoc<T = String> {
    /// The topic; `type` on the wire.
    pub topic: T,
    /// The job within the topic; empty for none.
    pub job: T,
    /// What the worker is to do.
    pub info: T,
    /// When the attempt was created.
    pub created: T,
    /// The chain's id.
    pub id: T,
    /// A URL query.
    pub meta: T,
    /// How it ended; empty while it runs.
    pub result: T,
    /// What the worker said.
    pub msg: T,
    /// When it began.
    pub started: T,
    /// When it ended.
    pub ended: T,
    /// The attempt.
    pub attempt_uid: T,
    /// When it may be handed out; only new tasks bring it.
    pub not_before: T,
}

impl TaskDoc {
    /// Reads one task.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        read_json(text.as_bytes())
    }

    /// One attempt as it stands.
    pub fn from_attempt(attempt: &Attempt) -> Self {
        Self {
            topic: attempt.topic.clone(),
            job: attempt.job.clone(),
            info: attempt.info.clone(),
            created: created_text(attempt.uid),
            id: attempt.id.clone(),
            meta: attempt.meta.clone(),
            result: attempt.result.map(|result| result.as_str().to_owned()).unwrap_or_default(),
            msg: attempt.msg.clone(),
            started: attempt.started.map(time_text).unwrap_or_default(),
            ended: attempt.ended.map(time_text).unwrap_or_default(),
            attempt_uid: attempt.uid.to_string(),
            not_before: String::new(),
        }
    }

    /// Which attempt it is: its `uid`, and where a worker of the reference system dropped that, its `created`.
    pub fn uid(&self) -> Option<Uid> {
        self.attempt_uid.parse().ok().or_else(|| self.uid_by_time())
    }

    fn uid_by_time(&self) -> Option<Uid> {
        // Beyond the years of ids a time would become an attempt that nobody can name.
        parse_time(&self.created).ok().map(Uid::at).filter(|uid| uid.is_writable())
    }

    /// The task on one line, with separators escaped as Go does.
    pub fn to_json(&self) -> String {
        escape_separators(serde_json::to_string(self).unwrap_or_default())
    }

    /// Over several lines, for people.
    pub fn to_pretty_json(&self) -> String {
        let mut out = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b" ");
        // Writing text into memory can't fail.
        let _ = self.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter));
        escape_separators(String::from_utf8(out).unwrap_or_default())
    }

    /// How it ended; none while it runs, an error for a word that is no result.
    pub fn parsed_result(&self) -> Result<Option<TaskResult>, InvalidResult> {
        if self.result.is_empty() { Ok(None) } else { self.result.parse().map(Some) }
    }
}

/// An attempt as Task JSON, written without a copy of its texts: hand-outs come by the thousand a second.
#[derive(Debug, Clone, Copy)]
pub struct AttemptDoc<'a>(pub &'a Attempt);

impl Serialize for AttemptDoc<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(attempt) = self;
        let created = TimeText::in_micros(attempt.uid.created_at());
        let started = attempt.started.map(TimeText::in_seconds);
        let ended = attempt.ended.map(TimeText::in_seconds);
        let uid = UidText::new(attempt.uid);
        let doc = TaskDoc {
            topic: attempt.topic.as_str(),
            job: &attempt.job,
            info: &attempt.info,
            created: created.as_str(),
            id: &attempt.id,
            meta: &attempt.meta,
            result: attempt.result.map_or("", TaskResult::as_str),
            msg: &attempt.msg,
            started: started.as_ref().map_or("", TimeText::as_str),
            ended: ended.as_ref().map_or("", TimeText::as_str),
            attempt_uid: uid.as_str(),
            not_before: "",
        };
        doc.serialize(serializer)
    }
}

/// Written in the order that the reference system has.
impl<T: AsRef<str>> Serialize for TaskDoc<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let optional = [
            ("created", &self.created),
            ("id", &self.id),
            ("meta", &self.meta),
            ("result", &self.result),
            ("msg", &self.msg),
            ("started", &self.started),
            ("ended", &self.ended),
            ("uid", &self.attempt_uid),
            ("not_before", &self.not_before),
        ];
        let written = optional.map(|(name, text)| (name, text.as_ref())).into_iter();
        let written = written.filter(|(_, text)| !text.is_empty());
        let job = Some(self.job.as_ref()).filter(|job| !job.is_empty());
        let length = 2 + usize::from(job.is_some()) + written.clone().count();
        let mut doc = serializer.serialize_struct("Task", length)?;
        doc.serialize_field("type", self.topic.as_ref())?;
        if let Some(job) = job {
            doc.serialize_field("job", job)?;
        }
        doc.serialize_field("info", self.info.as_ref())?;
        for (name, text) in written {
            doc.serialize_field(name, text)?;
        }
        doc.end()
    }
}

/// Go escapes these two, since JavaScript once took them for line ends.
fn escape_separators(json: String) -> String {
    if json.contains(['\u{2028}', '\u{2029}']) {
        return json.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    }
    json
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::task::{TaskLane, TaskState};

    fn attempt(text: &str, at: i64, result: Option<TaskResult>) -> Attempt {
        let time = || result.map(|_| Uid(at + 1_999_999).created_at());
        Attempt {
            uid: Uid(at),
            topic: text.to_owned(),
            job: text.chars().skip(1).collect(),
            id: text.chars().skip(2).collect(),
            info: text.to_owned(),
            meta: text.to_owned(),
            workflow: "w.toml".to_owned(),
            parent: None,
            retry: 1,
            lane: TaskLane::Live,
            state: TaskState::Leased,
            delivery: 1,
            not_before: None,
            worker: "w".to_owned(),
            cancelled: false,
            lease_expires: None,
            times_out: None,
            waits_for_slot: false,
            progress: None,
            result,
            msg: text.to_owned(),
            started: time(),
            ended: time(),
            cut: crate::CutTexts::default(),
        }
    }

    #[test]
    fn an_attempt_is_written_in_the_order_that_workers_know() {
        let attempt = attempt("abc", 1_772_366_400_000_123, Some(TaskResult::Error));
        let json = TaskDoc::from_attempt(&attempt).to_json();
        let expected = concat!(
            r#"{"type":"abc","job":"bc","info":"abc","created":"2026-03-01T12:00:00.000123Z","id":"c","#,
            r#""meta":"abc","result":"error","msg":"abc","started":"2026-03-01T12:00:02Z","#,
            r#""ended":"2026-03-01T12:00:02Z","uid":"064bf54ab3807b"}"#
        );
        assert_eq!(json, expected.replace("064bf54ab3807b", &attempt.uid.to_string()));
        assert_eq!(TaskDoc::parse(&json).unwrap().uid(), Some(attempt.uid));
    }

    #[test]
    fn an_attempt_is_known_by_its_uid_or_else_by_when_it_was_created() {
        let uid = Uid(1_772_366_400_000_123);
        let doc = |uid: &str, created: &str| TaskDoc {
            attempt_uid: uid.to_owned(),
            created: created.to_owned(),
            ..TaskDoc::default()
        };
        let cases = [
            (doc(&uid.to_string(), "2020-01-01T00:00:00Z"), Some(uid)),
            (doc("", &created_text(uid)), Some(uid)),
            (doc("", "2026-03-01T14:00:00.000123+02:00"), Some(uid)),
            (doc("", "yesterday"), None),
            (doc("", ""), None),
            // No attempt is that old or that new: its id would not read back.
            (doc("", "1010-01-01T00:00:00Z"), None),
            (doc("", "9999-01-01T00:00:00Z"), None),
        ];
        for (doc, expected) in cases {
            assert_eq!(doc.uid(), expected, "{doc:?}");
        }
    }

    #[test]
    fn the_result_of_a_task_is_one_or_none_or_wrong() {
        let read = |result: &str| TaskDoc { result: result.to_owned(), ..TaskDoc::default() }.parsed_result();
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("warn"), Ok(Some(TaskResult::Warn)));
        assert_eq!(read("fine"), Err(InvalidResult));
    }

    #[test]
    fn the_separators_that_go_escapes_are_escaped() {
        let doc = TaskDoc { info: "a\u{2028}b\u{2029}c\u{202a}".to_owned(), ..TaskDoc::default() };
        assert_eq!(doc.to_json(), "{\"type\":\"\",\"info\":\"a\\u2028b\\u2029c\u{202a}\"}");
        assert_eq!(doc.to_pretty_json(), "{\n \"type\": \"\",\n \"info\": \"a\\u2028b\\u2029c\u{202a}\"\n}");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(topic in ".*", info in ".*", meta in ".*") {
            let doc = TaskDoc { topic, info, meta, ..TaskDoc::default() };
            prop_assert_eq!(TaskDoc::parse(&doc.to_json()).unwrap(), doc.clone());
            prop_assert_eq!(TaskDoc::parse(&doc.to_pretty_json()).unwrap(), doc);
        }

        #[test]
        fn both_ways_to_write_an_attempt_agree(
            text in ".{0,9}",
            at in 0..(1_i64 << 56),
            result in proptest::option::of(proptest::sample::select(TaskResult::ALL.to_vec())),
        ) {
            let attempt = attempt(&text, at, result);
            let direct = serde_json::to_string(&AttemptDoc(&attempt)).unwrap();
            prop_assert_eq!(direct, serde_json::to_string(&TaskDoc::from_attempt(&attempt)).unwrap());
        }
    }
}

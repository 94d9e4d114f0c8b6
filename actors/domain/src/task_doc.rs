//! Task JSON: a task as workers know it, read and written as the reference system does, plus `uid`.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::task::{Attempt, TaskResult, Uid};

/// A task on the wire. Empty fields aren't written, but for `type` and `info`; times stay the texts they were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskDoc {
    /// The topic; `type` on the wire.
    pub topic: String,
    /// The job.
    pub job: String,
    /// What the worker is to do.
    pub info: String,
    /// When the attempt was created.
    pub created: String,
    /// The chain.
    pub id: String,
    /// The attempt.
    pub uid: String,
    /// A URL query.
    pub meta: String,
    /// How it ended.
    pub result: String,
    /// What the worker said.
    pub msg: String,
    /// When it began.
    pub started: String,
    /// When it ended.
    pub ended: String,
    /// When it may be handed out; read with new tasks.
    pub not_before: String,
}

impl TaskDoc {
    /// Reads one task.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        // Half of a surrogate pair is no character; Go reads it as the replacement character.
        serde_json::from_str(text).or_else(|e| match replace_lone_surrogates(text) {
            Some(text) => serde_json::from_str(&text),
            None => Err(e),
        })
    }

    /// One attempt as it stands.
    #[must_use]
    pub fn from_attempt(attempt: &Attempt) -> Self {
        let time = |at: Option<DateTime<Utc>>| at.map(time_text).unwrap_or_default();
        Self {
            topic: attempt.topic.clone(),
            job: attempt.job.clone(),
            info: attempt.info.clone(),
            created: created_text(attempt.uid),
            id: attempt.id.clone(),
            uid: attempt.uid.to_string(),
            meta: attempt.meta.clone(),
            result: attempt.result.map(|result| result.as_str().to_owned()).unwrap_or_default(),
            msg: attempt.msg.clone(),
            started: time(attempt.started),
            ended: time(attempt.ended),
            not_before: String::new(),
        }
    }

    /// On one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        escape_separators(&serde_json::to_string(self).unwrap_or_default())
    }

    /// Over several lines, for people.
    #[must_use]
    pub fn to_pretty_json(&self) -> String {
        let mut out = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b" ");
        // Writing text into memory can't fail.
        let _ = self.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter));
        escape_separators(&String::from_utf8_lossy(&out))
    }

    /// How it ended; none while it runs, an error for a word that is no result.
    pub fn parsed_result(&self) -> Result<Option<TaskResult>, crate::task::InvalidResult> {
        if self.result.is_empty() { Ok(None) } else { self.result.parse().map(Some) }
    }

    fn field(&mut self, name: &str) -> Option<&mut String> {
        Some(match name.to_ascii_lowercase().as_str() {
            "type" => &mut self.topic,
            "job" => &mut self.job,
            "info" => &mut self.info,
            "created" => &mut self.created,
            "id" => &mut self.id,
            "uid" => &mut self.uid,
            "meta" => &mut self.meta,
            "result" => &mut self.result,
            "msg" => &mut self.msg,
            "started" => &mut self.started,
            "ended" => &mut self.ended,
            "not_before" => &mut self.not_before,
            _ => return None,
        })
    }
}

/// When an attempt was created, with the microseconds that tell it from others.
#[must_use]
pub fn created_text(uid: Uid) -> String {
    uid.created().to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// A time on the wire: RFC 3339 in UTC.
#[must_use]
pub fn time_text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// Reads a time on the wire; none for an empty one.
#[must_use]
pub fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.with_timezone(&Utc))
}

impl Serialize for TaskDoc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = [
            ("type", &self.topic),
            ("job", &self.job),
            ("info", &self.info),
            ("created", &self.created),
            ("id", &self.id),
            ("uid", &self.uid),
            ("meta", &self.meta),
            ("result", &self.result),
            ("msg", &self.msg),
            ("started", &self.started),
            ("ended", &self.ended),
            ("not_before", &self.not_before),
        ];
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in fields {
            if !value.is_empty() || matches!(name, "type" | "info") {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for TaskDoc {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DocVisitor)
    }
}

/// Names in any case, null for empty, the last of a repeated field, unknown ones passed over: as Go reads JSON.
struct DocVisitor;

impl<'de> Visitor<'de> for DocVisitor {
    type Value = TaskDoc;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a task as an object, like {\"type\":\"load\",\"info\":\"?date=2024-01-15\"}")
    }

    fn visit_unit<E>(self) -> Result<TaskDoc, E> {
        Ok(TaskDoc::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TaskDoc, A::Error> {
        let mut doc = TaskDoc::default();
        while let Some(name) = map.next_key::<String>()? {
            match doc.field(&name) {
                Some(field) => {
                    if let Some(value) = map.next_value::<Option<String>>()? {
                        *field = value;
                    }
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(doc)
    }
}

/// Go escapes these two, since JavaScript once took them for line ends.
fn escape_separators(json: &str) -> String {
    json.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// The text with `\ufffd` for each half of a surrogate pair; none when there is no such half.
fn replace_lone_surrogates(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut replaced = false;
    while let Some(at) = rest.find('\\') {
        let escape = &rest[at..];
        let unit = surrogate(escape);
        let paired = unit.is_some_and(|unit| unit < 0xdc00)
            && escape.get(6..).and_then(surrogate).is_some_and(|unit| unit >= 0xdc00);
        let length = match unit {
            Some(_) if paired => 12,
            Some(_) => 6,
            None => 1 + escape[1..].chars().next().map_or(0, char::len_utf8),
        };
        let lone = unit.is_some() && !paired;
        replaced |= lone;
        out.push_str(&rest[..at]);
        out.push_str(if lone { "\\ufffd" } else { &escape[..length] });
        rest = &escape[length..];
    }
    replaced.then(|| out + rest)
}

/// The surrogate that a text begins with, written as `\ud83d`.
fn surrogate(text: &str) -> Option<u16> {
    let unit = u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()?;
    (0xd800..0xe000).contains(&unit).then_some(unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn half_a_surrogate_pair_is_replaced_and_a_whole_one_kept() {
        let doc = TaskDoc::parse(r#"{"info":"\ud800 \ud83d\ude00 \\ud800 \udc00x"}"#).unwrap();
        assert_eq!(doc.info, "\u{fffd} 😀 \\ud800 \u{fffd}x");
    }

    #[test]
    fn an_error_says_what_a_task_is() {
        let error = TaskDoc::parse("\"x\"").unwrap_err().to_string();
        assert!(error.contains("a task as an object, like"), "{error}");
        assert!(TaskDoc::parse("{\"type\":1}").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(topic in ".*", info in ".*", meta in ".*") {
            let doc = TaskDoc { topic, info, meta, ..TaskDoc::default() };
            prop_assert_eq!(TaskDoc::parse(&doc.to_json()).unwrap(), doc.clone());
            prop_assert_eq!(TaskDoc::parse(&doc.to_pretty_json()).unwrap(), doc);
        }

        #[test]
        fn any_text_is_judged(text in "[{}\":a-z\\\\ud08,\u{2028}日]{0,40}") {
            let _ = TaskDoc::parse(&text);
        }
    }
}

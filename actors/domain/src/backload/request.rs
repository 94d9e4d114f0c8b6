//! What a client asks for, as JSON.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::rows::{ListLengthError, zip_lists};
use crate::task_time::{DAY, HOUR, is_shaped, two_digit_hour};
use crate::template::MetaRow;

/// A request. Its keys may be in any case, null is as if left out, and the last of several counts: as the
/// reference system reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackloadRequest {
    /// `topic` or `topic:job`.
    pub task: String,
    /// The job within the topic; empty for none.
    pub job: String,
    /// The one time, where there is no range.
    pub at: String,
    /// The first time of a range.
    pub from: String,
    /// The last time; earlier than the first for backwards.
    pub to: String,
    /// The steps of a range: hour, day, week or month.
    pub by: String,
    /// The template, where no phase has one.
    pub template: String,
    /// The workflow file, relative to the workflow root.
    pub workflow: String,
    /// Lists that are zipped into rows.
    pub meta: MetaLists,
    /// A file with a row a line.
    pub meta_file: String,
    /// Create the tasks, instead of only showing them.
    pub execute: bool,
    /// Which of the tasks.
    pub only: TaskSelection,
    /// How many tasks are created in how long, like `100/1m`; empty for no limit.
    pub rate: String,
    /// Don't wait for the tasks to be stored.
    pub background: bool,
    /// The first task to show.
    pub offset: usize,
    /// How many tasks to show.
    pub limit: Option<usize>,
    /// A key that means nothing.
    pub unknown: Option<String>,
}

/// The keys of a request.
pub(super) const KEYS: [&str; 16] = [
    "task",
    "job",
    "at",
    "from",
    "to",
    "by",
    "template",
    "workflow",
    "meta",
    "meta-file",
    "execute",
    "only",
    "rate",
    "background",
    "offset",
    "limit",
];

/// Which tasks of a range are created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskSelection {
    /// Every one.
    #[default]
    All,
    /// Those that were never created.
    Missing,
    /// Those whose last attempt ended in an error or an alert.
    Failed,
}

/// Lists by key. A single text is for every row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MetaLists(pub BTreeMap<String, MetaValues>);

/// What a key of [`MetaLists`] has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum MetaValues {
    /// A text.
    One(String),
    /// A text a row.
    Many(Vec<String>),
}

impl MetaValues {
    /// The texts.
    pub fn as_texts(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

impl MetaLists {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes its rows take, and how many rows there are.
    pub(super) fn size_of_rows(&self) -> (usize, usize) {
        /// What a value takes beside its text.
        const VALUE_BYTES: usize = 96;
        let rows = self.row_count();
        let bytes = self.0.values().map(|values| match values {
            MetaValues::One(text) => text.len().saturating_mul(rows),
            MetaValues::Many(texts) => texts.iter().map(String::len).sum(),
        });
        // Each row has all keys again.
        let keys = self.0.keys().map(|key| key.len() + VALUE_BYTES).sum::<usize>().saturating_mul(rows);
        (keys.saturating_add(bytes.sum()), rows)
    }

    /// As many as the first list has.
    fn row_count(&self) -> usize {
        let lists = self.0.values().filter(|values| matches!(values, MetaValues::Many(_)));
        lists.map(|values| values.as_texts().len()).next().unwrap_or(1).max(1)
    }

    /// The nth row has the nth value of each list.
    pub(super) fn zip_rows(&self) -> Result<Vec<MetaRow>, ListLengthError> {
        let count = self.row_count();
        let lists = self.0.iter().map(|(key, values)| {
            let list = match values {
                MetaValues::One(text) => vec![text.clone(); count],
                MetaValues::Many(texts) => texts.clone(),
            };
            (key.clone(), list)
        });
        zip_lists(&lists.collect())
    }
}

/// Reads a time: a date, an hour of a date, or RFC 3339 as Go takes it, whose hours may have one digit and whose seconds
/// may have a comma. None for what is none, or not of the years 1970 to 9999.
pub fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let text = &*two_digit_hour(text);
    let time = if is_shaped(text, DAY) {
        NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_time(NaiveTime::MIN).and_utc()
    } else if is_shaped(text, HOUR) {
        NaiveDateTime::parse_from_str(&format!("{text}:00"), "%Y-%m-%dT%H:%M").ok()?.and_utc()
    } else {
        // chrono also takes a small t or z, a space between, and leap seconds.
        let strict = text.as_bytes().get(10) == Some(&b'T') && !text.ends_with('z');
        let leap = text.as_bytes().get(17..19) == Some(b"60");
        let text = if text.as_bytes().get(19) == Some(&b',') { text.replacen(',', ".", 1) } else { text.to_owned() };
        DateTime::parse_from_rfc3339(&text).ok().filter(|_| strict && !leap)?.to_utc()
    };
    (1970..=9999).contains(&time.year()).then_some(time)
}

impl<'de> Deserialize<'de> for BackloadRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RequestVisitor)
    }
}

struct RequestVisitor;

impl<'de> Visitor<'de> for RequestVisitor {
    type Value = BackloadRequest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<BackloadRequest, A::Error> {
        let mut request = BackloadRequest::default();
        while let Some(key) = map.next_key::<String>()? {
            match &*key.to_ascii_lowercase() {
                "task" => set_field(&mut request.task, &mut map)?,
                "job" => set_field(&mut request.job, &mut map)?,
                "at" => set_field(&mut request.at, &mut map)?,
                "from" => set_field(&mut request.from, &mut map)?,
                "to" => set_field(&mut request.to, &mut map)?,
                "by" => set_field(&mut request.by, &mut map)?,
                "template" => set_field(&mut request.template, &mut map)?,
                "workflow" => set_field(&mut request.workflow, &mut map)?,
                "meta" => set_field(&mut request.meta, &mut map)?,
                "meta-file" => set_field(&mut request.meta_file, &mut map)?,
                "execute" => set_field(&mut request.execute, &mut map)?,
                "only" => set_field(&mut request.only, &mut map)?,
                "rate" => set_field(&mut request.rate, &mut map)?,
                "background" => set_field(&mut request.background, &mut map)?,
                "offset" => set_field(&mut request.offset, &mut map)?,
                "limit" => request.limit = map.next_value()?,
                // A key that means nothing may be a slip: a strict reader refuses the first one.
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    request.unknown.get_or_insert(key);
                }
            }
        }
        Ok(request)
    }
}

/// Reads a value into its field; null leaves what is there.
fn set_field<'de, T: Deserialize<'de>, A: MapAccess<'de>>(field: &mut T, map: &mut A) -> Result<(), A::Error> {
    if let Some(value) = map.next_value::<Option<T>>()? {
        *field = value;
    }
    Ok(())
}

impl<'de> Deserialize<'de> for MetaValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValuesVisitor)
    }
}

struct ValuesVisitor;

impl<'de> Visitor<'de> for ValuesVisitor {
    type Value = MetaValues;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or a list of texts")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<MetaValues, E> {
        Ok(MetaValues::One(text.to_owned()))
    }

    fn visit_unit<E: Error>(self) -> Result<MetaValues, E> {
        Ok(MetaValues::One(String::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<MetaValues, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = list.next_element::<Option<String>>()? {
            texts.push(text.unwrap_or_default());
        }
        Ok(MetaValues::Many(texts))
    }
}

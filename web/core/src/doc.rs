//! Task JSON as clients send it: new tasks, results under a lease, done tasks.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Utc};
use flowlord_domain::decide::WorkerOutcome;
use flowlord_domain::task_doc::parse_time;
use flowlord_domain::{TaskResult, named_enum};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use utoipa::ToSchema;

use crate::limits;
use crate::problem::Problem;
use crate::values::{BodyText, MetaQuery, required};

const RESULTS: &str = "complete, error, warn or alert";

/// The fields of Task JSON and what goes with them in requests; texts are borrowed from the body.
#[derive(Debug, Clone, Default)]
pub struct BorrowedTaskDoc<'a> {
    fields: [Option<Cow<'a, str>>; DocField::ALL.len()],
}

/// A task to be created. Names of fields may be in any case; others are passed over.
#[derive(ToSchema)]
#[schema(as = NewTask)]
#[expect(dead_code, reason = "the document of a `Doc` that makes a task; a test compares their fields")]
pub struct NewTaskDoc {
    #[schema(schema_with = limits::topic_name)]
    r#type: String,
    #[schema(schema_with = limits::job_name)]
    job: Option<String>,
    /// What the worker is to do.
    info: String,
    #[schema(schema_with = limits::chain_id)]
    id: Option<String>,
    #[schema(nullable = false)]
    meta: Option<MetaQuery<'static>>,
    #[schema(schema_with = limits::time)]
    not_before: Option<String>,
}

/// How a task ended. Names of fields may be in any case; others are passed over.
#[derive(ToSchema)]
#[schema(as = Result)]
#[expect(dead_code, reason = "the document of a `Doc` that is a result; a test compares their fields")]
pub struct ResultDoc {
    #[schema(schema_with = limits::task_result)]
    result: String,
    msg: Option<String>,
    #[schema(nullable = false)]
    meta: Option<MetaQuery<'static>>,
    #[schema(schema_with = limits::time)]
    started: Option<String>,
    #[schema(schema_with = limits::time)]
    ended: Option<String>,
}

/// How one of many tasks ended, and which: by `lease`, by `uid`, or by `type`, `job`, `id` and `created`.
#[derive(ToSchema)]
#[schema(as = ResultItem)]
#[expect(dead_code, reason = "the document of a `Doc` that is one of many; a test compares their fields")]
pub struct ResultItemDoc {
    #[serde(flatten)]
    #[schema(inline)]
    outcome: ResultDoc,
    lease: Option<String>,
    #[schema(schema_with = limits::uid)]
    uid: Option<String>,
    #[schema(schema_with = limits::topic_name)]
    r#type: Option<String>,
    #[schema(schema_with = limits::job_name)]
    job: Option<String>,
    #[schema(schema_with = limits::chain_id)]
    id: Option<String>,
    /// As it came with the task.
    created: Option<String>,
    /// What the worker was to do, of a task that nobody created here.
    info: Option<String>,
}

named_enum! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum DocField {
        Type = "type",
        Job = "job",
        Info = "info",
        Id = "id",
        Uid = "uid",
        Created = "created",
        Meta = "meta",
        Result = "result",
        Msg = "msg",
        Started = "started",
        Ended = "ended",
        NotBefore = "not_before",
        Lease = "lease",
    }
}

impl<'a> BorrowedTaskDoc<'a> {
    pub fn get(&self, field: DocField) -> Option<&str> {
        self.fields.get(field as usize)?.as_deref()
    }

    /// A field's text, where that isn't empty.
    pub fn given(&self, field: DocField) -> Option<&str> {
        self.get(field).filter(|text| !text.is_empty())
    }

    /// A field's text, moved out; empty when it was left out.
    pub fn take(&mut self, field: DocField) -> String {
        let value = self.fields.get_mut(field as usize).and_then(Option::take);
        value.map(Cow::into_owned).unwrap_or_default()
    }

    pub fn time(&self, field: DocField) -> Result<Option<DateTime<Utc>>, Problem> {
        let Some(text) = self.given(field) else { return Ok(None) };
        parse_time(text)
            .map(Some)
            .map_err(|_| Problem::wrong_value(field.as_str(), text, "a time like 2026-01-15T03:00:00Z"))
    }

    pub fn into_outcome(mut self) -> Result<WorkerOutcome, Problem> {
        let text = required("result", self.given(DocField::Result), RESULTS)?;
        let result: TaskResult = text.parse().map_err(|_| Problem::wrong_value("result", text, RESULTS))?;
        Ok(WorkerOutcome {
            result,
            started: self.time(DocField::Started)?,
            ended: self.time(DocField::Ended)?,
            msg: self.take(DocField::Msg),
            meta: self.take(DocField::Meta),
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for BorrowedTaskDoc<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DocVisitor)
    }
}

struct DocVisitor;

impl<'de> Visitor<'de> for DocVisitor {
    type Value = BorrowedTaskDoc<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<BorrowedTaskDoc<'de>, A::Error> {
        let mut doc = BorrowedTaskDoc::default();
        while let Some(BodyText(name)) = map.next_key()? {
            // In any case, and others are passed over: so workers of the reference system write it, in Go.
            let known = DocField::ALL.into_iter().find(|field| field.as_str().eq_ignore_ascii_case(&name));
            let Some(field) = known else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            doc.fields[field as usize] = match field {
                DocField::Meta => map.next_value::<Option<MetaQuery<'de>>>()?.map(|MetaQuery(meta)| meta),
                _ => map.next_value::<Option<BodyText<'de>>>()?.map(|BodyText(text)| text),
            };
        }
        Ok(doc)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use utoipa::PartialSchema as _;

    use super::*;
    use crate::openapi::json_of;

    #[test]
    fn names_come_in_any_case_and_null_is_nothing() {
        let doc: BorrowedTaskDoc<'_> =
            serde_json::from_str(r#"{"Type":"a","INFO":"x","job":null,"more":{"type":"no"},"meta":{"k":1}}"#).unwrap();
        assert_eq!((doc.get(DocField::Type), doc.get(DocField::Info)), (Some("a"), Some("x")));
        assert_eq!((doc.get(DocField::Job), doc.get(DocField::Meta)), (None, Some("k=1")));
    }

    #[test]
    fn the_document_has_every_field_and_no_other() {
        let mut documented = BTreeSet::new();
        for schema in [NewTaskDoc::schema(), ResultDoc::schema(), ResultItemDoc::schema()] {
            let schema = json_of(schema);
            documented.extend(schema["properties"].as_object().unwrap().keys().cloned());
        }
        assert_eq!(documented, BTreeSet::from(DocField::ALL.map(|field| field.as_str().to_owned())));
    }

    #[test]
    fn texts_are_borrowed_where_they_can_be() {
        let doc: BorrowedTaskDoc<'_> = serde_json::from_str(r#"{"msg":"plain","info":"a\nb"}"#).unwrap();
        assert!(matches!(doc.fields[DocField::Msg as usize], Some(Cow::Borrowed("plain"))));
        assert!(matches!(doc.fields[DocField::Info as usize], Some(Cow::Owned(_))));
    }

    #[test]
    fn an_outcome_needs_a_result_and_readable_times() {
        let outcome = |json| serde_json::from_str::<BorrowedTaskDoc<'_>>(json).unwrap().into_outcome();
        let good =
            outcome(r#"{"result":"warn","msg":"m","meta":"a=1","started":"2026-01-15T03:00:00+01:00","ended":""}"#);
        let good = good.unwrap();
        assert_eq!((good.result, good.msg.as_str(), good.meta.as_str()), (TaskResult::Warn, "m", "a=1"));
        assert_eq!((good.started, good.ended), ("2026-01-15T02:00:00Z".parse().ok(), None));
        for (json, names) in
            [("{}", "result"), (r#"{"result":"fine"}"#, "fine"), (r#"{"result":"warn","ended":"x"}"#, "ended")]
        {
            assert!(outcome(json).unwrap_err().detail().contains(names), "{json}");
        }
    }
}

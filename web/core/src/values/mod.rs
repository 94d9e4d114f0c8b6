//! Values of requests: durations, names, texts without a copy.

pub mod matching;

use std::borrow::Cow;
use std::fmt;

use chrono::TimeDelta;
use flowlord_domain::duration;
use flowlord_domain::query::Query;
use flowlord_kernel::Code;
use flowlord_messages::leases::TopicFilter;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::limits::{DurationRange, MAX_NAME_CHARACTERS, MAX_WORKER_CHARACTERS, is_name_byte};
use crate::problem::Problem;

/// A text, borrowed from the body where it holds no escapes.
#[derive(Debug, Clone, Default)]
pub struct BodyText<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for BodyText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor).map(Self)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        // With an escape in it, the text stands nowhere in the body as it reads.
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// A duration: a text like `30s`, or a number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyDuration(pub TimeDelta);

impl<'de> Deserialize<'de> for BodyDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpanVisitor).map(Self)
    }
}

struct SpanVisitor;

impl SpanVisitor {
    fn seconds<E: Error>(seconds: Option<i64>) -> Result<TimeDelta, E> {
        let span = seconds.and_then(TimeDelta::try_seconds);
        span.ok_or_else(|| E::custom("the number of seconds is too large"))
    }
}

impl Visitor<'_> for SpanVisitor {
    type Value = TimeDelta;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration like \"30s\" or a number of seconds")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<TimeDelta, E> {
        duration::parse_duration(text).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<TimeDelta, E> {
        Self::seconds(seconds.try_into().ok())
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<TimeDelta, E> {
        Self::seconds(Some(seconds))
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<TimeDelta, E> {
        // As text, so that no digit is lost on the way.
        duration::parse_duration(&format!("{seconds}s")).map_err(|_| E::custom("the number of seconds is too large"))
    }
}

/// Checks that a duration lies within its bounds, which are shown as written.
pub fn between(
    name: &str,
    span: TimeDelta,
    DurationRange { least: (least, least_text), most: (most, most_text) }: DurationRange,
) -> Result<TimeDelta, Problem> {
    if (least..=most).contains(&span) {
        return Ok(span);
    }
    let given = duration::print_go_duration(span);
    Err(Problem::invalid(format!("`{name}` is {given}: write a duration from {least_text} to {most_text}")))
}

/// A URL query, given as a text or as an object.
#[derive(Debug, Clone, Default)]
pub struct MetaQuery<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for MetaQuery<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MetaVisitor).map(Self)
    }
}

impl ToSchema for MetaQuery<'_> {
    fn name() -> Cow<'static, str> {
        "Meta".into()
    }
}

impl PartialSchema for MetaQuery<'_> {
    fn schema() -> RefOr<Schema> {
        let scalar = [Type::String, Type::Number, Type::Boolean, Type::Null];
        let scalar = ObjectBuilder::new().schema_type(scalar.into_iter().collect::<SchemaType>());
        AnyOfBuilder::new()
            .description(Some("a URL query, or an object of texts, numbers and booleans"))
            .item(ObjectBuilder::new().schema_type(Type::String))
            .item(ObjectBuilder::new().additional_properties(Some(scalar)))
            .into()
    }
}

struct MetaVisitor;

impl<'de> Visitor<'de> for MetaVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a query like \"file=a.json&rows=5\" or an object like {\"file\":\"a.json\",\"rows\":5}")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut query = Query::default();
        while let Some(key) = map.next_key::<String>()? {
            match map.next_value::<serde_json::Value>()? {
                serde_json::Value::Null => {}
                serde_json::Value::String(value) => query.push_pair(key, value),
                serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
                    let detail = format!("the value of `{key}` must be a text, a number or a boolean");
                    return Err(A::Error::custom(detail));
                }
                number_or_bool => query.push_pair(key, number_or_bool.to_string()),
            }
        }
        Ok(Cow::Owned(query.to_text()))
    }
}

pub fn check_name(what: &str, name: &str) -> Result<(), Problem> {
    if (1..=MAX_NAME_CHARACTERS).contains(&name.len()) && name.bytes().all(is_name_byte) {
        return Ok(());
    }
    let detail = if name.len() > MAX_NAME_CHARACTERS {
        format!(
            "the name of the {what} has {} characters: at most {MAX_NAME_CHARACTERS} are allowed",
            name.chars().count()
        )
    } else if name.is_empty() {
        format!(
            "the name of the {what} is empty: write 1 to {MAX_NAME_CHARACTERS} letters, digits, dots, underscores or dashes"
        )
    } else {
        format!("`{name}` can't name a {what}: only letters, digits, `.`, `_` and `-` are allowed")
    };
    Err(Problem::new(Code::InvalidTopic, detail))
}

pub fn topic_filter(mut text: String) -> Result<TopicFilter, Problem> {
    // The text is split in place: it is read for every request of a worker.
    let job = text.find(':').map(|at| {
        let job = text.split_off(at);
        job[1..].to_owned()
    });
    check_name("topic", &text)?;
    if let Some(job) = &job {
        check_name("job", job)?;
    }
    Ok(TopicFilter { topic: text, job })
}

/// A worker's name: anything that can be shown on one line.
pub fn check_worker(name: &str) -> Result<(), Problem> {
    if (1..=MAX_WORKER_CHARACTERS).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Problem::invalid(format!(
        "`worker` must be a name of 1 to {MAX_WORKER_CHARACTERS} characters, like the host's name and a number"
    )))
}

pub fn required<T>(name: &str, value: Option<T>, example: &str) -> Result<T, Problem> {
    value.ok_or_else(|| Problem::invalid(format!("`{name}` is missing: write {example}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_texts_or_seconds() {
        for (json, millis) in
            [("\"30s\"", 30_000), ("30", 30_000), ("0.5", 500), ("1e1", 10_000), ("\"1h\"", 3_600_000), ("-1", -1_000)]
        {
            let BodyDuration(span) = serde_json::from_str(json).unwrap();
            assert_eq!(span, TimeDelta::milliseconds(millis), "{json}");
        }
        for json in ["\"soon\"", "true", "1e300", "18446744073709551615", "[]"] {
            assert!(serde_json::from_str::<BodyDuration>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn meta_is_a_query_or_an_object() {
        for (json, query) in [
            (r#""a=1&b=2""#, "a=1&b=2"),
            (r#"{"a":"x y","n":1.5,"t":true,"z":null}"#, "a=x y&n=1.5&t=true"),
            (r#"{"a&":"1=2&3"}"#, "a%26=1=2%263"),
        ] {
            let MetaQuery(meta) = serde_json::from_str(json).unwrap();
            assert_eq!(meta, query, "{json}");
        }
        assert!(serde_json::from_str::<MetaQuery<'_>>(r#"{"a":[1]}"#).is_err());
    }
}

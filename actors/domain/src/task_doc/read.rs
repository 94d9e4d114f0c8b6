//! Reading Task JSON as leniently as Go's `encoding/json`.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::TaskDoc;

/// Reads JSON as leniently as Go does: bytes that are no UTF-8 and halves of a surrogate pair, both no character,
/// count as the replacement character.
pub fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(bytes).or_else(|e| {
        let text = String::from_utf8_lossy(bytes);
        match replace_lone_surrogates(&text) {
            Some(text) => serde_json::from_str(&text),
            // Only now it is text; what else is wrong shows in reading it.
            None if matches!(text, Cow::Owned(_)) => serde_json::from_str(&text),
            None => Err(e),
        }
    })
}

impl<'de> Deserialize<'de> for TaskDoc {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TaskDocVisitor)
    }
}

/// Names in any case, null for empty, the last of a repeated field, unknown ones passed over: as Go reads JSON.
struct TaskDocVisitor;

impl<'de> Visitor<'de> for TaskDocVisitor {
    type Value = TaskDoc;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a task as an object, like {\"type\":\"load\",\"info\":\"?date=2024-01-15\"}")
    }

    fn visit_unit<E>(self) -> Result<TaskDoc, E> {
        Ok(TaskDoc::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TaskDoc, A::Error> {
        let mut doc = TaskDoc::default();
        while let Some(FieldName(field)) = map.next_key()? {
            match field {
                Some((name, place)) => map.next_value_seed(TaskTextSeed { name, text: place(&mut doc) })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(doc)
    }
}

/// The name of a field of Task JSON, and where its text goes.
type TaskField = (&'static str, fn(&mut TaskDoc) -> &mut String);

static FIELDS: [TaskField; 12] = [
    ("type", |doc| &mut doc.topic),
    ("job", |doc| &mut doc.job),
    ("info", |doc| &mut doc.info),
    ("created", |doc| &mut doc.created),
    ("id", |doc| &mut doc.id),
    ("meta", |doc| &mut doc.meta),
    ("result", |doc| &mut doc.result),
    ("msg", |doc| &mut doc.msg),
    ("started", |doc| &mut doc.started),
    ("ended", |doc| &mut doc.ended),
    ("uid", |doc| &mut doc.attempt_uid),
    ("not_before", |doc| &mut doc.not_before),
];

/// The field that a name is of; none for an unknown one.
struct FieldName(Option<TaskField>);

impl<'de> Deserialize<'de> for FieldName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(FieldNameVisitor)
    }
}

struct FieldNameVisitor;

impl Visitor<'_> for FieldNameVisitor {
    type Value = FieldName;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<FieldName, E> {
        // To Go the long s is an s in another case.
        let name = name.replace('ſ', "s");
        Ok(FieldName(FIELDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name)).copied()))
    }
}

/// Reads one value into its field; null leaves what is there.
struct TaskTextSeed<'a> {
    name: &'static str,
    text: &'a mut String,
}

impl<'de> DeserializeSeed<'de> for TaskTextSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for TaskTextSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name;
        write!(f, "a text in `{name}`: write \"{name}\":\"…\" or leave it out")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.text.clear();
        self.text.push_str(text);
        Ok(())
    }

    fn visit_string<E>(self, text: String) -> Result<(), E> {
        *self.text = text;
        Ok(())
    }
}

/// The text with `\ufffd` for each half of a surrogate pair; none when there is no such half.
fn replace_lone_surrogates(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut replaced = false;
    while let Some(at) = rest.find('\\') {
        let escape = &rest[at..];
        let unit = leading_surrogate(escape);
        let paired = unit.is_some_and(|unit| unit < 0xdc00)
            && escape.get(6..).and_then(leading_surrogate).is_some_and(|unit| unit >= 0xdc00);
        let length = match unit {
            Some(_) if paired => 12, // both halves of the pair
            Some(_) => 6,
            // Past what is escaped, too: it may be a backslash that begins no escape of its own.
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
fn leading_surrogate(text: &str) -> Option<u16> {
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
    fn bytes_that_are_no_text_are_replaced() {
        let docs: Vec<TaskDoc> = read_json(b"[{\"type\":\"a\xff\"}]").unwrap();
        assert_eq!(docs[0].topic, "a\u{fffd}");
        assert!(read_json::<TaskDoc>(b"\xff").is_err());
    }

    #[test]
    fn names_are_read_in_any_case_and_the_last_value_counts() {
        let doc = TaskDoc::parse(r#"{"TYPE":"a","Type":"b","type":null,"m\u017fg":"m","UID":"u"}"#).unwrap();
        assert_eq!((doc.topic.as_str(), doc.msg.as_str(), doc.attempt_uid.as_str()), ("b", "m", "u"));
    }

    #[test]
    fn an_error_names_the_field_and_says_what_to_write() {
        let error = |text: &str| TaskDoc::parse(text).unwrap_err().to_string();
        assert!(error("\"x\"").contains("a task as an object, like"));
        for value in ["1", "true", "[]", "{}", "1.5"] {
            let error = error(&format!("{{\"Meta\":{value}}}"));
            assert!(error.contains("a text in `meta`: write \"meta\":\"…\" or leave it out"), "{error}");
        }
    }

    #[test]
    fn null_is_an_empty_task_and_a_value_reads_like_its_text() {
        assert_eq!(TaskDoc::parse("null").unwrap(), TaskDoc::default());
        let value = serde_json::json!({"type": "a", "job": null, "info": "x", "more": [1]});
        let doc: TaskDoc = serde_json::from_value(value).unwrap();
        assert_eq!(doc, TaskDoc { topic: "a".to_owned(), info: "x".to_owned(), ..TaskDoc::default() });
    }

    #[test]
    fn each_field_has_its_place() {
        let fields = FIELDS.map(|(name, _)| format!("\"{name}\":\"<{name}>\""));
        let doc = TaskDoc::parse(&format!("{{{}}}", fields.join(","))).unwrap();
        let TaskDoc { topic, job, info, created, id, meta, result, msg, started, ended, attempt_uid: uid, not_before } =
            doc;
        let read = [topic, job, info, created, id, meta, result, msg, started, ended, uid, not_before];
        assert_eq!(read, FIELDS.map(|(name, _)| format!("<{name}>")));
    }

    #[test]
    fn two_second_halves_are_no_pair() {
        for (written, read) in [
            (r"\udc00\udc00", "\u{fffd}\u{fffd}"),
            (r"\ud800\ud800", "\u{fffd}\u{fffd}"),
            (r"\udbff\udfff", "\u{10ffff}"),
            (r"\ud800\n", "\u{fffd}\n"),
            (r"\ud7ff\ud800x", "\u{d7ff}\u{fffd}x"),
        ] {
            assert_eq!(TaskDoc::parse(&format!("{{\"info\":\"{written}\"}}")).unwrap().info, read, "{written}");
        }
    }

    #[test]
    fn unknown_fields_are_passed_over_with_all_that_is_in_them() {
        let text = r#"{"more":{"type":"x","deep":[{"job":1}]},"typ":"y","types":"z","type":"a","not-before":"n"}"#;
        assert_eq!(TaskDoc::parse(text).unwrap(), TaskDoc { topic: "a".to_owned(), ..TaskDoc::default() });
        let doc = TaskDoc::parse("{\"re\u{17f}ult\":\"error\",\"NOT_BEFORE\":\"t\",\"not_before\":null}").unwrap();
        assert_eq!((doc.result.as_str(), doc.not_before.as_str()), ("error", "t"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = read_json::<TaskDoc>(&bytes);
        }

        #[test]
        fn any_text_is_judged(text in "[{}\":a-z\\\\ud08,\u{2028}日]{0,40}") {
            let _ = TaskDoc::parse(&text);
        }
    }
}

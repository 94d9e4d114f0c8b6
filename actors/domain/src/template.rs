//! Templates: `{yyyy}/{mm}/{dd}`, `{host}`, `{uuid}` and `{meta:key}`.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::Value;

use crate::ids::IdSource;

/// Fills in everything but `{meta:…}`.
///
/// What follows the first `#` stays as it is, unless the template begins with it. Without a time the whole
/// template stays as it is.
///
/// ```
/// use chrono::{DateTime, Utc};
/// use flowlord_domain::template::{expand_meta, render_template_utc};
/// # struct NoIds;
/// # impl flowlord_domain::IdSource for NoIds {
/// #     fn next_uid(&mut self, now: DateTime<Utc>) -> flowlord_domain::Uid {
/// #         flowlord_domain::Uid::at(now)
/// #     }
/// #     fn random_bits(&mut self) -> u64 {
/// #         0
/// #     }
/// # }
///
/// let time = "2024-01-15T03:00:00Z".parse().ok();
/// let text = render_template_utc("{meta:file}?day={yyyy}-{mm}-{dd}&on={host}", time, "worker-1", &mut NoIds);
/// assert_eq!(text, "{meta:file}?day=2024-01-15&on=worker-1");
/// let (text, keys) = expand_meta(&text, |key| (key == "file").then(|| "s3://lake/a.csv".to_owned()));
/// assert_eq!((text.as_str(), keys.as_slice()), ("s3://lake/a.csv?day=2024-01-15&on=worker-1", &["file".to_owned()][..]));
/// ```
pub fn render_template(template: &str, time: Option<NaiveDateTime>, host: &str, ids: &mut dyn IdSource) -> String {
    // Tasks that are about no time have no use for its parts.
    let Some(time) = time.filter(|time| !is_zero(*time)) else { return template.to_owned() };
    // From there on the reference system left everything as written, unless the template began with it.
    let end = template.find('#').filter(|place| *place > 0).unwrap_or(template.len());
    let (text, rest) = template.split_at(end);
    replace_tokens(text, |token| value_of(token, time, host, ids)) + rest
}

/// Fills in the tokens of a time in UTC.
pub fn render_template_utc(template: &str, time: Option<DateTime<Utc>>, host: &str, ids: &mut dyn IdSource) -> String {
    render_template(template, time.map(|time| time.naive_utc()), host, ids)
}

/// Fills in each `{meta:key}` once, and tells the keys in their order. A key without a value gives nothing.
pub fn expand_meta(template: &str, value: impl Fn(&str) -> Option<String>) -> (String, Vec<String>) {
    let mut keys = Vec::new();
    let text = replace_tokens(template, |token| {
        let key = meta_key(token)?;
        keys.push(key.to_owned());
        Some(value(key).unwrap_or_default())
    });
    (text, keys)
}

/// Fills in each `{meta:…}`, also with keys that name a parent.
pub(crate) fn expand_meta_tokens(text: &str, mut value: impl FnMut(&str) -> String) -> String {
    replace_tokens(text, |token| token.strip_prefix("meta:").map(&mut value))
}

/// The keys of all `{meta:…}` of a text, also those that name a parent.
pub(crate) fn meta_token_keys(text: &str) -> Vec<String> {
    let mut keys = Vec::new();
    expand_meta_tokens(text, |key| {
        keys.push(key.to_owned());
        String::new()
    });
    keys
}

/// The keys of all `{meta:key}` of a text.
pub fn meta_keys(text: &str) -> Vec<String> {
    expand_meta(text, |_| None).1
}

/// The year 1: how Go writes that there is no time.
pub fn is_zero(time: NaiveDateTime) -> bool {
    use chrono::{Datelike, Timelike};
    time.year() == 1 && time.ordinal() == 1 && time.num_seconds_from_midnight() == 0 && time.nanosecond() == 0
}

fn meta_key(token: &str) -> Option<&str> {
    let key = token.strip_prefix("meta:")?;
    let word = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    word.then_some(key)
}

/// Replaces each `{token}` that `value` knows; a brace that opens none stays.
fn replace_tokens(text: &str, mut value: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len() + 16); // most values are about as long as their tokens
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        rest = &rest[open..];
        // Up to the next brace of any kind, so that a text full of them is read once.
        let close = rest[1..].find(['{', '}']).map(|at| at + 1).filter(|at| rest[*at..].starts_with('}'));
        let found = close.and_then(|close| Some((close, value(&rest[1..close])?)));
        let (written, next) = match &found {
            Some((close, text)) => (text.as_str(), close + 1),
            None => ("{", 1),
        };
        out.push_str(written);
        rest = &rest[next..];
    }
    out + rest
}

/// Whether the word between braces stands for a part of the time or for the machine.
pub fn is_time_token(token: &str) -> bool {
    TemplateToken::parse(token).is_some()
}

/// Whether the word between braces is a `meta:key` that is filled in.
pub fn is_meta_token(token: &str) -> bool {
    meta_key(token).is_some()
}

/// What stands between braces.
enum TemplateToken {
    /// A part of the time, in this format.
    Time(&'static str),
    Uuid,
    Host,
    Pod,
}

impl TemplateToken {
    fn parse(token: &str) -> Option<Self> {
        Some(match token {
            // `{MIN}` was no token of the reference system; the names further down it took in any case.
            "min" => Self::Time("%M"),
            "TS" | "ts" => Self::Time("%Y%m%dT%H%M%S"),
            "SLUG" | "HOUR_SLUG" => Self::Time("%Y/%m/%d/%H"),
            "DAY_SLUG" => Self::Time("%Y/%m/%d"),
            "MONTH_SLUG" => Self::Time("%Y/%m"),
            "uuid" | "UUID" => Self::Uuid,
            token => match token.to_ascii_lowercase().as_str() {
                "yyyy" => Self::Time("%Y"),
                "yy" => Self::Time("%y"),
                "mm" => Self::Time("%m"),
                "dd" => Self::Time("%d"),
                "hh" => Self::Time("%H"),
                "host" => Self::Host,
                "pod" => Self::Pod,
                _ => return None,
            },
        })
    }
}

fn value_of(token: &str, time: NaiveDateTime, host: &str, ids: &mut dyn IdSource) -> Option<String> {
    Some(match TemplateToken::parse(token)? {
        TemplateToken::Time(format) => time.format(format).to_string(),
        // The reference system took the first eight digits of a UUID.
        TemplateToken::Uuid => format!("{:08x}", ids.random_bits() >> 32),
        TemplateToken::Host => host.to_owned(),
        TemplateToken::Pod => pod_of_host(host).to_owned(),
    })
}

/// The last two parts of a host name between dashes: what tells apart the pods of one deployment.
fn pod_of_host(host: &str) -> &str {
    host.rmatch_indices('-').nth(1).map_or(host, |(place, _)| &host[place + 1..])
}

/// The values of one line of a meta file, or of one position of `meta=`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetaRow(pub BTreeMap<String, String>);

/// A line that is no row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetaRowError {
    /// Not JSON at all.
    #[error("line {line}: not JSON ({problem}): each line is one object, like {{\"key\":\"value\"}}")]
    Json {
        /// Which line, from 1.
        line: usize,
        /// What the parser says.
        problem: String,
    },
    /// JSON, but not an object.
    #[error("line {line}: not an object: each line is one, like {{\"key\":\"value\"}}")]
    NotAnObject {
        /// Which line, from 1.
        line: usize,
    },
    /// CSV whose first line doesn't name the keys.
    #[error("the first line of a CSV file names the keys: one of them is empty")]
    NoHeader,
    /// A line of CSV that doesn't go with the first one.
    #[error("line {line}: {values} values, but the first line names {keys} keys")]
    Values {
        /// Which line, from 1.
        line: u64,
        /// How many it has.
        values: usize,
        /// How many there are.
        keys: usize,
    },
    /// A text that is no CSV.
    #[error("not CSV: {problem}")]
    Csv {
        /// What the parser says.
        problem: String,
    },
    /// More rows than may be.
    #[error("more than {most} rows: split the file")]
    TooMany {
        /// How many rows may be.
        most: usize,
    },
}

impl MetaRow {
    /// Reads one JSON value: an object, or null for no values.
    pub fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(Self::default()),
            Value::Object(map) => Some(Self(map.iter().map(|(key, value)| (key.clone(), json_text(value))).collect())),
            _ => None,
        }
    }

    /// Reads JSON lines; empty lines don't count.
    pub fn from_json_lines(text: &str) -> Result<Vec<Self>, MetaRowError> {
        Self::each_json_line(text).collect()
    }

    /// Reads JSON lines one by one.
    pub(crate) fn each_json_line(text: &str) -> impl Iterator<Item = Result<Self, MetaRowError>> {
        let lines = text.lines().zip(1..).filter(|(text, _)| !text.trim().is_empty());
        lines.map(|(text, line)| {
            let value: Value =
                serde_json::from_str(text).map_err(|e| MetaRowError::Json { line, problem: e.to_string() })?;
            Self::from_json(&value).ok_or(MetaRowError::NotAnObject { line })
        })
    }

    /// The value of a key.
    pub fn value_of(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

/// How a JSON value is written into a template: text as it is, numbers exactly, all else as JSON.
pub fn json_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (None, None, Some(float)) => float.to_string(), // go writes no `.0` after a whole number
            _ => number.to_string(),
        },
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::fixed::FixedIds;

    #[test]
    fn every_uuid_is_its_own() {
        let time = DateTime::from_timestamp(1_600_000_000, 0).unwrap();
        let text = render_template_utc("{uuid} {UUID} {ts} {Ts}#{uuid}", Some(time), "h", &mut FixedIds::default());
        assert_eq!(text, "9e3779b9 3c6ef372 20200913T122640 {Ts}#{uuid}");
    }

    #[test]
    fn a_value_is_not_expanded_again() {
        let value = |key: &str| (key == "a").then(|| "{meta:b}{meta:a}".to_owned());
        let (text, keys) = expand_meta("{meta:a}-{meta:b}", value);
        assert_eq!((text.as_str(), keys.len()), ("{meta:b}{meta:a}-", 2));
    }

    /// Each brace was once a search through all that follows.
    #[test]
    fn a_template_full_of_braces_is_read_once() {
        let braces = "{".repeat(1_000_000);
        let time = DateTime::from_timestamp(1_600_000_000, 0);
        assert_eq!(
            render_template_utc(&(braces.clone() + "{yyyy}"), time, "h", &mut FixedIds::default()),
            braces + "2020"
        );
    }

    #[test]
    fn numbers_keep_their_digits() {
        let rows = MetaRow::from_json_lines("{\"a\":9007199254740993,\"b\":3.0,\"c\":true,\"d\":[1]}\n\n").unwrap();
        let values: Vec<&str> = rows[0].0.values().map(String::as_str).collect();
        assert_eq!(values, ["9007199254740993", "3", "true", "[1]"]);
        let error = MetaRow::from_json_lines("{}\n\n[1]").unwrap_err();
        assert!(error.to_string().starts_with("line 3: not an object"), "{error}");
    }

    fn filled(template: &str) -> String {
        let time = "2024-01-02T03:04:05Z".parse().unwrap();
        render_template_utc(template, Some(time), "app-flow-7f9c-x2x", &mut FixedIds::default())
    }

    #[test]
    fn tokens_are_filled_in() {
        for (template, text) in [
            ("{yyyy}-{yy}-{mm}-{dd}T{hh}:{min}", "2024-24-01-02T03:04"),
            ("{YYYY}{Mm}{DD}{HH}", "2024010203"),
            ("{ts} {TS}", "20240102T030405 20240102T030405"),
            ("{SLUG} {HOUR_SLUG}", "2024/01/02/03 2024/01/02/03"),
            ("{DAY_SLUG} {MONTH_SLUG}", "2024/01/02 2024/01"),
            ("{host} {HOST} {pod}", "app-flow-7f9c-x2x app-flow-7f9c-x2x 7f9c-x2x"),
            ("{uuid} {UUID}", "9e3779b9 3c6ef372"),
            ("{Min} {slug} {x} {} {{dd}}", "{Min} {slug} {x} {} {02}"),
            ("{meta:k}{dd}", "{meta:k}02"),
            ("a#{dd}", "a#{dd}"),
            ("{dd}#{dd}#", "02#{dd}#"),
            ("#{dd}", "#02"),
            ("{dd", "{dd"),
            ("日{dd}日", "日02日"),
        ] {
            assert_eq!(filled(template), text, "{template}");
        }
    }

    #[test]
    fn without_a_time_nothing_is_filled_in() {
        let ids = &mut FixedIds::default();
        assert_eq!(render_template_utc("{dd}{host}", None, "h", ids), "{dd}{host}");
        for (zero, text) in [
            ("0001-01-01T00:00:00", "{dd}"),
            ("0001-01-01T00:00:01", "01"),
            ("0001-01-01T00:00:00.000000001", "01"),
            ("0001-01-02T00:00:00", "02"),
            ("0002-01-01T00:00:00", "01"),
        ] {
            assert_eq!(render_template("{dd}", Some(zero.parse().unwrap()), "h", ids), text, "{zero}");
        }
    }

    #[test]
    fn the_last_two_parts_of_a_host_tell_pods_apart() {
        for (host, pod) in [("a-b-c", "b-c"), ("a-b", "a-b"), ("a", "a"), ("", ""), ("x-a-b-c", "b-c")] {
            let time = "2024-01-02T03:04:05".parse().ok();
            assert_eq!(render_template("{pod}", time, host, &mut FixedIds::default()), pod);
        }
    }

    #[test]
    fn meta_is_filled_in_once_and_its_keys_are_told_in_order() {
        let (text, keys) = expand_meta("{meta:a}-{meta:b}-{meta:a}-{meta:}-{meta:x y}-{a}", |key| {
            (key == "a").then(|| "{meta:b}".into())
        });
        assert_eq!(text, "{meta:b}--{meta:b}-{meta:}-{meta:x y}-{a}");
        assert_eq!(keys, ["a", "b", "a"]);
        assert_eq!(meta_keys("{meta:k_1}{meta:k-1}{META:k}"), ["k_1"]);
        for (token, is_time, is_meta) in
            [("dd", true, false), ("pod", true, false), ("meta:a", false, true), ("x", false, false)]
        {
            assert_eq!((is_time_token(token), is_meta_token(token)), (is_time, is_meta), "{token}");
        }
    }

    #[test]
    fn values_of_json_are_written_as_a_template_shows_them() {
        for (json, text) in [
            ("null", ""),
            ("\"a b\"", "a b"),
            ("1", "1"),
            ("-1", "-1"),
            ("18446744073709551615", "18446744073709551615"),
            ("1.50", "1.5"),
            ("1e3", "1000"),
            ("true", "true"),
            ("[1,2]", "[1,2]"),
            ("{\"a\":1}", "{\"a\":1}"),
        ] {
            assert_eq!(json_text(&serde_json::from_str(json).unwrap()), text, "{json}");
        }
        let row = MetaRow::from_json(&serde_json::json!({"a": 1})).unwrap();
        assert_eq!((row.value_of("a"), row.value_of("b")), (Some("1"), None));
        assert_eq!(MetaRow::from_json(&Value::Null), Some(MetaRow::default()));
        assert_eq!(MetaRow::from_json(&serde_json::json!([])), None);
        let wrong = MetaRow::from_json_lines("{}\n \n{\"a\"\n").unwrap_err().to_string();
        assert!(wrong.starts_with("line 3: not JSON ("), "{wrong}");
    }

    proptest! {
        #[test]
        fn any_template_is_rendered(template in "[{}a-zA-Z:#日_]{0,30}", seconds in -60_000_000_000_i64..250_000_000_000) {
            let time = DateTime::from_timestamp(seconds, 0);
            let text = render_template_utc(&template, time, "a-b-c", &mut FixedIds::default());
            let _ = expand_meta(&text, |_| None);
        }
    }
}

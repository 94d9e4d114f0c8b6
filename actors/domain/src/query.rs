//! The URL queries in which rules and meta are written: parsed as Go's `url.ParseQuery` does, written so that
//! people can read them and every value reads back.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// An ordered list of keys and values; a key may come more than once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    iter_pairs: Vec<(String, String)>,
}

/// A pair that can't be read. The others of the same text can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// `;` separates nothing.
    #[error("`{pair}` has a semicolon: separate by `&`, write a semicolon as %3B")]
    Semicolon {
        /// The pair that was left out.
        pair: String,
    },
    /// `%` without two hexadecimal digits after it.
    #[error("`{escape}` in `{pair}` is not an escape: write a percent sign as %25")]
    Escape {
        /// The text from the percent sign on.
        escape: String,
        /// The pair that was left out.
        pair: String,
    },
}

impl Query {
    /// Reads a query; an unreadable pair is an error.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        match Self::parse_with_error(text) {
            (query, None) => Ok(query),
            (_, Some(error)) => Err(error),
        }
    }

    /// Reads what can be read.
    pub fn parse_lenient(text: &str) -> Self {
        Self::parse_with_error(text).0
    }

    /// Reads what can be read, and tells the first pair that can't.
    pub fn parse_with_error(text: &str) -> (Self, Option<QueryError>) {
        let mut query = Self::default();
        let mut error = None;
        // `&&` and an `&` at an end separate nothing.
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            match parse_pair(pair) {
                Ok(pair) => query.iter_pairs.push(pair),
                Err(e) => error = error.or(Some(e)),
            }
        }
        (query, error)
    }

    /// The first value of a key.
    pub fn first_value(&self, key: &str) -> Option<&str> {
        self.all_values(key).next()
    }

    /// All values of a key, in their order.
    pub fn all_values<'a, 'k>(&'a self, key: &'k str) -> impl Iterator<Item = &'a str> + use<'a, 'k> {
        self.iter_pairs.iter().filter(move |(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// The first value of a key, whatever the case in which the key is written.
    pub fn first_any_case(&self, key: &str) -> Option<&str> {
        self.all_any_case(key).next()
    }

    /// All values of a key, whatever the case in which the key is written.
    pub fn all_any_case<'a, 'k>(&'a self, key: &'k str) -> impl Iterator<Item = &'a str> + use<'a, 'k> {
        self.iter_pairs.iter().filter(move |(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, value)| value.as_str())
    }

    /// The pairs in their order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter_pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.iter_pairs.is_empty()
    }

    /// Gives a key one value in the place of its first one, else at the end.
    pub fn set_value(&mut self, key: &str, value: impl Into<String>) {
        let Some(place) = self.iter_pairs.iter().position(|(k, _)| k == key) else {
            self.push_pair(key, value);
            return;
        };
        self.iter_pairs[place].1 = value.into(); // the place stays, so that a meta reads as its author wrote it
        let mut index = 0;
        self.iter_pairs.retain(|(k, _)| {
            index += 1;
            index <= place + 1 || k != key
        });
    }

    /// Adds a pair at the end.
    pub fn push_pair(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.iter_pairs.push((key.into(), value.into()));
    }

    /// Takes a key out.
    pub fn remove_key(&mut self, key: &str) {
        self.iter_pairs.retain(|(k, _)| k != key);
    }

    /// Orders the pairs by key; values of one key keep their order.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.iter_pairs.sort_by(|a, b| a.0.cmp(&b.0));
        self
    }

    /// Writes the query. Only what would not read back is percent-encoded; a space stays a space.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.iter_pairs {
            if !text.is_empty() {
                text.push('&');
            }
            escape_text(key, true, &mut text);
            text.push('=');
            escape_text(value, false, &mut text);
        }
        text
    }
}

impl FromIterator<(String, String)> for Query {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(pairs: T) -> Self {
        Self { iter_pairs: pairs.into_iter().collect() }
    }
}

/// The task's meta with the worker's keys over it. Without anything from the worker the text stays as it is.
pub fn merge_meta(task_meta: &str, worker_meta: &str) -> String {
    let worker = Query::parse_lenient(worker_meta);
    // Also its spelling stays: people may have written it.
    if worker.is_empty() {
        return task_meta.to_owned();
    }
    // A worker may send megabytes: each key is looked up once.
    let mut over: HashMap<&str, &str> = HashMap::new();
    // The first value counts, as everywhere.
    let firsts: Vec<(&str, &str)> = worker
        .pairs()
        .filter(|(key, value)| match over.entry(key) {
            Entry::Vacant(entry) => *entry.insert(value) == *value,
            Entry::Occupied(_) => false,
        })
        .collect();
    let task = Query::parse_lenient(task_meta);
    let mut merged = Query::default();
    let mut placed = HashSet::new();
    for (key, value) in task.pairs() {
        match over.get(key) {
            None => merged.push_pair(key, value),
            Some(value) if placed.insert(key) => merged.push_pair(key, *value),
            Some(_) => {}
        }
    }
    firsts.into_iter().filter(|(key, _)| !placed.contains(key)).for_each(|(key, value)| merged.push_pair(key, value));
    merged.to_text()
}

/// What to write instead of a time whose `+` was read as a space, as it is in every query; nothing for other texts.
pub fn lost_plus(time: &str) -> String {
    let plain = time.trim_start();
    match plain.rsplit_once(' ').map(|(time, zone)| format!("{time}+{zone}")) {
        Some(time) if chrono::DateTime::parse_from_rfc3339(&time).is_ok() => {
            format!("; a `+` in a query is a space: write {}", time.replace('+', "%2B"))
        }
        _ => String::new(),
    }
}

fn parse_pair(pair: &str) -> Result<(String, String), QueryError> {
    // It once separated pairs, and Go has refused it since 1.17: what was meant can't be told.
    if pair.contains(';') {
        return Err(QueryError::Semicolon { pair: pair.to_owned() });
    }
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    match (unescape_text(key, true), unescape_text(value, true)) {
        (Ok(key), Ok(value)) => Ok((key, value)),
        (Err(escape), _) | (_, Err(escape)) => Err(QueryError::Escape { escape, pair: pair.to_owned() }),
    }
}

/// Text without its escapes, or the first escape that is none. In a query a plus stands for a space, in a path for itself.
pub(crate) fn unescape_text(text: &str, is_query: bool) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'%' => {
                let byte = bytes.get(i + 1..i + 3).and_then(hex_byte);
                out.push(byte.ok_or_else(|| text[i..].chars().take(3).collect::<String>())?);
                i += 2;
            }
            b'+' if is_query => out.push(b' '),
            byte => out.push(byte),
        }
        i += 1;
    }
    // A text of Go holds any bytes; here all texts are UTF-8, so what isn't is marked, not refused.
    Ok(String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

/// The byte of two hexadecimal digits.
fn hex_byte(digits: &[u8]) -> Option<u8> {
    let [high, low] = digits else { return None };
    u8::try_from(char::from(*high).to_digit(16)? * 16 + char::from(*low).to_digit(16)?).ok()
}

fn escape_text(text: &str, is_key: bool, out: &mut String) {
    for c in text.chars() {
        match c {
            // No more than these, which would be read back as something else: people read and search metas.
            '%' => out.push_str("%25"),
            '&' => out.push_str("%26"),
            '+' => out.push_str("%2B"),
            ';' => out.push_str("%3B"),
            '=' if is_key => out.push_str("%3D"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_that_lost_its_plus_says_how_to_write_it() {
        let told = lost_plus("2026-01-15T00:00:00 02:00");
        assert_eq!(told, "; a `+` in a query is a space: write 2026-01-15T00:00:00%2B02:00");
        for text in ["", "2026-01-15", "2026-01-15T00:00:00+02:00", "2026-01-15 02:00", "a b"] {
            assert_eq!(lost_plus(text), "", "{text}");
        }
    }

    #[test]
    fn a_worker_s_keys_go_over_the_task_s() {
        assert_eq!(merge_meta("a=1&b=2", ""), "a=1&b=2");
        assert_eq!(merge_meta("a=1&b=2&a=3", "a=x y&c=5%26"), "a=x y&b=2&c=5%26");
        assert_eq!(merge_meta("x=%zz&workflow=f", "%zz"), "x=%zz&workflow=f");
        assert_eq!(merge_meta("a=1", "a=2&a=3"), "a=2");
    }

    /// A result may be 8 MiB: looking through all keys for each would take minutes.
    #[test]
    fn a_worker_may_send_many_keys() {
        let many: Vec<String> = (0..300_000).map(|n| format!("k{n}={n}")).collect();
        let meta = many.join("&");
        assert_eq!(merge_meta("", &meta), meta);
        assert_eq!(merge_meta(&meta, &meta), meta);
    }

    #[test]
    fn an_unreadable_pair_hides_no_other() {
        let (query, error) = Query::parse_with_error("a=1&b=%zz&c=x;y&d=+");
        assert_eq!(query.to_text(), "a=1&d= ");
        assert_eq!(error.unwrap().to_string(), "`%zz` in `b=%zz` is not an escape: write a percent sign as %25");
    }

    #[test]
    fn set_replaces_in_place() {
        let mut query = Query::parse_lenient("a=1&b=2&a=3");
        query.set_value("a", "x");
        query.set_value("c", "y");
        assert_eq!(query.to_text(), "a=x&b=2&c=y");
    }

    #[test]
    fn only_what_would_not_read_back_is_escaped() {
        for (written, encoded) in
            [("a=b=c", "a=b=c"), ("a%3Db=c", "a%3Db=c"), ("a=%25%26%2B%3B", "a=%25%26%2B%3B"), ("a=x+y/z", "a=x y/z")]
        {
            assert_eq!(Query::parse_lenient(written).to_text(), encoded);
        }
        let query = Query::parse_lenient("a=1&B=2&b=3&A=4");
        assert_eq!(
            (query.first_value("a"), query.first_value("b"), query.first_value("c")),
            (Some("1"), Some("3"), None)
        );
        assert_eq!(query.first_any_case("A"), Some("1"));
        assert_eq!(query.all_any_case("b").collect::<Vec<_>>(), ["2", "3"]);
        assert_eq!(query.clone().sorted().to_text(), "A=4&B=2&a=1&b=3");
        assert!(!query.is_empty() && Query::parse_lenient("&&").is_empty());
        assert_eq!(
            Query::parse("a=1;b").unwrap_err().to_string(),
            "`a=1;b` has a semicolon: separate by `&`, write a semicolon as %3B"
        );
        for (written, escape) in [("a=%z", "`%z` in"), ("a=%1", "`%1` in"), ("a=%", "`%` in"), ("a=1%4x2", "`%4x` in")]
        {
            let told = Query::parse(written).unwrap_err().to_string();
            assert!(told.starts_with(escape), "{told}");
        }
    }

    #[test]
    fn values_of_a_key_keep_their_order_and_a_key_goes_with_all_of_them() {
        let mut query = Query::parse_lenient("a=1&b=2&a=3&A=4");
        assert_eq!(query.all_values("a").collect::<Vec<_>>(), ["1", "3"]);
        assert_eq!(query.all_any_case("a").collect::<Vec<_>>(), ["1", "3", "4"]);
        query.remove_key("a");
        assert_eq!(query.to_text(), "b=2&A=4");
        query.set_value("b=c", "d=e");
        assert_eq!(query.to_text(), "b=2&A=4&b%3Dc=d=e", "only in a key an equals sign ends something");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(pairs in prop::collection::vec((".*", ".*"), 0..5)) {
            let query: Query = pairs.into_iter().collect();
            prop_assert_eq!(Query::parse(&query.to_text()), Ok(query));
        }

        #[test]
        fn merging_is_setting_one_by_one(task in "([abc]=[12]&?){0,5}", worker in "([abcd]=[345]&?){0,5}") {
            let (mut expected, over) = (Query::parse_lenient(&task), Query::parse_lenient(&worker));
            for (key, _) in over.pairs() {
                expected.set_value(key, over.first_value(key).unwrap_or_default());
            }
            let expected = if over.is_empty() { task.clone() } else { expected.to_text() };
            prop_assert_eq!(merge_meta(&task, &worker), expected);
        }

        #[test]
        fn any_text_is_read(text in ".*") {
            let _ = Query::parse_with_error(&text);
        }
    }
}

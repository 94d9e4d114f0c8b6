//! What people write into the search box of tasks: words that must all be there, phrases in quotes, a field before
//! a colon, a dash for what must not be there.
//!
//! ```
//! use flowlord_domain::search::{SearchedTask, TaskSearch};
//!
//! let search: TaskSearch = r#"disk -retry type:load result:error msg:"no space""#.parse()?;
//! let row = SearchedTask {
//!     topic: b"load",
//!     job: b"hourly",
//!     id: b"chain",
//!     result: Some(flowlord_domain::TaskResult::Error),
//!     info: b"s3://lake/2026/03/02/",
//!     meta: b"",
//!     msg: b"No space left on disk",
//! };
//! assert!(search.finds_task(&row));
//! assert!(!search.finds_task(&SearchedTask { result: None, ..row }), "it still runs");
//! let error = "result:good".parse::<TaskSearch>().unwrap_err();
//! assert_eq!(error.to_string(), "`result:good` is not a result: write complete, error, warn, alert or running");
//! # Ok::<(), flowlord_domain::search::SearchError>(())
//! ```

use std::fmt;
use std::str::FromStr;

use crate::task::TaskResult;

/// The longest search, in bytes.
pub const MAX_BYTES: usize = 1_000;

const MAX_TERMS: usize = 20;

/// Where a term is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchField {
    /// In all of them.
    Any,
    /// The topic, as a whole.
    Type,
    /// The job, as a whole.
    Job,
    /// The chain's id, as a whole.
    Id,
    /// How it ended; `running` while it didn't.
    Result,
    /// Within the info.
    Info,
    /// Within the meta.
    Meta,
    /// Within the message.
    Msg,
}

impl SearchField {
    const NAMED: [(&'static str, Self); 7] = [
        ("type", Self::Type),
        ("job", Self::Job),
        ("id", Self::Id),
        ("result", Self::Result),
        ("info", Self::Info),
        ("meta", Self::Meta),
        ("msg", Self::Msg),
    ];

    fn by_name(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, field)| *field)
    }
}

/// One word or phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchTerm {
    /// The field in which it is looked for.
    pub field: SearchField,
    /// The word or phrase, in lower case.
    pub text: String,
    /// It must not be there.
    pub negated: bool,
}

/// A search: all terms hold. The empty one finds everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskSearch {
    /// The terms.
    pub terms: Vec<SearchTerm>,
}

/// A search that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// A quote without its end.
    #[error("a quote isn't closed: write \"no space\", with a quote on either side")]
    Unclosed,
    /// A field or dash without what is looked for.
    #[error("`{0}` has no search text: write a word or a quoted phrase after it")]
    Empty(String),
    /// A result that there is not.
    #[error("`result:{0}` is not a result: write complete, error, warn, alert or running")]
    Result(String),
    /// Too many words, or too many bytes.
    #[error("the search is too long: write at most {MAX_TERMS} words, {MAX_BYTES} bytes in all")]
    TooLong,
}

/// What a task's row shows to a search; texts as bytes, as the database has them.
#[derive(Debug, Clone, Copy)]
pub struct SearchedTask<'a> {
    /// The topic, `type` on the wire.
    pub topic: &'a [u8],
    /// The job within the topic; empty for none.
    pub job: &'a [u8],
    /// The chain's id.
    pub id: &'a [u8],
    /// How it ended; none while it runs.
    pub result: Option<TaskResult>,
    /// The info.
    pub info: &'a [u8],
    /// The meta.
    pub meta: &'a [u8],
    /// The message.
    pub msg: &'a [u8],
}

impl FromStr for TaskSearch {
    type Err = SearchError;

    fn from_str(text: &str) -> Result<Self, SearchError> {
        if text.len() > MAX_BYTES {
            return Err(SearchError::TooLong);
        }
        let mut terms = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (term, behind) = read_term(rest)?;
            terms.push(term);
            rest = behind.trim_start();
        }
        if terms.len() > MAX_TERMS {
            return Err(SearchError::TooLong);
        }
        Ok(Self { terms })
    }
}

/// The first term of a text that begins with one, and what follows it.
fn read_term(text: &str) -> Result<(SearchTerm, &str), SearchError> {
    let (negated, begin) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    // After any other word a colon belongs to the text, as in `s3://lake`.
    let named = begin.split_once(':').and_then(|(name, rest)| Some((SearchField::by_name(name)?, rest)));
    let (field, value) = named.unwrap_or((SearchField::Any, begin));
    let (value, rest) = value_of(value)?;
    if value.is_empty() {
        let written = text.len() - rest.len();
        return Err(SearchError::Empty(text.get(..written).unwrap_or(text).to_owned()));
    }
    let text = value.to_lowercase();
    let is_result = text == "running" || text.parse::<TaskResult>().is_ok();
    // A misspelt result would find nothing and look like an answer.
    if field == SearchField::Result && !is_result {
        return Err(SearchError::Result(text));
    }
    Ok((SearchTerm { field, text, negated }, rest))
}

/// A word, or a phrase in quotes.
fn value_of(text: &str) -> Result<(&str, &str), SearchError> {
    match text.strip_prefix('"') {
        Some(phrase) => phrase.split_once('"').ok_or(SearchError::Unclosed),
        None => Ok(text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()))),
    }
}

impl TaskSearch {
    /// Whether a task is found.
    pub fn finds_task(&self, row: &SearchedTask<'_>) -> bool {
        self.terms.iter().all(|term| term.is_in(row) != term.negated)
    }

    /// The one text that a field must have as a whole, where the search says so.
    pub fn whole_value(&self, field: SearchField) -> Option<&str> {
        let mut terms = self.terms.iter().filter(|term| term.field == field && !term.negated);
        terms.next().map(|term| term.text.as_str())
    }
}

impl SearchTerm {
    fn is_in(&self, row: &SearchedTask<'_>) -> bool {
        let text = self.text.as_str();
        match self.field {
            SearchField::Type => is_equal(row.topic, text),
            SearchField::Job => is_equal(row.job, text),
            SearchField::Id => is_equal(row.id, text),
            SearchField::Result => result_name(row) == text,
            SearchField::Info => contains_text(row.info, text),
            SearchField::Meta => contains_text(row.meta, text),
            SearchField::Msg => contains_text(row.msg, text),
            SearchField::Any => {
                [row.info, row.meta, row.msg].iter().any(|hay| contains_text(hay, text))
                    || is_in_name(row, text)
                    || contains_text(result_name(row).as_bytes(), text)
            }
        }
    }
}

fn result_name(row: &SearchedTask<'_>) -> &'static str {
    row.result.map_or("running", TaskResult::as_str)
}

/// Within `topic:job`, as people write it.
fn is_in_name(row: &SearchedTask<'_>, text: &str) -> bool {
    // Joining the two costs a copy for each row, which is worth it only where the text can reach across.
    if !text.contains(':') {
        return contains_text(row.topic, text) || contains_text(row.job, text);
    }
    contains_text(&[row.topic, b":", row.job].concat(), text)
}

fn is_equal(hay: &[u8], text: &str) -> bool {
    if text.is_ascii() {
        return hay.eq_ignore_ascii_case(text.as_bytes());
    }
    String::from_utf8_lossy(hay).to_lowercase() == text
}

/// Whether `text`, which is lower case, is in `hay` in any case.
fn contains_text(hay: &[u8], text: &str) -> bool {
    if !text.is_ascii() {
        return String::from_utf8_lossy(hay).to_lowercase().contains(text);
    }
    let needle = text.as_bytes();
    let Some((first, last)) = needle.first().zip(hay.len().checked_sub(needle.len())) else { return false };
    let (lower, upper) = (first.to_ascii_lowercase(), first.to_ascii_uppercase());
    // A loop over bytes: the compiler makes it wide, and few rows come further than this.
    let mut starts = (0..=last).filter(|at| hay.get(*at).is_some_and(|byte| *byte == lower || *byte == upper));
    starts.any(|at| hay.get(at..at + needle.len()).is_some_and(|part| part.eq_ignore_ascii_case(needle)))
}

impl fmt::Display for TaskSearch {
    /// As it is written, shortest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, SearchTerm { field, text, negated }) in self.terms.iter().enumerate() {
            let name = SearchField::NAMED.iter().find(|(_, named)| named == field).map(|(name, _)| name);
            let quote = if text.contains(char::is_whitespace) { "\"" } else { "" };
            write!(f, "{}{}", if index > 0 { " " } else { "" }, if *negated { "-" } else { "" })?;
            if let Some(name) = name {
                write!(f, "{name}:")?;
            }
            write!(f, "{quote}{text}{quote}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: SearchedTask<'_> = SearchedTask {
        topic: b"load",
        job: b"hourly",
        id: b"Chain-1",
        result: Some(TaskResult::Error),
        info: b"s3://bucket/2026-03-02T05/data.json?hour=05",
        meta: b"workflow=etl/main.toml&file=a b.csv",
        msg: "No space left: Datei \u{dc}bergro\u{df} after 12:30".as_bytes(),
    };

    fn finds(text: &str) -> bool {
        text.parse::<TaskSearch>().unwrap().finds_task(&ROW)
    }

    #[test]
    fn all_terms_must_hold() {
        for text in [
            "",
            "  ",
            "space",
            "SPACE left",
            "\"no space\"",
            "load:hourly",
            "12:30",
            "s3://bucket",
            "error",
            "type:load",
            "TYPE:Load job:hourly",
            "id:chain-1",
            "result:error",
            "-result:complete",
            "info:2026-03-02",
            "meta:\"a b.csv\"",
            "msg:\u{fc}bergro\u{df}",
            "-nowhere -type:other space",
            "wor",
            "\u{dc}BERGRO\u{df}",
        ] {
            assert!(finds(text), "{text}");
        }
        for text in [
            "nowhere",
            "\"space no\"",
            "-space",
            "type:loa",
            "type:load job:daily",
            "id:chain",
            "result:running",
            "msg:bucket",
            "info:space",
            "-type:load",
            "loadhourly",
            "running",
            "no-space",
        ] {
            assert!(!finds(text), "{text}");
        }
        let running = SearchedTask { result: None, ..ROW };
        assert!("result:running".parse::<TaskSearch>().unwrap().finds_task(&running));
    }

    #[test]
    fn what_is_missing_is_told() {
        for (text, told) in [
            ("\"no space", "closed"),
            ("msg:\"", "closed"),
            ("type:", "`type:` has no search text"),
            ("a - b", "`-` has no search text"),
            ("-msg: x", "`-msg:` has no search text"),
            ("\"\"", "`\"\"` has no search text"),
            ("result:good", "`result:good` is not a result"),
        ] {
            let err = text.parse::<TaskSearch>().unwrap_err().to_string();
            assert!(err.contains(told), "{text}: {err}");
        }
        assert_eq!("a ".repeat(21).parse::<TaskSearch>(), Err(SearchError::TooLong));
        assert_eq!("a".repeat(1_001).parse::<TaskSearch>(), Err(SearchError::TooLong));
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        let search: TaskSearch = " -Type:load  \"no space\" http://x meta:a=1 ".parse().unwrap();
        assert_eq!(search.to_string(), "-type:load \"no space\" http://x meta:a=1");
        assert_eq!(search.to_string().parse(), Ok(search.clone()));
        assert_eq!((search.whole_value(SearchField::Type), search.whole_value(SearchField::Job)), (None, None));
        assert_eq!("job:x".parse::<TaskSearch>().unwrap().whole_value(SearchField::Job), Some("x"));
    }

    #[test]
    fn letters_beyond_ascii_count_in_any_case_too() {
        let row = SearchedTask { topic: "Über".as_bytes(), ..ROW };
        let finds = |text: &str| text.parse::<TaskSearch>().unwrap().finds_task(&row);
        assert!(finds("type:über") && finds("type:ÜBER") && finds("über"));
        assert!(!finds("type:übe") && !finds("type:uber"));
        assert!(!finds(&"x".repeat(100)), "longer than any text of the row");
        assert!("x".repeat(MAX_BYTES).parse::<TaskSearch>().is_ok());
        assert_eq!("a ".repeat(MAX_TERMS).parse::<TaskSearch>().unwrap().terms.len(), MAX_TERMS);
    }

    #[test]
    fn a_word_is_found_in_the_name_of_a_task_as_people_write_it() {
        for (text, is_found) in [
            ("load", true),
            ("hourly", true),
            ("oad:hou", true),
            ("load:", true),
            (":hourly", true),
            ("load:daily", false),
        ] {
            assert_eq!(finds(text), is_found, "{text}");
        }
    }

    #[test]
    fn a_whole_value_is_the_first_that_must_be_there() {
        let search: TaskSearch = "-job:a job:\"b c\" job:d".parse().unwrap();
        assert_eq!(search.whole_value(SearchField::Job), Some("b c"));
        assert_eq!(search.whole_value(SearchField::Any), None);
        assert_eq!(search.to_string(), "-job:a job:\"b c\" job:d");
        let error = "RESULT:Good".parse::<TaskSearch>().unwrap_err();
        assert_eq!(error, SearchError::Result("good".to_owned()));
        for result in ["complete", "error", "warn", "alert", "running", "ERROR"] {
            assert!(format!("result:{result}").parse::<TaskSearch>().is_ok(), "{result}");
        }
    }
}

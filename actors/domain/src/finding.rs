//! What is wrong with a workflow file, and where.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It doesn't do what its author wants.
    Error,
    /// It may not do what its author wants.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// The workflow file, relative to the workflow root.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl Finding {
    /// What is wrong with a file at a line and column of it.
    pub fn new(file: &str, (line, column): (usize, usize), severity: Severity, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, column, severity, message: message.into() }
    }

    /// What is wrong with a file as a whole.
    pub fn of_file(file: &str, severity: Severity, message: impl Into<String>) -> Self {
        Self::new(file, (1, 1), severity, message)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

/// The candidate most like `word`, if any is like it.
pub fn nearest_word<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const ALIKE: f64 = 0.84;
    let word = plain_word(word);
    let scored = candidates.into_iter().map(|c| (strsim::jaro_winkler(&word, &plain_word(c)), c));
    // Less alike than this is a guess that misleads.
    scored.filter(|(score, _)| *score >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, c)| c)
}

/// A word without what people mix up most: its case, dashes and underscores.
fn plain_word(word: &str) -> String {
    word.to_lowercase().replace(['-', '_'], "")
}

/// `: did you mean …?` when there is something like it.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest_word(word, candidates).map_or_else(String::new, |found| format!(": did you mean `{found}`?"))
}

/// What to write in the place of a word that isn't known: the one most like it, else one of them.
pub(crate) fn what_to_write(word: &str, known: &[&str]) -> String {
    match did_you_mean(word, known.iter().copied()) {
        hint if hint.is_empty() => format!(": write one of {}", known.join(", ")),
        hint => hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_that_is_most_like_it_is_meant_whatever_its_case_and_dashes() {
        let known = ["retry", "retry_delay", "require", "cron"];
        for (word, meant) in [
            ("retryDelay", Some("retry_delay")),
            ("RETRY-DELAY", Some("retry_delay")),
            ("retri", Some("retry")),
            ("corn", Some("cron")),
            ("template", None),
            ("", None),
        ] {
            assert_eq!(nearest_word(word, known), meant, "{word}");
        }
        assert_eq!(nearest_word("cron", []), None);
    }

    #[test]
    fn what_to_write_is_the_nearest_word_else_one_of_all() {
        assert_eq!(what_to_write("latestx", &["none", "latest", "all"]), ": did you mean `latest`?");
        assert_eq!(what_to_write("x", &["none", "latest", "all"]), ": write one of none, latest, all");
    }

    #[test]
    fn findings_come_by_their_place_and_one_of_a_file_stands_at_its_beginning() {
        let at = |file, line, column| Finding::new(file, (line, column), Severity::Warning, "m");
        let whole = Finding::of_file("b.toml", Severity::Error, "it can't be read");
        assert_eq!(whole.to_string(), "b.toml:1:1: it can't be read");
        assert_eq!(whole.severity, Severity::Error);
        let mut findings = [at("c.toml", 1, 1), at("b.toml", 10, 1), at("b.toml", 9, 2), at("b.toml", 9, 1), whole];
        findings.sort();
        let places = findings.map(|finding| format!("{}:{}:{}", finding.file, finding.line, finding.column));
        assert_eq!(places, ["b.toml:1:1", "b.toml:9:1", "b.toml:9:2", "b.toml:10:1", "c.toml:1:1"]);
    }
}

//! A phase's `rule`: keys and values, written as a URL query.

use chrono::TimeDelta;

use crate::duration;
use crate::query::Query;
use crate::retry::RetryDelay;

/// The keys that a rule may have.
pub const KEYS: [&str; 15] = [
    "cron",
    "offset",
    "job",
    "files",
    "count",
    "require",
    "retry_delay",
    "no_alert",
    "for",
    "by",
    "meta",
    "meta-file",
    "missed",
    "missed_window",
    "workflow",
];

/// The step of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum By {
    /// Each hour.
    Hour,
    /// Each day.
    #[default]
    Day,
    /// Each week.
    Week,
    /// Each month.
    Month,
}

impl By {
    /// Reads the value of `by`, in any case; none when it is unknown.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "hour" | "hourly" => Some(Self::Hour),
            "day" | "daily" | "" => Some(Self::Day),
            "week" | "weekly" => Some(Self::Week),
            "month" | "monthly" => Some(Self::Month),
            _ => None,
        }
    }
}

/// What becomes of slots that fell into downtime.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Missed {
    /// None starts; they are recorded.
    #[default]
    None,
    /// The latest starts.
    Latest,
    /// All start.
    All,
}

/// Values of meta keys, as `meta=k:a,b|l:1,2` gives them.
pub type MetaLists = Vec<(String, Vec<String>)>;

/// A rule, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// The cron expression.
    pub cron: Option<String>,
    /// Added to the slot's time before rendering.
    pub offset: TimeDelta,
    /// The job; empty for none.
    pub job: String,
    /// A pattern of files that start a task.
    pub files: Option<String>,
    /// How many files start one task; 0 when not given.
    pub count: u32,
    /// Meta keys that the parent must have.
    pub require: Vec<String>,
    /// How long a failed task waits.
    pub retry_delay: RetryDelay,
    /// Whether used-up retries raise no alert.
    pub no_alert: bool,
    /// `for`: from the slot's time to that plus this, both included.
    pub span: TimeDelta,
    /// The step within the span.
    pub by: By,
    /// One task per position of these lists.
    pub meta: MetaLists,
    /// One task per row of this file.
    pub meta_file: Option<String>,
    /// What becomes of slots that fell into downtime.
    pub missed: Missed,
    /// Slots older than this are not made up for.
    pub missed_window: Option<TimeDelta>,
    /// What can't be read: the key is left at its default.
    pub errors: Vec<String>,
    /// What is read, but likely not meant.
    pub warnings: Vec<String>,
}

impl Rule {
    /// Reads a rule. What is wrong with it is in `errors` and `warnings`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (query, error) = Query::parse_with_error(text);
        let mut rule = Self::default();
        rule.errors.extend(error.map(|err| err.to_string()));
        rule.read(&query);
        rule.warn_of_keys(&query);
        rule
    }

    fn read(&mut self, query: &Query) {
        let value = |key| query.first_any_case(key);
        self.cron = value("cron").filter(|cron| !cron.is_empty()).map(str::to_owned);
        self.job = value("job").unwrap_or_default().to_owned();
        self.files = value("files").filter(|files| !files.is_empty()).map(str::to_owned);
        self.meta_file = value("meta-file").filter(|file| !file.is_empty()).map(str::to_owned);
        self.no_alert = value("no_alert").is_some_and(|value| !value.eq_ignore_ascii_case("false"));
        self.require = require(query);
        self.offset = self.duration(query, "offset").unwrap_or_default();
        self.span = self.duration(query, "for").unwrap_or_default();
        self.missed_window = self.duration(query, "missed_window");
        self.read_count(query);
        self.read_by(query);
        self.read_missed(query);
        self.read_retry_delay(query);
        self.read_meta(query);
    }

    fn duration(&mut self, query: &Query, key: &str) -> Option<TimeDelta> {
        let text = query.first_any_case(key)?;
        duration::parse_rule(text).map_err(|err| self.errors.push(format!("{key}: {err}"))).ok()
    }

    fn read_count(&mut self, query: &Query) {
        let Some(text) = query.first_any_case("count") else { return };
        match text.parse() {
            Ok(count) => self.count = count,
            Err(_) => self.errors.push(format!("count `{text}` is no number: write how many files, like 3")),
        }
    }

    fn read_by(&mut self, query: &Query) {
        let Some(text) = query.first_any_case("by") else { return };
        match By::parse(text) {
            Some(by) => self.by = by,
            None => self.warnings.push(format!("by `{text}` is read as day: write hour, day, week or month")),
        }
    }

    fn read_missed(&mut self, query: &Query) {
        let Some(text) = query.first_any_case("missed") else { return };
        match text.to_ascii_lowercase().as_str() {
            "none" => self.missed = Missed::None,
            "latest" => self.missed = Missed::Latest,
            "all" => self.missed = Missed::All,
            _ => self.errors.push(format!("missed `{text}` is unknown: write none, latest or all")),
        }
    }

    fn read_retry_delay(&mut self, query: &Query) {
        let Some(text) = query.first_any_case("retry_delay") else { return };
        match RetryDelay::parse(text) {
            Ok(delay) => self.retry_delay = delay,
            Err(err) => self.errors.push(err),
        }
    }

    fn read_meta(&mut self, query: &Query) {
        for text in query.all_any_case("meta") {
            for part in text.split('|') {
                let Some((key, values)) = part.split_once(':') else {
                    self.errors.push(format!("meta `{text}`: write keys with their values, like `k:a,b|l:1,2`"));
                    continue;
                };
                let values = if values.is_empty() { Vec::new() } else { values.split(',').map(str::to_owned).collect() };
                self.meta.push((key.to_owned(), values));
            }
        }
        if !self.meta.is_empty() && self.meta_file.is_some() {
            self.errors.push("meta and meta-file exclude each other: keep one".to_owned());
        }
    }

    fn warn_of_keys(&mut self, query: &Query) {
        for (key, _) in query.pairs() {
            let known = KEYS.iter().any(|known| known.eq_ignore_ascii_case(key));
            if !known && !key.to_ascii_lowercase().starts_with("require:") {
                self.warnings.push(format!("rule key `{key}` is unknown{}", nearest(key, &KEYS)));
            }
        }
    }

    /// Whether a slot becomes several tasks: its times are cut to the hour.
    #[must_use]
    pub fn is_batch(&self) -> bool {
        !self.span.is_zero() || !self.meta.is_empty() || self.meta_file.is_some()
    }

    /// The rows that `meta` gives, one per position.
    ///
    /// # Errors
    /// When the lists differ in length.
    pub fn meta_rows(&self) -> Result<Vec<Row>, String> {
        zip(&self.meta)
    }
}

/// One row of meta: keys and values.
pub type Row = Vec<(String, String)>;

/// One row per position of the lists.
///
/// # Errors
/// When the lists differ in length.
pub fn zip(lists: &MetaLists) -> Result<Vec<Row>, String> {
    let Some((first, values)) = lists.first() else { return Ok(Vec::new()) };
    if let Some((key, other)) = lists.iter().find(|(_, other)| other.len() != values.len()) {
        return Err(format!(
            "inconsistent lengths in meta {} != {}: give `{first}` and `{key}` as many values",
            values.len(),
            other.len()
        ));
    }
    let row = |at: usize| lists.iter().map(|(key, values)| (key.clone(), values[at].clone())).collect();
    Ok((0..values.len()).map(row).collect())
}

/// The keys within `{meta:…}`, of `require={meta:a},{meta:b}`, repeated or as `require:{meta:a}`.
fn require(query: &Query) -> Vec<String> {
    let prefixed = query.pairs().filter_map(|(key, _)| {
        let (name, rest) = key.split_once(':')?;
        name.eq_ignore_ascii_case("require").then_some(rest)
    });
    let values = query.all_any_case("require").chain(prefixed);
    values
        .flat_map(|value| value.split(','))
        .filter_map(|token| token.trim().strip_prefix("{meta:")?.strip_suffix('}'))
        .map(str::to_owned)
        .collect()
}

/// `: did you mean …?` when a known name is near.
pub(crate) fn nearest(name: &str, known: &[&str]) -> String {
    let lower = name.to_ascii_lowercase();
    let best = known.iter().map(|known| (strsim::damerau_levenshtein(&lower, &known.to_ascii_lowercase()), known));
    match best.min() {
        Some((distance, known)) if distance <= 3 && distance < known.len() => format!(": did you mean `{known}`?"),
        _ => format!(": known are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_in_any_case_and_the_first_counts() {
        let rule = Rule::parse("cron=0 * * * *&cron=x&Offset=-4h&JOB=j&no_alert&retry_delay=10ms&by=Hourly&for=-24h");
        assert_eq!(rule.cron.as_deref(), Some("0 * * * *"));
        assert_eq!((rule.offset, rule.span), (TimeDelta::hours(-4), TimeDelta::hours(-24)));
        assert_eq!((rule.job.as_str(), rule.no_alert, rule.by), ("j", true, By::Hour));
        assert!(rule.errors.is_empty() && rule.warnings.is_empty(), "{rule:?}");
        assert!(!Rule::parse("no_alert=false").no_alert);
    }

    #[test]
    fn required_keys_come_in_three_forms() {
        for text in ["require={meta:a},{meta:b}", "require={meta:a}&require={meta:b}", "require:{meta:a}&require={meta:b}"] {
            let mut keys = Rule::parse(text).require;
            keys.sort();
            assert_eq!(keys, ["a", "b"], "{text}");
        }
    }

    #[test]
    fn lists_of_meta_become_rows() {
        let rule = Rule::parse("meta=name:a,b|value:1,2");
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            rule.meta_rows().unwrap(),
            [[pair("name", "a"), pair("value", "1")], [pair("name", "b"), pair("value", "2")]]
        );
        assert!(Rule::parse("meta=a:1,2|b:1").meta_rows().unwrap_err().contains("2 != 1"));
    }

    #[test]
    fn what_is_wrong_says_what_to_write() {
        for (text, part) in [
            ("offset=abc", "no duration"),
            ("retry_delay=-5s", "out of range"),
            ("count=x", "how many files"),
            ("missed=often", "none, latest or all"),
            ("meta=name", "k:a,b"),
            ("meta=a:1&meta-file=f", "keep one"),
            ("cron=%zz", "%25"),
        ] {
            let errors = Rule::parse(text).errors;
            assert!(errors.iter().any(|err| err.contains(part)), "{text}: {errors:?}");
        }
        assert!(Rule::parse("crom=0 * * * *").warnings[0].contains("did you mean `cron`?"));
        assert!(Rule::parse("by=decade").warnings[0].contains("hour, day, week or month"));
    }
}

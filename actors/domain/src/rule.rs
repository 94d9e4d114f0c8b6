//! What a phase's rule says, with typed fields and the list of what is wrong with it.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::cron::{CronSchedule, DaysOff};
use crate::duration;
use crate::finding::{Severity, what_to_write};
use crate::glob::Glob;
use crate::query::Query;
use crate::retry::RetryDelay;
use crate::rows::zip_lists;
use crate::template::meta_keys;

mod days;
pub(crate) mod expectations;
mod join;
pub(crate) mod limits;
use expectations::Expectations;
pub use join::{JoinNeed, JoinRule, LateJoinRule};
use limits::RunLimits;

/// All keys of a rule.
pub const RULE_KEYS: [&str; 34] = [
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
    "start_by",
    "done_by",
    "max_run",
    "join",
    "over",
    "join_by",
    "join_by_then",
    "again",
    "calendar",
    "on",
    "not_on",
    "timeout",
    "overlap",
    "jitter",
    "max_active",
    "group",
    "rate",
    "min_run",
    "expect",
    "expect_else",
];

/// As many files one task may be about.
pub(crate) const MAX_FILES: i64 = 1_000;

/// A phase's rule. Reading one never fails: a value that can't be read is a problem, and its default counts.
///
/// ```
/// use chrono::TimeDelta;
/// use chrono_tz::Tz;
/// use flowlord_domain::rule::Rule;
///
/// let rule = Rule::parse("cron=0 3 * * *&offset=-24h&meta=region:eu,us", Tz::UTC);
/// assert_eq!(rule.offset, TimeDelta::hours(-24));
/// assert_eq!(rule.meta["region"], ["eu", "us"]);
/// assert!(rule.first_blocker().is_none());
///
/// let rule = Rule::parse("cron=0 3 * * *&ofset=-24h", Tz::UTC);
/// assert_eq!(rule.problems[0].message, "rule key `ofset` is unknown: did you mean `offset`?");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// The schedule as it was written.
    pub cron: Option<String>,
    /// The schedule; none when there is none or it can't be read.
    pub schedule: Option<CronSchedule>,
    /// Added to the slot to get the time that tasks are about.
    pub offset: TimeDelta,
    /// The job; empty for none.
    pub job: String,
    /// A glob: files that fit start the phase.
    pub files: Option<String>,
    /// How many files it takes.
    pub count: i64,
    /// What `require` says, repeated ones joined by commas.
    pub require_text: String,
    /// Keys that the parent's meta must have, and not empty.
    pub require: Vec<String>,
    /// What `retry_delay` says.
    pub retry_delay_text: String,
    /// How retries are spaced.
    pub retry_delay: RetryDelay,
    /// No alert when retries are used up.
    pub no_alert: bool,
    /// How far the batch reaches from its first time; negative for backwards.
    pub span: TimeDelta,
    /// The steps of the batch.
    pub by: BatchStep,
    /// Lists that are zipped into rows.
    pub meta: BTreeMap<String, Vec<String>>,
    /// A file with a row a line.
    pub meta_file: Option<String>,
    /// What becomes of slots in downtime.
    pub missed: MissedSlotRule,
    /// How far back slots in downtime count.
    pub missed_window: Option<TimeDelta>,
    /// So long after its slot its task should be leased.
    pub start_by: Option<TimeDelta>,
    /// So long after its slot its task should be complete.
    pub done_by: Option<TimeDelta>,
    /// So long its task should be at work at most.
    pub max_run: Option<TimeDelta>,
    /// The calendar whose days are off.
    pub calendar: Option<String>,
    /// The days on which it has no slots, as far as they are known.
    pub off_days: DaysOff,
    /// What it says of a join.
    pub join: JoinRule,
    /// What holds its tasks back once they are there.
    pub limits: RunLimits,
    /// What its complete tasks are expected to be.
    pub expectations: Expectations,
    /// Everything that was written, also keys that no field is for.
    pub query: Query,
    /// What is wrong with it, in the order of reading.
    pub problems: Vec<RuleProblem>,
}

named_enum! {
    /// The steps of a batch.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum BatchStep {
        /// Each hour.
        Hour = "hour",
        /// Every day, at the hour of the first.
        #[default]
        Day = "day",
        /// Every seventh day, at the hour of the first.
        Week = "week",
        /// Each month, on the day of the first.
        Month = "month",
    }
}

impl BatchStep {
    /// Reads `hour`, `hourly` and so on in any case.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "hour" | "hourly" => Self::Hour,
            "day" | "daily" => Self::Day,
            "week" | "weekly" => Self::Week,
            "month" | "monthly" => Self::Month,
            _ => return None,
        })
    }
}

named_enum! {
    /// What becomes of slots that fell into downtime.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub enum MissedSlotRule {
        /// They are recorded.
        #[default]
        None = "none",
        /// The latest one starts.
        Latest = "latest",
        /// All of them start, oldest first.
        All = "all",
    }
}

/// One thing that is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleProblem {
    /// How bad it is.
    pub severity: Severity,
    /// The key that it is about; empty for the rule as a whole.
    pub key: String,
    /// What is wrong and what to do about it.
    pub message: String,
    /// What would start could be about the wrong time or the wrong rows: nothing starts.
    pub blocks: bool,
}

impl Rule {
    /// Reads a rule. The schedule counts in `zone` unless it names one itself.
    pub fn parse(text: &str, zone: Tz) -> Self {
        let (query, error) = Query::parse_with_error(text);
        let mut rule = Self { query, ..Self::default() };
        if let Some(error) = error {
            rule.add_blocker("", format!("invalid rule format: {text}: {error}"));
        }
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            rule.add_blocker("", "the rule has a control character: remove it or write it as %0A".to_owned());
        }
        rule.read_schedule(zone);
        rule.read_days_off();
        rule.read_trigger();
        rule.read_batch();
        rule.read_failure();
        rule.read_missed();
        rule.read_deadlines();
        rule.read_join(zone);
        rule.limits = RunLimits::read_from(&mut rule);
        rule.read_expectations(zone);
        rule.read_unknown_keys();
        rule
    }

    /// What keeps a phase with this rule from ever starting, in the reference's words.
    pub fn why_never_started(&self, has_parent: bool) -> Option<String> {
        let starts = has_parent || self.cron.is_some() || self.files.is_some();
        self.message_of("", "invalid rule format")
            .or((!starts).then_some(NON_SCHEDULED))
            .or_else(|| self.message_of("cron", "invalid cron"))
            .map(str::to_owned)
    }

    fn message_of(&self, key: &str, start: &str) -> Option<&str> {
        let mut of_key = self.problems.iter().filter(|problem| problem.key == key);
        of_key.find_map(|problem| Some(problem.message.as_str()).filter(|text| text.starts_with(start)))
    }

    /// Why nothing may start by this rule's schedule, for, meta or offset.
    pub fn first_blocker(&self) -> Option<&RuleProblem> {
        self.problems.iter().find(|problem| problem.blocks)
    }

    /// The first problem with one of these keys that keeps what would start from starting.
    pub(crate) fn find_blocker(&self, keys: &[&str]) -> Option<&RuleProblem> {
        self.problems.iter().find(|problem| problem.blocks && keys.contains(&problem.key.as_str()))
    }

    /// Whether a slot makes a batch: its times are cut to the hour.
    pub fn is_batch(&self) -> bool {
        !self.span.is_zero() || !self.meta.is_empty() || self.meta_file.is_some()
    }

    /// Whether it brings its own rows.
    pub fn has_rows(&self) -> bool {
        !self.meta.is_empty() || self.meta_file.is_some()
    }

    /// Whether a parent's meta has everything that is required.
    pub fn is_ready(&self, parent: &Query) -> bool {
        self.require.iter().all(|key| parent.first_value(key).is_some_and(|value| !value.is_empty()))
    }

    fn text_of(&self, key: &str) -> Option<String> {
        self.query.first_any_case(key).map(str::to_owned)
    }

    pub(crate) fn filled_text(&self, key: &str) -> Option<String> {
        self.text_of(key).filter(|text| !text.is_empty())
    }

    fn read_schedule(&mut self, zone: Tz) {
        self.cron = self.filled_text("cron");
        let Some(spec) = self.cron.clone() else { return };
        match CronSchedule::parse(&spec, zone) {
            Ok(schedule) => self.schedule = Some(schedule),
            Err(e) => self.add_blocker("cron", format!("invalid cron: {spec}: {e}")),
        }
    }

    fn read_trigger(&mut self) {
        self.job = self.text_of("job").unwrap_or_default();
        self.files = self.filled_text("files");
        if let Some(Err(err)) = self.files.as_deref().map(Glob::parse) {
            self.add_error("files", format!("files: {err}; no file can start it"));
        }
        if let Some(text) = self.filled_text("count") {
            match text.parse() {
                // It is kept as written: people see what they wrote.
                Ok(count) if count > MAX_FILES => {
                    self.count = count;
                    self.add_error("count", format!("count `{count}` is too large: write {MAX_FILES} or less"));
                }
                Ok(count) => self.count = count,
                Err(_) => self.add_warning(
                    "count",
                    format!("count `{text}` is not a whole number and is ignored: write one, like 24"),
                ),
            }
        }
        self.read_require();
    }

    fn read_require(&mut self) {
        let written: Vec<&str> = self.query.all_any_case("require").collect();
        let mut text = written.join(",");
        // `require:{meta:file}` has been documented; its key is the whole of it.
        for (key, _) in self.query.pairs() {
            if let Some((_, rest)) = key.split_once(':').filter(|(k, _)| k.eq_ignore_ascii_case("require")) {
                text.push_str(rest);
            }
        }
        self.require = meta_keys(&text);
        if !text.is_empty() && self.require.is_empty() {
            self.add_warning("require", format!("require `{text}` names no key: write it like require={{meta:file}}"));
        }
        self.require_text = text;
    }

    fn read_batch(&mut self) {
        self.offset = self.batch_duration("offset");
        self.span = self.batch_duration("for");
        if let Some(text) = self.filled_text("by") {
            self.by = BatchStep::parse(&text).unwrap_or_default();
            if BatchStep::parse(&text).is_none() {
                self.add_warning("by", format!("by `{text}` is unknown, day is used: write hour, day, week or month"));
            }
        }
        self.meta_file = self.filled_text("meta-file");
        let lists: Vec<String> = self.query.all_any_case("meta").map(str::to_owned).collect();
        for list in &lists {
            self.read_meta(list);
        }
        if self.meta_file.is_some() && !self.meta.is_empty() {
            self.add_blocker("meta-file", "meta and meta-file are both given: use one of them".to_owned());
        }
        if let Err(e) = zip_lists(&self.meta) {
            self.add_blocker("meta", e.to_string());
        }
    }

    fn read_meta(&mut self, text: &str) {
        if text.is_empty() {
            self.add_blocker("meta", "meta is empty: write it like meta=key:a,b,c, or remove it".to_owned());
            return;
        }
        for part in text.split('|') {
            match part.split_once(':') {
                Some((key, values)) => {
                    // An empty list has no value, not an empty one.
                    let values = values.split(',').filter(|_| !values.is_empty()).map(str::to_owned);
                    if self.meta.insert(key.to_owned(), values.collect()).is_some() {
                        self.add_warning("meta", format!("meta has `{key}` twice: the last one is used, remove one"));
                    }
                }
                None => self.add_blocker("meta", format!("`{part}` is not a list: write it like key:a,b,c")),
            }
        }
    }

    fn batch_duration(&mut self, key: &str) -> TimeDelta {
        let Some(text) = self.text_of(key) else { return TimeDelta::zero() };
        duration::parse_rule(&text).unwrap_or_else(|e| {
            self.add_blocker(key, format!("{key}: {e}"));
            TimeDelta::zero()
        })
    }

    fn read_failure(&mut self) {
        self.retry_delay_text = self.text_of("retry_delay").unwrap_or_default();
        if !self.retry_delay_text.is_empty() {
            match RetryDelay::parse(&self.retry_delay_text) {
                Ok(delay) => self.retry_delay = delay,
                Err(e) => self.add_error("retry_delay", format!("{e}; 1 second is used instead")),
            }
        }
        self.no_alert = self.text_of("no_alert").is_some_and(|text| !text.eq_ignore_ascii_case("false"));
    }

    fn read_missed(&mut self) {
        if let Some(text) = self.filled_text("missed") {
            let known = MissedSlotRule::from_name(&text.to_ascii_lowercase());
            self.missed = known.unwrap_or_else(|| {
                self.add_error("missed", format!("missed `{text}` is unknown: write none, latest or all"));
                MissedSlotRule::None
            });
        }
        self.missed_window = self.limit_of("missed_window");
    }

    fn read_deadlines(&mut self) {
        self.start_by = self.limit_of("start_by");
        self.done_by = self.limit_of("done_by");
        self.max_run = if self.read_max_run_factor() { None } else { self.limit_of("max_run") };
        if let Some((start, done)) = self.start_by.zip(self.done_by).filter(|(start, done)| start > done) {
            let (start, done) = (duration::print_duration(start), duration::print_duration(done));
            self.add_warning("start_by", format!("start_by {start} is after done_by {done}: swap them"));
        }
    }

    /// A time that is longer than none; none where there is none, or it can't be read.
    pub(crate) fn limit_of(&mut self, key: &str) -> Option<TimeDelta> {
        let text = self.filled_text(key)?;
        let what = match duration::parse_duration(&text) {
            Ok(span) if span <= TimeDelta::zero() => {
                format!("{key} `{text}` is not positive: write a duration like 1h")
            }
            Ok(span) if span > LONGEST => {
                format!("{key} `{text}` is too long: write {} or less", duration::print_duration(LONGEST))
            }
            Ok(span) => return Some(span),
            Err(e) => format!("{key}: {e}"),
        };
        self.add_error(key, what);
        None
    }

    /// A file rule may have any key, for `{meta:key}`; in all others an unknown key is a slip.
    fn read_unknown_keys(&mut self) {
        let keys: Vec<String> = self.query.pairs().map(|(key, _)| key.to_owned()).collect();
        for key in keys {
            let known = RULE_KEYS.iter().any(|known| known.eq_ignore_ascii_case(&key))
                || key.to_ascii_lowercase().starts_with("require:");
            if !known && self.files.is_none() {
                self.add_warning(&key, format!("rule key `{key}` is unknown{}", what_to_write(&key, &RULE_KEYS)));
            }
        }
    }

    fn add_problem(&mut self, severity: Severity, key: &str, message: String, blocks: bool) {
        self.problems.push(RuleProblem { severity, key: key.to_owned(), message, blocks });
    }

    fn add_blocker(&mut self, key: &str, message: String) {
        self.add_problem(Severity::Error, key, message, true);
    }

    pub(crate) fn add_error(&mut self, key: &str, message: String) {
        self.add_problem(Severity::Error, key, message, false);
    }

    pub(crate) fn add_warning(&mut self, key: &str, message: String) {
        self.add_problem(Severity::Warning, key, message, false);
    }
}

/// The longest window or deadline.
const LONGEST: TimeDelta = TimeDelta::days(365);

/// A phase that nothing starts.
const NON_SCHEDULED: &str = "non-scheduled phase: use depends_on, cron or files";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(text: &str) -> Rule {
        Rule::parse(text, Tz::UTC)
    }

    #[test]
    fn keys_count_in_any_case() {
        let rule = rule("CRON=@daily&Offset=-6h&Require={meta:a}&NO_ALERT=false&Missed=Latest&missed_window=2d");
        assert_eq!(rule.problems, []);
        assert_eq!((rule.offset, rule.missed), (TimeDelta::hours(-6), MissedSlotRule::Latest));
        assert_eq!((rule.require.as_slice(), rule.no_alert), (["a".to_owned()].as_slice(), false));
        assert_eq!(rule.missed_window, Some(TimeDelta::days(2)));
    }

    #[test]
    fn a_bad_value_is_a_problem_with_its_remedy() {
        let messages =
            |text: &str| -> Vec<String> { rule(text).problems.into_iter().map(|problem| problem.message).collect() };
        assert_eq!(
            messages("retry_delay=abc"),
            ["retry_delay: `abc` is not a duration: write it like 250ms, 90s, 5m, 4h or 90d; 1 second is used instead"]
        );
        assert_eq!(messages("no-alert=true"), ["rule key `no-alert` is unknown: did you mean `no_alert`?"]);
        assert_eq!(
            messages("meta=a:1,2|b:1"),
            ["inconsistent lengths in meta 2 != 1: give each list the same number of values"]
        );
        for (text, says) in [
            ("meta=abc", "`abc` is not a list"),
            ("meta=", "meta is empty: write it like meta=key:a,b,c, or remove it"),
            ("meta=&meta=a:1", "meta is empty"),
        ] {
            let read = rule(&format!("cron=@daily&{text}"));
            assert!(read.first_blocker().unwrap().message.starts_with(says), "{:?}", read.problems);
        }
        assert!(messages("files=/a&x=1").is_empty());
        assert!(messages("files=/bad/[.txt")[0].contains("write one like [a-z]"));
        assert_eq!(messages("files=/a&count=1001"), ["count `1001` is too large: write 1000 or less"]);
    }

    #[test]
    fn the_last_list_of_a_key_counts() {
        for text in ["meta=a:1,2|b:3|a:4", "meta=a:1,2|b:3&meta=a:4"] {
            let read = rule(text);
            let lists: Vec<_> = read.meta.iter().map(|(key, list)| (key.as_str(), list.join(","))).collect();
            assert_eq!(lists, [("a", "4".to_owned()), ("b", "3".to_owned())], "{text}");
            let messages: Vec<_> = read.problems.iter().map(|problem| problem.message.as_str()).collect();
            assert_eq!(messages, ["meta has `a` twice: the last one is used, remove one"], "{text}");
        }
    }

    #[test]
    fn deadlines_are_read() {
        let read = rule("cron=@hourly&start_by=10m&Done_By=1h&max_run=90s");
        assert_eq!(read.problems, []);
        let expected = [TimeDelta::minutes(10), TimeDelta::hours(1), TimeDelta::seconds(90)].map(Some);
        assert_eq!([read.start_by, read.done_by, read.max_run], expected);
        for (text, what) in [
            ("start_by=soon", "start_by: `soon` is not a duration"),
            ("done_by=0s", "done_by `0s` is not positive: write a duration like 1h"),
            ("max_run=400d", "max_run `400d` is too long: write 1y or less"),
            ("start_by=2h&done_by=1h", "start_by 2h is after done_by 1h: swap them"),
        ] {
            let read = rule(text);
            assert!(read.problems.iter().any(|problem| problem.message.starts_with(what)), "{:?}", read.problems);
            assert!(read.first_blocker().is_none(), "it starts all the same");
        }
    }

    #[test]
    fn the_documented_form_of_require_is_read() {
        assert_eq!(rule("require:{meta:file}").require, ["file"]);
    }

    #[test]
    fn steps_and_missed_slots_are_read_in_each_spelling() {
        for (texts, by) in [
            (["hour", "Hourly"], BatchStep::Hour),
            (["day", "DAILY"], BatchStep::Day),
            (["week", "weekly"], BatchStep::Week),
            (["month", "monthly"], BatchStep::Month),
        ] {
            for text in texts {
                assert_eq!((BatchStep::parse(text), rule(&format!("for=1h&by={text}")).by), (Some(by), by), "{text}");
            }
        }
        assert_eq!(BatchStep::parse("year"), None);
        for (text, missed) in
            [("none", MissedSlotRule::None), ("latest", MissedSlotRule::Latest), ("All", MissedSlotRule::All)]
        {
            let read = rule(&format!("cron=@daily&missed={text}"));
            assert_eq!((read.missed, read.problems), (missed, vec![]), "{text}");
        }
        assert_eq!(
            rule("cron=@daily&missed=some").problems[0].message,
            "missed `some` is unknown: write none, latest or all"
        );
    }

    #[test]
    fn a_phase_that_nothing_starts_says_so() {
        let status = |text: &str, has_parent: bool| rule(text).why_never_started(has_parent).unwrap_or_default();
        assert_eq!(status("retry_delay=1s", false), NON_SCHEDULED);
        for (text, has_parent) in [("cron=@daily", false), ("files=/a", false), ("", true), ("offset=x", true)] {
            assert_eq!(status(text, has_parent), "", "{text}");
        }
        assert!(status("x=%zz", false).starts_with("invalid rule format: x=%zz"));
        assert!(status("cron=never", false).starts_with("invalid cron: never"));
    }

    #[test]
    fn keys_of_a_parent_are_required_with_a_value() {
        let ready = |meta: &str| rule("require={meta:a},{meta:b}").is_ready(&Query::parse_lenient(meta));
        assert!(ready("a=1&b=2&c="));
        for meta in ["", "a=1", "b=2", "a=1&b=", "A=1&b=2"] {
            assert!(!ready(meta), "{meta}");
        }
    }

    #[test]
    fn no_alert_counts_without_a_value_and_not_when_it_is_false() {
        for (text, no_alert) in
            [("no_alert", true), ("no_alert=true", true), ("no_alert=", true), ("no_alert=False", false), ("", false)]
        {
            assert_eq!(rule(text).no_alert, no_alert, "{text}");
        }
    }

    #[test]
    fn what_makes_a_batch_is_a_range_or_rows() {
        for (text, is_batch, has_rows) in [
            ("cron=@daily", false, false),
            ("cron=@daily&for=-1h", true, false),
            ("cron=@daily&meta=a:1", true, true),
            ("cron=@daily&meta-file=f", true, true),
        ] {
            assert_eq!((rule(text).is_batch(), rule(text).has_rows()), (is_batch, has_rows), "{text}");
        }
        assert_eq!(rule("a=1\tb").first_blocker().unwrap().key, "", "a control character");
    }

    #[test]
    fn limits_hold_up_to_their_bounds() {
        for text in ["start_by=1h&done_by=1h", "max_run=365d", "files=/a&count=1000", "missed_window=1ns"] {
            let problems = rule(&format!("cron=@daily&{text}")).problems;
            assert!(problems.is_empty(), "{text}: {problems:?}");
        }
        for text in ["max_run=8761h", "missed_window=-1s", "start_by=2h&done_by=1h"] {
            assert_eq!(rule(&format!("cron=@daily&{text}")).problems.len(), 1, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_rule_is_read(text in "((cron|for|by|meta|retry_delay|missed|x)=[-a-z0-9*%:,| ]{0,9}&?){0,4}") {
            let _ = rule(&text).why_never_started(false);
        }
    }
}

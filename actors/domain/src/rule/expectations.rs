//! What a rule says of complete tasks: how long they run, and the figures that workers leave in the meta.

use std::fmt;

use chrono::TimeDelta;
use chrono_tz::Tz;

use super::Rule;
use crate::cron::CronSchedule;
use crate::duration::print_duration;

/// A finite number, as rules and workers write it.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
pub struct Figure(pub(crate) f64);

// None of them is NaN.
impl Eq for Figure {}

impl Figure {
    /// A number; none for those that aren't finite.
    pub fn new(number: f64) -> Option<Self> {
        number.is_finite().then_some(Self(number))
    }

    /// Reads a number.
    pub fn parse(text: &str) -> Option<Self> {
        Self::new(text.trim().parse().ok()?)
    }

    /// Reads `0.5x`.
    fn parse_factor(text: &str) -> Option<Self> {
        Self::parse(text.trim().strip_suffix('x')?).filter(|factor| factor.0 >= 0.0)
    }

    /// The number.
    pub fn to_f64(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thousandths = (self.0 * 1e3).round();
        // A mean has digits that nobody wants to read.
        write!(f, "{}", if thousandths.abs() < 1e15 { thousandths / 1e3 } else { self.0 })
    }
}

/// What a rule says of complete tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expectations {
    /// They run at least so long.
    pub min_run: Option<TimeDelta>,
    /// They run at most so many times their median.
    pub max_run_factor: Option<Figure>,
    /// The figures of `expect`.
    pub figures: Vec<FigureExpectation>,
    /// What follows where one isn't met.
    pub otherwise: ExpectElse,
    /// Where the hours of a week are counted.
    pub(crate) zone: Tz,
}

named_enum! {
    /// What follows from a complete result that isn't as expected.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub enum ExpectElse {
        /// It counts as an error.
        #[default]
        Error = "error",
        /// It stays complete, and raises an alert.
        Alert = "alert",
        /// It counts as a warning.
        Warn = "warn",
    }
}

/// What one key of the worker's meta should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FigureExpectation {
    /// The key.
    pub key: String,
    /// Its value.
    pub wanted: WantedFigure,
}

/// The values that are as expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantedFigure {
    /// Those that compare so with a number.
    Compared(Comparison, Figure),
    /// Those from one multiple of the median to another, both included.
    OfMedian(Figure, Figure),
}

named_enum! {
    /// How two numbers compare.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Comparison {
        // Those of two characters come first: the others begin them.
        /// At most.
        AtMost = "<=",
        /// At least.
        AtLeast = ">=",
        /// Less.
        Less = "<",
        /// More.
        More = ">",
        /// The same.
        Equal = "=",
    }
}

impl Comparison {
    pub(crate) fn holds(self, figure: Figure, than: Figure) -> bool {
        match self {
            Self::AtMost => figure <= than,
            Self::AtLeast => figure >= than,
            Self::Less => figure < than,
            Self::More => figure > than,
            Self::Equal => figure == than,
        }
    }
}

impl fmt::Display for WantedFigure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compared(comparison, number) => write!(f, "{}{number}", comparison.as_str()),
            Self::OfMedian(low, high) => write!(f, "{low}x..{high}x"),
        }
    }
}

impl fmt::Display for FigureExpectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if matches!(self.wanted, WantedFigure::OfMedian(..)) { ":" } else { "" };
        write!(f, "{}{colon}{}", self.key, self.wanted)
    }
}

impl FigureExpectation {
    /// Reads `rows>0` or `rows:0.5x..2x`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let read = text.find(['<', '>', '=', ':']).and_then(|at| {
            let (key, wanted) = text.split_at(at);
            Some(Self { key: key.trim().to_owned(), wanted: WantedFigure::parse(wanted)? })
        });
        match read.filter(|read| !read.key.is_empty()) {
            Some(Self { wanted: WantedFigure::OfMedian(low, high), .. }) if low > high => {
                Err(format!("expect `{text}` holds for nothing: write the smaller one first, {high}x..{low}x"))
            }
            Some(read) => Ok(read),
            None => Err(format!(
                "expect `{text}` can't be read: write it like rows>0, or rows:0.5x..2x for times the median"
            )),
        }
    }
}

impl WantedFigure {
    fn parse(text: &str) -> Option<Self> {
        if let Some(range) = text.strip_prefix(':') {
            let (low, high) = range.split_once("..")?;
            return Some(Self::OfMedian(Figure::parse_factor(low)?, Figure::parse_factor(high)?));
        }
        let comparison = Comparison::ALL.into_iter().find(|comparison| text.starts_with(comparison.as_str()))?;
        Some(Self::Compared(comparison, Figure::parse(&text[comparison.as_str().len()..])?))
    }
}

impl Expectations {
    /// Whether results may turn out other than expected.
    pub fn judge_results(&self) -> bool {
        self.min_run.is_some() || !self.figures.is_empty()
    }

    /// Whether they are about results at all, be it only to learn from them.
    pub(crate) fn need_results(&self) -> bool {
        self.judge_results() || self.max_run_factor.is_some()
    }

    /// Each as the rule says it.
    pub fn to_texts(&self) -> Vec<String> {
        let run = self.min_run.map(|limit| format!("min_run={}", print_duration(limit)));
        run.into_iter().chain(self.figures.iter().map(ToString::to_string)).collect()
    }
}

impl Rule {
    pub(crate) fn read_expectations(&mut self, zone: Tz) {
        self.expectations.zone = self.schedule.as_ref().map_or(zone, CronSchedule::zone);
        self.expectations.min_run = self.limit_of("min_run");
        let written: Vec<String> = self.query.all_any_case("expect").map(str::to_owned).collect();
        for text in written.iter().filter(|text| !text.is_empty()) {
            match FigureExpectation::parse(text) {
                Ok(expected) => self.expectations.figures.push(expected),
                Err(e) => self.add_error("expect", e),
            }
        }
        if let Some(text) = self.filled_text("expect_else") {
            match ExpectElse::from_name(&text.to_ascii_lowercase()) {
                Some(otherwise) => self.expectations.otherwise = otherwise,
                None => {
                    self.add_error(
                        "expect_else",
                        format!("expect_else `{text}` is unknown: write error, alert or warn"),
                    );
                }
            }
        }
        if let Some((min, max)) = self.expectations.min_run.zip(self.max_run).filter(|(min, max)| min > max) {
            let (min, max) = (print_duration(min), print_duration(max));
            self.add_warning("min_run", format!("min_run {min} is longer than max_run {max}: swap them"));
        }
    }

    /// Reads `max_run=3x`; answers whether it is of this form.
    pub(crate) fn read_max_run_factor(&mut self) -> bool {
        let Some(text) = self.filled_text("max_run").filter(|text| text.ends_with('x')) else { return false };
        self.expectations.max_run_factor = Figure::parse_factor(&text).filter(|factor| factor.0 > 1.0);
        if self.expectations.max_run_factor.is_none() {
            let remedy = "write more than 1x, like 3x for times the median, or a duration like 45m";
            self.add_error("max_run", format!("max_run `{text}` is no limit: {remedy}"));
        }
        true
    }

    /// Why a value of `expect` never compares what a worker leaves.
    pub(crate) fn misplaced_expectation(&self, text: &str) -> Option<String> {
        let FigureExpectation { key, .. } = FigureExpectation::parse(text).ok()?;
        let owner = match key.as_str() {
            "cron" | "workflow" | "job" | "retry" | "retried" | "delayed" => "flowlord",
            _ if self.meta.contains_key(&key) => "the `meta` of this rule",
            _ => return None,
        };
        Some(format!("`{key}` is set by {owner}, and only what a worker leaves is compared: write a key of its result"))
    }
}

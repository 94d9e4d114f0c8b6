//! Pieces that pages share. Each knows how it is written: in a template it stands as `{{ piece }}`.

use std::fmt;

use askama::Template;
use askama::filters::HtmlSafe;
use flowlord_messages::alerts::StoredAlert;
use flowlord_messages::stats::{HourTotals, ResultCounts};

use super::calendar::DayPicker;
use super::chart::DayChart;
use super::link::PageLink;
use super::sort::ColumnHead;
use super::when::ShownTime;

/// A text of this many characters or fewer is shown in full.
const LONG: usize = 160;
/// The characters of a longer one that are shown until it is opened. Fewer than `LONG`: opening it is to be worth it.
const SHORT: usize = 120;

macro_rules! safe {
    ($($piece:ty),+ $(,)?) => { $(impl HtmlSafe for $piece {})+ };
}

// They escape what they hold themselves.
safe!(ShownTime, DayPicker, LongText, TableHeads, FigureRow, DayChart, Pager);

impl fmt::Display for ShownTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, exact, form } = self;
        // Nothing in it comes from outside.
        write!(f, "<time datetime=\"{exact}\" data-form=\"{form}\">{text}</time>")
    }
}

/// A text that is cut when it is long, and opens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Template)]
#[template(path = "parts/cell.html")]
pub(crate) struct LongText {
    pub(crate) text: String,
    /// Where all of it is, when this is only the beginning.
    pub(crate) whole: Option<String>,
}

impl LongText {
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// A text of a task as a list has it: one that is cut leads to the task, where all of it is.
    pub(crate) fn of_task(text: String, is_cut: bool, uid: &str) -> Self {
        let whole = (is_cut && !uid.is_empty()).then(|| format!("/web/task/{uid}"));
        Self { text, whole }
    }

    /// What an alert says; where it is cut, its task has all of it.
    pub(crate) fn of_alert(alert: &StoredAlert) -> Self {
        let uid = alert.uid.map(|uid| uid.to_string()).unwrap_or_default();
        Self::of_task(alert.msg.clone(), alert.is_msg_cut, &uid)
    }

    /// What fits into one line, where all of it is elsewhere.
    pub(crate) fn beginning(&self) -> &str {
        self.text.char_indices().nth(LONG).map_or(&self.text, |(at, _)| self.text.get(..at).unwrap_or_default())
    }

    /// The beginning and the rest of a text that is too long to be shown.
    fn cut(&self) -> Option<(&str, &str)> {
        // By characters: a cut at a number of bytes could be within one, and panic.
        self.text.char_indices().nth(LONG)?;
        let at = self.text.char_indices().nth(SHORT)?.0;
        Some(self.text.split_at(at))
    }
}

impl From<String> for LongText {
    fn from(text: String) -> Self {
        Self { text, whole: None }
    }
}

#[derive(Default, Template)]
#[template(path = "parts/heads.html")]
pub(crate) struct TableHeads {
    pub(crate) heads: Vec<ColumnHead>,
}

#[derive(Debug, Default, PartialEq, Eq, Template)]
#[template(path = "parts/pager.html")]
pub(crate) struct Pager {
    pub(crate) first: Option<String>,
    pub(crate) next: Option<String>,
}

impl Pager {
    /// Of a list at `link`, of which `next` is the cursor of the page after.
    pub(crate) fn new(link: &PageLink, next: Option<String>) -> Self {
        let first = (!link.first("cursor").is_empty()).then(|| link.without(&["cursor"]).href());
        Self { first, next: next.map(|next| link.with("cursor", &next).href()) }
    }

    /// Of a list that is a part of its page.
    pub(crate) fn of_part(self, anchor: &str) -> Self {
        let [first, next] = [self.first, self.next].map(|href| href.map(|href| href + anchor));
        Self { first, next }
    }
}

/// A figure that leads to what it counts.
pub(crate) struct LinkedFigure {
    pub(crate) label: &'static str,
    /// Its colour in the stylesheet.
    pub(crate) class: &'static str,
    pub(crate) count: u64,
    pub(crate) href: String,
    /// Whether the page shows only what it counts.
    pub(crate) chosen: bool,
}

impl LinkedFigure {
    fn text(&self) -> String {
        grouped(self.count)
    }
}

#[derive(Default, Template)]
#[template(path = "parts/figures.html")]
pub(crate) struct FigureRow {
    pub(crate) label: &'static str,
    pub(crate) figures: Vec<LinkedFigure>,
}

/// The ways of a task to stand, in the order of every row of figures, by the names that the stylesheet colours.
pub(crate) const STANDINGS: [&str; 5] = ["complete", "running", "warn", "error", "alert"];

/// Counts in the order of [`STANDINGS`].
pub(crate) fn counts_by_standing(counts: &ResultCounts) -> [u64; 5] {
    [counts.complete, counts.without_result(), counts.warn, counts.error, counts.alert]
}

pub(crate) fn sum_counts<'a>(rows: impl IntoIterator<Item = &'a HourTotals>) -> ResultCounts {
    rows.into_iter().fold(ResultCounts::default(), |sum, row| sum.add_counts(&row.counts))
}

impl FigureRow {
    /// The totals of a day; each leads to the page of `link` with only its tasks.
    pub(crate) fn of_day(counts: &ResultCounts, link: &PageLink) -> Self {
        let chosen = link.first("result");
        let all = link.without(&["result", "state", "cursor"]);
        let mut figures = vec![LinkedFigure {
            label: "tasks",
            class: "all",
            count: counts.total,
            href: all.href(),
            chosen: chosen.is_empty(),
        }];
        figures.extend(STANDINGS.into_iter().zip(counts_by_standing(counts)).map(|(name, count)| LinkedFigure {
            label: name,
            class: name,
            count,
            href: all.with("result", name).href(),
            chosen: chosen == name,
        }));
        Self { label: "Tasks by result", figures }
    }
}

/// A number with its thousands apart: `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use flowlord_messages::stats::DayTotals;

    use super::*;

    #[test]
    fn numbers_have_their_thousands_apart() {
        let texts = [0, 7, 999, 1_000, 12_345, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "7", "999", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_escaped() {
        let cell = |text: String| LongText::from(text).to_string();
        assert_eq!(cell("<b>".to_owned()), "&#60;b&#62;");
        assert_eq!(cell("é".repeat(LONG)), "é".repeat(LONG));
        let long = cell("é<".repeat(LONG));
        assert!(long.starts_with("<details class=\"long\"><summary>"), "{long}");
        assert!(long.contains(&"é&#60;".repeat(LONG)) && !long.contains("é<"), "{long}");
    }

    fn stats() -> DayTotals {
        let row = |hour, complete, error| {
            let counts = ResultCounts { total: complete + error + 1, complete, error, ..ResultCounts::default() };
            HourTotals { hour, topic: "load".into(), job: String::new(), counts, run_millis: 0 }
        };
        DayTotals { rows: vec![row(3, 1_500, 0), row(3, 0, 498), row(23, 999, 0)] }
    }

    #[test]
    fn figures_lead_to_what_they_count() {
        let figures =
            FigureRow::of_day(&sum_counts(&stats().rows), &PageLink::of("/web/task", "type=load&result=error"));
        let text = figures.to_string();
        assert!(text.contains("<b>3,000</b><span>tasks</span>"), "{text}");
        let error = figures.figures.iter().find(|figure| figure.label == "error").unwrap();
        assert!(error.chosen && error.count == 498 && error.href == "/web/task?type=load&result=error");
        assert_eq!(figures.figures[0].href, "/web/task?type=load");
    }

    #[test]
    fn a_list_leads_on_and_back_to_its_beginning() {
        let link = PageLink::of("/web/task", "type=a&cursor=7");
        let pager = Pager::new(&link, Some("9".to_owned()));
        assert_eq!(pager.first.as_deref(), Some("/web/task?type=a"));
        assert_eq!(pager.next.as_deref(), Some("/web/task?type=a&cursor=9"));
        assert_eq!(Pager::new(&PageLink::to("/web/task"), None).to_string().trim(), "");
    }
}

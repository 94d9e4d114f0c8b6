//! The day that a page shows, and the way to another: a month with the days that have something.

use chrono::Datelike as _;
use chrono::Days;
use chrono::Months;
use flowlord_messages::stats::DayMarks;

use super::link::PageLink;
use crate::prelude::*;

/// Years that people write with four digits: the first and the last of the calendar.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=9999;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShownDay {
    pub(crate) date: NaiveDate,
    pub(crate) today: NaiveDate,
    /// A day of the month that the calendar is turned to, where it isn't the day's own.
    pub(crate) leaf: Option<NaiveDate>,
}

#[derive(Template)]
#[template(path = "parts/picker.html")]
pub(crate) struct DayPicker {
    pub(crate) date: NaiveDate,
    /// Where its form goes, and what it keeps.
    pub(crate) link: PageLink,
    pub(crate) is_today: bool,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) today: String,
    /// Whether the calendar is shown from the start: somebody turns its leaves.
    pub(crate) open: bool,
    pub(crate) month: String,
    pub(crate) month_before: Option<String>,
    pub(crate) month_after: Option<String>,
    pub(crate) weeks: Vec<Vec<Option<CalendarDay>>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CalendarDay {
    pub(crate) number: u32,
    pub(crate) href: String,
    /// Said in full: `Monday, 2 March 2026: tasks, alerts`.
    pub(crate) label: String,
    pub(crate) tasks: bool,
    pub(crate) alerts: bool,
    pub(crate) files: bool,
    pub(crate) shown: bool,
    pub(crate) today: bool,
    pub(crate) future: bool,
}

impl ShownDay {
    /// From `date` and `month`; today unless asked for another.
    pub(crate) fn of(params: &QueryParams, now: DateTime<Utc>) -> Result<Self, Problem> {
        let today = now.date_naive();
        let leaf = params.one("month")?.map(first_of_month).transpose()?;
        let date = params.date()?.unwrap_or(today);
        if !in_calendar(date) {
            return Err(Problem::invalid(format!("`date` is {date}: write a day from 1970 to 9999")));
        }
        Ok(Self { date, today, leaf })
    }

    pub(crate) fn is_today(self) -> bool {
        self.date == self.today
    }

    pub(crate) fn words(self) -> String {
        long_date(self.date)
    }

    /// The days of the calendar: the first of its month, and the first of the next.
    pub(crate) fn month(self) -> (NaiveDate, NaiveDate) {
        let first = self.leaf.unwrap_or(self.date).with_day(1).unwrap_or(self.date);
        (first, first.checked_add_months(Months::new(1)).unwrap_or(first))
    }
}

impl DayPicker {
    /// `link` leads to the page with all its parameters.
    pub(crate) fn new(link: &PageLink, shown: ShownDay, marks: &[DayMarks]) -> Self {
        // Another day begins at its first page, with all its hours.
        let link = link.without(&["date", "cursor", "month", "hour"]);
        let ShownDay { date, today, leaf } = shown;
        let (first, next) = shown.month();
        let day_before = date.checked_sub_days(Days::new(1));
        // Nothing was created after today: the arrow ends there.
        let day_after = date.checked_add_days(Days::new(1)).filter(|after| *after <= today);
        Self {
            date,
            is_today: shown.is_today(),
            before: day_before.and_then(|day| day_href(&link, day)),
            after: day_after.and_then(|day| day_href(&link, day)),
            // A link without a date leads to the day that it is then.
            today: link.href(),
            open: leaf.is_some(),
            month: first.format("%B %Y").to_string(),
            month_before: month_href(&link, date, first.checked_sub_months(Months::new(1))),
            month_after: month_href(&link, date, Some(next)),
            weeks: weeks(first, next, |day| {
                CalendarDay::new(day, &link, shown, marks.iter().find(|marks| marks.day == day))
            }),
            link,
        }
    }

    /// `Mon 2 Mar 2026`.
    pub(crate) fn short(&self) -> String {
        self.date.format("%a %-d %b %Y").to_string()
    }
}

fn first_of_month(text: &str) -> Result<NaiveDate, Problem> {
    let first = NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d").ok();
    first.filter(|first| in_calendar(*first)).ok_or_else(|| Problem::wrong_value("month", text, "a month like 2026-01"))
}

fn day_href(link: &PageLink, day: NaiveDate) -> Option<String> {
    in_calendar(day).then(|| link.with("date", &day).href())
}

/// Leads to the same day with the calendar turned to another month.
fn month_href(link: &PageLink, date: NaiveDate, month: Option<NaiveDate>) -> Option<String> {
    let month = month.filter(|month| in_calendar(*month))?;
    Some(link.with("date", &date).with("month", &month.format("%Y-%m")).href())
}

/// Whole weeks from Monday; what isn't in the month stays empty.
fn weeks(first: NaiveDate, next: NaiveDate, day: impl Fn(NaiveDate) -> CalendarDay) -> Vec<Vec<Option<CalendarDay>>> {
    let lead = first.weekday().num_days_from_monday();
    let days = first.iter_days().take_while(|day| *day < next).map(|of| Some(day(of)));
    let mut cells = (0..lead).map(|_| None).chain(days).peekable();
    let mut weeks = Vec::new();
    while cells.peek().is_some() {
        let mut week: Vec<Option<CalendarDay>> = cells.by_ref().take(7).collect();
        // The template writes a cell for each: a short row would end the table's grid.
        week.resize_with(7, || None);
        weeks.push(week);
    }
    weeks
}

impl CalendarDay {
    fn new(day: NaiveDate, link: &PageLink, shown: ShownDay, marks: Option<&DayMarks>) -> Self {
        let (tasks, alerts, files) = marks.map(|marks| (marks.tasks, marks.alerts, marks.files)).unwrap_or_default();
        let marked = [(tasks, "tasks"), (alerts, "alerts"), (files, "files")].into_iter();
        let marked: Vec<&str> = marked.filter_map(|(is_marked, what)| is_marked.then_some(what)).collect();
        let colon = if marked.is_empty() { "" } else { ": " };
        Self {
            number: day.day(),
            href: link.with("date", &day).href(),
            label: format!("{}{colon}{}", long_date(day), marked.join(", ")),
            tasks,
            alerts,
            files,
            shown: day == shown.date,
            today: day == shown.today,
            future: day > shown.today,
        }
    }
}

fn in_calendar(day: NaiveDate) -> bool {
    YEARS.contains(&day.year())
}

/// `Monday, 2 March 2026`.
pub(crate) fn long_date(day: NaiveDate) -> String {
    day.format("%A, %-d %B %Y").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn turned(query: &str) -> DayPicker {
        let link = PageLink::of("/web/task", &format!("type=load&cursor=c&hour=3&{query}"));
        let params = QueryParams::parse(query, &["date", "month"]).unwrap();
        let shown = ShownDay::of(&params, "2026-03-02T12:00:00Z".parse().unwrap()).unwrap();
        let marks = DayMarks { day: date("2026-03-01"), tasks: true, alerts: true, files: false };
        DayPicker::new(&link, shown, &[marks])
    }

    #[test]
    fn other_days_keep_the_filter_and_begin_at_their_first_page() {
        let picker = turned("");
        assert_eq!(picker.before.as_deref(), Some("/web/task?type=load&date=2026-03-01"));
        assert_eq!((picker.after.as_deref(), picker.is_today, picker.open), (None, true, false));
        assert_eq!(picker.today, "/web/task?type=load");
        assert_eq!(picker.short(), "Mon 2 Mar 2026");
        let month = picker.month_before.as_deref();
        assert_eq!(month, Some("/web/task?type=load&date=2026-03-02&month=2026-02"));
    }

    #[test]
    fn a_month_is_whole_weeks_from_monday_with_marks() {
        let picker = turned("");
        assert_eq!((picker.weeks.len(), picker.month.as_str()), (6, "March 2026"));
        assert!(picker.weeks.iter().all(|week| week.len() == 7));
        assert!(picker.weeks[0][..6].iter().all(Option::is_none), "the 1st is a Sunday");
        let first = picker.weeks[0][6].as_ref().unwrap();
        assert_eq!(first.label, "Sunday, 1 March 2026: tasks, alerts");
        assert!(first.tasks && first.alerts && !first.files && !first.shown && !first.future);
        let second = picker.weeks[1][0].as_ref().unwrap();
        assert!(second.shown && second.today && !second.tasks);
        assert!(picker.weeks[1][1].as_ref().unwrap().future);
        assert_eq!(picker.weeks[5][1].as_ref().map(|day| day.number), Some(31));
    }

    #[test]
    fn a_day_or_month_that_can_not_be_says_what_to_write() {
        for query in ["month=13", "month=2026-13", "month=0001-01", "date=1969-12-31", "date=tomorrow"] {
            let params = QueryParams::parse(query, &["date", "month"]).unwrap();
            let problem = ShownDay::of(&params, DateTime::UNIX_EPOCH).unwrap_err();
            assert!(problem.detail().contains("write a"), "{query}: {problem}");
        }
    }

    #[test]
    fn leaves_turn_while_the_day_stays() {
        let picker = turned("month=2024-02");
        assert!(picker.open && picker.month == "February 2024");
        assert_eq!(picker.weeks.iter().flatten().flatten().count(), 29);
        assert_eq!(picker.month_after.as_deref(), Some("/web/task?type=load&date=2026-03-02&month=2024-03"));
        let edge = turned("date=1970-01-01");
        assert_eq!((edge.before, edge.month_before), (None, None), "there is nothing before");
        assert_eq!(edge.after.as_deref(), Some("/web/task?type=load&date=1970-01-02"));
    }
}

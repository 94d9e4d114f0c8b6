//! Calendars: files of days off, a date a line or iCalendar.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{Days, NaiveDate, TimeDelta};

use crate::finding::{Finding, Severity};
use crate::workflow::{Phase, Workflows};

/// How many days a calendar may have.
const MAX_DAYS: usize = 20_000;

/// How long an event may last.
const MAX_EVENT_DAYS: u64 = 366;

/// A calendar that ends sooner is pointed out.
const SOON: TimeDelta = TimeDelta::days(60);

/// Days off, or why nobody knows them.
pub type CalendarDays = Result<Arc<BTreeSet<NaiveDate>>, String>;

/// The calendars by their names.
pub type Calendars = BTreeMap<String, CalendarDays>;

/// The calendars that the phases name.
pub fn calendar_names(workflows: &Workflows) -> BTreeSet<String> {
    workflows.phases().filter_map(|phase| phase.rule.calendar.clone()).collect()
}

/// Reads a date a line; what follows a `#` is a comment.
pub fn parse_dates(text: &str) -> CalendarDays {
    let mut days = BTreeSet::new();
    for (line, number) in text.lines().zip(1..) {
        let date = line.split('#').next().unwrap_or_default().trim();
        if date.is_empty() {
            continue;
        }
        let day =
            date.parse().map_err(|_| format!("line {number}: `{date}` is not a date: write it like 2024-12-25"))?;
        days.insert(day);
    }
    check_size(days)
}

/// Reads the days of the events of an iCalendar file.
pub fn parse_icalendar(text: &str) -> CalendarDays {
    // A line that begins with a blank goes on with the one before.
    let text = text.replace("\r\n", "\n").replace("\n ", "").replace("\n\t", "");
    let (mut days, mut event) = (BTreeSet::new(), None);
    for (line, number) in text.lines().zip(1..) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let key = name.split(';').next().unwrap_or_default().to_ascii_uppercase();
        match (key.as_str(), &mut event) {
            ("BEGIN", _) if value.trim().eq_ignore_ascii_case("VEVENT") => event = Some((None, None)),
            ("END", Some((Some(first), last))) => {
                add_event(&mut days, *first, *last);
                event = None;
            }
            ("DTSTART", Some((first, _))) => *first = Some(read_day(value, number)?),
            ("DTEND", Some((_, last))) => *last = Some(read_day(value, number)?),
            ("RRULE" | "RDATE", Some(_)) => {
                return Err(format!("line {number}: {key} is not read: write an event for each day"));
            }
            _ => {}
        }
    }
    check_size(days)
}

fn read_day(value: &str, line: usize) -> Result<NaiveDate, String> {
    let digits = value.trim().get(..8).unwrap_or_default();
    NaiveDate::parse_from_str(digits, "%Y%m%d").map_err(|_| format!("line {line}: `{}` is not a date", value.trim()))
}

/// The end of an event is the day after its last one.
fn add_event(days: &mut BTreeSet<NaiveDate>, first: NaiveDate, end: Option<NaiveDate>) {
    let count = end.map_or(1, |end| u64::try_from((end - first).num_days()).unwrap_or(1)).clamp(1, MAX_EVENT_DAYS);
    days.extend((0..count).filter_map(|n| first.checked_add_days(Days::new(n))));
}

fn check_size(days: BTreeSet<NaiveDate>) -> CalendarDays {
    match days.len() {
        0 => Err("it has no dates: write one a line, like 2024-12-25".to_owned()),
        many if many > MAX_DAYS => Err(format!("it has more than {MAX_DAYS} days: remove old ones")),
        _ => Ok(Arc::new(days)),
    }
}

/// The workflows with the days off of their calendars. Without its calendar a phase has no days off, and says so.
pub fn with_calendars(workflows: Workflows, calendars: &Calendars) -> Workflows {
    if workflows.phases().all(|phase| phase.rule.calendar.is_none()) {
        return workflows;
    }
    let files = workflows.files().iter().map(|file| {
        let mut changed = Arc::clone(file);
        let indexes = (0..file.phases.len()).filter(|index| file.phases[*index].rule.calendar.is_some());
        for index in indexes {
            let file = Arc::make_mut(&mut changed);
            let phase = &mut file.phases[index];
            match days_of(phase, calendars) {
                Ok(days) => phase.rule.set_calendar(days),
                Err(problem) => {
                    phase.problems.push(problem.clone());
                    file.findings.push(Finding::new(&phase.workflow, phase.name_place(), Severity::Error, problem));
                    file.findings.sort();
                }
            }
        }
        changed
    });
    Workflows::new(files.collect::<Vec<_>>())
}

fn days_of(phase: &Phase, calendars: &Calendars) -> CalendarDays {
    let name = phase.rule.calendar.as_deref().unwrap_or_default();
    let found = calendars.get(name).cloned();
    let found = found.unwrap_or_else(|| Err(format!("write calendars/{name}.txt in the workflow folder")));
    found.map_err(|problem| format!("calendar `{name}`: {problem}; no day is off"))
}

/// Calendars that end soon: their authors forgot the next year.
pub fn ending_calendars(workflows: &Workflows, calendars: &Calendars, today: NaiveDate) -> Vec<Finding> {
    let ending = workflows.phases().filter_map(|phase| {
        let name = phase.rule.calendar.as_deref()?;
        let last = calendars.get(name)?.as_ref().ok()?.last()?;
        let message = format!("calendar `{name}` ends on {last}: add the days off of the time after it");
        let ends_soon = *last - today < SOON;
        ends_soon.then(|| Finding::new(&phase.workflow, phase.name_place(), Severity::Warning, message))
    });
    ending.collect()
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;
    use crate::workflow::WorkflowFile;

    fn dates(read: CalendarDays) -> Vec<String> {
        read.unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_date_a_line_is_a_calendar() {
        assert_eq!(
            dates(parse_dates("# 2024\n2024-12-25 # Christmas\n\n 2024-01-01\r\n")),
            ["2024-01-01", "2024-12-25"]
        );
        assert_eq!(
            parse_dates("2024-01-01\n25.12.2024").unwrap_err(),
            "line 2: `25.12.2024` is not a date: write it like 2024-12-25"
        );
        assert!(parse_dates("# none\n").unwrap_err().starts_with("it has no dates"));
        let many: String = (0..=20_000).map(|n| format!("{}\n", NaiveDate::default() + Days::new(n))).collect();
        assert!(parse_dates(&many).unwrap_err().starts_with("it has more than 20000 days"));
    }

    #[test]
    fn events_are_days_up_to_the_one_before_their_end() {
        let text = "BEGIN:VCALENDAR\r\nDTSTART:19990101\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20241224\r\nDTEND;VALUE=DATE:202412\r\n 27\r\n\
                    SUMMARY:Christmas\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nDTSTART:20250101T000000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
        assert_eq!(dates(parse_icalendar(text)), ["2024-12-24", "2024-12-25", "2024-12-26", "2025-01-01"]);
        let yearly = "BEGIN:VEVENT\nDTSTART:20240101\nRRULE:FREQ=YEARLY\nEND:VEVENT\n";
        assert_eq!(parse_icalendar(yearly).unwrap_err(), "line 3: RRULE is not read: write an event for each day");
        assert_eq!(parse_icalendar("BEGIN:VEVENT\nDTSTART:soon\n").unwrap_err(), "line 2: `soon` is not a date");
    }

    #[test]
    fn phases_get_the_days_of_their_calendar_or_say_why_not() {
        let text = "[[phase]]\ntask = \"a\"\nrule = \"cron=0 3 * * *&calendar=us\"\n[[phase]]\ntask = \"b\"\nrule = \"cron=0 3 * * *&calendar=eu\"\n";
        let file = WorkflowFile::parse("w.toml", text, "", Tz::UTC).unwrap();
        let workflows = Workflows::new([Arc::new(file)]);
        assert_eq!(calendar_names(&workflows), BTreeSet::from(["eu".to_owned(), "us".to_owned()]));
        let calendars = Calendars::from([("us".to_owned(), parse_dates("2024-01-15"))]);
        let with = with_calendars(workflows, &calendars);
        let next = |task: &str| {
            let schedule = with.phase_named("w.toml", task).unwrap().rule.schedule.clone().unwrap();
            schedule.next_after("2024-01-14T12:00:00Z".parse().unwrap()).unwrap().to_string()
        };
        assert_eq!((next("a").as_str(), next("b").as_str()), ("2024-01-16 03:00:00 UTC", "2024-01-15 03:00:00 UTC"));
        let problem = "calendar `eu`: write calendars/eu.txt in the workflow folder; no day is off";
        assert_eq!(with.phase_named("w.toml", "b").unwrap().problems, [problem]);
        assert_eq!(with.files()[0].findings.len(), 1);
        let ending = |today: &str| ending_calendars(&with, &calendars, today.parse().unwrap()).len();
        assert_eq!((ending("2023-11-01"), ending("2024-01-01"), ending("2025-01-01")), (0, 1, 1));
    }
}

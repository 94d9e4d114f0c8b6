//! What a rule says of days off.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{NaiveDate, Weekday};

use super::Rule;
use crate::cron::{DaysOff, OffDayRule};

impl Rule {
    pub(super) fn read_days_off(&mut self) {
        // Of a rule without a schedule a file's tasks may use any key.
        if self.cron.is_none() {
            return;
        }
        if let Some(name) = self.filled_text("calendar") {
            match is_calendar_name(&name) {
                true => self.calendar = Some(name),
                false => self.add_error(
                    "calendar",
                    format!("calendar `{name}` is no name: write letters, digits, dots, dashes and underscores"),
                ),
            }
        }
        let mut days = DaysOff::default();
        if let Some(text) = self.filled_text("on") {
            days.rule = OffDayRule::from_name(&text.to_ascii_lowercase()).unwrap_or_else(|| {
                self.add_blocker("on", format!("on `{text}` is unknown: write skip, next or previous"));
                OffDayRule::Skip
            });
        }
        for text in self.filled_text("not_on").unwrap_or_default().split(',').map(str::trim).filter(|it| !it.is_empty())
        {
            if !add_day(&mut days, text) {
                self.add_blocker(
                    "not_on",
                    format!("not_on `{text}` is unknown: write days like sat,sun, 2024-12-24 or 12-24"),
                );
            }
        }
        self.off_days = days;
        self.apply_days_off();
    }

    /// Leaves out the days of its calendar.
    pub(crate) fn set_calendar(&mut self, days: Arc<BTreeSet<NaiveDate>>) {
        self.off_days.dates = days;
        self.apply_days_off();
    }

    fn apply_days_off(&mut self) {
        let days = self.off_days.clone();
        self.schedule = self.schedule.take().map(|schedule| schedule.with_days_off(days));
    }
}

fn is_calendar_name(name: &str) -> bool {
    !name.starts_with('.') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// Adds a weekday, a date, or a day of each year.
fn add_day(days: &mut DaysOff, text: &str) -> bool {
    if let Ok(weekday) = text.parse::<Weekday>() {
        days.weekdays.push(weekday);
    } else if let Ok(date) = text.parse::<NaiveDate>() {
        days.own_dates.insert(date);
    } else if let Ok(date) = NaiveDate::parse_from_str(&format!("2024-{text}"), "%Y-%m-%d") {
        days.yearly.push((chrono::Datelike::month(&date), chrono::Datelike::day(&date)));
    } else {
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;

    fn rule(text: &str) -> Rule {
        Rule::parse(text, Tz::UTC)
    }

    #[test]
    fn days_off_are_read() {
        let read = rule("cron=0 3 * * *&calendar=us-market&On=next&not_on=sat, Sunday,2024-12-24,02-29");
        assert_eq!((read.problems.as_slice(), read.calendar.as_deref()), (&[][..], Some("us-market")));
        let days = read.schedule.as_ref().unwrap().days_off().unwrap();
        assert_eq!(days.weekdays, [Weekday::Sat, Weekday::Sun]);
        assert_eq!((days.own_dates.len(), days.yearly.as_slice(), days.rule), (1, &[(2, 29)][..], OffDayRule::Next));
        assert!(rule("cron=0 3 * * *&calendar=x").schedule.unwrap().days_off().is_none(), "its days aren't known yet");
        assert_eq!(rule("files=/x/*&on=anything&calendar=../x").problems, [], "a file's tasks may use any key");
    }

    #[test]
    fn a_value_that_could_start_it_on_a_wrong_day_blocks() {
        for (text, message, blocks) in [
            ("on=monday", "on `monday` is unknown: write skip, next or previous", true),
            ("not_on=13-40", "not_on `13-40` is unknown: write days like sat,sun, 2024-12-24 or 12-24", true),
            ("calendar=../x", "calendar `../x` is no name: write letters, digits, dots, dashes and underscores", false),
        ] {
            let read = rule(&format!("cron=@daily&{text}"));
            assert_eq!((read.problems[0].message.as_str(), read.problems[0].blocks), (message, blocks));
        }
    }
}

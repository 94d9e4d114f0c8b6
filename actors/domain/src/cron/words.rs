//! A schedule as people say it.

use chrono::TimeDelta;
use chrono_tz::Tz;

use super::fields::CronFields;
use super::{CronSchedule, ScheduleKind};
use crate::duration;

/// Up to this many times of a day are listed one by one.
const MOST_LISTED: usize = 6;

impl CronSchedule {
    /// When it is: `every hour at :05`, `Monday to Friday at 02:30`. Zones other than UTC are named.
    pub fn to_words(&self) -> String {
        let words = match &self.kind {
            ScheduleKind::Every(step) => words_of_every(*step),
            ScheduleKind::CronFields(fields) => fields_in_words(fields),
        };
        if self.zone == Tz::UTC { words } else { format!("{words}, {} time", self.zone.name()) }
    }
}

fn words_of_every(step: TimeDelta) -> String {
    match whole_unit(step) {
        Some((1, unit)) => format!("every {unit}"),
        Some((n, unit)) => format!("every {n} {unit}s"),
        None => format!("every {}", duration::print_duration(step)),
    }
}

/// A length in the largest unit that it is a whole number of.
pub(crate) fn whole_unit(length: TimeDelta) -> Option<(i64, &'static str)> {
    let seconds = length.num_seconds();
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    units.into_iter().find(|(unit, _)| seconds != 0 && seconds % unit == 0).map(|(unit, name)| (seconds / unit, name))
}

/// When within a day.
enum TimesOfDay {
    /// At some times: `02:30 and 14:30`.
    At(String),
    /// Again and again: `every hour at :05`.
    Often(String),
}

fn fields_in_words(fields: &CronFields) -> String {
    let days = words_of_days(fields);
    match words_of_times(fields) {
        TimesOfDay::At(times) if days.is_empty() => format!("every day at {times}"),
        TimesOfDay::At(times) => format!("{days} at {times}"),
        TimesOfDay::Often(often) if days.is_empty() => often,
        TimesOfDay::Often(often) => format!("{often}, {days}"),
    }
}

/// Which days; nothing for all.
fn words_of_days(fields: &CronFields) -> String {
    let months = members_of_bits(fields.month, 1, 12);
    let (all_year, months) =
        (months.len() == 12, words_of_list(&months, |month| MONTHS[month as usize - 1].to_owned()));
    // People's week begins on Monday.
    let weekday = (fields.weekday.bits & !1) | ((fields.weekday.bits & 1) << 7);
    let weekdays = words_of_list(&members_of_bits(weekday, 1, 7), |day| WEEKDAYS[day as usize - 1].to_owned());
    let numbers = members_of_bits(fields.day.bits, 1, 31);
    let of = if all_year { "each month" } else { months.as_str() };
    let day = if numbers.len() == 1 { "day" } else { "days" };
    let numbers = format!("{day} {} of {of}", words_of_list(&numbers, |day| day.to_string()));
    match (fields.day.any, fields.weekday.any) {
        (true, true) if all_year => String::new(),
        (true, true) => format!("every day in {months}"),
        (true, false) if all_year => weekdays,
        (true, false) => format!("{weekdays} in {months}"),
        (false, true) => numbers,
        (false, false) if all_year => format!("{numbers} or {weekdays}"),
        (false, false) => format!("{numbers} or {weekdays} in {months}"),
    }
}

fn words_of_times(fields: &CronFields) -> TimesOfDay {
    let (hours, minutes) = (members_of_bits(fields.hour, 0, 23), members_of_bits(fields.minute, 0, 59));
    let seconds = members_of_bits(fields.second, 0, 59);
    match seconds.as_slice() {
        [0] => within_day(&hours, &minutes, ""),
        [second] => within_day(&hours, &minutes, &format!(":{second:02}")),
        _ if hours.len() == 24 && minutes.len() == 60 => TimesOfDay::Often(match even_step(&seconds, 60) {
            Some(step) => words_of_step(step, "second", ""),
            None => {
                format!("every minute at second {}", words_of_list(&seconds, |second| second.to_string()))
            }
        }),
        _ => {
            let at = words_of_list(&seconds, |second| second.to_string());
            match within_day(&hours, &minutes, "") {
                TimesOfDay::At(times) => TimesOfDay::At(format!("{times}, second {at}")),
                TimesOfDay::Often(often) => TimesOfDay::Often(format!("{often}, second {at}")),
            }
        }
    }
}

fn within_day(hours: &[u32], minutes: &[u32], second: &str) -> TimesOfDay {
    if hours.len() == 24 {
        return TimesOfDay::Often(within_hour(minutes, second));
    }
    if hours.len() * minutes.len() <= MOST_LISTED {
        let times: Vec<String> =
            hours.iter().flat_map(|hour| minutes.iter().map(|minute| clock_text(*hour, *minute, second))).collect();
        return TimesOfDay::At(join_words(times));
    }
    if let ([minute], Some(step)) = (minutes, even_step(hours, 24)) {
        let at = match hours[0] {
            0 => format!(" at {}", minute_text(*minute, second)),
            first => format!(" from {}", clock_text(first, *minute, second)),
        };
        return TimesOfDay::Often(words_of_step(step, "hour", &at));
    }
    let (first, last) = (hours[0], hours[hours.len() - 1]);
    let span = if hours.len() as u32 == last - first + 1 {
        let end = clock_text(last, minutes[minutes.len() - 1], second);
        format!("from {} to {end}", clock_text(first, minutes[0], second))
    } else {
        format!("in the hours {}", words_of_list(hours, |hour| format!("{hour:02}")))
    };
    TimesOfDay::Often(format!("{} {span}", within_hour(minutes, second)))
}

/// `second` is what is written behind minutes: a colon and two digits, or nothing at the full minute.
fn clock_text(hour: u32, minute: u32, second: &str) -> String {
    format!("{hour:02}{}", minute_text(minute, second))
}

fn minute_text(minute: u32, second: &str) -> String {
    format!(":{minute:02}{second}")
}

fn within_hour(minutes: &[u32], second: &str) -> String {
    match (minutes, even_step(minutes, 60)) {
        (_, Some(step)) if minutes[0] == 0 => words_of_step(step, "minute", ""),
        (_, Some(step)) => words_of_step(step, "minute", &format!(" from {}", minute_text(minutes[0], second))),
        _ => format!("every hour at {}", words_of_list(minutes, |minute| minute_text(minute, second))),
    }
}

fn words_of_step(step: u32, unit: &str, rest: &str) -> String {
    if step == 1 { format!("every {unit}{rest}") } else { format!("every {step} {unit}s{rest}") }
}

/// The step of numbers that go round evenly, like 5, 20, 35, 50 of 60.
fn even_step(numbers: &[u32], round: u32) -> Option<u32> {
    let (first, second) = (*numbers.first()?, *numbers.get(1)?);
    let step = second - first;
    let even = numbers.windows(2).all(|pair| pair[1] - pair[0] == step);
    // Also from the last to the first: `*/7` has a shorter step once an hour.
    let whole = round.is_multiple_of(step) && numbers.len() as u32 == round / step;
    (even && whole).then_some(step)
}

fn members_of_bits(bits: u64, min: u32, max: u32) -> Vec<u32> {
    (min..=max).filter(|n| bits & (1 << n) != 0).collect()
}

/// `1, 3 and 5 to 9`.
fn words_of_list(numbers: &[u32], name: impl Fn(u32) -> String) -> String {
    let mut parts = Vec::new();
    for run in numbers.chunk_by(|a, b| a + 1 == *b) {
        match run {
            // Two are as short as a list.
            [first, _, .., last] => parts.push(format!("{} to {}", name(*first), name(*last))),
            few => parts.extend(few.iter().map(|n| name(*n))),
        }
    }
    join_words(parts)
}

fn join_words(mut parts: Vec<String>) -> String {
    let last = parts.pop().unwrap_or_default();
    if parts.is_empty() { last } else { format!("{} and {last}", parts.join(", ")) }
}

const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_said_as_people_say_them() {
        for (cron, words) in [
            ("5 * * * *", "every hour at :05"),
            ("* * * * *", "every minute"),
            ("*/10 * * * *", "every 10 minutes"),
            ("5-59/15 * * * *", "every 15 minutes from :05"),
            ("5,20,21,22 * * * *", "every hour at :05 and :20 to :22"),
            ("30 2 * * *", "every day at 02:30"),
            ("0 2,14 * * *", "every day at 02:00 and 14:00"),
            ("15 */2 * * *", "every 2 hours at :15"),
            ("15 1-23/2 * * *", "every 2 hours from 01:15"),
            ("0 */6 * * *", "every day at 00:00, 06:00, 12:00 and 18:00"),
            ("*/10 8-17 * * 1-5", "every 10 minutes from 08:00 to 17:50, Monday to Friday"),
            ("0,30 1,3,5,7 * * *", "every 30 minutes in the hours 01, 03, 05 and 07"),
            ("0 9 * * 0,6", "Saturday and Sunday at 09:00"),
            ("0 9 * * MON", "Monday at 09:00"),
            ("0 0 1 * *", "day 1 of each month at 00:00"),
            ("0 0 1,15 * *", "days 1 and 15 of each month at 00:00"),
            ("0 0 1 1,7 *", "day 1 of January and July at 00:00"),
            ("0 0 13 * 5", "day 13 of each month or Friday at 00:00"),
            ("0 6 * 6-8 *", "every day in June to August at 06:00"),
            ("5 * * 12 1", "every hour at :05, Monday in December"),
            ("*/5 * * * * *", "every 5 seconds"),
            ("7 5 * * * *", "every hour at :05:07"),
            ("0,7 30 2 * * *", "every day at 02:30, second 0 and 7"),
            ("@yearly", "day 1 of January at 00:00"),
            ("@weekly", "Sunday at 00:00"),
            ("@hourly", "every hour at :00"),
            ("@every 5m", "every 5 minutes"),
            ("@every 1h", "every hour"),
            ("@every 1h30m", "every 90 minutes"),
            ("CRON_TZ=Europe/Berlin 0 3 * * *", "every day at 03:00, Europe/Berlin time"),
        ] {
            assert_eq!(CronSchedule::parse(cron, Tz::UTC).unwrap().to_words(), words, "{cron}");
        }
    }

    #[test]
    fn what_goes_round_unevenly_is_listed() {
        for (cron, words) in [
            ("0,40 * * * *", "every hour at :00 and :40"),
            ("0,20,40 * * * *", "every 20 minutes"),
            ("0 0,8,16 * * *", "every day at 00:00, 08:00 and 16:00"),
            ("0 0-20/4 * * *", "every day at 00:00, 04:00, 08:00, 12:00, 16:00 and 20:00"),
            ("5 0-21/3 * * *", "every 3 hours at :05"),
            ("0 1,2,3,4,5,6,7 * * *", "every hour at :00 from 01:00 to 07:00"),
            ("0,30 1-4 * * *", "every 30 minutes from 01:00 to 04:30"),
            ("0,30 1,2,5 * * *", "every day at 01:00, 01:30, 02:00, 02:30, 05:00 and 05:30"),
            ("* 3 * * *", "every minute from 03:00 to 03:59"),
            ("*/20 * * * * *", "every 20 seconds"),
            ("1,2,4 * * * * *", "every minute at second 1, 2 and 4"),
            ("1,2 30 * * * *", "every hour at :30, second 1 and 2"),
            ("0 0 1-7,15 * *", "days 1 to 7 and 15 of each month at 00:00"),
            ("0 0 * 1-3,5 1-3", "Monday to Wednesday in January to March and May at 00:00"),
            ("0 0 13 6 5", "day 13 of June or Friday in June at 00:00"),
            ("@every 1s", "every second"),
            ("@every 36h", "every 36 hours"),
            ("@every 48h", "every 2 days"),
            ("@every 61s", "every 61 seconds"),
        ] {
            assert_eq!(CronSchedule::parse(cron, Tz::UTC).unwrap().to_words(), words, "{cron}");
        }
    }
}

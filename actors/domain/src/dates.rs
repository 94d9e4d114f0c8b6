//! Lists of times as people read them: `2024/01/15T03-2024/01/15T09`.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, TimeDelta, Utc};

#[derive(Clone, Copy)]
enum RunUnit {
    Hour,
    Day,
    Month,
}

/// Joins runs of hours, days or months as `a-b`; single times are written with their hour.
pub fn print_dates(times: impl IntoIterator<Item = DateTime<Utc>>) -> String {
    let mut times: Vec<DateTime<Utc>> = times.into_iter().collect();
    times.sort_unstable();
    times.dedup(); // several alerts may be about one time
    let step = unit_of_runs(&times);
    let runs = times.chunk_by(|a, b| is_next(step, *a, *b));
    runs.map(|run| print_run(step, run)).collect::<Vec<_>>().join(",")
}

/// Months while no month comes twice, else days while no day does, else hours.
fn unit_of_runs(times: &[DateTime<Utc>]) -> RunUnit {
    if times.windows(2).any(|pair| pair[0].date_naive() == pair[1].date_naive()) {
        RunUnit::Hour
    } else if times.windows(2).any(|pair| first_of_month(pair[0]) == first_of_month(pair[1])) {
        RunUnit::Day
    } else {
        RunUnit::Month
    }
}

fn is_next(step: RunUnit, a: DateTime<Utc>, b: DateTime<Utc>) -> bool {
    match step {
        RunUnit::Hour => b - a == TimeDelta::hours(1),
        RunUnit::Day => a.date_naive().checked_add_days(Days::new(1)) == Some(b.date_naive()),
        RunUnit::Month => first_of_month(a).and_then(|day| day.checked_add_months(Months::new(1))) == first_of_month(b),
    }
}

fn first_of_month(time: DateTime<Utc>) -> Option<NaiveDate> {
    time.date_naive().with_day(1)
}

fn print_run(step: RunUnit, run: &[DateTime<Utc>]) -> String {
    const HOUR: &str = "%Y/%m/%dT%H";
    let format = match step {
        RunUnit::Hour => HOUR,
        RunUnit::Day => "%Y/%m/%d",
        RunUnit::Month => "%Y/%m",
    };
    match run {
        [] => String::new(),
        [single] => single.format(HOUR).to_string(),
        [first, .., last] => format!("{}-{}", first.format(format), last.format(format)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_one_step_are_joined() {
        for (times, printed) in [
            (&[][..], ""),
            (&["2024-01-15T03"], "2024/01/15T03"),
            (&["2024-01-15T05", "2024-01-15T03", "2024-01-15T04", "2024-01-15T04"], "2024/01/15T03-2024/01/15T05"),
            (&["2024-01-15T23", "2024-01-16T00", "2024-01-16T02"], "2024/01/15T23-2024/01/16T00,2024/01/16T02"),
            (&["2024-01-30T00", "2024-01-31T00", "2024-02-01T00"], "2024/01/30-2024/02/01"),
            (&["2024-01-30T00", "2024-01-31T05", "2024-02-02T00"], "2024/01/30-2024/01/31,2024/02/02T00"),
            (&["2023-11-30T00", "2023-12-31T00", "2024-01-01T00", "2024-03-01T00"], "2023/11-2024/01,2024/03/01T00"),
            // The same month of two years is no month that comes twice.
            (&["2023-01-15T00", "2024-01-15T00"], "2023/01/15T00,2024/01/15T00"),
        ] {
            let times = times.iter().map(|hour| format!("{hour}:00:00Z").parse().unwrap());
            assert_eq!(print_dates(times), printed);
        }
    }
}

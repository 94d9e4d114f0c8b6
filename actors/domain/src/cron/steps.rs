//! Steps that a field can't hold: `*/90` of minutes fires every hour.

use super::CronSchedule;

/// A field: what it is called, its first value, how many there are, and its unit in `@every`.
struct StepField {
    what: &'static str,
    first: u32,
    count: u32,
    /// The whole that begins anew, the name of one step, and how many of which unit a step is.
    cycle: Option<(&'static str, &'static str, u32, char)>,
}

const FIELDS: [StepField; 6] = [
    StepField { what: "second", first: 0, count: 60, cycle: Some(("minute", "seconds", 1, 's')) },
    StepField { what: "minute", first: 0, count: 60, cycle: Some(("hour", "minutes", 1, 'm')) },
    StepField { what: "hour", first: 0, count: 24, cycle: Some(("day", "hours", 1, 'h')) },
    StepField { what: "day of month", first: 1, count: 31, cycle: Some(("month", "days", 24, 'h')) },
    StepField { what: "month", first: 1, count: 12, cycle: None },
    StepField { what: "day of week", first: 0, count: 7, cycle: None },
];

impl CronSchedule {
    /// What a step of `spec` does that its author hardly means, and what to write instead; none for one that does what
    /// it says. Of uneven steps it names only those of more than half an hour, a minute or a day: what is
    /// left over is then far from the step.
    pub fn misleading_step(&self, spec: &str) -> Option<String> {
        let parts: Vec<&str> = spec.split_whitespace().filter(|part| !part.contains("TZ=")).collect();
        let fields = FIELDS.get(6_usize.checked_sub(parts.len())?..)?; // five parts have none for seconds
        let steps = parts.iter().zip(fields).flat_map(|(part, field)| part.split(',').map(move |part| (part, field)));
        steps.filter_map(|(part, field)| field.find_misleading(part, &self.to_words())).next()
    }
}

impl StepField {
    fn find_misleading(&self, part: &str, really: &str) -> Option<String> {
        let (range, step) = part.split_once('/')?;
        let step: u32 = step.parse().ok()?;
        let bounds = range.split_once('-').and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)));
        let (low, high): (u32, u32) = bounds.unwrap_or((self.first, self.first + self.count - 1));
        let size = (high + 1).saturating_sub(low);
        if step > size {
            return Some(format!(
                "the step of `{part}` is larger than the {size} values of the {} field that it steps through: it fires \
                 {really}; {}",
                self.what,
                self.remedy_text(step)
            ));
        }
        let (cycle, unit, ..) = self.cycle.filter(|_| self.what != "day of month" && size == self.count)?;
        let rest = size - step;
        (rest > 0 && rest < step).then(|| {
            format!(
                "`{part}` starts anew with each {cycle}: its times are {step} and {rest} {unit} apart; {}",
                self.remedy_text(step)
            )
        })
    }

    fn remedy_text(&self, step: u32) -> String {
        match self.cycle {
            Some((_, unit, length, letter)) => {
                format!("write `@every {}{letter}` for every {step} {unit}", step.saturating_mul(length))
            }
            None => format!("write the intended values of the {}", self.what),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;

    fn find_misleading(spec: &str) -> Option<String> {
        CronSchedule::parse(spec, Tz::UTC).unwrap().misleading_step(spec)
    }

    #[test]
    fn a_step_larger_than_its_field_says_when_it_fires_and_what_to_write() {
        for (spec, fires, write) in [
            ("*/90 * * * *", "fires every hour at :00;", "`@every 90m` for every 90 minutes"),
            ("0/90 * * * *", "fires every hour at :00;", "`@every 90m`"),
            ("5/90 * * * *", "fires every hour at :05;", "`@every 90m`"),
            ("0 */30 * * *", "fires every day at 00:00;", "`@every 30h` for every 30 hours"),
            ("*/75 * * * * *", "fires every minute;", "`@every 75s`"),
            ("0 0 */45 * *", "fires day 1 of each month at 00:00;", "`@every 1080h` for every 45 days"),
            ("0 0 1 */18 *", "fires day 1 of January at 00:00;", "write the intended values of the month"),
            ("0 0 * * */10", "fires Sunday at 00:00;", "write the intended values of the day of week"),
            ("0 9-17/12 * * *", "fires every day at 09:00;", "`@every 12h`"),
            ("0,*/90 * * * *", "fires every hour at :00;", "`@every 90m`"),
            ("CRON_TZ=Europe/Berlin */90 * * * *", "fires every hour", "`@every 90m`"),
        ] {
            let told = find_misleading(spec).unwrap_or_else(|| panic!("nothing told of {spec}"));
            assert!(told.contains(fires) && told.contains(write), "{spec}: {told}");
        }
    }

    #[test]
    fn a_step_that_leaves_far_less_at_the_end_is_told() {
        assert_eq!(
            find_misleading("*/45 * * * *").unwrap(),
            "`*/45` starts anew with each hour: its times are 45 and 15 minutes apart; write `@every 45m` for every 45 \
             minutes"
        );
        assert!(find_misleading("0 */18 * * *").unwrap().contains("18 and 6 hours apart"));
    }

    #[test]
    fn other_steps_do_what_they_say() {
        for spec in [
            "*/30 * * * *",
            "*/60 * * * *",
            "*/7 * * * *",
            "*/25 * * * *",
            "0 */24 * * *",
            "0 */12 * * *",
            "0 0 */20 * *",
            "0 0 1 */12 *",
            "0 9-17/4 * * *",
            "0-30/15 * * * *",
            "@every 90m",
            "@daily",
            "0 3 * * *",
            "*/15 * * * * *",
        ] {
            assert_eq!(find_misleading(spec), None, "{spec}");
        }
    }
}

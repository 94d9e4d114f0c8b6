//! What starts a phase, and what its tasks are about, as people say it.

use chrono::TimeDelta;

use super::Phase;
use crate::cron::words::whole_unit;
use crate::cron::{CronSchedule, OffDayRule};
use crate::duration;
use crate::rule::{BatchStep, JoinNeed, LateJoinRule, Rule};

impl Phase {
    /// When its tasks start and what they are about: `every hour at :05, for the hour before`.
    pub fn to_words(&self) -> String {
        let mut parts = Vec::new();
        if let Some(cron) = &self.rule.cron {
            let when = self.rule.schedule.as_ref().map(CronSchedule::to_words);
            let when = when.unwrap_or_else(|| format!("never: `{cron}` is invalid"));
            parts.push(when + &words_of_days_off(&self.rule) + &words_of_time(&self.rule));
        }
        if let Some(files) = &self.rule.files {
            parts.push(match self.rule.count {
                ..=1 => format!("when a file matching {files} arrives"),
                count => format!("when {count} files matching {files} have arrived"),
            });
        }
        if self.is_join {
            parts.push(format!("{}{}", self.words_of_join(), words_of_required(&self.rule)));
        } else if self.has_parent() {
            parts.push(format!("after {} completes{}", self.depends_on_text, words_of_required(&self.rule)));
        }
        if parts.is_empty() {
            return "by nothing: its tasks are posted over REST".to_owned();
        }
        parts.join("; and ") + &words_of_rows(&self.rule)
    }
}

impl Phase {
    /// What a join waits for: `once for each day, when every load of the day is complete`.
    fn words_of_join(&self) -> String {
        let parents = &self.depends_on_text;
        let (period, join) = (self.rule.join.over.map_or("hour", BatchStep::as_str), &self.rule.join);
        let what = match (join.need, join.over) {
            (JoinNeed::Count(1), _) => format!("when the first of {parents} completes"),
            (JoinNeed::Count(count), _) => format!("when {count} of {parents} are complete"),
            (JoinNeed::All, Some(_)) => format!("when every {parents} of the {period} is complete"),
            (JoinNeed::All, None) => format!("when {parents} are complete"),
        };
        let late = match (join.by.map(duration::print_duration), join.then) {
            (None, _) => String::new(),
            (Some(by), LateJoinRule::Start) => format!(", or with what is there {by} after its end"),
            (Some(by), LateJoinRule::Alert) => format!(", with an alert {by} after its end"),
        };
        format!("once for each {period}, {what}{late}")
    }
}

/// Which time the tasks of a slot are about.
fn words_of_time(rule: &Rule) -> String {
    if !rule.span.is_zero() {
        let side = if rule.span < TimeDelta::zero() { "back to" } else { "up to" };
        let by = rule.by.as_str();
        let from =
            if rule.offset.is_zero() { String::new() } else { format!(" from {}", words_of_distance(rule.offset)) };
        return format!(", for each {by}{from} {side} {}", words_of_distance(rule.offset + rule.span));
    }
    match rule.offset {
        offset if offset.is_zero() => String::new(),
        offset => format!(", for {}", words_of_distance(offset)),
    }
}

/// The days on which it has no slots: `, not on days off of us-market or Sat but on the next working day`.
fn words_of_days_off(rule: &Rule) -> String {
    let days = &rule.off_days;
    let calendar = rule.calendar.iter().map(|name| format!("days off of {name}"));
    let weekdays = days.weekdays.iter().map(ToString::to_string);
    let dates = days.own_dates.iter().map(ToString::to_string);
    let yearly = days.yearly.iter().map(|(month, day)| format!("{month:02}-{day:02}"));
    let all: Vec<String> = calendar.chain(weekdays).chain(dates).chain(yearly).collect();
    let instead = match days.rule {
        OffDayRule::Skip => "",
        OffDayRule::Next => " but on the next working day",
        OffDayRule::Previous => " but on the working day before",
    };
    if all.is_empty() { String::new() } else { format!(", not on {}{instead}", all.join(" or ")) }
}

/// How far a time is from the slot: `the hour before`, `2 days after`.
fn words_of_distance(offset: TimeDelta) -> String {
    let side = if offset < TimeDelta::zero() { "before" } else { "after" };
    match whole_unit(offset.abs()) {
        Some((1, unit)) => format!("the {unit} {side}"),
        Some((n, unit)) => format!("{n} {unit}s {side}"),
        None if offset.is_zero() => "the slot".to_owned(),
        None => format!("{} {side}", duration::print_duration(offset.abs())),
    }
}

fn words_of_required(rule: &Rule) -> String {
    match rule.require.as_slice() {
        [] => String::new(),
        keys => format!(" with {} in its meta", keys.join(" and ")),
    }
}

fn words_of_rows(rule: &Rule) -> String {
    let listed = rule.meta.values().map(Vec::len).max();
    match (&rule.meta_file, listed) {
        (Some(path), _) => format!(", one task for each row of {path}"),
        (None, Some(rows @ 2..)) => format!(", one task for each of {rows} rows"),
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::super::WorkflowFile;

    fn words(keys: &str) -> String {
        let text = format!("[[phase]]\ntask = \"a\"\n{keys}\n");
        WorkflowFile::parse("w.toml", &text, "", Tz::UTC).unwrap().phases[0].to_words()
    }

    #[test]
    fn phases_say_what_starts_them() {
        for (rule, said) in [
            ("cron=5 * * * *&offset=-1h", "every hour at :05, for the hour before"),
            ("cron=30 2 * * *&offset=-24h", "every day at 02:30, for the day before"),
            ("cron=0 3 * * *&offset=-4h", "every day at 03:00, for 4 hours before"),
            ("cron=0 3 * * *&offset=90m", "every day at 03:00, for 90 minutes after"),
            ("cron=@daily&for=-168h", "every day at 00:00, for each day back to 7 days before"),
            (
                "cron=@daily&offset=-24h&for=23h&by=hour",
                "every day at 00:00, for each hour from the day before up to the hour before",
            ),
            ("cron=@daily&meta=k:a,b,c", "every day at 00:00, one task for each of 3 rows"),
            ("cron=@daily&meta-file=r.csv", "every day at 00:00, one task for each row of r.csv"),
            ("cron=0 3 * * *&not_on=sat,12-24", "every day at 03:00, not on Sat or 12-24"),
            (
                "cron=0 3 * * *&offset=-24h&calendar=us&on=previous",
                "every day at 03:00, not on days off of us but on the working day before, for the day before",
            ),
            ("cron=61 * * * *", "never: `61 * * * *` is invalid"),
            ("files=s3://b/*.gz", "when a file matching s3://b/*.gz arrives"),
            ("files=s3://b/*.gz&count=24", "when 24 files matching s3://b/*.gz have arrived"),
            ("retry_delay=3s", "by nothing: its tasks are posted over REST"),
        ] {
            assert_eq!(words(&format!("rule = \"{rule}\"")), said, "{rule}");
        }
        assert_eq!(words("dependsOn = \"load:x\""), "after load:x completes");
        for (keys, said) in [
            ("dependsOn = \"w/o.toml#load\"", "after w/o.toml#load completes"),
            ("dependsOn = [\"load:x\", \"w/o.toml#fx\"]", "once for each hour, when load:x, w/o.toml#fx are complete"),
            ("dependsOn = \"x\"\nrule = \"over=day\"", "once for each day, when every x of the day is complete"),
            (
                "dependsOn = \"x\"\nrule = \"over=day&join=any&join_by=6h\"",
                "once for each day, when the first of x completes, or with what is there 6h after its end",
            ),
            (
                "dependsOn = \"x\"\nrule = \"over=week&join=5&join_by=1d&join_by_then=alert\"",
                "once for each week, when 5 of x are complete, with an alert 1d after its end",
            ),
        ] {
            assert_eq!(words(keys), said, "{keys}");
        }
        assert_eq!(
            words("dependsOn = \"load\"\nrule = \"require={meta:file},{meta:rows}&cron=@hourly\""),
            "every hour at :00; and after load completes with file and rows in its meta"
        );
    }

    #[test]
    fn a_range_that_ends_at_its_slot_says_so() {
        let said = words("rule = \"cron=@daily&offset=-24h&for=24h&by=hour\"");
        assert_eq!(said, "every day at 00:00, for each hour from the day before up to the slot");
        let said = words("rule = \"cron=@daily&offset=90s&for=12h30m&by=week\"");
        assert_eq!(said, "every day at 00:00, for each week from 90 seconds after up to 45090 seconds after");
        assert!(words("rule = \"cron=@daily&for=1h&by=month\"").contains("for each month up to the hour after"));
    }
}

//! What the address of the page says.

use chrono::{DateTime, DurationRound as _, NaiveDate, TimeDelta, Utc};
use flowlord_domain::workflow::Phase;
use flowlord_web_core::params::QueryParams;
use flowlord_web_core::problem::Problem;

use crate::link::PageLink;

pub(super) const PATH: &str = "/web/workflow";

pub(super) const MOST_ROWS: usize = 60;

pub(super) const DAYS: u64 = 7;

pub(super) const MOST_DAYS: u64 = 31;

pub(super) const PARAMS: [&str; 9] = ["file", "task", "job", "phase", "date", "days", "slot", "cursor", "month"];

/// What chooses an hour, and a page of its slots.
pub(super) const OF_SLOTS: [&str; 2] = ["slot", "cursor"];

pub(super) struct WorkflowQuery {
    pub(super) file: String,
    pub(super) task: String,
    pub(super) job: String,
    pub(super) phase: String,
    /// The last day of the grid of a phase, and how many it shows.
    pub(super) date: NaiveDate,
    pub(super) days: u64,
    /// The hour whose slots are listed.
    pub(super) slot: Option<DateTime<Utc>>,
    /// The slot after which the page of the list begins.
    pub(super) after: Option<DateTime<Utc>>,
    pub(super) now: DateTime<Utc>,
}

impl WorkflowQuery {
    pub(super) fn of(params: &QueryParams, now: DateTime<Utc>) -> Result<Self, Problem> {
        let days = match params.one("days")? {
            None => DAYS,
            Some(text) => text.parse().ok().filter(|days| (1..=MOST_DAYS).contains(days)).ok_or_else(|| {
                Problem::wrong_value("days", text, format_args!("a whole number from 1 to {MOST_DAYS}"))
            })?,
        };
        Ok(Self {
            file: text_of(params, "file")?,
            task: text_of(params, "task")?,
            job: text_of(params, "job")?,
            phase: text_of(params, "phase")?,
            date: params.date()?.unwrap_or_else(|| now.date_naive()),
            days,
            slot: params.time("slot")?.map(hour_of),
            after: params.cursor()?,
            now,
        })
    }

    pub(super) fn is_open(&self) -> bool {
        [&self.file, &self.task, &self.job].iter().all(|text| text.is_empty())
    }

    /// The first hour of the last day up to now.
    pub(super) fn day_from(&self) -> DateTime<Utc> {
        // With the hour that has begun, these are 24.
        hour_of(self.now) - TimeDelta::hours(23)
    }

    pub(super) fn grid(&self) -> (DateTime<Utc>, DateTime<Utc>) {
        let to = self.date.succ_opt().unwrap_or(self.date).and_time(chrono::NaiveTime::MIN).and_utc();
        (to - TimeDelta::days(i64::try_from(self.days).unwrap_or(1)), to)
    }

    pub(super) fn shows(&self, phase: &Phase) -> bool {
        is_shown(phase, &self.file, &self.task, &self.job)
    }
}

fn text_of(params: &QueryParams, name: &str) -> Result<String, Problem> {
    Ok(params.one(name)?.unwrap_or_default().to_owned())
}

/// Whether a phase is of a file, a task and a job, as far as each is named.
pub(super) fn is_shown(phase: &Phase, file: &str, task: &str, job: &str) -> bool {
    [(file, &phase.workflow), (task, &phase.task.topic), (job, &phase.task.job)]
        .into_iter()
        .all(|(wanted, text)| wanted.is_empty() || wanted == text)
}

/// Leads to the slots of an hour, on the page of their phase.
pub(super) fn slot_href(page: &PageLink, at: DateTime<Utc>) -> String {
    page.with("slot", &at.format("%Y-%m-%dT%H")).href() + "#slot"
}

pub(super) fn hour_of(at: DateTime<Utc>) -> DateTime<Utc> {
    at.duration_trunc(TimeDelta::hours(1)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use flowlord_testkit::sample::noon;

    use super::*;

    fn query(text: &str) -> Result<WorkflowQuery, Problem> {
        WorkflowQuery::of(&QueryParams::parse(text, &PARAMS)?, noon() + TimeDelta::minutes(59))
    }

    #[test]
    fn the_grid_has_whole_days_up_to_the_end_of_the_last() {
        let asked = query("").unwrap();
        let days = (asked.grid().0.to_string(), asked.grid().1.to_string());
        assert_eq!(days, ("2026-02-24 00:00:00 UTC".to_owned(), "2026-03-03 00:00:00 UTC".to_owned()));
        assert_eq!(asked.day_from().to_string(), "2026-03-01 13:00:00 UTC", "24 hours with the one that has begun");
        let asked = query("date=2026-01-31&days=31&slot=2026-01-15T03:30:00Z").unwrap();
        assert_eq!(asked.grid().0.to_string(), "2026-01-01 00:00:00 UTC");
        assert_eq!(asked.slot.map(|at| at.to_string()).as_deref(), Some("2026-01-15 03:00:00 UTC"), "the hour of it");
        let link = slot_href(&PageLink::to(PATH), asked.slot.unwrap());
        assert_eq!(link, "/web/workflow?slot=2026-01-15T03#slot");
    }

    #[test]
    fn days_that_can_not_be_say_what_to_write() {
        for days in ["0", "32", "-1", "many"] {
            let detail = query(&format!("days={days}")).err().unwrap().detail().to_owned();
            assert_eq!(detail, format!("`days` is `{days}`: write a whole number from 1 to 31"));
        }
    }

    #[test]
    fn only_file_task_and_job_filter() {
        assert!(query("phase=load&days=3&date=2026-01-01").unwrap().is_open());
        for filter in ["file=a.toml", "task=load", "job=daily"] {
            assert!(!query(filter).unwrap().is_open(), "{filter}");
        }
    }
}

//! A large generated history: runs of workflows with their retries, alerts and slots, spread over many days, one of
//! them far busier than the others.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use flowlord_db::BulkWriter;
use flowlord_domain::{AlertKind, Attempt, CutTexts, NewAlert, TaskLane, TaskResult, TaskState, Uid};
use flowlord_messages::schedule::SlotKey;
use indicatif::{ProgressBar, ProgressStyle};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::current_day;

/// Workflow files; each has a phase that cron starts and phases that depend on it.
const WORKFLOWS: usize = 12;

const JOBS: [&str; 4] = ["orders", "users", "events", "payments"];

/// The topics after a first phase, each the child of the one before.
const CHILD_TOPICS: [&str; 4] = ["transform", "check", "load", "report"];

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct HistoryPlan {
    /// Attempts in all.
    #[arg(long, default_value_t = 10_000_000)]
    attempts: u64,
    /// Of these, attempts on the busiest day, the last but one; a tenth when not given.
    #[arg(long)]
    busiest: Option<u64>,
    /// Days that they are spread over.
    #[arg(long, default_value_t = 90)]
    days: u32,
    /// The last day, `2026-03-01`; today when not given.
    #[arg(long)]
    until: Option<NaiveDate>,
    /// The same seed makes the same history.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Writes the history into a folder that has no database, which `flowlord serve --data` then opens.
pub(crate) fn write_history(plan: &HistoryPlan, out: &Path) -> anyhow::Result<()> {
    ensure!(plan.days >= 2, "--days: at least 2, so that there is a busiest day before the last");
    ensure!(plan.busiest_day() <= plan.attempts, "--busiest can't be more than --attempts");
    let mut generator = HistoryGenerator::begin_bulk(plan, out)?;
    let until = plan.until.unwrap_or_else(current_day);
    for days_back in (0..plan.days).rev() {
        let day = until.checked_sub_days(Days::new(days_back.into())).context("--until is too early")?;
        generator.generate_day(day, plan.attempts_on(days_back))?;
    }
    generator.finish_bulk(out)
}

impl HistoryPlan {
    /// As `generate --attempts` without other flags.
    pub(crate) fn of_size(attempts: u64, until: NaiveDate) -> Self {
        Self { attempts, busiest: None, days: 90, until: Some(until), seed: 1 }
    }

    fn busiest_day(&self) -> u64 {
        self.busiest.unwrap_or(self.attempts / 10)
    }

    /// Attempts on the day `days_back` before the last one.
    fn attempts_on(&self, days_back: u32) -> u64 {
        if days_back == 1 {
            return self.busiest_day();
        }
        let others = u64::from(self.days - 1);
        let rest = self.attempts - self.busiest_day();
        // The remainder of the division goes to the oldest days.
        rest / others + u64::from(u64::from(self.days - 1 - days_back) < rest % others)
    }
}

struct HistoryGenerator {
    bulk: BulkWriter,
    rng: StdRng,
    // Runs overlap, and attempts are stored in the order of their ids.
    pending: BTreeMap<Uid, Attempt>,
    attempts: u64,
    runs: u64,
    progress: ProgressBar,
}

impl HistoryGenerator {
    fn begin_bulk(plan: &HistoryPlan, out: &Path) -> anyhow::Result<Self> {
        let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len}, {per_sec}")?;
        Ok(Self {
            bulk: BulkWriter::begin(out)?,
            rng: StdRng::seed_from_u64(plan.seed),
            pending: BTreeMap::new(),
            attempts: 0,
            runs: 0,
            progress: ProgressBar::new(plan.attempts).with_style(style),
        })
    }

    /// Generates a day of runs, begun evenly over all but its last minutes.
    fn generate_day(&mut self, day: NaiveDate, attempts: u64) -> anyhow::Result<()> {
        let begin = day.and_hms_opt(0, 0, 0).context("no midnight")?.and_utc();
        // Runs take minutes: those begun last are to end on their day.
        let length = TimeDelta::minutes(23 * 60 + 40).num_microseconds().context("a day")?;
        let before = self.attempts;
        let end = before + attempts;
        while self.attempts < end {
            // i128: a day's microseconds times many millions of attempts may be beyond i64.
            let part = i128::from(self.attempts - before) * i128::from(length) / i128::from(attempts);
            let at = begin + TimeDelta::microseconds(i64::try_from(part)?);
            self.store_until(Some(at))?;
            self.generate_run(at, usize::try_from(end - self.attempts)?)?;
        }
        self.store_until(None)
    }

    fn store_until(&mut self, at: Option<DateTime<Utc>>) -> anyhow::Result<()> {
        while let Some(first) = self.pending.first_entry()
            && at.is_none_or(|at| first.key().created_at() < at)
        {
            let attempt = first.remove();
            self.bulk.add_attempt(&attempt)?;
            self.progress.inc(1);
        }
        Ok(())
    }

    /// One run of a workflow, of at most `max` attempts: its first task, the children, and retries between.
    fn generate_run(&mut self, at: DateTime<Utc>, max: usize) -> anyhow::Result<()> {
        let workflow = format!("etl/w{:02}.toml", self.rng.random_range(0..WORKFLOWS));
        let job = JOBS[self.rng.random_range(0..JOBS.len())];
        let chain = format!(
            "{:08x}-{:04x}-7{:03x}-9abc-{:012x}",
            at.timestamp(),
            self.runs >> 12,
            self.runs & 0xfff,
            self.runs
        );
        self.runs += 1;
        let topics =
            ["extract"].into_iter().chain(CHILD_TOPICS).take(1 + self.rng.random_range(1..=CHILD_TOPICS.len()));
        let (mut at, mut parent, mut left) = (at, None, max);
        for topic in topics {
            let mut retry = 0;
            loop {
                if left == 0 {
                    return Ok(());
                }
                left -= 1;
                let attempt = self.generate_attempt(at, topic, job, &workflow, &chain, parent, retry);
                let (uid, result, ended) = (attempt.uid, attempt.result, attempt.ended.unwrap_or(at));
                if parent.is_none() && retry == 0 {
                    let slot =
                        SlotKey { workflow: workflow.clone(), task: format!("{topic}:{job}"), at: uid.created_at() };
                    self.bulk.add_slot(&slot, uid)?;
                }
                let exhausted = result == Some(TaskResult::Error) && retry == 2;
                if exhausted || result == Some(TaskResult::Alert) {
                    self.bulk.add_alert(&alert_of(&attempt, ended))?;
                }
                self.pending.insert(uid, attempt);
                at = ended + TimeDelta::milliseconds(3);
                match result {
                    Some(TaskResult::Complete) => break parent = Some(uid),
                    Some(TaskResult::Error) if retry < 2 => retry += 1,
                    _ => return Ok(()),
                }
            }
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one row")]
    fn generate_attempt(
        &mut self,
        at: DateTime<Utc>,
        topic: &str,
        job: &str,
        workflow: &str,
        chain: &str,
        parent: Option<Uid>,
        retry: u32,
    ) -> Attempt {
        let mut uid = Uid::at(at);
        // As the writer does it: the instant of creation, or the next free one. A stored attempt is older than any new one.
        while self.pending.contains_key(&uid) {
            uid.0 += 1;
        }
        self.attempts += 1;
        let started = at + TimeDelta::milliseconds(self.rng.random_range(2..2_000));
        let ended = started + TimeDelta::milliseconds(self.rng.random_range(200..90_000));
        let (result, msg) = match self.rng.random_range(0..1_000) {
            0..30 => (TaskResult::Error, "connection to warehouse-3 refused: timed out after 30s"),
            30..42 => (TaskResult::Warn, "nothing to do: the source has no rows for this hour"),
            42..44 => (TaskResult::Alert, "row count fell by more than half against the day before"),
            _ => (TaskResult::Complete, ""),
        };
        let hour = at.format("%Y-%m-%dT%H");
        let rows = self.rng.random_range(0..5_000_000);
        Attempt {
            uid,
            topic: topic.to_owned(),
            job: job.to_owned(),
            id: chain.to_owned(),
            info: format!("s3://lake/{topic}/{job}/{hour}/part-{:05}.json?hour={hour}", self.runs % 100_000),
            meta: format!("cron={hour}&job={job}&rows={rows}&workflow={workflow}"),
            workflow: workflow.to_owned(),
            parent,
            retry,
            lane: TaskLane::Live,
            state: TaskState::Done,
            delivery: 1,
            not_before: None,
            worker: format!("worker-{:02}", self.rng.random_range(0..40)),
            cancelled: false,
            lease_expires: None,
            times_out: None,
            waits_for_slot: false,
            progress: None,
            result: Some(result),
            msg: msg.to_owned(),
            started: Some(started),
            ended: Some(ended),
            cut: CutTexts::default(),
        }
    }

    fn finish_bulk(self, out: &Path) -> anyhow::Result<()> {
        self.progress.finish();
        let mut stdout = std::io::stdout();
        writeln!(stdout, "building the indexes …")?;
        let added = self.bulk.finish()?;
        let bytes = out.join(flowlord_db::DATABASE).metadata()?.len();
        writeln!(stdout, "{added} attempts, {bytes} bytes in {}", out.display())?;
        Ok(())
    }
}

fn alert_of(attempt: &Attempt, at: DateTime<Utc>) -> NewAlert {
    let is_at_once = attempt.result == Some(TaskResult::Alert);
    let kind = if is_at_once { AlertKind::Result } else { AlertKind::Exhausted };
    NewAlert { task_time: Some(attempt.uid.created_at()), ..NewAlert::about(attempt, kind, attempt.msg.clone(), at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> HistoryPlan {
        let until = NaiveDate::from_ymd_opt(2026, 3, 1);
        HistoryPlan { attempts: 5_003, busiest: Some(1_000), days: 10, until, seed: 1 }
    }

    #[test]
    fn the_days_add_up_to_what_was_asked_for() {
        let plan = plan();
        let days: Vec<u64> = (0..plan.days).map(|days_back| plan.attempts_on(days_back)).collect();
        assert_eq!((days.iter().sum::<u64>(), days[1]), (5_003, 1_000));
        assert!(days.iter().enumerate().all(|(back, day)| back == 1 || (444..=445).contains(day)), "{days:?}");
    }

    #[test]
    fn what_is_made_opens_adds_up_and_holds_together() {
        let folder = tempfile::tempdir().unwrap();
        write_history(&plan(), folder.path()).unwrap();
        let path = folder.path().join(flowlord_db::DATABASE);
        assert_eq!(flowlord_db::check_snapshot(&path).unwrap(), flowlord_db::VERSION);
        let connection = rusqlite::Connection::open(&path).unwrap();
        let one = |sql: &str| -> i64 { connection.query_row(sql, [], |row| row.get(0)).unwrap() };
        assert_eq!(one("SELECT count(*) FROM task"), 5_003);
        assert_eq!(one("SELECT sum(total) FROM rollup"), 5_003);
        assert_eq!(one("SELECT sum(complete + error + alert + warn) FROM rollup"), 5_003);
        let day = "SELECT count(*) FROM task WHERE uid >= 1772236800000000 AND uid < 1772323200000000";
        assert_eq!(one(day), 1_000, "2026-02-28");
        assert_eq!(
            one("SELECT count(*) FROM task AS child JOIN task AS parent ON parent.uid = child.parent
            WHERE parent.result <> 0 OR parent.chain <> child.chain"),
            0,
            "parents of children completed"
        );
        assert_eq!(one("SELECT count(*) FROM slot JOIN task ON uid = slot.started"), one("SELECT count(*) FROM slot"));
        assert!(one("SELECT count(*) FROM alert") > 0 && one("SELECT count(*) FROM alert WHERE told = 0") == 0);
        assert_eq!(one("SELECT count(*) FROM sqlite_schema WHERE name = 'task_chain'"), 1, "the indexes are back");
        let again = write_history(&plan(), folder.path()).unwrap_err().to_string();
        assert!(again.contains("already exists"), "{again}");
    }
}

//! Totals: by hour, topic and job, of the days of a calendar, and of what is to do.

use actix::Message;
use chrono::{DateTime, NaiveDate, Utc};

use flowlord_kernel::Result;

/// Totals of a day.
#[derive(Debug, Message)]
#[rtype(result = "Result<DayTotals>")]
pub struct ReadDayTotals {
    /// The UTC day of creation.
    pub day: NaiveDate,
}

/// Totals of a day by its steps of five minutes, read from the tasks themselves; none of a day with too many for that.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<Vec<StepTotals>>>")]
pub struct ReadDaySteps {
    /// The UTC day of creation.
    pub day: NaiveDate,
}

impl ReadDaySteps {
    /// Minutes of a step.
    pub const MINUTES: u16 = 5;
    /// The most tasks that are read.
    pub const MAX_TASKS: usize = 10_000;
}

/// One step of a day, of one topic and job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepTotals {
    /// The step of the day, from 0.
    pub step: u16,
    /// The topic; `type` on the wire.
    pub topic: String,
    /// The job; empty for none.
    pub job: String,
    /// How its attempts ended.
    pub counts: ResultCounts,
}

/// Which days of a calendar have something.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<DayMarks>>")]
pub struct ReadDayMarks {
    /// The first UTC day.
    pub from: NaiveDate,
    /// The day after the last one.
    pub to: NaiveDate,
}

impl ReadDayMarks {
    /// So many days at once, and no more.
    pub const MOST: usize = 366;
}

/// What a day has, by UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayMarks {
    /// The UTC day.
    pub day: NaiveDate,
    /// Whether tasks were created.
    pub tasks: bool,
    /// Whether alerts were raised.
    pub alerts: bool,
    /// Whether files were reported.
    pub files: bool,
}

/// Counts by how things ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResultCounts {
    /// All attempts that were created.
    pub total: u64,
    /// Attempts that ended `complete`.
    pub complete: u64,
    /// Attempts that ended `error`.
    pub error: u64,
    /// Attempts that ended `alert`.
    pub alert: u64,
    /// Attempts that ended `warn`.
    pub warn: u64,
}

impl ResultCounts {
    /// The sum of both, field by field.
    #[must_use]
    pub fn add_counts(self, other: &Self) -> Self {
        Self {
            total: self.total + other.total,
            complete: self.complete + other.complete,
            error: self.error + other.error,
            alert: self.alert + other.alert,
            warn: self.warn + other.warn,
        }
    }

    /// Those without a result.
    #[must_use]
    pub fn without_result(&self) -> u64 {
        self.total.saturating_sub(self.complete + self.error + self.alert + self.warn)
    }
}

/// Totals of a day, by hour of creation, topic and job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DayTotals {
    /// One row per hour, topic and job that has any.
    pub rows: Vec<HourTotals>,
}

/// One hour of one topic and job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourTotals {
    /// The hour of the day, 0 to 23.
    pub hour: u8,
    /// The topic; `type` on the wire.
    pub topic: String,
    /// The job; empty for none.
    pub job: String,
    /// How its attempts ended.
    pub counts: ResultCounts,
    /// Run time of those that ended, milliseconds, all together.
    pub run_millis: u64,
}

/// How much there is to do.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<QueueBacklog>")]
pub struct ReadBacklog;

/// What [`ReadBacklog`] answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueBacklog {
    /// Queues that have tasks without a result, by topic and job.
    pub queues: Vec<QueueLoad>,
    /// Messages that Slack wasn't told yet.
    pub messages: u64,
}

/// What a queue, the tasks of one topic and job, has to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueLoad {
    /// The topic; `type` on the wire.
    pub topic: String,
    /// The job; empty for none.
    pub job: String,
    /// Ready tasks.
    pub ready: u64,
    /// Since when the oldest of them is ready.
    pub oldest_ready: Option<DateTime<Utc>>,
    /// Delayed tasks.
    pub delayed: u64,
    /// Leased tasks.
    pub leased: u64,
}

impl QueueBacklog {
    /// The queues of each topic together, by topic; their job is empty.
    ///
    /// ```
    /// use flowlord_messages::stats::{QueueBacklog, QueueLoad};
    ///
    /// let queue = |job: &str, ready| QueueLoad { topic: "load".into(), job: job.into(), ready, ..QueueLoad::default() };
    /// let backlog = QueueBacklog { queues: vec![queue("daily", 2), queue("hourly", 3)], messages: 0 };
    /// assert_eq!(backlog.by_topic(), [queue("", 5)]);
    /// ```
    #[must_use]
    pub fn by_topic(&self) -> Vec<QueueLoad> {
        let mut topics: Vec<QueueLoad> = Vec::new();
        for queue in &self.queues {
            match topics.last_mut() {
                Some(last) if last.topic == queue.topic => last.add_load(queue),
                _ => topics.push(QueueLoad { job: String::new(), ..queue.clone() }),
            }
        }
        topics
    }

    /// All queues together.
    #[must_use]
    pub fn sum(&self) -> QueueLoad {
        self.queues.iter().fold(QueueLoad::default(), |mut sum, queue| {
            sum.add_load(queue);
            sum
        })
    }
}

impl QueueLoad {
    fn add_load(&mut self, other: &Self) {
        self.ready += other.ready;
        self.delayed += other.delayed;
        self.leased += other.leased;
        self.oldest_ready = self.oldest_ready.into_iter().chain(other.oldest_ready).min();
    }
}

/// How many hours of topics and jobs are looked up.
pub const MAX_HOURS: usize = 50_000;

/// How the tasks of topics and jobs ended, by hour of creation. Asked of the DB readers.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<Vec<Vec<(DateTime<Utc>, ResultCounts)>>>")]
pub struct ReadHourCounts {
    /// Topic and job of each.
    pub queues: Vec<(String, String)>,
    /// The first hour, UTC.
    pub from: DateTime<Utc>,
    /// The hours end before.
    pub to: DateTime<Utc>,
    /// Of each only the newest hour that has any.
    pub newest: bool,
}

//! The rows of lists that several pages show.

use chrono::{DateTime, Datelike as _, NaiveTime, TimeDelta, Utc};
use flowlord_domain::query::Query;
use flowlord_domain::task_time::{info_time, task_time};
use flowlord_domain::waiting::WaitingCause;
use flowlord_domain::workflow::{Finding, Severity};
use flowlord_domain::{Attempt, TaskState};
use flowlord_messages::alerts::{AlertFilter, ListAlerts, StoredAlert};

use super::parts::LongText;
use super::when::{ShownTime, span};

pub(crate) struct TaskRow {
    pub(crate) uid: String,
    /// Whether it can run again or be cancelled: its worker isn't told to stop already.
    pub(crate) can_change: bool,
    /// Whether the page is about it.
    pub(crate) is_current: bool,
    /// The result, or the state while there is none.
    pub(crate) status: &'static str,
    pub(crate) class: &'static str,
    pub(crate) progress: Option<String>,
    pub(crate) topic: String,
    pub(crate) job: String,
    /// The time that it is about, as short as it may be; empty where nothing says it.
    pub(crate) about: String,
    pub(crate) info: LongText,
    pub(crate) meta: LongText,
    pub(crate) msg: LongText,
    pub(crate) attempt: u32,
    pub(crate) created: ShownTime,
    pub(crate) waited: String,
    pub(crate) ran: String,
    /// None of a task that hasn't started.
    pub(crate) bar: Option<SpanBar>,
    pub(crate) worker: String,
    /// Why it waits; empty where it doesn't, and where a list doesn't say.
    pub(crate) cause: String,
}

impl TaskRow {
    pub(crate) fn with_cause(task: Attempt, cause: Option<WaitingCause>, now: DateTime<Utc>) -> Self {
        Self { cause: cause.map(|cause| cause.text).unwrap_or_default(), ..Self::new(task, now) }
    }

    pub(crate) fn new(task: Attempt, now: DateTime<Utc>) -> Self {
        let created = task.uid.created_at();
        let (status, class) = status_and_class(&task);
        // A delay until a set time is no queue time.
        let waiting_since = task.not_before.filter(|at| *at > created).unwrap_or(created);
        let waited = match task.started {
            Some(started) => Some(started - waiting_since),
            None => (task.state == TaskState::Ready).then(|| now - waiting_since),
        };
        let end = task.ended.or((task.state == TaskState::Leased).then_some(now));
        let ran = task.started.zip(end).map(|(from, to)| to - from);
        let (uid, cut) = (task.uid.to_string(), task.cut);
        Self {
            can_change: task.state == TaskState::Done || !task.cancelled,
            is_current: false,
            status,
            class,
            progress: task.progress.filter(|_| task.state == TaskState::Leased).map(|part| format!("{part:.2}")),
            topic: task.topic,
            job: task.job,
            about: about_text(&task.info, if cut.meta { "" } else { &task.meta }, created),
            info: LongText::of_task(task.info, cut.info, &uid),
            meta: LongText::of_task(task.meta, cut.meta, &uid),
            msg: LongText::of_task(task.msg, cut.msg, &uid),
            uid,
            attempt: task.retry.saturating_add(1),
            created: ShownTime::time_of_day(created),
            waited: waited.map(span).unwrap_or_default(),
            bar: waited.zip(ran).map(|(waited, ran)| SpanBar::new(waited, ran)),
            ran: ran.map(span).unwrap_or_default(),
            worker: task.worker,
            cause: String::new(),
        }
    }
}

/// The time that a task is about, beside that of its creation: a time of the same day, a day of the same year.
fn about_text(info: &str, meta: &str, created: DateTime<Utc>) -> String {
    // The info may say the minute, where the meta says only the hour.
    let Some(about) = info_time(info).or_else(|| task_time(info, &Query::parse_lenient(meta))) else {
        return String::new();
    };
    let day = if about.year() == created.year() { "%m-%d" } else { "%Y-%m-%d" };
    let form = match (about.date_naive() == created.date_naive(), about.time() == NaiveTime::MIN) {
        (true, _) => "%H:%M".to_owned(),
        (false, true) => day.to_owned(),
        (false, false) => format!("{day} %H:%M"),
    };
    about.format(&form).to_string()
}

/// Queue time and run time as a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpanBar {
    pub(crate) start: u32,
    pub(crate) wait: u32,
    pub(crate) run: u32,
}

impl SpanBar {
    /// The length of the longest, as the drawing has it.
    const LENGTH: f64 = 1_000.0;

    /// The shortest that is seen.
    const SHORTEST: u32 = 4;

    /// Its length grows by the same for ten times the time, from 10 ms to 10 hours, so that seconds and hours can stand in
    /// one list.
    fn new(waited: TimeDelta, ran: TimeDelta) -> Self {
        let [waited, ran] = [waited, ran].map(|time| time.max(TimeDelta::zero()).as_seconds_f64());
        let total = (waited + ran).max(0.01);
        // Seven decades lie between a hundredth of a second and ten hours, nearly.
        let length = ((total.log10() + 2.0) / 6.6).clamp(0.04, 1.0) * Self::LENGTH;
        let wait = length * waited / total;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a length on the screen")]
        let [wait, run] = [wait, length - wait].map(|part| part.round() as u32);
        Self { start: 0, wait, run }
    }

    /// A part of a time that several bars share, where each has its place.
    pub(crate) fn within(
        (first, length): (DateTime<Utc>, TimeDelta),
        [created, started, ended]: [DateTime<Utc>; 3],
    ) -> Self {
        let part = |from: DateTime<Utc>, to: DateTime<Utc>| {
            let part = (to - from).as_seconds_f64() / length.as_seconds_f64();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a length on the screen")]
            let part = (part.clamp(0.0, 1.0) * Self::LENGTH).round() as u32;
            part
        };
        Self {
            start: part(first, created),
            wait: part(created, started),
            run: part(started, ended).max(Self::SHORTEST),
        }
    }
}

pub(crate) fn status_and_class(task: &Attempt) -> (&'static str, &'static str) {
    match (task.result, task.state) {
        (Some(result), _) => (result.as_str(), result.as_str()),
        (None, TaskState::Leased) => ("running", "running"),
        (None, TaskState::Delayed) => ("delayed", "waiting"),
        (None, _) => ("ready", "waiting"),
    }
}

/// Asks for the newest alerts of a time: one more than are shown tells that there are more.
pub(crate) fn newest_alerts((from, to): (DateTime<Utc>, DateTime<Utc>), shown: usize) -> ListAlerts {
    ListAlerts { from, to, filter: AlertFilter::default(), after: None, limit: shown + 1 }
}

/// `unknown phase`.
pub(crate) fn kind_words(alert: &StoredAlert) -> String {
    alert.kind.as_str().replace('_', " ")
}

pub(crate) struct WorkflowTrouble {
    pub(crate) place: String,
    pub(crate) message: String,
    pub(crate) class: &'static str,
}

impl From<&Finding> for WorkflowTrouble {
    fn from(finding: &Finding) -> Self {
        Self {
            place: format!("{}:{}:{}", finding.file, finding.line, finding.column),
            message: finding.message.clone(),
            class: match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warn",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use flowlord_testkit::sample::{attempt, finished, leased, noon};

    use super::*;

    fn times(task: Attempt) -> (String, String) {
        let row = TaskRow::new(task, noon() + TimeDelta::seconds(60));
        (row.waited, row.ran)
    }

    #[test]
    fn queue_time_and_run_time_go_on_until_they_end() {
        let told = |waited: &str, ran: &str| (waited.to_owned(), ran.to_owned());
        assert_eq!(times(attempt(0)), told("1m", ""), "a ready task waits until now");
        assert_eq!(times(Attempt { state: TaskState::Delayed, ..attempt(0) }), told("", ""), "a delayed one doesn't");
        assert_eq!(times(leased(0)), told("0s", "1m"), "a leased one runs until now");
        assert_eq!(times(finished(0)), told("2s", "3s"));
        let not_before = Some(noon() + TimeDelta::seconds(45));
        assert_eq!(times(Attempt { not_before, ..attempt(0) }), told("15s", ""), "a set time is no queue time");
        let not_before = Some(noon() - TimeDelta::seconds(45));
        assert_eq!(times(Attempt { not_before, ..attempt(0) }), told("1m", ""), "nor is one before its creation");
    }

    #[test]
    fn the_time_of_a_task_is_as_short_as_it_may_be() {
        let about = |info: &str, meta: &str| about_text(info, meta, noon());
        assert_eq!(about("?hour=2026-03-02T11", ""), "11:00");
        assert_eq!(about("?time=2026-03-02T11:13:00Z", "cron=2026-03-02T11"), "11:13", "the finer one counts");
        assert_eq!(about("?day=2026-03-01", ""), "03-01");
        assert_eq!(about("file.csv", "cron=2026-03-01T05"), "03-01 05:00");
        assert_eq!(about("s3://b/2025/03/01/a", ""), "2025-03-01");
        assert_eq!(about("number=42", ""), "");
    }

    #[test]
    fn a_bar_grows_with_the_magnitude_of_its_time() {
        let bar = |waited, ran| SpanBar::new(TimeDelta::milliseconds(waited), TimeDelta::milliseconds(ran));
        assert_eq!(bar(0, 1_000), SpanBar { start: 0, wait: 0, run: 303 });
        assert_eq!(bar(0, 10_000), SpanBar { start: 0, wait: 0, run: 455 });
        assert_eq!(bar(500, 500), SpanBar { start: 0, wait: 152, run: 152 });
        assert_eq!(bar(-5, 0), SpanBar { start: 0, wait: 0, run: 40 }, "clocks differ");
        assert_eq!(bar(360_000_000, 0), SpanBar { start: 0, wait: 1_000, run: 0 });
    }

    #[test]
    fn progress_is_shown_only_of_what_runs() {
        let shown = |task| TaskRow::new(task, noon()).progress;
        assert_eq!(shown(leased(0)).as_deref(), Some("0.25"));
        assert_eq!(shown(Attempt { progress: Some(0.25), ..finished(0) }), None);
    }

    #[test]
    fn a_task_without_a_result_is_told_by_its_state() {
        let of = |state| status_and_class(&Attempt { state, ..attempt(0) });
        let told = [TaskState::Ready, TaskState::Delayed, TaskState::Leased].map(of);
        assert_eq!(told, [("ready", "waiting"), ("delayed", "waiting"), ("running", "running")]);
        assert_eq!(status_and_class(&finished(0)), ("error", "error"));
    }
}

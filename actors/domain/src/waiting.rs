//! Why a task waits, in one sentence.

use chrono::{DateTime, TimeDelta, Utc};

use crate::limits::LimitBlock;
use crate::summary::line_key;
use crate::task::{Attempt, TaskState};

/// Workers ask again at least this often: a topic for which none did has none.
pub const MAX_PAUSE_OF_WORKERS: TimeDelta = TimeDelta::minutes(2);

named_enum! {
    /// Why a task waits.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum WaitingReason {
        /// No worker asks for its topic.
        NoWorker = "no_worker",
        /// As many tasks of its phase or group as may are at work.
        Limit = "limit",
        /// As many tasks of its phase as may have started.
        Rate = "rate",
        /// It is a retry whose delay isn't over.
        Retry = "retry",
        /// It was created for later, or released with a delay.
        NotBefore = "not_before",
        /// Its phase is paused.
        Paused = "paused",
        /// All workers of its topic have tasks, or the slot before its own hasn't ended.
        Queue = "queue",
    }
}

/// Why a task waits, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingCause {
    /// The reason.
    pub reason: WaitingReason,
    /// Since when it is so.
    pub since: DateTime<Utc>,
    /// The same as a sentence, without its full stop.
    pub text: String,
}

/// A phase is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhasePause {
    /// Since when.
    pub since: DateTime<Utc>,
    /// Who paused it; empty where that isn't known.
    pub by: String,
}

/// What is known of the workers of a topic and job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueWorkers {
    /// Nothing is known of the time before.
    pub known_since: DateTime<Utc>,
    /// When a worker last asked; none when nobody did.
    pub asked: Option<DateTime<Utc>>,
    /// How many of its tasks workers hold.
    pub leased: u64,
    /// The limit that its tasks met when a worker last asked, and since when.
    pub block: Option<(DateTime<Utc>, LimitBlock)>,
}

impl QueueWorkers {
    /// Since when no worker takes its tasks; none where one does. A worker that is busy with one of them is there, too.
    pub fn missing_since(&self, now: DateTime<Utc>, patience: TimeDelta) -> Option<DateTime<Utc>> {
        // After a start no worker has asked yet, so the patience begins there.
        let since = self.asked.unwrap_or(self.known_since);
        (self.leased == 0 && now - since >= patience).then_some(since)
    }

    /// That no worker asks, and since when.
    pub fn words_of_missing(&self, task_name: &str, now: DateTime<Utc>) -> String {
        match self.asked {
            Some(asked) => format!("no worker has asked for `{task_name}` since {}", clock_text(asked, now)),
            None => {
                let since = clock_text(self.known_since, now);
                format!("no worker has asked for `{task_name}` since the service started at {since}")
            }
        }
    }
}

/// Why a task that has no result and no worker waits. `workers` is none where nothing is known of them.
///
/// ```
/// use chrono::{DateTime, TimeDelta};
/// use flowlord_domain::waiting::{QueueWorkers, WaitingReason, explain_waiting};
/// use flowlord_domain::{NewTask, TaskLane, Uid};
///
/// let created = "2026-03-02T12:00:00Z".parse::<DateTime<chrono::Utc>>()?;
/// let task = NewTask {
///     uid: Uid::at(created), topic: "load".into(), job: "daily".into(), id: "c".into(), info: "i".into(),
///     meta: String::new(), workflow: String::new(), parent: None, retry: 0, not_before: None, lane: TaskLane::Live,
/// };
/// let workers = QueueWorkers { known_since: created, asked: None, leased: 0, block: None };
/// let later = created + TimeDelta::minutes(10);
/// let cause = explain_waiting(&task.into_attempt(), Some(&workers), None, later).unwrap();
/// assert_eq!(cause.reason, WaitingReason::NoWorker);
/// assert_eq!(cause.text, "No worker has asked for `load:daily` since the service started at 12:00 UTC");
/// # Ok::<(), chrono::ParseError>(())
/// ```
pub fn explain_waiting(
    task: &Attempt,
    workers: Option<&QueueWorkers>,
    pause: Option<&PhasePause>,
    now: DateTime<Utc>,
) -> Option<WaitingCause> {
    let created = task.uid.created_at();
    let cause = |reason, since, text: String| Some(WaitingCause { reason, since, text });
    match (task.state, task.not_before) {
        (TaskState::Leased | TaskState::Done, _) => None,
        (TaskState::Delayed, None) if task.waits_for_slot => {
            let text = "Waits until the slots of its phase before it have ended".to_owned();
            cause(WaitingReason::Queue, created, text)
        }
        // Only a pause delays other tasks without a time.
        (TaskState::Delayed, None) => {
            let since = pause.map_or(created, |pause| pause.since);
            let by = pause.filter(|pause| !pause.by.is_empty()).map(|pause| format!(" by {}", pause.by));
            let since_text = clock_text(since, now);
            let text = format!("Its phase is paused{} since {since_text}", by.unwrap_or_default());
            cause(WaitingReason::Paused, since, text)
        }
        // Once delivered, it was released with a delay: that delay isn't the one of its retry.
        (TaskState::Delayed, Some(at)) if task.retry > 0 && task.delivery == 0 => {
            let text = format!("Retry {} starts at {}", task.retry, clock_text(at, now));
            cause(WaitingReason::Retry, created, text)
        }
        (TaskState::Delayed, Some(at)) => {
            cause(WaitingReason::NotBefore, created, format!("Starts no earlier than {}", clock_text(at, now)))
        }
        (TaskState::Ready, _) => {
            match workers.and_then(|workers| Some((workers, workers.missing_since(now, MAX_PAUSE_OF_WORKERS)?))) {
                Some((workers, since)) => {
                    let words = workers.words_of_missing(&line_key(&task.topic, &task.job), now);
                    // A task can't wait for longer than it exists.
                    cause(WaitingReason::NoWorker, since.max(created), words.replacen("no", "No", 1))
                }
                None => match workers.and_then(|workers| workers.block.as_ref()) {
                    Some((since, block)) => {
                        let (reason, text) = words_of_block(block, now);
                        cause(reason, (*since).max(created), text)
                    }
                    None => cause(WaitingReason::Queue, created, words_of_queue(workers)),
                },
            }
        }
    }
}

fn words_of_block(block: &LimitBlock, now: DateTime<Utc>) -> (WaitingReason, String) {
    let at_work = |max: u32| if max == 1 { "1 task is".to_owned() } else { format!("{max} tasks are") };
    match block {
        LimitBlock::Active { max } => {
            let text = format!("Waits for its limit (max_active): {} at work, as many as may be", at_work(*max));
            (WaitingReason::Limit, text)
        }
        LimitBlock::Group { name, max } => {
            let text = format!("Waits for group `{name}`: {} at work, as many as may be", at_work(*max));
            (WaitingReason::Limit, text)
        }
        LimitBlock::Rate { next } => {
            (WaitingReason::Rate, format!("Waits for its rate: the next task may start at {}", clock_text(*next, now)))
        }
    }
}

fn words_of_queue(workers: Option<&QueueWorkers>) -> String {
    match workers.map_or(0, |workers| workers.leased) {
        0 => "Waits for a worker".to_owned(),
        1 => "Waits for a free worker: one works on this topic and job".to_owned(),
        leased => format!("Waits for a free worker: {leased} tasks of this topic and job are at work"),
    }
}

/// A time as people read it: without the day when that is today's.
fn clock_text(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let format = if at.date_naive() == now.date_naive() { "%H:%M UTC" } else { "%Y-%m-%d %H:%M UTC" };
    at.format(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::fixed::FixedIds;
    use crate::task::{NewTask, Uid};

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-03-02T{text}Z").parse().unwrap()
    }

    fn task(state: TaskState) -> Attempt {
        let task = NewTask::of_new_chain(("load", ""), "", at("12:00:00"), &mut FixedIds::default());
        let uid = Uid::at(at("12:00:00"));
        Attempt { state, uid, ..task.into_attempt() }
    }

    fn workers(asked: Option<DateTime<Utc>>, leased: u64) -> Option<QueueWorkers> {
        Some(QueueWorkers { known_since: at("05:12:00"), asked, leased, block: None })
    }

    #[test]
    fn each_reason_has_its_sentence() {
        use WaitingReason::{NoWorker, NotBefore, Paused, Queue, Retry};
        let ready = task(TaskState::Ready);
        let held = task(TaskState::Delayed);
        let queued = Attempt { waits_for_slot: true, ..held.clone() };
        let delayed = Attempt { not_before: Some(at("13:30:00")), ..held.clone() };
        let retry = Attempt { retry: 2, ..delayed.clone() };
        let released = Attempt { retry: 2, delivery: 1, ..delayed.clone() };
        let tomorrow = Attempt { not_before: Some(at("13:30:00") + TimeDelta::days(1)), ..delayed.clone() };
        let (created, known) = (at("12:00:00"), at("05:12:00"));
        let by = |name: &str| Some(PhasePause { since: known, by: name.to_owned() });
        let (recently, before) = (Some(at("12:59:00")), Some(at("12:57:00")));
        for (task, workers, paused, reason, since, text) in [
            (
                &ready,
                workers(None, 0),
                None,
                NoWorker,
                created,
                "No worker has asked for `load` since the service started at 05:12 UTC",
            ),
            (
                &ready,
                workers(before, 0),
                None,
                NoWorker,
                at("12:57:00"),
                "No worker has asked for `load` since 12:57 UTC",
            ),
            (&ready, workers(recently, 0), None, Queue, created, "Waits for a worker"),
            (
                &ready,
                workers(before, 1),
                None,
                Queue,
                created,
                "Waits for a free worker: one works on this topic and job",
            ),
            (
                &ready,
                workers(None, 7),
                None,
                Queue,
                created,
                "Waits for a free worker: 7 tasks of this topic and job are at work",
            ),
            (&ready, None, None, Queue, created, "Waits for a worker"),
            (&queued, None, None, Queue, created, "Waits until the slots of its phase before it have ended"),
            (&held, None, by("ann"), Paused, known, "Its phase is paused by ann since 05:12 UTC"),
            (&held, None, by(""), Paused, known, "Its phase is paused since 05:12 UTC"),
            (&held, None, None, Paused, created, "Its phase is paused since 12:00 UTC"),
            (&delayed, None, None, NotBefore, created, "Starts no earlier than 13:30 UTC"),
            (&released, None, None, NotBefore, created, "Starts no earlier than 13:30 UTC"),
            (&tomorrow, None, None, NotBefore, created, "Starts no earlier than 2026-03-03 13:30 UTC"),
            (&retry, None, None, Retry, created, "Retry 2 starts at 13:30 UTC"),
        ] {
            let cause = explain_waiting(task, workers.as_ref(), paused.as_ref(), at("13:00:00"));
            assert_eq!(cause, Some(WaitingCause { reason, since, text: text.to_owned() }), "{text}");
        }
        for state in [TaskState::Leased, TaskState::Done] {
            assert_eq!(explain_waiting(&task(state), None, None, at("13:00:00")), None);
        }
    }

    #[test]
    fn a_limit_says_which_and_a_missing_worker_comes_first() {
        let since = at("12:30:00");
        let told = |block: LimitBlock, asked| {
            let workers = QueueWorkers { block: Some((since, block)), ..workers(Some(at(asked)), 0).unwrap() };
            let cause = explain_waiting(&task(TaskState::Ready), Some(&workers), None, at("13:00:00")).unwrap();
            (cause.reason.as_str(), cause.since, cause.text)
        };
        let group = LimitBlock::Group { name: "warehouse".to_owned(), max: 4 };
        for (block, reason, text) in [
            (
                LimitBlock::Active { max: 1 },
                "limit",
                "Waits for its limit (max_active): 1 task is at work, as many as may be",
            ),
            (group.clone(), "limit", "Waits for group `warehouse`: 4 tasks are at work, as many as may be"),
            (
                LimitBlock::Rate { next: at("13:01:00") },
                "rate",
                "Waits for its rate: the next task may start at 13:01 UTC",
            ),
        ] {
            assert_eq!(told(block, "12:59:59"), (reason, since, text.to_owned()));
        }
        assert_eq!(told(group, "12:30:00").0, "no_worker");
    }

    #[test]
    fn workers_are_missing_once_the_patience_is_over() {
        let workers = workers(Some(at("12:00:00")), 0).unwrap();
        let patience = TimeDelta::minutes(5);
        assert_eq!(workers.missing_since(at("12:04:59"), patience), None);
        assert_eq!(workers.missing_since(at("12:05:00"), patience), Some(at("12:00:00")));
        assert_eq!(QueueWorkers { leased: 1, ..workers }.missing_since(at("13:00:00"), patience), None);
    }
}

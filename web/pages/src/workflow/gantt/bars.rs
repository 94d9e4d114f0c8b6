//! Tasks as bars on the scale of a day or an hour.

use std::collections::{HashMap, HashSet};

use flowlord_domain::{TaskResult, TaskState};

use crate::link::PageLink;
use crate::parts::grouped;
use crate::prelude::*;
use crate::rows::status_and_class;
use crate::when::span;

/// The width of a row in the units of its drawing, whatever it is on the screen.
pub(super) const WIDTH: i64 = 10_000;

const LANE_HEIGHT: usize = 14;

/// Beside so many, further bars of a row lie over others.
const MOST_LANES: usize = 6;

/// The time that is drawn.
pub(super) struct TimeWindow {
    pub(super) from: DateTime<Utc>,
    pub(super) to: DateTime<Utc>,
    pub(super) now: DateTime<Utc>,
}

impl TimeWindow {
    fn place_of(&self, at: DateTime<Utc>) -> i64 {
        let length = (self.to - self.from).num_milliseconds().max(1);
        (at - self.from).num_milliseconds().clamp(0, length) * WIDTH / length
    }

    /// Where now is; none on another day.
    pub(super) fn now_place(&self) -> Option<i64> {
        (self.from..self.to).contains(&self.now).then(|| self.place_of(self.now))
    }

    pub(super) fn touches(&self, task: &Attempt) -> bool {
        TaskSpan::of(task, self.now).is_some_and(|span| span.ended >= self.from && span.queued < self.to)
    }
}

/// When a task queued and ran, up to now where it still does.
struct TaskSpan {
    queued: DateTime<Utc>,
    started: DateTime<Utc>,
    ended: DateTime<Utc>,
}

impl TaskSpan {
    /// None where it is to queue later.
    fn of(task: &Attempt, now: DateTime<Utc>) -> Option<Self> {
        let created = task.uid.created_at();
        // A delay until a set time is no queue time.
        let queued = task.not_before.map_or(created, |at| at.max(created));
        let (started, ended) = match task.state {
            TaskState::Done => (task.started, task.ended.unwrap_or(created)),
            TaskState::Leased => (task.started, now),
            // What was released doesn't run, whenever it was started.
            TaskState::Ready | TaskState::Delayed => (None, now),
        };
        // One that was cancelled before its time has its end only.
        let queued = if task.state == TaskState::Done { queued.min(ended) } else { queued };
        (queued <= ended).then(|| Self { queued, started: started.unwrap_or(ended), ended })
    }
}

pub(super) struct GanttRow {
    pub(super) name: String,
    /// The workflow file; empty where its tasks have none.
    pub(super) file: String,
    /// Leads to the phase, or to the tasks where they are of none.
    pub(super) href: String,
    pub(super) note: String,
    pub(super) height: usize,
    pub(super) bars: Vec<GanttBar>,
}

pub(super) struct GanttBar {
    pub(super) uid: Uid,
    pub(super) class: &'static str,
    pub(super) title: String,
    pub(super) y: usize,
    /// Begin and length.
    pub(super) queue: (i64, i64),
    /// The same; none while it waits.
    pub(super) run: Option<(i64, i64)>,
    pub(super) on_path: bool,
}

/// A row for each topic and job of a file, in the order in which their first tasks were created.
pub(super) fn gantt_rows(tasks: &[Attempt], window: &TimeWindow, on_path: &HashSet<Uid>) -> Vec<GanttRow> {
    let mut numbers: HashMap<(&str, String), usize> = HashMap::new();
    let mut groups: Vec<Vec<&Attempt>> = Vec::new();
    for task in tasks {
        let key = (task.workflow.as_str(), line_key(&task.topic, &task.job));
        let number = *numbers.entry(key).or_insert(groups.len());
        if number == groups.len() {
            groups.push(Vec::new());
        }
        groups[number].push(task);
    }
    groups.iter().map(|group| GanttRow::of_tasks(group, window, on_path)).collect()
}

impl GanttRow {
    fn of_tasks(tasks: &[&Attempt], window: &TimeWindow, on_path: &HashSet<Uid>) -> Self {
        let mut lanes = Lanes::default();
        let bars = tasks.iter().filter_map(|task| {
            let span = TaskSpan::of(task, window.now)?;
            let y = lanes.take_lane(&span) * LANE_HEIGHT;
            Some(GanttBar { y, on_path: on_path.contains(&task.uid), ..GanttBar::new(task, &span, window) })
        });
        let bars = bars.collect();
        let first = tasks[0];
        let name = line_key(&first.topic, &first.job);
        let href = match first.workflow.as_str() {
            "" => PageLink::to("/web/task")
                .with("date", &window.from.date_naive())
                .with_task(&first.topic, &first.job)
                .href(),
            file => phase_href(file, &name),
        };
        let (file, height) = (first.workflow.clone(), lanes.count() * LANE_HEIGHT);
        Self { name, file, href, note: count_words(tasks), height, bars }
    }

    pub(super) fn without_tasks(name: String, file: &str) -> Self {
        let (href, note) = (phase_href(file, &name), "no task".to_owned());
        Self { name, file: file.to_owned(), href, note, height: LANE_HEIGHT, bars: Vec::new() }
    }
}

fn phase_href(file: &str, name: &str) -> String {
    PageLink::to("/web/workflow").with("file", file).with("phase", name).href() + "#days"
}

fn count_words(tasks: &[&Attempt]) -> String {
    let failed = tasks.iter().filter(|task| matches!(task.result, Some(TaskResult::Error | TaskResult::Alert))).count();
    let all = match tasks.len() {
        1 => "1 task".to_owned(),
        many => format!("{} tasks", grouped(many as u64)),
    };
    if failed == 0 { all } else { format!("{all}, {failed} failed") }
}

impl GanttBar {
    fn new(task: &Attempt, times: &TaskSpan, window: &TimeWindow) -> Self {
        let (status, class) = status_and_class(task);
        let [queued, started, ended] = [times.queued, times.started, times.ended].map(|at| window.place_of(at));
        let is_waiting = matches!(task.state, TaskState::Ready | TaskState::Delayed);
        let created = task.uid.created_at().format("%H:%M:%S");
        let waited = span(times.started - times.queued);
        let ran = if is_waiting { String::new() } else { format!(", run time {}", span(times.ended - times.started)) };
        Self {
            uid: task.uid,
            class,
            title: format!("{status}, created {created}, queue time {waited}{ran}"),
            y: 0,
            queue: (queued, started - queued),
            // Without any length it would not be drawn, however wide its edge is.
            run: (!is_waiting).then(|| (started.min(WIDTH - 1), (ended - started).max(1))),
            on_path: false,
        }
    }
}

/// Puts bars of the same time below each other.
#[derive(Default)]
struct Lanes(Vec<DateTime<Utc>>);

impl Lanes {
    fn take_lane(&mut self, span: &TaskSpan) -> usize {
        let free = self.0.iter().position(|end| *end <= span.queued);
        let lane = free.unwrap_or_else(|| match self.0.len() {
            MOST_LANES.. => (0..MOST_LANES).min_by_key(|lane| self.0[*lane]).unwrap_or_default(),
            count => count,
        });
        if lane == self.0.len() {
            self.0.push(span.ended);
        }
        self.0[lane] = self.0[lane].max(span.ended);
        lane
    }

    fn count(&self) -> usize {
        self.0.len().max(1)
    }
}

#[cfg(test)]
mod tests {
    use flowlord_testkit::sample::{attempt, finished, leased, noon};

    use super::*;

    fn window() -> TimeWindow {
        let from = noon() - TimeDelta::hours(12);
        TimeWindow { from, to: from + TimeDelta::days(1), now: noon() + TimeDelta::hours(6) }
    }

    fn task(minute: i64, queue: i64, run: i64) -> Attempt {
        let created = noon() + TimeDelta::minutes(minute);
        let started = created + TimeDelta::minutes(queue);
        let ended = Some(started + TimeDelta::minutes(run));
        Attempt { started: Some(started), ended, ..finished(minute * 60_000_000) }
    }

    #[test]
    fn a_bar_has_its_queue_and_run_time_on_the_scale_of_the_day() {
        let rows = gantt_rows(&[task(0, 72, 144)], &window(), &HashSet::new());
        let bar = &rows[0].bars[0];
        assert_eq!((bar.queue, bar.run, bar.class), ((5_000, 500), Some((5_500, 1_000)), "error"));
        assert_eq!(bar.title, "error, created 12:00:00, queue time 1h12m, run time 2h24m");
        assert_eq!((rows[0].name.as_str(), rows[0].note.as_str()), ("load:daily", "1 task, 1 failed"));
        assert_eq!(window().now_place(), Some(7_500));
        let other = TimeWindow { now: noon() + TimeDelta::days(1), ..window() };
        assert_eq!(other.now_place(), None, "now is on another day");
    }

    #[test]
    fn what_goes_on_reaches_to_now_and_what_waits_has_no_run_time() {
        let runs = Attempt { started: Some(noon() + TimeDelta::hours(3)), ..leased(0) };
        let rows = gantt_rows(&[runs, attempt(1)], &window(), &HashSet::new());
        let drawn: Vec<_> = rows[0].bars.iter().map(|bar| (bar.queue, bar.run, bar.y)).collect();
        assert_eq!(drawn, [((5_000, 1_250), Some((6_250, 1_250)), 0), ((5_000, 2_500), None, 14)]);
        let later = Attempt { not_before: Some(noon() + TimeDelta::hours(9)), state: TaskState::Delayed, ..attempt(2) };
        assert!(!window().touches(&later), "it doesn't queue yet");
    }

    #[test]
    fn bars_of_one_time_lie_below_each_other_up_to_a_bound() {
        let same: Vec<Attempt> = (0..9).map(|_| task(0, 0, 10)).collect();
        let rows = gantt_rows(&same, &window(), &HashSet::new());
        assert_eq!(rows[0].height, MOST_LANES * LANE_HEIGHT);
        let after = gantt_rows(&[task(0, 0, 10), task(5, 0, 10), task(10, 0, 1)], &window(), &HashSet::new());
        assert_eq!(after[0].bars.iter().map(|bar| bar.y).collect::<Vec<_>>(), [0, 14, 0]);
    }

    #[test]
    fn a_task_that_takes_no_time_is_drawn_and_one_of_another_time_is_not() {
        let at_once = Attempt { started: None, ended: None, ..finished(0) };
        let rows = gantt_rows(&[at_once], &window(), &HashSet::new());
        assert_eq!(rows[0].bars[0].run, Some((5_000, 1)));
        let before = task(-13 * 60, 0, 30);
        let into = task(-13 * 60, 0, 90);
        assert!(!window().touches(&before) && window().touches(&into));
        assert_eq!(gantt_rows(&[into], &window(), &HashSet::new())[0].bars[0].run, Some((0, 208)));
    }
}

//! One file: its drawing, the days of one of its phases, the slots of an hour.

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Timelike as _, Utc};
use flowlord_domain::workflow::TaskName;
use flowlord_messages::stats::ResultCounts;
use flowlord_web_core::answer::cut_page;
use flowlord_web_core::use_cases::workflows::ShownJoin;
use percent_encoding::utf8_percent_encode;

use super::graph::{PhaseDrawing, PhaseFigures};
use super::grid::{SlotGrid, by_creation, by_hour, day_rows, hour_heads, slot_summary};
use super::query::{OF_SLOTS, WorkflowQuery, slot_href};
use super::read::{ChosenPhase, WorkflowData};
use super::slots::{ShownSlot, SlotState, state_of};
use crate::link::{NOT_IN_PATH, PageLink};
use crate::parts::{Pager, grouped};
use crate::rows::TaskRow;
use crate::when::ShownTime;

/// How many slots of an hour stand on a page: a schedule by the second has 3,600.
const MOST_SLOTS: usize = 100;

pub(super) struct FilePart {
    pub(super) name: String,
    /// The file as it is written.
    pub(super) raw: String,
    pub(super) drawing: PhaseDrawing,
    pub(super) days: Option<PhaseDays>,
    /// What waits for more tasks.
    pub(super) joins: Vec<WaitingLine>,
}

pub(super) struct WaitingLine {
    pub(super) task: String,
    pub(super) period: String,
    pub(super) words: String,
}

pub(super) struct PhaseDays {
    pub(super) name: String,
    pub(super) scheduled: bool,
    pub(super) summary: String,
    pub(super) grid: SlotGrid,
    pub(super) legend: Vec<SlotState>,
    /// Nothing before this was read: there was too much.
    pub(super) cut: Option<ShownTime>,
    pub(super) earlier: String,
    pub(super) later: Option<String>,
    pub(super) hour: Option<HourPart>,
}

pub(super) struct HourPart {
    pub(super) title: String,
    /// How all of its slots stand, where the list has a page of them only.
    pub(super) summary: String,
    pub(super) slots: Vec<ShownSlot>,
    pub(super) pager: Pager,
    pub(super) tasks: Vec<TaskRow>,
    pub(super) close: String,
    pub(super) all: String,
}

impl FilePart {
    pub(super) fn new(read: &WorkflowData, asked: &WorkflowQuery, link: &PageLink) -> Option<Self> {
        let file = read.current.workflows.file_at(&asked.file)?;
        Some(Self {
            name: file.path.clone(),
            raw: format!("/workflow/{}", utf8_percent_encode(&file.path, NOT_IN_PATH)),
            drawing: PhaseDrawing::new(file, |name| PhaseFigures::of_task(name, read, asked.now.date_naive(), link)),
            joins: waiting_lines(&read.joins),
            days: read.chosen.as_ref().map(|chosen| PhaseDays::new(chosen, read, asked, link)),
        })
    }
}

fn waiting_lines(joins: &[ShownJoin]) -> Vec<WaitingLine> {
    let lines = joins.iter().map(|(task, period, progress)| WaitingLine {
        task: task.clone(),
        period: period.to_string(),
        words: progress.to_words(),
    });
    lines.collect()
}

impl PhaseFigures {
    fn of_task(name: &TaskName, read: &WorkflowData, today: NaiveDate, link: &PageLink) -> Self {
        let (state, note) = match read.newest.get(name) {
            Some((at, counts)) => {
                let form = if at.date_naive() == today { "%H:00" } else { "%-d %b %H:00" };
                (state_of(counts), format!("{}: {}", at.format(form), count_words(counts)))
            }
            None => (SlotState::Due, "no task this week".to_owned()),
        };
        let href = link.without(&OF_SLOTS).with("phase", name).href() + "#days";
        let chosen = read.chosen.as_ref().is_some_and(|chosen| chosen.name == *name);
        Self { state, note, href, chosen }
    }
}

/// The two worst kinds: a box of the drawing has no room for more.
fn count_words(counts: &ResultCounts) -> String {
    let failed = counts.error + counts.alert;
    let parts = [
        (failed, "failed"),
        (counts.without_result(), "running"),
        (counts.warn, "warned"),
        (counts.complete, "complete"),
    ];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts.take(2).map(|(count, word)| format!("{} {word}", grouped(count))).collect();
    parts.join(", ")
}

impl PhaseDays {
    fn new(chosen: &ChosenPhase, read: &WorkflowData, asked: &WorkflowQuery, link: &PageLink) -> Self {
        let (from, to) = asked.grid();
        let name = chosen.name.to_string();
        let page = link.with("phase", &name);
        let here = page.without(&OF_SLOTS);
        let slots = read.slots((&asked.file, &name), &chosen.slots, (from, to), asked.now);
        let rows = match chosen.scheduled {
            true => day_rows(&by_hour(&slots), asked.date, asked.days, asked.slot, |at| slot_href(&here, at)),
            // What other tasks start has no slots: its tasks are counted by the hour of their creation.
            false => {
                day_rows(&by_creation(&chosen.hours), asked.date, asked.days, None, |at| tasks_href(&chosen.name, at))
            }
        };
        let step = TimeDelta::days(i64::try_from(asked.days).unwrap_or(1));
        let earlier = asked.date.checked_sub_signed(step).unwrap_or(asked.date);
        // No further than today: of days to come a grid has nothing to show.
        let later = asked.date.checked_add_signed(step).map(|day| day.min(asked.now.date_naive()));
        let mut seen: Vec<SlotState> = slots.iter().map(|slot| slot.state).collect();
        seen.extend(chosen.hours.iter().map(|(_, counts)| state_of(counts)));
        Self {
            summary: if chosen.scheduled { slot_summary(&slots) } else { task_summary(&chosen.hours) },
            grid: SlotGrid {
                label: format!("Hours of {name}, by day"),
                corner: "Day",
                heads: hour_heads(from, 24),
                rows,
            },
            legend: SlotState::ALL.into_iter().filter(|state| seen.contains(state)).collect(),
            cut: chosen.slots.cut.map(ShownTime::date_and_time),
            earlier: here.with("date", &earlier).href() + "#days",
            later: later.filter(|day| *day > asked.date).map(|day| here.with("date", &day).href() + "#days"),
            hour: asked.slot.filter(|_| chosen.scheduled).map(|at| HourPart::new(at, chosen, read, asked, &page)),
            scheduled: chosen.scheduled,
            name,
        }
    }
}

fn task_summary(hours: &[(DateTime<Utc>, ResultCounts)]) -> String {
    let all = hours.iter().fold(ResultCounts::default(), |sum, (_, counts)| sum.add_counts(counts));
    match all.total {
        0 => "No task in this time.".to_owned(),
        1 => format!("1 task: {}.", count_words(&all)),
        total => format!("{} tasks: {}.", grouped(total), count_words(&all)),
    }
}

/// Leads to the tasks that were created in an hour.
fn tasks_href(name: &TaskName, at: DateTime<Utc>) -> String {
    let day = PageLink::to("/web/task").with("date", &at.date_naive());
    day.with_task(&name.topic, &name.job).with("hour", &at.hour()).href()
}

impl HourPart {
    fn new(
        at: DateTime<Utc>,
        chosen: &ChosenPhase,
        read: &WorkflowData,
        asked: &WorkflowQuery,
        page: &PageLink,
    ) -> Self {
        let range = (at, at + TimeDelta::hours(1));
        let mut slots = read.slots((&asked.file, &chosen.name.to_string()), &chosen.looked_at, range, asked.now);
        // Before the page is cut: it is about all of the hour.
        let summary = if slots.len() > MOST_SLOTS { slot_summary(&slots) } else { String::new() };
        slots.retain(|slot| asked.after.is_none_or(|after| slot.at > after));
        let next = cut_page(&mut slots, MOST_SLOTS, |slot| slot.at.to_rfc3339_opts(SecondsFormat::AutoSi, true));
        Self {
            title: at.format("%A, %-d %B %Y, %H:00 to %H:59").to_string(),
            summary,
            slots,
            pager: Pager::new(page, next).of_part("#slot"),
            tasks: chosen.tasks.iter().cloned().map(|task| TaskRow::new(task, asked.now)).collect(),
            close: page.without(&OF_SLOTS).href() + "#days",
            all: tasks_href(&chosen.name, at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(complete: u64, error: u64, warn: u64, running: u64) -> ResultCounts {
        ResultCounts { total: complete + error + warn + running, complete, error, warn, alert: 0 }
    }

    #[test]
    fn a_box_tells_the_two_worst_kinds() {
        assert_eq!(count_words(&counts(1_200, 0, 0, 0)), "1,200 complete");
        assert_eq!(count_words(&counts(9, 2, 3, 4)), "2 failed, 4 running");
        assert_eq!(count_words(&counts(9, 0, 3, 0)), "3 warned, 9 complete");
        assert_eq!(count_words(&ResultCounts { total: 3, alert: 3, ..ResultCounts::default() }), "3 failed");
    }

    #[test]
    fn tasks_without_slots_are_summed_up() {
        let at = DateTime::UNIX_EPOCH;
        assert_eq!(task_summary(&[]), "No task in this time.");
        assert_eq!(task_summary(&[(at, counts(1, 0, 0, 0))]), "1 task: 1 complete.");
        assert_eq!(
            task_summary(&[(at, counts(1, 1, 0, 0)), (at, counts(2, 0, 0, 0))]),
            "4 tasks: 1 failed, 3 complete."
        );
    }
}

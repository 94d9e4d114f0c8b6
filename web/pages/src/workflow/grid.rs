//! Grids of hours: a row a day or a phase, a cell an hour, coloured by the worst of its slots.

use std::collections::BTreeMap;

use askama::Template;
use askama::filters::HtmlSafe;
use chrono::{DateTime, DurationRound as _, NaiveDate, TimeDelta, Timelike as _, Utc};
use flowlord_messages::stats::ResultCounts;

use super::slots::{ShownSlot, SlotState, state_of};
use crate::parts::grouped;

#[derive(Default, Template)]
#[template(path = "workflow/grid.html")]
pub(crate) struct SlotGrid {
    pub(crate) label: String,
    /// What stands over the labels of the rows.
    pub(crate) corner: &'static str,
    pub(crate) heads: Vec<String>,
    pub(crate) rows: Vec<GridRow>,
}

// It escapes what it holds itself.
impl HtmlSafe for SlotGrid {}

pub(crate) struct GridRow {
    pub(crate) label: String,
    /// The workflow file that it is of; empty where the page shows only one.
    pub(crate) file: String,
    pub(crate) href: String,
    pub(crate) cells: Vec<GridCell>,
}

pub(crate) struct GridCell {
    pub(crate) class: &'static str,
    pub(crate) sign: &'static str,
    pub(crate) label: String,
    /// Where it leads; empty where nothing was due.
    pub(crate) href: String,
    pub(crate) chosen: bool,
}

pub(crate) struct SlotHour {
    state: SlotState,
    /// How many slots, or none where tasks are counted.
    slots: u64,
    /// How many of them are upcoming.
    due: u64,
    tasks: u64,
    failed: u64,
}

impl SlotHour {
    fn label(&self, at: DateTime<Utc>) -> String {
        let time = at.format("%-d %B, %H:00");
        // What is upcoming counts apart, where there is anything else.
        let (slots, due) = match self.slots - self.due {
            0 => (self.slots, 0),
            past => (past, self.due),
        };
        let slots = match slots {
            0 => String::new(),
            1 => " 1 slot,".to_owned(),
            slots => format!(" {} slots,", grouped(slots)),
        };
        let due = if due > 0 { format!(", {} upcoming", grouped(due)) } else { String::new() };
        let tasks = match self.tasks {
            0 => String::new(),
            1 => ", 1 task".to_owned(),
            tasks => format!(", {} tasks", grouped(tasks)),
        };
        // Of one task, the state says it.
        let failed = match self.tasks {
            2.. if self.failed > 0 => format!(", {} failed", self.failed),
            _ => String::new(),
        };
        format!("{time}:{slots} {}{tasks}{failed}{due}", self.state.label())
    }
}

pub(crate) type Hours = BTreeMap<DateTime<Utc>, SlotHour>;

pub(crate) fn by_hour(slots: &[ShownSlot]) -> Hours {
    let mut hours = Hours::new();
    for slot in slots {
        let one = SlotHour {
            state: slot.state,
            slots: 1,
            due: u64::from(slot.state == SlotState::Due),
            tasks: slot.tasks,
            failed: slot.failed,
        };
        let begin = slot.at.duration_trunc(TimeDelta::hours(1)).unwrap_or(slot.at);
        hours
            .entry(begin)
            .and_modify(|hour| {
                // States are in the order of what people should see first.
                hour.state = hour.state.min(one.state);
                hour.slots += 1;
                hour.due += one.due;
                hour.tasks += one.tasks;
                hour.failed += one.failed;
            })
            .or_insert(one);
    }
    hours
}

/// The hours of tasks that no schedule starts.
pub(crate) fn by_creation(hours: &[(DateTime<Utc>, ResultCounts)]) -> Hours {
    hours
        .iter()
        .map(|(at, counts)| {
            let failed = counts.error + counts.alert;
            (*at, SlotHour { state: state_of(counts), slots: 0, due: 0, tasks: counts.total, failed })
        })
        .collect()
}

pub(crate) fn hour_cells(
    hours: &Hours,
    from: DateTime<Utc>,
    count: i64,
    chosen: Option<DateTime<Utc>>,
    href: impl Fn(DateTime<Utc>) -> String,
) -> Vec<GridCell> {
    (0..count)
        .map(|n| {
            let at = from + TimeDelta::hours(n);
            let Some(hour) = hours.get(&at) else { return GridCell::nothing_due(at) };
            GridCell {
                class: hour.state.class(),
                sign: hour.state.sign(),
                label: hour.label(at),
                href: href(at),
                chosen: chosen == Some(at),
            }
        })
        .collect()
}

impl GridCell {
    fn nothing_due(at: DateTime<Utc>) -> Self {
        let label = format!("{}: nothing due", at.format("%-d %B, %H:00"));
        Self { class: "none", sign: "", label, href: String::new(), chosen: false }
    }
}

/// A row for each day up to `last`, the newest first.
pub(crate) fn day_rows(
    hours: &Hours,
    last: NaiveDate,
    count: u64,
    chosen: Option<DateTime<Utc>>,
    href: impl Fn(DateTime<Utc>) -> String,
) -> Vec<GridRow> {
    let days = last.iter_days().rev().take(usize::try_from(count).unwrap_or(1));
    days.map(|day| GridRow {
        label: day.format("%a %-d %b").to_string(),
        file: String::new(),
        href: String::new(),
        cells: hour_cells(hours, day.and_time(chrono::NaiveTime::MIN).and_utc(), 24, chosen, &href),
    })
    .collect()
}

/// The hours of a clock over some columns.
pub(crate) fn hour_heads(from: DateTime<Utc>, count: i64) -> Vec<String> {
    (0..count).map(|n| format!("{:02}", (from + TimeDelta::hours(n)).hour())).collect()
}

/// In one sentence: how many slots, and how they stand.
pub(crate) fn slot_summary(slots: &[ShownSlot]) -> String {
    let due = count_slots(slots, SlotState::Due);
    let past = slots.len() as u64 - due;
    let parts: Vec<String> = SlotState::ALL
        .into_iter()
        .filter(|state| *state != SlotState::Due)
        .map(|state| (state, count_slots(slots, state)))
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| format!("{} {}", grouped(count), state.label()))
        .collect();
    let parts = parts.join(", ");
    match (past, due) {
        (0, 0) => "No slot in this time.".to_owned(),
        (0, due) => format!("No slot yet; {} upcoming.", grouped(due)),
        (past, 0) => format!("{} slots: {parts}.", grouped(past)),
        (past, due) => format!("{} slots: {parts}; {} upcoming.", grouped(past), grouped(due)),
    }
}

fn count_slots(slots: &[ShownSlot], state: SlotState) -> u64 {
    slots.iter().filter(|slot| slot.state == state).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-03-02T{text}:00Z").parse().unwrap()
    }

    fn slot(time: &str, state: SlotState) -> ShownSlot {
        ShownSlot { at: at(time), state, tasks: 2, failed: u64::from(state == SlotState::Failed) }
    }

    #[test]
    fn a_cell_shows_the_worst_of_its_slots_and_says_the_rest() {
        let slots = [
            slot("08:05", SlotState::Complete),
            slot("08:20", SlotState::Failed),
            slot("09:05", SlotState::Complete),
            slot("09:20", SlotState::Due),
            slot("11:05", SlotState::Due),
        ];
        let cells = hour_cells(&by_hour(&slots), at("08:00"), 4, Some(at("09:00")), |at| at.format("/%H").to_string());
        let told: Vec<_> = cells.iter().map(|cell| (cell.class, cell.label.as_str(), cell.href.as_str())).collect();
        assert_eq!(
            told,
            [
                ("error", "2 March, 08:00: 2 slots, failed, 4 tasks, 1 failed", "/08"),
                ("complete", "2 March, 09:00: 1 slot, complete, 4 tasks, 1 upcoming", "/09"),
                ("none", "2 March, 10:00: nothing due", ""),
                ("due", "2 March, 11:00: 1 slot, upcoming, 2 tasks", "/11"),
            ]
        );
        assert!(cells[1].chosen && !cells[0].chosen);
        assert_eq!(slot_summary(&slots), "3 slots: 2 complete, 1 failed; 2 upcoming.");
        assert_eq!(slot_summary(&[]), "No slot in this time.");
    }

    #[test]
    fn days_come_newest_first() {
        let counts = ResultCounts { total: 3, complete: 3, ..ResultCounts::default() };
        let hours = by_creation(&[(at("23:00"), counts)]);
        let rows = day_rows(&hours, at("23:00").date_naive(), 2, None, |_| "/x".to_owned());
        assert_eq!(rows.iter().map(|row| row.label.as_str()).collect::<Vec<_>>(), ["Mon 2 Mar", "Sun 1 Mar"]);
        assert_eq!(rows[0].cells[23].label, "2 March, 23:00: complete, 3 tasks");
        assert_eq!(rows[1].cells.len(), 24);
        assert_eq!(hour_heads(at("22:00"), 3), ["22", "23", "00"]);
    }
}

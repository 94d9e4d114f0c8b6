//! What two plans differ in, slot by slot.

use std::cmp::Ordering;
use std::iter::Peekable;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use flowlord_domain::plan::{PlannedSlot, SlotPlan};
use serde_json::{Value, json};
use similar::{Algorithm, ChangeTag, capture_diff_slices};

use super::print::{JsonList, PlanLine, plan_lines, planned_json};
use crate::commands::out::{OutputFormat, StdoutLines};

/// All of one slot of a task, in one of the plans.
pub(super) type Slot<'a> = Vec<PlannedSlot<'a>>;

/// Prints what differs. Returns whether anything does.
pub(super) fn print_diff(old: SlotPlan<'_>, new: SlotPlan<'_>, zone: Tz, format: OutputFormat) -> anyhow::Result<bool> {
    let mut out = StdoutLines::new();
    let mut list = JsonList::default();
    let mut differs = false;
    for (old, new) in pair_slots(old, new) {
        match format {
            OutputFormat::Text => {
                let text = diff_text(&old, &new, zone);
                differs |= !text.is_empty();
                out.text(&text)?;
            }
            OutputFormat::Json => {
                for value in diff_json(&old, &new, zone) {
                    differs = true;
                    out.text(&list.next(&value))?;
                }
            }
        }
    }
    if format == OutputFormat::Json {
        out.text(list.end())?;
    }
    out.finish()?;
    Ok(differs)
}

fn slot_key<'a>(planned: &PlannedSlot<'a>) -> (DateTime<Utc>, &'a str, String) {
    (planned.at, &planned.phase.workflow, planned.phase.task_name())
}

/// Slots of both plans side by side; both come in the order of their keys.
pub(super) fn pair_slots<'a>(old: SlotPlan<'a>, new: SlotPlan<'a>) -> impl Iterator<Item = (Slot<'a>, Slot<'a>)> {
    let (mut old, mut new) = (old.peekable(), new.peekable());
    std::iter::from_fn(move || {
        let order = match (old.peek(), new.peek()) {
            (Some(old), Some(new)) => slot_key(old).cmp(&slot_key(new)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return None,
        };
        let old = if order.is_le() { take_slot(&mut old) } else { Vec::new() };
        let new = if order.is_ge() { take_slot(&mut new) } else { Vec::new() };
        Some((old, new))
    })
}

fn take_slot<'a>(plan: &mut Peekable<SlotPlan<'a>>) -> Slot<'a> {
    let Some(first) = plan.next() else { return Vec::new() };
    let slot = slot_key(&first);
    let mut all = vec![first];
    while let Some(next) = plan.next_if(|next| slot_key(next) == slot) {
        all.push(next);
    }
    all
}

/// Lines with `-` and `+`, each below the lines that it follows.
pub(super) fn diff_text(old: &Slot<'_>, new: &Slot<'_>, zone: Tz) -> String {
    let [old, new] =
        [old, new].map(|slot| -> Vec<PlanLine> { slot.iter().flat_map(|planned| plan_lines(planned, zone)).collect() });
    if old == new {
        return String::new();
    }
    let operations = capture_diff_slices(Algorithm::Myers, &old, &new);
    let changes: Vec<(ChangeTag, PlanLine)> = operations
        .iter()
        .flat_map(|operation| operation.iter_changes(&old, &new))
        .map(|change| (change.tag(), change.value()))
        .collect();
    let mut shown: Vec<bool> = changes.iter().map(|(tag, _)| *tag != ChangeTag::Equal).collect();
    // From the end, so that what leads to a change is shown too.
    let mut leads = 0;
    for (n, (_, line)) in changes.iter().enumerate().rev() {
        shown[n] |= line.depth < leads;
        if shown[n] {
            leads = line.depth;
        }
    }
    changes.iter().zip(shown).filter(|(_, shown)| *shown).map(|(change, _)| marked_line(change)).collect()
}

fn marked_line((tag, line): &(ChangeTag, PlanLine)) -> String {
    let mark = match tag {
        ChangeTag::Delete => '-',
        ChangeTag::Insert => '+',
        ChangeTag::Equal => ' ',
    };
    format!("{mark} {}{}\n", "  ".repeat(line.depth), line.text)
}

/// The tasks of the one that the other doesn't have.
pub(super) fn diff_json(old: &Slot<'_>, new: &Slot<'_>, zone: Tz) -> Vec<Value> {
    // A slot may start the same task several times: each counts once.
    let [old, mut added] =
        [old, new].map(|slot| -> Vec<Value> { slot.iter().map(|planned| planned_json(planned, zone)).collect() });
    let mut changes = Vec::new();
    for value in old {
        match added.iter().position(|other| *other == value) {
            Some(place) => drop(added.remove(place)),
            None => changes.push(json!({ "change": "removed", "slot": value })),
        }
    }
    changes.extend(added.into_iter().map(|value| json!({ "change": "added", "slot": value })));
    changes
}

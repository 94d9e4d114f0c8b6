//! What two plans differ in, slot by slot.

use std::cmp::Ordering;
use std::iter::Peekable;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use flowlord_domain::plan::{Plan, Planned};
use serde_json::{Value, json};
use similar::{Algorithm, ChangeTag, capture_diff_slices};

use super::Format;
use super::print::{JsonList, Line, json as as_json, lines};
use crate::commands::out::Lines;

/// All of one slot of a task, in one of the plans.
type Slot<'a> = Vec<Planned<'a>>;

/// Prints what differs, and tells whether anything does.
pub(super) fn print(old: Plan<'_>, new: Plan<'_>, zone: Tz, format: Format) -> anyhow::Result<bool> {
    let mut out = Lines::new();
    let mut list = JsonList::default();
    let mut differs = false;
    for (old, new) in slots(old, new) {
        match format {
            Format::Text => {
                let text = text(&old, &new, zone);
                differs |= !text.is_empty();
                out.text(&text)?;
            }
            Format::Json => {
                for value in changes(&old, &new, zone) {
                    differs = true;
                    out.text(&list.next(&value))?;
                }
            }
        }
    }
    if format == Format::Json {
        out.text(list.end())?;
    }
    out.finish()?;
    Ok(differs)
}

fn key<'a>(planned: &Planned<'a>) -> (DateTime<Utc>, &'a str, String) {
    (planned.at, &planned.phase.workflow, planned.phase.name())
}

/// Slots of both plans side by side; both come in the order of their keys.
fn slots<'a>(old: Plan<'a>, new: Plan<'a>) -> impl Iterator<Item = (Slot<'a>, Slot<'a>)> {
    let (mut old, mut new) = (old.peekable(), new.peekable());
    std::iter::from_fn(move || {
        let order = match (old.peek(), new.peek()) {
            (Some(old), Some(new)) => key(old).cmp(&key(new)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return None,
        };
        let old = if order.is_le() { slot(&mut old) } else { Vec::new() };
        let new = if order.is_ge() { slot(&mut new) } else { Vec::new() };
        Some((old, new))
    })
}

fn slot<'a>(plan: &mut Peekable<Plan<'a>>) -> Slot<'a> {
    let Some(first) = plan.next() else { return Vec::new() };
    let slot = key(&first);
    let mut all = vec![first];
    while let Some(next) = plan.next_if(|next| key(next) == slot) {
        all.push(next);
    }
    all
}

/// Lines with `-` and `+`, each below the lines that it follows.
fn text(old: &Slot<'_>, new: &Slot<'_>, zone: Tz) -> String {
    let all = |slot: &Slot<'_>| slot.iter().flat_map(|planned| lines(planned, zone)).collect::<Vec<Line>>();
    let (old, new) = (all(old), all(new));
    if old == new {
        return String::new();
    }
    let operations = capture_diff_slices(Algorithm::Myers, &old, &new);
    let changes: Vec<(ChangeTag, Line)> = operations
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
    let marked = |(tag, line): &(ChangeTag, Line)| {
        let mark = match tag {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => ' ',
        };
        format!("{mark} {}{}\n", "  ".repeat(line.depth), line.text)
    };
    changes.iter().zip(shown).filter(|(_, shown)| *shown).map(|(change, _)| marked(change)).collect()
}

/// The tasks of the one that the other doesn't have.
fn changes(old: &Slot<'_>, new: &Slot<'_>, zone: Tz) -> Vec<Value> {
    let all = |slot: &Slot<'_>| slot.iter().map(|planned| as_json(planned, zone)).collect::<Vec<Value>>();
    let (old, mut added) = (all(old), all(new));
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

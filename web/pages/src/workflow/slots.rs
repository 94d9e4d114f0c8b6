//! What there is to say of each slot of a phase: those that were recorded, and those that should have been.

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::workflow::Phase;
use flowlord_messages::schedule::{PhaseSlots, SlotOutcome};
use flowlord_messages::stats::ResultCounts;

use crate::parts::grouped;
use crate::when::ShownTime;

/// The most slots of a schedule that are looked for: a cron by the second has 86,400 a day.
const MOST_DUE: usize = 50_000;

/// A slot that isn't there after this time was not started. Until then it may be on its way.
const GRACE: TimeDelta = TimeDelta::seconds(90);

/// How a slot stands; what people should see first comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SlotState {
    Failed,
    Absent,
    Missed,
    Running,
    Warned,
    Paused,
    /// Its tasks are not there any more, or weren't looked at.
    Started,
    /// It started nothing: its list had no rows.
    Empty,
    /// It started nothing: a slot before it hadn't ended.
    Skipped,
    Complete,
    Due,
}

impl SlotState {
    /// All, in the order in which they are explained.
    pub(crate) const ALL: [Self; 11] = [
        Self::Complete,
        Self::Running,
        Self::Warned,
        Self::Failed,
        Self::Missed,
        Self::Absent,
        Self::Paused,
        Self::Started,
        Self::Empty,
        Self::Skipped,
        Self::Due,
    ];

    /// The class that the stylesheet colours, the sign that tells it apart without colour, and what it is called.
    fn looks(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Failed => ("error", "!", "failed"),
            Self::Absent => ("absent", "?", "expected, but missing"),
            Self::Missed => ("missed", "×", "missed"),
            Self::Running => ("running", "…", "running"),
            Self::Warned => ("warn", "~", "warned"),
            Self::Paused => ("paused", "‖", "paused"),
            Self::Started => ("started", "•", "started"),
            Self::Empty => ("nothing", "0", "nothing to start"),
            Self::Skipped => ("nothing", "»", "skipped: the slot before it had not ended"),
            Self::Complete => ("complete", "✓", "complete"),
            Self::Due => ("due", "", "upcoming"),
        }
    }

    pub(crate) fn class(self) -> &'static str {
        self.looks().0
    }

    pub(crate) fn sign(self) -> &'static str {
        self.looks().1
    }

    pub(crate) fn label(self) -> &'static str {
        self.looks().2
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShownSlot {
    pub(crate) at: DateTime<Utc>,
    pub(crate) state: SlotState,
    pub(crate) tasks: u64,
    pub(crate) failed: u64,
}

impl ShownSlot {
    pub(crate) fn time(&self) -> ShownTime {
        ShownTime::time_of_day(self.at)
    }

    /// `2 tasks`; empty where it started none.
    pub(crate) fn tasks_text(&self) -> String {
        match self.tasks {
            0 => String::new(),
            1 => "1 task".to_owned(),
            tasks => format!("{} tasks", grouped(tasks)),
        }
    }
}

pub(crate) fn state_of(counts: &ResultCounts) -> SlotState {
    if counts.error + counts.alert > 0 {
        SlotState::Failed
    } else if counts.without_result() > 0 {
        SlotState::Running
    } else if counts.warn > 0 {
        SlotState::Warned
    } else if counts.complete > 0 {
        SlotState::Complete
    } else {
        SlotState::Started
    }
}

fn recorded_slot(outcome: &SlotOutcome) -> ShownSlot {
    let state = match (outcome.started, outcome.tasks) {
        _ if outcome.is_skipped => SlotState::Skipped,
        // A slot that was passed over has no number of tasks; one whose list was empty has zero.
        (None, None) => SlotState::Missed,
        (None, Some(_)) => SlotState::Empty,
        (Some(_), _) => state_of(&outcome.counts),
    };
    ShownSlot {
        at: outcome.at,
        state,
        tasks: outcome.tasks.unwrap_or_default(),
        failed: outcome.counts.error + outcome.counts.alert,
    }
}

/// The slots of a task of a workflow, oldest first: recorded ones, and those that its phases should have had from
/// `from` up to `to`. `paused` is since when it is paused.
pub(crate) fn all_slots(
    phases: &[&Phase],
    read: &PhaseSlots,
    paused: Option<DateTime<Utc>>,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    now: DateTime<Utc>,
) -> Vec<ShownSlot> {
    let mut slots: Vec<ShownSlot> = read.slots.iter().map(recorded_slot).collect();
    slots.sort_by_key(|slot| slot.at);
    let known: Vec<DateTime<Utc>> = slots.iter().map(|slot| slot.at).collect();
    for phase in phases {
        let (Some(schedule), Some(cron)) = (&phase.rule.schedule, &phase.rule.cron) else { continue };
        let since = read.crons.iter().find(|(text, _)| text == cron).map(|(_, since)| *since);
        // A cron that didn't count yet has no past.
        let since = since.unwrap_or(now).max(read.cut.unwrap_or(from)).max(from);
        let mut next = schedule.first_from(since);
        for _ in 0..MOST_DUE {
            let Some(at) = next.filter(|at| *at < to) else { break };
            next = schedule.next_after(at);
            // Nobody recorded when an `@every` began; its slots are those that were.
            if known.binary_search(&at).is_ok() || (at < now && cron.starts_with("@every")) {
                continue;
            }
            let state = match paused {
                Some(since) if at >= since => SlotState::Paused,
                _ if at > now - GRACE => SlotState::Due,
                _ => SlotState::Absent,
            };
            slots.push(ShownSlot { at, state, tasks: 0, failed: 0 });
        }
    }
    // Phases of one task share its slots: the same time may come from two schedules.
    slots.sort_by_key(|slot| slot.at);
    slots.dedup_by_key(|slot| slot.at);
    slots
}

#[cfg(test)]
mod tests {
    use flowlord_domain::Uid;

    use super::*;
    use flowlord_domain::workflow::WorkflowFile;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-03-02T{text}:00Z").parse().unwrap()
    }

    fn outcome(time: &str, tasks: Option<u64>, counts: ResultCounts) -> SlotOutcome {
        let started = tasks.filter(|tasks| *tasks > 0).map(|_| Uid(1));
        SlotOutcome { at: at(time), started, tasks, is_skipped: false, counts, named: Vec::new() }
    }

    fn told(crons: &[&str], read: &PhaseSlots, paused: Option<&str>) -> Vec<String> {
        let phase = |cron: &&str| format!("[[phase]]\ntask = \"a\"\nrule = \"cron={cron}\"\n");
        let text: String = crons.iter().map(phase).collect();
        let file = WorkflowFile::parse("w.toml", &text, "", "UTC".parse().ok().unwrap()).unwrap();
        let phases: Vec<&Phase> = file.phases.iter().collect();
        let slots = all_slots(&phases, read, paused.map(at), (at("00:00"), at("15:00")), at("12:30"));
        slots.iter().map(|slot| format!("{} {}", slot.at.format("%H:%M"), slot.state.class())).collect()
    }

    #[test]
    fn every_slot_is_told_also_those_that_are_not_there() {
        let one = ResultCounts { total: 1, ..ResultCounts::default() };
        let read = PhaseSlots {
            slots: vec![
                outcome("12:00", Some(2), ResultCounts { total: 2, complete: 1, ..one }),
                outcome("11:00", None, ResultCounts::default()),
                outcome("10:00", Some(1), ResultCounts { error: 1, ..one }),
                outcome("08:00", Some(1), ResultCounts { complete: 1, ..one }),
                outcome("07:00", Some(0), ResultCounts::default()),
                SlotOutcome { is_skipped: true, ..outcome("06:00", Some(0), ResultCounts::default()) },
                outcome("05:00", Some(1), ResultCounts::default()),
            ],
            crons: vec![("0 * * * *".to_owned(), at("06:00"))],
            cut: None,
        };
        let seen = told(&["0 * * * *"], &read, None);
        assert_eq!(
            seen,
            [
                "05:00 started",
                "06:00 nothing",
                "07:00 nothing",
                "08:00 complete",
                "09:00 absent",
                "10:00 error",
                "11:00 missed",
                "12:00 running",
                "13:00 due",
                "14:00 due"
            ]
        );
        let paused = told(&["0 * * * *"], &read, Some("09:00"));
        assert_eq!(paused[4], "09:00 paused");
        assert_eq!(paused[8], "13:00 paused");
        let cut = PhaseSlots { cut: Some(at("08:30")), ..read.clone() };
        assert!(!told(&["0 * * * *"], &cut, None).contains(&"06:00 absent".to_owned()));
    }

    #[test]
    fn phases_of_one_task_share_its_slots_and_a_new_cron_has_no_past() {
        let read = PhaseSlots { crons: vec![("0 6 * * *".to_owned(), at("00:00"))], ..PhaseSlots::default() };
        assert_eq!(told(&["0 6 * * *", "0 */7 * * *"], &read, None), ["06:00 absent", "14:00 due"]);
        assert_eq!(told(&["@every 1h"], &PhaseSlots::default(), None), ["13:30 due", "14:30 due"]);
    }

    #[test]
    fn the_worst_counts() {
        let counts = |complete, error, warn| ResultCounts { total: 9, complete, error, warn, alert: 0 };
        assert_eq!(state_of(&counts(8, 1, 0)), SlotState::Failed);
        assert_eq!(state_of(&counts(8, 0, 0)), SlotState::Running);
        assert_eq!(state_of(&counts(8, 0, 1)), SlotState::Warned);
        assert_eq!(state_of(&counts(9, 0, 0)), SlotState::Complete);
    }
}

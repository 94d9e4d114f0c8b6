//! Times in which no slot was used there: the Go program didn't run, and doesn't catch up.

use chrono::{DateTime, SecondsFormat, Utc};

use super::compare::{ComparedKind, ComparisonTally, Difference, DifferenceClass};
use super::departures::DOWNTIME;

/// Fewer slots in a row may be missing for another reason.
const LEAST_SLOTS: u64 = 3;

/// What starts here at one instant, and not there.
pub(super) struct MissingSlots {
    at: DateTime<Utc>,
    is_judged: bool,
    /// How many phases have a slot then of which something is missing without a known reason.
    slots: u64,
    differences: Vec<Difference>,
}

impl MissingSlots {
    pub(super) fn new(at: DateTime<Utc>, is_judged: bool) -> Self {
        Self { at, is_judged, slots: 0, differences: Vec::new() }
    }

    /// Adds what is missing of one phase's slot.
    pub(super) fn add_slot(&mut self, differences: Vec<Difference>) {
        // A slot that is missing for a known reason doesn't show that the program was down.
        self.slots += u64::from(differences.iter().any(|one| one.class == DifferenceClass::OnlyHere));
        // Slots outside of the range only tell how long the program was down.
        if self.is_judged {
            self.differences.extend(differences);
        }
    }
}

/// Missing slots without any record of the Go program between them.
struct SilentRun {
    first: DateTime<Utc>,
    last: DateTime<Utc>,
    slots: u64,
    is_judged: bool,
    /// None once they are enough for a downtime, however long it is.
    differences: Vec<Difference>,
}

#[derive(Default)]
pub(super) struct SlotGaps {
    run: Option<SilentRun>,
    last_life: Option<DateTime<Utc>>,
    /// A record after the next slot, which isn't judged yet.
    late_life: Option<DateTime<Utc>>,
}

impl SlotGaps {
    /// Notes that the Go program wrote a record.
    pub(super) fn note_life(&mut self, at: DateTime<Utc>, next_slot: Option<DateTime<Utc>>) {
        if next_slot.is_some_and(|slot| at > slot) {
            // It doesn't show that the program ran before that slot.
            self.late_life = Some(at);
        } else {
            self.last_life = Some(at);
        }
    }

    /// Takes what is missing at an instant; `has_some` says whether anything isn't.
    pub(super) fn close_slot(
        &mut self,
        missing: MissingSlots,
        has_some: bool,
        tally: &mut ComparisonTally<'_>,
    ) -> anyhow::Result<()> {
        let is_silent = !has_some && missing.slots > 0;
        // A record between two missing slots shows that the program ran.
        let is_broken = self.run.as_ref().is_some_and(|run| self.last_life > Some(run.last));
        if has_some || (is_silent && is_broken) {
            self.close_gap(tally)?;
        }
        self.last_life = self.last_life.max(self.late_life.take());
        if !is_silent {
            return missing.differences.iter().try_for_each(|one| tally.add_difference(one));
        }
        let new =
            || SilentRun { first: missing.at, last: missing.at, slots: 0, is_judged: false, differences: Vec::new() };
        let run = self.run.get_or_insert_with(new);
        run.last = missing.at;
        run.slots += missing.slots;
        run.is_judged |= missing.is_judged;
        run.differences.extend(missing.differences);
        if run.slots >= LEAST_SLOTS {
            // A downtime is one difference, and a long one must not fill the memory.
            run.differences.clear();
        }
        Ok(())
    }

    /// Tells what is missing up to now: one by one, or as one time in which the program didn't run.
    pub(super) fn close_gap(&mut self, tally: &mut ComparisonTally<'_>) -> anyhow::Result<()> {
        let Some(run) = self.run.take().filter(|run| run.is_judged) else { return Ok(()) };
        if run.slots < LEAST_SLOTS {
            return run.differences.iter().try_for_each(|one| tally.add_difference(one));
        }
        let [first, last] = [run.first, run.last].map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
        tally.add_difference(&Difference {
            class: DifferenceClass::Departure(DOWNTIME),
            kind: ComparedKind::Root,
            at: run.first,
            task: String::new(),
            workflow: String::new(),
            id: String::new(),
            info: format!("{} slots from {first} to {last}", run.slots),
            hint: "it wrote nothing in that time".to_owned(),
        })
    }
}

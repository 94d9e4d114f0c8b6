//! The tasks that files started.

use flowlord_db::OldFile;
use flowlord_domain::file_match::{files_per_task, match_phases};
use flowlord_domain::workflow::Phase;

use super::compare::{ComparedKind, ComparisonTally, Difference, DifferenceClass, Replay};
use super::departures;

/// Compares the names of the tasks that a file started with those that it would start here.
pub(super) fn compare_file(replay: &Replay<'_>, file: &OldFile, tally: &mut ComparisonTally<'_>) -> anyhow::Result<()> {
    // A name is taken out once it is found: two phases of one name need two of them.
    let mut there = file.task_names.clone();
    for found in match_phases(replay.workflows(), &file.path) {
        let (phase, name) = (found.phase, &found.key.task);
        let is_started = there.iter().position(|there| there == name).map(|place| there.remove(place)).is_some();
        let class = match (is_started, files_per_task(&phase.rule) > 1) {
            (true, false) => None,
            // Each file starts one there.
            (true, true) => Some(DifferenceClass::Departure(departures::COUNT)),
            // Here it may wait for others.
            (false, true) => continue,
            (false, false) => Some(class_of_missing(replay, phase)),
        };
        match class {
            None => tally.add_same(ComparedKind::File, true),
            Some(class) => {
                let hint = format!("{}:{} takes this path", phase.workflow, phase.line);
                tally.add_difference(&difference(file, class, name, &phase.workflow, hint))?;
            }
        }
    }
    for name in &there {
        let hint = format!("row {} of file_messages names it, and no phase of that name takes this path", file.number);
        tally.add_difference(&difference(file, DifferenceClass::OnlyThere, name, "", hint))?;
    }
    Ok(())
}

fn class_of_missing(replay: &Replay<'_>, phase: &Phase) -> DifferenceClass {
    let name = departures::of_unseen_key(phase, "files").or_else(|| replay.spelled_phases(phase));
    name.map_or(DifferenceClass::OnlyHere, DifferenceClass::Departure)
}

fn difference(file: &OldFile, class: DifferenceClass, task: &str, workflow: &str, hint: String) -> Difference {
    Difference {
        class,
        kind: ComparedKind::File,
        at: file.received,
        task: task.to_owned(),
        workflow: workflow.to_owned(),
        id: String::new(),
        info: file.path.clone(),
        hint,
    }
}

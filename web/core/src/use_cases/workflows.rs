//! Workflow files, and when their phases run.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_messages::schedule::{LastSlots, NextRuns, ReadPaused};
use flowlord_messages::workflows::{Current, CurrentWorkflows};

use crate::context::WebContext;
use crate::problem::Problem;
use crate::view::workflow::Times;

/// How far back the last run of a phase is looked for.
const LOOK_BACK: TimeDelta = TimeDelta::days(7);

/// A time for each phase, by its file and task.
type TimeByPhase = HashMap<(String, String), DateTime<Utc>>;

/// The files, and when their phases run.
pub async fn read_workflows(context: &WebContext) -> Result<(Current, Times), Problem> {
    let to = context.deps.kit.now();
    let from = to - LOOK_BACK;
    let (current, next_runs, slots, paused) = tokio::join!(
        context.deps.library.call(CurrentWorkflows),
        context.deps.scheduler.call(NextRuns),
        context.deps.view_reader.call(LastSlots { from, to: to + TimeDelta::seconds(1) }),
        context.deps.view_reader.call(ReadPaused),
    );
    let (mut last, mut missed): (TimeByPhase, TimeByPhase) = (HashMap::new(), HashMap::new());
    for slot in slots? {
        let name = (slot.key.workflow, slot.key.task);
        if slot.started != Some(slot.key.at) {
            missed.insert(name.clone(), slot.key.at);
        }
        last.extend(slot.started.map(|started| (name, started)));
    }
    let paused = paused?.into_iter().map(|phase| ((phase.workflow, phase.task), phase.since)).collect();
    Ok((current?, Times { scheduled: next_runs?, last, missed, paused }))
}

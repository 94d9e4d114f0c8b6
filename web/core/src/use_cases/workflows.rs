//! Workflow files, and when their phases run.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_messages::schedule::{ReadLastSlots, ReadNextRuns, ReadPaused};
use flowlord_messages::workflows::{LoadedWorkflows, ReadLoadedWorkflows};

use crate::context::WebContext;
use crate::problem::Problem;
use crate::view::workflow::NextPhaseTimes;

const LOOK_BACK: TimeDelta = TimeDelta::days(7);

type TimeByPhase = HashMap<(String, String), DateTime<Utc>>;

pub async fn read_workflows(context: &WebContext) -> Result<(LoadedWorkflows, NextPhaseTimes), Problem> {
    let to = context.deps.kit.now();
    let from = to - LOOK_BACK;
    let (current, next_runs, slots, paused) = tokio::join!(
        context.deps.library.call(ReadLoadedWorkflows),
        context.deps.scheduler.call(ReadNextRuns),
        // `to` is left out: a slot of this very second counts, too.
        context.deps.view_reader.call(ReadLastSlots { from, to: to + TimeDelta::seconds(1) }),
        context.deps.view_reader.call(ReadPaused),
    );
    let (mut last, mut missed): (TimeByPhase, TimeByPhase) = (HashMap::new(), HashMap::new());
    for slot in slots? {
        let name = (slot.key.workflow, slot.key.task);
        // Another than the last that started: nobody was there for it.
        if slot.started != Some(slot.key.at) {
            missed.insert(name.clone(), slot.key.at);
        }
        last.extend(slot.started.map(|started| (name, started)));
    }
    let paused = paused?.into_iter().map(|phase| ((phase.workflow, phase.task), phase.since)).collect();
    Ok((current?, NextPhaseTimes { scheduled: next_runs?, last, missed, paused }))
}

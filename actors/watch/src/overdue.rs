//! What is overdue, as what is raised of it.

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::overdue::{Due, breaches, due, longest_limit, runs_long, shortest_run};
use flowlord_domain::{AlertKind, Attempt, NewAlert};
use flowlord_kernel::Result;
use flowlord_messages::library::CurrentWorkflows;
use flowlord_messages::watch::{Breach, RaiseBreaches, ReadSlotTasks, ReadWatch, SlotTasks, WatchInput};
use flowlord_messages::write::SlotKey;

use crate::Deps;

/// Deadlines that passed longer ago are nobody's concern any more, as after a long downtime.
const LOOK_BACK: TimeDelta = TimeDelta::days(1);

/// All that is overdue and wasn't looked at yet.
pub(crate) async fn look(deps: &Deps, ttl: TimeDelta, now: DateTime<Utc>) -> Result<RaiseBreaches> {
    let workflows = deps.workflows.call(CurrentWorkflows).await?.workflows;
    let unfinished_before = now - ttl;
    let running_since = shortest_run(&workflows).map(|limit| now - limit);
    let paused_after = now - LOOK_BACK - longest_limit(&workflows);
    let input = deps.read.call(ReadWatch { unfinished_before, running_since, paused_after }).await?;
    // After a clock was set back there is nothing to go back to.
    let after = input.looked_until.unwrap_or(now).clamp(now - LOOK_BACK, now);
    let late = missed(deps, due(&workflows, &input.pauses, after, now), now).await?;
    let breach = |(key, alert)| Breach { key, alert };
    let long = input.running.iter().filter_map(|task| runs_long(&workflows, task, now));
    let long = long.map(|(key, alert)| breach((key, Some(alert))));
    Ok(RaiseBreaches {
        looked_until: now,
        unfinished_until: input.unfinished_until,
        breaches: unfinished(&input, now).chain(late.into_iter().map(breach)).chain(long).collect(),
    })
}

/// What is told of deadlines that weren't kept.
async fn missed(
    deps: &Deps,
    due: Vec<Due<'_>>,
    now: DateTime<Utc>,
) -> Result<Vec<(String, Option<NewAlert>)>> {
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let slots = due.iter().map(slot).collect();
    let found = deps.slots.call(ReadSlotTasks { slots }).await?;
    let judged: Vec<_> = due.into_iter().zip(found).filter_map(|(due, found)| judged(due, found)).collect();
    Ok(breaches(&judged, now))
}

fn slot(due: &Due<'_>) -> (SlotKey, String) {
    let starter = due.starter;
    let slot = SlotKey { workflow: starter.workflow.clone(), task: starter.name(), at: due.slot };
    (slot, starter.rule.cron.clone().unwrap_or_default())
}

/// None for a slot from before its cron counted, and for one whose tasks have left the history.
fn judged(due: Due<'_>, found: SlotTasks) -> Option<(Due<'_>, Vec<Vec<Attempt>>)> {
    found.since.filter(|since| *since < due.slot)?;
    Some((due, found.chains?))
}

/// Tasks that should be finished.
fn unfinished(input: &WatchInput, now: DateTime<Utc>) -> impl Iterator<Item = Breach> {
    input.unfinished.iter().map(move |task| {
        let msg = "INCOMPLETE: unfinished task detected".to_owned();
        let alert = NewAlert::about(task, AlertKind::Unfinished, msg, now);
        Breach { key: format!("unfinished/{}", task.uid), alert: Some(alert) }
    })
}

//! Which deadlines were missed, and the alerts about them.

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::deadlines::{
    PassedDeadline, check_max_run, longest_limit, missed_deadlines, passed_deadlines, shortest_max_run,
};
use flowlord_domain::expect::LearnedValues;
use flowlord_domain::workflow::Workflows;
use flowlord_domain::{AlertKind, Attempt, NewAlert};
use flowlord_kernel::Result;
use flowlord_messages::clients::DatabaseReader;
use flowlord_messages::deadlines::{DeadlineBreach, RaiseBreaches, ReadDeadlineInput, ReadSlotTasks, SlotTasks};
use flowlord_messages::deps::WorkflowDeps;
use flowlord_messages::joins::ReadJoins;
use flowlord_messages::learned::ReadLearned;
use flowlord_messages::schedule::SlotKey;
use flowlord_messages::workflows::ReadLoadedWorkflows;

use super::Config;
use super::joins::end_waiting_joins;

// Deadlines that passed longer ago are ignored: after a long downtime nobody needs them.
const LOOK_BACK: TimeDelta = TimeDelta::days(1);

/// All deadlines that were missed since the last check.
pub(crate) async fn find_breaches(deps: &WorkflowDeps, config: &Config, now: DateTime<Utc>) -> Result<RaiseBreaches> {
    let workflows = deps.library.call(ReadLoadedWorkflows).await?.workflows;
    let unfinished_before = now - config.ttl;
    let learned = read_run_times(&deps.reader, &workflows).await?;
    let running_since = shortest_max_run(&workflows, &learned).map(|limit| now - limit);
    // A slot's deadline may be as long after it as the longest limit: so far back pauses count.
    let paused_after = now - LOOK_BACK - longest_limit(&workflows);
    let input = deps.reader.call(ReadDeadlineInput { unfinished_before, running_since, paused_after }).await?;
    // After a clock was set back there is nothing to go back to.
    let after = input.looked_until.unwrap_or(now).clamp(now - LOOK_BACK, now);
    let mut breaches: Vec<_> = input.unfinished.iter().map(|task| unfinished_breach(&workflows, task, now)).collect();
    let due = passed_deadlines(&workflows, &input.pauses, after, now);
    let late = find_late(&deps.reader, due, now).await?;
    breaches.extend(late.into_iter().map(|(key, alert)| DeadlineBreach { key, alert }));
    let long_runs = input.running.iter().filter_map(|task| check_max_run(&workflows, &learned, task, now));
    breaches.extend(long_runs.map(|(key, alert)| DeadlineBreach { key, alert: Some(alert) }));
    let late_joins = end_waiting_joins(deps, &workflows, &config.host, (input.looked_until, now)).await?;
    Ok(RaiseBreaches { looked_until: now, unfinished_until: input.unfinished_until, breaches, late_joins })
}

/// What `max_run=3x` counts from; nothing is read where no phase has it.
async fn read_run_times(reader: &DatabaseReader, workflows: &Workflows) -> Result<LearnedValues> {
    let keys = LearnedValues::max_run_keys(workflows);
    if keys.is_empty() { Ok(LearnedValues::default()) } else { reader.call(ReadLearned { keys }).await }
}

async fn find_late(
    reader: &DatabaseReader,
    due: Vec<PassedDeadline<'_>>,
    now: DateTime<Utc>,
) -> Result<Vec<(String, Option<NewAlert>)>> {
    let (of_joins, of_slots): (Vec<_>, Vec<_>) = due.into_iter().partition(|due| due.join_key().is_some());
    let mut judged = Vec::new();
    if !of_slots.is_empty() {
        let slots = of_slots.iter().map(slot_and_cron).collect();
        let found = reader.call(ReadSlotTasks { slots }).await?;
        judged.extend(of_slots.into_iter().zip(found).filter_map(|(due, found)| with_chains(due, found)));
    }
    if !of_joins.is_empty() {
        let joins = of_joins.iter().filter_map(PassedDeadline::join_key).collect();
        let found = reader.call(ReadJoins { joins }).await?;
        judged.extend(of_joins.into_iter().zip(found).filter_map(|(due, found)| due.with_join(found)));
    }
    Ok(missed_deadlines(&judged, now))
}

fn slot_and_cron(due: &PassedDeadline<'_>) -> (SlotKey, String) {
    let starter = due.starter;
    let slot = SlotKey { workflow: starter.workflow.clone(), task: starter.task_name(), at: due.from };
    (slot, starter.rule.cron.clone().unwrap_or_default())
}

fn with_chains(due: PassedDeadline<'_>, found: SlotTasks) -> Option<(PassedDeadline<'_>, Vec<Vec<Attempt>>)> {
    // A slot from before its cron counted was nobody's; of one whose tasks have left the history nothing is known.
    found.since.filter(|since| *since < due.from)?;
    Some((due, found.chains?))
}

fn unfinished_breach(workflows: &Workflows, task: &Attempt, now: DateTime<Utc>) -> DeadlineBreach {
    let msg = "INCOMPLETE: unfinished task detected".to_owned();
    let alert = NewAlert::about(task, AlertKind::Unfinished, msg, now).with_contact(workflows);
    DeadlineBreach { key: format!("unfinished/{}", task.uid), alert: Some(alert) }
}

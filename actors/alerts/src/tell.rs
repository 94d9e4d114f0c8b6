//! One step of the ladder, as the command that stores it.

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::ladder::{Incident, LadderState, Told, step as ladder_step};
use flowlord_domain::query::Query;
use flowlord_domain::summary::{Item, Line, counts, report_url, summarize};
use flowlord_domain::task_time::task_time;
use flowlord_domain::{AlertKind, Attempt, NewAlert, duration};
use flowlord_messages::notifier::{Colour, IncidentRef, Payload, Stage};
use flowlord_messages::read::LadderInput;
use flowlord_messages::write::{AdvanceLadder, IncidentRecord, NewMessage};

use crate::{Config, ROUTE};

/// The ladder's next state, and the command that stores it with what is told; none where that is stored already.
pub(crate) fn step(
    config: &Config,
    stored: Option<LadderState>,
    input: &LadderInput,
    now: DateTime<Utc>,
    unfinished_until: DateTime<Utc>,
) -> (LadderState, Option<AdvanceLadder>) {
    let known = stored.is_some();
    let state = stored.unwrap_or_else(|| LadderState::new(config.policy, now));
    let alerts: Vec<NewAlert> = input.unfinished.iter().map(|task| unfinished(task, now)).collect();
    let items: Vec<Item<'_>> = items(input).chain(alerts.iter().map(Item::from)).collect();
    let lines = summarize(items.iter().copied());
    let (next, told) = ladder_step(config.policy, &state, now, &counts(items), None);
    if told.is_none() && !state.resumed(config.policy, now).due(now) {
        // A tick that was planned anew is stored, or the next look would plan it anew again, and so for ever.
        let changed = !known || next != state;
        let advance = changed.then(|| advance(&next, None, Vec::new(), 0, None, now));
        return (next, advance);
    }
    let closed = closed(&told, now);
    let seen = matches!(told, Some(Told::Summary { .. } | Told::Update { easing: false, .. }));
    let key = state.key(ROUTE);
    let day = if alerts.is_empty() { input.untold.last().map_or(now, |alert| alert.at) } else { now };
    let message = told.and_then(|told| message(config, key, told, &state, &next, &lines, (now, day)));
    let told_until = if seen { input.newest } else { 0 };
    let incident = next.incident.as_ref().map(|incident| IncidentRecord {
        opened: incident.opened,
        closed: None,
        alerts: incident.alerts,
    });
    let mut advance = advance(&next, message, alerts, told_until, incident.or(closed), now);
    advance.unfinished_until = Some(unfinished_seen(input, unfinished_until));
    (next, Some(advance))
}

/// Of more unfinished tasks than one look takes, the next look takes the rest.
fn unfinished_seen(input: &LadderInput, until: DateTime<Utc>) -> DateTime<Utc> {
    input
        .unfinished
        .last()
        .map_or(until, |last| if input.more_unfinished { last.uid.created() } else { until })
}

fn advance(
    next: &LadderState,
    message: Option<NewMessage>,
    alerts: Vec<NewAlert>,
    told_until: i64,
    incident: Option<IncidentRecord>,
    now: DateTime<Utc>,
) -> AdvanceLadder {
    AdvanceLadder {
        now,
        route: ROUTE.to_owned(),
        state: serde_json::to_string(next).unwrap_or_default(),
        told_until,
        unfinished_until: None,
        alerts,
        incident,
        messages: message.into_iter().collect(),
    }
}

fn items(input: &LadderInput) -> impl Iterator<Item = Item<'_>> {
    input.untold.iter().map(|alert| Item {
        topic: &alert.topic,
        job: &alert.job,
        workflow: &alert.workflow,
        task_time: alert.task_time,
    })
}

fn unfinished(task: &Attempt, now: DateTime<Utc>) -> NewAlert {
    NewAlert {
        kind: AlertKind::Unfinished,
        at: now,
        uid: Some(task.uid),
        id: task.id.clone(),
        topic: task.topic.clone(),
        job: task.job.clone(),
        workflow: task.workflow.clone(),
        msg: "INCOMPLETE: unfinished task detected".to_owned(),
        task_time: task_time(&task.info, &Query::lenient(&task.meta)),
        at_once: None,
    }
}

fn closed(told: &Option<Told>, now: DateTime<Utc>) -> Option<IncidentRecord> {
    match told {
        Some(Told::AllClear { opened, alerts, .. }) => {
            Some(IncidentRecord { opened: *opened, closed: Some(now), alerts: *alerts })
        }
        _ => None,
    }
}

fn message(
    config: &Config,
    key: String,
    told: Told,
    before: &LadderState,
    next: &LadderState,
    lines: &[Line],
    (now, newest): (DateTime<Utc>, DateTime<Utc>),
) -> Option<NewMessage> {
    let (kind, payload) = match told {
        Told::Summary { step, opened, next: update, escalating } => {
            let incident = IncidentRef {
                opened,
                step,
                stage: if escalating { Stage::Escalating } else { Stage::Steady },
                acknowledged_by: None,
                details: lines.iter().map(ToString::to_string).collect(),
                lasted: duration::print((now - opened).max(TimeDelta::zero())),
                alerts: next.incident.as_ref().map_or(0, |incident| incident.alerts),
                tasks: tasks(next.incident.as_ref()),
            };
            ("summary", summary(config, lines, update, newest, incident))
        }
        // Until the notifier edits messages.
        Told::Update { .. } => return None,
        Told::AllClear { step, lasted, alerts, lines, opened } => {
            let incident = IncidentRef {
                opened,
                step,
                stage: Stage::Clear,
                acknowledged_by: None,
                details: Vec::new(),
                lasted: duration::print(lasted),
                alerts,
                tasks: tasks(before.incident.as_ref()),
            };
            ("all_clear", all_clear(config, lines, incident))
        }
    };
    Some(NewMessage {
        route: ROUTE.to_owned(),
        kind: kind.to_owned(),
        key,
        payload: serde_json::to_string(&payload).unwrap_or_default(),
    })
}

pub(crate) fn tasks(incident: Option<&Incident>) -> Vec<String> {
    incident.iter().flat_map(|incident| incident.lines.keys().cloned()).collect()
}

fn summary(
    config: &Config,
    lines: &[Line],
    next: DateTime<Utc>,
    newest: DateTime<Utc>,
    incident: IncidentRef,
) -> Payload {
    let count: u64 = lines.iter().map(|line| line.count).sum();
    Payload {
        headline: format!("{} in {}", plural(count, "alert"), plural(lines.len() as u64, "task")),
        lines: lines.iter().map(ToString::to_string).collect(),
        link: Some(report_url(&config.public_url, newest.date_naive())),
        footer: format!("next update at {} UTC, if there is news", next.format("%H:%M")),
        colour: Colour::Red,
        incident: Some(incident),
    }
}

fn all_clear(config: &Config, lines: Vec<String>, incident: IncidentRef) -> Payload {
    Payload {
        headline: format!("all clear: {} in {}", plural(incident.alerts, "alert"), incident.lasted),
        lines: lines.into_iter().map(|line| format!("{line} recovered")).collect(),
        link: Some(report_url(&config.public_url, incident.opened.date_naive())),
        footer: String::new(),
        colour: Colour::Green,
        incident: Some(incident),
    }
}

fn plural(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

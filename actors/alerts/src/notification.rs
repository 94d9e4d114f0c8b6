//! The notification of a step of an escalation, and the command that stores both.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::alert::contact_line;
use flowlord_domain::duration;
use flowlord_domain::escalation::{
    Acknowledgement, EscalationRoute, EscalationState, IncidentNotification, OpenIncident, check_route as ladder_step,
};
use flowlord_domain::summary::{
    SummaryItem, SummaryLine, count_by_line, last_line, log_url, report_url, summarize_alerts,
};
use flowlord_messages::alerts::{
    AcknowledgeAlerts, AdvanceEscalation, EscalationInput, IncidentRecord, StepRecord, StoredAlert,
};
use flowlord_messages::outbox::{IncidentRef, IncidentStage, MessageColour, MessagePayload, NewMessage};

/// A message says no more of them.
const MAX_CONTACTS: usize = 3;

#[derive(Debug, Clone, Copy)]
pub(crate) struct RouteCheck<'a> {
    pub(crate) route: &'a EscalationRoute,
    pub(crate) public_url: &'a str,
    pub(crate) input: &'a EscalationInput,
    /// As last stored; none at the first start.
    pub(crate) stored: Option<&'a EscalationState>,
    pub(crate) now: DateTime<Utc>,
}

impl RouteCheck<'_> {
    fn current_state(&self) -> EscalationState {
        self.stored.cloned().unwrap_or_else(|| EscalationState::new(self.route.policy, self.now))
    }

    /// The next state, and the command that stores it with its notification; none where it is stored already.
    pub(crate) fn step(&self) -> (EscalationState, Option<AdvanceEscalation>) {
        let (policy, now, state) = (self.route.policy, self.now, self.current_state());
        let hold = self.route.quiet.and_then(|quiet| quiet.end_of_hold(now));
        let (mut next, told) = ladder_step(policy, &state, now, &count_by_line(new_items(self.input)), hold);
        let Some(told) = told else {
            // A check that was planned anew is stored, or the next one would plan it anew again, and so for ever.
            let changed = next != state || self.stored.is_none();
            return (next.clone(), changed.then(|| self.advance_to(&next)));
        };
        if let Some(incident) = &mut next.incident {
            self.add_contacts(&mut incident.contacts);
        }
        // What a notification left out stays untold, for the next one.
        let until = if takes_all(&told) { self.input.newest } else { 0 };
        let mut advance = AdvanceEscalation { told_until: until, ..self.advance_to(&next) };
        self.add_message(&mut advance, &told, &state, &next);
        (next, Some(advance))
    }

    /// Somebody acknowledges: the next state, the command that stores it, and the tasks that it holds for.
    pub(crate) fn acknowledge(
        &self,
        acknowledge: &AcknowledgeAlerts,
    ) -> Option<(EscalationState, AdvanceEscalation, Vec<String>)> {
        let (now, state) = (self.now, self.current_state());
        let by = Acknowledgement {
            at: now,
            until: acknowledge.until,
            by: acknowledge.by.clone(),
            note: acknowledge.note.clone(),
            lines: BTreeSet::new(),
        };
        let (next, lines, told) =
            state.acknowledged(&acknowledge.matcher, by, &count_by_line(new_items(self.input)))?;
        let mut advance = self.advance_to(&next);
        if let Some(told) = told {
            self.add_message(&mut advance, &told, &state, &next);
            add_acknowledgement(&mut advance, acknowledge);
        }
        Some((next, advance, lines.into_iter().collect()))
    }

    /// Also updates say whom to ask, so they stay with the incident.
    fn add_contacts(&self, contacts: &mut BTreeSet<String>) {
        let lines = self.input.untold.iter().map(|alert| contact_line(&alert.owner, &alert.runbook));
        for line in lines.filter(|line| !line.is_empty()) {
            if contacts.len() < MAX_CONTACTS {
                contacts.insert(line);
            }
        }
    }

    fn advance_to(&self, next: &EscalationState) -> AdvanceEscalation {
        AdvanceEscalation {
            now: self.now,
            route: self.route.name.clone(),
            state: serde_json::to_string(next).unwrap_or_default(),
            told_until: 0,
            incident: None,
            messages: Vec::new(),
        }
    }

    fn add_message(
        &self,
        advance: &mut AdvanceEscalation,
        told: &IncidentNotification,
        before: &EscalationState,
        next: &EscalationState,
    ) {
        let incident = next.incident.as_ref().or(before.incident.as_ref());
        let (kind, payload) = match told {
            IncidentNotification::Summary { .. } => ("summary", self.summary_payload(told, next)),
            IncidentNotification::Update { .. } => ("update", self.update_payload(told, next)),
            IncidentNotification::AllClear { .. } => ("all_clear", self.all_clear_payload(told, before)),
        };
        let (opened, number) = opening_and_step(told);
        advance.incident = Some(IncidentRecord {
            opened,
            closed: matches!(told, IncidentNotification::AllClear { .. }).then_some(self.now),
            alerts: incident.map_or(0, |incident| incident.alerts),
            step: StepRecord {
                number,
                kind: kind.to_owned(),
                headline: payload.headline.clone(),
                // An update repeats what the steps before it said.
                details: if kind == "update" { Vec::new() } else { payload.lines.clone() },
            },
        });
        advance.messages.push(NewMessage {
            route: self.route.name.clone(),
            kind: kind.to_owned(),
            key: before.notification_key(&self.route.name),
            payload: to_json(&payload),
        });
    }

    fn summary_payload(&self, told: &IncidentNotification, next: &EscalationState) -> MessagePayload {
        let lines = summarize_alerts(new_items(self.input));
        let escalating = matches!(told, IncidentNotification::Summary { escalating: true, .. });
        let stage = if escalating { IncidentStage::Escalating } else { IncidentStage::Steady };
        let mut incident = self.incident_ref(told, next, stage);
        let texts: Vec<String> = line_texts(&lines).into_iter().chain(self.only_message()).collect();
        incident.details.clone_from(&texts);
        MessagePayload {
            headline: count_headline(&lines),
            lines: texts,
            link: Some(self.summary_link()),
            footer: next_update(next),
            colour: MessageColour::Red,
            incident: Some(incident),
        }
    }

    /// Where a summary leads: to the log of the one task that it is about, else to the alerts of the day.
    fn summary_link(&self) -> String {
        match &self.input.untold[..] {
            [StoredAlert { uid: Some(uid), .. }] => log_url(self.public_url, *uid),
            alerts => report_url(self.public_url, alerts.last().map_or(self.now, |alert| alert.at).date_naive()),
        }
    }

    /// The last line that the one task wrote which a summary is about.
    fn only_message(&self) -> Option<String> {
        let [StoredAlert { uid: Some(_), msg, .. }] = &self.input.untold[..] else { return None };
        last_line(msg)
    }

    fn update_payload(&self, told: &IncidentNotification, next: &EscalationState) -> MessagePayload {
        // Nothing new, or only what is acknowledged: so it says all alerts of the incident so far.
        let easing = matches!(told, IncidentNotification::Update { easing: true, .. });
        let stage = if easing { IncidentStage::Easing } else { IncidentStage::Steady };
        let lines = lines_so_far(next.incident.as_ref());
        let (opened, _) = opening_and_step(told);
        let easing_word = if easing { "easing: " } else { "" };
        MessagePayload {
            headline: format!("{easing_word}{}", count_headline(&lines)),
            lines: line_texts(&lines),
            link: Some(report_url(self.public_url, opened.date_naive())),
            footer: next_update(next),
            colour: if easing { MessageColour::Yellow } else { MessageColour::Red },
            incident: Some(self.incident_ref(told, next, stage)),
        }
    }

    fn all_clear_payload(&self, told: &IncidentNotification, before: &EscalationState) -> MessagePayload {
        let IncidentNotification::AllClear { lasted, alerts, lines, opened, .. } = told else {
            return self.update_payload(told, before);
        };
        let mut incident = self.incident_ref(told, before, IncidentStage::Clear);
        incident.acknowledged_by = None;
        incident.lasted = duration::print_duration(TimeDelta::seconds(lasted.num_seconds()));
        MessagePayload {
            headline: format!("all clear: {} in {}", count_of(*alerts, "alert"), incident.lasted),
            lines: lines.iter().map(|line| format!("{line} recovered")).collect(),
            link: Some(report_url(self.public_url, opened.date_naive())),
            footer: String::new(),
            colour: MessageColour::Green,
            incident: Some(incident),
        }
    }

    fn incident_ref(&self, told: &IncidentNotification, state: &EscalationState, stage: IncidentStage) -> IncidentRef {
        let (opened, step) = opening_and_step(told);
        IncidentRef {
            opened,
            step,
            stage,
            acknowledged_by: state.acknowledged_by(),
            details: Vec::new(),
            lasted: duration::print_duration((self.now - opened).max(TimeDelta::zero())),
            alerts: state.incident.as_ref().map_or(0, |incident| incident.alerts),
            tasks: failing_tasks(state.incident.as_ref()),
        }
    }
}

fn add_acknowledgement(advance: &mut AdvanceEscalation, acknowledge: &AcknowledgeAlerts) {
    let until = acknowledge.until.format("%Y-%m-%d %H:%M");
    let note = if acknowledge.note.is_empty() { String::new() } else { format!(": {}", acknowledge.note) };
    let text = format!("acknowledged by {} until {until} UTC{note}", acknowledge.by);
    if let Some(incident) = &mut advance.incident {
        "acknowledged".clone_into(&mut incident.step.kind);
        incident.step.headline.clone_from(&text);
    }
    for message in &mut advance.messages {
        let Ok(mut payload) = serde_json::from_str::<MessagePayload>(&message.payload) else { continue };
        // Details go into the thread, below the message that everybody sees.
        if let Some(incident) = &mut payload.incident {
            incident.details = vec![text.clone()];
        }
        message.payload = to_json(&payload);
    }
}

fn to_json(payload: &MessagePayload) -> String {
    serde_json::to_string(payload).unwrap_or_default()
}

/// Whether a notification tells all that is new.
fn takes_all(told: &IncidentNotification) -> bool {
    matches!(told, IncidentNotification::Summary { .. } | IncidentNotification::Update { easing: false, .. })
}

/// When the incident of a notification opened, and the step's number.
fn opening_and_step(told: &IncidentNotification) -> (DateTime<Utc>, u32) {
    match told {
        IncidentNotification::Summary { opened, step, .. }
        | IncidentNotification::Update { opened, step, .. }
        | IncidentNotification::AllClear { opened, step, .. } => (*opened, *step),
    }
}

fn new_items(input: &EscalationInput) -> impl Iterator<Item = SummaryItem<'_>> {
    input.untold.iter().map(|alert| SummaryItem {
        topic: &alert.topic,
        job: &alert.job,
        workflow: &alert.workflow,
        task_time: alert.task_time,
        raised: Some(alert.at),
    })
}

pub(crate) fn failing_tasks(incident: Option<&OpenIncident>) -> Vec<String> {
    incident.iter().flat_map(|incident| incident.lines.keys().cloned()).collect()
}

/// All alerts of an incident so far: by count, most first, and then name.
fn lines_so_far(incident: Option<&OpenIncident>) -> Vec<SummaryLine> {
    let told = incident.iter().flat_map(|incident| &incident.lines);
    let mut lines: Vec<SummaryLine> =
        told.map(|(key, count)| SummaryLine { key: key.clone(), count: *count, time_range: String::new() }).collect();
    lines.sort_by_key(|line| Reverse(line.count));
    lines
}

fn line_texts(lines: &[SummaryLine]) -> Vec<String> {
    lines.iter().map(ToString::to_string).collect()
}

fn count_headline(lines: &[SummaryLine]) -> String {
    let count: u64 = lines.iter().map(|line| line.count).sum();
    format!("{} in {}", count_of(count, "alert"), count_of(lines.len() as u64, "task"))
}

fn next_update(next: &EscalationState) -> String {
    let next_check = next.next_check.format("%H:%M");
    let contacts = next.incident.iter().flat_map(|incident| &incident.contacts);
    let contacts: String = contacts.map(|line| format!("\n{line}")).collect();
    format!("next update at {next_check} UTC, if there are new alerts{contacts}")
}

fn count_of(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

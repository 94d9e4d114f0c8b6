//! The actions of clicks.

use std::collections::BTreeSet;

use chrono::{SecondsFormat, TimeDelta};
use flowlord_domain::Attempt;
use flowlord_domain::alert::AlertMatcher;
use flowlord_domain::rerun::{Downstream, rerun_task};
use flowlord_domain::summary::line_key;
use flowlord_kernel::{Code, Error, Result};
use flowlord_messages::alerts::AcknowledgeAlerts;
use flowlord_messages::audit::{AuditAction, AuditRecord, RecordAudit};
use flowlord_messages::outbox::{EnqueueMessage, MessagePayload, NewMessage, ReadThreads, SlackThread};
use flowlord_messages::silences::AddSilence;
use flowlord_messages::tasks::{FindTasks, RerunTasks, TaskFilter};
use serde_json::json;

use super::ButtonsDeps;
use crate::click::{ButtonClick, IncidentButton};
use crate::connector::SlackConnector;

// A working day.
const ACKNOWLEDGED_FOR: TimeDelta = TimeDelta::hours(8);

// Each is a silence of its own that people must find and end.
const MAX_SILENCED_TASKS: usize = 50;

// A click is one command of the writer, which others wait for.
const MAX_RERUN_TASKS: usize = 500;

#[derive(Debug, Clone)]
pub(super) struct ClickActions {
    pub(super) deps: ButtonsDeps,
    pub(super) connector: Option<SlackConnector>,
}

/// An incident's message, and what to add to it once something was done.
struct MessageUpdate {
    thread: SlackThread,
    payload: MessagePayload,
    text: String,
}

impl ClickActions {
    /// Does what a person clicked; a reply to them says when that fails.
    pub(super) async fn run_click(self, click: ButtonClick) -> Result<()> {
        let done = match click.button {
            IncidentButton::Acknowledge => self.acknowledge_incident(&click).await.map(|()| None),
            IncidentButton::Silence(hours) => self.silence_tasks(&click, hours).await.map(Some),
            IncidentButton::Rerun => self.rerun_failed(&click).await.map(Some),
        };
        let (button, by) = (click.button.action_id(), &click.by);
        match done {
            Ok(update) => {
                log::info!("event=slack_click button={button} by={by:?}");
                self.record_change(&click).await;
                if let Some(update) = update {
                    self.update_or_reply(&click, update).await;
                }
                Ok(())
            }
            Err(err) => {
                log::warn!("event=slack_click_failed button={button} by={by:?} error={err:?}");
                self.reply_to_person(&click, &format!("didn't work: {}", err.detail)).await;
                // Said to the person; Slack needn't say it too.
                if err.code.status() < 500 { Ok(()) } else { Err(err) }
            }
        }
    }

    async fn update_or_reply(&self, click: &ButtonClick, update: MessageUpdate) {
        let text = update.text.clone();
        // It is done: a message that can't be changed is no reason to do it again.
        if let Err(err) = self.update_message(click, update).await {
            log::warn!("event=slack_click_not_shown button={} error={err:?}", click.button.action_id());
            let why = format!("is done ({text}), but the message couldn't be changed: {}", err.detail);
            self.reply_to_person(click, &why).await;
        }
    }

    async fn acknowledge_incident(&self, click: &ButtonClick) -> Result<()> {
        let acknowledge = AcknowledgeAlerts {
            route: Some(click.target.route.clone()),
            matcher: AlertMatcher::default(),
            until: self.deps.kit.now() + ACKNOWLEDGED_FOR,
            by: click.by.clone(),
            note: "by a click in Slack".to_owned(),
        };
        // That actor notifies everybody, by an edit of the message: no update is made here.
        let acknowledged = self.deps.alerts.call(acknowledge).await?;
        if acknowledged.is_empty() {
            return Err(Error::new(Code::NotFound, "nothing is failing any more: there is nothing to acknowledge"));
        }
        Ok(())
    }

    async fn silence_tasks(&self, click: &ButtonClick, hours: u8) -> Result<MessageUpdate> {
        let now = self.deps.kit.now();
        let until = now + TimeDelta::hours(i64::from(hours));
        let (thread, payload) = self.read_message(click).await?;
        let tasks = payload.incident.as_ref().map_or(&[][..], |incident| &incident.tasks);
        if tasks.is_empty() || tasks.len() > MAX_SILENCED_TASKS {
            return Err(Error::new(
                Code::InvalidRequest,
                format!(
                    "{} tasks are failing, and a button silences 1 to {MAX_SILENCED_TASKS}: silence them on the alerts page",
                    tasks.len()
                ),
            ));
        }
        for (nth, task) in tasks.iter().enumerate() {
            let (topic, job) = task.split_once(':').unwrap_or((task, ""));
            let silence = AddSilence {
                now,
                matcher: AlertMatcher {
                    topic: Some(topic.to_owned()),
                    job: Some(job.to_owned()),
                    ..AlertMatcher::default()
                },
                until,
                by: click.by.clone(),
                reason: "by a click in Slack".to_owned(),
            };
            if let Err(err) = self.deps.writer.call(silence).await {
                if nth > 0 {
                    // Those before it hold.
                    self.record_change(click).await;
                }
                return Err(err);
            }
        }
        let text = format!("silenced by {} until {} UTC", click.by, until.format("%Y-%m-%d %H:%M"));
        Ok(MessageUpdate { thread, payload, text })
    }

    /// Has the tasks of the incident that failed for good run again, unless they do already.
    async fn rerun_failed(&self, click: &ButtonClick) -> Result<MessageUpdate> {
        let now = self.deps.kit.now();
        let (thread, payload) = self.read_message(click).await?;
        let mut ids = self.deps.kit.ids();
        let failed = self.find_failed(click, &payload).await?;
        let tasks: Vec<_> = failed.iter().map(|task| rerun_task(task, Downstream::All, &mut ids, now)).collect();
        let answers = self.deps.writer.call(RerunTasks { now, tasks }).await?;
        let (all, again) = (answers.len(), answers.iter().filter(|answer| answer.is_ok()).count());
        if let Some(Err(err)) = answers.into_iter().find(|_| again == 0) {
            return Err(err);
        }
        let tasks = if all == 1 { "task" } else { "tasks" };
        let of = if again == all { format!("{all} {tasks}") } else { format!("{again} of {all} {tasks}") };
        Ok(MessageUpdate { thread, payload, text: format!("{of} rerun by {}", click.by) })
    }

    /// What failed for good since shortly before the incident and wasn't run again, oldest first.
    async fn find_failed(&self, click: &ButtonClick, payload: &MessagePayload) -> Result<Vec<Attempt>> {
        let keys: BTreeSet<&str> =
            payload.incident.iter().flat_map(|incident| &incident.tasks).map(String::as_str).collect();
        let filter = TaskFilter::given_up_in(click.target.opened, &keys);
        // One more than are allowed tells that there are too many.
        let mut failed = FindTasks::oldest_first(filter, MAX_RERUN_TASKS + 1).find_all(&self.deps.reader).await?;
        if failed.len() > MAX_RERUN_TASKS {
            return Err(Error::new(
                Code::InvalidRequest,
                format!("more than {MAX_RERUN_TASKS} tasks failed: rerun some of them by POST /api/v1/tasks/rerun"),
            ));
        }
        failed.retain(|task| keys.contains(line_key(&task.topic, &task.job).as_str()));
        if failed.is_empty() {
            return Err(Error::new(Code::NotFound, "this incident has no failed task left to rerun"));
        }
        Ok(failed)
    }

    async fn read_message(&self, click: &ButtonClick) -> Result<(SlackThread, MessagePayload)> {
        let read = ReadThreads { route: click.target.route.clone(), opened: click.target.opened };
        let thread = self.deps.reader.call(read).await?.into_iter().next();
        let thread = thread.ok_or_else(|| Error::new(Code::NotFound, "this message is no longer known"))?;
        let payload = serde_json::from_str(&thread.payload)
            .map_err(|err| Error::new(Code::Internal, format!("the message can't be read: {err}")))?;
        Ok((thread, payload))
    }

    /// Adds to the message, and to its thread, what was done.
    async fn update_message(
        &self,
        click: &ButtonClick,
        MessageUpdate { thread, mut payload, text }: MessageUpdate,
    ) -> Result<()> {
        payload.footer = if payload.footer.is_empty() { text.clone() } else { format!("{text}; {}", payload.footer) };
        if let Some(incident) = &mut payload.incident {
            incident.details = vec![text];
        }
        let payload = serde_json::to_string(&payload)
            .map_err(|err| Error::new(Code::Internal, format!("the message can't be written: {err}")))?;
        let opened = thread.opened.timestamp_micros();
        let key = format!("click/{}/{opened}/{}", thread.route, click.id);
        let message = NewMessage { route: thread.route, kind: "update".to_owned(), key, payload };
        let now = self.deps.kit.now();
        self.deps.writer.call(EnqueueMessage { now, message }).await.map(drop)
    }

    async fn record_change(&self, click: &ButtonClick) {
        let opened = click.target.opened.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let change = AuditRecord {
            at: self.deps.kit.now(),
            who: click.by.clone(),
            from: "slack".to_owned(),
            action: match click.button {
                IncidentButton::Acknowledge => AuditAction::Acknowledge,
                IncidentButton::Silence(_) => AuditAction::Silence,
                IncidentButton::Rerun => AuditAction::Rerun,
            },
            what: click.button.action_id().to_owned(),
            detail: format!("{}/{opened}", click.target.route),
            status: 200,
        };
        // It is done already: where this fails, it is only logged.
        if let Err(err) = self.deps.writer.call(RecordAudit { change }).await {
            log::error!("event=change_not_recorded error={err:?}");
        }
    }

    async fn reply_to_person(&self, click: &ButtonClick, what: &str) {
        let (Some(connector), Some(url)) = (&self.connector, &click.response_url) else { return };
        if !connector.is_of_slack(url) {
            return;
        }
        let text = format!("{} {what}", click.button.label());
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let body = json!({"response_type": "ephemeral", "replace_original": false, "text": text});
        if let Err(err) = connector.post_reply(url, &body).await {
            log::warn!("event=slack_click_unanswered error={err:?}");
        }
    }
}

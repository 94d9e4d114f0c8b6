//! What a click does.

use std::collections::BTreeSet;

use chrono::{SecondsFormat, TimeDelta};
use flowlord_domain::Attempt;
use flowlord_domain::alert::Matcher;
use flowlord_domain::rerun::rerun;
use flowlord_domain::summary::line_key;
use flowlord_kernel::{Code, Error, Result};
use flowlord_messages::alerts::{Acknowledge, AddSilence};
use flowlord_messages::audit::{Action, Change, RecordChange};
use flowlord_messages::find::FindTasks;
use flowlord_messages::notifier::Payload;
use flowlord_messages::outbox::{ReadThreads, SlackThread};
use flowlord_messages::read::TaskFilter;
use flowlord_messages::write::{EnqueueMessage, NewMessage, RerunTasks};
use serde_json::json;

use super::ButtonsDeps;
use crate::click::{Button, Click};
use crate::line::Line;

/// How long an acknowledgement holds: a working day.
const ACKNOWLEDGED: TimeDelta = TimeDelta::hours(8);

/// More tasks than this aren't silenced by one click.
const TASKS: usize = 50;

/// More tasks than this don't run again by one click.
const RERUN: usize = 500;

/// What an acting needs.
#[derive(Debug, Clone)]
pub(super) struct Hands {
    pub(super) deps: ButtonsDeps,
    pub(super) line: Option<Line>,
}

/// What is said in an incident's message once something was done.
struct Said {
    thread: SlackThread,
    payload: Payload,
    text: String,
}

impl Hands {
    /// Does what a person clicked, and tells them when that can't be.
    pub(super) async fn act(self, click: Click) -> Result<()> {
        let done = match click.button {
            Button::Acknowledge => self.acknowledge(&click).await.map(|()| None),
            Button::Silence(hours) => self.silence(&click, hours).await.map(Some),
            Button::Rerun => self.rerun(&click).await.map(Some),
        };
        let (button, by) = (click.button.id(), &click.by);
        match done {
            Ok(said) => {
                log::info!("event=slack_click button={button} by={by:?}");
                self.record(&click).await;
                if let Some(said) = said {
                    self.show_or_tell(&click, said).await;
                }
                Ok(())
            }
            Err(err) => {
                log::warn!("event=slack_click_failed button={button} by={by:?} error={err:?}");
                self.tell(&click, &format!("didn't work: {}", err.detail)).await;
                // Said to the person; Slack needn't say it too.
                if err.code.status() < 500 { Ok(()) } else { Err(err) }
            }
        }
    }

    /// It is done: a message that can't be changed is no reason to do it again.
    async fn show_or_tell(&self, click: &Click, said: Said) {
        let text = said.text.clone();
        if let Err(err) = self.show(click, said).await {
            log::warn!("event=slack_click_not_shown button={} error={err:?}", click.button.id());
            let why = format!("is done ({text}), but the message couldn't be changed: {}", err.detail);
            self.tell(click, &why).await;
        }
    }

    /// The alerts actor tells everybody, by an edit of the message.
    async fn acknowledge(&self, click: &Click) -> Result<()> {
        let acknowledge = Acknowledge {
            route: Some(click.target.route.clone()),
            matcher: Matcher::default(),
            until: self.deps.clock.now() + ACKNOWLEDGED,
            by: click.by.clone(),
            note: "by a click in Slack".to_owned(),
        };
        let acknowledged = self.deps.acknowledge.call(acknowledge).await?;
        if acknowledged.is_empty() {
            return Err(Error::new(
                Code::NotFound,
                "nothing fails any more: there is nothing to acknowledge",
            ));
        }
        Ok(())
    }

    async fn silence(&self, click: &Click, hours: u8) -> Result<Said> {
        let now = self.deps.clock.now();
        let until = now + TimeDelta::hours(i64::from(hours));
        let (thread, payload) = self.message(click).await?;
        let tasks = payload.incident.as_ref().map_or(&[][..], |incident| &incident.tasks);
        if tasks.is_empty() || tasks.len() > TASKS {
            return Err(Error::new(
                Code::InvalidRequest,
                format!(
                    "{} tasks fail, and a button silences 1 to {TASKS}: silence them on the page of alerts",
                    tasks.len()
                ),
            ));
        }
        for (nth, task) in tasks.iter().enumerate() {
            let (topic, job) = task.split_once(':').unwrap_or((task, ""));
            let silence = AddSilence {
                now,
                matcher: Matcher { topic: Some(topic.to_owned()), job: Some(job.to_owned()), workflow: None },
                until,
                by: click.by.clone(),
                reason: "by a click in Slack".to_owned(),
            };
            if let Err(err) = self.deps.silence.call(silence).await {
                if nth > 0 {
                    // Those before it hold.
                    self.record(click).await;
                }
                return Err(err);
            }
        }
        let text = format!("silenced by {} until {} UTC", click.by, until.format("%Y-%m-%d %H:%M"));
        Ok(Said { thread, payload, text })
    }

    /// Has the tasks of the incident that failed for good run again, unless they do already.
    async fn rerun(&self, click: &Click) -> Result<Said> {
        let now = self.deps.clock.now();
        let (thread, payload) = self.message(click).await?;
        let mut mint = self.deps.mint.clone();
        let failed = self.failed(click, &payload).await?;
        let tasks: Vec<_> = failed.iter().map(|task| rerun(task, &mut mint, now)).collect();
        let answers = self.deps.rerun.call(RerunTasks { now, tasks }).await?;
        let (all, again) = (answers.len(), answers.iter().filter(|answer| answer.is_ok()).count());
        if let Some(Err(err)) = answers.into_iter().find(|_| again == 0) {
            return Err(err);
        }
        let tasks = if all == 1 { "task runs" } else { "tasks run" };
        let of = if again == all { format!("{all} {tasks}") } else { format!("{again} of {all} {tasks}") };
        Ok(Said { thread, payload, text: format!("{of} again, said {}", click.by) })
    }

    /// What failed for good since shortly before the incident and wasn't run again, oldest first.
    async fn failed(&self, click: &Click, payload: &Payload) -> Result<Vec<Attempt>> {
        let keys: BTreeSet<&str> =
            payload.incident.iter().flat_map(|incident| &incident.tasks).map(String::as_str).collect();
        let filter = TaskFilter::given_up_in(click.target.opened, &keys);
        let mut failed = FindTasks::oldest(filter, RERUN + 1).all_of(&self.deps.tasks).await?;
        if failed.len() > RERUN {
            return Err(Error::new(
                Code::InvalidRequest,
                format!("more than {RERUN} tasks failed: choose which of them by POST /api/v1/tasks/rerun"),
            ));
        }
        failed.retain(|task| keys.contains(line_key(&task.topic, &task.job).as_str()));
        if failed.is_empty() {
            return Err(Error::new(Code::NotFound, "no failed task of this incident is left to run again"));
        }
        Ok(failed)
    }

    /// The incident's message, as it was told last.
    async fn message(&self, click: &Click) -> Result<(SlackThread, Payload)> {
        let read = ReadThreads { route: click.target.route.clone(), opened: click.target.opened };
        let thread = self.deps.threads.call(read).await?.into_iter().next();
        let thread = thread.ok_or_else(|| Error::new(Code::NotFound, "this message is no longer known"))?;
        let payload = serde_json::from_str(&thread.payload)
            .map_err(|err| Error::new(Code::Internal, format!("the message can't be read: {err}")))?;
        Ok((thread, payload))
    }

    /// Says in the message, and in its thread, what was done.
    async fn show(&self, click: &Click, Said { thread, mut payload, text }: Said) -> Result<()> {
        payload.footer =
            if payload.footer.is_empty() { text.clone() } else { format!("{text}; {}", payload.footer) };
        if let Some(incident) = &mut payload.incident {
            incident.details = vec![text];
        }
        let payload = serde_json::to_string(&payload)
            .map_err(|err| Error::new(Code::Internal, format!("the message can't be written: {err}")))?;
        let opened = thread.opened.timestamp_micros();
        let key = format!("click/{}/{opened}/{}", thread.route, click.id);
        let message = NewMessage { route: thread.route, kind: "update".to_owned(), key, payload };
        let now = self.deps.clock.now();
        self.deps.enqueue.call(EnqueueMessage { now, message }).await.map(drop)
    }

    /// Adds it to the trail of what people change. It is done already: where the trail fails, that is only logged.
    async fn record(&self, click: &Click) {
        let opened = click.target.opened.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let change = Change {
            at: self.deps.clock.now(),
            who: click.by.clone(),
            from: "slack".to_owned(),
            action: match click.button {
                Button::Acknowledge => Action::Acknowledge,
                Button::Silence(_) => Action::Silence,
                Button::Rerun => Action::Rerun,
            },
            what: click.button.id().to_owned(),
            detail: format!("{}/{opened}", click.target.route),
            status: 200,
        };
        if let Err(err) = self.deps.record_change.call(RecordChange { change }).await {
            log::error!("event=change_not_recorded error={err:?}");
        }
    }

    /// Tells the person alone what became of the click.
    async fn tell(&self, click: &Click, what: &str) {
        let (Some(line), Some(url)) = (&self.line, &click.response_url) else { return };
        if !line.is_slack(url) {
            return;
        }
        let text = format!("{} {what}", click.button.label());
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let body = json!({"response_type": "ephemeral", "replace_original": false, "text": text});
        if let Err(err) = line.answer(url, &body).await {
            log::warn!("event=slack_click_unanswered error={err:?}");
        }
    }
}

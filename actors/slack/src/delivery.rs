//! The steps of one message's delivery: what is requested of Slack, and what follows from the answer.
//!
//! A bot has one message for each incident. A step of the incident edits it, and then adds what is new to its thread; so
//! a step may be two requests. Its row is done only when both are: after a restart the edit is made again, which
//! changes nothing.

use chrono::{DateTime, Utc};
use flowlord_messages::outbox::{MessageColour, MessagePayload, OutboxRow, RecordDelivery, SlackThread};

use crate::message::{MessageRemarks, MessageStyle, SlackMessage, write_message, write_news};
use crate::transport::{ApiMethod, MessageLocation};

/// What is left of a message of which a part was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RemainingPart {
    /// Its incident's message was edited; what is new is still to be added to the thread.
    ThreadReply(SlackThread),
    /// Its incident's message is gone: it is posted anew.
    PostAnew,
}

/// One request, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DeliveryStep {
    /// There is nothing to do: an edit where nothing can be edited.
    Skip,
    /// A message of its own, which is the incident's from then on.
    Post,
    Edit(SlackThread),
    Reply(SlackThread),
}

impl DeliveryStep {
    /// The first step of a message: `thread` is where its incident's message is, for a bot.
    pub(crate) fn first_step(row: &OutboxRow, thread: Option<SlackThread>) -> Self {
        match thread {
            Some(thread) => Self::Edit(thread),
            // There is nothing to edit, and an update has nothing new to post.
            None if row.kind == "update" => Self::Skip,
            None => Self::Post,
        }
    }

    pub(crate) fn api_method(&self) -> ApiMethod {
        match self {
            Self::Edit(_) => ApiMethod::Update,
            _ => ApiMethod::Post,
        }
    }

    /// Whether doing it twice shows.
    pub(crate) fn shows_twice(&self) -> bool {
        // An edit made again changes nothing.
        matches!(self, Self::Post | Self::Reply(_))
    }

    pub(crate) fn slack_message(
        &self,
        payload: &MessagePayload,
        style: &MessageStyle,
        remarks: MessageRemarks<'_>,
    ) -> SlackMessage {
        match self {
            Self::Skip | Self::Post => write_message(payload, style, remarks),
            Self::Edit(thread) => {
                // An edit can't be there twice.
                let remarks = MessageRemarks { again: false, ..remarks };
                write_message(payload, style, remarks).into_edit_of(&thread.channel, &thread.ts)
            }
            Self::Reply(thread) => write_news(payload, style, remarks).in_thread(&thread.channel, &thread.ts),
        }
    }

    /// What is left to do after this step was taken.
    pub(crate) fn remaining_part(&self, row: &OutboxRow, payload: &MessagePayload) -> Option<RemainingPart> {
        let Self::Edit(thread) = self else { return None };
        let is_silent =
            row.kind == "update" && payload.incident.as_ref().is_none_or(|incident| incident.details.is_empty());
        (!is_silent).then(|| RemainingPart::ThreadReply(thread.clone()))
    }

    /// Where the incident's message is after this step was taken, and what it says.
    pub(crate) fn thread_after(
        &self,
        row: &OutboxRow,
        payload: &MessagePayload,
        via: &str,
        location: &MessageLocation,
    ) -> Option<SlackThread> {
        match self {
            Self::Skip => None,
            Self::Edit(thread) | Self::Reply(thread) => {
                Some(SlackThread { payload: row.payload.clone(), ..thread.clone() })
            }
            Self::Post => payload.incident.as_ref().filter(|_| !location.ts.is_empty()).map(|incident| SlackThread {
                route: row.route.clone(),
                opened: incident.opened,
                via: via.to_owned(),
                channel: location.channel.clone(),
                ts: location.ts.clone(),
                payload: row.payload.clone(),
            }),
        }
    }
}

pub(crate) fn payload_of(row: &OutboxRow) -> MessagePayload {
    serde_json::from_str(&row.payload).unwrap_or_else(|err| {
        // Sent as it stands, so that nothing is lost or waits behind it.
        log::error!("event=message_unreadable id={} error={err:?}", row.id);
        MessagePayload {
            headline: row.kind.clone(),
            lines: row.payload.lines().map(str::to_owned).collect(),
            link: None,
            footer: String::new(),
            colour: MessageColour::Blue,
            incident: None,
        }
    })
}

#[derive(Debug, Clone)]
pub(crate) struct MessageInFlight {
    pub(crate) row: OutboxRow,
    pub(crate) payload: MessagePayload,
    pub(crate) via: String,
    pub(crate) destination: usize,
}

#[derive(Debug, Default)]
pub(crate) struct RouteQueue {
    /// Its message is being delivered: from the first step until it is marked.
    pub(crate) is_sending: bool,
    /// What became of a message, where the database doesn't know yet: nothing else of the route is sent until it
    /// does. While one is on its way that is unknown, and stays so if the actor is restarted meanwhile.
    pub(crate) unmarked: Option<RecordDelivery>,
    /// Nothing is tried before this: the database failed.
    pub(crate) rest_until: Option<DateTime<Utc>>,
    /// The message that Slack can't read as blocks.
    pub(crate) plain: Option<i64>,
    /// What is left of the message with this id, by the destination of this route.
    remaining: Option<(i64, String, RemainingPart)>,
}

impl RouteQueue {
    pub(crate) fn is_idle(&self) -> bool {
        !self.is_sending && self.unmarked.is_none()
    }

    pub(crate) fn rests_at(&self, now: DateTime<Utc>) -> bool {
        self.rest_until.is_some_and(|until| until > now)
    }

    /// What is left of the message, if a part of it was sent by the same route.
    pub(crate) fn remaining_part(&self, message: &MessageInFlight) -> Option<&RemainingPart> {
        let (id, via, part) = self.remaining.as_ref()?;
        (*id == message.row.id && *via == message.via).then_some(part)
    }

    pub(crate) fn set_remaining(&mut self, message: &MessageInFlight, part: Option<RemainingPart>) {
        self.remaining = part.map(|part| (message.row.id, message.via.clone(), part));
    }
}

//! The way of one message: what is asked of Slack for it, and what follows from the answer.
//!
//! A bot has one message for each incident. A step of the incident edits it, and then tells in its thread what is
//! new; so a step may be two requests. Only when both are done is its row done: after a restart the edit is made
//! again, which changes nothing.

use chrono::{DateTime, Utc};
use flowlord_messages::notifier::{Colour, Payload};
use flowlord_messages::outbox::{OutboxRow, SlackThread};

use crate::message::{Remarks, SlackMessage, Style, write, write_news};
use crate::slack::{Method, Spot};

/// How far a route's next message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Its incident's message says it; what is new is still to be told in the thread.
    News(SlackThread),
    /// Its incident's message is gone: it is posted anew.
    Anew,
}

/// One request, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is nothing to do: an edit where nothing can be edited.
    Skip,
    /// A message of its own, which is the incident's from then on.
    Post,
    /// The incident's message says something else.
    Edit(SlackThread),
    /// What is new, into the thread.
    News(SlackThread),
}

impl Step {
    /// The first step of a message: `thread` is where its incident's message is, for a bot.
    pub(crate) fn first(row: &OutboxRow, thread: Option<SlackThread>) -> Self {
        match thread {
            Some(thread) => Self::Edit(thread),
            None if row.kind == "update" => Self::Skip,
            None => Self::Post,
        }
    }

    pub(crate) fn method(&self) -> Method {
        match self {
            Self::Edit(_) => Method::Update,
            _ => Method::Post,
        }
    }

    /// Whether doing it twice shows: an edit made again changes nothing.
    pub(crate) fn shows_twice(&self) -> bool {
        matches!(self, Self::Post | Self::News(_))
    }

    pub(crate) fn message(&self, payload: &Payload, style: &Style, remarks: Remarks<'_>) -> SlackMessage {
        match self {
            Self::Skip | Self::Post => write(payload, style, remarks),
            Self::Edit(thread) => {
                let remarks = Remarks { again: false, ..remarks };
                write(payload, style, remarks).editing(&thread.channel, &thread.ts)
            }
            Self::News(thread) => write_news(payload, style, remarks).in_thread(&thread.channel, &thread.ts),
        }
    }

    /// What is left to do after this step was taken.
    pub(crate) fn rest(&self, row: &OutboxRow, payload: &Payload) -> Option<Part> {
        let Self::Edit(thread) = self else { return None };
        let silent = row.kind == "update"
            && payload.incident.as_ref().is_none_or(|incident| incident.details.is_empty());
        (!silent).then(|| Part::News(thread.clone()))
    }

    /// Where the incident's message is after this step was taken, and what it says.
    pub(crate) fn thread(
        &self,
        row: &OutboxRow,
        payload: &Payload,
        via: &str,
        spot: &Spot,
    ) -> Option<SlackThread> {
        match self {
            Self::Skip => None,
            Self::Edit(thread) | Self::News(thread) => {
                Some(SlackThread { payload: row.payload.clone(), ..thread.clone() })
            }
            Self::Post => {
                payload.incident.as_ref().filter(|_| !spot.ts.is_empty()).map(|incident| SlackThread {
                    route: row.route.clone(),
                    opened: incident.opened,
                    via: via.to_owned(),
                    channel: spot.channel.clone(),
                    ts: spot.ts.clone(),
                    payload: row.payload.clone(),
                })
            }
        }
    }
}

/// What a row says; as it stands where that can't be read, so that nothing is lost and nothing waits behind it.
pub(crate) fn payload_of(row: &OutboxRow) -> Payload {
    serde_json::from_str(&row.payload).unwrap_or_else(|err| {
        log::error!("event=message_unreadable id={} error={err:?}", row.id);
        Payload {
            headline: row.kind.clone(),
            lines: row.payload.lines().map(str::to_owned).collect(),
            link: None,
            footer: String::new(),
            colour: Colour::Blue,
            incident: None,
        }
    })
}

/// A message on its way.
#[derive(Debug, Clone)]
pub(crate) struct Travel {
    pub(crate) row: OutboxRow,
    pub(crate) payload: Payload,
    pub(crate) via: String,
    pub(crate) place: usize,
}

/// What a route's actor remembers of its next message.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// Its message is on its way, from being planned to being marked.
    pub(crate) sending: bool,
    /// What became of a message, where the database doesn't know yet: nothing else of the route is sent until it
    /// does. While one is on its way that is unknown, and stays so if the actor is restarted meanwhile.
    pub(crate) unmarked: Option<flowlord_messages::outbox::MarkNotified>,
    /// Nothing is tried before this: the database failed.
    pub(crate) rest_until: Option<DateTime<Utc>>,
    /// The message that Slack can't read as blocks.
    pub(crate) plain: Option<i64>,
    /// How far the message with this id is, by the way of this route.
    part: Option<(i64, String, Part)>,
}

impl Lane {
    pub(crate) fn is_idle(&self) -> bool {
        !self.sending && self.unmarked.is_none()
    }

    /// Where the message is, if it got somewhere by the same way.
    pub(crate) fn part(&self, travel: &Travel) -> Option<&Part> {
        let (id, via, part) = self.part.as_ref()?;
        (*id == travel.row.id && *via == travel.via).then_some(part)
    }

    pub(crate) fn go_on(&mut self, travel: &Travel, part: Option<Part>) {
        self.part = part.map(|part| (travel.row.id, travel.via.clone(), part));
    }
}

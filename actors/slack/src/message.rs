//! A payload as Slack wants it: one attachment with a colour, whose content is Block Kit, with plain text for
//! where that isn't shown.

#[cfg(test)]
mod tests;
mod text;

use flowlord_messages::outbox::{IncidentRef, IncidentStage, MessageColour, MessagePayload};
use serde::Serialize;
use slack_morphism::prelude::*;
use url::Url;

use crate::click::{IncidentButton, IncidentTarget};
use text::{chunk_lines, cut_unescaped, escape_text, is_link, more_lines, shorten_escaped};

// Slack's bound for a header.
const MAX_HEADER_CHARS: usize = 150;

const MAX_HEADLINE_CHARS: usize = 1_000;

const MAX_FOOTER_CHARS: usize = 500;
const MAX_NAME_CHARS: usize = 100;

const SENT_AGAIN: &str = "(sent again: it is unknown whether the first one arrived)";

/// A message to a webhook or to the Web API.
#[derive(Debug, Clone, Serialize)]
pub struct SlackMessage {
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    /// The message that is edited.
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<String>,
    /// The message in whose thread it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_ts: Option<String>,
    #[serde(flatten)]
    content: SlackMessageContent,
}

impl SlackMessage {
    pub(crate) fn into_edit_of(mut self, channel: &str, ts: &str) -> Self {
        (self.channel, self.ts) = (Some(channel.to_owned()), Some(ts.to_owned()));
        self
    }

    pub(crate) fn in_thread(mut self, channel: &str, ts: &str) -> Self {
        (self.channel, self.thread_ts) = (Some(channel.to_owned()), Some(ts.to_owned()));
        self
    }
}

/// How every message of this service begins.
#[derive(Debug, Clone, Default)]
pub struct MessageStyle {
    /// The channel, where the address doesn't say it.
    pub channel: Option<String>,
    /// Written before the headline.
    pub prefix: String,
    pub title: String,
    /// The address of the service, for links that are paths of it.
    pub public_url: String,
}

/// What a message says beside its payload.
#[derive(Debug, Clone, Copy, Default)]
pub struct MessageRemarks<'a> {
    /// An earlier attempt may have arrived.
    pub again: bool,
    /// The route that it should have gone by, which is down.
    pub instead_of: Option<&'a str>,
    /// The incident's route, where a click on a button is heard.
    pub buttons: Option<&'a str>,
    /// As text alone, for a Slack that can't read the other form.
    pub plain: bool,
}

pub fn write_message(payload: &MessagePayload, style: &MessageStyle, remarks: MessageRemarks<'_>) -> SlackMessage {
    MessageWriter { payload, style, remarks, lines: &payload.lines }.write_all()
}

/// Writes what is new, for the thread of the message that says how all stands.
pub(crate) fn write_news(payload: &MessagePayload, style: &MessageStyle, remarks: MessageRemarks<'_>) -> SlackMessage {
    let lines = payload.incident.as_ref().map_or(&[][..], |incident| &incident.details);
    let style = MessageStyle { title: String::new(), ..style.clone() };
    let payload = MessagePayload { link: None, footer: String::new(), incident: None, ..payload.clone() };
    MessageWriter { payload: &payload, style: &style, remarks: MessageRemarks { buttons: None, ..remarks }, lines }
        .write_all()
}

struct MessageWriter<'a> {
    payload: &'a MessagePayload,
    style: &'a MessageStyle,
    remarks: MessageRemarks<'a>,
    lines: &'a [String],
}

impl MessageWriter<'_> {
    fn write_all(&self) -> SlackMessage {
        let content = if self.remarks.plain {
            SlackMessageContent::new().with_text(escape_text(&self.plain_text()))
        } else {
            SlackMessageContent::new().with_attachments(vec![self.write_attachment()])
        };
        SlackMessage { channel: self.style.channel.clone(), ts: None, thread_ts: None, content }
    }

    fn write_attachment(&self) -> SlackMessageAttachment {
        let (chunks, left_out) = chunk_lines(self.lines);
        let mut blocks = Vec::new();
        if !self.style.title.trim().is_empty() {
            let title: SlackBlockPlainTextOnly = cut_unescaped(&self.style.title, MAX_HEADER_CHARS).into();
            blocks.push(SlackBlock::Header(SlackHeaderBlock::new(title)));
        }
        blocks.push(section_block(bold_headline(&self.full_headline())));
        blocks.extend(chunks.iter().map(|chunk| section_block(format!("```{}```", escape_text(&chunk.text)))));
        let buttons = self.action_elements();
        let link = self.full_link().map(|link| match is_link(&link) {
            true => format!("<{}|see {}>", escape_text(&link), link_target(&link)),
            false => escape_text(&shorten_escaped(&link, MAX_FOOTER_CHARS)),
        });
        let notes = self.context_notes(left_out, link, &escape_text);
        if !notes.is_empty() {
            blocks.push(context_block(&notes.join("\n")));
        }
        if !buttons.is_empty() {
            blocks.push(SlackBlock::Actions(SlackActionsBlock::new(buttons)));
        }
        SlackMessageAttachment::new()
            .with_color(hex_colour(self.current_colour()).to_owned())
            .with_fallback(self.plain_text())
            .with_blocks(blocks)
    }

    fn full_headline(&self) -> String {
        let prefix = if self.style.prefix.is_empty() { String::new() } else { format!("[{}] ", self.style.prefix) };
        let headline = shorten_escaped(&format!("{prefix}{}", self.payload.headline), MAX_HEADLINE_CHARS);
        // Slack refuses an empty text.
        if headline.trim().is_empty() { "(no headline)".to_owned() } else { headline }
    }

    fn full_link(&self) -> Option<String> {
        let link = self.payload.link.as_ref()?;
        let base = if link.starts_with('/') { self.style.public_url.trim_end_matches('/') } else { "" };
        Some(format!("{base}{link}"))
    }

    fn current_colour(&self) -> MessageColour {
        match self.payload.incident.as_ref().map(|incident| incident.stage) {
            None => self.payload.colour,
            Some(IncidentStage::Escalating | IncidentStage::Steady) => MessageColour::Red,
            Some(IncidentStage::Easing) => MessageColour::Yellow,
            Some(IncidentStage::Clear) => MessageColour::Green,
        }
    }

    fn context_notes(&self, left_out: usize, link: Option<String>, escape: &dyn Fn(&str) -> String) -> Vec<String> {
        let mut notes: Vec<String> = more_lines(left_out).into_iter().collect();
        if let Some(incident) = &self.payload.incident {
            notes.extend(stage_text(incident).map(|stage| escape(&stage)));
            if let Some(by) = &incident.acknowledged_by {
                notes.push(escape(&format!("acknowledged by {}", shorten_escaped(by, MAX_NAME_CHARS))));
            }
        }
        notes.extend(link);
        if !self.payload.footer.trim().is_empty() {
            notes.push(escape(&shorten_escaped(&self.payload.footer, MAX_FOOTER_CHARS)));
        }
        if let Some(route) = self.remarks.instead_of {
            notes.push(escape(&format!(
                "(sent here: the destination of route {} fails)",
                shorten_escaped(route, MAX_NAME_CHARS)
            )));
        }
        if self.remarks.again {
            notes.push(SENT_AGAIN.to_owned());
        }
        notes
    }

    fn plain_text(&self) -> String {
        let (chunks, _) = chunk_lines(self.lines);
        let shown = chunks.first();
        let left_out = self.lines.len() - shown.map_or(0, |chunk| chunk.lines);
        let link = self
            .full_link()
            .map(|link| format!("see {} at {}", link_target(&link), shorten_escaped(&link, MAX_HEADLINE_CHARS)));
        let mut all = vec![self.full_headline()];
        all.extend(shown.map(|chunk| chunk.text.clone()));
        all.extend(self.context_notes(left_out, link, &str::to_owned));
        all.join("\n")
    }

    /// What people can do: once it is over, only open the report.
    fn action_elements(&self) -> Vec<SlackActionBlockElement> {
        let (Some(route), Some(incident)) = (self.remarks.buttons, &self.payload.incident) else {
            return Vec::new();
        };
        let target = IncidentTarget { route: route.to_owned(), opened: incident.opened };
        let acknowledged = incident.acknowledged_by.is_some();
        let open = incident.stage != IncidentStage::Clear;
        let shown = IncidentButton::ALL
            .into_iter()
            .filter(|button| open && !(acknowledged && *button == IncidentButton::Acknowledge));
        let value = target.to_json();
        let mut buttons: Vec<_> = shown.map(|button| action_button(button, &value)).collect();
        let link = self.full_link().filter(|link| is_link(link));
        buttons.extend(link.and_then(|link| Url::parse(&link).ok()).map(open_button));
        buttons.into_iter().map(SlackActionBlockElement::Button).collect()
    }
}

/// What people find behind a link.
fn link_target(link: &str) -> &'static str {
    if link.ends_with("#log") { "log" } else { "report" }
}

fn action_button(button: IncidentButton, value: &str) -> SlackBlockButtonElement {
    let element = SlackBlockButtonElement::new(button.label().into())
        .with_action_id(SlackActionId(button.action_id().to_owned()))
        .with_value(value.to_owned());
    if button == IncidentButton::Acknowledge { element.with_style(SlackBlockButtonStyle::Primary) } else { element }
}

fn open_button(link: Url) -> SlackBlockButtonElement {
    SlackBlockButtonElement::new("Open".into()).with_action_id(SlackActionId("open".to_owned())).with_url(link)
}

/// The stage of an open incident, in words for those who see no colours. The all-clear's headline says it.
fn stage_text(incident: &IncidentRef) -> Option<String> {
    let word = match incident.stage {
        IncidentStage::Escalating => "escalating",
        IncidentStage::Steady => "steady",
        IncidentStage::Easing => "easing",
        IncidentStage::Clear => return None,
    };
    let since = incident.opened.format("%H:%M");
    Some(format!("{word}: {} since {since} UTC", count_of_alerts(incident.alerts)))
}

fn count_of_alerts(count: u64) -> String {
    if count == 1 { "1 alert".to_owned() } else { format!("{count} alerts") }
}

/// The first line in bold, where that has no characters of its own for it.
fn bold_headline(headline: &str) -> String {
    let (first, rest) = headline.split_once('\n').unwrap_or((headline, ""));
    let first = first.trim();
    let first =
        if first.is_empty() || first.contains('*') { escape_text(first) } else { format!("*{}*", escape_text(first)) };
    format!("{first}\n{}", escape_text(rest)).trim_end().to_owned()
}

fn section_block(text: String) -> SlackBlock {
    let text = SlackBlockText::MarkDown(SlackBlockMarkDownText::new(text));
    SlackBlock::Section(SlackSectionBlock::new().with_text(text))
}

fn context_block(text: &str) -> SlackBlock {
    let text = SlackBlockMarkDownText::new(text.to_owned());
    SlackBlock::Context(SlackContextBlock::new(vec![SlackContextBlockElement::MarkDown(text)]))
}

fn hex_colour(colour: MessageColour) -> &'static str {
    match colour {
        MessageColour::Green => "#00FF00",
        MessageColour::Blue => "#2210FF",
        MessageColour::Yellow => "#FFFF00",
        MessageColour::Red => "#FF0000",
    }
}

//! A payload as Slack wants it: one attachment with a colour, whose content is Block Kit, with plain text for
//! where that isn't shown.

use flowlord_messages::notifier::{Colour, Payload};
use serde::Serialize;
use slack_morphism::prelude::*;

/// A section's text holds 3,000 characters; the fence takes some.
const SECTION: usize = 2_900;

/// Sections of lines in a message; Slack takes 50 blocks.
const SECTIONS: usize = 20;

/// Characters of a headline.
const HEADLINE: usize = 1_000;

/// A message to a webhook or, with a channel, to `chat.postMessage`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SlackMessage {
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(flatten)]
    content: SlackMessageContent,
}

/// How every message of this service begins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Style {
    pub(crate) channel: Option<String>,
    pub(crate) prefix: String,
    pub(crate) title: String,
}

/// Writes a message. `again` says that an earlier attempt may have arrived.
pub(crate) fn write(payload: &Payload, style: &Style, again: bool) -> SlackMessage {
    let prefix = if style.prefix.is_empty() { String::new() } else { format!("[{}] ", style.prefix) };
    let headline = shorten(&format!("{prefix}{}", payload.headline), HEADLINE);
    let (chunks, left_out) = chunks(&payload.lines);
    let mut blocks = vec![section(format!("*{}*", escape(&headline)))];
    blocks.extend(chunks.iter().map(|chunk| section(format!("```{}```", escape(chunk)))));
    let notes = notes(payload, left_out, again);
    if !notes.is_empty() {
        blocks.push(context(&notes.join("\n")));
    }
    let fallback = fallback(&headline, payload, &notes);
    let attachment = SlackMessageAttachment::new()
        .with_color(colour(payload.colour).to_owned())
        .with_fallback(fallback)
        .with_blocks(blocks);
    let content = SlackMessageContent::new().with_attachments(vec![attachment]);
    let username = Some(style.title.clone()).filter(|title| !title.is_empty());
    SlackMessage { channel: style.channel.clone(), username, content }
}

fn notes(payload: &Payload, left_out: usize, again: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if left_out > 0 {
        notes.push(format!("… and {left_out} more lines"));
    }
    notes.extend(payload.link.as_ref().map(|link| format!("<{}|see report>", escape(link))));
    if !payload.footer.is_empty() {
        notes.push(escape(&payload.footer));
    }
    if again {
        notes.push("(sent again: it is unknown whether the first one arrived)".to_owned());
    }
    notes
}

fn fallback(headline: &str, payload: &Payload, notes: &[String]) -> String {
    let lines = payload.lines.iter().map(String::as_str);
    let all: Vec<_> =
        std::iter::once(headline).chain(lines).chain(notes.iter().map(String::as_str)).collect();
    shorten(&all.join("\n"), SECTION)
}

/// Lines in as many sections as fit, and how many are left out.
fn chunks(lines: &[String]) -> (Vec<String>, usize) {
    let mut chunks: Vec<String> = Vec::new();
    for (done, line) in lines.iter().enumerate() {
        let line = shorten(line, SECTION);
        // An escaped character counts as what it becomes.
        let fits = |chunk: &String| escape(chunk).chars().count() + escape(&line).chars().count() < SECTION;
        if let Some(chunk) = chunks.last_mut().filter(|chunk| fits(chunk)) {
            chunk.push('\n');
            chunk.push_str(&line);
        } else if chunks.len() == SECTIONS {
            return (chunks, lines.len() - done);
        } else {
            chunks.push(line);
        }
    }
    (chunks, 0)
}

fn shorten(text: &str, limit: usize) -> String {
    if escape(text).chars().count() <= limit {
        return text.to_owned();
    }
    // Five characters is the longest that one becomes.
    let kept: String = text.chars().take(limit / 5).collect();
    format!("{kept}…")
}

/// The three characters that Slack's text gives a meaning.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn section(text: String) -> SlackBlock {
    let text = SlackBlockText::MarkDown(SlackBlockMarkDownText::new(text));
    SlackBlock::Section(SlackSectionBlock::new().with_text(text))
}

fn context(text: &str) -> SlackBlock {
    let text = SlackBlockMarkDownText::new(text.to_owned());
    SlackBlock::Context(SlackContextBlock::new(vec![SlackContextBlockElement::MarkDown(text)]))
}

fn colour(colour: Colour) -> &'static str {
    match colour {
        Colour::Green => "#00FF00",
        Colour::Blue => "#0000FF",
        Colour::Yellow => "#FFFF00",
        Colour::Red => "#FF0000",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn payload(lines: Vec<String>) -> Payload {
        Payload {
            headline: "3 alerts in 1 task".to_owned(),
            lines,
            link: Some("http://flow/web/alert?date=2026-03-02".to_owned()),
            footer: "next update at 12:10 UTC".to_owned(),
            colour: Colour::Red,
        }
    }

    fn written(payload: &Payload, style: &Style, again: bool) -> Value {
        serde_json::to_value(write(payload, style, again)).unwrap()
    }

    #[test]
    fn a_message_is_an_attachment_of_blocks_with_plain_text_beside() {
        let style = Style {
            channel: Some("#ops".to_owned()),
            prefix: "prod".to_owned(),
            title: "Flowlord".to_owned(),
        };
        let message = written(&payload(vec!["a:j: 3 <x> & y".to_owned()]), &style, true);
        assert_eq!((&message["channel"], &message["username"]), (&json!("#ops"), &json!("Flowlord")));
        let attachment = &message["attachments"][0];
        assert_eq!(attachment["color"], "#FF0000");
        assert_eq!(attachment["blocks"][0]["text"]["text"], "*[prod] 3 alerts in 1 task*");
        assert_eq!(attachment["blocks"][1]["text"]["text"], "```a:j: 3 &lt;x&gt; &amp; y```");
        let notes = attachment["blocks"][2]["elements"][0]["text"].as_str().unwrap();
        assert!(notes.contains("see report") && notes.contains("sent again"), "{notes}");
        assert!(attachment["fallback"].as_str().unwrap().contains("a:j: 3 <x> & y"));
    }

    #[test]
    fn what_is_too_much_for_slack_is_left_out_and_said() {
        let lines: Vec<_> = (0..2_000).map(|n| format!("{n}: {}", "&".repeat(50))).collect();
        let message = written(&payload(lines), &Style::default(), false);
        let blocks = message["attachments"][0]["blocks"].as_array().unwrap();
        assert!(blocks.len() <= 50);
        let texts: Vec<_> = blocks.iter().filter_map(|block| block["text"]["text"].as_str()).collect();
        assert!(texts.iter().all(|text| text.chars().count() <= 3_000));
        let shown = texts[1..].iter().map(|text| text.lines().count()).sum::<usize>();
        let notes = blocks.last().unwrap()["elements"][0]["text"].as_str().unwrap();
        assert!(notes.starts_with(&format!("… and {} more lines", 2_000 - shown)), "{notes}");
    }
}

//! A payload as Slack wants it: one attachment with a colour, whose content is Block Kit, with plain text for
//! where that isn't shown.

use flowlord_messages::notifier::{Colour, Payload};
use serde::Serialize;
use slack_morphism::prelude::*;

/// A section's text holds 3,000 characters; the fence takes some.
const SECTION: usize = 2_900;

/// Sections of lines in a message. Slack takes 50 blocks, but not of this size: about 13,000 characters in all.
const SECTIONS: usize = 3;

/// A header holds 150 characters.
const HEADER: usize = 150;

/// Characters of a headline, and of a footer.
const HEADLINE: usize = 1_000;

/// What is said of a message that may have arrived before.
const AGAIN: &str = "(sent again: it is unknown whether the first one arrived)";

/// A message to a webhook or, with a channel, to `chat.postMessage`.
#[derive(Debug, Clone, Serialize)]
pub struct SlackMessage {
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    #[serde(flatten)]
    content: SlackMessageContent,
}

/// How every message of this service begins.
#[derive(Debug, Clone, Default)]
pub struct Style {
    /// The channel, where the address doesn't say it.
    pub channel: Option<String>,
    /// Written before the headline.
    pub prefix: String,
    /// Written above it.
    pub title: String,
}

/// Writes a message. `again` says that an earlier attempt may have arrived.
#[must_use]
pub fn write(payload: &Payload, style: &Style, again: bool) -> SlackMessage {
    let (chunks, left_out) = chunks(&payload.lines);
    let mut blocks = Vec::new();
    if !style.title.is_empty() {
        let title: SlackBlockPlainTextOnly = clip(&style.title, HEADER, |_| 1).into();
        blocks.push(SlackBlock::Header(SlackHeaderBlock::new(title)));
    }
    blocks.push(section(bold(&headline(payload, style))));
    blocks.extend(chunks.iter().map(|chunk| section(format!("```{}```", escape(&chunk.text)))));
    let link = payload.link.as_ref().map(|link| format!("<{}|see report>", escape(link)));
    let notes = notes(left_out, link, &escape(&shorten(&payload.footer, HEADLINE)), again);
    if !notes.is_empty() {
        blocks.push(context(&notes.join("\n")));
    }
    let attachment = SlackMessageAttachment::new()
        .with_color(colour(payload.colour).to_owned())
        .with_fallback(plain_text(payload, style, again))
        .with_blocks(blocks);
    let content = SlackMessageContent::new().with_attachments(vec![attachment]);
    SlackMessage { channel: style.channel.clone(), content }
}

/// Writes a message as text alone, for a Slack that can't read the other form.
pub(crate) fn write_plain(payload: &Payload, style: &Style, again: bool) -> SlackMessage {
    let text = escape(&plain_text(payload, style, again));
    SlackMessage { channel: style.channel.clone(), content: SlackMessageContent::new().with_text(text) }
}

fn headline(payload: &Payload, style: &Style) -> String {
    let prefix = if style.prefix.is_empty() { String::new() } else { format!("[{}] ", style.prefix) };
    shorten(&format!("{prefix}{}", payload.headline), HEADLINE)
}

/// The first line in bold, where that has no characters of its own for it.
fn bold(headline: &str) -> String {
    let (first, rest) = headline.split_once('\n').unwrap_or((headline, ""));
    let first = first.trim();
    let first =
        if first.is_empty() || first.contains('*') { escape(first) } else { format!("*{}*", escape(first)) };
    format!("{first}\n{}", escape(rest)).trim_end().to_owned()
}

fn notes(left_out: usize, link: Option<String>, footer: &str, again: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if left_out > 0 {
        notes.push(format!("… and {left_out} more line{}", if left_out == 1 { "" } else { "s" }));
    }
    notes.extend(link);
    if !footer.is_empty() {
        notes.push(footer.to_owned());
    }
    if again {
        notes.push(AGAIN.to_owned());
    }
    notes
}

fn plain_text(payload: &Payload, style: &Style, again: bool) -> String {
    let (chunks, _) = chunks(&payload.lines);
    let shown = chunks.first();
    let left_out = payload.lines.len() - shown.map_or(0, |chunk| chunk.lines);
    let link = payload.link.as_ref().map(|link| format!("see report at {link}"));
    let mut all = vec![headline(payload, style)];
    all.extend(shown.map(|chunk| chunk.text.clone()));
    all.extend(notes(left_out, link, &payload.footer, again));
    all.join("\n")
}

/// Lines that go into one section.
#[derive(Debug, Default)]
struct Chunk {
    text: String,
    lines: usize,
    /// Characters once it is escaped, with a line end after each line.
    size: usize,
}

impl Chunk {
    fn push(&mut self, line: &str, size: usize) {
        if self.lines > 0 {
            self.text.push('\n');
        }
        self.text.push_str(line);
        self.lines += 1;
        self.size += size;
    }
}

/// Lines in as many sections as fit, and how many are left out.
fn chunks(lines: &[String]) -> (Vec<Chunk>, usize) {
    let mut chunks: Vec<Chunk> = Vec::new();
    for (done, line) in lines.iter().enumerate() {
        // A fence within would end the one around it, and a line end would make two lines of one.
        let line = shorten(&line.replace("```", "'''").replace(['\r', '\n'], " "), SECTION - 1);
        let size = escape(&line).chars().count() + 1;
        if chunks.last().is_none_or(|chunk| chunk.size + size > SECTION) {
            if chunks.len() == SECTIONS {
                return (chunks, lines.len() - done);
            }
            chunks.push(Chunk::default());
        }
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(&line, size);
        }
    }
    (chunks, 0)
}

/// The text, or its beginning and an ellipsis, so that escaped it has at most `limit` characters.
fn shorten(text: &str, limit: usize) -> String {
    clip(text, limit, |c| match c {
        '&' => 5,
        '<' | '>' => 4,
        _ => 1,
    })
}

fn clip(text: &str, limit: usize, size: impl Fn(char) -> usize) -> String {
    if text.chars().map(&size).sum::<usize>() <= limit {
        return text.to_owned();
    }
    let mut left = limit - 1;
    let kept = text.chars().take_while(|c| {
        let fits = size(*c) <= left;
        left = left.saturating_sub(size(*c));
        fits
    });
    format!("{}…", kept.collect::<String>())
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
            incident: None,
        }
    }

    fn written(payload: &Payload, style: &Style, again: bool) -> Value {
        serde_json::to_value(write(payload, style, again)).unwrap()
    }

    fn style() -> Style {
        Style { channel: Some("#ops".to_owned()), prefix: "prod".to_owned(), title: "Flowlord".to_owned() }
    }

    #[test]
    fn a_message_is_an_attachment_of_blocks_with_plain_text_beside() {
        let message = written(&payload(vec!["a:j: 3 <x> & y".to_owned()]), &style(), true);
        let fallback = "[prod] 3 alerts in 1 task\na:j: 3 <x> & y\n\
             see report at http://flow/web/alert?date=2026-03-02\nnext update at 12:10 UTC\n\
             (sent again: it is unknown whether the first one arrived)";
        let notes = "<http://flow/web/alert?date=2026-03-02|see report>\nnext update at 12:10 UTC\n\
             (sent again: it is unknown whether the first one arrived)";
        let mrkdwn = |text: &str| json!({"type": "mrkdwn", "text": text});
        let blocks = json!([
            {"type": "header", "text": {"type": "plain_text", "text": "Flowlord"}},
            {"type": "section", "text": mrkdwn("*[prod] 3 alerts in 1 task*")},
            {"type": "section", "text": mrkdwn("```a:j: 3 &lt;x&gt; &amp; y```")},
            {"type": "context", "elements": [mrkdwn(notes)]},
        ]);
        let attachment = json!({"color": "#FF0000", "fallback": fallback, "blocks": blocks});
        assert_eq!(message, json!({"channel": "#ops", "attachments": [attachment]}));
    }

    #[test]
    fn a_message_can_be_text_alone() {
        let message = write_plain(&payload(vec!["<a>".to_owned()]), &style(), false);
        let text = "[prod] 3 alerts in 1 task\n&lt;a&gt;\n\
             see report at http://flow/web/alert?date=2026-03-02\nnext update at 12:10 UTC";
        assert_eq!(serde_json::to_value(message).unwrap(), json!({"channel": "#ops", "text": text}));
    }

    #[test]
    fn what_is_too_much_for_slack_is_left_out_and_said() {
        for count in [70, 71, 500, 2_000] {
            let lines: Vec<_> = (0..count).map(|n| format!("{n}: {}", "&".repeat(20))).collect();
            let message = written(&payload(lines), &Style::default(), false);
            let blocks = message["attachments"][0]["blocks"].as_array().unwrap();
            let texts: Vec<_> = blocks.iter().filter_map(|block| block["text"]["text"].as_str()).collect();
            assert!(texts.iter().all(|text| text.chars().count() <= 3_000));
            assert!(texts.concat().chars().count() <= 12_000);
            let shown = texts[1..].iter().map(|text| text.lines().count()).sum::<usize>();
            let notes = blocks.last().unwrap()["elements"][0]["text"].as_str().unwrap();
            let left_out = match count - shown {
                0 => "<http".to_owned(),
                1 => "… and 1 more line\n".to_owned(),
                left_out => format!("… and {left_out} more lines\n"),
            };
            assert!(notes.starts_with(&left_out), "{left_out}: {notes}");
        }
    }

    #[test]
    fn long_titles_headlines_and_lines_are_shortened_and_markup_stays_text() {
        let mut payload = payload(vec!["x".repeat(5_000), "a ``` b\nc".to_owned()]);
        payload.headline = format!("first *line*\n{}", "<".repeat(2_000));
        let style = Style { title: "t".repeat(200), ..Style::default() };
        let message = written(&payload, &style, false);
        let blocks = message["attachments"][0]["blocks"].as_array().unwrap();
        let text = |nth: usize| blocks[nth]["text"]["text"].as_str().unwrap();
        assert_eq!((text(0).chars().count(), text(0).ends_with("t…")), (150, true));
        assert!(text(1).starts_with("first *line*\n&lt;") && text(1).ends_with("&lt;…"), "{}", text(1));
        assert!((990..=1_000).contains(&text(1).chars().count()));
        assert_eq!(text(2).chars().count(), 2_899 + 6);
        assert_eq!(text(3), "```a ''' b c```");
    }
}

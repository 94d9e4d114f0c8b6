//! Slack's published limits on a message, so that what Slack would refuse fails a test.
//!
//! Lengths are counted in UTF-16 units, which is never less than what Slack counts. A block of a type that isn't
//! known here is refused too: whoever needs it adds its limits.

use std::collections::BTreeSet;

use serde_json::Value;

/// Blocks in a message, and in an attachment.
const BLOCKS: usize = 50;
const ATTACHMENTS: usize = 100;
/// A message's text; Slack cuts off what is longer.
const TEXT: usize = 40_000;
const HEADER: usize = 150;
const SECTION: usize = 3_000;
const FIELDS: usize = 10;
const FIELD: usize = 2_000;
const CONTEXT: usize = 10;
const ACTIONS: usize = 25;
const BUTTON: usize = 75;
const VALUE: usize = 2_000;
const ID: usize = 255;
const URL: usize = 3_000;
/// Published nowhere, found by many: all blocks of an attachment together (`msg_blocks_too_long`).
const ALL: usize = 13_000;

/// What Slack would refuse of a message to a webhook, `chat.postMessage` or `chat.update`; nothing when all is well.
#[must_use]
pub fn problems(message: &Value) -> Vec<String> {
    let mut check = Check::default();
    check.message(message);
    check.problems
}

#[derive(Debug, Default)]
struct Check {
    problems: Vec<String>,
    /// Ids of blocks and of actions, each unique in a message.
    block_ids: BTreeSet<String>,
    action_ids: BTreeSet<String>,
}

fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

impl Check {
    fn say(&mut self, at: &str, what: impl std::fmt::Display) {
        self.problems.push(format!("{at}: {what}"));
    }

    fn message(&mut self, message: &Value) {
        let (blocks, attachments) = (list(&message["blocks"]), list(&message["attachments"]));
        let text = message["text"].as_str().unwrap_or_default();
        if blocks.is_empty() && attachments.is_empty() && text.trim().is_empty() {
            self.say("message", "no_text");
        }
        if length(text) > TEXT {
            self.say("text", format_args!("more than {TEXT} characters"));
        }
        self.markup("text", text);
        self.blocks("blocks", blocks);
        if attachments.len() > ATTACHMENTS {
            self.say("attachments", format_args!("more than {ATTACHMENTS}"));
        }
        for (nth, attachment) in attachments.iter().enumerate() {
            self.attachment(&format!("attachments[{nth}]"), attachment);
        }
    }

    fn attachment(&mut self, at: &str, attachment: &Value) {
        let colour = attachment["color"].as_str().unwrap_or("#000000");
        let hex = colour
            .strip_prefix('#')
            .is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        if !hex && !["good", "warning", "danger"].contains(&colour) {
            self.say(at, format_args!("no colour: {colour:?}"));
        }
        // It is what a notification shows, and where blocks aren't shown all there is.
        if attachment["fallback"].as_str().is_none_or(|fallback| fallback.trim().is_empty()) {
            self.say(at, "no fallback");
        }
        if attachment["fallback"].as_str().is_some_and(|fallback| length(fallback) > TEXT) {
            self.say(at, format_args!("a fallback of more than {TEXT} characters"));
        }
        let blocks = list(&attachment["blocks"]);
        if blocks.is_empty() && attachment["text"].as_str().is_none_or(|text| text.trim().is_empty()) {
            self.say(at, "neither blocks nor text");
        }
        self.blocks(&format!("{at}.blocks"), blocks);
    }

    fn blocks(&mut self, at: &str, blocks: &[Value]) {
        if blocks.len() > BLOCKS {
            self.say(at, format_args!("more than {BLOCKS}"));
        }
        for (nth, block) in blocks.iter().enumerate() {
            self.block(&format!("{at}[{nth}]"), block);
        }
        if blocks.iter().map(texts).sum::<usize>() > ALL {
            self.say(at, "msg_blocks_too_long");
        }
    }

    fn block(&mut self, at: &str, block: &Value) {
        let id = &block["block_id"];
        self.unique(at, "block_id", id, |check| &mut check.block_ids);
        match block["type"].as_str() {
            Some("header") => self.text(at, &block["text"], HEADER, Some("plain_text")),
            Some("section") => self.section(at, block),
            Some("context") => {
                self.count(at, "elements", &block["elements"], CONTEXT);
                for element in list(&block["elements"]) {
                    match element["type"].as_str() {
                        Some("image") => self.image(at, element),
                        _ => self.text(at, element, SECTION, None),
                    }
                }
            }
            Some("actions") => {
                self.count(at, "elements", &block["elements"], ACTIONS);
                for element in list(&block["elements"]) {
                    self.button(at, element);
                }
            }
            Some("divider") => {}
            Some("image") => self.image(at, block),
            other => self.say(at, format_args!("unknown block: {other:?}")),
        }
    }

    fn section(&mut self, at: &str, section: &Value) {
        let fields = list(&section["fields"]);
        if fields.is_empty() || section.get("text").is_some() {
            self.text(at, &section["text"], SECTION, None);
        }
        if section.get("fields").is_some() {
            self.count(at, "fields", &section["fields"], FIELDS);
        }
        for field in fields {
            self.text(at, field, FIELD, None);
        }
        if let Some(accessory) = section.get("accessory") {
            match accessory["type"].as_str() {
                Some("image") => self.image(at, accessory),
                _ => self.button(at, accessory),
            }
        }
    }

    fn image(&mut self, at: &str, image: &Value) {
        let address = image["image_url"].as_str().unwrap_or_default();
        if !address.starts_with("http") || length(address) > URL {
            self.say(at, "no image_url");
        }
        if image["alt_text"].as_str().is_none_or(|text| text.is_empty() || length(text) > VALUE) {
            self.say(at, "no alt_text");
        }
    }

    fn button(&mut self, at: &str, button: &Value) {
        if button["type"] != "button" {
            return self.say(at, format_args!("unknown element: {}", button["type"]));
        }
        self.text(at, &button["text"], BUTTON, Some("plain_text"));
        if button["action_id"].as_str().is_none_or(str::is_empty) {
            self.say(at, "no action_id");
        }
        self.unique(at, "action_id", &button["action_id"], |check| &mut check.action_ids);
        if button["value"].as_str().is_some_and(|value| length(value) > VALUE) {
            self.say(at, format_args!("a value of more than {VALUE} characters"));
        }
        if let Some(address) = button.get("url") {
            let address = address.as_str().unwrap_or_default();
            if !address.starts_with("http") || length(address) > URL {
                self.say(at, format_args!("no url: {address:?}"));
            }
        }
        if button.get("style").is_some_and(|style| style != "primary" && style != "danger") {
            self.say(at, format_args!("unknown style: {}", button["style"]));
        }
        if let Some(confirm) = button.get("confirm") {
            self.text(at, &confirm["title"], 100, Some("plain_text"));
            self.text(at, &confirm["text"], 300, None);
            self.text(at, &confirm["confirm"], 30, Some("plain_text"));
            self.text(at, &confirm["deny"], 30, Some("plain_text"));
        }
    }

    fn text(&mut self, at: &str, text: &Value, limit: usize, wanted: Option<&str>) {
        let kind = text["type"].as_str().unwrap_or_default();
        if !["plain_text", "mrkdwn"].contains(&kind) || wanted.is_some_and(|wanted| wanted != kind) {
            self.say(at, format_args!("a text of type {kind:?}"));
        }
        let content = text["text"].as_str().unwrap_or_default();
        if content.trim().is_empty() {
            self.say(at, "an empty text");
        }
        if length(content) > limit {
            self.say(at, format_args!("{} characters, {limit} is the most", length(content)));
        }
        if kind == "mrkdwn" {
            self.markup(at, content);
        }
    }

    /// What isn't escaped means a link or a mention.
    fn markup(&mut self, at: &str, text: &str) {
        let mut rest = text;
        while let Some(found) = rest.find(['&', '<', '>']) {
            let here = &rest[found..];
            let known = ["&amp;", "&lt;", "&gt;"].iter().find(|escaped| here.starts_with(**escaped));
            let skip = match (known, here.strip_prefix('<').and_then(|link| link.split_once('>'))) {
                (Some(escaped), _) => escaped.len(),
                (None, Some((link, _))) if is_link(link) => link.len() + 2,
                _ => {
                    let shown: String = here.chars().take(20).collect();
                    self.say(at, format_args!("not escaped: {shown:?}"));
                    return;
                }
            };
            rest = &here[skip..];
        }
    }

    fn count(&mut self, at: &str, what: &str, values: &Value, most: usize) {
        let found = list(values).len();
        if found == 0 || found > most {
            self.say(at, format_args!("{found} {what}, 1 to {most} are possible"));
        }
    }

    fn unique(&mut self, at: &str, what: &str, id: &Value, seen: fn(&mut Self) -> &mut BTreeSet<String>) {
        let Some(id) = id.as_str() else { return };
        if length(id) > ID {
            self.say(at, format_args!("a {what} of more than {ID} characters"));
        }
        if !seen(self).insert(id.to_owned()) {
            self.say(at, format_args!("the {what} {id:?} twice"));
        }
    }
}

/// A link to the web, or the mention of a user.
fn is_link(link: &str) -> bool {
    let address = link.split_once('|').map_or(link, |(address, _)| address);
    let web = ["http://", "https://", "mailto:"].iter().any(|scheme| address.starts_with(scheme));
    (web || address.starts_with('@')) && !address.contains([' ', '\n', '<', '|'])
}

/// Characters of all texts within.
fn texts(value: &Value) -> usize {
    match value {
        Value::Array(values) => values.iter().map(texts).sum(),
        Value::Object(fields) => {
            let own = fields.get("text").and_then(Value::as_str).map_or(0, length);
            own + fields.values().map(texts).sum::<usize>()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn section(text: &str) -> Value {
        json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})
    }

    fn button(id: &str, label: &str) -> Value {
        json!({"type": "button", "action_id": id, "text": {"type": "plain_text", "text": label}})
    }

    #[test]
    fn what_slack_takes_passes() {
        let header = json!({"type": "header", "text": {"type": "plain_text", "text": "h".repeat(150)}});
        let link = "<https://x.y/z?a=1&amp;b|see> &lt;a&gt; <@U1>";
        let open = json!({"type": "button", "action_id": "o", "url": "https://x", "style": "primary",
            "text": {"type": "plain_text", "text": "Open"}});
        let actions = json!({"type": "actions", "elements": [button("a", "A"), open]});
        let context = json!({"type": "context", "elements": [{"type": "mrkdwn", "text": link}]});
        let blocks = json!([header, section("x"), {"type": "divider"}, actions, context]);
        let attachment = json!({"color": "#00ff00", "fallback": "f", "blocks": blocks});
        let none: Vec<String> = Vec::new();
        assert_eq!(problems(&json!({"attachments": [attachment]})), none);
        assert_eq!(problems(&json!({"text": "a &amp; b"})), none);
    }

    #[test]
    fn what_slack_refuses_is_named() {
        let block = |block: Value| json!({"blocks": [block]});
        let of = |element: Value| block(json!({"type": "actions", "elements": [element]}));
        let attachment = |attachment: Value| json!({"attachments": [attachment]});
        let mut long_value = button("a", "A");
        long_value["value"] = "v".repeat(2_001).into();
        let cases = [
            (json!({"channel": "c"}), "no_text"),
            (json!({"text": "x".repeat(40_001)}), "more than 40000"),
            (json!({"text": "a < b"}), "not escaped"),
            (json!({"text": "a & b"}), "not escaped"),
            (json!({"blocks": vec![json!({"type": "divider"}); 51]}), "more than 50"),
            (json!({"blocks": vec![section(&"x".repeat(2_900)); 5]}), "msg_blocks_too_long"),
            (block(section(&"😀".repeat(1_501))), "3002 characters"),
            (block(section(" ")), "an empty text"),
            (block(section("<not a link>")), "not escaped"),
            (block(json!({"type": "header", "text": {"type": "mrkdwn", "text": "x"}})), "a text of type"),
            (block(json!({"type": "video"})), "unknown block"),
            (block(json!({"type": "context", "elements": []})), "0 elements"),
            (block(json!({"type": "actions", "elements": vec![button("a", "A"); 26]})), "26 elements"),
            (
                json!({"blocks": [{"type": "divider", "block_id": "b"}, {"type": "divider", "block_id": "b"}]}),
                "the block_id \"b\" twice",
            ),
            (block(json!({"type": "actions", "elements": [button("a", "A"), button("a", "B")]})), "twice"),
            (of(button("a", &"l".repeat(76))), "76 characters"),
            (of(button("", "A")), "no action_id"),
            (of(button(&"i".repeat(256), "A")), "action_id of more than"),
            (of(long_value), "a value of more"),
            (of(json!({"type": "button", "action_id": "a", "url": "x", "text": {}})), "no url"),
            (of(json!({"type": "select"})), "unknown element"),
            (attachment(json!({"color": "red", "fallback": "f", "text": "x"})), "no colour"),
            (attachment(json!({"text": "x"})), "no fallback"),
            (attachment(json!({"fallback": "f"})), "neither blocks nor text"),
            (json!({"attachments": vec![json!({"fallback": "f", "text": "t"}); 101]}), "more than 100"),
        ];
        for (message, expected) in cases {
            let found = problems(&message);
            assert!(found.iter().any(|problem| problem.contains(expected)), "{expected}: {found:?}");
        }
    }
}

//! Messages as Slack shows them: the bar in the message's colour, its blocks, its thread below it.

mod mrkdwn;

use std::fmt;

use askama::Template;
use askama::filters::HtmlSafe;
use flowlord_messages::alerts::IncidentStep;
use flowlord_web_core::demo_slack::DemoMessage;
use serde::Deserialize;

use self::mrkdwn::{Mrkdwn, escaped_plain};
use super::when::ShownTime;

// The colours of messages, as the notifier sends them.
const GREEN: &str = "#00FF00";
const BLUE: &str = "#2210FF";
const YELLOW: &str = "#FFFF00";
const RED: &str = "#FF0000";

/// A message, and the replies in its thread.
#[derive(Debug, Template)]
#[template(path = "parts/slack.html")]
pub(crate) struct ShownMessage {
    /// What names it on the page.
    pub(crate) anchor: String,
    /// By what Slack finds it; empty where there is none.
    ts: String,
    /// Whether its buttons may be clicked.
    may_click: bool,
    at: ShownTime,
    content: MessageContent,
    is_edited: bool,
    /// Whether only the person who clicked sees it.
    is_private: bool,
    /// When Slack took it, where that is known.
    sent: Option<ShownTime>,
    /// Whether it waits to be sent.
    is_unsent: bool,
    replies: Vec<Self>,
}

// Its template escapes what it holds.
impl HtmlSafe for ShownMessage {}

/// The part of a message's JSON that is shown.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct MessageContent {
    text: Mrkdwn,
    attachments: Vec<Attachment>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Attachment {
    color: String,
    blocks: Vec<Block>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Header {
        text: BlockText,
    },
    Section {
        text: Option<BlockText>,
        #[serde(default)]
        fields: Vec<BlockText>,
    },
    Context {
        #[serde(default)]
        elements: Vec<BlockText>,
    },
    Actions {
        #[serde(default)]
        elements: Vec<ActionButton>,
    },
    Divider,
    /// One that no message of ours has.
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum BlockText {
    PlainText {
        text: String,
    },
    Mrkdwn {
        text: Mrkdwn,
    },
    /// Plain text in bold.
    #[serde(skip)]
    Strong(String),
    /// Plain text as in a fence.
    #[serde(skip)]
    Fenced(String),
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Clone, Deserialize)]
struct ActionButton {
    text: BlockText,
    #[serde(default)]
    action_id: String,
    #[serde(default)]
    style: String,
    url: Option<String>,
}

impl fmt::Display for BlockText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlainText { text } => f.write_str(&escaped_plain(text)),
            Self::Mrkdwn { text } => text.fmt(f),
            Self::Strong(text) => write!(f, "<b>{}</b>", escaped_plain(text)),
            Self::Fenced(text) => write!(f, "<pre>{}</pre>", escaped_plain(text)),
            Self::Unknown => Ok(()),
        }
    }
}

impl HtmlSafe for BlockText {}

impl Attachment {
    /// The colour by the name of a class: a page may have no style of its own.
    fn colour(&self) -> &'static str {
        match self.color.as_str() {
            GREEN => "green",
            BLUE => "blue",
            YELLOW => "yellow",
            RED => "red",
            _ => "grey",
        }
    }
}

impl ActionButton {
    fn class(&self) -> &'static str {
        match self.style.as_str() {
            "primary" => "primary",
            "danger" => "danger",
            _ => "",
        }
    }

    /// Where it leads; none for one that Slack would post.
    fn link(&self) -> Option<&str> {
        self.url.as_deref().filter(|url| url.starts_with("http://") || url.starts_with("https://"))
    }
}

impl ShownMessage {
    /// The messages of a channel, the newest first, each with its thread.
    pub(crate) fn of_channel(messages: Vec<DemoMessage>, may_click: bool) -> Vec<Self> {
        let (replies, roots): (Vec<_>, Vec<_>) = messages.into_iter().partition(|message| message.thread_ts.is_some());
        let of_message = |message| Self::of_message(message, may_click);
        let mut shown: Vec<Self> = roots.into_iter().map(of_message).collect();
        for reply in replies {
            let thread = reply.thread_ts.as_deref().map(anchor_of);
            if let Some(root) = shown.iter_mut().find(|root| thread.as_ref() == Some(&root.anchor)) {
                root.replies.push(of_message(reply));
            }
        }
        shown.reverse();
        shown
    }

    fn of_message(message: DemoMessage, may_click: bool) -> Self {
        Self {
            anchor: anchor_of(&message.ts),
            ts: message.ts,
            may_click,
            at: ShownTime::time_of_day(message.at),
            // What can't be read has no blocks and no text: it shows that something came, and when.
            content: serde_json::from_value(message.body).unwrap_or_default(),
            is_edited: message.is_edited,
            is_private: message.is_private,
            sent: None,
            is_unsent: false,
            replies: Vec::new(),
        }
    }

    /// The notification of an incident's step, from what is stored of it.
    pub(crate) fn of_step(step: &IncidentStep) -> Self {
        let details = (!step.details.is_empty()).then(|| BlockText::Fenced(step.details.join("\n")));
        let texts = [BlockText::Strong(step.headline.clone())].into_iter().chain(details);
        let blocks = texts.map(|text| Block::Section { text: Some(text), fields: Vec::new() }).collect();
        let attachments = vec![Attachment { color: step_colour(step).to_owned(), blocks }];
        // On a webhook, easing and acknowledging have no messages of their own.
        let is_message = ["summary", "all_clear"].contains(&step.kind.as_str());
        Self {
            anchor: String::new(),
            ts: String::new(),
            may_click: false,
            at: ShownTime::full(step.at),
            content: MessageContent { attachments, ..MessageContent::default() },
            is_edited: false,
            is_private: false,
            sent: step.sent.map(ShownTime::time_of_day),
            is_unsent: is_message && step.sent.is_none(),
            replies: Vec::new(),
        }
    }
}

fn step_colour(step: &IncidentStep) -> &'static str {
    match step.kind.as_str() {
        "all_clear" => GREEN,
        "update" => YELLOW,
        "summary" => RED,
        _ => BLUE,
    }
}

fn anchor_of(ts: &str) -> String {
    format!("m-{}", ts.replace('.', "-"))
}

#[cfg(test)]
mod tests {
    use flowlord_testkit::sample::noon;
    use serde_json::{Value, json};

    use super::*;

    fn message(ts: &str, thread: Option<&str>, body: Value) -> DemoMessage {
        let thread_ts = thread.map(str::to_owned);
        DemoMessage { ts: ts.to_owned(), at: noon(), thread_ts, body, is_edited: thread.is_none(), is_private: false }
    }

    /// One page of messages, without the white space between elements.
    fn page(messages: Vec<DemoMessage>) -> String {
        clickable_page(messages, false)
    }

    fn clickable_page(messages: Vec<DemoMessage>, may_click: bool) -> String {
        let shown = ShownMessage::of_channel(messages, may_click);
        let page: String = shown.iter().map(ToString::to_string).collect();
        page.lines().map(str::trim).collect::<Vec<_>>().join("")
    }

    #[test]
    fn the_messages_of_the_documentation_are_shown_with_all_their_parts() {
        let sent: Value = serde_json::from_str(include_str!("../../../../docs/slack/escalating.json")).unwrap();
        let messages = || vec![message("1.000001", None, sent[0].clone())];
        let form = "<form class=\"actions\" action=\"/demo/slack\" method=\"post\">\
                    <input type=\"hidden\" name=\"ts\" value=\"1.000001\">";
        let button = "<button type=\"submit\" name=\"do\" value=\"acknowledge\" class=\"primary\"";
        let clickable = clickable_page(messages(), true);
        assert!(
            clickable.contains(form) && clickable.contains(&format!("{button}>Acknowledge</button>")),
            "{clickable}"
        );
        let page = page(messages());
        for part in [
            "id=\"m-1-000001\"",
            "<div class=\"attachment red\">",
            "<div class=\"section\"><b>8 alerts in 2 tasks</b></div>",
            "<pre>import:orders:                         6  2026/03/02T03-2026/03/02T08",
            ">see report</a>",
            &format!("{button} disabled title=\"Needs the role operator\">Acknowledge</button>"),
            "<a class=\"button\" href=\"https://flow.example.org/web/alert?date=2026-03-02\" rel=\"noreferrer\">Open</a>",
            "<small>(edited)</small>",
        ] {
            assert!(page.contains(part), "{part} is missing in {page}");
        }
    }

    #[test]
    fn the_newest_message_comes_first_and_replies_follow_theirs() {
        let text = |text: &str| json!({ "text": text });
        let page = page(vec![
            message("1.1", None, text("first")),
            message("2.1", None, text("second")),
            message("3.1", Some("1.1"), text("to first")),
            message("4.1", Some("1.1"), text("more to first")),
        ]);
        let at = |text: &str| page.find(&format!(">{text}")).unwrap_or_else(|| panic!("{text}: {page}"));
        assert!(at("second") < at("first") && at("first") < at("to first") && at("to first") < at("more to first"));
        assert!(page.contains("<summary>2 replies</summary>"), "{page}");
    }

    #[test]
    fn what_slack_sends_otherwise_neither_fails_nor_becomes_markup() {
        let evil = "<script>alert(1)</script>";
        for (body, expected) in [
            (json!({"text": 5}), ""),
            (json!([1]), ""),
            (json!({"attachments": [{"color": evil, "blocks": [{"type": "video", "x": evil}]}]}), "attachment grey"),
            (
                json!({"attachments": [{"blocks": [{"type": "header", "text": {"type": "plain_text", "text": evil}}]}]}),
                "&#60;script&#62;",
            ),
            (
                json!({"attachments": [{"blocks": [{"type": "actions", "elements": [
                {"text": {"type": "plain_text", "text": evil}, "style": evil, "url": "javascript:alert(1)"}]}]}]}),
                "disabled",
            ),
        ] {
            let page = page(vec![message("1.1", None, body)]);
            assert!(page.contains(expected) && !page.contains("<script") && !page.contains("javascript"), "{page}");
        }
    }

    fn step(kind: &str, is_sent: bool) -> IncidentStep {
        let details = vec!["load: <1>".to_owned()];
        let sent = is_sent.then(noon);
        IncidentStep { at: noon(), kind: kind.to_owned(), headline: "1 alert".to_owned(), details, sent }
    }

    #[test]
    fn a_step_is_coloured_by_its_kind_and_unsent_only_where_it_is_a_message() {
        for (kind, colour, is_unsent) in [
            ("summary", "red", true),
            ("update", "yellow", false),
            ("acknowledged", "blue", false),
            ("all_clear", "green", true),
            ("removed", "blue", false),
        ] {
            let page = ShownMessage::of_step(&step(kind, false)).to_string();
            assert!(page.contains(&format!("attachment {colour}")), "{kind}: {page}");
            assert!(page.contains("<b>1 alert</b>") && page.contains("<pre>load: &#60;1&#62;</pre>"), "{page}");
            assert_eq!(page.contains("<small>not sent</small>"), is_unsent, "{kind}: {page}");
            assert!(ShownMessage::of_step(&step(kind, true)).to_string().contains("<small>sent at <time"), "{kind}");
        }
    }
}

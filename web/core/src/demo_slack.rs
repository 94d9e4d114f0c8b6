//! A stand-in for Slack, which only the demo has: it takes what the notifier posts, as Slack's Web API does, keeps the
//! newest messages for a page, and signs the clicks on their buttons.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use flowlord_domain::Secret;
use flowlord_domain::query::Query;
use flowlord_kernel::Locked;
use flowlord_messages::outbox::{SlackInteraction, slack_signature};
use serde_json::{Value, json};

/// The page of its messages. The Web API that the notifier posts to is below it.
pub const DEMO_SLACK: &str = "/demo/slack";

/// Messages that are kept, replies included; the oldest leave first.
const MAX_MESSAGES: usize = 200;

/// Slack takes some 13,000 characters a message, and JSON makes more of them.
const MAX_MESSAGE_BYTES: usize = 128 * 1024;

/// The id of the one channel that it has.
const CHANNEL: &str = "C0DEMO";

/// Takes messages as Slack does.
#[derive(Debug)]
pub struct DemoSlack {
    /// What the notifier must show, so that nobody else posts here.
    token: Secret,
    /// What clicks are signed with.
    signing_secret: Secret,
    /// The address of its Web API.
    api_url: String,
    messages: Locked<VecDeque<DemoMessage>>,
}

/// A message as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct DemoMessage {
    /// Slack's name for it: the time at which it came, in seconds with six digits behind the point.
    pub ts: String,
    pub at: DateTime<Utc>,
    /// The message in whose thread it is.
    pub thread_ts: Option<String>,
    /// What it says: the body of the request.
    pub body: Value,
    pub is_edited: bool,
    /// Whether only the person who clicked sees it.
    pub is_private: bool,
}

/// Why a request isn't carried out, in Slack's words.
type SlackError = &'static str;

impl DemoSlack {
    pub fn new(token: Secret, signing_secret: Secret, api_url: String) -> Self {
        Self { token, signing_secret, api_url, messages: Locked::default() }
    }

    /// What the Web API answers to a request: with `ok`, and where the message is or what was wrong.
    pub fn answer(&self, method: &str, token: Option<&str>, body: &[u8], now: DateTime<Utc>) -> Value {
        match self.take(method, token, body, now) {
            Ok(ts) => json!({"ok": true, "channel": CHANNEL, "ts": ts}),
            Err(error) => json!({"ok": false, "error": error}),
        }
    }

    fn take(&self, method: &str, token: Option<&str>, body: &[u8], now: DateTime<Utc>) -> Result<String, SlackError> {
        // A reply to a click needs no token: its address is the secret.
        let is_reply = self.reply_method().as_deref() == Some(method);
        if !is_reply && token != Some(self.token.expose()) {
            return Err("invalid_auth");
        }
        if body.len() > MAX_MESSAGE_BYTES {
            return Err("msg_too_long");
        }
        let body: Value = serde_json::from_slice(body).map_err(|_| "invalid_json")?;
        match method {
            "chat.postMessage" => self.post(body, false, now),
            "chat.update" => self.edit(body),
            _ if is_reply => self.post(body, true, now),
            _ => Err("unknown_method"),
        }
    }

    /// The last part of the address to which a reply to a click goes.
    fn reply_method(&self) -> Option<String> {
        Some(format!("reply-{}", slack_signature(self.signing_secret.expose(), "0", "reply")?))
    }

    /// What Slack posts when somebody clicks a button of a message; none where it has no such button.
    pub fn click(&self, ts: &str, action_id: &str, by: &str, now: DateTime<Utc>) -> Option<SlackInteraction> {
        let value = {
            let messages = self.messages.lock();
            button_value(&messages.iter().find(|message| message.ts == ts)?.body, action_id)?
        };
        let payload = json!({
            "type": "block_actions",
            "user": {"id": "U0DEMO", "name": by},
            "actions": [{"action_id": action_id, "value": value, "action_ts": next_ts(None, now)}],
            "response_url": format!("{}{}", self.api_url, self.reply_method()?),
        });
        let body = Query::from_iter([("payload".to_owned(), payload.to_string())]).to_text();
        let timestamp = now.timestamp().to_string();
        let signature = slack_signature(self.signing_secret.expose(), &timestamp, &body)?;
        Some(SlackInteraction { timestamp, signature, body })
    }

    fn post(&self, body: Value, is_private: bool, now: DateTime<Utc>) -> Result<String, SlackError> {
        let mut messages = self.messages.lock();
        let thread_ts = body["thread_ts"].as_str().map(str::to_owned);
        if thread_ts.as_ref().is_some_and(|thread| messages.iter().all(|message| message.ts != *thread)) {
            return Err("thread_not_found");
        }
        let ts = next_ts(messages.back(), now);
        messages.push_back(DemoMessage { ts: ts.clone(), at: now, thread_ts, body, is_edited: false, is_private });
        while messages.len() > MAX_MESSAGES {
            drop_oldest(&mut messages);
        }
        Ok(ts)
    }

    fn edit(&self, body: Value) -> Result<String, SlackError> {
        let mut messages = self.messages.lock();
        let ts = body["ts"].as_str().unwrap_or_default();
        let message = messages.iter_mut().find(|message| message.ts == ts).ok_or("message_not_found")?;
        let ts = ts.to_owned();
        (message.is_edited, message.body) = (true, body);
        Ok(ts)
    }

    /// What the channel shows, oldest first, with replies wherever they came.
    pub fn messages(&self) -> Vec<DemoMessage> {
        self.messages.lock().iter().cloned().collect()
    }
}

/// What Slack gives back of a button that is clicked.
fn button_value(body: &Value, action_id: &str) -> Option<String> {
    let attachments = body["attachments"].as_array().into_iter().flatten();
    let blocks = attachments.filter_map(|attachment| attachment["blocks"].as_array()).flatten();
    let mut buttons = blocks.filter_map(|block| block["elements"].as_array()).flatten();
    buttons.find(|button| button["action_id"] == action_id)?["value"].as_str().map(str::to_owned)
}

/// Slack finds a message by its time, so no two have the same.
fn next_ts(last: Option<&DemoMessage>, now: DateTime<Utc>) -> String {
    let written = |micros: i64| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    let last = last.and_then(|last| last.ts.replace('.', "").parse::<i64>().ok());
    let micros = now.timestamp_micros();
    written(last.map_or(micros, |last| micros.max(last + 1)))
}

/// With its thread: a reply to nothing has no place.
fn drop_oldest(messages: &mut VecDeque<DemoMessage>) {
    if let Some(oldest) = messages.pop_front() {
        messages.retain(|message| message.thread_ts.as_ref() != Some(&oldest.ts));
    }
}

#[cfg(test)]
mod tests {
    use flowlord_testkit::sample::noon;

    use super::*;

    const POST: &str = "chat.postMessage";

    fn call(slack: &DemoSlack, method: &str, body: &Value) -> Value {
        slack.answer(method, Some("xoxb-1"), body.to_string().as_bytes(), noon())
    }

    fn demo() -> DemoSlack {
        DemoSlack::new(Secret::new("xoxb-1"), Secret::new("s3cret"), "http://127.0.0.1:1/api/".to_owned())
    }

    #[test]
    fn messages_are_posted_edited_and_answered_in_their_thread() {
        let slack = demo();
        let posted = call(&slack, POST, &json!({"channel": "#c", "text": "a"}));
        let ts = posted["ts"].as_str().unwrap();
        assert_eq!((&posted["ok"], &posted["channel"]), (&json!(true), &json!(CHANNEL)));
        let reply = call(&slack, POST, &json!({"channel": CHANNEL, "thread_ts": ts, "text": "b"}));
        assert_ne!(reply["ts"], ts, "at the same moment");
        let edited = call(&slack, "chat.update", &json!({"channel": CHANNEL, "ts": ts, "text": "A"}));
        assert_eq!(edited["ts"], ts);
        let seen = slack.messages();
        let said: Vec<_> =
            seen.iter().map(|message| (message.body["text"].as_str().unwrap(), message.is_edited)).collect();
        assert_eq!(said, [("A", true), ("b", false)]);
        assert_eq!(seen[1].thread_ts.as_deref(), Some(ts));
    }

    #[test]
    fn what_slack_refuses_is_refused_with_its_words() {
        let slack = demo();
        for (method, body, error) in [
            ("chat.update", json!({"ts": "9", "text": "a"}), "message_not_found"),
            (POST, json!({"thread_ts": "9", "text": "a"}), "thread_not_found"),
            ("chat.delete", json!({}), "unknown_method"),
            (POST, json!({"text": "x".repeat(MAX_MESSAGE_BYTES)}), "msg_too_long"),
        ] {
            assert_eq!(call(&slack, method, &body), json!({"ok": false, "error": error}));
        }
        for (token, body, error) in [
            (None, "{}", "invalid_auth"),
            (Some("xoxb-2"), "{}", "invalid_auth"),
            (Some("xoxb-1"), "{", "invalid_json"),
        ] {
            assert_eq!(slack.answer(POST, token, body.as_bytes(), noon())["error"], error);
        }
        assert_eq!(slack.messages(), []);
    }

    #[test]
    fn a_click_is_what_slack_would_post_and_its_reply_is_for_one_person() {
        let slack = demo();
        let button = json!({"type": "button", "action_id": "rerun", "value": "{\"route\":\"a&b\"}"});
        let blocks = json!([{"type": "section"}, {"type": "actions", "elements": [button, {"action_id": "open"}]}]);
        let posted = call(&slack, POST, &json!({"attachments": [{"blocks": blocks}]}));
        let ts = posted["ts"].as_str().unwrap();
        let click = slack.click(ts, "rerun", "ann", noon()).unwrap();
        assert_eq!(Some(click.signature), slack_signature("s3cret", &click.timestamp, &click.body));
        let form = Query::parse(&click.body).unwrap();
        let payload: Value = serde_json::from_str(form.first_value("payload").unwrap()).unwrap();
        let action = &payload["actions"][0];
        assert_eq!((&payload["user"]["name"], &action["value"]), (&json!("ann"), &button["value"]));
        for (ts, action) in [(ts, "acknowledge"), (ts, "open"), ("9", "rerun")] {
            assert!(slack.click(ts, action, "ann", noon()).is_none(), "{ts} {action}");
        }
        let method = payload["response_url"].as_str().unwrap().strip_prefix("http://127.0.0.1:1/api/").unwrap();
        assert_eq!(slack.answer(method, None, b"{\"text\":\"didn't work\"}", noon())["ok"], true);
        assert_eq!(slack.answer("reply-", None, b"{}", noon())["error"], "invalid_auth");
        let private: Vec<_> = slack.messages().iter().map(|message| message.is_private).collect();
        assert_eq!(private, [false, true]);
    }

    #[test]
    fn only_the_newest_messages_are_kept_and_no_reply_without_its_message() {
        let slack = demo();
        let first = call(&slack, POST, &json!({"text": "first"}));
        let second = call(&slack, POST, &json!({"text": "second"}));
        for _ in 0..2 * MAX_MESSAGES {
            let thread = json!({"thread_ts": second["ts"], "text": "reply"});
            call(&slack, POST, &thread);
            assert!(slack.messages().len() <= MAX_MESSAGES);
        }
        let gone = json!({"ts": first["ts"], "text": "x"});
        assert_eq!(call(&slack, "chat.update", &gone)["error"], "message_not_found");
        let kept = slack.messages();
        let is_kept = |thread: &String| kept.iter().any(|message| message.ts == *thread);
        assert!(kept.iter().filter_map(|message| message.thread_ts.as_ref()).all(is_kept));
    }
}

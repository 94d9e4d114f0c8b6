//! What the Web API answers when all is well, and what people then see in the channels.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::blocks::problems;
use super::{FakeSlack, SlackRequest, State, response};

/// A message as people see it.
#[derive(Debug, Clone, PartialEq)]
pub struct SlackPost {
    /// The id of its channel.
    pub channel: String,
    pub ts: String,
    /// The message in whose thread it is.
    pub thread: Option<String>,
    /// What it says now.
    pub body: Value,
    /// How often it was edited.
    pub edits: u32,
}

/// Messages by their `ts`, which grows.
#[derive(Debug, Default)]
pub(super) struct Board {
    posts: BTreeMap<String, SlackPost>,
    posted: u32,
}

impl FakeSlack {
    /// What people see in the channels now, oldest first.
    #[must_use]
    pub fn board(&self) -> Vec<SlackPost> {
        self.shared.with(|state| state.board.posts.values().cloned().collect())
    }

    /// Deletes a message, as a person may, with its thread.
    pub fn delete(&self, ts: &str) {
        self.shared.with(|state| {
            state.board.posts.retain(|id, post| id != ts && post.thread.as_deref() != Some(ts));
        });
    }
}

/// The id of a channel that was named.
fn channel_id(named: &str) -> String {
    match named.strip_prefix('#') {
        Some(name) => format!("C{}", name.to_uppercase().replace('-', "0")),
        None => named.to_owned(),
    }
}

fn ok(answer: Value) -> String {
    let mut answer = answer;
    answer["ok"] = true.into();
    response(200, "application/json; charset=utf-8", "", &answer.to_string())
}

fn no(error: &str, more: &[String]) -> String {
    let answer = json!({"ok": false, "error": error, "response_metadata": {"messages": more}});
    response(200, "application/json; charset=utf-8", "", &answer.to_string())
}

/// A webhook's answer, in text.
pub(super) fn webhook(request: &SlackRequest) -> String {
    if problems(&request.body).is_empty() {
        response(200, "text/html", "", "ok")
    } else {
        response(400, "text/html", "", "invalid_blocks")
    }
}

/// The Web API's answer, in JSON.
pub(super) fn answer(request: &SlackRequest, state: &mut State, address: &str) -> String {
    let method = request.path.trim_start_matches("/api/");
    let token = request.header("authorization").and_then(|header| header.strip_prefix("Bearer "));
    let wanted = if method == "apps.connections.open" { "xapp-" } else { "xoxb-" };
    match token {
        None => return no("not_authed", &[]),
        Some(token) if !token.starts_with(wanted) => return no("not_allowed_token_type", &[]),
        Some(_) => {}
    }
    match method {
        "auth.test" => ok(json!({"team": "Flow", "user": "flowlord", "user_id": "U0BOT"})),
        "apps.connections.open" => {
            let ticket = format!("ticket-{}", state.tickets_given);
            state.tickets_given += 1;
            let url = format!("ws://{address}/socket/{ticket}");
            state.tickets.insert(ticket);
            ok(json!({"url": url}))
        }
        "chat.postMessage" => state.board.post(&request.body),
        "chat.update" => state.board.update(&request.body),
        _ => no("unknown_method", &[]),
    }
}

impl Board {
    fn post(&mut self, body: &Value) -> String {
        let found = problems(body);
        if !found.is_empty() {
            return no("invalid_blocks", &found);
        }
        let Some(channel) = body["channel"].as_str().filter(|channel| !channel.is_empty()) else {
            return no("channel_not_found", &[]);
        };
        let thread = body["thread_ts"].as_str().map(str::to_owned);
        if thread.as_ref().is_some_and(|thread| !self.posts.contains_key(thread)) {
            return no("thread_not_found", &[]);
        }
        self.posted += 1;
        let ts = format!("1700000000.{:06}", self.posted);
        let channel = channel_id(channel);
        let post = SlackPost { channel: channel.clone(), ts: ts.clone(), thread, body: body.clone(), edits: 0 };
        self.posts.insert(ts.clone(), post);
        ok(json!({"channel": channel, "ts": ts, "message": {"ts": ts, "text": body["text"]}}))
    }

    fn update(&mut self, body: &Value) -> String {
        let found = problems(body);
        if !found.is_empty() {
            return no("invalid_blocks", &found);
        }
        let (channel, ts) = (body["channel"].as_str().unwrap_or_default(), &body["ts"]);
        // Slack takes a name for a new message, and for an edit nothing but the id.
        if !channel.starts_with('C') {
            return no("channel_not_found", &[]);
        }
        match self.posts.get_mut(ts.as_str().unwrap_or_default()) {
            Some(post) if post.channel == channel => {
                post.body = body.clone();
                post.edits += 1;
                ok(json!({"channel": channel, "ts": ts, "text": body["text"]}))
            }
            _ => no("message_not_found", &[]),
        }
    }
}

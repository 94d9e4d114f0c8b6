//! Links from a task to other systems, which operators write as templates.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::{Attempt, TaskState};

/// A link of every task: `https://logs.example.org/?uid={uid}&from={started_ms}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskLink {
    name: String,
    template: String,
}

/// What may stand in braces.
const TOKENS: [&str; 10] =
    ["uid", "id", "type", "job", "worker", "attempt", "started", "ended", "started_ms", "ended_ms"];

/// The longest name of a link: it stands beside others.
const MAX_NAME_CHARACTERS: usize = 40;

impl TaskLink {
    /// Reads a template.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(name: &str, template: &str) -> Result<Self, String> {
        let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if !(1..=MAX_NAME_CHARACTERS).contains(&name.len()) || !name.bytes().all(is_name_byte) {
            return Err(format!("its name has 1 to {MAX_NAME_CHARACTERS} letters, digits, dashes and underscores"));
        }
        if !template.starts_with("https://") && !template.starts_with("http://") {
            return Err(format!("`{template}`: write an address that begins with https:// or http://"));
        }
        let mut rest = template;
        while let Some((_, behind)) = rest.split_once('{') {
            let (token, behind) = behind.split_once('}').unwrap_or((behind, ""));
            if !TOKENS.contains(&token) {
                return Err(format!("there is no {{{token}}}: write one of {{{}}}", TOKENS.join("}, {")));
            }
            rest = behind;
        }
        Ok(Self { name: name.to_owned(), template: template.to_owned() })
    }

    /// What the link is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address for an attempt; none while that doesn't have what stands in it. One that runs ends now.
    #[must_use]
    pub fn address(&self, task: &Attempt, now: DateTime<Utc>) -> Option<String> {
        let mut address = String::with_capacity(self.template.len() + 32);
        let mut rest = self.template.as_str();
        while let Some((before, behind)) = rest.split_once('{') {
            let (token, behind) = behind.split_once('}')?;
            address.push_str(before);
            push_encoded(&token_value(token, task, now)?, &mut address);
            rest = behind;
        }
        address.push_str(rest);
        Some(address)
    }
}

fn token_value(token: &str, task: &Attempt, now: DateTime<Utc>) -> Option<String> {
    let ended = task.ended.or((task.state == TaskState::Leased).then_some(now));
    let millis = |at: DateTime<Utc>| at.timestamp_millis().to_string();
    let written = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    Some(match token {
        "uid" => task.uid.to_string(),
        "id" => task.id.clone(),
        "type" => task.topic.clone(),
        "job" => task.job.clone(),
        "worker" => task.worker.clone(),
        "attempt" => task.retry.saturating_add(1).to_string(),
        "started" => written(task.started?),
        "ended" => written(ended?),
        "started_ms" => millis(task.started?),
        "ended_ms" => millis(ended?),
        _ => return None,
    })
}

fn push_encoded(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NewTask, TaskLane, Uid};

    fn noon() -> DateTime<Utc> {
        "2026-03-02T12:00:00Z".parse().unwrap()
    }

    fn task() -> Attempt {
        let task = NewTask {
            uid: Uid::at(noon()),
            topic: "load".to_owned(),
            job: "a b/\u{e9}&".to_owned(),
            id: "chain-1".to_owned(),
            info: String::new(),
            meta: String::new(),
            workflow: String::new(),
            parent: None,
            retry: 1,
            not_before: None,
            lane: TaskLane::Live,
        };
        task.into_attempt()
    }

    #[test]
    fn a_template_is_filled_with_what_the_task_has() {
        let link = |template| TaskLink::parse("log", template).unwrap();
        let leased = Attempt { state: TaskState::Leased, started: Some(noon()), worker: "w".to_owned(), ..task() };
        let plain = link("https://h/{uid}?q={type}:{job}&n={attempt}#{id}");
        let expected = format!("https://h/{}?q=load:a%20b%2F%C3%A9%26&n=2#chain-1", task().uid);
        assert_eq!(plain.address(&task(), noon()).as_deref(), Some(expected.as_str()));
        let range = link("http://h/?from={started_ms}&to={ended_ms}&at={started}");
        assert_eq!(range.address(&task(), noon()), None, "it has not started");
        let expected = "http://h/?from=1772452800000&to=1772452801000&at=2026-03-02T12%3A00%3A00Z";
        assert_eq!(range.address(&leased, noon() + chrono::TimeDelta::seconds(1)).as_deref(), Some(expected));
    }

    #[test]
    fn what_can_be_no_link_says_what_to_write() {
        for (name, template, what) in [
            ("", "https://h", "its name has 1 to 40 letters"),
            ("a b", "https://h", "its name has 1 to 40 letters"),
            ("log", "javascript:x", "`javascript:x`: write an address that begins with https:// or http://"),
            ("log", "{uid}", "`{uid}`: write an address that begins with https:// or http://"),
            ("log", "https://h/{info}", "there is no {info}: write one of {uid}, {id}, {type}"),
            ("log", "https://h/{uid}{", "there is no {}: write one of"),
        ] {
            let told = TaskLink::parse(name, template).unwrap_err();
            assert!(told.starts_with(what), "{name} {template}: {told}");
        }
    }
}

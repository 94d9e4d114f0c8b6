//! The effective configuration as TOML.

use std::fmt::Write as _;

use flowlord_domain::duration;

use super::keys::{KEYS, Key, Kind};
use super::read::Reader;
use super::{Config, Secret};

/// One key with what counts for it.
#[derive(Debug, Clone)]
pub(super) struct Line {
    key: &'static Key,
    /// The key's name with its sections.
    name: String,
    value: String,
    source: String,
}

impl Line {
    pub(super) fn new(key: &'static Key, name: String, value: String, source: String) -> Self {
        Self { key, name, value, source }
    }

    pub(super) fn is_set(&self, key: &str) -> bool {
        self.name == key && !self.source.is_empty()
    }
}

/// What counts for each key.
pub(super) fn lines(config: &Config, reader: &Reader) -> Vec<Line> {
    let line = |key: &'static Key| {
        Line::new(key, key.name.to_owned(), value(key, config, reader), reader.source(key.name))
    };
    // Routes stand below the section that they belong to.
    let end =
        KEYS.iter().rposition(|key| key.name.starts_with("notify.")).map_or(KEYS.len(), |last| last + 1);
    let (before, after) = KEYS.split_at(end);
    let routes = config.notify.routes.iter().flat_map(|route| route.lines(reader));
    before.iter().map(line).chain(routes).chain(after.iter().map(line)).collect()
}

fn value(key: &Key, config: &Config, reader: &Reader) -> String {
    let masked = |secret: &Option<Secret>| secret.as_ref().map(ToString::to_string).unwrap_or_default();
    match key.name {
        "notify.url" => masked(&config.notify.url),
        "notify.token" => masked(&config.notify.token),
        "notify.app_token" => masked(&config.notify.app_token),
        "notify.signing_secret" => masked(&config.notify.signing_secret),
        "store.s3.secret_key" => config.store.s3.secret_key.as_ref().map_or("", |_| "***").to_owned(),
        "notify.max_frequency" => duration::print(config.notify.ladder.max),
        "public_url" => config.public_url_at(config.listen),
        "deadman.url" => masked(&config.deadman.url),
        // One that nobody thought of above is masked all the same.
        name if key.secret && !reader.text(name).is_empty() => "***".to_owned(),
        name => reader.text(name),
    }
}

/// Sections after the keys that stand alone, each key with its source when it isn't the default.
pub(super) fn toml(lines: &[Line]) -> String {
    let mut out = String::new();
    let mut section = "";
    for line in lines {
        let (within, name) = line.name.rsplit_once('.').unwrap_or(("", &line.name));
        if within != section {
            section = within;
            let _ = write!(out, "\n[{section}]\n");
        }
        let _ = write!(out, "{name} = {}", written(line));
        if !line.source.is_empty() {
            let _ = write!(out, "  # {}", line.source);
        }
        out.push('\n');
    }
    out
}

fn written(line: &Line) -> String {
    match line.key.kind {
        Kind::Text | Kind::Duration => quoted(&line.value),
        Kind::Number | Kind::Switch if line.value.is_empty() => quoted(""),
        Kind::Number | Kind::Switch => line.value.clone(),
        Kind::List => {
            let items = line.value.split(',').map(str::trim).filter(|item| !item.is_empty());
            format!("[{}]", items.map(quoted).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

//! The effective configuration as TOML.

use std::fmt::Write as _;

use flowlord_domain::duration;

use super::keys::{ConfigKey, GROUP_KEY, GROUPS, KEYS, KeyKind};
use super::read::ValueReader;
use super::{Config, Secret, links};

#[derive(Debug, Clone)]
pub(super) struct EffectiveValue {
    key: &'static ConfigKey,
    name: String,
    value: String,
    source: String,
}

impl EffectiveValue {
    pub(super) fn new(key: &'static ConfigKey, name: String, value: String, source: String) -> Self {
        Self { key, name, value, source }
    }

    pub(super) fn is_set(&self, key: &str) -> bool {
        self.name == key && !self.source.is_empty()
    }
}

pub(super) fn effective_values(config: &Config, reader: &ValueReader) -> Vec<EffectiveValue> {
    // Routes stand below the section that they belong to.
    let end = KEYS.iter().rposition(|key| key.name.starts_with("notify.")).map_or(KEYS.len(), |last| last + 1);
    let (before, after) = KEYS.split_at(end);
    let mut values: Vec<_> = before.iter().map(|key| effective_value(key, config, reader)).collect();
    values.extend(config.notify.routes.iter().flat_map(|route| route.effective_values(reader)));
    values.extend(after.iter().map(|key| effective_value(key, config, reader)));
    values.extend(links::effective_values(&config.links, reader));
    values.extend(config.groups.keys().map(|name| {
        let name = format!("{GROUPS}.{name}");
        let (value, source) = (reader.text(&name), reader.source(&name));
        EffectiveValue::new(&GROUP_KEY, name, value, source)
    }));
    values
}

fn effective_value(key: &'static ConfigKey, config: &Config, reader: &ValueReader) -> EffectiveValue {
    EffectiveValue::new(key, key.name.to_owned(), value_text(key, config, reader), reader.source(key.name))
}

fn masked(secret: Option<&Secret>) -> String {
    secret.map(ToString::to_string).unwrap_or_default()
}

fn value_text(key: &ConfigKey, config: &Config, reader: &ValueReader) -> String {
    match key.name {
        "notify.url" => masked(config.notify.url.as_ref()),
        "notify.token" => masked(config.notify.token.as_ref()),
        "cluster.credentials" => {
            masked(config.cluster.as_ref().and_then(|cluster| cluster.log.as_ref()?.credentials.as_ref()))
        }
        "notify.app_token" => masked(config.notify.app_token.as_ref()),
        "notify.signing_secret" => masked(config.notify.signing_secret.as_ref()),
        "store.s3.secret_key" => config.store.s3.secret_key.as_ref().map_or("", |_| "***").to_owned(),
        "notify.max_frequency" => duration::print_duration(config.notify.ladder.max_interval),
        "public_url" => config.public_url_at(config.listen),
        "deadman.url" => masked(config.deadman.url.as_ref()),
        // One that nobody thought of above is masked all the same.
        name if key.secret && !reader.text(name).is_empty() => "***".to_owned(),
        name => reader.text(name),
    }
}

/// Sections after the keys that stand alone, each key with its source when it isn't the default.
pub(super) fn write_toml(values: &[EffectiveValue]) -> String {
    let mut out = String::new();
    let mut section = "";
    for line in values {
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

fn written(line: &EffectiveValue) -> String {
    match line.key.kind {
        KeyKind::Text | KeyKind::Duration => quoted(&line.value),
        KeyKind::Number | KeyKind::Switch if line.value.is_empty() => quoted(""),
        KeyKind::Number | KeyKind::Switch => line.value.clone(),
        KeyKind::List => {
            let items = line.value.split(',').map(str::trim).filter(|item| !item.is_empty());
            format!("[{}]", items.map(quoted).collect::<Vec<_>>().join(", "))
        }
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            // A basic string of TOML can't hold these as they are.
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

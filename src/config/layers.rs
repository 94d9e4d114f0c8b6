//! The layers, merged; each value remembers where it was written.

use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Error, Figment, Metadata, Profile, Provider};
use flowlord_domain::bom;

use super::{Sources, keys, legacy, stores};

const PREFIX: &str = "FLOWLORD_";

/// The variables in which a container image carries its own values, below the file that someone mounts into it.
const IMAGE_PREFIX: &str = "FLOWLORD_IMAGE__";

// No keys, though they have our prefix: those of the commands, and those that `flowlord work` sets for commands, which
// may run this program.
const OTHER_VARIABLES: [&str; 18] = [
    "CONFIG",
    "SERVER",
    "TOKEN",
    "LOG_FORMAT",
    "GOLDEN",
    "TYPE",
    "TOPIC",
    "JOB",
    "INFO",
    "META",
    "ID",
    "UID",
    "CREATED",
    "ATTEMPT",
    "DELIVERY",
    "LEASE",
    "WORKER",
    "TRUNCATED",
];

// Beginnings of such variables. A container platform that runs a service called flowlord sets the last two.
const OTHER_BEGINNINGS: [&str; 4] = ["IMAGE__", "META_", "SERVICE_", "PORT"];

pub(super) struct ConfigLayers {
    pub(super) values: Figment,
    pub(super) errors: Vec<String>,
    pub(super) warnings: Vec<String>,
}

struct ValueLayer {
    source: String,
    values: Dict,
}

impl ValueLayer {
    /// A value that nobody wrote: it has no source, by which it is known as a default.
    fn unnamed(key: &str, value: &str) -> Self {
        Self { source: String::new(), values: nest_value(key, value) }
    }
}

impl Provider for ValueLayer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

pub(super) fn load_layers(sources: &Sources) -> ConfigLayers {
    let mut layers = ConfigLayers { values: default_values(), errors: Vec::new(), warnings: Vec::new() };
    for (key, value) in &sources.defaults {
        layers.add(ValueLayer::unnamed(key, value));
    }
    // Below the file: they are the defaults of an image, and the file is its operator's.
    layers.add_variables(&sources.env, "image variable", key_of_image);
    if let Some(layer) = file_layer(sources, &mut layers) {
        layers.add(layer);
    }
    layers.add_variables(&sources.env, "environment variable", key_of_variable);
    for (key, value) in &sources.flags {
        let flag = key.replace(['.', '_'], "-");
        layers.add(ValueLayer { source: format!("flag --{flag}"), values: nest_value(key, value) });
    }
    layers
}

pub(super) fn default_values() -> Figment {
    keys::KEYS.iter().fold(Figment::new(), |all, key| all.merge(ValueLayer::unnamed(key.name, key.default)))
}

impl ConfigLayers {
    fn add(&mut self, layer: ValueLayer) {
        // Its keys are checked before it is merged: then nobody could tell any more who wrote them.
        let before = self.errors.len();
        check_keys(&layer.source, "", &layer.values, &mut self.errors);
        if self.errors.len() == before {
            self.values = std::mem::take(&mut self.values).merge(layer);
        }
    }

    fn add_variables(&mut self, env: &[(String, String)], kind: &str, key_of: impl Fn(&str) -> Option<String>) {
        for (variable, value) in env {
            if let Some(key) = key_of(variable) {
                // A variable that a template left empty must not take away in silence what a file says.
                if value.is_empty() {
                    self.warn_of_emptied(&key, variable);
                }
                self.add(ValueLayer { source: format!("{kind} {variable}"), values: nest_value(&key, value) });
            }
        }
    }

    fn warn_of_emptied(&mut self, key: &str, variable: &str) {
        let source = self.values.find_metadata(key).map(|metadata| metadata.name.to_string());
        let is_empty = self.values.find_value(key).is_ok_and(|value| value.as_str() == Some(""));
        if let Some(source) = source.filter(|source| !source.is_empty() && !is_empty) {
            self.warnings.push(format!(
                "environment variable {variable} is empty and overrides {key} in {source}: remove one of them"
            ));
        }
    }
}

fn check_keys(source: &str, section: &str, values: &Dict, errors: &mut Vec<String>) {
    for (name, value) in values {
        let path = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
        match value {
            Value::Dict(..) if keys::find(&path).is_some() => {
                errors.push(format!("{path} in {source} is one value, not a section"));
            }
            Value::Dict(_, inner) if !inner.is_empty() || keys::is_section(&path) => {
                check_keys(source, &path, inner, errors);
            }
            _ if keys::is_section(&path) => {
                errors.push(format!("{path} in {source} is a section: write [{path}] and its keys below it"));
            }
            _ if keys::find(&path).is_none() => errors.push(unknown_key(source, &path)),
            _ => {}
        }
    }
}

fn unknown_key(source: &str, path: &str) -> String {
    let hint = keys::nearest(path).map_or_else(
        || "`flowlord serve --print-config` lists all keys".to_owned(),
        |name| format!("did you mean {name}?"),
    );
    format!("unknown key {path} in {source}: {hint}")
}

fn key_of_variable(variable: &str) -> Option<String> {
    let name = variable.strip_prefix(PREFIX)?;
    let other = OTHER_VARIABLES.contains(&name)
        || OTHER_BEGINNINGS.iter().any(|start| name.starts_with(start))
        || is_of_platform(name);
    (!other).then(|| key_of_name(name))
}

/// Whether a container platform sets it in each container, for a service called `flowlord-…`: where that is, as
/// `X_SERVICE_HOST`, `X_SERVICE_PORT_HTTP`, `X_PORT` or `X_PORT_8080_TCP_ADDR`.
fn is_of_platform(name: &str) -> bool {
    let has_numbered_port = name.split("_PORT_").skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let is_port = name.ends_with("_PORT") && name != "STATUS_PORT"; // which the Go program had
    name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT") || has_numbered_port || is_port
}

fn key_of_image(variable: &str) -> Option<String> {
    variable.strip_prefix(IMAGE_PREFIX).map(key_of_name)
}

fn key_of_name(name: &str) -> String {
    // Two underscores, as one of them belongs to names like `min_frequency`.
    name.to_lowercase().replace("__", ".")
}

fn nest_value(key: &str, value: &str) -> Dict {
    let (head, rest) = key.split_once('.').unwrap_or((key, ""));
    let value = if rest.is_empty() { Value::from(value) } else { Value::from(nest_value(rest, value)) };
    Dict::from([(head.to_owned(), value)])
}

fn file_layer(sources: &Sources, layers: &mut ConfigLayers) -> Option<ValueLayer> {
    let path = match sources.file.clone().or_else(|| file_of_variable(&sources.env)) {
        Some(path) => path,
        None => sources.default_file.clone().filter(|path| path.exists())?,
    };
    match read_file(&path) {
        Ok(values) => {
            let source = path.display().to_string();
            let is_key_for_gcs = !stores::has_google_account(&sources.env);
            let values = legacy::modernise(values, &source, is_key_for_gcs, &mut layers.warnings);
            Some(ValueLayer { source, values })
        }
        Err(error) => {
            layers.errors.push(error);
            None
        }
    }
}

fn file_of_variable(env: &[(String, String)]) -> Option<PathBuf> {
    let named = env.iter().find(|(name, value)| name == "FLOWLORD_CONFIG" && !value.is_empty());
    named.map(|(_, value)| PathBuf::from(value))
}

fn read_file(path: &Path) -> Result<Dict, String> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|err| format!("{name} can't be read: {err}"))?;
    let text = bom::skip_mark(&text);
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let values = match extension.to_lowercase().as_str() {
        "json" => serde_json::from_str(text).map_err(|err| err.to_string()),
        // The reference system took these: read as TOML, they would give errors that explain nothing.
        "yaml" | "yml" | "env" => return Err(format!("{name}: write the configuration as TOML or JSON")),
        _ => toml::from_str(text).map_err(|err| err.to_string()),
    };
    values.map_err(|err| format!("{name} can't be read: {err}"))
}

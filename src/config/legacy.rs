//! Configuration written for the reference system, in a file or by flags: each old key maps to its new one, with a
//! warning.

use figment::value::{Dict, Value};

use super::keys;
use super::read::whole;

enum KeyFate {
    Renamed(&'static str),
    Changed(&'static str, fn(&Value) -> Option<String>),
    Gone(&'static str),
    Listen,
    Link,
}

use KeyFate::{Changed, Gone, Link, Listen, Renamed};

const NO_BUS: &str = "workers lease tasks over REST; there is no bus";
const NO_FILE_BUFFER: &str = "files aren't buffered";

// In lower case and without `_` and `-`: the reference matched keys in any case.
const OLD: [(&str, &str, KeyFate); 27] = [
    ("", "statusport", Listen),
    ("", "host", Link),
    ("", "donetopic", Gone(NO_BUS)),
    ("", "failedtopic", Gone("tasks without retries left raise an alert")),
    ("", "filetopic", Gone("file events come by POST /api/v1/files")),
    ("slack", "url", Renamed("notify.url")),
    ("slack", "channel", Renamed("notify.channel")),
    ("slack", "prefix", Renamed("notify.prefix")),
    ("slack", "title", Renamed("notify.title")),
    ("slack", "minfrequency", Changed("notify.min_frequency", new_duration)),
    ("slack", "maxfrequency", Changed("notify.max_frequency", new_duration)),
    ("sqlite", "localpath", Changed("data", new_folder)),
    ("sqlite", "backuppath", Changed("backup.path", new_folder)),
    ("sqlite", "retention", Changed("history.retention", new_duration)),
    ("sqlite", "taskttl", Changed("tasks.ttl", new_duration)),
    ("cache", "localpath", Changed("data", new_folder)),
    ("cache", "backuppath", Changed("backup.path", new_folder)),
    ("cache", "retention", Changed("history.retention", new_duration)),
    ("cache", "taskttl", Changed("tasks.ttl", new_duration)),
    ("file", "accesskey", Renamed("store.s3.access_key")),
    ("file", "secretkey", Renamed("store.s3.secret_key")),
    ("file", "filecompression", Gone(NO_FILE_BUFFER)),
    ("file", "usefilebuf", Gone(NO_FILE_BUFFER)),
    ("file", "filebufdir", Gone(NO_FILE_BUFFER)),
    ("file", "filebufkeepfailed", Gone(NO_FILE_BUFFER)),
    ("file", "jsonauth", Renamed("store.gcs.credentials_file")),
    ("bus", "jsonauth", Gone(NO_BUS)),
];

const OLD_SECTIONS: [&str; 5] = ["slack", "sqlite", "cache", "file", "bus"];

pub(super) fn modernise(values: Dict, source: &str, is_key_for_gcs: bool, warnings: &mut Vec<String>) -> Dict {
    let mut old = Vec::new();
    let mut file = ModernValues { values: Dict::new(), source, warnings };
    for (name, value) in values {
        let plain_name = plain_name(&name);
        match value {
            Value::Dict(_, keys) if OLD_SECTIONS.contains(&plain_name.as_str()) => {
                old.extend(keys.into_iter().map(|(key, value)| (plain_name.clone(), key, value)));
            }
            value if fate_of("", &plain_name).is_some() => old.push((String::new(), name, value)),
            value => drop(file.values.insert(name.to_lowercase(), lower_keys(value))),
        }
    }
    for (section, key, value) in &old {
        file.take(section, key, value);
    }
    // The old access key was for every store.
    if is_key_for_gcs {
        file.take_key_for_gcs(&old);
    }
    file.values
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldFlag {
    pub set: Vec<(String, String)>,
    pub warnings: Vec<String>,
}

/// A flag of the reference system by its name, in which each key was one; none for another.
pub fn old_flag(name: &str, value: &str) -> Option<OldFlag> {
    let (known, source) = (plain_name(name), format!("flag -{name}"));
    let has_fate = OLD.iter().find(|(section, key, _)| known.strip_prefix(section) == Some(*key));
    let (section, key) = match has_fate {
        Some((section, key, _)) => (*section, *key),
        // All flags of the reference's bus begin so, and none has a use here.
        None => ("bus", known.strip_prefix("bus")?),
    };
    let mut warnings = Vec::new();
    let mut flags = ModernValues { values: Dict::new(), source: &source, warnings: &mut warnings };
    flags.take(section, key, &Value::from(value));
    Some(OldFlag { set: flat_values("", &flags.values), warnings })
}

fn flat_values(section: &str, values: &Dict) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (key, value) in values {
        let name = if section.is_empty() { key.clone() } else { format!("{section}.{key}") };
        match value {
            Value::Dict(_, inner) => all.extend(flat_values(&name, inner)),
            value => all.extend(text_of(value).map(|text| (name, text))),
        }
    }
    all
}

/// What a file or flags say under its new keys, and what to say about the old ones.
struct ModernValues<'a> {
    values: Dict,
    source: &'a str,
    warnings: &'a mut Vec<String>,
}

impl ModernValues<'_> {
    fn take(&mut self, section: &str, key: &str, value: &Value) {
        let name = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
        let (new, value) = match fate_of(section, &plain_name(key)) {
            Some(Gone(why)) => return self.warn(&name, &format!("has no use here: {why}")),
            None => return self.warn(&name, "has no use here"),
            Some(Renamed(new)) => (*new, text_of(value)),
            Some(Changed(new, change)) => (*new, change(value)),
            Some(Listen) => ("listen", port_of(value).map(|port| format!("0.0.0.0:{port}"))),
            Some(Link) => ("public_url", text_of(value).map(|host| link_base(&host))),
        };
        match value {
            Some(value) => self.set(&name, new, value),
            None => self.warn(&name, &format!("is now called {new}; nothing is set, so the default applies")),
        }
    }

    fn take_key_for_gcs(&mut self, old: &[(String, String, Value)]) {
        let (Some(name), Some(secret)) = (old_file_key(old, "accesskey"), old_file_key(old, "secretkey")) else {
            return;
        };
        let gcs = self.values.get("store").and_then(|store| store.as_dict()?.get("gcs")?.as_dict());
        let mut keys = gcs.into_iter().flat_map(Dict::keys);
        // With an account or a key of its own for GCS, the old key is that of S3 alone.
        if keys.any(|key| key.starts_with("credentials") || key.ends_with("_key")) {
            return;
        }
        self.set(&name.0, "store.gcs.access_key", name.1);
        self.set(&secret.0, "store.gcs.secret_key", secret.1);
    }

    fn set(&mut self, old: &str, new: &str, value: String) {
        let (sections, key) = new.rsplit_once('.').unwrap_or(("", new));
        let mut place = &mut self.values;
        for section in sections.split('.').filter(|section| !section.is_empty()) {
            let inner = place.entry(section.to_owned()).or_insert_with(|| Value::from(Dict::new()));
            let Value::Dict(_, inner) = inner else { return };
            place = inner;
        }
        if place.contains_key(key) {
            return self.warn(old, &format!("is now called {new}, which is set too: that one is used"));
        }
        let told = format!("is now called {new}: {}", if is_secret(new) { "***" } else { &value });
        let more = if new == "listen" { BEYOND_THIS_MACHINE } else { "" };
        place.insert(key.to_owned(), Value::from(value));
        self.warn(old, &format!("{told}{more}"));
    }

    fn warn(&mut self, old: &str, what: &str) {
        self.warnings.push(format!("{old} in {} {what}", self.source));
    }
}

/// A key of the old section `file`, with the name as it was written.
fn old_file_key(old: &[(String, String, Value)], wanted: &str) -> Option<(String, String)> {
    let (_, key, value) = old.iter().find(|(section, key, _)| section == "file" && plain_name(key) == wanted)?;
    Some((format!("file.{key}"), text_of(value)?))
}

fn fate_of(section: &str, key: &str) -> Option<&'static KeyFate> {
    OLD.iter().find(|(s, old, _)| *s == section && *old == key).map(|(_, _, fate)| fate)
}

fn is_secret(key: &str) -> bool {
    keys::find(key).is_some_and(|key| key.secret)
}

fn plain_name(name: &str) -> String {
    name.to_lowercase().replace(['_', '-', '.'], "")
}

fn lower_keys(value: Value) -> Value {
    match value {
        Value::Dict(tag, keys) => {
            Value::Dict(tag, keys.into_iter().map(|(key, value)| (key.to_lowercase(), lower_keys(value))).collect())
        }
        other => other,
    }
}

fn text_of(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned).filter(|text| !text.is_empty())
}

fn port_of(value: &Value) -> Option<u16> {
    let number = whole(value).and_then(|number| u16::try_from(number).ok());
    number.or_else(|| value.as_str()?.parse().ok()).filter(|port| *port > 0)
}

/// What follows from listening as the reference did.
const BEYOND_THIS_MACHINE: &str = ", on all addresses, as before. Requests from other machines need a token, except for /healthz, \
     /readyz, /status and the login page, and for /metrics if auth.open_metrics is true: the first start prints an \
     admin's, `flowlord token add` creates others. Write listen = \"127.0.0.1:PORT\" to accept requests from this \
     machine only, or auth.allow_anonymous = true where only trusted programs can reach the port";

// Filled in when all layers are read: another one than that of the host may set the port.
const LISTEN_PORT: &str = "{port of listen}";

/// An address in links with the port that is listened on.
pub(super) fn with_port(url: &str, port: u16) -> String {
    url.replace(LISTEN_PORT, &port.to_string())
}

/// What the reference put before the path of its links.
fn link_base(host: &str) -> String {
    let scheme = if host.contains("://") { "" } else { "http://" };
    let has_port = host.rsplit(':').next().is_some_and(|end| end.parse::<u16>().is_ok());
    if has_port { format!("{scheme}{host}") } else { format!("{scheme}{host}:{LISTEN_PORT}") }
}

fn new_duration(value: &Value) -> Option<String> {
    // A bare number was one of nanoseconds, as Go's durations are; zero meant the default.
    let text = text_of(value).or_else(|| whole(value).map(|nanos| format!("{nanos}ns")))?;
    let nothing = flowlord_domain::duration::parse_duration(&text).is_ok_and(|duration| duration.is_zero());
    (!nothing).then_some(text)
}

fn new_folder(value: &Value) -> Option<String> {
    // Old paths named the database file; new ones name the folder that it is in.
    let path = text_of(value)?;
    let (folder, file) = path.rsplit_once('/').unwrap_or((".", &path));
    Some(if file.contains('.') { folder.to_owned() } else { path })
}

//! From what was written to typed values. A value that can't be is an error that names its key, where it was
//! written, and what to write.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use chrono::TimeDelta;
use chrono_tz::Tz;
use figment::Figment;
use figment::value::Value;
use flowlord_domain::escalation::{IntervalFactor, IntervalFactorError};
use flowlord_domain::{bom, duration};
use flowlord_storage::StorageLocation;
use flowlord_web_core::auth::TrustedProxies;

use super::{Secret, legacy};

pub(super) struct ValueReader {
    values: Figment,
    pub(super) errors: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl ValueReader {
    pub(super) fn new(values: Figment, errors: Vec<String>, warnings: Vec<String>) -> Self {
        Self { values, errors, warnings }
    }

    /// Where a value was written; empty for a default.
    pub(super) fn source(&self, key: &str) -> String {
        let metadata = self.values.find_metadata(key);
        metadata.map(|metadata| metadata.name.to_string()).unwrap_or_default()
    }

    /// Whether a key, or any key of a section, is set to something other than its default.
    pub(super) fn is_set(&self, key: &str) -> bool {
        super::keys::KEYS.iter().any(|known| {
            let within = known.name.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
            within && !self.source(known.name).is_empty() && self.text(known.name) != known.default
        })
    }

    pub(super) fn error(&mut self, key: &str, what: &str) {
        let place = self.place(key);
        self.errors.push(format!("{place}: {what}"));
    }

    pub(super) fn warn(&mut self, key: &str, what: &str) {
        let place = self.place(key);
        self.warnings.push(format!("{place}: {what}"));
    }

    fn place(&self, key: &str) -> String {
        match self.source(key) {
            source if source.is_empty() => key.to_owned(),
            source => format!("{key} in {source}"),
        }
    }

    /// What was written, as a text; a list with commas.
    pub(super) fn text(&self, key: &str) -> String {
        self.values.find_value(key).map(|value| text_of(&value)).unwrap_or_default()
    }

    pub(super) fn optional(&self, key: &str) -> Option<String> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    fn parse<T>(&mut self, key: &str, fallback: T, parse: impl FnOnce(&str) -> Result<T, String>) -> T {
        let text = self.text(key);
        parse(text.trim()).unwrap_or_else(|what| {
            // Reading goes on, so that all that is wrong is said at once; the fallback isn't used.
            self.error(key, &what);
            fallback
        })
    }

    pub(super) fn location(&mut self, key: &str) -> StorageLocation {
        let nowhere = StorageLocation::Local(PathBuf::new());
        self.parse(key, nowhere, parse_location)
    }

    pub(super) fn optional_location(&mut self, key: &str) -> Option<StorageLocation> {
        self.optional(key).map(|_| self.location(key))
    }

    pub(super) fn locations(&mut self, key: &str) -> Vec<StorageLocation> {
        let texts = self.list(key);
        self.parse(key, Vec::new(), |_| texts.iter().map(|text| parse_location(text)).collect())
    }

    pub(super) fn folder(&mut self, key: &str) -> PathBuf {
        self.parse(key, PathBuf::new(), |text| match text {
            "" => Err("name a folder, like \"./data\"".to_owned()),
            folder => Ok(PathBuf::from(folder)),
        })
    }

    pub(super) fn duration(&mut self, key: &str, least: TimeDelta, most: TimeDelta) -> TimeDelta {
        self.parse(key, least, |text| duration_within(text, least, most))
    }

    /// The longest pause between summaries.
    pub(super) fn longest_pause(&mut self, key: &str, shortest: TimeDelta) -> TimeDelta {
        if self.text(key).is_empty() {
            // Sixteen times the shortest, as in the reference system: four doublings lead there.
            return shortest * 16;
        }
        let longest = TimeDelta::days(30).max(shortest);
        self.parse(key, shortest, |text| duration_within(text, shortest, longest))
    }

    /// A number of bytes.
    pub(super) fn size(&mut self, key: &str, least: u64, most: u64) -> u64 {
        self.parse(key, least, |text| {
            let size = parse_size(text).filter(|size| (least..=most).contains(size));
            size.ok_or_else(|| format!("`{text}`: write a size from {} to {}", print_size(least), print_size(most)))
        })
    }

    pub(super) fn number(&mut self, key: &str, least: u32, most: u32) -> u32 {
        self.parse(key, least, |text| {
            let number = text.parse().ok().filter(|number| (least..=most).contains(number));
            number.ok_or_else(|| format!("`{text}`: write a number from {least} to {most}"))
        })
    }

    /// How many times as long, or as short; the usual one where nothing is said.
    pub(super) fn factor(&mut self, key: &str, usual: IntervalFactor, down: bool) -> IntervalFactor {
        if self.text(key).is_empty() {
            return usual;
        }
        self.parse(key, usual, |text| {
            let factor: IntervalFactor = text.parse().map_err(|err: IntervalFactorError| err.to_string())?;
            // By a factor of one the interval would never come down again.
            if down && factor < IntervalFactor::LEAST_CHANGE {
                return Err(format!("`{text}` is too small: write {} or more", IntervalFactor::LEAST_CHANGE));
            }
            Ok(factor)
        })
    }

    pub(super) fn names_in(&self, section: &str) -> Vec<String> {
        match self.values.find_value(section) {
            Ok(Value::Dict(_, sections)) => sections.into_keys().collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn switch(&mut self, key: &str) -> bool {
        self.parse(key, false, |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(format!("`{other}`: write true or false")),
        })
    }

    pub(super) fn list(&self, key: &str) -> Vec<String> {
        let text = self.text(key);
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    pub(super) fn address(&mut self, key: &str) -> SocketAddr {
        self.parse(key, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), |text| {
            // A socket address has a number, and the name would need a resolver.
            let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
            let address = local.as_deref().unwrap_or(text).parse();
            address.map_err(|_| format!("`{text}`: write an address with its port, like 127.0.0.1:8080"))
        })
    }

    pub(super) fn proxies(&mut self, key: &str) -> TrustedProxies {
        let items = self.list(key);
        self.parse(key, TrustedProxies::default(), |_| TrustedProxies::parse(&items))
    }

    pub(super) fn timezone(&mut self, key: &str) -> Tz {
        self.parse(key, Tz::UTC, |text| {
            text.parse().map_err(|_| format!("`{text}` is not a time zone: write it like UTC or Europe/Berlin"))
        })
    }

    /// An address for browsers or programs, without the slash at its end.
    pub(super) fn url(&mut self, key: &str) -> Option<String> {
        self.parse(key, None, |text| {
            let with_scheme = ["http://", "https://"].iter().any(|s| text.len() > s.len() && text.starts_with(s));
            match text {
                "" => Ok(None),
                // Paths are put behind it, and begin with a slash.
                url if with_scheme => Ok(Some(url.trim_end_matches('/').to_owned())),
                other => Err(format!("`{other}`: write an address that begins with http:// or https://")),
            }
        })
    }

    pub(super) fn public_url(&mut self, key: &str, port: u16) -> Option<String> {
        self.parse(key, None, |text| match text {
            "" => Ok(None),
            url => flowlord_web_core::base_path::public_url(&legacy::with_port(url, port)).map(Some),
        })
    }

    /// A secret, given itself or as the file that holds it (`KEY_file`).
    pub(super) fn secret(&mut self, key: &str) -> Option<Secret> {
        let file_key = format!("{key}_file");
        let (given, file) = (self.optional(key), self.optional(&file_key));
        match (given, file) {
            (Some(_), Some(_)) => {
                self.error(&file_key, &format!("{key} is set too: keep one of them"));
                None
            }
            (Some(value), None) => Some(Secret::new(value)),
            (None, Some(path)) => match read_secret(&path) {
                Ok(secret) => Some(secret),
                Err(why) => {
                    self.error(&file_key, &why);
                    None
                }
            },
            (None, None) => None,
        }
    }

    pub(super) fn secret_url(&mut self, key: &str) -> Option<Secret> {
        let url = self.secret(key)?;
        if url.expose().starts_with("http://") || url.expose().starts_with("https://") {
            return Some(url);
        }
        // Without the value, which other errors show: it may be the secret itself.
        self.error(key, "write an address that begins with https://");
        None
    }
}

fn read_secret(path: &str) -> Result<Secret, String> {
    let text = std::fs::read_to_string(path).map_err(|err| format!("{path} can't be read: {err}"))?;
    let secret = bom::skip_mark(&text).trim();
    if secret.is_empty() { Err(format!("{path} is empty")) } else { Ok(Secret::new(secret)) }
}

fn parse_location(text: &str) -> Result<StorageLocation, String> {
    StorageLocation::parse(text).map_err(|err| err.to_string())
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(_, text) => text.clone(),
        Value::Bool(_, switch) => switch.to_string(),
        Value::Num(_, number) => match whole(value) {
            Some(number) => number.to_string(),
            None => number.to_f64().unwrap_or_default().to_string(),
        },
        Value::Char(_, letter) => letter.to_string(),
        // Variables and flags can't hold lists: there, too, commas separate the items.
        Value::Array(_, items) => items.iter().map(text_of).collect::<Vec<_>>().join(","),
        Value::Empty(..) | Value::Dict(..) => String::new(),
    }
}

pub(super) fn whole(value: &Value) -> Option<i128> {
    let number = value.to_num()?;
    number.to_i128().or_else(|| number.to_u128()?.try_into().ok())
}

pub(super) const KILOBYTE: u64 = 1_000;

const SIZE_UNITS: [(&str, u64); 5] =
    [("TB", KILOBYTE.pow(4)), ("GB", KILOBYTE.pow(3)), ("MB", KILOBYTE.pow(2)), ("kB", KILOBYTE), ("B", 1)];

fn parse_size(text: &str) -> Option<u64> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    let (_, size) = SIZE_UNITS.iter().find(|(known, _)| known.eq_ignore_ascii_case(unit.trim()))?;
    number.checked_mul(*size)
}

fn print_size(bytes: u64) -> String {
    let whole = SIZE_UNITS.iter().find(|(_, size)| bytes.is_multiple_of(*size));
    whole.map_or_else(String::new, |(unit, size)| format!("{}{unit}", bytes / size))
}

fn duration_within(text: &str, least: TimeDelta, most: TimeDelta) -> Result<TimeDelta, String> {
    let parsed = duration::parse_duration(text).map_err(|err| err.to_string())?;
    if parsed < least || parsed > most {
        let (least, most) = (duration::print_duration(least), duration::print_duration(most));
        return Err(format!("`{text}` is out of range: write {least} to {most}"));
    }
    Ok(parsed)
}

//! JSON objects as senders write them.

use serde_json::{Map, Value};

/// An object whose keys count in any case, and whose values of a wrong type count as missing, as in Go.
#[derive(Debug, Default)]
pub(super) struct JsonFields(pub(super) Map<String, Value>);

impl JsonFields {
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let mut pairs = self.0.iter();
        let any_case = pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        // The spelling that was asked for goes before another one.
        self.0.get(name).or(any_case)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn text(&self, name: &str) -> String {
        self.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    pub(super) fn number(&self, name: &str) -> i64 {
        self.get(name).and_then(Value::as_i64).unwrap_or_default()
    }

    pub(super) fn object(&self, name: &str) -> Option<Self> {
        self.get(name).and_then(Value::as_object).cloned().map(Self)
    }

    /// The objects of a list; none where it is no list of objects.
    pub(super) fn objects(&self, name: &str) -> Option<Vec<Self>> {
        let items = self.get(name)?.as_array()?;
        items.iter().map(|item| item.as_object().cloned().map(Self)).collect()
    }
}

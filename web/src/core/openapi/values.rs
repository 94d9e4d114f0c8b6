//! Schemas of parameters that several operations have.

use serde_json::{Value, json};

/// Several texts, as [`crate::core::params::Params::texts`] reads them.
pub(crate) fn texts() -> Value {
    json!({"type": "array", "items": {"type": "string"}, "maxItems": 64})
}

/// Any of these.
pub(crate) fn one_of(values: &[&str]) -> Value {
    json!({"type": "array", "items": {"type": "string", "enum": values}})
}

pub(crate) fn day_schema() -> Value {
    json!({"type": "string", "format": "date"})
}

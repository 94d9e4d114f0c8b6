//! Schemas of parameters, and examples, that several operations have.

use serde_json::{Value, json};

use crate::limits;

/// Several texts, as [`crate::params::QueryParams::texts`] reads them.
pub fn texts() -> Value {
    json!({"type": "array", "items": {"type": "string"}, "maxItems": limits::MAX_FILTER_VALUES})
}

pub fn one_of(values: &[&str]) -> Value {
    json!({"type": "array", "items": {"type": "string", "enum": values}})
}

pub fn day_schema() -> Value {
    json!({"type": "string", "format": "date"})
}

/// A task as the examples of operations show it.
pub fn task_example() -> Value {
    json!({
        "type": "load", "job": "daily", "info": "?date=2026-03-02", "created": "2026-03-02T12:00:00.000002Z",
        "id": "chain-1", "result": "error", "msg": "no disk", "started": "2026-03-02T12:00:02Z",
        "ended": "2026-03-02T12:00:05Z", "uid": "064c0953867002", "state": "done", "attempt": 2, "delivery": 1,
        "worker": "w1",
    })
}

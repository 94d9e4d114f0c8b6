//! Schemas of parameters, and examples, that several operations have.

use flowlord_domain::NamedValue;
use serde_json::{Value, json};

use crate::limits::{self, names_of};

/// Several texts, as [`crate::params::QueryParams::texts`] reads them.
pub fn texts() -> Value {
    json!({"type": "array", "items": {"type": "string"}, "maxItems": limits::MAX_FILTER_VALUES})
}

pub fn one_of(values: &[&str]) -> Value {
    array_of(json!({"type": "string", "enum": values}))
}

/// Several of the values that have names.
pub fn named_values<T: NamedValue>() -> Value {
    one_of(&names_of::<T>())
}

/// A schema that is one of several.
pub fn any_of<const N: usize>(schemas: [Value; N]) -> Value {
    Value::from_iter([("anyOf", Vec::from(schemas))])
}

pub fn array_of(items: Value) -> Value {
    Value::from_iter([("type", json!("array")), ("items", items)])
}

pub fn one_or_array(schema: Value) -> Value {
    any_of([schema.clone(), array_of(schema)])
}

pub fn day_schema() -> Value {
    json!({"type": "string", "format": "date"})
}

/// A page with one item.
pub(super) fn page_example(item: Value) -> Value {
    Value::from_iter([("items", Value::Array(vec![item])), ("next", Value::Null)])
}

/// An example as the text that error messages show, too.
pub fn example_of(json: &str) -> Value {
    // What can't be read fails the test that compares examples with their schemas.
    serde_json::from_str(json).unwrap_or_else(|_| json!(json))
}

pub fn backload_request_example() -> Value {
    json!({
        "task": "load", "template": "?date={yyyy}-{mm}-{dd}", "by": "day", "from": "2026-01-01", "to": "2026-01-31",
    })
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

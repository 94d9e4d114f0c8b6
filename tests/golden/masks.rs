//! What the cases write in the place of what differs from run to run.

use serde_json::Value;

/// Masks that stand for anything.
const ANYTHING: [&str; 5] = ["<DUR>", "<NOW>", "<UUID>", "<TIME>", "<MASKED>"];

/// Whether a value is the expected one, whatever stands where that has a mask.
pub(crate) fn is_like(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::String(expected), Value::String(got)) => is_text_like(expected, got),
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len() && expected.iter().zip(got).all(|(expected, got)| is_like(expected, got))
        }
        // A list or a map into which nothing was ever put.
        (Value::Null, Value::Array(got)) => got.is_empty(),
        (Value::Array(expected), Value::Null) => expected.is_empty(),
        (Value::Null, Value::Object(got)) => got.is_empty(),
        (Value::Object(expected), Value::Null) => expected.is_empty(),
        (Value::Object(expected), Value::Object(got)) => {
            let same = |(key, expected): (&String, &Value)| got.get(key).is_some_and(|got| is_like(expected, got));
            expected.len() == got.len() && expected.iter().all(same)
        }
        (expected, got) => expected == got,
    }
}

fn is_text_like(expected: &str, got: &str) -> bool {
    let first = |mask: &&str| expected.find(*mask).map(|at| (at, mask.len()));
    let Some((at, len)) = ANYTHING.iter().filter_map(first).min() else { return expected == got };
    let (before, after) = (&expected[..at], &expected[at + len..]);
    let Some(rest) = got.strip_prefix(before) else { return false };
    // What the mask stands for ends where the rest fits.
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| is_text_like(after, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn masks_stand_for_anything() {
        for (expected, got) in [
            (json!("a"), json!("a")),
            (json!("delayed=<DUR>&retry=1"), json!("delayed=12ms&retry=1")),
            (json!(["<NOW>-<UUID>", 1]), json!(["x-y", 1])),
            (json!({ "a": "<MASKED>", "b": null }), json!({ "a": "", "b": [] })),
            (json!([]), json!(null)),
            (json!(null), json!({})),
        ] {
            assert!(is_like(&expected, &got), "{expected} {got}");
        }
    }

    #[test]
    fn all_else_is_the_same() {
        for (expected, got) in [
            (json!("a"), json!("b")),
            (json!("delayed=<DUR>&retry=1"), json!("delayed=12ms&retry=2")),
            (json!("<OTHER>"), json!("x")),
            (json!(null), json!([1])),
            (json!({ "a": 1 }), json!({ "a": 1, "b": 2 })),
            (json!({ "a": 1, "b": 2 }), json!({ "a": 1 })),
            (json!([1, 2]), json!([1])),
            (json!(null), json!("")),
        ] {
            assert!(!is_like(&expected, &got), "{expected} {got}");
        }
    }
}

//! What a file of cases may be made of, so that nothing in it goes unread.

use serde_json::{Map, Value};

/// What a value is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    Bool,
    Text,
    /// A list; null where nothing was ever put into it.
    List,
    /// An object with names of the case's own; null where nothing was ever put into it.
    Map,
    /// An object with these keys at most.
    Keys(&'static [&'static str]),
    /// A list of objects with these keys at most; null where nothing was ever put into it.
    Rows(&'static [&'static str]),
}

/// What the cases of one file look like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    setup: &'static [&'static str],
    input: Form,
    expected: &'static [Form],
    /// What values deeper inside are, by their place in the case; each may be missing, or null.
    inner: &'static [(&'static [&'static str], Form)],
}

impl Shape {
    /// Cases without a setup.
    pub(crate) const fn of(input: Form, expected: &'static [Form]) -> Self {
        Self { setup: &[], input, expected, inner: &[] }
    }

    /// With what values deeper inside are.
    pub(crate) const fn with_inner(self, inner: &'static [(&'static [&'static str], Form)]) -> Self {
        Self { inner, ..self }
    }

    /// With what the cases share.
    pub(crate) const fn with_setup(self, setup: &'static [&'static str]) -> Self {
        Self { setup, ..self }
    }

    /// All that the runner doesn't know of a file, each with its place.
    pub(crate) fn unknown(&self, file: &Value) -> Vec<String> {
        let mut unknown = Vec::new();
        let Some(parts) = file.as_object() else { return vec!["the file isn't an object".to_owned()] };
        keys("the file", parts, &["setup", "cases"], &mut unknown);
        if let Some(setup) = parts.get("setup") {
            self.check_setup(setup, &mut unknown);
        }
        let Some(cases) = parts.get("cases").and_then(Value::as_array) else {
            unknown.push("the file has no list of cases".to_owned());
            return unknown;
        };
        for (n, case) in cases.iter().enumerate() {
            self.case(n, case, &mut unknown);
        }
        unknown
    }

    fn check_setup(&self, setup: &Value, unknown: &mut Vec<String>) {
        let Some(parts) = setup.as_object() else {
            unknown.push("setup isn't an object".to_owned());
            return;
        };
        let odd = parts.keys().filter(|key| {
            // A setup that has workflow files may have files of rows beside them.
            let is_file_of_rows = self.setup.contains(&"files") && key.contains(".json");
            !self.setup.contains(&key.as_str()) && !is_file_of_rows
        });
        unknown.extend(odd.map(|key| format!("setup: unknown key {key:?}")));
    }

    fn case(&self, n: usize, case: &Value, unknown: &mut Vec<String>) {
        let place = case["name"].as_str().map_or_else(|| format!("case {n}"), |name| format!("{name:?}"));
        let Some(parts) = case.as_object() else {
            unknown.push(format!("{place} isn't an object"));
            return;
        };
        keys(&place, parts, &["name", "input", "expected", "error", "note"], unknown);
        fits(&format!("{place}, input"), &case["input"], &[self.input], unknown);
        match parts.get("expected") {
            // The reference has nothing to tell, which is an answer, too.
            Some(Value::Null) => {}
            Some(expected) => fits(&format!("{place}, expected"), expected, self.expected, unknown),
            None if case["error"].is_string() => {}
            None => unknown.push(format!("{place} expects neither a value nor an error")),
        }
        for (path, form) in self.inner {
            let value = path.iter().fold(case, |value, key| &value[*key]);
            if !value.is_null() {
                fits(&format!("{place}, {}", path.join(".")), value, &[*form], unknown);
            }
        }
    }
}

fn keys(place: &str, parts: &Map<String, Value>, known: &[&str], unknown: &mut Vec<String>) {
    let odd = parts.keys().filter(|key| !known.contains(&key.as_str()));
    unknown.extend(odd.map(|key| format!("{place}: unknown key {key:?}")));
}

/// Tells of a value of no known form, or of the unknown keys of an object.
fn fits(place: &str, value: &Value, forms: &[Form], unknown: &mut Vec<String>) {
    for form in forms {
        match (form, value) {
            (Form::Keys(known), Value::Object(parts)) => return keys(place, parts, known, unknown),
            (Form::Rows(known), Value::Array(rows)) => {
                for (n, row) in rows.iter().enumerate() {
                    fits(&format!("{place}, {n}"), row, &[Form::Keys(known)], unknown);
                }
                return;
            }
            (Form::Map, Value::Object(_) | Value::Null)
            | (Form::Bool, Value::Bool(_))
            | (Form::Text, Value::String(_))
            | (Form::List, Value::Array(_) | Value::Null)
            | (Form::Rows(_), Value::Null) => return,
            _ => {}
        }
    }
    unknown.push(format!("{place}: none of {forms:?}"));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SHAPE: Shape = Shape::of(Form::Keys(&["a", "b"]), &[Form::Text, Form::Keys(&["x"])]).with_setup(&["files"]);

    fn unknown(case: &Value) -> Vec<String> {
        SHAPE.unknown(&json!({ "cases": [case] }))
    }

    #[test]
    fn known_shapes_pass() {
        let file = json!({ "setup": { "files": {} }, "cases": [
            { "name": "one", "input": { "a": 1 }, "expected": "text", "note": "of one" },
            { "name": "two", "input": {}, "expected": { "x": 1 }, "error": "and an error" },
            { "name": "three", "input": { "b": 1 }, "error": "only" },
            { "name": "four", "input": {}, "expected": null },
        ]});
        assert_eq!(SHAPE.unknown(&file), Vec::<String>::new());
        let names = Shape::of(Form::Text, &[Form::Map]);
        let file = json!({ "cases": [{ "name": "one", "input": "", "expected": { "any": 1 } }] });
        assert_eq!(names.unknown(&file), Vec::<String>::new());
    }

    #[test]
    fn an_unknown_key_of_a_case_is_told() {
        let case = json!({ "name": "one", "input": {}, "expected": "", "want": 1 });
        assert_eq!(unknown(&case), ["\"one\": unknown key \"want\""]);
    }

    #[test]
    fn an_unknown_key_of_an_input_is_told() {
        let case = json!({ "name": "one", "input": { "a": 1, "c": 2 }, "expected": "" });
        assert_eq!(unknown(&case), ["\"one\", input: unknown key \"c\""]);
    }

    #[test]
    fn an_unknown_key_of_what_is_expected_is_told() {
        let case = json!({ "name": "one", "input": {}, "expected": { "x": 1, "y": 2 } });
        assert_eq!(unknown(&case), ["\"one\", expected: unknown key \"y\""]);
    }

    #[test]
    fn unknown_keys_of_the_file_and_its_setup_are_told() {
        let file = json!({ "setup": { "tasks": [] }, "cases": [], "more": 1 });
        assert_eq!(SHAPE.unknown(&file), ["the file: unknown key \"more\"", "setup: unknown key \"tasks\""]);
        let none = Shape::of(Form::Text, &[]);
        assert_eq!(none.unknown(&json!({ "setup": { "files": {} }, "cases": [] })), ["setup: unknown key \"files\""]);
    }

    #[test]
    fn null_stands_for_a_list_or_a_map_of_nothing() {
        for form in [Form::List, Form::Map, Form::Rows(&["a"])] {
            let shape = Shape::of(form, &[Form::Text]);
            let file = json!({ "cases": [{ "name": "one", "input": null, "expected": "" }] });
            assert_eq!(shape.unknown(&file), Vec::<String>::new(), "{form:?}");
        }
        let text = Shape::of(Form::Text, &[Form::Text]);
        assert_eq!(text.unknown(&json!({ "cases": [{ "name": "one", "input": null, "expected": "" }] })).len(), 1);
    }

    #[test]
    fn an_unknown_key_deeper_inside_is_told() {
        let shape = Shape::of(Form::Keys(&["tasks"]), &[Form::Keys(&["json"])])
            .with_inner(&[(&["input", "tasks"], Form::Rows(&["id"])), (&["expected", "json"], Form::Keys(&["a"]))]);
        let told = |input: Value, expected: Value| {
            shape.unknown(&json!({ "cases": [{ "name": "one", "input": input, "expected": expected }] }))
        };
        assert!(told(json!({ "tasks": [{ "id": 1 }] }), json!({ "json": { "a": 1 } })).is_empty());
        assert!(told(json!({ "tasks": null }), json!({})).is_empty());
        assert_eq!(
            told(json!({ "tasks": [{}, { "di": 1 }] }), json!({ "json": { "b": 1 } })),
            ["\"one\", input.tasks, 1: unknown key \"di\"", "\"one\", expected.json: unknown key \"b\""]
        );
        assert_eq!(told(json!({ "tasks": "text" }), Value::Null).len(), 1);
    }

    #[test]
    fn files_of_rows_may_stand_beside_workflow_files() {
        let setup = json!({ "setup": { "files": {}, "rows.json": [], "x.jsonl.gz": "" }, "cases": [] });
        assert_eq!(SHAPE.unknown(&setup), Vec::<String>::new());
    }

    #[test]
    fn a_value_of_another_kind_is_told() {
        let told = unknown(&json!({ "name": "one", "input": "text", "expected": [1] }));
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(unknown(&json!({ "name": "one", "input": {} })).len(), 1);
        assert_eq!(unknown(&json!(1)), ["case 0 isn't an object"]);
        assert_eq!(SHAPE.unknown(&json!({})), ["the file has no list of cases"]);
        assert_eq!(SHAPE.unknown(&json!([])), ["the file isn't an object"]);
    }
}

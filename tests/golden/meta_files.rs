//! The files of rows that cases name.

use flowlord_domain::glob::Glob;
use flowlord_domain::template::MetaRow;
use serde_json::{Value, json};

/// The rows of a file, or of all files that a path matches: those of the setup, else those that the cases name without
/// giving them. Any other file isn't there.
pub(crate) fn rows(setup: &Value, path: &str) -> Result<Vec<MetaRow>, String> {
    let name = match path {
        "<ROWS>" => "rows.json",
        "<EMPTY>" => "empty.json",
        path => path.strip_prefix("<DIR>/").ok_or_else(|| format!("{path}: outside of the folder"))?,
    };
    let glob = Glob::parse(name).map_err(|err| err.to_string())?;
    let given = setup.as_object().into_iter().flat_map(|setup| setup.keys().map(String::as_str));
    let mut names: Vec<&str> = given.chain(["rows.json", "empty.json"]).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| *name != "files" && glob.matches(name));
    if names.is_empty() {
        return Err(format!("no files found for {path}"));
    }
    let all: Result<Vec<_>, _> = names.into_iter().map(|name| MetaRow::from_json_lines(&text(setup, name))).collect();
    all.map(|all| all.concat()).map_err(|err| err.to_string())
}

/// Whether a path leads to where the reference reads and we don't.
pub(crate) fn is_outside(path: &str) -> bool {
    !["<DIR>/", "<ROWS>", "<EMPTY>"].iter().any(|place| path.starts_with(place)) || path.contains("/../")
}

fn text(setup: &Value, name: &str) -> String {
    match &setup[name] {
        Value::String(text) => text.clone(),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
        _ if name == "rows.json" => ["x", "y"].map(|k| json!({ "k": k }).to_string()).join("\n"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(setup: &Value, path: &str) -> Result<Vec<String>, String> {
        Ok(rows(setup, path)?.into_iter().flat_map(|row| row.0.into_values()).collect())
    }

    #[test]
    fn files_are_those_of_the_setup_and_of_the_masks() {
        let none = Value::Null;
        assert_eq!(values(&none, "<ROWS>").unwrap(), ["x", "y"]);
        assert_eq!(values(&none, "<DIR>/rows.json").unwrap(), ["x", "y"]);
        assert!(values(&none, "<EMPTY>").unwrap().is_empty());
        let setup =
            json!({ "files": {}, "rows.json": ["{\"k\":\"1\"}"], "s.json": "{\"k\":\"2\"}\n\n", "t.json": null });
        assert_eq!(values(&setup, "<ROWS>").unwrap(), ["1"]);
        assert_eq!(values(&setup, "<DIR>/s.json").unwrap(), ["2"]);
        assert_eq!(values(&setup, "<DIR>/*s.json").unwrap(), ["1", "2"]);
        assert!(values(&setup, "<DIR>/t.json").unwrap().is_empty());
    }

    #[test]
    fn any_other_file_is_not_there() {
        for path in ["<DIR>/none.json", "<DIR>/files", "rows.json", "/etc/passwd", "<OTHER>", "<DIR>/x*"] {
            assert!(values(&json!({ "files": {} }), path).is_err(), "{path}");
        }
        assert!(is_outside("/etc/passwd") && is_outside("<DIR>/../x") && !is_outside("<DIR>/none.json"));
    }
}

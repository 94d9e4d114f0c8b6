//! Log lines on stderr: `event=name key=value …`, for people or as JSON.

use std::io::Write as _;

use env_logger::{Builder, Env};
use serde_json::{Map, Value};

use super::out::OutputFormat;

/// What is logged unless `RUST_LOG` or the command says otherwise.
pub(crate) const USUAL: &str = "warn,flowlord=info";

/// Starts logging; `usual` is which lines, unless `RUST_LOG` says so.
pub(crate) fn start(format: OutputFormat, usual: &str) {
    let mut builder = Builder::from_env(Env::default().default_filter_or(usual));
    match format {
        OutputFormat::Text => builder.format_timestamp_millis(),
        OutputFormat::Json => builder.format(|out, record| {
            let time = out.timestamp_millis().to_string();
            let message = record.args().to_string();
            writeln!(out, "{}", json_line(&time, record.level().as_str(), record.target(), &message))
        }),
    };
    // A second logger is refused, which a test that runs two commands may cause.
    let _ = builder.try_init();
}

fn json_line(time: &str, level: &str, target: &str, message: &str) -> Value {
    let mut object = Map::from_iter([
        ("time".to_owned(), Value::from(time)),
        ("level".to_owned(), Value::from(level.to_lowercase())),
        ("target".to_owned(), Value::from(target)),
    ]);
    for (key, value) in parse_fields(message) {
        // A message must not replace the line's own time or level.
        object.entry(key).or_insert(Value::from(value));
    }
    Value::Object(object)
}

/// The fields of a line. What comes before the first one is `message`; a value with spaces goes on until the next
/// field, and a quoted one until its quote.
fn parse_fields(message: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let (word, after) = split_word(rest);
        match word.split_once('=').filter(|(key, _)| is_key(key)) {
            Some((key, value)) => fields.push((key.to_owned(), unquote_value(value))),
            None => match fields.last_mut() {
                Some((_, value)) => {
                    value.push(' ');
                    value.push_str(word);
                }
                None => fields.push(("message".to_owned(), word.to_owned())),
            },
        }
        rest = after.trim_start();
    }
    fields
}

/// A word and what follows it; the spaces of a quoted value are within the word.
fn split_word(text: &str) -> (&str, &str) {
    let quoted_from = text.find("=\"").map(|at| at + 2).filter(|from| is_key(&text[..from - 2]));
    let end = match quoted_from {
        Some(from) => {
            let mut escaped = false;
            let close = text[from..].find(|c| {
                let closes = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                closes
            });
            close.map_or(text.len(), |at| from + at + 1)
        }
        None => text.find(' ').unwrap_or(text.len()),
    };
    text.split_at(end)
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn unquote_value(value: &str) -> String {
    serde_json::from_str::<String>(value).unwrap_or_else(|_| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_fields() {
        let line =
            json_line("t", "INFO", "flowlord", r#"event=lease_lost worker="a \"b\" c" error=no route to host x=1"#);
        assert_eq!(
            line.to_string(),
            r#"{"error":"no route to host","event":"lease_lost","level":"info","target":"flowlord","time":"t","worker":"a \"b\" c","x":"1"}"#
        );
    }

    #[test]
    fn other_lines_are_kept_whole() {
        assert_eq!(parse_fields("listening on a socket"), [("message".into(), "listening on a socket".into())]);
        assert_eq!(parse_fields("a=\"never closed"), [("a".into(), "\"never closed".into())]);
        assert_eq!(parse_fields(""), []);
    }
}

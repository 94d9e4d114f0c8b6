//! What a worker of the reference system writes to its stdout: done tasks, stats of files, and anything else.

use flowlord_domain::TaskResult;
use flowlord_domain::query::Query;
use serde::Deserialize;
use serde_json::Value;

use super::client::{GrantedTask, TaskOutcome};

/// A line of a worker's stdout.
#[derive(Debug, PartialEq)]
pub(super) enum WorkerLine {
    /// The leased task, done.
    Answer(TaskOutcome),
    /// A file that the worker wrote.
    FileStats(Value),
    /// Another task that is done: the answer comes too late.
    LateAnswer(String),
    Print,
}

/// The fields of a done task that count.
#[derive(Debug, Deserialize)]
struct DoneTask {
    result: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    created: String,
    #[serde(default)]
    msg: String,
    #[serde(default)]
    meta: String,
}

/// How the JSON of a task begins, which its launcher writes with the fields in their order.
const TASK_BEGIN: &[u8] = b"{\"type\":";

impl WorkerLine {
    /// Reads a line; `leased` is the task that the worker has in hand.
    pub(super) fn read(line: &[u8], leased: Option<&GrantedTask>) -> Self {
        let whole = serde_json::from_slice::<Value>(line).ok();
        // A print without a line break stands before the answer, which must not be lost for that.
        let value = whole.or_else(|| serde_json::from_slice(&line[find_task(line)?..]).ok());
        let Some(Value::Object(fields)) = &value else { return Self::Print };
        match (fields.contains_key("type"), fields.contains_key("path")) {
            (false, true) => Self::FileStats(value.unwrap_or_default()),
            (true, _) => value
                .and_then(|value| serde_json::from_value(value).ok())
                .map_or(Self::Print, |done: DoneTask| done.into_line(leased)),
            (false, false) => Self::Print,
        }
    }
}

fn find_task(line: &[u8]) -> Option<usize> {
    // Within a text its quotes would be escaped.
    line.windows(TASK_BEGIN.len()).position(|part| part == TASK_BEGIN)
}

impl DoneTask {
    fn into_line(self, leased: Option<&GrantedTask>) -> WorkerLine {
        match leased.filter(|task| task.text("id") == self.id && task.text("created") == self.created) {
            Some(task) => WorkerLine::Answer(self.into_outcome(task)),
            None => WorkerLine::LateAnswer(self.id),
        }
    }

    fn into_outcome(self, leased: &GrantedTask) -> TaskOutcome {
        match self.result.parse::<TaskResult>() {
            Ok(result) => TaskOutcome {
                result: result.as_str(),
                msg: self.msg,
                meta: added_meta(leased.text("meta"), &self.meta),
            },
            Err(_) => TaskOutcome::new(
                "error",
                format!("the worker answered the result `{}`: it must be complete, error, alert or warn", self.result),
            ),
        }
    }
}

/// What a worker added to a task's meta. A launcher gives back the whole of it, its keys in order and nothing escaped, so
/// that an `&` within a value can't be told from one between two pairs. What it was given is known, and left out; the rest
/// is divided at those parts that have an `=`, which each pair has.
fn added_meta(given: &str, returned: &str) -> String {
    if returned == given {
        return String::new();
    }
    let mut rest = returned.to_owned();
    for echo in echoes(given) {
        rest = without_part(&rest, &echo);
    }
    let mut added = Vec::<(&str, String)>::new();
    for part in rest.split('&').filter(|part| !part.is_empty()) {
        match (part.split_once('='), added.last_mut()) {
            (Some((key, value)), _) => added.push((key, value.to_owned())),
            (None, Some((_, value))) => {
                value.push('&');
                value.push_str(part);
            }
            (None, None) => {}
        }
    }
    added.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Query>().to_text()
}

/// The values of each key as a launcher writes them: one after the other, unescaped.
fn echoes(given: &str) -> Vec<String> {
    let given = Query::parse_lenient(given).sorted();
    let mut echoes = Vec::<(String, String)>::new();
    for (key, value) in given.pairs() {
        match echoes.last_mut() {
            Some((last, echo)) if last == key => *echo += &format!("&{key}={value}"),
            _ => echoes.push((key.to_owned(), format!("{key}={value}"))),
        }
    }
    echoes.into_iter().map(|(_, echo)| echo).collect()
}

/// A text without the first occurrence of some of its parts, where that stands between separators.
fn without_part(text: &str, part: &str) -> String {
    let is_between = |&(at, _): &(usize, &str)| {
        let (before, after) = (&text[..at], &text[at + part.len()..]);
        (before.is_empty() || before.ends_with('&')) && (after.is_empty() || after.starts_with('&'))
    };
    match text.match_indices(part).find(is_between) {
        Some((at, _)) => format!("{}{}", &text[..at], text[at + part.len()..].trim_start_matches('&')),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const CREATED: &str = "2024-01-15T06:05:00.123456Z";

    fn leased(meta: &str) -> GrantedTask {
        let task = json!({"type": "load", "info": "i", "id": "c1", "created": CREATED, "meta": meta});
        GrantedTask { lease: "l".into(), attempt: 1, task }
    }

    fn done(fields: &Value) -> String {
        let mut done = json!({"type": "load", "info": "i", "id": "c1", "created": CREATED, "result": "complete"});
        done.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        // As the launcher writes it: the type first.
        format!("{{\"type\":\"load\",{}", &done.to_string()[1..].replace(",\"type\":\"load\"", ""))
    }

    fn read(line: &str) -> WorkerLine {
        WorkerLine::read(line.as_bytes(), Some(&leased("cron=2024-01-15T05&workflow=f.toml")))
    }

    #[test]
    fn a_done_task_that_was_leased_is_its_answer() {
        let answer = done(&json!({"msg": "7 rows", "meta": "cron=2024-01-15T05&rows=7&workflow=f.toml"}));
        let outcome = TaskOutcome { result: "complete", msg: "7 rows".into(), meta: "rows=7".into() };
        assert_eq!(read(&answer), WorkerLine::Answer(outcome.clone()));
        assert_eq!(read(&format!("50% {answer}")), WorkerLine::Answer(outcome), "after a print without its end");
        for (result, kept) in [("error", "error"), ("alert", "alert"), ("warn", "warn"), ("done", "error")] {
            let WorkerLine::Answer(outcome) = read(&done(&json!({"result": result}))) else { panic!("{result}") };
            assert_eq!(outcome.result, kept);
        }
    }

    #[test]
    fn other_lines_are_no_answer() {
        for (line, read_as) in [
            (done(&json!({"id": "c2"})), WorkerLine::LateAnswer("c2".into())),
            (done(&json!({"created": "2024-01-15T06:05:00Z"})), WorkerLine::LateAnswer("c1".into())),
            (r#"{"path":"/a","size":1}"#.to_owned(), WorkerLine::FileStats(json!({"path": "/a", "size": 1}))),
            (r#"{"type":"load"}"#.to_owned(), WorkerLine::Print),
            (r#"{"level":"info"}"#.to_owned(), WorkerLine::Print),
            ("working".to_owned(), WorkerLine::Print),
            (r#"x {"type":"#.to_owned(), WorkerLine::Print),
            (r#"["type"]"#.to_owned(), WorkerLine::Print),
            (String::new(), WorkerLine::Print),
        ] {
            assert_eq!(read(&line), read_as, "{line}");
        }
        assert_eq!(WorkerLine::read(done(&json!({})).as_bytes(), None), WorkerLine::LateAnswer("c1".into()));
    }

    #[test]
    fn meta_that_was_given_is_left_out_and_values_keep_their_signs() {
        for (given, returned, added) in [
            ("a=1&b=2", "a=1&b=2", ""),
            ("q=a%26b&n=50%25", "n=50%&q=a&b", ""),
            ("q=a%26b", "file=s3://b/x+y 1&q=a&b", "file=s3://b/x%2By 1"),
            ("a=1", "a=2", "a=2"),
            ("a=1&a=2", "a=1&a=2&c=x&y", "c=x%26y"),
            ("ba=1", "a=1&ba=1", "a=1"),
            ("", "loose&k=v", "k=v"),
        ] {
            let read = added_meta(given, returned);
            assert_eq!(Query::parse(&read), Query::parse(added), "{given} / {returned}: {read}");
        }
    }

    /// The meta of a launcher, as Go writes it.
    fn returned(given: &Query, added: &[(String, String)]) -> String {
        let mut all = given.clone();
        for (key, value) in added {
            all.set_value(key, value.clone());
        }
        all.sorted().pairs().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("&")
    }

    proptest! {
        /// Only an `=` after an `&` in a value can't be read back.
        #[test]
        fn every_value_that_a_worker_adds_reads_back(
            given in prop::collection::btree_map("[a-c]{1,2}", "[a-z%+&; /.]{0,6}", 0..4),
            added in prop::collection::btree_map("[d-f]{1,2}", "[a-z%+&; /.]{0,6}", 1..4),
        ) {
            let mut query = Query::default();
            given.iter().for_each(|(key, value)| query.push_pair(key, value));
            let added: Vec<_> = added.into_iter().collect();
            let read = added_meta(&query.to_text(), &returned(&query, &added));
            let read = Query::parse(&read).unwrap();
            let pairs: Vec<_> = read.pairs().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            // Signs that separate nothing, at the end of a value or doubled, are lost.
            let clean = |value: &str| value.split('&').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("&");
            let added: Vec<_> = added.iter().map(|(key, value)| (key.clone(), clean(value))).collect();
            let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.clone(), clean(value))).collect();
            prop_assert_eq!(pairs, added);
        }
    }
}

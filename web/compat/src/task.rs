//! `GET /task/{id}`: the attempts of a chain.

use super::{compact, time, time_or_none};
use crate::prelude::*;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ChainDocument<'a> {
    last_update: String,
    completed: bool,
    /// `null` for a chain that nobody knows.
    events: Option<Vec<TaskEvent<'a>>>,
}

/// Task JSON as the reference system wrote it.
#[derive(Serialize)]
struct TaskEvent<'a> {
    #[serde(rename = "type")]
    topic: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    job: &'a str,
    info: &'a str,
    created: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    meta: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    result: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    msg: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    started: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    ended: String,
}

/// The JSON of a chain, from its attempts, oldest first.
pub fn chain(attempts: &[Attempt]) -> String {
    compact(&ChainDocument {
        last_update: time_or_none(attempts.iter().filter_map(last_news).max()),
        completed: attempts.iter().any(|attempt| attempt.result.is_some()),
        // Go writes a list that nothing was put into as `null`.
        events: (!attempts.is_empty()).then(|| attempts.iter().map(event).collect()),
    })
}

/// When an attempt was told of last: its end, while it has none its creation.
fn last_news(attempt: &Attempt) -> Option<DateTime<Utc>> {
    if attempt.result.is_some() { attempt.ended } else { Some(attempt.uid.created_at()) }
}

fn event(attempt: &Attempt) -> TaskEvent<'_> {
    TaskEvent {
        topic: &attempt.topic,
        job: &attempt.job,
        info: &attempt.info,
        created: time(attempt.uid.created_at()),
        id: &attempt.id,
        meta: &attempt.meta,
        result: attempt.result.map_or("", TaskResult::as_str),
        msg: &attempt.msg,
        started: attempt.started.map(time).unwrap_or_default(),
        ended: attempt.ended.map(time).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use flowlord_testkit::sample::{attempt, finished};

    use super::*;

    #[test]
    fn a_chain_tells_its_last_news() {
        let failed = Attempt { meta: "a=1&b=<2>".to_owned(), ..finished(0) };
        insta::assert_snapshot!(chain(&[failed, attempt(9_000_000)]), @r#"{"LastUpdate":"2026-03-02T12:00:09Z","Completed":true,"Events":[{"type":"load","job":"daily","info":"?date=2026-03-02","created":"2026-03-02T12:00:00Z","id":"chain-1","meta":"a=1\u0026b=\u003c2\u003e","result":"error","msg":"no disk","started":"2026-03-02T12:00:02Z","ended":"2026-03-02T12:00:05Z"},{"type":"load","job":"daily","info":"?date=2026-03-02","created":"2026-03-02T12:00:09Z","id":"chain-1","meta":"workflow=main.toml"}]}"#);
    }

    #[test]
    fn a_chain_that_nobody_knows_has_zero_values() {
        assert_eq!(chain(&[]), r#"{"LastUpdate":"0001-01-01T00:00:00Z","Completed":false,"Events":null}"#);
    }
}

//! A task that a person marks complete, in place of its worker.

use crate::decide::WorkerOutcome;
use crate::query::Query;
use crate::task::{Attempt, TaskResult};

/// The attempt that the decision is about: one that wasn't cancelled, and is no dead letter.
pub fn markable_attempt(mut task: Attempt) -> Attempt {
    task.cancelled = false;
    let mut meta = Query::parse_lenient(&task.meta);
    // A complete task must no longer be found among the dead letters.
    if meta.first_value("retry") == Some("failed") {
        meta.remove_key("retry");
        meta.remove_key("retried");
        task.meta = meta.to_text();
    }
    task
}

/// What stands for the result of its worker. `by` is empty where nobody has to say who they are.
pub fn marked_outcome(task: &Attempt, by: &str, note: Option<&str>, meta: String) -> WorkerOutcome {
    let mut msg = "marked complete".to_owned();
    if !by.is_empty() {
        msg.push_str(&format!(" by {by}"));
    }
    if let Some(note) = note {
        msg.push_str(&format!(": {note}"));
    }
    // Only the message still tells the result that is replaced.
    if let Some(result) = task.result {
        let said = if task.msg.is_empty() { String::new() } else { format!(": {}", task.msg) };
        msg.push_str(&format!(" (was {result}{said})"));
    }
    // What ended before ended then: its run time stays.
    WorkerOutcome { result: TaskResult::Complete, msg, meta, started: task.started, ended: task.ended }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::ids::fixed::FixedIds;
    use crate::task::NewTask;

    fn attempt() -> Attempt {
        NewTask::of_new_chain(("load", ""), "w.toml", DateTime::UNIX_EPOCH, &mut FixedIds::default()).into_attempt()
    }

    #[test]
    fn a_dead_letter_or_a_cancelled_attempt_is_none_any_more() {
        let meta = "cron=2024-01-15T05&retried=2&retry=failed".to_owned();
        let marked = markable_attempt(Attempt { cancelled: true, meta, ..attempt() });
        assert_eq!((marked.cancelled, marked.meta.as_str()), (false, "cron=2024-01-15T05"));
        let retry = "delayed=1s&retry=1".to_owned();
        assert_eq!(markable_attempt(Attempt { meta: retry.clone(), ..attempt() }).meta, retry, "it was a retry");
    }

    #[test]
    fn the_message_says_who_and_why_and_what_was_before() {
        let ended = DateTime::from_timestamp(60, 0);
        let failed = Attempt { result: Some(TaskResult::Error), msg: "no disk".to_owned(), ended, ..attempt() };
        for (task, by, note, msg) in [
            (attempt(), "ann", Some("done by hand"), "marked complete by ann: done by hand"),
            (attempt(), "", None, "marked complete"),
            (failed.clone(), "ann", None, "marked complete by ann (was error: no disk)"),
            (Attempt { msg: String::new(), ..failed.clone() }, "", Some("ok"), "marked complete: ok (was error)"),
        ] {
            let outcome = marked_outcome(&task, by, note, String::new());
            assert_eq!((outcome.result, outcome.msg.as_str()), (TaskResult::Complete, msg));
            assert_eq!(outcome.ended, task.ended);
        }
    }
}

//! What is overdue, as what is raised of it.

use chrono::{DateTime, Utc};
use flowlord_domain::query::Query;
use flowlord_domain::task_time::task_time;
use flowlord_domain::{AlertKind, Attempt, NewAlert};
use flowlord_messages::watch::{Breach, WatchInput};

/// Tasks that should be finished.
pub(crate) fn unfinished(input: &WatchInput, now: DateTime<Utc>) -> Vec<Breach> {
    let msg = "INCOMPLETE: unfinished task detected";
    let breach = |task: &Attempt| Breach {
        key: format!("unfinished/{}", task.uid),
        alert: Some(about(task, AlertKind::Unfinished, msg.to_owned(), now)),
    };
    input.unfinished.iter().map(breach).collect()
}

/// Of more unfinished tasks than one look takes, the next look takes the rest.
pub(crate) fn unfinished_until(input: &WatchInput, until: DateTime<Utc>) -> DateTime<Utc> {
    let last = input.unfinished.last().filter(|_| input.more_unfinished);
    last.map_or(until, |last| last.uid.created())
}

fn about(task: &Attempt, kind: AlertKind, msg: String, now: DateTime<Utc>) -> NewAlert {
    NewAlert {
        kind,
        at: now,
        uid: Some(task.uid),
        id: task.id.clone(),
        topic: task.topic.clone(),
        job: task.job.clone(),
        workflow: task.workflow.clone(),
        msg,
        task_time: task_time(&task.info, &Query::lenient(&task.meta)),
        at_once: None,
    }
}

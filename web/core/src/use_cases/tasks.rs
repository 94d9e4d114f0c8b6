//! Tasks that are created, read, run again, cancelled or marked complete.

use std::slice;

use chrono::{DateTime, Utc};
use flowlord_domain::limits::OverlapRule;
use flowlord_domain::mark_complete::marked_outcome;
use flowlord_domain::rerun::{self, Downstream};
use flowlord_domain::{Attempt, NewTask, TaskResult, Uid};
use flowlord_kernel::{Code, Error};
use flowlord_messages::results::{ResultClaim, SubmitResults};
use flowlord_messages::tasks::{CancelTasks, CreateTasks, IdempotencyKey, ReadAttempts, RerunTasks};

use crate::context::WebContext;
use crate::problem::Problem;

pub fn parse_uid(path: &str) -> Result<Uid, Problem> {
    path.parse().map_err(|err| Problem::new(Code::TaskUnknown, format!("`{path}` is not a task: {err}")))
}

pub async fn rerun_task(context: &WebContext, task: &Attempt, downstream: Downstream) -> Result<Attempt, Problem> {
    let answer = rerun_tasks(context, slice::from_ref(task), downstream).await?.pop();
    Ok(answer.ok_or_else(|| Problem::new(Code::Internal, "the task got no answer"))??)
}

/// The new attempts of tasks, each judged alone, in the same order.
pub async fn rerun_tasks(
    context: &WebContext,
    tasks: &[Attempt],
    downstream: Downstream,
) -> Result<Vec<Result<Attempt, Error>>, Error> {
    let now = context.deps.kit.now();
    let mut ids = context.deps.kit.ids();
    let tasks: Vec<NewTask> = tasks.iter().map(|task| rerun::rerun_task(task, downstream, &mut ids, now)).collect();
    // The writer answers ids only: it may have found another free microsecond for a task.
    let expected: Vec<Attempt> = tasks.iter().cloned().map(NewTask::into_attempt).collect();
    let answers = context.deps.writer.call(RerunTasks { now, tasks }).await?;
    let stored = expected.into_iter().zip(answers);
    Ok(stored.map(|(new, answer)| Ok(Attempt { uid: answer?, ..new })).collect())
}

/// Stores new tasks, all or none, and answers them as they are stored.
pub async fn create_tasks(
    context: &WebContext,
    tasks: Vec<NewTask>,
    now: DateTime<Utc>,
    idempotency: Option<IdempotencyKey>,
) -> Result<Vec<Attempt>, Problem> {
    // What is stored is nearly always what was sent, which is answered without reading it back.
    let expected: Vec<Attempt> = tasks.iter().cloned().map(NewTask::into_attempt).collect();
    let create = CreateTasks { now, tasks, slot: None, overlap: OverlapRule::Run, idempotency, alerts: Vec::new() };
    let stored = context.deps.writer.call(create).await?;
    // Not so after a repeated request, and where the writer had to take the next free uid.
    if !stored.repeated && expected.iter().map(|task| task.uid).eq(stored.uids.iter().copied()) {
        return Ok(expected);
    }
    let attempts = context.deps.view_reader.call(ReadAttempts { uids: stored.uids }).await?;
    Ok(attempts.into_iter().flatten().collect())
}

pub async fn read_task(context: &WebContext, uid: Uid) -> Result<Attempt, Problem> {
    let found = context.deps.view_reader.call(ReadAttempts { uids: vec![uid] }).await?.pop().flatten();
    found.ok_or_else(|| {
        let detail = format!("there is no task {uid}; tasks are kept for `history.retention`");
        Problem::new(Code::TaskUnknown, detail)
    })
}

/// Cancels tasks, each judged alone, in the same order.
pub async fn cancel_tasks(
    context: &WebContext,
    uids: Vec<Uid>,
    note: Option<&str>,
) -> Result<Vec<Result<(), Error>>, Error> {
    let note = note.filter(|note| !note.is_empty());
    let msg = note.map_or_else(|| "cancelled".to_owned(), |note| format!("cancelled: {note}"));
    context.deps.writer.call(CancelTasks { now: context.deps.kit.now(), uids, msg }).await
}

/// Cancels a task, and answers how it stands then.
pub async fn cancel_task(context: &WebContext, uid: Uid, note: Option<String>) -> Result<Attempt, Problem> {
    let answer = cancel_tasks(context, vec![uid], note.as_deref()).await?.pop();
    answer.ok_or_else(|| Problem::new(Code::Internal, "the task got no answer"))??;
    // One that is leased only is asked to stop: its worker has the last word.
    read_task(context, uid).await
}

/// Marks a task complete in place of its worker, by the same path as a result; answers how it stands then.
pub async fn complete_task(
    context: &WebContext,
    uid: Uid,
    by: &str,
    note: Option<&str>,
    meta: String,
) -> Result<Attempt, Problem> {
    let task = read_task(context, uid).await?;
    if task.result == Some(TaskResult::Complete) {
        return Err(Problem::new(Code::AlreadyFinished, "the task is complete already"));
    }
    // The message names the result that is replaced, so the writer refuses if another one came meanwhile.
    let claim = ResultClaim::Person { uid, seen: task.result };
    let results = vec![(claim, marked_outcome(&task, by, note, meta))];
    let answer = context.deps.ingest.call(SubmitResults { results }).await?.pop();
    answer.ok_or_else(|| Problem::new(Code::Internal, "the result got no answer"))??;
    read_task(context, uid).await
}

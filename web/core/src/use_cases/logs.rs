//! The logs of tasks: appended by workers, read by people.

use flowlord_domain::Uid;
use flowlord_kernel::Code;
use flowlord_messages::LeaseToken;
use flowlord_messages::leases::{LeaseStanding, ReadLeaseStanding};
use flowlord_messages::logs::{AppendLog, LogText, ReadLog};

use crate::context::WebContext;
use crate::problem::Problem;

/// Appends a piece on behalf of a worker. Answers where the next one goes.
pub async fn append_log(context: &WebContext, lease: LeaseToken, offset: u64, piece: Vec<u8>) -> Result<u64, Problem> {
    // A read and no write: workers send pieces all the time, and the database keeps nothing of them.
    match context.deps.reader.call(ReadLeaseStanding { lease }).await? {
        LeaseStanding::Held => {}
        LeaseStanding::Lost => {
            let detail = "the task went to another worker, or has a result: send the log before the result";
            return Err(Problem::new(Code::LeaseLost, detail));
        }
        LeaseStanding::Unknown => return Err(Problem::new(Code::LeaseUnknown, "there was never such a lease")),
    }
    let appended = context.deps.logs.call(AppendLog { uid: lease.uid, offset, piece }).await?;
    if appended.is_taken {
        return Ok(appended.offset);
    }
    let detail = format!("the log has {} bytes: send what comes after them, with that Upload-Offset", appended.offset);
    Err(Problem::new(Code::LogOffset, detail).with("offset", appended.offset.into()))
}

/// The log of an attempt; none where it has none.
pub async fn find_log(context: &WebContext, uid: Uid) -> Result<Option<LogText>, Problem> {
    Ok(context.deps.logs.call(ReadLog { uid, after: 0, is_followed: false }).await?)
}

pub async fn read_log(context: &WebContext, uid: Uid) -> Result<LogText, Problem> {
    find_log(context, uid).await?.ok_or_else(|| {
        let detail = "the task has no log: its worker sent none, or it was removed (logs.keep, logs.max_total)";
        Problem::new(Code::NoLog, detail)
    })
}

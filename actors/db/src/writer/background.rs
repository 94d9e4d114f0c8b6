//! Long reads that are made beside the owner's thread, on a connection of their own.

use actix::{Context, Handler};
use flowlord_kernel::{Code, Error, KernelActor as _, Reply, Result, guarded};
use flowlord_messages::changelog::{ChangeTail, ReadSegment};
use flowlord_messages::snapshots::{CopyDatabase, DatabaseCopy};

use super::DatabaseOwner;
use crate::changelog::log_point;
use crate::changelog::read::read_tail;
use crate::connection::open_read_only;
use crate::snapshot::copy::copy_while;
use crate::snapshot::error::SnapshotError;

/// Nothing of a damaged database is read. `what` names the work in the answer to a panic.
fn run_in_background<T: Send + 'static>(
    owner: &DatabaseOwner,
    what: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Reply<DatabaseOwner, T> {
    let refusal = owner.damage.refusal_if_seen();
    let ended = async move {
        match refusal {
            Some(damaged) => Ok(Err(damaged)),
            None => actix_rt::task::spawn_blocking(work).await,
        }
    };
    owner.reply_after(ended, move |_, ended, _| {
        ended.unwrap_or_else(|err| Err(Error::new(Code::Internal, format!("{what} failed inside: {err}"))))
    })
}

impl Handler<CopyDatabase> for DatabaseOwner {
    type Result = Reply<Self, DatabaseCopy>;

    fn handle(&mut self, command: CopyDatabase, ctx: &mut Context<Self>) -> Self::Result {
        guarded(self, ctx, |owner, ctx| -> Self::Result {
            // The owner chooses the point of the copy: after all that was sent before.
            owner.flush_queue(ctx);
            let (from, to, damage) = (owner.config.path.clone(), command.to, owner.damage.clone());
            run_in_background(owner, "the copy", move || {
                let copied = copy_while(&from, &to, || damage.seen().is_none());
                if copied.as_ref().is_err_and(SnapshotError::is_damage) {
                    damage.check_source(&from);
                }
                let bytes = copied.map_err(|err| copy_failed(&err))?;
                Ok(DatabaseCopy { log: log_point(&to), path: to, bytes })
            })
        })
    }
}

fn copy_failed(err: &SnapshotError) -> Error {
    let code = match err {
        SnapshotError::Exists(_) => Code::InvalidRequest,
        _ => Code::Storage,
    };
    Error::new(code, err.to_string())
}

impl Handler<ReadSegment> for DatabaseOwner {
    type Result = Reply<Self, ChangeTail>;

    fn handle(&mut self, command: ReadSegment, ctx: &mut Context<Self>) -> Self::Result {
        guarded(self, ctx, |owner, _| -> Self::Result {
            let (path, damage) = (owner.config.path.clone(), owner.damage.clone());
            run_in_background(owner, "reading changed rows", move || {
                let tail = open_read_only(&path)
                    .and_then(|mut connection| read_tail(&mut connection, command.at, command.most));
                tail.map_err(|err| {
                    damage.note_error("a read of changed rows", &err);
                    Error::new(Code::Storage, format!("the changed rows can't be read: {err}"))
                })
            })
        })
    }
}

//! What changed since the web asked last. SQLite itself tells which rows: no command can forget to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::{Context, Handler};
use flowlord_domain::Uid;
use flowlord_kernel::{Result, guarded};
use flowlord_messages::changes::{Changes, TakeChanges};
use rusqlite::Connection;
use rusqlite::hooks::Action;

use crate::owner::Owner;

/// Hears of every row that is written. What is undone later is told all the same: whoever looks, sees what is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch(Arc<Mutex<Changes>>);

impl Watch {
    /// Hears what this connection writes from now on.
    pub(crate) fn on(&self, connection: &Connection) {
        let watch = self.clone();
        let heard = connection.update_hook(Some(move |action, _: &str, table: &str, row| {
            if action != Action::SQLITE_DELETE {
                watch.changes().row(table, row, action == Action::SQLITE_INSERT);
            }
        }));
        if let Err(err) = heard {
            log::error!("event=changes_not_heard error={err:?}");
        }
    }

    pub(crate) fn changes(&self) -> MutexGuard<'_, Changes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

trait Rows {
    fn row(&mut self, table: &str, row: i64, new: bool);
}

impl Rows for Changes {
    /// Tables without row ids aren't told of: their commands say what they do.
    fn row(&mut self, table: &str, row: i64, new: bool) {
        match table {
            "task" => self.task(Uid(row)),
            "alert" if new => self.alert(row),
            // Told, or kept from being told.
            "alert" | "silence" => self.incidents = true,
            "backload" => self.backload(row),
            "file_event" => self.file(row),
            _ => {}
        }
    }
}

impl Handler<TakeChanges> for Owner {
    type Result = Result<Changes>;

    /// Between two transactions, so that what is taken is committed.
    fn handle(&mut self, _: TakeChanges, ctx: &mut Context<Self>) -> Self::Result {
        guarded(self, ctx, |owner, _| Ok(owner.take_changes()))
    }
}

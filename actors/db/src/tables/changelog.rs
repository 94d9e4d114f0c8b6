//! Commands about the change log.

use flowlord_messages::changelog::{ForgetChanges, RestartChangeLog};

use crate::changelog::log::restart_log;
use crate::tables::prelude::*;

impl WriteCommand for RestartChangeLog {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<()> {
        Ok(restart_log(context.connection, self.chain)?)
    }
}

impl WriteCommand for ForgetChanges {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<bool> {
        let known = context.change_rows(
            "UPDATE row_log SET taken = ?2, digest = ?3, entry = max(entry, ?4) WHERE chain = ?1 AND taken <= ?2",
            params![to_signed(self.chain), self.upto, self.digest, to_signed(self.entry)],
        )?;
        if known == 0 {
            // Else the notes of the new log would be removed as if they had been shipped.
            return Err(CommandError::refused(Code::Internal, "a new change log began meanwhile"));
        }
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        // The newest stays, so that the next one's number is higher.
        let rows = context.change_rows(
            "DELETE FROM row_change WHERE seq < min(?1, (SELECT min(seq) FROM row_change) + ?2)",
            params![self.upto, limit],
        )?;
        Ok(rows >= self.limit)
    }
}

//! Tokens: who may use the API.

use flowlord_messages::tokens::{AddToken, ReadTokens, RemoveToken, StoredToken};
use rusqlite::types::Type;

use crate::tables::prelude::*;

impl WriteCommand for AddToken {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<()> {
        let added = context.change_rows(
            "INSERT OR IGNORE INTO token (name, role, hash, created) VALUES (?1, ?2, ?3, ?4)",
            params![self.name, self.role.as_str(), self.hash, micros(self.now)],
        )?;
        if added == 0 {
            let detail = format!("there is already a token named {}: remove it, or choose another name", self.name);
            return Err(CommandError::refused(Code::InvalidRequest, detail));
        }
        Ok(())
    }
}

impl WriteCommand for RemoveToken {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<()> {
        let removed = context.change_rows("DELETE FROM token WHERE name = ?1", [&self.name])?;
        if removed == 0 {
            let detail = format!("there is no token named {}", self.name);
            return Err(CommandError::refused(Code::TokenUnknown, detail));
        }
        Ok(())
    }
}

impl ReadQuery for ReadTokens {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Vec<StoredToken>> {
        connection.read_rows("SELECT name, role, hash, created FROM token ORDER BY name", [], |row| {
            let role: String = row.get(1)?;
            let role =
                role.parse().map_err(|err| rusqlite::Error::FromSqlConversionFailure(1, Type::Text, Box::new(err)))?;
            Ok(StoredToken { name: row.get(0)?, role, hash: row.get(2)?, created: row.time(3)? })
        })
    }
}

//! Who may use the API.

use flowlord_kernel::{Code, Error};
use flowlord_messages::token::{AddToken, RemoveToken};
use rusqlite::params;

use crate::column::micros;
use crate::job::Command;
use crate::store::{Store, Trouble};

impl Command for AddToken {
    type Answer = ();

    fn apply(&mut self, store: &mut Store<'_>) -> Result<(), Trouble> {
        let added = store
            .connection
            .prepare_cached(
                "INSERT OR IGNORE INTO token (name, role, hash, created) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![self.name, self.role.as_str(), self.hash, micros(self.now)])?;
        if added == 0 {
            let detail =
                format!("there is a token of {} already: remove it, or choose another name", self.name);
            return Err(Error::new(Code::InvalidRequest, detail).into());
        }
        Ok(())
    }
}

impl Command for RemoveToken {
    type Answer = ();

    fn apply(&mut self, store: &mut Store<'_>) -> Result<(), Trouble> {
        let removed =
            store.connection.prepare_cached("DELETE FROM token WHERE name = ?1")?.execute([&self.name])?;
        if removed == 0 {
            return Err(Error::new(Code::TokenUnknown, format!("there is no token of {}", self.name)).into());
        }
        Ok(())
    }
}

//! Who may use the API.

use flowlord_messages::token::{ReadTokens, StoredToken};
use rusqlite::Connection;
use rusqlite::types::Type;

use crate::column::time;
use crate::reader::Query;

impl Query for ReadTokens {
    type Answer = Vec<StoredToken>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Vec<StoredToken>> {
        connection
            .prepare_cached("SELECT name, role, hash, created FROM token ORDER BY name")?
            .query_map([], |row| {
                let role: String = row.get(1)?;
                let role = role
                    .parse()
                    .map_err(|err| rusqlite::Error::FromSqlConversionFailure(1, Type::Text, Box::new(err)))?;
                Ok(StoredToken { name: row.get(0)?, role, hash: row.get(2)?, created: time(row.get(3)?) })
            })?
            .collect()
    }
}

//! Rows of meta files.

use std::sync::Arc;

use actix::Handler;
use flowlord_domain::template::Row;
use flowlord_messages::library::MetaRows;
use flowlord_messages::{Code, Error, Result};

use crate::Library;

impl Handler<MetaRows> for Library {
    type Result = Result<Arc<Vec<Row>>>;

    fn handle(&mut self, MetaRows { path }: MetaRows, _: &mut Self::Context) -> Self::Result {
        let detail = format!("the meta file `{path}` can't be read yet: put its rows into `meta`");
        Err(Error::new(Code::InvalidRequest, detail))
    }
}

//! The rows of meta files that children bring.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use flowlord_domain::Attempt;
use flowlord_domain::decide::{Outcome, meta_files};
use flowlord_domain::schedule::RowSource;
use flowlord_domain::template::Row;
use flowlord_domain::workflow::Workflows;
use flowlord_kernel::{Code, Error, Port, Result};
use flowlord_messages::library::MetaRows;
use flowlord_messages::write::Claim;

/// The files of a round, read.
#[derive(Debug, Default)]
pub(crate) struct Rows(HashMap<String, Result<Arc<Vec<Row>>>>);

/// The files that the children of these results bring.
pub(crate) fn needed<'a>(
    workflows: &Workflows,
    results: impl Iterator<Item = &'a (Claim, Outcome)>,
    attempts: &[Option<Attempt>],
) -> BTreeSet<String> {
    let known =
        results.zip(attempts).filter_map(|((_, outcome), attempt)| Some((attempt.as_ref()?, outcome)));
    known.flat_map(|(attempt, outcome)| meta_files(workflows, attempt, outcome)).collect()
}

/// Reads them.
pub(crate) async fn read(port: Port<MetaRows>, paths: BTreeSet<String>) -> Rows {
    let mut rows = HashMap::new();
    for path in paths {
        let read = port.call(MetaRows { path: path.clone() }).await;
        rows.insert(path, read);
    }
    Rows(rows)
}

impl Rows {
    /// Whether all that a result needs was read, or found to be wrong.
    ///
    /// # Errors
    /// Why a file can't be had at the moment: the result is not taken, and comes again.
    pub(crate) fn are_there(
        &self,
        workflows: &Workflows,
        attempt: &Attempt,
        outcome: &Outcome,
    ) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        for path in meta_files(workflows, attempt, outcome) {
            match self.0.get(&path) {
                Some(Err(err)) if err.code != Code::InvalidRequest => return Err(err.clone()),
                Some(_) => {}
                None => return Err(Error::new(Code::Busy, format!("meta-file `{path}` wasn't read yet"))),
            }
        }
        Ok(())
    }
}

impl RowSource for Rows {
    fn rows(&self, path: &str) -> std::result::Result<Vec<Row>, String> {
        match self.0.get(path) {
            Some(Ok(rows)) => Ok(rows.to_vec()),
            Some(Err(err)) => Err(err.detail.clone()),
            None => Err("it wasn't read".to_owned()),
        }
    }
}

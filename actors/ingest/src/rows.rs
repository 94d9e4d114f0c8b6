//! The rows of meta files, one for each child that they make.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use flowlord_domain::Attempt;
use flowlord_domain::decide::{WorkerOutcome, meta_files};
use flowlord_domain::schedule::RowSource;
use flowlord_domain::template::MetaRow;
use flowlord_domain::workflow::Workflows;
use flowlord_kernel::{Code, Error, Result};
use flowlord_messages::clients::LibraryClient;
use flowlord_messages::results::ResultClaim;
use flowlord_messages::workflows::ReadMetaRows;

/// The rows of each file of a round, or why they can't be read.
#[derive(Debug, Default)]
pub(crate) struct MetaFileRows(HashMap<String, Result<Arc<Vec<MetaRow>>>>);

/// The meta files of the children of these results.
pub(crate) fn list_meta_files<'a>(
    workflows: &Workflows,
    results: impl Iterator<Item = &'a (ResultClaim, WorkerOutcome)>,
    attempts: &[Option<Arc<Attempt>>],
) -> BTreeSet<String> {
    let known = results.zip(attempts).filter_map(|((_, outcome), attempt)| Some((attempt.as_ref()?, outcome)));
    known.flat_map(|(attempt, outcome)| meta_files(workflows, attempt, outcome)).collect()
}

impl MetaFileRows {
    pub(crate) async fn read_all(library: LibraryClient, paths: BTreeSet<String>) -> Self {
        let mut rows = HashMap::new();
        for path in paths {
            let read = library.call(ReadMetaRows { path: path.clone() }).await;
            rows.insert(path, read);
        }
        Self(rows)
    }

    /// Checks that all that a result needs was read, or found to be wrong.
    pub(crate) fn check_complete(
        &self,
        workflows: &Workflows,
        attempt: &Attempt,
        outcome: &WorkerOutcome,
    ) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        for path in meta_files(workflows, attempt, outcome) {
            match self.0.get(&path) {
                // It can't be had at the moment: the result is not taken, and comes again. One that is wrong would be
                // wrong then, too: `rows` passes that on.
                Some(Err(err)) if err.code != Code::InvalidRequest => return Err(err.clone()),
                Some(_) => {}
                // Workflows changed since the files were listed.
                None => return Err(Error::new(Code::Busy, format!("meta-file `{path}` wasn't read yet"))),
            }
        }
        Ok(())
    }
}

impl RowSource for MetaFileRows {
    fn rows(&self, path: &str) -> std::result::Result<Vec<MetaRow>, String> {
        match self.0.get(path) {
            Some(Ok(rows)) => Ok(rows.to_vec()),
            Some(Err(err)) => Err(err.detail.clone()),
            None => Err("it wasn't read".to_owned()),
        }
    }
}

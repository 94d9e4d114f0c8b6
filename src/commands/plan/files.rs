//! Workflow files and the rows of meta files, read as the service reads them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono_tz::Tz;
use flowlord_domain::schedule::RowSource;
use flowlord_domain::template::MetaRow;
use flowlord_domain::workflow::{Finding, Severity, WorkflowFile, Workflows};
use flowlord_library::metafiles::MetaFiles;
use flowlord_storage::{StorageConnections, StorageLocation};

use crate::commands::{check, out};

pub(crate) struct ReadOptions {
    /// The zone of cron expressions that name none.
    pub(crate) zone: Tz,
    pub(crate) allowed: Vec<PathBuf>,
    pub(crate) stores: StorageConnections,
}

pub(crate) struct PlanFiles {
    pub(crate) workflows: Workflows,
    meta_files: MetaFiles,
    rows: RefCell<HashMap<String, Result<Vec<MetaRow>, String>>>,
}

impl PlanFiles {
    /// Reads a file, or a folder of them. The paths are relative to the folder, as the service has them; a single
    /// file may be `called` otherwise.
    pub(crate) fn read(path: &str, how: &ReadOptions, called: Option<&str>) -> anyhow::Result<Self> {
        let root = StorageLocation::parse(path)?;
        let mut findings = Vec::new();
        let mut files = Vec::new();
        let found = check::read_contents(&root, &how.stores)?;
        if found.skipped.count() > 0 {
            out::error(&format!("warning: {}", found.skipped.text()));
        }
        for content in found.files {
            let path = called.unwrap_or(&content.path);
            let parsed = match &content.text {
                Ok(text) => WorkflowFile::parse(path, text, &content.hash, how.zone),
                Err(why) => Err(vec![Finding::of_file(&content.path, Severity::Error, why)]),
            };
            match parsed {
                Ok(file) => files.push(Arc::new(file)),
                Err(broken) => findings.extend(broken),
            }
        }
        // A plan without these files would be wrong.
        if !findings.is_empty() {
            anyhow::bail!("{}", complaint(&findings, &root));
        }
        let meta_files = MetaFiles { root, allowed: how.allowed.clone(), stores: how.stores.clone() };
        let workflows = check::read_with_calendars(&meta_files, Workflows::new(files)).0;
        Ok(Self { workflows, meta_files, rows: RefCell::default() })
    }

    fn rows_of(&self, path: &str) -> Result<Vec<MetaRow>, String> {
        let rows = actix_rt::System::new().block_on(self.meta_files.read_rows(path));
        rows.map(Arc::unwrap_or_clone).map_err(|err| {
            // The message that this becomes a part of names the path itself.
            let start = format!("meta-file `{path}`: ");
            err.detail.strip_prefix(&start).unwrap_or(&err.detail).to_owned()
        })
    }
}

fn complaint(findings: &[Finding], root: &StorageLocation) -> String {
    let is_file = root.as_local().is_some_and(Path::is_file);
    let folder = if is_file { root.parent() } else { root.clone() };
    let mut lines = String::new();
    for finding in findings {
        // By a path that an editor opens from here, not the one within the folder.
        let file = folder.join(&finding.file).map_or_else(|_| finding.file.clone(), |at| at.to_string());
        lines.push_str(&check::finding_line(&Finding { file, ..finding.clone() }));
    }
    format!("no plan, because these files can't be read:\n{}", lines.trim_end())
}

impl RowSource for PlanFiles {
    fn rows(&self, path: &str) -> Result<Vec<MetaRow>, String> {
        let mut rows = self.rows.borrow_mut();
        rows.entry(path.to_owned()).or_insert_with(|| self.rows_of(path)).clone()
    }
}

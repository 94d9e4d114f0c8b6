//! Workflow files and the rows of meta files, from this machine.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use chrono_tz::Tz;
use flowlord_domain::schedule::RowSource;
use flowlord_domain::template::Row;
use flowlord_domain::workflow::{Finding, WorkflowFile, Workflows};

use crate::commands::check;

/// As much of a meta file is read.
const MOST: u64 = 64 * 1024 * 1024;

/// Workflow files that were read.
pub(super) struct Folder {
    pub(super) workflows: Workflows,
    /// Where paths of meta files begin.
    root: PathBuf,
    rows: RefCell<HashMap<String, Result<Vec<Row>, String>>>,
}

impl Folder {
    /// Reads a file, or a folder of them. The paths are relative to the folder, as the service has them; a single
    /// file may be `called` otherwise.
    ///
    /// # Errors
    /// What can't be read: a plan without it would be wrong.
    pub(super) fn read(path: &Path, zone: Tz, called: Option<&str>) -> anyhow::Result<Self> {
        let contents = flowlord_library::files::read(path)
            .with_context(|| format!("{} can't be read", path.display()))?;
        let root = if path.is_file() { path.parent().unwrap_or(path).to_owned() } else { path.to_owned() };
        anyhow::ensure!(!contents.is_empty(), "{} holds no workflow files (*.toml)", path.display());
        let mut findings = Vec::new();
        let mut files = Vec::new();
        for content in contents {
            let parsed = match &content.text {
                Ok(text) => WorkflowFile::parse(called.unwrap_or(&content.path), text, &content.hash, zone),
                Err(why) => Err(vec![check::unreadable(&content.path, why)]),
            };
            match parsed {
                Ok(file) => files.push(Arc::new(file)),
                Err(broken) => findings.extend(broken),
            }
        }
        if !findings.is_empty() {
            anyhow::bail!("{}", complaint(&findings, &root));
        }
        Ok(Self { workflows: Workflows::new(files), root, rows: RefCell::default() })
    }

    fn rows_of(&self, path: &str) -> Result<Vec<Row>, String> {
        if path.contains("://")
            || path.ends_with(".gz")
            || path.ends_with(".csv")
            || path.contains(['*', '?', '['])
        {
            return Err(
                "a plan reads JSON lines of this machine only: copy the rows into a local file".to_owned()
            );
        }
        let place = self.root.join(path);
        let mut text = String::new();
        let read = std::fs::File::open(&place).and_then(|file| file.take(MOST + 1).read_to_string(&mut text));
        read.map_err(|err| format!("{} can't be read: {err}", place.display()))?;
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > MOST {
            return Err(format!("{} is larger than 64 MiB: split it", place.display()));
        }
        Row::from_json_lines(&text).map_err(|err| err.to_string())
    }
}

fn complaint(findings: &[Finding], root: &Path) -> String {
    let place = |finding: &Finding| {
        let file = root.join(&finding.file).display().to_string();
        check::line(&Finding { file, ..finding.clone() })
    };
    let lines: String = findings.iter().map(place).collect();
    format!("there is no plan of files that can't be read:\n{}", lines.trim_end())
}

impl RowSource for Folder {
    fn rows(&self, path: &str) -> Result<Vec<Row>, String> {
        let mut rows = self.rows.borrow_mut();
        rows.entry(path.to_owned()).or_insert_with(|| self.rows_of(path)).clone()
    }
}

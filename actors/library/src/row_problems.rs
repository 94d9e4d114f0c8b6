//! Phases of which nothing starts, because no row of their meta file has a key of their template.

use std::collections::BTreeMap;
use std::sync::Arc;

use flowlord_domain::row_keys::MissingKeys;
use flowlord_domain::workflow::{Finding, Phase, Severity, Workflows};

use crate::metafiles::MetaFiles;

/// At most this many phases have their meta file read at each scan.
const MAX_META_FILES_READ: usize = 50;

/// What is wrong, by the workflow and the place of the phase in it.
pub(crate) type RowProblems = BTreeMap<(String, usize), String>;

/// Reads the meta files of this machine. Those of stores are left to the slots: a scan doesn't wait for them. So is a file
/// that can't be read, since it may be there in time, and a child, whose parent may have the key.
pub(crate) async fn find_row_problems(files: &MetaFiles, workflows: &Workflows) -> RowProblems {
    let mut problems = RowProblems::new();
    if files.root.as_local().is_none() {
        return problems;
    }
    let phases = workflows.files().iter().flat_map(|file| file.phases.iter().enumerate());
    for (index, phase) in phases.filter(|(_, phase)| is_checked(phase)).take(MAX_META_FILES_READ) {
        let path = phase.rule.meta_file.as_deref().unwrap_or_default();
        let Ok(rows) = files.read_rows(path).await else { continue };
        if let Some(missing) = MissingKeys::of(&phase.template, &rows, |_| false) {
            let problem = format!("meta-file `{path}`: {missing}; nothing starts");
            problems.insert((phase.workflow.clone(), index), problem);
        }
    }
    problems
}

fn is_checked(phase: &Phase) -> bool {
    !phase.has_parent()
        && phase.rule.first_blocker().is_none()
        && phase.rule.meta_file.iter().any(|path| !path.contains("://"))
}

/// The workflows with these problems at their phases.
pub(crate) fn with_row_problems(workflows: Workflows, problems: &RowProblems) -> Workflows {
    if problems.is_empty() {
        return workflows;
    }
    Workflows::new(workflows.files().iter().map(|file| {
        let of_file = problems.iter().filter(|((path, _), _)| *path == file.path);
        let mut changed = Arc::clone(file);
        for ((path, index), problem) in of_file {
            let file = Arc::make_mut(&mut changed);
            let Some(phase) = file.phases.get_mut(*index) else { continue };
            phase.problems.push(problem.clone());
            file.findings.push(Finding::new(path, phase.template_place(), Severity::Error, problem));
            file.findings.sort();
        }
        changed
    }))
}

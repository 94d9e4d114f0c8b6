//! Expected figures beside the meta that children take from the same task.

use super::{Finding, Phase, Severity, WorkflowFile};
use crate::finding::did_you_mean;
use crate::template::meta_keys;

/// Keys that a phase expects, and its children spell in another way.
pub(super) fn unlike_children(file: &WorkflowFile) -> Vec<Finding> {
    let expecting = file.phases.iter().filter(|phase| !phase.rule.expectations.figures.is_empty());
    expecting.flat_map(|phase| findings_of(file, phase)).collect()
}

fn findings_of(file: &WorkflowFile, phase: &Phase) -> Vec<Finding> {
    let children = file.graph.children_of(&phase.task.topic, &phase.task.job);
    let children = children.into_iter().filter_map(|index| file.phases.get(index));
    let taken: Vec<String> = children.flat_map(keys_of_parent).collect();
    let unlike = phase.rule.expectations.figures.iter().filter(|expected| !taken.contains(&expected.key));
    let hints = unlike.filter_map(|expected| {
        // A number of `files` beside a `file` is no slip.
        let is_plural = |key: &str| key.trim_end_matches('s') == expected.key.trim_end_matches('s');
        let hint = did_you_mean(&expected.key, taken.iter().map(String::as_str).filter(|key| !is_plural(key)));
        let message = format!("`{expected}` is expected, and no child takes `{}`{hint}", expected.key);
        (!hint.is_empty()).then(|| Finding::new(&phase.workflow, phase.places.task, Severity::Warning, message))
    });
    hints.collect()
}

/// What a child takes from the meta of its parent.
fn keys_of_parent(child: &Phase) -> Vec<String> {
    let mut keys = meta_keys(&child.template);
    keys.retain(|key| !child.rule.meta.contains_key(key));
    keys.extend(child.rule.require.iter().cloned());
    keys
}

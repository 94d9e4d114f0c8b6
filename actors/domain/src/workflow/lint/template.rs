//! Tokens that stay as they are, and keys that nobody sets.

use super::{PhaseLint, PlaceInPhase};
use crate::finding::nearest_word;
use crate::template::{is_meta_token, is_time_token, meta_keys};
use crate::workflow::Phase;

/// The tokens, as they are documented.
const TOKENS: [&str; 14] =
    ["yyyy", "yy", "mm", "dd", "hh", "min", "ts", "HOUR_SLUG", "DAY_SLUG", "MONTH_SLUG", "SLUG", "uuid", "host", "pod"];

pub(super) fn template_lints(phase: &Phase) -> Vec<PhaseLint> {
    let template = phase.template.as_str();
    let fragment = template.find('#').filter(|place| *place > 0).unwrap_or(template.len());
    let mut lints: Vec<PhaseLint> = tokens_in(template)
        .filter_map(|(at, token)| {
            let message = match token.strip_prefix("meta:") {
                Some(key) => meta_without_value(phase, key, is_meta_token(token) || is_join_token(phase, key))?,
                None if !is_time_token(token) => unknown_token(token)?,
                None if at > fragment => {
                    format!("`{{{token}}}` stays as it is: tokens after `#` are not replaced; move it before the `#`")
                }
                None => return None,
            };
            Some(PhaseLint::warning(PlaceInPhase::Template(at), message))
        })
        .collect();
    lints.extend(same_tasks(phase));
    lints
}

/// What stands between braces, and where.
fn tokens_in(template: &str) -> impl Iterator<Item = (usize, &str)> {
    template.match_indices('{').filter_map(|(at, _)| {
        let rest = &template[at + 1..];
        // A brace that is followed by another one opens nothing.
        let close = rest.find(['{', '}']).filter(|close| rest[*close..].starts_with('}'))?;
        Some((at, &rest[..close]))
    })
}

/// Braces around anything but a word are meant as they are: they may be JSON.
fn unknown_token(token: &str) -> Option<String> {
    let is_word = !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"_- ".contains(&b));
    let hint = match nearest_word(token.trim(), TOKENS) {
        Some(found) => format!("did you mean `{{{found}}}`?"),
        None => format!("tokens are {{{}}} and {{meta:key}}", TOKENS.join("}, {")),
    };
    is_word.then(|| format!("`{{{token}}}` is not a token and stays as it is: {hint}"))
}

/// Whether a join fills it in: the key of one of its parents.
fn is_join_token(phase: &Phase, key: &str) -> bool {
    let names = phase.parents.iter().map(|parent| &parent.task);
    let mut parts = key.rsplit_once('.').into_iter();
    phase.is_join && parts.any(|(name, _)| names.clone().any(|task| task.topic == name || task.to_string() == name))
}

/// A `{meta:key}` that nobody sets. A parent's worker may set any, and so may the rows of a file.
fn meta_without_value(phase: &Phase, key: &str, is_known: bool) -> Option<String> {
    if !is_known {
        return Some(format!(
            "`{{meta:{key}}}` stays as it is: a key has letters, digits and underscores only; write another one"
        ));
    }
    let rule = &phase.rule;
    let may_come = rule.cron.is_none() || phase.has_parent() || rule.files.is_some() || rule.meta_file.is_some();
    if may_come || rule.meta.contains_key(key) {
        return None;
    }
    Some(if rule.meta.is_empty() {
        format!("`{{meta:{key}}}` stays as it is, nothing sets {key}: add meta={key}:a,b to the rule")
    } else {
        format!("`{{meta:{key}}}` is left empty, nothing sets {key}: add `|{key}:a,b` to the meta of the rule")
    })
}

/// Rows that the template doesn't tell apart start the same task several times.
fn same_tasks(phase: &Phase) -> Option<PhaseLint> {
    let lists = &phase.rule.meta;
    let rows = lists.values().map(Vec::len).max().unwrap_or_default();
    let used = meta_keys(&phase.template);
    let is_plain = phase.rule.first_blocker().is_none() && phase.rule.meta_file.is_none();
    if !is_plain || rows < 2 || used.iter().any(|key| lists.contains_key(key)) {
        return None;
    }
    let key = lists.keys().next()?;
    let message = format!("{rows} identical tasks: use meta in the template, like {{meta:{key}}}");
    Some(PhaseLint::warning(PlaceInPhase::Template(0), message))
}

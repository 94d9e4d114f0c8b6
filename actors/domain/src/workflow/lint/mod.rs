//! What a phase says that can be read, and still isn't what its author wants.

mod template;

use std::collections::HashSet;

use chrono::DateTime;

use super::Phase;
use crate::cron::CronSchedule;
use crate::finding::Severity;
use crate::query::Query;
use crate::rule;

/// One thing that is wrong, by its place in a value of the phase.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PhaseLint {
    pub(super) at: PlaceInPhase,
    pub(super) severity: Severity,
    pub(super) message: String,
}

/// A byte of one of the phase's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlaceInPhase {
    Task(usize),
    DependsOn(usize),
    Rule(usize),
    Template(usize),
}

impl PhaseLint {
    fn error(at: PlaceInPhase, message: String) -> Self {
        Self { at, severity: Severity::Error, message }
    }

    fn warning(at: PlaceInPhase, message: String) -> Self {
        Self { at, severity: Severity::Warning, message }
    }
}

/// All that is wrong with a phase on its own.
pub(super) fn lints_of_phase(phase: &Phase) -> Vec<PhaseLint> {
    let pairs = pairs_of_rule(&phase.rule_text);
    let mut lints = lints_of_names(phase);
    lints.extend(repeated_keys(&pairs));
    lints.extend(pairs.iter().filter_map(|pair| pair.find_lint(phase)));
    lints.extend(template::template_lints(phase));
    lints
}

/// A key of a rule and its value, where they stand.
struct RulePair {
    key: String,
    value: String,
    at: usize,
    value_at: usize,
}

fn pairs_of_rule(rule: &str) -> Vec<RulePair> {
    let mut at = 0;
    let mut pairs = Vec::new();
    for text in rule.split('&') {
        let value_at = at + text.find('=').map_or(text.len(), |equals| equals + 1);
        if let Some((key, value)) = Query::parse_lenient(text).pairs().next() {
            pairs.push(RulePair { key: key.to_ascii_lowercase(), value: value.to_owned(), at, value_at });
        }
        at += text.len() + 1;
    }
    pairs
}

/// Where a rule says what a problem with `key` is about: the value of a known key, else the key; a part that can't
/// be read where there is none.
pub(super) fn place_in_rule(rule: &str, key: &str) -> usize {
    // Of a key that is unknown the key itself is what is wrong.
    let known = rule::RULE_KEYS.iter().any(|known| known.eq_ignore_ascii_case(key));
    let lower = key.to_ascii_lowercase();
    let found = pairs_of_rule(rule).into_iter().find(|pair| {
        let is_documented_form = pair.key.split(':').next() == Some("require") && lower == "require";
        pair.key == lower || is_documented_form
    });
    match found {
        Some(pair) if known => pair.value_at,
        Some(pair) => pair.at,
        None => unreadable_place(rule).unwrap_or_default(),
    }
}

fn unreadable_place(rule: &str) -> Option<usize> {
    let mut at = 0;
    for text in rule.split('&') {
        if let Some(control) = text.find(|c: char| c.is_ascii_control()) {
            return Some(at + control);
        }
        if Query::parse(text).is_err() {
            return Some(at);
        }
        at += text.len() + 1;
    }
    None
}

/// The first value counts, but for lists.
fn repeated_keys(pairs: &[RulePair]) -> Vec<PhaseLint> {
    let mut seen = HashSet::new();
    let known = pairs.iter().filter(|pair| rule::RULE_KEYS.contains(&pair.key.as_str()));
    let single = known.filter(|pair| !["require", "meta", "expect"].contains(&pair.key.as_str()));
    let again = single.filter(|pair| !seen.insert(&pair.key));
    again
        .map(|pair| {
            let message = format!("`{}` is given twice: the first one is used, remove one", pair.key);
            PhaseLint::warning(PlaceInPhase::Rule(pair.at), message)
        })
        .collect()
}

impl RulePair {
    /// What is wrong with a pair in the rule of that phase.
    fn find_lint(&self, phase: &Phase) -> Option<PhaseLint> {
        let rule = &phase.rule;
        let key = self.key.as_str();
        let of_value = self.never_fires(phase).or_else(|| self.misleading_step(phase));
        // One finding a pair: the first says what to change.
        if let Some(lint) = of_value.or_else(|| self.lost_plus(phase)).or_else(|| self.without_unit()) {
            return Some(lint);
        }
        let is_child = phase.has_parent() && rule.cron.is_none() && rule.files.is_none();
        let message = match key {
            "offset" | "for" | "by" if is_child => {
                format!("`{key}` applies only with cron: a child has the task time of its parent; remove it")
            }
            "by" if rule.query.first_any_case("for").is_none() => {
                "`by` is the step of `for`, which is missing: add it, like for=-24h, or remove `by`".to_owned()
            }
            "missed" | "missed_window" | "overlap" | "jitter" if rule.cron.is_none() => {
                format!("`{key}` applies to slots of cron, which is missing: remove it")
            }
            "calendar" | "on" | "not_on" if rule.cron.is_none() && rule.files.is_none() => {
                format!("`{key}` applies to slots of cron, which is missing: remove it")
            }
            "calendar" | "on" | "not_on" if rule.schedule.as_ref().is_some_and(CronSchedule::is_interval) => {
                format!("`{key}` doesn't apply to `@every`: write a cron with five fields")
            }
            "on" if rule.cron.is_some() && rule.calendar.is_none() && rule.query.first_any_case("not_on").is_none() => {
                "`on` says what happens to slots on days off, and there are none: add calendar= or not_on=".to_owned()
            }
            "count" if rule.files.is_none() && rule.count > 0 => {
                "`count` counts files, and there is no `files`: add it, or remove `count`".to_owned()
            }
            "offset" | "for" | "by" | "meta" | "meta-file" if rule.files.is_some() && rule.cron.is_none() => {
                format!("`{key}` doesn't apply to files, only to cron: remove it")
            }
            "jitter" if rule.limits.jitter >= rule.start_by && rule.start_by.is_some() => {
                "`jitter` may start it later than `start_by` allows: make it shorter, or `start_by` longer".to_owned()
            }
            "require" if !phase.has_parent() => {
                "`require` checks what a parent left, and there is none: add dependsOn, or take `require` out"
                    .to_owned()
            }
            "join" | "over" | "join_by" | "join_by_then" | "again" if !phase.is_join && rule.files.is_none() => {
                let remedy = if phase.has_parent() { "add join=all or over=day" } else { "add dependsOn" };
                format!(
                    "`{key}` says how a phase waits for its parents, and this one doesn't wait: {remedy}, or remove it"
                )
            }
            "join_by_then" if rule.join.by.is_none() => {
                "`join_by_then` says what happens at `join_by`, which is missing: add it, like join_by=6h".to_owned()
            }
            "job" if phase.task_text.contains(':') => {
                format!("`job` has no effect where the task names one (`{}`): remove one of them", phase.task_text)
            }
            "expect" => rule.misplaced_expectation(&self.value)?,
            "expect_else" if !rule.expectations.judge_results() => {
                "`expect_else` says what follows from an expectation that isn't met, and there is none: add expect or \
                 min_run, or remove it"
                    .to_owned()
            }
            _ => return None,
        };
        Some(PhaseLint::warning(PlaceInPhase::Rule(self.at), message))
    }

    fn never_fires(&self, phase: &Phase) -> Option<PhaseLint> {
        let schedule = phase.rule.schedule.as_ref().filter(|_| self.key == "cron")?;
        // Any start will do: a schedule that comes at all comes within the eight years that are searched.
        let is_dead = schedule.next_after(DateTime::UNIX_EPOCH).is_none();
        is_dead.then(|| {
            let message =
                format!("cron `{}` never fires: none of its months has such a day; write one that exists", self.value);
            PhaseLint::error(PlaceInPhase::Rule(self.value_at), message)
        })
    }

    fn misleading_step(&self, phase: &Phase) -> Option<PhaseLint> {
        let schedule = phase.rule.schedule.as_ref().filter(|_| self.key == "cron")?;
        let told = schedule.misleading_step(&self.value)?;
        Some(PhaseLint::warning(PlaceInPhase::Rule(self.value_at), format!("cron `{}`: {told}", self.value)))
    }

    /// A plus is a space in a rule. In a schedule it often is meant as one, but not in a zone like `Etc/GMT+10`.
    fn lost_plus(&self, phase: &Phase) -> Option<PhaseLint> {
        let written = phase.rule_text.get(self.value_at..)?.split('&').next()?;
        let at = written.find('+')?;
        if self.key == "cron" {
            let offset = written[at + 1..].split(' ').next()?;
            let zone = written[..at].rsplit_once("TZ=").map(|(_, zone)| format!("{zone}+{offset}"));
            let is_zone = zone.as_deref().is_some_and(|zone| zone.parse::<chrono_tz::Tz>().is_ok());
            let message =
                format!("cron reads `{}`: a `+` in a rule is a space, write the one of the zone as %2B", self.value);
            return is_zone.then(|| PhaseLint::error(PlaceInPhase::Rule(self.value_at + at), message));
        }
        let is_known = rule::RULE_KEYS.contains(&self.key.as_str());
        (is_known || phase.rule.files.is_some()).then(|| {
            let message =
                format!("`{}` reads `{}`: a `+` in a rule is a space; write %2B for a plus", self.key, self.value);
            PhaseLint::warning(PlaceInPhase::Rule(self.value_at + at), message)
        })
    }

    /// What Go makes of a bare number is hardly what anyone means.
    fn without_unit(&self) -> Option<PhaseLint> {
        let is_duration = ["offset", "for"].contains(&self.key.as_str());
        let number: i64 = self.value.parse().ok().filter(|number| is_duration && *number != 0)?;
        let message = format!("{} `{number}` means {number} nanoseconds: write a unit, like {number}h", self.key);
        Some(PhaseLint::warning(PlaceInPhase::Rule(self.value_at), message))
    }
}

/// What stands after the job in `topic:job:more`.
fn more_than_a_job(text: &str, at: fn(usize) -> PlaceInPhase) -> Option<PhaseLint> {
    let (place, _) = text.match_indices(':').nth(1)?;
    let message = format!("`{}` has no effect: a task is `topic` or `topic:job`; remove it", &text[place..]);
    Some(PhaseLint::warning(at(place), message))
}

fn lints_of_names(phase: &Phase) -> Vec<PhaseLint> {
    let mut lints: Vec<PhaseLint> = more_than_a_job(&phase.task_text, PlaceInPhase::Task).into_iter().collect();
    if phase.depends_on.is_some() {
        lints.extend(more_than_a_job(&phase.depends_on_text, PlaceInPhase::DependsOn));
    }
    let parts = [&phase.task.topic, &phase.task.job];
    if let Some(part) = parts.into_iter().find(|part| !is_leasable(part)) {
        let message =
            format!("no worker can lease `{part}`: write 1 to 200 letters, digits, dots, dashes or underscores");
        lints.push(PhaseLint::warning(
            PlaceInPhase::Task(phase.task_text.find(part.as_str()).unwrap_or_default()),
            message,
        ));
    }
    lints
}

/// As the names in a request for a lease.
fn is_leasable(name: &str) -> bool {
    name.len() <= 200 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

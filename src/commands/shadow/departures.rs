//! Where the two differ on purpose: the names that docs/departures.md has, and how each is recognised.

use flowlord_domain::query::Query;
use flowlord_domain::rule::{BatchStep, RULE_KEYS};
use flowlord_domain::workflow::{Phase, Workflows};

// A macro keeps the list for the test complete: no name can be left out of it.
macro_rules! departure_names {
    ($($name:ident = $anchor:literal;)*) => {
        $(pub(super) const $name: &str = $anchor;)*

        #[cfg(test)]
        const ALL: &[&str] = &[$($name),*];
    };
}

// Each is an anchor of docs/departures.md.
departure_names! {
    ALERT_RESULT = "alert-result";
    BAD_PHASE = "bad-phase";
    CHILD_ROWS = "child-rows";
    CIRCLE = "circle";
    CLOCKS = "clocks";
    COUNT = "count";
    DEPENDS_ON = "depends-on";
    DIGITS = "digits";
    DOWNTIME = "downtime";
    EXPAND_ONCE = "expand-once";
    FAILED_TOPIC = "failed-topic";
    FIRST_VALUE = "first-value";
    HASH = "hash";
    JSON_TEXT = "json-text";
    META_JOB = "meta-job";
    MONTHS = "months";
    NO_ALERT = "no-alert";
    OVERWRITTEN = "overwritten";
    OWN_FILE = "own-file";
    PHASE_LISTS = "phase-lists";
    REDIRECT = "redirect";
    REQUIRE = "require";
    RETRY_DELAY = "retry-delay";
    RETRY_FAILED = "retry-failed";
    REVERSED = "reversed";
    ROW_KEY = "row-key";
    RULE_KEYS_CASE = "rule-keys";
    TOKENS = "tokens";
    UNKNOWN_PHASE = "unknown-phase";
    UTC = "utc";
}

/// The first whose condition holds.
fn first_that_holds<const N: usize>(rules: [(bool, &'static str); N]) -> Option<&'static str> {
    rules.into_iter().find_map(|(holds, name)| holds.then_some(name))
}

/// Why a rule isn't read there as it is here.
pub(super) fn of_rule(phase: &Phase) -> Option<&'static str> {
    let rule = &phase.rule;
    let is_known = |key: &str| RULE_KEYS.iter().any(|known| known.eq_ignore_ascii_case(key));
    let is_capital = |key: &str| key != key.to_lowercase();
    first_that_holds([
        (phase.rule_text.to_lowercase().contains("require:"), REQUIRE),
        (rule.query.pairs().any(|(key, _)| is_known(key) && is_capital(key)), RULE_KEYS_CASE),
        (rule.query.pairs().any(|(key, _)| !is_known(key) && is_capital(key)), REDIRECT),
        (phase.rule_text.contains('#'), HASH),
    ])
}

/// Why a phase can't start there at all: the Go program doesn't see the key of the rule that starts it.
pub(super) fn of_unseen_key(phase: &Phase, key: &str) -> Option<&'static str> {
    // The Go program stops reading at `#`, and knows a key in one spelling only.
    let seen = phase.rule_text.split('#').next().unwrap_or_default();
    of_rule(phase).filter(|_| Query::parse_lenient(seen).first_value(key).is_none())
}

/// Why a file isn't read there as it is here.
pub(super) fn of_spelling(text: &str) -> Option<&'static str> {
    let lines = || text.lines().map(str::trim);
    // From the text: the loaded file no longer shows how it was spelled.
    let mut keys = lines().filter_map(|line| Some(line.split_once('=')?.0.trim().to_ascii_lowercase()));
    let mut headings: Vec<_> = lines().filter(|line| line.eq_ignore_ascii_case("[[phase]]")).collect();
    // The Go program loses phases only where both spellings of the heading are in one file.
    headings.dedup();
    first_that_holds([(keys.any(|key| key == "depends_on"), DEPENDS_ON), (headings.len() > 1, PHASE_LISTS)])
}

/// Why the info of a task, rendered from the phase's template, is another one there.
pub(super) fn of_info(phase: &Phase, values: &Query, expected: &str, found: &str) -> Option<&'static str> {
    let count = |token: &str| phase.template.matches(token).count();
    let has_many_digits = |text: &str| text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > 15);
    // Values of JSON come from meta files; `meta=` holds texts.
    let has_rows_of_json = phase.rule.meta_file.is_some();
    first_that_holds([
        (count("{ts}") + count("{UUID}") > 0 || count("{uuid}") > 1, TOKENS),
        (values.pairs().any(|(_, value)| value.contains("{meta:")), EXPAND_ONCE),
        (["~bool", "~map[", "~[]"].iter().any(|mark| found.contains(mark)) && has_rows_of_json, JSON_TEXT),
        (has_many_digits(expected) && has_rows_of_json, DIGITS),
    ])
    .or_else(|| of_rule(phase))
}

/// Why a slot of the phase starts some other tasks there.
pub(super) fn of_times(phase: &Phase) -> Option<&'static str> {
    first_that_holds([
        // Without a span there is one time, which can't drift.
        (phase.rule.by == BatchStep::Month && !phase.rule.span.is_zero(), MONTHS),
        (phase.rule.span < chrono::TimeDelta::zero(), REVERSED),
    ])
}

/// Why a child of the phase isn't started there, or another one is.
pub(super) fn of_child(workflows: &Workflows, phase: &Phase, parent: &Query) -> Option<&'static str> {
    // What one child brings leaks into those after it.
    let siblings = workflows.file_at(&phase.workflow).into_iter().flat_map(|file| &file.phases);
    let has_leak = siblings.filter(|other| other.depends_on == phase.depends_on).any(|other| other.rule.has_rows());
    first_that_holds([
        (phase.rule.has_rows() || has_leak && phase.template.contains("{meta:"), CHILD_ROWS),
        (parent.pairs().any(|(key, _)| parent.all_values(key).count() > 1), FIRST_VALUE),
    ])
    // Where it isn't seen what a child requires, more of them start, never fewer.
    .or_else(|| of_rule(phase).filter(|name| *name != REQUIRE))
}

/// Why a task is started there as a child, and none here.
pub(super) fn of_extra_child(workflows: &Workflows, workflow: &str, topic: &str, job: &str) -> Option<&'static str> {
    let file = workflows.file_at(workflow)?;
    // Several keys of a rule redirect, so the value has to tell.
    let mut redirects = file.phases.iter().filter(|phase| of_rule(phase) == Some(REDIRECT));
    if redirects.any(|phase| phase.rule.query.pairs().any(|(_, value)| value == topic)) {
        return Some(REDIRECT);
    }
    let phase = file.first_phase(topic, job)?;
    first_that_holds([(phase.is_cyclic, CIRCLE), (phase.rule.has_rows(), CHILD_ROWS)]).or_else(|| of_rule(phase))
}

/// Why a failed task is retried there as another phase says.
pub(super) fn of_failure(workflows: &Workflows, workflow: &str, topic: &str, job: &str) -> Option<&'static str> {
    let own = workflows.phase_for(workflow, topic, job)?;
    // The Go program may take the phase of another file: the first one by path.
    let by_path = workflows.phase_for("", topic, job)?;
    let differs = by_path.retry != own.retry || by_path.rule.no_alert != own.rule.no_alert;
    first_that_holds([
        (differs, OWN_FILE),
        // The program died of it.
        (own.rule.retry_delay_text.trim_start().starts_with(['-', '0']), RETRY_DELAY),
    ])
}

/// Why an alert about a failed task is raised only by one.
pub(super) fn of_alert(workflows: &Workflows, workflow: &str, topic: &str, job: &str) -> Option<&'static str> {
    let own = workflows.phase_for(workflow, topic, job);
    // Any value silences there, even `no_alert=false`.
    let is_silent_there =
        |phase: &Phase| phase.rule.query.first_value("no_alert").is_some_and(|value| !value.is_empty());
    let differs = own.is_some_and(|phase| is_silent_there(phase) != phase.rule.no_alert);
    first_that_holds([(differs, NO_ALERT)]).or_else(|| of_failure(workflows, workflow, topic, job))
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use flowlord_domain::workflow::WorkflowFile;

    use super::*;

    #[test]
    fn each_name_is_an_anchor_of_the_page() {
        let page = include_str!("../../../docs/departures.md");
        for name in ALL {
            assert!(page.contains(&format!("<a id=\"{name}\"></a>")), "docs/departures.md has no anchor {name}");
        }
        assert_eq!(page.matches("<a id=").count(), ALL.len(), "an anchor that no comparison names");
    }

    fn workflows(text: &str) -> Workflows {
        Workflows::new([WorkflowFile::parse("w.toml", text, "", Tz::UTC).unwrap().into()])
    }

    fn phase(rule: &str, template: &str) -> Workflows {
        workflows(&format!(
            "[[phase]]\ntask = \"a\"\ndependsOn = \"p\"\nrule = \"{rule}\"\ntemplate = \"{template}\"\n"
        ))
    }

    #[test]
    fn a_departure_of_a_rule_is_seen_in_how_it_is_written() {
        for (rule, name) in [
            ("require={meta:a}", None),
            ("require:{meta:a}", Some(REQUIRE)),
            ("Offset=-4h", Some(RULE_KEYS_CASE)),
            ("Task=x", Some(REDIRECT)),
            ("job=a#b", Some(HASH)),
        ] {
            let workflows = phase(rule, "");
            assert_eq!(workflows.phases().next().and_then(of_rule), name, "{rule}");
        }
    }

    #[test]
    fn a_phase_whose_key_is_not_seen_never_starts() {
        for (rule, name) in [
            ("cron=@daily&Offset=-4h", None),
            ("Cron=@daily", Some(RULE_KEYS_CASE)),
            ("job=x#1&cron=@daily", Some(HASH)),
            ("job=x", None),
        ] {
            let workflows = phase(rule, "");
            assert_eq!(workflows.phases().next().and_then(|phase| of_unseen_key(phase, "cron")), name, "{rule}");
        }
    }

    #[test]
    fn an_alert_departs_only_where_one_of_the_two_is_silent() {
        for (rule, name) in
            [("", None), ("no_alert=true", None), ("no_alert", Some(NO_ALERT)), ("no_alert=false", Some(NO_ALERT))]
        {
            assert_eq!(of_alert(&phase(rule, ""), "w.toml", "a", ""), name, "{rule}");
        }
        for (rule, name) in
            [("retry_delay=1m", None), ("retry_delay=abc", None), ("retry_delay=-5s", Some(RETRY_DELAY))]
        {
            assert_eq!(of_failure(&phase(rule, ""), "w.toml", "a", ""), name, "{rule}");
        }
    }

    #[test]
    fn a_departure_of_a_file_is_seen_in_how_it_is_written() {
        assert_eq!(of_spelling("[[phase]]\ntask = \"a\"\ndepends_on = \"b\"\n"), Some(DEPENDS_ON));
        assert_eq!(of_spelling("[[phase]]\ntask = \"a\"\n[[Phase]]\n"), Some(PHASE_LISTS));
        assert_eq!(of_spelling("[[Phase]]\ntask = \"a\"\ndependsOn = \"b\"\n[[Phase]]\n"), None);
    }

    #[test]
    fn a_departure_of_a_template_is_seen_in_its_tokens_and_values() {
        let name = |rule: &str, template: &str, meta: &str, expected: &str, found: &str| {
            let workflows = phase(rule, template);
            let phase = workflows.phases().next().unwrap();
            of_info(phase, &Query::parse_lenient(meta), expected, found)
        };
        assert_eq!(name("", "{dd}", "a=1", "01", "02"), None);
        assert_eq!(name("", "{ts}", "", "x", "{ts}"), Some(TOKENS));
        assert_eq!(name("", "{uuid}{uuid}", "", "x", "{uuid}"), Some(TOKENS));
        assert_eq!(name("", "{uuid}", "", "x", "y"), None);
        assert_eq!(name("", "{meta:a}", "a={meta:b}", "x", "y"), Some(EXPAND_ONCE));
        assert_eq!(name("meta-file=f", "{meta:a}", "", "true", "true~bool"), Some(JSON_TEXT));
        assert_eq!(name("meta-file=f", "{meta:a}", "", "9007199254740993", "9.007e15"), Some(DIGITS));
        assert_eq!(name("", "{meta:a}", "", "9007199254740993", "9.007e15"), None);
    }

    #[test]
    fn children_depart_by_rows_repeated_keys_and_circles() {
        let name = |rule: &str, template: &str, meta: &str| {
            let workflows = phase(rule, template);
            of_child(&workflows, workflows.phases().next().unwrap(), &Query::parse_lenient(meta))
        };
        assert_eq!(name("meta=k:1,2", "{meta:k}", ""), Some(CHILD_ROWS));
        assert_eq!(name("", "", "a=1&a=2"), Some(FIRST_VALUE));
        assert_eq!(name("", "{meta:k}", "a=1"), None);
        let circle = workflows("[[phase]]\ntask = \"a\"\ndependsOn = \"a\"\n");
        assert_eq!(of_extra_child(&circle, "w.toml", "a", ""), Some(CIRCLE));
        assert_eq!(of_extra_child(&circle, "w.toml", "b", ""), None);
    }
}

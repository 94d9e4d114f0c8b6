//! Workflow files that the reference reads otherwise because of how they are spelled.

use flowlord_domain::query::Query;
use flowlord_domain::rule::RULE_KEYS;
use flowlord_domain::workflow::Phase;

use crate::departures::{self, Departure};

/// By which rule we read a phase's rule where the reference doesn't.
pub(crate) fn of_rule(rule: &str) -> Option<Departure> {
    let lower = rule.to_lowercase();
    if lower.contains("require:") {
        return Some(departures::REQUIRE);
    }
    has_other_case(rule).then_some(departures::RULE_KEYS)
}

/// By which rule we read what starts or follows phases where the reference doesn't.
pub(crate) fn of_phases<'a>(phases: impl IntoIterator<Item = &'a Phase>) -> Option<Departure> {
    phases.into_iter().find_map(|phase| of_rule(&phase.rule_text))
}

/// By which rule we read a whole file.
pub(crate) fn of_file(text: &str) -> Option<Departure> {
    let keys = |wanted: &str| {
        let lower = text.lines().map(|line| line.trim_start().to_ascii_lowercase());
        lower.filter(|line| line.strip_prefix(wanted).is_some_and(|rest| rest.trim_start().starts_with('='))).count()
    };
    if keys("depends_on") > 0 {
        return Some(departures::DEPENDS_ON);
    }
    (headings(text).len() > 1).then_some(departures::PHASE_LISTS)
}

/// The ways in which `[[phase]]` is written.
fn headings(text: &str) -> std::collections::BTreeSet<&str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| line.eq_ignore_ascii_case("[[phase]]")).collect()
}

/// The file as the reference would read it like we do.
pub(crate) fn plain_file<'a>(text: &str, phases: impl IntoIterator<Item = &'a Phase>) -> String {
    let mut plain: String = text
        .lines()
        .map(|line| if line.trim().eq_ignore_ascii_case("[[phase]]") { "[[phase]]" } else { line })
        .flat_map(|line| [line, "\n"])
        .collect();
    for spelling in ["depends_on", "DEPENDS_ON", "Depends_On", "Depends_on"] {
        plain = plain.replace(spelling, "dependsOn");
    }
    for phase in phases.into_iter().filter(|phase| of_rule(&phase.rule_text).is_some()) {
        plain = plain.replace(&phase.rule_text, &plain_rule(&phase.rule_text));
    }
    plain
}

/// The rule with its known keys in small letters, and `require=` for `require:`.
pub(crate) fn plain_rule(rule: &str) -> String {
    let plain = |pair: &str| {
        let end = pair.find(['=', ':']).unwrap_or(pair.len());
        let (key, rest) = pair.split_at(end);
        if !RULE_KEYS.iter().any(|known| known.eq_ignore_ascii_case(key)) {
            return pair.to_owned();
        }
        let key = key.to_ascii_lowercase();
        let require = rest.strip_prefix(':').filter(|_| key == "require");
        require.map_or_else(|| format!("{key}{rest}"), |rest| format!("require={rest}"))
    };
    rule.split('&').map(plain).collect::<Vec<_>>().join("&")
}

/// Whether a known key is written in another case.
pub(crate) fn has_other_case(rule: &str) -> bool {
    let query = Query::parse_lenient(rule);
    let is_known = |key: &str| RULE_KEYS.iter().any(|known| known.eq_ignore_ascii_case(key));
    query.pairs().any(|(key, _)| is_known(key) && key != key.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_written_as_the_reference_reads_it() {
        for (rule, plain) in [
            ("cron=@daily&Offset=-4h", "cron=@daily&offset=-4h"),
            ("Require:{meta:a}&x=Y", "require={meta:a}&x=Y"),
            ("REQUIRE={meta:a}", "require={meta:a}"),
            ("cron=0 0 * * *&Task=x", "cron=0 0 * * *&Task=x"),
        ] {
            assert_eq!(plain_rule(rule), plain, "{rule}");
            assert_eq!(of_rule(plain), None, "{plain}");
        }
        assert_eq!(of_rule("Offset=-4h"), Some(departures::RULE_KEYS));
        assert_eq!(of_rule("require:{meta:a}"), Some(departures::REQUIRE));
    }

    #[test]
    fn a_file_is_written_as_the_reference_reads_it() {
        let text = "[[phase]]\ntask=\"a\"\n[[PHASE]]\ntask=\"b\"\ndepends_on = \"a\"\n";
        assert_eq!(of_file(text), Some(departures::DEPENDS_ON));
        assert_eq!(of_file(&text.replace("depends_on", "dependsOn")), Some(departures::PHASE_LISTS));
        let plain = plain_file(text, []);
        assert_eq!(plain, "[[phase]]\ntask=\"a\"\n[[phase]]\ntask=\"b\"\ndependsOn = \"a\"\n");
        assert_eq!(of_file(&plain), None);
    }
}

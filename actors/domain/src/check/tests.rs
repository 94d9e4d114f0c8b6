//! One case per kind of finding, with the line that is printed for it.

use std::sync::Arc;

use chrono_tz::Tz;

use super::*;
use crate::workflow::WorkflowFile;

fn findings(text: &str) -> Vec<String> {
    let found = match WorkflowFile::parse("w.toml", text, "", Tz::UTC) {
        Ok(file) => check_workflows(&Workflows::new([Arc::new(file)])),
        Err(broken) => broken,
    };
    let mark = |finding: &Finding| match finding.severity {
        Severity::Error => finding.to_string(),
        Severity::Warning => format!("{finding} (warning)"),
    };
    found.iter().map(mark).collect()
}

/// The one finding of a file.
fn finding(text: &str) -> String {
    let found = findings(text);
    assert_eq!(found.len(), 1, "{text}: {found:?}");
    found.into_iter().next().unwrap()
}

/// The finding of a phase with that rule in line 3, from its column on.
fn of_rule(rule: &str) -> String {
    let text = format!("[[phase]]\ntask = \"a\"\nrule = \"{rule}\"\ntemplate = \"{{meta:k}}\"\n");
    of_line(&text, 3)
}

/// The finding of a phase that starts each day with that template in line 3, from its column on.
fn of_template(template: &str) -> String {
    of_line(&format!("[[phase]]\ntask = \"a\"\ntemplate = '{template}'\nrule = \"cron=@daily\"\n"), 3)
}

fn of_line(text: &str, line: usize) -> String {
    let start = format!("w.toml:{line}:");
    let found = findings(text);
    let mut of_line = found.iter().filter_map(|finding| finding.strip_prefix(&start));
    let first = of_line.next().unwrap_or_else(|| panic!("{text}: {found:?}"));
    assert_eq!(of_line.next(), None, "{found:?}");
    first.to_owned()
}

#[test]
fn a_good_file_has_none() {
    let text = "[[phase]]\ntask = \"a:b\"\nrule = \"cron=5 * * * *&offset=-1h&for=-24h&by=hour&meta=k:1,2&missed=all\"\n\
                template = \"{meta:k}?{yyyy}-{mm}-{dd}T{hh}:{min} {ts} {HOUR_SLUG} {DAY_SLUG} {uuid} {host} {pod} {\\\"a\\\":1}#x\"\n\
                [[phase]]\ntask = \"c\"\ndependsOn = \"a\"\nrule = \"require={meta:file}&retry_delay=exp:1s,max=1m\"\n\
                template = \"{meta:file}\"\nretry = 3\n";
    assert_eq!(findings(text), Vec::<String>::new());
}

#[test]
fn what_is_no_toml() {
    assert_eq!(finding("[[phase]]\ntask = a\n"), "w.toml:2:8: string values must be quoted, expected literal string");
    assert_eq!(
        finding("[[phase]]\ntask = \"a\"\ntask = \"b\"\n"),
        "w.toml:3:1: duplicate key: remove one of them, or write [[phase]] before the next phase"
    );
    assert_eq!(finding("[phase]\ntask = \"a\"\n"), "w.toml:1:2: `phase` is a table: write [[phase]] before each phase");
    assert_eq!(
        finding("[[phase]]\ntask = \"日\"\nretry = \"3\"\n"),
        "w.toml:3:9: `retry` is how often a failed task is retried: write a number, like 3"
    );
    assert_eq!(finding("[[phase]]\ntask = 5\n"), "w.toml:2:8: `task` is a number: write a text in quotes");
    assert_eq!(finding("\u{feff}"), "w.toml:1:1: the file begins with a byte order mark: save it as UTF-8 without one");
}

#[test]
fn unknown_keys() {
    let phase = |line: &str| of_line(&format!("[[phase]]\ntask = \"a\"\nrule = \"cron=@daily\"\n{line}\n"), 4);
    assert_eq!(phase("retries = 3"), "1: `retries` is unknown: did you mean `retry`? (warning)");
    assert_eq!(
        phase("on = 1"),
        "1: `on` is unknown: write one of task, dependsOn, rule, retry, template, owner, runbook, doc (warning)"
    );
    assert_eq!(
        finding("[[phases]]\ntask = \"a\"\n"),
        "w.toml:1:3: `phases` is unknown: did you mean `phase`? (warning)"
    );
    assert_eq!(
        of_rule("cron=@daily&meta=k:1&Ofset=-1h"),
        "30: rule key `Ofset` is unknown: did you mean `offset`? (warning)"
    );
    let none_like_it = of_rule("cron=@daily&meta=k:1&x=1");
    assert!(none_like_it.starts_with("30: rule key `x` is unknown: write one of cron, offset,"), "{none_like_it}");
}

#[test]
fn tasks_that_can_t_be() {
    let task = |task: &str| of_line(&format!("[[phase]]\ntask = \"{task}\"\nrule = \"cron=@daily\"\n"), 2);
    assert_eq!(task(""), "8: the phase has no task: write task = \"topic\" or \"topic:job\"");
    assert_eq!(
        task("a:b c"),
        "11: no worker can lease `b c`: write 1 to 200 letters, digits, dots, dashes or underscores (warning)"
    );
    assert_eq!(task("a:b:c"), "12: `:c` has no effect: a task is `topic` or `topic:job`; remove it (warning)");
}

#[test]
fn parents_and_circles() {
    assert_eq!(
        finding("[[phase]]\ntask = \"load\"\nrule = \"cron=@daily\"\n[[phase]]\ntask = \"b\"\ndependsOn = \"laod\"\n"),
        "w.toml:6:13: parent task not found: laod: did you mean `load`?"
    );
    assert_eq!(
        finding("[[phase]]\ntask = \"b\"\ndependsOn = \"x\"\n"),
        "w.toml:3:13: parent task not found: x: a parent must be in the same file, write one of them"
    );
    let circle = |tasks: &[&str]| -> Vec<String> {
        let parents = tasks.iter().cycle().skip(tasks.len() - 1);
        let phase = |(task, parent)| format!("[[phase]]\ntask = \"{task}\"\ndependsOn = \"{parent}\"\n");
        findings(&tasks.iter().zip(parents).map(phase).collect::<String>())
    };
    assert_eq!(
        circle(&["a", "b", "c:j"])[1],
        "w.toml:6:13: b depends on itself: b -> c:j -> a -> b: this cycle starts nothing, remove one dependsOn"
    );
    let long = circle(&["a", "b", "c", "d", "e", "f", "g", "h"]);
    assert!(long[0].contains(": a -> b -> c -> d -> e -> f -> ... -> a: "), "{long:?}");
}

#[test]
fn the_same_phase_twice() {
    let phase = "[[phase]]\ntask = \"a\"\nrule = \"cron=@daily\"\ntemplate = \"x\"\n";
    assert_eq!(
        finding(&phase.repeat(2)),
        "w.toml:6:8: the same phase is on line 1: its tasks would start twice, remove one of them (warning)"
    );
    // Two schedules of one task, two tasks of one schedule.
    assert!(findings(&(phase.to_owned() + &phase.replace("daily", "hourly"))).is_empty());
    assert!(findings(&(phase.to_owned() + &phase.replace("x", "y"))).is_empty());
}

#[test]
fn schedules() {
    assert_eq!(
        of_rule("cron=0 0 32 * *&meta=k:1"),
        "14: invalid cron: 0 0 32 * *: day of month `32` is out of range: 1 to 31, low before high"
    );
    for cron in ["0 0 30 2 *", ", * * * *", "CRON_TZ=Europe/Berlin 0 0 31 4,6 ?"] {
        assert_eq!(
            of_rule(&format!("meta=k:1&cron={cron}")),
            format!("23: cron `{cron}` never fires: none of its months has such a day; write one that exists")
        );
    }
    assert!(findings("[[phase]]\ntask = \"a\"\nrule = \"cron=0 0 29 2 *\"\n").is_empty());
    assert_eq!(
        of_rule("meta=k:1&cron=@daily&cron=@hourly"),
        "30: `cron` is given twice: the first one is used, remove one (warning)"
    );
}

#[test]
fn steps_that_a_field_cannot_hold() {
    assert_eq!(
        of_rule("cron=*/90 * * * *"),
        "14: cron `*/90 * * * *`: the step of `*/90` is larger than the 60 values of the minute field that it steps \
         through: it fires every hour at :00; write `@every 90m` for every 90 minutes (warning)"
    );
    assert_eq!(
        of_rule("cron=*/45 * * * *"),
        "14: cron `*/45 * * * *`: `*/45` starts anew with each hour: its times are 45 and 15 minutes apart; write \
         `@every 45m` for every 45 minutes (warning)"
    );
}

#[test]
fn a_plus_is_a_space() {
    assert_eq!(
        of_rule("cron=CRON_TZ=Etc/GMT+10 0 3 * * *"),
        "29: cron reads `CRON_TZ=Etc/GMT 10 0 3 * * *`: a `+` in a rule is a space, write the one of the zone as %2B"
    );
    assert_eq!(
        of_rule("cron=@daily&meta-file=a+b.json"),
        "32: `meta-file` reads `a b.json`: a `+` in a rule is a space; write %2B for a plus (warning)"
    );
    for rule in ["cron=0+0+*+*+*", "cron=CRON_TZ=UTC+0+3+*+*+*", "cron=CRON_TZ=Etc/GMT%2B10 0 3 * * *"] {
        assert!(
            findings(&format!("[[phase]]\ntask = \"a\"\nrule = \"{rule}\"\ntemplate = \"x\"\n")).is_empty(),
            "{rule}"
        );
    }
}

#[test]
fn files() {
    assert_eq!(
        of_rule("k=1&files=/in/[.csv"),
        "19: files: `[` in `/in/[.csv` opens no class: write one like [a-z] or [^a-z], or \\[ for the character; \
         no file can start it"
    );
    assert_eq!(of_rule("k=1&files=/in/*&count=1001"), "31: count `1001` is too large: write 1000 or less");
    assert_eq!(
        of_rule("k=1&files=/in/*&offset=-1h"),
        "25: `offset` doesn't apply to files, only to cron: remove it (warning)"
    );
}

#[test]
fn values_of_a_rule() {
    let value = |pair: &str| of_rule(&format!("cron=@daily&meta=k:1,2&{pair}"));
    let cases = [
        ("offset=1x", "39: offset: `1x` is not a duration: write it like 250ms, 90s, 1h30m or -4h"),
        ("offset=-4", "39: offset `-4` means -4 nanoseconds: write a unit, like -4h (warning)"),
        ("for=day", "36: for: `day` is not a duration: write it like 250ms, 90s, 1h30m or -4h"),
        ("for=2h&by=year", "42: by `year` is unknown, day is used: write hour, day, week or month (warning)"),
        (
            "retry_delay=soon",
            "44: retry_delay: `soon` is not a duration: write it like 250ms, 90s, 5m, 4h or 90d; 1 second is used instead",
        ),
        ("missed=some", "39: missed `some` is unknown: write none, latest or all"),
        ("missed_window=6", "46: missed_window: `6` is not a duration: write it like 250ms, 90s, 5m, 4h or 90d"),
        ("missed_window=0s", "46: missed_window `0s` is not positive: write a duration like 1h"),
        ("count=3", "32: `count` counts files, and there is no `files`: add it, or remove `count` (warning)"),
        ("count=all", "38: count `all` is not a whole number and is ignored: write one, like 24 (warning)"),
        (
            "x=%zz",
            "32: invalid rule format: cron=@daily&meta=k:1,2&x=%zz: `%zz` in `x=%zz` is not an escape: write a percent sign as %25",
        ),
        ("by=hour", "32: `by` is the step of `for`, which is missing: add it, like for=-24h, or remove `by` (warning)"),
        (
            "require={meta:k}",
            "32: `require` checks what a parent left, and there is none: add dependsOn, or take `require` out (warning)",
        ),
    ];
    for (pair, expected) in cases {
        assert_eq!(value(pair), expected);
    }
    assert_eq!(
        of_rule("cron=@daily&meta=k:1,2|n:1"),
        "26: inconsistent lengths in meta 2 != 1: give each list the same number of values"
    );
    assert_eq!(of_rule("cron=@daily&meta=k"), "26: `k` is not a list: write it like key:a,b,c");
    assert_eq!(of_rule("cron=@daily&meta=k:1&meta-file=f"), "40: meta and meta-file are both given: use one of them");
    assert_eq!(of_rule("retry_delay=1s"), "8: non-scheduled phase: use depends_on, cron or files (warning)");
}

#[test]
fn keys_that_do_nothing_where_they_are() {
    let child = |task: &str, rule: &str| {
        let parent = "[[phase]]\ntask = \"p\"\nrule = \"cron=@daily\"\n";
        of_line(&format!("{parent}[[phase]]\ntask = \"{task}\"\ndependsOn = \"p\"\nrule = \"{rule}\"\n"), 7)
    };
    assert_eq!(
        child("c", "offset=-1h"),
        "9: `offset` applies only with cron: a child has the task time of its parent; remove it (warning)"
    );
    assert_eq!(child("c", "missed=all"), "9: `missed` applies to slots of cron, which is missing: remove it (warning)");
    assert_eq!(
        child("c", "require=file"),
        "17: require `file` names no key: write it like require={meta:file} (warning)"
    );
    assert_eq!(
        child("c:d", "job=e"),
        "9: `job` has no effect where the task names one (`c:d`): remove one of them (warning)"
    );
}

#[test]
fn templates() {
    assert_eq!(
        of_template("?{yyy}"),
        "14: `{yyy}` is not a token and stays as it is: did you mean `{yyyy}`? (warning)"
    );
    assert_eq!(
        of_template("?{day_slug}"),
        "14: `{day_slug}` is not a token and stays as it is: did you mean `{DAY_SLUG}`? (warning)"
    );
    let none_like_it = of_template("{x}");
    assert!(
        none_like_it.starts_with("13: `{x}` is not a token and stays as it is: tokens are {yyyy}, "),
        "{none_like_it}"
    );
    assert_eq!(
        of_template("a#{dd}"),
        "15: `{dd}` stays as it is: tokens after `#` are not replaced; move it before the `#` (warning)"
    );
    assert_eq!(
        of_template("日 {meta:my-key}"),
        "15: `{meta:my-key}` stays as it is: a key has letters, digits and underscores only; write another one (warning)"
    );
    assert_eq!(
        of_template("{{meta:file}"),
        "14: `{meta:file}` stays as it is, nothing sets file: add meta=file:a,b to the rule (warning)"
    );
    assert_eq!(
        finding("[[phase]]\ntask = \"a\"\nrule = \"cron=@daily&meta=k:1,2\"\ntemplate = \"{meta:k}{meta:n}\"\n"),
        "w.toml:4:21: `{meta:n}` is left empty, nothing sets n: add `|n:a,b` to the meta of the rule (warning)"
    );
    assert_eq!(
        finding("[[phase]]\ntask = \"a\"\nrule = \"cron=@daily&meta=k:1,2\"\ntemplate = \"{dd}\"\n"),
        "w.toml:4:13: 2 identical tasks: use meta in the template, like {meta:k} (warning)"
    );
    // The rows of a file and a parent's worker may set any key.
    for rest in ["rule = \"cron=@daily&meta-file=f\"", "dependsOn = \"a\""] {
        let text = format!(
            "[[phase]]\ntask = \"b\"\ntemplate = \"{{meta:n}}\"\n{rest}\n[[phase]]\ntask = \"a\"\nrule = \"cron=@daily\"\n"
        );
        assert!(findings(&text).is_empty(), "{:?}", findings(&text));
    }
}

#[test]
fn a_value_with_escapes_is_found_as_a_whole() {
    assert_eq!(of_line("[[phase]]\ntask = \"a\"\nrule = \"\\u0063ron=bad\"\n", 3).split(' ').next(), Some("8:"));
}

#[test]
fn expectations_that_nothing_can_meet_are_noted() {
    let set_by = |owner: &str| {
        format!("is set by {owner}, and only what a worker leaves is compared: write a key of its result")
    };
    assert_eq!(
        of_rule("cron=@daily&meta=k:1,2&expect=k>0"),
        format!("32: `k` {} (warning)", set_by("the `meta` of this rule"))
    );
    assert_eq!(of_rule("cron=@daily&meta=k:1&expect=retry=0"), format!("30: `retry` {} (warning)", set_by("flowlord")));
    assert_eq!(
        of_rule("cron=@daily&meta=k:1&expect_else=warn"),
        "30: `expect_else` says what follows from an expectation that isn't met, and there is none: add expect or \
         min_run, or remove it (warning)"
    );
    assert!(of_rule("cron=@daily&meta=k:1&expect=rows").starts_with("37: expect `rows` can't be read: write it like"));
    let child = |keys: &str| {
        let parent = "[[phase]]\ntask = \"p\"\nrule = \"cron=@daily&expect=rowz>0&expect=files>0\"\n";
        findings(&format!("{parent}[[phase]]\ntask = \"c\"\ndependsOn = \"p\"\n{keys}\n"))
    };
    let hint = "w.toml:2:8: `rowz>0` is expected, and no child takes `rowz`: did you mean `rows`? (warning)";
    assert_eq!(child("template = \"{meta:rows}\""), [hint]);
    assert_eq!(child("rule = \"require={meta:rows}\""), [hint]);
    for keys in
        ["template = \"{meta:rowz}{meta:rows}\"", "template = \"{meta:file}\"", "template = \"{meta:other}\"", ""]
    {
        assert_eq!(child(keys), Vec::<String>::new(), "{keys}");
    }
}

#[test]
fn deadlines_without_slots_are_noted() {
    assert_eq!(
        finding("[[phase]]\ntask = \"a\"\nrule = \"files=/in/*.csv&start_by=10m\"\ntemplate = \"{dd}\"\n"),
        "w.toml:2:8: start_by counts from the slots of cron, and none starts a: remove it, or use max_run (warning)"
    );
    let behind = |start: &str| {
        format!(
            "[[phase]]\ntask = \"a\"\nrule = \"{start}\"\ntemplate = \"{{dd}}\"\n\
             [[phase]]\ntask = \"b\"\ndependsOn = \"a\"\nrule = \"done_by=1h&max_run=1h\"\ntemplate = \"{{dd}}\"\n"
        )
    };
    assert_eq!(findings(&behind("cron=@daily")), Vec::<String>::new());
    assert!(finding(&behind("files=/in/*.csv")).starts_with("w.toml:6:8: done_by counts from the slots of cron"));
}

#[test]
fn only_errors_are_errors() {
    let text = |rule: &str| format!("[[phase]]\ntask = \"a\"\nrule = \"cron=@daily{rule}\"\ntemplate = \"x\"\n");
    let has_errors_of = |rule: &str| {
        let file = WorkflowFile::parse("w.toml", &text(rule), "", Tz::UTC).unwrap();
        let found = check_workflows(&Workflows::new([Arc::new(file)]));
        (found.len(), has_errors(&found))
    };
    assert_eq!(has_errors_of(""), (0, false));
    assert_eq!(has_errors_of("&x=1"), (1, false), "a warning");
    assert_eq!(has_errors_of("&missed=some"), (1, true));
}

#[test]
fn a_control_character_is_pointed_at() {
    let found = of_rule("cron=@daily&meta=k:1\t2");
    assert_eq!(found, "29: the rule has a control character: remove it or write it as %0A");
}

#[test]
fn a_phase_says_where_it_stands_and_what_is_wrong_with_it() {
    let text = "[[phase]]\ntask = \"a\"\nrule = \"cron=61 * * * *\"\n  template = \"x\"\n[[phase]]\ntask = \"b\"\nrule = \"cron=@daily\"\n";
    let file = WorkflowFile::parse("w.toml", text, "", Tz::UTC).unwrap();
    let [wrong, well] = file.phases.as_slice() else { panic!("{file:?}") };
    assert_eq!((wrong.name_place(), wrong.template_place(), (wrong.line, wrong.column)), ((2, 8), (4, 14), (1, 1)));
    assert_eq!((well.name_place(), well.template_place(), well.line), ((6, 8), (5, 1), 5));
    assert!(wrong.problems_text().starts_with("invalid cron: 61 * * * *"), "{}", wrong.problems_text());
    assert_eq!(well.problems_text(), "");
}

#[test]
fn the_step_of_a_field_is_told_in_its_whole() {
    for (cron, told) in [
        ("*/31 * * * *", Some("31 and 29 minutes")),
        ("*/59 * * * *", Some("59 and 1 minutes")),
        ("*/30 * * * *", None),
        ("0 */23 * * *", Some("23 and 1 hours")),
        ("*/40 * * * * *", Some("40 and 20 seconds")),
    ] {
        let text = format!("[[phase]]\ntask = \"a\"\nrule = \"cron={cron}\"\ntemplate = \"x\"\n");
        let found = findings(&text);
        assert_eq!(found.len(), usize::from(told.is_some()), "{cron}: {found:?}");
        assert!(found.iter().all(|found| found.contains(told.unwrap())), "{found:?}");
    }
}

#[test]
fn circles_are_named_in_full_only_so_far() {
    let circle = |tasks: usize| {
        let phase = |n: usize| format!("[[phase]]\ntask = \"t{n}\"\ndependsOn = \"t{}\"\n", (n + 1) % tasks);
        findings(&(0..tasks).map(phase).collect::<String>())
    };
    assert!(!circle(7)[0].contains("..."), "{:?}", circle(7)[0]);
    assert!(circle(8)[0].contains("..."), "{:?}", circle(8)[0]);
    let alone = |n: usize| format!("[[phase]]\ntask = \"t{n}\"\ndependsOn = \"t{n}\"\n");
    let many = findings(&(0..51).map(alone).collect::<String>());
    assert!(many[49].contains("t49 depends on itself: t49 -> t49: "), "{}", many[49]);
    assert!(many[50].contains("t50 depends on itself: t50: "), "{}", many[50]);
}

#[test]
fn one_name_is_for_several_starts_that_fail_alike() {
    let repeated = |first: &str, second: &str| {
        let parent = "[[phase]]\ntask = \"p\"\nrule = \"cron=@daily\"\n";
        let phase = |keys: &str| format!("[[phase]]\ntask = \"a\"\n{keys}\ntemplate = \"x\"\n");
        let found = findings(&(parent.to_owned() + &phase(first) + &phase(second)));
        found.iter().any(|found| found.contains("a is defined twice"))
    };
    let (daily, hourly, files) = ("rule = \"cron=@daily\"", "rule = \"cron=@hourly\"", "rule = \"files=/in/*\"");
    for (first, second, is_told) in [
        (daily, hourly, false),
        (daily, files, false),
        (files, daily, false),
        (daily, "rule = \"cron=@hourly\"\nretry = 1", true),
        (daily, "rule = \"cron=@hourly&retry_delay=5s\"", true),
        (daily, "rule = \"cron=@hourly&no_alert\"", true),
        (daily, "rule = \"cron=@hourly&expect=rows>0\"", true),
        (daily, "dependsOn = \"p\"", true),
        ("dependsOn = \"p\"", daily, true),
    ] {
        assert_eq!(repeated(first, second), is_told, "{first} {second}");
    }
}

#[test]
fn a_problem_is_pointed_at_behind_the_documented_form_of_require() {
    let child = |rule: &str| {
        let parent = "[[phase]]\ntask = \"p\"\nrule = \"cron=@daily\"\n";
        let rule = format!("[[phase]]\ntask = \"c\"\ndependsOn = \"p\"\nrule = \"{rule}\"\n");
        findings(&(parent.to_owned() + &rule))
    };
    let found = child("require:{meta:a}&retry_delay=soon");
    assert!(found[0].starts_with("w.toml:7:38: retry_delay: `soon`"), "{found:?}");
    assert!(child("retry_delay=1s&require:a")[0].contains(":7:33: require `a` names no key"));
    assert_eq!(child("require={meta:a}&require={meta:b}"), Vec::<String>::new(), "lists may come twice");
}

#[test]
fn keys_that_count_where_they_are() {
    let well = |keys: &str| {
        let parent = "[[phase]]\ntask = \"p\"\nrule = \"cron=@daily\"\n";
        findings(&format!("{parent}[[phase]]\ntask = \"a\"\n{keys}\n"))
    };
    for keys in [
        "dependsOn = \"p\"\nrule = \"cron=@hourly&offset=-1h&for=2h&by=hour\"",
        "rule = \"files=/in/*&cron=@hourly&offset=-1h&meta=k:1\"\ntemplate = \"{meta:k}\"",
        "rule = \"files=/in/*&x=1&x=2\"",
        "rule = \"cron=@daily\"\ntemplate = \"#{dd}\"",
        "rule = \"cron=@daily\"\ndependsOn = \"p\"\ntemplate = \"{meta:x}\"",
        "rule = \"cron=@daily&files=/in/*\"\ntemplate = \"{meta:x}\"",
        "rule = \"cron=@daily&meta-file=f\"\ntemplate = \"{meta:x}\"",
        "rule = \"cron=@daily&meta=k:1\"\ntemplate = \"x\"",
        "rule = \"cron=@daily&meta-file=f\"\ntemplate = \"x\"",
    ] {
        assert_eq!(well(keys), Vec::<String>::new(), "{keys}");
    }
}

#[test]
fn the_problems_of_a_phase_are_its_errors_each_once() {
    let status = |keys: &str| {
        let text = format!("[[phase]]\ntask = \"a\"\n{keys}\n");
        let file = WorkflowFile::parse("w.toml", &text, "", Tz::UTC).unwrap();
        file.phases[0].problems.clone()
    };
    assert_eq!(status("rule = \"cron=@daily&x=1&cron=@hourly\""), Vec::<String>::new(), "warnings");
    assert_eq!(status("rule = \"retry_delay=1s\"").len(), 1, "nothing starts it");
    let several = status("rule = \"cron=61 * * * *&missed=some\"");
    assert!(several[0].starts_with("invalid cron") && several[1].starts_with("missed `some`"), "{several:?}");
    assert_eq!(several.len(), 2);
    let never = status("rule = \"cron=0 0 30 2 *\"");
    assert!(never.len() == 1 && never[0].contains("never fires"), "{never:?}");
}

/// The findings of several files, with marks.
fn between_files(files: &[(&str, String)]) -> Vec<String> {
    let parse = |(path, text): &(&str, String)| Arc::new(WorkflowFile::parse(path, text, "", Tz::UTC).unwrap());
    check_workflows(&Workflows::new(files.iter().map(parse))).iter().map(ToString::to_string).collect()
}

const PARENT: &str = "[[phase]]\ntask = \"a\"\nrule = \"cron=0 3 * * *\"\n";

fn child(keys: &str) -> String {
    format!("[[phase]]\ntask = \"c\"\n{keys}\n")
}

#[test]
fn parents_of_joins_and_other_files_that_are_not_there() {
    let other = ("etl/ref.toml", "[[phase]]\ntask = \"load:fx\"\nrule = \"cron=0 3 * * *\"\n".to_owned());
    for (parents, said) in [
        ("[\"a\", \"etl/ref.toml#load:fx\"]", None),
        ("\"etl/ref.toml#load\"", None),
        (
            "[\"a\", \"etl/reff.toml#load\"]",
            Some("6:19: parent file not found: etl/reff.toml: did you mean `etl/ref.toml`?"),
        ),
        (
            "[\"a\", \"gone.toml#load\"]",
            Some("6:19: parent file not found: gone.toml: write its path in the workflow folder, and check all of it"),
        ),
        (
            "[\"a\", \"etl/ref.toml#load:fy\"]",
            Some("6:19: parent task not found in etl/ref.toml: load:fy: did you mean `load:fx`?"),
        ),
        ("[\"a\", \"b\"]", Some("6:19: parent task not found in w.toml: b: write a task of that file")),
        ("\"etl/ref.toml#zzz\"", Some("6:13: parent task not found in etl/ref.toml: zzz: write a task of that file")),
    ] {
        let own = PARENT.to_owned() + &child(&format!("dependsOn = {parents}"));
        let found = between_files(&[other.clone(), ("w.toml", own)]);
        let said: Vec<_> = said.iter().map(|said| format!("w.toml:{said}")).collect();
        assert_eq!(found, said, "{parents}");
    }
}

#[test]
fn paths_of_a_folder_elsewhere_are_understood() {
    let parent = ("/srv/wf/etl/ref.toml", PARENT.to_owned());
    let own = child("dependsOn = \"etl/ref.toml#a\"");
    assert_eq!(between_files(&[parent, ("/srv/wf/deep/w.toml", own)]), Vec::<String>::new());
}

#[test]
fn cycles_over_files_and_joins_of_one_name() {
    let one = PARENT.to_owned() + &child("dependsOn = [\"a\", \"two.toml#d\"]");
    let two = "[[phase]]\ntask = \"d\"\ndependsOn = \"one.toml#c\"\n".to_owned();
    let found = between_files(&[("one.toml", one), ("two.toml", two)]);
    assert_eq!(found.len(), 2, "{found:?}");
    let said = "one.toml:6:14: c waits for a, two.toml#d, and one of these waits for it: this cycle starts nothing";
    assert!(found[0].starts_with(said), "{found:?}");
    let twice = PARENT.to_owned() + &child("dependsOn = [\"a\"]") + &child("dependsOn = \"a\"\nrule = \"over=day\"");
    let found = findings(&twice);
    assert!(
        found.iter().any(|line| line.starts_with("w.toml:8:8: c is a join twice: only the first one starts")),
        "{found:?}"
    );
}

#[test]
fn joins_that_can_never_have_all() {
    let later = "[[phase]]\ntask = \"b\"\nrule = \"cron=0 5 * * *\"\n[[phase]]\ntask = \"f\"\nrule = \"files=/in/*\"\n";
    for (keys, said) in [
        ("dependsOn = \"a\"\nrule = \"over=day\"", ""),
        ("dependsOn = [\"a\", \"b\"]\nrule = \"over=week&join=9\"", ""),
        ("dependsOn = [\"f\"]", ""),
        (
            "dependsOn = [\"a\", \"b\"]",
            "12:14: the tasks of a, b are never about the same hour: this starts nothing, write over=day",
        ),
        (
            "dependsOn = \"f\"\nrule = \"over=day\"",
            "12:13: over=day waits for every slot of f: no schedule says when f starts: give it a cron with five fields, or write join= with a number",
        ),
        (
            "dependsOn = \"a\"\nrule = \"over=week&join=8\"",
            "12:13: join=8 is more than a week has of a, which is 7: write less (warning)",
        ),
        (
            "dependsOn = \"a\"\nrule = \"again=true\"",
            "13:9: `again` says how a phase waits for its parents, and this one doesn't wait: add join=all or over=day, or remove it (warning)",
        ),
        (
            "rule = \"cron=@daily&over=day\"",
            "12:21: `over` says how a phase waits for its parents, and this one doesn't wait: add dependsOn, or remove it (warning)",
        ),
        (
            "dependsOn = \"a\"\nrule = \"over=day&join_by_then=alert\"",
            "13:18: `join_by_then` says what happens at `join_by`, which is missing: add it, like join_by=6h (warning)",
        ),
        ("dependsOn = \"a\"\nrule = \"over=day&done_by=1h\"", ""),
    ] {
        let found = findings(&(PARENT.to_owned() + later + &child(keys)));
        let said: Vec<_> =
            Some(said).filter(|said| !said.is_empty()).map(|said| format!("w.toml:{said}")).into_iter().collect();
        assert_eq!(found, said, "{keys}");
    }
}

#[test]
fn lists_that_are_no_lists_of_tasks() {
    for (list, said) in [
        ("[\"a\", 5]", "w.toml:3:19: `dependsOn` has a number: write tasks in quotes"),
        ("[\"\"]", "w.toml:3:14: `dependsOn` has an empty text: write a task"),
        ("5", "w.toml:3:13: `dependsOn` is a number: write a text in quotes"),
    ] {
        assert_eq!(findings(&child(&format!("dependsOn = {list}"))), [said]);
    }
}

#[test]
fn a_join_may_name_the_keys_of_its_parents() {
    let template = |key: &str| {
        let keys = format!("dependsOn = [\"a\", \"etl/x.toml#b:j\"]\ntemplate = \"{{meta:{key}}}\"");
        let other = ("etl/x.toml", "[[phase]]\ntask = \"b:j\"\nrule = \"cron=0 3 * * *\"\n".to_owned());
        between_files(&[other, ("w.toml", PARENT.to_owned() + &child(&keys))])
    };
    for key in ["a.file", "b.file", "b:j.files", "files"] {
        assert_eq!(template(key), Vec::<String>::new(), "{key}");
    }
    assert!(template("z.file")[0].contains("`{meta:z.file}` stays as it is"));
}

#[test]
fn days_off_where_there_are_no_slots_or_no_days() {
    for (rule, said) in [
        ("cron=0 3 * * *&not_on=sat,sun&on=next", ""),
        ("files=/in/*&calendar=x&on=y", ""),
        (
            "cron=0 3 * * *&on=next",
            "3:24: `on` says what happens to slots on days off, and there are none: add calendar= or not_on= (warning)",
        ),
        (
            "cron=@every 3h&not_on=sat",
            "3:24: `not_on` doesn't apply to `@every`: write a cron with five fields (warning)",
        ),
        (
            "cron=0 3 * * *&not_on=saturn",
            "3:31: not_on `saturn` is unknown: write days like sat,sun, 2024-12-24 or 12-24",
        ),
    ] {
        let found = findings(&format!("[[phase]]\ntask = \"a\"\nrule = \"{rule}\"\n"));
        let said: Vec<_> =
            Some(said).filter(|said| !said.is_empty()).map(|said| format!("w.toml:{said}")).into_iter().collect();
        assert_eq!(found, said, "{rule}");
    }
    let child = "[[phase]]\ntask = \"a\"\ndependsOn = \"a:b\"\nrule = \"not_on=sat\"\n";
    assert!(findings(child).iter().any(|line| line.contains("`not_on` applies to slots of cron, which is missing")));
}

#[test]
fn tasks_of_one_hour_that_nothing_tells_apart() {
    for (template, found) in [("{meta:r}", 0), ("{meta:r}-{uuid}", 1)] {
        let parent =
            format!("[[phase]]\ntask = \"a\"\nrule = \"cron=0 3 * * *&meta=r:eu,us\"\ntemplate = \"{template}\"\n");
        let findings = findings(&(parent + &child("dependsOn = \"a\"\nrule = \"over=day\"")));
        assert_eq!(findings.len(), found, "{findings:?}");
        assert!(findings.iter().all(|it| it.starts_with("w.toml:7:13: several tasks of a are about the same hour")));
    }
}

#[test]
fn a_parent_that_is_not_there_is_one_finding_and_not_another_by_what_follows_from_it() {
    let found = findings(&(PARENT.to_owned() + &child("dependsOn = [\"a\", \"gone\"]\nrule = \"over=day\"")));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("parent task not found"), "{found:?}");
}

#[test]
fn many_joins_are_not_all_compared_with_their_schedules() {
    // None of them ever starts, since their parents are never about the same hour.
    let join = |n: usize| format!("[[phase]]\ntask = \"j:{n}\"\ndependsOn = [\"p\", \"q\"]\n");
    let parents =
        "[[phase]]\ntask = \"p\"\nrule = \"cron=0 1 * * *\"\n[[phase]]\ntask = \"q\"\nrule = \"cron=0 2 * * *\"\n";
    let found = findings(&(parents.to_owned() + &(0..502).map(join).collect::<String>()));
    assert_eq!(found.len(), 500, "the first ones say what is wrong with all");
    assert!(found.iter().all(|text| text.contains("are never about the same hour")), "{}", found[0]);
}

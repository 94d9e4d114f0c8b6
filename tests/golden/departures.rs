//! Where we differ from the reference on purpose: the rules that checks may take, and the table of them.

/// Which cases are meant, and what we do with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Departure {
    when: &'static str,
    we: &'static str,
}

impl Departure {
    /// Which cases are meant.
    pub(crate) fn when(&self) -> &'static str {
        self.when
    }
}

impl std::fmt::Display for Departure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.when, self.we)
    }
}

/// The rules, in the order of the table in docs/departures.md. Only here can one be made.
macro_rules! departures {
    ($($name:ident: $when:literal, $we:literal;)*) => {
        $(pub(crate) const $name: Departure = Departure { when: $when, we: $we };)*

        const ALL: &[Departure] = &[$($name),*];
    };
}

departures! {
    CLOCKS: "a fixed local time falls into a clock change",
        "start at the end of the gap, or only the first time of two (hours with `*` or a step follow real time)";
    UTC: "a time carries a zone other than UTC", "count in UTC, in templates as in `cron=`";
    YEARS: "the year is below 1000", "write four digits";
    HOST: "the host has a `$`", "take it literally";
    TOKENS: "`{ts}`, `{UUID}` or several `{uuid}` are in a template", "replace each, each uuid its own";
    EXPAND_ONCE: "a value of `{meta:x}` holds `{meta:y}`", "expand once";
    JSON_TEXT: "a JSON value is a bool, an object or an array", "write it as JSON";
    ZERO: "a JSON integer is 0 where Go saw `-0`", "write `0`: readers of JSON can't tell them apart";
    DIGITS: "a JSON integer has more than 15 digits", "keep them all";
    RULE_KEYS: "a rule's key is written in another case", "read it";
    REQUIRE: "`require:{meta:x}` is written", "read it as `require={meta:x}`";
    HASH: "`#` is in a rule", "treat it like any other character";
    NO_ALERT: "`no_alert` is set", "raise no alert, except with `no_alert=false`";
    RETRY_DELAY: "`retry_delay` is negative, tiny or no duration", "report a problem, wait 1 s";
    MONTHS: "`by=month` from a day after the 28th", "count months from the start, limited to their last day";
    REVERSED: "a range is reversed", "walk down from its start";
    ENCODED: "a value holds `&`, `+`, `%` or `;`", "percent-encode it in meta, so that it can be read back";
    CHILD_ROWS: "a child has `meta=` or `meta-file=`", "start one child per row; nothing leaks to siblings";
    REDIRECT: "a child's rule has `Task=`, `Template=` or similar keys", "start the child that the phase names";
    FIRST_VALUE: "the parent's meta has a key twice", "take the first value";
    UNKNOWN_PHASE: "a failed task has no phase", "raise an alert";
    OWN_FILE: "several files have the phase", "use the task's own workflow first";
    RETRY_FAILED: "a failed task says `retry=failed` already", "keep that";
    FAILED_TOPIC: "the failed topic is off, or sending to it fails",
        "have no failed topic: the record and the alert say so";
    SIBLINGS: "sending a child fails", "start its siblings anyway";
    CIRCLE: "phases depend on each other in a circle", "start none of them";
    DEPENDS_ON: "`depends_on` is written", "read it as `dependsOn`";
    PHASE_LISTS: "`[[phase]]` stands next to `[[Phase]]`", "read both as one list";
    RETRY_BELOW_0: "`retry` is below 0", "take it as 0";
    HOURS: "a day is shown by hour", "count a task in the hour of its creation";
    NO_TIMES: "`started` or `ended` is not a time", "refuse such a result; one in the history has no run time";
    NO_START: "a done task has no `started`", "take its end: its run time is zero";
    NO_RESULT: "a result is not one of the four", "refuse it, as a filter too";
    META_JOB: "only the meta of a task has its job", "count it under its type";
    SPANS: "a task ran over 10^6 s, or ended before it began", "show how long, and `00:00:00`";
    BAD_PHASE: "a phase can't start as written", "report it with that phase; the others start";
    ROW_TIMES: "`/info` tells of a phase with `meta=` or `meta-file=`", "show its schedule and times too";
    ALL_PATTERNS: "`/info` tells of a task with several `files=`", "show all of them";
    TREE: "`/info` shows several children, or those of a phase with a job",
        "write each path to its end as one line, `a ➞ b`";
    BLOCKS: "a message goes to Slack",
        "write its content as Block Kit inside the attachment, the text as fallback, and no pretext";
    UNREADABLE: "a time of a backload is invalid", "refuse it; without any, use today";
    BACKLOAD_YEARS: "a backload is about a year before 1970", "refuse it";
    OWN_TEMPLATE: "the phase of a backload has no template, its request has one", "take that";
    MIXED_META: "the meta of a backload mixes texts and lists", "take a text for every row";
    TASK_WITH_JOB: "the task of a backload is written with its job", "split it: no worker could lease it otherwise";
    ONE_ANSWER: "storing the tasks of a backload fails", "answer once: what is stored, what is not, and why";
    OUTSIDE: "the `meta-file` of a backload is outside of the workflow folder",
        "refuse it, except in allowed folders and configured stores";
    OWN_ROWS: "the `meta=` of a backload's phase can't be read, its request brings rows", "take those";
    BY: "`by` of a backload is unknown", "say that `day` is used";
    ROW_KEY: "no row of a `meta-file` has a key of the template", "start nothing, and say which";
    COUNT: "a phase of files has `count=n`", "wait for n files, then start one task for all of them";
}

#[test]
fn the_page_lists_every_rule_and_why() {
    let page = include_str!("../../docs/departures.md");
    let (_, rows) = page.split_once("| cases where | we | because |\n|---|---|---|\n").expect("the table");
    let mut rows = rows.lines().take_while(|row| row.starts_with('|'));
    for rule in ALL {
        let start = format!("| {} | {} | ", rule.when, rule.we);
        let why = rows.next().and_then(|row| row.strip_prefix(&start)).unwrap_or_else(|| panic!("no row: {start}"));
        assert!(why.len() > " |".len(), "no reason: {start}");
    }
    assert_eq!(rows.next(), None, "docs/departures.md has a row without a rule");
}

//! Rules and meta: what is read is written so that it reads back, and says the same.

#![no_main]

use chrono_tz::Tz;
use flowlord_domain::query::{Query, merge_meta};
use flowlord_domain::rule::Rule;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (query, error) = Query::parse_with_error(text);
    let written = query.to_text();
    assert_eq!(Query::parse(&written).as_ref(), Ok(&query), "{written:?}");
    assert_eq!(Query::parse_lenient(&written).to_text(), written);
    assert_eq!(Query::parse(text).is_err(), error.is_some());
    changes(&query);
    merges(text, &query);
    rule(text, &written, error.is_some());
});

fn changes(query: &Query) {
    for (key, _) in query.pairs() {
        let mut changed = query.clone();
        changed.set_value(key, "=&%;+ 日");
        assert_eq!(changed.all_values(key).collect::<Vec<_>>(), ["=&%;+ 日"]);
        assert_eq!(Query::parse(&changed.to_text()).as_ref(), Ok(&changed));
        changed.remove_key(key);
        assert_eq!(changed.first_value(key), None);
    }
}

fn merges(text: &str, query: &Query) {
    assert_eq!(merge_meta(text, ""), text);
    let merged = Query::parse_lenient(&merge_meta("a=1&b=2", text));
    for (key, _) in query.pairs() {
        assert_eq!(merged.first_value(key), query.first_value(key), "the worker's value counts");
    }
    assert!(merged.first_value("a").is_some() && merged.first_value("b").is_some(), "and nothing else goes");
}

fn rule(text: &str, written: &str, is_partial: bool) {
    let rule = Rule::parse(text, Tz::UTC);
    let _ = (rule.why_never_started(true), rule.why_never_started(false), rule.is_batch());
    assert!(!is_partial || rule.first_blocker().is_some(), "half a rule starts nothing");
    assert!(rule.problems.iter().all(|problem| !problem.message.is_empty()));
    if !is_partial
        && !text.bytes().any(|byte| byte.is_ascii_control())
        && !written.bytes().any(|b| b.is_ascii_control())
    {
        assert_eq!(Rule::parse(written, Tz::UTC), rule);
    }
    if rule.first_blocker().is_none() {
        let lengths: Vec<usize> = rule.meta.values().map(Vec::len).collect();
        assert!(lengths.windows(2).all(|pair| pair[0] == pair[1]));
    }
    let delay = rule.retry_delay.delay_before(3, 77);
    assert!(delay >= chrono::TimeDelta::zero(), "{delay}");
}

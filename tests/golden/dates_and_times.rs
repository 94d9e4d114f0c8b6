//! Templates, times, durations, schedules.

use chrono::TimeDelta;
use chrono_tz::Tz;
use flowlord_domain::cron::CronSchedule;
use flowlord_domain::query::Query;
use flowlord_domain::template::{MetaRow, expand_meta, render_template};
use flowlord_domain::{dates, duration, task_time as times};
use serde_json::Value;

use crate::case::{Case, TestIds, Verdict, at, go_time, is_elsewhere, list, zoned};
use crate::departures;
use crate::masks::is_like;

pub(crate) fn tmpl_parse(case: &Case<'_>) -> Verdict {
    let time = zoned(case.text("time"));
    let (template, host) = (case.text("template"), case.text("host"));
    let got = render_template(template, Some(time.naive_local()), host, &mut TestIds::default());
    let year = time.format("%Y").to_string();
    if case.expected.as_str().is_some_and(|expected| is_like(&expected.into(), &got.as_str().into())) {
        return Verdict::Same;
    }
    if year.as_str() < "1000" {
        let full = |text: &str| text.contains(&year) || !template.to_lowercase().contains("yyyy");
        return if full(&got) { Verdict::Departs(departures::YEARS) } else { Verdict::Wrong(got) };
    }
    if host.contains('$') {
        return Verdict::departs(departures::HOST, &got.contains('$'), &true);
    }
    if ["{ts}", "{UUID}", "{uuid}"].iter().any(|token| template.contains(token)) {
        let left = ["{ts}", "{UUID}", "{uuid}"].iter().any(|token| got.contains(token) && !got.contains('#'));
        return Verdict::departs(departures::TOKENS, &false, &left);
    }
    Verdict::of(&case.expected.as_str(), &Some(got.as_str()))
}

pub(crate) fn tmpl_meta(case: &Case<'_>) -> Verdict {
    let template = case.text("template");
    let (row, is_row) = match case.input.get("query").and_then(Value::as_str) {
        Some(query) => {
            let query = Query::parse_lenient(query);
            let pairs = query.pairs().collect::<Vec<_>>().into_iter().rev();
            (Some(MetaRow(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect())), false)
        }
        None => (MetaRow::from_json(&case.input["meta"]), true),
    };
    let Some(row) = row else { return Verdict::holds(case.error.is_some(), "no row") };
    let (text, keys) = expand_meta(template, |key| row.value_of(key).map(str::to_owned));
    let (expected, wanted_keys) = (case.expected["result"].as_str().unwrap_or("\0"), &case.expected["keys"]);
    if text == expected && *wanted_keys == Value::from(keys) {
        return Verdict::Same;
    }
    let values = case.input["meta"].as_object().into_iter().flat_map(serde_json::Map::values);
    let (mut nested, mut odd, mut zero, mut long) = (case.text("query").contains("{meta:"), false, false, false);
    for value in values {
        nested |= value.as_str().is_some_and(|text| text.contains("{meta:"));
        long |= value.is_number() && value.to_string().bytes().filter(u8::is_ascii_digit).count() > 15;
        odd |= value.is_boolean() || value.is_object() || value.is_array();
        // JSON readers drop the sign of an integer zero: the case can't be told from plain 0.
        zero |= value.as_i64() == Some(0);
    }
    match (nested, odd && is_row, zero) {
        (true, ..) => Verdict::departs(departures::EXPAND_ONCE, &true, &text.contains("{meta:")),
        (_, true, _) => Verdict::departs(departures::JSON_TEXT, &false, &text.contains("i~")),
        (.., true) => Verdict::departs(departures::ZERO, &expected.replace("-0", "0"), &text),
        _ if long => {
            let kept = row.0.values().any(|value| value.len() > 15 && text.contains(value.as_str()));
            Verdict::departs(departures::DIGITS, &true, &kept)
        }
        _ => Verdict::of(&expected, &text.as_str()),
    }
}

pub(crate) fn info_time(case: &Case<'_>) -> Verdict {
    let got = go_time(times::info_time(case.input.as_str().expect("a text")));
    Verdict::of(&case.expected.as_str(), &Some(got.as_str()))
}

pub(crate) fn path_time(case: &Case<'_>) -> Verdict {
    let got = go_time(times::path_time(case.input.as_str().expect("a text")));
    Verdict::of(&case.expected.as_str(), &Some(got.as_str()))
}

pub(crate) fn task_time(case: &Case<'_>) -> Verdict {
    let got = go_time(times::task_time(case.text("info"), &Query::parse_lenient(case.text("meta"))));
    Verdict::of(&case.expected.as_str(), &Some(got.as_str()))
}

pub(crate) fn print_dates(case: &Case<'_>) -> Verdict {
    let input: Vec<&str> = list(case.input).iter().filter_map(Value::as_str).collect();
    let got = dates::print_dates(input.iter().copied().map(at));
    if input.iter().copied().any(is_elsewhere) {
        let hours = input.iter().all(|text| got.contains(&at(text).format("%Y/%m/%d").to_string()));
        return Verdict::departs(departures::UTC, &true, &hours);
    }
    Verdict::of(&case.expected.as_str(), &Some(got.as_str()))
}

pub(crate) fn print_duration(case: &Case<'_>) -> Verdict {
    let duration = TimeDelta::nanoseconds(case.input["ns"].as_i64().expect("nanoseconds"));
    let got = (duration::print_go_duration(duration), duration::print_duration(duration));
    let text = |name: &str| case.expected[name].as_str().unwrap_or_default().to_owned();
    Verdict::of(&(text("go_string"), text("print_duration")), &got)
}

pub(crate) fn cron_next(case: &Case<'_>) -> Verdict {
    let spec = case.text("expr");
    let schedule = match CronSchedule::parse(spec, Tz::UTC) {
        Ok(schedule) => schedule,
        Err(e) => return Verdict::holds(case.error.is_some(), e),
    };
    let expected: Vec<&str> = list(case.expected).iter().filter_map(Value::as_str).collect();
    // Go goes on from its zero time, and finds nothing again.
    let mut slot = Some(at(case.text("start")));
    let mut got = Vec::new();
    for _ in 0..expected.len() {
        slot = slot.and_then(|slot| schedule.next_after(slot));
        got.push(go_time(slot));
    }
    if got.iter().zip(&expected).any(|(got, expected)| got != expected) && has_fixed_hour(spec) {
        return near_a_clock_change(case, &got, &expected);
    }
    Verdict::of(&expected, &got.iter().map(String::as_str).collect())
}

/// Whether a schedule has a zone of its own and names its hours: only such ones depart.
fn has_fixed_hour(spec: &str) -> bool {
    let Some((_, rest)) = spec.split_once("TZ=").and_then(|(_, rest)| rest.split_once(' ')) else {
        return false;
    };
    let fields: Vec<&str> = rest.split_whitespace().collect();
    match fields.as_slice() {
        [descriptor] => *descriptor != "@hourly",
        ["@every", _] => false,
        fields => !fields[fields.len() - 4].contains(['*', '?', '/']),
    }
}

/// Where our slots differ, the clocks are changed that day, and all others are the same.
fn near_a_clock_change(case: &Case<'_>, got: &[String], expected: &[&str]) -> Verdict {
    let spec = case.text("expr");
    let zone = spec.split_once('=').and_then(|(_, rest)| rest.split_once(' ')).map_or("", |(zone, _)| zone);
    let zone: Tz = zone.parse().expect("a time zone");
    let changes = |text: &str| {
        use chrono::{Offset, TimeZone};
        let offset = |at: chrono::DateTime<chrono::Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix();
        offset(at(text) - TimeDelta::days(1)) != offset(at(text) + TimeDelta::days(1))
    };
    let ours = got.iter().filter(|slot| !expected.contains(&slot.as_str()));
    let last = got.last().map(String::as_str).unwrap_or_default();
    let theirs = expected.iter().filter(|slot| !got.iter().any(|own| own == *slot));
    // One more or one less before the end of the list moves what comes after it.
    let moved = ours.filter(|slot| !changes(slot) && slot.as_str() < *expected.last().unwrap_or(&"")).count()
        + theirs.filter(|slot| !changes(slot) && **slot < last).count();
    Verdict::departs(departures::CLOCKS, &0, &moved)
}

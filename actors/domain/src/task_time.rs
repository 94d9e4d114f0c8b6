//! The time that a task is about: from its meta, its info or a path in it.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

use crate::info_path::info_path;
use crate::query::Query;

/// The time of a task: `cron` of its meta, else what its info says.
pub fn task_time(info: &str, meta: &Query) -> Option<DateTime<Utc>> {
    meta.first_value("cron").and_then(cron_hour).or_else(|| info_time(info))
}

/// Reads the `cron` of a meta: `2006-01-02T15` in UTC.
pub fn cron_hour(text: &str) -> Option<DateTime<Utc>> {
    let text = two_digit_hour(text);
    (text.len() == HOUR.len()).then(|| parse_time(&text)).flatten().map(|time| time.and_utc())
}

/// A time whose hour has two digits: Go reads `T3` as `T03`.
pub(crate) fn two_digit_hour(text: &str) -> Cow<'_, str> {
    let digits = text.bytes().skip(DAY.len() + 1).take_while(u8::is_ascii_digit).count();
    let has_day = has_shape(text.as_bytes(), "9999-99-99T");
    if !has_day || digits != 1 {
        return Cow::Borrowed(text);
    }
    let (day, hour) = text.split_at(DAY.len() + 1);
    Cow::Owned(format!("{day}0{hour}"))
}

/// Writes a time as the `cron` of a meta.
pub fn cron_text(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H").to_string()
}

/// The time in an info: one of its parameters, else its path.
pub fn info_time(info: &str) -> Option<DateTime<Utc>> {
    const SECONDS: &[&str] = &["day", "date", "timestamp", "time"];
    const HOURS: &[&str] = &["date", "hour_utc", "hour"];
    const DAYS: &[&str] = &["day", "date"];
    // What is no URL has no time at all, as in the reference.
    let path = info_path(info)?;
    // The finest time counts, wherever it stands: so the reference system searched.
    let parameter = [(SECONDS, SECOND), (HOURS, HOUR), (DAYS, DAY)]
        .into_iter()
        .find_map(|(keys, shape)| parse_time(find_parameter(info, keys, shape)?));
    parameter.map(|time| time.and_utc()).or_else(|| path_time(&path))
}

/// The time in a path: in its file name, else in its folders.
pub fn path_time(path: &str) -> Option<DateTime<Utc>> {
    let name = &path[path.rfind('/').map_or(0, |slash| slash + 1)..];
    // The first shape that is there decides, also when its digits make no time.
    let in_folders = ["9999/99/99/99", "9999/99/99", DAY, "9999/99"].map(|shape| (path, shape));
    let places = [(name, "99999999T999999")].into_iter().chain(in_folders);
    let found = places.filter_map(|(text, shape)| find_shape(text, shape)).next();
    found.and_then(parse_time).map(|time| time.and_utc())
}

/// Shapes: 9 stands for any digit, all else for itself.
const SECOND: &str = "9999-99-99T99:99:99Z";
pub(crate) const HOUR: &str = "9999-99-99T99";
pub(crate) const DAY: &str = "9999-99-99";

pub(crate) fn is_shaped(text: &str, shape: &str) -> bool {
    text.len() == shape.len() && has_shape(text.as_bytes(), shape)
}

/// Whether a text begins with a shape.
fn has_shape(text: &[u8], shape: &str) -> bool {
    let mut pairs = text.iter().zip(shape.bytes());
    text.len() >= shape.len()
        && pairs.all(|(byte, wanted)| if wanted == b'9' { byte.is_ascii_digit() } else { *byte == wanted })
}

fn find_shape<'a>(text: &'a str, shape: &str) -> Option<&'a str> {
    let at = (0..text.len()).find(|at| has_shape(&text.as_bytes()[*at..], shape))?;
    Some(&text[at..at + shape.len()])
}

/// The first value of that shape right after one of the keys and `=` or `:`.
fn find_parameter<'a>(text: &'a str, keys: &[&str], shape: &str) -> Option<&'a str> {
    let bytes = text.as_bytes();
    let mut places = (1..bytes.len()).filter(|at| has_shape(&bytes[*at..], shape));
    let at = places.find(|at| {
        let before = bytes[..*at].strip_suffix(b"=").or_else(|| bytes[..*at].strip_suffix(b":"));
        // Only the end of a name is compared, as by the reference system: `start_date=` is a `date=`, too.
        before.is_some_and(|before| keys.iter().any(|key| before.ends_with(key.as_bytes())))
    })?;
    Some(&text[at..at + shape.len()])
}

/// Reads the digits of a shape: year, month, and as far as they are there day, hour, minute, second.
fn parse_time(text: &str) -> Option<NaiveDateTime> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let mut pairs = digits.chunks_exact(2).map(|pair| pair[0] * 10 + pair[1]);
    let year = i32::try_from(pairs.next()? * 100 + pairs.next()?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, pairs.next().unwrap_or(1), pairs.next().unwrap_or(1))?;
    date.and_hms_opt(pairs.next().unwrap_or(0), pairs.next().unwrap_or(0), pairs.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hour_of_cron_may_have_one_digit() {
        let read = |text: &str| cron_hour(text).map(cron_text);
        assert_eq!(read("2020-01-02T3").as_deref(), Some("2020-01-02T03"));
        assert_eq!(read("2020-01-02T03").as_deref(), Some("2020-01-02T03"));
        for text in ["2020-01-02T", "2020-01-02T3x", "2020-01-02T003", "2020-01-02T24", "2020-01-02"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn the_time_of_a_task_is_its_cron_else_that_of_its_info() {
        for (meta, info, time) in [
            ("cron=2024-01-14T05", "?date=2024-01-13", Some("2024-01-14T05:00")),
            ("cron=soon", "?date=2024-01-13", Some("2024-01-13T00:00")),
            ("", "?date=2024-01-13", Some("2024-01-13T00:00")),
            ("", "?x=1", None),
        ] {
            let read = task_time(info, &Query::parse_lenient(meta));
            assert_eq!(read.map(|time| time.format("%Y-%m-%dT%H:%M").to_string()).as_deref(), time, "{meta} {info}");
        }
    }

    #[test]
    fn times_in_an_info_are_found_by_key_and_shape() {
        for (info, time) in [
            ("?day=2024-01-13T04:05:06Z", Some("2024-01-13T04:05:06")),
            ("?timestamp:2024-01-13T04:05:06Z", Some("2024-01-13T04:05:06")),
            ("?time=2024-01-13T04:05:06Z", Some("2024-01-13T04:05:06")),
            ("?hour_utc=2024-01-13T04", Some("2024-01-13T04:00:00")),
            ("?hour=2024-01-13T04", Some("2024-01-13T04:00:00")),
            ("?hour=2024-01-13", None),
            ("?day=2024-01-13T04", Some("2024-01-13T00:00:00")),
            // The finest shape that is there counts, wherever it stands.
            ("?day=2024-01-12&hour=2024-01-13T04", Some("2024-01-13T04:00:00")),
            ("?when=2024-01-13", None),
            ("?date 2024-01-13", None),
            ("?date=2024-13-13&x=/2024/02/03/", Some("none of the path either")),
            ("/in/2024/02/03/a.csv?date=2024-01-13", Some("2024-01-13T00:00:00")),
            ("/in/2024/02/03/a.csv?x=1", Some("2024-02-03T00:00:00")),
            ("s3://b/%zz?date=2024-01-13", None),
        ] {
            let expected = time.filter(|time| time.starts_with("2024"));
            let read = info_time(info).map(|time| time.format("%Y-%m-%dT%H:%M:%S").to_string());
            assert_eq!(read.as_deref(), expected, "{info}");
        }
    }

    #[test]
    fn times_in_a_path_are_found_in_its_name_and_then_in_its_folders() {
        for (path, time) in [
            ("/in/20240102T030405.csv", Some("2024-01-02T03:04:05")),
            ("/2023/11/12/20240102T030405", Some("2024-01-02T03:04:05")),
            ("20240102T030405", Some("2024-01-02T03:04:05")),
            ("/20240102T030405/a.csv", None),
            ("/in/2024/01/02/03/a.csv", Some("2024-01-02T03:00:00")),
            ("/in/2024/01/02/a.csv", Some("2024-01-02T00:00:00")),
            ("/in/2024-01-02/a.csv", Some("2024-01-02T00:00:00")),
            ("/in/a-2024-01-02.csv", Some("2024-01-02T00:00:00")),
            ("/in/2024/01/a.csv", Some("2024-01-01T00:00:00")),
            ("2024/01", Some("2024-01-01T00:00:00")),
            ("/in/2024/1/a.csv", None),
            // The first shape that is there decides.
            ("/2024/13/01/x/2024-01-02/", None),
            ("", None),
            ("/日/2024/01/02/日", Some("2024-01-02T00:00:00")),
        ] {
            let read = path_time(path).map(|time| time.format("%Y-%m-%dT%H:%M:%S").to_string());
            assert_eq!(read.as_deref(), time, "{path}");
        }
    }
}

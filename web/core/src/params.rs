//! Query strings: named, typed, and refused with what to write instead.

use std::str::FromStr;

use actix_web::HttpRequest;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use flowlord_domain::NamedValue;
use flowlord_domain::finding::nearest_word;
use flowlord_domain::query::{Query, lost_plus};

use crate::limits::{DEFAULT_PAGE_ITEMS, MAX_FILTER_VALUES, MAX_PAGE_ITEMS, names_of};
use crate::problem::Problem;

/// From and up to but without; each may be open.
pub type Period = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

#[derive(Debug)]
pub struct QueryParams(Query);

impl QueryParams {
    pub fn parse(text: &str, known: &[&str]) -> Result<Self, Problem> {
        let query = Query::parse(text).map_err(|err| Problem::invalid(format!("the query string: {err}")))?;
        // Passed over, a mistyped filter would show everything.
        if let Some((name, _)) = query.pairs().find(|(name, _)| !known.contains(name)) {
            let hint = meant(name, known);
            return Err(Problem::invalid(format!("there is no parameter `{name}`: {hint}")));
        }
        Ok(Self(query))
    }

    /// Refuses every parameter, where all that is asked for stands in the body.
    pub fn none(request: &HttpRequest) -> Result<(), Problem> {
        Self::parse(request.query_string(), &[]).map(drop)
    }

    /// The one value of a parameter; an empty one is none.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        // Forms send their empty fields, too.
        let mut values = self.0.all_values(name).filter(|value| !value.is_empty());
        let first = values.next();
        // Which of them counts would be a guess.
        if values.next().is_some() {
            return Err(Problem::invalid(format!("`{name}` is given more than once: give it once")));
        }
        Ok(first)
    }

    /// All values of a parameter that may be repeated or comma-separated.
    pub fn many<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        // Forms repeat a field for each box that is ticked; people write commas.
        self.0.all_values(name).flat_map(|values| values.split(',')).map(str::trim).filter(|value| !value.is_empty())
    }

    /// The same, each once and not too many.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, Problem> {
        let mut texts: Vec<String> = self.many(name).map(str::to_owned).collect();
        texts.sort();
        texts.dedup();
        if texts.len() > MAX_FILTER_VALUES {
            let detail = format!("`{name}` has {} values: write at most {MAX_FILTER_VALUES}", texts.len());
            return Err(Problem::invalid(detail));
        }
        Ok(texts)
    }

    pub fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = self.one("limit")? else { return Ok(DEFAULT_PAGE_ITEMS) };
        text.parse().ok().filter(|limit| (1..=MAX_PAGE_ITEMS).contains(limit)).ok_or_else(|| {
            Problem::wrong_value("limit", text, format_args!("a whole number from 1 to {MAX_PAGE_ITEMS}"))
        })
    }

    /// Where the next page begins, as an earlier answer said.
    pub fn cursor<T: FromStr>(&self) -> Result<Option<T>, Problem> {
        let Some(text) = self.one("cursor")? else { return Ok(None) };
        let cursor = text
            .parse()
            .map_err(|_| Problem::invalid(format!("`cursor` is `{text}`: take it from `next` of the previous answer")));
        cursor.map(Some)
    }

    pub fn date(&self) -> Result<Option<NaiveDate>, Problem> {
        let Some(text) = self.one("date")? else { return Ok(None) };
        // chrono reads `2026-1-5`, too; a day is written in one way.
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| text.len() == 10);
        date.map(Some).ok_or_else(|| Problem::wrong_value("date", text, "a day like 2026-01-15"))
    }

    /// A time: RFC 3339, a day, or an hour of a day.
    pub fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        parse_instant(text).map(Some).ok_or_else(|| {
            // A `+` before a zone reads as a space unless it is escaped: a common mistake in times.
            let plus = lost_plus(text);
            let expected = format_args!("a time like 2026-01-15T03:00:00Z, or a day like 2026-01-15{plus}");
            Problem::wrong_value(name, text, expected)
        })
    }

    /// From `date`, or from `from` up to but without `to`.
    pub fn period(&self) -> Result<Period, Problem> {
        let (from, to) = (self.time("from")?, self.time("to")?);
        let Some(date) = self.date()? else {
            if from.zip(to).is_some_and(|(from, to)| from > to) {
                return Err(Problem::invalid("`from` is after `to`: swap them"));
            }
            return Ok((from, to));
        };
        if from.or(to).is_some() {
            return Err(Problem::invalid("`date` and `from` or `to` exclude each other: give only one of them"));
        }
        let (from, to) = day(date);
        Ok((Some(from), Some(to)))
    }

    /// The same, closed: what is left open reaches as far as times do. The day of `now` where nothing is said.
    pub fn period_or_day(&self, now: DateTime<Utc>) -> Result<(DateTime<Utc>, DateTime<Utc>), Problem> {
        match self.period()? {
            (None, None) => Ok(day(now.date_naive())),
            (from, to) => Ok((from.unwrap_or(DateTime::UNIX_EPOCH), to.unwrap_or(DateTime::<Utc>::MAX_UTC))),
        }
    }

    /// The values that a parameter names.
    pub fn named<T: NamedValue>(&self, name: &str) -> Result<Vec<T>, Problem> {
        self.many(name).map(|text| named_value(name, text)).collect()
    }

    /// The one value that a parameter names.
    pub fn one_named<T: NamedValue>(&self, name: &str) -> Result<Option<T>, Problem> {
        self.one(name)?.map(|text| named_value(name, text)).transpose()
    }

    /// Whether `order` says that the greatest come first; none where it says nothing.
    pub fn descending(&self) -> Result<Option<bool>, Problem> {
        match self.one("order")? {
            None => Ok(None),
            Some("desc") => Ok(Some(true)),
            Some("asc") => Ok(Some(false)),
            Some(other) => Err(Problem::wrong_value("order", other, "asc or desc")),
        }
    }

    /// Yes or no; no where nothing is said.
    pub fn switch(&self, name: &str) -> Result<bool, Problem> {
        match self.one(name)? {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(text) => Err(Problem::wrong_value(name, text, "true or false")),
        }
    }
}

fn named_value<T: NamedValue>(name: &str, text: &str) -> Result<T, Problem> {
    let found = T::VALUES.iter().find(|value| value.name() == text);
    found
        .copied()
        .ok_or_else(|| Problem::wrong_value(name, text, format_args!("one of {}", names_of::<T>().join(", "))))
}

/// What to write in the place of a name that means nothing.
pub fn meant(name: &str, known: &[&str]) -> String {
    match nearest_word(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "there are none here: put your request into the body".to_owned(),
        None => format!("there are {}", known.join(", ")),
    }
}

/// A day from its first instant up to but without the next one's.
pub fn day(date: NaiveDate) -> (DateTime<Utc>, DateTime<Utc>) {
    let from = midnight(date);
    // The last day that chrono can hold has no next one: it counts as empty.
    (from, from.checked_add_signed(TimeDelta::days(1)).unwrap_or(from))
}

fn parse_instant(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Some(instant.to_utc());
    }
    // chrono reads no time of hours alone.
    if let Ok(hour) = NaiveDateTime::parse_from_str(&format!("{text}:00"), "%Y-%m-%dT%H:%M") {
        return Some(hour.and_utc());
    }
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(midnight)
}

fn midnight(date: NaiveDate) -> DateTime<Utc> {
    date.and_time(NaiveTime::MIN).and_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_lost_its_plus_says_how_to_write_it() {
        for name in ["from", "to", "slot"] {
            let ask = |zone: &str| {
                let params = QueryParams::parse(&format!("{name}=2026-01-15T00:00:00{zone}"), &[name]).unwrap();
                params.time(name)
            };
            let problem = format!("{:?}", ask("+02:00").unwrap_err());
            assert!(problem.contains("write 2026-01-15T00:00:00%2B02:00"), "{problem}");
            let read = ask("%2B02:00").unwrap().unwrap();
            assert_eq!(read.to_rfc3339(), "2026-01-14T22:00:00+00:00");
        }
    }

    fn params(text: &str) -> QueryParams {
        QueryParams::parse(text, &["a", "order", "date", "from", "to"]).unwrap()
    }

    #[test]
    fn values_are_split_at_commas_and_each_counts_once() {
        let given = params("a=x,+y,&a=x&a=");
        assert_eq!(given.many("a").collect::<Vec<_>>(), ["x", "y", "x"]);
        assert_eq!(given.texts("a").unwrap(), ["x", "y"]);
        assert_eq!(params("a=&a=z&a=").one("a").unwrap(), Some("z"), "an empty field of a form is none");
    }

    #[test]
    fn an_order_is_up_down_or_left_open() {
        let orders = ["", "order=", "order=asc", "order=desc"].map(|text| params(text).descending().unwrap());
        assert_eq!(orders, [None, None, Some(false), Some(true)]);
        assert!(params("order=DESC").descending().unwrap_err().detail().ends_with("write asc or desc"));
    }

    #[test]
    fn a_period_that_is_open_reaches_as_far_as_times_do() {
        let now: DateTime<Utc> = "2026-03-02T12:00:00Z".parse().unwrap();
        let of = |text: &str| params(text).period_or_day(now).unwrap();
        let today = (now - TimeDelta::hours(12), now + TimeDelta::hours(12));
        assert_eq!((of(""), of("date=2026-03-02")), (today, today));
        assert_eq!(of("from=2026-03-02T05"), (now - TimeDelta::hours(7), DateTime::<Utc>::MAX_UTC));
        assert_eq!(of("to=2026-03-02T12:00:00Z"), (DateTime::UNIX_EPOCH, now));
        assert_eq!(of("from=2026-03-02T12:00:00Z&to=2026-03-02T12:00:00Z"), (now, now), "an empty one is no mistake");
        let (last, end) = day(NaiveDate::MAX);
        assert_eq!(last, end, "the last day that there is has no next one");
    }
}

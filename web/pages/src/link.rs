//! Links that keep what the address says: a filter stays when the order changes, the day when the page does.

use flowlord_domain::query::Query;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

#[derive(Clone, Default)]
pub(crate) struct PageLink {
    path: &'static str,
    query: Query,
}

impl PageLink {
    pub(crate) fn to(path: &'static str) -> Self {
        Self { path, query: Query::default() }
    }

    /// A page with the parameters of a request, as far as they have a value.
    pub(crate) fn of(path: &'static str, query: &str) -> Self {
        // A browser sends the empty fields of a form, too.
        Self { path, query: owned_pairs(&Query::parse_lenient(query), |_, value| !value.is_empty()) }
    }

    /// With this one value of a parameter.
    pub(crate) fn with(&self, key: &str, value: &(impl ToString + ?Sized)) -> Self {
        let mut link = self.clone();
        link.query.set_value(key, value.to_string());
        link
    }

    /// With the parameters that choose a task.
    pub(crate) fn with_task(&self, topic: &str, job: &str) -> Self {
        let link = self.with("type", topic);
        if job.is_empty() { link } else { link.with("job", job) }
    }

    pub(crate) fn without(&self, keys: &[&str]) -> Self {
        let mut link = self.clone();
        keys.iter().for_each(|key| link.query.remove_key(key));
        link
    }

    /// Without filters; none where none of them has a value.
    pub(crate) fn unfiltered(&self, filters: &[&str]) -> Option<Self> {
        let is_filtered = filters.iter().any(|name| !self.first(name).is_empty());
        is_filtered.then(|| self.without(filters).without(&["cursor"]))
    }

    /// Only with some of the parameters.
    pub(crate) fn only(&self, keys: &[&str]) -> Self {
        Self { path: self.path, query: owned_pairs(&self.query, |key, _| keys.contains(&key)) }
    }

    /// With the same parameters elsewhere.
    pub(crate) fn at(&self, path: &'static str) -> Self {
        Self { path, query: self.query.clone() }
    }

    pub(crate) fn path(&self) -> &'static str {
        self.path
    }

    /// The parameters, for the hidden fields of a form.
    pub(crate) fn pairs(&self) -> Vec<(&str, &str)> {
        self.query.pairs().collect()
    }

    /// The first value of a parameter; empty for none.
    pub(crate) fn first(&self, key: &str) -> &str {
        self.query.first_value(key).unwrap_or_default()
    }

    /// As it stands in `href`.
    pub(crate) fn href(&self) -> String {
        let pairs: Vec<String> =
            self.query.pairs().map(|(key, value)| format!("{}={}", encoded_value(key), encoded_value(value))).collect();
        if pairs.is_empty() { self.path.to_owned() } else { format!("{}?{}", self.path, pairs.join("&")) }
    }
}

fn owned_pairs(query: &Query, is_kept: impl Fn(&str, &str) -> bool) -> Query {
    let kept = query.pairs().filter(|(key, value)| is_kept(key, value));
    kept.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// What can't stand in a path as it is.
pub(crate) const NOT_IN_PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// What can't stand in a query as it is. A colon and a comma may: times and lists stay readable.
pub(crate) const NOT_IN_QUERY: &AsciiSet = &NOT_IN_PATH.remove(b':').remove(b',');

fn encoded_value(text: &str) -> String {
    utf8_percent_encode(text, NOT_IN_QUERY).to_string().replace("%20", "+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_keeps_what_is_not_changed() {
        let link = PageLink::of("/web/task", "date=2026-03-02&type=a&type=b&q=&cursor=x");
        assert_eq!(link.href(), "/web/task?date=2026-03-02&type=a&type=b&cursor=x");
        let sorted = link.without(&["cursor"]).with("sort", "run");
        assert_eq!(sorted.href(), "/web/task?date=2026-03-02&type=a&type=b&sort=run");
        assert_eq!(link.only(&["date"]).with("type", "c").href(), "/web/task?date=2026-03-02&type=c");
        assert_eq!(PageLink::to("/web/files").href(), "/web/files");
        assert_eq!((link.first("type"), link.first("q")), ("a", ""));
    }

    #[test]
    fn values_read_back_as_they_were() {
        for value in ["a b+c&d=e%f#g;h", "\"<'>\u{e9}", "s3://b/k,2026-03-02T03:00"] {
            let href = PageLink::to("/web/task").with("q", value).href();
            assert!(href.is_ascii() && !href.contains(['"', '<', '\'', ';', '#']), "{href}");
            assert_eq!(PageLink::of("/web/task", href.split_once('?').unwrap().1).first("q"), value);
        }
    }

    #[test]
    fn a_filter_is_taken_away_with_its_page_where_there_is_one() {
        let link = PageLink::of("/web/task", "date=2026-03-02&type=a&cursor=x");
        let unfiltered = link.unfiltered(&["type", "job"]).map(|link| link.href());
        assert_eq!(unfiltered.as_deref(), Some("/web/task?date=2026-03-02"));
        assert!(link.unfiltered(&["job"]).is_none() && PageLink::of("/x", "job=").unfiltered(&["job"]).is_none());
    }
}

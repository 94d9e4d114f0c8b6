//! Links that keep what the address says: a filter stays when the order changes, the day when the page does.

use std::fmt::Write as _;

use flowlord_domain::query::Query;

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
        let mut href = self.path.to_owned();
        for (number, (key, value)) in self.query.pairs().enumerate() {
            href.push(if number == 0 { '?' } else { '&' });
            encode(key, &mut href);
            href.push('=');
            encode(value, &mut href);
        }
        href
    }
}

fn owned_pairs(query: &Query, is_kept: impl Fn(&str, &str) -> bool) -> Query {
    let kept = query.pairs().filter(|(key, value)| is_kept(key, value));
    kept.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Percent-encodes what can't stand in a query as it is.
pub(crate) fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            // A colon, a slash and a comma may stand in a query: times and paths stay readable.
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'/' | b',' => {
                into.push(char::from(byte));
            }
            b' ' => into.push('+'),
            _ => {
                let _ = write!(into, "%{byte:02X}");
            }
        }
    }
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
}

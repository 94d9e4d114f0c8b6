//! What the address of the page says, and its forms.

use flowlord_domain::alert::AlertMatcher;
use flowlord_domain::duration;
use flowlord_domain::query::Query;
use flowlord_web_core::problem::Problem;
use flowlord_web_core::values::BodyDuration;
use flowlord_web_core::values::matching::MatchText;

pub(super) const PATH: &str = "/web/alert";

pub(super) const PARAMS: &[&str] = &["date", "month", "kind", "type", "job", "workflow", "sort", "order", "cursor"];

/// Those of them that choose alerts.
pub(super) const FILTERS: &[&str] = &["kind", "type", "job", "workflow"];

/// The fields of a form; an empty one isn't there.
pub(super) struct AlertForm(pub(super) Query);

impl AlertForm {
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.first_value(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    pub(super) fn span(&self) -> Result<Option<BodyDuration>, Problem> {
        let Some(text) = self.text("for") else { return Ok(None) };
        duration::parse_duration(&text)
            .map(|span| Some(BodyDuration(span)))
            .map_err(|err| Problem::invalid(format!("`for`: {err}")))
    }

    pub(super) fn matcher(&self) -> Result<AlertMatcher, Problem> {
        let (topic, job) = (self.text("type"), self.text("job"));
        let (workflow, owner) = (self.text("workflow"), self.text("owner"));
        MatchText(AlertMatcher { topic, job, workflow, owner }).checked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> AlertForm {
        AlertForm(Query::parse_lenient(text))
    }

    #[test]
    fn fields_are_trimmed_and_empty_ones_are_not_there() {
        let form = form("by=+ada+&note=++&type=load&job=");
        assert_eq!((form.text("by").as_deref(), form.text("note"), form.text("until")), (Some("ada"), None, None));
        let matcher = form.matcher().unwrap();
        assert_eq!((matcher.topic.as_deref(), matcher.job, matcher.workflow), (Some("load"), None, None));
    }

    #[test]
    fn a_span_is_read_or_says_how_to_write_it() {
        assert_eq!(form("for=").span().unwrap(), None);
        assert_eq!(form("for=90m").span().unwrap(), Some(BodyDuration(chrono::TimeDelta::minutes(90))));
        let detail = form("for=soon").span().unwrap_err().detail().to_owned();
        assert!(detail.starts_with("`for`: `soon` is not a duration"), "{detail}");
        let long = format!("type={}", "x".repeat(201));
        assert!(form(&long).matcher().unwrap_err().detail().contains("`match.type`"), "{long}");
    }
}

//! What the address of the page says, and its forms.

use flowlord_domain::alert::AlertMatcher;
use flowlord_domain::duration;
use flowlord_domain::query::Query;
use flowlord_web_core::problem::Problem;
use flowlord_web_core::values::BodyDuration;
use flowlord_web_core::values::matching::MatchText;

pub(super) const PATH: &str = "/web/alert";

pub(super) const PARAMS: &[&str] = &["date", "month", "type", "job", "sort", "order", "cursor"];

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
        MatchText(AlertMatcher { topic, job, workflow: self.text("workflow") }).checked()
    }
}

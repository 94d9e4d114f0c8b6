//! Values of what people say about alerts: which ones, how long, who, why.

use actix_web::{HttpMessage as _, HttpRequest};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::alert::AlertMatcher;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{BodyDuration, between};
use crate::auth::Caller;
use crate::limits::{HOLD_RANGE, MAX_NOTE_CHARACTERS, MAX_PATTERN_CHARACTERS, MAX_PERSON_CHARACTERS, alert_pattern};
use crate::problem::Problem;

pub const HOLDS: TimeDelta = TimeDelta::hours(4);

/// Which alerts; what isn't there matches all.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct MatchText(pub AlertMatcher);

/// All that it says must hold; an empty one means all alerts.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Match)]
#[expect(dead_code, reason = "the document of what `Matcher` reads; the domain knows no OpenAPI")]
pub struct MatchDoc {
    #[schema(schema_with = alert_pattern)]
    r#type: Option<String>,
    #[schema(schema_with = alert_pattern)]
    job: Option<String>,
    #[schema(schema_with = alert_pattern)]
    workflow: Option<String>,
}

impl MatchText {
    pub fn checked(self) -> Result<AlertMatcher, Problem> {
        let Self(matcher) = self;
        let fields = [("type", &matcher.topic), ("job", &matcher.job), ("workflow", &matcher.workflow)];
        for (name, pattern) in fields.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?))) {
            if pattern.chars().count() > MAX_PATTERN_CHARACTERS || pattern.chars().any(char::is_control) {
                return Err(Problem::invalid(format!(
                    "`match.{name}` must be a line of up to {MAX_PATTERN_CHARACTERS} characters; `*` stands for any text, `?` \
                     for any one character"
                )));
            }
        }
        Ok(matcher)
    }
}

pub fn until(
    span: Option<BodyDuration>,
    until: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, Problem> {
    match (span, until) {
        (Some(_), Some(_)) => Err(Problem::invalid("`for` and `until` exclude each other: give only one of them")),
        (Some(BodyDuration(span)), None) => Ok(Some(now + between("for", span, HOLD_RANGE)?)),
        (None, Some(text)) => {
            let at = DateTime::parse_from_rfc3339(text)
                .map_err(|_| Problem::wrong_value("until", text, "a time like 2026-01-15T03:00:00Z"))?
                .to_utc();
            let (most, most_text) = HOLD_RANGE.most;
            if at <= now || at - now > most {
                let expected = format_args!("a time in the future, at most {most_text} ahead");
                return Err(Problem::wrong_value("until", text, expected));
            }
            Ok(Some(at))
        }
        (None, None) => Ok(None),
    }
}

/// Who says it: as given, else whose token it is.
pub fn by(given: Option<String>, request: &HttpRequest) -> Result<String, Problem> {
    let given = given.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    let name = given.or_else(|| Some(request.extensions().get::<Caller>()?.who.as_ref()?.name.clone()));
    let name = name.unwrap_or_else(|| "someone".to_owned());
    if name.chars().count() > MAX_PERSON_CHARACTERS || name.chars().any(char::is_control) {
        return Err(Problem::invalid(format!(
            "`by` must be a name of up to {MAX_PERSON_CHARACTERS} characters, on one line"
        )));
    }
    Ok(name)
}

/// What somebody says about it; nothing but blanks is nothing.
pub fn note(name: &str, given: Option<String>) -> Result<Option<String>, Problem> {
    let text = given.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    if text.as_ref().is_some_and(|text| text.chars().count() > MAX_NOTE_CHARACTERS) {
        return Err(Problem::invalid(format!("`{name}` is longer than {MAX_NOTE_CHARACTERS} characters: shorten it")));
    }
    Ok(text)
}

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
    /// Of the phase.
    #[schema(schema_with = alert_pattern)]
    owner: Option<String>,
}

/// The same for an acknowledgement, which knows no owners.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AcknowledgedMatch)]
#[expect(dead_code, reason = "the document of what `Matcher` reads; the domain knows no OpenAPI")]
pub struct AcknowledgedMatchDoc {
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
        for (name, pattern) in matcher.fields().into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?))) {
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

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use flowlord_domain::Role;

    use super::*;
    use crate::auth::caller::TokenHolder;

    #[test]
    fn an_end_is_a_span_from_now_or_a_time_ahead() {
        let now: DateTime<Utc> = "2026-03-02T12:00:00Z".parse().unwrap();
        let span = |seconds| Some(BodyDuration(TimeDelta::seconds(seconds)));
        assert_eq!(until(None, None, now).unwrap(), None);
        assert_eq!(until(span(60), None, now).unwrap(), Some(now + TimeDelta::minutes(1)));
        let read = until(None, Some("2026-03-02T15:00:00+02:00"), now).unwrap();
        assert_eq!(read, Some(now + TimeDelta::hours(1)));
        assert_eq!(until(None, Some("2027-03-02T12:00:00Z"), now).unwrap(), Some(now + TimeDelta::days(365)));
        for (span, time, says) in [
            (span(60), Some("2026-03-02T15:00:00Z"), "exclude each other"),
            (span(0), None, "from 1s to 365d"),
            (None, Some("2026-03-02T12:00:00Z"), "a time in the future, at most 365d ahead"),
            (None, Some("2027-03-02T12:00:01Z"), "at most 365d ahead"),
            (None, Some("tomorrow"), "a time like 2026-01-15T03:00:00Z"),
        ] {
            let detail = until(span, time, now).unwrap_err().detail().to_owned();
            assert!(detail.contains(says), "{time:?}: {detail}");
        }
    }

    #[test]
    fn who_says_it_is_given_or_known_by_the_token() {
        let anyone = TestRequest::get().to_http_request();
        let known = TestRequest::get().to_http_request();
        let who = Some(TokenHolder { name: "ann".to_owned(), role: Role::Operator });
        known.extensions_mut().insert(Caller { who, from: None });
        let given = |name: &str| Some(name.to_owned());
        assert_eq!(by(given(" ada "), &known).unwrap(), "ada");
        assert_eq!([by(given("  "), &known).unwrap(), by(None, &known).unwrap()], ["ann", "ann"]);
        assert_eq!(by(None, &anyone).unwrap(), "someone");
        assert!(by(given(&"é".repeat(MAX_PERSON_CHARACTERS)), &anyone).is_ok());
        for name in ["é".repeat(MAX_PERSON_CHARACTERS + 1), "a\nb".to_owned()] {
            assert!(by(given(&name), &anyone).unwrap_err().detail().contains("`by` must be a name"), "{name}");
        }
    }

    #[test]
    fn a_note_of_blanks_is_none_and_a_long_one_is_refused() {
        assert_eq!(note("note", Some(" \n ".to_owned())).unwrap(), None);
        assert_eq!(note("note", Some(" a\nb ".to_owned())).unwrap().as_deref(), Some("a\nb"));
        assert!(note("note", Some("é".repeat(MAX_NOTE_CHARACTERS))).unwrap().is_some());
        let detail = note("reason", Some("é".repeat(MAX_NOTE_CHARACTERS + 1))).unwrap_err().detail().to_owned();
        assert!(detail.starts_with("`reason` is longer than"), "{detail}");
    }
}

//! Alerts: recorded problems, and which of them something is about.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::query::Query;
use crate::task::{Attempt, Uid};
use crate::task_time::task_time;

named_enum! {
    /// Why an alert was raised.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum AlertKind {
        // A row has the place of one in here: new ones go to the end.
        /// A task failed and its retries are used up.
        Exhausted = "exhausted",
        /// A worker answered `alert`.
        Result = "result",
        /// A task is unfinished past `tasks.ttl`.
        Unfinished = "unfinished",
        /// A task failed that no phase knows.
        UnknownPhase = "unknown_phase",
        /// A task could not be created.
        CreateFailed = "create_failed",
        /// A workflow file doesn't load.
        Workflow = "workflow",
        /// A snapshot failed.
        Snapshot = "snapshot",
        /// A phase missed its slot.
        MissedSlot = "missed_slot",
        /// The database could not be written for a while.
        Storage = "storage",
        /// A slot's task wasn't leased in time (`start_by`).
        NotStarted = "not_started",
        /// A slot's task wasn't complete in time (`done_by`).
        NotDone = "not_done",
        /// A task is at work for longer than it should (`max_run`).
        RunsLong = "runs_long",
        /// Another node of the cluster leads, without a handover.
        Takeover = "takeover",
        /// Tasks are ready, and no worker asks for them.
        NoWorkers = "no_workers",
        /// A join didn't have all that it waits for in time (`join_by`).
        JoinLate = "join_late",
        /// A task failed by its time-out, and its retries are used up (`timeout`).
        TimedOut = "timed_out",
        /// A complete task ran for less time than expected (`min_run`).
        TooShort = "too_short",
        /// A complete task left other figures than expected (`expect`).
        Unexpected = "unexpected",
    }
}

/// An alert to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAlert {
    /// The reason for which it was raised.
    pub kind: AlertKind,
    /// When it was raised.
    pub at: DateTime<Utc>,
    /// The attempt it is about, if any.
    pub uid: Option<Uid>,
    /// The chain it is about; empty for none.
    pub id: String,
    /// The topic, or for alerts without a task what failed (`workflow`, `snapshot`).
    pub topic: String,
    /// The job, or for alerts without a task which one.
    pub job: String,
    /// The workflow file; empty for none.
    pub workflow: String,
    /// What happened.
    pub msg: String,
    /// The time that the task is about.
    pub task_time: Option<DateTime<Utc>>,
    /// The owner of its phase; empty for none.
    pub owner: String,
    /// What its phase says to do, an address; empty for none.
    pub runbook: String,
    /// The text of a message of its own that is sent at once, ahead of the escalation policy.
    pub at_once: Option<String>,
}

impl NewAlert {
    /// An alert about a part of the service, which `topic` names.
    pub fn without_task(kind: AlertKind, topic: &str, msg: String, now: DateTime<Utc>) -> Self {
        Self {
            kind,
            at: now,
            uid: None,
            id: String::new(),
            topic: topic.to_owned(),
            job: String::new(),
            workflow: String::new(),
            msg,
            task_time: None,
            owner: String::new(),
            runbook: String::new(),
            at_once: None,
        }
    }

    /// An alert about a task, which the escalation policy notifies of.
    pub fn about(task: &Attempt, kind: AlertKind, msg: String, now: DateTime<Utc>) -> Self {
        Self {
            uid: Some(task.uid),
            id: task.id.clone(),
            job: task.job.clone(),
            workflow: task.workflow.clone(),
            // The meta may be a worker's: what can't be read of it is left out.
            task_time: task_time(&task.info, &Query::parse_lenient(&task.meta)),
            ..Self::without_task(kind, &task.topic, msg, now)
        }
    }
}

/// Which alerts something is about. A field that isn't there matches all; `*` stands for any text and `?` for any
/// one character.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertMatcher {
    /// The topic, `type` on the wire.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The job; empty for alerts of tasks without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The workflow file, relative to the workflow root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// The owner of the phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

impl AlertMatcher {
    /// Whether an alert of this topic, job, workflow file and owner is meant.
    pub fn matches(&self, texts: [&str; 4]) -> bool {
        let mut fields = self.fields().into_iter().zip(texts);
        fields.all(|((_, pattern), text)| pattern.as_deref().is_none_or(|pattern| matches_wildcards(pattern, text)))
    }

    /// Its patterns, by the names that people write.
    pub fn fields(&self) -> [(&'static str, &Option<String>); 4] {
        [("type", &self.topic), ("job", &self.job), ("workflow", &self.workflow), ("owner", &self.owner)]
    }

    /// Whether it matches everything.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for AlertMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.fields();
        let mut written = fields.iter().filter_map(|(name, text)| Some((name, text.as_ref()?)));
        let Some((name, text)) = written.next() else { return f.write_str("everything") };
        write!(f, "{name}={text}")?;
        written.try_for_each(|(name, text)| write!(f, " {name}={text}"))
    }
}

/// Whom to ask and what to read, as a line of a notification; empty where nobody said.
pub fn contact_line(owner: &str, runbook: &str) -> String {
    let parts = [("owner: ", owner), ("runbook: ", runbook)].into_iter().filter(|(_, text)| !text.is_empty());
    parts.map(|(name, text)| format!("{name}{text}")).collect::<Vec<_>>().join(", ")
}

/// Whether a text is of the pattern's form: `*` is any text, `?` any one character, all else itself.
pub fn matches_wildcards(pattern: &str, text: &str) -> bool {
    // A `?` stands for a character, which may be several bytes.
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last star doesn't fit: one more character is the star's.
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                t = from + 1;
            }
        }
    }
    // The text is used up: what is left of the pattern must match nothing.
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matcher(topic: Option<&str>, job: Option<&str>, workflow: Option<&str>) -> AlertMatcher {
        let text = |text: Option<&str>| text.map(str::to_owned);
        AlertMatcher { topic: text(topic), job: text(job), workflow: text(workflow), owner: None }
    }

    #[test]
    fn patterns_match_whole_texts() {
        for (pattern, text, expected) in [
            ("load", "load", true),
            ("load", "loader", false),
            ("load*", "loader", true),
            ("*load", "reload", true),
            ("l?ad", "load", true),
            ("l?ad", "lad", false),
            ("*", "", true),
            ("?", "", false),
            ("", "", true),
            ("", "x", false),
            ("etl/*.toml", "etl/daily/a.toml", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("a*a", "a", false),
            ("f\u{fc}r?", "f\u{fc}r\u{e9}", true),
            ("[ab]", "a", false),
        ] {
            assert_eq!(matches_wildcards(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_line_of_contact_says_only_what_somebody_said() {
        for (owner, runbook, line) in [
            ("ada", "https://wiki/load", "owner: ada, runbook: https://wiki/load"),
            ("ada", "", "owner: ada"),
            ("", "https://wiki/load", "runbook: https://wiki/load"),
            ("", "", ""),
        ] {
            assert_eq!(contact_line(owner, runbook), line);
        }
    }

    #[test]
    fn what_is_not_said_matches_all() {
        assert!(AlertMatcher::default().matches(["load", "", "w.toml", ""]));
        let etl = matcher(Some("load"), None, Some("etl/*"));
        assert!(etl.matches(["load", "hourly", "etl/a.toml", ""]));
        assert!(!etl.matches(["load", "hourly", "a.toml", ""]));
        assert!(!matcher(None, Some(""), None).matches(["load", "hourly", "", ""]));
        assert!(matcher(None, Some(""), None).matches(["load", "", "", ""]));
        let owned = AlertMatcher { owner: Some("data*".to_owned()), ..etl.clone() };
        assert!(
            owned.matches(["load", "", "etl/a.toml", "data-eng"]) && !owned.matches(["load", "", "etl/a.toml", ""])
        );
        assert_eq!(owned.to_string(), "type=load workflow=etl/* owner=data*");
        assert_eq!(etl.to_string(), "type=load workflow=etl/*");
        assert_eq!(
            (AlertMatcher::default().to_string(), AlertMatcher::default().is_all()),
            ("everything".to_owned(), true)
        );
    }

    #[test]
    fn the_written_form_is_that_of_the_api() {
        let read: AlertMatcher = serde_json::from_str(r#"{"type":"load","job":"h*"}"#).unwrap();
        assert_eq!(read, matcher(Some("load"), Some("h*"), None));
        assert_eq!(serde_json::to_string(&read).unwrap(), r#"{"type":"load","job":"h*"}"#);
        assert!(serde_json::from_str::<AlertMatcher>(r#"{"topic":"load"}"#).is_err());
    }

    #[test]
    fn kinds_have_one_name_on_the_wire() {
        let mut names = std::collections::BTreeSet::new();
        for kind in AlertKind::ALL {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{}\"", kind.as_str()));
            names.insert(kind.as_str());
        }
        assert_eq!(names.len(), AlertKind::ALL.len());
    }

    #[test]
    fn an_alert_about_a_task_names_it_and_its_time() {
        let now = DateTime::from_timestamp(1_600_000_000, 0).unwrap();
        let task = crate::NewTask {
            uid: Uid(7),
            topic: "load".to_owned(),
            job: "hourly".to_owned(),
            id: "chain".to_owned(),
            info: "?date=2024-01-13".to_owned(),
            meta: "cron=2024-01-14T05".to_owned(),
            workflow: "w.toml".to_owned(),
            parent: None,
            retry: 0,
            not_before: None,
            lane: crate::TaskLane::Live,
        };
        let expected = NewAlert {
            kind: AlertKind::RunsLong,
            at: now,
            uid: Some(Uid(7)),
            id: "chain".to_owned(),
            topic: "load".to_owned(),
            job: "hourly".to_owned(),
            workflow: "w.toml".to_owned(),
            msg: "slow".to_owned(),
            task_time: Some("2024-01-14T05:00:00Z".parse().unwrap()),
            owner: String::new(),
            runbook: String::new(),
            at_once: None,
        };
        assert_eq!(NewAlert::about(&task.into_attempt(), AlertKind::RunsLong, "slow".to_owned(), now), expected);
    }

    #[test]
    fn only_a_matcher_without_a_field_matches_everything() {
        for some in [matcher(Some("a"), None, None), matcher(None, Some(""), None), matcher(None, None, Some("w"))] {
            assert!(!some.is_all(), "{some}");
        }
        assert!(!matcher(Some("load"), Some("daily"), None).matches(["load", "hourly", "", ""]));
        assert!(!matcher(Some("load"), None, None).matches(["report", "", "", ""]));
    }

    /// The same by trying each length of each star.
    fn matches_plainly(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|taken| matches_plainly(rest, &text[taken..])),
            [one, rest @ ..] => {
                text.first().is_some_and(|first| *one == '?' || one == first) && matches_plainly(rest, &text[1..])
            }
        }
    }

    proptest! {
        #[test]
        fn a_pattern_with_parts_starred_out_matches(text in "[abc]{0,8}", cuts in proptest::collection::vec(0_usize..9, 0..4)) {
            let mut pattern: Vec<char> = text.chars().collect();
            for cut in cuts {
                pattern.insert(cut.min(pattern.len()), '*');
            }
            let pattern: String = pattern.into_iter().collect();
            prop_assert!(matches_wildcards(&pattern, &text));
            let shorter: String = pattern.replace('*', "").chars().skip(1).collect();
            prop_assert_eq!(matches_wildcards(&shorter, &text), shorter == text);
        }

        #[test]
        fn a_star_takes_as_much_as_the_rest_needs(pattern in "[ab?*]{0,7}", text in "[ab]{0,9}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches_wildcards(&pattern, &text), matches_plainly(&chars(&pattern), &chars(&text)));
        }
    }
}

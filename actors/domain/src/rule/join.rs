//! What a rule says of a join: a phase that waits for several tasks.

use chrono::TimeDelta;
use chrono_tz::Tz;

use super::{BatchStep, Rule};

/// The keys that make a phase with one parent a join.
const JOIN_KEYS: [&str; 3] = ["join", "over", "join_by"];

/// What a rule says of a join.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JoinRule {
    /// How many tasks of its parents it takes.
    pub need: JoinNeed,
    /// The period in which it waits for every slot; none for the hour that the tasks are about.
    pub over: Option<BatchStep>,
    /// So long after the end of a period it is late.
    pub by: Option<TimeDelta>,
    /// What happens when it is late.
    pub then: LateJoinRule,
    /// A parent that completes later starts it again.
    pub again: bool,
    /// Where days begin, unless a parent's schedule has a zone of its own.
    pub zone: Option<Tz>,
    /// One of the keys is there that make a phase with one parent a join.
    pub is_written: bool,
}

/// How many tasks of its parents a join takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum JoinNeed {
    /// Every one that is expected.
    #[default]
    All,
    /// So many.
    Count(usize),
}

named_enum! {
    /// What happens when a join is late.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub enum LateJoinRule {
        /// It starts with what is there.
        #[default]
        Start = "start",
        /// An alert is raised, and it goes on waiting.
        Alert = "alert",
    }
}

impl Rule {
    pub(super) fn read_join(&mut self, zone: Tz) {
        // A file's tasks may use any key.
        if self.files.is_some() {
            return;
        }
        self.join.zone = Some(zone);
        self.join.is_written = JOIN_KEYS.iter().any(|key| self.filled_text(key).is_some());
        self.read_need();
        if let Some(text) = self.filled_text("over") {
            self.join.over = BatchStep::parse(&text);
            if self.join.over.is_none() {
                // In another period it would start at the wrong time.
                self.add_blocker("over", format!("over `{text}` is unknown: write hour, day, week or month"));
            }
        }
        self.join.by = self.limit_of("join_by");
        if let Some(text) = self.filled_text("join_by_then") {
            self.join.then = LateJoinRule::from_name(&text.to_ascii_lowercase()).unwrap_or_else(|| {
                self.add_error("join_by_then", format!("join_by_then `{text}` is unknown: write start or alert"));
                LateJoinRule::Alert
            });
        }
        self.join.again = self.text_of("again").is_some_and(|text| !text.eq_ignore_ascii_case("false"));
    }

    fn read_need(&mut self) {
        let Some(text) = self.filled_text("join") else { return };
        self.join.need = match text.to_ascii_lowercase().as_str() {
            "all" => JoinNeed::All,
            "any" => JoinNeed::Count(1),
            number => match number.parse() {
                Ok(count @ 1..) => JoinNeed::Count(count),
                _ => {
                    let message = format!("join `{text}` is unknown: write all, any, or how many it takes, like 20");
                    return self.add_blocker("join", message);
                }
            },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        Rule::parse(text, Tz::UTC)
    }

    #[test]
    fn the_keys_of_a_join_are_read() {
        let read = rule("Join=Any&over=DAY&join_by=6h&join_by_then=Alert&again=true");
        assert_eq!(read.problems, []);
        let expected = JoinRule {
            need: JoinNeed::Count(1),
            over: Some(BatchStep::Day),
            by: Some(TimeDelta::hours(6)),
            then: LateJoinRule::Alert,
            again: true,
            zone: Some(Tz::UTC),
            is_written: true,
        };
        assert_eq!(read.join, expected);
        assert_eq!(rule("join=all&over=month").join.need, JoinNeed::All);
        assert_eq!(rule("join=20").join.need, JoinNeed::Count(20));
        for (text, is_written) in [("again=true", false), ("join_by_then=start", false), ("over=week", true)] {
            assert_eq!(rule(text).join.is_written, is_written, "{text}");
        }
        assert!(!rule("again=false&over=day").join.again);
    }

    #[test]
    fn a_value_that_could_start_it_early_blocks() {
        for (text, message) in [
            ("join=0", "join `0` is unknown: write all, any, or how many it takes, like 20"),
            ("join=most", "join `most` is unknown"),
            ("over=dya", "over `dya` is unknown: write hour, day, week or month"),
        ] {
            let read = rule(text);
            let blocker = read.find_blocker(&["join", "over"]).unwrap();
            assert!(blocker.message.starts_with(message), "{:?}", read.problems);
        }
        let read = rule("join_by=0s&join_by_then=wait");
        let messages: Vec<_> = read.problems.iter().map(|problem| problem.message.as_str()).collect();
        let expected = [
            "join_by `0s` is not positive: write a duration like 1h",
            "join_by_then `wait` is unknown: write start or alert",
        ];
        assert_eq!((messages.as_slice(), read.first_blocker()), (&expected[..], None));
    }
}

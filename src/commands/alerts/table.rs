//! Two replays side by side.

use std::collections::BTreeSet;

use chrono::{NaiveDate, TimeDelta};
use flowlord_domain::duration;
use flowlord_domain::simulate::{Replay, Waits};

/// One of the two.
pub(super) struct Side {
    pub(super) name: String,
    /// In words, one a route.
    pub(super) policies: Vec<String>,
    pub(super) replay: Replay,
}

/// A name and what each side says.
type Row = [String; 3];

pub(super) fn table(sides: &[Side; 2]) -> String {
    let rows = rows(sides);
    let width = |n: usize| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or_default();
    let (name, first) = (width(0), width(1));
    let line =
        |row: &Row| format!("{:name$}  {:first$}  {}", row[0], row[1], row[2]).trim_end().to_owned() + "\n";
    rows.iter().map(line).collect()
}

fn rows(sides: &[Side; 2]) -> Vec<Row> {
    let of = |name: &str, text: &dyn Fn(&Replay) -> String| {
        [name.to_owned(), text(&sides[0].replay), text(&sides[1].replay)]
    };
    let mut rows = vec![[String::new(), sides[0].name.clone(), sides[1].name.clone()]];
    for nth in 0..sides.iter().map(|side| side.policies.len()).max().unwrap_or_default() {
        let name = if nth == 0 { "policy" } else { "" };
        let policy = |side: &Side| side.policies.get(nth).cloned().unwrap_or_default();
        rows.push([name.to_owned(), policy(&sides[0]), policy(&sides[1])]);
    }
    rows.push(of("messages", &|replay| replay.messages().to_string()));
    for day in days(sides) {
        let count = |replay: &Replay| replay.per_day.get(&day).copied().unwrap_or_default().to_string();
        rows.push(of(&format!("  {day}"), &count));
    }
    for route in routes(sides) {
        let count = |replay: &Replay| replay.per_route.get(&route).copied().unwrap_or_default().to_string();
        rows.push(of(&format!("  route {route}"), &count));
    }
    rows.push(of("incidents", &|replay| replay.incidents.to_string()));
    rows.push(of("  open at the end", &|replay| replay.open.to_string()));
    rows.push(of("first message", &|replay| waits(replay.first)));
    rows.push(of("all clear", &|replay| waits(replay.clear)));
    rows
}

fn days(sides: &[Side; 2]) -> BTreeSet<NaiveDate> {
    sides.iter().flat_map(|side| side.replay.per_day.keys().copied()).collect()
}

/// All routes; none where both sides have only one.
fn routes(sides: &[Side; 2]) -> BTreeSet<String> {
    if sides.iter().all(|side| side.policies.len() == 1) {
        return BTreeSet::new();
    }
    sides.iter().flat_map(|side| side.replay.per_route.keys().cloned()).collect()
}

fn waits(waits: Waits) -> String {
    let seconds = |time: TimeDelta| duration::print(TimeDelta::seconds(time.num_seconds()));
    match waits.mean() {
        Some(mean) => format!("after {} on average, {} at most", seconds(mean), seconds(waits.longest)),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use flowlord_domain::alert::Matcher;
    use flowlord_domain::ladder::Policy;
    use flowlord_domain::simulate::{Ladder, Recorded, replay};

    use super::*;

    fn side(name: &str, minutes: i64, seconds: &[i64]) -> Side {
        let at = |second: i64| DateTime::from_timestamp(1_772_452_800 + second, 0).unwrap();
        let alert = |second: &i64| Recorded {
            at: at(*second),
            topic: "a".to_owned(),
            job: String::new(),
            workflow: String::new(),
        };
        let policy = Policy::new(TimeDelta::minutes(minutes), TimeDelta::minutes(16 * minutes));
        let route = "default".to_owned();
        let ladders = [Ladder { route, matcher: Matcher::default(), policy, quiet: None }];
        let alerts: Vec<_> = seconds.iter().map(alert).collect();
        let replay = replay(&ladders, &alerts, at(0), at(100_000));
        Side { name: name.to_owned(), policies: vec![policy.to_string()], replay }
    }

    #[test]
    fn both_are_told_side_by_side() {
        let flaps = [30, 1_830, 3_630, 50_000];
        let told = table(&[side("now", 5, &flaps), side("seldom.toml", 30, &flaps)]);
        let expected = "\
                   now                                     seldom.toml
policy             5m to 1h20m, ×2.0 up, ÷2.0 down, all clear after 1 quiet check  30m to 8h, ×2.0 up, ÷2.0 down, all clear after 1 quiet check
messages           8                                       5
  2026-03-02       6                                       3
  2026-03-03       2                                       2
incidents          4                                       2
  open at the end  0                                       0
first message      after 3m47s on average, 4m30s at most after 18m5s on average, 29m30s at most
all clear          after 18m47s on average, 19m30s at most after 2h48m5s on average, 3h59m30s at most
";
        let squeeze = |text: &str| -> Vec<String> {
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
        };
        assert_eq!(squeeze(&told), squeeze(expected), "{told}");
    }

    #[test]
    fn where_nothing_was_told_there_are_no_waits() {
        let told = table(&[side("now", 5, &[]), side("x", 30, &[])]);
        assert!(told.contains("first message") && told.lines().last().unwrap().ends_with('-'), "{told}");
    }
}

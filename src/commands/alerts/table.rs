//! Two replays side by side.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveDate, TimeDelta};
use flowlord_domain::duration;
use flowlord_domain::simulate::{AlertReplay, WaitTimes};

use crate::commands::out::column_width;

pub(super) struct ReplaySide {
    pub(super) name: String,
    /// In words, one a route.
    pub(super) policies: Vec<String>,
    pub(super) replay: AlertReplay,
}

type TableRow = [String; 3];

pub(super) fn format_table(sides: &[ReplaySide; 2]) -> String {
    let rows = table_rows(sides);
    let (name, first) = (column_width(&rows, 0), column_width(&rows, 1));
    let mut text = String::new();
    for row in rows {
        text.push_str(format!("{:name$}  {:first$}  {}", row[0], row[1], row[2]).trim_end());
        text.push('\n');
    }
    text
}

fn table_rows(sides: &[ReplaySide; 2]) -> Vec<TableRow> {
    let mut rows = vec![[String::new(), sides[0].name.clone(), sides[1].name.clone()]];
    for nth in 0..sides.iter().map(|side| side.policies.len()).max().unwrap_or_default() {
        let name = if nth == 0 { "policy" } else { "" };
        let [now, other] = [0, 1].map(|n: usize| sides[n].policies.get(nth).cloned().unwrap_or_default());
        rows.push([name.to_owned(), now, other]);
    }
    rows.push(row_of(sides, "messages", AlertReplay::count_messages));
    for day in days_of(sides) {
        rows.push(row_of(sides, &format!("  {day}"), |replay| count_of(&replay.per_day, &day)));
    }
    for route in routes_of(sides) {
        rows.push(row_of(sides, &format!("  route {route}"), |replay| count_of(&replay.per_route, &route)));
    }
    rows.push(row_of(sides, "incidents", |replay| replay.incidents));
    rows.push(row_of(sides, "  open at the end", |replay| replay.open));
    rows.push(row_of(sides, "first message", |replay| wait_text(replay.first)));
    rows.push(row_of(sides, "all clear", |replay| wait_text(replay.clear)));
    rows
}

fn row_of<T: ToString>(sides: &[ReplaySide; 2], name: &str, value: impl Fn(&AlertReplay) -> T) -> TableRow {
    [name.to_owned(), value(&sides[0].replay).to_string(), value(&sides[1].replay).to_string()]
}

fn count_of<K: Ord>(counts: &BTreeMap<K, u64>, key: &K) -> u64 {
    counts.get(key).copied().unwrap_or_default()
}

fn days_of(sides: &[ReplaySide; 2]) -> BTreeSet<NaiveDate> {
    sides.iter().flat_map(|side| side.replay.per_day.keys().copied()).collect()
}

fn routes_of(sides: &[ReplaySide; 2]) -> BTreeSet<String> {
    // Of only one route these lines would repeat those of all messages.
    if sides.iter().all(|side| side.policies.len() == 1) {
        return BTreeSet::new();
    }
    sides.iter().flat_map(|side| side.replay.per_route.keys().cloned()).collect()
}

fn wait_text(waits: WaitTimes) -> String {
    let Some(mean) = waits.mean_wait() else { return "-".to_owned() };
    // To whole seconds: nobody chooses a policy by milliseconds.
    let [mean, longest] =
        [mean, waits.longest].map(|time| duration::print_duration(TimeDelta::seconds(time.num_seconds())));
    format!("after {mean} on average, {longest} at most")
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use flowlord_domain::alert::AlertMatcher;
    use flowlord_domain::escalation::{EscalationPolicy, EscalationRoute};
    use flowlord_domain::simulate::{RecordedAlert, replay_alerts};

    use super::*;

    fn side(name: &str, minutes: i64, seconds: &[i64]) -> ReplaySide {
        let at = |second: i64| DateTime::from_timestamp(1_772_452_800 + second, 0).unwrap();
        let alert = |second: &i64| RecordedAlert {
            at: at(*second),
            topic: "a".to_owned(),
            job: String::new(),
            workflow: String::new(),
            owner: String::new(),
        };
        let policy = EscalationPolicy::new(TimeDelta::minutes(minutes), TimeDelta::minutes(16 * minutes));
        let route = "default".to_owned();
        let ladders = [EscalationRoute { name: route, matcher: AlertMatcher::default(), policy, quiet: None }];
        let alerts: Vec<_> = seconds.iter().map(alert).collect();
        let replay = replay_alerts(&ladders, &alerts, at(0), at(100_000));
        ReplaySide { name: name.to_owned(), policies: vec![policy.to_string()], replay }
    }

    #[test]
    fn both_are_told_side_by_side() {
        let flaps = [30, 1_830, 3_630, 50_000];
        let told = format_table(&[side("now", 5, &flaps), side("seldom.toml", 30, &flaps)]);
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
        let told = format_table(&[side("now", 5, &[]), side("x", 30, &[])]);
        assert!(told.contains("first message") && told.lines().last().unwrap().ends_with('-'), "{told}");
    }
}

//! Comparing again and again, while the Go program runs.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_db::{OldHistory, TimeRange};
use serde_json::json;

use super::compare::{ComparisonCounts, Difference, DifferenceClass, SETTLING_TIME};
use super::{ShadowFiles, ShadowRequest, print};
use crate::commands::out::{self, OutputFormat};
use crate::commands::signals::SignalListener;

/// How far back each comparison goes: a result may come late.
const FOLLOWED_TIME: TimeDelta = TimeDelta::hours(24);

/// How long the Go program may take to read changed workflow files.
const REFRESH_TIME: TimeDelta = TimeDelta::minutes(15);

/// What is known of a program that is followed.
struct FollowedProgram<'a> {
    request: &'a ShadowRequest,
    files: ShadowFiles,
    /// From when on it is compared; none before the first look.
    since: Option<DateTime<Utc>>,
    known: KnownDifferences,
}

/// Differences that were printed, as long as they can come again.
#[derive(Default)]
struct KnownDifferences {
    printed: HashSet<(DateTime<Utc>, String)>,
    is_unexplained: bool,
    lists_departures: bool,
}

/// Compares until a signal comes. Returns whether something couldn't be explained.
pub(super) fn follow_program(request: &ShadowRequest, period: Duration) -> anyhow::Result<bool> {
    // Only signals and pauses need a runtime: the comparison itself blocks.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = runtime.block_on(async { SignalListener::listen() })?;
    let lists_departures = request.lists_all || request.format == OutputFormat::Json;
    let known = KnownDifferences { lists_departures, ..KnownDifferences::default() };
    let mut program = FollowedProgram { request, files: request.read_files()?, since: request.from, known };
    loop {
        match program.compare_again() {
            Err(err) if out::is_reader_gone(&err) => return Err(err),
            // Its files may just be written anew.
            Err(err) => log::warn!("event=not_compared detail={:?}", format!("{err:#}")),
            Ok(()) => {}
        }
        // Made inside of the runtime, whose clock it needs.
        if runtime.block_on(async { tokio::time::timeout(period, signals.next()).await }).is_ok() {
            return Ok(program.known.is_unexplained);
        }
    }
}

impl FollowedProgram<'_> {
    fn compare_again(&mut self) -> anyhow::Result<()> {
        // Read each time: with old files, each change of a workflow would be a difference.
        let files = self.request.read_files()?;
        // Opened each time: an open history shows one instant only.
        let history = OldHistory::open(&self.request.database)?;
        let Some((_, last)) = history.time_span()? else { return Ok(()) };
        if files.files.workflows != self.files.files.workflows {
            log::info!("event=workflows_changed detail=\"compared from {} on\"", last + REFRESH_TIME);
            // Counted from the last record, not from now: the Go program's clock may be another one.
            self.since = Some(last + REFRESH_TIME);
        }
        self.files = files;
        // What was before the first look is another comparison's.
        let since = *self.since.get_or_insert(last - SETTLING_TIME);
        let range = (since.max(last - FOLLOWED_TIME), last - SETTLING_TIME);
        // A change of the files moves the beginning into the future for a while.
        if range.0 >= range.1 {
            return Ok(());
        }
        let mut new = Vec::new();
        let known = &mut self.known;
        let counts = self.request.compare(&self.files, &history, (range, last), &mut |difference| {
            new.extend(known.note_difference(difference).then(|| difference.clone()));
            Ok(())
        })?;
        // An older difference can't come again, and the memory must not grow for weeks.
        self.known.forget_before(range.0);
        print_new(&new, range, &counts, self.request.format)
    }
}

fn print_new(
    new: &[Difference],
    range: TimeRange,
    counts: &ComparisonCounts,
    format: OutputFormat,
) -> anyhow::Result<()> {
    let mut stdout = out::StdoutLines::new();
    match format {
        OutputFormat::Text => {
            for one in new {
                stdout.text(&format!("{}\n", print::difference_line(one)))?;
            }
        }
        OutputFormat::Json if !new.is_empty() => {
            let differences: Vec<_> = new.iter().map(print::difference_json).collect();
            let (range, counts) = (print::range_json(range), print::counts_json(counts));
            let report = json!({ "range": range, "counts": counts, "differences": differences });
            stdout.text(&format!("{report}\n"))?;
        }
        OutputFormat::Json => {}
    }
    Ok(stdout.finish()?)
}

impl KnownDifferences {
    /// Whether it is new, and to be printed.
    fn note_difference(&mut self, difference: &Difference) -> bool {
        let is_departure = matches!(difference.class, DifferenceClass::Departure(_));
        // The exit code counts a difference even if it was printed before.
        self.is_unexplained |= !is_departure;
        let is_told = self.lists_departures || !is_departure;
        is_told && self.printed.insert((difference.at, print::difference_line(difference)))
    }

    fn forget_before(&mut self, from: DateTime<Utc>) {
        self.printed.retain(|(at, _)| *at >= from);
    }
}

#[cfg(test)]
mod tests {
    use super::super::compare::ComparedKind;
    use super::*;

    #[test]
    fn each_difference_is_printed_once_as_long_as_it_can_come_again() {
        let at: DateTime<Utc> = "2024-01-15T05:00:00Z".parse().unwrap();
        let one = |class: DifferenceClass, info: &str| Difference {
            class,
            kind: ComparedKind::Root,
            at,
            task: "a".to_owned(),
            workflow: String::new(),
            id: String::new(),
            info: info.to_owned(),
            hint: String::new(),
        };
        let mut known = KnownDifferences::default();
        assert!(!known.note_difference(&one(DifferenceClass::Departure("utc"), "x")) && !known.is_unexplained);
        let seen = ["x", "y", "x"].map(|info| known.note_difference(&one(DifferenceClass::OnlyHere, info)));
        assert_eq!((seen, known.is_unexplained), ([true, true, false], true));
        known.forget_before(at);
        assert_eq!(known.printed.len(), 2);
        known.forget_before(at + TimeDelta::seconds(1));
        assert!(known.printed.is_empty() && known.is_unexplained);
        let mut known = KnownDifferences { lists_departures: true, ..KnownDifferences::default() };
        assert!(known.note_difference(&one(DifferenceClass::Departure("utc"), "x")) && !known.is_unexplained);
    }
}

//! `flowlord shadow`: what the Go program did, beside what would have been done here.

mod chain;
mod compare;
mod departures;
mod expected;
mod files;
mod follow;
mod gap;
mod print;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use flowlord_db::{OldHistory, TimeRange};
use flowlord_storage::{StorageConnections, StorageLocation};

use super::UsageError;
use super::args::ConfigFlags;
use super::check;
use super::out::{self, OutputFormat};
use super::plan::files::{PlanFiles, ReadOptions};
use super::plan::time;
use compare::{ComparisonCounts, ComparisonTally, Difference, Replay, SETTLING_TIME, SLOT_TOLERANCE};
use print::DifferenceSpool;

const EXAMPLES: &str = "\
Examples:
  flowlord shadow /var/lib/flowlord/tasks.db --workflow ./workflows --timezone UTC
  flowlord shadow tasks.db --workflow ./workflows --timezone Europe/Berlin --from 2024-01-15 --to 2024-01-22
  flowlord shadow tasks.db --workflow ./workflows --timezone UTC --follow 10m --format json

The database is only read, also while the Go program runs. --timezone is the zone of the machine that it runs on. Each
result, slot and file that it recorded is decided here again, by the workflow files as they are now: name with --from
when they last changed.

A difference is `only there` (the Go program did it), `only here` (it would be done here), or a departure: one that is
meant, by its name in docs/departures.md. What happened in the last five minutes of the database is not judged.

The exit code is 1 when something is only there or only here, else 0. It is 2 when nothing can be compared.";

/// Compare what the Go program did with what would have been done here
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The database of the Go program, of schema 1 or 2
    #[arg(value_name = "tasks.db")]
    database: PathBuf,
    /// The workflow files of the Go program: a file, or a folder of them; also s3:// or gs://
    #[arg(long, value_name = "PATH")]
    workflow: String,
    /// The zone that the Go program runs in
    #[arg(long, value_name = "ZONE")]
    timezone: String,
    /// From then on, included [default: the first task]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Until then, not included [default: the last record]
    #[arg(long, value_name = "TIME", conflicts_with = "follow")]
    to: Option<String>,
    /// Compare again each time that long after the last, and print new differences until a signal comes
    #[arg(long, value_name = "DURATION", value_parser = parse_period)]
    follow: Option<Duration>,
    /// The configuration file, for its stores [default: ./flowlord.toml if it is there]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// List all differences, departures too
    #[arg(long)]
    all: bool,
    /// How differences are written
    #[arg(long, value_enum, default_value = "text")]
    format: OutputFormat,
}

fn parse_period(text: &str) -> Result<Duration, String> {
    let period = flowlord_domain::duration::parse_duration(text).map_err(|err| err.to_string())?;
    // A shorter period would read the database without a pause.
    let period = period.to_std().ok().filter(|period| *period >= Duration::from_secs(1));
    period.ok_or_else(|| "write 1s or more, like 10m".to_owned())
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let compared = ShadowRequest::read(args).and_then(|request| match args.follow {
        Some(period) => follow::follow_program(&request, period),
        None => request.compare_once(),
    });
    match compared {
        Ok(true) => Ok(ExitCode::FAILURE),
        Ok(false) => Ok(ExitCode::SUCCESS),
        // A reader like `head` ends early because it has enough.
        Err(err) if out::is_reader_gone(&err) => Ok(ExitCode::SUCCESS),
        // 1 says that there are differences.
        Err(err) => Err(UsageError(err).into()),
    }
}

struct ShadowRequest {
    database: PathBuf,
    workflow: String,
    how: ReadOptions,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    format: OutputFormat,
    lists_all: bool,
}

/// The workflow files, as they are read here and there.
struct ShadowFiles {
    files: PlanFiles,
    spelled: BTreeMap<String, &'static str>,
}

impl ShadowRequest {
    fn read(args: &Args) -> anyhow::Result<Self> {
        let database = args.database.clone();
        anyhow::ensure!(
            database.is_file(),
            "{} doesn't exist: name the database of the Go program",
            database.display()
        );
        // As a key of the configuration, so that the same check applies to it.
        let zone = vec![("timezone".to_owned(), args.timezone.clone())];
        let config = ConfigFlags::only(args.config.clone(), zone).load(&[])?.config;
        let zone = config.timezone;
        let time = |text: &Option<String>, flag: &'static str| {
            text.as_ref().map(|text| time::parse_time(text, zone).context(flag)).transpose()
        };
        Ok(Self {
            database,
            workflow: args.workflow.clone(),
            how: ReadOptions { zone, allowed: config.files.allow, stores: StorageConnections::new(config.store) },
            from: time(&args.from, "--from")?,
            to: time(&args.to, "--to")?,
            format: args.format,
            lists_all: args.all,
        })
    }

    fn read_files(&self) -> anyhow::Result<ShadowFiles> {
        let spelled = read_spelling(&self.workflow, &self.how.stores)?;
        Ok(ShadowFiles { files: PlanFiles::read(&self.workflow, &self.how, None)?, spelled })
    }

    /// Compares all that was asked for. Returns whether something can't be explained.
    fn compare_once(&self) -> anyhow::Result<bool> {
        let files = self.read_files()?;
        let history = OldHistory::open(&self.database)?;
        let Some((first, last)) = history.time_span()? else {
            anyhow::bail!("{} has no tasks: nothing can be compared", self.database.display());
        };
        let settled = last - SETTLING_TIME;
        let range = (self.from.unwrap_or(first), self.to.map_or(settled, |to| to.min(settled)));
        anyhow::ensure!(
            range.0 < range.1,
            "nothing to compare: the database has records from {first} to {last}, of which the last five minutes are not \
             judged; write other times with --from and --to"
        );
        let mut spool = DifferenceSpool::new(self.format, self.lists_all);
        let counts = self.compare(&files, &history, (range, last), &mut |difference| spool.keep(difference))?;
        spool.print_all(range, &counts)?;
        Ok(counts.is_unexplained())
    }

    fn compare(
        &self,
        ShadowFiles { files, spelled }: &ShadowFiles,
        history: &OldHistory,
        (range, last): (TimeRange, DateTime<Utc>),
        each: &mut dyn FnMut(&Difference) -> anyhow::Result<()>,
    ) -> anyhow::Result<ComparisonCounts> {
        let has_alerts = history.has_alerts()?;
        compare_history(&Replay { files, spelled, zone: self.how.zone, range, last, has_alerts }, history, each)
    }
}

/// Files that the Go program reads otherwise because of how they are spelled.
fn read_spelling(path: &str, stores: &StorageConnections) -> anyhow::Result<BTreeMap<String, &'static str>> {
    let contents = check::read_contents(&StorageLocation::parse(path)?, stores)?;
    let texts = contents.files.into_iter().filter_map(|file| Some((file.path, file.text.ok()?)));
    Ok(texts.filter_map(|(path, text)| Some((path, departures::of_spelling(&text)?))).collect())
}

/// Compares what happened in a time. Three passes: over slots, over files, and over chains, which follow from them.
fn compare_history(
    replay: &Replay<'_>,
    history: &OldHistory,
    each: &mut dyn FnMut(&Difference) -> anyhow::Result<()>,
) -> anyhow::Result<ComparisonCounts> {
    let mut tally = ComparisonTally { counts: ComparisonCounts::default(), each };
    tally.leave_out("tasks without an id or a time", history.count_unreadable()?);
    let mut slots = slots::SlotComparison::new(replay);
    let (from, to) = replay.slot_range();
    // A task may be created some seconds after the last slot.
    history.each_record((from, to + SLOT_TOLERANCE), |record| slots.take_record(record, &mut tally))?;
    slots.finish_slots(&mut tally)?;
    history.each_file(replay.range, |file| files::compare_file(replay, &file, &mut tally))?;
    history.each_chain(replay.range, |chain| chain::compare_chain(replay, chain, &mut tally))?;
    Ok(tally.counts)
}

//! `flowlord plan`: what would start, and when.

mod diff;
pub(super) mod files;
mod print;
pub(super) mod time;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use flowlord_domain::plan::{PlanLimits, SlotPlan};
use flowlord_kernel::{Clock as _, SystemClock};
use flowlord_storage::StorageConnections;

use super::UsageError;
use super::args::ConfigFlags;
use super::out::{self, OutputFormat};
use files::{PlanFiles, ReadOptions};

const EXAMPLES: &str = "\
Examples:
  flowlord plan ./workflows
  flowlord plan ./workflows --from 2024-01-15 --to 2024-01-16
  flowlord plan ./workflows --from 2024-03-31T00 --timezone Europe/Berlin --format json
  flowlord plan /deployed/workflows ./workflows

One line per task: when it starts, its workflow, its name, its info. Below it, indented, the tasks that start when it
completes; {meta:key} is a value that its worker would add. Nothing is started.

Times are a date (2024-01-15), a date and an hour (2024-01-15T05), both in the timezone, or RFC 3339.

With a second path: the differences, `-` before and `+` after. The exit code is then 1 when there are any, else 0. It
is 2 when the plan can't be made.";

/// Print what would start, slot by slot
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A workflow file, or a folder of them; also s3:// or gs://
    path: String,
    /// What would count in its place: prints the difference
    new: Option<String>,
    /// From then on, included [default: now]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Until then, not included [default: 24 hours later]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// The zone of cron expressions and of the times shown [default: as configured, else UTC]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// The configuration file, for its timezone and stores [default: ./flowlord.toml if it is there]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How many tasks of one slot are shown, and how many that follow one of them; two plans are compared in full
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    most: u32,
    /// How tasks are written
    #[arg(long, value_enum, default_value = "text")]
    format: OutputFormat,
}

struct PlanRequest {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    zone: Tz,
    how: ReadOptions,
    limits: PlanLimits,
    format: OutputFormat,
}

// No chain that people write is that long; one that goes around must end somewhere.
const MAX_DEPTH: usize = 20;

/// What counts where two plans are compared: all, unless it is out of all bounds.
const COMPARED: PlanLimits = PlanLimits { tasks: 10_000, followers: 1_000, depth: MAX_DEPTH };

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match print_plan(args) {
        Ok(code) => Ok(code),
        Err(err) if out::is_reader_gone(&err) => Ok(ExitCode::SUCCESS),
        // As `diff` does it, 1 says that there are differences.
        Err(err) => Err(UsageError(err).into()),
    }
}

fn print_plan(args: &Args) -> anyhow::Result<ExitCode> {
    let asked = read_request(args)?;
    let Some(new) = &args.new else {
        print::print_plan(plan_of(&PlanFiles::read(&args.path, &asked.how, None)?, &asked), asked.zone, asked.format)?;
        return Ok(ExitCode::SUCCESS);
    };
    // Where two files are compared, not two folders, their names don't count.
    let [old_path, new_path] = [&args.path, new].map(Path::new);
    let name = new_path.file_name().filter(|_| old_path.is_file() && new_path.is_file());
    let name = name.map(OsStr::to_string_lossy);
    let asked = PlanRequest { limits: COMPARED, ..asked };
    let old = PlanFiles::read(&args.path, &asked.how, name.as_deref())?;
    let new = PlanFiles::read(new, &asked.how, None)?;
    let differs = diff::print_diff(plan_of(&old, &asked), plan_of(&new, &asked), asked.zone, asked.format)?;
    Ok(if differs { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn plan_of<'a>(folder: &'a PlanFiles, asked: &PlanRequest) -> SlotPlan<'a> {
    SlotPlan::new(&folder.workflows, folder, asked.from, asked.to, asked.limits)
}

fn read_request(args: &Args) -> anyhow::Result<PlanRequest> {
    let zone = args.timezone.iter().map(|zone| ("timezone".to_owned(), zone.clone())).collect();
    let config = ConfigFlags::only(args.config.clone(), zone).load(&[])?.config;
    let zone = config.timezone;
    let how = ReadOptions { zone, allowed: config.files.allow, stores: StorageConnections::new(config.store) };
    let from = match &args.from {
        Some(text) => time::parse_time(text, zone).context("--from")?,
        None => SystemClock.now(),
    };
    let to = match &args.to {
        Some(text) => time::parse_time(text, zone).context("--to")?,
        None => from + TimeDelta::hours(24),
    };
    anyhow::ensure!(from < to, "--to is not after --from: write a later time");
    let most = usize::try_from(args.most).unwrap_or(usize::MAX);
    let limits = PlanLimits { tasks: most, followers: most, depth: MAX_DEPTH };
    Ok(PlanRequest { from, to, zone, how, limits, format: args.format })
}

#[cfg(test)]
mod tests;

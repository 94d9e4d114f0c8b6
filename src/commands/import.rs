//! `flowlord import`: the history of the reference system.

use std::path::PathBuf;
use std::process::ExitCode;

use flowlord::config::LoadedConfig;
use flowlord_db::{FolderLock, ImportCounts, ImportKind};
use indicatif::{ProgressBar, ProgressStyle};

use super::args::ConfigFlags;
use super::out;

const EXAMPLES: &str = "\
Examples:
  flowlord import /var/lib/old/tasks.db --data ./data

The service must be stopped for the minute that this takes. The old database is only read; if it is in use, copy
tasks.db with tasks.db-wal. Repeat the import after the old system's last task: nothing is imported twice.";

/// Take the history of a database of the reference system: tasks, alerts, file messages
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The old database, of schema 1 or 2
    #[arg(value_name = "OLD.db")]
    old: PathBuf,
    #[command(flatten)]
    config: ConfigFlags,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let LoadedConfig { config, .. } = args.config.load(&[])?;
    anyhow::ensure!(args.old.is_file(), "{} doesn't exist: name the old database", args.old.display());
    // As long as this runs: a service would write between the old rows.
    let lock = FolderLock::take(&config.data)?;
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{msg:14} {wide_bar} {human_pos}/{human_len} {per_sec}")?);
    let report = flowlord_db::import(&args.old, &lock, |kind, read, of| {
        bar.set_message(kind.as_str());
        bar.set_length(of);
        bar.set_position(read);
    });
    bar.finish_and_clear();
    for (kind, counts) in report? {
        for line in lines(kind, &counts) {
            out::line(&line)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What was taken of one kind, and each reason for what was not.
fn lines(kind: ImportKind, counts: &ImportCounts) -> Vec<String> {
    let ImportCounts { taken, known, left } = counts;
    let mut lines = vec![format!("{}: {taken} of {} imported, {known} already there", kind.as_str(), counts.read())];
    for (why, (count, first)) in left {
        lines.push(format!("  {count} not imported: {why}; the first is {first}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_was_taken_and_why_the_rest_was_not() {
        let mut counts = ImportCounts { taken: 3, known: 1, ..ImportCounts::default() };
        counts.left.insert("`created` isn't a time", (2, "rowid 7: id=\"x\"".to_owned()));
        assert_eq!(
            lines(ImportKind::Tasks, &counts),
            [
                "tasks: 3 of 6 imported, 1 already there",
                "  2 not imported: `created` isn't a time; the first is rowid 7: id=\"x\""
            ]
        );
    }
}

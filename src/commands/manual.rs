//! `flowlord manual`: what `--help` says, as pages for `man`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::CommandFactory as _;

use super::Cli;

const EXAMPLE: &str = "\
Example:
  flowlord manual /usr/local/share/man/man1 && man flowlord-work";

/// Write the manual pages, one of each command, into a folder
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// The folder; it is created where it isn't there
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Args { folder } = args;
    // The help command has a page of itself for every other one.
    let command = Cli::command().disable_help_subcommand(true);
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .with_context(|| format!("{} can't be written: name a folder that can be", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_example() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("man/man1");
        run(&Args { folder: folder.clone() }).unwrap();
        for command in Cli::command().get_subcommands().map(clap::Command::get_name) {
            let page = std::fs::read_to_string(folder.join(format!("flowlord-{command}.1"))).unwrap();
            assert!(page.contains("Example"), "{page}");
        }
        assert!(std::fs::read_to_string(folder.join("flowlord.1")).unwrap().contains("flowlord\\-work(1)"));
        assert!(!folder.join("flowlord-help.1").exists());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let err = run(&Args { folder: file.path().to_owned() }).unwrap_err();
        assert!(err.to_string().ends_with("can't be written: name a folder that can be"), "{err}");
    }
}

//! `flowlord check`: what is wrong with workflow files.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use chrono_tz::Tz;
use clap::ValueEnum;
use flowlord_domain::check::{check, has_errors};
use flowlord_domain::workflow::{Finding, Severity, WorkflowFile, Workflows};
use flowlord_library::files::Content;
use flowlord_library::source;
use flowlord_store::{Location, Stores};

use super::args::ConfigFlags;
use super::{USAGE, out};

const EXAMPLES: &str = "\
Examples:
  flowlord check ./workflows
  flowlord check ./workflows/etl.toml --format json
  flowlord check s3://bucket/workflows

One line per finding, `file:line:column: message`. The exit code is 1 when any of them is an error.";

/// Check workflow files
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A workflow file, or a folder of them; also s3:// or gs://, reached as ./flowlord.toml and the environment say
    path: String,
    /// How findings are written
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let files = match read(&args.path) {
        Ok(files) => files,
        Err(err) => {
            out::error(&format!("flowlord: {err:#}"));
            return Ok(ExitCode::from(USAGE));
        }
    };
    let findings = findings(&files);
    out::text(&match args.format {
        Format::Text => findings.iter().map(line).collect(),
        Format::Json => format!("{}\n", serde_json::to_string_pretty(&findings)?),
    })?;
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let counts = [(files.len(), "file"), (errors, "error"), (findings.len() - errors, "warning")];
    out::error(&counts.map(|(count, noun)| plural(count, noun)).join(", "));
    Ok(if has_errors(&findings) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

pub(super) fn line(finding: &Finding) -> String {
    let Finding { file, line, column, severity, message } = finding;
    let mark = if *severity == Severity::Warning { "warning: " } else { "" };
    format!("{file}:{line}:{column}: {mark}{message}\n")
}

/// The file itself, or every workflow file below the folder, by paths that the reader can open.
fn read(path: &str) -> anyhow::Result<Vec<Content>> {
    let root = Location::parse(path)?;
    let mut files = contents(&root, &stores(&root)?)?;
    for file in &mut files {
        let is_root = root.name() == Some(file.path.as_str()) && !root.as_local().is_some_and(Path::is_dir);
        file.path = if is_root { root.to_string() } else { root.join(&file.path)?.to_string() };
    }
    Ok(files)
}

/// How the stores that `root` is in are reached; those of this machine need no configuration.
fn stores(root: &Location) -> anyhow::Result<Stores> {
    if root.as_local().is_some() {
        return Ok(Stores::default());
    }
    Ok(Stores::new(ConfigFlags::only(None, Vec::new()).load(&[])?.config.store))
}

/// The workflow files at a place, which has some.
pub(super) fn contents(root: &Location, stores: &Stores) -> anyhow::Result<Vec<Content>> {
    let files = actix_rt::System::new().block_on(source::read(root, stores))?;
    anyhow::ensure!(!files.is_empty(), "{root} holds no workflow files (*.toml)");
    Ok(files)
}

/// All findings: of the files that don't parse, and of the others together.
fn findings(files: &[Content]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut parsed = Vec::new();
    for Content { path, text, hash } in files {
        match text {
            // The zone moves cron's times, not what can be written.
            Ok(text) => match WorkflowFile::parse(path, text, hash, Tz::UTC) {
                Ok(file) => parsed.push(Arc::new(file)),
                Err(broken) => findings.extend(broken),
            },
            Err(why) => findings.push(unreadable(path, why)),
        }
    }
    findings.extend(check(&Workflows::new(parsed)));
    findings.sort();
    findings
}

pub(super) fn unreadable(path: &str, why: &str) -> Finding {
    Finding { file: path.to_owned(), line: 1, column: 1, severity: Severity::Error, message: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_name_the_file_as_it_can_be_opened_the_line_and_the_column() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("b.toml", "[[phase]]\ntask = \"b\"\nrule = \"cron=bad\"\n");
        write("deep/a.TOML", "phase = 1");
        let files = read(&folder.path().display().to_string()).unwrap();
        assert_eq!(files.len(), 2);
        let findings = findings(&files);
        assert!(has_errors(&findings));
        assert_eq!(findings.len(), 2, "{findings:?}");
        let first = line(&findings[0]);
        assert!(first.contains("b.toml:3:") && first.contains("cron"), "{first}");
    }

    #[test]
    fn a_path_that_is_not_there_and_an_empty_folder_are_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        assert!(read(&path("")).unwrap_err().to_string().contains("holds no workflow files"));
        assert!(read(&path("x")).unwrap_err().to_string().contains("can't be read"));
        assert!(read("mc://host/b").unwrap_err().to_string().contains("write s3://b"));
        std::fs::write(path("one.txt"), "").unwrap();
        assert_eq!(read(&path("one.txt")).unwrap()[0].path, path("one.txt"));
    }
}

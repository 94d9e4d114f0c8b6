//! `flowlord check`: what is wrong with workflow files.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use chrono_tz::Tz;
use flowlord_domain::calendar::{Calendars, ending_calendars, with_calendars};
use flowlord_domain::check::{check_workflows, has_errors};
use flowlord_domain::limits::groups_without_limit;
use flowlord_domain::row_keys::MissingKeys;
use flowlord_domain::workflow::{Finding, Phase, Severity, WorkflowFile, Workflows};
use flowlord_kernel::{Clock as _, SystemClock};
use flowlord_library::calendars::read_calendars;
use flowlord_library::files::{FileContent, FoundFiles};
use flowlord_library::metafiles::MetaFiles;
use flowlord_library::source;
use flowlord_storage::{StorageConnections, StorageLocation};

use super::UsageError;
use super::args::ConfigFlags;
use super::out::{self, OutputFormat};

const EXAMPLES: &str = "\
Examples:
  flowlord check ./workflows
  flowlord check ./workflows/etl.toml --format json
  flowlord check s3://bucket/workflows

One line per finding, `file:line:column: message`. The exit code is 1 when any finding is an error.";

/// Check workflow files
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A workflow file, or a folder of them; also s3:// or gs://, reached as ./flowlord.toml and the environment say
    path: String,
    /// The configuration file with the limits of groups [env: FLOWLORD_CONFIG=] [default: ./flowlord.toml if it is there]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How findings are written
    #[arg(long, value_enum, default_value = "text")]
    format: OutputFormat,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (found, meta_files) = read_files(&args.path).map_err(UsageError)?;
    let findings = find_all(&found, &meta_files, args.config.as_deref())?;
    out::text(&match args.format {
        OutputFormat::Text => findings.iter().map(finding_line).collect(),
        OutputFormat::Json => format!("{}\n", serde_json::to_string_pretty(&findings)?),
    })?;
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let counts = [(found.files.len(), "file"), (errors, "error"), (findings.len() - errors, "warning")];
    out::error(&counts.map(|(count, noun)| count_of(count, noun)).join(", "));
    Ok(if has_errors(&findings) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

pub(super) fn count_of(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

pub(super) fn finding_line(finding: &Finding) -> String {
    let Finding { file, line, column, severity, message } = finding;
    let mark = if *severity == Severity::Warning { "warning: " } else { "" };
    format!("{file}:{line}:{column}: {mark}{message}\n")
}

/// The file itself, or every workflow file below the folder, by paths that the reader can open; and where the meta files
/// of their phases are.
fn read_files(path: &str) -> anyhow::Result<(FoundFiles<FileContent>, MetaFiles)> {
    let root = StorageLocation::parse(path)?;
    let stores = stores_of(&root)?;
    let mut found = read_contents(&root, &stores)?;
    for file in &mut found.files {
        let is_root = root.name() == Some(file.path.as_str()) && !root.as_local().is_some_and(Path::is_dir);
        file.path = if is_root { root.to_string() } else { root.join(&file.path)?.to_string() };
    }
    for entry in &mut found.skipped.entries {
        entry.path = format!("{root}/{}", entry.path);
    }
    Ok((found, MetaFiles { root, allowed: Vec::new(), stores }))
}

/// How the stores that `root` is in are reached; those of this machine need no configuration.
fn stores_of(root: &StorageLocation) -> anyhow::Result<StorageConnections> {
    if root.as_local().is_some() {
        return Ok(StorageConnections::default());
    }
    Ok(StorageConnections::new(ConfigFlags::only(None, Vec::new()).load(&[])?.config.store))
}

/// The workflow files at a place, which has some.
pub(super) fn read_contents(
    root: &StorageLocation,
    stores: &StorageConnections,
) -> anyhow::Result<FoundFiles<FileContent>> {
    let found = actix_rt::System::new().block_on(source::read_workflow_files(root, stores))?;
    anyhow::ensure!(!found.files.is_empty(), "{root} has no workflow files (*.toml)");
    Ok(found)
}

/// All findings: of what is skipped, of the files that don't parse, and of the others together.
fn find_all(
    found: &FoundFiles<FileContent>,
    meta_files: &MetaFiles,
    config: Option<&Path>,
) -> anyhow::Result<Vec<Finding>> {
    let skipped = found.skipped.entries.iter();
    let mut findings: Vec<_> = skipped
        .map(|entry| Finding::of_file(&entry.path, Severity::Warning, format!("this entry is skipped: {}", entry.why)))
        .collect();
    let mut parsed = Vec::new();
    for FileContent { path, text, hash } in &found.files {
        match text {
            // The zone moves cron's times, not what can be written.
            Ok(text) => match WorkflowFile::parse(path, text, hash, Tz::UTC) {
                Ok(file) => {
                    if file.phases.is_empty() && file.findings.is_empty() {
                        findings.push(Finding::of_file(
                            path,
                            Severity::Warning,
                            "the file has no phases: it starts nothing",
                        ));
                    }
                    parsed.push(Arc::new(file));
                }
                Err(broken) => findings.extend(broken),
            },
            Err(why) => findings.push(Finding::of_file(path, Severity::Error, why)),
        }
    }
    let (workflows, calendars) = read_with_calendars(meta_files, Workflows::new(parsed));
    findings.extend(check_workflows(&workflows));
    findings.extend(ending_calendars(&workflows, &calendars, SystemClock.now().date_naive()));
    findings.extend(workflows.phases().filter_map(|phase| check_rows(phase, meta_files)));
    // Without groups no configuration is needed, and none is read.
    if workflows.phases().any(|phase| phase.rule.limits.group.is_some()) {
        let flags = ConfigFlags::only(config.map(Path::to_path_buf), Vec::new());
        findings.extend(groups_without_limit(&workflows, &flags.load(&[])?.config.groups));
    }
    // By file and line, as people go through them.
    findings.sort();
    Ok(findings)
}

/// The workflows with their days off.
pub(super) fn read_with_calendars(meta_files: &MetaFiles, workflows: Workflows) -> (Workflows, Calendars) {
    let known = Calendars::new();
    let calendars = actix_rt::System::new().block_on(read_calendars(meta_files, &workflows, &known));
    (with_calendars(workflows, &calendars), calendars)
}

/// What is wrong with the meta file of a phase, as far as it can be read here: whole paths and stores are open to the
/// service only where its configuration says so.
fn check_rows(phase: &Phase, meta_files: &MetaFiles) -> Option<Finding> {
    let path = phase.rule.meta_file.as_deref().filter(|_| phase.rule.first_blocker().is_none())?;
    let mut finding = Finding::new(&phase.workflow, phase.template_place(), Severity::Warning, "");
    let rows = match actix_rt::System::new().block_on(meta_files.read_rows(path)) {
        Ok(rows) => rows,
        Err(_) if Path::new(path).is_absolute() || path.contains("://") => return None,
        Err(err) => {
            finding.message = format!("{}; nothing starts without it", err.detail);
            return Some(finding);
        }
    };
    let missing = MissingKeys::of(&phase.template, &rows, |_| false)?;
    match phase.has_parent() {
        false => {
            finding.severity = Severity::Error;
            finding.message = format!("meta-file `{path}`: {missing}; nothing starts");
        }
        // No error: what its parent's worker adds is seen only when it runs.
        true => {
            let parents = &phase.depends_on_text;
            finding.message =
                format!("meta-file `{path}`: {missing}; nothing starts unless the meta of {parents} has it");
        }
    }
    Some(finding)
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
        let (files, meta_files) = read_files(&folder.path().display().to_string()).unwrap();
        assert_eq!(files.files.len(), 2);
        let findings = find_all(&files, &meta_files, None).unwrap();
        assert!(has_errors(&findings));
        assert_eq!(findings.len(), 2, "{findings:?}");
        let first = finding_line(&findings[0]);
        assert!(first.contains("b.toml:3:") && first.contains("cron"), "{first}");
    }

    #[test]
    fn a_path_that_is_not_there_and_an_empty_folder_are_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        assert!(read_files(&path("")).unwrap_err().to_string().contains("has no workflow files"));
        assert!(read_files(&path("x")).unwrap_err().to_string().contains("can't be read"));
        assert!(read_files("mc://host/b").unwrap_err().to_string().contains("write s3://b"));
        std::fs::write(path("one.txt"), "").unwrap();
        assert_eq!(read_files(&path("one.txt")).unwrap().0.files[0].path, path("one.txt"));
    }

    #[test]
    fn a_key_that_no_row_of_a_meta_file_has_is_found_in_the_file_that_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("rows.csv", "table;Shard\norders;1\n;\n");
        let found = |rule: &str, parent: &str| -> Vec<String> {
            let phase = format!(
                "[[phase]]\ntask = \"a\"\n{parent}rule = \"{rule}\"\ntemplate = \"{{meta:table}}/{{meta:shard}}\"\n"
            );
            write("w.toml", &phase);
            let (files, meta_files) = read_files(&folder.path().display().to_string()).unwrap();
            find_all(&files, &meta_files, None).unwrap().iter().map(finding_line).collect()
        };
        let wrong = found("cron=@daily&meta-file=rows.csv", "");
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        let said = "w.toml:4:12: meta-file `rows.csv`: no row has `shard`, which the template names; the keys of its rows \
                    are `Shard`, `table`: did you mean `Shard`?; nothing starts";
        assert!(wrong[0].contains(said), "{wrong:?}");
        let child = found("meta-file=rows.csv", "dependsOn = \"b\"\n");
        assert!(
            child.iter().any(|line| line.contains("warning: ") && line.contains("unless the meta of b has it")),
            "{child:?}"
        );
        let gone = found("cron=@daily&meta-file=gone.csv", "");
        assert!(gone[0].contains("warning: meta-file `gone.csv`: it doesn't exist"), "{gone:?}");
        assert!(found("cron=@daily&meta-file=/elsewhere/rows.csv", "").is_empty());
        write("rows.csv", "table\tshard\norders\t1\n");
        assert!(found("cron=@daily&meta-file=rows.csv", "").is_empty());
    }

    #[test]
    fn a_file_without_phases_and_an_entry_that_is_skipped_are_warnings() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("empty.toml"), "# to do\n").unwrap();
        std::fs::write(folder.path().join("Icon\r"), "").unwrap();
        let (found, meta_files) = read_files(&folder.path().display().to_string()).unwrap();
        let findings = find_all(&found, &meta_files, None).unwrap();
        assert!(!has_errors(&findings));
        let lines: String = findings.iter().map(finding_line).collect();
        assert!(lines.contains("/Icon\\r:1:1: warning: this entry is skipped: its name has a control"), "{lines}");
        assert!(lines.contains("/empty.toml:1:1: warning: the file has no phases"), "{lines}");
    }

    #[test]
    fn a_group_has_its_limit_in_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let text = "[[phase]]\ntask = \"a\"\nrule = \"cron=@daily&group=lake\"\ntemplate = \"x\"\n";
        std::fs::write(folder.path().join("w.toml"), text).unwrap();
        let (files, meta_files) = read_files(&folder.path().to_string_lossy()).unwrap();
        let config = folder.path().join("flowlord.conf");
        for (groups, count) in [("lake = 1", 0), ("pond = 1", 1)] {
            std::fs::write(&config, format!("[groups]\n{groups}\n")).unwrap();
            let findings = find_all(&files, &meta_files, Some(&config)).unwrap();
            assert_eq!(findings.len(), count, "{findings:?}");
            assert!(findings.iter().all(|finding| finding.message.starts_with("group `lake` has no limit")));
        }
    }
}

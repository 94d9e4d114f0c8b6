//! `flowlord completions`: scripts for shells, and what they ask the service.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, ValueEnum};
use clap_complete::Shell;
use serde::Deserialize;

use super::args::ServiceArgs;
use super::work::client::{ApiClient, ApiRefusal};
use super::{Cli, out};

const EXAMPLES: &str = "\
Examples:
  flowlord completions bash > /etc/bash_completion.d/flowlord
  flowlord completions zsh > ~/.zfunc/_flowlord
  flowlord completions fish > ~/.config/fish/completions/flowlord.fish

In bash, zsh and fish topics, workflow files and phases are completed, too: those of the service that FLOWLORD_SERVER
and FLOWLORD_TOKEN name, else of the one on this machine.";

/// Nobody waits longer for a completion.
const PATIENCE: Duration = Duration::from_secs(2);

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which shell
    #[arg(required_unless_present = "candidates")]
    shell: Option<Shell>,
    /// Print what the service knows of a kind, as the scripts ask
    #[arg(long, value_enum, hide = true, conflicts_with = "shell")]
    candidates: Option<CandidateKind>,
    /// The workflow file whose phases are meant
    #[arg(long, hide = true, requires = "candidates")]
    of: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CandidateKind {
    Topics,
    Workflows,
    Phases,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(shell) = args.shell {
        out::text(&script_for(shell))?;
    }
    if let Some(kind) = args.candidates {
        let client = ServiceArgs::of_environment().client()?;
        let asking = read_candidates(&client, kind, args.of.as_deref());
        for candidate in actix_rt::System::new().block_on(asking)? {
            out::line(&candidate)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn script_for(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "flowlord", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        Shell::Bash => script + include_str!("candidates.bash"),
        Shell::Fish => script + include_str!("candidates.fish"),
        Shell::Zsh => with_zsh_candidates(&script),
        _ => script,
    }
}

/// The script with functions of its own where it would complete names of files.
fn with_zsh_candidates(script: &str) -> String {
    let mut text = String::new();
    for line in script.lines() {
        let function = match line {
            _ if line.contains("]:TOPIC:_default") => "_flowlord_topics",
            _ if line.contains("]:WORKFLOW:_default") || line.starts_with("':workflow -- ") => "_flowlord_workflows",
            _ if line.starts_with("':phase -- ") => "_flowlord_phases",
            _ => "_default",
        };
        text.push_str(&line.replace(":_default'", &format!(":{function}'")));
        text.push('\n');
        if line == "autoload -U is-at-least" {
            text.push_str(include_str!("candidates.zsh"));
        }
    }
    text
}

#[derive(Deserialize)]
struct ItemList<T> {
    items: Vec<T>,
}

#[derive(Deserialize)]
struct KnownFile {
    file: String,
    #[serde(default)]
    phases: Vec<KnownPhase>,
}

#[derive(Deserialize)]
struct KnownPhase {
    task: String,
}

#[derive(Deserialize)]
struct KnownQueue {
    topic: String,
}

async fn read_candidates(
    client: &ApiClient,
    kind: CandidateKind,
    of: Option<&str>,
) -> Result<BTreeSet<String>, ApiRefusal> {
    let files: ItemList<KnownFile> = client.get("/workflows", PATIENCE).await?;
    let mut known: BTreeSet<String> = match kind {
        CandidateKind::Workflows => files.items.into_iter().map(|file| file.file).collect(),
        CandidateKind::Topics | CandidateKind::Phases => {
            let files = files.items.into_iter().filter(|file| of.is_none_or(|of| of == file.file));
            files.flat_map(|file| file.phases).map(|phase| phase.task).collect()
        }
    };
    if kind == CandidateKind::Topics {
        let queues: ItemList<KnownQueue> = client.get("/queues", PATIENCE).await?;
        known = known.iter().filter_map(|task| task.split(':').next().map(str::to_owned)).collect();
        known.extend(queues.items.into_iter().map(|queue| queue.topic));
    }
    known.retain(|candidate| is_plain(candidate));
    Ok(known)
}

/// Whether no shell takes any of it for a command: the name of a file may have any character.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/:@+".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_script_asks_for_candidates_where_it_can() {
        for shell in [Shell::Bash, Shell::Fish] {
            assert!(script_for(shell).contains("flowlord completions --candidates"), "{shell}");
        }
        let zsh = script_for(Shell::Zsh);
        for function in ["_flowlord_topics", "_flowlord_workflows", "_flowlord_phases"] {
            assert!(zsh.contains(&format!(":{function}'")), "{function} is never used");
            assert!(zsh.contains(&format!("\n{function}() {{\n")), "{function} is missing");
        }
        assert!(!script_for(Shell::Elvish).contains("flowlord completions --candidates"));
    }

    #[test]
    fn what_a_shell_could_run_is_no_candidate() {
        for (text, plain) in [("etl/daily.toml", true), ("load:hourly", true), ("$(x).toml", false), ("a b", false)] {
            assert_eq!(is_plain(text), plain, "{text}");
        }
    }
}

//! The operations guide is followed command by command; its dashboard and alert rules name figures that there are.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use flowlord_testkit::lasting_address;
use serde_json::Value;
use tokio::process::Command;

use crate::support::WORKFLOW;

const GUIDE: &str = include_str!("../../docs/operations.md");

fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let after = GUIDE.split(&fence as &str).skip(1);
    after.map(|rest| rest.split("```").next().unwrap_or_default()).collect()
}

/// Programs of the guide's commands, beside flowlord and the shell's own.
const GUIDE_PROGRAMS: [&str; 6] = ["bash", "cat", "curl", "grep", "jq", "sleep"];

#[actix::test]
async fn the_guide_can_be_followed_from_its_first_command_to_its_last() {
    if !flowlord_testkit::can_run(&GUIDE_PROGRAMS) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("workflows")).unwrap();
    std::fs::write(folder.path().join("workflows/main.toml"), WORKFLOW).unwrap();
    let script = blocks("sh").concat().replace("127.0.0.1:8080", &lasting_address());
    let programs = Path::new(env!("CARGO_BIN_EXE_flowlord")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    // Whatever is left running ends with the script.
    let script = format!("set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}");
    let run = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("RUST_LOG", "warn")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(std::time::Duration::from_secs(180), run).await.expect("it ends").unwrap();
    let (said, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{err}");
    assert!(said.contains("flowlord made an admin token"), "{said}");
}

/// The names of figures within a text.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let figures = words.filter(|word| word.starts_with("flowlord_"));
    figures
        .map(|name| {
            // A histogram is read by its parts.
            let part = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            part.unwrap_or(name).to_owned()
        })
        .collect()
}

#[test]
fn the_dashboard_and_the_alert_rules_read_figures_that_there_are() {
    // tests/it/metrics.rs holds this page to the real figures.
    let documented = named(include_str!("../../docs/metrics.md"));
    let dashboard = include_str!("../../examples/monitoring/dashboard.json");
    let rules = include_str!("../../examples/monitoring/alerts.yaml");
    let json: Value = serde_json::from_str(dashboard).unwrap();
    let panels = json["panels"].as_array().unwrap();
    assert!(panels.iter().all(|panel| panel["targets"].as_array().is_some_and(|targets| !targets.is_empty())));
    for text in [dashboard, rules] {
        let unknown: Vec<_> = named(text).difference(&documented).cloned().collect();
        assert_eq!(unknown, Vec::<String>::new());
    }
    let rules: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    assert_eq!(rules.iter().filter(|rule| !named(rule).is_empty()).count(), rules.len());
    assert!(rules.len() >= 8, "{rules:?}");
}

#[test]
fn the_examples_for_containers_name_what_the_image_has() {
    let image = include_str!("../../Dockerfile");
    for (name, text) in [
        ("compose", include_str!("../../examples/compose.yaml")),
        ("kubernetes", include_str!("../../examples/kubernetes/flowlord.yaml")),
        ("cluster", include_str!("../../examples/cluster/kubernetes.yaml")),
    ] {
        for variable in text.split(|c: char| !c.is_ascii_uppercase() && c != '_') {
            let Some(key) = variable.strip_prefix("FLOWLORD_") else { continue };
            let key = key.to_lowercase().replace("__", ".");
            let known =
                flowlord::config::keys::find(&key).is_some() || ["server", "token", "config"].contains(&key.as_str());
            assert!(known, "{name}: {variable}");
        }
        for folder in ["/data", "/workflows"] {
            assert!(text.contains(folder) && image.contains(folder), "{name}: {folder}");
        }
    }
    assert!(image.contains("USER 10001:10001") && image.contains("STOPSIGNAL SIGTERM"));
}

#[test]
fn what_the_image_sets_is_below_what_its_users_write() {
    let image = include_str!("../../Dockerfile");
    let set = image.split_whitespace().filter_map(|word| word.strip_prefix("FLOWLORD_")?.split_once('='));
    let keys: Vec<_> = set
        .map(|(name, _)| {
            let key = name.strip_prefix("IMAGE__").unwrap_or_else(|| panic!("FLOWLORD_{name} goes over a file"));
            key.to_lowercase().replace("__", ".")
        })
        .collect();
    assert_eq!(keys, ["workflow", "data", "listen"]);
    assert!(keys.iter().all(|key| flowlord::config::keys::find(key).is_some()));
}

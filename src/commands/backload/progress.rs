//! How far a backload is, until it ends: a bar in a terminal, lines elsewhere.

use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;

use super::super::out;
use super::super::work::client::{ApiClient, ApiRefusal};
use super::{PATIENCE, TaskFailure};

const POLL_INTERVAL: Duration = Duration::from_millis(500);

// About a minute, which a restart of the service doesn't take.
const MAX_MISSED_POLLS: u32 = 120;

#[derive(Debug, Deserialize)]
pub(super) struct BackloadProgress {
    id: i64,
    state: String,
    count: u64,
    done: u64,
    created: u64,
    skipped: u64,
    not_created: u64,
    #[serde(default)]
    problem: String,
    pub(super) failures: Option<Vec<TaskFailure>>,
}

impl BackloadProgress {
    /// Whether every task was created that was wanted.
    pub(super) fn is_whole(&self) -> bool {
        self.state == "done" && self.not_created == 0
    }

    pub(super) fn summary(&self) -> String {
        let Self { id, state, count, created, skipped, not_created, problem, .. } = self;
        let mut text = format!("{created}/{count} tasks created");
        for (number, what) in [(skipped, "left out by --only"), (not_created, "failed")] {
            if *number > 0 {
                text.push_str(&format!(", {number} {what}"));
            }
        }
        match state.as_str() {
            "done" => text,
            "paused" if problem.is_empty() => {
                format!("{text}; paused: POST /api/v1/backloads/{id}/resume resumes it")
            }
            "paused" => format!("{text}; paused: {problem}"),
            state => format!("{text}; {state}"),
        }
    }

    fn tenth(&self) -> u64 {
        (self.done * 10).checked_div(self.count).unwrap_or(10)
    }
}

pub(super) async fn follow_backload(client: &ApiClient, id: i64) -> anyhow::Result<BackloadProgress> {
    // A bar in a log file would be a thousand lines.
    let in_terminal = stderr().is_terminal();
    let bar = if in_terminal { progress_bar() } else { ProgressBar::hidden() };
    let (mut told, mut missed) = (0, 0);
    loop {
        match client.get::<BackloadProgress>(&format!("/backloads/{id}"), PATIENCE).await {
            Ok(standing) => {
                missed = 0;
                bar.set_length(standing.count);
                bar.set_position(standing.done);
                if !in_terminal && standing.tenth() > told {
                    told = standing.tenth();
                    out::error(&format!("{}/{} tasks processed", standing.done, standing.count));
                }
                if standing.state != "running" {
                    bar.finish_and_clear();
                    return Ok(standing);
                }
            }
            // A restart of the service ends no backload.
            Err(ApiRefusal::Later { detail, .. }) => {
                missed += 1;
                bar.set_message(detail.clone());
                if missed > MAX_MISSED_POLLS {
                    bail!("{detail}");
                }
            }
            Err(err) => return Err(err.into()),
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    // The template is a text of this program: a wrong one shows the usual bar.
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} tasks, {eta} left {msg}") {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn standing(state: &str, failed: u64, problem: &str) -> BackloadProgress {
        let json = json!({
            "id": 7, "state": state, "count": 50, "done": 50, "created": 45, "skipped": 3, "not_created": failed,
            "problem": problem,
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn its_end_is_told_and_only_a_whole_one_is_a_success() {
        for (standing, whole, summary) in [
            (standing("done", 0, ""), true, "45/50 tasks created, 3 left out by --only"),
            (standing("done", 2, ""), false, "45/50 tasks created, 3 left out by --only, 2 failed"),
            (standing("cancelled", 0, ""), false, "45/50 tasks created, 3 left out by --only; cancelled"),
            (standing("paused", 0, "the file changed"), false, "3 left out by --only; paused: the file changed"),
            (standing("paused", 0, ""), false, "POST /api/v1/backloads/7/resume resumes it"),
        ] {
            assert_eq!(standing.is_whole(), whole, "{standing:?}");
            assert!(standing.summary().ends_with(summary), "{}", standing.summary());
        }
    }
}

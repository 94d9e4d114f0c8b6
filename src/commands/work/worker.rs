//! What the slots of a worker share.

use std::io;

use super::client::{ApiClient, GrantedTask, WantedTasks};

#[derive(Debug)]
pub(super) struct CommandWorker {
    pub(super) client: ApiClient,
    pub(super) wanted: WantedTasks,
    pub(super) command: Vec<String>,
    pub(super) mode: WorkMode,
    /// Whether the service is sent what commands write.
    pub(super) sends_logs: bool,
    /// Whether a slot ends after its first task.
    pub(super) is_once: bool,
}

/// What a task means to the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WorkMode {
    /// It works on one task, and its end is the result.
    Command,
    /// It passes the task on.
    HandOver,
    /// It stays, reads tasks and writes done tasks.
    Stdio,
}

impl CommandWorker {
    /// Whether the command itself is wrong: no task should pay for that.
    pub(super) fn is_to_blame(&self, err: &io::Error) -> bool {
        // A name with a task's values in it may be that task's fault.
        let fixed = !self.command[0].contains('{');
        fixed && matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
    }
}

pub(super) async fn give_back(worker: &CommandWorker, granted: &GrantedTask, delay: &str) {
    match worker.client.release(&granted.lease, delay).await {
        Ok(()) => log::info!("event=task_given_back lease={}", granted.lease),
        Err(err) => log::warn!("event=release_failed lease={} detail={:?}", granted.lease, err.to_string()),
    }
}

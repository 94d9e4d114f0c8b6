//! What one file starts.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use flowlord_domain::file_event::FileEvent;
use flowlord_domain::file_match::{FileEffect, FileMatch, files_per_task, match_phases};
use flowlord_domain::{AlertKind, NewAlert, NewTask};
use flowlord_kernel::{Code, Error, Result};
use flowlord_messages::files::{
    FileMatchEffect, FileMatchState, FilePhaseOutcome, FileRecordOutcome, FileSource, NewFileMatch, ReadWaitingFiles,
    RecordFile, RecordedFile, SeenFile, StartedTask, StoredFileMatch, WaitingFile,
};
use flowlord_messages::workflows::ReadLoadedWorkflows;
use tokio::sync::Mutex;

use crate::Deps;

/// How often to decide again when other files came to wait meanwhile.
const MAX_DECISIONS: usize = 5;

#[derive(Debug, Clone)]
pub(crate) struct ArrivedFile {
    pub(crate) file: FileEvent,
    pub(crate) source: FileSource,
    /// Why it starts nothing; empty when it may.
    pub(crate) ignored: String,
    pub(crate) seen: Option<SeenFile>,
}

/// What each file needs to become tasks.
#[derive(Debug, Clone)]
pub(crate) struct FileRecorder {
    pub(crate) host: String,
    pub(crate) deps: Deps,
    /// Files that are counted are decided on one after the other: each needs to know which wait.
    pub(crate) counting: Arc<Mutex<()>>,
}

impl FileRecorder {
    pub(crate) async fn record_file(&self, arrived: ArrivedFile) -> Result<RecordedFile> {
        let workflows = self.deps.library.call(ReadLoadedWorkflows).await?.workflows;
        let path = arrived.file.path.as_str();
        let found = if arrived.ignored.is_empty() { match_phases(&workflows, path) } else { Vec::new() };
        let counts = found.iter().any(|found| files_per_task(&found.phase.rule) > 1);
        let _turn = if counts { Some(self.counting.lock().await) } else { None };
        // Where nothing is counted, hardly ever anything waits.
        let mut waiting = if counts { self.read_waiting(&found).await? } else { vec![Vec::new(); found.len()] };
        for _ in 0..MAX_DECISIONS {
            let now = self.deps.kit.now();
            let matches =
                found.iter().zip(&waiting).map(|(found, waiting)| self.decide_match(found, waiting, &arrived, now));
            let record = RecordFile {
                now,
                file: arrived.file.clone(),
                source: arrived.source,
                ignored: arrived.ignored.clone(),
                matches: matches.collect(),
                seen: arrived.seen.clone(),
            };
            // Else other files came to wait since: the decision is made anew with them.
            if let FileRecordOutcome::Stored(event, outcomes) = self.deps.writer.call(record.clone()).await? {
                let recorded = make_recorded(event, record.matches, outcomes);
                log::info!(
                    "event=file_recorded path={path:?} source={} phases={} tasks={} ignored={:?}",
                    arrived.source.as_str(),
                    recorded.phases.len(),
                    recorded.tasks.len(),
                    arrived.ignored
                );
                return Ok(recorded);
            }
            waiting = self.read_waiting(&found).await?;
        }
        Err(Error::new(Code::Busy, format!("{path}: the waiting files keep changing: send the event again")))
    }

    async fn read_waiting(&self, found: &[FileMatch<'_>]) -> Result<Vec<Vec<WaitingFile>>> {
        let phases = found.iter().map(|found| found.key.clone()).collect();
        self.deps.reader.call(ReadWaitingFiles { phases }).await
    }

    fn decide_match(
        &self,
        found: &FileMatch<'_>,
        waiting: &[WaitingFile],
        arrived: &ArrivedFile,
        now: DateTime<Utc>,
    ) -> NewFileMatch {
        let file = &arrived.file;
        let paths: Vec<String> = waiting.iter().map(|waiting| waiting.path.clone()).collect();
        let mut ids = self.deps.kit.ids();
        let effect = match found.effect_of_file(&file.path, &paths, &self.host, &mut ids, now) {
            Ok(FileEffect::Start(task)) => FileMatchEffect::Start(Box::new(task)),
            Ok(FileEffect::Wait) => FileMatchEffect::Wait,
            Ok(FileEffect::Waits) => FileMatchEffect::WaitsAlready,
            Err(err) => {
                let why = err.to_string();
                let alert = NewAlert {
                    topic: found.phase.task.topic.clone(),
                    job: found.phase.task.job.clone(),
                    workflow: found.phase.workflow.clone(),
                    task_time: file.time_of_path(),
                    ..file_alert(format!("the file {} starts nothing: {why}", file.path), now)
                };
                FileMatchEffect::Fail { why, alert: Box::new(alert.with_contact_of(found.phase)) }
            }
        };
        NewFileMatch {
            phase: found.key.clone(),
            waiting: waiting.iter().map(|waiting| waiting.event).collect(),
            effect,
        }
    }
}

fn make_recorded(event: i64, matches: Vec<NewFileMatch>, outcomes: Vec<StoredFileMatch>) -> RecordedFile {
    let mut recorded = RecordedFile { event, phases: Vec::new(), tasks: Vec::new() };
    for (found, StoredFileMatch { state, uid, held }) in matches.into_iter().zip(outcomes) {
        let why = match found.effect {
            FileMatchEffect::Fail { why, .. } => why,
            FileMatchEffect::Start(task) if state == FileMatchState::Started => {
                let task = NewTask { uid: uid.unwrap_or(task.uid), ..*task };
                recorded.tasks.push(StartedTask { task, held });
                String::new()
            }
            FileMatchEffect::Start(_) | FileMatchEffect::Wait | FileMatchEffect::WaitsAlready => String::new(),
        };
        recorded.phases.push(FilePhaseOutcome { phase: found.phase, state, uid, why });
    }
    recorded
}

pub(crate) fn file_alert(msg: String, now: DateTime<Utc>) -> NewAlert {
    NewAlert::without_task(AlertKind::CreateFailed, "files", msg, now)
}

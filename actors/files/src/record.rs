//! What one file starts.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use flowlord_domain::file_event::FileEvent;
use flowlord_domain::file_match::{Effect, FileMatch, matches, needed};
use flowlord_domain::{AlertKind, NewAlert, NewTask};
use flowlord_kernel::{Code, Error, Result};
use flowlord_messages::files::{
    FileSource, MatchEffect, MatchState, NewMatch, PhaseOutcome, ReadWaiting, RecordFile, Recorded,
    RecordedRow, SeenFile, StartedTask, StoredMatch, WaitingFile,
};
use flowlord_messages::workflows::CurrentWorkflows;
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
    pub(crate) async fn record_file(&self, arrived: ArrivedFile) -> Result<Recorded> {
        let workflows = self.deps.library.call(CurrentWorkflows).await?.workflows;
        let path = arrived.file.path.as_str();
        let found = if arrived.ignored.is_empty() { matches(&workflows, path) } else { Vec::new() };
        let counts = found.iter().any(|found| needed(&found.phase.rule) > 1);
        let _turn = if counts { Some(self.counting.lock().await) } else { None };
        // Where nothing is counted, hardly ever anything waits.
        let mut waiting =
            if counts { self.read_waiting(&found).await? } else { vec![Vec::new(); found.len()] };
        for _ in 0..MAX_DECISIONS {
            let now = self.deps.kit.now();
            let matches = found
                .iter()
                .zip(&waiting)
                .map(|(found, waiting)| self.decide_match(found, waiting, &arrived, now));
            let record = RecordFile {
                now,
                file: arrived.file.clone(),
                source: arrived.source,
                ignored: arrived.ignored.clone(),
                matches: matches.collect(),
                seen: arrived.seen.clone(),
            };
            // Else other files came to wait since: the decision is made anew with them.
            if let RecordedRow::Stored(event, outcomes) = self.deps.writer.call(record.clone()).await? {
                let recorded = make_recorded(event, record.matches, outcomes);
                log::info!(
                    "event=file_recorded path={path:?} source={} phases={} tasks={}",
                    arrived.source.as_str(),
                    recorded.phases.len(),
                    recorded.tasks.len()
                );
                return Ok(recorded);
            }
            waiting = self.read_waiting(&found).await?;
        }
        Err(Error::new(Code::Busy, format!("{path}: the waiting files keep changing: send the event again")))
    }

    async fn read_waiting(&self, found: &[FileMatch<'_>]) -> Result<Vec<Vec<WaitingFile>>> {
        let phases = found.iter().map(|found| found.key.clone()).collect();
        self.deps.reader.call(ReadWaiting { phases }).await
    }

    fn decide_match(
        &self,
        found: &FileMatch<'_>,
        waiting: &[WaitingFile],
        arrived: &ArrivedFile,
        now: DateTime<Utc>,
    ) -> NewMatch {
        let file = &arrived.file;
        let paths: Vec<String> = waiting.iter().map(|waiting| waiting.path.clone()).collect();
        let mut ids = self.deps.kit.ids();
        let effect = match found.effect(&file.path, &paths, &self.host, &mut ids, now) {
            Ok(Effect::Start(task)) => MatchEffect::Start(Box::new(task)),
            Ok(Effect::Wait) => MatchEffect::Wait,
            Ok(Effect::Waits) => MatchEffect::Waits,
            Err(err) => {
                let why = err.to_string();
                let alert = Box::new(NewAlert {
                    topic: found.phase.task.topic.clone(),
                    job: found.phase.task.job.clone(),
                    workflow: found.phase.workflow.clone(),
                    task_time: file.time(),
                    ..file_alert(format!("the file {} starts nothing: {why}", file.path), now)
                });
                MatchEffect::Fail { why, alert }
            }
        };
        NewMatch {
            phase: found.key.clone(),
            waiting: waiting.iter().map(|waiting| waiting.event).collect(),
            effect,
        }
    }
}

fn make_recorded(event: i64, matches: Vec<NewMatch>, outcomes: Vec<StoredMatch>) -> Recorded {
    let mut recorded = Recorded { event, phases: Vec::new(), tasks: Vec::new() };
    for (found, StoredMatch { state, uid, held }) in matches.into_iter().zip(outcomes) {
        let why = match found.effect {
            MatchEffect::Fail { why, .. } => why,
            MatchEffect::Start(task) if state == MatchState::Started => {
                let task = NewTask { uid: uid.unwrap_or(task.uid), ..*task };
                recorded.tasks.push(StartedTask { task, held });
                String::new()
            }
            MatchEffect::Start(_) | MatchEffect::Wait | MatchEffect::Waits => String::new(),
        };
        recorded.phases.push(PhaseOutcome { phase: found.phase, state, uid, why });
    }
    recorded
}

pub(crate) fn file_alert(msg: String, now: DateTime<Utc>) -> NewAlert {
    NewAlert::without_task(AlertKind::CreateFailed, "files", msg, now)
}

//! What one file starts.

use chrono::{DateTime, Utc};
use flowlord_domain::file_event::FileEvent;
use flowlord_domain::file_match::{Effect, FileMatch, matches, needed};
use flowlord_domain::{AlertKind, NewAlert, NewTask};
use flowlord_kernel::{Code, Error, Result};
use flowlord_messages::files::{
    FileSource, MatchEffect, MatchState, NewMatch, PhaseOutcome, ReadWaiting, RecordFile, Recorded,
    RecordedRow, SeenFile, StartedTask, StoredMatch, WaitingFile,
};
use flowlord_messages::library::CurrentWorkflows;

use crate::Recorder;

/// How often to decide again when other files came to wait meanwhile.
const TRIES: usize = 5;

/// A file, and who told of it.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub(crate) file: FileEvent,
    pub(crate) source: FileSource,
    /// Why it starts nothing; empty when it may.
    pub(crate) ignored: String,
    /// Where it was seen.
    pub(crate) seen: Option<SeenFile>,
}

impl Recorder {
    /// Records a file with what it starts.
    pub(crate) async fn record(&self, arrived: Arrived) -> Result<Recorded> {
        let workflows = self.deps.workflows.call(CurrentWorkflows).await?.workflows;
        let path = arrived.file.path.as_str();
        let found = if arrived.ignored.is_empty() { matches(&workflows, path) } else { Vec::new() };
        let counts = found.iter().any(|found| needed(&found.phase.rule) > 1);
        let _turn = if counts { Some(self.turn.lock().await) } else { None };
        // Where nothing is counted, hardly ever anything waits.
        let mut waiting = if counts { self.waiting(&found).await? } else { vec![Vec::new(); found.len()] };
        for _ in 0..TRIES {
            let now = self.deps.clock.now();
            let matches =
                found.iter().zip(&waiting).map(|(found, waiting)| self.decide(found, waiting, &arrived, now));
            let record = RecordFile {
                now,
                file: arrived.file.clone(),
                source: arrived.source,
                ignored: arrived.ignored.clone(),
                matches: matches.collect(),
                seen: arrived.seen.clone(),
            };
            if let RecordedRow::Stored(event, outcomes) = self.deps.record.call(record.clone()).await? {
                let recorded = recorded(event, record.matches, outcomes);
                log::info!(
                    "event=file_recorded path={path:?} source={} phases={} tasks={}",
                    arrived.source.as_str(),
                    recorded.phases.len(),
                    recorded.tasks.len()
                );
                return Ok(recorded);
            }
            waiting = self.waiting(&found).await?;
        }
        Err(Error::new(
            Code::Busy,
            format!("{path}: the files that wait for others keep changing: send it again"),
        ))
    }

    async fn waiting(&self, found: &[FileMatch<'_>]) -> Result<Vec<Vec<WaitingFile>>> {
        let phases = found.iter().map(|found| found.key.clone()).collect();
        self.deps.waiting.call(ReadWaiting { phases }).await
    }

    fn decide(
        &self,
        found: &FileMatch<'_>,
        waiting: &[WaitingFile],
        arrived: &Arrived,
        now: DateTime<Utc>,
    ) -> NewMatch {
        let file = &arrived.file;
        let paths: Vec<String> = waiting.iter().map(|waiting| waiting.path.clone()).collect();
        let mut ids = self.deps.mint.clone();
        let effect = match found.effect(&file.path, &paths, &self.host, &mut ids, now) {
            Ok(Effect::Start(task)) => MatchEffect::Start(Box::new(task)),
            Ok(Effect::Wait) => MatchEffect::Wait,
            Ok(Effect::Waits) => MatchEffect::Waits,
            Err(err) => {
                let why = err.to_string();
                let alert = Box::new(NewAlert {
                    kind: AlertKind::CreateFailed,
                    at: now,
                    uid: None,
                    id: String::new(),
                    topic: found.phase.task.topic.clone(),
                    job: found.phase.task.job.clone(),
                    workflow: found.phase.workflow.clone(),
                    msg: format!("the file {} starts nothing: {why}", file.path),
                    task_time: file.time(),
                    at_once: None,
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

fn recorded(event: i64, matches: Vec<NewMatch>, outcomes: Vec<StoredMatch>) -> Recorded {
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

//! Files recorded by a database that is a list.

use std::collections::BTreeMap;
use std::sync::Mutex;

use actix::{Actor, Arbiter, Handler};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use flowlord_domain::file_event::FileEvent;
use flowlord_domain::workflow::{WorkflowFile, Workflows};
use flowlord_kernel::{Code, Port, WorkCounter};
use flowlord_messages::alerts::RaiseAlerts;
use flowlord_messages::clients::FilesClient;
use flowlord_messages::files::{
    FileMatchEffect, FileMatchState, FileRecordOutcome, NewFileMatch, ReadSeenFiles, ReadWaitingFiles, RecordFile,
    SaveSeenFiles, SeenFile, SeenPlace, StoredFileMatch, WaitingFile,
};
use flowlord_messages::workflows::{LoadedWorkflows, ReadLoadedWorkflows};
use flowlord_storage::StorageConfig;
use flowlord_testkit::VirtualClock;

use super::*;

mod watching;

#[derive(Debug, Default)]
struct Rows {
    workflow: &'static str,
    records: Vec<RecordFile>,
    waiting: Vec<WaitingFile>,
    /// How often something else changed before a record.
    changes: usize,
    /// What was seen in watched places.
    seen: BTreeMap<String, SeenPlace>,
    /// How many of the next records fail.
    failing: usize,
    alerts: Vec<String>,
}

#[derive(Clone, Default)]
struct Stub(Arc<Mutex<Rows>>);

impl Actor for Stub {
    type Context = Context<Self>;
}

impl Handler<ReadLoadedWorkflows> for Stub {
    type Result = Result<LoadedWorkflows>;

    fn handle(&mut self, _: ReadLoadedWorkflows, _: &mut Self::Context) -> Self::Result {
        let file = WorkflowFile::parse("w.toml", self.0.lock().unwrap().workflow, "", Tz::UTC).unwrap();
        let workflows = Arc::new(Workflows::new([Arc::new(file)]));
        Ok(LoadedWorkflows { workflows, scanned_at: noon(), next_scan: noon(), broken: Arc::default() })
    }
}

impl Handler<ReadWaitingFiles> for Stub {
    type Result = Result<Vec<Vec<WaitingFile>>>;

    fn handle(&mut self, read: ReadWaitingFiles, _: &mut Self::Context) -> Self::Result {
        Ok(vec![self.0.lock().unwrap().waiting.clone(); read.phases.len()])
    }
}

impl Handler<RecordFile> for Stub {
    type Result = Result<FileRecordOutcome>;

    fn handle(&mut self, record: RecordFile, _: &mut Self::Context) -> Self::Result {
        let mut rows = self.0.lock().unwrap();
        if rows.failing > 0 {
            rows.failing -= 1;
            return Err(flowlord_kernel::Error::new(Code::Busy, "much"));
        }
        if let Some(SeenFile { place, path, etag }) = record.seen.clone() {
            let place = rows.seen.entry(place).or_default();
            place.files.retain(|(known, _)| *known != path);
            place.files.push((path, etag));
        }
        if rows.changes > 0 {
            rows.changes -= 1;
            let event = i64::try_from(rows.waiting.len()).unwrap();
            rows.waiting.push(WaitingFile { event, path: format!("/in/{event}") });
            return Ok(FileRecordOutcome::Changed);
        }
        let outcome = |effect: &FileMatchEffect| match effect {
            FileMatchEffect::Start(task) => (FileMatchState::Started, Some(flowlord_domain::Uid(task.uid.0 + 1))),
            FileMatchEffect::Wait => (FileMatchState::Waiting, None),
            FileMatchEffect::WaitsAlready => (FileMatchState::Repeated, None),
            FileMatchEffect::Fail { .. } => (FileMatchState::Failed, None),
        };
        let stored = |(state, uid)| StoredFileMatch { state, uid, held: false };
        let outcomes = record.matches.iter().map(|found| stored(outcome(&found.effect))).collect();
        rows.records.push(record);
        Ok(FileRecordOutcome::Stored(i64::try_from(rows.records.len()).unwrap(), outcomes))
    }
}

impl Handler<ReadSeenFiles> for Stub {
    type Result = Result<SeenPlace>;

    fn handle(&mut self, read: ReadSeenFiles, _: &mut Self::Context) -> Self::Result {
        Ok(self.0.lock().unwrap().seen.get(&read.place).cloned().unwrap_or_default())
    }
}

impl Handler<SaveSeenFiles> for Stub {
    type Result = Result<()>;

    fn handle(&mut self, save: SaveSeenFiles, _: &mut Self::Context) -> Self::Result {
        let mut rows = self.0.lock().unwrap();
        let place = rows.seen.entry(save.place).or_default();
        place.files.retain(|(path, _)| !save.left.contains(path));
        place.files.extend(save.seen);
        place.since = place.since.or(save.since);
        Ok(())
    }
}

impl Handler<KeepWatchedPlaces> for Stub {
    type Result = Result<()>;

    fn handle(&mut self, keep: KeepWatchedPlaces, _: &mut Self::Context) -> Self::Result {
        self.0.lock().unwrap().seen.retain(|place, _| keep.places.contains(place));
        Ok(())
    }
}

impl Handler<RaiseAlerts> for Stub {
    type Result = Result<()>;

    fn handle(&mut self, raise: RaiseAlerts, _: &mut Self::Context) -> Self::Result {
        self.0.lock().unwrap().alerts.extend(raise.alerts.into_iter().map(|alert| alert.msg));
        Ok(())
    }
}

fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

struct Bench {
    rows: Stub,
    client: FilesClient,
    stop: Port<StopFiles>,
    clock: VirtualClock,
    _arbiter: Arbiter,
}

impl Bench {
    fn new(workflow: &'static str) -> Self {
        let rows = Stub(Arc::new(Mutex::new(Rows { workflow, ..Rows::default() })));
        Self::watching(rows, &[])
    }

    fn watching(rows: Stub, places: &[&str]) -> Self {
        let (clock, arbiter) = (VirtualClock::new(noon(), WorkCounter::default()), Arbiter::new());
        let environment = clock.environment();
        let stub = rows.clone();
        let below = Stub::start_in_arbiter(&arbiter.handle(), move |_| stub);
        let deps = Deps {
            kit: environment.kit("files"),
            writer: DatabaseWriter::unconnected()
                .with::<RecordFile>(environment.port("stub", &below))
                .with::<SaveSeenFiles>(environment.port("stub", &below))
                .with::<KeepWatchedPlaces>(environment.port("stub", &below)),
            reader: DatabaseReader::unconnected()
                .with::<ReadWaitingFiles>(environment.port("stub", &below))
                .with::<ReadSeenFiles>(environment.port("stub", &below)),
            library: LibraryClient::unconnected().with::<ReadLoadedWorkflows>(environment.port("stub", &below)),
            alert_sender: AlertSender::new(environment.port("stub", &below), &environment),
        };
        let config = Config {
            host: "box".to_owned(),
            places: places.iter().map(|place| StorageLocation::parse(place).unwrap()).collect(),
            every: TimeDelta::seconds(10),
            stores: StorageConnections::new(StorageConfig::default()),
        };
        let files = Files::start(&arbiter.handle(), config, deps);
        let client = FilesClient::connect("files", &files, &environment);
        Self { rows, client, stop: environment.port("files", &files), clock, _arbiter: arbiter }
    }

    async fn arrives(&self, path: &str) -> Result<RecordedFile> {
        let file = FileEvent { path: path.to_owned(), ..FileEvent::default() };
        self.client.call(FileArrived { file, ignored: String::new() }).await
    }

    fn with<T>(&self, f: impl FnOnce(&mut Rows) -> T) -> T {
        f(&mut self.rows.0.lock().unwrap())
    }
}

#[actix::test]
async fn each_phase_that_takes_a_file_starts_under_its_final_id() {
    let bench = Bench::new(
        "[[phase]]\ntask = \"load:j\"\nrule = \"files=/in/*\"\ntemplate = \"{meta:file}?d={dd}&h={host}\"\n\
         [[phase]]\ntask = \"bad\"\nrule = \"files=/in/*&x=%zz\"\n[[phase]]\ntask = \"other\"\nrule = \"files=/out/*\"\n",
    );
    let recorded = bench.arrives("/in/20260102T000000").await.unwrap();
    assert_eq!((recorded.event, recorded.tasks.len()), (1, 1));
    let task = &recorded.tasks[0].task;
    assert_eq!(task.info, "/in/20260102T000000?d=02&h=box");
    let states: Vec<_> = recorded.phases.iter().map(|phase| (phase.state, phase.uid)).collect();
    assert_eq!(states, [(FileMatchState::Started, Some(task.uid)), (FileMatchState::Failed, None)]);
    assert!(recorded.phases[1].why.contains("%25"), "{recorded:?}");
    let record = bench.with(|rows| rows.records.pop().unwrap());
    assert_eq!((record.now, record.source, record.matches.len()), (noon(), FileSource::Api, 2));
    let FileMatchEffect::Fail { alert, .. } = &record.matches[1].effect else { panic!("{record:?}") };
    assert!(alert.msg.starts_with("the file /in/20260102T000000 starts nothing: "), "{}", alert.msg);
    assert_eq!((alert.topic.as_str(), alert.workflow.as_str()), ("bad", "w.toml"));
    assert_eq!(bench.arrives("/none").await.unwrap().phases, [], "recorded all the same");
}

#[actix::test]
async fn what_starts_nothing_is_recorded() {
    let bench = Bench::new("[[phase]]\ntask = \"load\"\nrule = \"files=/in/*\"\n");
    let file = FileEvent { path: "/in/a".to_owned(), ..FileEvent::default() };
    let ignored = FileArrived { file, ignored: "deleted".to_owned() };
    assert_eq!(bench.client.call(ignored).await.unwrap().phases, []);
    assert_eq!(bench.with(|rows| rows.records[0].ignored.clone()), "deleted");
}

#[actix::test]
async fn what_waits_by_now_is_decided_on_anew() {
    let bench = Bench::new("[[phase]]\ntask = \"load\"\nrule = \"files=/in/*&count=3\"\ntemplate = \"{meta:files}\"\n");
    bench.with(|rows| rows.changes = 2);
    let recorded = bench.arrives("/in/x").await.unwrap();
    assert_eq!(recorded.tasks[0].task.info, "/in/0,/in/1,/in/x");
    assert_eq!(bench.with(|rows| rows.records[0].matches[0].waiting.clone()), [0, 1]);
    bench.with(|rows| {
        rows.changes = usize::MAX;
        rows.waiting.clear();
    });
    let err = bench.arrives("/in/y").await.unwrap_err();
    assert_eq!(err.code, Code::Busy);
    assert!(err.detail.contains("send the event again"), "{err}");
}

//! Files: recorded with what they start, never twice, waiting for each other, seen.

use flowlord_domain::file_event::FileEvent;
use flowlord_domain::file_match::FilePhase;
use flowlord_domain::{AlertKind, NewAlert};
use flowlord_messages::alerts::{AlertFilter, ListAlerts};
use flowlord_messages::files::{
    FileMatchEffect, FileMatchState, FileRecordOutcome, FileSource, KeepWatchedPlaces, ListFileEvents, NewFileMatch,
    ReadSeenFiles, ReadWaitingFiles, RecordFile, SaveSeenFiles, SeenFile, StoredFileEvent,
};
use flowlord_messages::history::{HistoryPosition, RemoveHistory};

use super::*;

fn phase(pattern: &str) -> FilePhase {
    FilePhase { workflow: "w.toml".to_owned(), task: "load:j".to_owned(), pattern: pattern.to_owned(), nth: 0 }
}

fn file(path: &str, version: &str) -> FileEvent {
    FileEvent { path: path.to_owned(), version: version.to_owned(), size: 5, ..FileEvent::default() }
}

fn record(file: FileEvent, matches: Vec<NewFileMatch>) -> RecordFile {
    RecordFile { now: noon(), file, source: FileSource::Api, ignored: String::new(), matches, seen: None }
}

fn start(waiting: &[i64]) -> NewFileMatch {
    let effect = FileMatchEffect::Start(Box::new(task("load", "j")));
    NewFileMatch { phase: phase("/in/*"), waiting: waiting.to_vec(), effect }
}

fn wait(waiting: &[i64]) -> NewFileMatch {
    NewFileMatch { effect: FileMatchEffect::Wait, ..start(waiting) }
}

impl Db {
    /// What happened to the matches of an event, and its row.
    async fn record(&self, record: RecordFile) -> (i64, Vec<(FileMatchState, Option<Uid>)>) {
        match self.write(record).await.unwrap() {
            FileRecordOutcome::Stored(event, outcomes) => {
                (event, outcomes.into_iter().map(|outcome| (outcome.state, outcome.uid)).collect())
            }
            FileRecordOutcome::Changed => panic!("others wait"),
        }
    }

    async fn files(&self, after: Option<i64>, limit: usize) -> Vec<StoredFileEvent> {
        let (from, to) = (noon(), noon() + seconds(60));
        self.read(ListFileEvents { from, to, after, limit }).await.unwrap()
    }
}

#[actix::test]
async fn a_file_starts_each_phase_once_also_over_a_crash() {
    let db = Db::new();
    let (_, first) = db.record(record(file("/in/a", "v1"), vec![start(&[])])).await;
    let [(FileMatchState::Started, Some(uid))] = first[..] else { panic!("{first:?}") };
    assert_eq!(db.attempt(uid).await.topic, "load");
    let db = db.reopen();
    let other = NewFileMatch { phase: phase("/*/a"), ..start(&[]) };
    let (_, again) = db.record(record(file("/in/a", "v1"), vec![start(&[]), other])).await;
    assert_eq!(again[0], (FileMatchState::Repeated, Some(uid)));
    assert_eq!(again[1].0, FileMatchState::Started, "another phase");
    for (path, version) in [("/in/a", "v2"), ("/in/b", "v1"), ("/in/c", ""), ("/in/c", "")] {
        let (_, new) = db.record(record(file(path, version), vec![start(&[])])).await;
        assert_eq!(new[0].0, FileMatchState::Started, "{path} {version}");
    }
    assert_eq!(db.lease_many(&["load"], 99, noon()).await.len(), 6);
}

#[actix::test]
async fn files_wait_for_each_other_and_start_together() {
    let db = Db::new();
    let (a, _) = db.record(record(file("/in/a", "1"), vec![wait(&[])])).await;
    let (b, waits) = db.record(record(file("/in/b", "1"), vec![wait(&[a])])).await;
    assert_eq!(waits, [(FileMatchState::Waiting, None)]);
    let db = db.reopen();
    assert_eq!(db.write(record(file("/in/c", "1"), vec![start(&[a])])).await.unwrap(), FileRecordOutcome::Changed);
    let (_, repeated) = db.record(record(file("/in/a", "1"), vec![start(&[a])])).await;
    assert_eq!(repeated, [(FileMatchState::Repeated, None)], "it waits already");
    let newer = NewFileMatch { effect: FileMatchEffect::WaitsAlready, ..start(&[a, b]) };
    assert_eq!(db.record(record(file("/in/a", "2"), vec![newer])).await.1, [(FileMatchState::Repeated, None)]);
    let read = || ReadWaitingFiles { phases: vec![phase("/none"), phase("/in/*")] };
    let waiting = db.read(read()).await.unwrap();
    assert_eq!(waiting[0], []);
    assert_eq!(waiting[1].iter().map(|w| (w.event, w.path.as_str())).collect::<Vec<_>>(), [(a, "/in/a"), (b, "/in/b")]);
    let (_, started) = db.record(record(file("/in/c", "1"), vec![start(&[a, b])])).await;
    let uid = started[0].1.unwrap();
    assert_eq!(db.read(read()).await.unwrap()[1], []);
    let of_task: Vec<_> = db.files(None, 9).await.into_iter().filter(|e| e.phases[0].uid == Some(uid)).collect();
    let paths: Vec<_> = of_task.iter().map(|event| event.file.path.as_str()).collect();
    assert_eq!(paths, ["/in/c", "/in/b", "/in/a"], "all of them say what they started");
}

#[actix::test]
async fn events_are_listed_by_day_and_leave_unless_they_wait() {
    let db = Db::new();
    let why = "the rule can't be read".to_owned();
    let alert = NewAlert {
        kind: AlertKind::CreateFailed,
        at: noon(),
        uid: None,
        id: String::new(),
        topic: "load".to_owned(),
        job: "j".to_owned(),
        workflow: "w.toml".to_owned(),
        msg: why.clone(),
        task_time: None,
        owner: String::new(),
        runbook: String::new(),
        at_once: None,
    };
    let failed =
        NewFileMatch { effect: FileMatchEffect::Fail { why: why.clone(), alert: Box::new(alert) }, ..start(&[]) };
    db.record(record(file("/in/a", ""), vec![failed])).await;
    db.record(record(file("/in/b", ""), vec![wait(&[])])).await;
    let ignored = RecordFile { ignored: "deleted".to_owned(), ..record(file("/in/c", ""), Vec::new()) };
    db.record(ignored).await;
    let later = RecordFile { now: noon() + seconds(60), ..record(file("/in/d", ""), Vec::new()) };
    db.record(later).await;

    let first = db.files(None, 2).await;
    let second = db.files(Some(first[1].id), 2).await;
    let all: Vec<_> = first.iter().chain(&second).collect();
    let paths: Vec<_> = all.iter().map(|event| event.file.path.as_str()).collect();
    assert_eq!(paths, ["/in/c", "/in/b", "/in/a"]);
    assert_eq!((all[0].ignored.as_str(), all[2].phases[0].why.as_str()), ("deleted", why.as_str()));
    assert_eq!((all[2].file.size, all[2].source, all[2].phases[0].state), (5, FileSource::Api, FileMatchState::Failed));
    let (from, to) = (noon(), noon() + seconds(1));
    let alerts = db.read(ListAlerts { from, to, filter: AlertFilter::default(), after: None, limit: 9 }).await.unwrap();
    assert_eq!(alerts[0].msg, why);

    let remove = RemoveHistory { before: noon() + seconds(9_999), after: HistoryPosition::default(), limit: 99 };
    db.write(remove).await.unwrap();
    let left: Vec<_> = db.files(None, 9).await.into_iter().map(|event| event.file.path).collect();
    assert_eq!(left, ["/in/b"]);
}

#[actix::test]
async fn seen_files_are_remembered_with_their_event_and_forgotten_with_their_place() {
    let db = Db::new();
    let save = |seen: &[(&str, &str)], left: &[&str], since| SaveSeenFiles {
        place: "/in".to_owned(),
        seen: seen.iter().map(|(path, etag)| ((*path).to_owned(), (*etag).to_owned())).collect(),
        left: left.iter().map(|path| (*path).to_owned()).collect(),
        since,
    };
    let read = || ReadSeenFiles { place: "/in".to_owned() };
    assert_eq!(db.read(read()).await.unwrap().since, None);
    db.write(save(&[("a", "1"), ("b", "1")], &[], None)).await.unwrap();
    assert_eq!(db.read(read()).await.unwrap().since, None, "the first look isn't finished");
    db.write(save(&[], &["b"], Some(noon()))).await.unwrap();
    db.write(save(&[], &[], Some(noon() + seconds(9)))).await.unwrap();
    let seen = SeenFile { place: "/in".to_owned(), path: "c".to_owned(), etag: "2".to_owned() };
    db.record(RecordFile { seen: Some(seen), source: FileSource::Watch, ..record(file("/in/c", "2"), vec![]) }).await;
    let db = db.reopen();
    let found = db.read(read()).await.unwrap();
    assert_eq!(found.since, Some(noon()));
    let files: Vec<_> = found.files.iter().map(|(path, etag)| (path.as_str(), etag.as_str())).collect();
    assert_eq!(files, [("a", "1"), ("c", "2")]);
    db.write(KeepWatchedPlaces { places: vec!["/in".to_owned()] }).await.unwrap();
    assert_eq!(db.read(read()).await.unwrap(), found);
    db.write(KeepWatchedPlaces { places: vec!["/other".to_owned()] }).await.unwrap();
    assert_eq!(db.read(read()).await.unwrap().files, []);
}

//! Backloads against a database that is a few fields, on a clock that the test moves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::{Actor, Arbiter, Handler};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use flowlord_domain::backload::{BackloadRequest, MAX_TASK_BYTES, TaskSelection};
use flowlord_domain::template::MetaRow;
use flowlord_domain::workflow::{WorkflowFile, Workflows};
use flowlord_domain::{NewTask, Uid};
use flowlord_kernel::{ActorEnvironment, Clock, Ping, Port, Sleep, WorkCounter};
use flowlord_messages::backloads::{
    BackloadCheck, BackloadFailure, CheckBackload, FinishedBackload, StoreBackloadChunk,
};
use flowlord_messages::clients::{BackloadClient, DatabaseReader, DatabaseWriter, LibraryClient};
use flowlord_messages::workflows::{LoadedWorkflows, ReadLoadedWorkflows, ReadMetaRows};
use flowlord_testkit::VirtualClock;

use super::*;
use crate::chunk::MAX_READY_TASKS;

const WORKFLOW: &str = r#"
[[phase]]
task = "load:daily"
rule = "cron=0 0 * * *"
template = "?date={yyyy}-{mm}-{dd}"
[[phase]]
task = "file"
rule = "meta-file=rows.json"
template = "?{meta:key}"
"#;

#[derive(Debug, Default)]
struct Rows {
    backloads: BTreeMap<i64, (StoredBackload, Vec<BackloadFailure>)>,
    tasks: Vec<NewTask>,
    /// How many tasks each chunk had.
    chunks: Vec<usize>,
    ready: usize,
    /// Infos that are there already.
    there: Vec<String>,
    file: Vec<MetaRow>,
    refuse_save: Option<Error>,
    /// What is answered to the next chunks, which are stored nevertheless where it says so.
    refuse: VecDeque<Option<(bool, Error)>>,
    /// After so many chunks the backload is paused, as by a person.
    pause_after: Option<usize>,
    /// How many of its tasks wait.
    waiting: usize,
    /// How many reads fail.
    unreadable: usize,
}

#[derive(Clone, Default)]
struct Stub(Arc<Mutex<Rows>>);

impl Actor for Stub {
    type Context = Context<Self>;
}

macro_rules! answer {
    ($($message:ty => $answer:ty: |$rows:ident, $ask:ident| $body:expr;)+) => {
        $(impl Handler<$message> for Stub {
            type Result = Result<$answer>;

            fn handle(&mut self, $ask: $message, _: &mut Self::Context) -> Self::Result {
                let $rows = &mut *self.0.lock().unwrap();
                $body
            }
        })+
    };
}

answer! {
    ReadLoadedWorkflows => LoadedWorkflows: |_rows, _ask| {
        let file = WorkflowFile::parse("w.toml", WORKFLOW, "", Tz::UTC).unwrap();
        let workflows = Arc::new(Workflows::new([file.into()]));
        Ok(LoadedWorkflows { workflows, scanned_at: noon(), next_scan: noon(), broken: Arc::default() })
    };
    ReadMetaRows => Arc<Vec<MetaRow>>: |rows, ask| {
        if ask.path != "rows.json" {
            return Err(Error::new(Code::InvalidRequest, format!("{}: no such file", ask.path)));
        }
        Ok(Arc::new(rows.file.clone()))
    };
    SaveBackload => i64: |rows, ask| {
        rows.refuse_save.take().map_or(Ok(()), Err)?;
        let id = i64::try_from(rows.backloads.len()).unwrap() + 1;
        let state = if ask.total == 0 { BackloadState::Done } else { BackloadState::Running };
        let stored = StoredBackload {
            id, requested: ask.now, changed: ask.now, state, order: ask.order, message: ask.message,
            digest: ask.digest, total: ask.total, next: 0, created: 0, skipped: 0, failed: 0, finished: Some(0), unsuccessful: 0, problem: String::new(),
        };
        rows.backloads.insert(id, (stored, Vec::new()));
        Ok(id)
    };
    StoreBackloadChunk => Vec<Uid>: |rows, ask| {
        let refuse = rows.refuse.pop_front().flatten();
        if let Some((false, err)) = refuse {
            return Err(err);
        }
        let stored = rows.store(ask)?;
        refuse.map_or(Ok(stored), |(_, err)| Err(err))
    };
    SetBackloadState => StoredBackload: |rows, ask| {
        let (stored, _) = rows.backloads.get_mut(&ask.id).unwrap();
        (stored.state, stored.problem) = (ask.state, ask.problem);
        Ok(stored.clone())
    };
    EndBackloadTasks => usize: |rows, ask| {
        let ended = rows.waiting.min(ask.limit);
        rows.waiting -= ended;
        Ok(ended)
    };
    CheckBackload => BackloadCheck: |rows, ask| {
        let wanted = ask.tasks.iter().map(|(info, _)| ask.only != TaskSelection::Missing || !rows.there.contains(info));
        Ok(BackloadCheck { wanted: wanted.collect(), ready: rows.ready.min(ask.count_to) })
    };
    ReadBackload => Option<(StoredBackload, Vec<BackloadFailure>)>: |rows, ask| {
        rows.readable()?;
        Ok(rows.backloads.get(&ask.id).cloned())
    };
    ReadBackloads => Vec<StoredBackload>: |rows, ask| {
        rows.readable()?;
        let all = rows.backloads.values().map(|(stored, _)| stored);
        Ok(all.rev().filter(|stored| !ask.running || stored.state == BackloadState::Running).cloned().collect())
    };
}

impl Rows {
    fn readable(&mut self) -> Result<()> {
        if self.unreadable > 0 {
            self.unreadable -= 1;
            return Err(Error::new(Code::Storage, "can't be read"));
        }
        Ok(())
    }

    fn store(&mut self, ask: StoreBackloadChunk) -> Result<Vec<Uid>> {
        let (stored, failures) = self.backloads.get_mut(&ask.id).unwrap();
        if stored.next != ask.from || stored.state != BackloadState::Running {
            return Err(Error::new(Code::BackloadState, "moved"));
        }
        stored.next = ask.next;
        stored.created += ask.tasks.len();
        stored.skipped += ask.skipped;
        stored.failed += ask.failed.len();
        if stored.next == stored.total {
            stored.state = BackloadState::Done;
        }
        self.chunks.push(ask.tasks.len());
        if self.pause_after == Some(self.chunks.len()) {
            stored.state = BackloadState::Paused;
        }
        failures.extend(ask.failed);
        // One was taken already.
        let uids = ask.tasks.iter().map(|task| Uid(task.uid.0 + 1)).collect();
        self.tasks.extend(ask.tasks);
        Ok(uids)
    }
}

/// A clock that makes who asks it panic, once.
#[derive(Debug)]
struct Shaky {
    clock: VirtualClock,
    panic: Arc<AtomicBool>,
}

impl Clock for Shaky {
    fn now(&self) -> DateTime<Utc> {
        assert!(!self.panic.swap(false, Ordering::Relaxed), "as the test wants");
        self.clock.now()
    }

    fn sleep_until(&self, at: DateTime<Utc>) -> Sleep {
        self.clock.sleep_until(at)
    }
}

struct Bench {
    panic: Arc<AtomicBool>,
    rows: Stub,
    clock: VirtualClock,
    arbiter: Arbiter,
    client: BackloadClient,
    stop: Port<StopBackloads>,
    ping: Port<Ping>,
}

fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

impl Bench {
    async fn new() -> Self {
        Self::on(Stub::default()).await
    }

    async fn on(rows: Stub) -> Self {
        let clock = VirtualClock::new(noon(), WorkCounter::default());
        let arbiter = Arbiter::new();
        let panic = Arc::default();
        let shaky = Arc::new(Shaky { clock: clock.clone(), panic: Arc::clone(&panic) });
        let environment = ActorEnvironment { clock: shaky, ..clock.environment() };
        let stub = rows.clone();
        let below = Stub::start_in_arbiter(&arbiter.handle(), move |_| stub);
        let deps = WorkflowDeps {
            kit: environment.kit("backload"),
            writer: DatabaseWriter::unconnected()
                .with::<SaveBackload>(environment.port("stub", &below))
                .with::<StoreBackloadChunk>(environment.port("stub", &below))
                .with::<EndBackloadTasks>(environment.port("stub", &below))
                .with::<SetBackloadState>(environment.port("stub", &below)),
            reader: DatabaseReader::unconnected()
                .with::<CheckBackload>(environment.port("stub", &below))
                .with::<ReadBackload>(environment.port("stub", &below))
                .with::<ReadBackloads>(environment.port("stub", &below)),
            library: LibraryClient::unconnected()
                .with::<ReadLoadedWorkflows>(environment.port("stub", &below))
                .with::<ReadMetaRows>(environment.port("stub", &below)),
        };
        let actor = Backload::start(&arbiter.handle(), Config { host: "box".to_owned() }, deps);
        let client = BackloadClient::connect("backload", &actor, &environment);
        let (stop, ping) = (environment.port("backload", &actor), environment.port::<_, Ping>("backload", &actor));
        // One that answers has started: what it reads then is under way.
        ping.call(Ping).await.unwrap();
        Self { panic, rows, clock, arbiter, client, stop, ping }
    }

    /// As after a crash: the rows stay.
    async fn restarted(self) -> Self {
        self.arbiter.stop();
        self.arbiter.join().unwrap();
        Self::on(self.rows).await
    }

    fn set<T>(&self, change: impl FnOnce(&mut Rows) -> T) -> T {
        change(&mut self.rows.0.lock().unwrap())
    }

    async fn plan(&self, json: &str) -> Result<Arc<PlannedBackload>> {
        let request: BackloadRequest = serde_json::from_str(json).unwrap();
        self.client.call(PlanBackload { request }).await
    }

    async fn execute(&self, json: &str, wait: bool) -> Result<StartedBackload> {
        let planned = self.plan(json).await.unwrap();
        self.client.call(ExecuteBackload { planned, wait }).await
    }

    async fn finished(&self, json: &str) -> FinishedBackload {
        self.execute(json, true).await.unwrap().done.unwrap().await.unwrap()
    }

    async fn change(&self, id: i64, to: BackloadState) {
        let stored = self.client.call(ChangeBackload { id, to, end_tasks: true }).await.unwrap();
        assert_eq!(stored.state, to);
        self.clock.settle().await;
    }

    /// State, next, created, skipped and failed of a backload.
    fn standing(&self, id: i64) -> (BackloadState, usize, usize, usize, usize) {
        self.set(|rows| {
            let (stored, _) = &rows.backloads[&id];
            (stored.state, stored.next, stored.created, stored.skipped, stored.failed)
        })
    }
}

const YEAR: &str = r#"{"task":"load:daily","by":"hour","from":"2025-01-01","to":"2025-02-28T07"}"#;

/// A row with the key that the phase's template names.
fn row() -> MetaRow {
    MetaRow([("key".to_owned(), "a".to_owned())].into())
}

#[actix::test]
async fn a_plan_says_what_it_took_or_what_to_change() {
    let bench = Bench::new().await;
    let planned = bench.plan(r#"{"task":"load:daily","at":"2026-01-01"}"#).await.unwrap();
    assert_eq!(
        (planned.plan.count(), planned.message.as_str()),
        (1, "phase found in w.toml, using default day iterator")
    );
    bench.set(|rows| rows.file = vec![row(); 3]);
    assert_eq!(bench.plan(r#"{"task":"file","at":"2026-01-01"}"#).await.unwrap().plan.count(), 3);
    for (json, says) in [
        (r#"{"task":"nothing"}"#, "no template found for nothing"),
        (r#"{"task":"a","template":"x","meta-file":"other"}"#, "other: no such file"),
    ] {
        let err = bench.plan(json).await.unwrap_err();
        assert!(err.code == Code::InvalidRequest && err.detail.contains(says), "{err}");
    }
}

#[actix::test]
async fn tasks_are_stored_chunk_by_chunk() {
    let bench = Bench::new().await;
    let started = bench.execute(YEAR, false).await.unwrap();
    assert!(started.id == 1 && started.done.is_none());
    bench.clock.settle().await;
    assert_eq!(bench.standing(1), (BackloadState::Done, 1_400, 1_400, 0, 0));
    bench.set(|rows| {
        assert_eq!(rows.chunks, [500, 500, 400]);
        let slots: BTreeSet<_> = rows.tasks.iter().map(|task| &task.meta).collect();
        assert_eq!(slots.len(), 1_400);
    });
}

#[actix::test]
async fn who_waits_is_told_each_task_and_each_failure() {
    let bench = Bench::new().await;
    bench.set(|rows| {
        rows.there = vec!["x".to_owned()];
        // Nobody who waits is kept waiting by what is queued.
        rows.ready = MAX_READY_TASKS;
    });
    let large = "y".repeat(MAX_TASK_BYTES);
    let json = serde_json::json!({
        "task": "t", "template": "{meta:a}", "at": "2026-01-01", "only": "missing", "meta": {"a": ["x", large, "z"]},
    });
    let finished = bench.finished(&json.to_string()).await;
    let [task] = finished.created.as_slice() else { panic!("{}", finished.created.len()) };
    let stored = bench.set(|rows| rows.tasks[0].clone());
    assert_eq!((task.info.as_str(), task.uid), ("z", Uid(stored.uid.0 + 1)), "the final id");
    let [failure] = finished.failed.as_slice() else { panic!("{:?}", finished.failed) };
    assert!(failure.index == 1 && failure.why.contains("at most 1048576 are allowed"), "{failure:?}");
    assert_eq!((finished.skipped, finished.problem), (1, None));
    assert_eq!(bench.standing(1), (BackloadState::Done, 3, 1, 1, 1));
    let nothing = bench.finished(r#"{"task":"file","at":"2026-01-01"}"#).await;
    assert_eq!(nothing, FinishedBackload::default(), "no rows, no tasks");
}

#[actix::test]
async fn an_answer_that_would_be_too_large_is_left_to_the_background() {
    let bench = Bench::new().await;
    let json = serde_json::json!({
        "task": "t", "template": "x".repeat(1_000_000), "from": "2026-01-01", "to": "2026-01-31",
    });
    let finished = bench.finished(&json.to_string()).await;
    assert_eq!(finished.problem.as_deref(), Some("the answer would be too large"));
    assert!(finished.created.len() < 31, "{}", finished.created.len());
    bench.clock.settle().await;
    assert_eq!(bench.standing(1), (BackloadState::Done, 31, 31, 0, 0));
}

#[actix::test]
async fn a_full_queue_is_waited_for() {
    let bench = Bench::new().await;
    bench.set(|rows| rows.ready = MAX_READY_TASKS);
    bench.execute(YEAR, false).await.unwrap();
    bench.clock.advance(TimeDelta::minutes(10)).await;
    assert_eq!(bench.standing(1).1, 0);
    // Another one has its turn meanwhile.
    let finished = bench.finished(r#"{"task":"load:daily","at":"2026-01-01"}"#).await;
    assert_eq!(finished.created.len(), 1);
    bench.set(|rows| rows.ready = MAX_READY_TASKS - 1);
    bench.clock.advance(RETRY_DELAY).await;
    bench.clock.settle().await;
    assert_eq!(bench.standing(1), (BackloadState::Done, 1_400, 1_400, 0, 0));
}

#[actix::test]
async fn what_could_not_be_stored_is_told_and_tried_again() {
    let bench = Bench::new().await;
    let full = || Error::new(Code::Storage, "the disk is full");
    bench.set(|rows| rows.refuse_save = Some(full()));
    assert_eq!(bench.execute(YEAR, true).await.unwrap_err(), full(), "not even begun");
    // The second chunk is stored, and nobody hears of it; the third is not.
    let lost = Error::new(Code::Timeout, "no answer in time");
    bench.set(|rows| rows.refuse = [None, Some((true, lost)), Some((false, full()))].into());
    let finished = bench.finished(YEAR).await;
    assert_eq!(finished.created.len(), 500);
    assert_eq!(finished.problem.as_deref(), Some("no answer in time"));
    bench.clock.advance(MAX_FAILURE_PAUSE).await;
    bench.clock.settle().await;
    assert_eq!(bench.standing(1), (BackloadState::Done, 1_400, 1_400, 0, 0));
    bench.set(|rows| assert_eq!(rows.chunks, [500, 500, 400], "none twice"));
}

#[actix::test]
async fn what_is_paused_between_two_chunks_stops_there_until_it_is_resumed() {
    let bench = Bench::new().await;
    bench.set(|rows| rows.pause_after = Some(1));
    let finished = bench.finished(YEAR).await;
    assert_eq!(finished.created.len(), 500);
    assert_eq!(finished.problem.as_deref(), Some("it was paused or cancelled meanwhile"));
    bench.clock.advance(TimeDelta::minutes(10)).await;
    assert_eq!(bench.standing(1), (BackloadState::Paused, 500, 500, 0, 0));
    bench.change(1, BackloadState::Running).await;
    assert_eq!(bench.standing(1), (BackloadState::Done, 1_400, 1_400, 0, 0));
}

#[actix::test]
async fn what_is_cancelled_while_it_waits_stays_so() {
    let bench = Bench::new().await;
    bench.set(|rows| rows.ready = MAX_READY_TASKS);
    bench.execute(YEAR, false).await.unwrap();
    bench.clock.settle().await;
    bench.change(1, BackloadState::Cancelled).await;
    bench.set(|rows| rows.ready = 0);
    bench.clock.advance(TimeDelta::minutes(10)).await;
    assert_eq!(bench.standing(1), (BackloadState::Cancelled, 0, 0, 0, 0));
}

#[actix::test]
async fn its_tasks_that_wait_end_with_it_unless_they_are_to_run() {
    let bench = Bench::new().await;
    bench.set(|rows| (rows.ready, rows.waiting) = (MAX_READY_TASKS, 2 * ENDED_AT_ONCE + 1));
    bench.execute(YEAR, false).await.unwrap();
    bench.clock.settle().await;
    bench.change(1, BackloadState::Paused).await;
    let keep = ChangeBackload { id: 1, to: BackloadState::Cancelled, end_tasks: false };
    bench.client.call(keep).await.unwrap();
    assert_eq!(bench.set(|rows| rows.waiting), 2 * ENDED_AT_ONCE + 1);
    bench.change(1, BackloadState::Cancelled).await;
    assert_eq!(bench.set(|rows| rows.waiting), 0);
}

#[actix::test]
async fn a_rate_creates_so_many_tasks_in_so_long() {
    let bench = Bench::new().await;
    bench.execute(&YEAR.replacen('{', r#"{"rate":"30/1m","#, 1), false).await.unwrap();
    bench.clock.settle().await;
    assert_eq!(bench.standing(1).2, 30);
    bench.clock.advance(TimeDelta::seconds(59)).await;
    assert_eq!(bench.standing(1).2, 30);
    bench.clock.advance(TimeDelta::seconds(121)).await;
    assert_eq!(bench.standing(1).2, 120);
}

#[actix::test]
async fn a_restart_goes_on_where_it_stood() {
    let bench = Bench::new().await;
    bench.set(|rows| rows.pause_after = Some(2));
    bench.execute(YEAR, false).await.unwrap();
    bench.clock.settle().await;
    bench.set(|rows| {
        rows.backloads.get_mut(&1).unwrap().0.state = BackloadState::Running;
        // The database doesn't answer at first.
        rows.unreadable = 2;
    });
    let bench = bench.restarted().await;
    bench.clock.settle().await;
    assert_eq!(bench.standing(1).1, 1_000);
    bench.clock.advance(RETRY_DELAY + RETRY_DELAY).await;
    bench.clock.settle().await;
    assert_eq!(bench.standing(1), (BackloadState::Done, 1_400, 1_400, 0, 0));
    assert_eq!(bench.ping.call(Ping).await.unwrap().restarts, 0);
}

#[actix::test]
async fn after_a_panic_it_goes_on_with_what_is_stored() {
    let bench = Bench::new().await;
    bench.set(|rows| rows.ready = MAX_READY_TASKS);
    bench.execute(YEAR, false).await.unwrap();
    bench.clock.settle().await;
    let planned = bench.plan(YEAR).await.unwrap();
    bench.panic.store(true, Ordering::Relaxed);
    bench.client.call(ExecuteBackload { planned, wait: true }).await.unwrap_err();
    bench.set(|rows| rows.ready = 0);
    bench.clock.advance(RETRY_DELAY).await;
    bench.clock.settle().await;
    assert_eq!(bench.standing(1), (BackloadState::Done, 1_400, 1_400, 0, 0));
    assert_eq!(bench.ping.call(Ping).await.unwrap().restarts, 1);
}

#[actix::test]
async fn a_meta_file_that_changed_pauses_what_is_resumed() {
    let bench = Bench::new().await;
    bench.set(|rows| {
        rows.file = vec![row(); 600];
        rows.pause_after = Some(1);
    });
    bench.execute(r#"{"task":"file","at":"2026-01-01"}"#, false).await.unwrap();
    bench.clock.settle().await;
    assert_eq!(bench.standing(1).0, BackloadState::Paused);
    bench.set(|rows| rows.file = vec![MetaRow([("key".to_owned(), "new".to_owned())].into()); 600]);
    bench.change(1, BackloadState::Running).await;
    assert_eq!(bench.standing(1), (BackloadState::Paused, 500, 500, 0, 0));
    let problem = bench.set(|rows| rows.backloads[&1].0.problem.clone());
    assert!(problem.contains("its meta file changed") && problem.contains("only=missing"), "{problem}");
}

#[actix::test]
async fn nothing_begins_after_a_stop() {
    let bench = Bench::new().await;
    bench.set(|rows| rows.ready = MAX_READY_TASKS);
    bench.execute(YEAR, false).await.unwrap();
    bench.clock.settle().await;
    bench.stop.call(StopBackloads).await.unwrap();
    bench.set(|rows| rows.ready = 0);
    bench.clock.advance(TimeDelta::minutes(10)).await;
    assert_eq!(bench.standing(1), (BackloadState::Running, 0, 0, 0, 0));
    assert_eq!(bench.execute(YEAR, false).await.unwrap_err().code, Code::Stopping);
}

#[actix::test]
async fn more_than_can_be_meant_is_refused() {
    let bench = Bench::new().await;
    let err = bench.execute(r#"{"task":"load:daily","by":"hour","from":"1970-01-01","to":"9999-01-01"}"#, false).await;
    let err = err.unwrap_err();
    assert!(err.code == Code::InvalidRequest && err.detail.contains("choose a shorter range"), "{err}");
}

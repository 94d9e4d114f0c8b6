//! The actor, on a virtual clock, a folder of files, and a database that is a list.

mod calendars;
mod row_problems;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use actix::{Actor, Arbiter, Handler};
use flowlord_domain::NewAlert;
use flowlord_domain::workflow::Workflows;
use flowlord_kernel::{ActorEnvironment, Clock as _, Ping, WorkCounter};
use flowlord_messages::clients::LibraryClient;
use flowlord_messages::workflows::{ReadWorkflows, SaveWorkflows, WorkflowRecord};
use flowlord_storage::{GcsAccess, StorageConfig, StorageConnections, StorageLocation};
use flowlord_testkit::{FakeStore, VirtualClock};

use super::*;

const HOURLY: &str = "[[phase]]\ntask = \"a\"\nrule = \"cron=0 * * * *\"\n";
const BROKEN: &str = "[[phase]]\ntask = ";

/// Rows, and what was heard.
#[derive(Debug, Default)]
struct Stored {
    records: BTreeMap<String, WorkflowRecord>,
    alerts: Vec<NewAlert>,
    saves: usize,
    heard: Vec<Arc<Workflows>>,
    /// What becomes of the next calls: whether they are carried out before they fail.
    faults: VecDeque<bool>,
}

#[derive(Debug, Clone, Default)]
struct Stub(Arc<Mutex<Stored>>);

impl Stub {
    fn get(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().unwrap()
    }
}

impl Stored {
    fn call<T>(&mut self, call: impl FnOnce(&mut Self) -> T) -> Result<T> {
        match self.faults.pop_front() {
            None => Ok(call(self)),
            Some(carried_out) => {
                carried_out.then(|| call(self));
                Err(Error::new(Code::Timeout, "no answer"))
            }
        }
    }
}

impl Actor for Stub {
    type Context = Context<Self>;
}

impl Handler<SaveWorkflows> for Stub {
    type Result = Result<()>;

    fn handle(&mut self, save: SaveWorkflows, _: &mut Self::Context) -> Result<()> {
        self.get().call(|stored| {
            stored.saves += 1;
            stored.records.retain(|path, _| !save.removed.contains(path));
            stored.records.extend(save.changed.into_iter().map(|record| (record.path.clone(), record)));
            stored.alerts.extend(save.alerts);
        })
    }
}

impl Handler<ReadWorkflows> for Stub {
    type Result = Result<Vec<WorkflowRecord>>;

    fn handle(&mut self, _: ReadWorkflows, _: &mut Self::Context) -> Self::Result {
        self.get().call(|stored| stored.records.values().cloned().collect())
    }
}

impl Handler<WorkflowsChanged> for Stub {
    type Result = ();

    fn handle(&mut self, changed: WorkflowsChanged, _: &mut Self::Context) {
        self.get().heard.push(changed.workflows);
    }
}

struct World {
    clock: VirtualClock,
    environment: ActorEnvironment,
    stub: Stub,
    stub_at: Addr<Stub>,
    folder: tempfile::TempDir,
    root: StorageLocation,
    stores: StorageConnections,
    watch: bool,
}

/// A library on a thread of its own, so that it can be killed.
struct Running {
    arbiter: Arbiter,
    client: LibraryClient,
}

impl World {
    fn new(files: &[(&str, &str)]) -> Self {
        let clock = VirtualClock::new("2026-03-02T12:00:00Z".parse().unwrap(), WorkCounter::default());
        let environment = clock.environment();
        let stub = Stub::default();
        let stub_at = stub.clone().start();
        let folder = tempfile::tempdir().unwrap();
        let (root, stores) = (StorageLocation::Local(folder.path().to_owned()), StorageConnections::default());
        let world = Self { clock, environment, stub, stub_at, folder, root, stores, watch: false };
        files.iter().for_each(|(path, text)| world.write(path, text));
        world
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        std::fs::write(self.path(path), text).unwrap();
    }

    async fn start(&self) -> Running {
        let (arbiter, environment) = (Arbiter::new(), &self.environment);
        let files = MetaFiles { root: self.root.clone(), allowed: Vec::new(), stores: self.stores.clone() };
        let refresh = TimeDelta::minutes(15);
        let config = Config { files, refresh, watch: self.watch, zone: Tz::UTC };
        let hears = LatePort::default();
        hears.set(environment.port("stub", &self.stub_at));
        let deps = Deps {
            kit: environment.kit("library"),
            writer: DatabaseWriter::unconnected().with::<SaveWorkflows>(environment.port("stub", &self.stub_at)),
            reader: DatabaseReader::unconnected().with::<ReadWorkflows>(environment.port("stub", &self.stub_at)),
            changed: vec![hears],
        };
        let library = Library::start(&arbiter.handle(), config, deps);
        environment.port("library", &library).call(Ping).await.unwrap();
        Running { arbiter, client: LibraryClient::connect("library", &library, environment) }
    }

    async fn pass(&self, minutes: i64) {
        self.clock.advance(TimeDelta::minutes(minutes)).await;
    }
}

impl Running {
    async fn reload(&self) -> ReloadReport {
        self.client.call(ReloadWorkflows).await.unwrap()
    }

    async fn current(&self) -> LoadedWorkflows {
        self.client.call(ReadLoadedWorkflows).await.unwrap()
    }

    async fn phases(&self) -> Vec<String> {
        self.current()
            .await
            .workflows
            .phases()
            .map(|phase| format!("{} {}", phase.workflow, phase.task_name()))
            .collect()
    }

    async fn kill_when_loaded(self) {
        self.current().await;
        self.kill();
    }

    fn kill(self) {
        self.arbiter.stop();
        self.arbiter.join().unwrap();
    }
}

#[actix::test]
async fn who_asks_at_once_waits_for_the_first_look() {
    let world = World::new(&[("a.toml", HOURLY), ("deep/er/b.toml", HOURLY), ("README.md", "# no")]);
    let running = world.start().await;
    let current = running.current().await;
    assert_eq!(running.phases().await, ["a.toml a", "deep/er/b.toml a"]);
    assert_eq!(current.scanned_at, world.clock.now());
    assert_eq!(current.next_scan, world.clock.now() + TimeDelta::minutes(15));
    world.clock.settle().await;
    assert!(Arc::ptr_eq(&world.stub.get().heard[0], &current.workflows));
    running.kill();
}

#[actix::test]
async fn it_looks_again_by_itself_and_reads_only_what_changed() {
    let many: String = (0..1_000).map(|n| HOURLY.replace("\"a\"", &format!("\"t{n}\""))).collect();
    let world = World::new(&[("a.toml", HOURLY), ("many.toml", &many), ("gone.toml", HOURLY)]);
    let running = world.start().await;
    let before = running.current().await.workflows;
    world.pass(20).await;
    assert!(Arc::ptr_eq(&before, &running.current().await.workflows), "nothing changed");
    assert_eq!(world.stub.get().heard.len(), 2, "it is told all the same, for a hint may be lost");

    world.write("a.toml", &HOURLY.replace("\"a\"", "\"b\""));
    std::fs::remove_file(world.path("gone.toml")).unwrap();
    world.pass(10).await;
    let after = running.current().await.workflows;
    let same = |path: &str| Arc::ptr_eq(before.file_at(path).unwrap(), after.file_at(path).unwrap());
    assert!(same("many.toml") && !same("a.toml") && after.file_at("gone.toml").is_none());
    assert_eq!(world.stub.get().saves, 2);
    assert!(Arc::ptr_eq(world.stub.get().heard.last().unwrap(), &after));
    running.kill();
}

#[actix::test]
async fn a_file_that_breaks_keeps_its_last_good_version_and_is_told_once() {
    let world = World::new(&[("a.toml", HOURLY), ("b.toml", HOURLY)]);
    let running = world.start().await;
    running.current().await;
    world.write("a.toml", BROKEN);
    world.write("c.toml", HOURLY);
    let reloaded = running.reload().await;
    assert_eq!((reloaded.added, reloaded.changed), (vec!["c.toml".to_owned()], vec!["a.toml".to_owned()]));
    assert_eq!(reloaded.broken[0].to_string().split(": ").next(), Some("a.toml:2:8"));
    assert_eq!(running.phases().await, ["a.toml a", "b.toml a", "c.toml a"]);
    running.reload().await;
    world.pass(60).await;
    running.kill();

    let running = world.start().await;
    assert_eq!(running.phases().await, ["a.toml a", "b.toml a", "c.toml a"]);
    assert_eq!(running.current().await.broken.len(), 1);
    assert_eq!(world.stub.get().alerts.len(), 1, "{:?}", world.stub.get().alerts);

    world.write("a.toml", "");
    assert!(running.reload().await.broken[0].message.starts_with("the file became empty"));
    assert_eq!(running.phases().await, ["a.toml a", "b.toml a", "c.toml a"]);
    std::fs::remove_file(world.path("a.toml")).unwrap();
    assert_eq!(running.reload().await.broken, []);
    assert_eq!(running.phases().await, ["b.toml a", "c.toml a"]);
    running.kill();
}

#[actix::test]
async fn a_reload_sees_what_was_there_when_it_was_asked_for_also_while_one_is_under_way() {
    let world = World::new(&[("a.toml", HOURLY)]);
    let running = world.start().await;
    running.current().await;
    let first = running.client.call(ReloadWorkflows);
    world.write("b.toml", HOURLY);
    let (second, third) = (running.client.call(ReloadWorkflows), running.client.call(ReloadWorkflows));
    let mut added = first.await.unwrap().added;
    added.extend(second.await.unwrap().added);
    assert_eq!(added, ["b.toml"], "seen by the second look at the latest, and once");
    third.await.unwrap();
    assert_eq!(running.phases().await.len(), 2);
    running.kill();
}

#[actix::test]
async fn a_database_that_fails_is_asked_again_and_nothing_is_told_twice() {
    let world = World::new(&[("a.toml", BROKEN)]);
    world.stub.get().faults.extend([false, false]);
    let running = world.start().await;
    world.pass(1).await;
    assert_eq!(running.current().await.broken.len(), 1);
    assert_eq!(world.stub.get().alerts.len(), 1);

    // Saved, but nobody said so.
    world.write("a.toml", &format!("{BROKEN}1 2"));
    world.write("b.toml", HOURLY);
    world.stub.get().faults.extend([true]);
    assert_eq!(running.client.call(ReloadWorkflows).await.unwrap_err().code, Code::Timeout);
    assert!(running.phases().await.is_empty(), "what isn't surely saved doesn't count yet");
    world.pass(1).await;
    assert_eq!(running.phases().await, ["b.toml a"]);
    assert_eq!(world.stub.get().alerts.len(), 2);
    running.kill();
}

#[actix::test]
async fn without_workflows_it_goes_on_and_says_so() {
    let world = World::new(&[]);
    let running = world.start().await;
    let current = running.current().await;
    assert!(current.broken[0].message.starts_with("no workflows found"));
    world.write("a.toml", HOURLY);
    world.pass(16).await;
    assert_eq!(running.phases().await, ["a.toml a"]);

    std::fs::remove_file(world.path("a.toml")).unwrap();
    std::fs::remove_dir(world.folder.path()).unwrap();
    let reloaded = running.reload().await;
    assert!(reloaded.broken[0].message.contains("No such file"), "{reloaded:?}");
    assert_eq!(running.phases().await, ["a.toml a"], "a folder that is away takes nothing with it");
    assert_eq!(world.stub.get().alerts.len(), 1);
    running.kill();
}

#[actix::test]
async fn a_folder_that_is_suddenly_bare_takes_nothing_with_it() {
    let world = World::new(&[("a.toml", HOURLY), ("deep/b.toml", HOURLY)]);
    let running = world.start().await;
    running.current().await;
    std::fs::remove_file(world.path("a.toml")).unwrap();
    std::fs::remove_dir_all(world.path("deep")).unwrap();
    let reloaded = running.reload().await;
    assert!(reloaded.broken[0].message.contains("the folder is empty"), "{reloaded:?}");
    running.reload().await;
    assert_eq!((running.phases().await.len(), world.stub.get().alerts.len()), (2, 1));
    world.write("README.md", "no workflows");
    assert_eq!(running.reload().await.removed, ["a.toml", "deep/b.toml"]);
    running.kill();
}

#[actix::test]
async fn a_save_is_seen_without_waiting_for_the_next_look() {
    let mut world = World::new(&[("a.toml", HOURLY)]);
    world.watch = true;
    let running = world.start().await;
    running.current().await;
    world.write("deep/b.toml", HOURLY);
    let changed = world.clock.now();
    world.clock.wait_for_sleeper_at(changed + QUIET).await;
    world.clock.advance(QUIET).await;
    assert_eq!(running.phases().await, ["a.toml a", "deep/b.toml a"]);
    assert_eq!(running.current().await.next_scan, changed + QUIET + TimeDelta::minutes(15));
    running.kill();
}

#[actix::test]
async fn what_is_written_on_and_on_is_read_in_the_end() {
    let mut world = World::new(&[("a.toml", HOURLY)]);
    world.watch = true;
    let running = world.start().await;
    let looked_at = running.current().await.scanned_at;
    let begun = world.clock.now();
    world.write("a.toml", &HOURLY.replace("\"a\"", "\"b\""));
    world.clock.wait_for_sleeper_at(begun + QUIET).await;
    let mut due = begun + QUIET;
    while due < begun + MAX_DELAY {
        // Just before it is quiet again.
        let now = due - TimeDelta::milliseconds(50);
        world.clock.advance_to(now).await;
        world.write("a.toml", &HOURLY.replace("\"a\"", "\"b\""));
        due = (now + QUIET).min(begun + MAX_DELAY);
        world.clock.wait_for_sleeper_at(due).await;
        assert_eq!(running.current().await.scanned_at, looked_at, "not while it is written");
    }
    world.clock.advance_to(begun + MAX_DELAY).await;
    assert_eq!(running.current().await.scanned_at, begun + MAX_DELAY);
    assert_eq!(running.phases().await, ["a.toml b"]);
    running.kill();
}

#[actix::test]
async fn a_folder_that_took_the_place_of_another_is_watched_too() {
    let mut world = World::new(&[("one/a.toml", HOURLY), ("two/b.toml", HOURLY)]);
    world.watch = true;
    world.root = StorageLocation::Local(world.path("current"));
    std::fs::rename(world.path("one"), world.path("current")).unwrap();
    let running = world.start().await;
    assert_eq!(running.phases().await, ["a.toml a"]);
    std::fs::rename(world.path("current"), world.path("old")).unwrap();
    std::fs::rename(world.path("two"), world.path("current")).unwrap();
    world.clock.wait_for_sleeper_at(world.clock.now() + QUIET).await;
    world.clock.advance(QUIET).await;
    assert_eq!(running.phases().await, ["b.toml a"]);
    world.write("current/c.toml", HOURLY);
    world.clock.wait_for_sleeper_at(world.clock.now() + QUIET).await;
    world.clock.advance(QUIET).await;
    assert_eq!(running.phases().await, ["b.toml a", "c.toml a"]);
    running.kill();
}

/// A world whose workflow files are in a store.
fn remote(fake: &FakeStore) -> World {
    let mut world = World::new(&[]);
    let gcs = GcsAccess { endpoint: Some(fake.url()), credentials_file: None };
    world.stores = StorageConnections::new(StorageConfig { gcs, ..StorageConfig::default() });
    world.root = StorageLocation::parse("gs://bucket/flows").unwrap();
    world
}

#[actix::test]
async fn files_of_a_store_are_read_when_they_change_also_over_a_restart() {
    let fake = FakeStore::start();
    fake.write("bucket/flows/a.toml", HOURLY);
    fake.write("bucket/flows/deep/b.toml", HOURLY);
    let read = || {
        let gets = fake.take_requests().into_iter().map(|request| request.path);
        gets.filter(|path| path.contains('/')).collect::<Vec<_>>()
    };
    let world = remote(&fake);
    let running = world.start().await;
    assert_eq!(running.phases().await, ["a.toml a", "deep/b.toml a"]);
    assert_eq!(read().len(), 2);

    fake.write("bucket/flows/a.toml", HOURLY.replace("\"a\"", "\"b\""));
    fake.write("bucket/flows/c.toml", HOURLY);
    fake.remove("bucket/flows/deep/b.toml");
    let ReloadReport { added, changed, removed, broken } = running.reload().await;
    assert_eq!((added, changed, removed), (owned(&["c.toml"]), owned(&["a.toml"]), owned(&["deep/b.toml"])));
    assert_eq!(broken, []);
    assert_eq!(read(), ["bucket/flows/a.toml", "bucket/flows/c.toml"]);
    running.kill();

    let running = world.start().await;
    assert_eq!(running.phases().await, ["a.toml b", "c.toml a"]);
    assert_eq!(read(), Vec::<String>::new(), "what they hold is remembered");
    running.kill();
}

fn owned(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

#[actix::test]
async fn while_a_store_is_away_all_stays_which_is_told_once() {
    let fake = FakeStore::start();
    fake.write("bucket/flows/a.toml", HOURLY);
    let world = remote(&fake);
    world.start().await.kill_when_loaded().await;
    fake.set_broken(Some(500));
    let running = world.start().await;
    assert_eq!(running.phases().await, ["a.toml a"], "also over a restart");
    let broken = running.reload().await.broken;
    assert!(broken[0].message.starts_with("gs://bucket/flows can't be reached: "), "{broken:?}");
    fake.set_broken(Some(403));
    let broken = running.reload().await.broken;
    assert!(broken[0].message.contains("access is denied: check store.gcs.credentials_file"), "{broken:?}");
    let alerts = world.stub.get().alerts.clone();
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert!(alerts[0].msg.contains("the versions loaded before stay in use"), "{alerts:?}");

    fake.set_broken(None);
    fake.write("bucket/flows/b.toml", HOURLY);
    world.clock.advance(AWAY_RETRY_DELAY).await;
    assert_eq!(running.phases().await, ["a.toml a", "b.toml a"]);
    assert_eq!(running.current().await.broken.len(), 0);
    running.kill();
}

#[actix::test]
async fn rows_of_meta_files_are_read_beside_the_workflows() {
    let world = World::new(&[("a.toml", HOURLY), ("rows/tables.csv", "table\norders\nitems\n")]);
    let running = world.start().await;
    let rows = running.client.call(ReadMetaRows { path: "rows/tables.csv".to_owned() }).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.value_of("table").unwrap()).collect::<Vec<_>>(), ["orders", "items"]);
    let err = running.client.call(ReadMetaRows { path: "/etc/passwd".to_owned() }).await.unwrap_err();
    assert_eq!(err.code, Code::InvalidRequest);
    running.kill();
}

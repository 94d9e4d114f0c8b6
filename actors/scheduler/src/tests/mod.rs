//! The actor on a virtual clock, against a database that is a few lists.

mod days;
mod pauses;
mod planned;
mod stub;
mod trouble;
mod zones;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::{Actor as _, Addr, Arbiter};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use flowlord_domain::workflow::{WorkflowFile, Workflows};
use flowlord_kernel::{ActorEnvironment, Clock, IdGenerator, Ping, Port, Result, Sleep, WorkCounter};
use flowlord_messages::clients::{DatabaseReader, DatabaseWriter, LibraryClient};
use flowlord_messages::deps::WorkflowDeps;
use flowlord_messages::events::TasksDelayed;
use flowlord_messages::schedule::{
    PausePhase, PhaseTimes, PromoteDue, ReadNextRuns, ReadSchedule, RecordMissed, SaveCrons, SetPaused, StopScheduling,
};
use flowlord_messages::tasks::CreateTasks;
use flowlord_messages::workflows::{ReadLoadedWorkflows, ReadMetaRows, WorkflowsChanged};
use flowlord_testkit::VirtualClock;

use self::stub::{Database, Stub};
use super::{Config, Scheduler};

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    time(&format!("2026-03-02T{text}Z"))
}

/// A file of phases, `(task, rule)`; each task says in its info what time it is about.
fn workflows(phases: &[(&str, &str)]) -> Arc<Workflows> {
    let phase = |(task, rule): &(&str, &str)| {
        format!(
            "[[phase]]\ntask = \"{task}\"\nrule = \"{rule}\"\ntemplate = \"{{yyyy}}-{{mm}}-{{dd}}T{{hh}}:{{min}}\"\n"
        )
    };
    let text: String = phases.iter().map(phase).collect();
    Arc::new(Workflows::new([Arc::new(WorkflowFile::parse("w.toml", &text, "h", Tz::UTC).unwrap())]))
}

/// A clock that makes who asks it panic, once.
#[derive(Debug, Clone)]
struct Trap {
    clock: VirtualClock,
    armed: Arc<AtomicBool>,
}

impl Clock for Trap {
    fn now(&self) -> DateTime<Utc> {
        assert!(!self.armed.swap(false, Ordering::SeqCst), "the trap");
        self.clock.now()
    }

    fn sleep_until(&self, at: DateTime<Utc>) -> Sleep {
        self.clock.sleep_until(at)
    }
}

/// What outlives a scheduler.
struct World {
    clock: VirtualClock,
    trap: Arc<AtomicBool>,
    environment: ActorEnvironment,
    database: Database,
    stub: Addr<Stub>,
}

/// A scheduler on a thread of its own, so that it can be killed.
struct Running {
    arbiter: Arbiter,
    scheduler: Addr<Scheduler>,
    environment: ActorEnvironment,
}

impl World {
    fn new(now: DateTime<Utc>, workflows: Arc<Workflows>) -> Self {
        let activity = WorkCounter::default();
        let clock = VirtualClock::new(now, activity.clone());
        let trap = Arc::<AtomicBool>::default();
        let environment = ActorEnvironment {
            clock: Arc::new(Trap { clock: clock.clone(), armed: Arc::clone(&trap) }),
            ids: IdGenerator::seeded(7),
            activity,
            give_up: Arc::new(|name| panic!("{name} gave up")),
        };
        let database = Database::new(workflows);
        let stub = Stub { database: database.clone(), clock: clock.clone() }.start();
        Self { clock, trap, environment, database, stub }
    }

    fn port<M>(&self) -> Port<M>
    where
        Stub: actix::Handler<M>,
        M: actix::Message + Send + 'static,
        M::Result: Send,
    {
        self.environment.port("stub", &self.stub)
    }

    fn deps(&self) -> WorkflowDeps {
        WorkflowDeps {
            kit: self.environment.kit("scheduler"),
            writer: DatabaseWriter::unconnected()
                .with::<CreateTasks>(self.port())
                .with::<RecordMissed>(self.port())
                .with::<SaveCrons>(self.port())
                .with::<PromoteDue>(self.port())
                .with::<SetPaused>(self.port()),
            reader: DatabaseReader::unconnected().with::<ReadSchedule>(self.port()),
            library: LibraryClient::unconnected()
                .with::<ReadLoadedWorkflows>(self.port())
                .with::<ReadMetaRows>(self.port()),
        }
    }

    /// Starts a scheduler, and waits until it has nothing to do.
    async fn start(&self) -> Running {
        let arbiter = Arbiter::new();
        let config = Config { host: "h".to_owned() };
        let scheduler = Scheduler::start(&arbiter.handle(), config, self.deps());
        let running = Running { arbiter, scheduler, environment: self.environment.clone() };
        running.ping().await;
        self.clock.settle().await;
        running
    }

    async fn pass(&self, minutes: i64) {
        self.clock.advance(TimeDelta::minutes(minutes)).await;
    }
}

impl Running {
    fn port<M>(&self) -> Port<M>
    where
        Scheduler: actix::Handler<M>,
        M: actix::Message + Send + 'static,
        M::Result: Send,
    {
        self.environment.port("scheduler", &self.scheduler)
    }

    async fn ping(&self) {
        self.port().call(Ping).await.unwrap();
    }

    async fn next_runs(&self) -> Vec<PhaseTimes> {
        self.port().call(ReadNextRuns).await.unwrap()
    }

    async fn reload(&self, workflows: Arc<Workflows>) {
        self.port().hint(WorkflowsChanged { workflows });
        self.ping().await;
    }

    async fn pause(&self, task: &str, paused: bool) -> Result<Option<DateTime<Utc>>> {
        let (workflow, task) = ("w.toml".to_owned(), task.to_owned());
        self.port().call(PausePhase { workflow, task, paused }).await
    }

    fn delayed(&self, due: DateTime<Utc>) {
        self.port().hint(TasksDelayed { due });
    }

    async fn stop(self) {
        self.port().call(StopScheduling).await.unwrap();
        self.kill();
    }

    /// Ends it where it stands.
    fn kill(self) {
        self.arbiter.stop();
        self.arbiter.join().unwrap();
    }
}

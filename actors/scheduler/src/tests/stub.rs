//! A database that is a few lists, and fails when told to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use actix::{Actor, Context, Handler};
use chrono::{DateTime, Utc};
use flowlord_domain::template::MetaRow;
use flowlord_domain::workflow::Workflows;
use flowlord_domain::{NewAlert, NewTask};
use flowlord_kernel::Clock as _;
use flowlord_kernel::{Code, Error, Result};
use flowlord_messages::schedule::{
    CronKey, PausedPhase, PromoteDue, PromotedTasks, ReadSchedule, RecordMissed, SaveCrons, ScheduleInput, SetPaused,
    SlotKey,
};
use flowlord_messages::tasks::{CreateTasks, CreatedTasks};
use flowlord_messages::workflows::{LoadedWorkflows, ReadLoadedWorkflows, ReadMetaRows};
use flowlord_testkit::VirtualClock;

/// How a write fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Refused,
    /// It was stored, and nobody was told.
    Unanswered,
}

#[derive(Debug, Default)]
pub(super) struct Stored {
    /// Each slot, as `workflow task`, time; with how many tasks it started, or none for a missed one.
    pub(super) slots: BTreeMap<(String, DateTime<Utc>), Option<usize>>,
    pub(super) tasks: Vec<NewTask>,
    /// When each of the tasks was created.
    pub(super) created: Vec<DateTime<Utc>>,
    pub(super) alerts: Vec<NewAlert>,
    pub(super) crons: BTreeMap<CronKey, DateTime<Utc>>,
    pub(super) delayed: BTreeSet<DateTime<Utc>>,
    pub(super) promoted: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    /// How many slots were refused because they were there.
    pub(super) taken: usize,
    /// What becomes of the next writes.
    pub(super) faults: VecDeque<Option<Fault>>,
    /// Answered to those who ask for the schedule and the workflows.
    pub(super) unreadable: usize,
    pub(super) workflows: Arc<Workflows>,
    pub(super) paused: Vec<PausedPhase>,
    /// Answered to those who ask for the rows of a meta file, in turn.
    pub(super) rows: VecDeque<Result<Vec<MetaRow>>>,
}

#[derive(Debug, Clone)]
pub(super) struct Database(Arc<Mutex<Stored>>);

impl Database {
    pub(super) fn new(workflows: Arc<Workflows>) -> Self {
        Self(Arc::new(Mutex::new(Stored { workflows, ..Stored::default() })))
    }

    pub(super) fn get(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().unwrap()
    }

    /// What the tasks are about, in the order of their creation.
    pub(super) fn infos(&self) -> Vec<String> {
        self.get().tasks.iter().map(|task| task.info.clone()).collect()
    }

    pub(super) fn fail(&self, faults: &[Fault]) {
        self.get().faults = faults.iter().copied().map(Some).collect();
    }
}

impl Stored {
    fn write<T>(&mut self, apply: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        match self.faults.pop_front().flatten() {
            None => apply(self),
            Some(Fault::Refused) => Err(Error::new(Code::Storage, "refused")),
            Some(Fault::Unanswered) => {
                apply(self)?;
                Err(Error::new(Code::Timeout, "unanswered"))
            }
        }
    }

    fn read<T>(&mut self, read: impl FnOnce(&Self) -> T) -> Result<T> {
        if self.unreadable > 0 {
            self.unreadable -= 1;
            return Err(Error::new(Code::Storage, "unreadable"));
        }
        Ok(read(self))
    }

    fn last_slots(&self) -> Vec<SlotKey> {
        let mut last: BTreeMap<&str, DateTime<Utc>> = BTreeMap::new();
        for (task, at) in self.slots.keys() {
            last.insert(task, *at);
        }
        let key =
            |(task, at): (&str, DateTime<Utc>)| SlotKey { workflow: "w.toml".to_owned(), task: task.to_owned(), at };
        last.into_iter().map(key).collect()
    }
}

pub(super) struct Stub {
    pub(super) database: Database,
    pub(super) clock: VirtualClock,
}

impl Actor for Stub {
    type Context = Context<Self>;
}

impl Handler<CreateTasks> for Stub {
    type Result = Result<CreatedTasks>;

    fn handle(&mut self, create: CreateTasks, _: &mut Self::Context) -> Self::Result {
        self.database.get().write(|stored| {
            let slot = create.slot.unwrap();
            assert_eq!(slot.workflow, "w.toml");
            let key = (slot.task, slot.at);
            if stored.slots.contains_key(&key) {
                stored.taken += 1;
                return Err(Error::new(Code::SlotTaken, "taken"));
            }
            stored.slots.insert(key, Some(create.tasks.len()));
            let uids = create.tasks.iter().map(|task| task.uid).collect();
            stored.created.extend(create.tasks.iter().map(|_| create.now));
            stored.tasks.extend(create.tasks);
            stored.alerts.extend(create.alerts);
            Ok(CreatedTasks { uids, repeated: false })
        })
    }
}

impl Handler<RecordMissed> for Stub {
    type Result = Result<()>;

    fn handle(&mut self, missed: RecordMissed, _: &mut Self::Context) -> Self::Result {
        self.database.get().write(|stored| {
            let before = stored.slots.len();
            for slot in missed.slots {
                stored.slots.entry((slot.task, slot.at)).or_insert(None);
            }
            if stored.slots.len() > before {
                stored.alerts.extend(missed.alerts);
            }
            Ok(())
        })
    }
}

impl Handler<SaveCrons> for Stub {
    type Result = Result<()>;

    fn handle(&mut self, save: SaveCrons, _: &mut Self::Context) -> Self::Result {
        self.database.get().write(|stored| {
            stored.crons.retain(|cron, _| !save.removed.contains(cron));
            stored.crons.extend(save.added);
            Ok(())
        })
    }
}

impl Handler<PromoteDue> for Stub {
    type Result = Result<PromotedTasks>;

    /// One at a time, so that it takes several steps.
    fn handle(&mut self, PromoteDue { now }: PromoteDue, _: &mut Self::Context) -> Self::Result {
        self.database.get().write(|stored| {
            let due = stored.delayed.first().copied().filter(|due| *due <= now);
            if let Some(due) = due {
                stored.delayed.remove(&due);
                stored.promoted.push((due, now));
            }
            Ok(PromotedTasks { count: due.iter().count(), next: stored.delayed.first().copied() })
        })
    }
}

impl Handler<ReadSchedule> for Stub {
    type Result = Result<ScheduleInput>;

    fn handle(&mut self, _: ReadSchedule, _: &mut Self::Context) -> Self::Result {
        self.database.get().read(|stored| ScheduleInput {
            last_slots: stored.last_slots(),
            crons: stored.crons.iter().map(|(cron, since)| (cron.clone(), *since)).collect(),
            next_due: stored.delayed.first().copied(),
            paused: stored.paused.clone(),
        })
    }
}

impl Handler<SetPaused> for Stub {
    type Result = Result<Option<DateTime<Utc>>>;

    fn handle(&mut self, set: SetPaused, _: &mut Self::Context) -> Self::Result {
        self.database.get().write(|stored| {
            stored.paused.retain(|paused| paused.task != set.task);
            let (workflow, task) = (set.workflow, set.task);
            stored.paused.extend(set.paused.then_some(PausedPhase { workflow, task, since: set.now }));
            Ok(set.paused.then_some(set.now))
        })
    }
}

impl Handler<ReadMetaRows> for Stub {
    type Result = Result<Arc<Vec<MetaRow>>>;

    fn handle(&mut self, _: ReadMetaRows, _: &mut Self::Context) -> Self::Result {
        let rows = self.database.get().rows.pop_front();
        rows.unwrap_or_else(|| Err(Error::new(Code::InvalidRequest, "no such file"))).map(Arc::new)
    }
}

impl Handler<ReadLoadedWorkflows> for Stub {
    type Result = Result<LoadedWorkflows>;

    fn handle(&mut self, _: ReadLoadedWorkflows, _: &mut Self::Context) -> Self::Result {
        let now = self.clock.now();
        self.database.get().read(|stored| LoadedWorkflows {
            workflows: Arc::clone(&stored.workflows),
            scanned_at: now,
            next_scan: now,
            broken: Arc::default(),
        })
    }
}

//! A database with the tasks of a case, as they would be in it here.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{Arbiter, Message, System};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_db::{CommitHints, Database, OwnLead};
use flowlord_domain::limits::OverlapRule;
use flowlord_domain::{Attempt, NewTask, TaskDecision, TaskLane, TaskResult, Uid};
use flowlord_kernel::{ActorEnvironment, PortTo, Result};
use flowlord_messages::clients::{DatabaseReader, DatabaseWriter};
use flowlord_messages::results::{ApplyOutcomes, ResultClaim};
use flowlord_messages::tasks::{CreateTasks, FindTasks};
use serde_json::Value;

use crate::case::at;

/// What is asked of the database.
pub(crate) struct Store {
    database: Database,
    environment: ActorEnvironment,
}

/// Stores tasks and asks about them.
pub(crate) fn with_tasks<T>(tasks: &[Value], ask: impl AsyncFnOnce(&Store) -> T) -> T {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    System::new().block_on(async move {
        let arbiter = Arbiter::new();
        let give_up = Arc::new(|name: &str| panic!("{name} gave up"));
        let environment = ActorEnvironment::system(give_up);
        let kit = environment.kit("db");
        let lock = flowlord_db::FolderLock::take(folder).unwrap();
        let database = Database::open(lock, None, OwnLead::of_single(), &arbiter.handle(), kit, CommitHints::default())
            .expect("a database");
        let store = Store { database, environment };
        store.save(tasks).await;
        let answer = ask(&store).await;
        arbiter.stop();
        answer
    })
}

/// Type, job, id and creation: a task that comes again with the same is the same.
type Name = (String, String, String, DateTime<Utc>);

impl Store {
    async fn save(&self, tasks: &[Value]) {
        let mut known: BTreeMap<Name, Uid> = BTreeMap::new();
        for task in tasks {
            let text = |name: &str| task[name].as_str().unwrap_or_default().to_owned();
            // Nobody takes a done task that doesn't say whose it is.
            if text("id").is_empty() {
                continue;
            }
            let created = at(&text("created"));
            let name = (text("type"), text("job"), text("id"), created);
            let uid = match known.get(&name) {
                Some(uid) => *uid,
                None => {
                    let mut uid = Uid::at(created);
                    while known.values().any(|taken| *taken == uid) {
                        uid.0 += 1;
                    }
                    self.create(uid, text).await;
                    known.insert(name, uid);
                    uid
                }
            };
            if let Ok(result) = text("result").parse() {
                self.finish(uid, result, text).await;
            }
        }
    }

    async fn create(&self, uid: Uid, text: impl Fn(&str) -> String) {
        let now = uid.created_at();
        let task = NewTask {
            uid,
            topic: text("type"),
            job: text("job"),
            id: text("id"),
            info: text("info"),
            meta: text("meta"),
            workflow: String::new(),
            parent: None,
            retry: 0,
            not_before: None,
            lane: TaskLane::Live,
        };
        let create = CreateTasks {
            now,
            tasks: vec![task],
            slot: None,
            overlap: OverlapRule::Run,
            idempotency: None,
            alerts: Vec::new(),
        };
        self.write(create).await.expect("a stored task");
    }

    async fn finish(&self, uid: Uid, result: TaskResult, text: impl Fn(&str) -> String) {
        let time = |name: &str| DateTime::parse_from_rfc3339(&text(name)).ok().map(|at| at.to_utc());
        let decision = TaskDecision {
            result,
            msg: text("msg"),
            meta: text("meta"),
            started: time("started"),
            ended: time("ended").unwrap_or(uid.created_at()),
            task_time: None,
            children: Vec::new(),
            only_failed_children: false,
            arrivals: Vec::new(),
            retry: None,
            alerts: Vec::new(),
            given_up: false,
            unmarked_meta: None,
            learned: Vec::new(),
        };
        let outcomes = vec![(ResultClaim::Task(uid), decision)];
        let mut applied = self.write(ApplyOutcomes { now: uid.created_at(), outcomes }).await.expect("a stored result");
        applied.remove(0).expect("a result that is taken");
    }

    async fn write<M, T>(&self, command: M) -> Result<T>
    where
        M: Message<Result = Result<T>> + Send + 'static,
        T: Send + 'static,
        DatabaseWriter: PortTo<M>,
    {
        DatabaseWriter::connect("db", &self.database.owner, &self.environment).call(command).await
    }

    /// What the readers answer.
    pub(crate) async fn read<M, T>(&self, query: M) -> T
    where
        M: Message<Result = Result<T>> + Send + 'static,
        T: Send + 'static,
        DatabaseReader: PortTo<M>,
    {
        self.reader().call(query).await.expect("an answer")
    }

    /// All pages of a list together.
    pub(crate) async fn all_of(&self, list: FindTasks) -> Vec<Attempt> {
        list.find_all(&self.reader()).await.expect("an answer")
    }

    fn reader(&self) -> DatabaseReader {
        DatabaseReader::connect("readers", &self.database.readers, &self.environment)
    }
}

pub(crate) fn day(text: &str) -> (DateTime<Utc>, DateTime<Utc>) {
    let from = at(&format!("{text}T00:00:00Z"));
    (from, from + TimeDelta::days(1))
}

/// A text of a task.
pub(crate) fn field<'a>(task: &'a Value, name: &str) -> &'a str {
    task[name].as_str().unwrap_or_default()
}

/// Whether a task was created on another day by its text than in UTC.
pub(crate) fn has_other_day(task: &Value) -> bool {
    let created = field(task, "created");
    at(created).date_naive().to_string() != created[..10]
}

/// Whether a task has a time that is none.
pub(crate) fn is_unreadable(task: &Value) -> bool {
    ["started", "ended"].iter().any(|name| {
        let text = field(task, name);
        !text.is_empty() && DateTime::parse_from_rfc3339(text).is_err()
    })
}

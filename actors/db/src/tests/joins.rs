//! Joins start once a period, by the transaction that completes them, whatever happens in between.

use std::collections::{BTreeMap, BTreeSet};

use flowlord_domain::decide::{WorkerOutcome, decide_result};
use flowlord_domain::join::{JoinKey, LateJoin, late_join, passed_joins};
use flowlord_domain::rerun::{Downstream, rerun_task};
use flowlord_domain::rule::BatchStep;
use flowlord_domain::schedule::NoFiles;
use flowlord_domain::workflow::{WorkflowFile, Workflows};
use flowlord_domain::{IdSource, TaskState};
use flowlord_messages::LeaseToken;
use flowlord_messages::alerts::{AlertFilter, ListAlerts};
use flowlord_messages::deadlines::RaiseBreaches;
use flowlord_messages::history::{HistoryPosition, RemoveHistory};
use flowlord_messages::joins::{ReadJoins, ReadWaitingJoins};
use flowlord_messages::leases::ReapLeases;
use flowlord_messages::schedule::{CronKey, SaveCrons, SetPaused};
use flowlord_messages::tasks::{CancelTasks, ReadChain, RerunTasks};
use proptest::prelude::*;
use rusqlite::Connection;

use super::*;

const HOURS: [u32; 4] = [0, 6, 12, 18];

/// A task every six hours, and what waits for four of them.
fn workflows(rule: &str) -> Workflows {
    let text = format!(
        "[[phase]]\ntask = \"x\"\nrule = \"cron=0 */6 * * *\"\nretry = 1\n[[phase]]\ntask = \"sum\"\ndependsOn = \"x\"\n\
         rule = \"over=day{rule}\"\ntemplate = \"{{meta:files}}?day={{yyyy}}-{{mm}}-{{dd}}\"\n"
    );
    let zone = "UTC".parse().ok().unwrap();
    Workflows::new([WorkflowFile::parse("w.toml", &text, "", zone).unwrap().into()])
}

/// Ids from a counter, so that a case is the same each time.
struct CountedIds(i64);

impl IdSource for CountedIds {
    fn next_uid(&mut self, now: DateTime<Utc>) -> Uid {
        self.0 += 1;
        Uid(now.timestamp_micros() + self.0)
    }

    fn random_bits(&mut self) -> u64 {
        self.0 += 1;
        self.0.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// A database, what happens in it, and what should have started.
struct JoinCase {
    db: Db,
    workflows: Workflows,
    ids: CountedIds,
    chains: Vec<String>,
    arrived: BTreeMap<u32, BTreeSet<u32>>,
    started: BTreeSet<u32>,
    leases: Vec<LeaseToken>,
    now: DateTime<Utc>,
}

impl JoinCase {
    fn new(rule: &str) -> Self {
        let (chains, arrived, started, leases) = Default::default();
        let (db, workflows, ids, now) = (Db::new(), workflows(rule), CountedIds(0), noon());
        Self { db, workflows, ids, chains, arrived, started, leases, now }
    }

    /// A task about an hour of a day of March: of its slot, or of a backload.
    async fn create(&mut self, day: u32, hour: u32) -> Uid {
        let id = format!("chain-{}", self.chains.len());
        let meta = format!("workflow=w.toml&cron=2026-03-{day:02}T{hour:02}");
        let uid = self.ids.next_uid(self.now);
        self.chains.push(id.clone());
        self.db.create(vec![NewTask { uid, id, meta, ..task("x", "") }]).await.uids[0]
    }

    /// All attempts of `x`, unfinished or not.
    async fn attempts(&self, is_done: bool) -> Vec<Attempt> {
        let mut all = Vec::new();
        for id in &self.chains {
            let chain = self.db.read(ReadChain { id: id.clone() }).await.unwrap();
            all.extend(chain.into_iter().filter(|it| it.topic == "x" && (it.state == TaskState::Done) == is_done));
        }
        all
    }

    async fn finish(&mut self, uid: Uid, result: TaskResult) {
        assert!(self.answer(ResultClaim::Task(uid), uid, result).await, "it is taken");
    }

    /// Whether a result counts: that of a lease that was lost doesn't.
    async fn answer(&mut self, claim: ResultClaim, uid: Uid, result: TaskResult) -> bool {
        let attempt = self.db.attempt(uid).await;
        let meta = format!("file={}", &attempt.meta[attempt.meta.find("cron=").unwrap() + 13..][..5]);
        let outcome = WorkerOutcome { result, msg: String::new(), meta, started: None, ended: None };
        let decision = decide_result(&self.workflows, &attempt, &outcome, self.now, "host", &mut self.ids);
        let is_new = self.db.finish(claim, decision).await.is_ok_and(|duplicate| !duplicate);
        if is_new && result == TaskResult::Complete && !attempt.cancelled {
            let number = |from: usize| attempt.meta[attempt.meta.find("2026").unwrap() + from..][..2].parse().unwrap();
            let (day, hour) = (number(8), number(11));
            let there = self.arrived.entry(day).or_default();
            there.insert(hour);
            if there.len() == HOURS.len() {
                self.started.insert(day);
            }
        }
        is_new
    }

    async fn lease(&mut self) {
        let granted = self.db.lease_many(&["x"], 2, self.now).await;
        self.leases.extend(granted.iter().map(|grant| grant.lease));
    }

    /// Also the result of a lease that was lost, or of one that has its result.
    async fn answer_lease(&mut self, nth: usize, result: TaskResult) {
        let Some(lease) = self.leases.get(nth).copied() else { return };
        // It may have left the history.
        if self.db.read(ReadAttempts { uids: vec![lease.uid] }).await.unwrap() == [None] {
            return;
        }
        self.answer(ResultClaim::Lease(lease), lease.uid, result).await;
    }

    async fn expire(&self) {
        self.db.write(ReapLeases { now: self.now + seconds(61), max_deliveries: u32::MAX }).await.unwrap();
    }

    async fn complete(&mut self, day: u32, hour: u32) {
        let uid = self.create(day, hour).await;
        self.finish(uid, TaskResult::Complete).await;
    }

    async fn rerun(&mut self, attempt: &Attempt) -> Option<Uid> {
        let tasks = vec![rerun_task(attempt, Downstream::All, &mut self.ids, self.now)];
        self.db.write(RerunTasks { now: self.now, tasks }).await.unwrap().remove(0).ok()
    }

    async fn forget(&mut self) {
        let remove =
            RemoveHistory { before: noon() + TimeDelta::days(400), after: HistoryPosition::default(), limit: 1_000 };
        self.db.write(remove).await.unwrap();
        // What didn't start begins anew; what did never does.
        self.arrived.retain(|day, _| self.started.contains(day));
    }

    async fn raise(&self, late_joins: Vec<LateJoin>) {
        let (looked_until, breaches) = (noon(), Vec::new());
        self.db
            .write(RaiseBreaches { looked_until, unfinished_until: looked_until, breaches, late_joins })
            .await
            .unwrap();
    }

    async fn alerts(&self) -> Vec<String> {
        let (from, to) = (noon() - TimeDelta::days(1), noon() + TimeDelta::days(1));
        let list = ListAlerts { from, to, filter: AlertFilter::default(), after: None, limit: 9 };
        self.db.read(list).await.unwrap().into_iter().map(|stored| stored.msg).collect()
    }

    /// The joins that the check of deadlines finds late.
    fn late(&mut self, until: &str) -> Vec<LateJoin> {
        let until = until.parse().unwrap();
        let keys = passed_joins(&self.workflows, until - TimeDelta::minutes(1), until);
        keys.iter()
            .filter_map(|key| late_join(&self.workflows, key, (noon(), "host"), &mut self.ids, &NoFiles))
            .collect()
    }

    /// The infos of all joins that started, in their order.
    fn joined(&self) -> Vec<String> {
        let connection = Connection::open(self.db.folder.path().join(crate::DATABASE)).unwrap();
        let sql = "SELECT info FROM task JOIN queue ON queue.id = task.queue WHERE topic = 'sum' ORDER BY uid";
        let mut statement = connection.prepare(sql).unwrap();
        let infos = statement.query_map([], |row| row.get(0)).unwrap();
        infos.collect::<rusqlite::Result<_>>().unwrap()
    }
}

#[actix::test]
async fn the_last_of_a_period_starts_the_join_with_what_all_left() {
    let mut case = JoinCase::new("");
    for hour in [0, 18, 12] {
        case.complete(1, hour).await;
    }
    let [waiting] = &case.db.read(ReadWaitingJoins { workflow: "w.toml".to_owned(), limit: 9 }).await.unwrap()[..]
    else {
        panic!("one join waits");
    };
    assert_eq!((waiting.key.task.as_str(), waiting.key.over, waiting.arrived.len()), ("sum", BatchStep::Day, 3));
    assert!(case.joined().is_empty());
    let last = case.create(1, 6).await;
    case.finish(last, TaskResult::Complete).await;
    assert_eq!(case.joined(), ["01T00,01T06,01T12,01T18?day=2026-03-01"]);
    let chain = case.db.read(ReadChain { id: "chain-3".to_owned() }).await.unwrap();
    assert_eq!((chain[1].topic.as_str(), chain[1].parent), ("sum", Some(last)));
    assert_eq!(chain[1].meta, "workflow=w.toml&cron=2026-03-01T00");
    let standing = case.db.read(ReadJoins { joins: vec![waiting.key.clone()] }).await.unwrap().remove(0);
    assert_eq!((standing.arrived.len(), standing.has_started, standing.attempts[0].uid), (4, true, chain[1].uid));
    assert!(case.db.read(ReadWaitingJoins { workflow: "w.toml".to_owned(), limit: 9 }).await.unwrap().is_empty());
}

#[actix::test]
async fn a_parent_that_runs_again_starts_it_again_only_where_the_rule_says_so() {
    for (rule, starts) in [("", 1), ("&again=true", 2)] {
        let mut case = JoinCase::new(rule);
        for hour in HOURS {
            case.complete(1, hour).await;
        }
        let done = case.attempts(true).await.remove(0);
        let again = case.rerun(&done).await.unwrap();
        case.finish(again, TaskResult::Complete).await;
        assert_eq!(case.joined().len(), starts, "{rule}");
    }
}

#[actix::test]
async fn a_join_of_a_paused_phase_is_kept_until_it_goes_on() {
    let mut case = JoinCase::new("");
    let (workflow, task) = ("w.toml".to_owned(), "sum".to_owned());
    case.db.write(SetPaused { now: noon(), workflow, task, paused: true }).await.unwrap();
    for hour in HOURS {
        case.complete(1, hour).await;
    }
    assert_eq!(case.joined().len(), 1);
    assert!(case.db.lease(&["sum"], noon()).await.is_none(), "it is held");
}

#[actix::test]
async fn a_late_join_starts_with_what_is_there_or_says_what_is_missing_once() {
    let mut case = JoinCase::new("&join_by=6h");
    for hour in [0, 6, 18] {
        case.complete(1, hour).await;
    }
    for _ in 0..2 {
        let late = case.late("2026-03-02T06:00:00Z");
        assert_eq!(late.len(), 1);
        case.raise(late).await;
        assert_eq!(case.joined(), ["01T00,01T06,01T18?day=2026-03-01"]);
    }
    case.complete(1, 12).await;
    assert_eq!(case.joined().len(), 1, "the rest comes too late");
    assert!(case.alerts().await.is_empty());

    let mut case = JoinCase::new("&join_by=6h&join_by_then=alert");
    case.complete(1, 0).await;
    for _ in 0..2 {
        let late = case.late("2026-03-02T06:00:00Z");
        case.raise(late).await;
    }
    let said = "not complete by 2026-03-02 06:00:00 UTC (join_by=6h after the end of 2026-03-01): 1 of 4: waits for T06, T12, T18";
    assert_eq!(case.alerts().await, [said]);
    for hour in [6, 12, 18] {
        case.complete(1, hour).await;
    }
    assert_eq!(case.joined().len(), 1, "it went on waiting");
}

#[actix::test]
async fn a_period_that_nothing_reached_is_late_if_its_schedule_counted_by_then() {
    for (since, alerts) in [("2026-03-01T00:00:00Z", 1), ("2026-03-01T00:00:01Z", 0)] {
        let mut case = JoinCase::new("&join_by=6h");
        let cron = CronKey { workflow: "w.toml".to_owned(), task: "x".to_owned(), cron: "0 */6 * * *".to_owned() };
        case.db.write(SaveCrons { added: vec![(cron, since.parse().unwrap())], removed: vec![] }).await.unwrap();
        let late = case.late("2026-03-02T06:00:00Z");
        case.raise(late).await;
        assert_eq!((case.alerts().await.len(), case.joined().len()), (alerts, 0), "{since}");
    }
}

#[actix::test]
async fn years_of_joins_are_remembered_in_one_row() {
    let mut case = JoinCase::new("&join=any");
    for day in [3, 1, 2, 5, 4, 7] {
        case.complete(day, 6).await;
        case.forget().await;
    }
    let connection = Connection::open(case.db.folder.path().join(crate::DATABASE)).unwrap();
    let read = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    let ranges = "SELECT group_concat(last - first ORDER BY first) FROM join_past";
    assert_eq!((read(ranges).as_str(), read("SELECT count(*) || '' FROM join_slot").as_str()), ("4,0", "0"));
    case.complete(4, 12).await;
    assert_eq!(case.joined().len(), 6, "what is past starts no more");
    let key =
        |day: i64| JoinKey { workflow: "w.toml".to_owned(), task: "sum".to_owned(), over: BatchStep::Day, period: day };
    let march = i64::from(chrono::Datelike::num_days_from_ce(&noon().date_naive()));
    let standing = case.db.read(ReadJoins { joins: vec![key(march), key(march + 5)] }).await.unwrap();
    assert_eq!([standing[0].has_started, standing[1].has_started], [true, false]);
}

/// What may happen to tasks.
#[derive(Debug, Clone)]
enum JoinStep {
    Create { day: u32, hour: usize },
    Backload { day: u32 },
    FinishAll,
    Finish { nth: usize, result: TaskResult },
    Rerun { nth: usize },
    Cancel { nth: usize },
    Lease,
    Answer { nth: usize, result: TaskResult },
    Expire,
    Clock { hours: i64 },
    Forget,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<JoinStep>> {
    let result = || {
        prop_oneof![
            6 => Just(TaskResult::Complete),
            2 => Just(TaskResult::Error),
            1 => Just(TaskResult::Warn),
            1 => Just(TaskResult::Alert),
        ]
    };
    let step = prop_oneof![
        8 => (1..3_u32, 0..4_usize).prop_map(|(day, hour)| JoinStep::Create { day, hour }),
        3 => (1..3_u32).prop_map(|day| JoinStep::Backload { day }),
        3 => Just(JoinStep::FinishAll),
        10 => (0..8_usize, result()).prop_map(|(nth, result)| JoinStep::Finish { nth, result }),
        6 => Just(JoinStep::Lease),
        6 => (0..12_usize, result()).prop_map(|(nth, result)| JoinStep::Answer { nth, result }),
        2 => Just(JoinStep::Expire),
        2 => (-30..30_i64).prop_map(|hours| JoinStep::Clock { hours }),
        3 => (0..8_usize).prop_map(|nth| JoinStep::Rerun { nth }),
        1 => (0..8_usize).prop_map(|nth| JoinStep::Cancel { nth }),
        2 => Just(JoinStep::Forget),
        1 => Just(JoinStep::Reopen),
    ];
    proptest::collection::vec(step, 1..60)
}

async fn take_step(mut case: JoinCase, step: &JoinStep) -> JoinCase {
    match step {
        JoinStep::Create { day, hour } => drop(case.create(*day, HOURS[*hour]).await),
        JoinStep::Backload { day } => {
            for hour in HOURS {
                case.create(*day, hour).await;
            }
        }
        JoinStep::FinishAll => {
            for attempt in case.attempts(false).await {
                case.finish(attempt.uid, TaskResult::Complete).await;
            }
        }
        JoinStep::Finish { nth, result } => {
            if let Some(attempt) = case.attempts(false).await.get(*nth) {
                case.finish(attempt.uid, *result).await;
            }
        }
        JoinStep::Rerun { nth } => {
            if let Some(attempt) = case.attempts(true).await.get(*nth).cloned() {
                case.rerun(&attempt).await;
            }
        }
        JoinStep::Cancel { nth } => {
            if let Some(attempt) = case.attempts(false).await.get(*nth) {
                let cancel = CancelTasks { now: case.now, uids: vec![attempt.uid], msg: String::new() };
                case.db.write(cancel).await.unwrap();
            }
        }
        JoinStep::Lease => case.lease().await,
        JoinStep::Answer { nth, result } => case.answer_lease(*nth, *result).await,
        JoinStep::Expire => case.expire().await,
        JoinStep::Clock { hours } => case.now += TimeDelta::hours(*hours),
        JoinStep::Forget => case.forget().await,
        JoinStep::Reopen => case.db = case.db.reopen(),
    }
    case
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn a_join_starts_exactly_once_a_period_and_never_early(steps in steps()) {
        actix::System::new().block_on(async {
            let mut case = JoinCase::new("");
            for step in &steps {
                case = take_step(case, step).await;
                let joined: Vec<String> = case.joined().iter().map(|info| info[info.len() - 2..].to_owned()).collect();
                let expected: Vec<String> = case.started.iter().map(|day| format!("{day:02}")).collect();
                let sorted: Vec<String> = joined.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect();
                prop_assert_eq!(&sorted, &expected, "after {:?}", step);
                prop_assert_eq!(joined.len(), expected.len(), "once each, after {:?}", step);
            }
            Ok(())
        })?;
    }
}

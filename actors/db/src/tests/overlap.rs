//! Slots that come due while one before them hasn't ended.

use std::collections::BTreeSet;

use flowlord_domain::TaskState;
use flowlord_messages::leases::ReapLeases;
use flowlord_messages::schedule::{PromoteDue, ReadLastSlots, ReadSlots, SetPaused, SlotKey};
use flowlord_messages::tasks::{CancelTasks, ReadChain, RerunTasks};
use proptest::prelude::*;

use super::*;

/// A slot of the phase `a`, that many hours after noon.
fn slot(hour: i64) -> SlotKey {
    SlotKey { workflow: "w.toml".to_owned(), task: "a".to_owned(), at: noon() + TimeDelta::hours(hour) }
}

/// The slot of an hour, with a task that is about it.
async fn start(db: &Db, hour: i64, overlap: OverlapRule) -> Vec<Uid> {
    let about = NewTask {
        uid: Uid::at(slot(hour).at),
        id: format!("chain-{hour}"),
        info: hour.to_string(),
        workflow: "w.toml".to_owned(),
        ..task("a", "")
    };
    let create = CreateTasks { now: slot(hour).at, slot: Some(slot(hour)), overlap, ..creation(vec![about]) };
    db.write(create).await.unwrap().uids
}

/// The tasks that a worker can lease now, by what they are about.
async fn leasable(db: &Db, hour: i64) -> Vec<LeaseGrant> {
    db.write(PromoteDue { now: slot(hour).at }).await.unwrap();
    db.lease_many(&["a"], 9, slot(hour).at).await
}

fn infos(grants: &[LeaseGrant]) -> Vec<&str> {
    grants.iter().map(|grant| grant.task.info.as_str()).collect()
}

async fn complete(db: &Db, grant: &LeaseGrant) {
    db.finish(ResultClaim::Lease(grant.lease), decision(TaskResult::Complete)).await.unwrap();
}

async fn waits(db: &Db, uid: Uid) -> bool {
    let task = db.attempt(uid).await;
    assert_eq!(task.not_before, None, "no time is known");
    task.state == TaskState::Delayed && task.waits_for_slot
}

#[actix::test]
async fn by_default_slots_run_beside_each_other() {
    let db = Db::new();
    for hour in 0..3 {
        start(&db, hour, OverlapRule::Run).await;
    }
    assert_eq!(infos(&leasable(&db, 3).await), ["0", "1", "2"]);
}

#[actix::test]
async fn queued_slots_start_one_after_the_other_over_retries_and_restarts() {
    let db = Db::new();
    for hour in 0..3 {
        start(&db, hour, OverlapRule::Queue).await;
    }
    let first = leasable(&db, 3).await;
    assert_eq!(infos(&first), ["0"]);
    // A retry is the same slot: it goes on.
    let retry = NewTask { parent: Some(first[0].lease.uid), retry: 1, ..slot_retry(&first[0]) };
    let failed = TaskDecision { retry: Some(retry), ..decision(TaskResult::Error) };
    db.finish(ResultClaim::Lease(first[0].lease), failed).await.unwrap();
    let db = db.reopen();
    let again = leasable(&db, 3).await;
    assert_eq!(infos(&again), ["0"]);
    complete(&db, &again[0]).await;
    let second = leasable(&db, 3).await;
    assert_eq!(infos(&second), ["1"], "the oldest");
    complete(&db, &second[0]).await;
    assert_eq!(infos(&leasable(&db, 3).await), ["2"]);
}

fn slot_retry(grant: &LeaseGrant) -> NewTask {
    NewTask { uid: Uid(grant.lease.uid.0 + 1), ..about_slot(&grant.task.id, &grant.task.info) }
}

fn about_slot(id: &str, info: &str) -> NewTask {
    NewTask { id: id.to_owned(), info: info.to_owned(), workflow: "w.toml".to_owned(), ..task("a", "") }
}

#[actix::test]
async fn a_slot_is_skipped_and_recorded_and_late_for_nobody() {
    let db = Db::new();
    start(&db, 0, OverlapRule::Skip).await;
    assert_eq!(start(&db, 1, OverlapRule::Skip).await, []);
    let again = CreateTasks { slot: Some(slot(1)), overlap: OverlapRule::Skip, ..creation(Vec::new()) };
    assert_eq!(code(db.write(again).await), Code::SlotTaken);
    let phases = vec![("w.toml".to_owned(), "a".to_owned())];
    let read = ReadSlots { phases, from: noon(), to: slot(9).at, named: 0 };
    let seen: Vec<_> = db
        .read(read)
        .await
        .unwrap()
        .remove(0)
        .slots
        .iter()
        .map(|slot| (slot.is_skipped, slot.started.is_some()))
        .collect();
    assert_eq!(seen, [(true, false), (false, true)]);
    let last = db.read(ReadLastSlots { from: noon(), to: slot(9).at }).await.unwrap();
    assert_eq!((last[0].key.at, last[0].started), (noon(), Some(noon())), "it wasn't missed");
    let grant = leasable(&db, 2).await.remove(0);
    complete(&db, &grant).await;
    assert_eq!(start(&db, 3, OverlapRule::Skip).await.len(), 1);
}

#[actix::test]
async fn only_the_latest_slot_waits_and_the_others_say_why_not() {
    let db = Db::new();
    start(&db, 0, OverlapRule::Latest).await;
    let waiting = start(&db, 1, OverlapRule::Latest).await;
    assert!(waits(&db, waiting[0]).await);
    start(&db, 2, OverlapRule::Latest).await;
    let dropped = db.attempt(waiting[0]).await;
    assert_eq!((dropped.state, dropped.result), (TaskState::Done, Some(TaskResult::Warn)));
    assert!(dropped.msg.starts_with("skipped: a later slot came"), "{}", dropped.msg);
    let first = leasable(&db, 3).await;
    assert_eq!(infos(&first), ["0"]);
    complete(&db, &first[0]).await;
    assert_eq!(infos(&leasable(&db, 3).await), ["2"]);
}

#[actix::test]
async fn a_waiting_slot_starts_when_the_one_before_is_cancelled_and_not_within_a_pause() {
    let db = Db::new();
    let first = start(&db, 0, OverlapRule::Queue).await;
    let second = start(&db, 1, OverlapRule::Queue).await;
    let pause = |paused| SetPaused { now: slot(1).at, workflow: "w.toml".to_owned(), task: "a".to_owned(), paused };
    db.write(pause(true)).await.unwrap();
    db.write(CancelTasks { now: slot(1).at, uids: first.clone(), msg: "no".to_owned() }).await.unwrap();
    assert_eq!(infos(&leasable(&db, 2).await), Vec::<&str>::new());
    assert!(!waits(&db, second[0]).await, "for the pause alone");
    db.write(pause(false)).await.unwrap();
    assert_eq!(infos(&leasable(&db, 2).await), ["1"]);
    // A rerun of an ended slot is that slot at work: the next one waits for both.
    let rerun =
        NewTask { parent: Some(first[0]), uid: Uid(first[0].0 + 1), workflow: "w.toml".to_owned(), ..task("a", "") };
    db.write(RerunTasks { now: slot(2).at, tasks: vec![rerun] }).await.unwrap().remove(0).unwrap();
    let third = start(&db, 3, OverlapRule::Queue).await;
    assert!(waits(&db, third[0]).await);
}

/// What the schedule, workers, people, the machine and its clock do.
#[derive(Debug, Clone)]
enum SlotStep {
    Slot,
    Lease,
    Finish { nth: usize, result: TaskResult },
    Expire,
    Cancel { nth: usize },
    Rerun { nth: usize },
    Pause,
    Clock { hours: i64 },
    Reopen,
}

fn slot_step() -> impl Strategy<Value = SlotStep> {
    let result = prop_oneof![3 => Just(TaskResult::Complete), 2 => Just(TaskResult::Error)];
    prop_oneof![
        8 => Just(SlotStep::Slot),
        8 => Just(SlotStep::Lease),
        6 => (0..3_usize, result).prop_map(|(nth, result)| SlotStep::Finish { nth, result }),
        1 => Just(SlotStep::Expire),
        2 => (0..9_usize).prop_map(|nth| SlotStep::Cancel { nth }),
        2 => (0..9_usize).prop_map(|nth| SlotStep::Rerun { nth }),
        1 => Just(SlotStep::Pause),
        2 => (-9..9_i64).prop_map(|hours| SlotStep::Clock { hours }),
        1 => Just(SlotStep::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Slots come due, workers complete, fail and vanish, people cancel, rerun and pause, clocks step, the service crashes: at
    /// most one slot runs at a time, none waits for nothing, and at the end each has ended.
    #[test]
    fn slots_never_overlap_and_none_is_forgotten(
        rule in prop_oneof![Just(OverlapRule::Queue), Just(OverlapRule::Skip), Just(OverlapRule::Latest)],
        steps in proptest::collection::vec(slot_step(), 1..50),
    ) {
        actix_rt::System::new().block_on(async {
            let mut case = SlotCase::new(rule);
            for step in &steps {
                case = case.take_step(step).await;
                case.check_slots().await;
            }
            case.finish_all().await;
        });
    }
}

/// A phase whose slots must not overlap, and what became of them.
struct SlotCase {
    db: Db,
    rule: OverlapRule,
    /// The next slot.
    hour: i64,
    /// How far the clock is from it.
    drift: i64,
    slots: Vec<Uid>,
    /// Attempts that people or workers had run once more.
    later: Vec<Uid>,
    reruns: BTreeSet<Uid>,
    leased: Vec<LeaseGrant>,
    is_paused: bool,
}

impl SlotCase {
    fn new(rule: OverlapRule) -> Self {
        let (slots, later, reruns, leased) = Default::default();
        Self { db: Db::new(), rule, hour: 0, drift: 0, slots, later, reruns, leased, is_paused: false }
    }

    fn now(&self) -> DateTime<Utc> {
        slot(self.hour + self.drift).at
    }

    async fn take_step(mut self, step: &SlotStep) -> Self {
        match step {
            SlotStep::Slot if self.is_paused => self.hour += 1,
            SlotStep::Slot => {
                self.slots.extend(start(&self.db, self.hour, self.rule).await);
                self.hour += 1;
            }
            SlotStep::Lease => self.leased.extend(leasable(&self.db, self.hour + self.drift).await),
            SlotStep::Finish { nth, result } => self.finish(*nth, *result).await,
            // The worker has gone: another one gets the task.
            SlotStep::Expire => {
                let gone = self.now() + TimeDelta::hours(99);
                self.db.write(ReapLeases { now: gone, max_deliveries: u32::MAX }).await.unwrap();
                self.leased.clear();
            }
            SlotStep::Cancel { nth } => {
                let uids = self.all().nth(*nth).into_iter().collect();
                self.db.write(CancelTasks { now: self.now(), uids, msg: String::new() }).await.unwrap();
            }
            SlotStep::Rerun { nth } => self.rerun(*nth).await,
            SlotStep::Pause => self.pause(!self.is_paused).await,
            SlotStep::Clock { hours } => self.drift = *hours,
            SlotStep::Reopen => self.db = self.db.reopen(),
        }
        self
    }

    fn all(&self) -> impl Iterator<Item = Uid> {
        self.slots.iter().chain(&self.later).copied()
    }

    async fn finish(&mut self, nth: usize, result: TaskResult) {
        if nth >= self.leased.len() {
            return;
        }
        let grant = self.leased.swap_remove(nth);
        let retry = (result == TaskResult::Error).then(|| NewTask {
            retry: grant.task.retry + 1,
            parent: Some(grant.lease.uid),
            ..slot_retry(&grant)
        });
        let is_retried = retry.is_some();
        let decision = TaskDecision { retry, ended: self.now(), ..decision(result) };
        // Refused where it was cancelled meanwhile, or another worker has it.
        let is_new = self.db.finish(ResultClaim::Lease(grant.lease), decision).await.is_ok_and(|duplicate| !duplicate);
        if is_new && is_retried && !self.db.attempt(grant.lease.uid).await.cancelled {
            let retry = self.find_retry(&grant).await;
            if self.reruns.contains(&grant.lease.uid) {
                self.reruns.insert(retry);
            }
            self.later.push(retry);
        }
    }

    async fn find_retry(&self, grant: &LeaseGrant) -> Uid {
        let chain = self.db.read(ReadChain { id: grant.task.id.clone() }).await.unwrap();
        let is_retry = |task: &&Attempt| task.parent == Some(grant.lease.uid) && task.retry == grant.task.retry + 1;
        chain.iter().find(is_retry).expect("the retry").uid
    }

    async fn rerun(&mut self, nth: usize) {
        let Some(uid) = self.all().nth(nth) else { return };
        let of = self.db.attempt(uid).await;
        let rerun = NewTask { parent: Some(uid), uid: Uid(uid.0 + 1), ..about_slot(&of.id, &of.info) };
        let rerun = self.db.write(RerunTasks { now: self.now(), tasks: vec![rerun] }).await.unwrap().remove(0);
        self.later.extend(rerun.iter().copied());
        self.reruns.extend(rerun);
    }

    async fn pause(&mut self, paused: bool) {
        let (workflow, task) = ("w.toml".to_owned(), "a".to_owned());
        self.db.write(SetPaused { now: self.now(), workflow, task, paused }).await.unwrap();
        self.is_paused = paused;
    }

    /// What runs and what waits: only people let a slot run beside another.
    async fn check_slots(&self) {
        let uids: Vec<Uid> = self.all().collect();
        let tasks: Vec<Attempt> = self.db.read(ReadAttempts { uids }).await.unwrap().into_iter().flatten().collect();
        let open: Vec<&Attempt> = tasks.iter().filter(|task| task.state != TaskState::Done).collect();
        let (waiting, running): (Vec<&Attempt>, _) = open.iter().partition(|task| task.waits_for_slot);
        let own = running.iter().filter(|task| !self.reruns.contains(&task.uid)).count();
        assert!(own <= 1, "{running:?}");
        assert!(waiting.is_empty() || !running.is_empty(), "waits for nothing: {waiting:?}");
        let most = match self.rule {
            OverlapRule::Queue => usize::MAX,
            OverlapRule::Latest => 1,
            OverlapRule::Run | OverlapRule::Skip => 0,
        };
        assert!(waiting.len() <= most, "{waiting:?}");
    }

    async fn finish_all(mut self) {
        self.pause(false).await;
        // After all that the clock showed, also where leases expired.
        (self.drift, self.hour) = (0, self.hour + 199);
        self.db.write(ReapLeases { now: self.now(), max_deliveries: u32::MAX }).await.unwrap();
        while let Some(grant) = leasable(&self.db, self.hour).await.pop() {
            complete(&self.db, &grant).await;
            self.check_slots().await;
            self.hour += 1;
            self.db.write(ReapLeases { now: self.now(), max_deliveries: u32::MAX }).await.unwrap();
        }
        for uid in self.all() {
            assert_eq!(self.db.attempt(uid).await.state, TaskState::Done);
        }
    }
}

//! What `flowlord plan` prints is what happens: random workflows, planned for a month, and worked through by what the service
//! decides with, over clocks that come late and step back, and over restarts.
//!
//! The long run: `PLAN_CASES=1000 cargo test -p flowlord-scheduler planned`, in two minutes. `PLAN_PHASES` makes larger workflows,
//! `PLAN_DAYS` plans for another time than 30 days, `PROPTEST_RNG_SEED` repeats a run.

mod random_files;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use flowlord_domain::decide::{WorkerOutcome, decide_result_with};
use flowlord_domain::join::{JoinArrival, JoinKey};
use flowlord_domain::plan::{PlanLimits, PlannedOutcome, PlannedTask, SlotPlan};
use flowlord_domain::query::Query;
use flowlord_domain::schedule::{NoFiles, slot_tasks_with};
use flowlord_domain::workflow::{Phase, WorkflowFile, Workflows};
use flowlord_domain::{AlertKind, Attempt, NewTask, TaskResult, TaskState};
use flowlord_kernel::IdGenerator;
use flowlord_messages::schedule::{ScheduleInput, SlotKey};
use proptest::prelude::*;

use self::random_files::{Dice, WrittenFiles, ZONES};
use super::time;
use crate::plan::{DueWork, MAX_LATENESS, SchedulePlan};
use crate::slot::DueSlot;

/// A task that starts: when its slot does, and its way down from there.
type Started = (DateTime<Utc>, String);

fn planned(workflows: &Workflows, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<Started> {
    let limits = PlanLimits { tasks: 10_000, followers: 10_000, depth: 20 };
    let mut lines = Vec::new();
    for planned in SlotPlan::new(workflows, &NoFiles, from, until, limits) {
        let file = &planned.phase.workflow;
        match planned.what {
            PlannedOutcome::Task(task) => add_planned(&task, planned.at, file, &mut lines),
            PlannedOutcome::Problem(problem) => lines.push((planned.at, format!("{file} ! {problem}"))),
            PlannedOutcome::More(more) => panic!("{more} more"),
        }
    }
    lines.sort();
    lines
}

fn add_planned(task: &PlannedTask, at: DateTime<Utc>, above: &str, lines: &mut Vec<Started>) {
    assert!(!task.cut, "{task:?}");
    let way = match &task.problem {
        Some(problem) => format!("{above} > {} ! {problem}", task.task),
        None => format!("{above} > {} {}", task.task, task.info),
    };
    for child in &task.children {
        add_planned(child, at, &way, lines);
    }
    lines.push((at, way));
}

/// The service's own decisions, with a database that is a few maps and workers that complete everything at once.
struct SimulatedService {
    workflows: Arc<Workflows>,
    plan: SchedulePlan,
    now: DateTime<Utc>,
    taken: BTreeSet<(DateTime<Utc>, String, String)>,
    joins: HashMap<JoinKey, (BTreeMap<String, String>, bool)>,
    ids: IdGenerator,
    started: Vec<Started>,
}

impl SimulatedService {
    fn start(workflows: Arc<Workflows>, now: DateTime<Utc>) -> Self {
        let mut plan = SchedulePlan::default();
        plan.replace_workflows(&workflows, now);
        let (taken, joins, started) = Default::default();
        Self { workflows, plan, now, taken, joins, ids: IdGenerator::seeded(1), started }
    }

    /// Goes on from timer to timer, which fire up to a minute late, until a time.
    fn run(&mut self, until: DateTime<Utc>, dice: &mut Dice) {
        while let Some(due) = self.plan.next_due().filter(|due| *due < until) {
            let late = TimeDelta::seconds(i64::try_from(dice.below(60)).unwrap());
            assert!(late < MAX_LATENESS);
            self.now = self.now.max(due + late).min(until - TimeDelta::microseconds(1));
            for work in self.plan.take_due(self.now) {
                let DueWork::Slot(slot) = work else { panic!("{work:?} was missed") };
                self.start_slot(&slot);
            }
            match dice.below(40) {
                0 => self.set_back(TimeDelta::minutes(7 * i64::try_from(dice.below(40)).unwrap())),
                1 => self.restart(),
                _ => {}
            }
        }
    }

    fn set_back(&mut self, by: TimeDelta) {
        self.now -= by;
        self.plan.follow_clock_back(self.now);
    }

    fn restart(&mut self) {
        let slots = self.taken.iter().filter(|(at, ..)| *at <= self.now);
        let last: BTreeMap<_, _> = slots.map(|(at, workflow, task)| ((workflow.clone(), task.clone()), *at)).collect();
        let last_slots = last.into_iter().map(|((workflow, task), at)| SlotKey { workflow, task, at }).collect();
        let crons = self.plan.cron_starts().into_iter().collect();
        let stored = ScheduleInput { last_slots, crons, next_due: None, paused: Vec::new() };
        self.plan = SchedulePlan::default();
        self.plan.replace_workflows(&self.workflows, self.now);
        let gaps = self.plan.resume_stored(&stored, self.now, self.now - MAX_LATENESS);
        assert!(gaps.is_empty(), "{gaps:?}");
    }

    fn start_slot(&mut self, slot: &DueSlot) {
        let key = slot.name.slot_key(slot.at);
        if !self.taken.insert((key.at, key.workflow, key.task)) {
            return; // it came again after the clock was set back
        }
        for phase in &slot.phases {
            let at = slot.at + phase.file.start_shift(phase);
            match slot_tasks_with(phase, slot.at, "{host}", &mut self.ids, self.now, &NoFiles) {
                Ok(tasks) => tasks.into_iter().for_each(|task| self.complete(task, at, &phase.workflow)),
                Err(problem) => self.started.push((at, format!("{} ! {problem}", phase.workflow))),
            }
        }
    }

    fn complete(&mut self, task: NewTask, at: DateTime<Utc>, above: &str) {
        let task = Attempt { state: TaskState::Leased, delivery: 1, not_before: None, ..task.into_attempt() };
        let way = format!("{above} > {} {}", task_name(&task.topic, &task.job), task.info);
        let meta = self.worker_meta(&task);
        let outcome =
            WorkerOutcome { result: TaskResult::Complete, msg: String::new(), meta, started: None, ended: None };
        let workflows = Arc::clone(&self.workflows);
        let decided = decide_result_with(&workflows, &task, &outcome, self.now, "{host}", &mut self.ids, &NoFiles);
        for child in decided.children {
            self.complete(child, at, &way);
        }
        for arrival in &decided.arrivals {
            self.arrive(arrival, &decided.meta, at, &way);
        }
        for alert in decided.alerts.into_iter().filter(|alert| alert.kind == AlertKind::CreateFailed) {
            self.started.push((at, format!("{way} > {} ! {}", task_name(&alert.topic, &alert.job), alert.msg)));
        }
        self.started.push((at, way));
    }

    /// What a worker leaves: what those that follow each task by itself ask for and the task hasn't.
    fn worker_meta(&self, task: &Attempt) -> String {
        let followers = self.workflows.all_children_of(&task.workflow, &task.topic, &task.job);
        let needs = |phase: &Phase, key: &str| {
            let asked = if phase.is_join { Vec::new() } else { phase.template_keys() };
            phase.rule.require.iter().chain(&asked).any(|it| it == key)
        };
        let is_left = |key: &&str| !has_key(&task.meta, key) && followers.iter().any(|phase| needs(phase, key));
        left_meta(KEYS.into_iter().filter(is_left))
    }

    /// As the database counts it, in the transaction of the result.
    fn arrive(&mut self, arrival: &JoinArrival, meta: &str, at: DateTime<Utc>, above: &str) {
        let (arrived, has_started) = self.joins.entry(arrival.key.clone()).or_default();
        arrived.extend(arrival.slots.iter().map(|slot| (slot.clone(), meta.to_owned())));
        if *has_started && !arrival.again {
            return;
        }
        if !arrival.count.is_complete(arrived.keys().map(String::as_str)) {
            return;
        }
        let joined = with_left_keys(arrived.clone().into_iter().collect());
        match arrival.count.start_tasks(&arrival.start, joined) {
            Ok(tasks) => {
                *has_started = true;
                tasks.into_iter().for_each(|task| self.complete(task, at, above));
            }
            Err(problem) => self.started.push((at, format!("{above} > {} ! {problem}", arrival.key.task))),
        }
    }
}

/// All that templates may ask for.
const KEYS: [&str; 3] = ["file", "rows", "k"];

fn has_key(meta: &str, key: &str) -> bool {
    Query::parse_lenient(meta).first_value(key).is_some_and(|value| !value.is_empty())
}

/// What workers leave, named as a plan names it.
fn left_meta<'a>(keys: impl Iterator<Item = &'a str>) -> String {
    keys.map(|key| (key.to_owned(), format!("{{meta:{key}}}"))).collect::<Query>().to_text()
}

/// A plan takes a join's value from a parent that is known to have it: workers leave what none of them has.
fn with_left_keys(mut joined: Vec<(String, String)>) -> Vec<(String, String)> {
    let missing = KEYS.into_iter().filter(|key| !joined.iter().any(|(_, meta)| has_key(meta, key)));
    let left = left_meta(missing);
    joined.iter_mut().take(1).for_each(|(_, meta)| *meta = format!("{left}&{meta}"));
    joined
}

fn task_name(topic: &str, job: &str) -> String {
    if job.is_empty() { topic.to_owned() } else { format!("{topic}:{job}") }
}

/// For so long before a plan the service is at work: long enough that each period of a join is a whole one.
fn look_back(texts: &BTreeMap<&str, String>) -> TimeDelta {
    let has = |over: &str| texts.values().any(|text| text.contains(over));
    TimeDelta::days(if has("over=month") {
        75
    } else if has("over=week") {
        24
    } else {
        10
    })
}

/// The number that a variable of the environment says, else the usual one.
fn number_of(variable: &str, usual: u16) -> u16 {
    std::env::var(variable).ok().map_or(usual, |text| text.parse().unwrap())
}

fn cases() -> ProptestConfig {
    ProptestConfig { max_shrink_iters: 100, ..ProptestConfig::with_cases(number_of("PLAN_CASES", 64).into()) }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn what_a_plan_shows_for_a_month_is_what_happens(
        phases in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 20),
            1..=usize::from(number_of("PLAN_PHASES", 6)),
        ),
        zone in proptest::sample::select(&ZONES),
        // Over the changes of the clocks in spring and autumn, and between.
        day in 0..360_i64,
        chance in proptest::collection::vec(any::<u8>(), 400),
    ) {
        let zone: Tz = zone.parse().unwrap();
        let texts = WrittenFiles::write(phases);
        let files = texts.iter().map(|(path, text)| Arc::new(WorkflowFile::parse(path, text, "h", zone).unwrap()));
        let workflows = Arc::new(Workflows::new(files));
        let from = time("2026-01-01T00:00:00Z") + TimeDelta::days(day);
        let until = from + TimeDelta::days(number_of("PLAN_DAYS", 30).into());
        let mut service = SimulatedService::start(Arc::clone(&workflows), from - look_back(&texts));
        service.run(until, &mut Dice(chance.into_iter().cycle().take(40_000).collect::<Vec<_>>().into_iter()));
        let mut happened: Vec<Started> = service.started.into_iter().filter(|(at, _)| *at >= from).collect();
        happened.sort();
        let planned = planned(&workflows, from, until);
        let first = planned.iter().zip(&happened).find(|(planned, happened)| planned != happened);
        prop_assert!(planned == happened, "planned {}, happened {}, first {:#?} in\n{}",
            planned.len(), happened.len(), first, texts.values().cloned().collect::<String>());
    }
}

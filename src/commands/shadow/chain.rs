//! What followed from the results of a chain: children, retries, alerts.
//!
//! Each result that the Go program recorded is decided here again. What follows from the decision is looked for among
//! the chain's records; a record that was found for one result isn't looked at for another.

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_db::{OldAlert, OldChain, OldTask};
use flowlord_domain::decide::{TaskDecision, WorkerOutcome, decide_result_with};
use flowlord_domain::foreign::{ForeignTask, retries_in_meta};
use flowlord_domain::query::Query;
use flowlord_domain::workflow::Phase;
use flowlord_domain::{AlertKind, NewAlert, NewTask, TaskResult};

use super::compare::{
    ANY_HOST, ComparedKind, ComparisonTally, Difference, DifferenceClass, Replay, SETTLING_TIME, WildIds, is_alike,
    is_named, readable, task_name,
};
use super::departures;

/// How the Go program begins the alert of a task that is late.
const UNFINISHED: &str = "INCOMPLETE";

pub(super) fn compare_chain(
    replay: &Replay<'_>,
    chain: OldChain,
    tally: &mut ComparisonTally<'_>,
) -> anyhow::Result<()> {
    // A part of a chain would show differences that the whole chain doesn't have.
    if chain.is_cut {
        tally.leave_out("tasks of chains with more than 10,000 records", chain.tasks.len() as u64);
        return Ok(());
    }
    let mut records = ChainRecords::new(replay, chain);
    let mut missing = Vec::new();
    // Oldest first: an earlier result has the first claim to a record that fits several.
    for nth in 0..records.tasks.len() {
        records.follow_task(nth, &mut missing, tally)?;
    }
    // Only now: what is left over belongs to no other result.
    for missing in &missing {
        records.judge_missing(missing, tally)?;
    }
    records.judge_extra_tasks(tally)?;
    records.judge_extra_alerts(tally)
}

struct ChainTask {
    task: OldTask,
    meta: Query,
    /// How often it was tried before.
    retries: u32,
    /// Whether a result leads to it.
    is_claimed: bool,
}

impl ChainTask {
    fn new(task: OldTask) -> Self {
        let meta = Query::parse_lenient(&task.meta);
        let retries = retries_in_meta(&meta);
        Self { task, meta, retries, is_claimed: false }
    }

    fn is_given_up(&self) -> bool {
        self.meta.first_value("retry") == Some("failed")
    }

    /// Whether a person started it anew; its retries say so, too.
    fn is_rerun(&self) -> bool {
        self.retries == 0 && self.meta.first_value("rerun").is_some()
    }

    fn workflow(&self) -> &str {
        self.meta.first_value("workflow").unwrap_or_default()
    }

    /// Its job, also where only its meta has it.
    fn job(&self) -> &str {
        match self.task.job.as_str() {
            "" => self.meta.first_value("job").unwrap_or_default(),
            job => job,
        }
    }

    fn decided_at(&self) -> DateTime<Utc> {
        // The worker's clock sets `ended`, and it may be behind the clock that set `created`.
        self.task.ended.map_or(self.task.created, |ended| ended.max(self.task.created))
    }

    /// The result as it came: before the Go program noted that it gives up.
    fn decide(&self, replay: &Replay<'_>, result: TaskResult) -> TaskDecision {
        let OldTask { topic, job, id, info, msg, created, .. } = self.task.clone();
        let mut meta = self.meta.clone();
        // `retry=failed` forbids a retry here, so a retry that is due would not be noticed.
        if self.is_given_up() {
            meta.set_value("retry", self.retries.to_string());
            meta.remove_key("retried");
        }
        // The Go program has one id for all tasks of a chain.
        let foreign = ForeignTask { topic, job, chain: id.clone(), id, info, meta: meta.to_text(), created };
        let at = self.decided_at();
        // The recorded meta holds what the worker added, so the outcome adds nothing.
        let outcome = WorkerOutcome { result, msg, meta: String::new(), started: None, ended: Some(at) };
        let task = foreign.to_attempt();
        decide_result_with(replay.workflows(), &task, &outcome, at, ANY_HOST, &mut WildIds, replay.files)
    }
}

/// What follows from a result here, and wasn't found there.
struct MissingRecord<'a> {
    kind: ComparedKind,
    /// The place of the task with the result.
    parent: usize,
    topic: String,
    job: String,
    info: String,
    retries: u32,
    phase: Option<&'a Phase>,
    is_judged: bool,
    /// Why it is never there.
    departure: Option<&'static str>,
}

impl<'a> MissingRecord<'a> {
    fn of_task(kind: ComparedKind, parent: usize, task: &NewTask, phase: Option<&'a Phase>, is_judged: bool) -> Self {
        let NewTask { topic, job, info, retry, .. } = task;
        let (topic, job, info) = (topic.clone(), job.clone(), info.clone());
        Self { kind, parent, topic, job, info, retries: *retry, phase, is_judged, departure: None }
    }
}

struct ChainRecords<'a> {
    replay: &'a Replay<'a>,
    tasks: Vec<ChainTask>,
    alerts: Vec<(OldAlert, bool)>,
    /// Whether records of this chain lie below others that replaced them.
    is_overwritten: bool,
}

impl<'a> ChainRecords<'a> {
    fn new(replay: &'a Replay<'a>, chain: OldChain) -> Self {
        let mut tasks: Vec<ChainTask> = chain.tasks.into_iter().map(ChainTask::new).collect();
        // The first attempt goes before its retry where both were created in one second.
        tasks.sort_by_key(|one| (one.task.created, one.retries, one.task.number));
        let mut alerts: Vec<(OldAlert, bool)> = chain.alerts.into_iter().map(|alert| (alert, false)).collect();
        alerts.sort_by_key(|(alert, _)| (alert.at, alert.number));
        Self { replay, tasks, alerts, is_overwritten: false }
    }

    fn follow_task(
        &mut self,
        nth: usize,
        missing: &mut Vec<MissingRecord<'a>>,
        tally: &mut ComparisonTally<'_>,
    ) -> anyhow::Result<()> {
        let one = &self.tasks[nth];
        let Ok(result) = one.task.result.parse::<TaskResult>() else {
            let is_open = one.task.result.is_empty();
            let why = if is_open { "tasks without a result" } else { "tasks with another result than the four" };
            tally.leave_out(why, u64::from(self.replay.is_judged(one.task.created)));
            return Ok(());
        };
        let decision = one.decide(self.replay, result);
        let is_judged = self.replay.is_judged(one.decided_at());
        for child in &decision.children {
            if self.claim_child(nth, child) {
                tally.add_same(ComparedKind::Child, is_judged);
            } else {
                let phase = self.phase_of_child(nth, child);
                missing.push(MissingRecord::of_task(ComparedKind::Child, nth, child, phase, is_judged));
            }
        }
        if let Some(retry) = &decision.retry {
            missing.extend(self.follow_retry(nth, retry, is_judged, tally));
        }
        for alert in &decision.alerts {
            missing.extend(self.follow_alert(nth, alert, is_judged, tally));
        }
        if decision.given_up && is_judged {
            self.check_mark(nth, tally)?;
        }
        Ok(())
    }

    /// Takes the first task that nothing else led to, of those after the one at `nth` that fit.
    fn claim_task(&mut self, nth: usize, fits: impl Fn(&ChainTask) -> bool) -> Option<usize> {
        let since = self.tasks[nth].task.created;
        let found = self.tasks.iter().enumerate().position(|(place, one)| {
            // A person starts a rerun: to claim it would hide that the expected task is missing.
            place != nth && !one.is_claimed && !one.is_rerun() && one.task.created >= since && fits(one)
        })?;
        self.tasks[found].is_claimed = true;
        Some(found)
    }

    fn claim_child(&mut self, nth: usize, child: &NewTask) -> bool {
        let found = self.claim_task(nth, |one| {
            let task = &one.task;
            // A retry follows from a failed attempt, never from the parent.
            one.retries == 0
                && (task.topic == child.topic && task.job == child.job)
                && is_alike(&child.info, &task.info)
        });
        found.is_some()
    }

    fn phase_of_child(&self, nth: usize, child: &NewTask) -> Option<&'a Phase> {
        let one = &self.tasks[nth];
        let mut phases = self.replay.workflows().children_of(&child.workflow, &one.task.topic, one.job());
        phases.find(|phase| is_named(phase, &child.topic, &child.job))
    }

    fn phase_of(&self, nth: usize) -> Option<&'a Phase> {
        let one = &self.tasks[nth];
        self.replay.workflows().phase_for(one.workflow(), &one.task.topic, one.job())
    }

    fn follow_retry(
        &mut self,
        nth: usize,
        retry: &NewTask,
        is_judged: bool,
        tally: &mut ComparisonTally<'_>,
    ) -> Option<MissingRecord<'a>> {
        let found = self.claim_task(nth, |one| {
            let task = &one.task;
            // Infos must be equal: a retry repeats the info of the failed attempt, uuids included.
            one.retries == retry.retry
                && (task.topic == retry.topic && task.job == retry.job && task.info == retry.info)
        });
        if found.is_some() {
            tally.add_same(ComparedKind::Retry, is_judged);
            return None;
        }
        let (one, phase) = (&self.tasks[nth], self.phase_of(nth));
        // With the longest jitter: no retry may count as missing before it can have started.
        let wait = phase.map_or(TimeDelta::zero(), |phase| phase.rule.retry_delay.delay_before(retry.retry, u64::MAX));
        let due = one.decided_at() + wait + SETTLING_TIME;
        if due > self.replay.last {
            tally.leave_out("retries that may still wait", u64::from(is_judged));
            return None;
        }
        if one.is_given_up() {
            // It gave up where there would have been a retry: its alert is the same difference.
            self.claim_alert(nth);
        }
        Some(MissingRecord::of_task(ComparedKind::Retry, nth, retry, phase, is_judged))
    }

    fn follow_alert(
        &mut self,
        nth: usize,
        alert: &NewAlert,
        is_judged: bool,
        tally: &mut ComparisonTally<'_>,
    ) -> Option<MissingRecord<'a>> {
        // The Go program records no alert for these, so none of its records may be claimed for one.
        let departure = match alert.kind {
            AlertKind::Result => Some(departures::ALERT_RESULT),
            AlertKind::CreateFailed => Some(departures::CHILD_ROWS),
            AlertKind::UnknownPhase => Some(departures::UNKNOWN_PHASE),
            _ => None,
        };
        // Without a table of alerts each of them would seem to be missing.
        if !self.replay.has_alerts {
            return None;
        }
        if departure.is_none() && self.claim_alert(nth) {
            tally.add_same(ComparedKind::Alert, is_judged);
            return None;
        }
        let (kind, phase) = (ComparedKind::Alert, self.phase_of(nth));
        let NewAlert { topic, job, msg: info, .. } = alert.clone();
        Some(MissingRecord { kind, parent: nth, topic, job, info, retries: 0, phase, is_judged, departure })
    }

    fn claim_alert(&mut self, nth: usize) -> bool {
        let one = &self.tasks[nth];
        let found = self.alerts.iter_mut().find(|(alert, is_claimed)| {
            // The alert may name a job that only the meta of its task has.
            let is_about = alert.topic == one.task.topic && (alert.job == one.task.job || alert.job == one.job());
            is_about && !is_claimed && !alert.msg.starts_with(UNFINISHED) && alert.at >= one.task.created
        });
        found.map(|(_, is_claimed)| *is_claimed = true).is_some()
    }

    /// What failed for good says so there, unless the failed topic is off.
    fn check_mark(&self, nth: usize, tally: &mut ComparisonTally<'_>) -> anyhow::Result<()> {
        let one = &self.tasks[nth];
        let is_next = |other: &ChainTask| is_same_work(&one.task, &other.task) && other.retries > one.retries;
        // One that went on is the retry's difference.
        if one.is_given_up() || self.tasks.iter().any(is_next) {
            return Ok(());
        }
        let hint = "its meta has no `retry=failed`";
        let class = DifferenceClass::Departure(departures::FAILED_TOPIC);
        tally.add_difference(&self.difference_there(ComparedKind::Retry, nth, class, hint))
    }

    fn judge_missing(&mut self, missing: &MissingRecord<'a>, tally: &mut ComparisonTally<'_>) -> anyhow::Result<()> {
        let (departure, hint) = match missing.kind {
            _ if missing.departure.is_some() => (missing.departure, String::new()),
            ComparedKind::Child => self.explain_child(missing),
            ComparedKind::Retry => self.explain_retry(missing),
            _ => self.explain_alert(missing),
        };
        // What isn't judged explains other records, too.
        if !missing.is_judged {
            return Ok(());
        }
        let class = departure.map_or(DifferenceClass::OnlyHere, DifferenceClass::Departure);
        tally.add_difference(&self.difference_here(missing, class, hint))
    }

    fn explain_child(&mut self, missing: &MissingRecord<'a>) -> (Option<&'static str>, String) {
        let (nth, topic, job) = (missing.parent, &missing.topic, &missing.job);
        let is_of_name = |one: &ChainTask| one.task.topic == *topic && one.task.job == *job;
        let is_retry = |one: &ChainTask| is_of_name(one) && one.retries > 0 && is_alike(&missing.info, &one.task.info);
        let meta = self.tasks[nth].meta.clone();
        let phase = missing.phase;
        // Two of one second are one row there; so is a task with its own quick retry.
        let has_twin = |records: &Self| {
            let twins = records.tasks.iter().filter(|one| is_of_name(one) && one.is_claimed);
            let parent = &records.tasks[nth];
            let mut twins = twins.filter(|one| one.task.created >= parent.task.created && one.retries == 0);
            records.expects_several(nth, topic, job) && twins.next().is_some()
        };
        if self.claim_task(nth, is_retry).is_some() || has_twin(self) {
            self.is_overwritten = true;
            return (Some(departures::OVERWRITTEN), String::new());
        }
        let other = self.find_other(nth, &is_of_name);
        let found = other.map(|place| self.tasks[place].task.info.clone());
        let by_info = phase.zip(found.as_deref());
        let by_info = by_info.and_then(|(phase, found)| departures::of_info(phase, &meta, &missing.info, found));
        let by_phase = || phase.and_then(|phase| departures::of_child(self.replay.workflows(), phase, &meta));
        let by_file = || self.replay.spelled.get(&phase?.workflow).copied();
        // The info is the narrowest reason, so it goes first; the spelling of a whole file goes last.
        let departure = by_info.or_else(by_phase).or_else(by_file);
        // The other task would else be a second difference with the same reason.
        if let Some(place) = other.filter(|_| departure.is_some()) {
            self.tasks[place].is_claimed = true;
        }
        let hint = match found {
            Some(found) => format!("there its info is {found}"),
            None => format!("row {} of task_records is complete", self.tasks[nth].task.number),
        };
        (departure, hint)
    }

    /// Whether a result leads to several tasks of a name.
    fn expects_several(&self, nth: usize, topic: &str, job: &str) -> bool {
        let one = &self.tasks[nth];
        let children = self.replay.workflows().children_of(one.workflow(), &one.task.topic, one.job());
        let ready = children.filter(|phase| is_named(phase, topic, job) && phase.rule.is_ready(&one.meta));
        ready.count() > 1
    }

    /// A task of a name that no result leads to, and that isn't the chain's first.
    fn find_other(&self, nth: usize, is_of_name: &dyn Fn(&ChainTask) -> bool) -> Option<usize> {
        let root = self.root();
        let since = self.tasks[nth].task.created;
        self.tasks.iter().enumerate().position(|(place, one)| {
            let is_free = !one.is_claimed && !one.is_rerun() && Some(place) != root;
            is_free && one.retries == 0 && one.task.created >= since && is_of_name(one)
        })
    }

    fn explain_retry(&mut self, missing: &MissingRecord<'a>) -> (Option<&'static str>, String) {
        let parent = missing.parent;
        let (task, job) = (self.tasks[parent].task.clone(), self.tasks[parent].job().to_owned());
        let workflow = self.tasks[parent].workflow().to_owned();
        let later = |one: &ChainTask| is_same_work(&task, &one.task) && one.retries > missing.retries;
        let with_job =
            |one: &ChainTask| one.retries == missing.retries && one.task.topic == task.topic && one.task.job == job;
        let is_quick = missing.phase.is_some_and(|phase| {
            phase.rule.retry_delay.delay_before(missing.retries, u64::MAX) < TimeDelta::seconds(1)
        });
        // Also where it isn't quick: what comes after the missing one isn't another difference.
        if self.claim_task(parent, later).is_some() && is_quick {
            self.is_overwritten = true;
            return (Some(departures::OVERWRITTEN), String::new());
        }
        // The Go program may write the job of the meta into the retry.
        if task.job != job && self.claim_task(parent, with_job).is_some() {
            return (Some(departures::META_JOB), String::new());
        }
        let departure = departures::of_failure(self.replay.workflows(), &workflow, &task.topic, &job);
        let hint = format!(
            "row {} of task_records failed; a retry that waits is lost when the program stops",
            self.tasks[parent].task.number
        );
        (departure, hint)
    }

    fn explain_alert(&self, missing: &MissingRecord<'a>) -> (Option<&'static str>, String) {
        let one = &self.tasks[missing.parent];
        let departure = departures::of_alert(self.replay.workflows(), one.workflow(), &one.task.topic, one.job());
        (departure, format!("row {} of task_records failed for good", one.task.number))
    }

    /// The task that the chain began with, as far as there are records.
    fn root(&self) -> Option<usize> {
        let first = self.tasks.first()?.task.created;
        // A claimed task follows from a result, so the chain didn't begin with it.
        self.tasks.iter().position(|one| !one.is_claimed && one.task.created == first)
    }

    fn judge_extra_tasks(&self, tally: &mut ComparisonTally<'_>) -> anyhow::Result<()> {
        let root = self.root();
        for (nth, one) in self.tasks.iter().enumerate() {
            if one.is_claimed || Some(nth) == root || !self.replay.is_judged(one.task.created) {
                continue;
            }
            if let Some(why) = self.why_unknown(one) {
                tally.leave_out(why, 1);
                continue;
            }
            let (kind, departure, hint) = if one.retries > 0 { self.extra_retry(nth) } else { self.extra_child(nth) };
            let class = departure.map_or(DifferenceClass::OnlyThere, DifferenceClass::Departure);
            tally.add_difference(&self.difference_there(kind, nth, class, &hint))?;
        }
        Ok(())
    }

    /// Why nobody can say where a task comes from: a person started it, or the Go program removed what was before it.
    fn why_unknown(&self, one: &ChainTask) -> Option<&'static str> {
        if one.is_rerun() {
            return Some("tasks that people started");
        }
        let has_record = |fits: &dyn Fn(&ChainTask) -> bool| self.tasks.iter().any(fits);
        if one.retries > 0 {
            let has_first = has_record(&|other| is_same_work(&one.task, &other.task));
            return (!has_first).then_some("tasks whose parent has no record");
        }
        let file = self.replay.workflows().file_at(one.workflow())?;
        let parent = file.first_phase(&one.task.topic, one.job())?.depends_on.as_ref()?;
        // A dependency without a job is on all jobs of its topic.
        let is_parent = |other: &ChainTask| {
            other.task.topic == parent.topic && (parent.job.is_empty() || other.job() == parent.job)
        };
        (!has_record(&is_parent)).then_some("tasks whose parent has no record")
    }

    fn extra_retry(&self, nth: usize) -> (ComparedKind, Option<&'static str>, String) {
        let one = &self.tasks[nth];
        // The Go program retries a task that a person sent again after it had failed for good.
        let is_anew = |other: &ChainTask| {
            other.is_given_up() && is_same_work(&one.task, &other.task) && other.retries >= one.retries
        };
        let departure = if self.tasks[..nth].iter().any(is_anew) {
            Some(departures::RETRY_FAILED)
        } else {
            departures::of_failure(self.replay.workflows(), one.workflow(), &one.task.topic, one.job())
        };
        (ComparedKind::Retry, departure, format!("retry {}: no failed task leads to it here", one.retries))
    }

    fn extra_child(&self, nth: usize) -> (ComparedKind, Option<&'static str>, String) {
        let one = &self.tasks[nth];
        let is_twin = |other: &ChainTask| other.is_claimed && is_same_work(&one.task, &other.task);
        let has_twin = self.tasks.iter().any(is_twin);
        let by_phase =
            || departures::of_extra_child(self.replay.workflows(), one.workflow(), &one.task.topic, one.job());
        // The row that led to it may be the one that was replaced.
        let departure = if self.is_overwritten { Some(departures::OVERWRITTEN) } else { by_phase() };
        let hint = if has_twin {
            "it was started twice: a result that the bus delivers twice does that"
        } else {
            "no result of its chain leads to it here"
        };
        (ComparedKind::Child, departure, hint.to_owned())
    }

    fn judge_extra_alerts(&self, tally: &mut ComparisonTally<'_>) -> anyhow::Result<()> {
        let unclaimed = self.alerts.iter().filter(|(_, is_claimed)| !is_claimed).map(|(alert, _)| alert);
        for alert in unclaimed.filter(|alert| self.replay.is_judged(alert.at)) {
            if alert.msg.starts_with(UNFINISHED) {
                tally.leave_out("alerts about unfinished tasks", 1);
                continue;
            }
            // An alert names no attempt, so the newest task of its topic stands for it.
            let Some(about) = self.tasks.iter().rfind(|one| one.task.topic == alert.topic) else {
                tally.leave_out("alerts whose task has no record", 1);
                continue;
            };
            let workflow = about.workflow().to_owned();
            let workflows = self.replay.workflows();
            let departure = if self.is_overwritten {
                Some(departures::OVERWRITTEN)
            } else {
                departures::of_alert(workflows, &workflow, &alert.topic, &alert.job)
            };
            tally.add_difference(&Difference {
                class: departure.map_or(DifferenceClass::OnlyThere, DifferenceClass::Departure),
                kind: ComparedKind::Alert,
                at: alert.at,
                task: task_name(&alert.topic, &alert.job),
                workflow,
                id: alert.id.clone(),
                info: alert.msg.clone(),
                hint: format!("row {} of alert_records: no task failed for good", alert.number),
            })?;
        }
        Ok(())
    }

    fn difference_here(&self, missing: &MissingRecord<'_>, class: DifferenceClass, hint: String) -> Difference {
        let parent = &self.tasks[missing.parent];
        let hint =
            if missing.kind == ComparedKind::Retry { format!("retry {}: {hint}", missing.retries) } else { hint };
        Difference {
            class,
            kind: missing.kind,
            at: parent.decided_at(),
            task: task_name(&missing.topic, &missing.job),
            workflow: parent.workflow().to_owned(),
            id: parent.task.id.clone(),
            info: readable(&missing.info),
            hint,
        }
    }

    fn difference_there(&self, kind: ComparedKind, nth: usize, class: DifferenceClass, hint: &str) -> Difference {
        let one = &self.tasks[nth];
        Difference {
            class,
            kind,
            at: one.task.created,
            task: task_name(&one.task.topic, &one.task.job),
            workflow: one.workflow().to_owned(),
            id: one.task.id.clone(),
            info: one.task.info.clone(),
            hint: format!("row {} of task_records: {hint}", one.task.number),
        }
    }
}

/// Whether two attempts are of one task.
fn is_same_work(one: &OldTask, other: &OldTask) -> bool {
    one.number != other.number && one.topic == other.topic && one.job == other.job && one.info == other.info
}

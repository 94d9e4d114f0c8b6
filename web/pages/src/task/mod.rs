//! One attempt: what it is, where it stands, its chain drawn and on a common scale of time.

mod act;
mod graph;
mod log;

use flowlord_domain::task_time::task_time;
use flowlord_domain::workflow::PhaseContact;
use flowlord_domain::{TaskLane, TaskResult, TaskState};
use flowlord_messages::tasks::{ChainStart, ReadChainStart};
use flowlord_messages::workflows::ReadLoadedWorkflows;
use flowlord_web_core::auth::may_change;
use flowlord_web_core::use_cases::tasks::{parse_uid, read_task};
use flowlord_web_core::use_cases::waiting::explain_tasks;

use self::graph::ChainGraph;
use self::log::{ShownLog, read_shown, whole_link};
use super::linked::LinkedText;
use super::rows::{SpanBar, TaskRow};
use super::when::{ShownTime, span};
use super::{NavigationSection, PageLayout, PageLink, answer};
use crate::prelude::*;

pub(crate) use self::act::change_task;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::view("/web/task/{uid}", Role::Viewer, task),
        Route::get("/web/task/{uid}/log", Role::Viewer, log::follow),
        Route::post("/web/task/{uid}", Role::Operator, change_task).audited_as(action_of_form),
    ]
}

pub(crate) fn action_of_form(_: &str, form: &str) -> AuditAction {
    match Query::parse_lenient(form).first_value("do") {
        Some("again") => AuditAction::Rerun,
        Some("cancel") => AuditAction::Cancel,
        Some("complete") => AuditAction::Complete,
        _ => AuditAction::Other,
    }
}

const LISTED: usize = 200;

#[derive(Template)]
#[template(path = "task.html")]
struct TaskPage {
    layout: PageLayout,
    row: TaskRow,
    task: Attempt,
    name: String,
    offer: TaskAction,
    can_complete: bool,
    facts: Vec<(&'static str, TaskFact)>,
    meta: Vec<(String, String)>,
    links: Vec<(String, String)>,
    workflow_link: String,
    contact: PhaseContact,
    chain_link: String,
    day: NaiveDate,
    log: Option<ShownLog>,
    whole_log: String,
    graph: ChainGraph,
    /// Those of its chain.
    tasks: Vec<TaskRow>,
    more: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TaskAction {
    Nothing,
    Again,
    Cancel,
    /// Its worker was asked to stop.
    Cancelled,
}

enum TaskFact {
    Text(String),
    Time(ShownTime),
    Task(Uid),
}

impl TaskFact {
    fn full_time(at: DateTime<Utc>) -> Self {
        Self::Time(ShownTime::full(at))
    }

    fn length_of(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Option<Self> {
        Some(Self::Text(span(to? - from?)))
    }
}

pub(crate) async fn task(context: ContextRef, path: Path<String>, request: HttpRequest) -> Answer {
    answer(&context, &request, page(&context, &request, &path)).await
}

async fn page(context: &WebContext, request: &HttpRequest, path: &str) -> Result<TaskPage, Problem> {
    let params = QueryParams::parse(request.query_string(), &["date", "log_q"])?;
    let mut layout = PageLayout::live(context, request, NavigationSection::Tasks);
    let uid = parse_uid(path)?;
    let task = read_task(context, uid).await?;
    let cause = explain_tasks(context, std::slice::from_ref(&task)).await.pop().flatten();
    let asked = ReadChainStart { id: task.id.clone(), limit: LISTED };
    let chain = layout.read("the chain", context.deps.view_reader.call(asked).await)?;
    let ChainStart { attempts: mut chain, mut more } = chain.unwrap_or_default();
    // The one that is looked at is listed also where it is one of the others.
    if chain.iter().all(|attempt| attempt.uid != uid) {
        chain.push(task.clone());
        more = more.saturating_sub(1);
    }
    let log = read_shown(context, &mut layout, &task, params.one("log_q")?.unwrap_or_default()).await?;
    let workflows = layout.read("the workflows", context.deps.library.call(ReadLoadedWorkflows).await)?;
    let phase = workflows.iter().find_map(|read| read.workflows.phase_for(&task.workflow, &task.topic, &task.job));
    let contact = phase.map(|phase| phase.contact.clone()).unwrap_or_default();
    let now = context.deps.kit.now();
    let scale = TimeScale::of_chain(&chain, now);
    let day = task.uid.created_at().date_naive();
    Ok(TaskPage {
        layout,
        offer: TaskAction::of(&task, may_change(context, request)),
        can_complete: may_change(context, request) && is_completable(&task, &chain),
        facts: task_facts(&task, now),
        meta: Query::parse_lenient(&task.meta).pairs().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        links: links(context, &task, now),
        workflow_link: PageLink::to("/web/workflow").with("file", &task.workflow).href(),
        contact,
        chain_link: PageLink::to("/web/task").with("date", &day).with("id", &task.id).href(),
        day,
        log,
        whole_log: whole_link(uid),
        graph: ChainGraph::new(&chain, uid, more),
        more,
        tasks: chain.into_iter().map(|task| scale.row(task, uid, now)).collect(),
        name: line_key(&task.topic, &task.job),
        row: TaskRow::with_cause(task.clone(), cause, now),
        task,
    })
}

impl TaskAction {
    fn of(task: &Attempt, may_change: bool) -> Self {
        match task.state {
            TaskState::Done if may_change => Self::Again,
            TaskState::Done => Self::Nothing,
            _ if task.cancelled => Self::Cancelled,
            _ if may_change => Self::Cancel,
            _ => Self::Nothing,
        }
    }
}

/// Whether it isn't complete, and is the last attempt of its task.
fn is_completable(task: &Attempt, chain: &[Attempt]) -> bool {
    let same = |other: &&Attempt| (&other.topic, &other.job, &other.info) == (&task.topic, &task.job, &task.info);
    task.result != Some(TaskResult::Complete) && !chain.iter().filter(same).any(|other| other.uid > task.uid)
}

fn task_facts(task: &Attempt, now: DateTime<Utc>) -> Vec<(&'static str, TaskFact)> {
    let created = task.uid.created_at();
    // A delay until a set time is no queue time.
    let queued = task.not_before.map_or(created, |at| at.max(created));
    let until = task.ended.or((task.state == TaskState::Leased).then_some(now));
    let about = task_time(&task.info, &Query::parse_lenient(&task.meta));
    let all = [
        ("Task time", about.map(|at| TaskFact::Time(ShownTime::date_and_time(at)))),
        ("Created", Some(TaskFact::full_time(created))),
        ("Not before", task.not_before.map(TaskFact::full_time)),
        ("Started", task.started.map(TaskFact::full_time)),
        ("Ended", task.ended.map(TaskFact::full_time)),
        ("Queue time", TaskFact::length_of(Some(queued), task.started)),
        ("Run time", TaskFact::length_of(task.started, until)),
        ("Worker", Some(task.worker.clone()).filter(|worker| !worker.is_empty()).map(TaskFact::Text)),
        ("Attempt", Some(TaskFact::Text(task.retry.saturating_add(1).to_string()))),
        // Once is what people expect.
        ("Leased", (task.delivery != 1).then(|| TaskFact::Text(times_leased(task.delivery)))),
        ("Lease until", task.lease_expires.filter(|_| task.state == TaskState::Leased).map(TaskFact::full_time)),
        ("Times out", task.times_out.filter(|_| task.state == TaskState::Leased).map(TaskFact::full_time)),
        ("Parent", task.parent.map(TaskFact::Task)),
        ("Lane", (task.lane == TaskLane::Backload).then(|| TaskFact::Text("backload".to_owned()))),
    ];
    all.into_iter().filter_map(|(label, fact)| Some((label, fact?))).collect()
}

/// The links that the operator chose, as far as the task has what stands in them.
fn links(context: &WebContext, task: &Attempt, now: DateTime<Utc>) -> Vec<(String, String)> {
    let links = context.config.links.iter();
    links.filter_map(|link| Some((link.name().to_owned(), link.address(task, now)?))).collect()
}

fn times_leased(count: u32) -> String {
    match count {
        0 => "never".to_owned(),
        count => format!("{count} times"),
    }
}

/// The scale of a chain's time, from the first attempt's creation to the last one's end.
struct TimeScale {
    first: DateTime<Utc>,
    length: TimeDelta,
}

impl TimeScale {
    fn of_chain(chain: &[Attempt], now: DateTime<Utc>) -> Self {
        let first = chain.iter().map(|task| task.uid.created_at()).min().unwrap_or(now);
        let ends = chain.iter().map(|task| task.ended.or(task.started).unwrap_or_else(|| task.uid.created_at()));
        let open = chain.iter().any(|task| task.state != TaskState::Done);
        let last = ends.max().unwrap_or(now).max(if open { now } else { first });
        // Parts are divided by it: a task that came with its result takes no time.
        Self { first, length: (last - first).max(TimeDelta::milliseconds(1)) }
    }

    /// The row of a task of the chain, whose bar stands at its place in the chain's time.
    fn row(&self, task: Attempt, current: Uid, now: DateTime<Utc>) -> TaskRow {
        let created = task.uid.created_at();
        let ended = task.ended.unwrap_or(if task.state == TaskState::Done { created } else { now });
        let bar = SpanBar::within((self.first, self.length), [created, task.started.unwrap_or(ended), ended]);
        TaskRow { bar: Some(bar), is_current: task.uid == current, ..TaskRow::new(task, now) }
    }
}

#[cfg(test)]
mod tests {
    use flowlord_testkit::sample::{attempt, finished, leased, noon};

    use super::*;

    #[test]
    fn what_is_offered_depends_on_the_state_and_the_role() {
        let cancelled = Attempt { cancelled: true, ..leased(1) };
        for (task, may, may_not) in [
            (finished(1), TaskAction::Again, TaskAction::Nothing),
            (attempt(1), TaskAction::Cancel, TaskAction::Nothing),
            (leased(1), TaskAction::Cancel, TaskAction::Nothing),
            (cancelled, TaskAction::Cancelled, TaskAction::Cancelled),
        ] {
            let offered = [true, false].map(|may_change| TaskAction::of(&task, may_change));
            assert_eq!(offered, [may, may_not], "{:?}", task.state);
        }
    }

    #[test]
    fn only_the_last_attempt_of_a_task_can_be_marked_complete() {
        let failed = |n: i64| Attempt { result: Some(TaskResult::Error), ..finished(n) };
        let other = Attempt { topic: "other".to_owned(), ..failed(3) };
        let chain = [failed(1), failed(2), other];
        let offered = chain.each_ref().map(|task| is_completable(task, &chain));
        assert_eq!(offered, [false, true, true]);
        let complete = Attempt { result: Some(TaskResult::Complete), ..failed(2) };
        assert!(is_completable(&leased(2), &chain[..1]) && !is_completable(&complete, &chain));
    }

    fn facts(task: &Attempt) -> Vec<(&'static str, String)> {
        let facts = task_facts(task, noon() + TimeDelta::seconds(60)).into_iter();
        facts
            .map(|(label, fact)| match fact {
                TaskFact::Text(text) => (label, text),
                TaskFact::Time(time) => (label, time.text),
                TaskFact::Task(uid) => (label, uid.to_string()),
            })
            .collect()
    }

    #[test]
    fn facts_that_a_task_does_not_have_are_left_out() {
        let told = facts(&leased(0));
        let labels: Vec<_> = told.iter().map(|(label, _)| *label).collect();
        let expected =
            ["Task time", "Created", "Started", "Queue time", "Run time", "Worker", "Attempt", "Lease until"];
        assert_eq!(labels, expected);
        assert_eq!((told[4].1.as_str(), told[7].1.as_str()), ("1m", "2026-03-02 12:01:00"), "it runs until now");
        let told = facts(&Attempt {
            lane: TaskLane::Backload,
            not_before: Some(noon() + TimeDelta::seconds(1)),
            ..finished(0)
        });
        for fact in
            [("Queue time", "1s"), ("Run time", "3s"), ("Attempt", "2"), ("Leased", "2 times"), ("Lane", "backload")]
        {
            assert!(told.contains(&(fact.0, fact.1.to_owned())), "{fact:?}: {told:?}");
        }
        assert!(facts(&attempt(0)).contains(&("Leased", "never".to_owned())));
    }

    #[test]
    fn a_chain_is_drawn_on_the_scale_of_its_own_time() {
        let (first, last) = (finished(0), finished(0));
        let scale = TimeScale::of_chain(&[first], noon() + TimeDelta::hours(1));
        assert_eq!(scale.length, TimeDelta::seconds(5), "it is over: now is no part of it");
        let row = scale.row(last, Uid(0), noon());
        assert_eq!((row.bar, row.is_current), (Some(SpanBar { start: 0, wait: 400, run: 600 }), false));
        let late =
            scale.row(Attempt { started: None, ended: None, ..finished(4_999_000) }, finished(4_999_000).uid, noon());
        assert_eq!((late.bar, late.is_current), (Some(SpanBar { start: 1_000, wait: 0, run: 4 }), true), "still seen");
        let open = TimeScale::of_chain(&[leased(0)], noon() + TimeDelta::seconds(10));
        assert_eq!(open.length, TimeDelta::seconds(10), "it goes on");
        let at_once = Attempt { started: None, ended: None, ..finished(0) };
        assert_eq!(
            TimeScale::of_chain(&[at_once], noon()).length,
            TimeDelta::milliseconds(1),
            "parts are divided by it"
        );
    }
}

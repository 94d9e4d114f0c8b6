//! One attempt: what it is, where it stands, its chain drawn and on a common scale of time.

mod act;
mod graph;

use actix_web::HttpRequest;
use actix_web::web::Path;
use askama::Template;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use flowlord_domain::query::Query;
use flowlord_domain::summary::line_key;
use flowlord_domain::task_time::task_time;
use flowlord_domain::{Attempt, Role, TaskLane, TaskState, Uid};
use flowlord_messages::audit::AuditAction;
use flowlord_messages::tasks::{ChainStart, ReadChainStart};
use flowlord_web_core::auth::may_change;
use flowlord_web_core::context::{ContextRef, WebContext};
use flowlord_web_core::params::QueryParams;
use flowlord_web_core::problem::{Answer, Problem};
use flowlord_web_core::route::Route;
use flowlord_web_core::use_cases::tasks::{parse_uid, read_task};

use self::graph::ChainGraph;
use super::rows::TaskRow;
use super::when::{ShownTime, span};
use super::{NavigationSection, PageLayout, PageLink, answer};

pub(crate) use self::act::act;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::view("/web/task/{uid}", Role::Viewer, task),
        Route::post("/web/task/{uid}", Role::Operator, act).audited_as(action_of_form),
    ]
}

fn action_of_form(_: &str, form: &str) -> AuditAction {
    match Query::parse_lenient(form).first_value("do") {
        Some("again") => AuditAction::Rerun,
        Some("cancel") => AuditAction::Cancel,
        _ => AuditAction::Other,
    }
}

/// How many attempts of the chain are listed.
const LISTED: usize = 200;

#[derive(Template)]
#[template(path = "task.html")]
struct TaskPage {
    layout: PageLayout,
    row: TaskRow,
    task: Attempt,
    name: String,
    /// What can be done about it by the one who looks.
    offer: TaskAction,
    /// `Label`, and what stands there.
    facts: Vec<(&'static str, TaskFact)>,
    meta: Vec<(String, String)>,
    workflow_link: String,
    chain_link: String,
    /// The day of that link.
    day: NaiveDate,
    graph: ChainGraph,
    chain: Vec<ChainRow>,
    more: usize,
}

/// What a form of the page can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TaskAction {
    Nothing,
    Again,
    Cancel,
    /// Its worker was asked to stop.
    Cancelled,
}

/// A value of a task.
#[derive(Debug)]
enum TaskFact {
    Text(String),
    Time(ShownTime),
    Task(Uid),
}

/// An attempt of the chain with its bar.
#[derive(Debug)]
struct ChainRow {
    row: TaskRow,
    current: bool,
    /// Where its waiting and its running begin and how long they are, in thousandths of the chain's time.
    waiting: (String, String),
    running: (String, String),
}

pub(crate) async fn task(context: ContextRef, path: Path<String>, request: HttpRequest) -> Answer {
    answer(&context, &request, page(&context, &request, &path)).await
}

async fn page(context: &WebContext, request: &HttpRequest, path: &str) -> Result<TaskPage, Problem> {
    QueryParams::parse(request.query_string(), &["date"])?;
    let mut layout = PageLayout::live(context, request, NavigationSection::Tasks);
    let uid = parse_uid(path)?;
    let task = read_task(context, uid).await?;
    let asked = ReadChainStart { id: task.id.clone(), limit: LISTED };
    let chain = layout.read("the chain", context.deps.view_reader.call(asked).await);
    let ChainStart { attempts: mut chain, mut more } = chain.unwrap_or_default();
    // The one that is looked at is listed also where it is one of the others.
    if chain.iter().all(|attempt| attempt.uid != uid) {
        chain.push(task.clone());
        more = more.saturating_sub(1);
    }
    let now = context.deps.kit.now();
    let day = task.uid.created_at().date_naive();
    Ok(TaskPage {
        layout,
        offer: TaskAction::of(&task, may_change(context, request)),
        facts: facts(&task, now),
        meta: Query::parse_lenient(&task.meta)
            .pairs()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
        workflow_link: PageLink::to("/web/workflow").with("file", &task.workflow).href(),
        chain_link: PageLink::to("/web/task").with("date", &day).with("id", &task.id).href(),
        day,
        graph: ChainGraph::new(&chain, uid, more),
        more,
        chain: bars(chain, uid, now),
        name: line_key(&task.topic, &task.job),
        row: TaskRow::new(task.clone(), now),
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

fn facts(task: &Attempt, now: DateTime<Utc>) -> Vec<(&'static str, TaskFact)> {
    let created = task.uid.created_at();
    let time = |at: DateTime<Utc>| TaskFact::Time(ShownTime::full(at));
    let length =
        |from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>| Some(TaskFact::Text(span(to? - from?)));
    let running = (task.state == TaskState::Leased).then_some(now);
    let about = task_time(&task.info, &Query::parse_lenient(&task.meta));
    let all = [
        ("Task time", about.map(|at| TaskFact::Time(ShownTime::date_and_time(at)))),
        ("Created", Some(time(created))),
        ("Not before", task.not_before.map(time)),
        ("Started", task.started.map(time)),
        ("Ended", task.ended.map(time)),
        ("Queue time", length(Some(task.not_before.map_or(created, |at| at.max(created))), task.started)),
        ("Run time", length(task.started, task.ended.or(running))),
        ("Worker", Some(task.worker.clone()).filter(|worker| !worker.is_empty()).map(TaskFact::Text)),
        ("Attempt", Some(TaskFact::Text(task.retry.saturating_add(1).to_string()))),
        ("Leased", (task.delivery != 1).then(|| TaskFact::Text(times(task.delivery)))),
        ("Lease until", task.lease_expires.filter(|_| task.state == TaskState::Leased).map(time)),
        ("Parent", task.parent.map(TaskFact::Task)),
        ("Lane", (task.lane == TaskLane::Backload).then(|| TaskFact::Text("backload".to_owned()))),
    ];
    all.into_iter().filter_map(|(label, fact)| Some((label, fact?))).collect()
}

fn times(count: u32) -> String {
    match count {
        0 => "never".to_owned(),
        count => format!("{count} times"),
    }
}

/// The attempts on the scale from the first one's creation to the last one's end.
fn bars(chain: Vec<Attempt>, current: Uid, now: DateTime<Utc>) -> Vec<ChainRow> {
    let end_of = |task: &Attempt| task.ended.or(task.started).unwrap_or_else(|| task.uid.created_at());
    let open = chain.iter().any(|task| task.state != TaskState::Done);
    let first = chain.iter().map(|task| task.uid.created_at()).min().unwrap_or(now);
    let last = chain.iter().map(end_of).max().unwrap_or(now).max(if open { now } else { first });
    let scale = TimeScale { first, length: (last - first).max(TimeDelta::milliseconds(1)) };
    let row = |task: Attempt| {
        let created = task.uid.created_at();
        let end = task.ended.unwrap_or(if task.state == TaskState::Done { created } else { now });
        let started = task.started.unwrap_or(end);
        ChainRow {
            current: task.uid == current,
            waiting: scale.part(created, started),
            running: scale.part(started, end),
            row: TaskRow::new(task, now),
        }
    };
    chain.into_iter().map(row).collect()
}

#[derive(Debug, Clone, Copy)]
struct TimeScale {
    first: DateTime<Utc>,
    length: TimeDelta,
}

impl TimeScale {
    /// Where a span begins and how long it is, in thousandths.
    fn part(self, from: DateTime<Utc>, to: DateTime<Utc>) -> (String, String) {
        #[expect(clippy::cast_precision_loss, reason = "a place on the screen")]
        let place = |span: TimeDelta| {
            span.num_milliseconds().max(0) as f64 / self.length.num_milliseconds() as f64 * 1e3
        };
        (format!("{:.1}", place(from - self.first)), format!("{:.1}", place(to - from)))
    }
}

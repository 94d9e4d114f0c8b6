//! The tasks of a day: figures, the chart by hour, filters, the list.

mod act;
mod filter;
mod list;

use actix_web::HttpRequest;
use askama::Template;
use flowlord_domain::Role;
use flowlord_messages::audit::Action;
use flowlord_messages::stats::{DayStats, Stats, StatsRow};
use flowlord_web_core::auth::may_change;
use flowlord_web_core::context::{ContextRef, WebContext};
use flowlord_web_core::params::Params;
use flowlord_web_core::problem::{Answer, Problem};
use flowlord_web_core::route::Route;

use self::list::{find_tasks, json_href};
use super::calendar::words;
use super::choice::Choice;
use super::parts::{Chart, Figures, Heads, Pager, sum};
use super::rows::TaskRow;
use super::sort::{Column, heads};
use super::when::When;
use super::{Layout, Link, Section, Shown, answer, read};

pub(crate) use self::act::again;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::view("/web/task", Role::Viewer, tasks),
        Route::post("/web/task", Role::Operator, again).audited(Action::Rerun),
    ]
}

const PATH: &str = "/web/task";

const COLUMNS: [Column; 9] = [
    Column { label: "Result", key: "result", figures: false },
    Column { label: "Type", key: "type", figures: false },
    Column { label: "Job", key: "job", figures: false },
    Column { label: "Info", key: "info", figures: false },
    Column { label: "Meta", key: "meta", figures: false },
    Column { label: "Message", key: "msg", figures: false },
    Column { label: "Created", key: "created", figures: true },
    Column { label: "Queue time", key: "queue", figures: true },
    Column { label: "Run time", key: "run", figures: true },
];

#[derive(Template)]
#[template(path = "tasks.html")]
struct TasksPage<'a> {
    layout: Layout<'a>,
    shown: Shown,
    words: String,
    /// What could not be read.
    notices: Vec<String>,
    totals: Totals,
    q: String,
    /// What the form of filters keeps of the address.
    kept: Link,
    chips: Vec<Chip>,
    clear: Option<String>,
    /// Where ticked tasks are sent to run again; none for those who may not.
    again: Option<String>,
    heads: Heads,
    tasks: Vec<TaskRow>,
    looked_until: Option<When>,
    pager: Pager,
    json: String,
}

/// What the rollups say of the day.
#[derive(Debug)]
struct Totals {
    figures: Figures,
    /// Whether the chart has anything to show.
    any: bool,
    chart: Chart,
    choices: Vec<Choice>,
}

/// A filter that stands for itself and is taken away by a click.
#[derive(Debug)]
struct Chip {
    label: String,
    href: String,
}

pub(crate) async fn tasks(context: ContextRef, request: HttpRequest) -> Answer {
    answer(&context, &request, page(&context, &request)).await
}

async fn page<'a>(context: &'a WebContext, request: &HttpRequest) -> Result<TasksPage<'a>, Problem> {
    let params = Params::parse(request.query_string(), filter::PARAMS)?;
    let now = context.deps.kit.now();
    let shown = Shown::of(&params, now)?;
    let link = Link::of(PATH, request.query_string()).without(&["page", "month"]);
    let wanted = find_tasks(&params, shown)?;
    let (sort, descending) = (wanted.sort.as_str(), !wanted.ascending);
    let (layout, stats, found) = tokio::join!(
        Layout::new(context, request, Section::Tasks).live(context).with_picker(context, &link, shown),
        context.deps.view_reader.call(DayStats { day: shown.date }),
        context.deps.view_reader.call(wanted),
    );
    let mut notices = Vec::new();
    let stats = read("the totals", stats, &mut notices).unwrap_or_default();
    let found = read("the tasks", found, &mut notices).unwrap_or_default();
    Ok(TasksPage {
        layout,
        shown,
        words: words(shown.date),
        notices,
        totals: Totals::of(&stats, &params, &link)?,
        q: params.one("q")?.unwrap_or_default().to_owned(),
        kept: link.only(&["date", "hour", "id", "retry", "sort", "order"]),
        chips: chips(&params, &link)?,
        clear: clear(&link),
        again: may_change(context, request).then(|| link.href()),
        heads: Heads { heads: heads(&COLUMNS, &link, sort, descending) },
        tasks: found.tasks.into_iter().map(|task| TaskRow::new(task, now)).collect(),
        looked_until: found.looked_until.map(When::date_and_time),
        pager: Pager::new(&link, found.next.map(|next| next.to_string())),
        json: json_href(&link, &params, shown)?,
    })
}

impl Totals {
    /// Of the chosen types and jobs; the figures also of the chosen hour.
    fn of(stats: &Stats, params: &Params, link: &Link) -> Result<Self, Problem> {
        let narrowed = filter::narrowed(stats, params);
        let hour = filter::hour(params)?;
        let in_hour = |row: &&StatsRow| hour.is_none_or(|hour| row.hour == hour);
        let of_hour = Stats { rows: narrowed.rows.iter().filter(in_hour).cloned().collect() };
        let counts = sum(&of_hour);
        Ok(Self {
            figures: Figures::of_day(&counts, link),
            any: sum(&narrowed).total > 0,
            chart: Chart::of_day(&narrowed, link),
            choices: filter::choices(stats, params, &counts),
        })
    }
}

/// Filters of which there is no list: the hour, a chain, those that are not tried again.
fn chips(params: &Params, link: &Link) -> Result<Vec<Chip>, Problem> {
    let link = link.without(&["cursor"]);
    let hour = filter::hour(params)?.map(|hour| Chip {
        label: format!("{hour:02}:00 to {:02}:00 UTC", hour + 1),
        href: link.without(&["hour"]).href(),
    });
    let ids: Vec<&str> = params.many("id").collect();
    let chain = || Chip { label: format!("chain {}", ids.join(", ")), href: link.without(&["id"]).href() };
    let failed = params
        .one("retry")?
        .map(|_| Chip { label: "no retry left".to_owned(), href: link.without(&["retry"]).href() });
    Ok(hour.into_iter().chain((!ids.is_empty()).then(chain)).chain(failed).collect())
}

/// The page without any filter; none where there is none.
fn clear(link: &Link) -> Option<String> {
    let filtered = filter::FILTERS.iter().any(|name| !link.first(name).is_empty());
    filtered.then(|| link.without(filter::FILTERS).without(&["cursor"]).href())
}

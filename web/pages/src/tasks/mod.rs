//! The tasks of a day: figures, the chart by hour, filters, the list.

mod act;
mod cancel;
pub(crate) mod filter;
mod list;

use flowlord_messages::stats::{DayTotals, ReadDayTotals, StepTotals};
use flowlord_web_core::auth::may_change;
use flowlord_web_core::use_cases::waiting::explain_tasks;

use self::list::{find_tasks, json_href};
use super::chart::{DayChart, read_steps};
use super::choice::{FilterChoice, is_task_chosen};
use super::parts::{FigureRow, Pager, TableHeads, sum_counts};
use super::rows::TaskRow;
use super::sort::{SortColumn, heads};
use super::task::action_of_form;
use super::when::ShownTime;
use super::{NavigationSection, PageLayout, PageLink, ShownDay, rendered};
use crate::prelude::*;

pub(crate) use self::act::change_selected;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::view("/web/task", Role::Viewer, rendered(tasks_page)),
        Route::post("/web/task", Role::Operator, change_selected).audited_as(action_of_form),
        Route::view(cancel::CANCEL_PATH, Role::Operator, rendered(cancel::cancel_page)),
        Route::post(cancel::CANCEL_PATH, Role::Operator, cancel::cancel_matching).audited(AuditAction::Cancel),
    ]
}

const PATH: &str = "/web/task";

const COLUMNS: [SortColumn; 7] = [
    SortColumn { label: "Result", key: "result", figures: false },
    SortColumn { label: "Task", key: "type", figures: false },
    SortColumn { label: "Info", key: "info", figures: false },
    SortColumn { label: "Message", key: "msg", figures: false },
    SortColumn { label: "Queue time", key: "queue", figures: true },
    SortColumn { label: "Run time", key: "run", figures: true },
    SortColumn { label: "Created", key: "created", figures: true },
];

#[derive(Template)]
#[template(path = "tasks.html")]
struct TasksPage {
    layout: PageLayout,
    shown: ShownDay,
    totals: DayCounts,
    q: String,
    kept: PageLink,
    chips: Vec<FilterChip>,
    clear: Option<String>,
    /// Where ticked tasks are sent to run again or be cancelled; none for those who may not.
    again: Option<String>,
    /// Where the tasks of the filter are cancelled together, after they were shown.
    cancel: String,
    heads: TableHeads,
    tasks: Vec<TaskRow>,
    looked_until: Option<ShownTime>,
    pager: Pager,
    json: String,
}

struct DayCounts {
    figures: FigureRow,
    any: bool,
    chart: DayChart,
    choices: Vec<FilterChoice>,
}

/// A filter that stands for itself and is taken away by a click.
struct FilterChip {
    label: String,
    href: String,
}

async fn tasks_page(context: &WebContext, request: &HttpRequest) -> Result<TasksPage, Problem> {
    let params = QueryParams::parse(request.query_string(), filter::PARAMS)?;
    let now = context.deps.kit.now();
    let shown = ShownDay::of(&params, now)?;
    let link = PageLink::of(PATH, request.query_string()).without(&["page", "month"]);
    let wanted = find_tasks(&params, shown)?;
    let (sort, descending) = (wanted.sort.as_str(), !wanted.ascending);
    let (mut layout, stats, steps, found) = tokio::join!(
        PageLayout::live(context, request, NavigationSection::Tasks).with_picker(context, &link, shown),
        context.deps.view_reader.call(ReadDayTotals { day: shown.date }),
        read_steps(context, shown),
        context.deps.view_reader.call(wanted),
    );
    let stats = layout.read("the totals", stats)?.unwrap_or_default();
    let found = layout.read("the tasks", found)?.unwrap_or_default();
    let causes = explain_tasks(context, &found.tasks).await;
    Ok(TasksPage {
        layout,
        shown,
        totals: DayCounts::of(&stats, steps, (shown, now), &params, &link)?,
        q: params.one("q")?.unwrap_or_default().to_owned(),
        kept: link.only(&["date", "hour", "id", "retry", "sort", "order"]),
        chips: filter_chips(&params, &link)?,
        clear: link.unfiltered(filter::FILTERS).map(|link| link.href()),
        cancel: link.without(&["sort", "order", "cursor"]).at(cancel::CANCEL_PATH).href(),
        again: may_change(context, request).then(|| link.href()),
        heads: TableHeads { heads: heads(&COLUMNS, &link, sort, descending) },
        tasks: found.tasks.into_iter().zip(causes).map(|(task, cause)| TaskRow::with_cause(task, cause, now)).collect(),
        looked_until: found.looked_until.map(ShownTime::date_and_time),
        pager: Pager::new(&link, found.next.map(|next| next.to_string())),
        json: json_href(&link, &params, shown)?,
    })
}

impl DayCounts {
    /// Of the chosen types and jobs; the figures also of the chosen hour.
    fn of(
        stats: &DayTotals,
        mut steps: Option<Vec<StepTotals>>,
        (shown, now): (ShownDay, DateTime<Utc>),
        params: &QueryParams,
        link: &PageLink,
    ) -> Result<Self, Problem> {
        let narrowed = filter::narrowed_totals(stats, params);
        if let Some(steps) = &mut steps {
            steps.retain(|row| is_task_chosen(params, &row.topic, &row.job));
        }
        let hour = filter::shown_hour(params)?;
        let of_hour = narrowed.rows.iter().filter(|row| hour.is_none_or(|hour| row.hour == hour));
        let counts = sum_counts(of_hour);
        Ok(Self {
            figures: FigureRow::of_day(&counts, link),
            // The chart has all hours, also where one is chosen: another is chosen there.
            any: sum_counts(&narrowed.rows).total > 0,
            chart: DayChart::of_day(&narrowed, steps.as_deref(), link).with_now(shown, now),
            choices: filter::task_choices(stats, params, &counts),
        })
    }
}

/// Filters of which there is no list: the hour, a chain, those that are not tried again.
fn filter_chips(params: &QueryParams, link: &PageLink) -> Result<Vec<FilterChip>, Problem> {
    let link = link.without(&["cursor"]);
    let hour = filter::shown_hour(params)?.map(|hour| FilterChip {
        label: format!("{hour:02}:00 to {:02}:00 UTC", hour + 1),
        href: link.without(&["hour"]).href(),
    });
    let ids: Vec<&str> = params.many("id").collect();
    let chain = (!ids.is_empty())
        .then(|| FilterChip { label: format!("chain {}", ids.join(", ")), href: link.without(&["id"]).href() });
    let failed = params
        .one("retry")?
        .map(|_| FilterChip { label: "no retry left".to_owned(), href: link.without(&["retry"]).href() });
    Ok(hour.into_iter().chain(chain).chain(failed).collect())
}

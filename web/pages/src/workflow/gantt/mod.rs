//! The Gantt of a day: which tasks ran when, a row for each topic and job.

mod bars;
mod path;
mod read;

use std::collections::HashSet;

use flowlord_domain::workflow::Phase;
use flowlord_messages::workflows::ReadLoadedWorkflows;

use self::bars::{GanttRow, TimeWindow, gantt_rows};
use self::path::{PathStep, path_to_last_end};
use super::phases::PhaseFilter;
use super::query::{PATH as SLOTS_PATH, WorkflowQuery};
use crate::prelude::*;
use crate::tasks::filter::{shown_hour, shown_span};
use crate::when::ShownTime;
use crate::{NavigationSection, PageLayout, PageLink, ShownDay};

pub(super) const PATH: &str = "/web/workflow/gantt";

const PARAMS: [&str; 6] = ["file", "task", "job", "date", "month", "hour"];

/// How many tasks are drawn: the page has an address and a title for each.
const MOST_BARS: usize = 400;

const MOST_ROWS: usize = 50;

#[derive(Template)]
#[template(path = "workflow/gantt.html")]
pub(super) struct GanttPage {
    layout: PageLayout,
    shown: ShownDay,
    filter: PhaseFilter,
    clear: Option<String>,
    /// The other view of the same phases.
    slots: String,
    /// The same tasks as a list.
    list: String,
    /// The hour that is shown, and the way back to its day.
    hour: Option<(String, String)>,
    ticks: Vec<GanttTick>,
    now: Option<i64>,
    rows: Vec<GanttRow>,
    more_rows: usize,
    /// Nothing that was created before is drawn: there was too much.
    cut: Option<ShownTime>,
    path: Vec<PathStep>,
}

struct GanttTick {
    label: String,
    /// Leads to the hour; none within one.
    href: Option<String>,
}

pub(super) async fn gantt_page(context: &WebContext, request: &HttpRequest) -> Result<GanttPage, Problem> {
    let params = QueryParams::parse(request.query_string(), &PARAMS)?;
    let now = context.deps.kit.now();
    let (shown, hour) = (ShownDay::of(&params, now)?, shown_hour(&params)?);
    let asked = WorkflowQuery::of(&params, now)?;
    let link = PageLink::of(PATH, request.query_string()).without(&["month"]);
    let current = context.deps.library.call(ReadLoadedWorkflows).await?;
    let phases: Vec<&Phase> = current.workflows.phases().filter(|phase| asked.shows(phase)).collect();
    let (from, to) = shown_span(shown, hour);
    let window = TimeWindow { from, to, now };
    let layout = PageLayout::live(context, request, NavigationSection::Workflow);
    let (mut layout, found) = tokio::join!(
        layout.with_picker(context, &link, shown),
        read::tasks_of_window(context, &asked, &phases, &window),
    );
    let found = layout.read("the tasks", found)?.unwrap_or_default();
    // Of all files the last end says nothing: they have no end in common.
    let path = if asked.file.is_empty() { Vec::new() } else { path_to_last_end(&found.tasks) };
    let on_path: HashSet<Uid> = path.iter().map(|task| task.uid).collect();
    let mut rows = gantt_rows(&found.tasks, &window, &on_path);
    if !asked.file.is_empty() {
        rows.extend(rows_without_tasks(&phases, &rows));
    }
    let more_rows = rows.len().saturating_sub(MOST_ROWS);
    rows.truncate(MOST_ROWS);
    Ok(GanttPage {
        layout,
        shown,
        clear: (!asked.is_open()).then(|| link.only(&["date", "hour"]).href()),
        slots: link.only(&["file", "task", "job"]).at(SLOTS_PATH).href(),
        list: list_href(&asked, &link),
        hour: hour.map(|hour| (hour_words(hour), link.without(&["hour"]).href())),
        ticks: ticks(hour, &link),
        now: window.now_place(),
        rows,
        more_rows,
        cut: found.cut.map(ShownTime::date_and_time),
        path: path.into_iter().map(PathStep::new).collect(),
        filter: PhaseFilter::new(&current, &asked, link.only(&["date", "hour"])),
    })
}

/// The phases of a file that have no task yet are part of the day, too.
fn rows_without_tasks(phases: &[&Phase], rows: &[GanttRow]) -> Vec<GanttRow> {
    let mut seen: HashSet<String> = rows.iter().map(|row| row.name.clone()).collect();
    let names = phases.iter().map(|phase| (phase.task_name(), &phase.workflow));
    names
        .filter(|(name, _)| seen.insert(name.clone()))
        .map(|(name, file)| GanttRow::without_tasks(name, file))
        .collect()
}

fn list_href(asked: &WorkflowQuery, link: &PageLink) -> String {
    let list = link.only(&["date", "hour"]).at("/web/task");
    if asked.task.is_empty() { list.href() } else { list.with_task(&asked.task, &asked.job).href() }
}

fn hour_words(hour: u8) -> String {
    format!("{hour:02}:00 to {:02}:00 UTC", hour + 1)
}

/// The hours of the day, or each fifth minute of an hour.
fn ticks(hour: Option<u8>, link: &PageLink) -> Vec<GanttTick> {
    match hour {
        None => (0..24)
            .map(|hour| GanttTick { label: format!("{hour:02}"), href: Some(link.with("hour", &hour).href()) })
            .collect(),
        Some(_) => (0..12).map(|n| GanttTick { label: format!(":{:02}", n * 5), href: None }).collect(),
    }
}

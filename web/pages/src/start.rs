//! The overview: a day's figures, what is wrong, what happened last.

use std::collections::BTreeMap;

use flowlord_messages::alerts::{EscalationStatus, ReadEscalations, StoredAlert};
use flowlord_messages::stats::{DayTotals, ReadDayTotals, ResultCounts};
use flowlord_messages::tasks::{FindTasks, TaskFilter};
use flowlord_messages::workflows::ReadLoadedWorkflows;
use flowlord_web_core::view::stats::average_run_seconds;

use super::parts::{DayChart, FigureRow, LongText, STANDINGS, counts_by_standing, sum_counts};
use super::rows::{TaskRow, WorkflowTrouble, kind_words, newest_alerts, workflow_findings};
use super::when::{ShownTime, seconds};
use super::{NavigationSection, PageLayout, PageLink, ShownDay, rendered};
use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::view("/", Role::Viewer, rendered(start_page))]
}

const TASKS: usize = 25;
const ALERTS: usize = 10;

#[derive(Template)]
#[template(path = "start.html")]
struct StartPage {
    layout: PageLayout,
    shown: ShownDay,
    day: DayTotalsRow,
    tasks: Vec<TaskRow>,
    tasks_link: String,
    more_tasks: bool,
    alerts: Vec<StoredAlert>,
    alerts_link: String,
    more_alerts: bool,
    incidents: Vec<EscalationStatus>,
    troubles: Vec<WorkflowTrouble>,
    files: usize,
    phases: usize,
}

async fn start_page(context: &WebContext, request: &HttpRequest) -> Result<StartPage, Problem> {
    let params = QueryParams::parse(request.query_string(), &["date", "month"])?;
    let now = context.deps.kit.now();
    let shown = ShownDay::of(&params, now)?;
    let (from, to) = day(shown.date);
    let filter = TaskFilter { from: Some(from), to: Some(to), ..TaskFilter::default() };
    let deps = &context.deps;
    let link = PageLink::of("/", request.query_string());
    // Each part is read on its own, so that one that fails leaves the others.
    let (mut layout, stats, tasks, alerts, current, ladders) = tokio::join!(
        PageLayout::live(context, request, NavigationSection::Start).with_picker(context, &link, shown),
        deps.view_reader.call(ReadDayTotals { day: shown.date }),
        deps.view_reader.call(FindTasks::newest_first(filter, TASKS).for_list()),
        deps.view_reader.call(newest_alerts((from, to), ALERTS)),
        deps.library.call(ReadLoadedWorkflows),
        deps.alerts.call(ReadEscalations),
    );
    let stats = layout.read("the totals", stats)?;
    let tasks = layout.read("the tasks", tasks)?.unwrap_or_default();
    let alerts = layout.read("the alerts", alerts)?.unwrap_or_default();
    let current = layout.read("the workflows", current)?;
    let ladders = layout.read("the incidents", ladders)?.unwrap_or_default();
    let tasks_link = PageLink::to("/web/task").with("date", &shown.date);
    Ok(StartPage {
        layout,
        shown,
        day: stats.map(|stats| DayTotalsRow::new(&stats, &tasks_link)).unwrap_or_default(),
        more_tasks: tasks.next.is_some(),
        tasks: tasks.tasks.into_iter().map(|task| TaskRow::new(task, now)).collect(),
        tasks_link: tasks_link.href(),
        more_alerts: alerts.len() > ALERTS,
        alerts: alerts.into_iter().take(ALERTS).collect(),
        alerts_link: PageLink::to("/web/alert").with("date", &shown.date).href(),
        incidents: ladders.into_iter().filter(|ladder| ladder.incident_since.is_some()).collect(),
        troubles: current.iter().flat_map(workflow_findings).map(WorkflowTrouble::from).collect(),
        files: current.as_ref().map_or(0, |current| current.workflows.files().len()),
        phases: current.as_ref().map_or(0, |current| current.workflows.phases().count()),
    })
}

#[derive(Default)]
struct DayTotalsRow {
    total: u64,
    figures: FigureRow,
    chart: DayChart,
    topics: Vec<TopicRow>,
}

struct TopicRow {
    topic: String,
    job: String,
    href: String,
    total: u64,
    /// Counts with the class that colours each.
    figures: Vec<(&'static str, u64)>,
    run: String,
}

impl DayTotalsRow {
    /// `link` leads to the day's tasks.
    fn new(stats: &DayTotals, link: &PageLink) -> Self {
        let mut topics: BTreeMap<(&str, &str), (ResultCounts, u64)> = BTreeMap::new();
        for row in &stats.rows {
            let (counts, millis) = topics.entry((&row.topic, &row.job)).or_default();
            *counts = counts.add_counts(&row.counts);
            *millis += row.run_millis;
        }
        let mut topics: Vec<TopicRow> = topics
            .into_iter()
            .map(|((topic, job), (counts, millis))| TopicRow::new(topic, job, &counts, millis, link))
            .collect();
        // A stable sort: those with as many tasks stay by name.
        topics.sort_by_key(|row| std::cmp::Reverse(row.total));
        let counts = sum_counts(&stats.rows);
        Self {
            total: counts.total,
            figures: FigureRow::of_day(&counts, link),
            chart: DayChart::of_day(stats, link),
            topics,
        }
    }
}

impl TopicRow {
    fn new(topic: &str, job: &str, counts: &ResultCounts, millis: u64, link: &PageLink) -> Self {
        Self {
            topic: topic.to_owned(),
            job: job.to_owned(),
            href: link.with_task(topic, job).href(),
            total: counts.total,
            figures: STANDINGS.into_iter().zip(counts_by_standing(counts)).collect(),
            run: average_run_seconds(counts, millis).map(seconds).unwrap_or_default(),
        }
    }
}

//! The overview: what needs somebody now, a day's figures, what happened last.

mod answers;

use std::collections::BTreeMap;

use flowlord_messages::stats::{DayTotals, ReadDayTotals, ResultCounts, StepTotals};
use flowlord_messages::tasks::{FindTasks, TaskFilter};
use flowlord_messages::workflows::ReadLoadedWorkflows;
use flowlord_web_core::use_cases::attention::read_attention;
use flowlord_web_core::view::stats::average_run_seconds;

use self::answers::{Answer, answers};
use super::chart::{DayChart, read_steps};
use super::parts::{FigureRow, LongText, STANDINGS, counts_by_standing, sum_counts};
use super::repeats::{RepeatedAlert, collapse_alerts};
use super::rows::{TaskRow, kind_words, newest_alerts};
use super::when::{ShownTime, seconds};
use super::{NavigationSection, PageLayout, PageLink, ShownDay, rendered};
use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::view("/", Role::Viewer, rendered(start_page))]
}

const TASKS: usize = 25;
/// So many of the newest alerts are read, and so many lines made of them are shown.
const ALERTS: usize = 200;
const ALERT_LINES: usize = 8;

#[derive(Template)]
#[template(path = "start.html")]
struct StartPage {
    layout: PageLayout,
    shown: ShownDay,
    day: DayTotalsRow,
    tasks: Vec<TaskRow>,
    tasks_link: String,
    more_tasks: bool,
    alerts: Vec<RepeatedAlert>,
    alerts_link: String,
    more_alerts: bool,
    /// To what needs somebody now; none of a day that is over.
    answers: Vec<Answer>,
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
    // Of a day that is over nobody asks what to do now.
    let attention = async {
        match shown.is_today() {
            true => Some(read_attention(context).await),
            false => None,
        }
    };
    // Each part is read on its own, so that one that fails leaves the others.
    let (mut layout, stats, steps, tasks, alerts, current, attention) = tokio::join!(
        PageLayout::live(context, request, NavigationSection::Start).with_picker(context, &link, shown),
        deps.view_reader.call(ReadDayTotals { day: shown.date }),
        read_steps(context, shown),
        deps.view_reader.call(FindTasks::newest_first(filter, TASKS).for_list()),
        deps.view_reader.call(newest_alerts((from, to), ALERTS)),
        deps.library.call(ReadLoadedWorkflows),
        attention,
    );
    let stats = layout.read("the totals", stats)?;
    let tasks = layout.read("the tasks", tasks)?.unwrap_or_default();
    let alerts = layout.read("the alerts", alerts)?.unwrap_or_default();
    let current = layout.read("the workflows", current)?;
    let answers = match attention {
        Some(attention) => answers(&mut layout, attention, current.as_ref(), shown.today)?,
        None => Vec::new(),
    };
    let tasks_link = PageLink::to("/web/task").with("date", &shown.date);
    Ok(StartPage {
        layout,
        shown,
        answers,
        day: stats
            .map(|stats| DayTotalsRow::new(&stats, steps.as_deref(), (shown, now), &tasks_link))
            .unwrap_or_default(),
        more_tasks: tasks.next.is_some(),
        tasks: tasks.tasks.into_iter().map(|task| TaskRow::new(task, now)).collect(),
        tasks_link: tasks_link.href(),
        more_alerts: alerts.len() > ALERTS,
        alerts: collapse_alerts(alerts.into_iter().take(ALERTS).collect()),
        alerts_link: PageLink::to("/web/alert").with("date", &shown.date).href(),
        files: current.as_ref().map_or(0, |current| current.workflows.files().len()),
        phases: current.as_ref().map_or(0, |current| current.workflows.phases().count()),
    })
}

impl StartPage {
    fn alert_count(&self) -> usize {
        self.alerts.iter().map(|line| line.count).sum()
    }
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
    fn new(
        stats: &DayTotals,
        steps: Option<&[StepTotals]>,
        (shown, now): (ShownDay, DateTime<Utc>),
        link: &PageLink,
    ) -> Self {
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
            chart: DayChart::of_day(stats, steps, link).with_now(shown, now),
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

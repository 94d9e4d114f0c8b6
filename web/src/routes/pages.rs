//! Pages for people. They are complete without any script.

use actix_web::HttpRequest;
use askama::Template;
use chrono::{DateTime, Days, NaiveDate, Utc};
use flowlord_messages::Error;
use flowlord_messages::alerts::LadderStates;
use flowlord_messages::library::CurrentWorkflows;
use flowlord_messages::read::{DayStats, ListAlerts, ListTasks, TaskFilter};

use crate::api::{Api, ApiRef};
use crate::params::{Params, day};
use crate::problem::Answer;
use crate::routes::html;
use crate::view::page::{AlertRow, Day, Incident, TaskRow, Trouble, When, incidents, troubles};

/// How many tasks the page shows.
const TASKS: usize = 100;
/// How many alerts.
const ALERTS: usize = 50;

#[derive(Template)]
#[template(path = "start.html")]
struct StartPage<'a> {
    stylesheet: &'a str,
    icon: &'a str,
    version: &'a str,
    host: &'a str,
    now: When,
    up: String,
    /// The day that is shown, and its neighbours.
    date: NaiveDate,
    words: String,
    is_today: bool,
    before: Option<NaiveDate>,
    after: Option<NaiveDate>,
    /// What could not be read.
    notices: Vec<String>,
    day: Day,
    tasks: Vec<TaskRow>,
    more_tasks: bool,
    alerts: Vec<AlertRow>,
    more_alerts: bool,
    incidents: Vec<Incident>,
    troubles: Vec<Trouble>,
    files: usize,
    phases: usize,
}

/// The tasks of a day.
pub(crate) async fn start(api: ApiRef, request: HttpRequest) -> Answer {
    let params = Params::parse(request.query_string(), &["date"])?;
    let now = api.deps.clock.now();
    let date = params.date()?.unwrap_or_else(|| now.date_naive());
    html(&page(&api, date, now).await)
}

/// Each part is read on its own, so that one that fails leaves the others.
async fn page(api: &Api, date: NaiveDate, now: DateTime<Utc>) -> StartPage<'_> {
    let (from, to) = day(date);
    let filter = TaskFilter { from: Some(from), to: Some(to), ..TaskFilter::default() };
    let deps = &api.deps;
    let (stats, tasks, alerts, current, ladders) = tokio::join!(
        deps.stats.call(DayStats { day: date }),
        deps.tasks.call(ListTasks { filter, ascending: false, after: None, limit: TASKS + 1 }),
        deps.alerts.call(ListAlerts { from, to, after: None, limit: ALERTS + 1 }),
        deps.workflows.call(CurrentWorkflows),
        deps.ladders.call(LadderStates),
    );
    let mut notices = Vec::new();
    let stats = read("the totals", stats, &mut notices);
    let tasks = read("the tasks", tasks, &mut notices).unwrap_or_default();
    let alerts = read("the alerts", alerts, &mut notices).unwrap_or_default();
    let current = read("the workflows", current, &mut notices);
    let ladders = read("the incidents", ladders, &mut notices).unwrap_or_default();
    StartPage {
        stylesheet: api.assets.url("style.css"),
        icon: api.assets.url("icon.svg"),
        version: &api.config.version,
        host: &api.config.host,
        now: When::date_and_time(now),
        up: up(now - api.config.started_at),
        date,
        words: date.format("%A, %-d %B %Y").to_string(),
        is_today: date == now.date_naive(),
        before: date.checked_sub_days(Days::new(1)),
        after: date.checked_add_days(Days::new(1)).filter(|after| *after <= now.date_naive()),
        notices,
        day: stats.map(|stats| Day::new(date, &stats)).unwrap_or_default(),
        more_tasks: tasks.len() > TASKS,
        tasks: tasks.into_iter().take(TASKS).map(|task| TaskRow::new(task, now)).collect(),
        more_alerts: alerts.len() > ALERTS,
        alerts: alerts.into_iter().take(ALERTS).map(AlertRow::new).collect(),
        incidents: incidents(ladders),
        troubles: current.as_ref().map(troubles).unwrap_or_default(),
        files: current.as_ref().map_or(0, |current| current.workflows.files().len()),
        phases: current.as_ref().map_or(0, |current| current.workflows.phases().count()),
    }
}

fn read<T>(what: &str, answer: Result<T, Error>, notices: &mut Vec<String>) -> Option<T> {
    answer.map_err(|err| notices.push(format!("{what} can't be shown now: {}", err.detail))).ok()
}

/// How long the service is up, in its two largest units.
fn up(time: chrono::TimeDelta) -> String {
    let minutes = time.num_minutes().max(0);
    match (minutes / 1_440, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

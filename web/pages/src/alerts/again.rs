//! What failed runs again from the page of alerts: one task, those of an open incident, those of the day.

use std::collections::BTreeSet;

use flowlord_messages::alerts::ReadEscalations;
use flowlord_messages::tasks::{FindTasks, TaskFilter};
use flowlord_web_core::use_cases::tasks::{parse_uid, read_task};

use super::query::{AlertForm, PARAMS};
use crate::ShownDay;
use crate::again::{BulkSummary, MOST};
use crate::choice::is_task_chosen;
use crate::prelude::*;

pub(super) async fn rerun_failed(
    context: &WebContext,
    request: &HttpRequest,
    form: &AlertForm,
) -> Result<BulkSummary, Problem> {
    let failed = match (form.text("uid"), form.text("route")) {
        (Some(uid), _) => vec![read_task(context, parse_uid(&uid)?).await?],
        (None, Some(route)) => failed_of_incident(context, &route).await?,
        (None, None) => failed_of_day(context, request).await?,
    };
    if failed.is_empty() {
        return Err(Problem::new(Code::NotFound, "none of these tasks can be rerun"));
    }
    let mut done = BulkSummary::of_rerun();
    done.rerun(context, &failed).await?;
    Ok(done)
}

/// What failed for good in the open incident of a route.
async fn failed_of_incident(context: &WebContext, route: &str) -> Result<Vec<Attempt>, Problem> {
    let ladders = context.deps.alerts.call(ReadEscalations).await?;
    let open = ladders.into_iter().find(|ladder| ladder.route == route);
    let Some((opened, tasks)) = open.and_then(|ladder| Some((ladder.incident_since?, ladder.tasks))) else {
        let detail = format!("no incident of route `{route}` is open: rerun the failed tasks of the day instead");
        return Err(Problem::new(Code::NotFound, detail));
    };
    let lines: BTreeSet<&str> = tasks.iter().map(String::as_str).collect();
    let mut failed = find_failed(context, TaskFilter::given_up_in(opened, &lines)).await?;
    // The filter knows only topics: other jobs of them are no part of the incident.
    failed.retain(|task| lines.contains(line_key(&task.topic, &task.job).as_str()));
    Ok(failed)
}

/// What failed for good among the tasks of the day that is shown, of the type and job that are chosen.
async fn failed_of_day(context: &WebContext, request: &HttpRequest) -> Result<Vec<Attempt>, Problem> {
    let params = QueryParams::parse(request.query_string(), PARAMS)?;
    let (from, to) = day(ShownDay::of(&params, context.deps.kit.now())?.date);
    let [topics, jobs] = ["type", "job"].map(|name| params.many(name).map(str::to_owned).collect());
    let filter = TaskFilter { from: Some(from), to: Some(to), topics, jobs, given_up: true, ..TaskFilter::default() };
    let mut failed = find_failed(context, filter).await?;
    failed.retain(|task| is_task_chosen(&params, &task.topic, &task.job));
    Ok(failed)
}

/// All or none: more than one form may rerun is refused, not cut.
async fn find_failed(context: &WebContext, filter: TaskFilter) -> Result<Vec<Attempt>, Problem> {
    let failed = FindTasks::oldest_first(filter, MOST + 1).find_all(&context.deps.view_reader).await?;
    if failed.len() > MOST {
        let detail = format!("more than {MOST} tasks failed: filter them by type and job, or select them in the list");
        return Err(Problem::invalid(detail));
    }
    Ok(failed)
}

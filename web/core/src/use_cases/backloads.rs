//! Backloads: planned, looked at, carried out.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, LOCATION};
use flowlord_domain::NewTask;
use flowlord_domain::backload::{BackloadRequest, TaskSelection};
use flowlord_kernel::Code;
use flowlord_messages::backloads::{
    BackloadFailure, BackloadState, CheckBackload, ExecuteBackload, FinishedBackload, MAX_AWAITED_TASKS, PlanBackload,
    PlannedBackload, ReadBackload, StoredBackload,
};
use tokio::sync::oneshot::Receiver;

use crate::context::WebContext;
use crate::problem::Problem;
use crate::values::check_name;

/// How many tasks are written at a time where all are.
pub const STEP: usize = 500;

const PATIENCE: Duration = Duration::from_secs(15);

pub async fn plan_backload(context: &WebContext, request: BackloadRequest) -> Result<Arc<PlannedBackload>, Problem> {
    let planned = context.deps.backload.call(PlanBackload { request }).await?;
    let order = planned.plan.order();
    // Whatever no worker could ask for must not be created.
    check_name("topic", &order.topic)?;
    if !order.job.is_empty() {
        check_name("job", &order.job)?;
    }
    Ok(planned)
}

pub struct BackloadPreview {
    pub tasks: Vec<NewTask>,
    pub failed: Vec<BackloadFailure>,
    pub skipped: usize,
    pub next: usize,
}

pub async fn preview_backload(
    context: &WebContext,
    planned: &PlannedBackload,
    from: usize,
    most: usize,
) -> Result<BackloadPreview, Problem> {
    let (plan, now) = (&planned.plan, context.deps.kit.now());
    let chunk = plan.make_chunk(from, most, now, &context.config.host, &mut context.deps.kit.ids());
    let mut tasks: Vec<NewTask> = chunk.tasks.into_iter().map(|(_, task)| task).collect();
    let all = tasks.len();
    let order = plan.order();
    if order.only != TaskSelection::All {
        let check = CheckBackload {
            topic: order.topic.clone(),
            job: order.job.clone(),
            only: order.only,
            tasks: tasks.iter().map(|task| (task.info.clone(), task.meta.clone())).collect(),
            count_to: 0,
        };
        let mut wanted = context.deps.view_reader.call(check).await?.wanted.into_iter();
        // The database judges in the order of the question.
        tasks.retain(|_| wanted.next().unwrap_or(true));
    }
    let unmade = chunk.unmade.into_iter();
    let failed = unmade.map(|(index, unmade)| BackloadFailure { index, time: unmade.time, why: unmade.why });
    Ok(BackloadPreview { skipped: all - tasks.len(), tasks, failed: failed.collect(), next: chunk.next })
}

pub fn broken_off(problem: &Problem) -> std::io::Error {
    log::error!("event=dry_run_broken_off problem={problem:?}");
    std::io::Error::other(problem.to_string())
}

pub struct ExecutedBackload {
    pub id: i64,
    pub planned: Arc<PlannedBackload>,
    pub finished: FinishedBackload,
    /// Whether some tasks are still to be dealt with.
    pub goes_on: bool,
}

pub async fn execute_backload(
    context: &WebContext,
    planned: Arc<PlannedBackload>,
    background: bool,
) -> Result<ExecutedBackload, Problem> {
    context.refuse_when_stopping()?;
    let is_paced = planned.plan.order().creation_rate().is_some();
    // With a rate it may take days, so no client waits for it.
    let wait = !background && !is_paced && planned.plan.count() <= MAX_AWAITED_TASKS;
    let execute = ExecuteBackload { planned: Arc::clone(&planned), wait };
    let started = context.deps.backload.call(execute).await?;
    let (finished, goes_on) = match started.done {
        None => (FinishedBackload::default(), true),
        Some(done) => {
            let finished = wait_for_tasks(done).await;
            let goes_on = finished.problem.is_some();
            (finished, goes_on)
        }
    };
    Ok(ExecutedBackload { id: started.id, planned, finished, goes_on })
}

async fn wait_for_tasks(done: Receiver<FinishedBackload>) -> FinishedBackload {
    let problem = match tokio::time::timeout(PATIENCE, done).await {
        Ok(Ok(finished)) => return finished,
        // The rows of a backload outlive its actor, which goes on with them.
        Ok(Err(_)) => "the backload actor was restarted meanwhile",
        Err(_) => "they are not all stored yet",
    };
    FinishedBackload { problem: Some(problem.to_owned()), ..FinishedBackload::default() }
}

fn unknown_backload(id: &str) -> Problem {
    let detail = format!("there is no backload `{id}`; GET /api/v1/backloads lists them");
    Problem::new(Code::BackloadUnknown, detail)
}

pub fn parse_backload_id(text: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| unknown_backload(text))
}

impl ExecutedBackload {
    /// What was created, why the rest was not, and what was taken for what the request left open.
    pub fn status(&self) -> String {
        let FinishedBackload { created, failed, skipped, problem } = &self.finished;
        let mut told = Vec::new();
        if self.goes_on {
            told.extend(problem.clone());
            told.push(format!("it continues in the background, see /api/v1/backloads/{}", self.id));
        }
        told.extend(failed.first().map(|first| first.why.clone()));
        if *skipped > 0 {
            told.push(format!("{skipped} left out by `only`"));
        }
        told.extend(Some(self.planned.message.clone()).filter(|message| !message.is_empty()));
        let total = self.planned.plan.count();
        let count = match created.len() {
            // Nobody told how many there are by now.
            0 if self.goes_on => format!("{total} tasks are being created"),
            created => format!("{created}/{total} tasks created"),
        };
        if told.is_empty() { count } else { format!("{count}: {}", told.join("; ")) }
    }

    pub fn status_code(&self) -> StatusCode {
        match (self.goes_on, self.finished.failed.is_empty()) {
            (true, _) => StatusCode::ACCEPTED,
            (false, true) => StatusCode::OK,
            (false, false) => StatusCode::MULTI_STATUS,
        }
    }

    pub fn located(&self, mut answer: HttpResponse) -> HttpResponse {
        if self.goes_on
            && let Ok(location) = HeaderValue::from_str(&format!("/api/v1/backloads/{}", self.id))
        {
            answer.headers_mut().insert(LOCATION, location);
        }
        answer
    }
}

/// What `pause`, `resume` or `cancel` in a path makes of a backload.
pub fn state_after(change: &str) -> BackloadState {
    match change {
        "pause" => BackloadState::Paused,
        "resume" => BackloadState::Running,
        _ => BackloadState::Cancelled,
    }
}

pub async fn read_backload(context: &WebContext, id: i64) -> Result<(StoredBackload, Vec<BackloadFailure>), Problem> {
    let found = context.deps.view_reader.call(ReadBackload { id }).await?;
    found.ok_or_else(|| unknown_backload(&id.to_string()))
}

#[cfg(test)]
mod tests {
    use flowlord_domain::backload::{BackloadOrder, BackloadPlan, MetaLists};
    use flowlord_domain::rule::BatchStep;
    use flowlord_testkit::sample::noon;

    use super::*;

    /// A backload of three tasks of which so many were created.
    fn executed(created: usize, finished: FinishedBackload, goes_on: bool, message: &str) -> ExecutedBackload {
        let order = BackloadOrder {
            topic: "load".to_owned(),
            job: String::new(),
            workflow: String::new(),
            template: "{hh}".to_owned(),
            from: noon(),
            to: noon() + chrono::TimeDelta::hours(2),
            by: BatchStep::Hour,
            meta: MetaLists::default(),
            meta_file: None,
            only: TaskSelection::All,
            rate: String::new(),
        };
        let plan = BackloadPlan::new(order, None).unwrap();
        let mut ids = flowlord_kernel::IdGenerator::seeded(1);
        let tasks = plan.make_chunk(0, created, noon(), "host", &mut ids).tasks.into_iter();
        let finished = FinishedBackload { created: tasks.map(|(_, task)| task).collect(), ..finished };
        let planned = Arc::new(PlannedBackload { plan, message: message.to_owned() });
        ExecutedBackload { id: 7, planned, finished, goes_on }
    }

    fn failure(why: &str) -> BackloadFailure {
        BackloadFailure { index: 1, time: None, why: why.to_owned() }
    }

    #[test]
    fn a_backload_says_how_far_it_came_and_why_no_further() {
        let none = FinishedBackload::default;
        let stopped = FinishedBackload { problem: Some("they are not all stored yet".to_owned()), ..none() };
        let failed = FinishedBackload { failed: vec![failure("no row"), failure("other")], skipped: 2, ..none() };
        for (executed, says, code) in [
            (executed(3, none(), false, ""), "3/3 tasks created", StatusCode::OK),
            (executed(3, none(), false, "from now"), "3/3 tasks created: from now", StatusCode::OK),
            (
                executed(1, failed, false, "from now"),
                "1/3 tasks created: no row; 2 left out by `only`; from now",
                StatusCode::MULTI_STATUS,
            ),
            (
                executed(0, none(), true, ""),
                "3 tasks are being created: it continues in the background, see /api/v1/backloads/7",
                StatusCode::ACCEPTED,
            ),
            (
                executed(1, stopped, true, ""),
                "1/3 tasks created: they are not all stored yet; it continues in the background, see \
                 /api/v1/backloads/7",
                StatusCode::ACCEPTED,
            ),
        ] {
            assert_eq!((executed.status().as_str(), executed.status_code()), (says, code));
        }
    }

    #[test]
    fn an_answer_leads_to_a_backload_that_goes_on() {
        let located = |goes_on| {
            let answer = executed(0, FinishedBackload::default(), goes_on, "").located(HttpResponse::Ok().finish());
            answer.headers().get(LOCATION).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!((located(true).as_deref(), located(false)), (Some("/api/v1/backloads/7"), None));
    }

    #[test]
    fn a_change_in_a_path_is_a_state() {
        let states = ["pause", "resume", "cancel"].map(state_after);
        assert_eq!(states, [BackloadState::Paused, BackloadState::Running, BackloadState::Cancelled]);
        assert_eq!(parse_backload_id("7").unwrap(), 7);
        let unknown = parse_backload_id("x").unwrap_err();
        assert_eq!(unknown.code(), Code::BackloadUnknown);
        assert_eq!(unknown.detail(), "there is no backload `x`; GET /api/v1/backloads lists them");
    }
}

//! Tasks that match the filter of the page are cancelled together: first shown, then done.

use flowlord_domain::TaskState;
use flowlord_messages::tasks::FindTasks;
use flowlord_web_core::values::matching::note;

use super::list::find_tasks;
use super::{PATH, filter};
use crate::again::{BulkSummary, MOST};
use crate::parts::grouped;
use crate::prelude::*;
use crate::rows::TaskRow;
use crate::{NavigationSection, Notice, PageLayout, PageLink, ShownDay, form_fields};

pub(super) const CANCEL_PATH: &str = "/web/task-cancel";

/// How many of them are listed before they are cancelled.
const SHOWN: usize = 100;

#[derive(Template)]
#[template(path = "cancel.html")]
pub(super) struct CancelPage {
    layout: PageLayout,
    shown: ShownDay,
    /// The filter, as its parameters and values.
    filters: Vec<(String, String)>,
    /// Back to the list.
    list: String,
    action: String,
    count: String,
    many: bool,
    tasks: Vec<TaskRow>,
    more: usize,
    /// Those that come after it were not shown, and stay.
    newest: Option<Uid>,
    /// Why none can be cancelled.
    problem: Option<String>,
}

/// What would be cancelled; nothing changes.
pub(super) async fn cancel_page(context: &WebContext, request: &HttpRequest) -> Result<CancelPage, Problem> {
    let params = QueryParams::parse(request.query_string(), filter::PARAMS)?;
    let now = context.deps.kit.now();
    let shown = ShownDay::of(&params, now)?;
    let link = PageLink::of(CANCEL_PATH, request.query_string());
    let layout = PageLayout::new(context, request, NavigationSection::Tasks);
    let (found, problem) = match find_unfinished(context, &params, shown, None).await {
        Ok(found) => (found, None),
        Err(problem) => (Vec::new(), Some(problem.detail().to_owned())),
    };
    let filters = link.only(filter::FILTERS);
    Ok(CancelPage {
        layout,
        shown,
        filters: filters.pairs().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        list: link.at(PATH).href(),
        action: link.href(),
        count: grouped(found.len() as u64),
        many: found.len() != 1,
        more: found.len().saturating_sub(SHOWN),
        newest: found.iter().map(|task| task.uid).max(),
        tasks: found.into_iter().take(SHOWN).map(|task| TaskRow::new(task.cut_for_list(), now)).collect(),
        problem,
    })
}

pub(super) async fn cancel_matching(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let form = form_fields(&request, payload).await?;
    let done = cancel_all(&context, &request, &form).await.and_then(BulkSummary::into_notice);
    let list = PageLink::of(PATH, request.query_string());
    Ok(Notice::after(&request, done).back_to(&list.href()))
}

async fn cancel_all(context: &WebContext, request: &HttpRequest, form: &Query) -> Result<BulkSummary, Problem> {
    let params = QueryParams::parse(request.query_string(), filter::PARAMS)?;
    let shown = ShownDay::of(&params, context.deps.kit.now())?;
    let newest = form.first_value("newest").and_then(|uid| uid.parse().ok());
    let newest = newest.ok_or_else(|| Problem::invalid("the form names no newest task: open the page again"))?;
    let reason = note("note", form.first_value("note").map(str::to_owned))?;
    let tasks = find_unfinished(context, &params, shown, Some(newest)).await?;
    let mut done = BulkSummary::of_cancel();
    done.cancel(context, tasks.into_iter().map(|task| task.uid).collect(), reason.as_deref()).await?;
    Ok(done)
}

/// The tasks of the filter that have no result, oldest first; up to the newest that was shown.
async fn find_unfinished(
    context: &WebContext,
    params: &QueryParams,
    shown: ShownDay,
    newest: Option<Uid>,
) -> Result<Vec<Attempt>, Problem> {
    let FindTasks { mut filter, search, .. } = find_tasks(params, shown)?;
    let unfinished = [TaskState::Ready, TaskState::Delayed, TaskState::Leased];
    let is_chosen = |state: &TaskState| filter.states.is_empty() || filter.states.contains(state);
    filter.states = unfinished.into_iter().filter(is_chosen).collect();
    // Without any state the filter would find all.
    if filter.states.is_empty() {
        return Ok(Vec::new());
    }
    let find = FindTasks { search, ..FindTasks::oldest_first(filter, MOST + 1).for_list() };
    let mut found = find.find_all(&context.deps.view_reader).await?;
    if found.len() > MOST {
        return Err(Problem::invalid(format!("these are more than {MOST} tasks: filter them by type, job or hour")));
    }
    // One whose worker is to stop already can't be cancelled again.
    found.retain(|task| !task.cancelled && newest.is_none_or(|newest| task.uid <= newest));
    Ok(found)
}

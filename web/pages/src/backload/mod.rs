//! Backloads: filled in, looked at, carried out, watched.

mod form;
mod one;

use flowlord_domain::NewTask;
use flowlord_domain::template::meta_keys;
use flowlord_domain::workflow::Phase;
use flowlord_messages::backloads::{BackloadFailure, ChangeBackload, ReadBackloads};
use flowlord_messages::workflows::{LoadedWorkflows, ReadLoadedWorkflows};
use flowlord_web_core::answer::cut_page;
use flowlord_web_core::use_cases::backloads::{
    execute_backload, parse_backload_id, plan_backload, preview_backload, read_backload, state_after,
};

use self::form::BackloadForm;
use self::one::BackloadRow;
use super::layout::{NavigationSection, PageLayout};
use super::link::PageLink;
use super::notice::Notice;
use super::parts::{LongText, Pager, grouped};
use super::when::ShownTime;
use super::{form_fields, rendered};
use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::view("/web/backload", Role::Viewer, rendered(backload_page)),
        Route::post("/web/backload", Role::Operator, execute_form).audited(AuditAction::Backload),
        Route::post("/web/backload/{id}/{change:pause|resume|cancel}", Role::Operator, change_backload)
            .audited(AuditAction::Backload),
    ]
}

const PATH: &str = "/web/backload";

/// How many tasks of a preview are shown.
const SHOWN: usize = 100;
/// How many earlier backloads a page of their list has.
const EARLIER: usize = 20;
/// How many names of tasks and of files are offered: all of them are in every answer.
const OFFERED: usize = 2_000;

#[derive(Template)]
#[template(path = "backload.html")]
struct BackloadPage {
    layout: PageLayout,
    form: BackloadForm,
    offer: BackloadChoices,
    found: Option<FoundPhase>,
    problem: Option<String>,
    preview: Option<PreviewTable>,
    one: Option<(BackloadRow, Vec<BackloadFailure>)>,
    earlier: Vec<BackloadRow>,
    pager: Pager,
    hours: Vec<String>,
}

struct BackloadChoices {
    tasks: Vec<String>,
    files: Vec<String>,
}

struct FoundPhase {
    phase: Phase,
    /// The keys of meta that its template asks for, and what is filled in.
    keys: Vec<(String, String)>,
    /// Where rows come from when none are given.
    rows: Option<String>,
}

struct PreviewTable {
    count: String,
    many: bool,
    message: String,
    tasks: Vec<PlannedRow>,
    failed: Vec<BackloadFailure>,
    skipped: usize,
    /// How many of them were not looked at.
    more: usize,
    body: String,
    fields: Vec<(String, String)>,
}

struct PlannedRow {
    name: String,
    info: LongText,
    meta: LongText,
}

impl From<NewTask> for PlannedRow {
    fn from(task: NewTask) -> Self {
        let name = line_key(&task.topic, &task.job);
        Self { name, info: LongText::from(task.info), meta: LongText::from(task.meta) }
    }
}

async fn backload_page(context: &WebContext, request: &HttpRequest) -> Result<BackloadPage, Problem> {
    let query = Query::parse_lenient(request.query_string());
    let query_id = query.first_value("id").map(parse_backload_id).transpose()?;
    let form = BackloadForm::read(&query);
    let layout = PageLayout::live(context, request, NavigationSection::Backload);
    let current = context.deps.library.call(ReadLoadedWorkflows).await?;
    // What is wrong with the form stands beside it, so that it can be mended: it is no problem of the page.
    let (preview, problem) = match form.preview {
        true => match plan_preview(context, &form).await {
            Ok(preview) => (Some(preview), None),
            Err(problem) => (None, Some(problem.detail().to_owned())),
        },
        false => (None, None),
    };
    let (earlier, pager) = read_earlier(context, request).await?;
    let now = context.deps.kit.now();
    let one = match query_id {
        Some(id) => Some(read_backload(context, id).await?),
        None => None,
    };
    Ok(BackloadPage {
        layout,
        offer: BackloadChoices::new(&current),
        found: FoundPhase::new(&current, &form),
        problem,
        preview,
        one: one.map(|(stored, failures)| (BackloadRow::new(stored, now), failures)),
        earlier,
        pager,
        hours: (0..24).map(|hour| format!("{hour:02}")).collect(),
        form,
    })
}

async fn read_earlier(context: &WebContext, request: &HttpRequest) -> Result<(Vec<BackloadRow>, Pager), Problem> {
    let link = PageLink::of(PATH, request.query_string());
    let after = match link.first("cursor") {
        "" => None,
        cursor => Some(parse_backload_id(cursor)?),
    };
    let read = ReadBackloads { running: false, after, limit: EARLIER + 1 };
    let mut stored = context.deps.view_reader.call(read).await?;
    let next = cut_page(&mut stored, EARLIER, |stored| stored.id.to_string());
    let now = context.deps.kit.now();
    let rows = stored.into_iter().map(|stored| BackloadRow::new(stored, now)).collect();
    Ok((rows, Pager::new(&link, next)))
}

async fn plan_preview(context: &WebContext, form: &BackloadForm) -> Result<PreviewTable, Problem> {
    let wanted = form.checked_request()?;
    let body = form::rest_body(&wanted);
    let planned = plan_backload(context, wanted).await?;
    let page = preview_backload(context, &planned, 0, SHOWN).await?;
    let count = planned.plan.count();
    Ok(PreviewTable {
        count: grouped(u64::try_from(count).unwrap_or(u64::MAX)),
        many: count != 1,
        message: planned.message.clone(),
        skipped: page.skipped,
        more: count.saturating_sub(page.next),
        tasks: page.tasks.into_iter().map(PlannedRow::from).collect(),
        failed: page.failed,
        body,
        fields: form.fields(),
    })
}

/// Carries out what was looked at, and leads to how it stands; else back to the form, with what is wrong.
pub(crate) async fn execute_form(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let form = BackloadForm::read(&form_fields(&request, payload).await?);
    let done = carry_out(&context, &form).await;
    let page = PageLink::to(PATH);
    let to = match &done {
        Ok(id) => page.with("id", id),
        // With all that was filled in: nobody should have to write it again.
        Err(_) => form.fields().iter().fold(page, |link, (name, text)| link.with(name, text)),
    };
    let done = done.map(|_| Notice::good("The backload has started."));
    Ok(Notice::after(&request, done).back_to(&to.href()))
}

async fn carry_out(context: &WebContext, form: &BackloadForm) -> Result<i64, Problem> {
    let wanted = form.checked_request()?;
    let background = wanted.background;
    let planned = plan_backload(context, wanted).await?;
    Ok(execute_backload(context, planned, background).await?.id)
}

pub(crate) async fn change_backload(
    context: ContextRef,
    request: HttpRequest,
    payload: Payload,
    path: Path<(String, String)>,
) -> Answer {
    let (number, change) = path.into_inner();
    let id = parse_backload_id(&number)?;
    let end_tasks = form_fields(&request, payload).await?.first_value("keep").is_none();
    let change = ChangeBackload { id, to: state_after(&change), end_tasks };
    let changed = context.deps.backload.call(change).await.map_err(Problem::from);
    let told = changed.map(|stored| Notice::good(format!("Backload {id} is now {}.", stored.state.as_str())));
    Ok(Notice::after(&request, told).back_to(&PageLink::to(PATH).with("id", &id).href()))
}

impl BackloadChoices {
    fn new(current: &LoadedWorkflows) -> Self {
        let mut tasks: Vec<String> = current.workflows.phases().map(Phase::task_name).collect();
        tasks.sort_unstable();
        tasks.dedup();
        tasks.truncate(OFFERED);
        let files = current.workflows.files().iter().take(OFFERED).map(|file| file.path.clone()).collect();
        Self { tasks, files }
    }
}

impl FoundPhase {
    fn new(current: &LoadedWorkflows, form: &BackloadForm) -> Option<Self> {
        let (topic, job) = form.task.split_once(':').unwrap_or((&form.task, ""));
        if topic.is_empty() {
            return None;
        }
        let phase = match form.workflow.as_str() {
            "" => current.workflows.phase_for("", topic, job),
            file => current.workflows.file_at(file)?.first_phase(topic, job),
        }?;
        let mut keys = meta_keys(&phase.template);
        keys.sort_unstable();
        keys.dedup();
        let filled = keys.into_iter().map(|key| {
            let value = form.keys.get(&key).cloned().unwrap_or_default();
            (key, value)
        });
        Some(Self {
            phase: phase.clone(),
            keys: filled.collect(),
            rows: match &phase.rule.meta_file {
                Some(path) => Some(format!("each row of {path}")),
                None if phase.rule.meta.is_empty() => None,
                None => Some("the lists in its rule".to_owned()),
            },
        })
    }
}

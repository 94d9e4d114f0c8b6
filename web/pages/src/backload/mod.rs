//! Backloads: filled in, looked at, carried out, watched.

mod form;
mod one;

use actix_web::HttpRequest;
use actix_web::web::{Path, Payload};
use askama::Template;
use flowlord_domain::query::Query;
use flowlord_domain::summary::line_key;
use flowlord_domain::template::meta_keys;
use flowlord_domain::{NewTask, Role};
use flowlord_messages::audit::AuditAction;
use flowlord_messages::backloads::{BackloadFailure, ChangeBackload, ReadBackloads};
use flowlord_messages::workflows::{LoadedWorkflows, ReadLoadedWorkflows};
use flowlord_web_core::context::{ContextRef, WebContext};
use flowlord_web_core::problem::{Answer, Problem};
use flowlord_web_core::route::Route;
use flowlord_web_core::use_cases::backloads::{
    execute_backload, parse_backload_id, plan_backload, preview_backload, read_backload, state_after,
};

use self::form::BackloadForm;
use self::one::{BackloadDetails, BackloadRow};
use super::layout::{NavigationSection, PageLayout};
use super::link::PageLink;
use super::notice::Notice;
use super::parts::{LongText, Pager, grouped};
use super::when::ShownTime;
use super::{form_fields, rendered};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::view("/web/backload", Role::Viewer, rendered(backload_page)),
        Route::post("/web/backload", Role::Operator, execute).audited(AuditAction::Backload),
        Route::post("/web/backload/{id}/{change:pause|resume|cancel}", Role::Operator, change)
            .audited(AuditAction::Backload),
    ]
}

const PATH: &str = "/web/backload";

/// So many tasks of a dry run are shown.
const SHOWN: usize = 100;
/// So many earlier ones.
const EARLIER: usize = 20;
/// So many names are offered.
const OFFERED: usize = 2_000;

#[derive(Template)]
#[template(path = "backload.html")]
struct BackloadPage {
    layout: PageLayout,
    form: BackloadForm,
    offer: BackloadChoices,
    /// What is found of the task.
    found: Option<FoundPhase>,
    problem: Option<String>,
    preview: Option<PreviewTable>,
    one: Option<BackloadDetails>,
    earlier: Vec<BackloadRow>,
    pager: Pager,
    hours: Vec<String>,
}

/// What there is to choose from.
#[derive(Debug, Default)]
struct BackloadChoices {
    tasks: Vec<String>,
    files: Vec<String>,
}

/// The phase that a backload is of.
#[derive(Debug)]
struct FoundPhase {
    name: String,
    workflow: String,
    template: String,
    rule: String,
    starts: String,
    /// The keys of meta that its template asks for, and what is filled in.
    keys: Vec<(String, String)>,
    /// Where rows come from when none are given.
    rows: Option<String>,
}

/// What a backload comes to.
#[derive(Debug)]
struct PreviewTable {
    count: String,
    many: bool,
    message: String,
    tasks: Vec<PlannedRow>,
    failed: Vec<FailureRow>,
    skipped: usize,
    /// How many of them were not looked at.
    more: usize,
    body: String,
    fields: Vec<(String, String)>,
}

/// A task that would be created.
#[derive(Debug)]
struct PlannedRow {
    name: String,
    info: LongText,
    meta: LongText,
}

/// A task that can't be.
#[derive(Debug)]
struct FailureRow {
    number: usize,
    time: Option<ShownTime>,
    why: String,
}

impl From<&BackloadFailure> for FailureRow {
    fn from(failure: &BackloadFailure) -> Self {
        let BackloadFailure { index, time, why } = failure;
        Self { number: index + 1, time: time.map(ShownTime::date_and_time), why: why.clone() }
    }
}

impl From<NewTask> for PlannedRow {
    fn from(task: NewTask) -> Self {
        let name = line_key(&task.topic, &task.job);
        Self { name, info: LongText::from(task.info), meta: LongText::from(task.meta) }
    }
}

async fn backload_page(context: &WebContext, request: &HttpRequest) -> Result<BackloadPage, Problem> {
    let query = Query::parse_lenient(request.query_string());
    let id = query.first_value("id").map(parse_backload_id).transpose()?;
    let form = BackloadForm::read(&query);
    let layout = PageLayout::live(context, request, NavigationSection::Backload);
    let current = context.deps.library.call(ReadLoadedWorkflows).await?;
    let (preview, problem) = match form.preview {
        true => match preview(context, &form).await {
            Ok(preview) => (Some(preview), None),
            Err(problem) => (None, Some(problem.detail().to_owned())),
        },
        false => (None, None),
    };
    let (earlier, pager) = earlier(context, request).await?;
    Ok(BackloadPage {
        layout,
        offer: BackloadChoices::new(&current),
        found: FoundPhase::new(&current, &form),
        problem,
        preview,
        one: match id {
            Some(id) => Some(one(context, id).await?),
            None => None,
        },
        earlier,
        pager,
        hours: (0..24).map(|hour| format!("{hour:02}")).collect(),
        form,
    })
}

async fn one(context: &WebContext, id: i64) -> Result<BackloadDetails, Problem> {
    let (stored, failures) = read_backload(context, id).await?;
    Ok(BackloadDetails::new(&stored, &failures))
}

async fn earlier(context: &WebContext, request: &HttpRequest) -> Result<(Vec<BackloadRow>, Pager), Problem> {
    let link = PageLink::of(PATH, request.query_string());
    let after = match link.first("cursor") {
        "" => None,
        cursor => Some(parse_backload_id(cursor)?),
    };
    let read = ReadBackloads { running: false, after, limit: EARLIER + 1 };
    let mut stored = context.deps.view_reader.call(read).await?;
    let more = stored.len() > EARLIER;
    stored.truncate(EARLIER);
    let next = stored.last().filter(|_| more).map(|stored| stored.id.to_string());
    Ok((stored.iter().map(BackloadRow::new).collect(), Pager::new(&link, next)))
}

async fn preview(context: &WebContext, form: &BackloadForm) -> Result<PreviewTable, Problem> {
    let wanted = form.request()?;
    wanted.refuse_doubtful().map_err(|err| Problem::invalid(err.to_string()))?;
    let body = form::body(&wanted);
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
        failed: page.failed.iter().map(FailureRow::from).collect(),
        body,
        fields: form.fields(),
    })
}

/// Carries out what was looked at, and leads to how it stands; else back to the form, with what is wrong.
pub(crate) async fn execute(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let form = BackloadForm::read(&form_fields(&request, payload).await?);
    let done = carry_out(&context, &form).await;
    let page = PageLink::to(PATH);
    let to = match &done {
        Ok(id) => page.with("id", id),
        Err(_) => form.fields().iter().fold(page, |link, (name, text)| link.with(name, text)),
    };
    let done = done.map(|_| Notice::good("The backload has started."));
    Ok(Notice::after(&request, done).back_to(&to.href()))
}

async fn carry_out(context: &WebContext, form: &BackloadForm) -> Result<i64, Problem> {
    let wanted = form.request()?;
    wanted.refuse_doubtful().map_err(|err| Problem::invalid(err.to_string()))?;
    let background = wanted.background;
    let planned = plan_backload(context, wanted).await?;
    Ok(execute_backload(context, planned, background).await?.id)
}

/// Pauses, resumes or cancels one.
pub(crate) async fn change(context: ContextRef, path: Path<(String, String)>) -> Answer {
    let (number, change) = path.into_inner();
    let id = parse_backload_id(&number)?;
    let change = ChangeBackload { id, to: state_after(&change) };
    let notice = match context.deps.backload.call(change).await {
        Ok(stored) => Notice::good(format!("Backload {id} is now {}.", stored.state.as_str())),
        Err(error) => Notice::bad(error.detail),
    };
    Ok(notice.back_to(&PageLink::to(PATH).with("id", &id).href()))
}

impl BackloadChoices {
    fn new(current: &LoadedWorkflows) -> Self {
        let mut tasks: Vec<String> =
            current.workflows.phases().map(flowlord_domain::workflow::Phase::task_name).collect();
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
        let filled = |key: String| {
            let value = form.keys.get(&key).cloned().unwrap_or_default();
            (key, value)
        };
        let rows = phase.rule.meta_file.as_ref().map(|path| format!("each row of {path}"));
        let listed = || (!phase.rule.meta.is_empty()).then(|| "the lists in its rule".to_owned());
        Some(Self {
            name: phase.task_name(),
            workflow: phase.workflow.clone(),
            template: phase.template.clone(),
            rule: phase.rule_text.clone(),
            starts: phase.to_words(),
            keys: keys.into_iter().map(filled).collect(),
            rows: rows.or_else(listed),
        })
    }
}

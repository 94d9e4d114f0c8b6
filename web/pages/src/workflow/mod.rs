//! Workflow files: the hours of their phases, their phases as a drawing and as a table, what is wrong with them.

mod act;
mod file;
mod graph;
mod grid;
mod phases;
mod query;
mod read;
mod slots;

use actix_web::HttpRequest;
use askama::Template;
use flowlord_domain::Role;
use flowlord_domain::workflow::Phase;
use flowlord_messages::audit::AuditAction;
use flowlord_messages::workflows::LoadedWorkflows;
use flowlord_web_core::context::WebContext;
use flowlord_web_core::params::QueryParams;
use flowlord_web_core::problem::Problem;
use flowlord_web_core::route::Route;

use self::file::FilePart;
use self::graph::PhaseDrawing;
use self::grid::SlotGrid;
use self::phases::{PhaseFilter, PhaseRow};
use self::query::{PARAMS, PATH, WorkflowQuery};
use self::read::WorkflowData;
use super::layout::{NavigationSection, PageLayout};
use super::link::PageLink;
use super::rendered;
use super::rows::{self, WorkflowTrouble};

pub(crate) use self::act::{change, refresh};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::view("/web/workflow", Role::Viewer, rendered(workflow_page)),
        Route::post("/web/workflow/refresh", Role::Operator, refresh).audited(AuditAction::Refresh),
        Route::post("/web/workflow/{change:pause|resume}", Role::Operator, change).audited_as(action_of_path),
    ]
}

fn action_of_path(path: &str, _: &str) -> AuditAction {
    if path.ends_with("/pause") { AuditAction::Pause } else { AuditAction::Resume }
}

const MOST_PHASES: usize = 500;

#[derive(Template)]
#[template(path = "workflow.html")]
struct WorkflowPage {
    layout: PageLayout,
    /// What the filters offer, and what is chosen.
    filter: PhaseFilter,
    clear: Option<String>,
    cards: Vec<FileCard>,
    /// The last day of each scheduled phase.
    hours: SlotGrid,
    more_hours: usize,
    troubles: Vec<WorkflowTrouble>,
    file: Option<FilePart>,
    phases: Vec<PhaseRow>,
    more_phases: usize,
}

#[derive(Debug)]
struct FileCard {
    name: String,
    href: String,
    phases: usize,
    errors: usize,
    warnings: usize,
    paused: usize,
}

async fn workflow_page(context: &WebContext, request: &HttpRequest) -> Result<WorkflowPage, Problem> {
    let params = QueryParams::parse(request.query_string(), &PARAMS)?;
    let link = PageLink::of(PATH, request.query_string());
    let asked = WorkflowQuery::of(&params, context.deps.kit.now())?;
    let mut layout = PageLayout::live(context, request, NavigationSection::Workflow);
    let read = read::read(context, &asked, &mut layout).await?;
    let current = &read.current;
    let filter = PhaseFilter::new(current, &asked);
    let shown: Vec<&Phase> = current.workflows.phases().filter(|phase| filter.shows(phase)).collect();
    let hours = SlotGrid {
        label: "Slots of the last 24 hours by phase".to_owned(),
        corner: "Phase",
        heads: grid::heads(asked.day_from(), 24),
        rows: read.last_day(&asked, &link),
    };
    Ok(WorkflowPage {
        layout,
        clear: (!asked.is_open()).then(|| PageLink::to(PATH).href()),
        cards: cards(&read, &link),
        more_hours: read.more,
        hours,
        troubles: troubles(current, &asked),
        file: FilePart::new(&read, &asked, &link),
        more_phases: shown.len().saturating_sub(MOST_PHASES),
        phases: shown
            .into_iter()
            .take(MOST_PHASES)
            .map(|phase| PhaseRow::new(phase, &read, &asked, &link))
            .collect(),
        filter,
    })
}

fn cards(read: &WorkflowData, link: &PageLink) -> Vec<FileCard> {
    let current = &read.current;
    let link = link.only(&["date", "days"]);
    let mut cards: Vec<FileCard> = current
        .workflows
        .files()
        .iter()
        .map(|file| FileCard {
            name: file.path.clone(),
            href: link.with("file", &file.path).href(),
            phases: file.phases.len(),
            errors: 0,
            warnings: 0,
            paused: read.paused.keys().filter(|(workflow, _)| *workflow == file.path).count(),
        })
        .collect();
    // Files of which no version ever loaded have no phases.
    for finding in current.broken.iter() {
        if !cards.iter().any(|card| card.name == finding.file) {
            cards.push(FileCard {
                name: finding.file.clone(),
                href: link.with("file", &finding.file).href(),
                phases: 0,
                errors: 0,
                warnings: 0,
                paused: 0,
            });
        }
    }
    let all = rows::findings(current);
    for card in &mut cards {
        let count = |severity| all.iter().filter(|f| f.file == card.name && f.severity == severity).count();
        (card.errors, card.warnings) = (
            count(flowlord_domain::workflow::Severity::Error),
            count(flowlord_domain::workflow::Severity::Warning),
        );
    }
    cards.sort_by(|a, b| a.name.cmp(&b.name));
    cards
}

/// What is wrong, with lines: of the chosen file, or of all.
fn troubles(current: &LoadedWorkflows, asked: &WorkflowQuery) -> Vec<WorkflowTrouble> {
    let all = rows::findings(current);
    let of = |file: &str| asked.file.is_empty() || file == asked.file;
    all.into_iter().filter(|finding| of(&finding.file)).map(WorkflowTrouble::from).collect()
}

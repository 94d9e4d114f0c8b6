//! Workflow files: the hours of their phases, their phases as a drawing and as a table, what is wrong with them.

mod act;
mod file;
mod gantt;
mod graph;
mod grid;
mod phases;
mod query;
mod read;
mod slots;

use std::collections::BTreeMap;

use flowlord_domain::workflow::{Phase, Severity, WorkflowFile};
use flowlord_web_core::use_cases::workflows::workflow_findings;

use self::file::FilePart;
use self::graph::PhaseDrawing;
use self::grid::SlotGrid;
use self::phases::{PhaseFilter, PhaseRow};
use self::query::{PARAMS, PATH, WorkflowQuery};
use self::read::WorkflowData;
use super::layout::{NavigationSection, PageLayout};
use super::link::PageLink;
use super::rendered;
use super::rows::WorkflowTrouble;
use crate::prelude::*;

pub(crate) use self::act::{pause_or_resume, reload_workflows, run_now};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::view("/web/workflow", Role::Viewer, rendered(workflow_page)),
        Route::view(gantt::PATH, Role::Viewer, rendered(gantt::gantt_page)),
        Route::post("/web/workflow/refresh", Role::Operator, reload_workflows).audited(AuditAction::Refresh),
        Route::post("/web/workflow/run", Role::Operator, run_now).audited(AuditAction::Run),
        Route::post("/web/workflow/{change:pause|resume}", Role::Operator, pause_or_resume).audited_as(action_of_path),
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
    filter: PhaseFilter,
    /// The other view of the same phases.
    gantt: String,
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
    let filter = PhaseFilter::new(current, &asked, PageLink::to(PATH));
    let shown: Vec<&Phase> = current.workflows.phases().filter(|phase| asked.shows(phase)).collect();
    let hours = SlotGrid {
        label: "Slots of the last 24 hours by phase".to_owned(),
        corner: "Phase",
        heads: grid::hour_heads(asked.day_from(), 24),
        rows: read.last_day(&asked, &link),
    };
    Ok(WorkflowPage {
        layout,
        gantt: link.only(&["file", "task", "job", "date"]).at(gantt::PATH).href(),
        clear: (!asked.is_open()).then(|| PageLink::to(PATH).href()),
        cards: file_cards(&read, &link),
        more_hours: read.more,
        hours,
        troubles: workflow_findings(current)
            .into_iter()
            .filter(|finding| asked.file.is_empty() || finding.file == asked.file)
            .map(WorkflowTrouble::from)
            .collect(),
        file: FilePart::new(&read, &asked, &link),
        more_phases: shown.len().saturating_sub(MOST_PHASES),
        phases: shown.into_iter().take(MOST_PHASES).map(|row| PhaseRow::new(row, &read, &asked, &link)).collect(),
        filter,
    })
}

fn file_cards(read: &WorkflowData, link: &PageLink) -> Vec<FileCard> {
    let current = &read.current;
    let link = link.only(&["date", "days"]);
    let findings = workflow_findings(current);
    // Files of which no version ever loaded have findings, but no phases.
    let mut files: BTreeMap<&str, Option<&WorkflowFile>> =
        current.broken.iter().map(|finding| (finding.file.as_str(), None)).collect();
    files.extend(current.workflows.files().iter().map(|file| (file.path.as_str(), Some(&**file))));
    files
        .into_iter()
        .map(|(name, file)| {
            let [errors, warnings] = [Severity::Error, Severity::Warning].map(|severity| {
                findings.iter().filter(|found| found.file == name && found.severity == severity).count()
            });
            FileCard {
                name: name.to_owned(),
                href: link.with("file", name).href(),
                phases: file.map_or(0, |file| file.phases.len()),
                errors,
                warnings,
                paused: file.map_or(0, |_| read.paused.keys().filter(|(of, _)| of == name).count()),
            }
        })
        .collect()
}

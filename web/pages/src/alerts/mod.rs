//! The alerts of a day: what failed and for which times, how each route stands, the list.

mod act;
mod again;
mod incidents;
mod list;
mod query;
mod routes;

use flowlord_domain::summary::SummaryItem;
use flowlord_domain::summary::summarize_alerts;
use flowlord_messages::alerts::{ListIncidents, ReadEscalations, StoredAlert, StoredIncident};
use flowlord_messages::silences::{ListSilences, Silence};
use flowlord_web_core::auth::may_change;

use self::list::{AlertOrder, COLUMNS, alert_lines};
use self::query::{FILTERS, PARAMS, PATH};
use self::routes::AlertRoute;
use super::choice::is_task_chosen;
use super::parts::{LongText, Pager, TableHeads, grouped};
use super::repeats::RepeatedAlert;
use super::rows::{kind_words, newest_alerts};
use super::slack::ShownMessage;
use super::sort::{ColumnHead, heads};
use super::when::ShownTime;
use super::{NavigationSection, PageLayout, PageLink, ShownDay, rendered};
use crate::prelude::*;

pub(crate) use self::act::change_alerts;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::view("/web/alert", Role::Viewer, rendered(alerts_page)),
        Route::post("/web/alert", Role::Operator, change_alerts).audited_as(action_of_form),
    ]
}

fn action_of_form(_: &str, form: &str) -> AuditAction {
    match Query::parse_lenient(form).first_value("do") {
        Some("ack") => AuditAction::Acknowledge,
        Some("silence" | "end") => AuditAction::Silence,
        Some("rerun") => AuditAction::Rerun,
        _ => AuditAction::Other,
    }
}

/// The newest alerts of a day, of which the page shows some: cards, filter and order work on these, not in the
/// database.
const MOST: usize = 1_000;
const ROWS: usize = 100;
/// How many incidents and silences are shown.
const INCIDENTS: usize = 20;
const SILENCES: usize = 100;

#[derive(Template)]
#[template(path = "alerts.html")]
struct AlertsPage {
    layout: PageLayout,
    shown: ShownDay,
    routes: Vec<AlertRoute>,
    slack: String,
    incidents: Vec<StoredIncident>,
    now: DateTime<Utc>,
    silences: Vec<Silence>,
    type_: String,
    job: String,
    here: String,
    cards: Vec<AlertCard>,
    /// The tasks of the day, and of the chosen type and job, that failed for good: there they are ticked to run again.
    failed: String,
    may: bool,
    clear: Option<String>,
    heads: TableHeads,
    lines: Vec<RepeatedAlert>,
    total: String,
    capped: bool,
    pager: Pager,
}

/// What fails, how often, for which times.
struct AlertCard {
    name: String,
    count: String,
    range: LongText,
    href: String,
    chosen: bool,
}

async fn alerts_page(context: &WebContext, request: &HttpRequest) -> Result<AlertsPage, Problem> {
    let params = QueryParams::parse(request.query_string(), PARAMS)?;
    let now = context.deps.kit.now();
    let shown = ShownDay::of(&params, now)?;
    let link = PageLink::of(PATH, request.query_string()).without(&["month"]);
    let order = AlertOrder::of(&params)?;
    // The page filters and sorts after reading, so its cursor counts rows.
    let skip = params.cursor::<usize>()?.unwrap_or(0);
    let (from, to) = day(shown.date);
    let (mut layout, found, ladders, incidents, silences) = tokio::join!(
        PageLayout::live(context, request, NavigationSection::Alerts).with_picker(context, &link, shown),
        context.deps.view_reader.call(newest_alerts((from, to), MOST)),
        context.deps.alerts.call(ReadEscalations),
        context.deps.view_reader.call(ListIncidents { from, to, after: None, limit: INCIDENTS }),
        context.deps.view_reader.call(ListSilences { at: Some(now), after: None, limit: SILENCES }),
    );
    let mut found = layout.read("the alerts", found)?.unwrap_or_default();
    let ladders = layout.read("the incidents", ladders)?.unwrap_or_default();
    let incidents = layout.read("the notifications", incidents)?.unwrap_or_default();
    let silences = layout.read("the silences", silences)?.unwrap_or_default();
    // After the ladders: they say which incidents are open.
    let routes = AlertRoute::all(context, ladders, now, &mut layout).await?;
    let capped = found.len() > MOST;
    found.truncate(MOST);
    // Before the filter: a card leads to its alerts also from those of another.
    let cards = alert_cards(&found, &params, &link);
    let lines = alert_lines(found, &params, order)?;
    let total: usize = lines.iter().map(|line| line.count).sum();
    let next = (lines.len() > skip + ROWS).then(|| (skip + ROWS).to_string());
    Ok(AlertsPage {
        layout,
        shown,
        incidents,
        now,
        silences,
        type_: link.first("type").to_owned(),
        job: link.first("job").to_owned(),
        here: link.href(),
        failed: failed_href(&link, shown),
        may: may_change(context, request),
        routes,
        slack: PageLink::to("/web/about").href() + "#slack",
        cards,
        clear: link.unfiltered(FILTERS).map(|link| link.href()),
        heads: TableHeads { heads: alert_heads(&link, order) },
        lines: lines.into_iter().skip(skip).take(ROWS).collect(),
        total: grouped(total as u64),
        capped,
        pager: Pager::new(&link, next),
    })
}

/// The chain unfolds, and the job stands with its type: the address still sorts by them.
fn alert_heads(link: &PageLink, order: AlertOrder) -> Vec<ColumnHead> {
    let mut heads = heads(&COLUMNS, link, order.key(), order.descending);
    heads.retain(|head| !matches!(head.key, "job" | "id"));
    heads
}

/// Where the failed tasks of a day, of the chosen type and job, are ticked to run again.
fn failed_href(link: &PageLink, shown: ShownDay) -> String {
    let chosen = link.only(&["type", "job"]).at("/web/task").with("date", &shown.date);
    chosen.with("result", "error").with("retry", "failed").href()
}

/// A card for each task and job, which leads to its alerts only, and from there back to all.
fn alert_cards(alerts: &[StoredAlert], params: &QueryParams, link: &PageLink) -> Vec<AlertCard> {
    let all = link.without(FILTERS).without(&["cursor"]);
    // Without a filter each card's alerts are shown, and none is the chosen one.
    let is_filtered = !link.first("type").is_empty();
    let lines = summarize_alerts(alerts.iter().map(summary_item)).into_iter();
    lines
        .filter_map(|line| {
            // A line has only its key; the link needs type and job.
            let of = alerts.iter().find(|alert| line_key(&alert.topic, &alert.job) == line.key)?;
            let chosen = is_filtered && is_task_chosen(params, &of.topic, &of.job);
            let link = if chosen { all.clone() } else { all.with_task(&of.topic, &of.job) };
            Some(AlertCard {
                href: link.href(),
                count: grouped(line.count),
                range: LongText::from(line.time_range.replace(',', ", ")),
                name: line.key,
                chosen,
            })
        })
        .collect()
}

fn summary_item(alert: &StoredAlert) -> SummaryItem<'_> {
    let StoredAlert { topic, job, workflow, task_time, .. } = alert;
    SummaryItem { topic, job, workflow, task_time: *task_time, raised: None }
}

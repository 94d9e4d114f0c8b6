//! What this service is: version, files, database, actors, snapshots, alert ladder, tokens.

mod cluster;

use flowlord_domain::duration::print_duration;
use flowlord_messages::alerts::{EscalationStatus, ReadEscalations};
use flowlord_messages::database::{DatabaseFacts, ReadDatabase, TableSize};
use flowlord_messages::snapshots::{ListSnapshots, SnapshotList};
use flowlord_messages::stats::ReadBacklog;
use flowlord_messages::tokens::{ReadTokens, StoredToken};
use flowlord_messages::workflows::{LoadedWorkflows, ReadLoadedWorkflows};
use flowlord_web_core::auth::role;
use flowlord_web_core::use_cases::cluster::list_nodes;
use flowlord_web_core::use_cases::health::ping_actors;
use serde_json::Value;

use cluster::ClusterPanel;

use super::layout::{NavigationSection, PageLayout};
use super::parts::grouped;
use super::rendered;
use super::when::ShownTime;
use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::view("/web/about", Role::Viewer, rendered(about_page))]
}

#[derive(Template)]
#[template(path = "about.html")]
struct AboutPage {
    layout: PageLayout,
    /// Then the leader's page has the parts that are missing here.
    is_follower: bool,
    service: Vec<FactLine>,
    /// Whether notifications go to Slack.
    slack: bool,
    /// None where there is no cluster.
    cluster: Option<ClusterPanel>,
    started: ShownTime,
    workflows: Option<LoadedWorkflows>,
    database: Vec<FactLine>,
    sizes: Vec<SizeRow>,
    /// When the sizes of tables were counted, and whether all of each was.
    measured: Option<(ShownTime, bool)>,
    actors: Vec<ActorRow>,
    ladders: Vec<EscalationStatus>,
    snapshots: SnapshotList,
    /// For those who may see them.
    tokens: Option<Vec<StoredToken>>,
}

/// A name and its value.
type FactLine = (&'static str, String);

struct SizeRow {
    table: String,
    rows: String,
    bytes: String,
    index_bytes: String,
}

struct ActorRow {
    name: String,
    status: String,
    class: &'static str,
    restarts: u64,
    waiting: String,
}

async fn about_page(context: &WebContext, request: &HttpRequest) -> Result<AboutPage, Problem> {
    QueryParams::parse(request.query_string(), &["date", "month"])?;
    let mut layout = PageLayout::live(context, request, NavigationSection::About);
    // Each part is read on its own, so that one that fails leaves the others: people come here when something is wrong.
    let deps = &context.deps;
    let may_see_tokens = role(context, request).is_some_and(|role| role.covers_role(Role::Admin));
    let state = context.cluster.state();
    let (database, workflows, backlog, ladders, snapshots, nodes, (_, actors)) = tokio::join!(
        deps.view_reader.call(ReadDatabase),
        deps.library.call(ReadLoadedWorkflows),
        deps.view_reader.call(ReadBacklog),
        deps.alerts.call(ReadEscalations),
        deps.backup.call(ListSnapshots),
        list_nodes(context, &state),
        ping_actors(context),
    );
    let database = layout.read_here("the database", database);
    let workflows = layout.read_here("the workflows", workflows);
    let backlog = layout.read_here("the backlog", backlog);
    let ladders = layout.read_here("the escalation policies", ladders).unwrap_or_default();
    let snapshots = layout.read_here("the snapshots", snapshots).unwrap_or_default();
    let cluster = ClusterPanel::new(context, &state, nodes, &mut layout);
    let tokens = match may_see_tokens {
        true => layout.read_here("the tokens", deps.reader.call(ReadTokens).await),
        false => None,
    };
    let tables = database.as_ref().map(|facts| facts.tables.clone()).unwrap_or_default();
    let sizes = context.sizes.current(&deps.view_reader, tables, deps.kit.now()).await;
    let mut service = service_facts(context);
    if let Some(backlog) = &backlog {
        let sum = backlog.sum();
        let [ready, delayed, leased] = [sum.ready, sum.delayed, sum.leased].map(grouped);
        service.push(("Tasks ready, delayed, leased", format!("{ready}, {delayed}, {leased}")));
        service.push(("Messages for Slack", format!("{} not sent yet", grouped(backlog.messages))));
    }
    Ok(AboutPage {
        layout,
        is_follower: context.cluster.is_follower(),
        service,
        slack: context.config.slack,
        cluster,
        started: ShownTime::full(context.config.started_at),
        workflows,
        database: database.map(|facts| database_facts(context, &facts)).unwrap_or_default(),
        measured: sizes.as_ref().map(|sizes| (ShownTime::date_and_time(sizes.at), sizes.is_complete())),
        sizes: sizes.iter().flat_map(|sizes| &sizes.tables).map(SizeRow::from).collect(),
        actors: actor_rows(&actors, &(context.config.metrics.0)()),
        ladders,
        snapshots,
        tokens,
    })
}

fn service_facts(context: &WebContext) -> Vec<FactLine> {
    let config = &context.config;
    let slack = if config.slack { "configured" } else { "not configured: see Slack notifications" };
    vec![
        ("Application", "flowlord".to_owned()),
        ("Version", config.version.clone()),
        ("Machine", config.host.clone()),
        ("Address", config.public_url.clone().unwrap_or_else(|| config.listen.to_string())),
        ("History retention", print_duration(config.kept.history)),
        ("Alert for unfinished tasks after", print_duration(config.kept.unfinished)),
        ("Lease duration", print_duration(config.lease)),
        ("Slack", slack.to_owned()),
    ]
}

fn database_facts(context: &WebContext, facts: &DatabaseFacts) -> Vec<FactLine> {
    let pages =
        format!("{} of {} bytes, {} free", grouped(facts.pages), grouped(facts.page_size), grouped(facts.free_pages));
    let backup = context.config.kept.backup.as_str();
    let backup = if backup.is_empty() { "not configured" } else { backup };
    vec![
        ("File", facts.path.clone()),
        ("Schema version", facts.schema.to_string()),
        ("SQLite", facts.sqlite.clone()),
        ("Size", size_text(facts.pages * facts.page_size)),
        ("Pages", pages),
        ("Write-ahead log", size_text(facts.log_bytes)),
        ("Backup location", backup.to_owned()),
    ]
}

/// `12.3 MB`, by the thousand.
fn size_text(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1_000 {
        return format!("{bytes} bytes");
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure to show")]
    let mut size = bytes as f64 / 1e3;
    let mut unit = 0;
    // From here on the one digit that is shown would round it up to 1000.0.
    while size >= 999.95 && unit + 1 < UNITS.len() {
        size /= 1e3;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

fn actor_rows(actors: &Value, metrics: &str) -> Vec<ActorRow> {
    let actors = actors.as_object().into_iter().flatten();
    actors
        .map(|(name, actor)| {
            let status = actor["status"].as_str().unwrap_or("unknown").to_owned();
            ActorRow {
                class: if status == "ok" { "complete" } else { "error" },
                restarts: actor["restarts"].as_u64().unwrap_or_default(),
                waiting: messages_in_flight(name, metrics),
                name: name.clone(),
                status,
            }
        })
        .collect()
}

/// How many messages an actor hasn't answered.
fn messages_in_flight(actor: &str, metrics: &str) -> String {
    // The metrics count them; an actor's own answer doesn't say it.
    let label = format!("flowlord_messages_under_way{{actor=\"{actor}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&label)).unwrap_or("0").to_owned()
}

impl From<&TableSize> for SizeRow {
    fn from(size: &TableSize) -> Self {
        let more = if size.complete { "" } else { "more than " };
        let [bytes, index_bytes] = [size.bytes, size.index_bytes].map(|bytes| format!("{more}{}", size_text(bytes)));
        Self {
            table: size.table.clone(),
            rows: format!("{more}{}", grouped(size.rows)),
            bytes,
            index_bytes: if size.index_bytes == 0 { String::new() } else { index_bytes },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_by_the_thousand() {
        let told = [0, 999, 1_000, 12_345, 999_949, 999_950, 3_200_000_000, 7_000_000_000_000_000].map(size_text);
        assert_eq!(told, ["0 bytes", "999 bytes", "1.0 kB", "12.3 kB", "999.9 kB", "1.0 MB", "3.2 GB", "7000.0 TB"]);
    }

    #[test]
    fn actors_tell_how_they_are_and_what_waits_for_them() {
        let actors = serde_json::json!({"db": {"status": "ok", "restarts": 2}, "web": {"status": "timeout"}});
        let metrics = "# TYPE x gauge\nflowlord_messages_under_way{actor=\"db\"} 7\n";
        let rows = actor_rows(&actors, metrics);
        let told: Vec<_> =
            rows.iter().map(|row| (row.name.as_str(), row.class, row.restarts, row.waiting.as_str())).collect();
        assert_eq!(told, [("db", "complete", 2, "7"), ("web", "error", 0, "0")]);
    }
}

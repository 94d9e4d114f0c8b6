//! `GET /metrics`, as Prometheus reads it. What is counted as it happens is there already; what is a state is read now.

use flowlord_domain::escalation::EscalationPolicy;
use flowlord_messages::alerts::{EscalationStatus, ReadEscalations};
use flowlord_messages::changelog::ReadShippingState;
use flowlord_messages::cluster::{ClusterState, NodeRole};
use flowlord_messages::schedule::ReadNextRuns;
use flowlord_messages::snapshots::{BackupState, ReadBackup};
use flowlord_messages::stats::{QueueBacklog, ReadBacklog};
use flowlord_web_core::route::RouteClass;
use flowlord_web_core::use_cases::health::ping_actors;
use metrics::gauge;

use crate::prelude::*;

mod limit_figures;

pub(crate) fn routes() -> Vec<Route> {
    let example = "flowlord_commit_failures_total 0\n";
    vec![
        Route::get("/metrics", Role::Viewer, metrics)
            .class(RouteClass::Watch)
            .about("service", "Metrics for Prometheus")
            .answers_text(200, "counters, gauges and histograms", &["text/plain"], example),
    ]
}

async fn metrics(context: ContextRef) -> Answer {
    let now = context.deps.kit.now();
    let (backlog, limits, ladders, backup, shipping, next_runs, (_, actors)) = tokio::join!(
        context.deps.view_reader.call(ReadBacklog),
        limit_figures::read_limits(&context),
        context.deps.alerts.call(ReadEscalations),
        context.deps.backup.call(ReadBackup),
        context.deps.shipper.call(ReadShippingState),
        context.deps.scheduler.call(ReadNextRuns),
        ping_actors(&context),
    );
    // What can't be read now is left out, and its actor is shown as down: a scrape that failed would show nothing.
    if let Ok(backlog) = backlog {
        show_backlog(&context, &backlog, now);
        if let Some(limits) = limits {
            limit_figures::show_limits(&context, &limits, &backlog, now);
        }
    }
    ladders.unwrap_or_default().into_iter().for_each(show_escalation);
    if let Ok(backup) = backup {
        show_backup(&backup, now);
    }
    // Absent where nothing was shipped yet: a lag of zero would look like a backup that is complete.
    if let Some(until) = shipping.ok().and_then(|shipping| shipping.until) {
        gauge!("flowlord_backup_lag_seconds").set(seconds(now - until));
    }
    if let Ok(runs) = next_runs {
        let late = runs.iter().filter_map(|run| run.next).map(|next| now - next).max();
        // The next slot is nearly always ahead, which is no lag.
        gauge!("flowlord_scheduler_lag_seconds").set(late.map_or(0.0, seconds).max(0.0));
    }
    for (name, actor) in actors.as_object().into_iter().flatten() {
        let up = if actor["status"] == "ok" { 1.0 } else { 0.0 };
        gauge!("flowlord_actor_up", "actor" => name.clone()).set(up);
        gauge!("flowlord_actor_restarts", "actor" => name.clone()).set(actor["restarts"].as_f64().unwrap_or_default());
    }
    if let Some(state) = context.cluster.of_cluster() {
        show_cluster(&state, now);
    }
    gauge!("flowlord_uptime_seconds").set(seconds(now - context.config.started_at));
    let text = (context.config.metrics.0)();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, kind)).body(text))
}

fn show_escalation(EscalationStatus { route, interval, incident_since, policy, .. }: EscalationStatus) {
    gauge!("flowlord_alert_interval_seconds", "route" => route.clone()).set(seconds(interval));
    let open = if incident_since.is_some() { 1.0 } else { 0.0 };
    gauge!("flowlord_incident_open", "route" => route.clone()).set(open);
    let EscalationPolicy { min_interval, max_interval, factor_up, factor_down, quiet_checks } = policy;
    gauge!("flowlord_ladder_min_seconds", "route" => route.clone()).set(seconds(min_interval));
    gauge!("flowlord_ladder_max_seconds", "route" => route.clone()).set(seconds(max_interval));
    gauge!("flowlord_ladder_factor_up", "route" => route.clone()).set(factor_up.as_f64());
    gauge!("flowlord_ladder_factor_down", "route" => route.clone()).set(factor_down.as_f64());
    gauge!("flowlord_ladder_quiet_ticks", "route" => route).set(f64::from(quiet_checks));
}

fn show_backlog(context: &WebContext, backlog: &QueueBacklog, now: DateTime<Utc>) {
    // A topic that has nothing ready any more shows zero, not what it had.
    let mut shown = context.topics_shown();
    let topics = backlog.by_topic();
    shown.extend(topics.iter().map(|load| load.topic.clone()));
    for topic in shown.iter() {
        let load = topics.iter().find(|load| load.topic == *topic).cloned().unwrap_or_default();
        let age = load.oldest_ready.map_or(0.0, |since| seconds(now - since));
        gauge!("flowlord_ready_tasks", "topic" => topic.clone()).set(number(load.ready));
        // A wall clock that was set back makes no negative age.
        gauge!("flowlord_oldest_ready_age_seconds", "topic" => topic.clone()).set(age.max(0.0));
        gauge!("flowlord_delayed_tasks", "topic" => topic.clone()).set(number(load.delayed));
        gauge!("flowlord_leased_tasks", "topic" => topic.clone()).set(number(load.leased));
    }
    gauge!("flowlord_outbox_messages").set(number(backlog.messages));
}

fn show_backup(backup: &BackupState, now: DateTime<Utc>) {
    if let Some(newest) = &backup.verified {
        gauge!("flowlord_snapshot_age_seconds").set(seconds(now - newest.at));
        gauge!("flowlord_snapshot_size_bytes").set(number(newest.bytes));
    }
    gauge!("flowlord_snapshot_failing").set(if backup.problem.is_some() { 1.0 } else { 0.0 });
}

fn show_cluster(state: &ClusterState, now: DateTime<Utc>) {
    // A leader that couldn't renew its lead acknowledges nothing, and another may lead.
    let leads = state.role == NodeRole::Leader && state.leader.is_some();
    gauge!("flowlord_cluster_leader").set(if leads { 1.0 } else { 0.0 });
    gauge!("flowlord_cluster_term").set(number(state.term));
    gauge!("flowlord_cluster_applied").set(number(state.applied));
    // Not known, it is no figure: the last one would look like a node that keeps up.
    gauge!("flowlord_cluster_lag_seconds").set(state.lag_seconds(now).unwrap_or(f64::NAN));
}

#[expect(clippy::cast_precision_loss, reason = "a figure to show")]
fn number(count: u64) -> f64 {
    count as f64
}

fn seconds(span: TimeDelta) -> f64 {
    span.as_seconds_f64()
}

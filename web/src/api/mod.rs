//! REST: what workers and programs ask for, below `/api/v1`; health and metrics.

pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod backload;
pub(crate) mod chains;
pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod health;
pub(crate) mod hooks;
pub(crate) mod incidents;
pub(crate) mod lease;
pub(crate) mod metrics;
pub(crate) mod phases;
pub(crate) mod rerun;
pub(crate) mod results;
pub(crate) mod schemas;
pub(crate) mod silences;
pub(crate) mod slack;
pub(crate) mod snapshots;
pub(crate) mod stats;
pub(crate) mod tasks;
pub(crate) mod tokens;
pub(crate) mod workflows;

use crate::core::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    let modules: &[fn() -> Vec<Route>] = &[
        lease::routes,
        results::routes,
        tasks::routes,
        hooks::routes,
        chains::routes,
        files::routes,
        rerun::routes,
        workflows::routes,
        phases::routes,
        backload::routes,
        alerts::routes,
        incidents::routes,
        silences::routes,
        stats::routes,
        events::routes,
        audit::routes,
        snapshots::routes,
        tokens::routes,
        health::routes,
        metrics::routes,
        slack::routes,
    ];
    modules.iter().flat_map(|routes| routes()).collect()
}

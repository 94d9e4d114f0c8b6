//! REST: what workers and programs ask for, below `/api/v1`; health and metrics.

mod alerts;
mod attention;
mod audit;
mod backload;
mod cancel;
mod chains;
mod cluster;
mod complete;
mod conventions;
mod demo_slack;
mod events;
mod files;
mod health;
mod hooks;
mod incidents;
mod lease;
mod logs;
mod metrics;
mod phases;
mod prelude;
mod rerun;
mod results;
mod silences;
mod slack;
mod snapshots;
mod stats;
mod task_choice;
mod tasks;
mod tokens;
mod topics;
mod workers;
mod workflows;

use flowlord_web_core::route::Route;

pub use hooks::EXAMPLE_PUSH_TOKEN;

pub fn routes() -> Vec<Route> {
    let modules: &[fn() -> Vec<Route>] = &[
        lease::routes,
        logs::routes,
        results::routes,
        tasks::routes,
        hooks::routes,
        chains::routes,
        files::routes,
        rerun::routes,
        cancel::routes,
        complete::routes,
        workflows::routes,
        phases::routes,
        backload::routes,
        attention::routes,
        alerts::routes,
        incidents::routes,
        silences::routes,
        stats::routes,
        events::routes,
        audit::routes,
        snapshots::routes,
        cluster::routes,
        tokens::routes,
        health::routes,
        metrics::routes,
        topics::routes,
        workers::routes,
        slack::routes,
        demo_slack::routes,
    ];
    modules.iter().flat_map(|routes| routes()).collect()
}

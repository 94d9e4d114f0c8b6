//! What is counted, for Prometheus.

use std::sync::{Arc, OnceLock};

use flowlord_web_core::context::MetricsWriter;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

// From a fast commit to a request that is given up.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

const COMMANDS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

// The process has one recorder; a second service in it, as tests start, shares it.
static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Begins to count, and answers how to read it. Call it before the actors start: what they look up earlier isn't
/// counted.
pub(crate) fn start() -> MetricsWriter {
    let handle = RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new();
        let builder = builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS).ok()?;
        let builder = builder.set_buckets_for_metric(Matcher::Suffix("_commands".to_owned()), &COMMANDS).ok()?;
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).ok()?;
        Some(handle)
    });
    MetricsWriter(Arc::new(move || {
        handle.as_ref().map_or_else(String::new, |handle| {
            handle.run_upkeep();
            handle.render()
        })
    }))
}

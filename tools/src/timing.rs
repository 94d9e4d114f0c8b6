//! Times of requests, in milliseconds.

use std::time::Instant;

pub(crate) fn milliseconds_since(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

pub(crate) fn median_and_p99(times: &mut [f64]) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (percentile_of(times, 50), percentile_of(times, 99))
}

fn percentile_of(sorted: &[f64], percent: usize) -> f64 {
    sorted.get(sorted.len() * percent / 100).copied().unwrap_or(f64::NAN)
}

//! Times of requests, in milliseconds, and medians.

use std::time::Instant;

use anyhow::Context as _;

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

pub(crate) fn median_of(figures: impl IntoIterator<Item = f64>) -> anyhow::Result<f64> {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().context("no rounds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let mut times: Vec<f64> = (0..100).rev().map(f64::from).collect();
        assert_eq!(median_and_p99(&mut times), (50., 99.));
        assert_eq!(median_and_p99(&mut [3.]), (3., 3.));
        let (p50, p99) = median_and_p99(&mut []);
        assert!(p50.is_nan() && p99.is_nan(), "nothing was measured");
    }

    #[test]
    fn one_round_that_is_far_off_does_not_move_the_median() {
        assert_eq!(median_of([1., 900., 2.]).unwrap(), 2.);
        assert_eq!(median_of([7.]).unwrap(), 7.);
        assert_eq!(median_of([]).unwrap_err().to_string(), "no rounds");
    }
}

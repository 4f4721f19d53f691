//! The peers, one module each, with functions of the same names and shapes.
//!
//! - `counter`, `gauge`, `histogram`: an operation on one metric;
//! - `counters_by_handle`: an add to one of 16 series whose handles are kept;
//! - `counters_by_labels`: the same, the series looked up by its label strings at each add;
//! - `counters_page`, `histograms_page`: a call that renders the page of so many series and returns its length.
//!
//! An operation takes the number of an input. Its clones work on the same metric from other threads.

pub mod hdrhistogram;
pub mod measured;
pub mod metrics;
pub mod metriken;
pub mod prometheus;
pub mod prometheus_client;

use std::array;

/// What is shared by all threads for as long as the process lives, as a static would be.
fn forever<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// One value for each of the 16 series.
fn sixteen<T>(make: impl FnMut(usize) -> T) -> [T; 16] {
    array::from_fn(make)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_render_the_same_series() {
        let check = |what: &str, pages: [usize; 4]| {
            let [first, ..] = pages;
            let is_alike = |&bytes: &usize| bytes.abs_diff(first) < first / 50;
            assert!(pages.iter().all(is_alike), "{what}: {pages:?} bytes");
        };
        let counters = [
            prometheus::counters_page(500)(),
            prometheus_client::counters_page(500)(),
            metrics::counters_page(500)(),
            measured::counters_page(500)(),
        ];
        check("counters", counters);
        let histograms = [
            prometheus::histograms_page(50)(),
            prometheus_client::histograms_page(50)(),
            metrics::histograms_page(50)(),
            measured::histograms_page(50)(),
        ];
        check("histograms", histograms);
    }
}

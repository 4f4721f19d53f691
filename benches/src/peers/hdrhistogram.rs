//! `hdrhistogram`: histograms only, without an exact sum.

use hdrhistogram::Histogram;
use hdrhistogram::sync::SyncHistogram;

use crate::input;

fn new() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 1 << 42, 2).unwrap()
}

/// A histogram of one thread.
pub fn plain_log_linear_histogram() -> impl FnMut(usize) + Clone {
    let mut histogram = new();
    let nanos = &*input::NANOS;
    move |at| histogram.record(nanos[at]).unwrap()
}

/// A recorder a thread; what is recorded is seen when a reader has asked and every recorder has answered.
pub fn log_linear_recorder() -> impl FnMut(usize) + Clone + Send {
    let histogram: &SyncHistogram<u64> = super::forever(SyncHistogram::from(new()));
    let mut recorder = histogram.recorder();
    let nanos = &*input::NANOS;
    move |at| recorder.record(nanos[at]).unwrap()
}

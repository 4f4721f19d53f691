//! `metriken`: metrics are statics, labels are indexes, and there is no exposition.

use metriken::{
    AtomicCounterHistogram, Counter, Gauge, ShardedCounterGroup, ShardedCounterHistogram,
};

use crate::input;

/// A counter.
pub fn counter() -> impl FnMut(usize) + Clone + Send {
    static COUNTER: Counter = Counter::new();
    |_| {
        COUNTER.increment();
    }
}

/// A counter with a shard a thread.
pub fn sharded_counter() -> impl FnMut(usize) + Clone + Send {
    static COUNTERS: ShardedCounterGroup = ShardedCounterGroup::new(16);
    |_| {
        COUNTERS.increment(0);
    }
}

/// Counters by index, with a shard a thread.
pub fn sharded_counters_by_index() -> impl FnMut(usize) + Clone + Send {
    static COUNTERS: ShardedCounterGroup = ShardedCounterGroup::new(16);
    let series = &*input::SERIES;
    move |at| {
        COUNTERS.increment(series[at]);
    }
}

/// A log-linear histogram of 3 % precision, without a sum.
pub fn log_linear_histogram() -> impl FnMut(usize) + Clone + Send {
    static HISTOGRAM: AtomicCounterHistogram = AtomicCounterHistogram::new(5, 42);
    let nanos = &*input::NANOS;
    move |at| HISTOGRAM.increment(nanos[at]).unwrap()
}

/// The same with a shard a thread.
pub fn sharded_log_linear_histogram() -> impl FnMut(usize) + Clone + Send {
    static HISTOGRAM: ShardedCounterHistogram = ShardedCounterHistogram::new(5, 42);
    let nanos = &*input::NANOS;
    move |at| HISTOGRAM.increment(nanos[at]).unwrap()
}

/// A gauge.
pub fn gauge() -> impl FnMut(usize) + Clone + Send {
    static GAUGE: Gauge = Gauge::new();
    |at| {
        GAUGE.set(at as i64);
    }
}

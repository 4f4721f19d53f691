//! One update: what a worker thread records each time, and what any number of them must add up to.
//!
//! The n-th update of a thread adds one to a counter of its own and to a shared one, and records a value
//! that depends on n alone in a histogram of its own and in a shared one. So the state of the thread's
//! series after n updates is known exactly.

use tachograph::{Buckets, Counter, Error, Histogram, Unit, Writer};

/// The counter that every thread adds to.
pub const SHARED_COUNTER: &str = "shared_updates_total";
/// The histogram that every thread records in: log-linear, in nanoseconds.
pub const SHARED_HISTOGRAM: &str = "shared_duration_seconds";
/// A thread's own counter, told apart by the label `thread`.
pub const OWN_COUNTER: &str = "own_updates_total";
/// A thread's own histogram: explicit bounds, in bytes.
pub const OWN_HISTOGRAM: &str = "own_size_bytes";

/// Small enough for 10^12 updates: a histogram's sum wraps at 2^64 a shard.
const VALUES: [u64; 8] = [1, 40, 999, 5_000, 77_777, 1_000_000, 1_234_567, 9_876_543];

/// The layout of the shared histogram.
pub fn shared_buckets() -> Buckets {
    Buckets::default()
}

/// The layout of a thread's own histogram.
///
/// # Panics
/// Never: the bounds ascend.
pub fn own_buckets() -> Buckets {
    Buckets::explicit([10, 1_000, 100_000, 5_000_000]).expect("ascending bounds")
}

/// The value that update `n`, counted from zero, records.
pub fn value(n: u64) -> u64 {
    VALUES[place(n)]
}

fn place(n: u64) -> usize {
    usize::try_from(n % VALUES.len() as u64).expect("less than eight")
}

/// The sum of the values of the first `updates` updates.
pub fn sum(updates: u64) -> u128 {
    let rounds = u128::from(updates / VALUES.len() as u64);
    let whole: u128 = VALUES.iter().copied().map(u128::from).sum();
    let rest = &VALUES[..place(updates)];
    rounds * whole + rest.iter().copied().map(u128::from).sum::<u128>()
}

/// The bucket counts of the first `updates` updates.
pub fn counts(updates: u64, buckets: &Buckets) -> Vec<u64> {
    let mut counts = vec![0; buckets.count()];
    for (at, &value) in VALUES.iter().enumerate() {
        let extra = u64::from(at < place(updates));
        counts[buckets.index(value)] += updates / VALUES.len() as u64 + extra;
    }
    counts
}

/// The handles that a thread records with.
#[derive(Debug, Clone, Copy)]
pub struct Handles {
    own_counter: Counter,
    shared_counter: Counter,
    own_histogram: Histogram,
    shared_histogram: Histogram,
}

impl Handles {
    /// Registers the series of `thread`.
    ///
    /// # Errors
    /// What registration says.
    pub fn register(writer: &Writer, thread: usize) -> Result<Handles, Error> {
        let thread = thread.to_string();
        Ok(Handles {
            own_counter: writer
                .counter(OWN_COUNTER, "Updates of one thread")
                .label("thread", &thread)
                .register()?,
            shared_counter: writer
                .counter(SHARED_COUNTER, "Updates of all threads")
                .register()?,
            own_histogram: writer
                .histogram(OWN_HISTOGRAM, "Values of one thread")
                .unit(Unit::BYTES)
                .buckets(own_buckets())
                .label("thread", &thread)
                .register()?,
            shared_histogram: writer
                .histogram(SHARED_HISTOGRAM, "Values of all threads")
                .unit(Unit::NANOSECONDS)
                .buckets(shared_buckets())
                .register()?,
        })
    }

    /// Makes update `n`.
    #[inline]
    pub fn update(&self, n: u64) {
        self.own_counter.inc();
        self.shared_counter.inc();
        self.own_histogram.record(value(n));
        self.shared_histogram.record(value(n));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closed_forms_agree_with_counting() {
        for updates in [0, 1, 7, 8, 9, 100] {
            for buckets in [shared_buckets(), own_buckets()] {
                let mut naive = vec![0; buckets.count()];
                for n in 0..updates {
                    naive[buckets.index(value(n))] += 1;
                }
                assert_eq!(counts(updates, &buckets), naive);
            }
            let naive: u128 = (0..updates).map(|n| u128::from(value(n))).sum();
            assert_eq!(sum(updates), naive);
        }
    }
}

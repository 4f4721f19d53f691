//! Adds to shards by atomic additions, and the order of a histogram's bucket and sum. The restartable adds
//! are the processor's: no model can run them.

use std::sync::Arc;

use crate::cell::histogram_cell;
use crate::rseq::{Geometry, ShardedCells};
use crate::sync::{AtomicU64, Ordering};
use crate::values::sum_histogram;

use super::atomic::{segment_words, share, watch};
use super::{Bound, prove, spawn};

/// One shard of a sum and a bucket.
#[derive(Clone, Copy)]
struct Small;

impl Geometry for Small {
    fn last(&self) -> usize {
        1
    }
    fn stride_bytes(&self) -> u64 {
        16
    }
    fn cpus(&self) -> u32 {
        0
    }
    fn fallbacks(&self) -> u32 {
        1
    }
}

fn cells() -> (&'static [AtomicU64], ShardedCells<Small>) {
    let words = segment_words(2);
    share(words);
    (words, ShardedCells::new(words, Small).unwrap())
}

const BUCKET: usize = histogram_cell::BUCKETS;

fn record(cells: &ShardedCells<Small>, value: u64) {
    cells.add_two((BUCKET, 1), (histogram_cell::SUM, value));
}

/// Records of one value: a reader's sum never holds a record that its bucket does not.
fn the_sum_is_never_ahead() {
    let (words, cells) = cells();
    watch(words);
    let other = spawn(move || {
        record(&cells, 5);
        record(&cells, 5);
    });
    let mut counts = [0];
    let shards = || std::iter::once(words);
    let sum = sum_histogram(shards, shards, &mut counts);
    assert!(sum <= u128::from(counts[0]) * 5, "{sum} in {counts:?}");
    other.join().unwrap();
    assert_eq!((cells.sum(histogram_cell::SUM), cells.sum(BUCKET)), (10, 2));
}

#[test]
fn sums_and_buckets() {
    prove(
        Bound::Exhaustive,
        the_sum_is_never_ahead,
        &[
            "bucket before sum",
            "fallback order",
            "sum seen",
            "sums before buckets",
        ],
    );
}

fn adds_are_all_there() {
    let (_, cells) = cells();
    let add = move || {
        cells.add(0, 1);
        cells.add_f64(1, 0.5);
    };
    let other = spawn(add);
    add();
    other.join().unwrap();
    assert_eq!(cells.sum(0), 2);
    assert_eq!(cells.sum_f64(1), 1.0);
}

#[test]
fn adds() {
    prove(
        Bound::Exhaustive,
        adds_are_all_there,
        &["fallback add", "float add"],
    );
}

/// A count of losses is added to by any process.
fn losses_are_all_counted() {
    use crate::layout::header;
    use crate::loss::Loss;
    let segment = super::stage::segment();
    let other = Arc::clone(&segment);
    let other = spawn(move || other.count_loss(Loss::SeriesLimit));
    segment.count_loss(Loss::SeriesLimit);
    other.join().unwrap();
    let count = &segment.words()[header::LOSSES + Loss::SeriesLimit as usize];
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[test]
fn losses() {
    prove(Bound::Exhaustive, losses_are_all_counted, &["loss counted"]);
}

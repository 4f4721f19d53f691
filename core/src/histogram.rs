//! Histograms: disjoint buckets and an exact sum, sharded by CPU.

use std::time::{Duration, Instant};

use crate::attached::{Attached, Resolve, Resolved};
use crate::buckets::to_recorded;
use crate::cell::histogram_cell;
use crate::home::{Home, says_whether_it_is_live};
use crate::layout::sink;
use crate::record::FamilyRecord;
use crate::rseq::ShardedCells;
use crate::schema::Kind;
use crate::shape::Shape;

/// A distribution of integers in the family's recorded unit. Copies are the same histogram.
///
/// Bucket and sum are two sequences, because a sequence may commit only one store: the count is derived
/// from the buckets and can never disagree with them, and the sum lags by at most the records in flight.
#[derive(Clone, Copy)]
pub struct Histogram {
    cells: ShardedCells<&'static Shape>,
    home: Home,
}

says_whether_it_is_live!(Histogram);

impl Histogram {
    /// Records one value.
    #[inline(always)]
    pub fn record(&self, value: u64) {
        self.add(value, 1, value);
    }

    /// Records `n` equal values at the cost of one. The sum wraps at 2⁶⁴ a shard.
    #[inline]
    pub fn record_n(&self, value: u64, n: u64) {
        self.add(value, n, value.wrapping_mul(n));
    }

    /// The bucket before the sum: whatever counts is in the sum or on its way there.
    #[inline(always)]
    fn add(&self, value: u64, n: u64, sum: u64) {
        let bucket = histogram_cell::BUCKETS + self.cells.geometry().bucket(value);
        self.cells.add_two((bucket, n), (histogram_cell::SUM, sum));
    }

    /// Records a duration, rounded to the family's recorded unit of time (nanoseconds lose nothing).
    #[inline]
    pub fn record_duration(&self, duration: Duration) {
        let per_second = self.cells.geometry().scale.invert(1.0);
        if per_second == 1e9 {
            self.record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
        } else {
            self.record_f64(duration.as_secs_f64());
        }
    }

    /// Records a value given in the base unit, as in seconds. NaN, negative and infinite values are
    /// refused and counted.
    #[inline]
    pub fn record_f64(&self, value: f64) {
        match to_recorded(value, self.cells.geometry().scale) {
            Some(recorded) => self.record(recorded),
            None => crate::counter::reject(self.cells.geometry().segment, value),
        }
    }

    pub(crate) fn shape(&self) -> &'static Shape {
        self.cells.geometry()
    }

    /// Starts a timer that records when it is dropped.
    #[inline]
    pub fn start(&self) -> Timer {
        Timer {
            histogram: *self,
            began: Instant::now(),
        }
    }

    /// How many values were recorded so far, over all processes.
    pub fn count(&self) -> u64 {
        use crate::rseq::Geometry;
        let buckets = histogram_cell::BUCKETS..=self.cells.geometry().last();
        buckets.fold(0, |sum, cell| self.cells.sum(cell).wrapping_add(sum))
    }
}

/// Records the time from its start to its end in a histogram of durations.
#[derive(Debug)]
#[must_use = "a timer records when it is dropped"]
pub struct Timer {
    histogram: Histogram,
    began: Instant,
}

impl Timer {
    /// Ends without recording.
    pub fn discard(self) {
        std::mem::forget(self);
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.histogram.record_duration(self.began.elapsed());
    }
}

impl Resolve for Histogram {
    const KIND: Kind = Kind::Histogram;

    fn resolve(
        attached: &'static Attached,
        (_, known): (u32, &FamilyRecord),
        resolved: &Resolved,
    ) -> Option<Histogram> {
        let shape = attached.shape(known);
        let home = Home::of(attached, resolved);
        attached
            .sharded(shape.placement(), resolved.cells.sharded, shape)
            .map(|cells| Histogram { cells, home })
    }

    fn sink(attached: &'static Attached) -> Histogram {
        let shape = attached.sink_shape();
        let cells = attached.sharded(shape.placement(), sink::HISTOGRAM as u64, shape);
        Histogram {
            cells: cells.expect("the first block is always there"),
            home: Home::nowhere(),
        }
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

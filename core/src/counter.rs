//! Counters: monotone sums, sharded by CPU.

use crate::attached::{Attached, Resolve, Resolved};
use crate::home::{Home, says_whether_it_is_live};
use crate::layout::sink;
use crate::loss::Loss;
use crate::record::FamilyRecord;
use crate::rseq::{OneCell, ShardedCells};
use crate::schema::Kind;
use crate::segment::Segment;
use crate::shape::Shape;

/// A monotone sum of integers. Copies are the same counter; an add costs about one plain add.
#[derive(Clone, Copy)]
pub struct Counter {
    cells: ShardedCells<OneCell>,
    home: Home,
}

impl Counter {
    /// Adds one.
    #[inline(always)]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`. The sum wraps at 2⁶⁴.
    #[inline(always)]
    pub fn add(&self, n: u64) {
        self.cells.add(0, n);
    }

    /// The sum so far, over all processes: one load a shard.
    pub fn value(&self) -> u64 {
        self.cells.sum(0)
    }
}

/// A monotone sum of floats. Copies are the same counter.
#[derive(Clone, Copy)]
pub struct CounterF64 {
    cells: ShardedCells<&'static Shape>,
    home: Home,
}

says_whether_it_is_live!(Counter, CounterF64);

impl CounterF64 {
    /// Adds `n` in recorded units. NaN, negative and infinite amounts are refused and counted.
    #[inline(always)]
    pub fn add(&self, n: f64) {
        if (0.0..f64::INFINITY).contains(&n) {
            self.cells.add_f64(0, n);
        } else {
            reject(self.cells.geometry().segment, n);
        }
    }

    /// The sum so far, over all processes, in recorded units.
    pub fn value(&self) -> f64 {
        self.cells.sum_f64(0)
    }
}

/// Counts an amount that is not a number from zero up.
#[cold]
#[inline(never)]
pub(crate) fn reject(segment: &Segment, refused: f64) {
    segment.count_loss(if refused.is_nan() {
        Loss::RejectedNan
    } else if refused < 0.0 {
        Loss::RejectedNegative
    } else {
        Loss::RejectedInfinite
    });
}

impl Resolve for Counter {
    const KIND: Kind = Kind::Counter;

    fn resolve(
        attached: &'static Attached,
        (_, known): (u32, &FamilyRecord),
        resolved: &Resolved,
    ) -> Option<Counter> {
        let geometry = one_cell(attached);
        let home = Home::of(attached, resolved);
        attached
            .sharded(&known.placement, resolved.cells.sharded, geometry)
            .map(|cells| Counter { cells, home })
    }

    fn sink(attached: &'static Attached) -> Counter {
        let placement = *attached.sink_shape().placement();
        let cells = attached.sharded(&placement, sink::COUNTER as u64, one_cell(attached));
        Counter {
            cells: cells.expect("the first block is always there"),
            home: Home::nowhere(),
        }
    }
}

impl Resolve for CounterF64 {
    const KIND: Kind = Kind::CounterF64;

    fn resolve(
        attached: &'static Attached,
        (_, known): (u32, &FamilyRecord),
        resolved: &Resolved,
    ) -> Option<CounterF64> {
        let shape = attached.shape(known);
        let home = Home::of(attached, resolved);
        attached
            .sharded(shape.placement(), resolved.cells.sharded, shape)
            .map(|cells| CounterF64 { cells, home })
    }

    fn sink(attached: &'static Attached) -> CounterF64 {
        let shape = attached.sink_shape();
        let cells = attached.sharded(shape.placement(), sink::COUNTER_F64 as u64, shape);
        CounterF64 {
            cells: cells.expect("the first block is always there"),
            home: Home::nowhere(),
        }
    }
}

fn one_cell(attached: &Attached) -> OneCell {
    let layout = &attached.segment.layout;
    OneCell {
        cpus: layout.cpu_shards,
        fallbacks: layout.fallback_shards,
    }
}

impl std::fmt::Debug for Counter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Counter").field(&self.value()).finish()
    }
}

impl std::fmt::Debug for CounterF64 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CounterF64").field(&self.value()).finish()
    }
}

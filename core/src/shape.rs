//! The shape of a family's series, made once a process: shards, cells, and the search for a bucket.

use crate::buckets::{Buckets, LogLinearIndex, log_linear_lower_bound};
use crate::cell::Placement;
use crate::layout::{PAGE_BYTES, Section};
use crate::record::FamilyRecord;
use crate::rseq::Geometry;
use crate::segment::Segment;
use crate::unit::Scale;
use crate::word::low_half;

/// Everything that the handles of one family share, with those of others of the same shape.
///
/// What a record needs comes first and is packed, because loads are what it spends most on.
#[derive(Debug)]
pub(crate) struct Shape {
    /// The index of a log-linear family; `None` for the others.
    index: Option<LogLinearIndex>,
    shards: Shards,
    last: usize,
    search: Search,
    pub(crate) segment: &'static Segment,
    pub(crate) scale: Scale,
    placement: Placement,
    buckets: Option<Buckets>,
}

/// How to find the bucket of a value without a log-linear index.
#[derive(Debug)]
enum Search {
    Explicit(Box<Explicit>),
    /// One bucket for everything.
    One,
}

/// Stride in bytes (from bit 16) and CPU shards of a series, in one word.
#[derive(Debug, Clone, Copy)]
struct Shards(u64);

impl Shards {
    fn of(placement: &Placement) -> Shards {
        Shards((u64::from(placement.stride_pages) * PAGE_BYTES) << 16 | u64::from(placement.cpus))
    }

    #[inline(always)]
    const fn stride_bytes(self) -> u64 {
        self.0 >> 16
    }

    #[inline(always)]
    const fn cpus(self) -> u32 {
        low_half(self.0 & 0xffff)
    }
}

/// Explicit bounds behind a table that says where to start: usually one comparison is left.
#[derive(Debug)]
struct Explicit {
    bounds: Box<[u64]>,
    /// By log-linear index of the value: the first bound that can take it.
    start: [u16; START_COUNT],
}

/// Eight starts an octave.
const START_PRECISION: u8 = 3;
const START_COUNT: usize = (64 - START_PRECISION as usize + 1) << START_PRECISION;

impl Shape {
    pub(crate) fn new(segment: &'static Segment, known: &FamilyRecord) -> Shape {
        let buckets = known.spec.buckets.as_ref();
        let log_linear = buckets.and_then(Buckets::log_linear_parts);
        let explicit = buckets.filter(|buckets| buckets.explicit_bounds().is_some());
        Shape {
            index: log_linear.map(|(precision, _)| LogLinearIndex::new(precision)),
            search: explicit.map_or(Search::One, |buckets| {
                Search::Explicit(Box::new(Explicit::new(buckets)))
            }),
            scale: known.spec.unit.scale(),
            buckets: buckets.cloned(),
            ..Shape::of_one_bucket(segment, known.placement)
        }
    }

    /// The shape of the sink: a sum and one bucket in the first block.
    pub(crate) fn sink(segment: &'static Segment) -> Shape {
        let layout = &segment.layout;
        let placement = Placement::new(layout, 2, (layout.cpu_shards, layout.fallback_shards));
        debug_assert_eq!(placement.section, Section::Counters);
        Shape::of_one_bucket(segment, placement)
    }

    fn of_one_bucket(segment: &'static Segment, placement: Placement) -> Shape {
        Shape {
            index: None,
            shards: Shards::of(&placement),
            last: placement.cells - 1,
            search: Search::One,
            segment,
            scale: Scale::ONE,
            placement,
            buckets: None,
        }
    }

    /// Whether series of this family have this shape.
    pub(crate) fn is_of(&self, known: &FamilyRecord) -> bool {
        self.placement == known.placement
            && self.scale == known.spec.unit.scale()
            && self.buckets == known.spec.buckets
    }

    pub(crate) fn placement(&self) -> &Placement {
        &self.placement
    }

    /// The bucket of `value`; at or beyond the last one for values above the highest bound.
    #[inline(always)]
    pub(crate) fn bucket(&self, value: u64) -> usize {
        match (self.index, &self.search) {
            (Some(index), _) => index.of(value),
            (None, Search::Explicit(explicit)) => explicit.bucket(value),
            (None, Search::One) => 0,
        }
    }
}

impl Shape {
    /// Which of a series' exemplars is kept for `value`.
    #[inline]
    pub(crate) fn exemplar_of(&self, value: u64) -> usize {
        self.placement.exemplar_of(self.bucket(value))
    }
}

impl Explicit {
    fn new(buckets: &Buckets) -> Explicit {
        let bounds: Box<[u64]> = buckets.explicit_bounds().unwrap_or_default().into();
        let start = std::array::from_fn(|index| {
            let least = log_linear_lower_bound(index, START_PRECISION);
            u16::try_from(bounds.partition_point(|&bound| bound < least)).unwrap_or(0)
        });
        Explicit { bounds, start }
    }

    #[inline(always)]
    fn bucket(&self, value: u64) -> usize {
        const INDEX: LogLinearIndex = LogLinearIndex::new(START_PRECISION);
        let start = usize::from(self.start[INDEX.of(value)]);
        let rest = self.bounds.get(start..).unwrap_or_default();
        start + rest.iter().take_while(|&&bound| bound < value).count()
    }
}

impl Geometry for &'static Shape {
    #[inline(always)]
    fn last(&self) -> usize {
        self.last
    }
    #[inline(always)]
    fn stride_bytes(&self) -> u64 {
        self.shards.stride_bytes()
    }
    #[inline(always)]
    fn cpus(&self) -> u32 {
        self.shards.cpus()
    }
    #[inline(always)]
    fn fallbacks(&self) -> u32 {
        self.placement.fallbacks
    }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;
    use crate::buckets::log_linear_index;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_search_agrees_with_the_layout(
            bounds in proptest::collection::btree_set(any::<u64>(), 1..40),
            value in any::<u64>(),
            shift in 0u32..64,
        ) {
            let bounds: Vec<u64> = bounds.into_iter().map(|bound| bound >> (bound % 60)).collect();
            let bounds: std::collections::BTreeSet<u64> = bounds.into_iter().collect();
            let buckets = Buckets::explicit(bounds.iter().copied().collect::<Vec<_>>()).unwrap();
            let explicit = Explicit::new(&buckets);
            for value in bounds.iter().flat_map(|&b| [b, b.saturating_add(1), b.saturating_sub(1)]).chain([value >> shift]) {
                prop_assert_eq!(explicit.bucket(value), buckets.index(value));
            }
        }
    }

    #[test]
    fn every_value_has_a_start() {
        assert!(log_linear_index(u64::MAX, START_PRECISION) < START_COUNT);
    }
}

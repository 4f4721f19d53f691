//! The shape of a family's series, made once a process: shards, cells, and the search for a bucket.

use crate::buckets::{Buckets, LogLinearIndex, log_linear_lower_bound};
use crate::cell::Placement;
use crate::layout::{PAGE_BYTES, Section};
use crate::record::FamilyRecord;
use crate::rseq::Geometry;
use crate::segment::Segment;
use crate::unit::Scale;

/// Everything that the handles of one family share.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) segment: &'static Segment,
    pub(crate) scale: Scale,
    placement: Placement,
    stride_bytes: u64,
    search: Search,
}

/// How to find the bucket of a value.
#[derive(Debug)]
enum Search {
    LogLinear(LogLinearIndex),
    Explicit(Box<Explicit>),
    /// One bucket for everything.
    One,
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
        let search = match known.spec.buckets.as_ref() {
            None => Search::One,
            Some(buckets) => match buckets.log_linear_parts() {
                Some((precision, _)) => Search::LogLinear(LogLinearIndex::new(precision)),
                None => Search::Explicit(Box::new(Explicit::new(buckets))),
            },
        };
        Shape {
            segment,
            scale: known.spec.unit.scale(),
            placement: known.placement,
            stride_bytes: stride_bytes(&known.placement),
            search,
        }
    }

    /// The shape of the sink: a sum and one bucket in the first block.
    pub(crate) fn sink(segment: &'static Segment) -> Shape {
        let layout = &segment.layout;
        let placement = Placement::new(layout, 2, (layout.cpu_shards, layout.fallback_shards));
        debug_assert_eq!(placement.section, Section::Counters);
        Shape {
            segment,
            scale: Scale::ONE,
            stride_bytes: stride_bytes(&placement),
            placement,
            search: Search::One,
        }
    }

    pub(crate) fn placement(&self) -> &Placement {
        &self.placement
    }

    /// The bucket of `value`; at or beyond the last one for values above the highest bound.
    #[inline(always)]
    pub(crate) fn bucket(&self, value: u64) -> usize {
        match &self.search {
            Search::LogLinear(index) => index.of(value),
            Search::Explicit(explicit) => explicit.bucket(value),
            Search::One => 0,
        }
    }
}

fn stride_bytes(placement: &Placement) -> u64 {
    u64::from(placement.stride_pages) * PAGE_BYTES
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
    fn cells(&self) -> usize {
        self.placement.cells
    }
    #[inline(always)]
    fn stride_bytes(&self) -> u64 {
        self.stride_bytes
    }
    #[inline(always)]
    fn cpus(&self) -> u32 {
        self.placement.cpus
    }
    #[inline(always)]
    fn fallbacks(&self) -> u32 {
        self.placement.fallbacks
    }
}

#[cfg(all(test, not(loom)))]
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

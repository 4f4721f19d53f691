//! Where the cells of a series lie: sharded, shared, or a process's own.

use crate::buckets::Buckets;
use crate::layout::{Layout, PAGE_BYTES, PAGE_WORDS, Section, exemplar};
use crate::schema::{GaugeMode, Kind};

/// A histogram costs at most this much over all shards of the CPUs, or it gets fewer, hashed ones.
const PER_CPU_BYTES_MAX: u64 = 256 << 10;
/// Hashed shards of a histogram that would cost too much a CPU.
const HASHED_SHARDS: u32 = 8;

/// How a histogram's buckets are spread over shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Sharding {
    /// A shard a CPU while that costs at most 256 KiB a series, else eight hashed ones.
    #[default]
    Auto,
    /// A shard a CPU, whatever it costs.
    PerCpu,
    /// So many shards, chosen by thread and written by atomic additions. 1 to 1 024.
    Hashed(u32),
}

/// Exemplars of a log-linear histogram: as many as a native histogram should show.
const LOG_LINEAR_EXEMPLARS: u32 = 10;
/// Most exemplars of a histogram with explicit bounds, which has one a bucket up to here.
const EXPLICIT_EXEMPLARS_MAX: u32 = 16;

/// Where the sharded cells of a family's series go, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placement {
    pub(crate) section: Section,
    pub(crate) cells: usize,
    pub(crate) stride_pages: u32,
    pub(crate) cpus: u32,
    pub(crate) fallbacks: u32,
    /// Exemplars that a series keeps.
    pub(crate) exemplars: u32,
}

impl Placement {
    /// The placement of a family with `cells` sharded cells and these shards.
    pub(crate) fn new(layout: &Layout, cells: usize, (cpus, fallbacks): (u32, u32)) -> Placement {
        let is_full = (cpus, fallbacks) == (layout.cpu_shards, layout.fallback_shards);
        let section = if is_full && cells <= PAGE_WORDS {
            Section::Counters
        } else {
            Section::Histograms
        };
        let pages = u32::try_from(cells.div_ceil(PAGE_WORDS)).unwrap_or(u32::MAX);
        Placement {
            section,
            cells,
            stride_pages: pages.max(1),
            cpus,
            fallbacks,
            exemplars: 0,
        }
    }

    pub(crate) fn with_exemplars(self, exemplars: u32) -> Placement {
        Placement { exemplars, ..self }
    }

    /// Which of its exemplars a histogram keeps for a bucket: each has neighbouring buckets of its own.
    pub(crate) fn exemplar_of(&self, bucket: usize) -> usize {
        let buckets = self.cells.saturating_sub(histogram_cell::BUCKETS);
        exemplar_of(bucket, buckets, self.exemplars)
    }

    fn shards(&self) -> u64 {
        u64::from(self.cpus) + u64::from(self.fallbacks)
    }

    /// Words from the first cell to the end of the last shard's cells.
    pub(crate) fn span_words(&self) -> usize {
        let shards = usize::try_from(self.shards()).unwrap_or(usize::MAX);
        shards
            .saturating_sub(1)
            .saturating_mul(self.stride_pages as usize * PAGE_WORDS)
            + self.cells
    }

    /// Entries of its section that one series claims.
    pub(crate) fn entries(&self) -> u64 {
        match self.section {
            Section::Counters => self.cells as u64,
            _ => self.shards() * u64::from(self.stride_pages),
        }
    }

    /// Moves a first free entry up to where a series fits: never over the end of a block.
    pub(crate) fn align(&self, next: u64) -> u64 {
        let page = PAGE_WORDS as u64;
        if self.section == Section::Counters && next % page + self.cells as u64 > page {
            return next.checked_next_multiple_of(page).unwrap_or(u64::MAX);
        }
        next
    }

    /// Word offset of entry `first` in its section.
    pub(crate) fn offset(&self, layout: &Layout, first: u64) -> u64 {
        let page = PAGE_WORDS as u64;
        match self.section {
            Section::Counters => first / page * page * layout.shards() as u64 + first % page,
            _ => first * page,
        }
    }

    /// Words of its section that must have memory before a series at entry `first` is published.
    pub(crate) fn committed_words(&self, layout: &Layout, first: u64) -> u64 {
        let page = PAGE_WORDS as u64;
        match self.section {
            Section::Counters => (first / page + 1) * page * layout.shards() as u64,
            _ => (first + self.entries()) * page,
        }
    }

    /// Bytes of memory that one series takes.
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.exemplars) * exemplar::WORDS as u64 * 8 + self.cell_bytes()
    }

    fn cell_bytes(&self) -> u64 {
        match self.section {
            Section::Counters => self.cells as u64 * 8 * self.shards(),
            _ => self.entries() * PAGE_BYTES,
        }
    }
}

/// Sharded cells of a series of this kind: one a counter, a sum and the buckets of a histogram.
pub(crate) fn sharded_cells(kind: Kind, buckets: Option<&Buckets>) -> usize {
    match kind {
        Kind::Counter | Kind::CounterF64 => 1,
        Kind::Histogram => 1 + buckets.map_or(0, Buckets::count),
        Kind::Gauge(_) | Kind::GaugeF64(_) | Kind::Info | Kind::StateSet(_) => 0,
    }
}

/// Exemplars of a series of this kind, where its family keeps any.
pub(crate) fn exemplars(kind: Kind, buckets: Option<&Buckets>) -> u32 {
    match (kind, buckets) {
        (Kind::Counter | Kind::CounterF64, _) => 1,
        (Kind::Histogram, Some(buckets)) => {
            let most = match buckets.explicit_bounds() {
                Some(_) => EXPLICIT_EXEMPLARS_MAX,
                None => LOG_LINEAR_EXEMPLARS,
            };
            u32::try_from(buckets.count()).map_or(most, |count| count.min(most))
        }
        _ => 0,
    }
}

/// Which of `exemplars` one of `buckets` has: neighbouring buckets share one.
pub(crate) fn exemplar_of(bucket: usize, buckets: usize, exemplars: u32) -> usize {
    let buckets = buckets.max(1);
    bucket.min(buckets - 1) * exemplars as usize / buckets
}

/// The shards of a family: a counter's are the segment's.
pub(crate) fn choose_shards(
    layout: &Layout,
    kind: Kind,
    cells: usize,
    sharding: Sharding,
) -> (u32, u32) {
    let per_cpu = (layout.cpu_shards, layout.fallback_shards);
    if kind != Kind::Histogram {
        return per_cpu;
    }
    match sharding {
        Sharding::Auto if Placement::new(layout, cells, per_cpu).bytes() <= PER_CPU_BYTES_MAX => {
            per_cpu
        }
        Sharding::Auto => (0, HASHED_SHARDS),
        Sharding::PerCpu => per_cpu,
        Sharding::Hashed(count) => (0, count.clamp(1, 1024)),
    }
}

/// A process's own cells and shared cells that a series of this kind takes: `(own, shared)`.
pub(crate) fn gauge_cells(kind: Kind) -> (u64, u64) {
    let mode = match kind {
        Kind::Gauge(mode) | Kind::GaugeF64(mode) | Kind::StateSet(mode) => mode,
        Kind::Info => GaugeMode::Max,
        Kind::Counter | Kind::CounterF64 | Kind::Histogram => return (0, 0),
    };
    match mode {
        GaugeMode::Sum | GaugeMode::Min | GaugeMode::Max | GaugeMode::Each => (1, 0),
        // The value and the ticket it was set with; the shared cell hands out the tickets.
        GaugeMode::Latest => (2, 1),
        // What this process set last; the shared cell holds the sum.
        GaugeMode::LastingSum => (1, 1),
        GaugeMode::LastingMin | GaugeMode::LastingMax | GaugeMode::LastingLatest => (0, 1),
    }
}

/// The cells of a histogram in one shard.
pub(crate) mod histogram_cell {
    /// The sum; the buckets follow.
    pub(crate) const SUM: usize = 0;
    /// The first bucket.
    pub(crate) const BUCKETS: usize = 1;
}

/// A gauge's value as its cell holds it: the sign bit flipped, so that 0 is left to mean "not set".
pub(crate) mod gauge_word {
    const SIGN: u64 = 1 << 63;
    /// The word of a gauge that is not set.
    pub(crate) const ABSENT: u64 = 0;
    /// The word of zero, of an integer and of a float alike.
    pub(crate) const ZERO: u64 = SIGN;

    #[inline(always)]
    pub(crate) fn from_i64(value: i64) -> u64 {
        value.cast_unsigned() ^ SIGN
    }

    pub(crate) fn to_i64(word: u64) -> i64 {
        (word ^ SIGN).cast_signed()
    }

    #[inline(always)]
    pub(crate) fn from_f64(value: f64) -> u64 {
        // Adding zero turns −0 into 0 and leaves every other value as it is.
        (value + 0.0).to_bits() ^ SIGN
    }

    pub(crate) fn to_f64(word: u64) -> f64 {
        f64::from_bits(word ^ SIGN)
    }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;
    use crate::layout::Capacities;
    use proptest::prelude::*;

    fn layout(cpus: u32) -> Layout {
        let capacities = Capacities {
            processes: 4,
            families: 8,
            series: 16,
            string_bytes: 4096,
            shared_cells: 16,
            process_cells: 16,
            counter_cells: 4096,
            histogram_bytes: 1 << 24,
            exemplars: 16,
        };
        Layout::plan(&capacities, cpus, 2)
    }

    #[test]
    fn a_large_histogram_on_many_cpus_is_hashed() {
        let cells = 1 + Buckets::default().count();
        let choose = |cpus| choose_shards(&layout(cpus), Kind::Histogram, cells, Sharding::Auto);
        assert_eq!(choose(2), (2, 2));
        assert_eq!(choose(256), (0, HASHED_SHARDS));
        let explicit = choose_shards(&layout(256), Kind::Histogram, 14, Sharding::Auto);
        assert_eq!(explicit, (256, 2));
    }

    #[test]
    fn no_series_straddles_a_block() {
        let placement = Placement::new(&layout(2), 14, (2, 2));
        assert_eq!(placement.align(498), 498);
        assert_eq!(placement.align(499), 512);
        assert_eq!(placement.offset(&layout(2), 513), 512 * 4 + 1);
        assert_eq!(placement.committed_words(&layout(2), 513), 2 * 512 * 4);
    }

    #[test]
    fn neighbours_never_overlap() {
        let layout = layout(3);
        for cells in [1, 5, 512, 513, 3000] {
            let placement = Placement::new(&layout, cells, (3, 2));
            let mut taken = std::collections::HashSet::new();
            let mut next = 0;
            for _ in 0..4 {
                let first = placement.align(next);
                next = first + placement.entries();
                for shard in 0..5 {
                    for cell in 0..cells as u64 {
                        let stride = u64::from(placement.stride_pages) * 512;
                        let word = placement.offset(&layout, first) + shard * stride + cell;
                        assert!(
                            taken.insert(word),
                            "{cells} cells: word {word} is taken twice"
                        );
                        assert!(word < placement.committed_words(&layout, first));
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn gauges_survive_their_words(integer in any::<i64>(), float in any::<f64>()) {
            prop_assert_eq!(gauge_word::to_i64(gauge_word::from_i64(integer)), integer);
            let back = gauge_word::to_f64(gauge_word::from_f64(float));
            prop_assert!(back == float || (back.is_nan() && float.is_nan()));
            prop_assert_ne!(gauge_word::from_f64(float), gauge_word::ABSENT);
        }
    }

    #[test]
    fn zero_is_one_word_for_both() {
        assert_eq!(gauge_word::from_i64(0), gauge_word::ZERO);
        assert_eq!(gauge_word::from_f64(0.0), gauge_word::ZERO);
        assert_eq!(gauge_word::from_f64(-0.0), gauge_word::ZERO);
        assert_eq!(gauge_word::from_i64(i64::MIN), gauge_word::ABSENT);
        assert_ne!(gauge_word::from_i64(i64::MIN + 1), gauge_word::ABSENT);
    }
}

//! Summing cells: shard after shard, each page of cells once.

use crate::catalogue::{Catalogue, Source};
use crate::cell::{Placement, gauge_word, histogram_cell};
use crate::exemplar::{self, Told};
use crate::layout::{PAGE_WORDS, Section, process, to_usize};
use crate::schema::{GaugeMode, Kind};
use crate::segment::Segment;
use crate::snapshot::{Exemplar, Family, Number, Process, ProcessValue, Value};
use crate::split::{Shard, Split};
use crate::sync::{AtomicU64, Ordering, acquire, does};
use crate::trace::{SpanId, TraceId};

/// Sums of all cells of the counter section, by cell.
pub(crate) fn sum_counter_cells(segment: &Segment, sums: &mut Vec<u64>) {
    let shards = segment.layout.shards();
    let words = segment.committed_words(Section::Counters);
    let used = to_usize(segment.next(Section::Counters).load(Ordering::Relaxed));
    let blocks = words
        .chunks_exact(PAGE_WORDS * shards)
        .take(used.div_ceil(PAGE_WORDS));
    sums.clear();
    sums.reserve(blocks.len() * PAGE_WORDS);
    for block in blocks {
        let mut page = [0u64; PAGE_WORDS];
        for shard in block.chunks_exact(PAGE_WORDS) {
            for (sum, word) in page.iter_mut().zip(shard) {
                *sum = sum.wrapping_add(word.load(Ordering::Relaxed));
            }
        }
        sums.extend_from_slice(&page);
    }
}

/// The sum of a histogram over its shards, and its buckets, as they are `later`, added to `counts`.
pub(crate) fn sum_histogram<'a, S>(
    shards: impl Fn() -> S,
    later: impl Fn() -> S,
    counts: &mut [u64],
) -> u128
where
    S: Iterator<Item = &'a [AtomicU64]>,
{
    // Pairs with the Release in `ShardedCells::add_fallback`.
    let sum = |cells: &[AtomicU64]| cells[histogram_cell::SUM].load(acquire("sum seen"));
    let sums = || shards().map(|cells| u128::from(sum(cells))).sum();
    // All sums before all buckets: a record adds to its bucket first, perhaps in another shard, so a value
    // that is in the sum is in a bucket; the sum never runs ahead.
    let before = sums();
    for cells in later() {
        let buckets = &cells[histogram_cell::BUCKETS..];
        for (count, bucket) in counts.iter_mut().zip(buckets) {
            *count = count.wrapping_add(bucket.load(Ordering::Relaxed));
        }
    }
    if does("sums before buckets") {
        before
    } else {
        sums()
    }
}

/// The exemplars of all series, each with the place of its series: to be read before the cells, so that what an
/// exemplar tells is counted.
pub(crate) fn exemplars(segment: &Segment, catalogue: &Catalogue) -> Vec<(usize, Exemplar)> {
    let all = segment.committed_words(Section::Exemplars);
    let mut found = Vec::new();
    for (family, sources) in catalogue.families() {
        for (place, source) in (family.first..).zip(sources) {
            let count = source.placement.exemplars;
            if count == 0 {
                break;
            }
            let words = exemplar::of_series(all, source.cells.exemplars, count);
            let (words, _) = words.as_chunks();
            let told = words.iter().enumerate().filter_map(|(at, words)| {
                let told = exemplar::read(words)?;
                let exemplar = exemplar_of(family, source.placement, at, told)?;
                Some((place, exemplar))
            });
            found.extend(told);
        }
    }
    found
}

/// What is told at `at`, where it can have been left there.
fn exemplar_of(family: &Family, placement: &Placement, at: usize, told: Told) -> Option<Exemplar> {
    let value = match (family.kind, &family.buckets) {
        (Kind::CounterF64, _) => {
            let value = f64::from_bits(told.value);
            (0.0..f64::INFINITY)
                .contains(&value)
                .then_some(Number::Float(value))
        }
        (Kind::Histogram, Some(buckets)) => {
            let place = placement.exemplar_of(buckets.index(told.value));
            (place == at).then_some(Number::Unsigned(told.value))
        }
        _ => Some(Number::Unsigned(told.value)),
    };
    Some(Exemplar {
        value: value?,
        trace_id: TraceId::from_number(told.trace_id)?,
        span_id: SpanId::from_number(told.span_id)?,
        time_unix_nanos: told.unix_nanos,
    })
}

/// A living process with a copy of its own cells.
pub(crate) struct Living {
    slot: u32,
    pid: u32,
    cells: Vec<u64>,
}

impl Living {
    /// Copies the cells of a process; `None` where its slot went to another process meanwhile, as is seen `later`.
    pub(crate) fn copy(
        segment: &Segment,
        later: &Segment,
        process: &Process,
        before: u64,
    ) -> Option<Living> {
        let words = segment.entry(Section::Processes, process.slot, process::WORDS)?;
        let committed = segment.committed_run(process.slot, &words[process::CELLS_COMMITTED]);
        let used = segment.next(Section::ProcessCells).load(Ordering::Relaxed);
        let (offset, _) = segment.layout.process_run(process.slot);
        let count = committed.min(to_usize(used));
        let cells = segment.words().get(offset..offset + count)?;
        let cells = cells
            .iter()
            .map(|cell| cell.load(Ordering::Relaxed))
            .collect();
        let living = Living {
            slot: process.slot,
            pid: process.pid,
            cells,
        };
        let words = later.entry(Section::Processes, process.slot, process::WORDS)?;
        crate::process::is_unchanged(words, before).then_some(living)
    }

    pub(crate) fn cell(&self, index: u32) -> u64 {
        self.cells
            .get(index as usize)
            .copied()
            .unwrap_or(gauge_word::ABSENT)
    }
}

/// What the values of one pass are made of.
pub(crate) struct Pass<'a> {
    pub(crate) segment: &'a Segment,
    /// The same segment; a later copy of it, where copies are read.
    pub(crate) later: &'a Segment,
    pub(crate) counter_sums: &'a [u64],
    pub(crate) living: &'a [Living],
    pub(crate) bucket_counts: Vec<u64>,
}

impl Pass<'_> {
    /// The value of one series.
    pub(crate) fn value(&mut self, family: &Family, source: &Source<'_>) -> Value {
        match source.kind {
            Kind::Counter => {
                let sum = usize::try_from(source.cells.sharded).ok();
                let sum = sum.and_then(|cell| self.counter_sums.get(cell)).copied();
                sum.map_or(Value::Absent, |sum| Value::Number(Number::Unsigned(sum)))
            }
            Kind::CounterF64 => Value::Number(Number::Float(self.float_sum(source))),
            Kind::Histogram => self.histogram(source),
            Kind::Info => self.info(source),
            Kind::Gauge(mode) => self.gauge(source, mode, Integer),
            Kind::GaugeF64(mode) => self.gauge(source, mode, Float),
            Kind::StateSet(mode) => self.states(source, mode, family.states.len()),
        }
    }

    /// The words of a series' sharded cells: shard by shard.
    fn shards<'a>(
        segment: &'a Segment,
        source: &'a Source<'_>,
    ) -> impl Iterator<Item = &'a [AtomicU64]> {
        let placement = source.placement;
        let words = segment.committed_words(placement.section);
        let offset = to_usize(placement.offset(&segment.layout, source.cells.sharded));
        let span = words
            .get(offset..offset + placement.span_words())
            .unwrap_or_default();
        let stride = placement.stride_pages as usize * PAGE_WORDS;
        span.chunks(stride)
            .map(|shard| &shard[..placement.cells.min(shard.len())])
    }

    /// What the value of one series is made of.
    pub(crate) fn split(&self, source: &Source<'_>) -> Split {
        let count = |cells: &[AtomicU64]| {
            let words = cells.iter().map(|cell| cell.load(Ordering::Relaxed));
            Number::Unsigned(words.fold(0, u64::wrapping_add))
        };
        match source.kind {
            Kind::Counter => self.split_shards(source, |cells| count(&cells[..1])),
            Kind::CounterF64 => self.split_shards(source, |cells| {
                Number::Float(f64::from_bits(cells[0].load(Ordering::Relaxed)))
            }),
            Kind::Histogram => {
                self.split_shards(source, |cells| count(&cells[histogram_cell::BUCKETS..]))
            }
            Kind::Info => self.split_processes(source, Integer),
            Kind::Gauge(mode) | Kind::StateSet(mode) if mode.is_living() => {
                self.split_processes(source, Integer)
            }
            Kind::GaugeF64(mode) if mode.is_living() => self.split_processes(source, Float),
            Kind::Gauge(_) | Kind::GaugeF64(_) | Kind::StateSet(_) => Split::Whole,
        }
    }

    fn split_shards(&self, source: &Source<'_>, value: impl Fn(&[AtomicU64]) -> Number) -> Split {
        let shards = Self::shards(self.segment, source);
        let shard = |(place, cells)| Shard::at(place, source.placement.cpus, value(cells));
        Split::Shards((0..).zip(shards).map(shard).collect())
    }

    fn split_processes<A: GaugeArithmetic>(&self, source: &Source<'_>, arithmetic: A) -> Split {
        let set = self.living.iter().filter_map(|living| {
            let word = living.cell(source.cells.own);
            (word != gauge_word::ABSENT).then(|| ProcessValue {
                slot: living.slot,
                pid: living.pid,
                value: arithmetic.number(word),
            })
        });
        Split::Processes(set.collect())
    }

    fn float_sum(&self, source: &Source<'_>) -> f64 {
        Self::shards(self.later, source)
            .map(|cells| f64::from_bits(cells[0].load(Ordering::Relaxed)))
            .sum()
    }

    fn histogram(&mut self, source: &Source<'_>) -> Value {
        let first = self.bucket_counts.len();
        let mut counts = std::mem::take(&mut self.bucket_counts);
        counts.resize(first + source.placement.cells - histogram_cell::BUCKETS, 0);
        let shards = || Self::shards(self.segment, source);
        let later = || Self::shards(self.later, source);
        let sum = sum_histogram(shards, later, &mut counts[first..]);
        self.bucket_counts = counts;
        Value::Histogram { first, sum }
    }

    fn info(&self, source: &Source<'_>) -> Value {
        let is_held = |living: &Living| living.cell(source.cells.own) != gauge_word::ABSENT;
        if self.living.iter().any(is_held) {
            Value::Info
        } else {
            Value::Absent
        }
    }

    fn gauge<A: GaugeArithmetic>(
        &self,
        source: &Source<'_>,
        mode: GaugeMode,
        arithmetic: A,
    ) -> Value {
        let cells = source.cells;
        if !mode.is_living() {
            return match self.shared(cells.shared) {
                gauge_word::ABSENT => Value::Absent,
                word => Value::Number(arithmetic.number(word)),
            };
        }
        let set = self
            .living
            .iter()
            .map(|living| (living, living.cell(cells.own)));
        let mut set = set.filter(|&(_, word)| word != gauge_word::ABSENT);
        let number = |word| arithmetic.number(word);
        let chosen = match mode {
            GaugeMode::Sum => set
                .map(|(_, word)| word)
                .reduce(|a, b| arithmetic.add(a, b)),
            GaugeMode::Min => set
                .map(|(_, word)| word)
                .reduce(|a, b| if arithmetic.is_less(b, a) { b } else { a }),
            GaugeMode::Max => set
                .map(|(_, word)| word)
                .reduce(|a, b| if arithmetic.is_less(a, b) { b } else { a }),
            GaugeMode::Latest => {
                let latest = set.max_by_key(|(living, _)| living.cell(cells.own + 1));
                latest.map(|(_, word)| word)
            }
            _ => {
                let each = |(living, word): (&Living, u64)| ProcessValue {
                    slot: living.slot,
                    pid: living.pid,
                    value: number(word),
                };
                let first = set.next().map(each);
                let values: Vec<ProcessValue> = first.into_iter().chain(set.map(each)).collect();
                return if values.is_empty() {
                    Value::Absent
                } else {
                    Value::Each(values)
                };
            }
        };
        chosen.map_or(Value::Absent, |word| Value::Number(number(word)))
    }

    fn states(&self, source: &Source<'_>, mode: GaugeMode, count: usize) -> Value {
        if mode == GaugeMode::Each {
            return self.gauge(source, mode, Integer);
        }
        let words: Vec<u64> = if mode.is_living() {
            self.living
                .iter()
                .map(|living| living.cell(source.cells.own))
                .collect()
        } else {
            vec![self.shared(source.cells.shared)]
        };
        let mut states = vec![false; count];
        let set = words.into_iter().filter(|&word| word != gauge_word::ABSENT);
        let mut is_set = false;
        for state in set.map(gauge_word::to_i64) {
            is_set = true;
            let state = usize::try_from(state).ok();
            if let Some(holds) = state.and_then(|state| states.get_mut(state)) {
                *holds = true;
            }
        }
        if is_set {
            Value::States(states)
        } else {
            Value::Absent
        }
    }

    fn shared(&self, index: u32) -> u64 {
        let cells = self.segment.committed_words(Section::SharedCells);
        cells
            .get(index as usize)
            .map_or(gauge_word::ABSENT, |cell| cell.load(Ordering::Relaxed))
    }
}

/// How the words of several processes combine.
trait GaugeArithmetic: Copy {
    fn number(self, word: u64) -> Number;
    fn add(self, a: u64, b: u64) -> u64;
    fn is_less(self, a: u64, b: u64) -> bool;
}

#[derive(Clone, Copy)]
struct Integer;

impl GaugeArithmetic for Integer {
    fn number(self, word: u64) -> Number {
        Number::Signed(gauge_word::to_i64(word))
    }
    fn add(self, a: u64, b: u64) -> u64 {
        gauge_word::from_i64(gauge_word::to_i64(a).saturating_add(gauge_word::to_i64(b)))
    }
    fn is_less(self, a: u64, b: u64) -> bool {
        gauge_word::to_i64(a) < gauge_word::to_i64(b)
    }
}

#[derive(Clone, Copy)]
struct Float;

impl GaugeArithmetic for Float {
    fn number(self, word: u64) -> Number {
        Number::Float(gauge_word::to_f64(word))
    }
    fn add(self, a: u64, b: u64) -> u64 {
        gauge_word::from_f64(gauge_word::to_f64(a) + gauge_word::to_f64(b))
    }
    fn is_less(self, a: u64, b: u64) -> bool {
        gauge_word::to_f64(a) < gauge_word::to_f64(b)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{SegmentOptions, ValueView};

    #[test]
    fn a_stored_state_that_the_set_does_not_have_holds_none() {
        let options = SegmentOptions::new().processes(2).families(4).series(4);
        let options = options.process_cells(512).counter_cells(512).cpu_shards(1);
        let writer = options.heap().unwrap();
        let states = writer.state_set("state", "h", &["idle", "busy"]);
        let states = states.register().unwrap();
        states.set(1);
        let shown = || writer.snapshot().unwrap();
        assert_eq!(
            shown().value("state", &[]),
            Some(ValueView::States(&[false, true]))
        );
        let (run, cells) = writer
            .attached()
            .segment
            .layout
            .process_run(writer.attached().slot());
        let run = &writer.attached().segment.words()[run..run + cells];
        let is_set = |word: &&AtomicU64| word.load(Ordering::Relaxed) == gauge_word::from_i64(1);
        let cell = run.iter().find(is_set).unwrap();
        for beyond in [2, 1 << 40, i64::MAX, -1] {
            cell.store(gauge_word::from_i64(beyond), Ordering::Relaxed);
            assert_eq!(
                shown().value("state", &[]),
                Some(ValueView::States(&[false, false]))
            );
        }
    }
}

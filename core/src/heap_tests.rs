//! A segment on the heap, written and read by threads, and overwritten with garbage: the set that Miri and
//! ThreadSanitizer run, which know neither files nor other processes.

use std::sync::Barrier;
use std::thread;

use crate::layout::{PAGE_WORDS, Section, header, process, state, to_usize};
use crate::reader::Reader;
use crate::segment::Segment;
use crate::sync::Ordering;
use crate::{
    Buckets, Error, GaugeMode, SegmentOptions, Snapshot, SpanContext, SpanId, TraceId, ValueView,
    Writer,
};

/// Miri is some thousand times slower.
const ROUNDS: u64 = if cfg!(miri) { 3 } else { 2_000 };
const THREADS: u64 = if cfg!(miri) { 2 } else { 3 };
const MODES: &[GaugeMode] = if cfg!(miri) {
    &[GaugeMode::Sum, GaugeMode::Latest, GaugeMode::LastingMax]
} else {
    &GaugeMode::ALL
};

fn writer() -> Writer {
    let options = SegmentOptions::new().processes(2).families(32).series(32);
    let options = options
        .string_bytes(4096)
        .shared_cells(64)
        .process_cells(64);
    let options = options
        .counter_cells(512)
        .histogram_bytes(1 << 16)
        .cpu_shards(1);
    options.heap().unwrap()
}

/// Registers one of every type and records in each.
fn record(writer: &Writer, times: u64) -> Result<(), Error> {
    let counter = writer.counter("a_total", "h").label("k", "v").register()?;
    let float = writer.counter_f64("b_total", "h").register()?;
    let buckets = Buckets::explicit([1, 10])?;
    let histogram = writer.histogram("sizes", "h").buckets(buckets).register()?;
    let wide = writer
        .histogram("waits", "h")
        .buckets(Buckets::log_linear(5, 1 << 20)?);
    let wide = wide.register()?;
    for mode in MODES {
        let name = format!("gauge_{}", mode.name().replace('-', "_"));
        writer.gauge(&name, "h").mode(*mode).register()?.set(3);
    }
    let traced = writer.counter("traced_total", "h").exemplars().register()?;
    let span = SpanContext::new(TraceId::try_from([7; 16])?, SpanId::try_from([7; 8])?);
    let stages = writer.histogram("stages", "h").exemplars();
    let stages = stages.buckets(Buckets::explicit([1, 10])?).register()?;
    writer.info("build_info", "h").label("v", "1").register()?;
    writer
        .state_set("state", "h", &["idle", "busy"])
        .register()?
        .set(1);
    for round in 0..times {
        counter.inc();
        float.add(0.5);
        histogram.record(round % 20);
        wide.record(round);
        traced.add_with_exemplar(1, &span);
        stages.record_with_exemplar(round % 20, &span);
    }
    Ok(())
}

/// How many exemplars there are.
fn exemplars(snapshot: &Snapshot) -> usize {
    let families = snapshot.families().flat_map(|family| family.series());
    families.map(|series| series.exemplars().len()).sum()
}

/// Names, labels and numbers: all that an output would take.
fn walk(snapshot: &Snapshot) -> usize {
    let families = snapshot.families().flat_map(|family| family.series());
    let parts = families.map(|series| match series.value {
        ValueView::Histogram(histogram) => histogram.counts.len(),
        ValueView::Each(values) => values.len(),
        ValueView::States(states) => states.len(),
        _ => series.series.labels.len(),
    });
    parts.sum::<usize>() + exemplars(snapshot)
}

#[test]
fn threads_register_record_and_are_read() {
    let writer = writer();
    let start = Barrier::new(to_usize(THREADS) + 1);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                start.wait();
                record(&writer, ROUNDS).unwrap();
            });
        }
        let mut reader = Reader::of_writer(writer.segment()).unwrap();
        start.wait();
        let mut before = 0.0;
        for _ in 0..3 {
            let snapshot = reader.snapshot().unwrap();
            assert!(snapshot.damage.is_empty(), "{:?}", snapshot.damage);
            let now = snapshot.number("a_total", &[("k", "v")]);
            assert!(now >= before, "a counter fell from {before} to {now}");
            before = now;
        }
    });
    let snapshot = writer.snapshot().unwrap();
    let total = THREADS * ROUNDS;
    assert_eq!(snapshot.number("a_total", &[("k", "v")]), total as f64);
    assert_eq!(snapshot.number("b_total", &[]), total as f64 / 2.0);
    assert_eq!(snapshot.number("gauge_lasting_max", &[]), 3.0);
    for name in ["sizes", "waits"] {
        let Some(ValueView::Histogram(histogram)) = snapshot.value(name, &[]) else {
            panic!("no {name}");
        };
        assert_eq!(histogram.count(), total);
    }
    assert_eq!(snapshot.series_count(), 6 + MODES.len() + 2);
    assert!(exemplars(&snapshot) >= 2);
}

/// xorshift64*: the same garbage for the same seed.
struct Garbage(u64);

impl Garbage {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        to_usize(self.next() % end as u64)
    }

    /// A word that means something somewhere: small, published, all ones, halves of small numbers.
    fn value(&mut self) -> u64 {
        let any = self.next();
        match any % 6 {
            0 => any >> 60,
            1 => state::word(state::PUBLISHED, 1),
            2 => u64::MAX,
            3 => (any >> 32 & 0xff) << 32 | (any >> 8 & 0xff),
            4 => 1 << (any >> 58),
            _ => any,
        }
    }

    /// A word of the mutable header or of the beginning of a section.
    fn place(&mut self, segment: &Segment) -> usize {
        let section = Section::ALL[self.below(Section::ALL.len())];
        match self.below(4) {
            0 => header::MUTABLE + self.below(96),
            1 => segment.extent(section).offset + self.below(segment.extent(section).words),
            _ => segment.extent(section).offset + self.below(2 * process::WORDS),
        }
    }

    fn spill(&mut self, segment: &Segment, words: usize) {
        for _ in 0..words {
            let place = self.place(segment);
            segment.words()[place].store(self.value(), Ordering::Relaxed);
        }
    }
}

/// A seed that differs between Miri's schedules, and is shown where the test fails.
fn seed() -> u64 {
    let seed = crate::host::random() | 1;
    eprintln!("seed {seed:#x}");
    seed
}

#[test]
fn garbage_is_read_without_harm() {
    let mut garbage = Garbage(seed());
    for _ in 0..if cfg!(miri) { 1 } else { 400 } {
        let writer = writer();
        record(&writer, 3).unwrap();
        let mut reader = Reader::of_writer(writer.segment()).unwrap();
        for _ in 0..3 {
            walk(&reader.snapshot().unwrap());
            garbage.spill(writer.segment(), 20);
        }
    }
}

#[test]
fn garbage_written_while_reading_does_no_harm() {
    let seed = seed();
    let writer = writer();
    record(&writer, 3).unwrap();
    let rounds = if cfg!(miri) { 3 } else { 400 };
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut garbage = Garbage(seed);
            (0..rounds).for_each(|_| garbage.spill(writer.segment(), 40));
        });
        let mut reader = Reader::of_writer(writer.segment()).unwrap();
        for _ in 0..rounds {
            walk(&reader.snapshot().unwrap());
        }
    });
}

/// Garbage in the exemplars, and in where they are said to be, costs the values nothing.
#[test]
#[cfg_attr(miri, ignore = "hundreds of snapshots")]
fn garbage_in_exemplars_costs_the_values_nothing() {
    let writer = writer();
    record(&writer, 3).unwrap();
    let segment = writer.segment();
    let mut reader = Reader::of_writer(segment).unwrap();
    let mut garbage = Garbage(seed());
    let (mut shown, mut damaged) = (0, 0);
    for _ in 0..1_000 {
        let extent = segment.extent(Section::Exemplars);
        let word = extent.offset + garbage.below(8 * crate::layout::exemplar::WORDS);
        segment.words()[word].store(garbage.value(), Ordering::Relaxed);
        if garbage.below(10) == 0 {
            reader = Reader::of_writer(segment).unwrap();
        }
        let snapshot = reader.snapshot().unwrap();
        assert_eq!(snapshot.number("traced_total", &[]), 3.0);
        let Some(ValueView::Histogram(stages)) = snapshot.value("stages", &[]) else {
            panic!("no stages");
        };
        assert_eq!((stages.count(), stages.sum), (3, 3));
        shown += exemplars(&snapshot);
    }
    let sound = writer.snapshot().unwrap();
    let series = segment.extent(Section::Series).offset;
    for record in 0..sound.series_count() {
        let cell = &segment.words()[series + record * crate::layout::series::WORDS + 4];
        let before = cell.load(Ordering::Relaxed);
        for wrong in [
            u64::MAX,
            before | 1 << 63,
            before & u64::from(u32::MAX) | 1 << 40,
        ] {
            cell.store(wrong, Ordering::Relaxed);
            let snapshot = writer.snapshot().unwrap();
            damaged += snapshot.damage.len();
            walk(&snapshot);
            assert!(snapshot.series_count() + 1 >= sound.series_count());
        }
        cell.store(before, Ordering::Relaxed);
    }
    assert!(shown > 0 && damaged > 0, "{shown} shown, {damaged} damaged");
}

/// A record that claims texts of others does not cost the others theirs.
#[test]
#[cfg_attr(miri, ignore = "hundreds of snapshots")]
fn one_damaged_record_costs_the_others_nothing() {
    let writer = writer();
    record(&writer, 1).unwrap();
    let segment = writer.segment();
    let families = segment.extent(Section::Families).offset;
    let sound = writer.snapshot().unwrap();
    for word in 0..PAGE_WORDS.min(16 * sound.directory.families.len()) {
        let at = &segment.words()[families + word];
        let before = at.swap(u64::MAX >> 33, Ordering::Relaxed);
        let snapshot = writer.snapshot().unwrap();
        let shown = snapshot.directory.families.len();
        assert!(shown + 1 >= sound.directory.families.len(), "word {word}");
        at.store(before, Ordering::Relaxed);
    }
}

//! A segment as this process uses it: attached once, for good, and followed through forks.

use std::fs::File;

use once_cell::race::OnceBox;

use crate::cell::{Placement, gauge_cells, gauge_word};
use crate::error::Error;
use crate::expiry::Idle;
use crate::held::{Held, Hold};
use crate::index::Found;
use crate::labels::LabelSet;
use crate::layout::{PAGE_WORDS, Section, family, header, low_half, series, state, to_usize};
use crate::list::List;
use crate::loss::Loss;
use crate::process::{self, Name};
use crate::proof::step;
use crate::record::{FamilyRecord, SeriesCells, series_cells, series_family};
use crate::rseq::{Geometry, ShardedCells};
use crate::schema::Kind;
use crate::segment::Segment;
use crate::shape::Shape;
use crate::sync::{AtomicU64, Ordering, acquire, check, one_step, release};
use crate::tables::{entry, full};
use crate::{lock, marks, register};

/// How often a series may be removed under its registrant.
const TRIES: usize = 1 << 16;

/// A segment with this process's place in it. Lives for ever: handles are plain addresses into it.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) segment: Segment,
    pub(crate) name: Name,
    /// The process's slot, or the sink's number where it has none.
    slot: AtomicU64,
    /// Word offset of the process's own cells. A forked child gets another.
    run: AtomicU64,
    /// How many own cells the handles of this process use.
    own_cells: AtomicU64,
    /// A bit for each own cell that shows zero from its registration on.
    starts_at_zero: Box<[AtomicU64]>,
    /// The series that handles of this process write to.
    pub(crate) held: Held,
    /// What this process knows of idle series.
    pub(crate) idle: Idle,
    /// The slot that is being made ready for a child, plus one.
    pub(crate) heir: AtomicU64,
    /// The descriptor that was opened for a child, plus one.
    pub(crate) bequest: AtomicU64,
    /// Whether the process cannot mark series, and holds a lock instead.
    is_untracked: AtomicU64,
    /// The shapes of the families that this process uses, and that of the sink.
    shapes: List<Shape>,
    sink_shape: OnceBox<Shape>,
}

/// The cells that a registration ended at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resolved {
    pub(crate) cells: SeriesCells,
    pub(crate) outcome: Outcome,
    /// The series and its state; none of a sink. It is held for it, but for an overflow series: its family is.
    pub(crate) found: Option<Found>,
}

/// Where the updates of a handle go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// To the series that was asked for.
    Series,
    /// To the family's overflow series: its limit or a table's is reached.
    Overflow,
    /// Nowhere, but counted: not even an overflow series could be had.
    Sink,
}

/// How a handle is made of what a registration ended at.
pub(crate) trait Resolve: Sized {
    /// The type of its families where they do not say otherwise.
    const KIND: Kind;
    /// Whether its families keep exemplars.
    const KEEPS_EXEMPLARS: bool = false;

    /// The handle of a resolved series; `None` where its cells lie outside the segment.
    fn resolve(
        attached: &'static Attached,
        family: (u32, &FamilyRecord),
        resolved: &Resolved,
    ) -> Option<Self>;

    /// A handle whose updates are counted as lost.
    fn sink(attached: &'static Attached) -> Self;
}

impl Attached {
    pub(crate) fn new(segment: Segment, name: Name) -> Attached {
        let marks = to_usize(segment.extent(Section::Marks).capacity) * 64;
        let own_cells = segment.extent(Section::ProcessCells).capacity;
        let attached = Attached {
            own_cells: AtomicU64::new(PAGE_WORDS as u64),
            starts_at_zero: (0..own_cells.div_ceil(64))
                .map(|_| AtomicU64::new(0))
                .collect(),
            held: Held::new(marks),
            idle: Idle::new(to_usize(segment.extent(Section::Series).capacity)),
            heir: AtomicU64::new(0),
            bequest: AtomicU64::new(0),
            is_untracked: AtomicU64::new(0),
            slot: AtomicU64::new(0),
            run: AtomicU64::new(0),
            shapes: List::new(),
            sink_shape: OnceBox::new(),
            segment,
            name,
        };
        attached.claim_slot();
        attached
    }

    /// Takes a slot for this process, with memory for the own cells that its handles use; the sink's where
    /// there is none.
    ///
    /// Runs in a forked child too: it takes no lock of this process.
    pub(crate) fn claim_slot(&self) {
        match self.reserve_slot(self.segment.file()) {
            Ok(slot) => self.use_slot(slot),
            Err(loss) => {
                self.go_untracked();
                self.give_up_slot(loss);
            }
        }
    }

    /// Reserves a slot through a description of the segment's file.
    pub(crate) fn reserve_slot(&self, file: Option<&File>) -> Result<u32, Loss> {
        let slot = process::reserve_slot(&self.segment, file).ok_or(Loss::ProcessTable)?;
        let cells = self.own_cells.load(Ordering::Relaxed);
        match process::commit_cells(&self.segment, slot, cells) {
            Ok(()) => Ok(slot),
            Err(_) => {
                if let Some(file) = file {
                    lock::give_up(file, &self.segment, slot);
                }
                Err(Loss::NoSpace)
            }
        }
    }

    /// Uses a slot that was reserved for this process.
    pub(crate) fn use_slot(&self, slot: u32) {
        process::publish_slot(&self.segment, slot, self.name);
        self.write_to(slot);
        self.show_zeros();
    }

    /// Keeps what this process writes to from being freed, without marks.
    pub(crate) fn go_untracked(&self) {
        self.is_untracked.store(1, Ordering::Relaxed);
        let shared = |file| lock::set(file, libc::F_RDLCK, header::UNTRACKED);
        if self.segment.file().is_some_and(|file| !shared(file)) {
            marks::never_free(&self.segment);
        }
    }

    pub(crate) fn is_tracked(&self) -> bool {
        self.is_untracked.load(Ordering::Relaxed) == 0
    }

    /// In a child that has its parent's lock for processes that cannot mark.
    pub(crate) fn stay_untracked(&self) {
        self.is_untracked.store(1, Ordering::Relaxed);
    }

    /// Leaves this process without a slot: its gauges go to the sink.
    pub(crate) fn give_up_slot(&self, loss: Loss) {
        self.segment.count_loss(loss);
        self.write_to(self.segment.layout.sink_run());
    }

    /// Shows zero in every own cell that starts at it, as a forked child has it from its parent.
    fn show_zeros(&self) {
        for (index, bits) in (0u32..).zip(&self.starts_at_zero) {
            let mut bits = bits.load(Ordering::Relaxed);
            while bits != 0 {
                self.show_zero(index * 64 + bits.trailing_zeros());
                bits &= bits - 1;
            }
        }
    }

    fn show_zero(&self, index: u32) {
        let (absent, zero) = (gauge_word::ABSENT, gauge_word::ZERO);
        let cell = self.own_cell(index);
        let _ = one_step("zero shown", cell).compare_exchange(
            absent,
            zero,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        step("zero-shown");
    }

    /// Makes an own cell show zero until it is set, here and in forked children.
    pub(crate) fn start_at_zero(&self, index: u32) {
        if let Some(bits) = self.starts_at_zero.get(index as usize / 64) {
            one_step("zero kept", bits).fetch_or(1 << (index % 64), Ordering::Relaxed);
        }
        self.show_zero(index);
    }

    /// Says which of this process's words the threads of a model share.
    #[cfg(all(test, loom))]
    pub(crate) fn share_words(&self) {
        use crate::models::atomic::share;
        share([
            &self.slot,
            &self.run,
            &self.own_cells,
            &self.heir,
            &self.is_untracked,
        ]);
        self.held.share_words();
        self.idle.share_words();
        share(&self.starts_at_zero);
    }

    /// Shows nothing in an own cell any more, here and in forked children.
    pub(crate) fn forget_zero(&self, index: u32) {
        if let Some(bits) = self.starts_at_zero.get(index as usize / 64) {
            one_step("zero kept", bits).fetch_and(!(1 << (index % 64)), Ordering::Relaxed);
        }
    }

    fn write_to(&self, slot: u32) {
        // Relaxed: both are only read by this process, which has one thread at attach and in the child.
        self.slot.store(u64::from(slot), Ordering::Relaxed);
        self.run.store(
            self.segment.layout.process_run(slot).0 as u64,
            Ordering::Relaxed,
        );
    }

    pub(crate) fn slot(&self) -> u32 {
        low_half(self.slot.load(Ordering::Relaxed))
    }

    /// The process's own cell at `index`.
    #[inline(always)]
    pub(crate) fn own_cell(&self, index: u32) -> &AtomicU64 {
        let run = to_usize(self.run.load(Ordering::Relaxed));
        &self.segment.words()[run + index as usize]
    }

    /// The shared cell at `index`.
    #[inline(always)]
    pub(crate) fn shared_cell(&self, index: u32) -> &AtomicU64 {
        let section = self.segment.extent(Section::SharedCells);
        &self.segment.words()[section.offset + index as usize]
    }

    /// Registers a series and holds it; where that is not possible, resolves to the overflow series or a sink, and
    /// says why, for the caller to count.
    pub(crate) fn resolve(
        &self,
        family: (u32, &FamilyRecord),
        labels: &LabelSet,
        hold: Hold,
    ) -> (Resolved, Option<Loss>) {
        match self.try_resolve(family, labels, hold) {
            Ok(resolved) => (resolved, None),
            Err(error) => (self.overflow(family, labels), Some(loss_of(&error))),
        }
    }

    /// Counts a label set that was folded into its family's overflow series, or had nowhere to go.
    pub(crate) fn count_folded(&self, index: u32, loss: Loss) {
        self.segment.count_loss(loss);
        if let Some(words) = self.segment.entry(Section::Families, index, family::WORDS) {
            one_step("overflow counted", &words[family::OVERFLOWED])
                .fetch_add(1, Ordering::Relaxed);
            step("overflow-counted");
        }
    }

    /// Registers a series and holds it, or says why not.
    pub(crate) fn try_resolve(
        &self,
        family: (u32, &FamilyRecord),
        labels: &LabelSet,
        hold: Hold,
    ) -> Result<Resolved, Error> {
        let found = self.register(family, labels, hold, false)?;
        let resolved = self.with_own_cells(family.1, found, Outcome::Series);
        resolved.inspect_err(|_| self.release(found.record))
    }

    /// A series that this process holds, so that its cells are no other's.
    fn register(
        &self,
        family: (u32, &FamilyRecord),
        labels: &LabelSet,
        hold: Hold,
        is_overflow: bool,
    ) -> Result<Found, Error> {
        for _ in 0..TRIES {
            let found = register::series(&self.segment, family, labels, is_overflow)?;
            if self.hold(found, hold)? {
                self.look_around();
                return Ok(found);
            }
        }
        Err(full(&self.segment, Section::Series))
    }

    /// The one overflow series of a family: the first process that needs it makes it.
    pub(crate) fn overflow(
        &self,
        (index, known): (u32, &FamilyRecord),
        labels: &LabelSet,
    ) -> Resolved {
        let sink = Resolved {
            cells: SeriesCells {
                sharded: sink_cell(known),
                own: 0,
                shared: 0,
                exemplars: 0,
            },
            outcome: Outcome::Sink,
            found: None,
        };
        let Some(words) = self.segment.entry(Section::Families, index, family::WORDS) else {
            return sink;
        };
        let word = &words[family::OVERFLOW];
        let made = self.overflow_made(index, word);
        made.or_else(|| self.make_overflow((index, known), labels, word))
            .and_then(|found| self.with_own_cells(known, found, Outcome::Overflow).ok())
            .unwrap_or(sink)
    }

    /// The overflow series that the family's word names, if that is one of the family.
    fn overflow_made(&self, family: u32, word: &AtomicU64) -> Option<Found> {
        // Pairs with the Release in `make_overflow`: whoever sees the number finds a complete record.
        let record = word.load(acquire("overflow seen")).checked_sub(1)?;
        let record = low_half(record);
        let words = self.segment.entry(Section::Series, record, series::WORDS)?;
        let is_of_family = series_family(words) == family;
        let found = Found {
            record,
            state: words[series::STATE].load(Ordering::Relaxed),
        };
        let is_there = state::of(found.state) == state::PUBLISHED;
        (is_there && check("overflow is of its family", is_of_family)).then_some(found)
    }

    /// Makes the overflow series, unless another process was first: then that one's.
    fn make_overflow(
        &self,
        known: (u32, &FamilyRecord),
        labels: &LabelSet,
        word: &AtomicU64,
    ) -> Option<Found> {
        let made = self.register(known, &labels.overflow(), Hold::Counted, true);
        let made = made.ok()?;
        step("overflow-made");
        let _ = one_step("overflow named", word).compare_exchange(
            0,
            u64::from(made.record) + 1,
            release("overflow made"),
            Ordering::Relaxed,
        );
        let found = self.overflow_made(known.0, word).unwrap_or(made);
        self.release(made.record);
        Some(found)
    }

    /// Makes sure that this process has memory for its own cells of a series.
    fn with_own_cells(
        &self,
        known: &FamilyRecord,
        found: Found,
        outcome: Outcome,
    ) -> Result<Resolved, Error> {
        let words = entry(&self.segment, Section::Series, found.record, series::WORDS)?;
        let cells = series_cells(words);
        let (own, shared) = gauge_cells(known.spec.kind);
        if shared > 0 {
            let cells_there = self.segment.extent(Section::SharedCells).capacity;
            if u64::from(cells.shared) + shared > cells_there {
                return Err(full(&self.segment, Section::SharedCells));
            }
        }
        if own > 0 {
            let run = self.segment.extent(Section::ProcessCells).capacity;
            let needed = u64::from(cells.own) + own;
            if needed > run {
                return Err(full(&self.segment, Section::ProcessCells));
            }
            process::commit_cells(&self.segment, self.slot(), needed)?;
            one_step("own cells raised", &self.own_cells).fetch_max(needed, Ordering::Relaxed);
        }
        Ok(Resolved {
            cells,
            outcome,
            found: Some(found),
        })
    }

    /// The sharded cells at entry `first` of a family's section.
    pub(crate) fn sharded<G: Geometry>(
        &'static self,
        placement: &Placement,
        first: u64,
        geometry: G,
    ) -> Option<ShardedCells<G>> {
        let capacity = self.segment.extent(placement.section).capacity;
        if first >= capacity || placement.align(first) != first {
            return None;
        }
        let section = self.segment.section(placement.section);
        let offset = usize::try_from(placement.offset(&self.segment.layout, first)).ok()?;
        ShardedCells::new(section.get(offset..)?, geometry)
    }

    /// The shape of a histogram without a series: everything falls into one bucket.
    pub(crate) fn sink_shape(&'static self) -> &'static Shape {
        self.sink_shape
            .get_or_init(|| Box::new(Shape::sink(&self.segment)))
    }

    /// The shape of a family, made once a process. Families come and go; few shapes are all that they have.
    pub(crate) fn shape(&'static self, known: &FamilyRecord) -> &'static Shape {
        let is_same = |shape: &Shape| shape.is_of(known);
        let made = self.shapes.iter().find(|shape| is_same(shape));
        made.unwrap_or_else(|| self.shapes.add(Shape::new(&self.segment, known), is_same))
    }
}

fn sink_cell(known: &FamilyRecord) -> u64 {
    use crate::layout::sink;
    let cell = match known.spec.kind {
        Kind::CounterF64 => sink::COUNTER_F64,
        Kind::Histogram => sink::HISTOGRAM,
        _ => sink::COUNTER,
    };
    cell as u64
}

pub(crate) fn loss_of(error: &Error) -> Loss {
    match error {
        Error::SeriesLimit { .. } => Loss::SeriesLimit,
        Error::NoSpace { .. } => Loss::NoSpace,
        Error::Full { table, .. } if *table == Section::Series.name() => Loss::SeriesTable,
        Error::Full { table, .. } if *table == Section::Strings.name() => Loss::Strings,
        Error::Full { table, .. } if *table == Section::Families.name() => Loss::FamilyTable,
        Error::Removed { .. } => Loss::FamilyRemoved,
        Error::Io { .. } | Error::Changed { .. } => Loss::NoSpace,
        _ => Loss::Cells,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::layout::process as slot_words;
    use crate::{GaugeMode, SegmentOptions};

    fn committed(segment: &Segment, slot: u32) -> u64 {
        let words = segment.entry(Section::Processes, slot, slot_words::WORDS);
        words.unwrap()[slot_words::CELLS_COMMITTED].load(Ordering::Relaxed)
    }

    #[test]
    #[cfg(not(miri))]
    fn a_slot_for_a_child_has_memory_for_every_own_cell_of_its_parent() {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = folder.path().join("a.seg");
        let writer = SegmentOptions::new().path(&path).attach().unwrap();
        let levels = writer.gauge("level", "h").family().unwrap();
        for n in 0..=PAGE_WORDS {
            levels.with(&[("n", &n.to_string())]).unwrap();
        }
        let of_child = File::options().read(true).write(true).open(&path).unwrap();
        assert_eq!(writer.attached().reserve_slot(Some(&of_child)), Ok(1));
        assert_eq!(committed(writer.segment(), 1), 2 * PAGE_WORDS as u64);
    }

    #[test]
    fn a_child_shows_zero_where_its_parent_did_from_the_start() {
        let options = SegmentOptions::new().processes(2).cpu_shards(1);
        let writer = options.heap().unwrap();
        let sum = writer.gauge("waiting", "h").register().unwrap();
        let highest = writer.gauge("highest", "h").mode(GaugeMode::Max);
        let highest = highest.register().unwrap();
        sum.set(5);
        highest.set(6);
        // As a child does; on the heap it gets the same slot, with cleared cells.
        writer.attached().claim_slot();
        assert_eq!((sum.value(), highest.value()), (Some(0), None));
    }
}

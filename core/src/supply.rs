//! Room for new records: a free one with the cells it had, or a fresh one.
//!
//! | a process killed with | leaves |
//! |---|---|
//! | fresh entries that it claimed | entries that nobody uses |
//! | a free record that it took | the record, unused |
//!
//! What is claimed and not needed is given back: fresh entries while they are the last ones, a complete record to
//! the free ones.

use crate::cell::{Placement, gauge_cells};
use crate::claim;
use crate::error::Error;
use crate::layout::{
    PAGE_WORDS, Section, exemplar, family, low_half, process, series, split, to_usize,
};
use crate::lock;
use crate::proof::step;
use crate::record::{self, FamilyRecord, FamilySpec, SeriesCells, Text};
use crate::schema::Kind;
use crate::segment::Segment;
use crate::sync::{AtomicU64, Ordering};
use crate::tables::{self, SeriesKey, entry, full};
use crate::text::{self, Room};

/// A complete series record that nobody else sees. The last `reserve` records of the table are left alone.
pub(crate) fn series_record(
    segment: &Segment,
    known: &FamilyRecord,
    key: &SeriesKey<'_>,
    reserve: u64,
) -> Result<u32, Error> {
    match tables::free(segment).pop(class(known)) {
        Some(record) => {
            let filled = reuse(segment, known, key, record);
            filled.inspect_err(|_| give_back(segment, known, record))?;
            Ok(record)
        }
        None => fresh(segment, known, key, reserve),
    }
}

/// Gives back a complete record that nobody else has seen.
pub(crate) fn give_back(segment: &Segment, known: &FamilyRecord, record: u32) {
    tables::free(segment).push(class(known), record);
}

/// The only class of family records.
const FAMILY_CLASS: u64 = 1;

/// A complete family record that nobody else sees.
pub(crate) fn family_record(segment: &Segment, spec: &FamilySpec, hash: u64) -> Result<u32, Error> {
    let free = tables::free_families(segment).pop(FAMILY_CLASS);
    let mut claims = Claims::new(segment);
    let record = match free {
        Some(record) => record,
        None => claims.take_family()?,
    };
    let filled = fill_family(&mut claims, spec, hash, record);
    if free.is_some() {
        filled.inspect_err(|_| give_back_family(segment, record))?;
    } else {
        filled?;
    }
    Ok(record)
}

/// Gives back a complete family record that nobody else sees.
pub(crate) fn give_back_family(segment: &Segment, record: u32) {
    tables::free_families(segment).push(FAMILY_CLASS, record);
}

/// The words that the texts and the bounds of a family record may take.
fn family_room(record: &[AtomicU64]) -> (Room, Room) {
    let offset = |word: usize| record[word].load(Ordering::Relaxed);
    let (text, bounds) = split(record[family::ROOM].load(Ordering::Relaxed));
    let room = |word, words| Room {
        offset: offset(word),
        words,
    };
    (room(family::TEXT, text), room(family::BOUNDS, bounds))
}

fn fill_family(
    claims: &mut Claims<'_>,
    spec: &FamilySpec,
    hash: u64,
    record: u32,
) -> Result<(), Error> {
    let segment = claims.segment;
    let words = entry(segment, Section::Families, record, family::WORDS)?;
    let (text, bounds) = (spec.text(), spec.bounds());
    let (text_room, bounds_room) = family_room(words);
    let text_room = claims.make_room(text_room, text::words_for(text.len()))?;
    let bounds_room = claims.make_room(bounds_room, bounds.len())?;
    claims.keep();
    record::begin_reuse();
    let arena = segment.section(Section::Strings);
    text::store(&arena[to_usize(text_room.offset)..], &text);
    for (word, &bound) in arena[to_usize(bounds_room.offset)..].iter().zip(bounds) {
        word.store(bound, Ordering::Relaxed);
    }
    spec.fill(words, hash, &segment.layout, text_room, bounds_room);
    Ok(())
}

/// A number for the cells that a series of the family takes: records of one class can stand in for another.
pub(crate) fn class(known: &FamilyRecord) -> u64 {
    class_of(known.spec.kind, &known.placement)
}

/// The class of records with these cells. Never 0.
pub(crate) fn class_of(kind: Kind, placement: &Placement) -> u64 {
    let (own, shared) = gauge_cells(kind);
    let (section, entries) = match placement.cells {
        0 => (0, 0),
        _ => (placement.section as u64, placement.entries()),
    };
    let exemplars = u64::from(placement.exemplars.min(0x1f));
    1 << 63 | exemplars << 52 | section << 48 | own << 44 | shared << 40 | entries
}

fn reuse(
    segment: &Segment,
    known: &FamilyRecord,
    key: &SeriesKey<'_>,
    record: u32,
) -> Result<(), Error> {
    let words = entry(segment, Section::Series, record, series::WORDS)?;
    let cells = record::series_cells(words);
    let mut text = record::series_text(words);
    text.bytes = low_half(key.labels.len() as u64);
    let mut claims = Claims::new(segment);
    let room = Room {
        offset: text.offset.into(),
        words: text.room,
    };
    let room = claims.make_room(room, text::words_for(key.labels.len()))?;
    (text.offset, text.room) = (low_half(room.offset), room.words);
    claims.keep();
    record::begin_reuse();
    clear_cells(segment, known, cells);
    let arena = &segment.section(Section::Strings)[text.offset as usize..];
    text::store(arena, key.labels);
    record::fill_series(words, key.hash, key.family, text, cells);
    Ok(())
}

/// Makes the cells of a record zero again. Nobody writes to them: its last series had no holder left.
fn clear_cells(segment: &Segment, known: &FamilyRecord, cells: SeriesCells) {
    let clear = |word: &AtomicU64| {
        word.store(0, Ordering::Relaxed);
        step("cell-cleared");
    };
    each_cell(segment, known.spec.kind, &known.placement, cells, clear);
}

/// Visits every cell of a series, in all shards and processes, and the words of its exemplars.
pub(crate) fn each_cell(
    segment: &Segment,
    kind: Kind,
    placement: &Placement,
    cells: SeriesCells,
    mut visit: impl FnMut(&AtomicU64),
) {
    let mut each = |words: &[AtomicU64]| words.iter().for_each(&mut visit);
    if placement.cells > 0 {
        let offset = to_usize(placement.offset(&segment.layout, cells.sharded));
        let section = segment.section(placement.section);
        let span = section.get(offset..offset + placement.span_words());
        let stride = placement.stride_pages as usize * PAGE_WORDS;
        let shards = span.unwrap_or_default().chunks(stride);
        shards.for_each(|shard| each(&shard[..placement.cells.min(shard.len())]));
    }
    if cells.exemplars > 0 {
        let first = cells.exemplars as usize * exemplar::WORDS;
        let count = placement.exemplars as usize * exemplar::WORDS;
        let words = segment.section(Section::Exemplars);
        each(words.get(first..first + count).unwrap_or_default());
    }
    let (own, shared) = gauge_cells(kind);
    if own > 0 {
        for slot in 0..lock::slots_used(segment) {
            each(own_cells(segment, slot, cells.own, own));
        }
    }
    if shared > 0 {
        let first = cells.shared as usize;
        let words = segment.section(Section::SharedCells);
        each(
            words
                .get(first..first + to_usize(shared))
                .unwrap_or_default(),
        );
    }
}

/// Some own cells of the process in `slot`, where they have memory.
fn own_cells(segment: &Segment, slot: u32, first: u32, count: u64) -> &[AtomicU64] {
    let Some(words) = segment.entry(Section::Processes, slot, process::WORDS) else {
        return &[];
    };
    let (offset, run) = segment.layout.process_run(slot);

    let committed = claim::committed(&words[process::CELLS_COMMITTED]);
    let end = u64::from(first) + count;
    if end > committed.min(run as u64) {
        return &[];
    }
    let first = offset + first as usize;
    &segment.words()[first..first + to_usize(count)]
}

fn fresh(
    segment: &Segment,
    known: &FamilyRecord,
    key: &SeriesKey<'_>,
    reserve: u64,
) -> Result<u32, Error> {
    let mut claims = Claims::new(segment);
    let record = low_half(claims.take(Section::Series, 1, reserve)?);
    let end = (u64::from(record) + 1) * series::WORDS as u64;
    segment.commit(Section::Series, end)?;
    let (offset, bytes) = claims.store_text(key.labels)?;
    let cells = claims.take_cells(known)?;
    let words = entry(segment, Section::Series, record, series::WORDS)?;
    let text = Text {
        offset: low_half(offset),
        bytes: low_half(bytes as u64),
        room: low_half(text::words_for(bytes) as u64),
    };
    // The entries may have been claimed and given back.
    record::begin_reuse();
    record::fill_series(words, key.hash, key.family, text, cells);
    claims.keep();
    Ok(record)
}

/// Entries claimed for one registration; given back, last first, unless kept.
struct Claims<'a> {
    segment: &'a Segment,
    taken: Vec<(Section, u64, u64)>,
}

impl<'a> Claims<'a> {
    fn new(segment: &'a Segment) -> Claims<'a> {
        Claims {
            segment,
            taken: Vec::new(),
        }
    }

    fn keep(&mut self) {
        self.taken.clear();
    }

    /// Claims `count` entries, leaving the last `reserve` of the table alone.
    fn take(&mut self, section: Section, count: u64, reserve: u64) -> Result<u64, Error> {
        self.take_aligned(section, count, reserve, |start| start)
    }
    fn take_aligned(
        &mut self,
        section: Section,
        count: u64,
        reserve: u64,
        align: impl Fn(u64) -> u64,
    ) -> Result<u64, Error> {
        let limit = self.segment.extent(section).capacity - reserve;
        let start = claim::claim(self.segment.next(section), count, limit, align)
            .ok_or_else(|| full(self.segment, section))?;
        self.taken.push((section, start, count));
        Ok(start)
    }

    fn commit(&self, section: Section, words: u64) -> Result<(), Error> {
        self.segment.commit(section, words)
    }

    fn store_text(&mut self, bytes: &[u8]) -> Result<(u64, usize), Error> {
        let words = text::words_for(bytes.len());
        let start = self.take_arena(words)?;
        let arena = self.segment.section(Section::Strings);
        text::store(&arena[to_usize(start)..to_usize(start) + words], bytes);
        Ok((start, bytes.len()))
    }

    /// A fresh family record.
    fn take_family(&mut self) -> Result<u32, Error> {
        let record = low_half(self.take(Section::Families, 1, 0)?);
        let end = (u64::from(record) + 1) * family::WORDS as u64;
        self.commit(Section::Families, end)?;
        let words = entry(self.segment, Section::Families, record, family::WORDS)?;
        // The entry may have been claimed and given back, and its texts with it.
        words[family::ROOM].store(0, Ordering::Relaxed);
        Ok(record)
    }

    /// Room for `needed` words: what there was, where that is enough.
    fn make_room(&mut self, room: Room, needed: usize) -> Result<Room, Error> {
        if needed <= room.words as usize {
            return Ok(room);
        }
        // What there was is lost. Doubling bounds what is lost by what is used; a first room is as large as it must be.
        let words = match room.words {
            0 => needed,
            _ => needed.next_power_of_two(),
        };
        Ok(Room {
            offset: self.take_arena(words)?,
            words: low_half(words as u64),
        })
    }

    fn take_arena(&mut self, words: usize) -> Result<u64, Error> {
        let start = self.take(Section::Strings, words as u64, 0)?;
        self.commit(Section::Strings, start + words as u64)?;
        Ok(start)
    }

    fn give_back_last(&mut self) {
        if let Some((section, start, count)) = self.taken.pop() {
            claim::give_back(self.segment.next(section), start, count);
        }
    }

    /// Claims and commits the cells of one series.
    fn take_cells(&mut self, known: &FamilyRecord) -> Result<SeriesCells, Error> {
        let placement = &known.placement;
        let sharded = if placement.cells > 0 {
            self.take_sharded(placement)?
        } else {
            0
        };
        let (own, shared) = gauge_cells(known.spec.kind);
        let own = if own > 0 {
            self.take(Section::ProcessCells, own, 0)?
        } else {
            0
        };
        let shared = if shared > 0 {
            let start = self.take(Section::SharedCells, shared, 0)?;
            self.commit(Section::SharedCells, start + shared)?;
            start
        } else {
            0
        };
        Ok(SeriesCells {
            sharded,
            own: low_half(own),
            shared: low_half(shared),
            exemplars: low_half(self.take_exemplars(placement.exemplars.into())),
        })
    }

    /// Claims and commits room for exemplars; 0 where there is none: the series then keeps none.
    fn take_exemplars(&mut self, count: u64) -> u64 {
        if count == 0 {
            return 0;
        }
        let Ok(first) = self.take(Section::Exemplars, count, 0) else {
            return 0;
        };
        let words = (first + count) * exemplar::WORDS as u64;
        if self.commit(Section::Exemplars, words).is_err() {
            self.give_back_last();
            return 0;
        }
        first
    }

    fn take_sharded(&mut self, placement: &Placement) -> Result<u64, Error> {
        let align = |next| placement.align(next);
        let first = self.take_aligned(placement.section, placement.entries(), 0, align)?;
        self.commit(
            placement.section,
            placement.committed_words(&self.segment.layout, first),
        )?;
        Ok(first)
    }
}

impl Drop for Claims<'_> {
    fn drop(&mut self) {
        while !self.taken.is_empty() {
            self.give_back_last();
        }
    }
}

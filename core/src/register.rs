//! Registration: claim room, fill a private record, publish it through the index.
//!
//! | step | what a process killed after it leaves | who cleans it |
//! |---|---|---|
//! | claim | entries that nobody uses | nobody needs to: they are a few bytes |
//! | fill | the same | |
//! | offer for a seat of the family (series only) | a complete record that is in no index yet | whoever registers in the family next inserts and publishes it |
//! | insert into the index | a complete record that readers do not see yet | the same, and whoever registers the key next |
//! | publish | a series | |
//!
//! A process that has lost a page of the segment registers nothing new: its index may be of zeros.
//!
//! Whoever loses the race for a key gives its claims back, where they are still the last ones, and uses
//! the winner's record. Nobody waits for anybody.

use crate::cell::{Placement, gauge_cells};
use crate::claim;
use crate::error::Error;
use crate::index::{Index, Insertion};
use crate::labels::LabelSet;
use crate::layout::{Section, family, low_half, series, split, to_usize};
use crate::proof::step;
use crate::record::{self, FamilyRecord, FamilySpec, SeriesCells};
use crate::seats::{Seats, Vacancy};
use crate::segment::Segment;
use crate::sync::{AtomicU64, Ordering, does};
use crate::text;

/// Series records kept for overflow series, so that there is one when the table is full.
const OVERFLOW_RESERVE_MAX: u64 = 256;
/// How often a refused registrant looks whether another one has registered the same key.
const LOOKS: usize = 8;

/// Registers a family, or finds it and checks that it is the same.
pub(crate) fn family(segment: &Segment, spec: &FamilySpec) -> Result<(u32, FamilyRecord), Error> {
    let hash = text::hash(spec.name.as_bytes());
    let find = || {
        let is_match = |record| family_has_name(segment, record, &spec.name);
        index(segment, Section::FamilyIndex).find(hash, is_match)
    };
    if let Some(found) = find() {
        return existing_family(segment, found, spec);
    }
    match new_family(segment, spec, hash) {
        Ok(registered) => existing_family(segment, registered, spec),
        Err(error) => match look_again(&error, find) {
            Some(found) => existing_family(segment, found, spec),
            None => Err(error),
        },
    }
}

fn new_family(segment: &Segment, spec: &FamilySpec, hash: u64) -> Result<u32, Error> {
    segment.check_pages()?;
    let mut claims = Claims::new(segment);
    let record = low_half(claims.take(Section::Families, 1, 0)?);
    claims.commit(
        Section::Families,
        (u64::from(record) + 1) * family::WORDS as u64,
    )?;
    let (text, _) = claims.store_text(&spec.text())?;
    let bounds = claims.store_words(spec.bounds())?;
    let words = entry(segment, Section::Families, record, family::WORDS)?;
    spec.fill(words, hash, &segment.layout, text, bounds);
    step("family-filled");
    let is_match = |record| family_has_name(segment, record, &spec.name);
    segment.check_pages()?;
    match index(segment, Section::FamilyIndex).insert(hash, record, is_match) {
        Insertion::Inserted => {
            step("family-inserted");
            claims.keep();
            Ok(record)
        }
        Insertion::Existing(found) => Ok(found),
        Insertion::Full => Err(full(segment, Section::Families)),
    }
}

fn existing_family(
    segment: &Segment,
    index: u32,
    spec: &FamilySpec,
) -> Result<(u32, FamilyRecord), Error> {
    let words = entry(segment, Section::Families, index, family::WORDS)?;
    if does("family published") {
        record::publish(&words[family::STATE]);
    }
    let arena = record::arena(segment);
    let found = record::read_published_family(&segment.layout, words, arena).map_err(|reason| {
        let reason = format!("family record {index}: {reason}");
        Error::not_a_segment(&segment.path, &reason)
    })?;
    spec.check_same(&found.spec)?;
    Ok((index, found))
}

fn family_has_name(segment: &Segment, record: u32, name: &str) -> bool {
    let Some(words) = segment.entry(Section::Families, record, family::WORDS) else {
        return false;
    };
    let (length, _) = split(words[family::NAME_HELP_BYTES].load(Ordering::Relaxed));
    let offset = to_usize(words[family::TEXT].load(Ordering::Relaxed));
    let arena = record::arena(segment).get(offset..).unwrap_or_default();
    length as usize == name.len()
        && text::load(arena, name.len()).is_some_and(|found| found == name.as_bytes())
}

/// Registers a series of a family, or finds it.
pub(crate) fn series(
    segment: &Segment,
    known: (u32, &FamilyRecord),
    labels: &LabelSet,
    is_overflow: bool,
) -> Result<(u32, SeriesCells), Error> {
    let key = Key::new(known.0, labels);
    let find = || key.find(segment);
    if let Some(found) = find() {
        return existing_series(segment, found);
    }
    let registered = if is_overflow {
        overflow_series(segment, known, &key)
    } else {
        new_series(segment, known, &key)
    };
    match registered {
        // What was missing may have gone to somebody who registered the same key meanwhile.
        Err(error) => match look_again(&error, find) {
            Some(found) => existing_series(segment, found),
            None => Err(error),
        },
        registered => existing_series(segment, registered?),
    }
}

/// Looks a few times more for a record that another registrant may be about to insert, having got what was
/// missing.
fn look_again(error: &Error, find: impl Fn() -> Option<u32>) -> Option<u32> {
    let is_missing = matches!(error, Error::Full { .. } | Error::NoSpace { .. });
    (0..if is_missing { LOOKS } else { 0 }).find_map(|_| {
        std::thread::yield_now();
        find()
    })
}

/// What tells a series from any other: its family and its label set.
struct Key<'a> {
    family: u32,
    labels: &'a [u8],
    hash: u64,
}

impl<'a> Key<'a> {
    fn new(family: u32, labels: &'a LabelSet) -> Key<'a> {
        let labels = labels.bytes();
        let hash = text::hash(&[&family.to_le_bytes(), labels].concat());
        Key {
            family,
            labels,
            hash,
        }
    }

    fn find(&self, segment: &Segment) -> Option<u32> {
        let is_match = |record| self.is_of(segment, record);
        index(segment, Section::SeriesIndex).find(self.hash, is_match)
    }

    fn insert(&self, segment: &Segment, record: u32) -> Insertion {
        let is_match = |record| self.is_of(segment, record);
        index(segment, Section::SeriesIndex).insert(self.hash, record, is_match)
    }

    fn is_of(&self, segment: &Segment, record: u32) -> bool {
        let Some(words) = segment.entry(Section::Series, record, series::WORDS) else {
            return false;
        };
        if words[series::FAMILY].load(Ordering::Relaxed) != u64::from(self.family) {
            return false;
        }
        match record::series_labels(words, record::arena(segment)) {
            Some((text, bytes)) => bytes == self.labels.len() && text::equals(text, self.labels),
            None => false,
        }
    }
}

/// Registers a series within its family's limit.
fn new_series(
    segment: &Segment,
    (family, known): (u32, &FamilyRecord),
    key: &Key<'_>,
) -> Result<u32, Error> {
    segment.check_pages()?;
    let limit = known.spec.series_limit;
    let words = entry(segment, Section::Families, family, family::WORDS)?;
    let seats = Seats::new(&words[family::SEATS], limit);
    let look = || {
        let insert = |record| insert_offered(segment, family, record);
        match seats.look(|| key.find(segment), insert) {
            Vacancy::Full => Err(Error::SeriesLimit {
                family: known.spec.name.clone(),
                limit,
            }),
            vacancy => Ok(vacancy),
        }
    };
    // Before anything is claimed, so that a family at its limit claims nothing.
    if let Vacancy::Found(found) = look()? {
        return Ok(found);
    }
    let mut claims = Claims::new(segment);
    let record = fill_series(&mut claims, known, key, overflow_reserve(segment))?;
    loop {
        match look()? {
            Vacancy::Found(found) => return Ok(found),
            Vacancy::Free(word) if seats.offer(word, record) => break,
            _ => {}
        }
    }
    claims.keep();
    step("series-offered");
    match look()? {
        Vacancy::Found(found) => Ok(found),
        _ => Err(full(segment, Section::Series)),
    }
}

/// Registers the overflow series of a family, which takes no seat.
fn overflow_series(
    segment: &Segment,
    (_, known): (u32, &FamilyRecord),
    key: &Key<'_>,
) -> Result<u32, Error> {
    segment.check_pages()?;
    let mut claims = Claims::new(segment);
    let record = fill_series(&mut claims, known, key, 0)?;
    match key.insert(segment, record) {
        Insertion::Inserted => {
            step("overflow-inserted");
            claims.keep();
            Ok(record)
        }
        Insertion::Existing(found) => Ok(found),
        Insertion::Full => Err(full(segment, Section::Series)),
    }
}

/// Claims and fills a record that nobody else sees yet.
fn fill_series(
    claims: &mut Claims<'_>,
    known: &FamilyRecord,
    key: &Key<'_>,
    reserve: u64,
) -> Result<u32, Error> {
    let record = low_half(claims.take(Section::Series, 1, reserve)?);
    claims.commit(
        Section::Series,
        (u64::from(record) + 1) * series::WORDS as u64,
    )?;
    let text = claims.store_text(key.labels)?;
    let cells = claims.take_cells(known)?;
    let words = entry(claims.segment, Section::Series, record, series::WORDS)?;
    record::fill_series(words, key.hash, key.family, text, cells);
    step("series-filled");
    // An index of zeros would take it.
    claims.segment.check_pages()?;
    Ok(record)
}

/// Ends what the registrant of an offered record began: puts it into the index and publishes it. False where
/// the index has another record of its key, or the record is not one of the family.
fn insert_offered(segment: &Segment, family: u32, record: u32) -> bool {
    let Some(words) = segment.entry(Section::Series, record, series::WORDS) else {
        return false;
    };
    let labels = record::series_labels(words, record::arena(segment));
    let Some(labels) = labels.and_then(|(words, bytes)| text::load(words, bytes)) else {
        return false;
    };
    let key = Key {
        family,
        labels: &labels,
        hash: words[series::HASH].load(Ordering::Relaxed),
    };
    if !key.is_of(segment, record) {
        return false;
    }
    let is_in_index = match key.insert(segment, record) {
        Insertion::Inserted => {
            step("series-inserted");
            true
        }
        Insertion::Existing(found) => found == record,
        Insertion::Full => false,
    };
    if is_in_index && does("offer published") {
        record::publish(&words[series::STATE]);
    }
    is_in_index
}

fn existing_series(segment: &Segment, index: u32) -> Result<(u32, SeriesCells), Error> {
    let words = entry(segment, Section::Series, index, series::WORDS)?;
    if does("series published") {
        record::publish(&words[series::STATE]);
    }
    Ok((index, record::series_cells(words)))
}

fn overflow_reserve(segment: &Segment) -> u64 {
    (segment.extent(Section::Series).capacity / 16).min(OVERFLOW_RESERVE_MAX)
}

fn index(segment: &Segment, section: Section) -> Index<'_> {
    let capacity = to_usize(segment.extent(section).capacity);
    Index::new(&segment.section(section)[..capacity])
}

fn entry(
    segment: &Segment,
    section: Section,
    index: u32,
    words: usize,
) -> Result<&[AtomicU64], Error> {
    segment
        .entry(section, index, words)
        .ok_or_else(|| full(segment, section))
}

fn full(segment: &Segment, section: Section) -> Error {
    Error::Full {
        table: section.name(),
        capacity: segment.extent(section).capacity,
    }
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

    fn store_words(&mut self, values: &[u64]) -> Result<u64, Error> {
        let start = self.take_arena(values.len())?;
        let arena = &self.segment.section(Section::Strings)[to_usize(start)..];
        for (word, &value) in arena.iter().zip(values) {
            word.store(value, Ordering::Relaxed);
            step("bound-stored");
        }
        Ok(start)
    }

    fn take_arena(&mut self, words: usize) -> Result<u64, Error> {
        let start = self.take(Section::Strings, words as u64, 0)?;
        self.commit(Section::Strings, start + words as u64)?;
        Ok(start)
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
        })
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
        for &(section, start, count) in self.taken.iter().rev() {
            claim::give_back(self.segment.next(section), start, count);
        }
    }
}

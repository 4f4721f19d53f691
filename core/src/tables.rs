//! The tables of a segment, as the protocols see them.

use std::cmp;

use crate::error::Error;
use crate::free::FreeLists;
use crate::index::{Found, Index, Records, Tangled};
use crate::labels::LabelSet;
use crate::layout::{Section, family, header, low_half, series, split, to_usize};
use crate::record;
use crate::seats::{Removals, Seats};
use crate::segment::Segment;
use crate::sync::{AtomicU64, Ordering};
use crate::text;

/// The words of an entry, or the error of a table that ends before it.
pub(crate) fn entry(
    segment: &Segment,
    section: Section,
    index: u32,
    words: usize,
) -> Result<&[AtomicU64], Error> {
    segment
        .entry(section, index, words)
        .ok_or_else(|| full(segment, section))
}

pub(crate) fn full(segment: &Segment, section: Section) -> Error {
    Error::Full {
        table: section.name(),
        capacity: segment.extent(section).capacity,
    }
}

/// The records of the families or the series.
fn records(segment: &Segment, section: Section) -> Records<'_> {
    let words = segment.section(section);
    match section {
        Section::Families => Records::new(words, family::WORDS, family::LINK),
        _ => Records::new(words, series::WORDS, series::LINK),
    }
}

fn index(segment: &Segment, section: Section) -> Index<'_> {
    let (heads, records) = match section {
        Section::Families => (Section::FamilyIndex, records(segment, section)),
        _ => (Section::SeriesIndex, records(segment, section)),
    };
    let capacity = to_usize(segment.extent(heads).capacity);
    Index::new(&segment.section(heads)[..capacity], records)
}

/// The free series records.
pub(crate) fn free(segment: &Segment) -> FreeLists<'_> {
    let classes = header::CLASSES..header::CLASSES + 2 * header::CLASSES_MAX;
    FreeLists {
        classes: &segment.words()[classes],
        count: &segment.words()[header::FREE],
        records: records(segment, Section::Series),
    }
}

/// The free family records.
pub(crate) fn free_families(segment: &Segment) -> FreeLists<'_> {
    let list = header::FREE_FAMILIES..header::FREE_FAMILIES + 2;
    FreeLists {
        classes: &segment.words()[list],
        count: &segment.words()[header::FREE_FAMILIES_COUNT],
        records: records(segment, Section::Families),
    }
}

/// The seats of a family.
pub(crate) fn seats(segment: &Segment, index: u32) -> Result<Seats<'_>, Error> {
    let words = entry(segment, Section::Families, index, family::WORDS)?;
    Ok(Seats {
        count: &words[family::SEATS],
        operation: &words[family::OPERATION],
        records: records(segment, Section::Series),
        removals: removals(segment),
    })
}

/// The counts of removals.
pub(crate) fn removals(segment: &Segment) -> Removals<'_> {
    Removals {
        begun: &segment.words()[header::REMOVALS_BEGUN],
        done: &segment.words()[header::REMOVALS_DONE],
    }
}

/// What a record is found by.
pub(crate) trait Key {
    const TABLE: Section;

    fn hash(&self) -> u64;

    /// How a record's key compares; `None` where it lies outside the segment.
    fn compare(&self, segment: &Segment, record: u32) -> Option<cmp::Ordering>;

    fn find(&self, segment: &Segment) -> Result<Option<Found>, Error> {
        let compare = |record| self.compare(segment, record);
        index(segment, Self::TABLE)
            .find(self.hash(), compare)
            .map_err(|Tangled| tangled(segment, Self::TABLE))
    }

    /// Inserts a private record, unless one with an equal key is there.
    fn insert(&self, segment: &Segment, record: u32) -> Result<Option<Found>, Error> {
        let compare = |record| self.compare(segment, record);
        index(segment, Self::TABLE)
            .insert(self.hash(), record, compare)
            .map_err(|Tangled| tangled(segment, Self::TABLE))
    }
}

fn tangled(segment: &Segment, section: Section) -> Error {
    let reason = format!("the index of its {} makes no sense", section.name());
    Error::not_a_segment(&segment.path, &reason)
}

/// A family's name.
pub(crate) struct FamilyKey<'a> {
    name: &'a [u8],
    hash: u64,
}

impl<'a> FamilyKey<'a> {
    pub(crate) fn new(name: &'a [u8]) -> FamilyKey<'a> {
        let hash = text::hash(name);
        FamilyKey { name, hash }
    }
}

impl Key for FamilyKey<'_> {
    const TABLE: Section = Section::Families;

    fn hash(&self) -> u64 {
        self.hash
    }

    fn compare(&self, segment: &Segment, record: u32) -> Option<cmp::Ordering> {
        let words = segment.entry(Section::Families, record, family::WORDS)?;
        let load = |word: usize| words[word].load(Ordering::Relaxed);
        let (bytes, _) = split(load(family::NAME_HELP_BYTES));
        let arena = record::arena(segment).get(to_usize(load(family::TEXT))..)?;
        let order = load(family::HASH).cmp(&self.hash);
        Some(order.then(text::compare_start(arena, bytes as usize, self.name)?))
    }
}

/// A series' family and label set.
pub(crate) struct SeriesKey<'a> {
    pub(crate) family: u32,
    pub(crate) labels: &'a [u8],
    pub(crate) hash: u64,
}

impl<'a> SeriesKey<'a> {
    pub(crate) fn new(family: u32, labels: &'a LabelSet) -> SeriesKey<'a> {
        let labels = labels.bytes();
        let hash = text::hash(&[&family.to_le_bytes(), labels].concat());
        SeriesKey {
            family,
            labels,
            hash,
        }
    }
}

impl Key for SeriesKey<'_> {
    const TABLE: Section = Section::Series;

    fn hash(&self) -> u64 {
        self.hash
    }

    fn compare(&self, segment: &Segment, record: u32) -> Option<cmp::Ordering> {
        let words = segment.entry(Section::Series, record, series::WORDS)?;
        let order = words[series::HASH].load(Ordering::Relaxed).cmp(&self.hash);
        let order = order.then(record::series_family(words).cmp(&self.family));
        if order.is_ne() {
            return Some(order);
        }
        let (text, bytes) = record::series_labels(words, record::arena(segment))?;
        text::compare_start(text, bytes, self.labels)
    }
}

/// How many entries of a table were ever claimed and have memory.
pub(crate) fn claimed(segment: &Segment, section: Section, entry_words: usize) -> u32 {
    let next = segment.next(section).load(Ordering::Relaxed);
    let with_memory = segment.committed_words(section).len() / entry_words;
    let capacity = segment.extent(section).capacity;
    low_half(next.min(with_memory as u64).min(capacity))
}

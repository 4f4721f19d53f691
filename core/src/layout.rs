#![doc = include_str!("../../docs/FORMAT.md")]
//!
//! This module owns every offset, size, version and state value of the format.

use std::path::Path;

use crate::error::Error;
use crate::host;
pub(crate) use crate::offsets::{
    PAGE_BYTES, PAGE_WORDS, exemplar, family, header, process, series, sink, state,
};
pub(crate) use crate::word::{halves, low_half, split, to_usize};

/// First word of every segment: "TACHOGRF" in little-endian bytes.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"TACHOGRF");
/// A build refuses another major version and reads any minor one.
pub(crate) const VERSION: (u32, u32) = (1, 0);
/// Feature bits that a build must know to use the segment.
pub(crate) const REQUIRED_FEATURES: u64 = 0;
/// Feature bits that a build may ignore.
pub(crate) const OPTIONAL_FEATURES: u64 = 0;

/// The kinds of sections. The value is the kind in the section table and never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Section {
    Processes = 1,
    Families = 2,
    FamilyIndex = 3,
    Series = 4,
    SeriesIndex = 5,
    Strings = 6,
    SharedCells = 7,
    ProcessCells = 8,
    Counters = 9,
    Histograms = 10,
    Exemplars = 11,
    Marks = 14,
    // Reserved, for sections that come later and that a reader may skip: 12 events, 13 watches.
}

impl Section {
    pub(crate) const ALL: [Section; 12] = [
        Section::Processes,
        Section::Families,
        Section::FamilyIndex,
        Section::Series,
        Section::SeriesIndex,
        Section::Strings,
        Section::SharedCells,
        Section::ProcessCells,
        Section::Counters,
        Section::Exemplars,
        Section::Histograms,
        Section::Marks,
    ];
    /// One more than the largest kind.
    pub(crate) const KINDS: usize = Section::Marks as usize + 1;

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Section::Processes => "processes",
            Section::Families => "families",
            Section::FamilyIndex => "family_index",
            Section::Series => "series",
            Section::SeriesIndex => "series_index",
            Section::Strings => "strings",
            Section::SharedCells => "shared_cells",
            Section::ProcessCells => "process_cells",
            Section::Counters => "counter_cells",
            Section::Histograms => "histogram_pages",
            Section::Exemplars => "exemplars",
            Section::Marks => "marks",
        }
    }
}

/// Where a section lies: word offset, size in words, and how many entries it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Extent {
    pub(crate) offset: usize,
    pub(crate) words: usize,
    pub(crate) capacity: u64,
}

/// Bit of a section-table entry's kind word: a build that does not know the kind must refuse the segment.
const SECTION_REQUIRED: u64 = 1 << 63;

/// How many entries each table of a new segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capacities {
    pub(crate) processes: u64,
    pub(crate) families: u64,
    pub(crate) series: u64,
    pub(crate) string_bytes: u64,
    pub(crate) shared_cells: u64,
    pub(crate) process_cells: u64,
    pub(crate) counter_cells: u64,
    pub(crate) histogram_bytes: u64,
    pub(crate) exemplars: u64,
}

/// Where everything lies: read from the header once, checked, and kept in private memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) cpu_shards: u32,
    pub(crate) fallback_shards: u32,
    pub(crate) words: usize,
    extents: [Extent; Section::KINDS],
}

impl Layout {
    /// The layout of a new segment.
    pub(crate) fn plan(capacities: &Capacities, cpu_shards: u32, fallback_shards: u32) -> Layout {
        let shards = u64::from(cpu_shards + fallback_shards);
        let page = PAGE_WORDS as u64;
        let mut layout = Layout {
            cpu_shards,
            fallback_shards,
            words: header::WORDS,
            extents: [Extent::default(); Section::KINDS],
        };
        for section in Section::ALL {
            let (capacity, words) = match section {
                Section::Processes => sized(capacities.processes, process::WORDS),
                Section::Families => sized(capacities.families, family::WORDS),
                Section::FamilyIndex => sized(index_capacity(capacities.families), 1),
                Section::Series => sized(capacities.series, series::WORDS),
                Section::SeriesIndex => sized(index_capacity(capacities.series), 1),
                Section::Strings => sized(capacities.string_bytes.div_ceil(8), 1),
                Section::SharedCells => sized(capacities.shared_cells, 1),
                Section::ProcessCells => {
                    // One run a process, and one more that processes without a slot write to.
                    let run = capacities.process_cells.next_multiple_of(page);
                    (run, run * (capacities.processes + 1))
                }
                Section::Counters => {
                    let cells = capacities.counter_cells.next_multiple_of(page);
                    (cells, cells * shards)
                }
                Section::Histograms => {
                    let pages = capacities.histogram_bytes.div_ceil(PAGE_BYTES);
                    (pages, pages * page)
                }
                Section::Exemplars => sized(capacities.exemplars, exemplar::WORDS),
                Section::Marks => {
                    // A bit for each family and series, and process.
                    let bits = capacities.families + capacities.series;
                    let run = bits.div_ceil(64).next_multiple_of(page);
                    (run, run * capacities.processes)
                }
            };
            let words = to_usize(words.next_multiple_of(page));
            layout.extents[section as usize] = Extent {
                offset: layout.words,
                words,
                capacity,
            };
            layout.words += words;
        }
        layout
    }

    /// Where `section` lies.
    pub(crate) fn extent(&self, section: Section) -> Extent {
        self.extents[section as usize]
    }

    /// All shards of a counter.
    pub(crate) fn shards(&self) -> usize {
        (self.cpu_shards + self.fallback_shards) as usize
    }

    /// The words of one process's own cells: `(offset, cells)`.
    pub(crate) fn process_run(&self, slot: u32) -> (usize, usize) {
        let extent = self.extent(Section::ProcessCells);
        let cells = to_usize(extent.capacity);
        (extent.offset + slot as usize * cells, cells)
    }

    /// The words of one process's marks: `(offset, words)`.
    pub(crate) fn marks_run(&self, slot: u32) -> (usize, usize) {
        let extent = self.extent(Section::Marks);
        let words = to_usize(extent.capacity);
        (extent.offset + slot as usize * words, words)
    }

    /// The number of a family's bit in the marks of a process.
    pub(crate) fn family_mark(family: u32) -> u32 {
        family
    }

    /// The number of a series' bit in the marks of a process.
    pub(crate) fn series_mark(&self, record: u32) -> u32 {
        low_half(self.extent(Section::Families).capacity + u64::from(record))
    }

    /// The series whose bit has this number; `None` where that is a family's.
    pub(crate) fn marked_series(&self, mark: u32) -> Option<u32> {
        mark.checked_sub(low_half(self.extent(Section::Families).capacity))
    }

    /// The run that processes without a slot write to.
    pub(crate) fn sink_run(&self) -> u32 {
        low_half(self.extent(Section::Processes).capacity)
    }

    /// The immutable part of the header, checksum included.
    pub(crate) fn header_words(&self, identity: &Identity) -> [u64; header::MUTABLE] {
        let mut words = [0; header::MUTABLE];
        words[header::MAGIC] = MAGIC;
        words[header::VERSION] = halves(VERSION.1, VERSION.0);
        words[header::REQUIRED_FEATURES] = REQUIRED_FEATURES;
        words[header::OPTIONAL_FEATURES] = OPTIONAL_FEATURES;
        words[header::BYTES] = self.words as u64 * 8;
        words[header::BOOT_ID..header::BOOT_ID + 2].copy_from_slice(&identity.boot_id);
        words[header::CREATED_UNIX_NANOS] = identity.created_unix_nanos;
        words[header::INSTANCE] = identity.instance;
        words[header::SHARDS] = halves(self.cpu_shards, self.fallback_shards);
        words[header::PAGE_BYTES] = PAGE_BYTES;
        (words[header::INODE], words[header::INODE + 1]) = identity.inode;
        for (at, section) in Section::ALL.into_iter().enumerate() {
            let extent = self.extent(section);
            let entry = header::SECTIONS + at * header::SECTION_WORDS;
            words[entry] = SECTION_REQUIRED | section as u64;
            words[entry + 1] = extent.offset as u64;
            words[entry + 2] = extent.words as u64;
            words[entry + 3] = extent.capacity;
        }
        words[header::CHECKSUM] = checksum(&words);
        words
    }

    /// Reads and checks the immutable part of a header found in a file of `file_bytes`.
    pub(crate) fn parse(
        path: &Path,
        words: &[u64; header::MUTABLE],
        file_bytes: u64,
    ) -> Result<(Layout, Identity), Error> {
        let not = |reason: &str| Error::not_a_segment(path, reason);
        if words[header::MAGIC] != MAGIC {
            return Err(not("it does not start with the magic word"));
        }
        let (minor, major) = split(words[header::VERSION]);
        let unknown = words[header::REQUIRED_FEATURES] & !REQUIRED_FEATURES;
        if major != VERSION.0 || unknown != 0 {
            return Err(Error::Version {
                path: path.into(),
                found: format!("{major}.{minor} (unknown features {unknown:#x})"),
                supported: format!("{}.x", VERSION.0),
            });
        }
        if words[header::CHECKSUM] != checksum(words) {
            return Err(not("the header's checksum is wrong"));
        }
        if words[header::PAGE_BYTES] != PAGE_BYTES {
            return Err(not("the page size is unknown"));
        }
        if words[header::BYTES] > file_bytes || !words[header::BYTES].is_multiple_of(8) {
            return Err(not("the file is shorter than the segment"));
        }
        let (cpu_shards, fallback_shards) = split(words[header::SHARDS]);
        let mut layout = Layout {
            cpu_shards,
            fallback_shards,
            words: to_usize(words[header::BYTES] / 8),
            extents: [Extent::default(); Section::KINDS],
        };
        layout
            .parse_sections(words)
            .map_err(|reason| not(&reason))?;
        let identity = Identity {
            boot_id: [words[header::BOOT_ID], words[header::BOOT_ID + 1]],
            created_unix_nanos: words[header::CREATED_UNIX_NANOS],
            instance: words[header::INSTANCE],
            version: (major, minor),
            inode: (words[header::INODE], words[header::INODE + 1]),
        };
        Ok((layout, identity))
    }

    fn parse_sections(&mut self, words: &[u64; header::MUTABLE]) -> Result<(), String> {
        for at in 0..header::SECTIONS_MAX {
            let entry = header::SECTIONS + at * header::SECTION_WORDS;
            let kind = words[entry];
            if kind == 0 {
                continue;
            }
            let known = Section::ALL
                .into_iter()
                .find(|&s| s as u64 == kind & !SECTION_REQUIRED);
            let Some(section) = known else {
                if kind & SECTION_REQUIRED != 0 {
                    return Err(format!(
                        "it needs a section of unknown kind {}",
                        kind & 0xffff
                    ));
                }
                continue;
            };
            let (offset, size, capacity) = (words[entry + 1], words[entry + 2], words[entry + 3]);
            let end = offset.checked_add(size).ok_or("a section ends nowhere")?;
            if offset < header::WORDS as u64 || end > self.words as u64 {
                return Err(format!("section {} lies outside", section.name()));
            }
            self.extents[section as usize] = Extent {
                offset: to_usize(offset),
                words: to_usize(size),
                capacity,
            };
        }
        self.check_capacities()
    }

    /// Every table must fit the words it was given; all later arithmetic rests on it.
    fn check_capacities(&self) -> Result<(), String> {
        if self.cpu_shards == 0
            || self.fallback_shards == 0
            || u64::from(self.cpu_shards) + u64::from(self.fallback_shards) > u64::from(u16::MAX)
        {
            return Err("the shard counts are impossible".into());
        }
        let processes = self.extent(Section::Processes).capacity;
        let marked = [Section::Families, Section::Series];
        let marks = marked.map(|section| self.extent(section).capacity);
        let marks = marks
            .iter()
            .fold(0, |sum: u64, &count| sum.saturating_add(count));
        for section in Section::ALL {
            let extent = self.extent(section);
            let needed = match section {
                Section::Processes => extent.capacity.checked_mul(process::WORDS as u64),
                Section::Families => extent.capacity.checked_mul(family::WORDS as u64),
                Section::Series => extent.capacity.checked_mul(series::WORDS as u64),
                Section::ProcessCells => extent.capacity.checked_mul(processes.saturating_add(1)),
                Section::Counters => extent.capacity.checked_mul(self.shards() as u64),
                Section::Histograms => extent.capacity.checked_mul(PAGE_WORDS as u64),
                Section::Exemplars => extent.capacity.checked_mul(exemplar::WORDS as u64),
                Section::Marks => extent.capacity.checked_mul(processes),
                Section::FamilyIndex
                | Section::SeriesIndex
                | Section::Strings
                | Section::SharedCells => Some(extent.capacity),
            };
            let fits = needed.is_some_and(|needed| needed <= extent.words as u64)
                && (section != Section::Marks || extent.capacity * 64 >= marks);
            let is_index = matches!(section, Section::FamilyIndex | Section::SeriesIndex);
            if !fits
                || extent.capacity == 0
                || extent.capacity > u64::from(u32::MAX)
                || (is_index && !extent.capacity.is_power_of_two())
                || (section == Section::Counters
                    && !extent.capacity.is_multiple_of(PAGE_WORDS as u64))
            {
                return Err(format!(
                    "section {} has an impossible capacity",
                    section.name()
                ));
            }
        }
        Ok(())
    }
}

/// What tells one segment from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) boot_id: [u64; 2],
    pub(crate) created_unix_nanos: u64,
    pub(crate) instance: u64,
    pub(crate) version: (u32, u32),
    /// Device and inode of the file that it was created in, zeros for none: a copy has others.
    pub(crate) inode: (u64, u64),
}

impl Identity {
    /// A new segment's identity.
    pub(crate) fn of_new(boot_id: [u64; 2]) -> Identity {
        Identity {
            boot_id,
            created_unix_nanos: host::now_unix_nanos(),
            instance: host::random(),
            version: VERSION,
            inode: (0, 0),
        }
    }
}

/// As many lists as entries, so that a list has about one.
fn index_capacity(entries: u64) -> u64 {
    entries.next_power_of_two()
}

fn sized(capacity: u64, entry_words: usize) -> (u64, u64) {
    (capacity, capacity * entry_words as u64)
}

/// FNV-1a over the words of the immutable part, the checksum's own word left out.
fn checksum(words: &[u64; header::MUTABLE]) -> u64 {
    let covered = words
        .iter()
        .enumerate()
        .filter(|&(at, _)| at != header::CHECKSUM);
    covered.fold(0xcbf2_9ce4_8422_2325, |hash, (_, word)| {
        word.to_le_bytes().into_iter().fold(hash, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    pub(crate) const SMALL: Capacities = Capacities {
        processes: 4,
        families: 8,
        series: 16,
        string_bytes: 4096,
        shared_cells: 16,
        process_cells: 16,
        counter_cells: 512,
        histogram_bytes: 65536,
        exemplars: 16,
    };

    fn header() -> ([u64; header::MUTABLE], u64, Layout, Identity) {
        let layout = Layout::plan(&SMALL, 2, 2);
        let identity = Identity {
            boot_id: [1, 2],
            created_unix_nanos: 3,
            instance: 4,
            version: VERSION,
            inode: (5, 6),
        };
        (
            layout.header_words(&identity),
            layout.words as u64 * 8,
            layout,
            identity,
        )
    }

    #[test]
    fn a_header_is_read_back() {
        let (words, bytes, layout, identity) = header();
        assert_eq!(
            Layout::parse(Path::new("x"), &words, bytes).unwrap(),
            (layout, identity)
        );
    }

    #[test]
    fn sections_follow_one_another() {
        let (.., layout, _) = header();
        let mut end = header::WORDS;
        for section in Section::ALL {
            let extent = layout.extent(section);
            assert_eq!(extent.offset, end, "{section:?}");
            assert_eq!(extent.words % PAGE_WORDS, 0);
            end += extent.words;
        }
        assert_eq!(end, layout.words);
    }

    #[test]
    fn any_changed_word_is_refused() {
        let (words, bytes, ..) = header();
        for at in 0..header::MUTABLE {
            let mut damaged = words;
            damaged[at] ^= 1 << (at % 64);
            assert!(
                Layout::parse(Path::new("x"), &damaged, bytes).is_err(),
                "word {at}"
            );
        }
        assert!(Layout::parse(Path::new("x"), &words, bytes - 8).is_err());
    }

    #[test]
    fn impossible_sections_are_refused_even_with_a_right_checksum() {
        let (words, bytes, ..) = header();
        for at in 0..Section::ALL.len() {
            for (word, value) in [
                (1, 0),
                (1, u64::MAX),
                (2, u64::MAX),
                (2, 0),
                (3, u64::MAX),
                (3, 0),
            ] {
                let mut damaged = words;
                damaged[header::SECTIONS + at * header::SECTION_WORDS + word] = value;
                damaged[header::CHECKSUM] = checksum(&damaged);
                assert!(
                    Layout::parse(Path::new("x"), &damaged, bytes).is_err(),
                    "{at} {word} {value}"
                );
            }
        }
    }

    #[test]
    fn unknown_sections_are_skipped_or_refused_as_they_say() {
        let (mut words, bytes, ..) = header();
        let entry = header::SECTIONS + 20 * header::SECTION_WORDS;
        words[entry] = 13;
        words[header::CHECKSUM] = checksum(&words);
        assert!(Layout::parse(Path::new("x"), &words, bytes).is_ok());
        words[entry] = 13 | SECTION_REQUIRED;
        words[header::CHECKSUM] = checksum(&words);
        assert!(Layout::parse(Path::new("x"), &words, bytes).is_err());
    }
}

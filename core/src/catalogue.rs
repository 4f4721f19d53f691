//! The directory of a segment, as a reader keeps it: read again only when something new was published.
//!
//! A process killed between publishing a record and counting it would hide the record from a reader that
//! trusts a count. So the reader looks at the records themselves: at those it has not seen, and at those
//! that were claimed but not published when it last looked.

use std::collections::HashMap;
use std::sync::Arc;

use crate::cell::{Placement, gauge_cells};
use crate::claim;
use crate::layout::{Section, family, low_half, series};
use crate::record::{self, FamilyRecord, SeriesCells, SeriesRecord};
use crate::schema::Kind;
use crate::segment::Segment;
use crate::snapshot::{Damage, Directory, Family, Label, Series};
use crate::sync::{Ordering, does, in_order};

/// Damaged records that a snapshot names; more are only as good as these.
const DAMAGE_MAX: usize = 256;

/// Where the value of one series comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    pub(crate) kind: Kind,
    pub(crate) cells: SeriesCells,
    pub(crate) placement: Placement,
}

/// The directory, and where its values come from.
#[derive(Debug)]
pub(crate) struct Catalogue {
    pub(crate) directory: Arc<Directory>,
    /// In the directory's order.
    pub(crate) sources: Vec<Source>,
    /// The family record of each family of the directory.
    pub(crate) family_records: Vec<u32>,
    pub(crate) damage: Vec<Damage>,
    families: Watched,
    series: Watched,
}

/// Which records of a table were published when it was last read.
#[derive(Debug)]
struct Watched {
    section: Section,
    entry_words: usize,
    seen: u32,
    unpublished: Vec<u32>,
}

impl Watched {
    fn new(section: Section, entry_words: usize) -> Watched {
        Watched {
            section,
            entry_words,
            seen: 0,
            unpublished: Vec::new(),
        }
    }

    /// Entries claimed so far whose words have memory.
    fn count(&self, segment: &Segment) -> u32 {
        let next = segment.next(self.section).load(Ordering::Relaxed);
        let committed = claim::committed(segment.committed(self.section));
        let extent = segment.extent(self.section);
        let with_memory = committed.min(extent.words as u64) / self.entry_words as u64;
        low_half(next.min(with_memory).min(extent.capacity))
    }

    fn is_published(&self, segment: &Segment, index: u32) -> bool {
        let words = segment.entry(self.section, index, self.entry_words);
        words.is_some_and(|words| record::is_published(&words[0]))
    }

    /// Whether a record was published that had not been when this was last asked.
    fn has_news(&mut self, segment: &Segment) -> bool {
        let count = self.count(segment);
        let before = self.unpublished.len();
        let mut unpublished = std::mem::take(&mut self.unpublished);
        unpublished.retain(|&index| !self.is_published(segment, index));
        let mut is_new = unpublished.len() < before;
        for index in self.seen..count {
            if self.is_published(segment, index) {
                is_new = true;
            } else if does("unpublished watched") {
                unpublished.push(index);
            }
        }
        self.seen = self.seen.max(count);
        self.unpublished = unpublished;
        is_new
    }
}

impl Catalogue {
    pub(crate) fn new() -> Catalogue {
        Catalogue {
            directory: Arc::new(Directory::default()),
            sources: Vec::new(),
            family_records: Vec::new(),
            damage: Vec::new(),
            families: Watched::new(Section::Families, family::WORDS),
            series: Watched::new(Section::Series, series::WORDS),
        }
    }

    /// Brings the directory up to date.
    pub(crate) fn refresh(&mut self, segment: &Segment) {
        // Series first: a series is published after its family, so no family is missed.
        let (first, second) = in_order(
            "series before families",
            &mut self.series,
            &mut self.families,
        );
        let is_new = [first.has_news(segment), second.has_news(segment)];
        if is_new.contains(&true) {
            self.rebuild(segment);
        }
    }

    fn rebuild(&mut self, segment: &Segment) {
        self.damage.clear();
        let mut families: HashMap<u32, (FamilyRecord, Vec<SeriesRecord>)> = HashMap::new();
        for index in 0..self.families.seen {
            match record::read_family(segment, index) {
                Ok(Some(found)) => drop(families.insert(index, (found, Vec::new()))),
                Ok(None) => {}
                Err(reason) => self.note(Section::Families, index, reason),
            }
        }
        let mut budget = Budget::new(segment);
        let mut names = Names::default();
        for index in 0..self.series.seen {
            match read_series(segment, index, &families, &mut budget) {
                Ok(Some(mut found)) => {
                    found.labels.iter_mut().for_each(|label| names.share(label));
                    let family = families.get_mut(&found.family);
                    family.expect("its family was looked up").1.push(found);
                }
                Ok(None) => {}
                Err(reason) => self.note(Section::Series, index, reason),
            }
        }
        self.arrange(families);
    }

    /// Sorts what was read by name and label set, dropping what is there twice.
    fn arrange(&mut self, families: HashMap<u32, (FamilyRecord, Vec<SeriesRecord>)>) {
        let mut sorted: Vec<_> = families.into_iter().collect();
        sorted.sort_unstable_by(|a, b| (&a.1.0.spec.name, a.0).cmp(&(&b.1.0.spec.name, b.0)));
        let mut directory = Directory::default();
        self.sources.clear();
        self.family_records.clear();
        for (index, (known, mut series)) in sorted {
            if directory
                .families
                .last()
                .is_some_and(|last| last.name == known.spec.name)
            {
                self.note(Section::Families, index, "its name is there twice");
                continue;
            }
            series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
            let count = series.len();
            series.dedup_by(|a, b| a.labels == b.labels);
            if series.len() < count {
                self.note(
                    Section::Families,
                    index,
                    "some of its series are there twice",
                );
            }
            let sources = series.iter().map(|series| Source {
                kind: known.spec.kind,
                cells: series.cells,
                placement: known.placement,
            });
            let first = self.sources.len();
            self.sources.extend(sources);
            self.family_records.push(index);
            directory.families.push(family_of(known, series, first));
        }
        self.directory = Arc::new(directory);
    }

    fn note(&mut self, section: Section, index: u32, reason: &str) {
        if self.damage.len() < DAMAGE_MAX {
            let reason = reason.to_owned();
            self.damage.push(Damage {
                table: section.name(),
                index: index.into(),
                reason,
            });
        }
    }
}

fn read_series(
    segment: &Segment,
    index: u32,
    families: &HashMap<u32, (FamilyRecord, Vec<SeriesRecord>)>,
    budget: &mut Budget,
) -> Result<Option<SeriesRecord>, &'static str> {
    budget.take_labels(record::label_bytes(segment, index))?;
    let Some(found) = record::read_series(segment, index)? else {
        return Ok(None);
    };
    let (family, _) = families
        .get(&found.family)
        .ok_or("its family is not there")?;
    check_cells(segment, family, found.cells)?;
    budget.take_cells(&family.placement)?;
    Ok(Some(found))
}

/// What all series together can take: in a sound segment no two share their label bytes or cells, so that
/// reading costs at most what the segment holds.
struct Budget {
    label_bytes: u64,
    counter_cells: u64,
    histogram_pages: u64,
}

impl Budget {
    fn new(segment: &Segment) -> Budget {
        Budget {
            label_bytes: segment.extent(Section::Strings).words as u64 * 8,
            counter_cells: segment.extent(Section::Counters).capacity,
            histogram_pages: segment.extent(Section::Histograms).capacity,
        }
    }

    fn take_labels(&mut self, bytes: u64) -> Result<(), &'static str> {
        let left = self.label_bytes.checked_sub(bytes);
        self.label_bytes = left.ok_or("its labels are those of other series")?;
        Ok(())
    }

    fn take_cells(&mut self, placement: &Placement) -> Result<(), &'static str> {
        let budget = match placement.section {
            Section::Counters => &mut self.counter_cells,
            _ => &mut self.histogram_pages,
        };
        let left = budget.checked_sub(placement.entries());
        *budget = left.ok_or("its cells are those of other series")?;
        Ok(())
    }
}

fn family_of(known: FamilyRecord, series: Vec<SeriesRecord>, first: usize) -> Family {
    let (own, shared) = gauge_cells(known.spec.kind);
    Family {
        name: known.spec.name,
        help: known.spec.help,
        kind: known.spec.kind,
        unit: known.spec.unit,
        buckets: known.spec.buckets,
        states: known.spec.states,
        series_limit: known.spec.series_limit,
        series_bytes: if known.placement.cells > 0 {
            known.placement.bytes()
        } else {
            (own + shared) * 8
        },
        series: series
            .into_iter()
            .map(|series| Series {
                labels: series.labels,
                created_unix_nanos: series.created_unix_nanos,
            })
            .collect(),
        first,
    }
}

/// Checks that the cells of a series lie where memory is, so that reading them touches no hole.
fn check_cells(
    segment: &Segment,
    known: &FamilyRecord,
    cells: SeriesCells,
) -> Result<(), &'static str> {
    let committed = |section| {
        let words = segment.extent(section).words as u64;
        claim::committed(segment.committed(section)).min(words)
    };
    let outside = Err("its cells lie outside");
    let placement = &known.placement;
    if placement.cells > 0 {
        if cells.sharded >= segment.extent(placement.section).capacity {
            return outside;
        }
        let first = placement.offset(&segment.layout, cells.sharded);
        let is_straddling = placement.align(cells.sharded) != cells.sharded;
        if is_straddling || first + placement.span_words() as u64 > committed(placement.section) {
            return outside;
        }
    }
    let (own, shared) = gauge_cells(known.spec.kind);
    if own > 0 && u64::from(cells.own) + own > segment.extent(Section::ProcessCells).capacity {
        return outside;
    }
    if shared > 0 && u64::from(cells.shared) + shared > committed(Section::SharedCells) {
        return outside;
    }
    Ok(())
}

/// Label names, each kept once.
#[derive(Default)]
struct Names(HashMap<Arc<str>, ()>);

impl Names {
    fn share(&mut self, label: &mut Label) {
        match self.0.get_key_value(&label.name) {
            Some((known, ())) => label.name = known.clone(),
            None => drop(self.0.insert(label.name.clone(), ())),
        }
    }
}

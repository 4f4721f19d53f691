//! The directory of a segment, as a reader keeps it: read again only when something new was published.
//!
//! A process killed between publishing a record and counting it would hide the record from a reader that
//! trusts a count. So the reader looks at the records themselves: at those it has not seen, and at those
//! that were claimed but not published when it last looked.
//!
//! Whoever removes a series says before that a removal begins, and after that it is done. While neither count moves,
//! what was published still is, and a scrape looks at no state again. While they differ, a removal is under way or
//! its process was killed in it: then every state is looked at, before the cells are read and after.

use std::collections::HashMap;
use std::sync::Arc;

use crate::budget::Budget;
use crate::by_process::ByProcess;
use crate::cell::{Placement, gauge_cells};
use crate::labels;
use crate::layout::{Section, exemplar, family, low_half, series, state};
use crate::marks;
use crate::record::{self, FamilyRecord, SeriesCells, SeriesRecord};
use crate::schema::Kind;
use crate::seats::SeenRemovals;
use crate::segment::Segment;
use crate::shelf::{Filling, Place, Shelf};
use crate::snapshot::{Damage, Directory, Family, Series};
use crate::sync::{acquire, check, does, in_order};
use crate::tables;

/// Damaged records that a snapshot names; more are only as good as these.
const DAMAGE_MAX: usize = 256;

/// Where the value of one series comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    series: &'a Series,
    pub(crate) kind: Kind,
    pub(crate) cells: SeriesCells,
    pub(crate) placement: &'a Placement,
}

impl Source<'_> {
    /// The record of the series.
    pub(crate) fn record(&self) -> u32 {
        self.series.identity.0
    }

    fn is_changed(&self, segment: &Segment) -> bool {
        is_changed(segment, self.series)
    }
}

/// The directory, and where its values come from.
#[derive(Debug)]
pub(crate) struct Catalogue {
    pub(crate) directory: Arc<Directory>,
    /// The record of each family of the directory, and where the cells of its series lie.
    placed: Vec<(u32, Placement)>,
    /// The cells of all series, in the directory's order.
    cells: Vec<PackedCells>,
    pub(crate) damage: Vec<Damage>,
    /// Records of removed series that are not free yet.
    pub(crate) waiting: Vec<u32>,
    pub(crate) by_process: ByProcess,
    families: Watched,
    series: Watched,
    removals: SeenRemovals,
    is_stale: bool,
}

/// The cells of a series. Where its family has sharded ones, the first of those and of its exemplars; else the first of a
/// process's own and the shared one.
#[derive(Debug, Clone, Copy)]
struct PackedCells([u32; 2]);

impl PackedCells {
    fn new(cells: SeriesCells, placement: &Placement) -> PackedCells {
        PackedCells(match placement.cells {
            0 => [cells.own, cells.shared],
            _ => [low_half(cells.sharded), cells.exemplars],
        })
    }

    fn unpacked(self, placement: &Placement) -> SeriesCells {
        let PackedCells([first, second]) = self;
        let (own, shared, sharded, exemplars) = match placement.cells {
            0 => (first, second, 0, 0),
            _ => (0, 0, first.into(), second),
        };
        SeriesCells {
            sharded,
            own,
            shared,
            exemplars,
        }
    }
}

/// The families that make sense, with those of their series that do, by record.
type Families = HashMap<u32, (FamilyRecord, Vec<Found>)>;

/// A series that makes sense.
struct Found {
    /// Its record, and the state that this was read in.
    record: u32,
    state: u64,
    labels: Place,
    cells: SeriesCells,
    created_unix_nanos: u64,
}

/// Which records of a table were published when it was last read.
#[derive(Debug)]
struct Watched {
    section: Section,
    entry_words: usize,
    /// The state of each record when it was last looked at.
    states: Vec<u64>,
    unpublished: Vec<u32>,
}

impl Watched {
    fn new(section: Section, entry_words: usize) -> Watched {
        Watched {
            section,
            entry_words,
            states: Vec::new(),
            unpublished: Vec::new(),
        }
    }

    fn seen(&self) -> u32 {
        low_half(self.states.len() as u64)
    }

    fn state(&self, segment: &Segment, index: u32) -> u64 {
        let words = segment.entry(self.section, index, self.entry_words);
        // Pairs with the Release that published the record.
        words.map_or(0, |words| words[0].load(acquire("record seen")))
    }

    /// The records, with their states, that were published when this was last asked for news.
    fn published(&self) -> Vec<(u32, u64)> {
        let states = (0u32..).zip(self.states.iter().copied());
        let published = states.filter(|&(_, now)| state::of(now) == state::PUBLISHED);
        published.collect()
    }

    /// Whether a record was published that had not been when this was last asked; whether one was removed, if it
    /// is to look at all of them.
    fn has_news(&mut self, segment: &Segment, look_at_all: bool) -> bool {
        let seen = self.seen();
        self.states.resize(
            tables::claimed(segment, self.section, self.entry_words).max(seen) as usize,
            0,
        );
        let mut unpublished = std::mem::take(&mut self.unpublished);
        if look_at_all {
            unpublished = (0..seen).collect();
        }
        unpublished.extend(seen..self.seen());
        let mut is_new = false;
        unpublished.retain(|&index| {
            let now = self.state(segment, index);
            let before = std::mem::replace(&mut self.states[index as usize], now);
            let is_published = check("record is published", state::of(now) == state::PUBLISHED);
            let was_published = state::of(before) == state::PUBLISHED;
            is_new |= now != before && (is_published || was_published);
            !is_published && does("unpublished watched")
        });
        self.unpublished = unpublished;
        is_new
    }

    /// Records that are in this state among those that are not published.
    fn in_state(&self, wanted: u64) -> impl Iterator<Item = u32> {
        let is_wanted = move |&index: &u32| state::of(self.states[index as usize]) == wanted;
        self.unpublished.iter().copied().filter(is_wanted)
    }
}

impl Catalogue {
    pub(crate) fn new() -> Catalogue {
        Catalogue {
            directory: Arc::new(Directory::default()),
            placed: Vec::new(),
            cells: Vec::new(),
            damage: Vec::new(),
            waiting: Vec::new(),
            by_process: ByProcess::default(),
            families: Watched::new(Section::Families, family::WORDS),
            series: Watched::new(Section::Series, series::WORDS),
            removals: SeenRemovals::default(),
            is_stale: false,
        }
    }

    /// Whether there is something published that the directory does not show, or the other way round.
    pub(crate) fn is_stale(&mut self, segment: &Segment) -> bool {
        let removals = tables::removals(segment).seen();
        let has_removed = removals != self.removals || !removals.is_settled();
        self.removals = removals;
        // Series first: a series is published after its family, so no family is missed.
        let (first, second) = in_order(
            "series before families",
            (&mut self.series, has_removed),
            (&mut self.families, has_removed),
        );
        self.is_stale |= first.0.has_news(segment, first.1);
        self.is_stale |= second.0.has_news(segment, second.1);
        self.waiting.clear();
        self.waiting.extend(self.series.in_state(state::REMOVED));
        self.is_stale
    }

    /// The families, each with where the values of its series come from.
    pub(crate) fn families(
        &self,
    ) -> impl Iterator<Item = (&Family, impl Iterator<Item = Source<'_>>)> {
        let families = self.directory.families.iter().zip(&self.placed);
        families.map(|(family, (_, placement))| {
            let cells = &self.cells[family.first..family.first + family.series.len()];
            let series = family.series.iter().zip(cells);
            let sources = series.map(|(series, &cells)| Source {
                series,
                kind: family.kind,
                cells: cells.unpacked(placement),
                placement,
            });
            (family, sources)
        })
    }

    /// Where all values come from, in the directory's order.
    pub(crate) fn sources(&self) -> impl Iterator<Item = Source<'_>> {
        self.families().flat_map(|(_, sources)| sources)
    }

    pub(crate) fn series_count(&self) -> usize {
        self.cells.len()
    }

    /// The records of the families, in the directory's order.
    pub(crate) fn family_records(&self) -> impl Iterator<Item = u32> {
        self.placed.iter().map(|&(record, _)| record)
    }

    /// The values that may be those of other series, because their own were removed while they were read.
    pub(crate) fn removed_since(&self, segment: &Segment) -> Vec<usize> {
        if self.removals.is_last(tables::removals(segment)) {
            return Vec::new();
        }
        let sources = self.sources().enumerate();
        let removed = sources.filter(|(_, source)| source.is_changed(segment));
        removed.map(|(at, _)| at).collect()
    }

    /// How many removed series the process in `slot` may still write to.
    pub(crate) fn waiting_for(&self, segment: &Segment, slot: u32) -> u64 {
        let marks = self
            .waiting
            .iter()
            .map(|&record| segment.layout.series_mark(record));
        let held = marks.filter(|&mark| marks::is_marked(segment, slot, mark));
        held.count() as u64
    }

    /// Reads all that was published when the directory was found stale.
    pub(crate) fn rebuild(&mut self, segment: &Segment) {
        self.is_stale = false;
        self.damage.clear();
        let mut budget = Budget::new(segment);
        let mut families = Families::new();
        for (index, _) in self.families.published() {
            match read_family(segment, index, &mut budget) {
                Ok(Some(found)) => drop(families.insert(index, (found, Vec::new()))),
                Ok(None) => {}
                Err(reason) => self.note(Section::Families, index, reason),
            }
        }
        let mut filling = Filling::default();
        for (index, seen) in self.series.published() {
            match read_series(segment, (index, seen), &families, &mut budget, &mut filling) {
                Ok(Some((family, found))) => {
                    let family = families.get_mut(&family);
                    family.expect("its family was looked up").1.push(found);
                }
                Ok(None) => {}
                Err(reason) => self.note(Section::Series, index, reason),
            }
        }
        self.arrange(segment, families, &filling.done());
    }

    /// Sorts what was read by name and label set, dropping what is there twice.
    fn arrange(&mut self, segment: &Segment, families: Families, shelf: &Arc<Shelf>) {
        let mut sorted: Vec<_> = families.into_iter().collect();
        sorted.sort_unstable_by(|a, b| (&a.1.0.spec.name, a.0).cmp(&(&b.1.0.spec.name, b.0)));
        let mut directory = Directory::default();
        self.cells.clear();
        self.placed.clear();
        for (index, (known, found)) in sorted {
            if directory
                .families
                .last()
                .is_some_and(|last| last.name == known.spec.name)
            {
                self.note(Section::Families, index, "its name is there twice");
                continue;
            }
            let mut series: Vec<_> = found.into_iter().map(|it| it.on(shelf)).collect();
            series.sort_unstable_by(|(a, _), (b, _)| a.labels.cmp(&b.labels));
            drop_replaced(segment, &mut series);
            let count = series.len();
            series.dedup_by(|(a, _), (b, _)| a.labels == b.labels);
            if series.len() < count {
                self.note(
                    Section::Families,
                    index,
                    "some of its series are there twice",
                );
            }
            let kind = self.by_process.kind(&known.spec.name, known.spec.kind);
            let first = self.cells.len();
            let cells = series
                .iter()
                .map(|&(_, cells)| PackedCells::new(cells, &known.placement));
            self.cells.extend(cells);
            self.placed.push((index, known.placement));
            let mut family = family_of(known, first);
            family.series.reserve_exact(series.len());
            family
                .series
                .extend(series.into_iter().map(|(series, _)| series));
            directory.families.push(Family { kind, ..family });
        }
        self.cells.shrink_to_fit();
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

impl Found {
    fn on(self, shelf: &Arc<Shelf>) -> (Series, SeriesCells) {
        let series = Series {
            labels: shelf.labels(self.labels),
            created_unix_nanos: self.created_unix_nanos,
            identity: (self.record, state::generation(self.state)),
        };
        (series, self.cells)
    }
}

/// Drops series that were removed and registered again while they were read.
fn drop_replaced(segment: &Segment, series: &mut Vec<(Series, SeriesCells)>) {
    let is_double = |pair: &[(Series, SeriesCells)]| pair[0].0.labels == pair[1].0.labels;
    if series.windows(2).any(is_double) {
        series.retain(|(series, _)| !is_changed(segment, series));
    }
}

/// Whether a series was removed since it was read.
fn is_changed(segment: &Segment, series: &Series) -> bool {
    let (record, generation) = series.identity;
    let words = segment.entry(Section::Series, record, series::WORDS);
    let read = state::word(state::PUBLISHED, generation);
    words.is_none_or(|words| record::is_changed(words, read))
}

fn read_family(
    segment: &Segment,
    index: u32,
    budget: &mut Budget,
) -> Result<Option<FamilyRecord>, &'static str> {
    budget.take_texts(record::family_bytes(segment, index))?;
    record::read_family(segment, index)
}

fn read_series(
    segment: &Segment,
    (index, seen): (u32, u64),
    families: &Families,
    budget: &mut Budget,
    filling: &mut Filling,
) -> Result<Option<(u32, Found)>, &'static str> {
    budget.take_texts(record::label_bytes(segment, index))?;
    let Some(SeriesRecord {
        family: of_family,
        labels,
        mut cells,
        created_unix_nanos,
    }) = record::read_series(segment, index, seen)?
    else {
        return Ok(None);
    };
    let labels = labels::decode(&labels).ok_or("its labels make no sense")?;
    let Some((family, others)) = families.get(&of_family) else {
        return if is_removed(segment, of_family, (index, seen)) {
            Ok(None)
        } else {
            Err("its family is not there")
        };
    };
    check_cells(segment, family, cells)?;
    budget.take_cells(family, others.len())?;
    if cells.exemplars > 0 && !budget.take_exemplars(family) {
        cells.exemplars = 0;
    }
    let found = Found {
        record: index,
        state: seen,
        labels: filling.put(labels).ok_or("there are too many labels")?,
        cells,
        created_unix_nanos,
    };
    Ok(Some((of_family, found)))
}

/// Whether the family of a series was removed since the series was seen. Where its record is another family's by now,
/// the series is gone.
fn is_removed(segment: &Segment, of_family: u32, (index, seen): (u32, u64)) -> bool {
    let family = segment.entry(Section::Families, of_family, family::WORDS);
    let words = segment.entry(Section::Series, index, series::WORDS);
    family.is_some_and(|words| record::seen_published(&words[family::STATE]).is_none())
        || words.is_none_or(|words| record::is_changed(words, seen))
}

/// A family without its series.
fn family_of(known: FamilyRecord, first: usize) -> Family {
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
        series: Vec::new(),
        first,
    }
}

/// Checks that the cells of a series lie where memory is, so that reading them touches no hole.
fn check_cells(
    segment: &Segment,
    known: &FamilyRecord,
    cells: SeriesCells,
) -> Result<(), &'static str> {
    let committed = |section| segment.committed_words(section).len() as u64;
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
    let exemplars_end = u64::from(cells.exemplars) + u64::from(placement.exemplars);
    if exemplars_end * exemplar::WORDS as u64 > committed(Section::Exemplars) && cells.exemplars > 0
    {
        return outside;
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

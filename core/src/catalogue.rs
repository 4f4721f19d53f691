//! The directory of a segment, as a reader keeps it: read again only when something new was published.
//!
//! A process killed between publishing a record and counting it would hide the record from a reader that
//! trusts a count. So the reader looks at the records themselves: at those it has not seen, and at those
//! that were claimed but not published when it last looked.
//!
//! Whoever removes a series says before that a removal begins, and after that it is done. While neither count moves,
//! what was published still is, and a scrape looks at no state again. While they differ, a removal is under way or
//! its process was killed in it: then every state is looked at, before the cells are read and after.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use crate::by_process::ByProcess;
use crate::cell::{Placement, gauge_cells};
use crate::layout::{PAGE_WORDS, Section, exemplar, family, low_half, series, state};
use crate::marks;
use crate::record::{self, FamilyRecord, SeriesCells, SeriesRecord};
use crate::schema::Kind;
use crate::seats::SeenRemovals;
use crate::segment::Segment;
use crate::snapshot::{Damage, Directory, Family, Label, Series};
use crate::sync::{acquire, check, does, in_order};
use crate::tables;

/// Damaged records that a snapshot names; more are only as good as these.
const DAMAGE_MAX: usize = 256;

/// Where the value of one series comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    /// Its record, and the state that it was read in.
    pub(crate) record: u32,
    pub(crate) state: u64,
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
    /// Records of removed series that are not free yet.
    pub(crate) waiting: Vec<u32>,
    pub(crate) by_process: ByProcess,
    families: Watched,
    series: Watched,
    removals: SeenRemovals,
    is_stale: bool,
}

/// The families that make sense, with those of their series that do, by record.
type Families = HashMap<u32, (FamilyRecord, Vec<SeriesRecord>)>;

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
            sources: Vec::new(),
            family_records: Vec::new(),
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

    /// The values that may be those of other series, because their own were removed while they were read.
    pub(crate) fn removed_since(&self, segment: &Segment) -> Vec<usize> {
        if self.removals.is_last(tables::removals(segment)) {
            return Vec::new();
        }
        let is_removed = |source: &Source| {
            let words = segment.entry(Section::Series, source.record, series::WORDS);
            words.is_none_or(|words| record::is_changed(words, source.state))
        };
        let sources = self.sources.iter().enumerate();
        let removed = sources.filter(|(_, source)| is_removed(source));
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
        let mut texts = Texts::new();
        for (index, seen) in self.series.published() {
            match read_series(segment, (index, seen), &families, &mut budget) {
                Ok(Some(mut found)) => {
                    found.labels.iter_mut().for_each(|label| texts.share(label));
                    found.labels.shrink_to_fit();
                    let family = families.get_mut(&found.family);
                    family.expect("its family was looked up").1.push(found);
                }
                Ok(None) => {}
                Err(reason) => self.note(Section::Series, index, reason),
            }
        }
        self.arrange(segment, families);
    }

    /// Sorts what was read by name and label set, dropping what is there twice.
    fn arrange(&mut self, segment: &Segment, families: Families) {
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
            drop_replaced(segment, &mut series);
            let count = series.len();
            series.dedup_by(|a, b| a.labels == b.labels);
            if series.len() < count {
                self.note(
                    Section::Families,
                    index,
                    "some of its series are there twice",
                );
            }
            let kind = self.by_process.kind(&known.spec.name, known.spec.kind);
            let sources = series.iter().map(|series| Source {
                record: series.index,
                state: series.state,
                kind,
                cells: series.cells,
                placement: known.placement,
            });
            let first = self.sources.len();
            self.sources.extend(sources);
            self.family_records.push(index);
            let family = family_of(known, series, first);
            directory.families.push(Family { kind, ..family });
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

/// Drops series that were removed and registered again while they were read.
fn drop_replaced(segment: &Segment, series: &mut Vec<SeriesRecord>) {
    let is_double = |pair: &[SeriesRecord]| pair[0].labels == pair[1].labels;
    if series.windows(2).any(is_double) {
        series.retain(|series| {
            let words = segment.entry(Section::Series, series.index, series::WORDS);
            words.is_some_and(|words| !record::is_changed(words, series.state))
        });
    }
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
) -> Result<Option<SeriesRecord>, &'static str> {
    budget.take_texts(record::label_bytes(segment, index))?;
    let Some(mut found) = record::read_series(segment, index, seen)? else {
        return Ok(None);
    };
    let Some((family, others)) = families.get(&found.family) else {
        return if is_removed(segment, &found) {
            Ok(None)
        } else {
            Err("its family is not there")
        };
    };
    check_cells(segment, family, found.cells)?;
    budget.take_cells(family, others.len())?;
    if found.cells.exemplars > 0 && !budget.take_exemplars(family) {
        found.cells.exemplars = 0;
    }
    Ok(Some(found))
}

/// Whether the family of a series was removed since the series was seen. Where its record is another family's by now,
/// the series is gone.
fn is_removed(segment: &Segment, series: &SeriesRecord) -> bool {
    let family = segment.entry(Section::Families, series.family, family::WORDS);
    let words = segment.entry(Section::Series, series.index, series::WORDS);
    family.is_some_and(|words| record::seen_published(&words[family::STATE]).is_none())
        || words.is_none_or(|words| record::is_changed(words, series.state))
}

/// What all records together may take. In a sound segment no two share their texts or cells, so that all
/// take what there is once, at most. A damaged record may claim what is another's: room for some such
/// claims is left, so that they do not cost the sound ones, and reading stays in proportion to the segment.
struct Budget {
    text_bytes: u64,
    counter_cells: Share,
    histogram_pages: Share,
    own_cells: Share,
    exemplars: Share,
}

/// How often a budget holds what there is.
const BUDGET_TIMES: u64 = 4;

/// A budget of which one family may only take what there is once.
struct Share {
    there: u64,
    left: u64,
}

impl Share {
    fn of(there: u64) -> Share {
        Share {
            there,
            left: there * BUDGET_TIMES,
        }
    }

    /// Takes the entries of one series of a family that has `others` already.
    fn take(&mut self, entries: u64, others: usize) -> Result<(), &'static str> {
        let of_family = entries.saturating_mul(others as u64 + 1);
        let left = self.left.checked_sub(entries);
        let left = left.filter(|_| of_family <= self.there);
        self.left = left.ok_or("its cells are those of other series")?;
        Ok(())
    }
}

impl Budget {
    fn new(segment: &Segment) -> Budget {
        let words = |section| segment.committed_words(section).len() as u64;
        let shards = segment.layout.shards() as u64;
        Budget {
            text_bytes: words(Section::Strings) * 8 * BUDGET_TIMES,
            counter_cells: Share::of(words(Section::Counters) / shards),
            histogram_pages: Share::of(words(Section::Histograms) / PAGE_WORDS as u64),
            own_cells: Share::of(segment.extent(Section::ProcessCells).capacity),
            exemplars: Share::of(words(Section::Exemplars) / exemplar::WORDS as u64),
        }
    }

    fn take_texts(&mut self, bytes: u64) -> Result<(), &'static str> {
        let left = self.text_bytes.checked_sub(bytes);
        self.text_bytes = left.ok_or("its texts are those of other records")?;
        Ok(())
    }

    /// Whether a series may have its exemplars: it keeps its value without them.
    fn take_exemplars(&mut self, family: &FamilyRecord) -> bool {
        let kept = family.placement.exemplars.into();
        self.exemplars.take(kept, 0).is_ok()
    }

    fn take_cells(&mut self, family: &FamilyRecord, others: usize) -> Result<(), &'static str> {
        let placement = &family.placement;
        if placement.cells > 0 {
            let share = match placement.section {
                Section::Counters => &mut self.counter_cells,
                _ => &mut self.histogram_pages,
            };
            return share.take(placement.entries(), others);
        }
        let (own, _) = gauge_cells(family.spec.kind);
        self.own_cells.take(own, others)
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
                identity: (series.index, state::generation(series.state)),
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

/// Most label values that are looked for among those of other series.
const RECENT_MAX: usize = 4096;

/// Texts of labels, kept once: names always, values where they come again soon.
struct Texts {
    names: HashSet<Arc<str>>,
    recent: Vec<Option<Arc<str>>>,
    hasher: RandomState,
}

impl Texts {
    fn new() -> Texts {
        Texts {
            names: HashSet::new(),
            recent: vec![None; RECENT_MAX],
            hasher: RandomState::new(),
        }
    }

    fn share(&mut self, label: &mut Label) {
        match self.names.get(&label.name) {
            Some(known) => label.name = Arc::clone(known),
            None => drop(self.names.insert(Arc::clone(&label.name))),
        }
        let at = usize::try_from(self.hasher.hash_one(&label.value) % RECENT_MAX as u64);
        let recent = &mut self.recent[at.unwrap_or(0)];
        match recent {
            Some(known) if *known == label.value => label.value = Arc::clone(known),
            _ => *recent = Some(Arc::clone(&label.value)),
        }
    }
}

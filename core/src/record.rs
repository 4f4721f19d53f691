//! Family and series records: what is written once before it is published, and read back checked.

use crate::buckets::{BOUNDS_MAX, Buckets};
use crate::cell::{Placement, Sharding, choose_shards, exemplars, sharded_cells};
use crate::definition::Definition;
use crate::error::Error;
use crate::host;
use crate::labels::{self, Names};
use crate::layout::{Layout, Section, family, halves, low_half, series, split, state};
use crate::proof::step;
use crate::schema::Kind;
use crate::segment::Segment;
use crate::sync::{
    AtomicU64, Ordering, acquire, acquire_fence, check, one_step, release, release_fence,
};
use crate::text::{self, Room};
use crate::unit::{Scale, Unit};

/// Longest text of a family: name, help, unit and states together.
const TEXT_BYTES_MAX: usize = 1 << 16;
/// Longest label set.
const LABEL_BYTES_MAX: usize = 1 << 20;

/// What a family is, as declared by a program or read from a record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FamilySpec {
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) kind: Kind,
    pub(crate) unit: Unit,
    pub(crate) buckets: Option<Buckets>,
    pub(crate) states: Vec<String>,
    pub(crate) series_limit: u64,
    pub(crate) sharding: Sharding,
    /// How long a series is kept that nobody writes to; 0 for ever.
    pub(crate) keep_nanos: u64,
    /// Whether its series keep exemplars.
    pub(crate) exemplars: bool,
}

impl FamilySpec {
    /// Name, help, unit and states, one after another.
    pub(crate) fn text(&self) -> Vec<u8> {
        let states = self.states_text();
        [&self.name, &self.help, self.unit.base(), &states]
            .concat()
            .into_bytes()
    }

    fn states_text(&self) -> String {
        self.states
            .iter()
            .flat_map(|state| [state.as_str(), "\n"])
            .collect()
    }

    pub(crate) fn bounds(&self) -> &[u64] {
        self.buckets
            .as_ref()
            .and_then(Buckets::explicit_bounds)
            .unwrap_or_default()
    }

    fn exemplars_kept(&self) -> u32 {
        match self.exemplars {
            true => exemplars(self.kind, self.buckets.as_ref()),
            false => 0,
        }
    }

    pub(crate) fn shards(&self, layout: &Layout) -> (u32, u32) {
        let cells = sharded_cells(self.kind, self.buckets.as_ref());
        choose_shards(layout, self.kind, cells, self.sharding)
    }

    /// Fills a private record; `text` and `bounds` are where they stand in the string arena. What a former family of
    /// the record left in its seats goes on: it is a count of none, and numbers that must not come again.
    pub(crate) fn fill(
        &self,
        record: &[AtomicU64],
        hash: u64,
        layout: &Layout,
        text: Room,
        bounds: Room,
    ) {
        let length = |text: &str| u32::try_from(text.len()).expect("lengths were checked");
        let (cpus, fallbacks) = self.shards(layout);
        let (precision, buckets) = match self.buckets.as_ref().and_then(Buckets::log_linear_parts) {
            Some((precision, highest)) => (u64::from(precision) + 1, highest),
            None => (0, self.bounds().len() as u64),
        };
        let words = [
            (family::HASH, hash),
            (family::KIND, self.kind.to_word()),
            (family::TEXT, text.offset),
            (
                family::NAME_HELP_BYTES,
                halves(length(&self.name), length(&self.help)),
            ),
            (
                family::UNIT_STATES_BYTES,
                halves(length(self.unit.base()), length(&self.states_text())),
            ),
            (family::SCALE, self.unit.scale().to_word()),
            (family::PRECISION, precision),
            (family::BUCKETS, buckets),
            (family::BOUNDS, bounds.offset),
            (family::ROOM, halves(text.words, bounds.words)),
            (family::SHARDS, halves(cpus, fallbacks)),
            (family::SERIES_LIMIT, self.series_limit),
            (family::OVERFLOW, 0),
            (family::OVERFLOWED, 0),
            (family::REFUSED, 0),
            (family::REFUSAL, 0),
            (family::CREATED_UNIX_NANOS, host::now_unix_nanos()),
            (family::KEEP_NANOS, self.keep_nanos),
            (family::EXEMPLARS, self.exemplars_kept().into()),
        ];
        for (word, value) in words {
            record[word].store(value, Ordering::Relaxed);
            step("family-word-stored");
        }
    }

    /// Compares what was asked for with what is registered under the same name.
    pub(crate) fn check_same(&self, existing: &FamilySpec) -> Result<(), Error> {
        let (existing, requested) = (existing.definition(), self.definition());
        let Some(property) = requested.difference(&existing) else {
            return Ok(());
        };
        let show = |definition: Definition<'_>| definition.show(property).unwrap_or_default();
        Err(Error::Conflict {
            family: self.name.clone(),
            property,
            existing: show(existing),
            requested: show(requested),
        })
    }

    fn definition(&self) -> Definition<'_> {
        Definition {
            kind: self.kind,
            unit: &self.unit,
            buckets: self.buckets.as_ref(),
            states: &self.states,
        }
    }
}

/// A published family record, checked.
#[derive(Debug, Clone)]
pub(crate) struct FamilyRecord {
    pub(crate) spec: FamilySpec,
    pub(crate) placement: Placement,
}

/// Reads family `index`: `Ok(None)` where it is not published, `Err` where it makes no sense.
pub(crate) fn read_family(
    segment: &Segment,
    index: u32,
) -> Result<Option<FamilyRecord>, &'static str> {
    let Some(record) = segment.entry(Section::Families, index, family::WORDS) else {
        return Err("it lies beyond the table");
    };
    let Some(state) = seen_published(&record[family::STATE]) else {
        return Ok(None);
    };
    // The committed part of the arena, as of now: it holds all texts of what is published.
    let found = read_published_family(&segment.layout, record, arena(segment));
    if is_changed(record, state) {
        return Ok(None);
    }
    found.map(Some)
}

/// How many bytes the texts and bounds of family `index` say they have.
pub(crate) fn family_bytes(segment: &Segment, index: u32) -> u64 {
    let Some(record) = segment.entry(Section::Families, index, family::WORDS) else {
        return 0;
    };
    let load = |word: usize| record[word].load(Ordering::Relaxed);
    let lengths =
        [family::NAME_HELP_BYTES, family::UNIT_STATES_BYTES].map(|word| split(load(word)));
    let texts: u64 = lengths
        .iter()
        .map(|&(low, high)| u64::from(low) + u64::from(high))
        .sum();
    let bounds = match load(family::PRECISION) {
        0 => load(family::BUCKETS).min(BOUNDS_MAX as u64),
        _ => 0,
    };
    texts.min(TEXT_BYTES_MAX as u64) + bounds * 8
}

/// Reads a record that is complete, published or found through the index.
pub(crate) fn read_published_family(
    layout: &Layout,
    record: &[AtomicU64],
    arena: &[AtomicU64],
) -> Result<FamilyRecord, &'static str> {
    let load = |word: usize| record[word].load(Ordering::Relaxed);
    let kind = Kind::from_word(load(family::KIND)).ok_or("its type is unknown")?;
    let lengths = [family::NAME_HELP_BYTES, family::UNIT_STATES_BYTES];
    let lengths = lengths.map(|word| <[u32; 2]>::from(split(load(word))));
    let texts_from = usize::try_from(load(family::TEXT)).unwrap_or(usize::MAX);
    let words = arena.get(texts_from..).ok_or("its texts lie outside")?;
    let mut texts = text::load_each(words, lengths.as_flattened(), TEXT_BYTES_MAX)?;
    let states = texts.pop().unwrap_or_default();
    let [name, help, unit] = <[String; 3]>::try_from(texts).map_err(|_| "its texts are missing")?;
    let unit = Unit::owned(unit, Scale::from_word(load(family::SCALE)));
    let is_counter = matches!(kind, Kind::Counter | Kind::CounterF64);
    labels::check_family_name(&name, Names::Utf8, is_counter, &unit)
        .map_err(|_| "its name is invalid")?;
    let buckets = match kind {
        Kind::Histogram => Some(read_buckets(record, arena)?),
        _ => None,
    };
    let spec = FamilySpec {
        name,
        help,
        kind,
        unit,
        states: states.lines().map(str::to_owned).collect(),
        series_limit: load(family::SERIES_LIMIT),
        sharding: Sharding::Auto,
        keep_nanos: load(family::KEEP_NANOS),
        exemplars: load(family::EXEMPLARS) > 0,
        buckets,
    };
    if load(family::EXEMPLARS) != spec.exemplars_kept().into() {
        return Err("its exemplars are impossible");
    }
    if matches!(kind, Kind::StateSet(_)) {
        let states: Vec<&str> = spec.states.iter().map(String::as_str).collect();
        labels::check_states(&states).map_err(|_| "its states are impossible")?;
    }
    let shards = split(load(family::SHARDS));
    if u64::from(shards.0) + u64::from(shards.1) > 1 << 16 || shards.1 == 0 {
        return Err("its shards are impossible");
    }
    let cells = sharded_cells(kind, spec.buckets.as_ref());
    Ok(FamilyRecord {
        placement: Placement::new(layout, cells, shards).with_exemplars(spec.exemplars_kept()),
        spec,
    })
}

/// The type of a complete family record, and where the cells of its series lie.
pub(crate) fn family_cells(layout: &Layout, record: &[AtomicU64]) -> Option<(Kind, Placement)> {
    let load = |word: usize| record[word].load(Ordering::Relaxed);
    let kind = Kind::from_word(load(family::KIND))?;
    let count = match (kind, load(family::PRECISION)) {
        (Kind::Histogram, 0) => usize::try_from(load(family::BUCKETS))
            .ok()?
            .checked_add(1)?,
        (Kind::Histogram, precision) => {
            let precision = u8::try_from(precision - 1).ok()?;
            Buckets::log_linear(precision, load(family::BUCKETS))
                .ok()?
                .count()
        }
        _ => 0,
    };
    let cells = match kind {
        Kind::Histogram => count.checked_add(1)?,
        _ => sharded_cells(kind, None),
    };
    let placement = Placement::new(layout, cells, split(load(family::SHARDS)));
    let exemplars = u32::try_from(load(family::EXEMPLARS)).ok()?;
    Some((kind, placement.with_exemplars(exemplars)))
}

fn read_buckets(record: &[AtomicU64], arena: &[AtomicU64]) -> Result<Buckets, &'static str> {
    let load = |word: usize| record[word].load(Ordering::Relaxed);
    let buckets = match load(family::PRECISION) {
        0 => {
            let count = usize::try_from(load(family::BUCKETS)).unwrap_or(usize::MAX);
            let offset = usize::try_from(load(family::BOUNDS)).unwrap_or(usize::MAX);
            let words = arena
                .get(offset..)
                .and_then(|words| words.get(..count.min(BOUNDS_MAX)));
            let words = words.ok_or("its bounds lie outside")?;
            let bounds: Vec<u64> = words
                .iter()
                .map(|word| word.load(Ordering::Relaxed))
                .collect();
            Buckets::explicit(bounds)
        }
        precision => {
            let precision =
                u8::try_from(precision - 1).map_err(|_| "its precision is impossible")?;
            Buckets::log_linear(precision, load(family::BUCKETS))
        }
    };
    buckets.map_err(|_| "its buckets are impossible")
}

/// Where the cells of one series are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeriesCells {
    /// First entry of its family's section.
    pub(crate) sharded: u64,
    /// First of a process's own cells; 0 for none.
    pub(crate) own: u32,
    /// First shared cell; 0 for none.
    pub(crate) shared: u32,
    /// First exemplar; 0 for none.
    pub(crate) exemplars: u32,
}

/// A published series record.
#[derive(Debug, Clone)]
pub(crate) struct SeriesRecord {
    pub(crate) family: u32,
    /// The bytes of its label set, as they are.
    pub(crate) labels: Vec<u8>,
    pub(crate) cells: SeriesCells,
    pub(crate) created_unix_nanos: u64,
}

/// Fills a private series record; `text` is where its label set is, its bytes, and the words it may take.
pub(crate) fn fill_series(
    record: &[AtomicU64],
    hash: u64,
    family: u32,
    text: Text,
    cells: SeriesCells,
) {
    let words = [
        (series::HASH, hash),
        (series::FAMILY, halves(family, text.room)),
        (series::LABELS, halves(text.offset, text.bytes)),
        (
            series::CELL,
            halves(low_half(cells.sharded), cells.exemplars),
        ),
        (series::OWN_SHARED, halves(cells.own, cells.shared)),
        (series::CREATED_UNIX_NANOS, host::now_unix_nanos()),
    ];
    for (word, value) in words {
        record[word].store(value, Ordering::Relaxed);
        step("series-word-stored");
    }
}

/// Where a label set is in the string arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Text {
    /// Its first word.
    pub(crate) offset: u32,
    pub(crate) bytes: u32,
    /// The words that it may take, there or another one after it.
    pub(crate) room: u32,
}

/// Where the label set of a series record is.
pub(crate) fn series_text(record: &[AtomicU64]) -> Text {
    let (offset, bytes) = split(record[series::LABELS].load(Ordering::Relaxed));
    let (_, room) = split(record[series::FAMILY].load(Ordering::Relaxed));
    Text {
        offset,
        bytes,
        room,
    }
}

/// The family of a series record.
pub(crate) fn series_family(record: &[AtomicU64]) -> u32 {
    split(record[series::FAMILY].load(Ordering::Relaxed)).0
}

/// The cells of a complete series record.
pub(crate) fn series_cells(record: &[AtomicU64]) -> SeriesCells {
    let (own, shared) = split(record[series::OWN_SHARED].load(Ordering::Relaxed));
    let (sharded, exemplars) = split(record[series::CELL].load(Ordering::Relaxed));
    SeriesCells {
        sharded: sharded.into(),
        own,
        shared,
        exemplars,
    }
}

/// The words of a series' label set and how many bytes they hold; `None` where they lie outside.
pub(crate) fn series_labels<'a>(
    record: &[AtomicU64],
    arena: &'a [AtomicU64],
) -> Option<(&'a [AtomicU64], usize)> {
    let text = series_text(record);
    let (offset, bytes) = (text.offset as usize, text.bytes as usize);
    if bytes > LABEL_BYTES_MAX {
        return None;
    }
    let words = arena.get(offset..offset + text::words_for(bytes))?;
    Some((words, bytes))
}

/// How long the label set of series `index` says it is, in whole words.
pub(crate) fn label_bytes(segment: &Segment, index: u32) -> u64 {
    let record = segment.entry(Section::Series, index, series::WORDS);
    let labels = record.map_or(0, |record| record[series::LABELS].load(Ordering::Relaxed));
    u64::from(split(labels).1).next_multiple_of(8)
}

/// Reads series `index` if it is in the state that it was `seen` in: `Ok(None)` where it is not published or another
/// series by now, whose words may lie beyond what the reader knows; `Err` where it makes no sense.
pub(crate) fn read_series(
    segment: &Segment,
    index: u32,
    seen: u64,
) -> Result<Option<SeriesRecord>, &'static str> {
    let Some(record) = segment.entry(Section::Series, index, series::WORDS) else {
        return Err("it lies beyond the table");
    };
    let state = record[series::STATE].load(acquire("record seen"));
    if state != seen || !check("record is published", state::of(state) == state::PUBLISHED) {
        return Ok(None);
    }
    let found = read_published_series(segment, record);
    if is_changed(record, state) {
        return Ok(None);
    }
    found.map(Some)
}

fn read_published_series(
    segment: &Segment,
    record: &[AtomicU64],
) -> Result<SeriesRecord, &'static str> {
    let (words, bytes) = series_labels(record, arena(segment)).ok_or("its labels lie outside")?;
    Ok(SeriesRecord {
        family: series_family(record),
        labels: text::load(words, bytes).ok_or("its labels lie outside")?,
        cells: series_cells(record),
        created_unix_nanos: record[series::CREATED_UNIX_NANOS].load(Ordering::Relaxed),
    })
}

/// Whether a record is no longer what it was when it had this state: whatever was read of it since may be
/// another series'.
pub(crate) fn is_changed(record: &[AtomicU64], state: u64) -> bool {
    // Pairs with the Release fence in `begin_reuse`.
    acquire_fence("record read again");
    record[0].load(Ordering::Relaxed) != state
}

/// The state of a record that is visible; its words then are.
pub(crate) fn seen_published(state_word: &AtomicU64) -> Option<u64> {
    // Pairs with the Release in `publish`.
    let word = state_word.load(acquire("record seen"));
    check("record is published", state::of(word) == state::PUBLISHED).then_some(word)
}

/// Before the words of a record or the cells of its series are written again.
pub(crate) fn begin_reuse() {
    // Release: whoever sees a word that is written from here on sees that the record was removed. Pairs with the
    // Acquire fences in `is_changed`, in the index's search and in `catalogue`.
    release_fence("record reuse");
}

/// Makes a complete record of the index visible, if it still is in the state that it was found in.
pub(crate) fn publish(state_word: &AtomicU64, found: u64) {
    let published = state::to(found, state::PUBLISHED);
    // Release: a reader that sees the record published sees its words. Pairs with the Acquire in
    // `seen_published`.
    let done = release("record publish");
    let _ = one_step("record published", state_word).compare_exchange(
        found,
        published,
        done,
        Ordering::Relaxed,
    );
    step("record-published");
}

/// The committed part of the string arena.
pub(crate) fn arena(segment: &Segment) -> &[AtomicU64] {
    segment.committed_words(Section::Strings)
}

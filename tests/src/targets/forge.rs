//! A segment that can be damaged word by word and made whole again, with families that must survive.
//!
//! It knows the format from `docs/FORMAT.md` only, not from the engine's code.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use tachograph::{
    Buckets, Error, GaugeMode, Number, Reader, SegmentOptions, Snapshot, SpanContext, ValueView,
    Writer,
};

use super::page;
use crate::scratch::Scratch;
use tachograph_exporter::text::TextRenderer;

const HEADER_WORDS: usize = 512;
const CHECKSUM: usize = 2;
const SECTION_TABLE: usize = 16;
const MUTABLE: usize = 256;
/// Committed words of each section, by kind.
const COMMITTED: usize = 288;
/// Committed own cells, in a process's slot.
const CELLS_COMMITTED: usize = 5;
/// Sections by kind, from 1 to 11; 0 stands for the header.
const KINDS: usize = 12;
const PROCESSES: usize = 1;
const FAMILIES: usize = 2;
const SERIES: usize = 4;
const INDEXES: [usize; 2] = [3, 5];
const PROCESS_CELLS: usize = 8;
const EXEMPLARS: usize = 11;
/// Words of a slot and of the records.
const SLOT_WORDS: usize = 16;
const FAMILY_WORDS: usize = 32;
const SERIES_WORDS: usize = 8;
/// Bytes of a patch in the input.
const PATCH_BYTES: usize = 12;
/// Patches that one input may hold.
const PATCHES_MAX: usize = 64;

/// One change of a word.
#[derive(Debug, Clone, Copy)]
pub struct Patch {
    /// The word.
    pub word: usize,
    /// What it becomes.
    pub value: u64,
    /// Whether a reader looks between this patch and the next.
    pub is_read_after: bool,
}

/// The families that must show the right values as long as their own words are not touched. The last two have
/// values of a living process.
const SOUND: [&str; 8] = [
    "sound_first_total",
    "sound_first_sizes",
    "sound_first_depth",
    "sound_last_total",
    "sound_last_sizes",
    "sound_last_depth",
    "sound_last_level",
    "sound_last_each",
];
/// The one before which the families stand that need not survive.
const VICTIMS_BEFORE: usize = 3;
const LIVING_FROM: usize = 6;

/// Whom damage of a word may hurt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    All,
    /// The family that was made in this stage.
    Stage(usize),
    /// What a process shows while it lives.
    Living,
    Nobody,
}

/// A family that must be shown as it was made, and the number of its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spared {
    name: &'static str,
    record: u64,
}

/// The segment.
#[derive(Debug)]
pub struct Forge {
    scratch: Scratch,
    file: File,
    /// The words as the writer left them.
    sound: Vec<u64>,
    sections: [(usize, usize); KINDS],
    owners: Vec<Owner>,
    /// The sound families by stage; none for the stage of the others.
    families: Vec<Option<Spared>>,
    /// A process shows its gauges while it is attached.
    _writer: Writer,
    blocks: u64,
}

impl Forge {
    /// A segment with families that may be damaged between families that must survive.
    ///
    /// # Panics
    /// Where there is no room for it.
    pub fn new() -> Forge {
        let scratch = Scratch::new();
        let path = scratch.segment();
        let options = SegmentOptions::new().path(&path).cpu_shards(2);
        let options = options
            .processes(4)
            .families(64)
            .series(64)
            .string_bytes(1 << 14);
        let options = options
            .shared_cells(64)
            .process_cells(600)
            .counter_cells(1024)
            .exemplars(16);
        let writer = options
            .histogram_bytes(1 << 28)
            .attach()
            .expect("a segment");
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.expect("the segment's file");
        let mut names = SOUND.map(Some).to_vec();
        names.insert(VICTIMS_BEFORE, None);
        let mut sound = read(&file);
        let mut changed = vec![None; sound.len()];
        for (stage, name) in names.iter().enumerate() {
            let made = name.map_or_else(|| victims(&writer), |name| self::sound(&writer, name));
            made.expect("room for the families");
            note_changes(&mut changed, stage, &mut sound, read(&file));
        }
        let sections = section_table(&sound);
        let owners = owners(changed, &sections);
        let (offset, words) = sections[FAMILIES];
        let family = |(stage, name): (usize, &Option<&'static str>)| {
            let mut records = owners[offset..offset + words].chunks(FAMILY_WORDS);
            let record = records.position(|words| words[0] == Owner::Stage(stage));
            let record = record.expect("it has a record") as u64;
            name.map(|name| Spared { name, record })
        };
        let blocks = file.metadata().expect("the segment's file").blocks();
        Forge {
            families: names.iter().enumerate().map(family).collect(),
            owners,
            sound,
            _writer: writer,
            scratch,
            file,
            sections,
            blocks,
        }
    }

    /// Where the segment is.
    pub fn path(&self) -> PathBuf {
        self.scratch.segment()
    }

    /// The patches that some bytes stand for: the section, what to do, the place in it and a value.
    pub fn patches(&self, bytes: &[u8]) -> Vec<Patch> {
        let chunks = bytes.as_chunks::<PATCH_BYTES>().0.iter();
        chunks
            .take(PATCHES_MAX)
            .map(|chunk| self.patch(chunk))
            .collect()
    }

    fn patch(&self, chunk: &[u8; PATCH_BYTES]) -> Patch {
        // Numbers of inputs that are older than exemplars keep their meaning.
        let kind = match chunk[0] {
            u8::MAX => EXEMPLARS,
            other => usize::from(other) % EXEMPLARS,
        };
        let (offset, words) = self.sections[kind];
        let place = usize::from(u16::from_le_bytes([chunk[2], chunk[3]]));
        let word = offset + place % words;
        let given = chunk[4..]
            .iter()
            .rev()
            .fold(0, |value, &byte| value << 8 | u64::from(byte));
        let before = self.sound[word];
        let value = match chunk[1] & 3 {
            0 => given,
            1 => before ^ 1 << (given % 64),
            2 => before.wrapping_add(given),
            // Another word of the segment: what is right elsewhere.
            _ => self.sound[usize::try_from(given % self.sound.len() as u64).unwrap_or(0)],
        };
        Patch {
            word,
            value,
            is_read_after: chunk[1] & 4 != 0,
        }
    }

    /// The sound families that must survive these patches.
    pub fn spared(&self, patches: &[Patch]) -> Vec<Spared> {
        let hurts = |stage: usize, patch: &Patch| match self.owners[patch.word] {
            Owner::All => true,
            Owner::Stage(owner) => owner == stage,
            // The others came before these, as one more stage.
            Owner::Living => stage > LIVING_FROM,
            Owner::Nobody => false,
        };
        let stages = self.families.iter().enumerate();
        stages
            .filter(|&(stage, _)| !patches.iter().any(|patch| hurts(stage, patch)))
            .filter_map(|(_, family)| *family)
            .collect()
    }

    /// Writes a word of the file.
    pub fn apply(&self, patch: &Patch) {
        self.write(patch.word, patch.value);
    }

    /// Makes the immutable part of the header look untouched.
    pub fn repair_checksum(&self) {
        let words = read_words(&self.file, MUTABLE);
        let covered = words.iter().enumerate().filter(|&(at, _)| at != CHECKSUM);
        let bytes = covered.flat_map(|(_, word)| word.to_le_bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        self.write(CHECKSUM, hash);
    }

    /// Undoes patches.
    pub fn mend(&self, patches: &[Patch]) {
        for patch in patches {
            self.write(patch.word, self.sound[patch.word]);
        }
        self.write(CHECKSUM, self.sound[CHECKSUM]);
    }

    fn write(&self, word: usize, value: u64) {
        let written = self
            .file
            .write_all_at(&value.to_ne_bytes(), word as u64 * 8);
        written.expect("the segment's file takes a word");
    }

    /// The words that hold the sound text or number `value`.
    pub fn words_with(&self, value: u64) -> Vec<usize> {
        let words = self.sound.iter().enumerate();
        words
            .filter(|&(_, &word)| word == value)
            .map(|(at, _)| at)
            .collect()
    }

    /// Checks that the segment has not grown by being read.
    ///
    /// # Panics
    /// When it has.
    pub fn check_blocks(&self) {
        let blocks = self.file.metadata().expect("the segment's file").blocks();
        assert_eq!(blocks, self.blocks, "the file's memory has grown");
    }
}

impl Default for Forge {
    fn default() -> Self {
        Forge::new()
    }
}

/// Looks at a snapshot as an exporter would, and checks that the page is one.
///
/// # Panics
/// When the page is not what the text format allows, or a spared family is not shown as it was made.
pub fn check(reader: &mut Reader, renderer: &mut TextRenderer, spared: &[Spared]) {
    let snapshot = match reader.snapshot() {
        Ok(snapshot) => snapshot,
        Err(Error::Changed { .. }) if spared.is_empty() => return,
        Err(error) => panic!("no snapshot: {error}"),
    };
    check_exemplars(&snapshot);
    let page = renderer.render(&[(None, &snapshot)]);
    page::parse(page).unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(page)));
    for family in spared {
        if !is_doubled(&snapshot, *family) {
            check_sound(&snapshot, family.name);
        }
    }
}

/// Sees that exemplars are of series that can have them.
fn check_exemplars(snapshot: &Snapshot) {
    for family in snapshot.families() {
        for series in family.series().filter(|it| it.exemplars().len() > 0) {
            let is_number = matches!(series.value, ValueView::Number(_));
            let buckets = family
                .buckets()
                .map_or(usize::from(is_number), Buckets::count);
            assert!(series.exemplars().len() <= buckets.min(16), "{series:?}");
        }
    }
}

/// Whether a forged record bears the name or the labels of this family's: then only one of them can be shown.
fn is_doubled(snapshot: &Snapshot, family: Spared) -> bool {
    snapshot.damage.iter().any(|damage| {
        let is_its = damage.table == "families" && damage.index == family.record;
        is_its && damage.reason.contains("there twice")
    })
}

fn sound(writer: &Writer, name: &str) -> Result<(), Error> {
    match name.rsplit('_').next() {
        Some("total") => {
            let counter = writer.counter(name, "help").label("k", name);
            counter.register()?.add(7);
        }
        Some("sizes") => {
            let sizes = writer.histogram(name, "help");
            let sizes = sizes.buckets(Buckets::explicit([1, 10])?);
            sizes.register()?.record_n(5, 3);
        }
        Some("depth") => {
            let depth = writer.gauge(name, "help").mode(GaugeMode::LastingMax);
            depth.register()?.set(-2);
        }
        Some("level") => writer.gauge(name, "help").register()?.set(-3),
        _ => {
            let each = writer.gauge(name, "help").mode(GaugeMode::Each);
            each.register()?.set(4);
        }
    }
    Ok(())
}

fn check_sound(snapshot: &Snapshot, name: &str) {
    let value = snapshot.value(name, &[]);
    let is_right = match (name.rsplit('_').next(), &value) {
        (Some("total"), _) => snapshot.number(name, &[("k", name)]) == 7.0,
        (Some("sizes"), Some(ValueView::Histogram(sizes))) => {
            (sizes.counts, sizes.sum) == (&[0, 3, 0], 15)
        }
        (Some("depth"), _) => snapshot.number(name, &[]) == -2.0,
        (Some("level"), _) => snapshot.number(name, &[]) == -3.0,
        (Some("each"), Some(ValueView::Each([only]))) => {
            (only.pid, only.value) == (std::process::id(), Number::Signed(4))
        }
        _ => false,
    };
    assert!(is_right, "{name} is {value:?}; {:?}", snapshot.damage);
}

/// One of every type.
fn victims(writer: &Writer) -> Result<(), Error> {
    let family = writer.counter("hits_total", "A counter").family()?;
    for value in ["a", "some longer value", "\"\\\n"] {
        family.with(&[("k", value), ("other", "x")])?.add(2);
    }
    writer
        .counter_f64("energy_joules_total", "h")
        .register()?
        .add(0.5);
    let seconds = tachograph::Unit::NANOSECONDS;
    writer
        .histogram("wait_seconds", "h")
        .unit(seconds)
        .register()?
        .record(1_000_000);
    let explicit = Buckets::explicit((1..100).collect::<Vec<u64>>())?;
    writer
        .histogram("sizes", "h")
        .buckets(explicit)
        .register()?
        .record(3);
    for mode in GaugeMode::ALL {
        let name = format!("gauge_{}", mode.name().replace('-', "_"));
        writer
            .gauge(&name, "h")
            .mode(mode)
            .label("k", "v")
            .register()?
            .set(3);
        writer
            .gauge_f64(&format!("{name}_f64"), "h")
            .mode(mode)
            .register()?
            .set(0.25);
    }
    writer
        .info("build_info", "h")
        .label("version", "1")
        .register()?;
    for mode in [GaugeMode::Max, GaugeMode::Each, GaugeMode::LastingLatest] {
        let name = format!("state_{}", mode.name().replace('-', "_"));
        writer
            .state_set(&name, "h", &["idle", "busy"])
            .mode(mode)
            .register()?
            .set(1);
    }
    let span = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let span = SpanContext::from_traceparent(span)?;
    let stages = writer.histogram("stages", "h").exemplars();
    let stages = stages.buckets(Buckets::explicit([1, 10])?).register()?;
    for value in [1, 10, 11] {
        stages.record_with_exemplar(value, &span);
    }
    let sent = writer.counter("sent_total", "h").exemplars();
    sent.register()?.add_with_exemplar(1, &span);
    Ok(())
}

fn read(file: &File) -> Vec<u64> {
    let bytes = file.metadata().expect("the segment's file").len();
    let words = usize::try_from(bytes / 8).expect("a small segment");
    // Reading through the file fills no holes; most of the segment is one.
    read_words(file, words.min(1 << 17))
}

fn read_words(file: &File, words: usize) -> Vec<u64> {
    let mut bytes = vec![0; words * 8];
    file.read_exact_at(&mut bytes, 0)
        .expect("the segment's file");
    bytes
        .as_chunks::<8>()
        .0
        .iter()
        .map(|chunk| u64::from_ne_bytes(*chunk))
        .collect()
}

/// Offset and words of every section, as far as it has memory: a patch elsewhere would take some. Of the
/// processes' own cells, those of the first process.
fn section_table(words: &[u64]) -> [(usize, usize); KINDS] {
    let number = |word: u64| usize::try_from(word).expect("a small segment");
    let mut sections = [(0, HEADER_WORDS); KINDS];
    for entry in words[SECTION_TABLE..MUTABLE].as_chunks::<4>().0 {
        let kind = number(entry[0] & 0xffff);
        if (1..KINDS).contains(&kind) && kind != PROCESS_CELLS {
            sections[kind] = (number(entry[1]), number(words[COMMITTED + kind]));
        }
        if kind == PROCESS_CELLS {
            let slot = sections[PROCESSES].0;
            sections[kind] = (number(entry[1]), number(words[slot + CELLS_COMMITTED]));
        }
    }
    let is_read = |&(offset, size): &(usize, usize)| size > 0 && offset + size <= words.len();
    assert!(sections.iter().all(is_read), "{sections:?}");
    sections
}

/// Notes which words a stage changed, and keeps the words as they are now: a word that several changed belongs to all.
fn note_changes(changed: &mut [Option<Owner>], stage: usize, before: &mut Vec<u64>, now: Vec<u64>) {
    for (at, owner) in changed.iter_mut().enumerate() {
        if before[at] != now[at] {
            *owner = Some(owner.map_or(Owner::Stage(stage), |_| Owner::All));
        }
    }
    *before = now;
}

/// Whom each word belongs to.
fn owners(changed: Vec<Option<Owner>>, sections: &[(usize, usize); KINDS]) -> Vec<Owner> {
    let owners = changed.into_iter().map(|owner| owner.unwrap_or(Owner::All));
    let mut owners: Vec<Owner> = owners.collect();
    owners[..HEADER_WORDS].fill(Owner::All);
    let range = |kind: usize| sections[kind].0..sections[kind].0 + sections[kind].1;
    // Readers look at no index.
    for kind in INDEXES.into_iter().chain([PROCESSES]) {
        owners[range(kind)].fill(Owner::Nobody);
    }
    owners[range(PROCESSES)][..SLOT_WORDS].fill(Owner::Living);
    for kind in [PROCESS_CELLS, EXEMPLARS] {
        for owner in &mut owners[range(kind)] {
            if *owner == Owner::All {
                *owner = Owner::Nobody;
            }
        }
    }
    for (kind, record) in [(FAMILIES, FAMILY_WORDS), (SERIES, SERIES_WORDS)] {
        for words in owners[range(kind)].chunks_mut(record) {
            // The state is the first word; one that never changed is of a record that was never used.
            let owner = match words[0] {
                Owner::All => Owner::Nobody,
                owner => owner,
            };
            words.fill(owner);
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Damage of a family record's hash, text and lengths.
    const NAME_WORDS: [usize; 3] = [1, 3, 4];

    #[test]
    fn a_name_that_is_there_twice_costs_no_sound_family() {
        let forge = Forge::new();
        let word = |record: usize, word: usize| {
            forge.sections[FAMILIES].0 + (VICTIMS_BEFORE + record) * FAMILY_WORDS + word
        };
        // A gauge becomes a second `sizes`, the last name before those of the sound families.
        let (gauge, sizes) = (4, 3);
        let patches = NAME_WORDS.map(|at| Patch {
            word: word(gauge, at),
            value: forge.sound[word(sizes, at)],
            is_read_after: false,
        });
        patches.iter().for_each(|patch| forge.apply(patch));
        let spared = forge.spared(&patches);
        assert_eq!(spared.len(), SOUND.len());
        let mut reader = Reader::attach(forge.path()).unwrap();
        let damage = reader.snapshot().unwrap().damage;
        assert!(damage[0].reason.contains("there twice"), "{damage:?}");
        check(&mut reader, &mut TextRenderer::new(), &spared);
    }

    #[test]
    fn a_sound_family_is_spared_unless_its_own_words_are_touched() {
        let forge = Forge::new();
        let families = forge.sections[FAMILIES].0;
        for (record, name) in SOUND[..VICTIMS_BEFORE].iter().enumerate() {
            let patch = Patch {
                word: families + record * FAMILY_WORDS,
                value: 0,
                is_read_after: false,
            };
            let spared = forge.spared(&[patch]);
            assert_eq!(spared.len(), SOUND.len() - 1);
            assert!(spared.iter().all(|family| family.name != *name));
        }
        let slot = Patch {
            word: forge.sections[PROCESSES].0,
            value: 0,
            is_read_after: false,
        };
        assert_eq!(forge.spared(&[slot]).len(), LIVING_FROM);
    }
}

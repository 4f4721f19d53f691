//! A segment that can be damaged word by word and made whole again, with families that must survive.
//!
//! It knows the format from `docs/FORMAT.md` only, not from the engine's code.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use tachograph::{
    Buckets, Error, GaugeMode, Reader, SegmentOptions, Snapshot, SpanContext, ValueView, Writer,
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

/// The segment.
#[derive(Debug)]
pub struct Forge {
    scratch: Scratch,
    file: File,
    /// The words as the writer left them.
    sound: Vec<u64>,
    sections: [(usize, usize); KINDS],
    /// Words whose damage must not hurt the families called `sound_…`.
    harmless: Vec<bool>,
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
            .families(32)
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
        let mut stages = vec![read(&file)];
        for stage in [sound_first, victims, sound_last] {
            stage(&writer).expect("room for the families");
            stages.push(read(&file));
        }
        let sections = section_table(&stages[3]);
        let blocks = file.metadata().expect("the segment's file").blocks();
        Forge {
            harmless: harmless_words(&stages, &sections),
            sound: stages.pop().expect("there are four"),
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

    /// Whether the families called `sound_…` must survive these patches.
    pub fn spares_the_sound(&self, patches: &[Patch]) -> bool {
        patches.iter().all(|patch| self.harmless[patch.word])
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
/// When the page is not what the text format allows, or `spares` and a sound family is not shown.
pub fn check(reader: &mut Reader, renderer: &mut TextRenderer, spares: bool) {
    let snapshot = match reader.snapshot() {
        Ok(snapshot) => snapshot,
        Err(Error::Changed { .. }) if !spares => return,
        Err(error) => panic!("no snapshot: {error}"),
    };
    check_exemplars(&snapshot);
    let page = renderer.render(&[(None, &snapshot)]);
    page::parse(page).unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(page)));
    // A forged record may bear a sound one's name; then only one of them can be shown.
    let is_doubled = snapshot
        .damage
        .iter()
        .any(|damage| damage.reason.contains("there twice"));
    if spares && !is_doubled {
        check_sound(&snapshot);
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

fn sound_first(writer: &Writer) -> Result<(), Error> {
    sound(writer, "first")
}

fn sound_last(writer: &Writer) -> Result<(), Error> {
    sound(writer, "last")
}

fn sound(writer: &Writer, name: &str) -> Result<(), Error> {
    let counter = writer.counter(&format!("sound_{name}_total"), "help");
    counter.label("k", name).register()?.add(7);
    let sizes = writer.histogram(&format!("sound_{name}_sizes"), "help");
    sizes
        .buckets(Buckets::explicit([1, 10])?)
        .register()?
        .record_n(5, 3);
    let gauge = writer
        .gauge(&format!("sound_{name}_depth"), "help")
        .mode(GaugeMode::LastingMax);
    gauge.register()?.set(-2);
    Ok(())
}

fn check_sound(snapshot: &Snapshot) {
    for name in ["first", "last"] {
        assert_eq!(
            snapshot.number(&format!("sound_{name}_total"), &[("k", name)]),
            7.0,
            "{name}"
        );
        assert_eq!(
            snapshot.number(&format!("sound_{name}_depth"), &[]),
            -2.0,
            "{name}"
        );
        let sizes = snapshot.value(&format!("sound_{name}_sizes"), &[]);
        let Some(ValueView::Histogram(sizes)) = sizes else {
            panic!("sound_{name}_sizes is not shown: {:?}", snapshot.damage);
        };
        assert_eq!((sizes.counts, sizes.sum), (&[0, 3, 0][..], 15), "{name}");
    }
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

/// `stages` are the words before the families that must survive, the others, and more that must survive,
/// and after all of them.
fn harmless_words(stages: &[Vec<u64>], sections: &[(usize, usize); KINDS]) -> Vec<bool> {
    let changed = |at: usize, word: usize| stages[at][word] != stages[at + 1][word];
    let is_sound = |word| changed(0, word) || changed(2, word);
    let mut harmless: Vec<bool> = (0..stages[0].len())
        .map(|word| changed(1, word) && !is_sound(word))
        .collect();
    harmless[..HEADER_WORDS].fill(false);
    let others = [PROCESSES, PROCESS_CELLS, EXEMPLARS];
    for kind in others.into_iter().chain(INDEXES) {
        let (offset, words) = sections[kind];
        harmless[offset..offset + words].fill(true);
    }
    for (kind, record) in [(FAMILIES, 16), (SERIES, 8)] {
        let (offset, words) = sections[kind];
        for first in (offset..offset + words).step_by(record) {
            let is_free = !(first..first + record).any(is_sound);
            harmless[first..first + record].fill(is_free);
        }
    }
    harmless
}

//! Which words of a segment have memory: a reader touches no others.
//!
//! A page of a tmpfs file that has no memory, a hole, is given some when it is read through a mapping, at
//! the reader's cost. Writers take memory before they raise a mark, so a file with less memory than its
//! marks claim is a sparse copy, or somebody took memory away, or it is hostile. It is read through private
//! copies of the data that it holds; holes are zeros there and take no memory.
//!
//! Writers may go on meanwhile. What a reader of the file itself would read later, to see whether what it read
//! before still stands, comes from a second copy, which begins when the first is complete.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use nix::errno::Errno;
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::unistd::{Whence, lseek};

use crate::claim;
use crate::layout::{PAGE_WORDS, Section, header, process, to_usize};
use crate::proof::pause;
use crate::segment::Segment;
use crate::sync::{AtomicU64, Ordering};

/// What a reader reads, in the order a copy takes it: a series before its family, a record before its texts
/// and cells, so that what a record tells of is in the copy too. A second copy takes it the other way round: a
/// record that is unchanged there was so while its cells were copied.
const READ: [Section; 8] = [
    Section::Series,
    Section::Families,
    Section::Strings,
    Section::SharedCells,
    Section::Exemplars,
    Section::Counters,
    Section::Histograms,
    Section::Processes,
];

/// Most words that a file with holes may claim: 1 GiB, which is read in a fraction of a second.
const CLAIMED_MAX: usize = 1 << 27;

/// Reads how far the sections have memory, for all that is read until the next look. False where the file
/// has less memory than that.
pub(crate) fn look(segment: &mut Segment) -> io::Result<bool> {
    segment.memory().runs().clear();
    segment.memory().marks().clear();
    for section in READ {
        *segment.memory().section(section) = claimed(segment, section);
    }
    if !has_memory(segment)? {
        return Ok(false);
    }
    let runs = claimed_runs(segment);
    *segment.memory().runs() = runs;
    let marks = claimed_marks(segment);
    *segment.memory().marks() = marks;
    has_memory(segment)
}

/// Whether a file with holes is the one that the segment was created in, on a file system that keeps all memory
/// until it is told otherwise: then somebody told it so, or raised a mark that lies. A copy may have holes.
pub(crate) fn was_taken(sparse: &Segment) -> bool {
    let is_tmpfs = |file| fstatfs(file).is_ok_and(|found| found.filesystem_type() == TMPFS_MAGIC);
    sparse.this_boot
        && sparse.inode() == Some(sparse.identity.inode)
        && sparse.file().is_some_and(is_tmpfs)
}

/// A private copy of the data of a file with holes.
pub(crate) fn copy(sparse: &Segment) -> io::Result<Segment> {
    let mut copy = sparse.blank()?;
    // First: whether a removal began is told of from here on.
    fill(&copy, sparse, 0, header::WORDS)?;
    for section in READ {
        let words = claimed(sparse, section);
        *copy.memory().section(section) = words;
        check_claim(&mut copy)?;
        fill(&copy, sparse, copy.extent(section).offset, words)?;
        pause("section-copied");
    }
    let runs = claimed_runs(&copy);
    *copy.memory().runs() = runs.clone();
    check_claim(&mut copy)?;
    for (slot, words) in (0u32..).zip(runs) {
        fill(&copy, sparse, copy.layout.process_run(slot).0, words)?;
    }
    Ok(copy)
}

/// Copies again what an earlier copy has.
pub(crate) fn copy_again(sparse: &Segment, earlier: &Segment) -> io::Result<Segment> {
    let mut copy = sparse.blank()?;
    for section in READ.into_iter().rev() {
        let words = earlier.committed_words(section).len();
        *copy.memory().section(section) = words;
        fill(&copy, sparse, copy.extent(section).offset, words)?;
    }
    fill(&copy, sparse, 0, header::WORDS)?;
    Ok(copy)
}

fn claimed(segment: &Segment, section: Section) -> usize {
    let mark = to_usize(claim::committed(segment.committed(section)));
    mark.min(segment.extent(section).words)
}

fn claimed_runs(segment: &Segment) -> Vec<usize> {
    let run = segment.extent(Section::ProcessCells).capacity;
    by_slot(segment, process::CELLS_COMMITTED, to_usize(run))
}

/// A copy has none: they tell of processes that write to another file.
fn claimed_marks(segment: &Segment) -> Vec<usize> {
    let run = segment.extent(Section::Marks).capacity;
    by_slot(segment, process::MARKS_COMMITTED, to_usize(run))
}

/// What each slot claims, up to a `run`.
fn by_slot(segment: &Segment, word: usize, run: usize) -> Vec<usize> {
    let capacity = to_usize(segment.extent(Section::Processes).capacity);
    let words = segment.committed_words(Section::Processes);
    let slots = words.chunks_exact(process::WORDS).take(capacity);
    let mark = |slot: &[AtomicU64]| to_usize(claim::committed(&slot[word]));
    slots.map(|slot| mark(slot).min(run)).collect()
}

/// Whether the file has memory for what its marks claim, and for what a segment has from its creation. The
/// marks were read before, so a sound file has.
fn has_memory(segment: &mut Segment) -> io::Result<bool> {
    let indexes = [Section::FamilyIndex, Section::SeriesIndex];
    let indexes = indexes.map(|section| segment.extent(section).words);
    let sink_run = to_usize(segment.extent(Section::ProcessCells).capacity);
    let at_creation = indexes.iter().sum::<usize>() + sink_run;
    let claimed = segment.memory().words().saturating_add(at_creation);
    match segment.file() {
        Some(file) => Ok(file.metadata()?.blocks() * 512 >= claimed as u64 * 8),
        None => Ok(true),
    }
}

fn check_claim(copy: &mut Segment) -> io::Result<()> {
    if copy.memory().words() > CLAIMED_MAX {
        let reason = "it claims more memory than it has, and too much to read it as a sparse copy";
        return Err(io::Error::other(reason));
    }
    Ok(())
}

/// Copies what the file holds of some words.
fn fill(copy: &Segment, sparse: &Segment, offset: usize, words: usize) -> io::Result<()> {
    let Some(file) = sparse.file() else {
        return Ok(());
    };
    let end = (offset + words) as u64 * 8;
    let mut at = offset as u64 * 8;
    while let Some(data) = seek(file, at, Whence::SeekData)?.filter(|&data| data < end) {
        at = seek(file, data, Whence::SeekHole)?.map_or(end, |hole| hole.min(end));
        copy_words(copy, file, to_usize(data / 8), to_usize(at.div_ceil(8)))?;
    }
    Ok(())
}

fn seek(file: &File, at: u64, whence: Whence) -> io::Result<Option<u64>> {
    let at = i64::try_from(at).map_err(io::Error::other)?;
    match lseek(file, at, whence) {
        Ok(found) => Ok(u64::try_from(found).ok()),
        Err(Errno::ENXIO) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn copy_words(copy: &Segment, file: &File, from: usize, to: usize) -> io::Result<()> {
    let mut bytes = [0; PAGE_WORDS * 8];
    for words in copy.words()[from..to].chunks(PAGE_WORDS) {
        let bytes = &mut bytes[..words.len() * 8];
        let offset = words.as_ptr().addr() - copy.words().as_ptr().addr();
        file.read_exact_at(bytes, offset as u64)?;
        for (word, chunk) in words.iter().zip(bytes.as_chunks::<8>().0) {
            word.store(u64::from_ne_bytes(*chunk), Ordering::Relaxed);
        }
    }
    Ok(())
}

#[cfg(all(test, not(loom), not(miri)))]
mod tests {
    use std::fs::OpenOptions;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use super::*;
    use crate::{Error, Reader, SegmentOptions, Snapshot, Writer};

    fn segment(folder: &tempfile::TempDir) -> (PathBuf, Writer) {
        let path = folder.path().join("a.seg");
        let writer = SegmentOptions::new().path(&path).attach().unwrap();
        writer.counter("a_total", "h").register().unwrap().add(7);
        writer.gauge("depth", "h").register().unwrap().set(3);
        writer.histogram("sizes", "h").register().unwrap().record(5);
        (path, writer)
    }

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").unwrap()
    }

    fn write(path: &Path, word: usize, value: u64) {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(&value.to_ne_bytes(), word as u64 * 8)
            .unwrap();
    }

    fn blocks(path: &Path) -> u64 {
        path.metadata().unwrap().blocks()
    }

    fn check_values(snapshot: &Snapshot) {
        assert_eq!(snapshot.number("a_total", &[]), 7.0);
        assert_eq!(snapshot.number("depth", &[]), 3.0);
        let crate::ValueView::Histogram(sizes) = snapshot.value("sizes", &[]).unwrap() else {
            panic!("no histogram");
        };
        assert_eq!((sizes.count(), sizes.sum), (1, 5));
    }

    #[test]
    fn a_mark_that_lies_costs_no_memory() {
        for section in READ {
            let folder = folder();
            let (path, _writer) = segment(&folder);
            let mut reader = Reader::attach(&path).unwrap();
            check_values(&reader.snapshot().unwrap());
            write(&path, header::COMMITTED + section as usize, u64::MAX);
            write(&path, header::NEXT + section as usize, u64::MAX);
            let before = blocks(&path);
            check_values(&reader.snapshot().unwrap());
            check_values(&Reader::attach(&path).unwrap().snapshot().unwrap());
            assert_eq!(blocks(&path), before, "{section:?}");
        }
    }

    #[test]
    fn a_process_that_lies_costs_no_memory() {
        let folder = folder();
        let (path, _writer) = segment(&folder);
        let slots = Reader::attach(&path).unwrap().snapshot().unwrap().processes;
        assert_eq!(slots[0].slot, 0);
        let segment = crate::create::attach_read_only(&path).unwrap();
        let slot = segment.extent(Section::Processes).offset;
        write(&path, slot + process::CELLS_COMMITTED, u64::MAX);
        write(
            &path,
            header::NEXT + Section::ProcessCells as usize,
            u64::MAX,
        );
        let before = blocks(&path);
        check_values(&Reader::attach(&path).unwrap().snapshot().unwrap());
        assert_eq!(blocks(&path), before);
    }

    #[test]
    fn a_segment_that_claims_too_much_is_refused() {
        let folder = folder();
        let path = folder.path().join("a.seg");
        let options = SegmentOptions::new().histogram_bytes(1 << 33);
        options.path(&path).attach().unwrap();
        write(
            &path,
            header::COMMITTED + Section::Histograms as usize,
            u64::MAX,
        );
        let refused = Reader::attach(&path).unwrap().snapshot().map(drop);
        assert!(matches!(refused, Err(Error::Changed { .. })), "{refused:?}");
    }

    #[test]
    fn a_sparse_copy_is_read_and_stays_sparse() {
        let folder = folder();
        let (path, _writer) = segment(&folder);
        let sparse = folder.path().join("b.seg");
        let status = Command::new("cp")
            .arg("--sparse=always")
            .args([&path, &sparse])
            .status();
        assert!(status.unwrap().success());
        let before = blocks(&sparse);
        assert!(before < blocks(&path));
        let snapshot = Reader::attach(&sparse).unwrap().snapshot().unwrap();
        assert_eq!(snapshot.number("a_total", &[]), 7.0);
        assert!(snapshot.damage.is_empty(), "{:?}", snapshot.damage);
        assert_eq!(blocks(&sparse), before);
    }

    fn punch(path: &Path, section: Section) {
        use nix::fcntl::{FallocateFlags, fallocate};
        let segment = crate::create::attach_read_only(path).unwrap();
        let (offset, bytes) = bytes_of(&segment, section);
        let file = OpenOptions::new().write(true).open(path).unwrap();
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        fallocate(&file, flags, offset, bytes).unwrap();
    }

    fn reserve(path: &Path, section: Section) {
        use nix::fcntl::{FallocateFlags, fallocate};
        let segment = crate::create::attach_read_only(path).unwrap();
        let (offset, bytes) = bytes_of(&segment, section);
        let file = OpenOptions::new().write(true).open(path).unwrap();
        fallocate(&file, FallocateFlags::FALLOC_FL_KEEP_SIZE, offset, bytes).unwrap();
    }

    fn bytes_of(segment: &Segment, section: Section) -> (i64, i64) {
        let extent = segment.extent(section);
        let bytes = |words: usize| i64::try_from(words * 8).unwrap();
        (bytes(extent.offset), bytes(claimed(segment, section)))
    }

    fn tables_of(snapshot: &Snapshot) -> Vec<&'static str> {
        snapshot.damage.iter().map(|damage| damage.table).collect()
    }

    #[test]
    fn memory_that_was_taken_is_told_of_and_remembered() {
        let folder = folder();
        let (path, _writer) = segment(&folder);
        let mut reader = Reader::attach(&path).unwrap();
        assert!(reader.snapshot().unwrap().damage.is_empty());
        punch(&path, Section::Counters);
        let before = blocks(&path);
        let found = reader.snapshot().unwrap();
        assert_eq!(found.number("a_total", &[]), 0.0);
        assert_eq!(tables_of(&found), ["file", "series"]);
        let reason = &found.damage[0].reason;
        assert!(reason.contains("memory is missing"), "{reason}");
        assert_eq!(
            found.damage[1].index, 0,
            "the first series, which is the counter"
        );
        let late = Reader::attach(&path).unwrap().snapshot().unwrap();
        assert_eq!(tables_of(&late), ["file"]);
        assert_eq!(blocks(&path), before, "reading took memory");

        reserve(&path, Section::Counters);
        let later = reader.snapshot().unwrap();
        assert_eq!(later.damage, found.damage, "it is not forgotten");
    }

    #[test]
    fn counts_that_fell_are_told_of_where_the_file_has_its_memory_again() {
        let folder = folder();
        let path = folder.path().join("a.seg");
        let writer = SegmentOptions::new().path(&path).attach().unwrap();
        let buckets = crate::Buckets::explicit([10]).unwrap();
        let sizes = writer.histogram("sizes", "h").buckets(buckets);
        let sizes = sizes.register().unwrap();
        let counter = writer.counter("a_total", "h").register().unwrap();
        let float = writer.counter_f64("b_total", "h").register().unwrap();
        let mut reader = Reader::attach(&path).unwrap();
        for value in [0.5, 0.25] {
            sizes.record(5);
            counter.add(7);
            float.add(value);
            assert!(reader.snapshot().unwrap().damage.is_empty());
        }
        punch(&path, Section::Counters);
        reserve(&path, Section::Counters);
        counter.add(1);
        let found = reader.snapshot().unwrap();
        assert_eq!(tables_of(&found), ["series", "series"]);
        let reason = &found.damage[0].reason;
        assert!(reason.contains("counts fell"), "{reason}");
    }

    /// What a process killed between taking memory and raising its mark leaves may hide as large a hole.
    #[test]
    fn a_hole_behind_more_memory_costs_no_more_than_that() {
        let folder = folder();
        let (path, _writer) = segment(&folder);
        let mut reader = Reader::attach(&path).unwrap();
        check_values(&reader.snapshot().unwrap());
        let whole = blocks(&path);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let end = i64::try_from(path.metadata().unwrap().len()).unwrap();
        let (flags, more) = (nix::fcntl::FallocateFlags::FALLOC_FL_KEEP_SIZE, 1 << 20);
        nix::fcntl::fallocate(&file, flags, end - more, more).unwrap();
        let more = blocks(&path) - whole;
        punch(&path, Section::Counters);
        let found = reader.snapshot().unwrap();
        assert_eq!(tables_of(&found), ["series"]);
        assert!(blocks(&path) <= whole + more);
    }

    #[test]
    fn a_copy_that_is_no_segment_of_this_file_may_have_holes() {
        for preserved in ["--preserve=all", "--no-preserve=all"] {
            let folder = folder();
            let (path, _writer) = segment(&folder);
            let copy = folder.path().join("b.seg");
            let status = Command::new("cp")
                .args(["--sparse=always", preserved])
                .args([&path, &copy])
                .status();
            assert!(status.unwrap().success());
            let found = Reader::attach(&copy).unwrap().snapshot().unwrap();
            assert!(found.damage.is_empty(), "{:?}", found.damage);
            assert_eq!(found.number("a_total", &[]), 7.0);
        }
    }
}

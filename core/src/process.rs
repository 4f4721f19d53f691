//! Process slots: who writes to the segment, and who still lives.
//!
//! | state of a slot | its lock | who moves it on | what a process killed there leaves |
//! |---|---|---|---|
//! | free | nobody's | any process, by taking the lock | nothing |
//! | free | held: being filled | the holder | a free slot: the kernel drops the lock |
//! | published | held: alive | nobody | a dead slot: the kernel drops the lock |
//! | published | nobody's: dead | any process, by taking the lock | – |
//!
//! The lock is a kernel-held byte-range lock of an open file description, so it proves life across pid
//! namespaces, and it ends however the process ends. Pid, start time and name are facts to show, never a
//! proof of life. A slot's generation grows with each use; a reader that finds another generation after
//! its copy than before drops the copy.

use std::fs::File;

use crate::error::Error;
use crate::layout::{PAGE_WORDS, Section, halves, process, split, state};
use crate::proof::step;
use crate::recording::Recording;
use crate::segment::Segment;
use crate::snapshot::Process;
use crate::sync::{
    AtomicU64, Ordering, acquire, acquire_fence, check, does, release, release_fence,
};
use crate::text;
use crate::{lock, marks, rseq};

/// Facts that a process tells of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pid: u32,
    recording: Recording,
    start_ticks: u64,
    pid_namespace: u64,
    attached_unix_nanos: u64,
    name: Name,
}

/// A process's name, cut to what a slot holds. No allocation, so that a forked child can use it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name {
    bytes: [u8; process::NAME_WORDS * 8],
    length: usize,
}

impl Name {
    pub(crate) fn new(name: &str) -> Name {
        let length = name.floor_char_boundary(process::NAME_WORDS * 8);
        let mut bytes = [0; process::NAME_WORDS * 8];
        bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
        Name { bytes, length }
    }
}

impl Facts {
    /// The facts of the calling process. Allocates nothing.
    pub(crate) fn of_this_process(name: Name) -> Facts {
        Facts {
            pid: std::process::id(),
            recording: rseq::recording(None),
            start_ticks: start_ticks().unwrap_or(0),
            pid_namespace: nix::sys::stat::stat(c"/proc/self/ns/pid")
                .map_or(0, |found| found.st_ino),
            attached_unix_nanos: crate::host::now_unix_nanos(),
            name,
        }
    }
}

#[cfg(all(test, loom))]
impl Facts {
    pub(crate) fn for_model(pid: u32, name: Name) -> Facts {
        let recording = Recording::FallbackTarget;
        Facts {
            pid,
            recording,
            start_ticks: 0,
            pid_namespace: 0,
            attached_unix_nanos: 0,
            name,
        }
    }
}

/// When this process started, in clock ticks since boot: field 22 of `/proc/self/stat`.
fn start_ticks() -> Option<u64> {
    use nix::fcntl::OFlag;
    let file = nix::fcntl::open(
        c"/proc/self/stat",
        OFlag::O_RDONLY | OFlag::O_CLOEXEC,
        nix::sys::stat::Mode::empty(),
    );
    let mut bytes = [0; 1024];
    let count = nix::unistd::read(file.ok()?, &mut bytes).ok()?;
    // The second field is the command in brackets and may hold anything.
    let after = bytes[..count].rsplitn(2, |&byte| byte == b')').next()?;
    let field = after.split(|&byte| byte == b' ').nth(20)?;
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// Reserves a slot: the first one whose lock `try_lock` gets. `prepare` makes its cells and marks ready.
pub(crate) fn reserve(
    slots: &[AtomicU64],
    mut try_lock: impl FnMut(u32) -> bool,
    mut prepare: impl FnMut(u32),
) -> Option<u32> {
    for (slot, words) in (0u32..).zip(slots.chunks_exact(process::WORDS)) {
        if !check("slot lock", try_lock(slot)) {
            continue;
        }
        step("slot-locked");
        let before = words[process::STATE].load(Ordering::Relaxed);
        let generation = state::generation(before) + u64::from(does("slot generation"));
        if does("slot taken back") {
            words[process::STATE].store(state::word(state::FREE, generation), Ordering::Relaxed);
        }
        // Release: a reader that sees a new fact or a cleared cell sees the new generation too. Pairs with
        // the Acquire fence in `is_unchanged`.
        release_fence("slot claim");
        step("slot-freed");
        if does("slot cells cleared") {
            prepare(slot);
        }
        return Some(slot);
    }
    None
}

/// Fills a reserved slot, by the process that it is for.
pub(crate) fn publish(words: &[AtomicU64], facts: &Facts) {
    fill(words, facts);
    let reserved = words[process::STATE].load(Ordering::Relaxed);
    // Release: who sees the slot published sees its facts. Pairs with the Acquire in `read`.
    words[process::STATE].store(
        state::to(reserved, state::PUBLISHED),
        release("slot publish"),
    );
    step("slot-published");
}

fn fill(words: &[AtomicU64], facts: &Facts) {
    let numbers = [
        (
            process::PID,
            halves(
                facts.pid,
                u32::try_from(facts.recording.code()).unwrap_or(0),
            ),
        ),
        (process::START_TICKS, facts.start_ticks),
        (process::PID_NAMESPACE, facts.pid_namespace),
        (process::ATTACHED_UNIX_NANOS, facts.attached_unix_nanos),
        (process::NAME_BYTES, facts.name.length as u64),
    ];
    for (word, value) in numbers {
        words[word].store(value, Ordering::Relaxed);
        step("slot-fact-stored");
    }
    let name = &words[process::NAME..process::NAME + process::NAME_WORDS];
    text::store(name, &facts.name.bytes);
}

/// The process of a published slot, with the state word to compare afterwards.
pub(crate) fn read(words: &[AtomicU64], slot: u32) -> Option<(u64, Process)> {
    // Pairs with the Release in `claim`.
    let before = words[process::STATE].load(acquire("slot read"));
    if !check("slot is published", state::of(before) == state::PUBLISHED) {
        return None;
    }
    let load = |word: usize| words[word].load(Ordering::Relaxed);
    let (pid, recording) = split(load(process::PID));
    let name = &words[process::NAME..process::NAME + process::NAME_WORDS];
    let name_bytes = usize::try_from(load(process::NAME_BYTES)).unwrap_or(usize::MAX);
    let name = text::load(name, name_bytes.min(process::NAME_WORDS * 8)).unwrap_or_default();
    let process = Process {
        slot,
        generation: state::generation(before),
        pid,
        pid_namespace: load(process::PID_NAMESPACE),
        start_ticks: load(process::START_TICKS),
        attached_unix_nanos: load(process::ATTACHED_UNIX_NANOS),
        name: String::from_utf8_lossy(&name).into_owned(),
        recording: Recording::from_code(u64::from(recording)),
        alive: false,
        holds_removed: 0,
    };
    is_unchanged(words, before).then_some((before, process))
}

/// Whether the slot is still in the use that `before` told of, so that what was read since belongs to it.
pub(crate) fn is_unchanged(words: &[AtomicU64], before: u64) -> bool {
    // Pairs with the Release fence in `claim`.
    acquire_fence("slot read again");
    let now = words[process::STATE].load(Ordering::Relaxed);
    check("slot is unchanged", now == before)
}

/// Reserves a slot of `segment` through a description of its file. `None` where every slot is taken.
pub(crate) fn reserve_slot(segment: &Segment, file: Option<&File>) -> Option<u32> {
    let extent = segment.extent(Section::Processes);
    let slots = &segment.section(Section::Processes)
        [..crate::layout::to_usize(extent.capacity) * process::WORDS];
    let try_lock = |slot| file.is_none_or(|file| lock::try_lock(file, segment, slot));
    reserve(slots, try_lock, |slot| {
        // Before any mark is set: whoever looks at marks looks at this slot too.
        lock::count_slot(segment.next(Section::Processes), slot);
        clear_cells(segment, slot);
        marks::clear_all(segment, slot);
    })
}

/// Publishes the facts of this process in a slot that was reserved for it.
pub(crate) fn publish_slot(segment: &Segment, slot: u32, name: Name) {
    if let Some(words) = segment.entry(Section::Processes, slot, process::WORDS) {
        publish(words, &Facts::of_this_process(name));
    }
}

/// Zeroes the cells that a former holder of the slot left.
pub(crate) fn clear_cells(segment: &Segment, slot: u32) {
    let Some(words) = segment.entry(Section::Processes, slot, process::WORDS) else {
        return;
    };
    let committed = words[process::CELLS_COMMITTED].load(Ordering::Relaxed);
    let (offset, cells) = segment.layout.process_run(slot);
    let used = crate::layout::to_usize(committed).min(cells);
    for word in &segment.words()[offset..offset + used] {
        word.store(0, Ordering::Relaxed);
        step("slot-cell-cleared");
    }
}

/// Takes memory for the first `cells` own cells of the process in `slot`, and publishes that it is there.
pub(crate) fn commit_cells(segment: &Segment, slot: u32, cells: u64) -> Result<(), Error> {
    let Some(words) = segment.entry(Section::Processes, slot, process::WORDS) else {
        return Ok(());
    };
    let (_, run) = segment.layout.process_run(slot);
    crate::claim::commit(&words[process::CELLS_COMMITTED], cells, |_| {
        segment.commit_run(slot, cells)?;
        Ok(cells.next_multiple_of(PAGE_WORDS as u64).min(run as u64))
    })
}

#[cfg(all(test, not(loom), not(miri)))]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn own_cells_have_memory_before_they_are_used() {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let options = crate::SegmentOptions::new().path(folder.path().join("a.seg"));
        let writer = options.attach().unwrap();
        let file = writer.segment().file().unwrap();
        let blocks = || file.metadata().unwrap().blocks();
        let before = blocks();
        let cells = 4 * PAGE_WORDS as u64;
        commit_cells(writer.segment(), 1, cells).unwrap();
        assert_eq!((blocks() - before) * 512, cells * 8);
    }
}

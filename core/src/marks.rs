//! Marks: which processes may still write to a series, or register in a family.
//!
//! Each process has a bit for each of both, and who marks a series has marked its family. It sets the bit before it looks whether the series is still there;
//! whoever wants to free a removed series looks at the bits after the series was removed. Of the two, one sees
//! the other. The bits of dead processes mean nothing; whoever takes their slot clears them first.
//!
//! | a process killed | leaves |
//! |---|---|
//! | anywhere | bits that mean nothing, because the kernel dropped the lock of its slot |
//!
//! A process without a slot cannot mark. It holds a shared lock instead, and while anyone does, nothing is freed.

use crate::claim;
use crate::error::Error;
use crate::layout::{PAGE_WORDS, Section, header, low_half, process};
use crate::lock;
use crate::proof::step;
use crate::segment::Segment;
use crate::sync::{AtomicU64, Ordering, acquire, check, full_fence, one_step, release, tally};

/// Who asks about marks: its own slot and lock do not show to itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    pub(crate) slot: u32,
    pub(crate) is_tracked: bool,
}

/// Sets a bit of a process's marks. Whoever frees a series that is removed after this sees it.
pub(crate) fn set(word: &AtomicU64, mark: u32) {
    one_step("mark added", word).fetch_or(bit(mark), Ordering::Relaxed);
    step("mark-set");
    // Pairs with the fence in `is_held`: the bit is seen there, or the removal here.
    full_fence("mark set");
}

/// Names the slot of a child being forked. What is marked before is copied, what is marked after is marked for the
/// child too.
pub(crate) fn name_heir(heir: &AtomicU64, slot: u32) {
    heir.store(u64::from(slot) + 1, Ordering::Relaxed);
    step("heir-named");
    // Pairs with the fence in `set`: the mark is seen by who copies, or the heir by who marks.
    full_fence("heir named");
}

/// The slot that `name_heir` named, after a mark was set.
pub(crate) fn heir(heir: &AtomicU64) -> Option<u32> {
    let slot = heir.load(Ordering::Relaxed).checked_sub(1)?;
    Some(low_half(slot))
}

/// Whether a marked series is still the one that was found.
pub(crate) fn is_unchanged(state: &AtomicU64, found: u64) -> bool {
    // Relaxed: the fence in `set` is what counts.
    check(
        "marked series is there",
        state.load(Ordering::Relaxed) == found,
    )
}

pub(crate) fn clear(word: &AtomicU64, mark: u32) {
    // Release: who sees the bit cleared comes after the process's last write to the cells.
    one_step("mark taken away", word).fetch_and(!bit(mark), release("mark cleared"));
    step("mark-cleared");
}

/// Before marks are looked at, after the series was seen removed.
pub(crate) fn look() {
    // Pairs with the fence in `set`.
    full_fence("marks looked at");
}

pub(crate) fn is_set(word: &AtomicU64, mark: u32) -> bool {
    word.load(acquire("mark seen")) & bit(mark) != 0
}

fn bit(mark: u32) -> u64 {
    1 << (mark % 64)
}

/// The word with a process's mark of this number, if it has memory.
pub(crate) fn word(segment: &Segment, slot: u32, mark: u32) -> Option<&AtomicU64> {
    run(segment, slot)?.get(mark as usize / 64)
}

/// Whether the process in `slot` has the mark of this number.
pub(crate) fn is_marked(segment: &Segment, slot: u32, mark: u32) -> bool {
    word(segment, slot, mark).is_some_and(|word| is_set(word, mark))
}

/// The words of a process's marks that have memory.
pub(crate) fn run(segment: &Segment, slot: u32) -> Option<&[AtomicU64]> {
    let words = segment.entry(Section::Processes, slot, process::WORDS)?;
    let (offset, run) = segment.layout.marks_run(slot);
    let committed = segment.committed_marks(slot, &words[process::MARKS_COMMITTED]);
    let committed = committed.min(run);
    segment.words().get(offset..offset + committed)
}

/// Takes memory for a process's mark of this number.
pub(crate) fn commit(segment: &Segment, slot: u32, mark: u32) -> Result<(), Error> {
    let Some(words) = segment.entry(Section::Processes, slot, process::WORDS) else {
        return Ok(());
    };
    let (offset, run) = segment.layout.marks_run(slot);
    let needed = u64::from(mark) / 64 + 1;
    claim::commit(&words[process::MARKS_COMMITTED], needed, |from| {
        let end = needed.next_multiple_of(PAGE_WORDS as u64).min(run as u64);
        segment.reserve(Section::Marks.name(), offset as u64 + from, end - from)?;
        Ok(end)
    })
}

/// Clears the marks that a former holder of the slot left.
pub(crate) fn clear_all(segment: &Segment, slot: u32) {
    for word in run(segment, slot).unwrap_or_default() {
        word.store(0, Ordering::Relaxed);
        step("slot-mark-cleared");
    }
}

/// Gives `heir` the marks of `slot`.
pub(crate) fn copy(segment: &Segment, slot: u32, heir: u32) -> Result<(), Error> {
    let marks = run(segment, slot).unwrap_or_default();
    if let Some(last) = (marks.len() * 64).checked_sub(1) {
        commit(segment, heir, u32::try_from(last).unwrap_or(u32::MAX))?;
    }
    let copies = run(segment, heir).unwrap_or_default();
    copy_words(marks, copies);
    Ok(())
}

/// Adds marks to those of an heir.
pub(crate) fn copy_words(marks: &[AtomicU64], copies: &[AtomicU64]) {
    for (mark, copy) in marks.iter().zip(copies) {
        let marks = mark.load(Ordering::Relaxed);
        one_step("mark copied", copy).fetch_or(marks, Ordering::Relaxed);
        step("mark-copied");
    }
}

/// Says that a process writes to series that it could not mark: none is freed any more.
pub(crate) fn never_free(segment: &Segment) {
    tally(&segment.words()[header::UNTRACKED], 1);
}

/// Whether a living process may still use what was seen removed, by the number of its mark.
pub(crate) fn is_held(segment: &Segment, mark: u32, asker: Asker) -> bool {
    look();
    let forever = segment.words()[header::UNTRACKED].load(Ordering::Relaxed) != 0;
    let is_locked = |file| lock::is_locked(file, header::UNTRACKED);
    forever
        || !asker.is_tracked
        || holders(segment, mark, asker).next().is_some()
        || segment.file().is_some_and(is_locked)
}

/// The slots of the living processes that have a mark.
fn holders(segment: &Segment, mark: u32, asker: Asker) -> impl Iterator<Item = u32> + '_ {
    let lives = move |slot: u32| {
        slot == asker.slot
            || segment
                .file()
                .is_none_or(|file| lock::is_alive(file, segment, slot))
    };
    let is_holder = move |&slot: &u32| is_marked(segment, slot, mark) && lives(slot);
    (0..lock::slots_used(segment)).filter(is_holder)
}

//! Locks that the kernel holds on bytes of a segment's file, and so proofs of life.
//!
//! They belong to an open file description: they end however their process ends, show across pid namespaces, and
//! do not show to whoever asks through the same description.

use std::fs::File;
use std::os::fd::AsFd;

use nix::fcntl::FcntlArg;

use crate::layout::{Section, low_half, process};
use crate::segment::Segment;
use crate::sync::{AtomicU64, Ordering, one_step};

/// Whether the slot's process lives. Works on a read-only file.
pub(crate) fn is_alive(file: &File, segment: &Segment, slot: u32) -> bool {
    is_locked(file, first_word(segment, slot))
}

/// Takes a slot, unless its process lives.
pub(crate) fn try_lock(file: &File, segment: &Segment, slot: u32) -> bool {
    set(file, libc::F_WRLCK, first_word(segment, slot))
}

/// Lets go of a slot that was taken.
pub(crate) fn give_up(file: &File, segment: &Segment, slot: u32) {
    set(file, libc::F_UNLCK, first_word(segment, slot));
}

/// Whether another description holds a lock on a word's first byte.
pub(crate) fn is_locked(file: &File, word: usize) -> bool {
    let mut lock = lock_of(libc::F_WRLCK, word);
    match nix::fcntl::fcntl(file.as_fd(), FcntlArg::F_OFD_GETLK(&mut lock)) {
        Ok(_) => i32::from(lock.l_type) != libc::F_UNLCK,
        Err(_) => false,
    }
}

/// Locks, shares or unlocks a word's first byte, if nobody else's lock is in the way.
pub(crate) fn set(file: &File, kind: i32, word: usize) -> bool {
    let lock = lock_of(kind, word);
    nix::fcntl::fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&lock)).is_ok()
}

/// Counts a slot that is taken.
pub(crate) fn count_slot(used: &AtomicU64, slot: u32) {
    one_step("slot counted", used).fetch_max(u64::from(slot) + 1, Ordering::Relaxed);
}

/// How many slots were ever taken: those from there on were not.
pub(crate) fn slots_used(segment: &Segment) -> u32 {
    let capacity = segment.extent(Section::Processes).capacity;
    let used = segment.next(Section::Processes).load(Ordering::Relaxed);
    low_half(used.min(capacity))
}

fn first_word(segment: &Segment, slot: u32) -> usize {
    segment.extent(Section::Processes).offset + slot as usize * process::WORDS
}

fn lock_of(kind: i32, word: usize) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).expect("a small constant"),
        l_whence: i16::try_from(libc::SEEK_SET).expect("a small constant"),
        l_start: i64::try_from(word * 8).expect("a segment is smaller than 2^63 bytes"),
        l_len: 1,
        l_pid: 0,
    }
}

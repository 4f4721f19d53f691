//! What a build for proof (`--cfg tachograph_proof`) adds to the sequences: length, so that many are aborted;
//! a count of the aborts; and faults, to see that the tests find them.

use super::{Geometry, Here, ShardedCells, arch, thread_number};
use crate::sync::{AtomicU64, Ordering};

/// Rounds of an empty loop between the CPU's number and the committing store.
static LENGTH: AtomicU64 = AtomicU64::new(500);
static ABORTS: AtomicU64 = AtomicU64::new(0);
static FAULT: AtomicU64 = AtomicU64::new(PlantedFault::None as u64);

/// A fault that tests must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum PlantedFault {
    /// Adds are as they should be.
    None,
    /// The CPU's number, then load, add and store, outside a sequence.
    NoSequence,
    /// An abort adds atomically to a shard that sequences write.
    MixedShards,
    /// An abort goes back to the start of the sequence.
    Retry,
    /// The shared object that holds the engine may be unloaded.
    Unpinned,
}

impl PlantedFault {
    /// Plants the fault in this process.
    pub fn plant(self) {
        FAULT.store(self as u64, Ordering::Relaxed);
    }

    pub(super) fn is_planted(self) -> bool {
        FAULT.load(Ordering::Relaxed) == self as u64
    }
}

/// Sets how long this process's sequences are; the default aborts most of those that a signal hits.
pub fn lengthen_sequences(rounds: u64) {
    LENGTH.store(rounds, Ordering::Relaxed);
}

/// How many of this process's sequences the kernel has aborted.
pub fn aborted_sequences() -> u64 {
    ABORTS.load(Ordering::Relaxed)
}

pub(super) fn length() -> u64 {
    LENGTH.load(Ordering::Relaxed)
}

#[cold]
pub(super) fn count_abort() {
    ABORTS.fetch_add(1, Ordering::Relaxed);
}

impl<G: Geometry> ShardedCells<G> {
    /// Adds as the planted fault does; false where none is planted.
    pub(super) fn add_by_fault(
        &self,
        here: Here,
        cell: usize,
        add: impl Fn(u64) -> u64,
        sequence: impl Fn() -> bool,
    ) -> bool {
        if here.area == 0 {
            return false;
        }
        if PlantedFault::NoSequence.is_planted() {
            return self.add_without_sequence(arch::cpu_id(here.area), cell, add);
        }
        if PlantedFault::MixedShards.is_planted() {
            if !sequence() {
                let shard = u32::try_from(thread_number() % here.cpus as usize);
                let word = self.cpu_cell(shard.unwrap_or(0), cell);
                let _ =
                    word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sum| Some(add(sum)));
            }
            return true;
        }
        if PlantedFault::Retry.is_planted() {
            while !sequence() {}
            return true;
        }
        false
    }

    fn add_without_sequence(&self, cpu: u32, cell: usize, add: impl Fn(u64) -> u64) -> bool {
        if cpu >= self.geometry.cpus() {
            return false;
        }
        let word = self.cpu_cell(cpu, cell);
        let sum = add(word.load(Ordering::Relaxed));
        for round in 0..length() {
            std::hint::black_box(round);
        }
        word.store(sum, Ordering::Relaxed);
        true
    }

    fn cpu_cell(&self, cpu: u32, cell: usize) -> &AtomicU64 {
        &self.words[cpu as usize * self.stride_words() + cell]
    }
}

//! Process slots: claimed by whoever gets the lock, used again after their holder, read meanwhile.

use std::sync::Arc;

use crate::layout::{Section, process};
use crate::process::{self as slots, Facts, Name};
use crate::segment::Segment;
use crate::sync::{AtomicU64, Ordering};
use crate::values::Living;

use super::atomic::watch;
use super::{Bound, prove, spawn, stage, words};

/// A segment of one slot, and the kernel's lock on it.
#[derive(Clone)]
struct Table {
    segment: Arc<Segment>,
    lock: Arc<[AtomicU64]>,
}

impl Table {
    fn new() -> Table {
        let table = Table {
            segment: stage::segment(),
            lock: words(1),
        };
        // Two own cells, the first of which belongs to no series.
        table.slot()[process::CELLS_COMMITTED].store(2, Ordering::Relaxed);
        let next = table.segment.next(Section::ProcessCells);
        next.store(2, Ordering::Relaxed);
        table
    }

    fn slot(&self) -> &[AtomicU64] {
        &self.segment.section(Section::Processes)[..process::WORDS]
    }

    fn cell(&self) -> &AtomicU64 {
        &self.segment.section(Section::ProcessCells)[1]
    }

    /// Whoever gets the lock acts after its last holder.
    fn try_lock(&self) -> bool {
        let locked = self.lock[0].compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed);
        locked.is_ok()
    }

    fn claim(&self, pid: u32) -> bool {
        let facts = Facts::for_model(pid, Name::new("p"));
        let clear = |slot| slots::clear_cells(&self.segment, slot);
        let reserved = slots::reserve(self.slot(), |_| self.try_lock(), clear);
        if reserved.is_some() {
            slots::publish(self.slot(), &facts);
        }
        reserved.is_some()
    }

    /// A process's life: take the slot, set a gauge to the pid, die.
    fn live(&self, pid: u32) -> bool {
        let has_slot = self.claim(pid);
        if has_slot {
            self.cell().store(u64::from(pid), Ordering::Relaxed);
            self.lock[0].store(0, Ordering::Release);
        }
        has_slot
    }

    /// What a reader sees: the process, and its gauge.
    fn read(&self) -> Option<(u32, u64)> {
        let (before, process) = slots::read(self.slot(), 0)?;
        let living = Living::copy(&self.segment, &self.segment, &process, before)?;
        Some((process.pid, living.cell(1)))
    }
}

/// A reader never shows a process with the gauge of the one before it, and a new process starts without.
fn cells_belong_to_their_process() {
    let table = Table::new();
    assert!(table.live(1));
    watch([&table.slot()[process::STATE], table.cell()]);
    let next = table.clone();
    let next = spawn(move || {
        assert!(next.claim(2));
        assert_eq!(
            next.cell().load(Ordering::Relaxed),
            0,
            "a gauge of the dead"
        );
        next.cell().store(2, Ordering::Relaxed);
    });
    if let Some((pid, cell)) = table.read() {
        let is_own = cell == 0 || cell == u64::from(pid);
        assert!(is_own, "process {pid} shows the gauge {cell}");
    }
    next.join().unwrap();
}

#[test]
fn reuse() {
    prove(
        Bound::Preemptions,
        cells_belong_to_their_process,
        &[
            "slot claim",
            "slot taken back",
            "slot generation",
            "slot cells cleared",
            "slot read again",
            "slot is unchanged",
        ],
    );
}

/// A slot that a reader sees has its facts.
fn published_slots_have_facts() {
    let table = Table::new();
    watch([&table.slot()[process::STATE]]);
    let process = table.clone();
    let process = spawn(move || process.live(1));
    if let Some((_, process)) = slots::read(table.slot(), 0) {
        assert_eq!((process.pid, &*process.name), (1, "p"));
    }
    assert!(process.join().unwrap());
}

#[test]
fn publication() {
    prove(
        Bound::Exhaustive,
        published_slots_have_facts,
        &["slot publish", "slot read", "slot is published"],
    );
}

/// Two processes want one slot: the lock gives it to one.
fn one_gets_the_slot() {
    let table = Table::new();
    let other = table.clone();
    let other = spawn(move || other.claim(1));
    let mine = table.claim(2);
    assert_ne!(other.join().unwrap(), mine);
    let (_, process) = slots::read(table.slot(), 0).unwrap();
    assert_eq!(process.pid, if mine { 2 } else { 1 });
}

#[test]
fn contention() {
    prove(Bound::Exhaustive, one_gets_the_slot, &["slot lock"]);
}

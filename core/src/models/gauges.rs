//! Gauges that threads of one process share, and lasting ones that processes share.

use crate::attached::{Attached, Resolve, Resolved};
use crate::cell::gauge_word;
use crate::gauge::Gauge;
use crate::layout::Section;
use crate::process::Name;
use crate::schema::GaugeMode;
use crate::sync::{AtomicU64, Ordering};

use super::stage::{self, Family, gauges, labels};
use super::{Bound, join, prove, spawn};

/// A gauge of one process, with the words that it uses.
struct Stage {
    gauge: Gauge,
    attached: &'static Attached,
    own: u32,
    shared: u32,
}

impl Stage {
    fn new(mode: GaugeMode) -> Stage {
        let family = Family::new(stage::segment(), &gauges(mode));
        let attached = Attached::new(family.segment.share_heap(), Name::new("p"));
        let attached: &'static Attached = Box::leak(Box::new(attached));
        let known = (family.index, &family.known);
        let (resolved, _): (Resolved, _) =
            attached.resolve(known, &labels("x"), crate::held::Hold::Kept);
        attached.share_words();
        Stage {
            gauge: Gauge::resolve(attached, known, &resolved).unwrap(),
            attached,
            own: resolved.cells.own,
            shared: resolved.cells.shared,
        }
    }

    fn own(&self) -> u64 {
        self.attached.own_cell(self.own).load(Ordering::Relaxed)
    }

    fn shared(&self) -> u64 {
        self.attached
            .shared_cell(self.shared)
            .load(Ordering::Relaxed)
    }
}

/// Two threads of one process use a gauge of `mode`.
fn two_threads(mode: GaugeMode, first: fn(Gauge), second: fn(Gauge)) -> Stage {
    let stage = Stage::new(mode);
    let gauge = stage.gauge;
    let other = spawn(move || first(gauge));
    second(gauge);
    other.join().unwrap();
    stage
}

/// The sum holds what this process set last, whichever thread was the last.
fn a_lasting_sum_is_the_last_value() {
    let stage = two_threads(GaugeMode::LastingSum, |g| g.set(5), |g| g.set(3));
    assert_eq!(stage.own(), stage.shared());
}

#[test]
fn lasting_sums() {
    prove(
        Bound::Exhaustive,
        a_lasting_sum_is_the_last_value,
        &["last value swapped"],
    );
}

/// Sets and adds of two threads together.
fn a_lasting_sum_holds_all_adds() {
    let stage = two_threads(GaugeMode::LastingSum, |g| g.add(5), |g| g.add(3));
    assert_eq!(stage.gauge.value(), Some(8));
    assert_eq!(stage.own(), stage.shared());
}

#[test]
fn lasting_adds() {
    prove(
        Bound::Exhaustive,
        a_lasting_sum_holds_all_adds,
        &["gauge updated"],
    );
}

fn a_lasting_maximum_is_the_greatest() {
    let stage = two_threads(GaugeMode::LastingMax, |g| g.set(5), |g| g.set(3));
    assert_eq!(stage.gauge.value(), Some(5));
}

fn a_lasting_minimum_is_the_least() {
    let stage = two_threads(GaugeMode::LastingMin, |g| g.set(-5), |g| g.set(-3));
    assert_eq!(stage.gauge.value(), Some(-5));
}

#[test]
fn lasting_maxima() {
    prove(
        Bound::Exhaustive,
        a_lasting_maximum_is_the_greatest,
        &["extreme kept", "extreme compared"],
    );
}

#[test]
fn lasting_minima() {
    prove(
        Bound::Exhaustive,
        a_lasting_minimum_is_the_least,
        &["extreme kept", "extreme compared"],
    );
}

fn a_lasting_latest_holds_all_adds() {
    let stage = two_threads(GaugeMode::LastingLatest, |g| g.add(5), |g| g.add(3));
    assert_eq!(stage.gauge.value(), Some(8));
}

#[test]
fn lasting_latest() {
    prove(
        Bound::Exhaustive,
        a_lasting_latest_holds_all_adds,
        &["gauge updated"],
    );
}

/// Every set draws a ticket of its own.
fn tickets_are_drawn_once() {
    let stage = two_threads(GaugeMode::Latest, |g| g.set(5), |g| g.set(3));
    assert_eq!(stage.shared(), 2);
    assert!([Some(5), Some(3)].contains(&stage.gauge.value()));
}

#[test]
fn tickets() {
    prove(Bound::Exhaustive, tickets_are_drawn_once, &["ticket drawn"]);
}

fn a_living_sum_holds_all_adds() {
    let stage = two_threads(GaugeMode::Sum, |g| g.add(5), |g| g.add(3));
    assert_eq!(stage.gauge.value(), Some(8));
}

#[test]
fn living_adds() {
    prove(
        Bound::Exhaustive,
        a_living_sum_holds_all_adds,
        &["gauge add"],
    );
}

/// A thread that registers a gauge again does not undo what another has set.
fn zero_replaces_nothing() {
    let stage = Stage::new(GaugeMode::Max);
    let (gauge, attached, own) = (stage.gauge, stage.attached, stage.own);
    let other = spawn(move || attached.start_at_zero(own));
    // A swap: loom lets a plain store come before an update that did not see it.
    let five = gauge_word::from_i64(5);
    attached.own_cell(own).swap(five, Ordering::Relaxed);
    other.join().unwrap();
    assert_eq!(gauge.value(), Some(5));
}

#[test]
fn zeros() {
    prove(Bound::Exhaustive, zero_replaces_nothing, &["zero shown"]);
}

/// A child that is forked shows zero in all cells that two threads of its parent made start there.
fn a_child_shows_all_zeros() {
    let stage = Stage::new(GaugeMode::Max);
    let attached = stage.attached;
    let other = spawn(move || attached.start_at_zero(2));
    attached.start_at_zero(3);
    other.join().unwrap();
    let cells = [2, 3].map(|cell| attached.own_cell(cell));
    let clear = |cell: &AtomicU64| cell.store(gauge_word::ABSENT, Ordering::Relaxed);
    cells.into_iter().for_each(clear);
    attached.claim_slot();
    assert!(
        cells
            .iter()
            .all(|cell| cell.load(Ordering::Relaxed) == gauge_word::ZERO)
    );
}

#[test]
fn zeros_of_children() {
    prove(Bound::Exhaustive, a_child_shows_all_zeros, &["zero kept"]);
}

/// A child that is forked has memory for the cells of all gauges of its parent.
fn a_child_has_memory_for_all_cells() {
    use crate::layout::{PAGE_WORDS, process};
    let page = PAGE_WORDS as u64;
    let family = Family::new(stage::segment_of_cells(2 * page), &gauges(GaugeMode::Max));
    let segment = &family.segment;
    let next = segment.next(Section::ProcessCells);
    next.store(page - 1, Ordering::Relaxed);
    ["x", "y"]
        .iter()
        .for_each(|value| drop(family.register(value)));
    let attached = Attached::new(segment.share_heap(), Name::new("p"));
    attached.share_words();
    let attached = std::sync::Arc::new(attached);
    let threads = ["x", "y"].map(|value| {
        let (attached, family) = (attached.clone(), family.clone());
        spawn(move || {
            let known = (family.index, &family.known);
            attached
                .try_resolve(known, &labels(value), crate::held::Hold::Kept)
                .unwrap();
        })
    });
    join(threads);
    let committed = &segment.section(Section::Processes)[process::CELLS_COMMITTED];
    committed.store(0, Ordering::Relaxed);
    attached.claim_slot();
    assert_eq!(committed.load(Ordering::Relaxed), 2 * page);
}

#[test]
fn memory_of_children() {
    prove(
        Bound::Exhaustive,
        a_child_has_memory_for_all_cells,
        &["own cells raised"],
    );
}

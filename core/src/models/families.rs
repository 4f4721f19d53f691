//! Families that are removed: under a registrant, under another remover, and under a reader.

use crate::catalogue::Catalogue;
use crate::layout::state;
use crate::marks::{self, Asker};
use crate::record::FamilySpec;
use crate::schema::{GaugeMode, Kind};
use crate::sync::{Ordering, acquire, check};
use crate::{family_removal, record, removal};

use super::atomic::watch;
use super::stage::{self, Family, counters, seen, spec};
use super::{Bound, prove, spawn, words};

/// A process that has nothing of its own.
const VISITOR: Asker = Asker {
    slot: 9,
    is_tracked: true,
};

fn other() -> FamilySpec {
    spec("b", Kind::Gauge(GaugeMode::LastingLatest), 9)
}

/// Two remove one family: one does.
fn a_family_is_removed_once() {
    let shared = words(1);
    let published = state::word(state::PUBLISHED, 0);
    shared[0].store(published, Ordering::Relaxed);
    let theirs = shared.clone();
    let theirs = spawn(move || family_removal::end(&theirs[0], published));
    let mine = family_removal::end(&shared[0], published);
    assert!(theirs.join().unwrap() != mine);
}

#[test]
fn removed_once() {
    prove(
        Bound::Exhaustive,
        a_family_is_removed_once,
        &["family removed once"],
    );
}

/// One takes a family while another removes and frees it: what is held is not freed.
fn held_families_are_not_freed() {
    // The family's state, and its mark.
    let shared = words(2);
    let published = state::word(state::PUBLISHED, 0);
    shared[0].store(published, Ordering::Relaxed);
    watch([&shared[0]]);
    let holder = shared.clone();
    let holder = spawn(move || {
        marks::set(&holder[1], 0);
        if marks::is_unchanged(&holder[0], published) {
            let now = holder[0].load(Ordering::Relaxed);
            assert_eq!(state::generation(now), 0, "it is used again");
        }
        marks::clear(&holder[1], 0);
    });
    assert!(family_removal::end(&shared[0], published));
    let removed = removal::seen_removed(&shared[0]).unwrap();
    marks::look();
    if check("nobody holds the family", !marks::is_set(&shared[1], 0)) {
        assert!(removal::begin_next(&shared[0], removed));
    }
    holder.join().unwrap();
}

#[test]
fn held_families() {
    prove(
        Bound::Preemptions,
        held_families_are_not_freed,
        &["nobody holds the family", "mark set", "marks looked at"],
    );
}

/// One walks over the series of a removed family while another frees it and uses its record for a new one: that keeps
/// its series.
fn a_new_family_keeps_its_series() {
    // The states of the family and of a series.
    let shared = words(2);
    let removed = state::word(state::REMOVED, 0);
    shared[0].store(removed, Ordering::Relaxed);
    watch(shared.iter());
    let other = shared.clone();
    let other = spawn(move || {
        assert!(removal::begin_next(&other[0], removed));
        record::publish(&other[1], state::word(state::FREE, 0));
    });
    let series = shared[1].load(acquire("removed series seen"));
    let is_ours = family_removal::is_still(&shared[0], removed);
    assert!(!is_ours || state::of(series) == state::FREE);
    other.join().unwrap();
}

#[test]
fn new_families() {
    prove(
        Bound::Exhaustive,
        a_new_family_keeps_its_series,
        &["family is the removed one", "removed series seen"],
    );
}

/// A reader looks while a family is removed and its record and that of its series serve others: it finds nothing
/// that makes no sense, and in the end what is there.
fn readers_see_families_go() {
    let segment = stage::segment();
    let family = Family::new(segment.clone(), &counters(9));
    family.register("x").unwrap();
    let mut catalogue = Catalogue::new();
    assert_eq!(seen(&mut catalogue, &segment).0, ["x"]);
    let theirs = segment.clone();
    let theirs = spawn(move || {
        assert!(family_removal::remove(&theirs, "a_total", VISITOR).unwrap());
        Family::new(theirs, &other()).register("y").unwrap();
    });
    let (values, damaged) = seen(&mut catalogue, &segment);
    assert!(values.is_empty() || values == ["x"] || values == ["y"]);
    assert_eq!(damaged, 0);
    theirs.join().unwrap();
    assert_eq!(seen(&mut catalogue, &segment), (vec!["y".to_owned()], 0));
}

#[test]
fn families_under_a_reader() {
    prove(Bound::Preemptions, readers_see_families_go, &[]);
}

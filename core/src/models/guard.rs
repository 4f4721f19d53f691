//! The ranges of the fault guard, changed by threads while a handler looks one up.

use std::sync::Arc;

use crate::watched::{Range, Watched};

use super::{Bound, prove, spawn};

fn range(start: u64, end: u64) -> Range {
    Range {
        start,
        end,
        is_writable: start > 100,
    }
}

/// A range that is given up and another one in its place: no address lies in the start of one and the end
/// of the other.
fn replaced_by(next: Range, between: u64) {
    let place = Arc::new(Watched::new());
    place.share();
    assert!(place.take(range(100, 110)));
    let other = place.clone();
    let other = spawn(move || {
        other.give_up();
        assert!(other.take(next));
    });
    assert_eq!(place.range_of(between), None);
    other.join().unwrap();
    assert_eq!(place.range_of(next.start), Some(next));
}

fn a_later_range_is_not_mixed_in() {
    replaced_by(range(200, 210), 150);
}

fn an_earlier_range_is_not_mixed_in() {
    replaced_by(range(50, 60), 80);
}

#[test]
fn later_ranges() {
    prove(
        Bound::Exhaustive,
        a_later_range_is_not_mixed_in,
        &[
            "range refilled",
            "range looked at again",
            "range is the same",
        ],
    );
}

#[test]
fn earlier_ranges() {
    prove(
        Bound::Exhaustive,
        an_earlier_range_is_not_mixed_in,
        &["range found", "range published"],
    );
}

/// Two threads want one place.
fn a_place_holds_one_range() {
    let place = Arc::new(Watched::new());
    place.share();
    let other = place.clone();
    let other = spawn(move || other.take(range(100, 110)));
    let mine = place.take(range(200, 210));
    assert_ne!(other.join().unwrap(), mine);
}

#[test]
fn places() {
    prove(Bound::Exhaustive, a_place_holds_one_range, &["range taken"]);
}

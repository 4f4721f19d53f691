//! The ranges of the fault guard, changed by threads while a handler looks one up.

use std::sync::Arc;

use crate::watched::Watched;

use super::{Bound, prove, spawn};

/// A range that is given up and another one in its place: no address lies in the start of one and the end
/// of the other.
fn replaced_by(range: std::ops::Range<u64>, between: u64) {
    let place = Arc::new(Watched::new());
    place.share();
    assert!(place.take(100, 110));
    let other = place.clone();
    let (start, end) = (range.start, range.end);
    let other = spawn(move || {
        other.give_up();
        assert!(other.take(start, end));
    });
    assert_eq!(place.end_of(between), None);
    other.join().unwrap();
    assert_eq!(place.end_of(start), Some(end));
}

fn a_later_range_is_not_mixed_in() {
    replaced_by(200..210, 150);
}

fn an_earlier_range_is_not_mixed_in() {
    replaced_by(50..60, 80);
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
    let other = spawn(move || other.take(100, 110));
    let mine = place.take(200, 210);
    assert_ne!(other.join().unwrap(), mine);
}

#[test]
fn places() {
    prove(Bound::Exhaustive, a_place_holds_one_range, &["range taken"]);
}

//! A family's series limit: exact, whoever meets whom, and whoever is killed.

use crate::error::Error;
use crate::index::Found;
use crate::layout::state;
use crate::seats::Admission;
use crate::sync::Ordering;

use super::atomic::watch;
use super::removal::Table;
use super::stage::{self, Family, counters, shown};
use super::{Bound, prove, spawn};

/// One key and one seat: both registrants get the series.
fn one_key_takes_one_seat() {
    let family = Family::new(stage::segment(), &counters(1));
    let other = family.clone();
    let other = spawn(move || other.register("x").unwrap());
    assert_eq!(family.register("x").unwrap(), other.join().unwrap());
    assert_eq!(shown(&family.segment), ["x"]);
}

#[test]
fn one_key() {
    prove(
        Bound::Preemptions,
        one_key_takes_one_seat,
        &["seats are unchanged"],
    );
}

/// Two keys and one seat: one gets it, the other is refused.
fn two_keys_take_one_seat() {
    let family = Family::new(stage::segment(), &counters(1));
    let other = family.clone();
    let other = spawn(move || other.register("x").is_ok());
    let mine = family.register("y");
    let is_limit = |error: &Error| matches!(error, Error::SeriesLimit { limit: 1, .. });
    assert!(mine.as_ref().err().is_none_or(is_limit));
    assert_ne!(other.join().unwrap(), mine.is_ok());
    assert_eq!(shown(&family.segment).len(), 1);
}

#[test]
fn two_keys() {
    prove(
        Bound::Preemptions,
        two_keys_take_one_seat,
        &["series limit", "operation chosen"],
    );
}

/// The word of a family's first operation: its record 0 is added.
const FIRST_ADD: u64 = 1 << 31 | 1;
/// The same, but it is removed.
const FIRST_REMOVE: u64 = FIRST_ADD | 1 << 29;

fn found(record: u32, now: u64) -> Found {
    let state = state::word(now, 0);
    Found { record, state }
}

/// A record, free or published, of a family that a process died in when it had begun an operation.
fn begun(operation: u64, now: u64) -> Table {
    let table = Table::new(1, 9);
    let seats = u64::from(now == state::PUBLISHED);
    table.counts[0].store(seats, Ordering::Relaxed);
    table.counts[1].store(operation, Ordering::Relaxed);
    table.state(0).store(found(0, now).state, Ordering::Relaxed);
    table
}

/// One ends what the dead began while another ends it too and removes the series: it stays removed.
fn the_removed_stay_removed() {
    let table = begun(FIRST_ADD, state::FREE);
    let other = table.clone();
    let other = spawn(move || {
        assert!(other.seats().remove(found(0, state::PUBLISHED)));
        let now = other.state(0).load(Ordering::Relaxed);
        assert_eq!(
            state::of(now),
            state::REMOVED,
            "whoever removes has removed"
        );
    });
    table.seats().settle();
    other.join().unwrap();
    let now = table.state(0).load(Ordering::Relaxed);
    assert_eq!(state::of(now), state::REMOVED);
    assert_eq!(table.count(), 0);
}

#[test]
fn late_helpers() {
    prove(
        Bound::Preemptions,
        the_removed_stay_removed,
        &["operation ended", "operand changed"],
    );
}

/// Two end the removal that the dead began: readers see that none is under way.
fn removals_end() {
    let table = begun(FIRST_REMOVE, state::PUBLISHED);
    watch([&table.counts[3]]);
    let other = table.clone();
    let other = spawn(move || other.seats().settle());
    table.seats().settle();
    other.join().unwrap();
    assert!(table.removals().seen().is_settled());
    assert_eq!(table.count(), 0);
}

#[test]
fn removal_of_the_dead() {
    prove(Bound::Preemptions, removals_end, &["removal ended"]);
}

/// Two admit one record, which both found before it was published: it has one seat, and neither is refused.
fn a_record_takes_one_seat(limit: u64) {
    let table = Table::new(1, limit);
    watch([&table.counts[0], &table.counts[1]]);
    let record = found(0, state::FREE);
    let other = table.clone();
    let other = spawn(move || other.seats().admit(record, limit));
    assert_eq!(table.seats().admit(record, limit), Admission::Admitted);
    assert_eq!(other.join().unwrap(), Admission::Admitted);
    assert_eq!(table.count(), 1);
}

fn one_record_takes_one_of_many_seats() {
    a_record_takes_one_seat(9);
}

#[test]
fn one_record() {
    prove(
        Bound::Preemptions,
        one_record_takes_one_of_many_seats,
        &["operation seen", "operation done"],
    );
}

fn one_record_takes_the_last_seat() {
    a_record_takes_one_seat(1);
}

#[test]
fn one_record_at_the_limit() {
    prove(
        Bound::Preemptions,
        one_record_takes_the_last_seat,
        &["seats seen", "operation counted"],
    );
}

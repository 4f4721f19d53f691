//! A family's series limit: exact, whoever meets whom, and whoever is killed.

use crate::error::Error;

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

//! A family's series limit: exact, whoever meets whom, and whoever is killed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use crate::error::Error;
use crate::layout::{Section, family, series};
use crate::seats::{Seats, Vacancy};
use crate::sync::{AtomicU64, Ordering};

use super::stage::{self, Family, counters, shown};
use super::{Bound, join, prove, spawn, words};

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
        &[
            "seats seen",
            "offered record",
            "settled seat",
            "series found at its seat",
        ],
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
        &["series limit", "seat offered"],
    );
}

/// The word of the seats, and the records that the index has; it is not the index that is modelled here.
#[derive(Clone)]
struct Hall {
    word: Arc<[AtomicU64]>,
    index: Arc<Mutex<BTreeSet<u32>>>,
}

impl Hall {
    fn new() -> Hall {
        Hall {
            word: words(1),
            index: Arc::default(),
        }
    }

    /// What a registrant of `record` does once the record is complete.
    fn register(&self, record: u32) {
        let index = || self.index.lock().unwrap();
        let seats = Seats::new(&self.word[0], 9);
        let find = || index().contains(&record).then_some(record);
        let insert = |record| {
            index().insert(record);
            true
        };
        while let Vacancy::Free(word) = seats.look(find, insert) {
            seats.offer(word, record);
        }
    }
}

/// One registrant settles the offers of another, late: nothing is lost or counted twice.
fn late_helpers_change_nothing() {
    let hall = Hall::new();
    let other = hall.clone();
    let other = spawn(move || {
        other.register(0);
        other.register(1);
    });
    hall.register(2);
    other.join().unwrap();
    assert_eq!(hall.index.lock().unwrap().len(), 3);
    assert_eq!(hall.word[0].load(Ordering::Relaxed), 3);
}

#[test]
fn late_helpers() {
    prove(
        Bound::ExhaustiveIfLong,
        late_helpers_change_nothing,
        &["seat settled"],
    );
}

/// A family whose registrant of `x` was killed after its offer.
fn with_an_offer_of_the_dead(limit: u64) -> (Family, u32) {
    let family = Family::new(stage::segment(), &counters(limit));
    let dead = family.register("x").unwrap();
    let segment = &family.segment;
    let clear = |word: &AtomicU64| word.store(0, Ordering::Relaxed);
    let words = segment.entry(Section::Series, dead, series::WORDS);
    clear(&words.unwrap()[series::STATE]);
    segment.section(Section::SeriesIndex)[..4]
        .iter()
        .for_each(clear);
    let seats = &segment.section(Section::Families)[family::SEATS];
    clear(seats);
    assert!(Seats::new(seats, limit).offer(0, dead));
    (family, dead)
}

/// The next registrants of the family end what the dead one began: its record has the seat.
fn the_offer_of_the_dead_has_its_seat() {
    let (family, dead) = with_an_offer_of_the_dead(1);
    let others = ["x", "y"].map(|value| {
        let family = family.clone();
        spawn(move || family.register(value).ok())
    });
    assert_eq!(join(others), [Some(dead), None]);
    assert_eq!(shown(&family.segment), ["x"]);
}

#[test]
fn the_offer_of_the_dead() {
    prove(
        Bound::Exhaustive,
        the_offer_of_the_dead_has_its_seat,
        &["offer helped"],
    );
}

/// What takes a seat shows, even if nobody registers it again.
fn what_has_a_seat_shows() {
    let (family, _) = with_an_offer_of_the_dead(3);
    let others = ["y", "z"].map(|value| {
        let family = family.clone();
        spawn(move || family.register(value).unwrap())
    });
    join(others);
    assert_eq!(shown(&family.segment), ["x", "y", "z"]);
}

#[test]
fn what_has_a_seat() {
    prove(
        Bound::Preemptions,
        what_has_a_seat_shows,
        &["offer published"],
    );
}

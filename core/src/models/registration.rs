//! Registration of families and series, by two registrants and under the eyes of a reader.

use crate::catalogue::Catalogue;
use crate::layout::Section;
use crate::register;

use super::atomic::watch;
use super::stage::{self, Family, counters, seen, shown};
use super::{Bound, prove, spawn};

/// Two registrants of one family get one record, and a reader sees it.
fn families_of_one_name_are_one() {
    let segment = stage::segment();
    let other = segment.clone();
    let register = |segment: &_| register::family(segment, &counters(9)).unwrap();
    let other = spawn(move || register(&other));
    let mine = register(&segment);
    assert_eq!(mine, other.join().unwrap());
    let mut catalogue = Catalogue::new();
    stage::refresh(&mut catalogue, &segment);
    assert_eq!(catalogue.directory.families.len(), 1);
    assert!(catalogue.damage.is_empty());
}

#[test]
fn families_of_one_name() {
    prove(
        Bound::Preemptions,
        families_of_one_name_are_one,
        &["family published"],
    );
}

fn two_register(series: u64, values: [&'static str; 2]) -> (Family, [Option<u32>; 2]) {
    let family = Family::new(stage::segment_of_series(series), &counters(9));
    let other = family.clone();
    let first = spawn(move || other.register(values[0]).ok());
    let second = family.register(values[1]).ok();
    let first = first.join().unwrap();
    (family, [first, second])
}

/// Two registrants of one key get one record; the other one is given back where it is the last.
fn series_of_one_key_are_one() {
    let (family, records) = two_register(3, ["x", "x"]);
    assert!(records[0].is_some());
    assert_eq!(records[0], records[1]);
    assert_eq!(shown(&family.segment), ["x"]);
}

#[test]
fn series_of_one_key() {
    prove(
        Bound::Preemptions,
        series_of_one_key_are_one,
        &["list inserted"],
    );
}

fn series_of_two_keys_are_two() {
    let (family, records) = two_register(3, ["x", "y"]);
    assert_ne!(records[0], records[1]);
    assert!(records.iter().all(Option::is_some));
    assert_eq!(shown(&family.segment), ["x", "y"]);
}

#[test]
fn series_of_two_keys() {
    prove(Bound::Preemptions, series_of_two_keys_are_two, &["claim"]);
}

/// One record for two keys: one registrant has it, the other is refused.
fn a_full_table_refuses_one() {
    let (family, records) = two_register(1, ["x", "y"]);
    assert_eq!(records.iter().flatten().count(), 1);
    assert_eq!(shown(&family.segment).len(), 1);
}

#[test]
fn a_full_table() {
    prove(Bound::Preemptions, a_full_table_refuses_one, &["claim"]);
}

/// A reader that looks while a family and a series are registered sees whole records, and later all.
fn a_reader_sees_whole_records() {
    let segment = stage::segment();
    let state = |section| &segment.section(section)[0];
    watch([state(Section::Families), state(Section::Series)]);
    watch([Section::Families, Section::Series].map(|section| segment.next(section)));
    let other = segment.clone();
    let registrant = spawn(move || {
        let family = Family::new(other, &counters(9));
        family.register("x").unwrap();
    });
    let mut catalogue = Catalogue::new();
    let (values, damaged) = seen(&mut catalogue, &segment);
    assert!(values.is_empty() || values == ["x"]);
    assert_eq!(damaged, 0);
    registrant.join().unwrap();
    assert_eq!(seen(&mut catalogue, &segment), (vec!["x".to_owned()], 0));
}

#[test]
fn a_reader_meanwhile() {
    prove(
        Bound::ExhaustiveIfLong,
        a_reader_sees_whole_records,
        &[
            "record publish",
            "record seen",
            "record is published",
            "series before families",
            "unpublished watched",
        ],
    );
}
